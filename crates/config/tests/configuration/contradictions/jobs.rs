//! Of one job alone.

use super::*;

#[test]
fn a_cron_expression_never_fires_or_cannot_be_read() {
    backup(
        "0 4 * * *",
        "0 0 30 2 *",
        "never fires (there is no such day in any year)",
    );
    backup("0 4 * * *", "0 4 * *", "it has 4 fields");
    backup("0 4 * * *", "0 25 * * *", "cannot be read");
    backup("0 4 * * *", "@nightly", "cannot be read");
}

#[test]
fn a_retention_job_looks_where_no_backup_job_writes() {
    retention(
        "/data/sets",
        "/data/set",
        "Warning: no backup job of this file writes where the retention job \"prune\" looks (did you mean \"/data/sets\"?",
    );
    is_sound(KEEPER, &RETENTION.replace("/data/sets", "/received"));
    is_sound(
        KEEPER,
        &format!("{BACKUP}{}", RETENTION.replace("/data/sets", "/data")),
    );
}

#[test]
fn a_transfer_job_serves_a_destination_that_nothing_is_sent_to() {
    job(
        "[transfer.t]\ncron = '@daily'\ndestination = 'disk'",
        "Warning: no backup job of this file sends to \"disk\"",
    );
    // What is wrong with a job's folder says nothing of where it sends, or of what writes elsewhere.
    let transfer = "[transfer.t]\ncron = '@daily'\ndestination = 'vault'";
    let other = BACKUP.replace("nightly", "hourly").replace("/data", "data");
    let moved = BACKUP.replace("transfer_to = ['vault']", "");
    let prune = RETENTION.replace("/data/sets", "/received");
    one(
        KEEPER,
        &format!("{moved}{other}{transfer}{prune}"),
        "`directory` is a relative path",
    );
}

#[test]
fn two_destinations_of_one_place_are_refused_in_one_job_and_told_of_in_two() {
    let with = |other: &str| format!("{KEEPER}[destinations.vault2]\nurl = '{other}'\n");
    let both = BACKUP.replace("['vault']", "['vault', 'vault2']");
    for url in ["rsync://u@h/m", "rsync://u@H:873//m/"] {
        one(
            &with(url),
            &both,
            "\"vault2\" and \"vault\" are one place: rsync://u@",
        );
    }
    for url in ["/mnt/disk/", "//mnt/./disk"] {
        one(
            &with(url),
            &BACKUP.replace("['vault']", "['disk', 'vault2']"),
            "\"vault2\" and \"disk\" are one place: /mnt/disk",
        );
    }
    is_sound(&with("rsync://u@h/m/2"), &both);
    is_sound(&with("rsync://v@h/m"), &both);

    let other = BACKUP
        .replace("nightly", "weekly")
        .replace("['vault']", "'vault2'");
    let told = "Warning: \"vault2\" and \"vault\", which another job names, are one place: rsync://u@h/m";
    one(&with("rsync://u@h/m"), &format!("{BACKUP}{other}"), told);
    let transfer = "[transfer.t]\ncron = '@daily'\ndestination = 'vault2'";
    let lines = Files::new(&with("rsync://u@h/m"), &format!("{BACKUP}{transfer}")).lines();
    assert!(lines.iter().any(|line| line.contains(told)), "{lines:#?}");
}

#[test]
fn a_policy_that_keeps_nothing_is_refused() {
    retention("{ last = 3 }", "{}", "every set would be condemned");
    retention("keep = { last = 3 }", "", "[retention.prune] has no `keep`");
    for count in ["0", "-1", "'al'", "true", "99999999999"] {
        retention("3", count, "write how many are kept, 1 or more, or \"all\"");
    }
    retention("last = 3", "lsat = 3, last = 3", "did you mean `last`?");
    retention(
        "directory = '/data/sets'",
        "directory = 'data/sets'",
        "`directory` is a relative path",
    );
}

#[test]
fn nothing_is_tried_at_all_or_put_off_past_the_next_time() {
    backup(
        "server",
        "retry = { attempts = 0 }\nserver",
        "`attempts` cannot be 0",
    );
    backup(
        "server",
        "jitter = '2d'\nserver",
        "a jitter of 2days is longer than the 1day between two slots",
    );
    backup("server", "timeout = '0s'\nserver", "`timeout` cannot be zero");
    backup(
        "server",
        "retry = 5\nserver",
        "write retry = { attempts = 5, delay = \"5m\" }",
    );
    backup(
        "server",
        "timeout = '10m'\nstall = '20m'\nserver",
        "Warning: a stall of 20m never comes before the timeout",
    );
    is_sound(KEEPER, &BACKUP.replace("server =", "jitter = '24h'\nserver ="));
    one(
        KEEPER,
        &BACKUP
            .replace("0 4 * * *", "0 4,5 * * MON")
            .replace("server =", "jitter = '2h'\nserver ="),
        "the 1h between two slots",
    );
}

