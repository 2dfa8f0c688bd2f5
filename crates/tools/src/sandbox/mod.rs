//! The throwaway server that a set is restored into.
//!
//! It has a folder, a socket and, started by root, a user of its own; it listens on no port, writes for speed and not
//! for keeps, and fires no event. Whatever happens, it and its folder are gone afterwards; what a killed mykeeper
//! left is removed when the next one starts.

mod argv;
mod folder;
mod identity;
mod likeness;
mod program;
mod template;

use crate::connection::ServerConnection;
use crate::env::{ToolEnv, run_error};
use crate::error::ToolError;
pub use folder::sweep_sandboxes;
use folder::{Prepared, SandboxFolder};
pub use likeness::Likeness;
use mykeeper_domain::sandbox::Sandbox;
use mykeeper_domain::server::{Endpoint, PasswordSource, Tls, TlsMode};
use mykeeper_supervise::{Activity, Child, ChildSpec, Limits};
use program::ServerProgram;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{ConnectOptions, Connection, MySqlConnection};
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a throwaway server may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(90);
/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(40);
/// Its data are worth nothing: no time is given for an orderly end beyond this.
const GRACE: Duration = Duration::from_secs(2);
/// What is kept of its words.
const KEPT_LINES: usize = 60;
/// How many of them a message shows.
const SHOWN_LINES: usize = 4;

/// What the server said last.
type Words = Arc<Mutex<VecDeque<String>>>;

/// A running throwaway server. Dropped, it is killed and its folder removed.
#[derive(Debug)]
pub struct ThrowawayServer {
    child: Option<Child>,
    words: Words,
    version: String,
    engines: BTreeSet<String>,
    program: String,
    settings: Sandbox,
    lower_case: bool,
    // Removed after the child is gone: fields are dropped in this order.
    folder: SandboxFolder,
}

impl ThrowawayServer {
    /// Starts one, like no server in particular.
    ///
    /// # Errors
    /// As [`start_like`](Self::start_like).
    pub async fn start(settings: &Sandbox, env: &ToolEnv<'_>) -> Result<Self, ToolError> {
        Self::start_like(&Likeness::default(), settings, env).await
    }

    /// Starts one and waits until it answers, for a minute and a half at most. One that ends instead is started once
    /// more, from a template that is made anew: what lies ready may have suffered.
    ///
    /// # Errors
    /// The program is missing, the folder cannot be used, the server ends early or does not answer: with its own last
    /// words.
    pub async fn start_like(
        likeness: &Likeness,
        settings: &Sandbox,
        env: &ToolEnv<'_>,
    ) -> Result<Self, ToolError> {
        let program = program::find_server(&settings.server, env).await?;
        let user = identity::server_user()?;
        let mut anew = false;
        loop {
            let begun = Instant::now();
            let kind = (&program, likeness);
            let Prepared { folder, is_new } = folder::prepare(settings, kind, user, (env, anew)).await?;
            let mut server = Self::spawn((settings, kind), folder, user, env).await?;
            match server.until_ready(likeness, env).await {
                Ok(()) => {
                    let took = begun.elapsed().as_secs_f64();
                    let version = &server.version;
                    env.log.line(
                        "mykeeper",
                        &format!("the throwaway server ({version}) is ready after {took:.1} s"),
                    );
                    return Ok(server);
                }
                Err(error) => {
                    server.tell(env);
                    let has_ended = server.child.as_ref().is_some_and(Child::has_exited);
                    server.stop().await;
                    if is_new || !has_ended || env.cancel.is_cancelled() {
                        return Err(error);
                    }
                    let text =
                        format!("{error}; it is tried once more from an empty server that is made anew");
                    env.log.line("mykeeper", &text);
                    anew = true;
                }
            }
        }
    }

