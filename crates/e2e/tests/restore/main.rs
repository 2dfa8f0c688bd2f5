//! `mykeeper restore`: sets of one server, put into another.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

mod copies;
mod doubtful;
mod letters;
mod modes;
mod parts;
mod rights;
mod unrecorded;
mod without_catalog;

use mykeeper_e2e::*;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What is defined, but for SQL modes and time zones: mydumper 0.10 does not write them down.
const DEFINITIONS: [&str; 5] = [
    "SELECT table_schema, table_name, definer, view_definition FROM information_schema.views \
     WHERE table_schema NOT IN ('sys', 'mysql') ORDER BY 1, 2",
    "SELECT trigger_schema, trigger_name, event_object_table, action_timing, event_manipulation, definer, \
     REPLACE(action_statement, '; \\n', ';\\n') FROM information_schema.triggers \
     WHERE trigger_schema NOT IN ('sys', 'mysql') ORDER BY 1, 2",
    "SELECT routine_schema, routine_name, routine_type, definer, \
     REPLACE(routine_definition, '; \\n', ';\\n') FROM information_schema.routines \
     WHERE routine_schema NOT IN ('sys', 'mysql') ORDER BY 1, 2",
    "SELECT event_schema, event_name, definer, status, starts, \
     REPLACE(event_definition, '; \\n', ';\\n') FROM information_schema.events ORDER BY 1, 2",
    "SELECT schema_name, default_collation_name FROM information_schema.schemata \
     WHERE schema_name NOT IN ('sys') ORDER BY 1",
];

/// A server with the sample and one set of it, and another server for it.
struct Stage {
    workspace: Workspace,
    source: MariaDb,
    target: MariaDb,
    secret: String,
    bk_id: String,
}

impl Stage {
    fn new(more_sql: &str) -> Self {
        Self::with(more_sql, "[\"!mysql\"]", "all")
    }

    fn with(more_sql: &str, databases: &str, consistency: &str) -> Self {
        Self::made(more_sql, (databases, consistency), "", |_| String::new())
    }

    /// Its set is sent to the destination `vault`, which the keeper's file is told of.
    fn sent(databases: &str, destination: impl FnOnce(&Workspace) -> String) -> Self {
        Self::made("", (databases, "all"), "transfer_to = \"vault\"\n", destination)
    }

    fn made(
        more_sql: &str,
        (databases, consistency): (&str, &str),
        more_of_job: &str,
        more: impl FnOnce(&Workspace) -> String,
    ) -> Self {
        let workspace = Workspace::new();
        let source = MariaDb::with_sample();
        if !more_sql.is_empty() {
            source.sql(more_sql);
        }
        let target = MariaDb::start();
        let secret = secret_text("target");
        target.account("restorer", &secret, "ALL PRIVILEGES ON *.*");
        let file = workspace.password_file("target", &secret);
        let mut keeper = workspace.server("shop", &source, &secret_text("source"));
        keeper.push_str(&format!(
            "[servers.spare]\nhost = \"127.0.0.1\"\nport = {}\nuser = \"restorer\"\npassword_file = \"{}\"\n\n",
            target.port(),
            file.display()
        ));
        keeper.push_str(&more(&workspace));
        workspace.write_keeper(&keeper);
        workspace.write_schedule(&format!(
            "[backup.nightly]\ncron = \"0 4 1 1 *\"\nserver = \"shop\"\ndatabases = {databases}\n\
             consistency = \"{consistency}\"\ndirectory = \"{{sets}}\"\n\
             mydumper = [\"compress\", \"triggers\", \"routines\", \"events\", \"threads=2\"]\n{more_of_job}"
        ));
        let made = workspace.mykeeper(&["run", "nightly", "--json"]);
        assert!(matches!(made.status.code(), Some(0 | 4)), "{made}");
        let bk_id = made.json()["bk_id"].as_str().unwrap().to_owned();
        Self {
            workspace,
            source,
            target,
            secret,
            bk_id,
        }
    }

    fn restore(&self, more: &[&str]) -> Finished {
        let mut args = vec!["restore", &self.bk_id, "--into", "spare"];
        args.extend(more);
        self.workspace.mykeeper(&args)
    }

    fn set(&self) -> PathBuf {
        find_set(&self.workspace.sets(), &self.bk_id)
    }

    /// What the target holds besides its own.
    fn databases(&self) -> BTreeSet<String> {
        let own = ["information_schema", "mysql", "performance_schema", "sys"];
        let all = self.target.query("SHOW DATABASES").concat();
        all.into_iter()
            .filter(|name| !own.contains(&name.as_str()))
            .collect()
    }

