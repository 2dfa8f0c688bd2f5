//! Handles the files of a dump as they finish: each is read once, while mydumper goes on writing the others.
//!
//! The kernel says when a file was closed after writing. What it did not say (a full queue, a file renamed after the
//! fact) is made up for at the end, by looking at the folder once and reading only what is not known as it is.

mod folder;
mod last_look;
mod looking;
mod lost;
mod reading;

pub(crate) use folder::watch;
use folder::{is_handled_early, list};
use looking::Looking;
use lost::WithRows;
use reading::Failed;
pub(crate) use reading::Packers;

use super::pressure::Pressure;
use crate::digest::{Compression, FileDigest, Stamp};
use crate::error::ToolError;
use crate::log::RunLog;
use crate::pipeline::{Finished, Handled, PARTIAL};
use crate::room;
use futures::StreamExt;
use inotify::{EventMask, EventStream};
use mykeeper_domain::space::Room;
use mykeeper_supervise::Activity;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Files known to be finished and not yet read; more are found again at the end.
const MAX_WAITING: usize = 100_000;
/// Notices are ready at once; someone else may go on writing to the folder.
const REST_PAUSE: Duration = Duration::from_millis(20);
const REST_LIMIT: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_secs(1);
/// Looks at the room, where each finished file makes one worth while.
const LEAST_BETWEEN_LOOKS: Duration = Duration::from_millis(20);
/// Less is as good as nothing: 0.10 with compression spins for ever when there is none.
const LEAST_FREE_BYTES: u64 = 1024 * 1024;
/// Ticks without space and without growth until the dump is given up.
const FULL_TICKS: u32 = 3;
/// One finished file, by its name in the folder.
pub(crate) type Digests = BTreeMap<String, Result<FileDigest, String>>;

/// Whether there is so little room that nothing more can come of a dump.
pub(crate) fn is_exhausted(room: &Room) -> bool {
    room.free_bytes < LEAST_FREE_BYTES || room.free_files == Some(0)
}

/// What came of a folder.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    /// Every file that is there at the end.
    pub(crate) digests: Digests,
    /// Files that were made and removed again, and had no content whenever they were looked at: of empty tables.
    pub(crate) gone: BTreeSet<String>,
    /// Files that were finished with rows and are not there at the end, a sentence for each.
    pub(crate) lost: Vec<String>,
    /// The dump was ended because of this: nothing left to write to.
    pub(crate) full: Option<Room>,
    /// Why the folder could not be looked at to the end.
    pub(crate) fault: Option<String>,
    /// Files that were to be compressed and are not, and why the first of them is not.
    pub(crate) left_plain: Option<(usize, String)>,
}

/// One look at the folder.
struct Sample {
    room: Option<Room>,
    open_bytes: u64,
    /// All that is there, where that was asked for.
    listed: Vec<(String, Stamp)>,
}

/// Watches one folder. Made before mydumper starts, so that nothing is missed.
pub(crate) struct Collector<'a> {
    dir: PathBuf,
    events: EventStream<Vec<u8>>,
    activity: Activity,
    log: &'a dyn RunLog,
    /// Bytes of parts before this one, for the progress of the whole.
    base_bytes: u64,
    waiting: VecDeque<String>,
    looking: Looking,
    queued: HashSet<String>,
    reading: JoinSet<(String, Stamp, Result<Handled, ToolError>)>,
    in_flight: HashSet<(u64, u64)>,
    /// Files whose inode another had that is in flight: looked at again when that one is done.
    deferred: Vec<String>,
    /// Files that could not be read, and are tried again.
    failed: HashMap<String, Failed>,
    packers: Option<Packers>,
    pressure: Option<Pressure<'a>>,
    /// Who is told of finished files, and what the folder is called below the set's.
    told: Option<(Arc<Finished>, String)>,
    /// Bytes of files that are read now.
    packing_bytes: u64,
    /// A file has finished since the last look at the room.
    wants_look: bool,
    last_look_at: Instant,
    known: HashMap<(u64, u64), FileDigest>,
    open: BTreeSet<String>,
    gone: BTreeSet<String>,
    had_rows: HashSet<String>,
    with_rows: WithRows,
    /// The kernel has dropped notices: what is there is not known.
    overflowed: bool,
    sample: Option<JoinHandle<Sample>>,
    finished_bytes: u64,
    seen_bytes: u64,
    full_ticks: u32,
}

