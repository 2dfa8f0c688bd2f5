//! The reading of finished files: digested where they lie, or packed.

use super::folder::{serves, text_bytes};
use super::{Collector, MAX_WAITING};
use crate::digest::{Compression, FileDigest, Stamp, digest_file_watched};
use crate::error::ToolError;
use crate::log::Progress;
use crate::mydumper::pressure::Backlog;
use crate::pipeline::{Crew, Handled, PackJob, Settling, is_definition};
use mykeeper_domain::space::Room;
use mykeeper_supervise::Activity;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Files read at the same time; mydumper should have the other cores.
const READERS: usize = 2;
/// What mydumper 0.10 begins a file of rows with. Where it cuts tables, a last file of one row comes without it: who
/// loads that alone would take its times for those of another zone.
const HEAD: &[u8] = b"/*!40101 SET NAMES binary*/;\n/*!40014 SET FOREIGN_KEY_CHECKS=0*/;\n\
                      /*!40103 SET TIME_ZONE='+00:00' */;\n";
/// A file that has failed so often does not count as one that makes room.
const HOPELESS_AFTER: u32 = 6;
/// The first file of a table that mydumper 0.10 cuts; renamed where no second follows.
const FIRST_FILE: &str = ".00001.sql";
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A file that could not be read or compressed.
#[derive(Debug, Default)]
pub(super) struct Failed {
    times: u32,
    /// When it is tried again; `None` while it is.
    due: Option<Instant>,
}

impl Failed {
    /// Twice as long a pause each time.
    fn again(&mut self) {
        let pause = Duration::from_secs(1 << self.times.min(6)).min(LONGEST_PAUSE);
        self.times += 1;
        self.due = Some(Instant::now() + pause);
    }
}

/// Who compresses files as they finish, and which of them wait.
#[derive(Debug)]
pub(crate) struct Packers {
    pub(super) crew: Crew,
    /// Where this mydumper cuts tables: it may rename what it has closed, and forget a head.
    pub(super) settling: Option<Settling>,
    /// mydumper has ended, and well: what is not packed yet is, whatever it holds.
    pub(super) is_whole: Arc<AtomicBool>,
}

impl Packers {
    /// `cuts`: this is mydumper 0.10, and it cuts tables into files. `is_whole` is set before the collector is told that
    /// mydumper has ended.
    pub(crate) fn new(crew: Crew, cuts: bool, is_whole: Arc<AtomicBool>) -> Self {
        Self {
            crew,
            settling: cuts.then(Settling::default),
            is_whole,
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.is_whole.load(Ordering::Acquire)
    }
}

/// Whether a file is compressed at all: not what mydumper writes of itself.
pub(super) fn is_packable(name: &str) -> bool {
    name.ends_with(".sql")
}

/// Digests the file where it lies, or has it packed.
pub(super) fn spawn_reader<T: Send + 'static>(
    readers: &mut JoinSet<(String, T, Result<Handled, ToolError>)>,
    (dir, name, with): (&Path, String, T),
    packers: Option<(&Packers, bool)>,
    (stop, activity): (CancellationToken, Activity),
) {
    let keep_text_bytes = text_bytes(&name);
    match packers {
        Some((packers, is_over)) if is_packable(&name) => {
            let packed = packers.crew.pack(PackJob {
                dir: dir.to_owned(),
                name: name.clone(),
                ending: packers.crew.ending(),
                keep_text_bytes,
                head: packers.settling.as_ref().map(|_| HEAD),
                is_over,
                stop,
                activity,
            });
            readers.spawn(async move { (name, with, packed.await) });
        }
        _ => {
            let path: PathBuf = dir.join(&name);
            readers.spawn_blocking(move || {
                let result = digest_file_watched(&path, &name, keep_text_bytes, (&stop, &activity));
                let result = result.map(|digest| Handled::new(name.clone(), digest));
                (name, with, result)
            });
        }
    }
}

