//! Files that were finished with rows and are not there when the dump has ended. Pure.
//!
//! mydumper takes back files without a row, and 0.10 renames the first of a table. Nothing else goes from a set's folder by
//! its hand: a clean-up job, a person or the disk has taken what is missing, and the rows with it.

use crate::digest::{Compression, Stamp};
use crate::pipeline::Handled;
use mykeeper_domain::counted;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Files that are named.
const MAX_NAMED: usize = 20;

/// What was read of files with rows, by the name that they were left under: an inode is soon another file's.
#[derive(Debug, Default)]
pub(super) struct WithRows(BTreeMap<String, (Stamp, u64)>);

impl WithRows {
    /// A file has been read, and packed where it was to be.
    pub(super) fn note(&mut self, handled: &Handled) {
        let digest = &handled.digest;
        if digest.rows > 0 && digest.fault.is_none() {
            self.0.insert(handled.name.clone(), (digest.stamp, digest.rows));
        }
    }

    /// A sentence for each file that is in `listed` neither by its name, compressed or not, nor as it was read under
    /// another name of the same table.
    pub(super) fn missing(&self, listed: &[(String, Stamp)]) -> Vec<String> {
        let names: HashSet<&str> = listed.iter().map(|(name, _)| Compression::strip(name)).collect();
        let stamps: HashMap<Stamp, &str> = listed
            .iter()
            .map(|(name, stamp)| (*stamp, name.as_str()))
            .collect();
        let is_there = |name: &str, stamp: &Stamp| {
            names.contains(Compression::strip(name))
                || stamps.get(stamp).is_some_and(|now| stem(now) == stem(name))
        };
        let mut missing = self
            .0
            .iter()
            .filter(|(name, (stamp, _))| !is_there(name, stamp))
            .map(|(name, (_, rows))| {
                format!(
                    "{name} was finished with {} and is not there any more: neither mydumper nor mykeeper removes such a \
                     file; look for what clears this folder",
                    counted(*rows, "row", "rows")
                )
            });
        let mut said: Vec<String> = missing.by_ref().take(MAX_NAMED).collect();
        match missing.count() {
            0 => {}
            more => said.push(format!(
                "and {} of rows that are not there any more",
                counted(more, "more file", "more files")
            )),
        }
        said
    }
}

/// The name of a data file without the numbers and the endings behind its table's.
fn stem(name: &str) -> &str {
    let plain = Compression::strip(name);
    let mut stem = plain.strip_suffix(".sql").unwrap_or(plain);
    while let Some((shorter, number)) = stem.rsplit_once('.')
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
    {
        stem = shorter;
    }
    stem
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::FileDigest;

    fn stamp(inode: u64) -> Stamp {
        Stamp {
            inode: (1, inode),
            size_bytes: 9,
            modified: (inode.cast_signed(), 0),
        }
    }

    fn read(with_rows: &mut WithRows, name: &str, inode: u64, rows: u64) {
        let digest = FileDigest {
            stamp: stamp(inode),
            blake3: String::new(),
            content: None,
            plain_bytes: 9,
            rows,
            headless: false,
            fault: None,
            text: None,
        };
        with_rows.note(&Handled::new(name.to_owned(), digest));
    }

    fn missing(read_files: &[(&str, u64, u64)], listed: &[(&str, u64)]) -> Vec<String> {
        let mut with_rows = WithRows::default();
        for (name, inode, rows) in read_files {
            read(&mut with_rows, name, *inode, *rows);
        }
        let listed: Vec<(String, Stamp)> = listed
            .iter()
            .map(|(name, inode)| ((*name).to_owned(), stamp(*inode)))
            .collect();
        let said = with_rows.missing(&listed);
        said.iter()
            .map(|text| text.split(" and is not").next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn what_was_taken_away_is_told_from_what_mydumper_renames_and_takes_back() {
        let lost = ["a.t.00002.sql.gz was finished with 7 rows"];
        let three = [
            ("a.t.00001.sql.gz", 1, 9),
            ("a.t.00002.sql.gz", 2, 7),
            ("a.t.00003.sql.gz", 3, 1),
        ];
        let two = [("a.t.00001.sql.gz", 1), ("a.t.00003.sql.gz", 3)];
        assert_eq!(missing(&three, &two), lost);
        // Its inode was given to the next file that was written.
        let reused = [two[0], two[1], ("a.t.00004.sql.gz", 2)];
        let other = [reused[0], reused[1], ("a.u.sql.gz", 2)];
        assert_eq!(missing(&three, &other), lost);
        // Without a row: of an empty table.
        assert_eq!(missing(&[("a.e.sql", 4, 0)], &[]), [""; 0]);
        // Renamed, as it was; and compressed by mydumper after it was read.
        assert_eq!(missing(&[("a.t.00001.sql", 5, 2)], &[("a.t.sql", 5)]), [""; 0]);
        assert_eq!(missing(&[("a.t.sql", 6, 2)], &[("a.t.sql.gz", 7)]), [""; 0]);
        // Renamed by another hand: it is no file of its table any more.
        let moved = missing(&[("a.t.00002.sql", 8, 2)], &[("a.t.00002.old", 8)]);
        assert_eq!(moved, ["a.t.00002.sql was finished with 2 rows"]);
    }

    #[test]
    fn of_many_some_are_named() {
        let mut with_rows = WithRows::default();
        for number in 0..30 {
            read(&mut with_rows, &format!("a.t.{number:05}.sql"), number, 1);
        }
        let said = with_rows.missing(&[]);
        assert_eq!(said.len(), MAX_NAMED + 1);
        assert_eq!(
            said[MAX_NAMED],
            "and 10 more files of rows that are not there any more"
        );
    }
}
