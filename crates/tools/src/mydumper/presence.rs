//! What a running mydumper does on its server, and what is left of it there when it has ended.
//!
//! Which connections are its own is known in three ways. Its threads say the numbers of theirs. A server that keeps
//! what clients say of themselves (`performance_schema`) knows the process. And the one that takes the lock, of which
//! mydumper says nothing but that it is there, is the only one of the account and host that came after ours, made right
//! before the start, and before the first thread's. Where two could be it, neither is touched: the other may be
//! another dump's.

use super::lock::{LockClock, Phase};
use crate::connection::ServerConnection;
use crate::error::ToolError;
use crate::log::RunLog;
use crate::probe::{Probe, Session, Standing};
use mykeeper_supervise::{Activity, ProcessIdentity};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

const TICK: Duration = Duration::from_millis(200);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Looks for the connection that takes the lock.
const MAX_LOOKS: u32 = 60;
/// Looks that are taken at every tick; the others come once in so many ticks.
const FAST_LOOKS: u32 = 5;
const TICKS_PER_LOOK: u32 = 5;
/// After so long a mydumper that waits has surely asked.
const SURELY_ASKED: Duration = Duration::from_secs(1);
/// Thread numbers kept.
const MAX_THREADS: usize = 4_096;
/// Connections that are named as holding a dump up.
const MAX_NAMED: usize = 3;
const THREAD: &str = "connected using MySQL connection ID ";

/// What mydumper says of its connections and its lock.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) lock: LockClock,
    pub(super) is_connected: bool,
    threads: BTreeSet<u64>,
    /// The longest wait that the server's list has shown, of a mydumper that does not say.
    listed_wait: Option<Duration>,
}

impl Heard {
    /// `classic`: before 0.11.
    pub(super) fn new(classic: bool) -> Mutex<Self> {
        Mutex::new(Self {
            lock: LockClock::new(classic),
            is_connected: false,
            threads: BTreeSet::new(),
            listed_wait: None,
        })
    }

    /// Takes one line.
    pub(super) fn hear(&mut self, line: &str, now: Instant) {
        self.lock.hear(line, now);
        self.is_connected |= line.contains(": Connected to ");
        let thread = line
            .split_once(THREAD)
            .and_then(|(_, number)| number.trim().parse::<u64>().ok());
        if let Some(thread) = thread.filter(|_| self.threads.len() < MAX_THREADS) {
            self.threads.insert(thread);
        }
    }

    /// How long it waited for its lock, and how long it held it, as far as that is known.
    pub(super) fn lock_times(&self) -> (Option<Duration>, Option<Duration>) {
        (self.lock.waited().or(self.listed_wait), self.lock.held())
    }
}

/// Locks, also when someone has panicked meanwhile: what is in it is whole at any time.
pub(super) fn locked(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

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
    /// Of a connection made right before the start. Without it nothing can be told.
    pub(super) before: Option<Standing>,
    /// Our own connections since.
    pub(super) ours: BTreeSet<u64>,
    /// The dump's besides its threads'.
    pub(super) sure: BTreeSet<u64>,
    /// Open as long as the lock matters: a server that is held up may soon take no connection more.
    probe: Option<Probe>,
    looks: u32,
}

