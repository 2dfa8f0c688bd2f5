//! The stage itself: what the other tests rely on.

use mykeeper_e2e::*;
use std::process::Command;

#[test]
fn a_set_of_the_real_tool_loads_into_another_server_with_equal_rows() {
    let source = MariaDb::with_sample();
    assert_eq!(
        source.value("SELECT COUNT(*) FROM shop.orders"),
        ORDERS.to_string()
    );
    let found = source.query("SHOW DATABASES").concat();
    for database in SAMPLE_DATABASES {
        assert!(
            found.iter().any(|name| name == database),
            "{database} in {found:?}"
        );
    }

    let scratch = Scratch::new();
    let set = scratch.path().join("set");
    let dumped = Command::new("mydumper")
        .args([
            "--user=root",
            "--compress",
            // With a regex and several threads it locks itself up now and then.
            "--threads=1",
            "--regex=^(?!(mysql|sys|information_schema|performance_schema)\\.)",
        ])
        .arg(format!("--socket={}", source.socket().display()))
        .arg(format!("--outputdir={}", set.display()))
        .output()
        .unwrap();
    assert!(dumped.status.success(), "{dumped:?}");

    let target = MariaDb::start();
    load_set(&set, &SAMPLE_DATABASES, &target);
    assert_eq!(
        fingerprint(&target, &SAMPLE_DATABASES),
        fingerprint(&source, &SAMPLE_DATABASES)
    );
    assert_eq!(fingerprint(&source, &SAMPLE_DATABASES).len(), 16);
}

#[test]
fn a_cut_link_to_the_rsync_daemon_fails_and_a_healed_one_resumes() {
    let daemon = RsyncDaemon::start("secret");
    let proxy = TcpProxy::to(daemon.port());
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    std::fs::write(&file, &bytes).unwrap();
    let password = scratch.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let chmod = Command::new("chmod").arg("600").arg(&password).status().unwrap();
    assert!(chmod.success());
    let send = || {
        let mut command = Command::new("rsync");
        command
            .args(["-a", "--partial-dir=.partial", "--password-file"])
            .arg(&password)
            .arg(&file);
        command.arg(daemon.url(proxy.port(), "")).output().unwrap()
    };
    proxy.cut_after(1_000_000);
    assert!(!send().status.success());
    assert!(proxy.is_cut());
    proxy.heal();
    let sent = send();
    assert!(sent.status.success(), "{sent:?}");
    assert_eq!(std::fs::read(daemon.vault().join("file")).unwrap(), bytes);
}

#[test]
fn a_secret_on_a_command_line_is_seen() {
    let secret = secret_text("watch");
    let watch = SecretWatch::start(vec![secret.clone()]);
    let status = Command::new("sh")
        .args(["-c", "sleep 0.3", &secret])
        .status()
        .unwrap();
    assert!(status.success());
    let (looks, found) = watch.finish();
    assert!(looks > 0);
    assert!(!found.is_empty());
}

#[test]
fn an_embedded_catalog_is_read_beside_its_writer() {
    let server = MariaDb::start();
    server.sql(
        "CREATE DATABASE c; CREATE TABLE c.t (a INT, b TEXT); INSERT INTO c.t VALUES (1, 'x'), (2, NULL)",
    );
    let view = CatalogView::mariadb(&server, "c");
    assert_eq!(
        view.query("SELECT a, b FROM t ORDER BY a"),
        [["1", "x"], ["2", "NULL"]]
    );
}
