//! How a server is reached, with the secret at hand.

use mykeeper_domain::server::{Endpoint, PasswordSource, Tls};
use secrecy::SecretString;

/// A server's address and account. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct ServerConnection {
    /// How people call the server, for messages.
    pub name: String,
    /// Socket, or host and port.
    pub endpoint: Endpoint,
    /// The account.
    pub user: String,
    /// Its password.
    pub password: Option<SecretString>,
    /// Where that came from, for messages.
    pub password_source: PasswordSource,
    /// Encryption.
    pub tls: Tls,
}