impl<'a> Presence<'a> {
    /// Right before mydumper is started. A server that does not answer is told in the log: mydumper will have its say.
    pub(super) async fn before_start(
        connection: &'a ServerConnection,
        log: &'a dyn RunLog,
        heard: &'a Mutex<Heard>,
    ) -> Self {
        let mut this = Self {
            connection,
            log,
            heard,
            before: None,
            ours: BTreeSet::new(),
            sure: BTreeSet::new(),
            probe: None,
            looks: 0,
        };
        let connected = tokio::time::timeout(ANSWER_LIMIT, connect(connection)).await;
        match connected {
            Ok(Ok((probe, standing))) => {
                this.ours.insert(standing.id);
                this.before = Some(standing);
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
    pub(super) async fn watch(
        &mut self,
        watched: Watched,
        activity: &Activity,
        identity: watch::Receiver<Option<ProcessIdentity>>,
    ) -> ToolError {
        let mut last_look = Instant::now();
        for tick in 0_u32.. {
            tokio::time::sleep(TICK).await;
            let (phase, is_connected) = {
                let heard = locked(self.heard);
                (heard.lock.phase(), heard.is_connected)
            };
            let is_done = !watched.takes_lock && !self.sure.is_empty();
            if phase == Phase::Over || is_done || self.looks >= MAX_LOOKS && phase == Phase::Before {
                self.close().await;
            } else if self.looks < FAST_LOOKS || tick.is_multiple_of(TICKS_PER_LOOK) {
                if is_connected && self.sure.is_empty() {
                    let pid = identity.borrow().as_ref().map(|identity| identity.pid);
                    self.learn(phase, pid).await;
                } else if !is_connected && watched.takes_lock && watched.is_silent {
                    self.look_for_wait().await;
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
    async fn sessions(&mut self) -> Option<Vec<Session>> {
        let mut probe = self.probe.take()?;
        let sessions = probe.sessions().await.ok()?;
        self.probe = Some(probe);
        Some(sessions)
    }

    async fn learn(&mut self, phase: Phase, pid: Option<u32>) {
        self.looks += 1;
        if self.looks == 1
            && let Some(pid) = pid
            && let Some(mut probe) = self.probe.take()
        {
            let attributed = probe.sessions_of_processes(&[pid]).await;
            let after = self.before.as_ref().map_or(u64::MAX, |before| before.id);
            self.sure.extend(attributed.into_iter().filter(|id| *id > after));
            if !probe.is_gone() {
                self.probe = Some(probe);
            }
        }
        let Some(sessions) = self.sessions().await else {
            return;
        };
        let candidates = self.candidates(&sessions);
        let has_asked = matches!(phase, Phase::Waiting(since) if since.elapsed() >= SURELY_ASKED);
        let asking: Vec<u64> = candidates
            .iter()
            .filter(|session| has_asked && session.asks_for_lock())
            .map(|session| session.id)
            .collect();
        if let [one] = candidates[..] {
            self.sure.insert(one.id);
        } else if let [one] = asking[..] {
            self.sure.insert(one);
        }
    }

    /// Who could be the dump's besides its threads.
    pub(super) fn candidates<'s>(&self, sessions: &'s [Session]) -> Vec<&'s Session> {
        let heard = locked(self.heard);
        let first_thread = heard.threads.first().copied().unwrap_or(u64::MAX);
        sessions
            .iter()
            .filter(|session| self.is_of_account(session) && session.id < first_thread)
            .collect()
    }

    /// Of our account and host, and newer than the start.
    fn is_of_account(&self, session: &Session) -> bool {
        self.before.as_ref().is_some_and(|before| {
            session.id > before.id
                && session.user == before.user
                && session.host == before.host
                && !self.ours.contains(&session.id)
        })
    }

    pub(super) fn is_surely_ours(&self, session: &Session) -> bool {
        self.is_of_account(session)
            && (self.sure.contains(&session.id) || locked(self.heard).threads.contains(&session.id))
    }

    /// For a mydumper that says nothing of its lock.
    async fn look_for_wait(&mut self) {
        self.looks += 1;
        let Some(sessions) = self.sessions().await else {
            return;
        };
        let wait = sessions
            .iter()
            .filter(|session| self.is_of_account(session) && session.asks_for_lock())
            .map(|session| Duration::from_secs(session.seconds))
            .max();
        if let Some(wait) = wait {
            // As long as it waits it is looked at.
            self.looks = self.looks.min(MAX_LOOKS - 1);
            let mut heard = locked(self.heard);
            heard.listed_wait = heard.listed_wait.max(Some(wait));
        }
    }

    async fn over_budget(&mut self, phase: Phase, budget: Option<Duration>) -> Option<ToolError> {
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
        let why = tokio::time::timeout(ANSWER_LIMIT, self.thaw(held, after))
            .await
            .unwrap_or_else(|_| "the server did not say in time what held it up".to_owned());
        Some(ToolError::LockBudget {
            program: super::run::PROGRAM.to_owned(),
            held,
            after,
            budget,
            why,
        })
    }

    /// Says what held the dump up, and ends its connections before the dump itself, which may take its time.
    async fn thaw(&mut self, held: bool, after: Duration) -> String {
        if self.probe.is_none()
            && let Ok((probe, standing)) = connect(self.connection).await
        {
            self.ours.insert(standing.id);
            self.probe = Some(probe);
        }
        let Some(sessions) = self.sessions().await else {
            return "what held it up could not be asked".to_owned();
        };
        let own: Vec<&Session> = sessions
            .iter()
            .filter(|session| self.is_surely_ours(session))
            .collect();
        if let Some(mut probe) = self.probe.take() {
            for session in &own {
                match probe.kill(session.id).await {
                    Ok(()) => self.say(&format!(
                        "ended at once, since others wait: {}",
                        session.describe()
                    )),
                    Err(error) => self.say(&format!("warning: {}: {error}", session.describe())),
                }
            }
            if !probe.is_gone() {
                self.probe = Some(probe);
            }
        }
        if held {
            "mydumper gives its lock back when the tables that are not transactional are dumped: convert them, or \
             leave them to a job of their own"
                .to_owned()
        } else {
            held_up_by(&sessions, &own, after)
        }
    }

    /// Whether the server works for any connection of the dump.
    async fn is_working(&mut self) -> bool {
        let Ok((mut probe, standing)) = connect(self.connection).await else {
            return false;
        };
        self.ours.insert(standing.id);
        let sessions = probe.sessions().await.unwrap_or_default();
        probe.close().await;
        let is_known = !self.sure.is_empty() || !locked(self.heard).threads.is_empty();
        let is_its = |session: &&Session| {
            if is_known {
                self.is_surely_ours(session)
            } else {
                self.is_of_account(session)
            }
        };
        let working = sessions
            .iter()
            .filter(is_its)
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

/// Those that were at work when the wait began and are it still, the longest first.
fn held_up_by(sessions: &[Session], own: &[&Session], after: Duration) -> String {
    let mut blockers: Vec<&Session> = sessions
        .iter()
        .filter(|session| !own.iter().any(|own| own.id == session.id))
        .filter(|session| session.is_busy() && !session.waits_for_lock() && session.user != "system user")
        .filter(|session| session.seconds + 1 >= after.as_secs())
        .collect();
    blockers.sort_by_key(|session| std::cmp::Reverse(session.seconds));
    let named: Vec<String> = blockers
        .iter()
        .take(MAX_NAMED)
        .map(|session| session.describe())
        .collect();
    if named.is_empty() {
        return "what held it up is not to be seen in the process list: an idle connection with locked tables, say, or \
                one that is shown to accounts with PROCESS alone"
            .to_owned();
    }
    format!("held up by {}", named.join(" and "))
}

pub(super) async fn connect(connection: &ServerConnection) -> Result<(Probe, Standing), ToolError> {
    let mut probe = Probe::connect(connection).await?.answering_within(ANSWER_LIMIT);
    let standing = probe.standing().await?;
    Ok((probe, standing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_its_threads_are_heard_from_every_version() {
        let heard = Heard::new(true);
        for line in [
            "** Message: 21:18:05.816: Connected to a MySQL server",
            "** Message: 21:17:25.409: Thread 1 connected using MySQL connection ID 6",
            "** Message: 21:17:25.409: Thread 2: connected using MySQL connection ID 17\n",
            "** Message: 21:17:25.409: Thread 3 connected using MySQL connection ID x",
        ] {
            locked(&heard).hear(line, Instant::now());
        }
        assert_eq!(locked(&heard).threads, BTreeSet::from([6, 17]));
        assert!(locked(&heard).is_connected);
    }
}