    /// One that was started before all was known of the server that it is to be like: as [`start_like`](Self::start_like)
    /// would make it now. `None`, and it is gone, where it is not, or no longer answers.
    pub(crate) async fn fitted(mut self, likeness: &Likeness, settings: &Sandbox) -> Option<Self> {
        let is_alike = self.lower_case == likeness.lower_case && self.settings == *settings;
        if is_alike && self.learn_engines(likeness).await.is_ok() {
            return Some(self);
        }
        self.stop().await;
        None
    }

    async fn spawn(
        (settings, (program, likeness)): (&Sandbox, (&ServerProgram, &Likeness)),
        folder: SandboxFolder,
        user: Option<(u32, u32)>,
        env: &ToolEnv<'_>,
    ) -> Result<Self, ToolError> {
        let limits = Limits {
            timeout: None,
            stall: None,
            grace: GRACE,
        };
        let mut spec = ChildSpec::new(&program.path)
            .args(argv::server_argv(program, &folder, (settings, likeness)))
            .current_dir(folder.path())
            .nice(niceness(settings))
            .limits(limits);
        spec.user = user;
        let words: Words = Arc::default();
        let sink = words.clone();
        let child = env
            .supervisor
            .start(
                spec,
                env.cancel.clone(),
                Activity::new(),
                Box::new(move |_, line| keep(&sink, &String::from_utf8_lossy(line))),
            )
            .await
            .map_err(|error| run_error(&program.path, program::HINT, &error))?;
        Ok(Self {
            child: Some(child),
            words,
            version: String::new(),
            engines: BTreeSet::new(),
            program: program.path.display().to_string(),
            settings: settings.clone(),
            lower_case: likeness.lower_case,
            folder,
        })
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        self.folder.socket()
    }

    /// What it answers to `SELECT VERSION()`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it keeps tables of an engine.
    pub(crate) fn has_engine(&self, engine: &str) -> bool {
        self.engines.contains(&engine.to_ascii_uppercase())
    }

    /// How to connect to it.
    pub fn connection(&self) -> ServerConnection {
        ServerConnection {
            name: "throwaway".to_owned(),
            endpoint: Endpoint::Socket(self.socket().to_owned()),
            user: "root".to_owned(),
            password: None,
            password_source: PasswordSource::None,
            tls: Tls {
                mode: TlsMode::Disabled,
                ca: None,
            },
        }
    }

    /// A folder of its own that goes with it, for whatever loading needs.
    pub(crate) fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Returns when the server has ended by itself, with what it said last.
    pub(crate) async fn ended(&self) -> String {
        match &self.child {
            Some(child) => child.exited().await,
            None => return String::new(),
        }
        self.last_words()
    }

    /// Opens a connection as root, every statement's text as it is.
    pub(crate) async fn connect(&self) -> Result<MySqlConnection, ToolError> {
        connect(self.socket()).await.map_err(|error| ToolError::Connect {
            server: "throwaway".to_owned(),
            cause: error.to_string(),
            passing: true,
        })
    }

