//! The words of 0.10 given to a mydumper of 1.0: renamed where that has another name, refused where it has none.

use crate::Host;
use std::os::unix::fs::PermissionsExt;

const HOME: &str = "/data4/recover/pybackup";
const HELP: &str = include_str!("../../../tools/tests/fixtures/help-1.0");

/// Says what a mydumper of 1.0 says of itself; of a call it keeps the words, and makes nothing.
const LATER: &str = r#"#!/bin/sh
here="${0%/*}/.."
case "$*" in
    *--version*) echo 'mydumper v1.0.1-3, built against MariaDB 10.11.19' ;;
    *--help*) cat "$here/help" ;;
    *) printf '%s\n' "$@" > "$here/words"; exit 1 ;;
esac
"#;

/// What mydumper was given, if it was called.
fn given(host: &Host) -> Option<Vec<String>> {
    let path = host.at("home/words");
    let words = std::fs::read_to_string(&path).ok()?;
    std::fs::remove_file(path).unwrap();
    Some(words.lines().map(str::to_owned).collect())
}

/// Leaves the host's own mydumper as it was.
pub(crate) fn a_later_mydumper_is_given_its_own_words(host: &Host) {
    let program = host.at("home/bin/mydumper");
    let before = std::fs::read(&program).unwrap();
    std::fs::write(&program, LATER).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let dump = |help: &str, words: &str| {
        std::fs::write(host.at("home/help"), help).unwrap();
        let line = format!(
            "./pybackup.py mydumper database=fandb outputdir={HOME}/2026-03-01 --only-backup {words}"
        );
        (host.run(HOME, &line), given(host))
    };
    for (old, new) in [
        ("no-locks", "--sync-thread-lock-mode=NO_LOCK"),
        ("lock-all-tables", "--sync-thread-lock-mode=LOCK_ALL"),
        ("success-on-1146", "--ignore-errors=1146"),
        ("trx-consistency-only", "--trx-tables"),
    ] {
        let (ended, given) = dump(HELP, old);
        assert!(given.is_some(), "{old}: {}", ended.said);
        let given = given.unwrap_or_default();
        assert!(given.contains(&new.to_owned()), "{given:?}");
        assert!(!given.contains(&format!("--{old}")), "{given:?}");
        let told = format!("calls \"{old}\" \"{}\"", &new[2..]);
        let log = host.run("/", &format!("grep -rF '{told}' {}", host.at("state").display()));
        log.assert_code(0);
    }
    // One that is dropped is refused before mydumper is called, with what to do.
    let (ended, given) = dump(HELP, "less-locking");
    assert_ne!(ended.code, Some(0));
    ended.assert_says(
        "does not know the option \"less-locking\": leave it out: later versions lock less by themselves",
    );
    assert_eq!(given, None);
    // Nobody is told to write what this mydumper does not know, either.
    let without: String = HELP
        .lines()
        .filter(|line| !line.contains("--trx-tables") && !line.contains("--sync-thread-lock-mode"))
        .map(|line| format!("{line}\n"))
        .collect();
    let (ended, given) = dump(&without, "trx-consistency-only");
    assert_ne!(ended.code, Some(0));
    ended.assert_says("does not know the option \"trx-consistency-only\"");
    assert!(!ended.said.contains("write \"trx-tables\""), "{}", ended.said);
    assert_eq!(given, None);
    std::fs::write(&program, before).unwrap();
}
