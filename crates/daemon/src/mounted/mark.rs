//! Marks beside sets that were made where those before them were missed: the root is not that of the right disk as long as
//! one lies there.
//!
//! Several may miss sets in one folder, each by its own catalog: each puts a mark of its own, and takes back that alone. That
//! of another goes when the sets that it names are there again.

use super::MOST_ASKED;
use crate::disk_id::DiskIds;
use crate::state_dir::{StateDir, checksum};
use mykeeper_config::Settings;
use mykeeper_domain::BackupId;
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

/// How the names of marks begin. One of that name alone is of an older version, and says not whose it is.
const MISSED: &str = ".mykeeper-unmounted";
/// More is not read of one.
const MOST_BYTES: u64 = 64 * 1024;

/// Who marks: one catalog, asked by one node out of one `state_dir`.
#[derive(Clone, Debug)]
pub(crate) struct Marker {
    name: String,
    /// For people.
    who: String,
}

impl Marker {
    /// Asks `state_dir` for its identity, on a thread that may wait for it.
    ///
    /// # Errors
    /// It has none, and takes none.
    pub(crate) fn of(settings: &Settings, state: &StateDir) -> io::Result<Self> {
        let own = DiskIds::read_or_give(state.root(), None)?.and_then(|ids| ids.own());
        let own = own.ok_or_else(|| io::Error::other("state_dir has no identity"))?;
        let who = format!("node {} with catalog {}", settings.node, settings.catalog.url);
        let name = format!("{MISSED}.{:016x}", checksum(&format!("{own} {who}")));
        Ok(Self { name, who })
    }
}

/// The marks of a root.
pub(super) fn marks(root: &Path) -> Vec<PathBuf> {
    let entries = root.read_dir().into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(MISSED));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

/// Whether anybody has missed sets in a root.
pub(crate) fn is_marked(root: &Path) -> bool {
    !marks(root).is_empty()
}

/// Puts the mark, which names the first of the missed sets. False where there is no folder to put it in: that is told by
/// whoever is to work there.
///
/// # Errors
/// It cannot be written.
pub(super) fn put(root: &Path, marker: &Marker, missed: &[PathBuf]) -> io::Result<bool> {
    let lines = missed.iter().take(MOST_ASKED).filter_map(|place| place.to_str());
    let lines: String = lines.flat_map(|line| [line, "\n"]).collect();
    let text = format!(
        "The sets that should lie here were not there when {} made others here: was the disk mounted?\n{lines}",
        marker.who
    );
    match std::fs::write(root.join(&marker.name), text) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        written => written.map(|()| true),
    }
}

/// Takes back what `marker` has put, and what has nothing to miss any more. Gives whether another mark stays.
pub(super) fn take_back(root: &Path, marker: &Marker) -> bool {
    let mut is_left = false;
    for mark in marks(root) {
        let name = mark.file_name().and_then(|name| name.to_str());
        let goes = name == Some(marker.name.as_str()) || name == Some(MISSED) || are_back(root, &mark);
        // One that cannot be removed is told of as long as it lies there.
        is_left |= !goes || std::fs::remove_file(&mark).is_err();
    }
    is_left
}

/// Whether a mark names sets, and all of them are there.
fn are_back(root: &Path, mark: &Path) -> bool {
    let mut text = String::new();
    let read = std::fs::File::open(mark).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text));
    let mut named = text.lines().filter_map(place).peekable();
    read.is_ok() && named.peek().is_some() && named.all(|place| root.join(place).is_dir())
}

/// `2026-11-22/<bk_id>`, or the set's name alone.
fn place(line: &str) -> Option<&Path> {
    let place = Path::new(line);
    place.file_name()?.to_str()?.parse::<BackupId>().ok()?;
    let is_below = place
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    is_below.then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(who: &str) -> Marker {
        Marker {
            name: format!("{MISSED}.{who}"),
            who: who.to_owned(),
        }
    }

    #[test]
    fn a_mark_is_taken_back_by_whoever_put_it_or_when_what_it_names_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let (one, other) = (marker("one"), marker("other"));
        let missed = PathBuf::from(format!("2026-11-22/{}", BackupId::generate()));
        assert!(!put(&root.join("not-there"), &one, &[]).unwrap());
        assert!(put(root, &one, std::slice::from_ref(&missed)).unwrap() && is_marked(root));
        assert!(
            take_back(root, &other),
            "it has nothing to miss there, and put no mark"
        );
        assert!(is_marked(root));
        std::fs::create_dir_all(root.join(&missed)).unwrap();
        assert!(!take_back(root, &other) && !is_marked(root));
        // One that names no set is its own to take back, and one of an older version anybody's.
        put(root, &one, &[]).unwrap();
        std::fs::write(root.join(MISSED), "").unwrap();
        assert!(take_back(root, &other));
        assert_eq!(marks(root), [root.join(&one.name)]);
        assert!(!take_back(root, &one) && !is_marked(root));
    }

    #[test]
    fn a_mark_names_no_place_above_its_root() {
        let id = BackupId::generate();
        for (line, is_one) in [
            (format!("2026-11-22/{id}"), true),
            (id.to_string(), true),
            (format!("/etc/{id}"), false),
            (format!("../{id}"), false),
            ("The sets that should lie here".to_owned(), false),
        ] {
            assert_eq!(place(&line).is_some(), is_one, "{line}");
        }
    }
}
