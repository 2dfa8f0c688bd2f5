//! Whether a dump is whole: everything that speaks for it must agree. Pure.

mod checksums;
mod names;
mod objects;
mod rows;

use super::collect::Digests;
use super::metadata::{DumpMetadata, TableRecord, parse_metadata};
use super::options::DumpOptions;
use super::said::Said;
use crate::content::FileContent;
use crate::digest::{Compression, FileDigest};
use crate::pipeline::PARTIAL;
use checksums::DumperChecksums;
use mykeeper_domain::inventory::{DatabaseInventory, Inventory};
use names::{masks, table_of};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Database and table.
pub(crate) type TableName = (String, String);

/// Reasons kept of a dump that failed anyway, and of one that claims success.
const MAX_REASONS: usize = 50;

/// Everything that one mydumper left behind, and what it should have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartFacts<'a> {
    pub(crate) databases: &'a [String],
    /// What was there before and after, cut down to what was asked for.
    pub(crate) stable: &'a Inventory,
    pub(crate) options: &'a DumpOptions,
    pub(crate) broken_views: &'a [(String, String, String)],
    pub(crate) digests: &'a Digests,
    /// Files that mydumper made and removed again, in which no row was seen.
    pub(crate) gone: &'a BTreeSet<String>,
    pub(crate) said: &'a Said,
    /// `exit 0`, `signal 9`.
    pub(crate) exit: &'a str,
    pub(crate) success: bool,
}

/// What was found out about emptiness, before and after the dump.
#[derive(Clone, Debug, Default)]
pub(crate) struct Emptiness {
    pub(crate) before: BTreeMap<TableName, bool>,
    pub(crate) after: BTreeMap<TableName, bool>,
}

/// The judgement of one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) reasons: Vec<String>,
    pub(crate) warnings: Vec<String>,
    /// Rows by table, where they could be counted.
    pub(crate) rows: BTreeMap<TableName, u64>,
    /// Tables that were left out by an option whose effect cannot be foreseen.
    pub(crate) left_out: BTreeSet<TableName>,
    /// Rows by file, of files that hold table data.
    pub(crate) file_rows: BTreeMap<String, u64>,
    /// What the rows of a table are, where that can be told.
    pub(crate) contents: BTreeMap<TableName, FileContent>,
    /// What mydumper took on the server.
    pub(crate) checksums: DumperChecksums,
    /// Routines, events and triggers by database that the files create and the server had neither before nor after, by
    /// kind and name.
    pub(crate) passing: BTreeMap<String, BTreeSet<String>>,
}

/// One part's files, matched with what they are about.
pub(crate) struct PartFiles<'a> {
    pub(super) facts: PartFacts<'a>,
    metadata: Option<DumpMetadata>,
    /// What it tells of tables, by database in names of files and table: there may be 100,000 of them.
    records: HashMap<String, HashMap<String, TableRecord>>,
    /// Names without the ending of compression, to names as they are.
    present: BTreeMap<&'a str, &'a str>,
    /// Names of databases in names of files.
    masks: HashMap<String, String>,
    pub(super) data: BTreeMap<TableName, Vec<&'a str>>,
    /// Tables whose data file was made and removed again.
    taken_back: BTreeSet<TableName>,
}

impl<'a> PartFiles<'a> {
    pub(crate) fn new(facts: PartFacts<'a>) -> Self {
        let mut metadata = facts
            .digests
            .get("metadata")
            .and_then(|digest| digest.as_ref().ok())
            .map(|digest| {
                let text = digest.text.as_deref().unwrap_or_default();
                parse_metadata(&String::from_utf8_lossy(text))
            });
        let present: BTreeMap<&str, &str> = facts
            .digests
            .keys()
            .map(|name| (Compression::strip(name), name.as_str()))
            .collect();
        let masks = masks(&facts, &present);
        let mut records: HashMap<String, HashMap<String, TableRecord>> = HashMap::new();
        let told = metadata
            .as_mut()
            .map(|metadata| std::mem::take(&mut metadata.tables));
        for record in told.unwrap_or_default() {
            let of_database = records.entry(record.database_in_files.clone()).or_default();
            of_database.entry(record.table.clone()).or_insert(record);
        }
        let mut files = Self {
            facts,
            metadata,
            records,
            present,
            masks,
            data: BTreeMap::new(),
            taken_back: BTreeSet::new(),
        };
        files.match_data();
        files
    }

    /// What mydumper itself recorded.
    pub(crate) fn metadata(&self) -> Option<&DumpMetadata> {
        self.metadata.as_ref()
    }

