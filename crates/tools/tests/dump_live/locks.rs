//! The lock of a dump on a server that others work on: how long it takes, what holds it up, and that it is given back.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::faults::stand_in_around;
use crate::support::{Dump, Server, reasons, tempdir};
use mykeeper_domain::job::LongQueries;
use mykeeper_tools::ToolError;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SHOP: &str =
    "CREATE DATABASE shop; USE shop; CREATE TABLE orders (id INT); INSERT INTO orders VALUES (1);
    CREATE TABLE held (id INT); CREATE TABLE free (id INT)";
/// What a mydumper of before 0.11 says around its lock.
pub(crate) const CONNECTED: &str = "echo '** Message: 10:00:00.000: Connected to a MySQL server'";
const STARTED: &str = "echo '** Message: 10:00:00.000: Started dump at: 2026-11-22 10:00:00'";

/// Another client, at work; ended with its value.
pub(crate) struct Client(Child);

impl Client {
    /// Returns when the server has its statement.
    pub(crate) fn busy(server: &Server, user: &[&str], sql: &str) -> Self {
        let busy = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'";
        let before = server.sql(busy);
        let child = Command::new("mariadb")
            .args(["--no-defaults", "-N"])
            .args(user)
            .arg(format!("--socket={}", server.socket().display()))
            .arg("-e")
            .arg(sql)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let client = Self(child);
        let began = Instant::now();
        while server.sql(busy) == before {
            assert!(began.elapsed() < Duration::from_secs(20), "{sql} does not run");
            std::thread::sleep(Duration::from_millis(50));
        }
        client
    }
}

