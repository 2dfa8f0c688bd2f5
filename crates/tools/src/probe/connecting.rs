//! How a connection is made, and why it was not.

use super::error_number;
use crate::connection::ServerConnection;
use mykeeper_domain::server::{Endpoint, PasswordSource, TlsMode};
use secrecy::ExposeSecret;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};

pub(crate) fn connect_options(connection: &ServerConnection) -> MySqlConnectOptions {
    let mut options = MySqlConnectOptions::new()
        .username(&connection.user)
        .charset("utf8mb4");
    if let Some(password) = &connection.password {
        options = options.password(password.expose_secret());
    }
    options = match &connection.endpoint {
        Endpoint::Socket(path) => options.socket(path),
        Endpoint::Tcp { host, port } => options.host(host).port(*port),
    };
    if let Some(ca) = &connection.tls.ca {
        options = options.ssl_ca(ca);
    }
    options.ssl_mode(match connection.tls.mode {
        TlsMode::Disabled => MySqlSslMode::Disabled,
        TlsMode::Preferred => MySqlSslMode::Preferred,
        TlsMode::Required => MySqlSslMode::Required,
        TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
        TlsMode::VerifyIdentity => MySqlSslMode::VerifyIdentity,
    })
}

/// Access denied: the account or its password is another.
const WRONG_ACCOUNT: [u16; 2] = [1045, 1698];

/// Where to look when a server knows the account or its password otherwise.
fn account_hint(connection: &ServerConnection) -> String {
    let user = &connection.user;
    match &connection.password_source {
        PasswordSource::None => {
            format!(
                "; no password is configured for user {user}: give the server a password_file, or [TDB] of pybackup.conf a db_passwd"
            )
        }
        PasswordSource::File(path) => {
            format!("; look at user {user} and at the password in {}", path.display())
        }
        PasswordSource::Credential(name) => format!("; look at user {user} and at the credential {name}"),
        PasswordSource::Told(_) => format!(
            "; look at user {user} and at the password that was given (password= of the call, or db_passwd in its conf)"
        ),
    }
}

/// What went wrong, for people, and whether it may pass.
pub(super) fn connect_cause(error: &sqlx::Error, connection: &ServerConnection) -> (String, bool) {
    let endpoint = &connection.endpoint;
    match error {
        sqlx::Error::Database(database) => {
            let number = error_number(database.as_ref());
            // Access denied and its kin do not pass by themselves; a full, starting or stopping server does.
            let refused = matches!(
                number,
                Some(1044 | 1045 | 1130 | 1227 | 1251 | 1524 | 1698 | 1820 | 1862 | 3118 | 3159 | 4151)
            );
            let mut cause = database.message().to_owned();
            if number.is_some_and(|number| WRONG_ACCOUNT.contains(&number)) {
                cause.push_str(&account_hint(connection));
            }
            (cause, !refused)
        }
        // A certificate that is refused comes as this kind too.
        sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
            (format!("{endpoint}: encryption: {io}"), false)
        }
        sqlx::Error::Io(io) => (format!("{endpoint}: {io}"), true),
        sqlx::Error::Tls(tls) => (format!("{endpoint}: encryption: {tls}"), false),
        other => (format!("{endpoint}: {other}"), true),
    }
}
