//! Queries of others that the lock of a dump would have to wait for, looked for before the dump starts.
//!
//! While the lock is waited for nobody can write: a query that takes minutes stops the whole server for minutes. They
//! are named and waited for, never killed.

use super::run::{DumpEnv, DumpRequest, PROGRAM};
use crate::error::{ToolError, humane};
use crate::probe::{Flavor, Probe, ServerVersion, Session};
use mykeeper_domain::job::{LockPolicy, LongQueries};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// For what is asked to explain something.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Connections that are named in one sentence.
const MAX_NAMED: usize = 5;

/// Does what the job says about long queries. Returns when the dump may start.
///
/// # Errors
/// [`ToolError::Failed`], passing: there are some, and the job says abort, or has waited as long as it says.
/// [`ToolError::Cancelled`], and what a server says that cannot be asked.
pub(super) async fn before_dump(request: &DumpRequest<'_>, env: &DumpEnv<'_>) -> Result<(), ToolError> {
    tokio::select! {
        biased;
        () = env.cancel.cancelled() => Err(ToolError::Cancelled { program: PROGRAM.to_owned() }),
        done = look_and_wait(request, env) => done,
    }
}

async fn look_and_wait(request: &DumpRequest<'_>, env: &DumpEnv<'_>) -> Result<(), ToolError> {
    let policy = &request.lock;
    let began = Instant::now();
    let end = began + policy.long_query_wait;
    let mut named = BTreeSet::new();
    let mut probe = Probe::connect_answering(request.connection, ANSWER_LIMIT).await?;
    let version = probe.server_version().await?;
    loop {
        let long = long_queries(&probe.sessions().await?, policy, &version);
        for session in &long {
            if named.insert(session.id) {
                env.log.line(
                    "mykeeper",
                    &format!(
                        "the lock of the dump would have to wait for {}",
                        session.describe()
                    ),
                );
            }
        }
        let now = Instant::now();
        let outcome = match policy.long_queries {
            _ if long.is_empty() => Some(Ok(())),
            LongQueries::Ignore => Some(Ok(())),
            LongQueries::Abort => Some(Err(held_up(&long, "the job says long_queries = \"abort\""))),
            LongQueries::Wait if now >= end => Some(Err(held_up(
                &long,
                &format!("waited for {}", humane(policy.long_query_wait)),
            ))),
            LongQueries::Wait => None,
        };
        if let Some(outcome) = outcome {
            probe.close().await;
            if named.len() > long.len() {
                let waited = humane(began.elapsed());
                env.log.line(
                    "mykeeper",
                    &format!("waited {waited} for long queries before the dump"),
                );
            }
            return outcome;
        }
        tokio::time::sleep(LOOK_EVERY.min(end.saturating_duration_since(now))).await;
    }
}

fn held_up(long: &[Session], what: &str) -> ToolError {
    let mut queries: Vec<String> = long.iter().take(MAX_NAMED).map(Session::describe).collect();
    if long.len() > MAX_NAMED {
        queries.push(format!("{} more", long.len() - MAX_NAMED));
    }
    ToolError::Failed {
        message: format!(
            "the dump was not started, since its lock would have to wait for {} and hold up all who write ({what}): \
             wait until it ends, or end it",
            queries.join(" and ")
        ),
        passing: true,
    }
}

/// The longest first.
fn long_queries(sessions: &[Session], policy: &LockPolicy, version: &str) -> Vec<Session> {
    let readers_too = readers_hold_up(version);
    let mut long: Vec<Session> = sessions
        .iter()
        .filter(|session| session.is_busy() && !session.is_of_the_server() && !session.waits_for_lock())
        .filter(|session| session.seconds >= policy.long_query_limit.as_secs())
        .filter(|session| {
            readers_too || !matches!(session.verb, Some("SELECT" | "SHOW" | "EXPLAIN" | "WITH"))
        })
        .cloned()
        .collect();
    long.sort_by_key(|session| std::cmp::Reverse(session.seconds));
    long
}

/// From 10.4 on MariaDB's global lock waits for those who write or change definitions alone; elsewhere for every query
/// that has a table open.
fn readers_hold_up(version: &str) -> bool {
    let version = ServerVersion::parse(version);
    version.flavor != Flavor::MariaDb || version.number < (10, 4, 0)
}
