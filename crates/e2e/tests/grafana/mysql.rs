//! A throwaway server of MySQL's own, where a tester has one: Debian 12 has MariaDB alone.

use crate::every_panel_shows_it;
use crate::stage::Stage;
use mykeeper_e2e::{LIMIT, Scratch, free_port, wait_until};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A server on loopback; `root` has no password on its socket.
pub(crate) struct MySql {
    scratch: Scratch,
    port: u16,
    child: Child,
}

impl MySql {
    fn start(program: &PathBuf) -> Self {
        let scratch = Scratch::new();
        let command = || {
            let mut command = Command::new(program);
            command
                .args([
                    "--no-defaults",
                    "--user=root",
                    "--secure-file-priv=",
                    "--mysqlx=OFF",
                ])
                .arg(format!("--datadir={}", scratch.path().join("data").display()))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
        };
        let made = command().arg("--initialize-insecure").status().unwrap();
        assert!(made.success(), "{made}");
        let port = free_port();
        let child = command()
            .args([
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--skip-log-bin",
            ])
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", scratch.path().join("s").display()))
            .arg(format!("--pid-file={}", scratch.path().join("pid").display()))
            .spawn()
            .unwrap();
        let server = Self { scratch, port, child };
        wait_until(LIMIT, "a throwaway MySQL server answers", || {
            server.try_sql("SELECT 1").ok()
        });
        server
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Runs statements as root; what they print.
    pub(crate) fn sql(&self, statements: &str) -> String {
        self.try_sql(statements).unwrap_or_else(|error| {
            panic!("a statement failed on the test's own MySQL: {error}\n{statements}")
        })
    }

    fn try_sql(&self, statements: &str) -> Result<String, String> {
        let mut client = Command::new("mariadb")
            .args([
                "--no-defaults",
                "--batch",
                "--raw",
                "--skip-column-names",
                "--user=root",
            ])
            .arg("--default-character-set=utf8mb4")
            .arg(format!("--socket={}", self.scratch.path().join("s").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = client.stdin.take().unwrap();
        let written = input.write_all(statements.as_bytes());
        drop(input);
        let output = client.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match output.status.success() && written.is_ok() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        }
    }
}

impl Drop for MySql {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `MYKEEPER_TEST_MYSQLD=/path/to/mysqld`: one of MySQL 8 or later.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test may be run with a server that the machine does not come with, and says where it was not"
)]
fn every_panel_shows_the_same_on_mysql_itself() {
    let Some(program) = std::env::var_os("MYKEEPER_TEST_MYSQLD") else {
        eprintln!("SKIPPED: MYKEEPER_TEST_MYSQLD names no mysqld of MySQL 8 or later");
        return;
    };
    let mysql = MySql::start(&PathBuf::from(program));
    every_panel_shows_it(&Stage::with_catalogs_in(Some(mysql)));
}
