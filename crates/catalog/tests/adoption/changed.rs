//! Tables that are not as documented: a site has changed them.

use super::*;

/// Wider columns, comments, defaults, indexes and other character sets of the site's own.
pub(super) async fn tables_changed_by_the_site(server: &Server) {
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
    // MariaDB quotes what MySQL prints bare.
    let column = |name: &str| {
        let mut facts = found.iter().find(|(column, _)| column == name).unwrap().1.clone();
        facts[1] = facts[1].trim_matches('\'').replace("''", "'");
        facts
    };
    assert_eq!(column("bk_command")[2..], ["longtext", "utf8mb4_bin"]);
    // gbk_chinese_ci has no counterpart of its name.
    assert_eq!(
        column("bk_size")[..],
        ["NO", "零's", "varchar(100)", "utf8mb4_general_ci"]
    );
    assert_eq!(
        column("tag")[..],
        ["NO", "N/A", "varchar(300)", "utf8mb4_swedish_ci"]
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

/// Our tables are joined to the site's, whose collation is its own.
pub(super) async fn tables_of_another_collation(server: &Server, collation: &str) {
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
    let pending = async || {
        let page = catalog.pending_transfers(&node, &vault, (None, 9)).await;
        page.unwrap().sets
    };
    assert_eq!(pending().await, std::slice::from_ref(&backup), "{collation}");
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
    assert_eq!(pending().await, []);
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

pub(super) async fn unsigned_numbers_and_missing_values(server: &Server) {
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

pub(super) fn our_own() -> (Backup, Manifest, Evidence) {
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
        binary_log: None,
    };
    (backup, manifest, evidence)
}