impl<'a> Collector<'a> {
    /// For a folder that is watched.
    pub(crate) fn new(
        (dir, events): (&Path, EventStream<Vec<u8>>),
        activity: Activity,
        log: &'a dyn RunLog,
        base_bytes: u64,
    ) -> Self {
        Self {
            dir: dir.to_owned(),
            events,
            activity,
            log,
            base_bytes,
            waiting: VecDeque::new(),
            looking: Looking::default(),
            queued: HashSet::new(),
            reading: JoinSet::new(),
            in_flight: HashSet::new(),
            deferred: Vec::new(),
            failed: HashMap::new(),
            packers: None,
            pressure: None,
            told: None,
            packing_bytes: 0,
            wants_look: false,
            last_look_at: Instant::now(),
            known: HashMap::new(),
            open: BTreeSet::new(),
            gone: BTreeSet::new(),
            had_rows: HashSet::new(),
            with_rows: WithRows::default(),
            overflowed: false,
            sample: None,
            finished_bytes: 0,
            seen_bytes: 0,
            full_ticks: 0,
        }
    }

    /// Compresses the files as they finish, and holds mydumper up where that is not fast enough.
    pub(crate) fn packing(mut self, packers: Packers, pressure: Pressure<'a>) -> Self {
        self.packers = Some(packers);
        self.pressure = Some(pressure);
        self
    }

    /// Tells of each file that is as it will stay, in a folder that the set calls so; empty: it is the set's own.
    pub(crate) fn telling(mut self, finished: Option<Arc<Finished>>, dir: &str) -> Self {
        self.told = finished.map(|finished| (finished, dir.to_owned()));
        self
    }

    /// Handles files until `done`, then those that are left. `give_up` is cancelled when the file system is full, and
    /// when it is cancelled from elsewhere, what has not been read by then is not read any more.
    pub(crate) async fn run(mut self, done: CancellationToken, give_up: CancellationToken) -> Collected {
        let mut full = None;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !done.is_cancelled() {
            tokio::select! {
                () = done.cancelled() => break,
                Some(event) = self.events.next() => {
                    if let Ok(event) = event {
                        self.notice(event.mask, event.name.as_deref());
                    }
                }
                looked = self.looking.end() => {
                    if let Some((name, looked)) = looked {
                        self.read(name, looked, give_up.clone());
                    }
                }
                Some(read) = self.reading.join_next(), if !self.reading.is_empty() => {
                    if let Ok((name, stamp, result)) = read {
                        self.keep(&name, stamp, result);
                    }
                }
                sampled = async { match &mut self.sample { Some(handle) => handle.await, None => std::future::pending().await } } => {
                    self.sample = None;
                    if let Ok((room, open_bytes)) = sampled.map(|sample| self.note_sample(sample))
                        && full.is_none()
                        && let Some(room) = self.judge_room(room, open_bytes)
                    {
                        full = Some(room);
                        give_up.cancel();
                    }
                }
                () = sleep_until(self.pressure.as_ref().and_then(Pressure::due)) => {
                    if let Some(pressure) = &mut self.pressure {
                        pressure.keep_up(Instant::now());
                    }
                }
                _ = tick.tick() => {
                    self.queue_failed();
                    self.take_sample();
                }
            }
            if let Some(pressure) = &mut self.pressure
                && (self.activity.is_over() || give_up.is_cancelled())
            {
                pressure.disarm();
            }
            self.look_on();
            if self.wants_look && self.last_look_at.elapsed() >= LEAST_BETWEEN_LOOKS {
                self.take_sample();
            }
        }
        self.pressure = None;
        self.hear_the_rest().await;
        let mut collected = self.finish(&give_up).await;
        collected.full = full;
        collected
    }

    /// Notices that the kernel had ready when mydumper ended.
    async fn hear_the_rest(&mut self) {
        let until = tokio::time::Instant::now() + REST_LIMIT;
        while tokio::time::Instant::now() < until
            && let Ok(Some(Ok(event))) = tokio::time::timeout(REST_PAUSE, self.events.next()).await
        {
            self.notice(event.mask, event.name.as_deref());
        }
    }

