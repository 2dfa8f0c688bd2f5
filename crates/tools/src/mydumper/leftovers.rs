//! What a dump that has ended left on its server: looked for, ended where it is surely the dump's, else told.
//!
//! A connection goes when its process does, but not at once: a server that computes does not look whether anyone is
//! there, and one that waits for a lock looks now and then or never, and meanwhile all who come after it wait too.

use super::presence::{Presence, connect};
use crate::error::ToolError;
use crate::probe::{Probe, Session};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// For everything that is asked and done when a dump was ended.
const SWEEP_LIMIT: Duration = Duration::from_secs(8);
/// So long a connection has to go by itself when its process is gone; one that asks for a lock is ended at once.
const SETTLE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(100);
/// A connection that is killed rolls back first.
const KILL_LIMIT: Duration = Duration::from_secs(3);

impl Presence<'_> {
    /// After its end: looks for what it left on the server, ends what is surely its own, and says what is done and what
    /// is found, in sentences that stand in a reason too.
    pub(super) async fn leave_nothing(&mut self) -> Vec<String> {
        // Whatever it has said: a mydumper that is told to be silent does not say that it is connected.
        if self.own.before.is_none() {
            return Vec::new();
        }
        let left = match tokio::time::timeout(SWEEP_LIMIT, self.sweep()).await {
            Ok(Ok(left)) => left,
            Ok(Err(error)) => vec![format!(
                "what the dump has left on the server could not be looked for: {error}"
            )],
            Err(_) => vec![format!(
                "what the dump has left on the server could not be looked for within {} s",
                SWEEP_LIMIT.as_secs()
            )],
        };
        for line in &left {
            self.say(line);
        }
        left
    }

    async fn sweep(&mut self) -> Result<Vec<String>, ToolError> {
        let (mut probe, standing) = connect(self.connection).await?;
        self.own.ours.insert(standing.id);
        self.close().await;
        // A server that has started anew counts from the beginning, and knows nothing of the dump.
        if self
            .own
            .before
            .as_ref()
            .is_none_or(|before| standing.id <= before.id)
        {
            probe.close().await;
            return Ok(Vec::new());
        }
        if let Some(pid) = self.pid() {
            let endpoint = &self.connection.endpoint;
            self.own.learn_from_server(&mut probe, (pid, endpoint)).await;
        }
        let began = Instant::now();
        let (own, doubtful) = loop {
            let sessions = probe.sessions().await?;
            let (own, doubtful) = self.own.left_over(&sessions);
            let is_urgent = own.iter().any(Session::asks_for_lock);
            let is_none = own.is_empty() && doubtful.is_empty();
            if is_none || is_urgent || began.elapsed() >= SETTLE {
                break (own, doubtful);
            }
            tokio::time::sleep(PAUSE).await;
        };
        for session in &own {
            // One that has just gone is no failure; whether it has is looked at below.
            let _ = probe.kill(session.id).await;
        }
        let still_there = gone_within(&mut probe, &own).await?;
        probe.close().await;
        let ended = own.iter().map(|session| {
            let what = session.describe();
            if still_there.contains(&session.id) {
                format!(
                    "{what} of the dump is left on the server and was told to end; KILL {} if it stays",
                    session.id
                )
            } else {
                format!("{what} of the dump was left on the server and has been ended")
            }
        });
        let doubted = doubtful.iter().map(|session| {
            format!(
                "{} may be left of the dump, and was not ended since it may be another's: KILL {} if it is not",
                session.describe(),
                session.id
            )
        });
        Ok(ended.chain(doubted).collect())
    }
}

/// Returns which are still there after the time that an end may take.
async fn gone_within(probe: &mut Probe, killed: &[Session]) -> Result<BTreeSet<u64>, ToolError> {
    let began = Instant::now();
    loop {
        let there: BTreeSet<u64> = match killed {
            [] => BTreeSet::new(),
            _ => probe.sessions().await?.iter().map(|session| session.id).collect(),
        };
        let left: BTreeSet<u64> = killed
            .iter()
            .map(|session| session.id)
            .filter(|id| there.contains(id))
            .collect();
        if left.is_empty() || began.elapsed() >= KILL_LIMIT {
            return Ok(left);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
