//! The asking of one server, which leaves no question behind that nobody waits for.

use super::Bracket;
use crate::connection::ServerConnection;
use crate::error::ToolError;
use crate::mydumper::run::PROGRAM;
use crate::mydumper::verdict::TableName;
use crate::probe::{Changes, Probe};
use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// For ending a question.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// How long one waits for a table that another has locked.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// Which server is asked, and for how long.
#[derive(Clone, Copy, Debug)]
pub(in crate::mydumper) struct Source<'a> {
    pub(in crate::mydumper) connection: &'a ServerConnection,
    /// Ends the asking.
    pub(in crate::mydumper) cancel: &'a CancellationToken,
}

impl Source<'_> {
    /// One table after another. What took too long is noted, and so is all behind it.
    pub(super) async fn ask(
        self,
        names: Vec<TableName>,
        bracket: &mut Bracket,
    ) -> Result<BTreeMap<TableName, u64>, ToolError> {
        let mut answers = BTreeMap::new();
        if names.is_empty() {
            return Ok(answers);
        }
        let ends = Instant::now() + bracket.within;
        let (mut probe, id) = self.unless_cancelled(self.connect(bracket.within)).await?;
        for name in names {
            if probe.met_a_lock() {
                let why = "another has locked it, or a table before it".to_owned();
                bracket.reasons.insert(name, why);
                continue;
            }
            if Instant::now() >= ends || probe.is_gone() {
                let why = format!("there was no time for it within {} s", bracket.within.as_secs());
                bracket.reasons.insert(name, why);
                continue;
            }
            let asking = async { Ok(probe.checksum((&name.0, &name.1)).await) };
            match self.unless_cancelled(asking).await {
                Ok(Ok(Some(value))) => drop(answers.insert(name, value)),
                Ok(Ok(None)) => drop(
                    bracket
                        .reasons
                        .insert(name, "the server does not tell it".to_owned()),
                ),
                // Its lock is told for it and for all behind it: there may be thousands of them, each to be waited for.
                Ok(Err(error)) => drop(bracket.reasons.insert(name, error.to_string())),
                Err(cancelled) => {
                    self.end_question(id).await;
                    return Err(cancelled);
                }
            }
        }
        if probe.is_gone() {
            self.end_question(id).await;
        }
        probe.close().await;
        Ok(answers)
    }

    async fn connect(self, within: Duration) -> Result<(Probe, u64), ToolError> {
        let mut probe = Probe::connect_answering(self.connection, within).await?;
        let id = probe.connection_id().await?;
        probe.wait_for_locks(LOCK_WAIT).await?;
        Ok((probe, id))
    }

    /// The server goes on with a question that nobody waits for any more, and a table without row locks is locked until
    /// it has its answer.
    async fn end_question(self, id: u64) {
        let end = async {
            let mut other = Probe::connect(self.connection).await?;
            // One that has just gone is no failure.
            drop(other.kill(id).await);
            other.close().await;
            Ok::<(), ToolError>(())
        };
        // Where it cannot be ended, the server ends it by itself: so long a statement of this connection may take.
        drop(tokio::time::timeout(KILL_LIMIT, end).await);
    }

    pub(super) async fn changes(self, databases: &[String]) -> Result<Changes, ToolError> {
        self.unless_cancelled(async {
            let mut probe = Probe::connect(self.connection).await?;
            let changes = probe.changes(databases).await?;
            probe.close().await;
            Ok(changes)
        })
        .await
    }

    async fn unless_cancelled<T>(
        self,
        work: impl Future<Output = Result<T, ToolError>>,
    ) -> Result<T, ToolError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(ToolError::Cancelled { program: PROGRAM.to_owned() }),
            done = work => done,
        }
    }
}
