//! The private file through which mydumper and myloader learn how to reach a server: no secret on argv.

use crate::connection::ServerConnection;
use crate::error::ToolError;
use mykeeper_domain::server::{Endpoint, TlsMode};
use secrecy::ExposeSecret;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// An option file on disk, removed when dropped.
#[derive(Debug)]
pub struct OptionFile {
    path: PathBuf,
}

impl OptionFile {
    /// Writes `text` to a new file in `private_dir` that only its owner may read.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(private_dir: &Path, text: &str) -> Result<Self, ToolError> {
        let path = private_dir.join(format!("client-{}.cnf", Uuid::now_v7().simple()));
        let error = |action| {
            let path = path.clone();
            move |source| ToolError::Io { action, path, source }
        };
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(error("create"))?;
        let written = file.write_all(text.as_bytes()).map_err(error("write"));
        let this = Self { path };
        written.map(|()| this)
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OptionFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove an option file that holds a password");
        }
    }
}

/// What the library has each connection of a dump do first. mydumper 0.10 takes the server's own modes else: with
/// `NO_BACKSLASH_ESCAPES` it writes values that nobody who reads the set would take for what they are, with `ANSI_QUOTES`
/// definitions that no server takes, with `PAD_CHAR_TO_FULL_LENGTH` blanks that were not there. Seen with 0.10 and
/// MariaDB's library in all of its connections; MySQL's documents the option for the same group.
const DUMP_SESSION: &str = "SET SESSION sql_mode = '', sql_quote_show_create = 1";

/// The text of the option file of a dump: that of [`option_file_text`], with a session that does not depend on the
/// server's own modes.
pub fn dump_option_file_text(connection: &ServerConnection, can_encrypt: bool) -> String {
    let text = option_file_text(connection, can_encrypt);
    format!("{text}init-command={}\n", quoted(DUMP_SESSION))
}

/// The text of an option file for clients built on MySQL's or MariaDB's client library.
///
/// Both read group `[client]`, and pass over keys that they do not know: MySQL's library goes by `ssl-mode`,
/// MariaDB's by the others. `can_encrypt`: whether the server does, for [`TlsMode::Preferred`].
pub fn option_file_text(connection: &ServerConnection, can_encrypt: bool) -> String {
    let mut lines = vec!["[client]".to_owned()];
    let mut set = |key: &str, value: &str| lines.push(format!("{key}={}", quoted(value)));
    set("user", &connection.user);
    if let Some(password) = &connection.password {
        set("password", password.expose_secret());
    }
    match &connection.endpoint {
        Endpoint::Socket(path) => {
            set("host", "localhost");
            set("socket", &path.to_string_lossy());
        }
        Endpoint::Tcp { host, port } => {
            // The client library takes "localhost" for the socket, whatever the port.
            set("host", if host == "localhost" { "127.0.0.1" } else { host });
            set("port", &port.to_string());
        }
    }
    let is_tcp = matches!(connection.endpoint, Endpoint::Tcp { .. });
    let mode = match connection.tls.mode {
        // MariaDB's library does not encrypt unless it must.
        TlsMode::Preferred if is_tcp && can_encrypt => TlsMode::Required,
        other => other,
    };
    let word = match mode {
        TlsMode::Disabled => Some("DISABLED"),
        TlsMode::Preferred => None,
        TlsMode::Required => Some("REQUIRED"),
        TlsMode::VerifyCa => Some("VERIFY_CA"),
        TlsMode::VerifyIdentity => Some("VERIFY_IDENTITY"),
    };
    if let Some(word) = word {
        set("ssl-mode", word);
    }
    if let Some(ca) = connection.tls.ca.as_ref().filter(|_| mode != TlsMode::Disabled) {
        set("ssl-ca", &ca.to_string_lossy());
    }
    if matches!(
        mode,
        TlsMode::Required | TlsMode::VerifyCa | TlsMode::VerifyIdentity
    ) {
        // Without the value MariaDB's library passes over it.
        set("ssl-enforce", "1");
    }
    if mode == TlsMode::VerifyIdentity {
        set("ssl-verify-server-cert", "1");
    }
    lines.push(String::new());
    lines.join("\n")
}

/// In double quotes, where only the quote itself and the backslash need a backslash; tried with 29 awkward passwords.
fn quoted(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for c in value.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::server::{PasswordSource, Tls};
    use std::os::unix::fs::PermissionsExt;

    fn connection() -> ServerConnection {
        ServerConnection {
            name: "shop".into(),
            endpoint: Endpoint::Tcp {
                host: "localhost".into(),
                port: 3307,
            },
            user: "backup".into(),
            password: Some(r#"mix#"'\ =%;密"#.to_owned().into()),
            password_source: PasswordSource::None,
            tls: Tls {
                mode: TlsMode::VerifyIdentity,
                ca: Some("/etc/my ca.pem".into()),
            },
        }
    }

    #[test]
    fn every_value_is_quoted() {
        assert_eq!(
            option_file_text(&connection(), true),
            "[client]\nuser=\"backup\"\npassword=\"mix#\\\"'\\\\ =%;密\"\nhost=\"127.0.0.1\"\nport=\"3307\"\n\
             ssl-mode=\"VERIFY_IDENTITY\"\nssl-ca=\"/etc/my ca.pem\"\nssl-enforce=\"1\"\n\
             ssl-verify-server-cert=\"1\"\n"
        );
    }

    #[test]
    fn only_its_owner_reads_it_and_it_goes_with_its_value() {
        let dir = tempfile::tempdir().unwrap();
        let file = OptionFile::create(dir.path(), "[client]\n").unwrap();
        let path = file.path().to_owned();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        drop(file);
        assert!(!path.exists());
    }
}
