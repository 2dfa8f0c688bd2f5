//! The limits that no way passes: each stage alone, doing nothing else.

use super::THREADS;
use super::figures::median;
use super::scene::{Scene, remove, sizes};
use crate::error::BenchError;
use mykeeper_domain::packing::{DEFAULT_CHUNK_BYTES, PackFormat, Packing};
use mykeeper_tools::pipeline::Packer;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// As much as the disk is given at once.
const WRITE_BYTES: usize = 1 << 20;

/// A stage that needs no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// mydumper without compression, its files as large as mykeeper has them.
    RawDump,
    /// The dump's plain files, read from memory and compressed on as many threads as mykeeper has, written nowhere.
    Gzip,
    Zstd,
    /// The bytes of the plain files, written and synced.
    Disk,
}

impl Stage {
    pub(super) const ALL: [Self; 4] = [Self::RawDump, Self::Gzip, Self::Zstd, Self::Disk];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RawDump => "raw dump",
            Self::Gzip => "compressor, gzip",
            Self::Zstd => "compressor, zstd",
            Self::Disk => "disk, plain files",
        }
    }

    pub(super) fn of(format: PackFormat) -> Self {
        match format {
            PackFormat::Gzip => Self::Gzip,
            PackFormat::Zstd => Self::Zstd,
        }
    }
}

/// What one took, once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cost {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    /// What came out of it.
    pub(super) bytes: u64,
}

/// All rounds.
#[derive(Debug, Default)]
pub(super) struct Limits(BTreeMap<Stage, Vec<Cost>>);

impl Limits {
    /// One more round.
    pub(super) fn measure(&mut self, scene: &Scene) -> Result<(), BenchError> {
        scene.clear()?;
        let dir = scene.workspace.at("raw");
        let chunk = format!("--chunk-filesize={}", DEFAULT_CHUNK_BYTES >> 20);
        let dump = scene.dump(&dir, &[&chunk])?;
        let files = sizes(&dir);
        let bytes = files.values().sum();
        self.push(
            Stage::RawDump,
            Cost {
                wall: dump.wall,
                cpu: dump.whole_cpu(),
                bytes,
            },
        );
        for format in [PackFormat::Gzip, PackFormat::Zstd] {
            self.push(Stage::of(format), compress(&dir, &files, format)?);
        }
        remove(&dir)?;
        scene.clear()?;
        self.push(Stage::Disk, write(&scene.workspace.at("disk"), bytes)?);
        remove(&scene.workspace.at("disk"))
    }

    fn push(&mut self, stage: Stage, cost: Cost) {
        self.0.entry(stage).or_default().push(cost);
    }

    /// Median, seconds.
    pub(super) fn wall(&self, stage: Stage) -> f64 {
        self.median(stage, |cost| cost.wall.as_secs_f64())
    }

    /// Median, seconds.
    pub(super) fn cpu(&self, stage: Stage) -> f64 {
        self.median(stage, |cost| cost.cpu.as_secs_f64())
    }

    /// Median.
    pub(super) fn bytes(&self, stage: Stage) -> f64 {
        self.median(stage, |cost| cost.bytes as f64)
    }

    fn median(&self, stage: Stage, of: impl Fn(&Cost) -> f64) -> f64 {
        median(self.0.get(&stage).into_iter().flatten().map(of).collect())
    }
}

/// Sending a finished set, alone: seconds.
pub(super) fn send(scene: &Scene, set: &Path) -> Result<f64, BenchError> {
    scene.clear()?;
    let mut command = scene.command("rsync");
    command
        .arg("--archive")
        .arg(format!("--password-file={}", scene.password_file().display()))
        .arg(set)
        .arg(scene.destination("alone/"));
    Ok(scene.run(command, |_| {})?.wall.as_secs_f64())
}

/// Largest first, so that no thread is left with much at the end.
fn compress(dir: &Path, files: &BTreeMap<PathBuf, u64>, format: PackFormat) -> Result<Cost, BenchError> {
    let mut queue: Vec<(&PathBuf, &u64)> = files.iter().collect();
    queue.sort_by_key(|(_, size)| **size);
    let queue = Mutex::new(queue);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    let work = || -> Result<Cost, BenchError> {
        let mut packer = Packer::new(Packing::of(format)).map_err(BenchError::io("compress"))?;
        let mut bytes = 0;
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some((file, _)) = next else { break };
            bytes += pack(&mut packer, &dir.join(file))?;
        }
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Ok(Cost {
            wall: Duration::ZERO,
            cpu: Duration::new(
                u64::try_from(now.tv_sec).unwrap_or(0),
                u32::try_from(now.tv_nsec).unwrap_or(0),
            ),
            bytes,
        })
    };
    let mut sum = Cost::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS.min(processors)).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            let cost = thread
                .join()
                .map_err(|_| BenchError::Unfit("a thread that compresses has failed".to_owned()))??;
            sum.cpu += cost.cpu;
            sum.bytes += cost.bytes;
        }
        Ok(())
    })?;
    sum.wall = began.elapsed();
    Ok(sum)
}

/// Returns how many bytes it would be.
fn pack(packer: &mut Packer, file: &Path) -> Result<u64, BenchError> {
    let mut file = File::open(file).map_err(BenchError::io("open a plain file"))?;
    let mut piece = Vec::with_capacity(packer.piece_bytes());
    let mut bytes = 0;
    loop {
        piece.clear();
        let most = packer.piece_bytes() as u64;
        let length = (&mut file)
            .take(most)
            .read_to_end(&mut piece)
            .map_err(BenchError::io("read a plain file"))?;
        if length == 0 {
            return Ok(bytes);
        }
        bytes += packer.pack(&piece).map_err(BenchError::io("compress"))?.len() as u64;
    }
}

/// Files of the size that mykeeper has them, each synced as it is done.
fn write(dir: &Path, bytes: u64) -> Result<Cost, BenchError> {
    let text: Vec<u8> = (b' '..=b'~').cycle().take(WRITE_BYTES).collect();
    let act = BenchError::io("write to the disk");
    std::fs::create_dir(dir).map_err(&act)?;
    let began = Instant::now();
    let mut left = bytes;
    let mut number = 0_u32;
    while left > 0 {
        let mut file = File::create(dir.join(number.to_string())).map_err(&act)?;
        let mut room = DEFAULT_CHUNK_BYTES.min(left);
        left -= room;
        while room > 0 {
            let size = room.min(WRITE_BYTES as u64);
            file.write_all(
                text.get(..usize::try_from(size).unwrap_or(WRITE_BYTES))
                    .unwrap_or(&text),
            )
            .map_err(&act)?;
            room -= size;
        }
        file.sync_all().map_err(&act)?;
        number += 1;
    }
    Ok(Cost {
        wall: began.elapsed(),
        cpu: Duration::ZERO,
        bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_plain_files_are_compressed_and_counted() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..5 {
            let rows = "INSERT INTO orders VALUES (1,\"parcel\");\n".repeat(1_000 * number);
            std::fs::write(dir.path().join(number.to_string()), rows).unwrap();
        }
        let files = sizes(dir.path());
        for format in [PackFormat::Gzip, PackFormat::Zstd] {
            let cost = compress(dir.path(), &files, format).unwrap();
            assert!(cost.bytes > 0 && cost.bytes < 20_000, "{cost:?}");
        }
    }

    #[test]
    fn as_many_bytes_are_written_as_are_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = 3 * WRITE_BYTES as u64 + 7;
        write(&dir.path().join("disk"), bytes).unwrap();
        assert_eq!(sizes(dir.path()).values().sum::<u64>(), bytes);
    }
}
