//! A catalog that pybackup has filled is taken over, rows and all, and pybackup goes on writing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod throwaway;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use mykeeper_catalog::{BackupFilter, Catalog, OpenCatalog, open};
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
use throwaway::MariaDb;

/// Of the documentation.
const USER_BACKUP: &str = "CREATE TABLE `user_backup` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `bk_id` varchar(36) NOT NULL,
  `bk_server` varchar(15) NOT NULL,
  `start_time` datetime NOT NULL,
  `end_time` datetime NOT NULL,
  `elapsed_time` int(11) NOT NULL,
  `backuped_db` varchar(2048) DEFAULT NULL,
  `is_complete` varchar(200) DEFAULT NULL,
  `bk_size` varchar(10) NOT NULL,
  `bk_dir` varchar(200) NOT NULL,
  `transfer_start` datetime DEFAULT NULL,
  `transfer_end` datetime DEFAULT NULL,
  `transfer_elapsed` int(11) DEFAULT NULL,
  `transfer_complete` varchar(20) NOT NULL,
  `remote_dest` varchar(200) NOT NULL,
  `master_status` varchar(200) NOT NULL,
  `slave_status` varchar(200) NOT NULL,
  `tool_version` varchar(200) NOT NULL,
  `server_version` varchar(200) NOT NULL,
  `pybackup_version` varchar(200) DEFAULT NULL,
  `bk_command` varchar(2048) DEFAULT NULL,
  `tag` varchar(200) NOT NULL DEFAULT 'N/A',
  `is_deleted` char(1) NOT NULL DEFAULT 'N',
  `validate_status` varchar(20) NOT NULL DEFAULT 'N/A',
  PRIMARY KEY (`id`),
  UNIQUE KEY `bk_id` (`bk_id`),
  KEY `idx_start_time` (`start_time`),
  KEY `idx_transfer_start` (`transfer_start`)
) ENGINE=InnoDB AUTO_INCREMENT=178 DEFAULT CHARSET=utf8;";

const USER_BACKUP_PATH: &str = "CREATE TABLE `user_backup_path` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `bk_server` varchar(15) NOT NULL,
  `remote_server` varchar(15) NOT NULL,
  `real_path` varchar(200) NOT NULL,
  `tag` varchar(200) NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=13 DEFAULT CHARSET=utf8;";

const USER_BACKUP_PATH_LATER: &str = "CREATE TABLE `user_backup_path` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `bk_server` varchar(15) NOT NULL,
  `remote_server` varchar(15) NOT NULL,
  `real_path` varchar(200) NOT NULL,
  `tag` varchar(200) NOT NULL,
  `is_offline` char(1) NOT NULL DEFAULT 'N',
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=21 DEFAULT CHARSET=utf8;";

const USER_RECOVER_INFO: &str = "CREATE TABLE `user_recover_info` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `bk_id` varchar(36) NOT NULL,
  `tag` varchar(200) NOT NULL DEFAULT 'N/A',
  `backup_path` varchar(2000) NOT NULL,
  `db` varchar(200) NOT NULL,
  `start_time` datetime NOT NULL,
  `end_time` datetime NOT NULL,
  `elapsed_time` int(11) NOT NULL,
  `recover_status` varchar(20) DEFAULT NULL,
  `validate_time` timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=27 DEFAULT CHARSET=utf8;";

/// Of pybackup's first versions.
const USER_BACKUP_FIRST: &str = "CREATE TABLE user_backup (
    id INT AUTO_INCREMENT NOT NULL PRIMARY KEY,
    bk_id CHAR(36) NOT NULL UNIQUE KEY,
    bk_server VARCHAR(15) NOT NULL,
    start_time DATETIME NOT NULL,
    end_time DATETIME NOT NULL,
    elapsed_time INT NOT NULL,
    backuped_db VARCHAR(200) NOT NULL,
    is_complete VARCHAR(30) NOT NULL,
    bk_size VARCHAR(10) NOT NULL,
    bk_dir VARCHAR(200) NOT NULL,
    transfer_start DATETIME,
    transfer_end DATETIME,
    transfer_elapsed INT,
    transfer_complete VARCHAR(20) NOT NULL,
    remote_dest VARCHAR(200) NOT NULL,
    master_status VARCHAR(200) NOT NULL,
    slave_status VARCHAR(200) NOT NULL,
    tool_version VARCHAR(200) NOT NULL,
    server_version VARCHAR(200) NOT NULL,
    bk_command VARCHAR(400) NOT NULL
) ENGINE=INNODB CHARACTER SET UTF8 COLLATE UTF8_GENERAL_CI;";

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

