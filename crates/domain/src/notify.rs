//! Who is told, and how: what `[notify]` and the pings of jobs describe.

use crate::ids::JobName;
use crate::notice::NoticeKind;
use crate::server::PasswordSource;
use crate::template::{JsonTemplate, Template};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// `[notify]`, and what jobs say of pings.
#[derive(Clone, Debug, PartialEq)]
pub struct NotifySettings {
    /// The same trouble is told again after so long at the earliest; default 6 hours.
    pub repeat: Duration,
    /// What comes within so long is one message; default 10 s.
    pub gather: Duration,
    /// A message that cannot be delivered is given up after so long; default 2 days.
    pub give_up: Duration,
    /// Everybody who is told, by name: `webhook.chat`.
    pub channels: BTreeMap<String, Arc<Channel>>,
    /// The dead man's switch of each job that has one.
    pub pings: BTreeMap<JobName, Ping>,
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self {
            repeat: Duration::from_secs(6 * 3600),
            gather: Duration::from_secs(10),
            give_up: Duration::from_secs(2 * 86_400),
            channels: BTreeMap::new(),
            pings: BTreeMap::new(),
        }
    }
}

/// One of those who are told.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// `webhook.chat`, `mail.ops`, `command.pager`.
    pub name: String,
    /// What it is told of.
    pub on: Vec<NoticeKind>,
    /// How.
    pub means: Means,
}

/// How a message is delivered.
#[derive(Clone, Debug, PartialEq)]
pub enum Means {
    /// `[notify.webhook.NAME]`
    Webhook(Webhook),
    /// `[notify.mail.NAME]`
    Mail(Mail),
    /// `[notify.command.NAME]`
    Command(CommandHook),
}

/// Where a URL is known from. Its path may be a secret by itself: only its host is ever shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlSource {
    /// It stands in the file.
    Plain(String),
    /// It is read like a password.
    Secret(PasswordSource),
}

/// A POST of JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    /// Where to.
    pub url: UrlSource,
    /// Sent as `Authorization: Bearer`.
    pub token: PasswordSource,
    /// What is sent.
    pub body: JsonTemplate,
    /// Who vouches for the server, besides whom this machine trusts.
    pub ca: Option<PathBuf>,
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// Encrypted from the first byte.
    Implicit,
    /// Plain at first, then encrypted; a server that does not offer it is refused.
    Starttls,
    /// In the clear.
    None,
}

/// A mail over SMTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Mail {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// See [`MailTls`].
    pub tls: MailTls,
    /// Who vouches for the server, besides whom this machine trusts.
    pub ca: Option<PathBuf>,
    /// Who logs in.
    pub user: Option<String>,
    /// With which password.
    pub password: PasswordSource,
    /// `mykeeper <backup@example.org>`
    pub from: String,
    /// Those who get it.
    pub to: Vec<String>,
    /// Its subject.
    pub subject: Template,
}

/// A program of the user's.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandHook {
    /// A name that is looked up on PATH, or a path.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<Template>,
    /// How long it may take.
    pub timeout: Duration,
}

/// A URL that is called when a run of a job begins (`/start`), succeeds, or fails (`/fail`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The one that is called at success.
    pub url: UrlSource,
}
