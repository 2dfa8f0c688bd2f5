//! Keys that are made once the rows of their table are there.
//!
//! InnoDB sorts the entries of a key that is added, and fills its pages from first to last; of a key that is there from
//! the beginning each row looks for its place. Of a table of 200 MB with two such keys the whole load took a quarter less of
//! the server's time. So myloader is given large tables without them, and they are added in the words in which they are
//! written.
//!
//! Only keys that refuse no row wait, of tables that are written as a server writes them and have nothing that needs the
//! key before: no foreign key from or to them, no other kind of key whose place among them would be another. Whatever
//! comes of it is compared like all else, and a database that differs is loaded once more as it is written.

use super::ProveRequest;
use super::expect::each_statement;
use super::layout::{DatabaseFiles, Layout, SetFile};
use crate::blocking::{READ_WITHIN, off_thread};
use crate::error::ToolError;
use crate::room::room_of_server;
use mykeeper_domain::space::{index_bytes, load_need};
use mykeeper_supervise::Activity;
use regex::bytes::Regex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Of a table with fewer bytes of rows the keys are made with it.
const LEAST_BYTES: u64 = 4 << 20;
/// The head of what `SHOW CREATE TABLE` prints, with the table's name in its backticks.
const HEAD: &str = r"^\s*CREATE TABLE (?:IF NOT EXISTS )?(`(?:[^`]|``)+`) \($";
/// A key of columns, or of their first characters, and no more.
const PLAIN_KEY: &str =
    r"^  KEY `(?-u:(?:[^`]|``)+)` \((?-u:`(?:[^`]|``)+`(?:\(\d+\))?(?: ASC| DESC)?,?)+\)(?: USING BTREE)?$";
/// What a foreign key refers to.
const REFERENCES: &str = r"REFERENCES (?-u:`(?:[^`]|``)+`\.)?`((?-u:(?:[^`]|``)+))`";
/// Where any of it stands, if only in a comment, the table is loaded as it is written. They need a key before the rows, or
/// keep one between the others, or cannot be altered as any table can.
const LEFT_ALONE: [&[u8]; 8] = [
    b"FOREIGN KEY",
    b"FULLTEXT",
    b"SPATIAL",
    b"VECTOR",
    b" AS (",
    b"SYSTEM VERSIONING",
    b"PERIOD FOR",
    b"WITHOUT OVERLAPS",
];
const ENGINE: &[u8] = b") ENGINE=InnoDB ";

/// What waits of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LateKeys {
    /// Its file of the definition, without them.
    bare: Vec<u8>,
    /// The statement that adds them.
    pub(super) add: Vec<u8>,
}

/// The tables of a set of which keys wait.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// Database to tables, as the names of files have them.
    databases: BTreeMap<String, BTreeMap<String, LateKeys>>,
}

impl Late {
    /// Looks through the definitions of a set's tables, where one has so many rows that it is worth it.
    ///
    /// # Errors
    /// A file cannot be read, or the run was ended.
    pub(super) async fn find(
        set_dir: &Path,
        layout: &Layout,
        cancel: &CancellationToken,
    ) -> Result<Self, ToolError> {
        let large: BTreeMap<String, BTreeSet<String>> = layout
            .databases
            .iter()
            .map(|(database, files)| (database.clone(), large_tables(files)))
            .collect();
        if large.values().all(BTreeSet::is_empty) {
            return Ok(Self::default());
        }
        let layout = layout.clone();
        off_thread(("read", set_dir), READ_WITHIN, cancel, move || {
            let patterns = Patterns::new()?;
            let mut found = Self::default();
            let mut referred = BTreeSet::new();
            for (database, files) in &layout.databases {
                for (table, file) in &files.schemas {
                    let mut statements = Vec::new();
                    each_statement(file, &mut |statement| {
                        patterns.note_referred(statement, &mut referred);
                        statements.push(statement.to_vec());
                    })?;
                    let is_large = large.get(database).is_some_and(|tables| tables.contains(table));
                    if let Some(late) = patterns.part(&statements).filter(|_| is_large) {
                        let tables = found.databases.entry(database.clone()).or_default();
                        tables.insert(table.clone(), late);
                    }
                }
            }
            // By their names alone: one too many is loaded as it is written.
            for tables in found.databases.values_mut() {
                tables.retain(|table, _| !referred.contains(&table.to_lowercase()));
            }
            Ok(found)
        })
        .await
    }

