//! A catalog that pybackup has filled is taken over, rows and all, and pybackup goes on writing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod changed;
mod tables;
#[path = "../throwaway/mod.rs"]
mod throwaway;

use changed::{tables_changed_by_the_site, tables_of_another_collation, unsigned_numbers_and_missing_values};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mykeeper_catalog::{BackupFilter, Catalog, OpenCatalog, WaitingScope, open};
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::inventory::{Coverage, Inventory};
use mykeeper_domain::job::Consistency;
use mykeeper_domain::manifest::{FORMAT_VERSION, Manifest};
use mykeeper_domain::run::{RunEnd, RunState};
use mykeeper_domain::transfer::{Transfer, TransferPurpose};
use mykeeper_domain::{AttemptId, BackupId, DestinationName, NodeName};
use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, Executor, Row};
use std::path::PathBuf;
use std::sync::Arc;
use tables::{USER_BACKUP, USER_BACKUP_FIRST, USER_BACKUP_PATH, USER_BACKUP_PATH_LATER, USER_RECOVER_INFO};
use throwaway::Server;

const GOOD: &str = "bcd36dc6-c9e7-11e7-9e30-005056b15d9c";

/// As pybackup writes it: all of its own columns and none of ours.
fn row(bk_id: &str, start: &str, complete: &str, transfer: &str, tag: &str) -> String {
    format!(
        "INSERT INTO user_backup(bk_id,bk_server,start_time,end_time,elapsed_time,backuped_db,is_complete,bk_size,\
         bk_dir,transfer_start,transfer_end,transfer_elapsed,transfer_complete,remote_dest,master_status,slave_status,\
         tool_version,server_version,pybackup_version,bk_command,tag) VALUES ('{bk_id}','106.3.130.84','{start}',\
         '{start}',47.48,'fandb,test,日志_库','{complete}','480M','/data4/recover/pybackup/2017-11-15',\
         '2017-11-15 17:32:07.120001','2017-11-15 17:33:36',89.2,'{transfer}',\
         'platform@182.92.83.238/db_backup/106.3.130.84/','mysql-bin.000036,61286,','Not a slave',\
         'mydumper 0.9.2, built against MySQL 5.5.53','5.7.18-log','pybackup 0.10.13',\
         'mydumper --password=supersecrect',  '{tag}');"
    )
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

async fn adopt(server: &Server, database: &str) -> Arc<dyn Catalog> {
    let settings = OpenCatalog {
        url: server.url("root", database),
        password: None,
        timezone: Tz::Asia__Shanghai,
        create: false,
    };
    let catalog = open(&settings).await.unwrap();
    let status = catalog.migrate().await.unwrap();
    assert_eq!(status.applied, status.latest);
    catalog
}

/// Every value of every column that was there, in text.
async fn contents(
    session: &mut MySqlConnection,
    table: &str,
    columns: &[String],
) -> Vec<Vec<Option<String>>> {
    let list: Vec<_> = columns
        .iter()
        .map(|column| format!("CAST(`{column}` AS CHAR)"))
        .collect();
    let sql = format!("SELECT {} FROM {table} ORDER BY id", list.join(", "));
    let rows: Vec<MySqlRow> = session.fetch_all(AssertSqlSafe(sql)).await.unwrap();
    rows.iter()
        .map(|row| (0..columns.len()).map(|at| row.get(at)).collect())
        .collect()
}

/// Column to (nullable, default, type, collation).
async fn columns(session: &mut MySqlConnection, table: &str) -> Vec<(String, [String; 4])> {
    let rows: Vec<MySqlRow> = session
        .fetch_all(AssertSqlSafe(format!(
            "SELECT COLUMN_NAME, IS_NULLABLE, IFNULL(COLUMN_DEFAULT, ''), COLUMN_TYPE, IFNULL(COLLATION_NAME, '') \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}' \
             ORDER BY ORDINAL_POSITION"
        )))
        .await
        .unwrap();
    rows.iter()
        .map(|row| (row.get(0), [row.get(1), row.get(2), row.get(3), row.get(4)]))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pybackup_wrote_is_adopted() {
    all_is_adopted(&Server::mariadb().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pybackup_wrote_is_adopted_on_mysql() {
    if let Some(server) = Server::mysql().await {
        all_is_adopted(&server).await;
    }
}

/// As a person fills in pybackup's tables: a value for each of their columns, and nothing of ours.
async fn written_by_hand(server: &Server, database: &str, paths: usize) {
    let set = "INSERT INTO user_backup VALUES (9001, '99999999-c9e7-11e7-9e30-005056b15d9c', '1.2.3.4', \
               '2017-11-15 17:31:20', '2017-11-15 17:31:21', 1, 'fandb', 'Y', '1K', '/x', NULL, NULL, NULL, 'Y', 'd', 'm', \
               's', 't', 'v', 'p', 'c', 'hand', 'N', 'N/A')";
    let path = match paths {
        5 => "INSERT INTO user_backup_path VALUES (9001, '1.2.3.4', '5.6.7.8', '/data2/x/', 'hand')",
        _ => "INSERT INTO user_backup_path VALUES (9001, '1.2.3.4', '5.6.7.8', '/data2/x/', 'hand', 'N')",
    };
    let proof = "INSERT INTO user_recover_info VALUES (9001, 'x', 'hand', '/data2/x/', 'fandb', '2017-11-15 17:31:20', \
                 '2017-11-15 17:31:21', 1, 'sucess', '2017-12-25 15:33:18')";
    server.sql(database, &format!("{set};{path};{proof}")).await;
    let mut session = server.session(database).await;
    for (table, columns) in [
        ("user_backup", 24),
        ("user_backup_path", paths),
        ("user_recover_info", 10),
    ] {
        let sql = format!("SELECT * FROM {table} WHERE id = 9001");
        let row = session.fetch_one(AssertSqlSafe(sql)).await.unwrap();
        assert_eq!(row.len(), columns, "{database}.{table}");
    }
    // mydumper names the columns of a table that has a generated one, and else leaves out those that are not seen.
    for table in ["user_backup", "user_backup_path"] {
        let sql = format!(
            "SELECT CAST(SUM(EXTRA LIKE '%INVISIBLE%') AS SIGNED), CAST(SUM(EXTRA LIKE '%GENERATED%') AS SIGNED) \
             FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}'"
        );
        let row = session.fetch_one(AssertSqlSafe(sql)).await.unwrap();
        let (unseen, generated): (i64, i64) = (row.get(0), row.get(1));
        assert!(unseen == 0 || generated > 0, "{database}.{table}");
    }
    let delete = ["user_backup", "user_backup_path", "user_recover_info"]
        .map(|table| format!("DELETE FROM {table} WHERE id = 9001"))
        .join(";");
    server.sql(database, &delete).await;
}

async fn a_fresh_catalog(server: &Server) {
    server.sql("mysql", "CREATE DATABASE fresh").await;
    let catalog = adopt(server, "fresh").await;
    written_by_hand(server, "fresh", 5).await;
    // What is not seen can be written and read by name.
    server
        .sql(
            "fresh",
            "INSERT INTO user_backup_path (bk_server, remote_server, real_path, tag, is_offline) VALUES ('a', 'b', '/c', \
             't', 'Y')",
        )
        .await;
    assert!(catalog.paths().await.unwrap()[0].is_offline);
}

async fn all_is_adopted(server: &Server) {
    a_fresh_catalog(server).await;
    for (database, paths) in [("later", USER_BACKUP_PATH_LATER), ("earlier", USER_BACKUP_PATH)] {
        for mode in [
            "",
            "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ANSI_QUOTES",
        ] {
            the_documented_tables(server, &format!("{database}{}", mode.len()), paths, mode).await;
        }
    }
    the_first_tables(server).await;
    tables_changed_by_the_site(server).await;
    for collation in ["utf8mb4_unicode_ci", "utf8_bin", "gbk_bin", "latin1_general_cs"] {
        tables_of_another_collation(server, collation).await;
    }
    unsigned_numbers_and_missing_values(server).await;
}

async fn the_documented_tables(server: &Server, database: &str, paths: &str, mode: &str) {
    server
        .sql(
            "mysql",
            &format!("CREATE DATABASE {database}; SET GLOBAL sql_mode = '{mode}'"),
        )
        .await;
    server
        .sql(database, &format!("{USER_BACKUP}{paths}{USER_RECOVER_INFO}"))
        .await;
    let odd = format!(
        "SET sql_mode = '';{}{}{}{}",
        row(
            "0883fd06-e033-11e7-88ad-00163e0e2396",
            "0000-00-00 00:00:00",
            "",
            "",
            "国内平台从1"
        ),
        row("no uuid at all", "2017-11-16 04:00:00", "Y", "Y", "N/A"),
        row(
            "0883FD06-E033-11E7-88AD-00163E0E2397",
            "2017-11-17 04:00:00",
            "Y,N,Y",
            "N/A (local backup)",
            "N/A"
        ),
        "UPDATE user_backup SET backuped_db = NULL, is_complete = NULL, is_deleted = 'Y', \
         transfer_start = NULL WHERE bk_id LIKE '%2397';",
    );
    server
        .sql(
            database,
            &format!(
                "{}{odd}INSERT INTO user_backup_path (bk_server, remote_server, real_path, tag) VALUES \
                 ('120.27.138.23', '106.3.10.8', '/data1/backup/db_backup/120.27.138.23/', '国内平台从1');\
                 INSERT INTO user_recover_info(tag, bk_id, backup_path, db, start_time, end_time, elapsed_time, \
                 recover_status, validate_time) VALUES ('国内平台从1', '{GOOD}', '/data2/x/', 'dadian', \
                 '2017-12-25 15:11:36.480263', '2017-12-25 15:33:17', 1300.812471, 'sucess', '2017-12-25 15:33:18');",
                row(GOOD, "2017-11-15 17:31:20", "Y,Y,Y", "Y", "国内平台从1")
            ),
        )
        .await;

    let mut session = server.session(database).await;
    let tables = ["user_backup", "user_backup_path", "user_recover_info"];
    let mut before = Vec::new();
    for table in tables {
        let columns = columns(&mut session, table).await;
        let names: Vec<_> = columns.iter().map(|(name, _)| name.clone()).collect();
        let rows = contents(&mut session, table, &names).await;
        before.push((table, columns, names, rows));
    }
    let catalog = adopt(server, database).await;
    for (table, old_columns, names, rows) in &before {
        assert_eq!(
            contents(&mut session, table, names).await,
            *rows,
            "no value has changed"
        );
        let new_columns = columns(&mut session, table).await;
        for (old, new) in old_columns.iter().zip(&new_columns) {
            assert_eq!(
                (&old.0, &old.1[0], &old.1[1]),
                (&new.0, &new.1[0], &new.1[1]),
                "order, nullable, default"
            );
            assert_eq!(
                old.1[3].replace("utf8mb3", "utf8mb4"),
                new.1[3].replace("utf8mb3", "utf8mb4")
            );
        }
        for (name, [nullable, default, ..]) in &new_columns[old_columns.len()..] {
            assert!(
                nullable == "YES" || !default.is_empty(),
                "{table}.{name} could not be left out"
            );
        }
    }

    let is_later = paths == USER_BACKUP_PATH_LATER;
    written_by_hand(server, database, if is_later { 6 } else { 5 }).await;
    the_rows_are_read(catalog.as_ref()).await;
    pybackup_goes_on(server, database, mode, catalog.as_ref()).await;
}

async fn the_rows_are_read(catalog: &dyn Catalog) {
    let listed = catalog
        .backups(&BackupFilter {
            limit: 100,
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(listed.len(), 3, "all but the one whose bk_id is none");
    let [deleted, good, timeless] = listed.as_slice() else {
        panic!()
    };
    assert_eq!(*good, as_documented());
    assert_eq!(
        catalog.backup(GOOD.parse().unwrap()).await.unwrap().as_ref(),
        Some(good)
    );
    assert_eq!(
        good.started_at,
        at("2017-11-15T09:31:20Z"),
        "Shanghai's wall clock"
    );
    assert!(good.is_complete() && good.is_transferred());

    assert_eq!(
        (deleted.deletion, deleted.is_complete()),
        (Deletion::Deleted, false)
    );
    assert_eq!((deleted.databases.len(), deleted.transfer_started_at), (0, None));
    assert!(!deleted.is_transferred());
    assert_eq!(
        (timeless.started_at, timeless.is_complete()),
        (DateTime::UNIX_EPOCH, false)
    );

    let since = WaitingScope {
        reach: None,
        tags: vec![],
        since: Some(at("2017-11-01T00:00:00Z")),
        newest_first: true,
    };
    let candidates = catalog.validation_candidates(&since, None, 10).await.unwrap();
    assert_eq!(candidates.sets, std::slice::from_ref(good));
    let by_tag = BackupFilter {
        tag: Some("国内平台从1".into()),
        limit: 9,
        ..Default::default()
    };
    assert_eq!(catalog.backups(&by_tag).await.unwrap().len(), 2);
    assert_eq!(catalog.evidence(good.id).await.unwrap(), None);
    let path = catalog.paths().await.unwrap().remove(0);
    assert_eq!((path.tag.as_str(), path.is_offline), ("国内平台从1", false));
    assert_eq!(catalog.add_path(&path).await.unwrap(), path.id);
}

fn as_documented() -> Backup {
    Backup {
        id: GOOD.parse::<BackupId>().unwrap(),
        node: None,
        job: None,
        run_id: None,
        bk_server: "106.3.130.84".into(),
        tag: "国内平台从1".into(),
        started_at: at("2017-11-15T09:31:20Z"),
        finished_at: at("2017-11-15T09:31:20Z"),
        elapsed_seconds: 47,
        databases: vec!["fandb".into(), "test".into(), "日志_库".into()],
        complete: vec![true, true, true],
        reason: None,
        size_bytes: None,
        size_text: "480M".into(),
        dir: PathBuf::from("/data4/recover/pybackup/2017-11-15"),
        consistency: None,
        transfer_to: vec![],
        transfer_started_at: Some(at("2017-11-15T09:32:07Z")),
        transfer_finished_at: Some(at("2017-11-15T09:33:36Z")),
        transfer_complete: "Y".into(),
        remote_dest: "platform@182.92.83.238/db_backup/106.3.130.84/".into(),
        master_status: "mysql-bin.000036,61286,".into(),
        slave_status: "Not a slave".into(),
        tool_version: "mydumper 0.9.2, built against MySQL 5.5.53".into(),
        server_version: "5.7.18-log".into(),
        pybackup_version: "pybackup 0.10.13".into(),
        command: "mydumper --password=supersecrect".into(),
        deletion: Deletion::None,
        deletion_reason: None,
        validate_status: ValidateStatus::NotTried,
        manifest_blake3: None,
        lock_waited_ms: None,
        lock_held_ms: None,
        original_gone_at: None,
        begun_by_catalog_at: None,
        arrived: Vec::new(),
        removed_from: Vec::new(),
        rebuilt_at: None,
        selected_by: None,
    }
}

async fn pybackup_goes_on(server: &Server, database: &str, mode: &str, catalog: &dyn Catalog) {
    let id = "11111111-c9e7-11e7-9e30-005056b15d9c";
    // Over 100 databases, and a server that is no IPv4 address: what used to overflow.
    let many = vec!["Y"; 150].join(",");
    server
        .sql(
            database,
            &format!(
                "SET NAMES utf8; SET sql_mode = '{mode}';{}\
                 UPDATE user_backup SET bk_server = '2001:0db8:85a3:0000:0000:8a2e:0370:7334' WHERE bk_id = '{id}';\
                 UPDATE user_backup SET transfer_complete = 'N,N,N,N,N,N,N,N,N,N,N,N,Y' WHERE bk_id = '{id}';\
                 UPDATE user_backup SET is_deleted = 'Y' WHERE bk_id IN ('{GOOD}', 'metadata');\
                 UPDATE user_backup SET validate_status = 'passed' WHERE bk_id = '{id}';\
                 INSERT INTO user_recover_info(tag, bk_id, backup_path, db, start_time, end_time, elapsed_time, \
                 recover_status) VALUES ('x', '{id}', '/data2/x/', 'dadian', '2017-12-25 15:11:36.480263', \
                 '2017-12-25 15:33:17', 1300.812471, 'sucess');",
                row(id, "2018-01-01 04:00:00.5", &many, "Y", "国内平台主2")
            ),
        )
        .await;
    let written = catalog.backup(id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(
        (written.complete.len(), written.validate_status),
        (150, ValidateStatus::Passed)
    );
    assert_eq!(
        (written.deletion, written.tag.as_str()),
        (Deletion::None, "国内平台主2")
    );
    assert!(written.is_transferred());
    let good: BackupId = GOOD.parse().unwrap();
    assert_eq!(
        catalog.backup(good).await.unwrap().unwrap().deletion,
        Deletion::Deleted,
        "mark-del did it"
    );
    assert!(!catalog.mark_deleting(good, "x").await.unwrap());

    // pybackup's own question.
    let mut session = server.session(database).await;
    let question = "select count(*) from user_backup a, user_backup_path b where a.tag = b.tag \
                    and is_complete not like '%N%' and transfer_complete = 'Y' and a.tag = '国内平台从1'";
    let count: i64 = sqlx::query_scalar(question)
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(count, 1);
    assert_eq!(
        catalog
            .last_runs(&NodeName::new("n").unwrap(), DateTime::<Utc>::MAX_UTC)
            .await
            .unwrap(),
        []
    );
}

async fn the_first_tables(server: &Server) {
    server.sql("mysql", "CREATE DATABASE first").await;
    let insert = format!(
        "INSERT INTO user_backup VALUES (7, '{GOOD}', '1.2.3.4', '2017-11-15 17:31:20', '2017-11-15 17:31:21', 1, \
         'fandb', 'Y', '1K', '/x', NULL, NULL, NULL, 'Y', 'd', 'm', 's', 't', 'v', 'c');"
    );
    server.sql("first", &format!("{USER_BACKUP_FIRST}{insert}")).await;
    let catalog = adopt(server, "first").await;
    let set = catalog.backup(GOOD.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(
        (set.tag.as_str(), set.deletion, set.validate_status),
        ("N/A", Deletion::None, ValidateStatus::NotTried)
    );
    assert!(
        catalog
            .mark_deleted(set.id, "x", at("2026-01-01T00:00:00Z"))
            .await
            .unwrap()
    );
}
