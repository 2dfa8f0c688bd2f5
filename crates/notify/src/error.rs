//! Why a message was not delivered. Never holds a secret, nor the path of a URL, which may be one.

use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Reads after "failed to deliver:".
#[derive(Debug, Error)]
pub enum DeliveryError {
    /// A password, token or secret URL cannot be had.
    #[error("{0}")]
    Secret(String),
    /// The URL is none.
    #[error("the URL cannot be called: {0}; write \"https://host/path\"")]
    Url(String),
    /// Certificates cannot be read.
    #[error("the certificates in {} cannot be used: {cause}", path.display())]
    Certificates {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// Nobody answered.
    #[error("{host} cannot be reached: {cause}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// Why.
        cause: String,
    },
    /// It answered otherwise.
    #[error("{host} answered {status}{hint}")]
    Refused {
        /// Host and port.
        host: String,
        /// `500 Internal Server Error`
        status: String,
        /// What to do, where that is known.
        hint: &'static str,
        /// By the status, it will answer so again.
        is_permanent: bool,
    },
    /// No mail can be made of it.
    #[error("no mail can be made: {0}")]
    Mail(String),
    /// The mail server did not take it.
    #[error("the mail server {host} did not take the mail: {cause}")]
    Smtp {
        /// Host and port.
        host: String,
        /// In its words, or why it cannot be reached.
        cause: String,
        /// By its answer, it will answer so again.
        is_permanent: bool,
    },
    /// It took the mail for some, or for none.
    #[error("the mail server {host} took the mail for {} of {} addresses: {cause}", reached.len(), reached.len() + refused)]
    Addresses {
        /// Host and port.
        host: String,
        /// The addresses that have it now.
        reached: Vec<String>,
        /// How many have not.
        refused: usize,
        /// In its words, the first of those.
        cause: String,
        /// By its answers, it will answer so again for each of them.
        is_permanent: bool,
    },
    /// The command cannot be run.
    #[error("the command {} cannot be run: {cause}", program.display())]
    Command {
        /// Which.
        program: PathBuf,
        /// Why.
        cause: String,
    },
    /// The command ended otherwise than well.
    #[error("the command {} {exit}{said}", program.display())]
    Exit {
        /// Which.
        program: PathBuf,
        /// `exited with code 1`
        exit: String,
        /// `: its last words`, or nothing.
        said: String,
    },
    /// It took too long.
    #[error("it was not taken within {0:?}")]
    Slow(Duration),
    /// The process ends.
    #[error("the attempt was cut off")]
    Cancelled,
}

impl DeliveryError {
    /// Whether the same message would be refused again, where nobody changes anything.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused { is_permanent, .. }
            | Self::Smtp { is_permanent, .. }
            | Self::Addresses { is_permanent, .. } => *is_permanent,
            Self::Mail(_) => true,
            _ => false,
        }
    }

    /// Who has it all the same.
    pub fn into_reached(self) -> Vec<String> {
        match self {
            Self::Addresses { reached, .. } => reached,
            _ => Vec::new(),
        }
    }
}

/// So much of what another program says is kept.
const MOST_QUOTED: usize = 300;

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut words = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        let word = error.to_string();
        if !words.last().is_some_and(|last| last.contains(&word)) {
            words.push(word);
        }
        source = error.source();
    }
    quoted(&words.join(": "))
}

/// One line of bounded length, without control characters.
pub(crate) fn quoted(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MOST_QUOTED).collect::<String>().trim().to_owned()
}