    /// What waits of these files' tables, by table.
    pub(super) fn of<'l>(&'l self, database: &str, files: &DatabaseFiles) -> BTreeMap<&'l str, &'l LateKeys> {
        let of_database = self.databases.get(database).into_iter().flatten();
        of_database
            .filter(|(table, _)| files.schemas.iter().any(|(name, _)| name == *table))
            .map(|(table, late)| (table.as_str(), late))
            .collect()
    }
}

impl LateKeys {
    /// Writes the definition without them into `folder`, an own one, and yields the file to be loaded in the place of `file`.
    ///
    /// # Errors
    /// The disk does not take it.
    pub(super) fn stage(
        &self,
        folder: &Path,
        (number, file): (usize, &SetFile),
    ) -> Result<SetFile, ToolError> {
        let name = format!("{number}-schema.sql");
        let real = folder.join(&name);
        std::fs::write(&real, &self.bare).map_err(|source| ToolError::Io {
            action: "write",
            path: real.clone(),
            source,
        })?;
        Ok(SetFile {
            path: name,
            real,
            ..file.clone()
        })
    }
}

/// Whether there is room for the server to sort the entries of keys in, beside all that the load itself needs. Where there is
/// not, they are made with their tables, which takes longer and no more room.
pub(super) async fn has_room_to_sort(request: &ProveRequest<'_>, layout: &Layout) -> bool {
    let volume = request
        .evidence
        .and_then(|evidence| evidence.inventory.volume(evidence.inventory.databases.keys()));
    let plain_bytes = layout.databases.values().map(DatabaseFiles::plain_bytes).sum();
    let need = load_need(plain_bytes, volume.as_ref(), true).bytes;
    let sorted = index_bytes(plain_bytes, volume.as_ref());
    let room = room_of_server(&request.sandbox.directory).await;
    room.is_ok_and(|room| room.free_bytes >= need.saturating_add(sorted))
}

/// Ends, with what is to be said, once nothing has shown life for so long; never where there is no limit.
pub(super) async fn no_life(activity: &Activity, limit: Option<Duration>) -> ToolError {
    let Some(limit) = limit else {
        return std::future::pending().await;
    };
    loop {
        let left = limit.saturating_sub(activity.idle_for());
        if left.is_zero() {
            return ToolError::Stalled {
                program: "the throwaway server, which adds keys,".to_owned(),
                after: limit,
            };
        }
        tokio::time::sleep(left).await;
    }
}

fn large_tables(files: &DatabaseFiles) -> BTreeSet<String> {
    let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
    for (table, file) in &files.data {
        *bytes.entry(table).or_default() += file.plain_bytes;
    }
    let large = bytes.into_iter().filter(|(_, bytes)| *bytes >= LEAST_BYTES);
    large.map(|(table, _)| table.to_owned()).collect()
}

struct Patterns {
    head: Regex,
    plain: Regex,
    references: Regex,
}

impl Patterns {
    fn new() -> Result<Self, ToolError> {
        let pattern = |text| {
            Regex::new(text).map_err(|error| ToolError::Failed {
                message: format!("cannot read dumps: {error}"),
                passing: false,
            })
        };
        Ok(Self {
            head: pattern(HEAD)?,
            plain: pattern(PLAIN_KEY)?,
            references: pattern(REFERENCES)?,
        })
    }

    fn note_referred(&self, statement: &[u8], referred: &mut BTreeSet<String>) {
        for found in self.references.captures_iter(statement) {
            let name = String::from_utf8_lossy(&found[1]).replace("``", "`");
            referred.insert(name.to_lowercase());
        }
    }