    #[track_caller]
    fn assert_equal(&self, databases: &[&str]) {
        assert_eq!(
            fingerprint(&self.target, databases),
            fingerprint(&self.source, databases)
        );
    }

    /// Does as an administrator what a refusal says is to be done.
    fn grant_as_told(&self, refused: &Finished) {
        let said = refused.said();
        let lines = said
            .lines()
            .filter(|line| line.contains("have an administrator run"));
        for line in lines {
            self.target.sql(line.rsplit(": ").next().unwrap());
        }
    }

    fn nothing_is_left(&self) {
        let private = std::fs::read_dir(self.workspace.at("state/private"))
            .unwrap()
            .count();
        assert_eq!(private, 0, "private files are left");
    }
}

/// All went well but for one thing: nobody has proven the set.
#[track_caller]
fn unproven_alone(finished: &Finished) -> &Finished {
    finished.assert_code(4);
    let said = finished.said();
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains("warning: ")).collect();
    assert!(
        warnings.len() == 1 && warnings[0].contains("is not proven: nobody has restored and compared it yet"),
        "{finished}"
    );
    finished
}

#[test]
fn a_whole_set_comes_back_as_it_was_and_no_password_is_seen() {
    // The server's own database is in it as well, which nobody asks a restore for.
    let stage = Stage::with("", "[\"%\"]", "all");
    let validate = ["validate", "--bk-id", &stage.bk_id];
    stage.workspace.mykeeper(&validate).assert_code(0);
    let watch = SecretWatch::start(vec![stage.secret.clone()]);
    let restored = stage.restore(&["--json"]);
    let (looks, seen) = watch.finish();
    restored.assert_code(0);
    assert!(looks > 10);
    assert_eq!(seen, [""; 0]);
    stage.assert_equal(&SAMPLE_DATABASES);
    for query in DEFINITIONS {
        assert_eq!(stage.target.query(query), stage.source.query(query), "{query}");
    }
    assert_eq!(
        stage.target.value("SELECT COUNT(*) FROM shop.best_customers"),
        "500"
    );
    let report = restored.json();
    assert_eq!(report["state"], "succeeded");
    assert!(report["plan"]["doubt"].is_null());
    assert_eq!(report["plan"]["left_out"].as_array().unwrap().len(), 1);
    assert_eq!(
        report["restored"]["databases"].as_array().unwrap().len(),
        SAMPLE_DATABASES.len()
    );
    let position = &report["plan"]["continue_from"][0];
    assert!(
        position["file"].as_str().unwrap().starts_with("mysql-bin."),
        "{position}"
    );
    assert!(position["position"].as_u64().unwrap() > 0, "{position}");
    let run = stage.workspace.only_run_of("restore into spare");
    assert_eq!(run["kind"], "restore");
    assert_eq!(run["state"], "succeeded");
    let log = stage
        .workspace
        .mykeeper(&["run-log", run["id"].as_str().unwrap()]);
    assert!(!log.said().contains(&stage.secret), "{log}");
    stage.nothing_is_left();
    assert!(
        stage
            .workspace
            .catalog()
            .query("SELECT name FROM mk_lease")
            .is_empty()
    );
}

#[test]
fn one_database_is_restored_alone_and_a_dry_run_changes_nothing() {
    let stage = Stage::new("");
    let dry = stage.restore(&["--dry-run"]);
    unproven_alone(&dry)
        .assert_says("日志 库-1")
        .assert_says("nothing was written")
        .assert_says("24615");
    assert_eq!(stage.databases(), BTreeSet::new());
    assert!(stage.workspace.runs_of("restore into spare").is_empty());

    let only = stage.restore(&["--database", "日志 库-1", "--database", "shop.eu"]);
    unproven_alone(&only)
        .assert_says("position")
        .assert_says("mariadb-binlog --start-position=");
    assert_eq!(
        stage.databases(),
        BTreeSet::from(["日志 库-1".to_owned(), "shop.eu".to_owned()])
    );
    stage.assert_equal(&["日志 库-1", "shop.eu"]);

    stage
        .restore(&["--database", "shpo"])
        .assert_code(2)
        .assert_says("did you mean \"shop\"?");
    stage
        .restore(&["--database", "mysql"])
        .assert_code(2)
        .assert_says("is the server's own");
    assert_eq!(stage.databases().len(), 2);
}

