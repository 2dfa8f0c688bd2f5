//! What is well formed and yet wrong.

mod jobs;
mod notify;

use crate::files::Files;

const KEEPER: &str = "
state_dir = '/var/lib/mykeeper'
[servers.shop]
socket = '/run/mysqld/mysqld.sock'
user = 'backup'
[destinations.vault]
url = 'rsync://u@h/m'
[destinations.disk]
url = '/mnt/disk'
";

const BACKUP: &str = "
[backup.nightly]
cron = '0 4 * * *'
server = 'shop'
databases = ['shop']
directory = '/data/sets'
transfer_to = ['vault']
";

const RETENTION: &str = "
[retention.prune]
cron = '@daily'
directory = '/data/sets'
keep = { last = 3 }
";

fn is_sound(keeper: &str, schedule: &str) {
    assert_eq!(Files::new(keeper, schedule).lines(), Vec::<String>::new());
}

/// Exactly one thing is found, and it is this.
fn one(keeper: &str, schedule: &str, expected: &str) {
    let lines = Files::new(keeper, schedule).lines();
    assert!(
        lines.len() == 1 && lines[0].contains(expected),
        "expected {expected:?} in {lines:#?}"
    );
}

fn keeper(what: &str, by: &str, expected: &str) {
    assert!(KEEPER.contains(what));
    one(&KEEPER.replace(what, by), BACKUP, expected);
}

fn backup(what: &str, by: &str, expected: &str) {
    assert!(BACKUP.contains(what));
    one(KEEPER, &BACKUP.replace(what, by), expected);
}

fn job(text: &str, expected: &str) {
    one(KEEPER, &format!("{BACKUP}\n{text}"), expected);
}

fn retention(what: &str, by: &str, expected: &str) {
    assert!(RETENTION.contains(what));
    job(&RETENTION.replace(what, by), expected);
}

#[test]
fn the_files_that_these_tests_spoil_are_sound() {
    is_sound(KEEPER, &format!("{BACKUP}{RETENTION}"));
}

#[test]
fn a_job_names_a_server_or_destination_that_does_not_exist() {
    backup(
        "'shop'\nd",
        "'shpo'\nd",
        "schedule.toml:4:10: Error: there is no server \"shpo\" (did you mean \"shop\"?)",
    );
    backup(
        "'shop'\nd",
        "'数据库'\nd",
        "there is no server \"数据库\" (configured servers: \"shop\")",
    );
    backup(
        "['vault']",
        "['disk', 'valt']",
        "schedule.toml:7:24: Error: there is no destination \"valt\" (did you mean \"vault\"?)",
    );
    job(
        "[transfer.t]\ncron = '@daily'\ndestination = 'vualt'",
        "did you mean \"vault\"?",
    );
    let lines = Files::new("", BACKUP).lines().join("\n");
    assert!(
        lines.contains("no servers are configured: add [servers.shop] to mykeeper.toml"),
        "{lines}"
    );
    assert!(lines.contains("no destinations are configured"), "{lines}");
}

#[test]
fn a_server_with_mistakes_of_its_own_is_still_known_to_the_jobs() {
    keeper(
        "user = 'backup'",
        "user = 7",
        "mykeeper.toml:5:8: Error: `user` is a number",
    );
}

#[test]
fn databases_mix_inclusion_and_exclusion_or_are_empty() {
    backup(
        "['shop']",
        "['shop', '!mysql']",
        "schedule.toml:5:22: Error: `databases` mixes patterns",
    );
    backup("['shop']", "[]", "nothing would be backed up");
    backup("['shop']", "['!']", "a pattern is a database's name");
    backup("['shop']", "['shop', 'shop']", "stands here twice");
    backup("['shop']", "'shop'", "`databases` is a text");
    backup(
        "['shop']",
        "['shop,blog']",
        "Warning: this is one pattern with a comma in it",
    );
    backup(
        "['shop']",
        "['shop', 'sys']",
        "Warning: \"sys\" is made by the server from memory",
    );
}