#[test]
fn an_assertion_is_one_select() {
    let with = |sql: &str| {
        format!("[validation.v]\ncron = '@daily'\nassert = [{{ database = 'shop', sql = \"{sql}\" }}]")
    };
    job(
        &with("DELETE FROM orders"),
        "schedule.toml:11:38: Error: `sql` is not one SELECT: it begins with DELETE",
    );
    job(&with("SELECT 1; SELECT 2"), "something follows the semicolon");
    job(&with(""), "there is no statement in it");
    is_sound(KEEPER, &format!("{BACKUP}{}", with("SELECT 1;")));
    job(
        "[validation.v]\ncron = '@daily'\nassert = [{ sql = 'SELECT 1' }]",
        "has no `database`",
    );
    let bare = "[validation.v]\ncron = '@daily'\nassert = ['SELECT 1']";
    job(bare, "write { database = \"shop\", sql = ");
    job("[validation.v]\ncron = '@daily'\ntags = []", "`tags` is empty");
}

#[test]
fn options_of_mydumper_are_checked_one_by_one() {
    let with = |options: &str| BACKUP.replace("server", &format!("mydumper = {options}\nserver"));
    for (options, expected) in [
        (
            "['compres']",
            "schedule.toml:4:13: Error: mydumper has no option \"compres\" (did you mean \"compress\"?)",
        ),
        (
            "['--compress']",
            "options are written without dashes (write \"compress\")",
        ),
        ("['threads']", "the option \"threads\" needs a number"),
        ("['threads=many']", "needs a number, not \"many\""),
        ("['threads 8']", "there is a space"),
        ("['triggers=1']", "the option \"triggers\" takes no value"),
        ("['where']", "the option \"where\" needs a value"),
        ("['compress=']", "nothing follows the \"=\""),
        ("['compress', 'compress']", "stands here twice"),
        (
            "['host=10.0.0.1']",
            "mykeeper decides about mydumper's option \"host\" itself ([servers.NAME] says where",
        ),
        ("['outputdir=/x']", "`directory`"),
        ("['regex=x']", "`databases`"),
        ("['daemon']", "`cron`"),
        (
            "['load-data']",
            "sets are checked and proven as files of SQL statements",
        ),
        ("['no-data']", "Warning: with \"no-data\" the sets hold no rows"),
        ("['hots=x']", "did you mean \"host\"?"),
        ("'compress'", "`mydumper` is a text"),
        ("[8]", "an item of `mydumper` is a number"),
    ] {
        one(KEEPER, &with(options), expected);
    }
    is_sound(KEEPER, &with("[]"));
}

#[test]
fn a_lock_budget_needs_a_mydumper_that_speaks() {
    let with = |more: &str| format!("{BACKUP}{more}");
    one(
        KEEPER,
        &with("lock_budget = '30s'\nmydumper = ['verbose=2']\n"),
        "with so little \"verbose\" mydumper does not say when it has the lock",
    );
    is_sound(KEEPER, &with("lock_budget = '30s'\nmydumper = ['verbose=3']\n"));
    one(
        KEEPER,
        &with("lock_budget = '0s'\n"),
        "`lock_budget` cannot be zero: every dump would be ended as soon as it has its lock",
    );
    one(
        KEEPER,
        &format!("{RETENTION}lock_budget = '30s'\n"),
        "`lock_budget` is a key of [backup.NAME]",
    );
}

#[test]
fn either_mydumper_or_the_job_goes_about_long_queries() {
    let with = |more: &str| format!("{BACKUP}{more}");
    one(
        KEEPER,
        &with("long_queries = 'wait'\nmydumper = ['kill-long-queries']\n"),
        "mydumper's option \"kill-long-queries\" and `long_queries` both say what is done about long queries",
    );
    is_sound(KEEPER, &with("mydumper = ['long-query-guard=600']\n"));
    // It only says how often mydumper's own guard looks again, which is out of reach.
    is_sound(
        KEEPER,
        &with("mydumper = ['long-query-retries=5']\nlong_queries = 'wait'\n"),
    );
    one(KEEPER, &with("long_queries = 'kill'\n"), "long_queries");
}

