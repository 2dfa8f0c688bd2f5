//! Throwaway MariaDB servers.
//!
//! Making the system tables takes a second, so it is done once and the folder is cloned; so is a folder with the
//! sample data loaded. Both lie under `target/e2e/`, named after the server's version and the sample's text.

use crate::binary::profile_folder;
use crate::proxy::free_port;
use crate::sample::sample_sql;
use crate::scratch::{Scratch, is_root};
use crate::wait::wait_until;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What a server should be like.
#[derive(Clone, Debug, Default)]
pub struct MariaDbOptions {
    /// With the sample data in it.
    pub sample: bool,
    /// Writes a binary log, so that there is a position to record.
    pub binlog: bool,
    /// More words for its command line.
    pub extra: Vec<String>,
}

/// One server: a socket and a port of loopback. `root` has no password on the socket.
#[derive(Debug)]
pub struct MariaDb {
    scratch: Scratch,
    options: MariaDbOptions,
    port: u16,
    child: Option<Child>,
}

impl MariaDb {
    /// Empty, with a binary log.
    pub fn start() -> Self {
        Self::start_with(MariaDbOptions {
            binlog: true,
            ..Default::default()
        })
    }

    /// With the sample data and a binary log.
    pub fn with_sample() -> Self {
        Self::start_with(MariaDbOptions {
            sample: true,
            binlog: true,
            ..Default::default()
        })
    }

    /// As asked for. Ready when this returns.
    pub fn start_with(options: MariaDbOptions) -> Self {
        let scratch = Scratch::new();
        let template = if options.sample {
            sample_template()
        } else {
            empty_template()
        };
        clone_folder(&template, &scratch.path().join("data"));
        make_own_folder(&scratch.path().join("run"));
        // Of its own: a starting server removes the temporary tables of others from a folder that they share.
        make_own_folder(&scratch.path().join("tmp"));
        let mut server = Self {
            scratch,
            options,
            port: free_port(),
            child: None,
        };
        server.start_again();
        server
    }

