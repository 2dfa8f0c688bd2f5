//! Sending to a real rsync daemon.

mod originals;

use crate::bench::{Bench, limits};
use crate::rsync_daemon::{
    Daemon, PASSWORD, Sender, content, cutting_proxy, destination, free_port, make_set,
};
use mykeeper_tools::ToolError;
use secrecy::SecretString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn a_set_arrives_whole_whatever_its_names() {
    let bench = Bench::new();
    let (daemon, set) = (Daemon::start(&bench), make_set(&bench));
    let sender = Sender::new(&bench).await;
    let to = destination(&daemon.url("vault/a b/106.3.130.84"));
    let outcome = sender.send(&to, &set).await.unwrap();
    assert_eq!(outcome.files, 6);
    assert!(outcome.sent_bytes > 0);
    assert_eq!(
        outcome.target,
        daemon.url("vault/a b/106.3.130.84/2026-11-22/bk 1")
    );
    assert_eq!(
        content(&daemon.vault.join("a b/106.3.130.84/2026-11-22/bk 1")),
        content(&set)
    );
    assert_eq!(sender.verify(&to, &set).await.unwrap(), [] as [&str; 0]);
    let again = sender.send(&to, &set).await.unwrap();
    assert_eq!(again.files, 0);
    assert!(!bench.log.text().contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_a_cut_and_a_missing_copy_are_named_and_mended() {
    let bench = Bench::new();
    let (daemon, set) = (Daemon::start(&bench), make_set(&bench));
    let sender = Sender::new(&bench).await;
    let to = destination(&daemon.url("vault"));
    sender.send(&to, &set).await.unwrap();
    let copy = daemon.vault.join("2026-11-22/bk 1");
    let damage = || {
        // Same size, same time: only a checksum tells.
        let file = copy.join("metadata");
        let time = file.metadata().unwrap().modified().unwrap();
        std::fs::write(&file, "Stopped\n").unwrap();
        std::fs::File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(time)
            .unwrap();
    };
    damage();
    std::fs::write(copy.join("-rf.sql"), "").unwrap();
    std::fs::remove_file(copy.join("日志 库-1/日志 库-1.状态 表.sql")).unwrap();
    let mut differing = sender.verify(&to, &set).await.unwrap();
    differing.sort();
    assert_eq!(
        differing,
        ["-rf.sql", "metadata", "日志 库-1/日志 库-1.状态 表.sql"]
    );
    sender.send(&to, &set).await.unwrap();
    assert_eq!(content(&copy), content(&set));
    std::fs::remove_dir_all(&copy).unwrap();
    assert!(sender.verify(&to, &set).await.unwrap().len() >= 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_cut_off_is_resumed_and_the_manifest_comes_last() {
    let bench = Bench::new();
    let daemon = Daemon::start(&bench);
    let set = make_set(&bench);
    let big: Vec<u8> = (0..8_000_000_u32)
        .map(|i| u8::try_from(i.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .collect();
    std::fs::write(set.join("zz-big.sql"), &big).unwrap();
    let limit = Arc::new(AtomicU64::new(5_000_000));
    let port = cutting_proxy(daemon.server.port, limit.clone()).await;
    let sender = Sender::new(&bench).await;
    let to = destination(&format!("rsync://platform@127.0.0.1:{port}/vault"));
    let error = sender.send(&to, &set).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert!(error.to_string().contains("vault"), "{error}");
    let copy = daemon.vault.join("2026-11-22/bk 1");
    assert!(!copy.join("mykeeper.manifest.json").exists());
    crate::rsync_daemon::until("the daemon kept what it had", || {
        copy.join(".rsync-partial/zz-big.sql").exists()
    });
    limit.store(u64::MAX, Ordering::Relaxed);
    let outcome = sender.send(&to, &set).await.unwrap();
    assert!(
        outcome.sent_bytes < 6_000_000,
        "{} bytes were sent again",
        outcome.sent_bytes
    );
    assert_eq!(content(&copy), content(&set));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_is_told_from_what_passes() {
    let bench = Bench::new();
    let (daemon, set) = (Daemon::start(&bench), make_set(&bench));
    let mut sender = Sender::new(&bench).await;
    let mut lines = Vec::new();
    let closed = free_port();
    for url in [
        daemon.url("nowhere"),
        daemon.url("fixed"),
        format!("rsync://127.0.0.1:{closed}/vault"),
        format!("rsync://platform@127.0.0.1:{closed}/vault"),
    ] {
        let to = destination(&url);
        for error in [
            sender.send(&to, &set).await.unwrap_err(),
            sender.check(&to).await.unwrap_err(),
        ] {
            lines.push((error.to_string(), error.is_passing()));
        }
    }
    for password in [Some(SecretString::from("wrong")), None] {
        sender.password = password;
        let error = sender
            .send(&destination(&daemon.url("vault")), &set)
            .await
            .unwrap_err();
        lines.push((error.to_string(), error.is_passing()));
    }
    let expected = [
        ("no such module", false),
        ("no such module", false),
        ("read only", false),
        ("read only", false),
        ("Connection refused", true),
        ("Connection refused", true),
        ("Connection refused", true),
        ("Connection refused", true),
        ("refused user or password", false),
        ("refused user or password", false),
    ];
    for ((line, passing), (words, expected)) in lines.iter().zip(expected) {
        assert!(line.contains(words), "{line:?} should tell of {words:?}");
        assert_eq!(*passing, expected, "{line}");
        assert!(!line.contains(PASSWORD));
    }
    let log = bench.log.text();
    assert!(!log.contains(PASSWORD) && !log.contains("wrong"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_leaves_nothing_behind() {
    let bench = Bench::new();
    let daemon = Daemon::start(&bench);
    let sender = Sender::new(&bench).await;
    sender.check(&destination(&daemon.url("vault"))).await.unwrap();
    assert_eq!(content(&daemon.vault).len(), 0);
    sender
        .check(&destination(&daemon.url("vault/deep/er")))
        .await
        .unwrap();
    assert_eq!(content(&daemon.vault).len(), 0);
    sender
        .check(&destination(&daemon.url("undeletable")))
        .await
        .unwrap();
    sender
        .check(&destination(&daemon.url("undeletable")))
        .await
        .unwrap();
    assert_eq!(
        content(&daemon.vault)
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        [".mykeeper-check"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bandwidth_limit_holds() {
    let bench = Bench::new();
    let (daemon, set) = (Daemon::start(&bench), make_set(&bench));
    std::fs::write(set.join("big.sql"), vec![7; 1_500_000]).unwrap();
    let mut to = destination(&daemon.url("vault"));
    to.bandwidth_limit = Some(500 * 1024);
    let sender = Sender::new(&bench).await;
    let began = Instant::now();
    sender.send(&to, &set).await.unwrap();
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_says_nothing_is_given_up() {
    let bench = Bench::new();
    let set = make_set(&bench);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut sender = Sender::new(&bench).await;
    sender.limits = limits(40);
    sender.limits.stall = Some(Duration::from_secs(2));
    let began = Instant::now();
    let error = sender
        .send(&destination(&format!("rsync://127.0.0.1:{port}/vault")), &set)
        .await
        .unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_send_ends_at_once() {
    let bench = Bench::new();
    let (daemon, set) = (Daemon::start(&bench), make_set(&bench));
    std::fs::write(set.join("big.sql"), vec![7; 4_000_000]).unwrap();
    let mut to = destination(&daemon.url("vault"));
    to.bandwidth_limit = Some(100 * 1024);
    let sender = Sender::new(&bench).await;
    let cancel = bench.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        cancel.cancel();
    });
    let began = Instant::now();
    let error = sender.send(&to, &set).await.unwrap_err();
    assert!(matches!(error, ToolError::Cancelled { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_rsync_is_named() {
    let bench = Bench::new();
    let error = mykeeper_tools::rsync::detect_rsync(&bench.supervisor, Path::new("no-such-rsync"))
        .await
        .unwrap_err();
    assert!(matches!(error, ToolError::NotInstalled { .. }), "{error}");
    assert!(error.to_string().contains("apt-get install rsync"));
}
