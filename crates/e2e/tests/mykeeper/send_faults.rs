//! What goes wrong on the way to the destination, and what arrives all the same.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::{ALL, NEVER, assert_run, backup_job, text};
use mykeeper_e2e::*;

struct Sending {
    workspace: Workspace,
    _source: MariaDb,
    vault: RsyncDaemon,
    link: TcpProxy,
}

fn sending(retry: &str) -> Sending {
    sending_with(retry, "")
}

/// With more keys of the backup job.
fn sending_with(retry: &str, more: &str) -> Sending {
    let source = MariaDb::with_sample();
    let vault = RsyncDaemon::start("vault pw");
    let link = TcpProxy::to(vault.port());
    let workspace = Workspace::new();
    workspace.write_keeper(&format!(
        "{}{}",
        workspace.server("shop", &source, "pw"),
        workspace.destination("vault", &vault.url(link.port(), "db1"), "vault pw")
    ));
    workspace.write_schedule(&format!(
        "{}[transfer.catch-up]\ncron = \"{NEVER}\"\ndestination = \"vault\"\nverify_every = \"1s\"\nretry = {retry}\n",
        backup_job("nightly", ALL, &format!("transfer_to = \"vault\"\nretry = {retry}\n{more}"))
    ));
    Sending {
        workspace,
        _source: source,
        vault,
        link,
    }
}

const ONCE: &str = "{ attempts = 1, delay = \"1s\" }";

#[test]
fn a_refused_connection_leaves_a_complete_set_that_a_transfer_job_sends_later() {
    let Sending {
        workspace,
        mut vault,
        _source,
        link: _link,
    } = sending(ONCE);
    vault.stop();
    workspace
        .mykeeper(&["run", "nightly"])
        .assert_code(1)
        .assert_says("left to a transfer job");
    let run = workspace.only_run_of("nightly");
    assert_run(&run, "failed", &["complete", "vault"]);
    let backup = workspace.backups().remove(0);
    assert_eq!(backup["complete"], serde_json::json!([true]));
    assert_eq!(backup["transfer_complete"], "N");

    vault.start_again();
    workspace.mykeeper(&["run", "catch-up"]).assert_code(0);
    let backup = workspace.backups().remove(0);
    assert_eq!(backup["transfer_complete"], "N,Y");
    workspace.mykeeper(&["backups"]).assert_says("Y (2 attempts)");
    assert_same_files(&workspace, &vault, text(&backup, "id"));
    let shown = workspace
        .mykeeper(&["show", text(&backup, "id"), "--json"])
        .json();
    let states: Vec<&str> = shown["transfers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| text(t, "state"))
        .collect();
    assert_eq!(states, ["failed", "succeeded"], "{shown:#}");
}

#[test]
fn a_wrong_password_is_told_and_not_tried_again() {
    let Sending {
        workspace,
        vault,
        _source,
        link: _link,
    } = sending("{ attempts = 3, delay = \"30s\" }");
    let secret = "no-vault-password-8841";
    workspace.password_file("vault", secret);
    let finished = workspace.mykeeper(&["run", "nightly"]);
    finished.assert_code(1).assert_says("refused user or password");
    assert!(!finished.said().contains(secret));
    assert_run(
        &workspace.only_run_of("nightly"),
        "failed",
        &["refused user or password"],
    );
    assert_eq!(workspace.backups()[0]["transfer_complete"], "N");
    assert!(vault.files().is_empty());
    workspace.mykeeper(&["check"]).assert_code(3).assert_says("vault");
}

#[test]
fn a_link_cut_half_way_is_resumed() {
    let Sending {
        workspace,
        vault,
        link,
        _source,
    } = sending_with("{ attempts = 4, delay = \"1s\" }", "stream = false");
    // The sample is some 2 MB on the wire.
    link.cut_after(1_000_000);
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_until(LIMIT, "the link is cut", || link.is_cut().then_some(()));
    let before = link.carried();
    link.heal();
    running.finish().assert_code(0);
    let backup = workspace.backups().remove(0);
    let attempts = text(&backup, "transfer_complete");
    assert!(
        attempts.starts_with("N,") && attempts.ends_with('Y'),
        "{attempts}"
    );
    assert_same_files(&workspace, &vault, text(&backup, "id"));
    let set_bytes = backup["size_bytes"].as_u64().unwrap();
    let after = link.carried() - before;
    assert!(
        after < set_bytes,
        "resumed, {after} bytes went again of {set_bytes}"
    );
}

#[test]
fn a_copy_that_was_damaged_later_is_noticed_and_sent_again() {
    let Sending {
        workspace,
        vault,
        _source,
        link: _link,
    } = sending(ONCE);
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let bk_id = text(&workspace.backups()[0], "id").to_owned();
    let victim = find_set(&vault.vault(), &bk_id).join("shop.orders.sql.gz");
    let kept = std::fs::metadata(&victim).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&victim, bytes).unwrap();
    std::fs::File::options()
        .write(true)
        .open(&victim)
        .unwrap()
        .set_modified(kept)
        .unwrap();
    // As old and as large as before: only its content tells. A copy is due a second after it arrived.
    let noticed = wait_until(LIMIT, "the transfer job notices", || {
        let finished = workspace.mykeeper(&["run", "catch-up"]);
        finished.said().contains("shop.orders.sql.gz").then_some(finished)
    });
    noticed
        .assert_code(4)
        .assert_says("is damaged: it differs from the set in shop.orders.sql.gz; it has been sent again");
    assert_same_files(&workspace, &vault, &bk_id);
    assert!(text(&workspace.backups()[0], "transfer_complete").ends_with("Y"));
    // All of it is gone: that is said, and no list of its files.
    std::fs::remove_dir_all(find_set(&vault.vault(), &bk_id)).unwrap();
    let noticed = wait_until(LIMIT, "the transfer job misses the copy", || {
        let finished = workspace.mykeeper(&["run", "catch-up"]);
        (finished.status.code() != Some(0)).then_some(finished)
    });
    noticed
        .assert_code(4)
        .assert_says("is not there any more; it has been sent again");
    assert!(!noticed.said().contains("shop.orders.sql.gz"), "{noticed}");
    assert_same_files(&workspace, &vault, &bk_id);
}