    /// Hands its last words to the run's log.
    pub(crate) fn tell(&self, env: &ToolEnv<'_>) {
        for line in self.words.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            env.log.line("sandbox", line);
        }
    }

    /// Ends the server and removes its folder.
    pub async fn stop(mut self) {
        if let Some(child) = self.child.take()
            && let Err(error) = child.stop().await
        {
            tracing::warn!(%error, "end of the throwaway server");
        }
        let folder = self.folder.disarm();
        if let Err(error) = tokio::task::spawn_blocking(move || folder.remove()).await {
            tracing::warn!(%error, "removal of the throwaway server's folder");
        }
    }

    /// Waits until it answers, and learns from it what it is.
    async fn until_ready(&mut self, likeness: &Likeness, env: &ToolEnv<'_>) -> Result<(), ToolError> {
        self.version = self.answer(env).await?;
        self.learn_engines(likeness).await
    }

    async fn learn_engines(&mut self, likeness: &Likeness) -> Result<(), ToolError> {
        let is_mariadb = self.version.contains("MariaDB");
        let learning = async {
            let mut connection = self.connect().await?;
            let engines = likeness::load_engines(&mut connection, likeness, is_mariadb).await?;
            drop(connection.close().await);
            Ok(engines)
        };
        self.engines = tokio::time::timeout(READY_WITHIN, learning)
            .await
            .unwrap_or_else(|_| {
                Err(self.no_start(&format!("it did not tell its engines within {READY_WITHIN:?}")))
            })?;
        Ok(())
    }

    /// Its first answer, which is its version.
    async fn answer(&self, env: &ToolEnv<'_>) -> Result<String, ToolError> {
        let deadline = Instant::now() + READY_WITHIN;
        let asking = async {
            loop {
                // A server that takes the connection and then says nothing must not be waited for any longer.
                let error = match tokio::time::timeout_at(deadline, version_of(self.socket())).await {
                    Ok(Ok(version)) => return Ok(version),
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "it says nothing".to_owned(),
                };
                if Instant::now() >= deadline {
                    return Err(
                        self.no_start(&format!("it did not answer within {READY_WITHIN:?} ({error})"))
                    );
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        tokio::select! {
            answer = asking => answer,
            said = self.ended() => Err(self.no_start(&format!("it ended: {said}"))),
            () = env.cancel.cancelled() => Err(ToolError::Cancelled { program: self.program.clone() }),
        }
    }

    fn no_start(&self, cause: &str) -> ToolError {
        ToolError::Failed {
            message: format!("cannot start the throwaway server {}: {cause}", self.program),
            passing: true,
        }
    }

    fn last_words(&self) -> String {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let telling: Vec<&String> = words.iter().filter(|line| line.contains("[ERROR]")).collect();
        let shown: Vec<&str> = if telling.is_empty() {
            words
                .iter()
                .rev()
                .take(SHOWN_LINES)
                .rev()
                .map(String::as_str)
                .collect()
        } else {
            telling
                .into_iter()
                .take(SHOWN_LINES)
                .map(String::as_str)
                .collect()
        };
        if shown.is_empty() {
            "without a word".to_owned()
        } else {
            shown.join("; ")
        }
    }
}

impl Drop for ThrowawayServer {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            // The child's own drop ends it in the background, with time to write; the folder goes now.
            identity::kill_now(child.identity());
        }
    }
}

/// Starts a throwaway server, asks for its version, and ends it.
///
/// # Errors
/// As [`ThrowawayServer::start`].
pub async fn check_sandbox(settings: &Sandbox, env: &ToolEnv<'_>) -> Result<String, ToolError> {
    let server = ThrowawayServer::start(settings, env).await?;
    let version = server.version().to_owned();
    server.stop().await;
    Ok(version)
}

/// How far the server and its loader stand back: no less than we do ourselves, which only root could.
pub(crate) fn niceness(settings: &Sandbox) -> i32 {
    let own = rustix::process::getpriority_process(None).unwrap_or(0);
    own.max(i32::from(settings.nice))
}

fn keep(words: &Words, line: &str) {
    let line = line.trim();
    if line.is_empty() {
        return;
    }
    let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
    if words.len() == KEPT_LINES {
        words.pop_front();
    }
    words.push_back(line.to_owned());
}

async fn connect(socket: &Path) -> Result<MySqlConnection, sqlx::Error> {
    MySqlConnectOptions::new()
        .socket(socket)
        .username("root")
        .ssl_mode(MySqlSslMode::Disabled)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None)
        .disable_statement_logging()
        .connect()
        .await
}

async fn version_of(socket: &Path) -> Result<String, sqlx::Error> {
    let mut connection = connect(socket).await?;
    let version = sqlx::query_scalar("SELECT VERSION()")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    Ok(version)
}

/// The program as [`Proof`](mykeeper_domain::proof::Proof) names a server that was never started.
pub(crate) const NOT_STARTED: &str = "not started";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_before_notes() {
        let words: Words = Arc::default();
        for line in ["a [Note] x", "b [ERROR] no space", "", "c [Note] y"] {
            keep(&words, line);
        }
        assert_eq!(words.lock().unwrap().len(), 3);
    }
}
