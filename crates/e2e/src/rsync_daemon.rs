//! A private rsync daemon.

use crate::mariadb::program;
use crate::proxy::free_port;
use crate::scratch::{Scratch, is_root};
use crate::wait::wait_until;
use std::fs::File;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// One module, `vault`, for one account, `platform`, on a port of loopback, or of another address within a namespace.
#[derive(Debug)]
pub struct RsyncDaemon {
    scratch: Scratch,
    address: Ipv4Addr,
    port: u16,
    /// Words before the program's own path: `ip netns exec NAME`.
    through: Vec<String>,
    child: Option<Child>,
}

impl RsyncDaemon {
    /// Ready when this returns.
    pub fn start(password: &str) -> Self {
        Self::start_through(password, Vec::new())
    }

    /// The same, called through other words, each of which replaces itself by the rest: `ip netns exec NAME`.
    pub fn start_through(password: &str, through: Vec<String>) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST, password, through)
    }

    /// The same, at an address that there is where these words lead to.
    pub fn start_at(address: Ipv4Addr, password: &str, through: Vec<String>) -> Self {
        let scratch = Scratch::new();
        let dir = scratch.path();
        std::fs::create_dir(dir.join("vault")).expect("a folder within our own");
        let secrets = dir.join("secrets");
        std::fs::write(&secrets, format!("platform:{password}\n")).expect("a file within our own folder");
        std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(0o600))
            .expect("chmod of our own file");
        let ids = if is_root() { "uid = root\ngid = root\n" } else { "" };
        let config = format!(
            "use chroot = no\nmunge symlinks = no\nlog file = {0}/rsyncd.log\npid file = {0}/rsyncd.pid\n\
             lock file = {0}/rsyncd.lock\n{ids}\n[vault]\npath = {0}/vault\nread only = no\n\
             auth users = platform\nsecrets file = {0}/secrets\n",
            dir.display()
        );
        std::fs::write(dir.join("rsyncd.conf"), config).expect("a file within our own folder");
        let mut daemon = Self {
            scratch,
            address,
            port: free_port(),
            through,
            child: None,
        };
        daemon.start_again();
        daemon
    }

    /// Starts it once more on the same port. Ready when this returns.
    pub fn start_again(&mut self) {
        let dir = self.scratch.path();
        let log = File::create(dir.join("output.log")).expect("a log file in our own folder");
        let _ = std::fs::remove_file(dir.join("rsyncd.pid"));
        let child = self
            .command("rsync")
            .args([
                "--daemon",
                "--no-detach",
                &format!("--address={}", self.address),
                &format!("--port={}", self.port),
            ])
            .arg(format!("--config={}", dir.join("rsyncd.conf").display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle of the log"))
            .stderr(log)
            .spawn()
            .expect("rsync can be started");
        self.child = Some(child);
        wait_until(
            Duration::from_secs(20),
            "the private rsync daemon answers",
            || self.answers().then_some(()),
        );
    }

    fn command(&self, name: &str) -> Command {
        match self.through.split_first() {
            None => Command::new(program(name)),
            Some((first, rest)) => {
                let mut command = Command::new(program(first));
                command.args(rest).arg(program(name));
                command
            }
        }
    }

    fn answers(&self) -> bool {
        if self.through.is_empty() {
            return TcpStream::connect((self.address, self.port)).is_ok();
        }
        let connects = format!("exec 3<>/dev/tcp/{}/{}", self.address, self.port);
        let output = self.command("bash").args(["-c", &connects]).output();
        output.is_ok_and(|output| output.status.success())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder behind the module.
    pub fn vault(&self) -> PathBuf {
        self.scratch.path().join("vault")
    }

    /// A destination's URL, through another port if a proxy stands before it.
    pub fn url(&self, port: u16, path: &str) -> String {
        format!("rsync://platform@{}:{port}/vault/{path}", self.address)
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.scratch.path().join("rsyncd.log")).unwrap_or_default()
    }

    /// Ends it; what arrived stays.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// From its next connection on it refuses these options of a client.
    pub fn refuse(&self, options: &str) {
        let path = self.scratch.path().join("rsyncd.conf");
        let mut config = std::fs::read_to_string(&path).expect("a file of our own");
        config.push_str(&format!("refuse options = {options}\n"));
        std::fs::write(&path, config).expect("a file of our own");
    }

    /// Every file below the module's folder, by its path there.
    pub fn files(&self) -> Vec<PathBuf> {
        let vault = self.vault();
        let mut found = Vec::new();
        collect(&vault, &vault, &mut found);
        found.sort();
        found
    }
}

impl Drop for RsyncDaemon {
    fn drop(&mut self) {
        self.stop();
    }
}

fn collect(root: &Path, dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(root, &path, found);
        } else if let Ok(relative) = path.strip_prefix(root) {
            found.push(relative.to_path_buf());
        }
    }
}
