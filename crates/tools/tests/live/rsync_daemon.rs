//! A private rsync daemon, sshd, and a link that can be cut.

use crate::bench::{Bench, limits};
use mykeeper_domain::destination::{Destination, SshOptions};
use mykeeper_domain::manifest::{FORMAT_VERSION, FileEntry, MANIFEST_FILE, Manifest};
use mykeeper_domain::server::PasswordSource;
use mykeeper_domain::{BackupId, DestinationName};
use mykeeper_supervise::Limits;
use mykeeper_tools::ToolError;
use mykeeper_tools::rsync::{
    CheckRequest, Comparison, Delivery, RsyncInfo, SendOutcome, SendRequest, check_destination, detect_rsync,
    send_set, verify_set,
};
use secrecy::SecretString;
use std::net::TcpListener as StdListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const PASSWORD: &str = "s3cret wörd";

pub(crate) fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

pub(crate) fn until(what: &str, mut is: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ended, by its id, when it goes.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
}

impl Server {
    pub(crate) fn start(mut command: Command, port: u16) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("it listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { child, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An rsync daemon with the modules `vault` (password), `open`, `fixed` (read only) and `undeletable`.
pub(crate) struct Daemon {
    pub(crate) server: Server,
    pub(crate) vault: PathBuf,
}

impl Daemon {
    pub(crate) fn start(bench: &Bench) -> Self {
        let vault = bench.sub("vault");
        let secrets = bench.path().join("secrets");
        std::fs::write(&secrets, format!("platform:{PASSWORD}\n")).unwrap();
        std::fs::set_permissions(&secrets, std::fs::Permissions::from_mode(0o600)).unwrap();
        let port = free_port();
        let ids = if rustix::process::geteuid().is_root() {
            "uid = root\ngid = root\n"
        } else {
            ""
        };
        let module = |name: &str, more: &str| format!("[{name}]\npath = {}\n{more}\n", vault.display());
        let text = format!(
            "{ids}use chroot = no\naddress = 127.0.0.1\nport = {port}\nlog file = {}\nread only = no\n{}{}{}{}",
            bench.path().join("rsyncd.log").display(),
            module(
                "vault",
                &format!("auth users = platform\nsecrets file = {}", secrets.display())
            ),
            module("open", ""),
            module("fixed", "read only = yes"),
            module("undeletable", "refuse options = delete"),
        );
        let config = bench.path().join("rsyncd.conf");
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("rsync");
        command
            .args(["--daemon", "--no-detach"])
            .arg(format!("--config={}", config.display()));
        Self {
            server: Server::start(command, port),
            vault,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("rsync://platform@127.0.0.1:{}/{path}", self.server.port)
    }
}

/// Hands bytes on, and cuts each connection after so many.
pub(crate) async fn cutting_proxy(to: u16, limit: Arc<AtomicU64>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let limit = limit.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
                let mut passed = 0_u64;
                loop {
                    tokio::select! {
                        read = client.read(&mut up) => match read {
                            Ok(bytes) if bytes > 0 => {
                                passed += bytes as u64;
                                if passed > limit.load(Ordering::Relaxed) || server.write_all(&up[..bytes]).await.is_err() {
                                    return;
                                }
                            }
                            _ => { let _ = server.shutdown().await; return; }
                        },
                        read = server.read(&mut down) => match read {
                            Ok(bytes) if bytes > 0 => if client.write_all(&down[..bytes]).await.is_err() { return },
                            _ => return,
                        },
                    }
                }
            });
        }
    });
    port
}

pub(crate) fn destination(url: &str) -> Destination {
    Destination {
        name: DestinationName::new("vault").unwrap(),
        url: url.parse().unwrap(),
        password: PasswordSource::None,
        source_address: None,
        bandwidth_limit: None,
        ssh: SshOptions::default(),
        recorded_as: None,
    }
}