#[test]
fn what_is_there_is_dropped_only_when_that_is_asked_for() {
    let stage = Stage::with("", "[\"shop\", \"shop.eu\", \"shop_old\"]", "per-database");
    stage.target.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.mine (id INT); INSERT INTO shop.mine VALUES (7); \
         CREATE DATABASE shop_old CHARACTER SET utf8mb4; CREATE DATABASE other; CREATE TABLE other.t (id INT)",
    );
    let refused = stage.restore(&[]);
    refused
        .assert_code(2)
        .assert_says("has a database shop already, with 1 table; --overwrite");
    assert_eq!(stage.target.value("SELECT id FROM shop.mine"), "7");
    assert!(!stage.databases().contains("shop.eu"));

    let dry = stage.restore(&["--dry-run", "--overwrite"]);
    unproven_alone(&dry).assert_says("dropped (1 table) and created");
    assert_eq!(stage.target.value("SELECT id FROM shop.mine"), "7");

    // One that is there and empty is in nobody's way.
    unproven_alone(&stage.restore(&["--database", "shop_old"]));
    assert_eq!(
        stage.target.value(
            "SELECT default_collation_name FROM information_schema.schemata WHERE schema_name='shop_old'"
        ),
        "latin1_swedish_ci"
    );

    unproven_alone(&stage.restore(&["--overwrite"]));
    let databases = ["shop", "shop.eu", "shop_old"];
    stage.assert_equal(&databases);
    assert_eq!(stage.target.value("SHOW TABLES FROM shop LIKE 'mine'"), "");
    assert_eq!(stage.target.value("SHOW TABLES FROM other"), "t");
}

#[test]
fn what_cannot_be_had_is_said_without_the_password() {
    let mut stage = Stage::with("", "[\"shop_old\"]", "all");
    let wrong = secret_text("wrong");
    stage.workspace.password_file("target", &wrong);
    let refused = stage.restore(&[]);
    refused
        .assert_code(3)
        .assert_says("cannot connect to server spare")
        .assert_says("Access denied")
        .assert_says(&format!(
            "look at user restorer and at the password in {}",
            stage.workspace.at("target.password").display()
        ));
    assert!(!refused.said().contains(&wrong), "{refused}");
    stage.workspace.password_file("target", &stage.secret);
    stage.target.stop();
    stage
        .restore(&[])
        .assert_code(3)
        .assert_says("cannot connect to server spare");
    stage.target.start_again();
    let unknown = ["restore", &stage.bk_id, "--into", "spar"];
    stage
        .workspace
        .mykeeper(&unknown)
        .assert_code(2)
        .assert_says("did you mean \"spare\"?");
    let nobody = [
        "restore",
        "0192d3a0-0000-7000-8000-000000000000",
        "--into",
        "spare",
    ];
    stage
        .workspace
        .mykeeper(&nobody)
        .assert_code(2)
        .assert_says("knows no set");
    stage
        .restore(&["--from", "destinaton"])
        .assert_code(2)
        .assert_says("did you mean \"destination\"?");
    std::fs::rename(stage.set(), stage.workspace.at("elsewhere")).unwrap();
    stage
        .restore(&[])
        .assert_code(3)
        .assert_says("is not on this machine");
    assert_eq!(stage.databases(), BTreeSet::new());
}

#[test]
fn a_server_that_does_not_know_what_the_set_holds_is_not_written_to() {
    let mut stage = Stage::with(
        "CREATE TABLE shop_old.peers (id INT PRIMARY KEY, at INET6); INSERT INTO shop_old.peers VALUES (1, '::7')",
        "[\"shop_old\"]",
        "all",
    );
    stage.target.pretend("10.4.1-MariaDB");
    let words =
        "is not restored: database shop_old has a column of type INET6, which server spare, 10.4.1-MariaDB";
    for more in [
        &[][..],
        &["--dry-run"],
        &["--database", "shop_old", "--as", "copy"],
    ] {
        stage.restore(more).assert_code(2).assert_says(words);
    }
    assert_eq!(stage.databases(), BTreeSet::new());
    // It knows all that another table has; of another series, it may print definitions otherwise.
    let orders = stage.restore(&["--table", "shop_old.orders"]);
    orders
        .assert_code(4)
        .assert_says("1 object and 100 rows as they were");
    assert_eq!(stage.target.value("SHOW TABLES FROM shop_old"), "orders");
}

