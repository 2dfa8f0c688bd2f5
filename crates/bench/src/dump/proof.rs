//! What a proof takes, by what it does: all of it is waited for, so it is wall time.

use crate::error::BenchError;
use mykeeper_e2e::{Finished, Workspace};
use std::time::{Duration, Instant};

/// One proof of one set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProofTimes {
    /// `mykeeper validate`.
    pub(crate) whole: Duration,
    /// Reading the files against their digests, and their rows against the evidence: `mykeeper verify`.
    pub(crate) files: Duration,
    /// Until the throwaway server answered, the template being there.
    pub(crate) ready: Duration,
    /// Loading, as the proof has it.
    pub(crate) load: Duration,
}

impl ProofTimes {
    /// What is left: `CHECK TABLE`, every row read back and digested by value, definitions.
    pub(crate) fn compare(&self) -> Duration {
        self.whole
            .saturating_sub(self.files)
            .saturating_sub(self.ready)
            .saturating_sub(self.load)
    }
}

/// Proves a set.
pub(crate) fn prove(workspace: &Workspace, id: &str) -> Result<ProofTimes, BenchError> {
    // The first server makes the template.
    ended_well(workspace.mykeeper(&["validate", "--bk-id", id, "--json"]))?;
    let (_, files) = timed(|| workspace.mykeeper(&["verify", "--bk-id", id]))?;
    let (proven, whole) = timed(|| workspace.mykeeper(&["validate", "--bk-id", id, "--json"]))?;
    let report = proven.json();
    let run = report["run"].as_str().unwrap_or_default();
    let log = ended_well(workspace.mykeeper(&["run-log", run]))?.said();
    let document = ended_well(workspace.mykeeper(&["proof", id]))?.json();
    let unfit = |what: &str| BenchError::Unfit(format!("{what} of the proof of set {id} is not told"));
    let ready = log
        .lines()
        .find_map(|line| {
            line.split_once("is ready after ")?
                .1
                .split(' ')
                .next()?
                .parse()
                .ok()
        })
        .ok_or_else(|| unfit("the server's start"))?;
    let load_ms = document["proof"]["load_ms"]
        .as_u64()
        .ok_or_else(|| unfit("the load"))?;
    Ok(ProofTimes {
        whole,
        files,
        ready: Duration::from_secs_f64(ready),
        load: Duration::from_millis(load_ms),
    })
}

fn timed(act: impl FnOnce() -> Finished) -> Result<(Finished, Duration), BenchError> {
    let began = Instant::now();
    let finished = act();
    let took = began.elapsed();
    Ok((ended_well(finished)?, took))
}

fn ended_well(finished: Finished) -> Result<Finished, BenchError> {
    if matches!(finished.status.code(), Some(0 | 4)) {
        Ok(finished)
    } else {
        Err(BenchError::Unfit(finished.to_string()))
    }
}
