//! A MySQL or MariaDB server that is backed up.

use crate::ids::ServerName;
use crate::promise::Promise;
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Where a password comes from. The password itself is never part of our own configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// No password.
    None,
    /// The first line of a file that only its owner may read.
    File(PathBuf),
    /// A systemd credential (`LoadCredential=`), by name.
    Credential(String),
    /// It is known already: `pybackup.conf`, or a command line of pybackup's, has told it.
    Told(ToldPassword),
}

/// A password in memory. Never shown.
#[derive(Clone)]
pub struct ToldPassword(Arc<SecretString>);

impl ToldPassword {
    /// Keeps it.
    pub fn new(password: SecretString) -> Self {
        Self(Arc::new(password))
    }

    /// The password itself, for whoever hands it on by a private file.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }
}

impl std::fmt::Debug for ToldPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ToldPassword(***)")
    }
}

impl PartialEq for ToldPassword {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Eq for ToldPassword {}

/// How the server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Socket(PathBuf),
    /// TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// How far the connection is encrypted and the server's identity checked; each more than those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsMode {
    /// Plain text.
    Disabled,
    /// Encrypted when the server can.
    #[default]
    Preferred,
    /// Encrypted, whoever it is.
    Required,
    /// Encrypted, and the certificate comes from `ca`.
    VerifyCa,
    /// Encrypted, the certificate comes from `ca` and is for this host.
    VerifyIdentity,
}

/// `tls = { mode, ca }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// See [`TlsMode`].
    pub mode: TlsMode,
    /// PEM file of the authority.
    pub ca: Option<PathBuf>,
}

/// `[servers.NAME]` of `mykeeper.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The table's name.
    pub name: ServerName,
    /// How it is reached.
    pub endpoint: Endpoint,
    /// The account.
    pub user: String,
    /// Its password.
    pub password: PasswordSource,
    /// What the seed's tables call this server; default: its name.
    pub tag: String,
    /// Recorded as `bk_server`.
    pub address: String,
    /// Encryption.
    pub tls: Tls,
    /// Its newest proven set is no older than this; `None`: nothing is promised.
    pub proven_within: Option<Duration>,
}

impl Server {
    /// What is promised of it.
    pub fn promise(&self) -> Option<Promise> {
        Some(Promise {
            server: self.name.clone(),
            tag: self.tag.clone(),
            within: self.proven_within?,
        })
    }
}
