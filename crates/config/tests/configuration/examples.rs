//! The shipped examples are usable as they are, and say the truth about the defaults.

use crate::files::Files;
use mykeeper_config::{EXAMPLE_KEEPER, EXAMPLE_SCHEDULE, Settings};

/// Both examples, with the paths of this folder taken out of what they yield.
fn load(keeper: &str, schedule: &str) -> Settings {
    let files = Files::new(keeper, schedule);
    let loaded = files.load().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.warnings, []);
    let mut settings = loaded.settings;
    settings.keeper_file = "mykeeper.toml".into();
    settings.schedule_file = "schedule.toml".into();
    settings
}

/// Lines such as `#timeout = "12h"`: the defaults.
fn with_defaults_written(example: &str) -> String {
    let lines = example.lines().map(|line| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => rest,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_examples_are_sound_and_give_no_warnings() {
    let settings = load(EXAMPLE_KEEPER, EXAMPLE_SCHEDULE);
    assert_eq!(settings.jobs.len(), 4);
    assert_eq!(settings.servers["shop"].tag, "国内平台从1");
}

#[test]
fn the_defaults_that_the_examples_show_are_the_defaults() {
    let written = load(
        &with_defaults_written(EXAMPLE_KEEPER),
        &with_defaults_written(EXAMPLE_SCHEDULE),
    );
    assert_ne!(with_defaults_written(EXAMPLE_KEEPER), EXAMPLE_KEEPER);
    assert_eq!(written, load(EXAMPLE_KEEPER, EXAMPLE_SCHEDULE));
}

#[test]
fn the_examples_speak_of_every_key() {
    for key in [
        "node",
        "state_dir",
        "schedule",
        "url",
        "password_file",
        "password_credential",
        "timezone",
        "socket",
        "host",
        "port",
        "user",
        "tag",
        "address",
        "tls",
        "mode",
        "ca",
        "proven_within",
        "source_address",
        "bandwidth_limit",
        "ssh",
        "identity_file",
        "known_hosts_file",
        "server",
        "directory",
        "memory",
        "threads",
        "mydumper",
        "myloader",
        "rsync",
        "grace",
        "kill_grace",
        "lease",
        "per_server",
        "per_destination",
        "validations",
        "repeat",
        "gather",
        "give_up",
        "url_file",
        "url",
        "token_file",
        "body",
        "on",
        "from",
        "to",
        "subject",
        "program",
        "args",
    ] {
        assert!(EXAMPLE_KEEPER.contains(&format!("{key} = ")), "{key}");
    }
    for key in [
        "timezone",
        "cron",
        "server",
        "databases",
        "consistency",
        "directory",
        "transfer_to",
        "stream",
        "mydumper",
        "compression",
        "level",
        "chunk",
        "lock_budget",
        "long_queries",
        "long_query_limit",
        "long_query_wait",
        "timeout",
        "stall",
        "retry",
        "attempts",
        "delay",
        "missed",
        "overlap",
        "jitter",
        "ping_file",
        "ping",
        "destination",
        "verify_every",
        "verify",
        "select",
        "within",
        "tags",
        "assert",
        "max_restore_time",
        "database",
        "sql",
        "keep",
        "last",
        "daily",
        "weekly",
        "monthly",
        "action",
        "require",
    ] {
        assert!(EXAMPLE_SCHEDULE.contains(&format!("{key} = ")), "{key}");
    }
    assert!(EXAMPLE_SCHEDULE.contains("`yearly`"));
}

#[test]
fn no_line_of_the_examples_is_wider_than_a_screen() {
    for line in EXAMPLE_KEEPER.lines().chain(EXAMPLE_SCHEDULE.lines()) {
        assert!(line.chars().count() <= 112, "{line}");
    }
}
