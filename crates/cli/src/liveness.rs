//! Whether what is recorded as running runs.

use crate::output::coloured;
use mykeeper_config::Settings;
use mykeeper_daemon::state_dir::{LockAttempt, StateDir};
use mykeeper_domain::RunId;
use mykeeper_domain::run::{Run, RunState};
use std::collections::HashMap;

/// What a run's state is called whose process has ended without recording that.
const RUNNING_NO_MORE: &str = "running?";
/// What is told of it.
const NOT_SETTLED: &str =
    "no daemon lives, and its process has ended; the next start of the daemon, or the next run, settles it";

/// Which of the runs that are recorded as running have a process.
pub(crate) struct Liveness {
    lives: HashMap<RunId, bool>,
}

impl Liveness {
    /// Looks at the locks of this machine's jobs. None is held when it returns: what is printed may have to wait for
    /// its reader, and a start would wait with it.
    pub(crate) fn look(settings: &Settings, runs: &[Run]) -> Self {
        let lives = Self::tell(settings, runs).unwrap_or_default();
        Self { lives }
    }

    /// `None` where a daemon lives, which settles what has died itself, or where `state_dir` is not ours to look into.
    fn tell(settings: &Settings, runs: &[Run]) -> Option<HashMap<RunId, bool>> {
        let state = StateDir::open(&settings.state_dir).ok()?;
        if state.daemon_lives() {
            return None;
        }
        let _lock = match state.lock_recovery() {
            Ok(LockAttempt::Held(lock)) => lock,
            // Someone settles just now.
            Ok(LockAttempt::Busy(_)) | Err(_) => return None,
        };
        let lives = runs
            .iter()
            .filter(|run| run.state == RunState::Running && run.node == settings.node)
            .map(|run| (run.id, state.run_lives(&run.job, run.id)));
        Some(lives.collect())
    }

    /// Whether a run that is recorded as running has a process; `None` where it is over, or that cannot be told.
    pub(crate) fn lives(&self, run: &Run) -> Option<bool> {
        self.lives.get(&run.id).copied()
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
