//! Root beside a service of another user: nothing of root's comes into its state.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::NEVER;
use crate::notify::prune;
use mykeeper_e2e::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

/// Nobody's.
const SERVICE: u32 = 65534;

/// Whether the service's user could come as far as there.
fn is_open(path: &Path) -> bool {
    path.ancestors().all(|above| {
        above
            .metadata()
            .is_ok_and(|found| found.permissions().mode() & 0o001 != 0)
    })
}

fn strangers(state: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(state).unwrap().flatten();
    let strangers = entries.filter(|entry| entry.metadata().unwrap().uid() != SERVICE);
    strangers
        .map(|entry| entry.path().display().to_string())
        .collect()
}

#[test]
fn who_looks_while_a_file_has_a_mistake_makes_nothing_and_what_is_roots_lets_no_daemon_say_that_it_is_ready()
{
    if !is_root() {
        eprintln!("SKIPPED: only root can be root");
        return;
    }
    let mut workspace = Workspace::new();
    std::fs::set_permissions(workspace.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    workspace.write_keeper("");
    let good = prune("p", "").replace("* * * * * *", NEVER);
    workspace.write_schedule(&format!("{good}corn = 1\n"));
    let state = workspace.at("state");
    chown(&state, Some(SERVICE), Some(SERVICE)).unwrap();
    for words in [["jobs"], ["status"], ["runs"]] {
        let shown = workspace.mykeeper(&words);
        // The runs are to be had without the schedule.
        assert_eq!(shown.status.code() == Some(0), words == ["runs"], "{shown}");
        assert_eq!(strangers(&state), [""; 0], "{shown}");
    }

    workspace.write_schedule(&good);
    if !is_open(Binary::find().path()) {
        eprintln!("SKIPPED in part: the program lies where another user cannot call it");
        return;
    }
    workspace.mykeeper(&["jobs"]).assert_code(0);
    assert_eq!(strangers(&state), [""; 0]);
    // A lock of root's keeps its job alone from ever running, and shows in nothing but the check.
    workspace.mykeeper(&["run", "p"]).assert_code(0);
    let lock = state.join("locks/p.lock");
    chown(&lock, Some(0), Some(0)).unwrap();
    workspace
        .mykeeper(&["check"])
        .assert_code(3)
        .assert_says("state/locks/p.lock")
        .assert_says("Permission denied");
    chown(&lock, Some(SERVICE), Some(SERVICE)).unwrap();
    // As an earlier version, or a person, has left it.
    chown(state.join("locks"), Some(0), Some(0)).unwrap();
    let id = SERVICE.to_string();
    workspace.surround(Surroundings {
        through: [
            "setpriv",
            &format!("--reuid={id}"),
            &format!("--regid={id}"),
            "--clear-groups",
            "--",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Surroundings::default()
    });
    for words in [["daemon"], ["check"]] {
        workspace
            .mykeeper(&words)
            .assert_code(3)
            .assert_says("state/locks")
            .assert_says("Permission denied");
    }
}
