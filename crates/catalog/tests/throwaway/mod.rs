//! A server of the test's own: private directory, socket only, gone when dropped.

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Whose server it is.
enum Make {
    MariaDb,
    /// Of MySQL's own: Debian 12 has none, so a tester names its program.
    MySql(PathBuf),
}

pub(crate) struct Server {
    make: Make,
    directory: TempDir,
    server: Option<Child>,
    /// Where it listens besides its socket, from the next `run` on.
    pub(crate) port: Option<u16>,
}

/// How long it may take until there is something to see.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// What is looked for, once it is there; until then each look tells what there is instead.
pub(crate) async fn poll<T>(mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(instead) => assert!(begun.elapsed() < SEEN_WITHIN, "still {instead}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn program(name: &str) -> PathBuf {
    ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/usr/libexec"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{name} is not installed: apt-get install mariadb-server"))
}

fn account() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Server {
    pub(crate) async fn mariadb() -> Self {
        Self::start(Make::MariaDb).await
    }

    /// `MYKEEPER_TEST_MYSQLD=/path/to/mysqld`, of MySQL 8 or later; `None`, and that is said, where it is not set.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test may be run with a server that the machine does not come with, and says where it was not"
    )]
    pub(crate) async fn mysql() -> Option<Self> {
        let Some(program) = std::env::var_os("MYKEEPER_TEST_MYSQLD") else {
            let skipped = b"SKIPPED: MYKEEPER_TEST_MYSQLD names no mysqld of MySQL 8 or later\n";
            std::io::stderr().write_all(skipped).unwrap();
            return None;
        };
        Some(Self::start(Make::MySql(PathBuf::from(program))).await)
    }

    async fn start(make: Make) -> Self {
        // A socket's path has at most 107 characters.
        let directory = tempfile::Builder::new().prefix("mkc").tempdir_in("/tmp").unwrap();
        // Of its own: a starting server removes the temporary tables of others from a folder that they share.
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        let mut server = Self {
            make,
            directory,
            server: None,
            port: None,
        };
        let mut making = match &server.make {
            Make::MariaDb => server.command(&program("mariadb-install-db")),
            Make::MySql(program) => server.command(program),
        };
        let made = making
            .args(match &server.make {
                Make::MariaDb => &["--auth-root-authentication-method=normal", "--skip-test-db"][..],
                Make::MySql(_) => &["--initialize-insecure", "--secure-file-priv=", "--mysqlx=OFF"],
            })
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.run().await;
        server
    }

    /// A program with the folders of this server.
    fn command(&self, program: &Path) -> Command {
        let at = |name: &str| self.directory.path().join(name).display().to_string();
        let mut command = Command::new(program);
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", at("data")))
            .arg(format!("--tmpdir={}", at("tmp")))
            .arg(format!("--user={}", account()))
            .stdin(Stdio::null());
        command
    }

    pub(crate) async fn run(&mut self) {
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let mut command = match &self.make {
            Make::MariaDb => self.command(&program("mariadbd")),
            Make::MySql(program) => self.command(program),
        };
        if matches!(self.make, Make::MySql(_)) {
            command.args(["--secure-file-priv=", "--mysqlx=OFF"]);
        }
        let child = command
            .arg(format!("--socket={}", self.socket().display()))
            .arg(format!(
                "--pid-file={}",
                self.directory.path().join("pid").display()
            ))
            .args(match self.port {
                // Who comes by it is at 127.0.0.1, which is not localhost.
                Some(port) => vec![
                    format!("--port={port}"),
                    "--bind-address=127.0.0.1".to_owned(),
                    "--skip-name-resolve".to_owned(),
                ],
                None => vec!["--skip-networking".to_owned()],
            })
            .args(["--skip-log-bin", "--innodb-buffer-pool-size=64M"])
            .args([
                "--innodb-flush-log-at-trx-commit=2",
                "--sync-binlog=0",
                "--performance-schema=OFF",
            ])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let (options, log) = (self.options("mysql"), self.directory.path().join("log"));
        let server = self.server.insert(child);
        poll(async || {
            if let Ok(connection) = MySqlConnection::connect_with(&options).await {
                // MySQL may hang up first.
                drop(connection.close().await);
                return Ok(());
            }
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(server.try_wait().unwrap().is_none(), "the server ended: {log}");
            Err(format!("the server does not answer: {log}"))
        })
        .await;
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("s")
    }

    pub(crate) fn options(&self, database: &str) -> MySqlConnectOptions {
        MySqlConnectOptions::new()
            .socket(self.socket())
            .username("root")
            .database(database)
    }

    pub(crate) fn url(&self, user: &str, database: &str) -> String {
        format!(
            "mysql://{user}@localhost/{database}?socket={}",
            self.socket().display()
        )
    }

    pub(crate) async fn session(&self, database: &str) -> MySqlConnection {
        MySqlConnection::connect_with(&self.options(database))
            .await
            .unwrap()
    }

    /// Runs statements, without preparing them.
    pub(crate) async fn sql(&self, database: &str, statements: &str) {
        let mut session = self.session(database).await;
        session
            .execute(AssertSqlSafe(statements.to_owned()))
            .await
            .unwrap_or_else(|e| panic!("{e}: {statements}"));
        drop(session.close().await);
    }

    /// `STOP` returns when every thread stands still.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.server.as_ref().unwrap().id();
        let status = Command::new("kill")
            .arg(format!("-{signal}"))
            .arg(pid.to_string())
            .status()
            .unwrap();
        assert!(status.success());
        let stopped = |task: std::fs::DirEntry| {
            let line = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            line.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        };
        let begun = Instant::now();
        while signal == "STOP"
            && !std::fs::read_dir(format!("/proc/{pid}/task"))
                .unwrap()
                .all(|task| stopped(task.unwrap()))
        {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "the server does not stop"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// As a crash does.
    pub(crate) fn kill(&mut self) {
        if self.server.is_some() {
            self.signal("KILL");
        }
        if let Some(mut server) = self.server.take() {
            server.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
