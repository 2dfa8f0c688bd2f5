//! What a child finds around it.

use std::fs;
use std::path::PathBuf;

use mykeeper_supervise::{Activity, ChildSpec, Exit, Supervisor};
use rustix::process::{Signal, getuid};
use tokio_util::sync::CancellationToken;

use crate::support::{Mark, STAND_IN, eventually, lines_of, parent, run, send, sh, shim, start, stdout_of};

#[tokio::test]
async fn the_environment_is_clean() {
    let daemon = [
        ("PATH", "/usr/bin:/bin"),
        ("HOME", "/nowhere"),
        ("TZ", "UTC"),
        ("DB_PASSWORD", "secret"),
        ("LANGUAGE", "de"),
    ];
    let daemon = daemon.map(|(name, value)| (name.into(), value.into())).to_vec();
    let mut lines = Vec::new();
    let mut keep = |_, line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
    let spec = ChildSpec::new("env").env("GIVEN", "1").env("TZ", "Europe/Berlin");
    Supervisor::new(shim(), daemon)
        .run(spec, CancellationToken::new(), Activity::new(), &mut keep)
        .await
        .unwrap();
    lines.sort();
    let tree = lines
        .iter()
        .position(|line| line.starts_with("MYKEEPER_TREE="))
        .unwrap();
    lines.remove(tree);
    assert_eq!(
        lines,
        [
            "GIVEN=1",
            "HOME=/nowhere",
            "PATH=/usr/bin:/bin",
            "TZ=Europe/Berlin"
        ]
    );
    // Nor did anything of this process, which has more, leak in.
    assert!(std::env::vars_os().any(|(name, _)| name == "CARGO_MANIFEST_DIR"));
}

#[tokio::test]
async fn standard_input_is_empty() {
    assert_eq!(
        stdout_of(sh("readlink /proc/self/fd/0; cat; echo end")).await,
        ["/dev/null", "end"]
    );
}

#[tokio::test]
async fn no_descriptor_of_the_shim_leaks() {
    // What this process itself was handed and passes on, as any program would, is not the shim's.
    let handed: Vec<_> = fs::read_dir("/proc/self/fd").unwrap().flatten().collect();
    let handed: Vec<_> = handed
        .iter()
        .filter_map(|fd| fs::read_link(fd.path()).ok())
        .collect();
    let lines =
        stdout_of(ChildSpec::new("find").args(["/proc/self/fd", "-type", "l", "-printf", "%f %l\n"])).await;
    let strange: Vec<_> = lines
        .iter()
        .map(|line| line.split_once(' ').unwrap())
        .filter(|(_, target)| target.starts_with("socket:") || target.starts_with("pipe:"))
        .filter(|(fd, target)| !["1", "2"].contains(fd) && !handed.contains(&PathBuf::from(target)))
        .collect();
    assert!(strange.is_empty(), "{strange:?}");
}

#[tokio::test]
async fn signals_have_their_default_meaning() {
    let masks = |status: &str| -> Vec<u64> {
        let masks = status
            .lines()
            .filter_map(|line| line.strip_prefix("SigBlk:").or(line.strip_prefix("SigIgn:")));
        let masks = masks.map(|mask| u64::from_str_radix(mask.trim(), 16).unwrap());
        // Signals 32 and 33 belong to the C library, which ignores them in what it spawns.
        masks.map(|mask| mask & 0x7fff_ffff).collect()
    };
    let childs = stdout_of(ChildSpec::new("cat").arg("/proc/self/status")).await;
    let own = fs::read_to_string("/proc/self/status").unwrap();
    // Rust ignores SIGPIPE for itself; what else this process was made to ignore is not the shim's doing.
    let sigpipe = 1 << (Signal::PIPE.as_raw() - 1);
    assert_eq!(masks(&childs.join("\n")), [0, masks(&own)[1] & !sigpipe]);
}

#[tokio::test]
async fn folder_priority_and_core_limit_are_set() {
    let spec = sh("pwd; nice; ulimit -c; ulimit -Hc")
        .current_dir("/usr/bin")
        .nice(7);
    let lines = stdout_of(spec).await;
    assert_eq!(lines[1..], ["7", "0", "0"]);
    assert!(lines[0].ends_with("/bin"), "{lines:?}");
}

#[tokio::test]
async fn the_child_leads_a_group_of_its_own() {
    let script = "set -- $(cut -d ' ' -f 1,5 /proc/$$/stat); [ $1 = $2 ]";
    assert_eq!(run(sh(script)).await.unwrap().exit, Exit::Success);
}

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let words = ["--nice", "9", "--", "", "a b", "$HOME", "*"];
    let lines = stdout_of(ChildSpec::new("printf").arg("<%s>\n").args(words)).await;
    assert_eq!(lines, words.map(|word| format!("<{word}>")));
}

#[tokio::test]
async fn another_user_can_be_run_as() {
    if !getuid().is_root() {
        return;
    }
    let lines = stdout_of(
        sh("id -u; id -g; id -G; nice; ulimit -Hc")
            .user(65534, 65533)
            .nice(-3),
    )
    .await;
    assert_eq!(lines, ["65534", "65533", "65533", "-3", "0"]);
}

#[tokio::test]
async fn another_user_dies_with_the_shim_too() {
    if !getuid().is_root() {
        return;
    }
    let mark = Mark::new();
    let spec = mark.on(ChildSpec::new("sleep").arg("1000").user(65534, 65534));
    let child = start(spec).await;
    let identity = child.identity().clone();
    send(parent(identity.pid), Signal::KILL);
    eventually("the child died with its shim", || !identity.is_alive()).await;
}

#[tokio::test]
async fn the_shim_may_be_this_very_binary_by_the_kernels_link() {
    let spec = ChildSpec::new(STAND_IN).args(["supervise", "sh", "-c", "echo inner; exit 3"]);
    let lines = lines_of(spec).await;
    assert_eq!(lines[0].1, "inner");
}
