//! Sets of the real mydumper, put into another real server.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "shared with tests that need other parts of it")]
mod support;

use mykeeper_domain::SystemClock;
use mykeeper_domain::ids::{BackupId, NodeName};
use mykeeper_domain::sandbox::Sandbox;
use mykeeper_supervise::Limits;
use mykeeper_tools::prove::ProveRequest;
use mykeeper_tools::restore::{
    DataDir, RestoreRequest, Restored, Scope, check_set, look_at_target, restore_set,
};
use mykeeper_tools::{ServerConnection, ToolEnv, ToolError};
use std::path::{Path, PathBuf};
use std::time::Duration;
use support::{AWKWARD, AWKWARD_NAMES, Dump, Log, Server, supervisor, tempdir};
use tokio_util::sync::CancellationToken;

/// Everything around one restore. The set has no evidence: its files speak for it, as with sets of pybackup's.
struct Stage {
    dump: Dump,
    private: tempfile::TempDir,
    log: Log,
    cancel: CancellationToken,
    overwrite: bool,
}

impl Stage {
    async fn of(source: &Server, databases: &[&str]) -> Self {
        let dump = Dump::full(databases);
        let result = dump.run(&source.admin()).await.unwrap();
        assert_eq!(result.complete, [true], "{:?}", support::reasons(&result));
        let (private, log) = (tempdir(), Log::default());
        Self {
            dump,
            private,
            log,
            cancel: CancellationToken::new(),
            overwrite: false,
        }
    }

    async fn put_into(&self, connection: &ServerConnection) -> Result<Restored, ToolError> {
        self.put_by(connection, connection).await
    }

    /// Looks at the server over one connection, and loads over another.
    async fn put_by(
        &self,
        look: &ServerConnection,
        connection: &ServerConnection,
    ) -> Result<Restored, ToolError> {
        let supervisor = supervisor();
        let env = ToolEnv {
            supervisor: &supervisor,
            cancel: self.cancel.clone(),
            log: &self.log,
            clock: &SystemClock,
        };
        let limits = Limits {
            timeout: None,
            stall: Some(Duration::from_secs(60)),
            grace: Duration::from_secs(2),
        };
        let sandbox = Sandbox {
            server: PathBuf::new(),
            directory: PathBuf::new(),
            memory_bytes: 0,
            threads: 3,
            nice: 5,
        };
        let set = ProveRequest {
            bk_id: BackupId::generate(),
            run_id: None,
            node: &NodeName::new("here").unwrap(),
            set_dir: &self.dump.set_dir,
            evidence: None,
            files: &[],
            beside: &[],
            recorded_size: None,
            manifest_blake3: None,
            databases: &self.dump.databases,
            sandbox: &sandbox,
            myloader: Path::new("myloader"),
            asserts: &[],
            limits: &limits,
        };
        let scope = Scope::whole(self.dump.databases.clone());
        let checked = check_set(&set, &scope, &env).await?;
        assert_eq!(checked.differences, []);
        let target = look_at_target(look, &scope.names_there()).await?;
        let request = RestoreRequest {
            set,
            scope: &scope,
            overwrite: self.overwrite,
            connection,
            private_dir: self.private.path(),
        };
        let restored = restore_set(&request, (&checked, &target), &env).await;
        let left: Vec<_> = std::fs::read_dir(self.private.path()).unwrap().collect();
        assert!(left.is_empty(), "private files are left: {left:?}");
        restored
    }