async fn adopt(server: &MariaDb, database: &str) -> Arc<dyn Catalog> {
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
    let server = MariaDb::start().await;
    for (database, paths) in [("later", USER_BACKUP_PATH_LATER), ("earlier", USER_BACKUP_PATH)] {
        for mode in [
            "",
            "STRICT_TRANS_TABLES,STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ANSI_QUOTES",
        ] {
            the_documented_tables(&server, &format!("{database}{}", mode.len()), paths, mode).await;
        }
    }
    the_first_tables(&server).await;
    tables_changed_by_the_site(&server).await;
    for collation in ["utf8mb4_unicode_ci", "utf8_bin", "gbk_bin", "latin1_general_cs"] {
        tables_of_another_collation(&server, collation).await;
    }
    unsigned_numbers_and_missing_values(&server).await;
}

async fn the_documented_tables(server: &MariaDb, database: &str, paths: &str, mode: &str) {
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

    let candidates = catalog
        .validation_candidates(Some(at("2017-11-01T00:00:00Z")), 10)
        .await
        .unwrap();
    assert_eq!(candidates, std::slice::from_ref(good));
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
        rebuilt_at: None,
    }
}

async fn pybackup_goes_on(server: &MariaDb, database: &str, mode: &str, catalog: &dyn Catalog) {
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
    assert_eq!(catalog.last_runs(&NodeName::new("n").unwrap()).await.unwrap(), []);
}