    /// Starts it once more on the same data, socket and port. Ready when this returns.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let log = File::create(self.dir().join("error.log")).expect("a log file in our own folder");
        let mut command = Command::new(program("mariadbd"));
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", self.dir().join("data").display()))
            .arg(format!("--tmpdir={}", self.dir().join("tmp").display()))
            .arg(format!("--socket={}", self.socket().display()))
            .arg(format!("--pid-file={}", self.dir().join("run/pid").display()))
            .args(["--bind-address=127.0.0.1", &format!("--port={}", self.port)])
            .args([
                "--skip-name-resolve",
                "--performance-schema=OFF",
                "--character-set-server=utf8mb4",
            ])
            // Throwaway: what a power cut would lose is nobody's.
            .args([
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-doublewrite=0",
                "--sync-binlog=0",
            ])
            .args([
                "--innodb-buffer-pool-size=48M",
                "--innodb-log-file-size=16M",
                "--key-buffer-size=4M",
            ])
            .args([
                "--max-connections=60",
                "--thread-cache-size=4",
                "--event-scheduler=ON",
            ]);
        if is_root() {
            command.arg("--user=mysql");
        }
        if self.options.binlog {
            command.args(["--log-bin=mysql-bin", "--server-id=7"]);
        }
        command.args(&self.options.extra);
        let output = log.try_clone().expect("a second handle of the log");
        command.stdin(Stdio::null()).stdout(output).stderr(log);
        self.child = Some(command.spawn().expect("mariadbd can be started"));
        let dir = self.dir().to_path_buf();
        let socket = self.socket();
        wait_until(
            Duration::from_secs(60),
            "a throwaway MariaDB server answers",
            || {
                if let Some(child) = self.child.as_mut()
                    && let Ok(Some(status)) = child.try_wait()
                {
                    let log = std::fs::read_to_string(dir.join("error.log")).unwrap_or_default();
                    panic!("mariadbd ended at its start with {status}:\n{log}");
                }
                client(&socket, "SELECT 1").is_ok().then_some(())
            },
        );
    }

    fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir().join("run/s.sock")
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its error log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir().join("error.log")).unwrap_or_default()
    }

    /// Runs statements as root.
    pub fn sql(&self, statements: &str) {
        if let Err(error) = client(&self.socket(), statements) {
            panic!(
                "a statement failed on the test's own server: {error}\n{}",
                head(statements)
            );
        }
    }

    /// Runs statements as root that may fail.
    pub fn try_sql(&self, statements: &str) -> bool {
        client(&self.socket(), statements).is_ok()
    }

    /// Runs one query as root; its rows, their columns as text, NULL as `NULL`.
    pub fn query(&self, query: &str) -> Vec<Vec<String>> {
        match client(&self.socket(), query) {
            Ok(text) => text
                .lines()
                .map(|line| line.split('\t').map(str::to_owned).collect())
                .collect(),
            Err(error) => panic!("a query failed on the test's own server: {error}\n{query}"),
        }
    }

    /// The first column of the first row.
    pub fn value(&self, query: &str) -> String {
        self.query(query)
            .first()
            .and_then(|row| row.first().cloned())
            .unwrap_or_default()
    }

    /// An account for any address, with a password and everything that a dump needs and no more.
    pub fn backup_account(&self, user: &str, password: &str) {
        self.account(
            user,
            password,
            "SELECT, RELOAD, PROCESS, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT, BINLOG MONITOR, REPLICA MONITOR, \
             BINLOG ADMIN ON *.*",
        );
    }

    /// An account for any address, with a password and `rights` (`SELECT ON shop.*`).
    pub fn account(&self, user: &str, password: &str, rights: &str) {
        let password = password.replace('\\', "\\\\").replace('\'', "\\'");
        for host in ["localhost", "127.0.0.1", "%"] {
            self.sql(&format!(
                "CREATE USER IF NOT EXISTS '{user}'@'{host}' IDENTIFIED BY '{password}'; GRANT {rights} TO '{user}'@'{host}';"
            ));
        }
    }

    /// Ends it as an operator would; its data stay.
    pub fn stop(&mut self) {
        self.end(rustix::process::Signal::TERM);
    }

    /// Starts it again as one that says it is of this version: `10.4.1-MariaDB`.
    pub fn pretend(&mut self, version: &str) {
        self.stop();
        self.options.extra.push(format!("--version={version}"));
        self.start_again();
    }

    /// Ends it as a crash would; its data stay.
    pub fn kill(&mut self) {
        self.end(rustix::process::Signal::KILL);
    }

    /// Sends it a signal that does not end it: STOP, CONT.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.child.as_ref().and_then(|child| {
            i32::try_from(child.id())
                .ok()
                .and_then(rustix::process::Pid::from_raw)
        });
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    fn end(&mut self, signal: rustix::process::Signal) {
        self.signal(signal);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The client's output, or what it said on standard error.
fn client(socket: &Path, statements: &str) -> Result<String, String> {
    let mut child = Command::new(program("mariadb"))
        .args([
            "--no-defaults",
            "--batch",
            "--raw",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
        ])
        .args(["--user=root", "--binary-mode=0"])
        .arg(format!("--socket={}", socket.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the program mariadb cannot be started: {error}"))?;
    let mut input = child.stdin.take();
    let text = statements.to_owned();
    let writer = std::thread::spawn(move || input.as_mut().map(|input| input.write_all(text.as_bytes())));
    let output = child.wait_with_output().map_err(|error| error.to_string())?;
    let _ = writer.join();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn head(text: &str) -> String {
    text.chars().take(400).collect()
}

/// A server's program, wherever Debian keeps it; a clear word when it is not there.
pub(crate) fn program(name: &str) -> PathBuf {
    [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ]
    .iter()
    .map(|folder| Path::new(folder).join(name))
    .find(|path| path.exists())
    .unwrap_or_else(|| panic!("{name} is not installed: run deploy/install-needs.sh"))
}

fn make_own_folder(path: &Path) {
    std::fs::create_dir_all(path).expect("a folder within our own");
    if is_root() {
        run(Command::new("chown").arg("mysql:").arg(path));
    }
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "{command:?} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("{command:?} cannot be started: {error}"),
    }
}

fn clone_folder(from: &Path, to: &Path) {
    run(Command::new("cp")
        .args(["-a", "--reflink=auto"])
        .arg(from)
        .arg(to));
}

/// `target/e2e`, where the templates are kept between runs.
fn cache() -> PathBuf {
    let profile = profile_folder();
    let target = profile.parent().expect("a profile's folder lies in target/");
    let cache = target.join("e2e");
    std::fs::create_dir_all(&cache).expect("target/ can be written");
    cache
}

fn empty_template() -> PathBuf {
    template(&format!("empty-{}", version()), |scratch| {
        let data = scratch.path().join("data");
        make_own_folder(scratch.path());
        make_own_folder(&scratch.path().join("tmp"));
        let mut command = Command::new(program("mariadb-install-db"));
        command
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ])
            .args(["--skip-name-resolve", "--innodb-log-file-size=16M"])
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--tmpdir={}", scratch.path().join("tmp").display()));
        if is_root() {
            command.arg("--user=mysql");
        }
        run(&mut command);
        data
    })
}

fn sample_template() -> PathBuf {
    let sql = sample_sql();
    // FNV-1a: tells one text of the sample from another, no more.
    let digest = sql.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    template(&format!("sample-{}-{digest:016x}", version()), |scratch| {
        let mut server = MariaDb::start_with(MariaDbOptions::default());
        server.sql(&sql);
        server.stop();
        clone_folder(&server.dir().join("data"), &scratch.path().join("data"));
        scratch.path().join("data")
    })
}

fn version() -> String {
    let output = Command::new(program("mariadbd"))
        .args(["--no-defaults", "--version"])
        .output();
    let text = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let owner = if is_root() { "root" } else { "user" };
    let version = text
        .split_whitespace()
        .skip_while(|word| *word != "Ver")
        .nth(1)
        .unwrap_or("unknown");
    format!("{version}-{owner}")
}

/// The template of this name; made by the first test that asks, while the others wait for it.
fn template(name: &str, make: impl FnOnce(&Scratch) -> PathBuf) -> PathBuf {
    let cache = cache();
    let path = cache.join(name);
    let lock = File::create(cache.join(format!("{name}.lock"))).expect("target/ can be written");
    lock.lock().expect("a lock on our own file");
    if !path.exists() {
        let scratch = Scratch::new();
        let made = make(&scratch);
        // Under another name first: a copy that was cut short must not pass for a template.
        let partial = cache.join(format!("{name}.partial"));
        let _ = std::fs::remove_dir_all(&partial);
        clone_folder(&made, &partial);
        std::fs::rename(&partial, &path).expect("a rename within target/");
    }
    path
}
