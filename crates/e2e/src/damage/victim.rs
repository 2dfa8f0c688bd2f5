//! What can be done to a copy of a set.

use super::sets::{Set, gzip, packed, replace, unpacked};
use crate::faults::Dice;
use mykeeper_domain::manifest::FileEntry;
use std::cell::Cell;
use std::path::PathBuf;

/// A file of a set: its database, and its name without what packing adds.
pub(super) type Name = (&'static str, &'static str);

/// A copy that is being damaged.
pub(super) struct Victim<'a> {
    pub(super) set: Set,
    /// What the catalog knows of its files.
    pub(super) known: Vec<FileEntry>,
    /// Whether whoever did the damage would write the manifest anew; if not, `known` stays as it is.
    pub(super) rewritten: bool,
    pub(super) dice: Dice,
    pub(super) older: Option<&'a Set>,
    /// The database that was damaged last.
    pub(super) database: Cell<&'static str>,
}

impl Victim<'_> {
    pub(super) fn path(&self, (database, name): Name) -> PathBuf {
        if !database.is_empty() {
            self.database.set(database);
        }
        self.set.path(database, name)
    }

    /// As it is in the manifest.
    pub(super) fn listed(&self, name: Name) -> String {
        let path = self.path(name);
        let path = path.strip_prefix(&self.set.dir).expect("a file of the set");
        path.to_string_lossy().into_owned()
    }

    fn bytes(&self, name: Name) -> Vec<u8> {
        let path = self.path(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
    }

    /// One bit, anywhere.
    pub(super) fn flip(&mut self, name: Name) {
        let mut bytes = self.bytes(name);
        let at = self.dice.below(bytes.len());
        bytes[at] ^= 1 << self.dice.below(8);
        replace(&self.path(name), &bytes);
    }

    /// Its end gone: `keep` says how many bytes stay of so many.
    pub(super) fn cut(&mut self, name: Name, keep: fn(usize) -> usize) {
        let bytes = self.bytes(name);
        replace(&self.path(name), &bytes[..keep(bytes.len())]);
    }

    /// Cut behind the first of these bytes.
    pub(super) fn cut_behind(&mut self, name: Name, mark: &str) {
        let plain = unpacked(&self.path(name));
        let end = find(&plain, mark.as_bytes()) + mark.len();
        self.write(name, &plain[..end]);
    }

    /// Cut at the end of the first of two gzip members, which is the end of a row's line.
    pub(super) fn cut_at_member(&mut self, name: Name, mark: &str) {
        let plain = unpacked(&self.path(name));
        let end = find(&plain, mark.as_bytes()) + mark.len();
        replace(&self.path(name), &gzip(&plain[..end]));
    }

    /// The same, in two gzip members.
    pub(super) fn in_two_members(&mut self, name: Name) {
        let plain = unpacked(&self.path(name));
        let (one, two) = plain.split_at(plain.len() / 2);
        replace(&self.path(name), &[gzip(one), gzip(two)].concat());
    }

    pub(super) fn remove(&mut self, name: Name) {
        let path = self.path(name);
        std::fs::remove_file(&path)
            .unwrap_or_else(|error| panic!("cannot remove {}: {error}", path.display()));
    }

    pub(super) fn empty(&mut self, name: Name) {
        assert!(!self.bytes(name).is_empty(), "{name:?} is empty as it is");
        replace(&self.path(name), b"");
    }

    pub(super) fn swap(&mut self, one: Name, other: Name) {
        let (first, second) = (self.bytes(one), self.bytes(other));
        assert_ne!(first, second, "{one:?} and {other:?} are the same");
        replace(&self.path(one), &second);
        replace(&self.path(other), &first);
    }

    /// In the place of the same file of the older set.
    pub(super) fn take_older(&mut self, name: Name) {
        let older = self.older.expect("the older set was made").path(name.0, name.1);
        let bytes = packed(&self.path(name), &unpacked(&older));
        assert_ne!(bytes, self.bytes(name), "{name:?} was the same before");
        replace(&self.path(name), &bytes);
    }

    /// What is within it, changed; packed again as it was.
    pub(super) fn change(&mut self, name: Name, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let plain = unpacked(&self.path(name));
        let changed = change(plain.clone());
        assert_ne!(changed, plain, "nothing is changed in {name:?}");
        self.write(name, &changed);
    }

    /// The first of these bytes.
    pub(super) fn put(&mut self, name: Name, from: &str, to: &str) {
        self.change(name, |plain| {
            let at = find(&plain, from.as_bytes());
            [&plain[..at], to.as_bytes(), &plain[at + from.len()..]].concat()
        });
    }

    /// All that stands from the first of one mark to just before the next of the other.
    pub(super) fn drop_between(&mut self, name: Name, from: &str, to: &str) {
        self.change(name, |plain| {
            let begin = find(&plain, from.as_bytes());
            let end = begin + find(&plain[begin..], to.as_bytes());
            [&plain[..begin], &plain[end..]].concat()
        });
    }

    /// The line that begins so; `copies` of it stay.
    pub(super) fn line(&mut self, name: Name, begin: &str, copies: usize) {
        self.change(name, |plain| {
            let at = find(&plain, format!("\n{begin}").as_bytes()) + 1;
            let end = at + find(&plain[at..], b"\n") + 1;
            [&plain[..at], &plain[at..end].repeat(copies), &plain[end..]].concat()
        });
    }

    /// A statement behind all others.
    pub(super) fn append(&mut self, name: Name, statement: &str) {
        self.change(name, |plain| [&plain[..], statement.as_bytes()].concat());
    }

    /// A file that was not there.
    pub(super) fn append_file(&mut self, name: Name, plain: &str) {
        assert!(!self.path(name).exists(), "{name:?} is there already");
        self.write(name, plain.as_bytes());
    }

    /// Its entry is gone from the manifest, which stays as it is otherwise.
    pub(super) fn unlist(&mut self, name: Name) {
        let path = self.listed(name);
        let before = self.known.len();
        self.known.retain(|entry| entry.path != path);
        assert!(self.known.len() < before, "{path} is not in the manifest");
        self.rewritten = false;
    }

    fn write(&self, name: Name, plain: &[u8]) {
        let path = self.path(name);
        replace(&path, &packed(&path, plain));
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> usize {
    bytes
        .windows(mark.len())
        .position(|window| window == mark)
        .unwrap_or_else(|| panic!("there is no {:?} to be damaged", String::from_utf8_lossy(mark)))
}
