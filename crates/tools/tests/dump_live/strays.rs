//! What a dump that has ended leaves on its server, and what one that is silent does there.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where its stage does not stand"
)]

use crate::faults::stand_in_around;
use crate::locks::{CONNECTED, Client, write_takes, writer};
use crate::support::{Dump, Server, reasons, tempdir};
use mykeeper_domain::server::Endpoint;
use mykeeper_tools::{ServerConnection, ToolError};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const SHOP: &str =
    "CREATE DATABASE shop; USE shop; CREATE TABLE orders (id INT); INSERT INTO orders VALUES (1);
    CREATE TABLE held (id INT); CREATE TABLE free (id INT)";

/// The mydumper that writes to this folder.
fn mydumper_of(set_dir: &Path) -> Option<u32> {
    let words = format!("--outputdir={}", set_dir.display());
    fs::read_dir("/proc").unwrap().flatten().find_map(|process| {
        let command = fs::read(process.path().join("cmdline")).ok()?;
        let mut arguments = command.split(|byte| *byte == 0);
        let is_mydumper = arguments.next()?.ends_with(b"mydumper");
        let is_its = arguments.any(|argument| argument == words.as_bytes());
        (is_mydumper && is_its).then(|| process.file_name().to_str()?.parse().ok())?
    })
}