    fn contents(&self) -> impl Iterator<Item = (&'a String, &'a DatabaseInventory)> {
        let facts = self.facts;
        facts
            .databases
            .iter()
            .filter_map(move |name| facts.stable.databases.get(name).map(|content| (name, content)))
    }

    fn database_in_files<'b>(&'b self, database: &'b str) -> &'b str {
        self.masks.get(database).map_or(database, String::as_str)
    }

    /// What mydumper recorded of a table or view, from 0.11 on.
    fn record(&self, database_in_files: &str, object: &str) -> Option<&TableRecord> {
        self.records.get(database_in_files)?.get(object)
    }

    /// `database.table` as it begins the names of files.
    fn stem(&self, database: &str, object: &str) -> String {
        let database = self.database_in_files(database);
        let in_files = self
            .record(database, object)
            .map_or(object, |record| record.table_in_files.as_str());
        format!("{database}.{in_files}")
    }

    fn match_data(&mut self) {
        let mut stems: HashMap<String, TableName> = HashMap::new();
        for (database, content) in self.contents() {
            for table in content.tables.keys() {
                stems.insert(self.stem(database, table), (database.clone(), table.clone()));
            }
        }
        let mut data: BTreeMap<TableName, Vec<&'a str>> = BTreeMap::new();
        for (plain, actual) in &self.present {
            if let Some(table) = table_of(plain, &stems) {
                data.entry(table.clone()).or_default().push(actual);
            }
        }
        self.taken_back = self
            .facts
            .gone
            .iter()
            .filter_map(|name| table_of(Compression::strip(name), &stems).cloned())
            .collect();
        self.data = data;
    }

    /// The judgement.
    pub(crate) fn judge(&self, emptiness: &Emptiness) -> Verdict {
        let mut verdict = Verdict {
            checksums: self.checksums(),
            ..Verdict::default()
        };
        self.judge_end(&mut verdict);
        self.judge_files(&mut verdict);
        if self.facts.options.coverage.schemas {
            self.judge_schemas(&mut verdict);
        }
        self.judge_programs(&mut verdict);
        verdict.passing = self.passing();
        if self.facts.options.coverage.data {
            self.judge_data(emptiness, &mut verdict);
        }
        let total = verdict.reasons.len();
        if total > MAX_REASONS {
            verdict.reasons.truncate(MAX_REASONS);
            verdict.reasons.push(format!("and {} more", total - MAX_REASONS));
        }
        verdict
    }

    fn judge_end(&self, verdict: &mut Verdict) {
        let said = self.facts.said;
        if !self.facts.success {
            let last = said.last_plain.as_ref().filter(|_| said.errors.is_empty());
            let why = last.map(|line| format!(": {line}")).unwrap_or_default();
            verdict
                .reasons
                .push(format!("mydumper ended with {}{why}", self.facts.exit));
        }
        verdict
            .reasons
            .extend(said.errors.iter().map(|error| format!("mydumper: {error}")));
        // With this option it warns where it else fails.
        let tolerates = self.facts.options.has("ignore-errors");
        for warning in &said.warnings {
            let is_loss = tolerates && warning.contains("Could not read data");
            let list = if is_loss {
                &mut verdict.reasons
            } else {
                &mut verdict.warnings
            };
            list.push(format!("mydumper: {warning}"));
        }
        for broken in &said.broken {
            let of_ours = self.contents().any(|(database, content)| {
                content
                    .tables
                    .keys()
                    .any(|table| *broken == format!("{database}.{table}"))
            });
            if of_ours {
                verdict
                    .reasons
                    .push(format!("mydumper left out {broken}: it is broken on the server"));
            }
        }
        match &self.metadata {
            None if self.facts.digests.contains_key("metadata.partial") => {
                verdict
                    .reasons
                    .push("mydumper did not finish: metadata is still called metadata.partial".to_owned());
            }
            None => verdict.reasons.push(self.lack("there is no metadata file")),
            Some(metadata) if !metadata.finished => {
                verdict
                    .reasons
                    .push(self.lack("the metadata file has no \"Finished dump\""));
            }
            Some(_) => {}
        }
    }

    /// A lack that an exit status of 0 hides is said to be one.
    fn lack(&self, what: &str) -> String {
        if self.facts.success {
            format!("mydumper ended with exit 0, but {what}")
        } else {
            what.to_owned()
        }
    }

