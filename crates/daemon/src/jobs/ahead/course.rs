//! One destination while the dump goes on: what has finished is sent in batches, one call of rsync for each.

use super::Begun;
use super::Route;
use super::leftover::clear_noted;
use crate::jobs::transfer::refuse_unmounted;
use crate::jobs::{JobError, RunContext};
use crate::limits::{Limited, Permit};
use mykeeper_domain::transfer::TransferPurpose;
use mykeeper_tools::pipeline::{Finished, FinishedFile};
use mykeeper_tools::rsync::{Batch, SendOutcome, make_way, send_ahead};
use mykeeper_tools::{ToolEnv, ToolError};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A batch has no more, so that one that has begun does not hold up what comes after it.
const MOST_BYTES: u64 = 128 << 20;
/// Nor more than goes through the limit, or by the pace of the last batch, in so many seconds: less than the end of the dump
/// waits for, so that none is cut.
const MOST_SECONDS: u64 = 10;
/// So much is worth a call at once, or what keeps the link busy for so long, and less after as long a while.
const ENOUGH_BYTES: u64 = 8 << 20;
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// The pace of a batch with fewer bytes is that of the call, and not of the link. As long as no pace is known so many are
/// enough.
const TELLING_BYTES: u64 = 1 << 20;
/// After a failure; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Others who wait for the destination get their turn: after so long nothing is sent for as long as they need to see it.
const TURN: Duration = Duration::from_secs(30);
const BETWEEN_TURNS: Duration = Duration::from_secs(1);

/// How far it got.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// How many of the finished files are there.
    pub(super) sent: usize,
    /// How many may be.
    pub(super) tried: usize,
    pub(super) sent_bytes: u64,
    /// What the last call failed with.
    pub(super) failure: Option<String>,
}