    /// The statements of a table's file; `None` where nothing of it waits.
    fn part(&self, statements: &[Vec<u8>]) -> Option<LateKeys> {
        let mut add = None;
        let mut bare = Vec::new();
        for statement in statements {
            match self.without_keys(statement) {
                Some((table, keys)) if add.is_none() => {
                    bare.extend_from_slice(&table);
                    add = Some(keys);
                }
                Some(_) => return None,
                None => bare.extend_from_slice(statement),
            }
            bare.extend_from_slice(b";\n");
        }
        add.map(|add| LateKeys { bare, add })
    }

    /// A table's definition without its keys, and the statement that adds these. `None` where none of them may wait.
    fn without_keys(&self, statement: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let has = |words: &[u8]| memchr::memmem::find(statement, words).is_some();
        // Its names are given to the server as UTF-8.
        if LEFT_ALONE.iter().any(|words| has(words)) || std::str::from_utf8(statement).is_err() {
            return None;
        }
        let start = statement.len() - statement.trim_ascii_start().len();
        let mut lines = statement[start..].split(|byte| *byte == b'\n');
        let head = lines.next()?;
        let table = self.head.captures(head)?.get(1)?.as_bytes();
        let mut kept: Vec<&[u8]> = Vec::new();
        let mut keys: Vec<&[u8]> = Vec::new();
        let end = loop {
            let line = lines.next()?;
            if line.starts_with(b")") {
                break line;
            }
            let (item, goes_on) = match line.strip_suffix(b",") {
                Some(item) => (item, true),
                None => (line, false),
            };
            match item.starts_with(b"  KEY ") {
                true if self.plain.is_match(item) => keys.push(item.trim_ascii_start()),
                // One that stays would stand before those that come after it.
                true => return None,
                false => kept.push(item),
            }
            if !goes_on {
                break lines.next().filter(|line| line.starts_with(b")"))?;
            }
        };
        if keys.is_empty() || !end.starts_with(ENGINE) || !counts_by_itself(&kept) {
            return None;
        }
        let mut bare = [head, b"\n", &kept.join(&b",\n"[..]), b"\n", end].concat();
        for line in lines {
            bare.push(b'\n');
            bare.extend_from_slice(line);
        }
        let added: Vec<Vec<u8>> = keys.iter().map(|key| [b"ADD ", *key].concat()).collect();
        let add = [b"ALTER TABLE ", table, b" ", &added.join(&b", "[..])].concat();
        Some((bare, add))
    }
}

