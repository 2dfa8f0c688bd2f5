//! The two example scripts of the documentation, as they are printed there.

use crate::Host;
use crate::row::Holds::{Text, True};
use crate::row::assert_whole_row;
use mykeeper_e2e::{LIMIT, wait_until};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const OLD: &str = "0883fd06-e033-11e7-88ad-00163e0e2396";
const GONE: &str = "0883fd06-e033-11e7-88ad-00163e0e2397";
const MARKED: &str = "0883fd06-e033-11e7-88ad-00163e0e2398";

fn write_script(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_example_scripts_run_unchanged() {
    let Some(mut host) = Host::or_skip() else { return };
    write_script(
        &host.at("data/backup_db/pybackup.sh"),
        include_str!("scripts/pybackup.sh"),
    );
    write_script(
        &host.at("data/scripts/bin/validate_backup.sh"),
        include_str!("scripts/validate_backup.sh"),
    );
    a_backup_whose_transfer_fails_at_first(&mut host);
    let row = host.newest_row();
    // The documentation's own row, twice: what pybackup then restored twice, or fell over.
    let path = |real_path: &str, tag: &str| {
        host.server.sql(&format!(
            "SET NAMES utf8mb4; INSERT INTO catalogdb.user_backup_path (bk_server, remote_server, real_path, tag) VALUES \
             ('120.27.138.23', '106.3.10.8', '{real_path}', '{tag}')"
        ));
    };
    let vault = format!("{}/106.3.130.84/", host.vault.vault().display());
    path(&vault, "国内平台从1");
    path(&vault, "国内平台从1");
    validate(&host);
    proven(
        &host,
        &row["bk_id"],
        &[
            "fandb",
            "test",
            "union_log_ad_201710_db",
            "union_log_ad_201711_db",
        ],
    );

    a_set_that_pybackup_made(&host);
    path("/data2/backup/db_backup/101.37.174.13/", "国内平台主2");
    // Sent once more by hand, as by a person whose backup host was lost.
    host.run(
        "/data/backup_db",
        &format!("./pybackup.py only-rsync --backup-dir=/data2/backup/db_backup/101.37.174.13 --bk-id={OLD}"),
    )
    .assert_code(0);
    let sent = host.catalog().query(&format!(
        "SELECT transfer_complete, remote_dest FROM user_backup WHERE bk_id = '{OLD}'"
    ));
    assert_eq!(sent, [["Y,Y".to_owned(), format!("{}/", host.dest())]]);
    validate(&host);
    proven(&host, OLD, &["fandb", "test"]);
    let log = std::fs::read_to_string(host.at("data/scripts/log/validate.log")).unwrap();
    assert!(log.contains(&row["bk_id"]) && log.contains(OLD), "{log}");
    // Nothing is left to be proven, which is no failure.
    validate(&host);
    assert_eq!(
        host.catalog().value("SELECT COUNT(*) FROM user_recover_info"),
        "6"
    );
    for id in [GONE, MARKED] {
        let status = format!("SELECT validate_status FROM user_backup WHERE bk_id = '{id}'");
        assert_eq!(host.catalog().value(&status), "N/A", "{id}");
    }
}

fn a_backup_whose_transfer_fails_at_first(host: &mut Host) {
    host.vault.stop();
    let script = "/data/backup_db/pybackup.sh>> /data/backup_db/pybackup_sh.log 2>&1";
    let running = host.start("/", script);
    wait_until(LIMIT, "a transfer has failed", || {
        let sql = "SELECT COUNT(*) FROM user_backup WHERE transfer_complete LIKE 'N%'";
        (host.rows() > 0 && host.catalog().value(sql) != "0").then_some(())
    });
    host.vault.start_again();
    let ended = running.finish();
    let log = std::fs::read_to_string(host.at("data/backup_db/pybackup_sh.log")).unwrap();
    assert_eq!(ended.code, Some(0), "{log}");
    let row = host.newest_row();
    let sent = &row["transfer_complete"];
    assert!(sent.starts_with("N,") && sent.ends_with(",Y"), "{row:#?}");
    let day = host
        .server
        .value("SELECT DATE(UTC_TIMESTAMP() + INTERVAL 8 HOUR)");
    let dir = format!("/data/backup_db/{day}");
    let command = format!(
        "mydumper --password=supersecrect --user=root --socket=/data/mysql/mysql.sock --outputdir={dir} --verbose=3 \
         --compress --threads=8 --triggers --events --routines --use-savepoints --logfile=/data/backup_db/pybackup.log \
         database=fandb,test,union_log_ad_201710_db,union_log_ad_201711_db"
    );
    let own = [
        (
            "backuped_db",
            Text("fandb,test,union_log_ad_201710_db,union_log_ad_201711_db"),
        ),
        ("is_complete", Text("Y,Y,Y,Y")),
        ("bk_dir", Text(&dir)),
        ("bk_command", Text(&command)),
        ("transfer_complete", Text(sent)),
        // The pauses between attempts are no transfer.
        (
            "transfer_elapsed",
            True("transfer_elapsed BETWEEN 0 AND TIMESTAMPDIFF(SECOND, transfer_start, transfer_end)"),
        ),
    ];
    assert_whole_row(host, &row, &[&own]);
    assert!(
        host.vault
            .vault()
            .join("106.3.130.84")
            .join(&day)
            .join(&row["bk_id"])
            .is_dir()
    );
    assert!(!log.contains("papapa"), "{log}");
}

fn validate(host: &Host) {
    let line = "/data/scripts/bin/validate_backup.sh >> /data/scripts/log/validate_backup.log 2>&1";
    let ended = host.run("/", line);
    let log = std::fs::read_to_string(host.at("data/scripts/log/validate_backup.log")).unwrap();
    assert_eq!(ended.code, Some(0), "{log}");
}

fn proven(host: &Host, id: &str, databases: &[&str]) {
    let catalog = host.catalog();
    let status = catalog.value(&format!(
        "SELECT validate_status FROM user_backup WHERE bk_id = '{id}'"
    ));
    assert_eq!(status, "passed");
    let rows = catalog.query(&format!(
        "SELECT db, recover_status, tag = (SELECT tag FROM user_backup b WHERE b.bk_id = '{id}'), elapsed_time >= 0, \
         ABS(TIMESTAMPDIFF(MINUTE, end_time, UTC_TIMESTAMP() + INTERVAL 8 HOUR)) < 10 \
         FROM user_recover_info WHERE bk_id = '{id}' ORDER BY db"
    ));
    let expected: Vec<Vec<String>> = databases
        .iter()
        .map(|database| [database, "sucess", "1", "1", "1"].map(str::to_owned).to_vec())
        .collect();
    assert_eq!(rows, expected, "each database once");
}

/// Two databases, each with a mydumper of its own, and a row that knows nothing of mykeeper's columns.
fn a_set_that_pybackup_made(host: &Host) {
    let day = host
        .server
        .value("SELECT DATE(UTC_TIMESTAMP() + INTERVAL 8 HOUR)");
    let set = format!("/data2/backup/db_backup/101.37.174.13/{day}/{OLD}");
    for database in ["fandb", "test"] {
        host.run(
            "/",
            &format!(
                "mkdir -p {set} && mydumper --user=root --password=papapa --socket=/data/mysql/mysql.sock \
                 --database={database} --outputdir={set}/{database} --compress --routines --threads=1"
            ),
        )
        .assert_code(0);
    }
    let row = |id: &str, deleted: &str| {
        host.server.sql(&format!(
            "USE catalogdb; SET NAMES utf8mb4; INSERT INTO user_backup (bk_id, bk_server, start_time, end_time, elapsed_time, \
             backuped_db, is_complete, bk_size, bk_dir, transfer_complete, remote_dest, master_status, slave_status, \
             tool_version, server_version, pybackup_version, bk_command, tag, is_deleted) VALUES ('{id}', '101.37.174.13', \
             '{day} 00:00:01', '{day} 00:00:02', 1, 'fandb,test', 'Y,Y', '8.0K', '/data/backup_db/{day}', 'Y', 'x', 'm', \
             'Not a slave', 'mydumper 0.9.2', '5.7.18-log', '0.10.13', 'mydumper', '国内平台主2', '{deleted}')"
    ));
    };
    row(OLD, "N");
    // One that somebody has removed, one that is marked and still there: pybackup fell over both.
    row(GONE, "N");
    row(MARKED, "Y");
    let folder = |id: &str| set.replace(OLD, id);
    host.run("/", &format!("cp -a {set} {}", folder(MARKED)))
        .assert_code(0);
}
