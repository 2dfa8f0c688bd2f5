//! One destination while the dump goes on: what has finished is sent in batches, one call of rsync for each.

use super::Begun;
use super::Route;
use super::leftover::clear_noted;
use crate::jobs::transfer::refuse_unmounted;
use crate::jobs::{JobError, RunContext};
use crate::limits::{Limited, Permit};
use mykeeper_domain::transfer::TransferPurpose;
use mykeeper_tools::ToolEnv;
use mykeeper_tools::pipeline::{Finished, FinishedFile};
use mykeeper_tools::rsync::{Batch, SendOutcome, make_way, send_ahead};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A batch has no more, so that one that has begun does not hold up what comes after it.
const MOST_BYTES: u64 = 128 << 20;
/// Nor more than goes through a limit in so many seconds.
const MOST_SECONDS: u64 = 10;
/// So much is worth a call at once, and less after a while.
const ENOUGH_BYTES: u64 = 8 << 20;
const LONGEST_WAIT: Duration = Duration::from_secs(1);
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
    let limit = route.destination.bandwidth_limit;
    let most_bytes = limit.map_or(MOST_BYTES, |limit| {
        MOST_BYTES.min(limit.saturating_mul(MOST_SECONDS))
    });
    let mut pause = FIRST_PAUSE;
    let mut turn_began = Instant::now();
    let mut is_cleared = false;
    while let Some(files) = next_batch(&finished, (course.sent, most_bytes), &over).await {
        if lost.is_cancelled() {
            course.failure = Some("another run has taken the set".to_owned());
            break;
        }
        if turn_began.elapsed() >= TURN {
            rest(BETWEEN_TURNS, &over).await;
            turn_began = Instant::now();
        }
        let sent = async {
            let Some(_permit): Option<Permit> = context.permit_until(&what, &over).await? else {
                return Ok(None);
            };
            refuse_unmounted(&context, &route.destination.name).await?;
            if !std::mem::replace(&mut is_cleared, true) {
                clear_noted(&context, (&route.destination.name, &route.info), &over).await;
            }
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

async fn rest(pause: Duration, over: &CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = over.cancelled() => {}
    }
}

/// The next files that are worth a call; `None` when the dump is over.
async fn next_batch(
    finished: &Finished,
    (sent, most_bytes): (usize, u64),
    over: &CancellationToken,
) -> Option<Vec<FinishedFile>> {
    let mut count = finished.count();
    let waiting = async {
        if count.wait_for(|count| *count > sent).await.is_err() {
            return;
        }
        let ripe_at = Instant::now() + LONGEST_WAIT;
        let enough = ENOUGH_BYTES.min(most_bytes);
        while finished.bytes_since(sent) < enough {
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
        make_way(route.request(context, &limits), batch, &tools).await?;
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