#[test]
fn two_jobs_have_the_same_name_across_kinds() {
    job(
        "[validation.nightly]\ncron = '@daily'",
        "schedule.toml:9:13: Error: [backup.nightly] and [validation.nightly] have the same name",
    );
    job(
        "[validation.Nightly]\ncron = '@daily'",
        "have names that differ only in case",
    );
}

#[test]
fn a_key_or_a_section_stands_twice() {
    backup(
        "server = 'shop'",
        "server = 'shop'\nserver = 'shop'",
        "schedule.toml:5:1: Error: this key stands here for the second time",
    );
    job(
        "[backup.nightly]\n",
        "schedule.toml:9:9: Error: this key stands here for the second time",
    );
}

#[test]
fn a_server_is_reached_in_two_ways_or_in_none() {
    keeper(
        "user",
        "host = 'h'\nuser",
        "mykeeper.toml:5:1: Error: both `socket` and `host` are given",
    );
    keeper(
        "socket = '/run/mysqld/mysqld.sock'",
        "",
        "mykeeper.toml:3:10: Error: neither `socket` nor `host` is given",
    );
    keeper("user", "port = 3306\nuser", "a socket has no port");
    keeper(
        "socket = '/run/mysqld/mysqld.sock'",
        "host = 'db:3307'",
        "write the host alone, and the port beside it",
    );
    keeper("socket = '/run/mysqld/mysqld.sock'", "host = '-db'", "is no host");
    keeper(
        "socket = '/run/mysqld/mysqld.sock'",
        "host = 'db'\nport = 0",
        "`port` cannot be 0",
    );
}

#[test]
fn a_password_comes_from_two_places_or_where_none_is_asked() {
    let both = "password_file = 'x'\npassword_credential = 'x'\nuser";
    keeper(
        "user",
        both,
        "mykeeper.toml:6:1: Error: the password is to come from two places",
    );
    keeper(
        "user",
        "password_credential = 'a/b'\nuser",
        "a credential is named",
    );
    keeper(
        "'/mnt/disk'",
        "'/mnt/disk'\npassword_file = 'x'",
        "only an rsync daemon asks for a password",
    );
    keeper(
        "state_dir",
        "catalog = { password_file = 'x' }\nstate_dir",
        "an SQLite catalog has no password",
    );
}

#[test]
fn two_servers_have_the_same_tag() {
    let more = "[servers.blog]\nhost = 'h'\nuser = 'u'\ntag = '国内'\n[servers.eu]\nhost = 'h'\nuser = 'u'\ntag = '国内'\n";
    let lines = Files::new(&format!("{KEEPER}{more}"), BACKUP).lines();
    assert_eq!(
        lines,
        [
            "mykeeper.toml:17:7: Error: the servers \"blog\" and \"eu\" have the same tag \"国内\" \
                        (give each its own tag: the catalog tells their sets apart by it)"
        ]
    );
    let by_name = "[servers.blog]\nhost = 'h'\nuser = 'u'\ntag = 'shop'\n";
    one(
        &format!("{KEEPER}{by_name}"),
        BACKUP,
        "have the same tag \"shop\"",
    );
}

#[test]
fn tls_that_checks_needs_something_to_check_against() {
    keeper(
        "user",
        "tls = { mode = 'verify-ca' }\nuser",
        "mykeeper.toml:5:16: Error: this mode checks",
    );
    keeper(
        "user",
        "tls = { mode = 'verify_identity', ca = 'x' }\nuser",
        "did you mean \"verify-identity\"?",
    );
    keeper("user", "tls = 'required'\nuser", "`tls` is a text");
}

