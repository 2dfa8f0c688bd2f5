//! Whether what is recorded as running runs.

use crate::output::coloured;
use mykeeper_config::Settings;
use mykeeper_daemon::state_dir::{HeldLock, LockAttempt, StateDir};
use mykeeper_domain::NodeName;
use mykeeper_domain::run::{Run, RunState};

/// What a run's state is called whose process has ended without recording that.
const RUNNING_NO_MORE: &str = "running?";
/// What is told of it.
const NOT_SETTLED: &str =
    "no daemon lives, and its process has ended; the next start of the daemon, or the next run, settles it";

/// Looks at the locks of this machine's jobs.
pub(crate) struct Liveness {
    node: NodeName,
    /// `None` where a daemon lives, which settles what has died itself, or where `state_dir` is not ours to look into.
    locks: Option<(StateDir, HeldLock)>,
}

impl Liveness {
    pub(crate) fn look(settings: &Settings) -> Self {
        let state = StateDir::open(&settings.state_dir).ok();
        let locks =
            state
                .filter(|state| !state.daemon_lives())
                .and_then(|state| match state.lock_recovery() {
                    Ok(LockAttempt::Held(lock)) => Some((state, lock)),
                    // Someone settles just now.
                    Ok(LockAttempt::Busy(_)) | Err(_) => None,
                });
        Self {
            node: settings.node.clone(),
            locks,
        }
    }

    /// Whether a run that is recorded as running has a process; `None` where it is over, or that cannot be told.
    pub(crate) fn lives(&self, run: &Run) -> Option<bool> {
        let (state, _) = self.locks.as_ref()?;
        (run.state == RunState::Running && run.node == self.node).then(|| state.run_lives(&run.job, run.id))
    }

    /// A run's state, coloured, and the reason, for people.
    pub(crate) fn state_and_reason(&self, run: &Run) -> (String, String) {
        if self.lives(run) == Some(false) {
            return (coloured(RUNNING_NO_MORE, false), NOT_SETTLED.to_owned());
        }
        let is_good = run.state.is_success() || !run.state.is_final();
        let reason = run.reason.clone().unwrap_or_default();
        (coloured(run.state.as_str(), is_good), reason)
    }
}
