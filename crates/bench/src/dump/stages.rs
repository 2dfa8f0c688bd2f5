//! What reading a set's files costs, each stage alone, on the same files.

use crate::error::BenchError;
use flate2::bufread::MultiGzDecoder;
use mykeeper_tools::content::ContentReader;
use mykeeper_tools::digest::{Compression, digest_file};
use mykeeper_tools::sql_rows::RowCounter;
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As much as the readers take at once.
const PIECE_BYTES: usize = 256 * 1024;

/// CPU time of each stage over all files of one set.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stages {
    /// All of them, as mykeeper does it.
    pub(crate) whole: Duration,
    pub(crate) read: Duration,
    pub(crate) blake3: Duration,
    pub(crate) inflate: Duration,
    pub(crate) rows_cpu: Duration,
    /// The digest of every row by value.
    pub(crate) values: Duration,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) plain_bytes: u64,
    pub(crate) rows: u64,
}

/// Of this thread.
fn cpu_now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Measures them on the files of `set`.
pub(crate) fn read_set(set: &Path) -> Result<Stages, BenchError> {
    let mut stages = Stages::default();
    for path in files(set)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let began = cpu_now();
        let digest = digest_file(&path, &name, 0).map_err(|error| BenchError::Unfit(error.to_string()))?;
        stages.whole += cpu_now() - began;
        stages.files += 1;
        stages.bytes += digest.stamp.size_bytes;
        stages.plain_bytes += digest.plain_bytes;
        stages.rows += digest.rows;
        let is_data = digest.rows > 0;
        let took = stage_by_stage((&path, &name), is_data, &mut stages)?;
        if is_data && took != (digest.plain_bytes, digest.rows, digest.blake3.clone()) {
            return Err(BenchError::Unfit(format!(
                "{name} reads otherwise stage by stage: {took:?}, {digest:?}"
            )));
        }
    }
    Ok(stages)
}

/// Adds to `stages`; returns plain bytes, rows and digest.
fn stage_by_stage(
    (path, name): (&Path, &str),
    has_rows: bool,
    stages: &mut Stages,
) -> Result<(u64, u64, String), BenchError> {
    let mut file = File::open(path).map_err(BenchError::io("open a set's file"))?;
    let mut raw =
        Vec::with_capacity(usize::try_from(file.metadata().map_or(0, |file| file.len())).unwrap_or(0));
    let began = cpu_now();
    file.read_to_end(&mut raw)
        .map_err(BenchError::io("read a set's file"))?;
    stages.read += cpu_now() - began;

    let began = cpu_now();
    let mut hasher = blake3::Hasher::new();
    for piece in raw.chunks(PIECE_BYTES) {
        hasher.update(piece);
    }
    let digest = hasher.finalize().to_hex().to_string();
    stages.blake3 += cpu_now() - began;

    let mut counter = RowCounter::new();
    let mut values = ContentReader::new();
    let mut plain: Box<dyn Read> = match Compression::of(name) {
        Compression::Gzip => Box::new(MultiGzDecoder::new(raw.as_slice())),
        _ => Box::new(raw.as_slice()),
    };
    let mut piece = vec![0; PIECE_BYTES];
    let mut plain_bytes = 0;
    loop {
        let began = cpu_now();
        let length = plain
            .read(&mut piece)
            .map_err(BenchError::io("inflate a set's file"))?;
        let inflated = cpu_now();
        stages.inflate += inflated - began;
        if length == 0 {
            break;
        }
        plain_bytes += length as u64;
        counter.feed(&piece[..length]);
        let counted = cpu_now();
        stages.rows_cpu += counted - inflated;
        // As with mykeeper, where a file holds rows.
        if has_rows {
            values.feed(&piece[..length]);
            stages.values += cpu_now() - counted;
        }
    }
    let told = values.finish().map_or(0, |found| found.content.rows);
    if has_rows && told != counter.rows() {
        return Err(BenchError::Unfit(format!(
            "{name} has {} rows, of which {told} were digested",
            counter.rows()
        )));
    }
    Ok((plain_bytes, counter.rows(), digest))
}

fn files(set: &Path) -> Result<Vec<PathBuf>, BenchError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(set).map_err(BenchError::io("list a set"))? {
        let path = entry.map_err(BenchError::io("list a set"))?.path();
        if path.extension().is_some_and(|ending| ending == "gz") {
            files.push(path);
        }
    }
    Ok(files)
}