/// Writes the manifest of what is in the folder.
pub(crate) fn make_manifest(set: &Path) {
    let files = content(set)
        .into_iter()
        .filter(|(path, _)| path != MANIFEST_FILE)
        .map(|(path, bytes)| FileEntry {
            path,
            size_bytes: bytes.len() as u64,
            blake3: blake3::hash(&bytes).to_hex().to_string(),
            plain_bytes: bytes.len() as u64,
            rows: None,
        })
        .collect();
    let manifest = Manifest {
        version: FORMAT_VERSION,
        bk_id: BackupId::generate(),
        created_at: chrono::DateTime::UNIX_EPOCH,
        files,
    };
    std::fs::write(set.join(MANIFEST_FILE), serde_json::to_vec(&manifest).unwrap()).unwrap();
}

/// A set with names of all kinds.
pub(crate) fn make_set(bench: &Bench) -> PathBuf {
    let set = bench.sub("日志 sets/-bk 1");
    std::fs::create_dir_all(set.join("日志 库-1")).unwrap();
    for (name, text) in [
        ("metadata", "Started\n"),
        ("-rf.sql", "1"),
        ("a b'c\"d$(e)`f`.sql", "2"),
        ("日志 库-1/日志 库-1.状态 表.sql", "3"),
        ("#1*[x]?.sql", "4"),
    ] {
        std::fs::write(set.join(name), text).unwrap();
    }
    make_manifest(&set);
    set
}

/// The calls under test, with what is the same for all tests.
pub(crate) struct Sender<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) info: RsyncInfo,
    pub(crate) private: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) password: Option<SecretString>,
    pub(crate) relative: &'a str,
}

impl<'a> Sender<'a> {
    pub(crate) async fn new(bench: &'a Bench) -> Self {
        Self {
            bench,
            info: detect_rsync(&bench.supervisor, Path::new("rsync")).await.unwrap(),
            private: bench.sub("private"),
            limits: limits(60),
            password: Some(SecretString::from(PASSWORD)),
            relative: "2026-11-22/bk 1",
        }
    }

    fn request<'b>(&'b self, destination: &'b Destination, set: &'b Path) -> SendRequest<'b> {
        SendRequest {
            info: &self.info,
            ssh_program: Path::new("ssh"),
            destination,
            password: self.password.as_ref(),
            set_dir: set,
            relative: self.relative,
            private_dir: &self.private,
            limits: &self.limits,
        }
    }

    pub(crate) async fn deliver(&self, to: &Destination, set: &Path) -> Result<Delivery, ToolError> {
        let outcome = send_set(self.request(to, set), &self.bench.env()).await;
        assert_eq!(
            std::fs::read_dir(&self.private).unwrap().count(),
            0,
            "something private was left"
        );
        outcome
    }

    /// Sends a set whose original is sound.
    pub(crate) async fn send(&self, to: &Destination, set: &Path) -> Result<SendOutcome, ToolError> {
        match self.deliver(to, set).await? {
            Delivery::Arrived(outcome) => Ok(outcome),
            Delivery::OriginalDamaged(problem) => panic!("{problem}"),
        }
    }

    pub(crate) async fn compare(&self, to: &Destination, set: &Path) -> Result<Comparison, ToolError> {
        verify_set(self.request(to, set), &self.bench.env()).await
    }

    /// What differs in the copy of a set whose original is sound.
    pub(crate) async fn verify(&self, to: &Destination, set: &Path) -> Result<Vec<String>, ToolError> {
        match self.compare(to, set).await? {
            Comparison::Equal => Ok(Vec::new()),
            Comparison::CopyDiffers(differing) => Ok(differing),
            Comparison::OriginalDamaged(problem) => panic!("{problem}"),
        }
    }

    pub(crate) async fn check(&self, to: &Destination) -> Result<(), ToolError> {
        let request = CheckRequest {
            info: &self.info,
            ssh_program: Path::new("ssh"),
            destination: to,
            password: self.password.as_ref(),
            private_dir: &self.private,
        };
        check_destination(request, &self.bench.env()).await
    }
}

/// Every file below a folder, with its content.
pub(crate) fn content(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