#[test]
fn a_set_arrives_over_ssh_and_in_a_local_folder() {
    let source = MariaDb::with_sample();
    let sshd = Sshd::start();
    let workspace = Workspace::new();
    let local = workspace.at("local");
    std::fs::create_dir(&local).unwrap();
    std::fs::create_dir(workspace.at("far")).unwrap();
    let user = std::process::Command::new("id").arg("-un").output().unwrap();
    let user = String::from_utf8(user.stdout).unwrap().trim().to_owned();
    workspace.write_keeper(&format!(
        "{}[destinations.far]\nurl = \"{user}@127.0.0.1:{}\"\n\n[destinations.near]\nurl = \"{}\"\n\n[tools]\nssh = \"{}\"\n",
        workspace.server("shop", &source, "pw"),
        workspace.at("far").display(),
        local.display(),
        sshd.client().display()
    ));
    for (destination, place) in [("near", local), ("far", workspace.at("far"))] {
        workspace.write_schedule(&backup_job(
            destination,
            ALL,
            &format!("transfer_to = \"{destination}\""),
        ));
        workspace.mykeeper(&["run", destination]).assert_code(0);
        let bk_id = text(&workspace.backups()[0], "id").to_owned();
        assert_eq!(
            folder(&find_set(&place, &bk_id)),
            folder(&find_set(&workspace.sets(), &bk_id))
        );
    }
}

fn assert_same_files(workspace: &Workspace, vault: &RsyncDaemon, bk_id: &str) {
    let there = folder(&find_set(&vault.vault(), bk_id));
    let here = folder(&find_set(&workspace.sets(), bk_id));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|file| file.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&there), names(&here));
    for (left, right) in there.iter().zip(&here) {
        assert!(left == right, "{} differs", left.0);
    }
}

fn folder(dir: &std::path::Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(dir)
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}
