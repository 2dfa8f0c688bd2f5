//! How many dumps, transfers and proofs run at a time: the kernel's locks below `state_dir`, so that the daemon and
//! every command take part, and none of them is ever stale.
//!
//! One permit is held at a time, and only while the work that it is for goes on: nobody waits for a permit with
//! another in hand that anybody waits for, so that no two can wait for each other. What a backup job does at its destinations it does at each by
//! itself: none of them, and no dump, waits for a permit that another of them waits for.

use crate::jobs::{JobError, RunContext};
use crate::state_dir::{HeldLock, LockAttempt, LockOwner};
use mykeeper_domain::humane;
use mykeeper_domain::run::RunState;
use mykeeper_domain::{DestinationName, ServerName};
use std::fmt;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a run that waits looks whether there is room.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the catalog may take to be told what a run waits for: nothing depends on it.
const NOTE_WITHIN: Duration = Duration::from_secs(5);

/// What only so many runs do at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limited {
    /// A dump of this server, or a restore into it.
    Server(ServerName),
    /// A transfer to this destination.
    Destination(DestinationName),
    /// A proof.
    Validation,
    /// A throwaway server that lies ready for one. Nobody waits for this: what has none starts its own when it is its turn.
    ReadyServer,
}

impl Limited {
    /// What its locks are called, up to their number.
    fn lock_name(&self) -> String {
        match self {
            Self::Server(name) => format!("server-{name}"),
            Self::Destination(name) => format!("destination-{name}"),
            Self::Validation => "validation".to_owned(),
            Self::ReadyServer => "ready-server".to_owned(),
        }
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(name) => write!(f, "server {name}"),
            Self::Destination(name) => write!(f, "destination {name}"),
            Self::Validation => f.write_str("a validation"),
            Self::ReadyServer => f.write_str("a throwaway server that lies ready"),
        }
    }
}

/// The right to go on, until it is dropped.
#[derive(Debug)]
pub struct Permit {
    _lock: HeldLock,
}

impl RunContext {
    /// Takes one of the permits for `what`, waiting for one where all are in use. The wait counts against the run's
    /// timeout; it is told in the run's log and, while it lasts, in the run's reason in the catalog.
    ///
    /// # Errors
    /// The run was ended meanwhile, or its timeout is over; the lock files cannot be used.
    pub async fn permit(&self, what: &Limited) -> Result<Permit, JobError> {
        let began = tokio::time::Instant::now();
        let mut told = None;
        loop {
            match self.try_permit(what)? {
                Ok(permit) => {
                    if told.is_some() {
                        self.say(format!("{what} is free after {}", humane(began.elapsed())));
                        self.note(None).await;
                    }
                    return Ok(permit);
                }
                Err(owners) => {
                    let waits = format!(
                        "waits for {what}, in use{}; {}",
                        owned(&owners),
                        self.most(what).0
                    );
                    if told.as_ref() != Some(&waits) {
                        self.say(&waits);
                        self.note(Some(&waits)).await;
                        told = Some(waits);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.cancel.cancelled() => return Err(self.ended_waiting(what)),
            }
        }
    }

    /// The same for work that need not be done: `None` once `over` is cancelled. Nothing is told of the wait, and the run
    /// does not end with it.
    ///
    /// # Errors
    /// The lock files cannot be used.
    pub async fn permit_until(
        &self,
        what: &Limited,
        over: &CancellationToken,
    ) -> Result<Option<Permit>, JobError> {
        while !over.is_cancelled() {
            if let Ok(permit) = self.try_permit(what)? {
                return Ok(Some(permit));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = over.cancelled() => {}
            }
        }
        Ok(None)
    }

    /// Takes one that is free now.
    ///
    /// # Errors
    /// The lock files cannot be used.
    pub fn permit_now(&self, what: &Limited) -> Result<Option<Permit>, JobError> {
        Ok(self.try_permit(what)?.ok())
    }

    /// One look at all permits; who has them, where none is free.
    fn try_permit(&self, what: &Limited) -> Result<Result<Permit, Vec<LockOwner>>, JobError> {
        let (_, most) = self.most(what);
        let state = &self.environment.state;
        let mut owners = Vec::new();
        let unusable = |error: crate::DaemonError| JobError::fatal(error.to_string());
        for number in 0..most {
            match state.lock_permit(&what.lock_name(), number).map_err(unusable)? {
                LockAttempt::Held(mut lock) => {
                    state.sign_for(&mut lock, (Some(self.run), Some(self.job.name.clone())));
                    return Ok(Ok(Permit { _lock: lock }));
                }
                LockAttempt::Busy(owner) => owners.extend(owner),
            }
        }
        Ok(Err(owners))
    }

    /// How many at a time, and what says so.
    fn most(&self, what: &Limited) -> (String, u32) {
        let limits = &self.settings.limits;
        let (key, most) = match what {
            Limited::Server(_) => ("per_server", limits.per_server),
            Limited::Destination(name) => {
                // Each rsync keeps to the limit by itself: two would send twice as much.
                let destination = self.settings.destinations.get(name);
                if destination.is_some_and(|destination| destination.bandwidth_limit.is_some()) {
                    return ("one at a time, as it has a bandwidth_limit".to_owned(), 1);
                }
                ("per_destination", limits.per_destination)
            }
            Limited::Validation | Limited::ReadyServer => ("validations", limits.validations),
        };
        (format!("[limits] {key} = {most}"), most)
    }

    fn ended_waiting(&self, what: &Limited) -> JobError {
        let is_over = self
            .deadline
            .is_some_and(|deadline| tokio::time::Instant::now() >= deadline);
        if is_over {
            return JobError {
                state: RunState::TimedOut,
                ..JobError::fatal(format!("it still waited for {what}"))
            };
        }
        JobError::cancelled()
    }

    async fn note(&self, note: Option<&str>) {
        let noting = self.environment.catalog.note_run(self.run, note);
        match tokio::time::timeout(NOTE_WITHIN, noting).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(run = %self.run, %error, "the catalog is not told of a wait"),
            Err(_) => tracing::debug!(run = %self.run, "the catalog is not told of a wait in time"),
        }
    }
}

fn owned(owners: &[LockOwner]) -> String {
    owners.iter().map(ToString::to_string).collect()
}
