//! What the Debian package does when it is configured, beside a service manager that says what it is told to say.
//! `deploy/test.sh --service` has the package installed for real.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use mykeeper_e2e::*;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// What is said of the service, and what it was told.
struct Upgrade {
    said: String,
    told: String,
}

fn program(path: &Path, text: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// The package's own script over an older version, while the service is in that state and those jobs wait for it.
fn upgrade_while(state: &str, jobs: &str) -> Upgrade {
    let dir = Scratch::new();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let active = matches!(state, "active" | "reloading");
    for name in ["systemd-sysusers", "systemd-tmpfiles", "mykeeper"] {
        program(&dir.path().join(name), "exit 0");
    }
    program(
        &dir.path().join("systemctl"),
        &format!(
            "case $* in\n  *is-active*) exit {} ;;\n  *is-enabled*) exit 0 ;;\n  *ActiveState*) echo {state} ;;\n  *list-jobs*) echo '{jobs}' ;;\n\
             \x20 *) echo \"$*\" >>'{}' ;;\nesac",
            if active { 0 } else { 3 },
            at("told")
        ),
    );
    std::fs::write(at("mykeeper.toml"), "").unwrap();
    std::fs::create_dir(at("booted")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/debian/postinst");
    let script = [
        (". /usr/share/debconf/confmodule", String::new()),
        ("/etc/mykeeper/mykeeper.toml", at("mykeeper.toml")),
        ("/run/systemd/system", at("booted")),
        ("/usr/bin/mykeeper", at("mykeeper")),
        ("/usr/sbin/policy-rc.d", at("no-policy")),
    ]
    .into_iter()
    .fold(std::fs::read_to_string(script).unwrap(), |text, (from, to)| {
        assert!(text.contains(from), "postinst speaks of {from} no more");
        text.replace(from, &to)
    });
    let ended = Command::new("sh")
        .args(["-c", &script, "postinst", "configure", "0.1.0"])
        .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    Upgrade {
        said: String::from_utf8(ended.stderr).unwrap(),
        told: std::fs::read_to_string(at("told")).unwrap_or_default(),
    }
}

#[test]
fn an_upgrade_begins_anew_what_runs_or_starts_and_leaves_alone_what_somebody_stops() {
    for state in ["active", "reloading", "activating"] {
        let upgrade = upgrade_while(state, "");
        assert!(
            upgrade.told.contains("--no-block restart mykeeper.service"),
            "{state}: {}",
            upgrade.told
        );
        assert!(
            upgrade.said.contains("stops as soon as its running jobs allow"),
            "{state}: {}",
            upgrade.said
        );
    }
    for (job, said) in [
        (
            "71 mykeeper.service stop running",
            "not started: somebody stops it",
        ),
        // An upgrade before this one waits for the old program's jobs.
        (
            "72 mykeeper.service restart running",
            "starts again as this version",
        ),
    ] {
        let upgrade = upgrade_while("deactivating", job);
        assert!(
            !upgrade.told.contains("start mykeeper"),
            "a stop is undone: {}",
            upgrade.told
        );
        assert!(upgrade.said.contains(said), "{job}: {}", upgrade.said);
    }
    for state in ["inactive", "failed"] {
        let upgrade = upgrade_while(state, "");
        assert!(
            upgrade.told.contains("--no-block start mykeeper.service"),
            "{state}: {}",
            upgrade.told
        );
        assert!(
            upgrade.said.contains("enabled, and started"),
            "{state}: {}",
            upgrade.said
        );
    }
}
