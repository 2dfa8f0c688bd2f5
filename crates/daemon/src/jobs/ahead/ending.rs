//! How long the end of a run waits for those who send ahead of it: not for a minute.

use std::future::Future;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long what is under way when the dump has ended may go on: what it has not sent is sent by the transfer, and a cut file
/// gone on with.
pub(super) const FINISHED_WITHIN: Duration = Duration::from_secs(30);
/// How long a task may take to end that was told to give up, beyond what its child is given.
pub(super) const GIVEN_UP_WITHIN: Duration = Duration::from_secs(5);
/// How long the end of a run waits for the record of what went ahead of it.
pub(super) const RECORDED_WITHIN: Duration = Duration::from_secs(10);
/// How long the end of a run waits for the removal of what went ahead; what takes longer is left to the next.
pub(super) const REMOVED_WITHIN: Duration = Duration::from_secs(20);

/// How a task ended that may go on for so long, and is then told to stop, for which it has the second time. `None` where it
/// did not end by then.
pub(super) async fn ended<T>(
    task: &mut AbortOnDropHandle<T>,
    stop: &CancellationToken,
    (by_itself, told): (Duration, Duration),
) -> Option<T> {
    if let Ok(ended) = tokio::time::timeout(by_itself, &mut *task).await {
        return ended.ok();
    }
    stop.cancel();
    match tokio::time::timeout(told, &mut *task).await {
        Ok(ended) => ended.ok(),
        Err(_) => {
            task.abort();
            None
        }
    }
}

/// Does something, and cancels `until` after so long, which ends it.
pub(super) async fn within(limit: Duration, until: &CancellationToken, work: impl Future<Output = ()>) {
    tokio::pin!(work);
    tokio::select! {
        () = &mut work => return,
        () = tokio::time::sleep(limit) => until.cancel(),
    }
    work.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_forerunner_on_a_dead_link_is_told_to_stop_and_then_not_waited_for() {
        let stop = CancellationToken::new();
        let told = stop.clone();
        let mut task = AbortOnDropHandle::new(tokio::spawn(async move {
            told.cancelled().await;
            7
        }));
        let never = Duration::from_secs(600);
        assert_eq!(ended(&mut task, &stop, (SOON, never)).await, Some(7));
        let mut deaf = AbortOnDropHandle::new(tokio::spawn(std::future::pending::<i32>()));
        assert_eq!(ended(&mut deaf, &stop, (SOON, SOON)).await, None);
    }

    #[tokio::test]
    async fn a_removal_that_takes_long_is_ended() {
        let until = CancellationToken::new();
        within(SOON, &until, until.cancelled()).await;
        assert!(until.is_cancelled());
    }
}
