//! Where finished sets are sent.

use crate::ids::DestinationName;
use crate::server::PasswordSource;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// Where an rsync daemon listens unless its URL says otherwise.
const DAEMON_PORT: u16 = 873;

/// What a destination's `url` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DestinationUrl {
    /// `rsync://user@host:port/module/path`: an rsync daemon.
    Daemon {
        /// The account in the daemon's secrets file.
        user: Option<String>,
        /// Name or address; an IPv6 address without brackets.
        host: String,
        /// Port; `None` is 873.
        port: Option<u16>,
        /// Module and the path within, without a slash at either end.
        path: String,
    },
    /// `user@host:/path`: over ssh.
    Ssh {
        /// The account.
        user: Option<String>,
        /// Name or address.
        host: String,
        /// The folder there, absolute.
        path: String,
    },
    /// `/path`: a folder of this machine, or one that is mounted.
    Local {
        /// The folder, absolute.
        path: PathBuf,
    },
}

/// Why a text is no destination.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DestinationUrlError {
    /// None of the three forms.
    #[error("{0:?} is no destination; write rsync://user@host/module/path, user@host:/path or /a/local/path")]
    Form(String),
    /// A password has no place in a URL.
    #[error("a password has no place in a destination's url; name a password_file instead")]
    Password,
    /// `..` would leave the destination's folder.
    #[error("{0:?} climbs out of its folder with \"..\"")]
    Climbs(String),
    /// The port is no number.
    #[error("{0:?} is no port")]
    Port(String),
}

impl FromStr for DestinationUrl {
    type Err = DestinationUrlError;

    fn from_str(text: &str) -> Result<Self, DestinationUrlError> {
        let form = || DestinationUrlError::Form(text.to_owned());
        if text.chars().any(char::is_control) {
            return Err(form());
        }
        if text.split(['/', ':']).any(|part| part == "..") {
            return Err(DestinationUrlError::Climbs(text.to_owned()));
        }
        if let Some(rest) = text.strip_prefix("rsync://") {
            let (authority, path) = rest.split_once('/').ok_or_else(form)?;
            let (user, host) = split_user(authority)?;
            let (host, port) = split_port(&host)?;
            let path = path.trim_matches('/').to_owned();
            if host.is_empty() || path.is_empty() {
                return Err(form());
            }
            return Ok(Self::Daemon {
                user,
                host,
                port,
                path,
            });
        }
        if text.starts_with('/') {
            return Ok(Self::Local {
                path: PathBuf::from(text),
            });
        }
        if text.contains("://") {
            return Err(form());
        }
        let (authority, path) = text.split_once(":/").ok_or_else(form)?;
        let (user, host) = split_user(authority)?;
        if host.is_empty() || host.contains(['/', ' ']) || host.starts_with('-') {
            return Err(form());
        }
        Ok(Self::Ssh {
            user,
            host,
            path: format!("/{path}"),
        })
    }
}

fn split_user(authority: &str) -> Result<(Option<String>, String), DestinationUrlError> {
    match authority.rsplit_once('@') {
        None => Ok((None, authority.to_owned())),
        Some((user, _)) if user.contains(':') => Err(DestinationUrlError::Password),
        Some((user, host)) => Ok((Some(user.to_owned()), host.to_owned())),
    }
}

fn split_port(host: &str) -> Result<(String, Option<u16>), DestinationUrlError> {
    let (name, port) = if let Some(rest) = host.strip_prefix('[') {
        let (name, tail) = rest
            .split_once(']')
            .ok_or_else(|| DestinationUrlError::Form(host.to_owned()))?;
        (name, tail.strip_prefix(':'))
    } else {
        match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        }
    };
    let port = port
        .map(|port| {
            port.parse::<u16>()
                .map_err(|_| DestinationUrlError::Port(port.to_owned()))
        })
        .transpose()?;
    Ok((name.to_owned(), port))
}

impl TryFrom<String> for DestinationUrl {
    type Error = DestinationUrlError;
    fn try_from(text: String) -> Result<Self, DestinationUrlError> {
        text.parse()
    }
}

impl From<DestinationUrl> for String {
    fn from(url: DestinationUrl) -> String {
        url.to_string()
    }
}

impl fmt::Display for DestinationUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |user: &Option<String>| user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        match self {
            Self::Daemon {
                user,
                host,
                port,
                path,
            } => {
                let host = if host.contains(':') {
                    format!("[{host}]")
                } else {
                    host.clone()
                };
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                write!(f, "rsync://{}{host}{port}/{path}", at(user))
            }
            Self::Ssh { user, host, path } => write!(f, "{}{host}:{path}", at(user)),
            Self::Local { path } => write!(f, "{}", path.display()),
        }
    }
}

/// How ssh is called for a `user@host:/path` destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshOptions {
    /// Port; default: what ssh's own configuration says.
    pub port: Option<u16>,
    /// Private key file.
    pub identity_file: Option<PathBuf>,
    /// File of known host keys.
    pub known_hosts_file: Option<PathBuf>,
}