#[test]
fn what_does_not_come_back_as_it_was_is_told() {
    // A view on another database, a definer of its own, an event that is over, routines in other modes.
    let stage = Stage::with(
        "CREATE DATABASE crm; CREATE TABLE crm.people (id INT); CREATE USER app@localhost; \
         CREATE DATABASE odd; CREATE TABLE odd.t (id INT PRIMARY KEY); INSERT INTO odd.t VALUES (0), (1); \
         CREATE VIEW odd.a AS SELECT * FROM odd.t; CREATE VIEW odd.people AS SELECT id FROM crm.people; \
         CREATE DEFINER=app@localhost VIEW odd.z AS SELECT id FROM odd.a; \
         CREATE EVENT odd.once ON SCHEDULE AT '2037-01-01 00:00:00' DO SELECT 1; \
         SET GLOBAL event_scheduler = OFF; SET timestamp = 1; \
         CREATE EVENT odd.gone ON SCHEDULE AT '2001-01-01 00:00:00' DO SELECT 1; \
         CREATE EVENT odd.kept ON SCHEDULE AT '2001-01-01 00:00:00' ON COMPLETION PRESERVE DO SELECT 1; SET timestamp = DEFAULT; \
         SET sql_mode='ANSI_QUOTES'; CREATE FUNCTION odd.f() RETURNS INT READS SQL DATA RETURN (SELECT COUNT(*) FROM \"odd\".\"t\"); \
         SET sql_mode='NO_BACKSLASH_ESCAPES'; CREATE FUNCTION odd.g() RETURNS TEXT NO SQL RETURN 'a\\';",
        "[\"odd\"]",
        "all",
    );
    let restored = stage.restore(&["--json"]);
    restored.assert_code(4);
    stage.assert_equal(&["odd"]);
    let report = restored.json();
    let warnings = report["restored"]["warnings"].to_string();
    assert!(warnings.contains("view people is left out"), "{warnings}");
    assert!(warnings.contains("'app'@'localhost'"), "{warnings}");
    // What a server does not keep is not lost silently.
    for said in ["event gone was due once", "event kept is disabled"] {
        assert!(warnings.contains(said), "{warnings}");
    }
    let events =
        "SELECT event_name, status FROM information_schema.events WHERE event_schema = 'odd' ORDER BY 1";
    assert_eq!(
        stage.target.query(events).concat(),
        ["kept", "DISABLED", "once", "ENABLED"]
    );
    assert_eq!(stage.target.value("SELECT odd.f()"), "2");
    assert_eq!(stage.target.value("SELECT odd.g()"), "a\\");
    assert_eq!(stage.target.value("SHOW EVENTS FROM odd"), "odd");

    // What the account may not is said before anything is dropped.
    stage
        .target
        .sql("DROP USER restorer@localhost, restorer@'127.0.0.1', restorer@'%'");
    stage
        .target
        .account("restorer", &stage.secret, "ALL PRIVILEGES ON odd.*");
    stage.target.sql("DELETE FROM odd.t WHERE id = 1");
    let refused = stage.restore(&["--overwrite"]);
    refused
        .assert_code(2)
        .assert_says("may not define in the name of others")
        .assert_says("nothing was written");
    assert_eq!(stage.target.value("SELECT COUNT(*) FROM odd.t"), "1");
    // Where nobody can give it that: all else comes, and the run fails.
    let failed = stage.restore(&["--overwrite", "--despite-missing-rights"]);
    failed
        .assert_code(1)
        .assert_says("but not as it was")
        .assert_says("view z");
    assert_eq!(stage.target.value("SELECT COUNT(*) FROM odd.t"), "2");
}

#[test]
fn a_restore_that_is_stopped_says_what_is_half_done_and_leaves_no_client() {
    let stage = Stage::with("", "[\"shop\", \"shop_old\"]", "all");
    stage
        .target
        .sql("CREATE DATABASE shop; CREATE TABLE shop.mine (id INT)");
    let asked = |what: &str| {
        let list = "SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE";
        stage.target.value(&format!("{list} '{what}%'")) != "0"
    };
    std::thread::scope(|scope| {
        // As long as this holds, nothing is dropped or made.
        scope.spawn(|| {
            stage
                .target
                .sql("FLUSH TABLES WITH READ LOCK; DO SLEEP(6); UNLOCK TABLES");
        });
        wait_until(LIMIT, "the lock is held", || asked("DO SLEEP").then_some(()));
        let arguments = ["restore", &stage.bk_id, "--into", "spare", "--overwrite"];
        let started = stage.workspace.start_mykeeper(&arguments);
        wait_until(LIMIT, "the client asks for the drop", || {
            asked("DROP DATABASE").then_some(())
        });
        let below = descendants_of(started.pid());
        assert!(below.iter().any(|process| process.name == "mariadb"), "{below:?}");
        started.signal(Signal::INT);
        let stopped = started.finish();
        stopped.assert_code(130);
        stopped
            .assert_says("shop: what was there is dropped, or half so")
            .assert_says("shop_old: untouched");
        assert!(!below.iter().any(ProcessId::is_alive), "{below:?}");
    });
    let run = stage.workspace.only_run_of("restore into spare");
    assert_eq!(run["state"], "cancelled");
    stage.nothing_is_left();
    unproven_alone(&stage.restore(&["--overwrite"]));
    stage.assert_equal(&["shop", "shop_old"]);
}