#[test]
fn either_mydumper_or_mykeeper_compresses() {
    let with = |more: &str| format!("{BACKUP}{more}");
    for compression in ["gzip", "zstd", "none"] {
        one(
            KEEPER,
            &with(&format!(
                "compression = '{compression}'\nmydumper = ['compress']\n"
            )),
            "mydumper's option \"compress\" and `compression` both say how files are compressed (take \"compress\" out",
        );
        is_sound(
            KEEPER,
            &with(&format!(
                "compression = '{compression}'\nmydumper = ['triggers']\n"
            )),
        );
    }
    is_sound(
        KEEPER,
        &with("compression = 'mydumper'\nmydumper = ['compress']\n"),
    );
    is_sound(
        KEEPER,
        &with("compression = 'mydumper'\nmydumper = ['compress=ZSTD']\nchunk = '1 GiB'\n"),
    );
    one(KEEPER, &with("compression = 'gzipp'\n"), "did you mean \"gzip\"?");
    is_sound(KEEPER, &with("compression = 'zstd'\nlevel = 19\nchunk = 'off'\n"));
    one(
        KEEPER,
        &with("compression = 'gzip'\nlevel = 13\n"),
        "a whole number from 1 to 12",
    );
    for neither in ["compression = 'none'\n", "mydumper = ['compress']\n"] {
        one(
            KEEPER,
            &with(&format!("{neither}level = 3\n")),
            "`level` is of compression = \"gzip\" or \"zstd\", and neither compresses here",
        );
    }
    one(
        KEEPER,
        &with("chunk = '512 KiB'\n"),
        "`chunk` is smaller than 1 MiB",
    );
    for cut in ["rows=1000", "chunk-filesize=10"] {
        is_sound(KEEPER, &with(&format!("mydumper = ['{cut}']\n")));
        is_sound(KEEPER, &with(&format!("chunk = 'off'\nmydumper = ['{cut}']\n")));
        one(
            KEEPER,
            &with(&format!("chunk = '64 MiB'\nmydumper = ['{cut}']\n")),
            "and `chunk` both say how tables are cut",
        );
    }
}

#[test]
fn checksums_are_asked_of_all_tables_of_small_ones_or_of_none() {
    let with = |more: &str| format!("{BACKUP}{more}");
    for limit in ["all", "off", "64 MiB", "0 B"] {
        is_sound(KEEPER, &with(&format!("checksum = '{limit}'\n")));
    }
    for wrong in ["'some'", "true", "7"] {
        one(KEEPER, &with(&format!("checksum = {wrong}\n")), "\"all\"");
    }
    one(
        KEEPER,
        &format!("{RETENTION}checksum = 'all'\n"),
        "`checksum` is a key of [backup.NAME]",
    );
}

#[test]
fn what_must_stay_free_is_a_size_or_off() {
    let with = |more: &str| format!("{BACKUP}{more}");
    for size in ["0 B", "500 GB", "500GB", "1.5 GiB", "off"] {
        is_sound(KEEPER, &with(&format!("reserve = '{size}'\n")));
    }
    for wrong in ["'none'", "0", "false"] {
        one(KEEPER, &with(&format!("reserve = {wrong}\n")), "or \"off\"");
    }
    one(
        KEEPER,
        &format!("{RETENTION}reserve = '1 GiB'\n"),
        "`reserve` is a key of [backup.NAME]",
    );
}

#[test]
fn what_is_never_looked_at_is_not_read_either() {
    let transfer = "[transfer.t]\ncron = '@daily'\ndestination = 'vault'\n";
    job(
        &format!("{transfer}verify = true\nverify_every = 'never'"),
        "contradicts verify_every",
    );
    job(&format!("{transfer}verify = 'yes'"), "true or false");
    let validation = "[validation.v]\ncron = '@daily'\n";
    job(
        &format!("{validation}verify_every = '1d'"),
        "does nothing here without verify = true",
    );
    is_sound(
        KEEPER,
        &format!("{BACKUP}{transfer}verify_every = 'never'\n{validation}verify = true\nverify_every = '1d'"),
    );
    backup(
        "transfer_to",
        "verify = true\ntransfer_to",
        "`verify` is a key of [transfer.NAME] and of [validation.NAME]",
    );
    keeper(
        "user = 'backup'",
        "user = 'backup'\nproven_within = '0s'",
        "proven_within",
    );
    keeper(
        "[servers.shop]",
        "[daemon]\nlease = '1s'\n[servers.shop]",
        "`lease` is too short",
    );
}

#[test]
fn a_proof_at_once_needs_a_validation_job_that_would_choose_the_set() {
    let at_once = BACKUP.replace("server =", "prove = 'immediately'\nserver =");
    one(KEEPER, &at_once, "there is no validation job in this file");
    let of_tag = |tags: &str| format!("{at_once}[validation.prove]\ncron = '@hourly'\n{tags}\n");
    is_sound(KEEPER, &of_tag(""));
    is_sound(KEEPER, &of_tag("tags = ['other', 'shop']"));
    one(
        KEEPER,
        &of_tag("tags = ['other']"),
        "no validation job of this file has \"shop\" among its `tags`",
    );
    // The one with the mistake may be the one that is meant.
    one(KEEPER, &of_tag("assert = 5"), "`assert`");
    backup("server", "prove = 'later'\nserver", "immediately");
}

#[test]
fn a_step_that_is_larger_than_its_field_is_a_warning_and_one_that_fills_it_is_none() {
    retention(
        "'@daily'",
        "'*/99 * * * *'",
        "Warning: the minute \"*/99\" comes at 0 alone: a step of 99 is more than the 60 from 0 to 59 (write a smaller step",
    );
    is_sound(
        KEEPER,
        &format!("{BACKUP}{}", RETENTION.replace("'@daily'", "'*/60 * * * *'")),
    );
}
