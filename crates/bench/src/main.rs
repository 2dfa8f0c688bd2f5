//! The committed benchmarks: what mykeeper costs, beside what it supervises, measured in one run on one machine.
//!
//! Where it can be, CPU time is compared, not wall time: the machine may be busy with other things. What is waited for is
//! wall time, of ways that were taken in turn. Every figure comes with the figure it is a share of.

mod away;
mod data;
mod dump;
mod error;
mod fleet;
mod idle;
mod process;
mod report;
mod sampler;
mod tree;

use clap::{Parser, ValueEnum};
use data::Keys;
use error::BenchError;
use fleet::schedule::Slots;
use report::say;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measures what mykeeper costs.
#[derive(Parser, Debug)]
#[command(name = "mykeeper-bench")]
struct Args {
    /// What is measured.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// Size of the dumped data, uncompressed.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(12..=20_000))]
    size_mb: u32,
    /// How long the idle daemon is watched.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..=3_600))]
    seconds: u32,
    /// How often each way is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    rounds: u32,
    /// Of "fleet": sets in the catalog.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(10_000..=9_999_999))]
    sets: u32,
    /// Of "fleet": runs in the catalog.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u32).range(10_000..=9_999_999))]
    runs: u32,
    /// Of "slots" and "fleet": jobs in the schedule.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    jobs: u32,
    /// Of "slots" and "fleet": so many of them fall on one instant.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    at_once: u32,
    /// Of "away": also what a proof of the sets takes.
    #[arg(long)]
    prove: bool,
    /// Of "dump" and "away": the tables have several keys each, not the primary one alone.
    #[arg(long)]
    keys: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// A daemon with 1,000 jobs and nothing to do.
    Idle,
    /// Backups of generated data.
    Dump,
    /// Backups of generated data, to where they are complete at a destination.
    Away,
    /// A catalog after years of 300 servers, and a schedule of 10,000 jobs.
    Fleet,
    /// The schedule of "fleet" alone: what a reload costs, and how late slots are that fall on one instant.
    Slots,
    /// The others, one after the other.
    All,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), BenchError> {
    let binary = find_binary()?;
    if cfg!(debug_assertions) {
        report::complain("warning: this is a debug build, and so is what it measures: add --release");
    }
    say(&format!("measured: {}\n", binary.display()))?;
    let is_wanted = |what: What| args.what == what || args.what == What::All;
    if is_wanted(What::Idle) {
        idle::measure(Duration::from_secs(args.seconds.into()))?;
    }
    let keys = if args.keys { Keys::Several } else { Keys::Primary };
    if is_wanted(What::Dump) {
        dump::measure((args.size_mb, keys), args.rounds)?;
    }
    if is_wanted(What::Away) {
        away::measure((args.size_mb, keys), args.rounds, args.prove)?;
    }
    // Not among all: the history takes minutes to be made, and gigabytes of disk.
    let slots = Slots {
        jobs: args.jobs,
        at_once: args.at_once,
    };
    if args.what == What::Fleet {
        fleet::measure((args.sets, args.runs), slots)?;
    }
    if args.what == What::Slots {
        fleet::schedule::measure(slots)?;
    }
    Ok(())
}

/// The binary of the same profile as this program.
fn find_binary() -> Result<PathBuf, BenchError> {
    let own = std::env::current_exe().map_err(|source| BenchError::Io {
        act: "find this program",
        source,
    })?;
    let path = own.with_file_name("mykeeper");
    if path.is_file() {
        Ok(path)
    } else {
        Err(BenchError::NoBinary { path })
    }
}
