//! What a running mydumper does on its server, watched over a connection of ours. Which connections are its own: see
//! [`super::own`].

use super::heard::{Heard, locked};
use super::lock::Phase;
use super::own::Own;
use crate::connection::ServerConnection;
use crate::error::ToolError;
use crate::log::RunLog;
use crate::probe::{Probe, Session, Standing};
use mykeeper_supervise::{Activity, ProcessIdentity};
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

const TICK: Duration = Duration::from_millis(200);
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Looks for the dump's connections.
const MAX_LOOKS: u32 = 60;
/// Those that are left, at least, when a silent mydumper has its lock: its threads come then.
const LOOKS_AFTER_WAIT: u32 = 10;
/// Looks that are taken at every tick; the others come once in so many ticks.
const FAST_LOOKS: u32 = 5;
const TICKS_PER_LOOK: u32 = 5;
/// What is watched for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watched {
    /// It takes a lock that others have to wait for.
    pub(super) takes_lock: bool,
    /// See `LockPolicy::budget`.
    pub(super) budget: Option<Duration>,
    /// The watchdog's limit.
    pub(super) stall: Option<Duration>,
    /// It is not asked to say when it takes its lock.
    pub(super) is_silent: bool,
}

/// One mydumper, seen from its server.
pub(super) struct Presence<'a> {
    pub(super) connection: &'a ServerConnection,
    log: &'a dyn RunLog,
    pub(super) heard: &'a Mutex<Heard>,
    pub(super) own: Own<'a>,
    identity: watch::Receiver<Option<ProcessIdentity>>,
    /// Open as long as the lock matters: a server that is held up may soon take no connection more.
    pub(super) probe: Option<Probe>,
    looks: u32,
    /// The budget is overrun, and why, from when its connections are about to be ended until that is told.
    pub(super) overrun: Option<ToolError>,
    /// A connection of the dump was ended from here while it ran.
    pub(super) has_ended_any: bool,
}

impl<'a> Presence<'a> {
    /// Right before mydumper is started. A server that does not answer is told in the log: mydumper will have its say.
    pub(super) async fn before_start(
        connection: &'a ServerConnection,
        log: &'a dyn RunLog,
        heard: &'a Mutex<Heard>,
        identity: watch::Receiver<Option<ProcessIdentity>>,
    ) -> Self {
        let mut this = Self {
            connection,
            log,
            heard,
            own: Own::new(heard),
            identity,
            probe: None,
            looks: 0,
            overrun: None,
            has_ended_any: false,
        };
        let connected = tokio::time::timeout(ANSWER_LIMIT, connect(connection)).await;
        match connected {
            Ok(Ok((probe, standing))) => {
                this.own.begin(standing);
                this.probe = Some(probe);
            }
            Ok(Err(error)) => this.say(&format!(
                "warning: what the dump does on its server cannot be watched: {error}"
            )),
            Err(_) => this.say(&format!(
                "warning: what the dump does on its server cannot be watched: no answer within {} s",
                ANSWER_LIMIT.as_secs()
            )),
        }
        this
    }

    pub(super) fn say(&self, text: &str) {
        self.log.line("mykeeper", text);
    }