/// `[destinations.NAME]` of `mykeeper.toml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The table's name.
    pub name: DestinationName,
    /// Where.
    pub url: DestinationUrl,
    /// The rsync daemon's password.
    pub password: PasswordSource,
    /// The local address to send from.
    pub source_address: Option<IpAddr>,
    /// Bytes a second at most.
    pub bandwidth_limit: Option<u64>,
    /// For ssh.
    pub ssh: SshOptions,
    /// What `remote_dest` says; `None`: the URL.
    pub recorded_as: Option<String>,
}

impl Destination {
    /// One that asks for no password, reached from any address and as fast as it goes.
    pub fn at(name: DestinationName, url: DestinationUrl) -> Self {
        Self {
            name,
            url,
            password: PasswordSource::None,
            source_address: None,
            bandwidth_limit: None,
            ssh: SshOptions::default(),
            recorded_as: None,
        }
    }

    /// What two destinations have in common that are one place however each is written: a text for comparing alone. Letters
    /// of a host's name, the usual port of an rsync daemon, slashes and `.` in a path make no difference. The account does,
    /// as a module's folder may be chosen by it; so do port and key of ssh, as each key may be held to a folder of its own.
    /// Two names of one host, and links, are not seen.
    pub fn place(&self) -> String {
        let path = |path: &str| {
            let parts: Vec<&str> = path
                .split('/')
                .filter(|part| !part.is_empty() && *part != ".")
                .collect();
            parts.join("/")
        };
        let host = |host: &str| host.trim_end_matches('.').to_ascii_lowercase();
        let user = |user: &Option<String>| user.clone().unwrap_or_default();
        match &self.url {
            DestinationUrl::Local { path: folder } => format!("/{}", path(&folder.to_string_lossy())),
            DestinationUrl::Daemon {
                user: account,
                host: name,
                port,
                path: below,
            } => format!(
                "rsync {:?} {} {} {}",
                user(account),
                host(name),
                port.unwrap_or(DAEMON_PORT),
                path(below)
            ),
            DestinationUrl::Ssh {
                user: account,
                host: name,
                path: folder,
            } => format!(
                "ssh {:?} {} {:?} {:?} {}",
                user(account),
                host(name),
                self.ssh.port,
                self.ssh.identity_file,
                path(folder)
            ),
        }
    }

    /// What `remote_dest` says of a set that goes there.
    pub fn remote_dest(&self) -> String {
        self.recorded_as.clone().unwrap_or_else(|| self.url.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_read_and_printed_back() {
        for text in [
            "rsync://platform@182.92.83.238/db_backup/106.3.130.84",
            "rsync://host:1873/module",
            "rsync://u@[::1]:1873/module/x",
            "user@host:/path/to",
            "host:/path",
            "/data/local",
        ] {
            assert_eq!(text.parse::<DestinationUrl>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn one_place_is_seen_however_it_is_written() {
        let place = |url: &str| {
            let name = DestinationName::new("vault").unwrap();
            Destination::at(name, url.parse().unwrap()).place()
        };
        for [one, other] in [
            ["/v2", "/v2/"],
            ["/data/v2", "//data/./v2"],
            ["rsync://u@Vault/m/x", "rsync://u@vault:873//m/x/"],
            ["rsync://[FD00::1]/m", "rsync://[fd00::1]:873/m/."],
            ["me@vault.:/srv/sets", "me@Vault:/srv//sets/"],
        ] {
            assert_eq!(place(one), place(other), "{one} {other}");
        }
        for [one, other] in [
            ["/v2", "/v22"],
            ["/v2", "/V2"],
            ["rsync://u@vault/m", "rsync://v@vault/m"],
            ["rsync://vault/m", "rsync://vault:874/m"],
            ["rsync://vault/m/x", "rsync://vault/M/x"],
            ["me@vault:/srv", "vault:/srv"],
            ["vault:/srv", "rsync://vault/srv"],
        ] {
            assert_ne!(place(one), place(other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let parse = |text: &str| text.parse::<DestinationUrl>().unwrap_err();
        assert_eq!(parse("rsync://u:secret@h/m"), DestinationUrlError::Password);
        assert!(!parse("rsync://u:secret@h/m").to_string().contains("secret"));
        assert!(matches!(parse("rsync://h"), DestinationUrlError::Form(_)));
        assert!(matches!(parse("s3://bucket/x"), DestinationUrlError::Form(_)));
        assert!(matches!(parse("relative/path"), DestinationUrlError::Form(_)));
        assert!(matches!(parse("rsync://h:x/m"), DestinationUrlError::Port(_)));
        assert!(matches!(
            parse("rsync://h/m/../../etc"),
            DestinationUrlError::Climbs(_)
        ));
        assert!(matches!(
            parse("-oProxyCommand=x:/p"),
            DestinationUrlError::Form(_)
        ));
    }
}
