//! What pybackup did wrong, each done right.

use crate::Host;
use crate::away::{a_catalog_that_refuses_the_account_is_warned_of, the_row_waits_while_the_catalog_is_away};
use crate::host::Running;
use crate::nothing_begun::what_cannot_begin_leaves_its_row;
use crate::renamed::a_later_mydumper_is_given_its_own_words;
use mykeeper_e2e::{Binary, LIMIT, SecretWatch, secret_text, wait_until};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

const HOME: &str = "/data4/recover/pybackup";

/// Stands before mydumper: fails for the database `test` where a file says so, hangs where another does.
const STAND_IN: &str = r#"#!/bin/sh
case "$*" in
    *--version*|*--help*) exec /usr/bin/mydumper "$@" ;;
esac
here="${0%/*}/.."
[ -e "$here/hang" ] && exec sleep 1000
[ -e "$here/flood" ] && { i=0; while [ $i -lt 5000 ]; do i=$((i+1)); echo "** Message: line $i" >&2; done; }
case "$*" in
    *--database=test\ *|*--database=test) [ -e "$here/fail" ] && { /usr/bin/mydumper "$@"; exit 1; } ;;
esac
exec /usr/bin/mydumper "$@"
"#;

#[test]
fn what_fails_leaves_a_row_and_a_status_that_say_so() {
    let Some(host) = Host::or_skip() else { return };
    let stand_in = host.at("home/bin/mydumper");
    std::fs::write(&stand_in, STAND_IN).unwrap();
    std::fs::set_permissions(&stand_in, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (refused, set) = a_destination_refuses(&host);
    one_database_fails(&host);
    nothing_that_is_said_is_lost(&host);
    a_run_is_cut_off(&host);
    old_logs_go(&host);
    no_rsync_section(&host);
    two_runs_share_a_directory(&host);
    mistakes_touch_nothing(&host);
    what_cannot_begin_leaves_its_row(&host);
    a_later_mydumper_is_given_its_own_words(&host);
    the_row_waits_while_the_catalog_is_away(&host);
    a_catalog_that_refuses_the_account_is_warned_of(&host);
    it_was_tried_four_times(&host, refused, &set);
}

/// A transfer that goes on beside all that follows: nobody listens. Gives the set's bk_id once it is made.
fn a_destination_refuses(host: &Host) -> (Running, String) {
    let conf = host.at("data/backup_db/pybackup.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, text.replace(&host.dest(), "platform@127.0.0.1:9/vault/x")).unwrap();
    let running = host.start(
        "/data/backup_db",
        "./pybackup mydumper database=yourdb outputdir=/data/backup_db/2026-01-09",
    );
    let id = wait_until(LIMIT, "the set is made", || {
        let id = host
            .catalog()
            .value("SELECT bk_id FROM user_backup WHERE backuped_db = 'yourdb'");
        (!id.is_empty()).then_some(id)
    });
    (running, id)
}

/// Once, and three times more; what is left to do is told in pybackup's own words.
fn it_was_tried_four_times(host: &Host, refused: Running, id: &str) {
    refused.finish().assert_code(1).assert_says(&format!(
        "pybackup only-rsync --backup-dir=/data/backup_db/2026-01-09 --bk-id={id} --conf=/data/backup_db/pybackup.conf"
    ));
    let sql = format!("SELECT transfer_complete FROM user_backup WHERE bk_id = '{id}'");
    assert_eq!(host.catalog().value(&sql), "N,N,N,N");
    // The same words, once the way is free.
    let conf = host.at("data/backup_db/pybackup.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, text.replace("platform@127.0.0.1:9/vault/x", &host.dest())).unwrap();
    let again = format!("./pybackup only-rsync --backup-dir=/data/backup_db/2026-01-09 --bk-id={id}");
    host.run("/data/backup_db", &again).assert_code(0);
    assert_eq!(host.catalog().value(&sql), "N,N,N,N,Y");
}

/// All that a tool says is in the log, up to its last line.
fn nothing_that_is_said_is_lost(host: &Host) {
    std::fs::write(host.at("home/flood"), "").unwrap();
    host.run(
        HOME,
        "./pybackup.py mydumper database=fandb outputdir=/data4/recover/pybackup/2026-01-01 --no-rsync logfile=/data4/flood.log",
    )
    .assert_code(0);
    std::fs::remove_file(host.at("home/flood")).unwrap();
    let log = std::fs::read_to_string(host.at("data4/flood.log")).unwrap();
    let lines = (1..=5000)
        .filter(|line| log.contains(&format!("line {line}\n")))
        .count();
    assert_eq!(lines, 5000);
}

/// Size and position are read all the same, the others go their way, and the status is not 0.
fn one_database_fails(host: &Host) {
    std::fs::write(host.at("home/fail"), "").unwrap();
    let ended = host.run(
        HOME,
        "./pybackup.py mydumper outputdir=/data4/recover/pybackup/2026-01-01 compress",
    );
    std::fs::remove_file(host.at("home/fail")).unwrap();
    ended.assert_code(1).assert_says("test");
    let row = host.newest_row();
    assert_eq!(
        row["backuped_db"],
        "fandb,test,union_log_ad_201710_db,union_log_ad_201711_db"
    );
    assert_eq!(row["is_complete"], "Y,N,Y,Y", "{row:#?}");
    assert!(
        row["bk_size"].ends_with('K') && row["master_status"].starts_with("mysql-bin."),
        "{row:#?}"
    );
    assert!(
        row["reason"].contains("test") && row["bk_dir"].ends_with("/2026-01-01"),
        "{row:#?}"
    );
    assert_eq!(row["transfer_complete"], "Y", "{row:#?}");
    let copy = host
        .vault
        .vault()
        .join("106.3.130.84/2026-01-01")
        .join(&row["bk_id"]);
    assert!(copy.join("union_log_ad_201711_db/metadata").is_file());
    // What did not go its way then can be sent by the words that its message names.
    std::fs::remove_dir_all(&copy).unwrap();
    let again = format!(
        "./pybackup.py only-rsync --backup-dir={} --bk-id={} --log-file=rsync.log",
        row["bk_dir"], row["bk_id"]
    );
    host.run(HOME, &again).assert_code(0);
    assert!(copy.join("union_log_ad_201711_db/metadata").is_file());
    let after = host.row_of(&format!("bk_id = '{}'", row["bk_id"]));
    assert_eq!(
        (after["is_complete"].as_str(), after["transfer_complete"].as_str()),
        ("Y,N,Y,Y", "Y,Y"),
        "{after:#?}"
    );
}

/// Its row is there before it begins, and says what became of it.
fn a_run_is_cut_off(host: &Host) {
    std::fs::write(host.at("home/hang"), "").unwrap();
    let running = host.start(
        HOME,
        "./pybackup.py mydumper outputdir=/data4/recover/pybackup/2026-01-02",
    );
    let id = wait_until(LIMIT, "the dump is recorded as under way", || {
        let sql = "SELECT bk_id FROM mk_attempt a WHERE state = 'running' AND bk_id IS NOT NULL";
        let id = host.catalog().value(sql);
        (!id.is_empty() && host.at("data4/recover/pybackup/2026-01-02").join(&id).is_dir()).then_some(id)
    });
    drop(running);
    std::fs::remove_file(host.at("home/hang")).unwrap();
    host.run(
        HOME,
        "./pybackup.py mydumper database=fandb outputdir=/data4/recover/pybackup/2026-01-02",
    )
    .assert_code(0);
    let sql =
        format!("SELECT is_complete, transfer_complete, tag, bk_dir FROM user_backup WHERE bk_id = '{id}'");
    let row = host.catalog().query(&sql).remove(0);
    // One for each database that was asked for, as pybackup has it.
    assert_eq!(row[..3], ["N,N,N", "Backup failed", "国内平台从1"], "{row:?}");
    assert_eq!(row[3], "/data4/recover/pybackup/2026-01-02", "{row:?}");
}

/// Also where no daemon ever runs.
fn old_logs_go(host: &Host) {
    let logs = || {
        host.run(
            "/",
            &format!(
                "find {} -name '*.log' -path '*/runs/*'",
                host.at("state").display()
            ),
        )
        .said
    };
    let some = logs();
    let mut logs_by_age: Vec<&str> = some.lines().collect();
    logs_by_age.sort_unstable();
    // The very first is that of the transfer that goes on, and still writes.
    let (oldest, newest) = (logs_by_age[1], logs_by_age[logs_by_age.len() - 1]);
    host.run("/", &format!("touch -d '91 days ago' {oldest}"))
        .assert_code(0);
    host.run(
        HOME,
        "./pybackup.py mydumper database=fandb outputdir=/data4/recover/pybackup/2026-01-02 --no-rsync",
    )
    .assert_code(0);
    let left = logs();
    assert!(!left.contains(oldest) && left.contains(newest), "{left}");
}

fn no_rsync_section(host: &Host) {
    // As rsync does, a file that its group may read is taken, and one that all may is not: the dump is made all the same.
    let secrets = host.at("data4/rsync.sec");
    for (mode, code, sent) in [(0o640, 0, "Y"), (0o644, 1, "N")] {
        std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(mode)).unwrap();
        host.run(
            HOME,
            "./pybackup.py mydumper database=fandb outputdir=/data4/recover/pybackup/2026-01-03",
        )
        .assert_code(code)
        .assert_says("chmod 600");
        let row = host.newest_row();
        assert_eq!(
            (row["is_complete"].as_str(), row["transfer_complete"].as_str()),
            ("Y", sent),
            "{row:#?}"
        );
    }
    std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(0o600)).unwrap();
    let conf = host.at("data4/recover/pybackup/pybackup.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, text.replace("[rsync]", "[none]")).unwrap();
    host.run(
        HOME,
        "./pybackup.py mydumper database=fandb outputdir=/data4/recover/pybackup/2026-01-03",
    )
    .assert_code(0);
    assert_eq!(host.newest_row()["transfer_complete"], "N/A (local backup)");
    std::fs::write(&conf, text).unwrap();
}

/// Each makes and sends a set of its own, and no part of the other's.
fn two_runs_share_a_directory(host: &Host) {
    let before = host.rows();
    let dump = |database: &str| {
        let line =
            format!("./pybackup mydumper database={database} outputdir=/data4/recover/pybackup/2026-01-04");
        host.start(HOME, &line)
    };
    for running in [dump("fandb"), dump("test")] {
        running.finish().assert_code(0);
    }
    assert_eq!(host.rows(), before + 2);
    let sets = host
        .catalog()
        .query("SELECT bk_id, backuped_db, transfer_complete FROM user_backup ORDER BY id DESC LIMIT 2");
    let day = host.vault.vault().join("106.3.130.84/2026-01-04");
    assert_eq!(std::fs::read_dir(&day).unwrap().count(), 2);
    for set in sets {
        assert_eq!(set[2], "Y");
        assert!(
            day.join(&set[0]).join(&set[1]).join("metadata").is_file(),
            "{set:?}"
        );
    }
}

fn mistakes_touch_nothing(host: &Host) {
    let rows = host.rows();
    std::fs::create_dir(host.at("data4/recover/pybackup/empty")).unwrap();
    for (words, said) in [
        (
            "mydumper outputdir=/data4/x database=fandb thread=8",
            "did you mean \\\"threads\\\"",
        ),
        ("mydumper database=fandb", "outputdir"),
        (
            "mydumper outputdir=/data4/gone/x database=fandb",
            "create what is above it",
        ),
        (
            "mydumper outputdir=/data4/x database=fandb csv",
            "cannot be given",
        ),
        ("only-rsync --backup-dir=/nowhere", "/nowhere"),
        ("only-rsync", "holds the passwords in"),
        (
            "only-rsync --backup-dir=/data4/recover/pybackup/empty",
            "holds no set",
        ),
        ("mark-del --bk-id=x", "x"),
    ] {
        let ended = host.run(HOME, &format!("./pybackup {words}"));
        assert!(
            matches!(ended.code, Some(2 | 3)),
            "{words}: {:?} {}",
            ended.code,
            ended.said
        );
        ended.assert_says(&said.replace('\\', ""));
    }
    assert_eq!(host.rows(), rows);
}

#[test]
fn a_consistent_set_gives_each_database_its_own_files_and_fails_with_any_of_them() {
    let Some(host) = Host::or_skip() else { return };
    // Names that begin as others do, and one whose dot would match anything.
    // And one that is called as the file of the whole set is.
    for database in ["test_2", "test.eu", "testxeu", "metadata"] {
        host.server.sql(&format!(
            "CREATE DATABASE `{database}`; USE `{database}`; CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (7)"
        ));
    }
    host.write_conf(
        "data4/recover/pybackup",
        "db_consistency=True  --0.7.0新增option",
        "",
    );
    let conf = host.at("data4/recover/pybackup/pybackup.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    // The system's own database among them, which pybackup could not restore.
    let list = "db_list=!catalogdb,!union\\_log% ";
    std::fs::write(&conf, text.replace("db_list=test,fandb,union_log_ad_% ", list)).unwrap();
    host.run(
        HOME,
        "./pybackup.py mydumper outputdir=/data4/recover/pybackup/2026-01-01 triggers routines events",
    )
    .assert_code(0);
    let row = host.newest_row();
    assert_eq!(
        (row["is_complete"].as_str(), row["consistency"].as_str()),
        ("Y", "all"),
        "{row:#?}"
    );
    assert_eq!(
        row["backuped_db"],
        "fandb,metadata,mysql,test,test.eu,testxeu,test_2,yourdb"
    );
    let set = host.at("data4/recover/pybackup/2026-01-01").join(&row["bk_id"]);
    for database in row["backuped_db"].split(',') {
        let folder = set.join(database);
        let names: Vec<String> = std::fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert!(names.contains(&"metadata".to_owned()), "{database}: {names:?}");
        for name in names.iter().filter(|name| *name != "metadata") {
            let own = name
                .strip_prefix(database)
                .unwrap_or_else(|| panic!("{database} has {name}"));
            assert!(
                own.starts_with("-schema") || (own.starts_with('.') && !own.starts_with(".eu")),
                "{database} has {name}"
            );
        }
    }
    let copies = format!("{}/106.3.130.84/", host.vault.vault().display());
    host.server.sql(&format!(
        "SET NAMES utf8mb4; INSERT INTO catalogdb.user_backup_path (bk_server, remote_server, real_path, tag) VALUES \
         ('a', 'b', '{copies}', '国内平台从1')"
    ));
    let validate = format!(
        "./pybackup.py validate-backup --log-file=validate.log --bk_id={}",
        row["bk_id"]
    );
    host.run(HOME, &validate).assert_code(0);
    // A crontab's call goes by while another goes on; who asks for one set is told that it was not tried.
    let busy = format!(
        "exec 9> \"$(find {} -name 'pybackup validate-backup.lock')\" && flock -n 9 && ./pybackup.py validate-backup \
         --log-file=validate.log",
        host.at("state").display()
    );
    host.run(HOME, &busy)
        .assert_code(0)
        .assert_says("another validation goes on");
    host.run(HOME, &format!("{busy} --bk_id={}", row["bk_id"]))
        .assert_code(3)
        .assert_says("is not tried");
    let proven = |status: &str| {
        let sql = format!(
            "SELECT GROUP_CONCAT(DISTINCT db ORDER BY db COLLATE utf8mb4_general_ci) FROM user_recover_info WHERE recover_status = '{status}'"
        );
        host.catalog().value(&sql)
    };
    assert_eq!(proven("sucess"), row["backuped_db"]);
    assert_eq!(host.newest_row()["validate_status"], "passed");
    // One database of many does not come back, from no copy: the set does not.
    let copy = host
        .vault
        .vault()
        .join("106.3.130.84/2026-01-01")
        .join(&row["bk_id"]);
    for lies in [&copy, &set] {
        std::fs::remove_file(lies.join("test.eu/test.eu.t.sql")).unwrap();
    }
    host.run(HOME, &validate).assert_code(1).assert_says("test.eu");
    assert_eq!(host.newest_row()["validate_status"], "failed");
    assert_eq!(proven("failed"), "test.eu");
}

/// `MYKEEPER_TEST_MYDUMPER=/path/to/mydumper`: one of 0.16 or later, beside the installed one.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test may be run with another mydumper"
)]
fn a_newer_mydumper_is_called_in_its_own_words_and_its_sets_come_back() {
    let Some(newer) = std::env::var_os("MYKEEPER_TEST_MYDUMPER") else {
        eprintln!("SKIPPED: MYKEEPER_TEST_MYDUMPER names no mydumper of 0.16 or later");
        return;
    };
    let Some(host) = Host::or_skip() else { return };
    std::os::unix::fs::symlink(newer, host.at("home/bin/mydumper")).unwrap();
    for (day, tdb) in [("2026-02-01", ""), ("2026-02-02", "db_consistency=True")] {
        host.write_conf("data4/recover/pybackup", tdb, "");
        let line = format!(
            "./pybackup.py mydumper outputdir=/data4/recover/pybackup/{day} verbose=3 compress threads=2 triggers events \
             routines use-savepoints"
        );
        let ended = host.run(HOME, &line);
        assert!(matches!(ended.code, Some(0 | 4)), "{}", ended.said);
        let row = host.newest_row();
        assert_eq!(
            row["backuped_db"],
            "fandb,test,union_log_ad_201710_db,union_log_ad_201711_db"
        );
        assert!(
            !row["is_complete"].contains('N') && row["transfer_complete"] == "Y",
            "{row:#?}"
        );
        assert!(row["master_status"].starts_with("mysql-bin."), "{row:#?}");
        assert!(!row["tool_version"].contains(" 0.10"), "{row:#?}");
        let copies = format!("{}/106.3.130.84/", host.vault.vault().display());
        host.server.sql(&format!(
            "SET NAMES utf8mb4; DELETE FROM catalogdb.user_backup_path; INSERT INTO catalogdb.user_backup_path \
             (bk_server, remote_server, real_path, tag) VALUES ('a', 'b', '{copies}', '国内平台从1')"
        ));
        let validate = format!(
            "./pybackup.py validate-backup --log-file=validate.log --bk_id={}",
            row["bk_id"]
        );
        host.run(HOME, &validate).assert_code(0);
        assert_eq!(host.newest_row()["validate_status"], "passed");
    }
}

#[test]
fn a_password_is_out_of_sight_at_once_and_reaches_no_child() {
    let Some(host) = Host::or_skip() else { return };
    let secret = secret_text("command line");
    let unusual = secret.rsplit(' ').next().unwrap().to_owned();
    host.server.account("keeper", &secret, "ALL ON *.*");
    let output = host.at("data4/said");
    let said = std::fs::File::create(&output).unwrap();
    let mut child = Command::new(Binary::find().path())
        .arg0(host.at("data4/recover/pybackup/pybackup.py"))
        .arg("mydumper")
        .arg(format!("password={secret}"))
        .args(["user=keeper", "host=127.0.0.1", "database=fandb", "--no-rsync"])
        .arg(format!("port={}", host.server.port()))
        .arg(format!("outputdir={}", host.at("data4/x").display()))
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("STATE_DIRECTORY", host.at("state"))
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said)
        .spawn()
        .unwrap();
    let line = || std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    wait_until(LIMIT, "the password is out of sight", || {
        let text = String::from_utf8_lossy(&line()).into_owned();
        (text.contains("password=supersecrect") && !text.contains(&unusual)).then_some(())
    });
    let watch = SecretWatch::start(vec![unusual.clone()]);
    assert!(
        child.wait().unwrap().success(),
        "{}",
        std::fs::read_to_string(&output).unwrap()
    );
    let (looks, seen) = watch.finish();
    assert!(
        looks > 5 && seen.is_empty(),
        "{looks} looks, seen in the process table: {seen:#?}"
    );
    let row = host.newest_row();
    assert!(
        row["bk_command"].starts_with("mydumper --password=supersecrect --user=keeper"),
        "{row:#?}"
    );
    for dump in [
        "SELECT * FROM user_backup",
        "SELECT * FROM mk_run",
        "SELECT * FROM mk_attempt",
    ] {
        assert!(
            !format!("{:?}", host.catalog().query(dump)).contains(&unusual),
            "{dump}"
        );
    }
    for folder in ["state", "data4"] {
        let found = host.run(
            "/",
            &format!("grep -rlF -e '{unusual}' {}", host.at(folder).display()),
        );
        found.assert_code(1);
    }
}