async fn the_first_tables(server: &MariaDb) {
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

/// Wider columns, comments, defaults, indexes and other character sets of the site's own.
async fn tables_changed_by_the_site(server: &MariaDb) {
    server.sql("mysql", "CREATE DATABASE site").await;
    server
        .sql(
            "site",
            &format!(
                "{USER_BACKUP}{USER_BACKUP_PATH}\
                 ALTER TABLE user_backup MODIFY bk_command LONGTEXT COLLATE utf8_bin COMMENT 'it''s \\\\ \"so\"', \
                 MODIFY bk_size varchar(100) CHARACTER SET gbk NOT NULL DEFAULT '零''s', \
                 MODIFY tag varchar(300) CHARACTER SET latin1 NOT NULL DEFAULT 'N/A', \
                 ADD INDEX site_dir (bk_dir), ADD INDEX site_tag (tag), ADD INDEX site_done (transfer_complete), \
                 ADD COLUMN remark varchar(20) DEFAULT 'x';\
                 ALTER TABLE user_backup_path ADD COLUMN is_offline tinyint NOT NULL DEFAULT 0;\
                 INSERT INTO user_backup_path VALUES (1, 'a', 'b', 'c', 'd', 1);"
            ),
        )
        .await;
    let catalog = adopt(server, "site").await;
    let mut session = server.session("site").await;
    let found = columns(&mut session, "user_backup").await;
    let column = |name: &str| &found.iter().find(|(column, _)| column == name).unwrap().1;
    assert_eq!(column("bk_command")[2..], ["longtext", "utf8mb4_bin"]);
    // gbk_chinese_ci has no counterpart of its name.
    assert_eq!(
        column("bk_size")[..],
        ["NO", "'零''s'", "varchar(100)", "utf8mb4_general_ci"]
    );
    assert_eq!(
        column("tag")[..],
        ["NO", "'N/A'", "varchar(300)", "utf8mb4_swedish_ci"]
    );
    assert_eq!(column("bk_dir")[2], "varchar(512)", "an index stands on it");
    assert_eq!(column("transfer_complete")[2], "varchar(512)");
    assert_eq!(column("remark")[2], "varchar(20)");
    let comment: String = sqlx::query_scalar(
        "SELECT COLUMN_COMMENT FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() \
         AND TABLE_NAME = 'user_backup' AND COLUMN_NAME = 'bk_command'",
    )
    .fetch_one(&mut session)
    .await
    .unwrap();
    assert_eq!(comment, "it's \\ \"so\"");
    assert!(catalog.paths().await.unwrap()[0].is_offline, "a number here");
}

fn our_own() -> (Backup, Manifest, Evidence) {
    let backup = Backup {
        id: BackupId::generate(),
        node: Some(NodeName::new("n").unwrap()),
        transfer_to: vec![DestinationName::new("vault").unwrap()],
        transfer_started_at: None,
        transfer_finished_at: None,
        transfer_complete: String::new(),
        ..as_documented()
    };
    let manifest = Manifest {
        version: FORMAT_VERSION,
        bk_id: backup.id,
        created_at: backup.finished_at,
        files: vec![],
    };
    let evidence = Evidence {
        version: FORMAT_VERSION,
        backup: backup.clone(),
        consistency: Consistency::All,
        coverage: Coverage::ALL,
        inventory: Inventory::default(),
        parts: vec![],
        taken_at: backup.started_at,
    };
    (backup, manifest, evidence)
}

/// Our tables are joined to the site's, whose collation is its own.
async fn tables_of_another_collation(server: &MariaDb, collation: &str) {
    let charset = collation.split('_').next().unwrap();
    server
        .sql(
            "mysql",
            &format!("CREATE DATABASE {collation} CHARACTER SET {charset} COLLATE {collation}"),
        )
        .await;
    let tables = [USER_BACKUP, USER_BACKUP_PATH, USER_RECOVER_INFO]
        .concat()
        .replace(
            "DEFAULT CHARSET=utf8;",
            &format!("DEFAULT CHARSET={charset} COLLATE={collation};"),
        );
    server.sql(collation, &tables).await;
    let catalog = adopt(server, collation).await;
    let mut session = server.session(collation).await;
    let of = async |session: &mut MySqlConnection, table: &str| {
        let found = columns(session, table).await;
        found.into_iter().find(|(name, _)| name == "bk_id").unwrap().1[3].clone()
    };
    assert_eq!(
        of(&mut session, "mk_delivery").await,
        of(&mut session, "user_backup").await,
        "otherwise no index serves the join"
    );

    let (backup, manifest, evidence) = our_own();
    let (node, vault) = (
        NodeName::new("n").unwrap(),
        DestinationName::new("vault").unwrap(),
    );
    assert!(
        catalog
            .insert_backup(&backup, &manifest, &evidence)
            .await
            .unwrap()
    );
    let pending = catalog.pending_transfers(&node, &vault, 9).await.unwrap();
    assert_eq!(pending, std::slice::from_ref(&backup), "{collation}");
    let transfer = Transfer {
        id: AttemptId::generate(),
        run_id: None,
        bk_id: backup.id,
        node: node.clone(),
        destination: vault.clone(),
        target: "/vault".into(),
        number: 1,
        purpose: TransferPurpose::Send,
        state: RunState::Running,
        reason: None,
        sent_bytes: None,
        started_at: backup.finished_at,
        finished_at: None,
    };
    catalog.start_transfer(&transfer, "/vault").await.unwrap();
    let end = RunEnd {
        state: RunState::Succeeded,
        reason: None,
        bk_id: None,
        finished_at: backup.finished_at,
    };
    assert!(catalog.finish_transfer(transfer.id, &end, Some(1)).await.unwrap());
    assert_eq!(catalog.pending_transfers(&node, &vault, 9).await.unwrap(), []);
    let due = catalog
        .due_verifications(&node, &vault, at("2026-01-01T00:00:00Z"), 9)
        .await
        .unwrap();
    assert_eq!(due.len(), 1, "{collation}");
    assert!(catalog.mark_deleting(backup.id, "x").await.unwrap());

    // Half way and once more.
    server
        .sql(collation, "DELETE FROM mk_migration WHERE version > 1")
        .await;
    adopt(server, collation).await;
}

async fn unsigned_numbers_and_missing_values(server: &MariaDb) {
    server.sql("mysql", "CREATE DATABASE positive").await;
    server
        .sql(
            "positive",
            &format!(
                "{USER_BACKUP}{USER_BACKUP_PATH_LATER}{USER_RECOVER_INFO}\
                 ALTER TABLE user_backup MODIFY id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, \
                 MODIFY elapsed_time INT UNSIGNED NOT NULL, MODIFY transfer_elapsed INT UNSIGNED DEFAULT NULL, \
                 CONVERT TO CHARACTER SET utf8mb4, ADD INDEX site_dir (bk_dir), ADD INDEX site_command (bk_command(9)), \
                 MODIFY bk_command TEXT;\
                 ALTER TABLE user_backup_path MODIFY id INT UNSIGNED NOT NULL AUTO_INCREMENT, \
                 MODIFY tag varchar(200) DEFAULT NULL, MODIFY remote_server varchar(15) DEFAULT NULL, \
                 MODIFY is_offline char(1) DEFAULT NULL;\
                 INSERT INTO user_backup_path VALUES (4294967295, 'a', NULL, 'c', NULL, NULL), (7, 'a', 'b', 'c', 'd', 'Y');{}\
                 UPDATE user_backup SET id = 5000000000, elapsed_time = 4294967295;",
                row(GOOD, "2017-11-15 17:31:20", "Y,Y,Y", "Y", "t")
            ),
        )
        .await;
    let catalog = adopt(server, "positive").await;
    let set = catalog.backup(GOOD.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(set.elapsed_seconds, 4_294_967_295);
    let filter = BackupFilter {
        limit: 9,
        ..Default::default()
    };
    assert_eq!(catalog.backups(&filter).await.unwrap(), [set]);
    let paths = catalog.paths().await.unwrap();
    assert_eq!(
        paths.iter().map(|path| path.id).collect::<Vec<_>>(),
        [7, 4_294_967_295]
    );
    assert_eq!((paths[1].remote_server.as_str(), paths[1].tag.as_str()), ("", ""));
    assert!(paths[0].is_offline && !paths[1].is_offline);

    let mut session = server.session("positive").await;
    let found = columns(&mut session, "user_backup").await;
    let kind = |name: &str| found.iter().find(|(column, _)| column == name).unwrap().1[2].as_str();
    // 200 characters of four bytes are not 512 characters.
    assert_eq!(kind("bk_dir"), "varchar(512)");
    assert_eq!(
        kind("bk_command"),
        "mediumtext",
        "an index of a part of it is none of the whole"
    );
}