#[test]
fn a_backup_directory_lies_among_the_sets_of_another_job() {
    let second = |directory: &str| {
        BACKUP
            .replace("nightly", "weekly")
            .replace("/data/sets", directory)
    };
    job(
        &second("/data/sets/2026-10-01/x"),
        "schedule.toml:14:13: Error: this folder lies among the sets of the backup job \"nightly\": /data/sets/2026-10-01",
    );
    is_sound(KEEPER, &format!("{BACKUP}{}", second("/data/sets/weekly")));
    is_sound(KEEPER, &format!("{BACKUP}{}", second("/data/sets")));
    is_sound(
        KEEPER,
        &format!("{BACKUP}{}", second("/data/setsmore/2026-10-01")),
    );
}

#[test]
fn our_own_folders_lie_inside_a_backup_directory() {
    keeper(
        "'/var/lib/mykeeper'",
        "'/data/sets/state'",
        "state_dir, /data/sets/state, lies inside",
    );
    keeper(
        "state_dir",
        "sandbox = { directory = '/data/sets' }\nstate_dir",
        "[sandbox] directory, /data/sets, lies inside",
    );
    let found = Files::new(KEEPER, &BACKUP.replace("/data/sets", "/var")).lines();
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(
        found[0].contains("state_dir, /var/lib/mykeeper, lies inside"),
        "{found:#?}"
    );
    assert!(
        found[1].contains("[sandbox] directory, /var/tmp, lies inside"),
        "{found:#?}"
    );
}

#[test]
fn a_local_destination_lies_inside_the_directory_that_is_sent_there() {
    let disk = BACKUP.replace("vault", "disk");
    for url in ["/data/sets", "/data/sets/copy", "/data/./sets//"] {
        one(
            &KEEPER.replace("/mnt/disk", url),
            &disk,
            "lies inside the directory of this job, /data/sets",
        );
    }
    is_sound(&KEEPER.replace("/mnt/disk", "/data"), &disk);
}

#[test]
fn urls_are_read_with_care() {
    for (url, expected) in [
        (
            "vault",
            "Error: \"vault\" is no destination (write rsync://user@host/module/path, user@host:/path or /a/local/path)",
        ),
        ("rsync://h", "is no destination (write "),
        ("s3://bucket/x", "is no destination"),
        ("rsync://h:x/m", "\"x\" is no port"),
        ("rsync://h/m/../x", "climbs out"),
    ] {
        keeper("rsync://u@h/m", url, expected);
    }
    for (url, expected) in [
        ("postgres://u@h/d", "this is no catalog's url"),
        ("mysql://h/d", "the url names no user"),
        ("mysql://u@/d", "the url names no host"),
        ("mysql://u@h", "the url names no database"),
        ("mysql://u@h:0/d", "port is no number from 1"),
        (
            "mysql://u@h/d?sockt=/x",
            "unknown parameter \"sockt\" (did you mean \"socket\"?)",
        ),
        ("sqlite::memory:", "gone with the process"),
        ("sqlite:", "names no file"),
        ("sqlite:../x", "climbs"),
    ] {
        keeper(
            "state_dir",
            &format!("catalog = {{ url = '{url}' }}\nstate_dir"),
            expected,
        );
    }
    keeper(
        "'rsync://u@h/m'",
        "'rsync://u@h/m'\nssh = {}",
        "`ssh` says how user@host:/path is reached",
    );
    keeper(
        "'rsync://u@h/m'",
        "'rsync://u@h/m'\nsource_address = 'eth0'",
        "\"eth0\" is no IP address",
    );
    keeper(
        "'rsync://u@h/m'",
        "'rsync://u@h/m'\nbandwidth_limit = '100 B/s'",
        "less than 1 KiB a second",
    );
}

