//! Backups of generated data: mykeeper's CPU time beside that of the mydumper it runs.

mod proof;
mod stages;
mod ways;

use crate::data::{DATABASES, Keys, make_data};
use crate::error::BenchError;
use crate::report::{Row, median, megabytes, say, seconds, table};
use mykeeper_e2e::{MariaDb, MariaDbOptions, Workspace};
use proof::{ProofTimes, prove};
use stages::{Stages, read_set};
use std::time::Duration;
use ways::{Way, WayResult, measure_way};

const JOB: &str = "bench";
/// mydumper's.
const THREADS: u32 = 2;
/// Of mydumper's CPU time.
const PERCENT: f64 = 2.0;

/// Prints what each way costs, the ways taken in turn.
pub(crate) fn measure((size_mb, keys): (u32, Keys), rounds: u32) -> Result<(), BenchError> {
    let server = MariaDb::start_with(MariaDbOptions {
        extra: vec![
            "--innodb-buffer-pool-size=256M".to_owned(),
            "--innodb-log-file-size=64M".to_owned(),
        ],
        ..MariaDbOptions::default()
    });
    make_data(&server, size_mb, keys);
    let workspace = Workspace::new();
    let server_section = workspace.server("bench", &server, "bench");
    workspace.write_keeper(&server_section);
    workspace.write_schedule(&format!(
        "[backup.{JOB}]\ncron = \"@yearly\"\nserver = \"bench\"\ndatabases = [\"bench_%\"]\ndirectory = \"{{sets}}\"\n\
         mydumper = [\"compress\", \"threads={THREADS}\", \"triggers\", \"events\", \"routines\"]\n"
    ));
    let mut by_hand = Vec::new();
    let mut kept = Vec::new();
    let mut stages = Vec::new();
    let mut proofs = Vec::new();
    for _ in 0..rounds {
        by_hand.push(measure_way(Way::ByHand, &workspace, &server)?);
        let result = measure_way(Way::Mykeeper, &workspace, &server)?;
        stages.push(read_set(&result.set)?);
        proofs.push(prove(&workspace, &result.id)?);
        std::fs::remove_dir_all(&result.set).map_err(BenchError::io("remove a measured set"))?;
        kept.push(result);
    }
    print(&by_hand, &kept, &stages)?;
    print_proofs(&proofs)
}

fn print_proofs(proofs: &[ProofTimes]) -> Result<(), BenchError> {
    let whole = middle(proofs, |times| times.whole);
    let row = |name: &str, of: fn(&ProofTimes) -> Duration| Row::cpu(name, middle(proofs, of), whole);
    say("a proof of the same sets, wall time")?;
    table(
        ("", "of the whole"),
        &[
            row("mykeeper validate", |times| times.whole),
            row("  files read against manifest and evidence", |times| times.files),
            row("  throwaway server, until it answers", |times| times.ready),
            row("  load", |times| times.load),
            row(
                "  compare: every row read back by value, CHECK TABLE",
                ProofTimes::compare,
            ),
        ],
    )
}

fn middle<T>(all: &[T], of: impl Fn(&T) -> Duration) -> Duration {
    median(all.iter().map(of).collect())
}

fn print(by_hand: &[WayResult], kept: &[WayResult], stages: &[Stages]) -> Result<(), BenchError> {
    let (Some(first), Some(files)) = (kept.first(), stages.first()) else {
        return Ok(());
    };
    let peak = kept.iter().map(|result| result.peak).max().unwrap_or(0);
    say(&format!(
        "dump: {} in {DATABASES} databases, {} files of {} compressed, {} rows; mydumper -c, {THREADS} threads; \
         medians of {} rounds, CPU time",
        megabytes(files.plain_bytes),
        files.files,
        megabytes(files.bytes),
        files.rows,
        kept.len(),
    ))?;
    let tool = middle(kept, |result| result.tool);
    let row = |name: &str, of: fn(&WayResult) -> Duration| Row::cpu(name, middle(kept, of), tool);
    table(
        ("CPU", "of mydumper's"),
        &[
            Row::cpu("mydumper, run by mykeeper", tool, tool),
            Row::cpu(
                "mydumper, run by hand",
                middle(by_hand, |result| result.tool),
                tool,
            ),
            row("mykeeper and its shims, all they do", |result| {
                result.supervision() + result.reading
            })
            .at_most(PERCENT),
            row("  supervision", WayResult::supervision).at_most(PERCENT),
            row("    mykeeper's threads that do not read files", |result| {
                result.turning
            }),
            row("    shims, and the tool asked for its version", |result| {
                result.shims
            }),
            row("  reading finished files, once each", |result| result.reading),
        ],
    )?;
    let stage = |name: &str, of: fn(&Stages) -> Duration| Row::cpu(name, middle(stages, of), tool);
    say("reading the same files again, alone, stage by stage")?;
    table(
        ("CPU", "of mydumper's"),
        &[
            stage("digest_file, as a whole", |stages| stages.whole),
            stage("  read from the page cache", |stages| stages.read),
            stage("  BLAKE3 of the compressed bytes", |stages| stages.blake3),
            stage("  inflate, with its checksum", |stages| stages.inflate),
            stage("  count rows", |stages| stages.rows_cpu),
            stage("  digest each row by value", |stages| stages.values),
        ],
    )?;
    let wall = |results: &[WayResult]| seconds(middle(results, |result| result.wall));
    table(
        ("", ""),
        &[
            Row::plain("most ever resident, mykeeper (VmHWM)", megabytes(peak)),
            Row::plain("wall time, mykeeper run", wall(kept)),
            Row::plain("wall time, mydumper by hand", wall(by_hand)),
            Row::plain("threads that mykeeper had", first.threads.to_string()),
        ],
    )
}