impl Client {
    /// Has done what `sql` says, takes the lock `mine` at its end, and stays.
    fn idle(server: &Server, sql: &str) -> Self {
        let mut child = Command::new("mariadb")
            .args(["--no-defaults", "-uroot", "--unbuffered"])
            .arg(format!("--socket={}", server.socket().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), format!("{sql}\n").as_bytes()).unwrap();
        let client = Self(child);
        let began = Instant::now();
        while server.sql("SELECT IS_USED_LOCK('mine') IS NULL").trim() == "1" {
            assert!(began.elapsed() < Duration::from_secs(20), "{sql} is not done");
            std::thread::sleep(Duration::from_millis(50));
        }
        client
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A writer whose statement takes so many seconds, as root.
pub(crate) fn writer(server: &Server, seconds: u32) -> Client {
    let sql = format!("INSERT INTO shop.held SELECT SLEEP({seconds}) WHERE 'geheim' <> ''");
    Client::busy(server, &["-uroot"], &sql)
}

/// How long a write takes now.
pub(crate) fn write_takes(server: &Server) -> Duration {
    let began = Instant::now();
    server.sql("INSERT INTO shop.free VALUES (1)");
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_times_of_a_lock_are_measured() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _writer = writer(&server, 3);
    let dump = Dump::full(&["shop"]);
    let result = dump.run(&admin).await.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    let part = &result.parts[0];
    let (waited, held) = (part.lock_waited_ms.unwrap(), part.lock_held_ms.unwrap());
    assert!((1_000..10_000).contains(&waited), "{waited} ms");
    assert!(held < 3_000, "{held} ms");
    let told = format!(
        "mykeeper: mydumper waited for its lock for {waited_s}",
        waited_s = waited / 1000
    );
    assert!(dump.log.text().contains(&told), "{}", dump.log.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mydumper_that_does_not_say_is_seen_waiting() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _writer = writer(&server, 5);
    let dump = Dump::of(&["shop"], &["verbose=2"]);
    let result = dump.run(&admin).await.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    let waited = result.parts[0].lock_waited_ms;
    assert!(
        waited.is_some_and(|ms| (1_000..10_000).contains(&ms)),
        "{waited:?}"
    );
    assert_eq!(result.parts[0].lock_held_ms, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_without_locks_waits_for_nobody() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _writer = writer(&server, 30);
    let began = Instant::now();
    let mut dump = Dump::of(&["shop"], &["no-locks"]);
    if !dump.info().await.unwrap().options.contains("no-locks") {
        eprintln!("SKIPPED: this mydumper has no option no-locks");
        return;
    }
    dump.lock.long_queries = LongQueries::Abort;
    dump.lock.long_query_limit = Duration::from_millis(1);
    dump.lock.budget = Some(Duration::from_millis(1));
    let result = dump.run(&admin).await.unwrap();
    assert!(result.ended.is_none(), "{:?}", result.ended);
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(result.parts[0].lock_held_ms, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_waits_for_its_lock_for_too_long_is_ended_and_others_go_on() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _writer = writer(&server, 40);
    let began = Instant::now();
    let mut dump = Dump::full(&["shop"]);
    dump.lock.budget = Some(Duration::from_secs(2));
    let result = dump.run(&admin).await.unwrap();
    let took = write_takes(&server);
    assert!(took < Duration::from_secs(5), "a write takes {took:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let ended = result.ended.unwrap();
    assert!(
        matches!(ended, ToolError::LockBudget { held: false, .. }),
        "{ended}"
    );
    assert!(ended.is_passing());
    let told = ended.to_string();
    // Below ten seconds a duration is told in hundredths, and this one ends when it is noticed.
    assert!(
        told.starts_with("mydumper was ended: it waited for its lock for 2"),
        "{told}"
    );
    let words = "s, longer than the job's lock_budget of 2s; held up by connection ";
    assert!(told.contains(words), "{told}");
    assert!(told.contains("(root@localhost, INSERT for "), "{told}");
    assert!(told.contains("): let it end, or end it with KILL "), "{told}");
    assert!(!format!("{told}{}", dump.log.text()).contains("geheim"));
    assert_eq!(result.complete, [false]);
    let part = &result.parts[0];
    // Not what mydumper says of the connection that it lost, nor that it held what it never got.
    assert_eq!(part.reasons, [told]);
    assert!(part.lock_waited_ms >= Some(2_000), "{part:?}");
    assert_eq!(part.lock_held_ms, None, "{}", dump.log.text());
    let asking = server.sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'dba'");
    assert_eq!(asking.trim(), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_holds_its_lock_for_too_long_is_ended_and_others_go_on() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let dir = tempdir();
    let mut dump = Dump::full(&["shop"]);
    // It has the lock, and takes no notice of SIGTERM for as long as it is given.
    let hold = format!(
        "trap '' TERM; (sleep 1.5; echo 'FLUSH TABLES WITH READ LOCK; SELECT SLEEP(60)') | mariadb \"$1\" -N & \
         sleep 0.5; {CONNECTED}; sleep 1; {STARTED}; wait"
    );
    dump.program = stand_in_around(dir.path(), &hold, ":");
    dump.limits.grace = Duration::from_secs(10);
    dump.lock.budget = Some(Duration::from_secs(3));
    let began = Instant::now();
    // On a thread of its own: it waits for the lock, and what ends the dump must go on meanwhile.
    let (result, freed) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(3));
            write_takes(&server);
            began.elapsed()
        });
        let result =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(dump.run(&admin)));
        (result, writing.join().unwrap())
    });
    let ended = result.unwrap().ended.unwrap();
    assert!(
        matches!(ended, ToolError::LockBudget { held: true, .. }),
        "{ended}"
    );
    assert!(
        freed < Duration::from_secs(8),
        "freed after {freed:?}: {}",
        dump.log.text()
    );
    assert!(
        dump.log
            .text()
            .contains("ended at once, since others wait: connection "),
        "{}",
        dump.log.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_query_is_waited_for() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _writer = writer(&server, 6);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut dump = Dump::full(&["shop"]);
    dump.lock.long_query_limit = Duration::from_secs(1);
    // A lock that is not waited for shows that the dump began later.
    dump.lock.budget = Some(Duration::from_secs(2));
    let result = dump.run(&admin).await.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    assert!(
        result.command.contains("--long-query-guard="),
        "{}",
        result.command
    );
    let said = dump.log.text();
    assert!(
        said.contains("the lock of the dump would have to wait for connection "),
        "{said}"
    );
    assert!(said.contains("(root@localhost, INSERT for "), "{said}");
    assert!(said.contains("for long queries before the dump"), "{said}");
    assert!(!said.contains("geheim"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_is_too_long_is_named_and_no_dump_is_made() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _writer = writer(&server, 60);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let began = Instant::now();
    for (policy, words) in [
        (LongQueries::Wait, "(waited for 3s)"),
        (LongQueries::Abort, "(the job says long_queries = \"abort\")"),
    ] {
        let mut dump = Dump::full(&["shop"]);
        dump.lock.long_queries = policy;
        dump.lock.long_query_limit = Duration::from_secs(1);
        dump.lock.long_query_wait = Duration::from_secs(3);
        let error = dump.run(&admin).await.unwrap_err();
        assert!(error.is_passing());
        let told = error.to_string();
        assert!(
            told.contains(words) && told.contains("(root@localhost, INSERT for "),
            "{told}"
        );
        assert!(!told.contains("geheim"), "{told}");
        assert_eq!(dump.names(), [""; 0]);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(
        server
            .sql("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT%'")
            .trim(),
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn long_queries_may_be_ignored_and_readers_hold_nobody_up() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _writer = writer(&server, 5);
    let _reader = Client::busy(&server, &["-uroot"], "SELECT SLEEP(60) FROM shop.orders");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut dump = Dump::full(&["shop"]);
    dump.lock.long_query_limit = Duration::from_secs(1);
    dump.lock.long_queries = LongQueries::Ignore;
    let began = Instant::now();
    assert_eq!(reasons(&dump.run(&admin).await.unwrap()), [""; 0]);
    // The writer is over: the reader alone is no reason.
    let mut dump = Dump::full(&["shop"]);
    dump.lock.long_query_limit = Duration::from_secs(1);
    dump.lock.long_queries = LongQueries::Abort;
    assert_eq!(reasons(&dump.run(&admin).await.unwrap()), [""; 0]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_long_query_ends_with_its_run() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _writer = writer(&server, 60);
    let mut dump = Dump::full(&["shop"]);
    dump.lock.long_query_limit = Duration::from_millis(1);
    let (result, ()) = tokio::join!(dump.run(&admin), async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        dump.cancel.cancel();
    });
    assert!(matches!(result, Err(ToolError::Cancelled { .. })), "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_an_idle_connection_holds_is_not_waited_for_either() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    // Of a database that is not dumped: not even its tables are asked about.
    server.sql("CREATE DATABASE other; CREATE TABLE other.t (id INT)");
    let _idle = Client::idle(&server, "LOCK TABLES other.t WRITE; SELECT GET_LOCK('mine', 0);");
    for words in [
        "held up by a connection that does nothing and has locked tables, by the process list connection ",
        "held up by connection ",
    ] {
        let mut dump = Dump::full(&["shop"]);
        dump.lock.budget = Some(Duration::from_secs(2));
        let result = dump.run(&admin).await.unwrap();
        let told = result.ended.as_ref().unwrap().to_string();
        assert!(told.contains(words), "{told}");
        assert!(told.contains("(root@localhost, Sleep for "), "{told}");
        assert_eq!(reasons(&result), [told]);
        let took = write_takes(&server);
        assert!(took < Duration::from_secs(5), "a write takes {took:?}");
        // From here on the server says who has which lock.
        server.try_sql("INSTALL SONAME 'metadata_lock_info'").ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_an_idle_connection_has_locked_is_waited_for_as_long_queries_are() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _idle = Client::idle(
        &server,
        "LOCK TABLES shop.orders WRITE; SELECT GET_LOCK('mine', 0);",
    );
    let began = Instant::now();
    for (policy, words, who) in [
        (
            LongQueries::Wait,
            "(waited for 1s), ",
            "by the process list connection ",
        ),
        (
            LongQueries::Abort,
            "(the job says long_queries = \"abort\"), ",
            "held up by connection ",
        ),
    ] {
        let mut dump = Dump::full(&["shop"]);
        dump.lock.long_queries = policy;
        dump.lock.long_query_limit = Duration::from_secs(1);
        dump.lock.long_query_wait = Duration::from_secs(1);
        let error = dump.run(&admin).await.unwrap_err();
        assert!(error.is_passing());
        let told = error.to_string();
        let head = format!("the dump was not started, since table shop.orders is locked {words}");
        assert!(told.starts_with(&head) && told.contains(who), "{told}");
        assert!(told.contains("(root@localhost, Sleep for "), "{told}");
        assert!(
            dump.log
                .text()
                .contains("table shop.orders is locked, held up by ")
        );
        server.sql("INSTALL SONAME 'metadata_lock_info'");
    }
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    // Left to the dump, and to its budget.
    let mut dump = Dump::full(&["shop"]);
    dump.lock.long_queries = LongQueries::Ignore;
    dump.lock.long_query_limit = Duration::from_secs(1);
    dump.lock.budget = Some(Duration::from_secs(1));
    let result = dump.run(&admin).await.unwrap();
    assert!(
        matches!(result.ended, Some(ToolError::LockBudget { held: false, .. })),
        "{:?}",
        result.ended
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_thawed_also_when_the_connection_that_watched_it_is_lost() {
    let server = Server::start();
    server.sql(SHOP);
    let admin = server.admin();
    let _writer = writer(&server, 60);
    let mut dump = Dump::full(&["shop"]);
    dump.lock.budget = Some(Duration::from_secs(4));
    let asking = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE TIME > 1 \
                  AND (INFO LIKE 'FLUSH TABLES%' OR INFO LIKE 'BACKUP STAGE%')";
    let ours = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'dba' AND COMMAND = 'Sleep'";
    let (result, lost) = tokio::join!(dump.run(&admin), async {
        for _ in 0..400 {
            if tokio::task::block_in_place(|| server.sql(asking)).trim() == "1" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let ids = server.sql(ours);
        ids.lines()
            .filter(|id| server.try_sql(&format!("KILL {id}")).is_ok())
            .count()
    });
    assert!(lost > 0, "no connection of ours watched");
    let told = result.unwrap().ended.unwrap().to_string();
    assert!(told.contains("(root@localhost, INSERT for "), "{told}");
    assert!(
        dump.log
            .text()
            .contains("ended at once, since others wait: connection "),
        "{}",
        dump.log.text()
    );
    let took = write_takes(&server);
    assert!(took < Duration::from_secs(5), "a write takes {took:?}");
}