    fn notice(&mut self, mask: EventMask, name: Option<&OsStr>) {
        self.overflowed |= mask.contains(EventMask::Q_OVERFLOW);
        let Some(name) = name.and_then(OsStr::to_str) else {
            return;
        };
        if self.is_ours(name) {
            return;
        }
        self.activity.touch();
        let settling = self
            .packers
            .as_mut()
            .and_then(|packers| packers.settling.as_mut());
        if mask.contains(EventMask::CREATE) {
            let settled = settling.and_then(|settling| settling.begun(name));
            self.open.insert(name.to_owned());
            self.gone.remove(name);
            if let Some(settled) = settled {
                self.queue(settled);
            }
            return;
        }
        let is_finished = mask.intersects(EventMask::CLOSE_WRITE | EventMask::MOVED_TO);
        let is_settled = settling.is_none_or(|settling| {
            if mask.contains(EventMask::MOVED_FROM) {
                settling.left(name);
            }
            !is_finished || settling.closed(name)
        });
        self.open.remove(name);
        if mask.contains(EventMask::DELETE) {
            self.gone.insert(name.to_owned());
        }
        if is_finished && is_settled && is_handled_early(name) {
            self.queue(name.to_owned());
        }
    }

    /// Whether mykeeper itself writes a file of this name.
    fn is_ours(&self, name: &str) -> bool {
        self.packers.is_some() && (name.ends_with(PARTIAL) || Compression::of(name) != Compression::Plain)
    }

    fn queue(&mut self, name: String) {
        self.wants_look |= self.pressure.is_some();
        if self.waiting.len() < MAX_WAITING && self.queued.insert(name.clone()) {
            self.waiting.push_back(name);
        }
    }

    /// Looks at the room and at the files that are being written, off this thread: a file system may hang.
    fn take_sample(&mut self) {
        if self.sample.is_some() {
            return;
        }
        self.wants_look = false;
        self.last_look_at = Instant::now();
        let dir = self.dir.clone();
        let open: Vec<String> = self.open.iter().cloned().collect();
        let list_all = std::mem::take(&mut self.overflowed);
        self.sample = Some(tokio::task::spawn_blocking(move || Sample {
            open_bytes: open
                .iter()
                .filter_map(|name| std::fs::symlink_metadata(dir.join(name)).ok())
                .map(|metadata| metadata.len())
                .sum(),
            room: room::look(&dir).ok(),
            listed: if list_all {
                list(&dir).unwrap_or_default()
            } else {
                Vec::new()
            },
        }));
    }

    /// What notices were lost about counts as open until it is known: the next look shows whether it grows.
    fn note_sample(&mut self, sample: Sample) -> (Option<Room>, u64) {
        for (name, stamp) in sample.listed {
            if self
                .known
                .get(&stamp.inode)
                .is_none_or(|known| known.stamp != stamp)
            {
                self.open.insert(name);
            }
        }
        (sample.room, sample.open_bytes)
    }

