//! The ways of making a set that are compared.

use super::{JOB, THREADS};
use crate::error::BenchError;
use crate::process::Thread;
use crate::sampler::{Followed, follow};
use mykeeper_e2e::{Binary, MariaDb, Workspace, find_set};
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Of mykeeper's runtime.
const WORKERS: usize = 2;

/// A way of making a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// mydumper alone, with the same options.
    ByHand,
    /// `mykeeper run`.
    Mykeeper,
}

/// What one set took, CPU time.
#[derive(Debug)]
pub(crate) struct WayResult {
    /// mydumper's own.
    pub(crate) tool: Duration,
    /// Of mykeeper's threads that read no files.
    pub(crate) turning: Duration,
    /// Of mykeeper's threads that do what blocks: nearly all of it is reading finished files.
    pub(crate) reading: Duration,
    /// All below mykeeper that is not the dump's mydumper.
    pub(crate) shims: Duration,
    pub(crate) wall: Duration,
    /// Bytes.
    pub(crate) peak: u64,
    pub(crate) threads: usize,
    /// Its bk_id; empty without mykeeper.
    pub(crate) id: String,
    /// Where the set lies; empty when it was removed.
    pub(crate) set: PathBuf,
}

impl WayResult {
    /// What is left of mykeeper's cost without reading finished files.
    pub(crate) fn supervision(&self) -> Duration {
        self.turning + self.shims
    }
}

/// Takes it once.
pub(crate) fn measure_way(
    way: Way,
    workspace: &Workspace,
    server: &MariaDb,
) -> Result<WayResult, BenchError> {
    match way {
        Way::ByHand => by_hand(server),
        Way::Mykeeper => mykeeper(workspace),
    }
}

fn by_hand(server: &MariaDb) -> Result<WayResult, BenchError> {
    let dir = tempfile::tempdir().map_err(BenchError::io("make a temporary folder"))?;
    let mut command = Command::new("mydumper");
    command
        .args([
            "--user=root",
            "--regex=^bench_",
            "--compress",
            "--triggers",
            "--events",
            "--routines",
        ])
        .args(["--verbose=3", &format!("--threads={THREADS}")])
        .arg(format!("--socket={}", server.socket().display()))
        .arg(format!("--outputdir={}", dir.path().join("set").display()));
    let followed = follow_command(command)?;
    Ok(WayResult {
        tool: followed.cpu.own,
        turning: Duration::ZERO,
        reading: Duration::ZERO,
        shims: Duration::ZERO,
        wall: followed.wall,
        peak: followed.peak,
        threads: followed.threads.len(),
        id: String::new(),
        set: PathBuf::new(),
    })
}

fn mykeeper(workspace: &Workspace) -> Result<WayResult, BenchError> {
    let mut command = Binary::find().command(&workspace.config());
    command.args(["run", JOB]);
    let followed = follow_command(command)?;
    let tool = followed
        .tool
        .ok_or_else(|| BenchError::Unfit("no mydumper was seen below mykeeper".to_owned()))?;
    let backups = workspace.backups();
    let id = backups.first().and_then(|backup| backup["id"].as_str());
    let id = id.ok_or_else(|| BenchError::Unfit("mykeeper tells no set after its run".to_owned()))?;
    let turning = turning(&followed.threads);
    Ok(WayResult {
        tool,
        turning,
        reading: followed.cpu.own.saturating_sub(turning),
        shims: followed.cpu.children.saturating_sub(tool),
        wall: followed.wall,
        peak: followed.peak,
        threads: followed.threads.len(),
        id: id.to_owned(),
        set: find_set(&workspace.sets(), id),
    })
}

/// The main thread, the runtime's workers and the catalog's. The workers are the first that the runtime starts; later
/// threads of that name do what blocks.
fn turning(threads: &BTreeMap<u32, Thread>) -> Duration {
    let is_of_runtime = |thread: &Thread| thread.name == "tokio-rt-worker";
    let workers = threads
        .values()
        .filter(|thread| is_of_runtime(thread))
        .take(WORKERS);
    let others = threads.values().filter(|thread| !is_of_runtime(thread));
    workers.chain(others).map(|thread| thread.cpu).sum()
}

fn follow_command(mut command: Command) -> Result<Followed, BenchError> {
    let mut output = tempfile::tempfile().map_err(BenchError::io("make a temporary file"))?;
    let handle = || {
        output
            .try_clone()
            .map_err(BenchError::io("make a temporary file"))
    };
    command.stdin(Stdio::null()).stdout(handle()?).stderr(handle()?);
    let child = command
        .spawn()
        .map_err(BenchError::io("start what is measured"))?;
    let followed = follow(child, ("mydumper", "--outputdir="))?;
    if followed.status.success() {
        return Ok(followed);
    }
    let mut said = String::new();
    output
        .seek(SeekFrom::Start(0))
        .and_then(|_| output.read_to_string(&mut said))
        .map_err(BenchError::io("read what a program said"))?;
    Err(BenchError::Unfit(format!(
        "{command:?} ended with {}:\n{said}",
        followed.status
    )))
}
