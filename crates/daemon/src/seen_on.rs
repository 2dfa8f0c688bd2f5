//! On which disks the sets below a root were seen, as this machine has seen them: `state_dir/seen-on` has a file for each
//! root, with a line for each set and disk. A set counts as gone only while every disk that it was seen on is there.

use crate::disk_id::{DiskIds, TOLD_FILE};
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::jobs::RunContext;
use crate::mounted::{is_marked, root_of};
use crate::state_dir::{HeldLock, LockAttempt, StateDir, file_name_of};
use mykeeper_domain::BackupId;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Others hold the lock for as long as they write a file.
const LOCKED_WITHIN: Duration = Duration::from_secs(10);
/// Sets that a file system is asked for in one question.
const SETS_AT_A_TIME: usize = 500;
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// What was seen below one root.
#[derive(Debug, Default)]
pub(crate) struct SeenOn {
    disks_of: HashMap<BackupId, Vec<Uuid>>,
    disks: BTreeSet<Uuid>,
    /// As they were noted; some more than once.
    order: Vec<BackupId>,
}

impl SeenOn {
    /// What was noted of a root; nothing where none was.
    ///
    /// # Errors
    /// The notes cannot be read.
    pub(crate) fn at(state: &StateDir, root: &Path) -> Result<Self, DaemonError> {
        Self::kept_in(state.root(), root)
    }

    /// The same by the folder that `state_dir` is.
    ///
    /// # Errors
    /// As of [`SeenOn::at`].
    pub(crate) fn kept_in(state_dir: &Path, root: &Path) -> Result<Self, DaemonError> {
        let file = file_in(state_dir, root);
        let text = match std::fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(|source| failed("read", &file, source))?,
        };
        let text = String::from_utf8_lossy(&text);
        let mut found = Self::default();
        for (id, disk) in text.lines().filter_map(parse) {
            let disks = found.disks_of.entry(id).or_default();
            if !disks.contains(&disk) {
                disks.push(disk);
            }
            found.disks.insert(disk);
            found.order.push(id);
        }
        Ok(found)
    }

    /// Whether a set that is not below the root may lie on another disk than the one that is there. Of one that was seen on
    /// none it may, as soon as there are others.
    pub(crate) fn may_be_elsewhere(&self, id: BackupId, here: Option<&DiskIds>) -> bool {
        !self.elsewhere(id, here).is_empty()
    }

    /// The disks that it may lie on, out of those that are not there.
    pub(crate) fn elsewhere(&self, id: BackupId, here: Option<&DiskIds>) -> BTreeSet<Uuid> {
        let is_away = |disk: &&Uuid| here.is_none_or(|here| !here.stands_for(**disk));
        match self.disks_of.get(&id) {
            Some(disks) => disks.iter().filter(is_away).copied().collect(),
            None => self.disks.iter().filter(is_away).copied().collect(),
        }
    }

    /// Whether it was seen, and only on what is there.
    pub(crate) fn is_of(&self, id: BackupId, here: Option<&DiskIds>) -> bool {
        self.disks_of.contains_key(&id) && !self.may_be_elsewhere(id, here)
    }

    /// The one disk that all of these were seen on which were seen at all; `None` where there are more, or none.
    fn common<'a>(&self, sets: impl Iterator<Item = &'a BackupId>) -> Option<Uuid> {
        let disks: BTreeSet<Uuid> = sets
            .filter_map(|id| self.disks_of.get(id))
            .flatten()
            .copied()
            .collect();
        disks.first().copied().filter(|_| disks.len() == 1)
    }

    /// Whether it was seen on what is there.
    pub(crate) fn was_seen_here(&self, id: BackupId, here: Option<&DiskIds>) -> bool {
        let disks = self.disks_of.get(&id);
        disks.is_some_and(|disks| {
            let mut disks = disks.iter();
            disks.any(|disk| here.is_some_and(|here| here.stands_for(*disk)))
        })
    }

    /// The sets that were noted last, the last first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = BackupId> {
        self.order.iter().rev().copied()
    }

    fn was_seen_on(&self, id: BackupId, disk: Uuid) -> bool {
        self.disks_of.get(&id).is_some_and(|disks| disks.contains(&disk))
    }

    /// The sets that were seen.
    pub(crate) fn sets(&self) -> impl Iterator<Item = BackupId> {
        self.disks_of.keys().copied()
    }
}