/// Sends `signal` to the dump's mydumper when it waits for its lock.
async fn signal_in_wait(dump: &Dump, server: &Server, signal: &str) {
    let asking = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'FLUSH TABLES WITH%' AND TIME > 1";
    for _ in 0..400 {
        let is_asking = tokio::task::block_in_place(|| server.sql(asking).trim() == "1");
        if let Some(pid) = mydumper_of(&dump.set_dir).filter(|_| is_asking) {
            let sent = Command::new("kill")
                .args([signal, &pid.to_string()])
                .status()
                .unwrap();
            assert!(sent.success());
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the dump did not come to its lock: {}", dump.log.text());
}

fn assert_thawed(server: &Server, dump: &Dump) {
    let took = write_takes(server);
    assert!(
        took < Duration::from_secs(5),
        "a write takes {took:?}: {}",
        dump.log.text()
    );
    let left = server.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'dba'");
    assert_eq!(left.trim(), "0", "{}", dump.log.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_a_killed_mydumper_still_waits_for_is_taken_back() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _writer = writer(&server, 60);
    let dump = Dump::full(&["shop"]);
    let (result, ()) = tokio::join!(dump.run(&admin), signal_in_wait(&dump, &server, "-KILL"));
    let result = result.unwrap();
    assert_thawed(&server, &dump);
    // The server notices it within a second or so; who is faster ends it.
    assert!(
        reasons(&result)[0].contains("mydumper ended with signal 9"),
        "{:?}",
        reasons(&result)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_the_server_goes_on_with_is_ended_with_its_dump() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let dir = tempdir();
    let mut dump = Dump::full(&["shop"]);
    // While it counts, the server does not look whether anyone is there to take what comes of it.
    let count = "SELECT COUNT(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b WHERE a.seq + b.seq = 7";
    let slow = format!("{CONNECTED}; mariadb \"$1\" -N shop -e '{count}'");
    dump.program = stand_in_around(dir.path(), &slow, ":");
    dump.limits.timeout = Some(Duration::from_secs(4));
    let result = dump.run(&admin).await.unwrap();
    assert!(
        matches!(result.ended, Some(ToolError::TimedOut { .. })),
        "{:?}",
        result.ended
    );
    let left: Vec<String> = reasons(&result)
        .into_iter()
        .filter(|reason| reason.contains("of the dump was left on the server and has been ended"))
        .collect();
    assert_eq!(left.len(), 1, "{:?}", reasons(&result));
    assert!(left[0].contains("(dba@localhost, SELECT for "), "{left:?}");
    assert_thawed(&server, &dump);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_a_frozen_mydumper_waits_for_is_taken_back() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _writer = writer(&server, 60);
    let mut dump = Dump::full(&["shop"]);
    dump.limits.stall = Some(Duration::from_secs(4));
    dump.limits.grace = Duration::from_secs(1);
    let (result, ()) = tokio::join!(dump.run(&admin), signal_in_wait(&dump, &server, "-STOP"));
    let result = result.unwrap();
    assert!(
        matches!(result.ended, Some(ToolError::Stalled { .. })),
        "{:?}",
        result.ended
    );
    assert_thawed(&server, &dump);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_waited_for_goes_with_a_cancelled_dump() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _writer = writer(&server, 60);
    let dump = Dump::full(&["shop"]);
    let began = Instant::now();
    let (result, ()) = tokio::join!(dump.run(&admin), async {
        signal_in_wait(&dump, &server, "-0").await;
        dump.cancel.cancel();
    });
    assert!(matches!(result.unwrap().ended, Some(ToolError::Cancelled { .. })));
    assert_thawed(&server, &dump);
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_mydumper_whose_server_works_for_it_is_no_stalled_one() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let dir = tempdir();
    let mut dump = Dump::full(&["shop"]);
    // Rows are counted for longer than the client is there, and none is sent: nothing is said, nothing written.
    let count = "SELECT COUNT(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b WHERE a.seq + b.seq = 7";
    let slow = format!("{CONNECTED}; timeout 6 mariadb \"$1\" -N shop -e '{count}' >/dev/null");
    dump.program = stand_in_around(dir.path(), &slow, ":");
    dump.limits.stall = Some(Duration::from_secs(2));
    let began = Instant::now();
    let result = dump.run(&admin).await.unwrap();
    let took = began.elapsed();
    let said = dump.log.text();
    assert!(
        took > Duration::from_secs(3),
        "the stage is too fast: {took:?}: {:?}: {said}",
        result.ended
    );
    assert!(result.ended.is_none(), "{:?}: {said}", result.ended);
    assert_eq!(reasons(&result), [""; 0]);
    assert!(
        dump.log
            .text()
            .contains("says and writes nothing, but the server works for it: connection "),
        "{}",
        dump.log.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_mydumper_whose_connections_do_nothing_is_a_stalled_one() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let dir = tempdir();
    let mut dump = Dump::full(&["shop"]);
    // One sleeps, and another's work is not the dump's.
    let idle = format!("{CONNECTED}; (echo 'SELECT 1;'; sleep 600) | mariadb \"$1\" -N --unbuffered");
    dump.program = stand_in_around(dir.path(), &idle, ":");
    dump.limits.stall = Some(Duration::from_secs(3));
    let _other = Client::busy(&server, &["-uroot"], "SELECT SLEEP(60) FROM shop.orders");
    let began = Instant::now();
    let result = dump.run(&admin).await.unwrap();
    assert!(
        matches!(result.ended, Some(ToolError::Stalled { .. })),
        "{:?}",
        result.ended
    );
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_may_be_anothers_is_named_and_left_alone() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let dir = tempdir();
    let mut dump = Dump::full(&["shop"]);
    let (ready, go) = (dir.path().join("ready"), dir.path().join("go"));
    let wait = format!(
        "touch {}; until [ -e {} ]; do sleep 0.1; done; (echo 'SELECT 1;'; sleep 600) | mariadb \"$1\" -N --unbuffered & \
         sleep 1; {CONNECTED}; sleep 600",
        ready.display(),
        go.display()
    );
    dump.program = stand_in_around(dir.path(), &wait, ":");
    dump.limits.stall = Some(Duration::from_secs(4));
    let (result, other) = tokio::join!(dump.run(&admin), async {
        while !ready.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let other = tokio::task::block_in_place(|| {
            Client::busy(
                &server,
                &["-udba", "-pgeheim"],
                "SELECT SLEEP(60) FROM shop.orders",
            )
        });
        fs::write(&go, "").unwrap();
        other
    });
    let said = reasons(&result.unwrap());
    assert!(
        said.iter()
            .any(|reason| reason
                .contains("may be left of the dump, and was not ended since it may be another's")),
        "{said:?}"
    );
    let there = server.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'dba'");
    assert_eq!(there.trim(), "1");
    drop(other);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_silent_mydumper_leaves_is_looked_for_and_ended_where_it_is_surely_its_own() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let server = Server::start_with(&[
        "--skip-networking=0",
        "--bind-address=127.0.0.1",
        &format!("--port={port}"),
    ]);
    server.sql(SHOP);
    let near = server.admin();
    server.sql("CREATE USER dba@'127.0.0.1' IDENTIFIED BY 'geheim'; GRANT ALL ON *.* TO dba@'127.0.0.1'");
    let far = ServerConnection {
        endpoint: Endpoint::Tcp {
            host: "127.0.0.1".into(),
            port,
        },
        ..near.clone()
    };
    let count = "SELECT COUNT(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b WHERE a.seq + b.seq = 7";
    let there = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'dba'";
    // Over TCP the port tells whose a connection is; through the socket nothing does.
    for (connection, words, left) in [
        (&far, "of the dump was left on the server and has been ended", 0),
        (
            &near,
            "may be left of the dump, and was not ended since it may be another's: KILL ",
            1,
        ),
    ] {
        let dir = tempdir();
        let mut dump = Dump::of(&["shop"], &["verbose=2"]);
        let slow = format!("exec mariadb \"$1\" -N shop -e '{count}'");
        dump.program = stand_in_around(dir.path(), &slow, ":");
        dump.limits.timeout = Some(Duration::from_secs(3));
        let result = dump.run(connection).await.unwrap();
        let said = reasons(&result);
        assert!(
            said.iter().any(|reason| reason.contains(words)),
            "{words}: {said:?}"
        );
        let ids = server.sql(there);
        assert_eq!(ids.lines().count(), left, "{ids}");
        for id in ids.lines() {
            server.sql(&format!("KILL {id}"));
        }
    }
}