    fn judge_files(&self, verdict: &mut Verdict) {
        for (name, digest) in self.facts.digests {
            if name == "metadata.partial" {
                continue;
            }
            if let Some(other) = self
                .present
                .get(Compression::strip(name))
                .filter(|other| *other != name)
            {
                verdict.reasons.push(format!(
                    "{name} lies there beside {other}: it was written again after it had been finished"
                ));
            }
            if name.ends_with(PARTIAL) {
                verdict.reasons.push(format!("{name} was begun and not finished"));
            }
            match digest {
                Err(error) => verdict.reasons.push(format!("{name}: {error}")),
                Ok(FileDigest {
                    fault: Some(fault), ..
                }) => verdict.reasons.push(format!("{name}: {fault}")),
                Ok(digest) if digest.plain_bytes == 0 && name.contains("-schema") && !self.is_data(name) => {
                    verdict.reasons.push(self.lack(&format!("{name} is empty")));
                }
                Ok(_) => {}
            }
        }
    }

    fn is_data(&self, name: &str) -> bool {
        self.data.values().any(|files| files.contains(&name))
    }

    fn has(&self, plain: &str) -> bool {
        self.present.contains_key(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Stamp;
    use crate::mydumper::MydumperInfo;
    use mykeeper_domain::inventory::TableInventory;
    use mykeeper_domain::job::MydumperOption;

    fn judged(options: &[&str], stable: &Inventory, said: &Said) -> Vec<String> {
        let info = MydumperInfo {
            program: "mydumper".into(),
            banner: String::new(),
            version: (0, 10, 0),
            options: ["ignore-errors", "routines"].map(str::to_owned).into(),
        };
        let options: Vec<MydumperOption> = options
            .iter()
            .map(|name| MydumperOption {
                name: (*name).to_owned(),
                value: None,
            })
            .collect();
        let file = |text: Option<&str>| {
            Ok(FileDigest {
                stamp: Stamp {
                    inode: (0, 0),
                    size_bytes: 9,
                    modified: (0, 0),
                },
                blake3: String::new(),
                content: None,
                plain_bytes: 9,
                rows: 0,
                headless: false,
                fault: None,
                text: text.map(|text| text.as_bytes().to_vec()),
            })
        };
        let digests: Digests = [
            ("metadata", file(Some("Finished dump at: 2026-11-22 18:24:42\n"))),
            ("d-schema-create.sql", file(None)),
            ("d.q-schema.sql", file(None)),
            ("d-schema-post.sql", file(None)),
        ]
        .map(|(name, digest)| (name.to_owned(), digest))
        .into();
        let options = DumpOptions::read(&info, &options).unwrap();
        let (databases, gone) = (["d".to_owned()], BTreeSet::from(["d.q.sql.gz".to_owned()]));
        let files = PartFiles::new(PartFacts {
            databases: &databases,
            stable,
            options: &options,
            broken_views: &[],
            digests: &digests,
            gone: &gone,
            said,
            exit: "exit 0",
            success: true,
        });
        let name = ("d".to_owned(), "q".to_owned());
        let emptiness = Emptiness {
            before: BTreeMap::from([(name.clone(), false)]),
            after: BTreeMap::from([(name, false)]),
        };
        files.judge(&emptiness).reasons
    }

    fn stable() -> Inventory {
        let mut content = DatabaseInventory::default();
        let table = TableInventory {
            engine: Some("InnoDB".into()),
            ..Default::default()
        };
        content.tables.insert("q".into(), table);
        content.procedures.insert("p".into());
        Inventory {
            databases: [("d".to_owned(), content)].into(),
            ..Inventory::default()
        }
    }

    #[test]
    fn an_empty_table_needs_both_the_word_and_the_file_that_was_taken_back() {
        let lost = "mydumper ended with exit 0, but d.q has no data file";
        assert_eq!(judged(&[], &stable(), &Said::default()), [lost]);
        let said = Said {
            empty: BTreeSet::from(["d.q".to_owned()]),
            ..Said::default()
        };
        assert_eq!(judged(&[], &stable(), &said), [""; 0]);
    }

    #[test]
    fn what_cannot_be_checked_and_what_is_ignored_is_told() {
        let said = Said {
            empty: BTreeSet::from(["d.q".to_owned()]),
            warnings: vec!["Could not read data from d.q: gone".to_owned()],
            ..Said::default()
        };
        assert_eq!(
            judged(&["ignore-errors"], &stable(), &said),
            ["mydumper: Could not read data from d.q: gone"]
        );
        assert_eq!(
            judged(&["routines"], &stable(), &said),
            ["d-schema-post.sql is too large to be checked for the routines and events of d"]
        );
    }
}
