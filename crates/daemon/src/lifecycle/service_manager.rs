//! What systemd is told, and how often.

use sd_notify::NotifyState;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// Without a turn of the scheduler for so long, the watchdog is not answered any more.
const TURNS_WITHIN: Duration = Duration::from_secs(30);
/// How often the service manager is told that a start or stop goes on, and for how long it may then wait for the next word.
/// That each stop ends is the daemon's own business: `grace` may be longer than a unit's TimeoutStopSec=.
const TIME_ASKED_EVERY: Duration = Duration::from_secs(10);
const TIME_ASKED_FOR: Duration = Duration::from_secs(60);
/// A start that takes longer is taken to hang.
const LONGEST_START: Duration = Duration::from_secs(6 * 3600);

/// Answers systemd's watchdog while the scheduler turns.
pub(super) async fn answer_watchdog(turned: watch::Receiver<Instant>) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let mut beat = tokio::time::interval((limit / 3).max(Duration::from_millis(100)));
    loop {
        beat.tick().await;
        if is_turning(&turned, TURNS_WITHIN) {
            notify(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("the scheduler does not turn; the watchdog is not answered");
        }
    }
}

/// Whether the scheduler has turned of late. One that has ended, as it does first when the daemon stops, has nothing to
/// turn: runs may go on.
fn is_turning(turned: &watch::Receiver<Instant>, within: Duration) -> bool {
    turned.has_changed().is_err() || turned.borrow().elapsed() <= within
}

/// Keeps the service manager from ending a start, or a stop, that goes on.
pub(super) async fn ask_for_time() {
    let more = u32::try_from(TIME_ASKED_FOR.as_micros()).unwrap_or(u32::MAX);
    loop {
        notify(&[NotifyState::ExtendTimeoutUsec(more)]);
        tokio::time::sleep(TIME_ASKED_EVERY).await;
    }
}

/// The same for a start, while this is held: bringing the catalog up, and what an earlier daemon has left, may take longer
/// than a unit's TimeoutStartSec=, and would be begun anew for ever. It has an end: a start that hangs is ended after it.
pub fn while_starting() -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async {
        // At its end the unit's own limit, or the last word, holds.
        drop(tokio::time::timeout(LONGEST_START, ask_for_time()).await);
    }))
}

pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_watchdog_is_answered_while_the_scheduler_turns_and_after_its_end_alone() {
        let (beat, turned) = watch::channel(Instant::now());
        assert!(is_turning(&turned, Duration::from_secs(5)));
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert!(!is_turning(&turned, Duration::from_millis(20)), "it hangs");
        beat.send_replace(Instant::now());
        assert!(is_turning(&turned, Duration::from_secs(5)), "it turns again");
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(beat);
        assert!(is_turning(&turned, Duration::from_millis(20)), "it has ended");
    }
}
