//! Every secret as systemd hands it to a service: files in a folder that its environment names.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::notify::wait_for;
use crate::{backup_job, text};
use mykeeper_e2e::*;
use std::path::Path;

/// The same text, its secrets as credentials, which lie in `folder` then and no more where they were.
fn with_credentials(text: &str, workspace: &Workspace, folder: &Path) -> String {
    let line = |line: &str| -> String {
        let Some((key, value)) = line.split_once("_file = ") else {
            return format!("{line}\n");
        };
        let path = workspace.path().join(value.trim_matches('"'));
        let name = path.file_stem().unwrap().to_str().unwrap();
        if path.exists() {
            std::fs::rename(&path, folder.join(name)).unwrap();
        }
        format!("{key}_credential = \"{name}\"\n")
    };
    text.lines().map(line).collect()
}

#[test]
fn the_secrets_of_catalog_server_destination_notices_and_pings_may_all_be_credentials() {
    let server = MariaDb::start();
    server.sql(
        "CREATE DATABASE catalogdb; CREATE DATABASE tiny; CREATE TABLE tiny.t (id INT PRIMARY KEY); \
         INSERT INTO tiny.t VALUES (1);",
    );
    server.account("keeper", "catalog pw", "ALL ON catalogdb.*");
    let (rsync, chat) = (RsyncDaemon::start("vault pw"), HttpSink::start());
    std::fs::create_dir(rsync.vault().join("sets")).unwrap();
    let mut workspace = Workspace::new();
    let mails = workspace.at("mails");
    let folder = workspace.at("credentials");
    for folder in [&mails, &folder] {
        std::fs::create_dir(folder).unwrap();
    }
    let mail = SmtpSink::start(&mails, SinkTls::Starttls);
    workspace.password_file("catalog", "catalog pw");
    workspace.password_file("mail", "mail pw");
    workspace.password_file("token", "t0ken");
    workspace.password_file("chat", &format!("{}/hook", chat.url()));
    workspace.password_file("ping", &format!("{}/ping", chat.url()));
    let keeper = format!(
        "[catalog]\nurl = \"mysql://keeper@127.0.0.1:{}/catalogdb\"\npassword_file = \"catalog.password\"\n\n{}{}\
         [notify]\ngather = \"100ms\"\n\n[notify.webhook.chat]\nurl_file = \"chat.password\"\ntoken_file = \"token.password\"\n\n\
         [notify.mail.ops]\nhost = \"localhost\"\nport = {}\ntls = \"starttls\"\nca = \"{}\"\nuser = \"u\"\n\
         password_file = \"mail.password\"\nfrom = \"backup@example.org\"\nto = [\"ops@example.org\"]\n",
        server.port(),
        workspace.server("shop", &server, "shop pw"),
        workspace.destination("vault", &rsync.url(rsync.port(), "sets"), "vault pw"),
        mail.port(),
        mail.ca().display(),
    );
    workspace.write_keeper(&with_credentials(&keeper, &workspace, &folder));
    let good = backup_job(
        "good",
        r#"["tiny"]"#,
        "transfer_to = \"vault\"\nping_file = \"ping.password\"",
    );
    let bad = backup_job("bad", r#"["nothing_of_that_name"]"#, "").replace("0 0 29 2 *", "* * * * * *");
    workspace.write_schedule(&with_credentials(&format!("{good}{bad}"), &workspace, &folder));
    let is_secret = |entry: std::io::Result<std::fs::DirEntry>| {
        entry
            .unwrap()
            .path()
            .extension()
            .is_some_and(|end| end == "password")
    };
    assert!(!workspace.path().read_dir().unwrap().any(is_secret));

    workspace.surround(Surroundings {
        variables: vec![("CREDENTIALS_DIRECTORY".to_owned(), folder.display().to_string())],
        ..Surroundings::default()
    });
    let mut daemon = workspace.daemon();
    let ran = workspace.mykeeper(&["run", "good"]);
    ran.assert_code(0);
    let sets = workspace.backups();
    let made = sets.iter().find(|set| set["job"] == "good").unwrap();
    assert!(find_set(&rsync.vault(), text(made, "id")).is_dir(), "it was sent");
    wait_for(&daemon, "everybody is told", || {
        let posted = chat.posted();
        let is_told = |path: &str| posted.iter().any(|posted| posted.path == path);
        is_told("/hook") && is_told("/ping/start") && is_told("/ping") && !mail.mails().is_empty()
    });
    for secret in ["catalog pw", "shop pw", "vault pw", "mail pw", "t0ken"] {
        assert!(
            !daemon.log().contains(secret) && !ran.said().contains(secret),
            "{secret}"
        );
    }
    assert_eq!(daemon.stop(), Some(0));
}
