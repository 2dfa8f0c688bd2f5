//! What is left to read and to compress when mydumper has ended, within the limits of the dump.

use crate::error::ToolError;
use mykeeper_supervise::{Activity, Limits};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Of what it is said that it took too long.
const TAIL: &str = "the reading and compressing of the dump's last files";

/// The limits of one mydumper's last files.
pub(super) struct Tail {
    began: Instant,
    timeout: Option<Duration>,
    stall: Option<Duration>,
    activity: Activity,
    /// mydumper has ended.
    done: CancellationToken,
    /// By itself: one that was ended has had its time.
    is_held_to_timeout: AtomicBool,
}

impl Tail {
    /// Made when mydumper is about to be started. `activity` is touched with all that is read.
    pub(super) fn new(limits: &Limits, activity: &Activity, done: &CancellationToken) -> Self {
        Self {
            began: Instant::now(),
            timeout: limits.timeout,
            stall: limits.stall,
            activity: activity.clone(),
            done: done.clone(),
            is_held_to_timeout: AtomicBool::new(false),
        }
    }

    /// mydumper has ended by itself, and the rest has what it left of the time.
    pub(super) fn hold_to_timeout(&self) {
        self.is_held_to_timeout.store(true, Ordering::Release);
    }

    /// What comes of `work`, with the error where it was given up, by way of `stop`, for having taken too long.
    pub(super) async fn limit<T>(
        &self,
        work: impl Future<Output = T>,
        stop: &CancellationToken,
    ) -> (T, Option<ToolError>) {
        tokio::pin!(work);
        tokio::select! {
            biased;
            result = &mut work => (result, None),
            error = self.overrun() => {
                stop.cancel();
                (work.await, Some(error))
            }
        }
    }

    async fn overrun(&self) -> ToolError {
        self.done.cancelled().await;
        self.activity.touch();
        let is_held = self.is_held_to_timeout.load(Ordering::Acquire);
        let timeout = self.timeout.filter(|_| is_held);
        loop {
            let idle = self.activity.idle_for();
            let stall = self.stall.map(|stall| (stall, stall.saturating_sub(idle)));
            tokio::select! {
                biased;
                after = at(timeout.map(|timeout| (timeout, self.began + timeout))) => {
                    return ToolError::TimedOut { program: TAIL.to_owned(), after };
                }
                after = at(stall.map(|(stall, left)| (stall, Instant::now() + left))) => {
                    if self.activity.idle_for() >= after {
                        return ToolError::Stalled { program: TAIL.to_owned(), after };
                    }
                }
            }
        }
    }
}

/// Never comes without an instant. Returns the limit that led to it.
async fn at(limit: Option<(Duration, Instant)>) -> Duration {
    match limit {
        Some((limit, at)) => {
            sleep_until(at).await;
            limit
        }
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of work that ends when it is given up, or after 1.2 s in which something may be read all the time.
    async fn over(timeout: u64, stall: u64, is_by_itself: bool, reads: bool) -> Option<ToolError> {
        let limits = Limits {
            timeout: Some(Duration::from_millis(timeout)),
            stall: Some(Duration::from_millis(stall)),
            ..Limits::default()
        };
        let (activity, done, stop) = (
            Activity::new(),
            CancellationToken::new(),
            CancellationToken::new(),
        );
        let tail = Tail::new(&limits, &activity, &done);
        if is_by_itself {
            tail.hold_to_timeout();
        }
        done.cancel();
        let work = async {
            for _ in 0..60 {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(Duration::from_millis(20)) => {}
                }
                if reads {
                    activity.touch();
                }
            }
        };
        tail.limit(work, &stop).await.1
    }

    #[tokio::test]
    async fn the_last_files_are_given_up_at_the_timeout_or_when_nothing_is_read() {
        assert!(matches!(
            over(800, 500, true, true).await,
            Some(ToolError::TimedOut { after, .. }) if after.as_millis() == 800
        ));
        assert!(matches!(
            over(800, 500, true, false).await,
            Some(ToolError::Stalled { after, .. }) if after.as_millis() == 500
        ));
        assert!(over(60_000, 500, true, true).await.is_none());
        assert!(
            over(800, 500, false, true).await.is_none(),
            "of one that was ended the files are told"
        );
        assert!(matches!(
            over(800, 500, false, false).await,
            Some(ToolError::Stalled { .. })
        ));
    }
}
