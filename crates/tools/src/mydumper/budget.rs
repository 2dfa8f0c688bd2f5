//! A dump whose lock takes longer than the job's budget: found, and the server thawed.

use super::heard::locked;
use super::lock::Phase;
use super::presence::{ANSWER_LIMIT, Presence};
use super::run::PROGRAM;
use crate::error::ToolError;
use crate::probe::{InTheWay, Probe, Session};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// So long the connection that is open has to answer, before another is made.
const FIRST_ANSWER: Duration = Duration::from_millis(1_500);
/// For all that is asked and done about it, over two connections.
const THAW_LIMIT: Duration = Duration::from_secs(12);

/// What to do about a dump that holds its lock for too long.
const GIVE_BACK: &str = "mydumper gives its lock back when the tables that are not transactional are dumped: convert \
                         them, or leave them to a job of their own";

impl Presence<'_> {
    /// The error of a dump whose lock has taken longer than `budget`; its connections are ended by then.
    pub(super) async fn over_budget(&mut self, phase: Phase, budget: Option<Duration>) -> Option<ToolError> {
        let budget = budget?;
        let (held, after) = match phase {
            Phase::Waiting(since) => (false, since.elapsed()),
            Phase::Held(since) => (true, since.elapsed()),
            Phase::Before => (false, locked(self.heard).listed_wait?),
            Phase::Over => return None,
        };
        if after < budget {
            return None;
        }
        // What mydumper says from now on it says because it is ended.
        locked(self.heard).lock.end(Instant::now());
        let overrun = |why: &str| ToolError::LockBudget {
            program: PROGRAM.to_owned(),
            held,
            after,
            budget,
            why: why.to_owned(),
        };
        // Said before anything is done: a mydumper that loses its connections may be gone before this is.
        self.overrun = Some(overrun(
            "the server did not say in time what held it up: look at its process list",
        ));
        let thawing = async {
            let sessions = match self.sessions_again().await {
                Ok(sessions) => sessions,
                Err(error) => {
                    self.overrun = Some(overrun(&format!("what held it up could not be asked: {error}")));
                    return;
                }
            };
            let own: Vec<Session> = sessions
                .iter()
                .filter(|session| self.own.is_surely_its(session))
                .cloned()
                .collect();
            let why = if held {
                GIVE_BACK.to_owned()
            } else {
                self.in_the_way(&sessions, &own, after).await
            };
            self.overrun = Some(overrun(&why));
            self.end(&own).await;
        };
        if tokio::time::timeout(THAW_LIMIT, thawing).await.is_err() {
            self.say("warning: the dump's connections could not all be ended in time");
        }
        self.overrun.take()
    }

    /// Who held up the dump with these connections, for people.
    async fn in_the_way(&mut self, sessions: &[Session], own: &[Session], after: Duration) -> String {
        let mut holders = BTreeSet::new();
        // Of one that is dropped amid a question nothing more can be asked.
        if let Some(mut probe) = self.probe.take()
            && let Ok(said) = tokio::time::timeout(FIRST_ANSWER, probe.lock_holders(None)).await
        {
            holders = said.unwrap_or_default();
            self.probe = Some(probe);
        }
        let began = self.own.before.as_ref().map_or(u64::MAX, |before| before.id);
        let others = sessions.iter().filter(|session| {
            !own.iter().any(|own| own.id == session.id) && (session.is_busy() || session.id < began)
        });
        let who = InTheWay::among(others, |session| {
            let is_at_it =
                session.is_busy() && !session.waits_for_lock() && session.seconds + 1 >= after.as_secs();
            is_at_it || holders.contains(&session.id)
        });
        who.describe()
    }

    /// The server's list, over a new connection where the old one does not answer.
    async fn sessions_again(&mut self) -> Result<Vec<Session>, ToolError> {
        if let Ok(Some(sessions)) = tokio::time::timeout(FIRST_ANSWER, self.sessions()).await {
            return Ok(sessions);
        }
        self.reconnect().await?;
        self.sessions().await.ok_or_else(|| ToolError::Query {
            action: "list the connections".to_owned(),
            server: self.connection.name.clone(),
            cause: format!("no answer within {} s", ANSWER_LIMIT.as_secs()),
        })
    }

    async fn end(&mut self, own: &[Session]) {
        let mut has_reconnected = false;
        for session in own {
            if self.probe.as_ref().is_none_or(Probe::is_gone)
                && (std::mem::replace(&mut has_reconnected, true) || self.reconnect().await.is_err())
            {
                self.say(&format!("warning: {} could not be ended", session.describe()));
                continue;
            }
            // Taken out while it is used, as everywhere.
            let Some(mut probe) = self.probe.take() else {
                continue;
            };
            match probe.kill(session.id).await {
                Ok(()) => {
                    self.has_ended_any = true;
                    self.say(&format!(
                        "ended at once, since others wait: {}",
                        session.describe()
                    ));
                }
                Err(error) => self.say(&format!("warning: {}: {error}", session.describe())),
            }
            self.probe = Some(probe);
        }
    }
}
