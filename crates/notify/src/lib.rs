//! How one message is delivered: a POST, a mail, a command, a ping. Knows no job, keeps nothing, tries once.

mod command;
mod error;
mod http;
mod mail;
mod trust;

pub use error::DeliveryError;

use http::{Http, Post};
use mykeeper_domain::notice::Message;
use mykeeper_domain::notify::{Channel, Means, Ping, UrlSource, Webhook};
use mykeeper_domain::server::PasswordSource;
use mykeeper_supervise::Supervisor;
use secrecy::SecretString;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One attempt may take so long, whoever is at the other end; a command has a limit of its own.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(30);

/// What reads secrets where they lie. An error is a sentence for people.
pub type Secrets = Box<dyn Fn(&PasswordSource) -> Result<Option<SecretString>, String> + Send + Sync>;

/// What a ping says of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// It begins.
    Start,
    /// It did what it was for.
    Success,
    /// It did not.
    Fail,
}

impl Signal {
    /// What the URL has behind it.
    fn suffix(self) -> &'static str {
        match self {
            Self::Start => "/start",
            Self::Success => "",
            Self::Fail => "/fail",
        }
    }
}

/// Delivers.
pub struct Courier {
    supervisor: Supervisor,
    secrets: Secrets,
    /// Where the file lies that a command reads.
    private: PathBuf,
    http: Http,
}

impl Courier {
    /// `private` is a folder that no one else may enter.
    pub fn new(supervisor: Supervisor, secrets: Secrets, private: PathBuf) -> Self {
        Self {
            supervisor,
            secrets,
            private,
            http: Http::default(),
        }
    }

    /// Delivers one message, once. Where those who are told have several addresses, `reached` have it already.
    ///
    /// # Errors
    /// Whoever is to be told did not say that the message was taken.
    pub async fn deliver(
        &self,
        channel: &Channel,
        message: &Message,
        reached: &[String],
        cancel: &CancellationToken,
    ) -> Result<(), DeliveryError> {
        match &channel.means {
            Means::Webhook(webhook) => bounded(self.post(webhook, message), cancel).await,
            Means::Mail(mail) => {
                let password = self.secret(&mail.password)?;
                bounded(mail::send(mail, password, message, reached), cancel).await
            }
            Means::Command(hook) => {
                let at = command::Place {
                    supervisor: &self.supervisor,
                    private: &self.private,
                };
                command::run(&at, hook, message, cancel).await
            }
        }
    }

    /// Reads what a delivery needs, and delivers nothing.
    ///
    /// # Errors
    /// Something cannot be had.
    pub fn prepare(&self, channel: &Channel) -> Result<(), DeliveryError> {
        match &channel.means {
            Means::Webhook(webhook) => {
                http::host_of(&self.url(&webhook.url)?)?;
                self.secret(&webhook.token)?;
                trust::client_config(webhook.ca.as_deref()).map(drop)
            }
            Means::Mail(mail) => {
                self.secret(&mail.password)?;
                mail::prepare(mail)
            }
            Means::Command(hook) => match hook.program.is_absolute() && !hook.program.is_file() {
                true => Err(DeliveryError::Command {
                    program: hook.program.clone(),
                    cause: "it is not there".to_owned(),
                }),
                false => Ok(()),
            },
        }
    }

    /// The same for a ping.
    ///
    /// # Errors
    /// The URL cannot be had, or is none.
    pub fn prepare_ping(&self, ping: &Ping) -> Result<(), DeliveryError> {
        http::host_of(&self.url(&ping.url)?).map(drop)
    }

    /// Calls the URL of a job, once. `said` is for whoever looks at it there.
    ///
    /// # Errors
    /// It did not answer that it was called.
    pub async fn ping(
        &self,
        ping: &Ping,
        signal: Signal,
        said: &str,
        cancel: &CancellationToken,
    ) -> Result<(), DeliveryError> {
        let url = self.url(&ping.url)?;
        // A query stays behind the path.
        let (path, query) = match url.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (url.as_str(), String::new()),
        };
        let post = Post {
            url: &format!("{}{}{query}", path.trim_end_matches('/'), signal.suffix()),
            token: None,
            content_type: "text/plain; charset=utf-8",
            body: said.as_bytes().to_vec(),
            ca: None,
        };
        bounded(self.http.post(post), cancel).await
    }

    async fn post(&self, webhook: &Webhook, message: &Message) -> Result<(), DeliveryError> {
        let post = Post {
            url: &self.url(&webhook.url)?,
            token: self.secret(&webhook.token)?,
            content_type: "application/json",
            body: webhook.body.expand(message).to_string().into_bytes(),
            ca: webhook.ca.as_deref(),
        };
        self.http.post(post).await
    }

    fn url(&self, source: &UrlSource) -> Result<String, DeliveryError> {
        use secrecy::ExposeSecret;
        match source {
            UrlSource::Plain(url) => Ok(url.clone()),
            UrlSource::Secret(source) => {
                let url = self.secret(source)?;
                url.map(|url| url.expose_secret().trim().to_owned())
                    .ok_or_else(|| DeliveryError::Secret("there is no URL".to_owned()))
            }
        }
    }

    fn secret(&self, source: &PasswordSource) -> Result<Option<SecretString>, DeliveryError> {
        (self.secrets)(source).map_err(DeliveryError::Secret)
    }
}

async fn bounded(
    attempt: impl Future<Output = Result<(), DeliveryError>>,
    cancel: &CancellationToken,
) -> Result<(), DeliveryError> {
    tokio::select! {
        result = tokio::time::timeout(ATTEMPT_WITHIN, attempt) => {
            result.unwrap_or(Err(DeliveryError::Slow(ATTEMPT_WITHIN)))
        }
        () = cancel.cancelled() => Err(DeliveryError::Cancelled),
    }
}
