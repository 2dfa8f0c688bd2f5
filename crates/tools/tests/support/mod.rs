//! A real MariaDB server for one test, in a folder of its own, and what a dump needs around it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where its stage does not stand"
)]

use mykeeper_domain::SystemClock;
use mykeeper_domain::checksum::ChecksumLimit;
use mykeeper_domain::inventory::Inventory;
use mykeeper_domain::job::{Consistency, LockPolicy, MydumperOption};
use mykeeper_domain::packing::Packing;
use mykeeper_domain::server::{Endpoint, PasswordSource, Tls};
use mykeeper_supervise::{Limits, ShimCommand, Supervisor};
use mykeeper_tools::mydumper::{DumpEnv, DumpRequest, DumpResult, MydumperInfo, detect_mydumper, run_dump};
use mykeeper_tools::{Progress, RunLog, ServerConnection, ToolError};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Where each test may lay its own folder.
pub(crate) fn tempdir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("mkt").tempdir().unwrap()
}

/// A running server; gone with its value.
pub(crate) struct Server {
    dir: tempfile::TempDir,
    child: Child,
}

impl Server {
    /// Starts one, with a binary log and without durability, and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(more: &[&str]) -> Self {
        Self::start_within(&[], more)
    }

    /// Behind another program, with its arguments, that starts the server in surroundings of its own.
    pub(crate) fn start_within(behind: &[&str], more: &[&str]) -> Self {
        let dir = tempdir();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // A starting server deletes what others keep in a temporary folder that they share.
        fs::create_dir(dir.path().join("tmp")).unwrap();
        let data = dir.path().join("data");
        let installed = Command::new("mariadb-install-db")
            .args([
                "--no-defaults",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
                "--user=root",
            ])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--tmpdir={}", dir.path().join("tmp").display()))
            .env("TMPDIR", dir.path().join("tmp"))
            .output()
            .unwrap();
        assert!(installed.status.success(), "mariadb-install-db: {installed:?}");
        let child = spawn(dir.path(), behind, more);
        let server = Self { dir, child };
        server.wait();
        server
    }

    fn wait(&self) {
        for _ in 0..600 {
            if self.try_sql("SELECT 1").is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!(
            "the server did not start: {}",
            fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
        );
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    /// Runs statements as root.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_sql(&self, sql: &str) -> Result<String, String> {
        let mut child = Command::new("mariadb")
            .args(["--no-defaults", "-uroot", "--default-character-set=utf8mb4", "-N"])
            .arg(format!("--socket={}", self.socket().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let sql = sql.to_owned();
        let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, sql.as_bytes()));
        let output = child.wait_with_output().unwrap();
        drop(writer.join());
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// An account with these rights, as a connection.
    pub(crate) fn account(&self, user: &str, password: &str, grants: &[&str]) -> ServerConnection {
        let quoted = password.replace('\\', "\\\\").replace('\'', "''");
        self.sql(&format!(
            "SET SESSION sql_mode=''; CREATE OR REPLACE USER {user}@localhost IDENTIFIED BY '{quoted}'"
        ));
        for grant in grants {
            self.sql(&format!("GRANT {grant} TO {user}@localhost"));
        }
        self.connection(user, password)
    }

    pub(crate) fn connection(&self, user: &str, password: &str) -> ServerConnection {
        ServerConnection {
            name: "shop".into(),
            endpoint: Endpoint::Socket(self.socket()),
            user: user.into(),
            password: Some(password.to_owned().into()),
            password_source: PasswordSource::None,
            tls: Tls::default(),
        }
    }

    /// An account that may do everything.
    pub(crate) fn admin(&self) -> ServerConnection {
        self.account("dba", "geheim", &["ALL PRIVILEGES ON *.*"])
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn spawn(dir: &Path, behind: &[&str], more: &[&str]) -> Child {
    let log = fs::File::create(dir.join("log")).unwrap();
    let mut words = behind.iter().chain(&["mariadbd"]);
    Command::new(words.next().unwrap())
        .args(words)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", dir.join("data").display()))
        .arg(format!("--socket={}", dir.join("s").display()))
        .arg(format!("--tmpdir={}", dir.join("tmp").display()))
        .args([
            "--user=root",
            "--skip-networking",
            "--log-bin=bin",
            "--server-id=1",
            "--event-scheduler=ON",
        ])
        .args([
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=32M",
            "--innodb-flush-log-at-trx-commit=0",
        ])
        .args([
            "--skip-innodb-doublewrite",
            "--sync-binlog=0",
            "--performance-schema=OFF",
            "--innodb-log-file-size=32M",
        ])
        .args(more)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Keeps every line and every progress.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) lines: Mutex<Vec<String>>,
    pub(crate) progress: Mutex<Vec<u64>>,
}

impl Log {
    pub(crate) fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

impl RunLog for Log {
    fn line(&self, source: &str, text: &str) {
        self.lines.lock().unwrap().push(format!("{source}: {text}"));
    }

    fn progress(&self, progress: Progress) {
        self.progress.lock().unwrap().push(progress.done_bytes);
    }
}

pub(crate) fn supervisor() -> Supervisor {
    let shim = ShimCommand {
        program: env!("CARGO_BIN_EXE_tools-test-shim").into(),
        args: Vec::new(),
    };
    let path = (
        "PATH".into(),
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into(),
    );
    Supervisor::new(shim, vec![path])
}

/// The installed mydumper; another one when `MYKEEPER_TEST_MYDUMPER` names it.
pub(crate) fn mydumper_program() -> PathBuf {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test may be run with another mydumper than the installed one"
    )]
    std::env::var_os("MYKEEPER_TEST_MYDUMPER").map_or_else(|| "mydumper".into(), PathBuf::from)
}

/// Everything around one dump, changed by a test as it needs.
pub(crate) struct Dump {
    _dir: tempfile::TempDir,
    pub(crate) set_dir: PathBuf,
    pub(crate) private_dir: PathBuf,
    pub(crate) program: PathBuf,
    pub(crate) databases: Vec<String>,
    pub(crate) options: Vec<MydumperOption>,
    pub(crate) consistency: Consistency,
    pub(crate) limits: Limits,
    pub(crate) lock: LockPolicy,
    pub(crate) checksum: ChecksumLimit,
    pub(crate) packing: Option<Packing>,
    pub(crate) chunk_bytes: Option<u64>,
    pub(crate) cancel: CancellationToken,
    pub(crate) log: Log,
}

impl Dump {
    pub(crate) fn of(databases: &[&str], options: &[&str]) -> Self {
        let dir = tempdir();
        let (set_dir, private_dir) = (dir.path().join("set"), dir.path().join("private"));
        fs::create_dir(&set_dir).unwrap();
        fs::DirBuilder::new().mode(0o700).create(&private_dir).unwrap();
        Self {
            _dir: dir,
            set_dir,
            private_dir,
            program: mydumper_program(),
            databases: databases.iter().map(|name| (*name).to_owned()).collect(),
            options: options.iter().map(|text| option(text)).collect(),
            consistency: Consistency::All,
            limits: Limits {
                timeout: Some(Duration::from_secs(300)),
                stall: Some(Duration::from_secs(120)),
                grace: Duration::from_secs(5),
            },
            lock: LockPolicy::default(),
            checksum: ChecksumLimit::DEFAULT,
            packing: None,
            chunk_bytes: None,
            cancel: CancellationToken::new(),
            log: Log::default(),
        }
    }

    /// With everything that can be asked for.
    pub(crate) fn full(databases: &[&str]) -> Self {
        Self::of(
            databases,
            &["compress", "triggers", "routines", "events", "threads=2"],
        )
    }

    pub(crate) async fn info(&self) -> Result<MydumperInfo, ToolError> {
        detect_mydumper(&supervisor(), &self.program).await
    }

    pub(crate) async fn run(&self, connection: &ServerConnection) -> Result<DumpResult, ToolError> {
        let info = self.info().await?;
        let supervisor = supervisor();
        let request = DumpRequest {
            info: &info,
            connection,
            databases: &self.databases,
            consistency: self.consistency,
            options: &self.options,
            tables: None,
            set_dir: &self.set_dir,
            private_dir: &self.private_dir,
            limits: self.limits.clone(),
            lock: self.lock,
            checksum: self.checksum,
            packing: self.packing,
            chunk_bytes: self.chunk_bytes,
            keep_free_bytes: 0,
            finished: None,
        };
        let env = DumpEnv {
            supervisor: &supervisor,
            cancel: self.cancel.clone(),
            log: &self.log,
            clock: &SystemClock,
        };
        let result = run_dump(&request, &env).await;
        let left: Vec<_> = fs::read_dir(&self.private_dir).unwrap().collect();
        assert!(left.is_empty(), "an option file is left: {left:?}");
        result
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(&self.set_dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn option(text: &str) -> MydumperOption {
    match text.split_once('=') {
        Some((name, value)) => MydumperOption {
            name: name.into(),
            value: Some(value.into()),
        },
        None => MydumperOption {
            name: text.into(),
            value: None,
        },
    }
}

/// All that speaks against the parts of a set.
pub(crate) fn reasons(result: &DumpResult) -> Vec<String> {
    result
        .parts
        .iter()
        .flat_map(|part| part.reasons.clone())
        .collect()
}

/// Rows that the set holds of a table.
pub(crate) fn rows(inventory: &Inventory, database: &str, table: &str) -> Option<u64> {
    inventory.databases[database].tables[table].rows
}

/// Databases with every kind of object and name that has made trouble.
pub(crate) const AWKWARD: &str = r#"
CREATE DATABASE shop; CREATE DATABASE shop2; CREATE DATABASE `shop.eu`; CREATE DATABASE `日志 库-1`;
CREATE DATABASE `a$b`; CREATE DATABASE `has space`; CREATE DATABASE empty_one; CREATE DATABASE Shop;
USE shop;
CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, t TEXT, d DATETIME DEFAULT '0000-00-00 00:00:00');
INSERT INTO orders (t) VALUES ('a),(b'), ('it''s "x" \\ ; -- '), (NULL), ('#'), ('/*'), ('\\'), ('),(),(');
INSERT INTO orders (t) SELECT CONCAT('row ', seq, '),("') FROM seq_1_to_20000;
CREATE TABLE audit (id INT);
CREATE TABLE ms (id INT) ENGINE=MyISAM; INSERT INTO ms VALUES (1), (2); CREATE TABLE ms_empty (id INT) ENGINE=MyISAM;
CREATE TABLE ar (id INT) ENGINE=Aria; INSERT INTO ar VALUES (1);
CREATE TABLE types (j JSON, b BIT(8), f FLOAT, e ENUM('甲','乙'), x BLOB, dt DATETIME(6), z DATE);
INSERT INTO types VALUES ('{"a":"),(("}', b'101', 1.5, '甲', UNHEX('00225C27605C0A0D1A29282C'), '2026-01-01 00:00:00.123456', '0000-00-00');
INSERT INTO types (x) SELECT CHAR(seq) FROM seq_0_to_255;
CREATE TABLE gen (a INT, b INT AS (a + 1) STORED, c INT AS (a + 2)); INSERT INTO gen (a) VALUES (1), (2), (3);
CREATE TABLE part (id INT, v INT) PARTITION BY HASH (id) PARTITIONS 3; INSERT INTO part SELECT seq, seq FROM seq_1_to_9;
CREATE TABLE `od.d tbl-x` (id INT); INSERT INTO `od.d tbl-x` VALUES (3);
CREATE VIEW v1 AS SELECT * FROM orders; CREATE VIEW v2 AS SELECT id FROM v1;
CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW SET NEW.t = NEW.t;
CREATE PROCEDURE p1() SELECT 1; CREATE FUNCTION f1() RETURNS INT DETERMINISTIC RETURN 1;
CREATE EVENT e1 ON SCHEDULE EVERY 1 DAY DO SELECT 1;
CREATE SEQUENCE s1;
USE shop2; CREATE TABLE orders (id INT); INSERT INTO orders VALUES (9);
USE `shop.eu`; CREATE TABLE t (id INT); INSERT INTO t VALUES (1);
USE `日志 库-1`; CREATE TABLE `表 一` (id INT, e ENUM('甲','乙')); INSERT INTO `表 一` VALUES (1, '甲');
CREATE PROCEDURE `过程`() SELECT 1; CREATE VIEW `视` AS SELECT * FROM `表 一`;
CREATE TRIGGER `触` BEFORE INSERT ON `表 一` FOR EACH ROW SET NEW.id = NEW.id;
USE `a$b`; CREATE TABLE t (id INT); INSERT INTO t VALUES (1), (2);
USE `has space`; CREATE TABLE `t t` (id INT); INSERT INTO `t t` VALUES (1);
USE Shop; CREATE TABLE big (id INT); INSERT INTO big VALUES (1);
"#;

/// The names of [`AWKWARD`], but those that a dump of these must not touch.
pub(crate) const AWKWARD_NAMES: [&str; 5] = ["shop", "日志 库-1", "a$b", "has space", "empty_one"];