/// Whether a column that counts, if there is one, comes first in a key that stays.
fn counts_by_itself(kept: &[&[u8]]) -> bool {
    let counting = kept
        .iter()
        .find(|line| line.starts_with(b"  `") && memchr::memmem::find(line, b"AUTO_INCREMENT").is_some());
    let Some(column) = counting.and_then(|line| line.get(2..)) else {
        return counting.is_none();
    };
    let Some(end) = memchr::memmem::find(column, b"` ") else {
        return false;
    };
    let first = [b"(", &column[..=end]].concat();
    kept.iter().any(|line| {
        let is_key = line.starts_with(b"  PRIMARY KEY ") || line.starts_with(b"  UNIQUE KEY ");
        let columns = line.iter().position(|byte| *byte == b'(');
        is_key && columns.is_some_and(|at| line[at..].starts_with(&first))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &str = "CREATE TABLE `or``ders` (\n  `id` bigint(20) NOT NULL AUTO_INCREMENT,\n  `a` varchar(9) DEFAULT \
                          'KEY `a` (`a`),',\n  `b` int(11),\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`b`,`id`),\n  \
                          KEY `a` (`a`(3),`b` DESC),\n  KEY `b,` (`b`) USING BTREE\n) ENGINE=InnoDB DEFAULT \
                          CHARSET=utf8mb4\n/*!50100 PARTITION BY KEY (id) */";

    fn parted(statement: &str) -> Option<(String, String)> {
        let parted = Patterns::new().unwrap().without_keys(statement.as_bytes());
        parted.map(|(bare, add)| (String::from_utf8(bare).unwrap(), String::from_utf8(add).unwrap()))
    }

    #[tokio::test]
    async fn keys_that_nothing_is_done_for_are_given_up_and_others_are_not() {
        let soon = Duration::from_millis(40);
        let activity = Activity::new();
        let error = no_life(&activity, Some(soon)).await;
        assert!(
            matches!(error, ToolError::Stalled { after, .. } if after == soon),
            "{error}"
        );
        let working = async {
            for _ in 0..40 {
                activity.touch();
                tokio::time::sleep(soon / 20).await;
            }
        };
        activity.touch();
        tokio::select! {
            error = no_life(&activity, Some(Duration::from_secs(20))) => panic!("{error}"),
            () = working => {}
        }
        let never = tokio::time::timeout(soon, no_life(&activity, None));
        assert!(never.await.is_err());
    }

    #[test]
    fn keys_that_refuse_no_row_wait_in_their_order() {
        let (bare, add) = parted(ORDERS).unwrap();
        assert_eq!(
            bare,
            "CREATE TABLE `or``ders` (\n  `id` bigint(20) NOT NULL AUTO_INCREMENT,\n  `a` varchar(9) DEFAULT 'KEY `a` \
             (`a`),',\n  `b` int(11),\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `u` (`b`,`id`)\n) ENGINE=InnoDB DEFAULT \
             CHARSET=utf8mb4\n/*!50100 PARTITION BY KEY (id) */"
        );
        assert_eq!(
            add,
            "ALTER TABLE `or``ders` ADD KEY `a` (`a`(3),`b` DESC), ADD KEY `b,` (`b`) USING BTREE"
        );
    }

    #[test]
    fn a_table_that_needs_its_keys_keeps_them() {
        for (from, to) in [
            // Nothing is gained.
            ("  KEY ", "  UNIQUE KEY "),
            ("ENGINE=InnoDB", "ENGINE=Aria"),
            // The key on which the numbers of its rows stand.
            ("PRIMARY KEY (`id`)", "PRIMARY KEY (`b`,`id`)"),
            // One that is more than its columns would stay, and stand in another place.
            ("KEY `a` (`a`(3),`b` DESC)", "KEY `a` ((lower(`a`)))"),
            ("USING BTREE", "COMMENT 'x'"),
            (
                "  KEY `a`",
                "  CONSTRAINT `f` FOREIGN KEY (`b`) REFERENCES `t` (`id`),\n  KEY `a`",
            ),
            ("  KEY `a`", "  FULLTEXT KEY `f` (`a`),\n  KEY `a`"),
            ("`b` int(11)", "`b` int(11) AS (`id` + 1)"),
            ("CHARSET=utf8mb4", "CHARSET=utf8mb4 WITH SYSTEM VERSIONING"),
            (",\n  KEY `b,`", "\n  KEY `b,`"),
            ("\n) ENGINE", " ENGINE"),
            ("CREATE TABLE", "CREATE VIEW"),
        ] {
            let changed = ORDERS.replace(from, to);
            assert_ne!(changed, ORDERS, "{from}");
            assert_eq!(parted(&changed), None, "{from} -> {to}");
        }
    }

    #[test]
    fn what_else_a_file_says_is_kept_and_so_is_what_others_refer_to() {
        let patterns = Patterns::new().unwrap();
        let statements = [b"/*!40101 SET NAMES binary*/".to_vec(), ORDERS.into()];
        let late = patterns.part(&statements).unwrap();
        assert!(
            late.bare
                .starts_with(b"/*!40101 SET NAMES binary*/;\nCREATE TABLE")
        );
        assert!(late.bare.ends_with(b"*/;\n"));
        assert_eq!(patterns.part(&statements[..1]), None);
        assert_eq!(patterns.part(&[ORDERS.into(), ORDERS.into()]), None);
        let mut referred = BTreeSet::new();
        let child =
            b"  FOREIGN KEY (`a`) REFERENCES `x`.`Or``ders` (`b`), FOREIGN KEY (`c`) REFERENCES `t` (`b`)";
        patterns.note_referred(child, &mut referred);
        assert_eq!(referred, ["or`ders".to_owned(), "t".to_owned()].into());
    }
}
