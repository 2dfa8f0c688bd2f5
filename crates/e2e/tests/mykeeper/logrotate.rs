//! `deploy/logrotate/mykeeper`, on logs that are written to meanwhile.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use mykeeper_e2e::Scratch;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The shipped file, its logs in a folder of the test; their paths there.
fn shipped(scratch: &Path) -> (std::path::PathBuf, Vec<std::path::PathBuf>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/logrotate/mykeeper");
    let text = std::fs::read_to_string(file).unwrap();
    let mut logs = Vec::new();
    let mut here = String::new();
    for line in text.lines() {
        let Some(place) = line.strip_prefix('/') else {
            here.push_str(&format!("{line}\n"));
            continue;
        };
        let log = scratch.join(place);
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        here.push_str(&format!("{}\n", log.display()));
        logs.push(log);
    }
    let config = scratch.join("logrotate.conf");
    // A system's own file may say `create` for all.
    std::fs::write(&config, format!("create\n{here}")).unwrap();
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).unwrap();
    (config, logs)
}

fn rotate(scratch: &Path, config: &Path, how: &str) -> String {
    let output = Command::new("logrotate")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .args([how, "--state", &scratch.join("state").display().to_string()])
        .arg(config)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("error:"), "{said}");
    said
}

/// As a shell opens it for `>> log`.
fn open(log: &Path) -> File {
    File::options().append(true).create(true).open(log).unwrap()
}

#[test]
fn no_line_is_lost_when_a_log_is_rotated_under_its_writer() {
    let scratch = Scratch::new();
    let scratch = scratch.path();
    let (config, logs) = shipped(scratch);
    assert!(logs.len() >= 2, "{logs:?}");
    rotate(scratch, &config, "--debug");
    let numbered =
        |log: &Path, end: &str| log.with_file_name(format!("{}{end}", log.file_name().unwrap().display()));

    let log = &logs[0];
    let mut running = open(log);
    writeln!(running, "before").unwrap();
    rotate(scratch, &config, "--force");
    writeln!(running, "meanwhile").unwrap();
    drop(running);
    let moved = numbered(log, ".1");
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "before\nmeanwhile\n");
    assert!(!log.exists(), "the next command makes it, as its own account");
    assert!(
        !logs[1].exists() && !numbered(&logs[1], ".1").exists(),
        "what is missing stays so"
    );

    writeln!(open(log), "after").unwrap();
    rotate(scratch, &config, "--force");
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "after\n");
    let packed = Command::new("gzip")
        .arg("-dc")
        .arg(numbered(log, ".2.gz"))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&packed.stdout), "before\nmeanwhile\n");
}
