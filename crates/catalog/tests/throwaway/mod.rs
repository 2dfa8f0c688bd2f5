//! A MariaDB server of the test's own: private directory, socket only, gone when dropped.

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) struct MariaDb {
    directory: TempDir,
    server: Option<Child>,
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

impl MariaDb {
    pub(crate) async fn start() -> Self {
        // A socket's path has at most 107 characters.
        let directory = tempfile::Builder::new().prefix("mkc").tempdir_in("/tmp").unwrap();
        // Of its own: a starting server removes the temporary tables of others from a folder that they share.
        std::fs::create_dir(directory.path().join("tmp")).unwrap();
        let installed = Command::new(program("mariadb-install-db"))
            .arg("--no-defaults")
            .arg(format!("--datadir={}", directory.path().join("data").display()))
            .arg(format!("--tmpdir={}", directory.path().join("tmp").display()))
            .arg(format!("--user={}", account()))
            .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(
            installed.status.success(),
            "{}",
            String::from_utf8_lossy(&installed.stderr)
        );
        let mut server = Self {
            directory,
            server: None,
        };
        server.run().await;
        server
    }

    pub(crate) async fn run(&mut self) {
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let child = Command::new(program("mariadbd"))
            .arg("--no-defaults")
            .arg(format!(
                "--datadir={}",
                self.directory.path().join("data").display()
            ))
            .arg(format!("--socket={}", self.socket().display()))
            .arg(format!(
                "--tmpdir={}",
                self.directory.path().join("tmp").display()
            ))
            .arg(format!(
                "--pid-file={}",
                self.directory.path().join("pid").display()
            ))
            .arg(format!("--user={}", account()))
            .args([
                "--skip-networking",
                "--skip-log-bin",
                "--innodb-buffer-pool-size=64M",
            ])
            .args([
                "--innodb-flush-log-at-trx-commit=2",
                "--sync-binlog=0",
                "--performance-schema=OFF",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(child);
        let begun = Instant::now();
        loop {
            if let Ok(connection) = MySqlConnection::connect_with(&self.options("mysql")).await {
                connection.close().await.unwrap();
                return;
            }
            let ended = self.server.as_mut().unwrap().try_wait().unwrap();
            let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
            assert!(ended.is_none(), "mariadbd ended: {log}");
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "mariadbd does not answer: {log}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
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
        session.close().await.unwrap();
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
                "mariadbd does not stop"
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

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}
