//! A throwaway server of MySQL's own, where a tester has one: Debian 12 has MariaDB alone.

use crate::proxy::free_port;
use crate::sample::sample_sql;
use crate::scratch::Scratch;
use crate::wait::{LIMIT, wait_until};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server on loopback; `root` has no password on its socket.
#[derive(Debug)]
pub struct MySql {
    program: PathBuf,
    scratch: Scratch,
    port: u16,
    child: Child,
}

impl MySql {
    /// `MYKEEPER_TEST_MYSQLD=/path/to/mysqld`, of MySQL 8 or later; `None`, and that is said, where it is not set. `log` is
    /// `--log-bin` or `--skip-log-bin`.
    #[expect(
        clippy::disallowed_methods,
        clippy::print_stderr,
        reason = "a test may be run with a server that the machine does not come with, and says where it was not"
    )]
    pub fn start_if_named(log: &str) -> Option<Self> {
        let Some(program) = std::env::var_os("MYKEEPER_TEST_MYSQLD") else {
            eprintln!("SKIPPED: MYKEEPER_TEST_MYSQLD names no mysqld of MySQL 8 or later");
            return None;
        };
        Some(Self::start(&PathBuf::from(program), log))
    }

    fn start(program: &Path, log: &str) -> Self {
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
        let made = command()
            .arg("--initialize-insecure")
            .status()
            .expect("a throwaway MySQL server");
        assert!(made.success(), "{made}");
        let port = free_port();
        let child = command()
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", log])
            .arg(format!("--port={port}"))
            .arg(format!("--socket={}", scratch.path().join("s").display()))
            .arg(format!("--pid-file={}", scratch.path().join("pid").display()))
            .spawn()
            .expect("a throwaway MySQL server");
        let server = Self {
            program: program.to_owned(),
            scratch,
            port,
            child,
        };
        wait_until(LIMIT, "a throwaway MySQL server answers", || {
            server.try_sql("SELECT 1").ok()
        });
        server
    }

    /// On loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("s")
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Fills it with the sample, as far as MySQL knows it: it has no table of numbers, and its 9.6 has forgotten SHA1 and
    /// MD5.
    pub fn load_sample(&self) {
        let numbered = regex::Regex::new(r"seq_1_to_(\d+)( WHERE seq <=)?").expect("a regular expression");
        let sample = sample_sql().replace("SHA1(seq)", "LEFT(SHA2(seq, 256), 40)");
        let sample = sample.replace("MD5(seq)", "LEFT(SHA2(seq, 256), 32)");
        let sample = numbered.replace_all(&sample, |found: &regex::Captures<'_>| match found.get(2) {
            Some(_) => "numbers.n WHERE seq <=".to_owned(),
            None => format!(
                "(SELECT seq FROM numbers.n WHERE seq <= {}) AS counted",
                &found[1]
            ),
        });
        self.sql(&format!(
            "CREATE DATABASE numbers; CREATE TABLE numbers.n (seq BIGINT NOT NULL PRIMARY KEY); \
             SET SESSION cte_max_recursion_depth = 1000000; INSERT INTO numbers.n WITH RECURSIVE c (seq) AS \
             (SELECT 1 UNION ALL SELECT seq + 1 FROM c WHERE seq < 20000) SELECT seq FROM c;\n\
             {sample}\nDROP DATABASE numbers;"
        ));
    }

    /// Runs statements as root; what they print.
    pub fn sql(&self, statements: &str) -> String {
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
            .expect("a throwaway MySQL server");
        let mut input = client.stdin.take().expect("a throwaway MySQL server");
        let written = input.write_all(statements.as_bytes());
        drop(input);
        let output = client.wait_with_output().expect("a throwaway MySQL server");
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
