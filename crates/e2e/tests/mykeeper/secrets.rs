//! No password ever reaches a command line, an environment, a log or the catalog.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::{ALL, NEVER, backup_job};
use mykeeper_e2e::*;
use std::path::Path;

#[test]
fn no_password_is_ever_seen() {
    let (shop_pw, vault_pw, catalog_pw) = (secret_text("shop"), secret_text("vault"), secret_text("catalog"));
    let source = MariaDb::with_sample();
    let keeper = MariaDb::start();
    keeper.sql("CREATE DATABASE catalogdb");
    keeper.account("keeper", &catalog_pw, "ALL ON catalogdb.*");
    let vault = RsyncDaemon::start(&vault_pw);
    let workspace = Workspace::new();
    let catalog_file = workspace.password_file("catalog", &catalog_pw);
    workspace.write_keeper(&format!(
        "[catalog]\nurl = \"mysql://keeper@127.0.0.1:{}/catalogdb\"\npassword_file = \"{}\"\n\n{}{}",
        keeper.port(),
        catalog_file.display(),
        workspace.server("shop", &source, &shop_pw),
        workspace.destination("vault", &vault.url(vault.port(), "db1"), &vault_pw)
    ));
    workspace.write_schedule(&format!(
        "{}[validation.prove]\ncron = \"{NEVER}\"\n\n[transfer.catch-up]\ncron = \"{NEVER}\"\ndestination = \"vault\"\n",
        backup_job("nightly", ALL, "transfer_to = \"vault\"")
    ));

    // The unusual part of each is enough to know it by, however it is quoted.
    let secrets = [shop_pw, vault_pw, catalog_pw];
    let parts: Vec<String> = secrets
        .iter()
        .map(|secret| secret.rsplit(' ').next().unwrap().to_owned())
        .collect();
    let watch = SecretWatch::start(parts.clone());
    let mut daemon = workspace.daemon();
    let mut said = String::new();
    for words in [
        &["check"][..],
        &["run", "nightly"],
        &["run", "prove"],
        &["run", "catch-up"],
        &["backups"],
    ] {
        let finished = workspace.mykeeper(words);
        finished.assert_code(0);
        said.push_str(&finished.said());
    }
    // And when each of them is wrong.
    for name in ["shop", "vault"] {
        workspace.password_file(name, &format!("wrong {}", parts[0]));
        let failed = workspace.mykeeper(&["run", "nightly"]);
        failed.assert_code(1);
        said.push_str(&failed.said());
        workspace.password_file(name, if name == "shop" { &secrets[0] } else { &secrets[1] });
    }
    assert_eq!(daemon.stop(), Some(0));
    let (looks, seen) = watch.finish();
    assert!(looks > 50, "only {looks} looks");
    assert!(seen.is_empty(), "seen in the process table: {seen:#?}");

    for part in &parts {
        assert!(!said.contains(part), "a command has said a password:\n{said}");
        assert!(!daemon.log().contains(part), "the daemon's log has a password");
        assert!(
            !vault.log().contains(part),
            "the backup host's log has a password"
        );
    }
    let dump = keeper.query("SELECT CONCAT('SELECT * FROM catalogdb.', table_name) FROM information_schema.tables WHERE table_schema = 'catalogdb'");
    for table in dump.concat() {
        let rows = format!("{:?}", keeper.query(&table));
        for part in &parts {
            assert!(!rows.contains(part), "a password stands in the catalog: {table}");
        }
    }
    for folder in [workspace.at("state"), workspace.sets(), vault.vault()] {
        assert_clean(&folder, &parts);
    }
}

fn assert_clean(folder: &Path, secrets: &[String]) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            assert_clean(&path, secrets);
        } else if let Ok(bytes) = std::fs::read(&path) {
            for secret in secrets {
                let found = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
                assert!(!found, "{} holds a password", path.display());
            }
        }
    }
}