    fn judge_room(&mut self, room: Option<Room>, open_bytes: u64) -> Option<Room> {
        let bytes = self.finished_bytes + open_bytes;
        let grows = bytes > self.seen_bytes;
        self.weigh_room(room.as_ref(), bytes.saturating_sub(self.seen_bytes));
        if grows {
            self.activity.touch();
        }
        self.seen_bytes = bytes;
        self.report();
        match room.filter(is_exhausted) {
            Some(room) if !grows => {
                self.full_ticks += 1;
                (self.full_ticks >= FULL_TICKS).then_some(room)
            }
            _ => {
                self.full_ticks = 0;
                None
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{NoLog, Progress};
    use std::fs;

    async fn until(mut condition: impl FnMut() -> bool) {
        for _ in 0..2_000 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never came true");
    }

    #[tokio::test]
    async fn files_are_read_as_they_finish_and_the_rest_is_made_up_for() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let (done, give_up) = (CancellationToken::new(), CancellationToken::new());
        fs::write(at("before.sql"), "INSERT INTO a VALUES (1);").unwrap();
        let collector = Collector::new(
            (dir.path(), watch(dir.path()).unwrap()),
            Activity::new(),
            &NoLog,
            0,
        );
        fs::write(at("a.t.00001.sql"), "INSERT INTO a VALUES (1),(2);").unwrap();
        fs::write(at("gone.sql"), "").unwrap();
        fs::remove_file(at("gone.sql")).unwrap();
        fs::rename(at("a.t.00001.sql"), at("a.t.sql")).unwrap();
        let work = async {
            fs::write(at("metadata.partial"), "x").unwrap();
            fs::rename(at("metadata.partial"), at("metadata")).unwrap();
            fs::write(at("late.sql"), "INSERT INTO a VALUES (1").unwrap();
            until(|| at("late.sql").exists()).await;
            done.cancel();
        };
        let (collected, ()) = tokio::join!(collector.run(done.clone(), give_up), work);
        let names: Vec<&str> = collected.digests.keys().map(String::as_str).collect();
        assert_eq!(names, ["a.t.sql", "before.sql", "late.sql", "metadata"]);
        let digest = |name: &str| collected.digests[name].as_ref().unwrap();
        assert_eq!(digest("a.t.sql").rows, 2);
        assert_eq!(digest("metadata").text.as_deref(), Some(b"x".as_slice()));
        assert!(digest("late.sql").fault.is_some());
        assert_eq!((collected.full, collected.fault), (None, None));
        assert_eq!(collected.gone, BTreeSet::from(["gone.sql".to_owned()]));
    }

    #[tokio::test]
    async fn after_lost_notices_the_folder_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("big.sql"), "INSERT").unwrap();
        let mut collector = Collector::new(
            (dir.path(), watch(dir.path()).unwrap()),
            Activity::new(),
            &NoLog,
            0,
        );
        collector.notice(EventMask::Q_OVERFLOW, None);
        for expected in [0, 6] {
            collector.take_sample();
            let sample = collector.sample.take().unwrap().await.unwrap();
            assert_eq!(collector.note_sample(sample).1, expected);
        }
    }

    #[tokio::test]
    async fn a_file_with_content_that_goes_is_not_of_an_empty_table() {
        let dir = tempfile::tempdir().unwrap();
        let (done, give_up) = (CancellationToken::new(), CancellationToken::new());
        let activity = Activity::new();
        let log = Seen::default();
        let collector = Collector::new((dir.path(), watch(dir.path()).unwrap()), activity, &log, 0);
        let work = async {
            fs::write(dir.path().join("a.t.sql"), "INSERT INTO a VALUES (1);").unwrap();
            for _ in 0..2_000 {
                if log.0.load(std::sync::atomic::Ordering::Relaxed) > 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            fs::remove_file(dir.path().join("a.t.sql")).unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            done.cancel();
        };
        let (collected, ()) = tokio::join!(collector.run(done.clone(), give_up), work);
        assert_eq!(collected.gone, BTreeSet::new());
    }

    #[derive(Default)]
    struct Seen(std::sync::atomic::AtomicU64);

    impl RunLog for Seen {
        fn line(&self, _: &str, _: &str) {}

        fn progress(&self, progress: Progress) {
            self.0
                .store(progress.done_bytes, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn a_full_disk_is_given_some_seconds() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _guard = runtime.enter();
        let dir = tempfile::tempdir().unwrap();
        let mut collector = Collector::new(
            (dir.path(), watch(dir.path()).unwrap()),
            Activity::new(),
            &NoLog,
            0,
        );
        let none = Some(Room {
            free_bytes: 4096,
            kept_for_root: mykeeper_domain::space::KeptForRoot::Counted(0),
            total_bytes: 1 << 20,
            free_files: Some(9),
        });
        assert_eq!(collector.judge_room(none, 10), None, "it grows");
        assert_eq!(collector.judge_room(none, 10), None);
        assert_eq!(collector.judge_room(none, 11), None, "it grows again");
        assert_eq!(collector.judge_room(none, 11), None);
        assert_eq!(collector.judge_room(none, 11), None);
        assert_eq!(collector.judge_room(none, 11), none);
    }
}
