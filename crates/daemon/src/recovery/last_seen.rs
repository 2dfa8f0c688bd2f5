//! When a run whose process is gone was last known to live.

use crate::environment::Environment;
use chrono::{DateTime, Utc};
use mykeeper_domain::run::{Attempt, Run};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// So much of a log's end is read: a few lines.
const TAIL_BYTES: u64 = 64 * 1024;

/// The newest of what is recorded of it: its begin, its attempts, the last line of its log. Never after `now`, nor
/// before it was asked for.
pub(super) async fn last_seen(
    environment: &Environment,
    run: &Run,
    attempts: &[Attempt],
    now: DateTime<Utc>,
) -> DateTime<Utc> {
    let path = environment.state.run_log(run.id);
    let asked = path.clone();
    let said = environment
        .disk
        .ask(("read the end of", &path), move || last_line_at(&asked));
    let said_at = said.await.unwrap_or_else(|error| {
        tracing::debug!(run = %run.id, %error, "when a run was last heard of is not known");
        None
    });
    let attempted = attempts
        .iter()
        .flat_map(|attempt| [Some(attempt.started_at), attempt.finished_at]);
    [said_at, run.started_at, Some(run.requested_at)]
        .into_iter()
        .chain(attempted)
        .flatten()
        // By a clock that was ahead.
        .filter(|at| *at <= now)
        .max()
        .unwrap_or(now)
}

/// The time that the last whole line of a run's log begins with; each of ours does.
fn last_line_at(path: &Path) -> Option<DateTime<Utc>> {
    let mut log = File::open(path).ok()?;
    let length = log.seek(SeekFrom::End(0)).ok()?;
    log.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))
        .ok()?;
    let mut tail = Vec::new();
    log.take(TAIL_BYTES).read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail);
    tail.lines().rev().find_map(|line| {
        let (time, _) = line.split_once(' ')?;
        time.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_has_a_time_tells() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.log");
        assert_eq!(last_line_at(&path), None);
        let flood = "2026-11-22T04:00:00.000Z mydumper: a line\n".repeat(10_000);
        let end = "2026-11-22T04:10:00.125Z mydumper: 国内\n2026-11-22T04:1";
        std::fs::write(&path, format!("{flood}{end}")).unwrap();
        assert_eq!(
            last_line_at(&path),
            Some("2026-11-22T04:10:00.125Z".parse().unwrap())
        );
    }
}