impl Collector<'_> {
    /// How many files are read at the same time.
    pub(super) fn readers(&self) -> usize {
        self.packers
            .as_ref()
            .map_or(READERS, |packers| packers.crew.threads())
    }

    /// Looks at the next file that waits, as long as there is room for its reader.
    pub(super) fn look_on(&mut self) {
        if !self.looking.is_under_way()
            && self.reading.len() < self.readers()
            && let Some(name) = self.waiting.pop_front()
        {
            self.queued.remove(&name);
            self.looking.begin(&self.dir, name);
        }
    }

    /// Begins to read a file that was looked at.
    pub(super) fn read(&mut self, name: String, looked: io::Result<Metadata>, give_up: CancellationToken) {
        let Ok(metadata) = looked else {
            // Gone again: an empty table's file.
            self.failed.remove(&name);
            return;
        };
        if !metadata.is_file() {
            return;
        }
        let stamp = Stamp::of(&metadata);
        let is_known = self
            .known
            .get(&stamp.inode)
            .is_some_and(|known| known.stamp == stamp && serves(known, &name));
        if is_known {
            return;
        }
        if !self.in_flight.insert(stamp.inode) {
            // The same file under another name; or the number of one that has just been packed and removed.
            if self.packers.is_some() {
                self.deferred.push(name);
            }
            return;
        }
        self.packing_bytes += stamp.size_bytes;
        let packers = self.packers.as_ref().map(|packers| (packers, false));
        // What fails again and again shows no life.
        let activity = match self.failed.contains_key(&name) {
            true => Activity::new(),
            false => self.activity.clone(),
        };
        let course = (give_up, activity);
        spawn_reader(&mut self.reading, (&self.dir, name, stamp), packers, course);
    }

    pub(super) fn keep(&mut self, name: &str, stamp: Stamp, result: Result<Handled, ToolError>) {
        self.in_flight.remove(&stamp.inode);
        self.packing_bytes = self.packing_bytes.saturating_sub(stamp.size_bytes);
        self.wants_look |= self.pressure.is_some();
        for deferred in std::mem::take(&mut self.deferred) {
            self.queue(deferred);
        }
        match result {
            Ok(handled) => {
                self.failed.remove(name);
                self.tell(&handled);
                self.with_rows.note(&handled);
                self.know(name, handled.digest);
            }
            // Gone between its end and now, or for want of room: what is left of them the last look decides.
            Err(error) => {
                tracing::debug!(file = name, %error, "file of a dump not read yet");
                if self.packers.is_some() && self.failed.len() < MAX_WAITING {
                    self.failed.entry(name.to_owned()).or_default().again();
                }
            }
        }
    }

    /// Tells of a file that will stay as it is, where it is known that it will: what mykeeper has packed has its last
    /// name. Of what mydumper itself has written, 0.10 may still rename the first file of a table that it cuts, and take
    /// back one without a row.
    pub(super) fn tell(&self, handled: &Handled) {
        let Some((finished, dir)) = &self.told else { return };
        let (name, digest) = (handled.name.as_str(), &handled.digest);
        let plain = Compression::strip(name);
        let stays = match self.packers {
            Some(_) => plain != name,
            None => {
                is_packable(plain)
                    && !plain.ends_with(FIRST_FILE)
                    && (digest.rows > 0 || is_definition(plain))
            }
        };
        if stays && digest.fault.is_none() && handled.left_plain.is_none() {
            let slash = if dir.is_empty() { "" } else { "/" };
            finished.tell(format!("{dir}{slash}{name}"), digest.stamp.size_bytes);
        }
    }

    /// Takes up again what could not be read, after a while.
    pub(super) fn queue_failed(&mut self) {
        let now = Instant::now();
        let is_due = |failed: &&mut Failed| failed.due.is_some_and(|due| now >= due);
        let mut due = Vec::new();
        for (name, failed) in &mut self.failed {
            if let Some(failed) = Some(failed).filter(is_due) {
                failed.due = None;
                due.push(name.clone());
            }
        }
        due.into_iter().for_each(|name| self.queue(name));
    }

    /// Whether mydumper is to be held up, after a look between which and the last it has written `grown_bytes`.
    pub(super) fn weigh_room(&mut self, room: Option<&Room>, grown_bytes: u64) {
        let waits_for_another_try = |failed: &&Failed| failed.due.is_some() && failed.times < HOPELESS_AFTER;
        let failed = self.failed.values().filter(waits_for_another_try).count();
        let backlog = Backlog {
            packing_bytes: self.packing_bytes,
            files: self.waiting.len()
                + usize::from(self.looking.is_under_way())
                + self.reading.len()
                + failed,
        };
        if let (Some(room), Some(pressure)) = (room, &mut self.pressure) {
            pressure.weigh(room, (backlog, grown_bytes), Instant::now());
        }
    }

    fn know(&mut self, name: &str, digest: FileDigest) {
        if digest.plain_bytes > 0 {
            self.had_rows.insert(name.to_owned());
        }
        self.finished_bytes += self.written_bytes(&digest);
        if let Some(before) = self.known.insert(digest.stamp.inode, digest) {
            self.finished_bytes = self.finished_bytes.saturating_sub(self.written_bytes(&before));
        }
        self.report();
    }

    /// What mydumper has written of it.
    pub(super) fn written_bytes(&self, digest: &FileDigest) -> u64 {
        match self.packers {
            Some(_) => digest.plain_bytes,
            None => digest.stamp.size_bytes,
        }
    }

    pub(super) fn report(&self) {
        self.report_bytes(self.seen_bytes.max(self.finished_bytes));
    }

    pub(super) fn report_bytes(&self, bytes: u64) {
        self.log.progress(Progress {
            phase: "dump",
            done_bytes: self.base_bytes + bytes,
            total_bytes: None,
        });
    }
}