/// Sends what is told of until `over`, and then no more than what is under way. `stop` ends that too.
pub(super) async fn run_ahead(
    context: RunContext,
    (route, finished): (Arc<Route>, Arc<Finished>),
    (over, stop): (CancellationToken, CancellationToken),
    (begun, lost): (Arc<OnceLock<Begun>>, CancellationToken),
) -> Course {
    let mut course = Course::default();
    let what = Limited::Destination(route.destination.name.clone());
    let mut pace = Pace::of_limit(route.destination.bandwidth_limit);
    let mut pause = FIRST_PAUSE;
    let mut turn_began = Instant::now();
    let mut is_cleared = false;
    loop {
        let sizes = (pace.enough_bytes(course.sent), pace.most_bytes());
        let Some(files) = next_batch(&finished, (course.sent, sizes), &over).await else {
            break;
        };
        if lost.is_cancelled() {
            course.failure = Some("another run has taken the set".to_owned());
            break;
        }
        if turn_began.elapsed() >= TURN {
            rest(BETWEEN_TURNS, &over).await;
            turn_began = Instant::now();
        }
        let mut began = Instant::now();
        let sent = async {
            let Some(_permit): Option<Permit> = context.permit_until(&what, &over).await? else {
                return Ok(None);
            };
            refuse_unmounted(&context, &route.destination.name).await?;
            if !std::mem::replace(&mut is_cleared, true) {
                clear_noted(&context, (&route.destination.name, &route.info), &over).await;
            }
            // What it has waited for says nothing of the link.
            began = Instant::now();
            send(
                &context,
                &route,
                (&finished, &files, &begun),
                (&mut course, (&over, &stop)),
            )
            .await
            .map(Some)
        };
        match sent.await {
            Ok(None) => break,
            Ok(Some(outcome)) => {
                course.sent += files.len();
                pace.note(outcome.sent_bytes, began.elapsed());
                course.sent_bytes += outcome.sent_bytes;
                course.failure = None;
                pause = FIRST_PAUSE;
            }
            Err(_) if stop.is_cancelled() => break,
            Err(error) => {
                if course.failure.as_ref() != Some(&error.reason) {
                    context.say(format!(
                        "warning: {}; what is left is sent when the set is complete",
                        error.reason
                    ));
                }
                course.failure = Some(error.reason);
                if !error.retry {
                    break;
                }
                rest(pause, &over).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    if finished.is_cut() {
        context.say(format!(
            "more files are finished than can be told of while it is dumped: {} gets the others when the set is complete",
            route.destination.name
        ));
    }
    course
}

/// How many bytes go in a second, as far as that is known.
#[derive(Clone, Copy, Debug)]
struct Pace {
    limit: Option<u64>,
    measured: Option<u64>,
}

impl Pace {
    fn of_limit(limit: Option<u64>) -> Self {
        Self {
            limit,
            measured: None,
        }
    }

    /// So many went in one call, which took so long.
    fn note(&mut self, sent_bytes: u64, took: Duration) {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
        if sent_bytes >= TELLING_BYTES {
            self.measured = Some(sent_bytes.saturating_mul(1000) / milliseconds);
        }
    }

    fn bytes_in(self, seconds: u64) -> Option<u64> {
        let each = [self.limit, self.measured].into_iter().flatten();
        each.map(|pace| pace.saturating_mul(seconds)).min()
    }

    /// For which another call is worth it, while nothing else goes, after so many files.
    fn enough_bytes(self, sent: usize) -> u64 {
        if sent == 0 {
            // What comes before the first byte takes its time: it is done by when there is much to send.
            return 0;
        }
        let known = self.bytes_in(LONGEST_WAIT.as_secs());
        ENOUGH_BYTES.min(known.unwrap_or(TELLING_BYTES))
    }

    /// Of one batch.
    fn most_bytes(self) -> u64 {
        // One that is slow is measured again: it may only have stood still.
        let least = self.limit.map_or(TELLING_BYTES, |limit| {
            TELLING_BYTES.min(limit.saturating_mul(MOST_SECONDS))
        });
        let known = self.bytes_in(MOST_SECONDS).unwrap_or(u64::MAX);
        MOST_BYTES.min(known).max(least)
    }
}

async fn rest(pause: Duration, over: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = over.cancelled() => {}
    }
}

/// The next files that are worth a call; `None` when the dump is over.
async fn next_batch(
    finished: &Finished,
    (sent, (enough_bytes, most_bytes)): (usize, (u64, u64)),
    over: &CancellationToken,
) -> Option<Vec<FinishedFile>> {
    let mut count = finished.count();
    let waiting = async {
        if count.wait_for(|count| *count > sent).await.is_err() {
            return;
        }
        let ripe_at = Instant::now() + LONGEST_WAIT;
        while finished.bytes_since(sent) < enough_bytes {
            let more = tokio::time::timeout_at(ripe_at, count.changed()).await;
            if !matches!(more, Ok(Ok(()))) {
                return;
            }
        }
    };
    tokio::select! {
        () = over.cancelled() => None,
        () = waiting => Some(finished.since(sent, most_bytes)).filter(|files| !files.is_empty()),
    }
}

/// One call. The first is noted and gets its row before a byte is sent.
async fn send(
    context: &RunContext,
    route: &Route,
    (finished, files, begun): (&Finished, &[FinishedFile], &OnceLock<Begun>),
    (course, (over, stop)): (&mut Course, (&CancellationToken, &CancellationToken)),
) -> Result<SendOutcome, JobError> {
    let limits = context.limits();
    let tools = ToolEnv {
        cancel: stop.clone(),
        ..context.tools()
    };
    let batch = Batch {
        files,
        keep_free_bytes: route.kept_free.beside(finished.bytes_since(0)),
    };
    if begun.get().is_none() {
        route.note(context).map_err(|error| {
            JobError::passing(format!(
                "cannot note below state_dir that files of set {} go to {}: {error}",
                route.set, route.destination.name
            ))
        })?;
        if let Err(error) = make_way(route.request(context, &limits), batch, &tools).await {
            // By its own word: no file of the set has gone there.
            if matches!(error, ToolError::Failed { .. }) {
                route.forget(context);
            }
            return Err(error.into());
        }
        let at = context.clock().now();
        let transfer = route.record(context, (TransferPurpose::Ahead, at), over).await?;
        begun.get_or_init(|| Begun { transfer, at });
        context.say(format!(
            "sending finished files of set {} to {} while others are dumped",
            route.set,
            route.target()
        ));
    }
    course.tried = course.tried.max(course.sent + files.len());
    Ok(send_ahead(route.request(context, &limits), batch, &tools).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_as_long_as_the_link_is_fast() {
        let mut pace = Pace::of_limit(None);
        assert_eq!(
            (pace.enough_bytes(1), pace.most_bytes()),
            (TELLING_BYTES, MOST_BYTES)
        );
        pace.note(4_000, Duration::from_secs(2));
        assert_eq!(
            pace.most_bytes(),
            MOST_BYTES,
            "a few small files tell nothing of the link"
        );
        pace.note(6_000_000, Duration::from_secs(4));
        assert_eq!((pace.enough_bytes(1), pace.most_bytes()), (1_500_000, 15_000_000));
        pace.note(1 << 30, Duration::ZERO);
        assert_eq!(
            (pace.enough_bytes(1), pace.most_bytes()),
            (ENOUGH_BYTES, MOST_BYTES)
        );
        let limited = Pace::of_limit(Some(1_000_000));
        assert_eq!(
            (limited.enough_bytes(1), limited.most_bytes()),
            (1_000_000, 10_000_000)
        );
    }

    #[tokio::test]
    async fn the_first_file_goes_at_once_and_the_next_wait_for_each_other() {
        let finished = Finished::default();
        let over = CancellationToken::new();
        finished.tell("a-schema-create.sql.gz".to_owned(), 90);
        let pace = Pace::of_limit(None);
        let sizes = |sent| (pace.enough_bytes(sent), pace.most_bytes());
        let soon = Duration::from_millis(LONGEST_WAIT.as_millis() as u64 / 2);
        let first = tokio::time::timeout(soon, next_batch(&finished, (0, sizes(0)), &over));
        assert_eq!(first.await.unwrap().unwrap().len(), 1);
        finished.tell("a.t-schema.sql.gz".to_owned(), 90);
        let began = Instant::now();
        let next = next_batch(&finished, (1, sizes(1)), &over).await;
        assert_eq!(next.unwrap().len(), 1);
        assert!(began.elapsed() >= LONGEST_WAIT);
    }
}
