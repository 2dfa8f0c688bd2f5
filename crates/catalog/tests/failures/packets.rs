//! Sets that are large: what is read of old ones, and what is said where the server does not take one.

use super::settings;
use super::throwaway::Server;
use mykeeper_catalog::{Catalog, CatalogError, open};
use mykeeper_domain::backup::Backup;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::inventory::{Coverage, DatabaseInventory};
use mykeeper_domain::manifest::Manifest;
use sqlx::Executor;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

/// Evidence from before it was compressed is read as it lies there; what a server refuses for its size names the
/// variable that says so.
#[tokio::test(flavor = "multi_thread")]
async fn old_evidence_is_read_and_a_packet_that_is_too_large_is_explained() {
    evidence_is_read_and_refused(&Server::mariadb().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_that_is_too_large_for_mysql_is_explained() {
    if let Some(server) = Server::mysql().await {
        evidence_is_read_and_refused(&server).await;
    }
}

async fn evidence_is_read_and_refused(server: &Server) {
    server.sql("mysql", "CREATE DATABASE catalog").await;
    let here = settings(server.url("root", "catalog"));
    let catalog = open(&here).await.unwrap();
    catalog.migrate().await.unwrap();
    let (backup, manifest, evidence) = set_of(2000, 0);
    assert!(
        catalog
            .insert_backup(&backup, &manifest, &evidence)
            .await
            .unwrap()
    );
    assert_eq!(
        catalog.evidence(backup.id).await.unwrap().as_ref(),
        Some(&evidence)
    );
    let mut session = server.session("catalog").await;
    let packed: i64 = sqlx::query_scalar("SELECT CAST(SUM(LENGTH(packed)) AS SIGNED) FROM mk_evidence_zstd")
        .fetch_one(&mut session)
        .await
        .unwrap();
    let text = serde_json::to_string(&evidence).unwrap();
    assert!(packed * 5 < text.len() as i64, "{packed} of {}", text.len());

    session.execute("DELETE FROM mk_evidence_zstd").await.unwrap();
    for (number, part) in text.as_bytes().chunks(100_000).enumerate() {
        sqlx::query("INSERT INTO mk_evidence (bk_id, part, json) VALUES (?, ?, ?)")
            .bind(backup.id.to_string())
            .bind(number as i64)
            .bind(std::str::from_utf8(part).unwrap())
            .execute(&mut session)
            .await
            .unwrap();
    }
    assert_eq!(
        catalog.evidence(backup.id).await.unwrap().as_ref(),
        Some(&evidence)
    );
    catalog.close().await;

    server.sql("mysql", "SET GLOBAL max_allowed_packet = 65536").await;
    let catalog = open(&here).await.unwrap();
    for longer in [0, LONGER] {
        assert_explained(&insert(catalog.as_ref(), (3000, longer)).await);
    }
}

async fn insert(catalog: &dyn Catalog, (files, longer): (usize, usize)) -> CatalogError {
    let (backup, manifest, evidence) = set_of(files, longer);
    let inserted = catalog.insert_backup(&backup, &manifest, &evidence).await;
    inserted.unwrap_err()
}

fn assert_explained(error: &CatalogError) {
    assert!(!error.is_away(), "waiting does not help: {error}");
    let error = error.to_string();
    assert!(
        error.contains("max_allowed_packet") && error.contains("65536") && error.contains("16M"),
        "{error}"
    );
}

/// The server's answer to a packet that is too large is lost where it hangs up while the packet is still being sent. A
/// stand-in does so each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_up_on_a_large_packet_is_not_taken_to_be_away() {
    let server = Server::mariadb().await;
    server.sql("mysql", "CREATE DATABASE catalog").await;
    let between = server.socket().with_extension("between");
    let listener = UnixListener::bind(&between).unwrap();
    let stand_in = tokio::spawn(hang_up_on_large(listener, server.socket()));
    let here = settings(format!(
        "mysql://root@localhost/catalog?socket={}",
        between.display()
    ));
    let catalog = open(&here).await.unwrap();
    catalog.migrate().await.unwrap();
    // It takes packets of that size by what it says: something else is wrong with it, and may pass.
    let away = insert(catalog.as_ref(), (600, 0)).await;
    assert!(away.is_away(), "{away}");
    server.sql("mysql", "SET GLOBAL max_allowed_packet = 65536").await;
    for longer in [0, LONGER] {
        assert_explained(&insert(catalog.as_ref(), (3000, longer)).await);
    }
    stand_in.abort();
}

/// Passes on what a client says packet by packet, up to the first that has more than 64 KiB.
async fn hang_up_on_large(listener: UnixListener, server: PathBuf) {
    let mut held = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let server = UnixStream::connect(&server).await.unwrap();
        held.spawn(async move {
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            let there = async {
                let mut head = [0; 4];
                while from_client.read_exact(&mut head).await.is_ok() {
                    let length = u32::from_le_bytes([head[0], head[1], head[2], 0]);
                    if length > 65_536 {
                        return;
                    }
                    let mut packet = head.to_vec();
                    packet.resize(4 + length as usize, 0);
                    from_client.read_exact(&mut packet[4..]).await.unwrap();
                    to_server.write_all(&packet).await.unwrap();
                }
            };
            tokio::select! {
                () = there => {}
                _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
            }
        });
    }
}

/// By so much longer names a statement goes into no socket's buffer as a whole.
const LONGER: usize = 400;

fn set_of(files: usize, longer: usize) -> (Backup, Manifest, Evidence) {
    let id = mykeeper_domain::BackupId::generate();
    let backup: Backup = serde_json::from_value(serde_json::json!({
        "id": id, "node": "n", "job": null, "run_id": null, "bk_server": "a", "tag": "shop",
        "started_at": "2026-11-20T04:00:00Z", "finished_at": "2026-11-20T04:10:00Z", "elapsed_seconds": 600,
        "databases": ["shop"], "complete": [true], "reason": null, "size_bytes": 1, "size_text": "1K", "dir": "/d",
        "consistency": null, "transfer_to": [], "transfer_started_at": null, "transfer_finished_at": null,
        "transfer_complete": "", "remote_dest": "", "master_status": "", "slave_status": "", "tool_version": "",
        "server_version": "", "pybackup_version": "", "command": "", "deletion": "none", "deletion_reason": null,
        "validate_status": "N/A", "manifest_blake3": null
    }))
    .unwrap();
    let manifest: Manifest = serde_json::from_value(serde_json::json!({
        "version": 1, "bk_id": id, "created_at": backup.finished_at,
        "files": (0..files).map(|number| serde_json::json!({
            "path": format!("shop.table{number}{}.sql", "x".repeat(longer)), "size_bytes": number, "blake3": "ab".repeat(32),
            "plain_bytes": number, "rows": number
        })).collect::<Vec<_>>()
    }))
    .unwrap();
    let tables: serde_json::Map<String, serde_json::Value> = (0..files)
        .map(|number| {
            (
                format!("table{number}"),
                serde_json::json!({ "engine": "InnoDB", "rows": number }),
            )
        })
        .collect();
    let evidence = serde_json::json!({
        "version": 1, "backup": backup, "consistency": "all", "coverage": Coverage::ALL,
        "inventory": { "databases": { "shop": DatabaseInventory::default() } }, "parts": [], "taken_at": backup.started_at
    });
    let mut evidence: Evidence = serde_json::from_value(evidence).unwrap();
    let shop = evidence.inventory.databases.get_mut("shop").unwrap();
    shop.tables = tables
        .into_iter()
        .map(|(name, table)| (name, serde_json::from_value(table).unwrap()))
        .collect();
    (backup, manifest, evidence)
}