fn parse(line: &str) -> Option<(BackupId, Uuid)> {
    let (id, disk) = line.split_once(' ')?;
    Some((id.parse().ok()?, disk.parse().ok()?))
}

fn file_of(state: &StateDir, root: &Path) -> PathBuf {
    file_in(state.root(), root)
}

fn file_in(state_dir: &Path, root: &Path) -> PathBuf {
    let name = root.to_string_lossy().replace('%', "%25").replace('/', "%2F");
    state_dir.join("seen-on").join(file_name_of(&name))
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> DaemonError {
    DaemonError::StateDir {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Notes that sets lie in places, on the disks that are mounted there now; gives disks an identity that have none. A root
/// that is marked as that of a disk that is missed has none, nor one that this process may not write to.
///
/// # Errors
/// A file system does not answer in time; `state_dir` does not take it.
pub(crate) async fn note(
    environment: &Environment,
    lying: Vec<(BackupId, PathBuf)>,
) -> Result<(), DaemonError> {
    let mut below: BTreeMap<PathBuf, Vec<(BackupId, PathBuf)>> = BTreeMap::new();
    for (id, place) in lying {
        if let Some(root) = root_of(&place) {
            below.entry(root.to_owned()).or_default().push((id, place));
        }
    }
    for (root, mut sets) in below {
        let seen = SeenOn::at(&environment.state, &root)?;
        let (asked, lying) = (root.clone(), sets.clone());
        let lost = seen.common(lying.iter().map(|(id, _)| id));
        let here = environment.disk.ask(("look at", &root), move || {
            let is_told = asked.join(TOLD_FILE).symlink_metadata().is_ok();
            if is_marked(&asked) && !is_told {
                return Ok(None);
            }
            // What somebody has cleaned away is written again, where it is known what it was.
            let lost = lost.filter(|_| lying.iter().any(|(_, place)| is_on(&asked, place)));
            DiskIds::read_or_give(&asked, lost)
        });
        let own = match here.await? {
            Ok(here) => here.and_then(|here| here.own()),
            Err(error) => {
                tracing::debug!(root = %root.display(), %error, "a disk has no identity, and gets none");
                None
            }
        };
        let Some(own) = own else {
            continue;
        };
        sets.retain(|(id, _)| !seen.was_seen_on(*id, own));
        // A few at a time: a slow disk is not taken for one that does not answer.
        for some in sets.chunks(SETS_AT_A_TIME) {
            let (asked, mut some) = (root.clone(), some.to_vec());
            let lie = environment.disk.ask(("look through", &root), move || {
                some.retain(|(_, place)| is_on(&asked, place));
                // Disks may be changed at any instant.
                let here = DiskIds::read(&asked).ok().flatten();
                (here.and_then(|here| here.own()) == Some(own)).then_some(some)
            });
            let (state, root) = (environment.state.clone(), root.clone());
            if let Some(some) = lie.await?.filter(|some| !some.is_empty()) {
                on_thread(environment, move || append(&state, &root, own, &some)).await?;
            }
        }
    }
    Ok(())
}

/// [`note`] of a set that was made in a place, or has arrived there. Where that cannot be noted the next retention pass does.
pub(crate) async fn note_made(context: &RunContext, (id, place): (BackupId, &Path)) {
    if let Err(error) = note(&context.environment, vec![(id, place.to_owned())]).await {
        context.say(format!("on which disk set {id} lies cannot be noted: {error}"));
    }
}

/// Whether a set lies there, and on the disk of its root: the folder of its day may be a link to another.
fn is_on(root: &Path, place: &Path) -> bool {
    let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
    is_folder(place) && place.parent().is_some_and(|day| day == root || is_folder(day))
}

fn append(
    state: &StateDir,
    root: &Path,
    disk: Uuid,
    sets: &[(BackupId, PathBuf)],
) -> Result<(), DaemonError> {
    let file = file_of(state, root);
    let _lock = lock(state)?;
    let lines: String = sets.iter().map(|(id, _)| format!("{id} {disk}\n")).collect();
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&file)
        // A line that was cut off is ended.
        .and_then(|mut open| {
            open.write_all(format!("\n{lines}").as_bytes())
                .and_then(|()| open.sync_all())
        })
        .map_err(|source| failed("write", &file, source))
}

/// Forgets sets that the catalog counts as deleted, or does not know.
///
/// # Errors
/// `state_dir` does not take it.
pub(crate) async fn forget(
    environment: &Environment,
    root: PathBuf,
    over: BTreeSet<BackupId>,
) -> Result<(), DaemonError> {
    let state = environment.state.clone();
    let is_over = move |(id, _): (BackupId, Uuid)| over.contains(&id);
    on_thread(environment, move || take_out(&state, &root, is_over)).await
}

/// The disks that a set was seen on below the root of a place, of those that are not there; none for one that was seen nowhere.
///
/// # Errors
/// The notes cannot be read; the file system does not answer in time.
pub(crate) async fn out_of_reach(
    environment: &Environment,
    id: BackupId,
    place: &Path,
) -> Result<BTreeSet<Uuid>, DaemonError> {
    let Some(root) = root_of(place) else {
        return Ok(BTreeSet::new());
    };
    let seen = SeenOn::at(&environment.state, root)?;
    if !seen.disks_of.contains_key(&id) {
        return Ok(BTreeSet::new());
    }
    let here = disk_at(environment, root).await?;
    Ok(seen.elsewhere(id, here.as_ref()))
}

/// Forgets that a set lay on the disk that is there.
///
/// # Errors
/// The file system does not answer in time; `state_dir` does not take it.
pub(crate) async fn forget_here(
    environment: &Environment,
    id: BackupId,
    place: &Path,
) -> Result<(), DaemonError> {
    let Some(root) = root_of(place).map(Path::to_owned) else {
        return Ok(());
    };
    let Some(here) = disk_at(environment, &root).await? else {
        return Ok(());
    };
    // Of one that was seen on no other a pass forgets all once it is deleted.
    if SeenOn::at(&environment.state, &root)?
        .elsewhere(id, Some(&here))
        .is_empty()
    {
        return Ok(());
    }
    let state = environment.state.clone();
    let is_here = move |(set, disk): (BackupId, Uuid)| set == id && here.stands_for(disk);
    on_thread(environment, move || take_out(&state, &root, is_here)).await
}

/// One that cannot be read does not tell which disk it is on.
async fn disk_at(environment: &Environment, root: &Path) -> Result<Option<DiskIds>, DaemonError> {
    let asked = root.to_owned();
    let read = environment.disk.ask(("look at", root), move || {
        DiskIds::read(&asked).unwrap_or_default()
    });
    Ok(read.await?)
}

/// For what waits for a lock.
async fn on_thread(
    environment: &Environment,
    act: impl FnOnce() -> Result<(), DaemonError> + Send + 'static,
) -> Result<(), DaemonError> {
    let acted = tokio::task::spawn_blocking(act).await;
    acted.map_err(|error| failed("write", environment.state.root(), io::Error::other(error)))?
}

fn take_out(
    state: &StateDir,
    root: &Path,
    is_over: impl Fn((BackupId, Uuid)) -> bool,
) -> Result<(), DaemonError> {
    let file = file_of(state, root);
    let fail = |source| failed("write", &file, source);
    let _lock = lock(state)?;
    let text = std::fs::read(&file).map_err(fail)?;
    let text = String::from_utf8_lossy(&text);
    let kept = text
        .lines()
        .filter(|line| parse(line).is_some_and(|seen| !is_over(seen)));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    let beside = state.root().join("seen-on.new");
    let mut options = OpenOptions::new();
    let mut open = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(fail)?;
    open.write_all(kept.as_bytes())
        .and_then(|()| open.sync_all())
        .map_err(fail)?;
    std::fs::rename(&beside, &file).map_err(fail)
}

/// Waits for those who write at the same time, on a thread that may.
fn lock(state: &StateDir) -> Result<HeldLock, DaemonError> {
    let folder = state.root().join("seen-on");
    std::fs::create_dir_all(&folder).map_err(|source| failed("create", &folder, source))?;
    let began = Instant::now();
    loop {
        match state.lock_permit("seen-on", 0)? {
            LockAttempt::Held(lock) => return Ok(lock),
            LockAttempt::Busy(_) if began.elapsed() < LOCKED_WITHIN => std::thread::sleep(ASKED_EVERY),
            LockAttempt::Busy(_) => {
                return Err(failed("lock", &folder, ErrorKind::TimedOut.into()));
            }
        }
    }
}

/// Whether a set that is not in a place may lie on a disk that is not there. What cannot be told may.
pub(crate) async fn is_elsewhere(environment: &Environment, id: BackupId, place: &Path) -> bool {
    let Some(root) = root_of(place) else {
        return false;
    };
    let (state, asked) = (environment.state.clone(), root.to_owned());
    let found = environment.disk.ask(("look at", root), move || {
        let here = DiskIds::read(&asked).unwrap_or_default();
        SeenOn::at(&state, &asked).is_ok_and(|seen| !seen.may_be_elsewhere(id, here.as_ref()))
    });
    !found.await.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(root: &Path) -> (DiskIds, Uuid) {
        let ids = DiskIds::read_or_give(root, None).unwrap().unwrap();
        let own = ids.own().unwrap();
        (ids, own)
    }

    #[test]
    fn a_set_is_gone_only_while_every_disk_that_it_was_seen_on_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        let (a, b, root) = (dir.path().join("a"), dir.path().join("b"), Path::new("/vault"));
        for disk in [&a, &b] {
            std::fs::create_dir(disk).unwrap();
        }
        let ((a, id_a), (b, id_b)) = (ids(&a), ids(&b));
        let (on_a, on_both, unknown) = (BackupId::generate(), BackupId::generate(), BackupId::generate());
        let seen = || SeenOn::at(&state, root).unwrap();
        assert!(!seen().may_be_elsewhere(unknown, Some(&a)) && !seen().may_be_elsewhere(unknown, None));
        let place = PathBuf::new();
        append(
            &state,
            root,
            id_a,
            &[(on_a, place.clone()), (on_both, place.clone())],
        )
        .unwrap();
        assert!(seen().is_of(on_a, Some(&a)) && !seen().is_of(unknown, Some(&a)));
        assert!(!seen().may_be_elsewhere(unknown, Some(&a)), "there is no other");
        append(&state, root, id_b, &[(on_both, place)]).unwrap();
        assert_eq!(seen().elsewhere(on_a, Some(&b)), BTreeSet::from([id_a]));
        assert_eq!(seen().elsewhere(on_both, Some(&b)), BTreeSet::from([id_a]));
        assert!(seen().may_be_elsewhere(on_both, Some(&a)));
        assert!(seen().may_be_elsewhere(unknown, Some(&a)));
        assert!(
            seen().may_be_elsewhere(on_a, None),
            "what is there has no identity"
        );
        assert!(SeenOn::at(&state, Path::new("/other")).unwrap().disks.is_empty());
        take_out(&state, root, |(id, _)| id == on_both).unwrap();
        assert_eq!(seen().sets().collect::<Vec<_>>(), [on_a]);
        assert!(
            !seen().may_be_elsewhere(unknown, Some(&a)),
            "no set is left on the other"
        );
    }
}