#[test]
fn keys_in_the_wrong_place_are_shown_the_right_one() {
    keeper("user", "node = 'x'\nuser", "`node` belongs to the file's top");
    keeper(
        "user",
        "databases = ['x']\nuser",
        "`databases` belongs into [backup.NAME]",
    );
    keeper(
        "state_dir",
        "timezone = 'UTC'\nstate_dir",
        "`timezone` belongs into the schedule file",
    );
    backup(
        "server",
        "keep = { last = 1 }\nserver",
        "`keep` is a key of [retention.NAME]",
    );
    backup("server", "destination = 'vault'\nserver", "with `transfer_to`");
    job("[servers.x]\nuser = 'x'", "`servers` belongs into mykeeper.toml");
    job(
        "[backups.x]\ncron = 'x'",
        "unknown key \"backups\" here (did you mean `backup`?)",
    );
    retention("keep", "within = '31d'\nkeep", "write it inside `keep`");
    job("validation = 3", "unknown key \"validation\" in [backup.nightly]");
}

#[test]
fn rules_of_days_are_days() {
    for (by, expected) in [
        ("month_days = [0]", "a whole number from 1 to 31"),
        ("month_days = [1, 32]", "a whole number from 1 to 31"),
        ("month_days = []", "`month_days` names no day"),
        ("month_days = 1", "`month_days` is a number"),
        ("all_but_day = 0", "a whole number from 1 to"),
        ("failed = true", "`keep` keeps nothing"),
        ("last = 3, failed = 1", "`failed` is a number"),
        ("monht_days = [1]", "did you mean `month_days`?"),
    ] {
        let lines = Files::new(KEEPER, &format!("{BACKUP}{}", RETENTION.replace("last = 3", by))).lines();
        assert!(
            lines.iter().any(|line| line.contains(expected)),
            "{by}: {lines:#?}"
        );
    }
    retention("keep", "depth = 'deep'\nkeep", "\"day\"");
    let sound = RETENTION.replace("last = 3", "month_days = [1, 31], all_but_day = 2, failed = true");
    is_sound(KEEPER, &format!("{BACKUP}{sound}depth = 'day'\n"));
}

#[test]
fn a_name_that_many_hosts_have_is_told_where_they_share_a_catalog() {
    let keeper = |node: &str, url: &str| format!("node = '{node}'\ncatalog = {{ url = '{url}' }}\n{KEEPER}");
    let shared = "mysql://u@h/c";
    one(
        &keeper("localhost.localdomain", shared),
        BACKUP,
        "so may be that of other hosts",
    );
    is_sound(&keeper("db1", shared), BACKUP);
    is_sound(&keeper("localhost", "sqlite:catalog.db"), BACKUP);
}

#[test]
fn names_that_break_files_are_refused() {
    let more = "[servers.\"a/b\"]\nhost = 'h'\nuser = 'u'\n";
    one(
        &format!("{KEEPER}{more}"),
        BACKUP,
        "mykeeper.toml:10:10: Error: a name cannot hold '/'",
    );
    job(
        "[validation.\"a/b\"]\ncron = '@daily'",
        "schedule.toml:9:13: Error: a name cannot hold '/'",
    );
    job("[validation.\"\"]\ncron = '@daily'", "a name cannot be empty");
}

#[test]
fn a_relative_or_climbing_folder_is_refused() {
    backup("'/data/sets'", "'data/sets'", "`directory` is a relative path");
    backup("'/data/sets'", "'/data/../sets'", "climbs");
    backup("'/data/sets'", "'~/sets'", "which only a shell expands");
    keeper("'/var/lib/mykeeper'", "'state'", "`state_dir` is a relative path");
}

#[test]
fn a_limit_lets_at_least_one_through() {
    let limits = |text: &str, expected: &str| one(&format!("{KEEPER}\n[limits]\n{text}"), BACKUP, expected);
    limits("per_server = 0", "write a whole number from 1 to 64");
    limits(
        "per_destination = '2'",
        "a whole number from 1 to 64, without quotes",
    );
    limits("validation = 2", "did you mean `validations`?");
    is_sound(
        &format!("{KEEPER}\n[limits]\nper_server = 2\nvalidations = 64"),
        BACKUP,
    );
}