    /// Watches until the budget is overrun, and has then thawed the server as far as it can. Touches `activity` when
    /// the server shows that a silent mydumper is at work.
    pub(super) async fn watch(&mut self, watched: Watched, activity: &Activity) -> ToolError {
        let mut last_look = Instant::now();
        for tick in 0_u32.. {
            tokio::time::sleep(TICK).await;
            let (phase, is_connected) = {
                let heard = locked(self.heard);
                (heard.lock.phase(), heard.is_connected)
            };
            let is_known = !self.own.sure.is_empty();
            let is_done = !watched.takes_lock && !watched.is_silent && is_known;
            if phase == Phase::Over || is_done || self.looks >= MAX_LOOKS && phase == Phase::Before {
                self.close().await;
            } else if self.looks < FAST_LOOKS || tick.is_multiple_of(TICKS_PER_LOOK) {
                if is_connected && !is_known {
                    self.learn().await;
                } else if !is_connected && watched.is_silent {
                    self.learn_in_silence(watched.takes_lock).await;
                }
            }
            if let Some(error) = self
                .over_budget(phase, watched.budget.filter(|_| watched.takes_lock))
                .await
            {
                return error;
            }
            if let Some(stall) = watched.stall
                && activity.idle_for() >= stall / 2
                && last_look.elapsed() >= stall / 8
            {
                last_look = Instant::now();
                if self.is_working().await {
                    activity.touch();
                }
            }
        }
        std::future::pending().await
    }

    pub(super) async fn close(&mut self) {
        if let Some(probe) = self.probe.take() {
            probe.close().await;
        }
    }

    /// Taken out while it is used: of one that is dropped amid a question nothing more can be asked.
    pub(super) async fn sessions(&mut self) -> Option<Vec<Session>> {
        let mut probe = self.probe.take()?;
        let sessions = probe.sessions().await.ok()?;
        self.probe = Some(probe);
        Some(sessions)
    }

    /// Its process, as far as it has been started.
    pub(super) fn pid(&self) -> Option<u32> {
        self.identity.borrow().as_ref().map(|identity| identity.pid)
    }

    /// Another connection in the place of the one that was lost.
    pub(super) async fn reconnect(&mut self) -> Result<(), ToolError> {
        self.probe = None;
        let (probe, standing) = connect(self.connection).await?;
        self.own.ours.insert(standing.id);
        self.probe = Some(probe);
        Ok(())
    }

    async fn learn(&mut self) -> Option<Vec<Session>> {
        self.looks += 1;
        let pid = self.pid();
        if let Some(pid) = pid
            && let Some(mut probe) = self.probe.take()
        {
            let endpoint = &self.connection.endpoint;
            self.own.learn_from_server(&mut probe, (pid, endpoint)).await;
            self.probe = (!probe.is_gone()).then_some(probe);
        }
        let sessions = self.sessions().await?;
        self.own.learn(&sessions, pid);
        Some(sessions)
    }

    /// For a mydumper that says nothing of its connections, nor of its lock.
    async fn learn_in_silence(&mut self, takes_lock: bool) {
        let Some(sessions) = self.learn().await else {
            return;
        };
        let wait = sessions
            .iter()
            .filter(|session| takes_lock && self.own.is_likely_its(session) && session.asks_for_lock())
            .map(|session| Duration::from_secs(session.seconds))
            .max();
        if let Some(wait) = wait {
            // As long as it waits it is looked at.
            self.looks = self.looks.min(MAX_LOOKS - LOOKS_AFTER_WAIT);
            let mut heard = locked(self.heard);
            heard.listed_wait = heard.listed_wait.max(Some(wait));
        }
    }

    /// Whether the server works for any connection of the dump.
    async fn is_working(&mut self) -> bool {
        let Ok((mut probe, standing)) = connect(self.connection).await else {
            return false;
        };
        self.own.ours.insert(standing.id);
        let sessions = probe.sessions().await.unwrap_or_default();
        probe.close().await;
        self.own.learn(&sessions, self.pid());
        let working = sessions
            .iter()
            .filter(|session| self.own.is_likely_its(session))
            .find(|session| session.is_at_work());
        if let Some(session) = working {
            self.say(&format!(
                "mydumper says and writes nothing, but the server works for it: {}",
                session.describe()
            ));
        }
        working.is_some()
    }
}

pub(super) async fn connect(connection: &ServerConnection) -> Result<(Probe, Standing), ToolError> {
    let mut probe = Probe::connect_answering(connection, ANSWER_LIMIT).await?;
    let standing = probe.standing().await?;
    Ok((probe, standing))
}
