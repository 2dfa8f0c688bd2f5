//! Who delivers on this machine: the daemon where one lives, else the command that has something to tell.

use super::courier::Office;
use crate::environment::Environment;
use crate::state_dir::{HeldLock, LockAttempt, LockOwner, StateDir};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the permit is asked for, and commands' notices are looked for.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A command yields within a moment; one that is stopped does not.
const YIELDED_WITHIN: Duration = Duration::from_secs(30);
/// The one that delivers on this machine.
const LOCK: &str = "notify-courier";

/// Delivers until `stop`. What is not delivered then waits for the next start.
pub async fn attend(environment: Arc<Environment>, stop: CancellationToken) {
    deliver(environment, (stop, Duration::ZERO), true).await;
}

/// The same beside a run in the foreground, while no daemon lives, which knows what is in the files now. Once the run is
/// `over` all that there is to tell is tried, for so long at most.
pub async fn accompany(environment: Arc<Environment>, over: CancellationToken, within: Duration) {
    deliver(environment, (over, within), false).await;
}

/// The process that delivers, where one does.
pub fn on_duty(state: &StateDir) -> Option<LockOwner> {
    match state.lock_permit(LOCK, 0) {
        Ok(LockAttempt::Busy(owner)) => owner,
        _ => None,
    }
}

async fn deliver(
    environment: Arc<Environment>,
    (over, within): (CancellationToken, Duration),
    is_daemon: bool,
) {
    while let Some(lock) = permit(&environment, &over, is_daemon).await {
        let mut office = Office::new(Arc::clone(&environment), is_daemon);
        let yields = || !is_daemon && environment.state.daemon_lives();
        let mut is_yielded = false;
        while !over.is_cancelled() && !is_yielded {
            office.turn(false);
            tokio::select! {
                () = office.wait() => is_yielded = yields(),
                () = over.cancelled() => {}
            }
        }
        let ends_at = Instant::now() + within;
        while !is_yielded && Instant::now() < ends_at {
            office.turn(true);
            if office.has_tried_all() {
                break;
            }
            office.wait().await;
        }
        office.close().await;
        drop(lock);
        if !is_yielded {
            break;
        }
    }
    say_farewell(&environment);
}

/// `None` once it is over.
async fn permit(environment: &Environment, over: &CancellationToken, is_daemon: bool) -> Option<HeldLock> {
    let mut refused_since = None;
    let mut is_said = false;
    loop {
        // Nobody to tell, nothing to hold.
        if !nobody_is_told(environment) && (is_daemon || !environment.state.daemon_lives()) {
            match environment.state.lock_permit(LOCK, 0) {
                Ok(LockAttempt::Held(mut lock)) => {
                    environment.state.sign(&mut lock, None);
                    return Some(lock);
                }
                // A command, which yields to a daemon.
                Ok(LockAttempt::Busy(owner)) => {
                    let since = refused_since.get_or_insert_with(Instant::now);
                    if is_daemon && since.elapsed() > YIELDED_WITHIN && !std::mem::replace(&mut is_said, true)
                    {
                        tracing::error!(
                            pid = owner.map(|owner| owner.pid),
                            "nobody is told of anything until this command ends or goes on: it was to tell people, and is stopped"
                        );
                    }
                }
                Err(error) => tracing::error!(%error, "nobody is told of anything until this is mended"),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => drop(environment.notices.catch_up()),
            () = over.cancelled() => return None,
        }
    }
}

/// The last that this process can do for what `state_dir` has not taken.
fn say_farewell(environment: &Environment) {
    if !environment.notices.catch_up() {
        let lost = environment.notices.with_unkept(|unkept| unkept.len());
        tracing::error!(
            lost,
            "what is to be told cannot be noted in state_dir, and this process ends: it is lost"
        );
    }
}

fn nobody_is_told(environment: &Environment) -> bool {
    let notify = &environment.settings().notify;
    notify.channels.is_empty() && notify.pings.is_empty()
}