    /// Returns once rows have begun to flow.
    async fn loading(&self) {
        while self
            .log
            .progress
            .lock()
            .unwrap()
            .iter()
            .all(|done| *done < 1_000_000)
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Rows enough for someone to come in between.
const LARGE: &str = "CREATE DATABASE big; USE big; CREATE TABLE big.t (id INT PRIMARY KEY, b LONGBLOB); \
                     INSERT INTO big.t SELECT seq, REPEAT(SHA2(seq, 512), 3000) FROM seq_1_to_150; \
                     CREATE TABLE big.small (id INT); INSERT INTO big.small VALUES (1)";

fn checksums(server: &Server, databases: &[&str]) -> Vec<String> {
    let list: Vec<String> = databases.iter().map(|name| format!("'{name}'")).collect();
    let tables = server.sql(&format!(
        "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables \
         WHERE table_type='BASE TABLE' AND CAST(table_schema AS BINARY) IN ({}) ORDER BY 1",
        list.join(",")
    ));
    tables
        .lines()
        .map(|table| server.sql(&format!("CHECKSUM TABLE {table} EXTENDED")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_table_and_name_comes_back() {
    let source = Server::start_with(&["--sql-mode="]);
    source.sql(AWKWARD);
    source.sql(
        "USE shop;\nDELIMITER //\n\
         CREATE PROCEDURE talk()\nBEGIN\n  -- it's a \"comment\"; within\n  SELECT 'a;b', \"it's\" /* ; */;\n  # done;\nEND//\n\
         CREATE TABLE t_1 (id INT)//\nCREATE TABLE t11 (id INT)//\n\
         CREATE TRIGGER on_1 BEFORE INSERT ON t_1 FOR EACH ROW SET NEW.id = NEW.id + 1//\n\
         CREATE TRIGGER on_11 BEFORE INSERT ON t11 FOR EACH ROW SET NEW.id = NEW.id + 2//\n\
         SET sql_mode = 'ALLOW_INVALID_DATES'//\nCREATE TABLE days (day DATE DEFAULT '2020-02-31')//\n\
         INSERT INTO days VALUES ('2020-02-30')//\nSET sql_mode = ''//\n\
         SET NAMES latin1//\nCREATE FUNCTION latin() RETURNS TEXT NO SQL RETURN '\u{e4}\u{f6}'//\n",
    );
    let target = Server::start();
    let stage = Stage::of(&source, &AWKWARD_NAMES).await;
    let restored = stage.put_into(&target.admin()).await.unwrap();
    assert!(restored.is_whole(), "{restored:#?}");
    assert_eq!(restored.warnings, [""; 0]);
    assert_eq!(
        checksums(&target, &AWKWARD_NAMES),
        checksums(&source, &AWKWARD_NAMES)
    );
    assert_eq!(
        target.sql("SELECT shop.latin()"),
        source.sql("SELECT shop.latin()")
    );
    assert_eq!(target.sql("CALL shop.talk()"), source.sql("CALL shop.talk()"));
    assert_eq!(
        target.sql("SELECT NEXTVAL(shop.s1)"),
        source.sql("SELECT NEXTVAL(shop.s1)")
    );
    let default = "SHOW CREATE DATABASE `日志 库-1`";
    assert_eq!(target.sql(default), source.sql(default));
}

/// Values that are written otherwise, and definitions that are read otherwise, where these modes are in force.
const UNUSUAL_MODES: &str = "--sql-mode=NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH";
const BACKSLASHES: &str = r#"SET SESSION sql_mode = ''; CREATE DATABASE modes; USE modes;
    CREATE TABLE v (id INT PRIMARY KEY, t TEXT, c CHAR(10), b VARBINARY(20), e ENUM('it''s', 'a\\b', '"') DEFAULT 'a\\b');
    INSERT INTO v VALUES (1, 'it''s', 'two  ', 'a\0b', 'it''s'), (2, 'a\\b', '', '\\', 'a\\b'), (3, 'ends in \\', '\\', '"', '"'),
      (4, 'say "x"', '\'', '\Z\r\n\t', NULL), (5, '\\n', 'x', '\\\'', 'it''s'), (6, '\\', '"', '\'\\', '"'), (7, '', '', '', NULL);
    CREATE TABLE `quo"ted` (`c"d` INT, KEY `k"` (`c"d`)); INSERT INTO `quo"ted` VALUES (1), (2);
    CREATE VIEW w AS SELECT CONCAT('\\', '"') AS q, id FROM v;
    CREATE TRIGGER tr BEFORE INSERT ON v FOR EACH ROW SET NEW.t = CONCAT(NEW.t, 'it''s');
    CREATE FUNCTION f() RETURNS TEXT DETERMINISTIC RETURN 'it''s';"#;
const ALL_VALUES: &str = "SET SESSION sql_mode = ''; SELECT id, HEX(t), HEX(c), HEX(b), HEX(e) FROM modes.v ORDER BY id; \
    SELECT HEX(q), id FROM modes.w ORDER BY id; SELECT COUNT(*) FROM modes.`quo\"ted`; SELECT HEX(modes.f()); \
    SHOW CREATE TABLE modes.v; SHOW CREATE TABLE modes.`quo\"ted`; SHOW CREATE VIEW modes.w";

/// A dump takes what the server holds whatever modes are the server's own, and a restore brings it to any server.
#[tokio::test(flavor = "multi_thread")]
async fn values_come_back_from_and_to_servers_of_any_mode() {
    let unusual = Server::start_with(&[UNUSUAL_MODES]);
    let usual = Server::start_with(&["--sql-mode="]);
    unusual.sql(BACKSLASHES);
    usual.sql(BACKSLASHES);
    let expected = usual.sql(ALL_VALUES);
    assert_eq!(unusual.sql(ALL_VALUES), expected);
    let stage = Stage::of(&unusual, &["modes"]).await;
    for target in [usual, unusual] {
        target.sql("DROP DATABASE modes");
        let restored = stage.put_into(&target.admin()).await.unwrap();
        assert!(restored.is_whole(), "{restored:#?}");
        assert_eq!(target.sql(ALL_VALUES), expected);
        target.sql("SET SESSION sql_mode = ''; INSERT INTO modes.v (id, t) VALUES (9, 'x')");
        assert_eq!(
            target.sql("SELECT HEX(t) FROM modes.v WHERE id = 9"),
            "7869742773\n"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn uuids_and_addresses_come_back_beside_bytes_and_text_of_any_character_set() {
    let source = Server::start();
    source.sql(
        "CREATE DATABASE typed; USE typed; SET NAMES utf8mb4;
         CREATE TABLE peers (id UUID PRIMARY KEY, four INET4 NOT NULL DEFAULT '10.0.0.1', six INET6, b BLOB,
           v VARBINARY(40), l VARCHAR(20) CHARACTER SET latin1, u VARCHAR(20) CHARACTER SET utf8mb4, via UUID);
         INSERT INTO peers VALUES ('123e4567-e89b-12d3-a456-426655440000', '192.168.1.7', '2001:db8::8329',
           UNHEX('00FF80225C270A2C28'), UNHEX('E4FC'), 'äöü', '日志', NULL), (UUID(), '0.0.0.0', NULL, '', '', '', '', UUID()),
           ('61626364-6566-6768-696a-6b6c6d6e6f70', '97.98.99.100', '::', '61626364', 'abcdefghijklmnop', NULL, NULL, NULL);
         CREATE TABLE made (b BLOB, id UUID NOT NULL DEFAULT UUID(), t VARCHAR(40) AS (id) STORED);
         INSERT INTO made (b, id) SELECT REPEAT(CHAR(seq % 256), 999), UUID() FROM seq_0_to_3000;",
    );
    let target = Server::start();
    let stage = Stage::of(&source, &["typed"]).await;
    let restored = stage.put_into(&target.admin()).await.unwrap();
    assert!(restored.is_whole(), "{restored:#?}");
    assert_eq!(restored.warnings, [""; 0]);
    assert_eq!(checksums(&target, &["typed"]), checksums(&source, &["typed"]));
    let all = "SELECT HEX(id), HEX(four), HEX(six), HEX(b), HEX(v), HEX(l), HEX(u), HEX(via) FROM typed.peers ORDER BY id";
    assert_eq!(target.sql(all), source.sql(all));
    assert_eq!(
        target.sql("SELECT COUNT(*) FROM typed.made WHERE t = id"),
        "3001\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_server_does_not_take_is_an_error_that_names_its_file() {
    let source = Server::start_with(&["--max-allowed-packet=16M"]);
    source.sql(LARGE);
    let target = Server::start_with(&["--max-allowed-packet=64K"]);
    let stage = Stage::of(&source, &["big"]).await;
    let error = stage.put_into(&target.admin()).await.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot load big.t.sql.gz into server shop: ERROR "),
        "{error}"
    );
    assert!(error.contains("max_allowed_packet"), "{error}");
    let log = stage.log.text();
    assert!(log.contains("big: half done: "), "{log}");
    assert!(!log.contains("INSERT INTO"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_log_in_has_dropped_nothing() {
    let server = Server::start();
    server.sql("CREATE DATABASE d; CREATE TABLE d.t (id INT); INSERT INTO d.t VALUES (1)");
    let mut stage = Stage::of(&server, &["d"]).await;
    stage.overwrite = true;
    let admin = server.admin();
    let error = stage
        .put_by(&admin, &server.connection("dba", "wrong"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("Access denied"), "{error}");
    let log = stage.log.text();
    assert!(log.contains("d: untouched") && !log.contains("dropped"), "{log}");
    assert_eq!(server.sql("SELECT * FROM d.t"), "1\n");
    stage.put_into(&admin).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_load_ends_at_once_and_says_how_far_it_has_come() {
    let source = Server::start();
    source.sql(LARGE);
    let target = Server::start();
    let stage = Stage::of(&source, &["big"]).await;
    let admin = target.admin();
    let (result, ()) = tokio::join!(stage.put_into(&admin), async {
        stage.loading().await;
        stage.cancel.cancel();
    });
    assert!(matches!(result, Err(ToolError::Cancelled { .. })), "{result:?}");
    assert!(
        stage.log.text().contains("mykeeper: big: "),
        "{}",
        stage.log.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_ends_the_restore() {
    let source = Server::start();
    source.sql(LARGE);
    let mut target = Server::start();
    let stage = Stage::of(&source, &["big"]).await;
    let admin = target.admin();
    let (result, ()) = tokio::join!(stage.put_into(&admin), async {
        stage.loading().await;
        target.kill();
    });
    let error = result.unwrap_err().to_string();
    assert!(error.contains("into server shop: ERROR 20"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_defined_is_told_and_the_rest_comes() {
    let source = Server::start_with(&["--log-bin-trust-function-creators=1"]);
    source.sql(
        "CREATE DATABASE d; USE d; CREATE TABLE t (id INT); INSERT INTO t VALUES (1); CREATE VIEW z AS SELECT * FROM t; \
         CREATE VIEW a AS SELECT * FROM z; CREATE FUNCTION f() RETURNS INT RETURN 1; CREATE FUNCTION g() RETURNS INT NO SQL RETURN 2; \
         CREATE EVENT once ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL 3 SECOND DO SELECT 1; \
         CREATE EVENT often ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    );
    let stage = Stage::of(&source, &["d"]).await;
    while !source.sql("SHOW EVENTS FROM d LIKE 'once'").is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Within the second in which it was due it is not past yet.
    let clock = || {
        source
            .sql("SELECT UNIX_TIMESTAMP()")
            .trim()
            .parse::<u64>()
            .unwrap()
    };
    let gone_at = clock();
    while clock() < gone_at + 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let target = Server::start();
    let restored = stage.put_into(&target.admin()).await.unwrap();
    assert_eq!(restored.warnings.len(), 1, "{restored:#?}");
    assert!(
        restored.warnings[0].contains("event once was due once"),
        "{restored:#?}"
    );
    assert_eq!(target.sql("SELECT COUNT(*) FROM d.a"), "1\n");
    assert_eq!(target.sql("SELECT d.g()"), "2\n");
    assert!(target.sql("SHOW EVENTS FROM d").contains("often"));
    let database = &restored.databases[0];
    assert!(
        database.refusals[0].contains("log_bin_trust_function_creators"),
        "{database:#?}"
    );
    let differences: Vec<String> = database.differences.iter().map(ToString::to_string).collect();
    assert_eq!(differences, ["d: function f: expected present, found missing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_a_container_is_not_taken_for_one_whose_data_lie_here() {
    let server = Server::start();
    let target = look_at_target(&server.admin(), &[]).await.unwrap();
    assert!(
        matches!(&target.data_dir, DataDir::Here(folder) if folder.is_dir()),
        "{:?}",
        target.data_dir
    );
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can make a process namespace");
        return;
    }
    // It shares the machine's name and its sockets, as one with the host's network does.
    let contained = Server::start_within(&["unshare", "--pid", "--fork", "--kill-child"], &[]);
    let target = look_at_target(&contained.admin(), &[]).await.unwrap();
    assert_eq!(
        target.data_dir,
        DataDir::Unknown("the server is in a container, or on another machine")
    );
}
