//! Whether a dump is whole: everything that speaks for it must agree. Pure.

use super::collect::Digests;
use super::metadata::{DumpMetadata, TableRecord, parse_metadata};
use super::options::DumpOptions;
use super::programs::{self, Kind};
use super::said::Said;
use crate::digest::{Compression, FileDigest};
use mykeeper_domain::inventory::{DatabaseInventory, Inventory};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Database and table.
pub(crate) type TableName = (String, String);

/// Reasons kept of a dump that failed anyway, and of one that claims success.
const MAX_REASONS: usize = 50;
/// Engines that hold no rows of their own.
const WITHOUT_ROWS: [&str; 2] = ["MRG_MYISAM", "BLACKHOLE"];

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
}

/// One part's files, matched with what they are about.
pub(crate) struct PartFiles<'a> {
    facts: PartFacts<'a>,
    metadata: Option<DumpMetadata>,
    /// What it tells of tables, by database in names of files and table: there may be 100,000 of them.
    records: HashMap<String, HashMap<String, TableRecord>>,
    /// Names without the ending of compression, to names as they are.
    present: BTreeMap<&'a str, &'a str>,
    /// Names of databases in names of files.
    masks: HashMap<String, String>,
    data: BTreeMap<TableName, Vec<&'a str>>,
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

    /// Tables that should have rows and have no file with rows: whether they are empty must be asked.
    pub(crate) fn without_data(&self) -> Vec<TableName> {
        if !self.facts.options.coverage.data {
            return Vec::new();
        }
        self.contents()
            .flat_map(|(database, content)| {
                content
                    .tables
                    .iter()
                    .filter(|(_, facts)| holds_rows(facts.engine.as_deref()))
                    .map(move |(table, _)| (database.clone(), table.clone()))
            })
            .filter(|table| self.data.get(table).is_none_or(|files| self.hold_no_row(files)))
            .collect()
    }

    /// Empty at the moment of the snapshot, whatever it was before and after: mydumper says so, and has made and removed
    /// the table's file. One alone is no proof: the word may be about a part of the table, the file taken by another.
    fn was_found_empty(&self, table: &TableName) -> bool {
        let said = &self.facts.said.empty;
        !self.data.contains_key(table)
            && said.contains(&format!("{}.{}", table.0, table.1))
            && self.taken_back.contains(table)
    }

    /// Whole files without a row. mydumper leaves none behind of a table that it found empty, unless it is told to.
    fn hold_no_row(&self, files: &[&str]) -> bool {
        let options = self.facts.options;
        options.countable
            && options.selective.is_none()
            && !options.has("build-empty-files")
            && files.iter().all(|name| {
                matches!(self.facts.digests.get(*name), Some(Ok(digest)) if digest.rows == 0 && digest.fault.is_none())
            })
    }

    /// The judgement.
    pub(crate) fn judge(&self, emptiness: &Emptiness) -> Verdict {
        let mut verdict = Verdict::default();
        self.judge_end(&mut verdict);
        self.judge_files(&mut verdict);
        if self.facts.options.coverage.schemas {
            self.judge_schemas(&mut verdict);
        }
        self.judge_programs(&mut verdict);
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

    fn judge_schemas(&self, verdict: &mut Verdict) {
        let selective = self.facts.options.selective.as_deref() == Some("updated-since");
        for (database, content) in self.contents() {
            if !self.has(&format!("{}-schema-create.sql", self.database_in_files(database))) {
                verdict
                    .reasons
                    .push(self.lack(&format!("database {database} has no CREATE DATABASE file")));
            }
            for table in content.tables.keys() {
                let stem = self.stem(database, table);
                if self.has(&format!("{stem}-schema.sql")) {
                    let other = format!("{table}-schema");
                    if content.tables.contains_key(&other)
                        && self.stem(database, &other) == format!("{stem}-schema")
                    {
                        verdict.reasons.push(format!(
                            "tables {database}.{table} and {database}.{other} are written to the same file {stem}-schema.sql"
                        ));
                    }
                } else if selective {
                    verdict.left_out.insert((database.clone(), table.clone()));
                } else {
                    verdict
                        .reasons
                        .push(self.lack(&format!("table {database}.{table} has no CREATE TABLE file")));
                }
            }
            for sequence in &content.sequences {
                let stem = self.stem(database, sequence);
                if !self.has(&format!("{stem}-schema.sql"))
                    && !self.has(&format!("{stem}-schema-sequence.sql"))
                {
                    verdict
                        .reasons
                        .push(self.lack(&format!("sequence {database}.{sequence} has no file")));
                }
            }
            for view in &content.views {
                if !self.has(&format!("{}-schema-view.sql", self.stem(database, view))) {
                    verdict.reasons.push(self.missing_view(database, view));
                }
            }
        }
        self.judge_shared_names(verdict);
    }

    fn missing_view(&self, database: &str, view: &str) -> String {
        let broken = self
            .facts
            .broken_views
            .iter()
            .find(|(d, v, _)| d == database && v == view);
        match broken {
            Some((_, _, why)) => {
                format!(
                    "view {database}.{view} is broken on the server and was left out: {why}; repair or drop it"
                )
            }
            None => self.lack(&format!("view {database}.{view} has no file")),
        }
    }

    /// `a` with a table `b.c` and `a.b` with a table `c`.
    fn judge_shared_names(&self, verdict: &mut Verdict) {
        let mut owners: HashMap<String, String> = HashMap::new();
        for (database, content) in self.contents() {
            for object in content
                .tables
                .keys()
                .chain(&content.views)
                .filter(|name| name.contains('.') || database.contains('.'))
            {
                let name = format!("`{database}`.`{object}`");
                if let Some(other) = owners.insert(self.stem(database, object), name.clone()) {
                    verdict.reasons.push(format!(
                        "{other} and {name} are written to the same files; use consistency = \"per-database\""
                    ));
                }
            }
        }
    }

    fn judge_programs(&self, verdict: &mut Verdict) {
        let coverage = self.facts.options.coverage;
        for (database, content) in self.contents() {
            let in_files = self.database_in_files(database);
            let mut names: Vec<(Kind, &str)> = Vec::new();
            let of = |kind| move |name: &'a String| (kind, name.as_str());
            if coverage.routines {
                names.extend(content.procedures.iter().map(of(Kind::Procedure)));
                names.extend(content.functions.iter().map(of(Kind::Function)));
            }
            if coverage.events {
                names.extend(content.events.iter().map(of(Kind::Event)));
            }
            let post = format!("{in_files}-schema-post.sql");
            self.judge_program_file(
                &[post],
                &names,
                &format!("the routines and events of {database}"),
                verdict,
            );
            if coverage.triggers {
                let mut by_table: BTreeMap<&str, Vec<(Kind, &str)>> = BTreeMap::new();
                for (trigger, table) in &content.triggers {
                    by_table.entry(table).or_default().push((Kind::Trigger, trigger));
                }
                for (table, triggers) in by_table {
                    let stem = self.stem(database, table);
                    // 1.0 writes one file for a table or one for a database.
                    let names = [
                        format!("{stem}-schema-triggers.sql"),
                        format!("{in_files}-schema-triggers.sql"),
                    ];
                    self.judge_program_file(
                        &names,
                        &triggers,
                        &format!("the triggers of {database}.{table}"),
                        verdict,
                    );
                }
            }
        }
    }

    /// The first file of `names` that is there must hold every one of `objects`.
    fn judge_program_file(
        &self,
        names: &[String],
        objects: &[(Kind, &str)],
        what: &str,
        verdict: &mut Verdict,
    ) {
        if objects.is_empty() {
            return;
        }
        let Some(actual) = names.iter().find_map(|name| self.present.get(name.as_str())) else {
            verdict.reasons.push(self.lack(&format!("{what} have no file")));
            return;
        };
        let Some(Ok(digest)) = self.facts.digests.get(*actual) else {
            return;
        };
        let Some(text) = &digest.text else {
            verdict
                .reasons
                .push(format!("{actual} is too large to be checked for {what}"));
            return;
        };
        // 0.10 prints what the server would not show it as (null).
        if text.split(|byte| *byte == b'\n').any(|line| line == b"(null);") {
            verdict.reasons.push(self.lack(&format!(
                "{actual} lacks bodies that the server did not show: grant the account SELECT on mysql.proc \
                 (MySQL 8: SHOW_ROUTINE)"
            )));
        }
        let text = String::from_utf8_lossy(text);
        if digest.fault.is_none() && digest.plain_bytes > 0 && !programs::is_whole(&text) {
            verdict
                .reasons
                .push(self.lack(&format!("{actual} ends in the middle of a statement")));
        }
        let created = programs::created(&text);
        for (_, object) in objects
            .iter()
            .filter(|(kind, name)| !programs::holds(&created, *kind, name))
        {
            verdict
                .reasons
                .push(self.lack(&format!("{actual} does not hold {object}")));
        }
    }

    fn judge_data(&self, emptiness: &Emptiness, verdict: &mut Verdict) {
        for table in self.without_data() {
            let (database, name) = &table;
            let (before, after) = (emptiness.before.get(&table), emptiness.after.get(&table));
            let recorded = self
                .record(self.database_in_files(database), name)
                .and_then(|record| record.rows);
            let lacks = if self.data.contains_key(&table) {
                "has data files that hold no row"
            } else {
                "has no data file"
            };
            if let Some(rows) = recorded.filter(|rows| *rows > 0) {
                verdict.reasons.push(self.lack(&format!(
                    "{database}.{name} {lacks} where metadata says {rows} rows"
                )));
            } else if before == Some(&true) || after == Some(&true) || self.was_found_empty(&table) {
                verdict.rows.insert(table, 0);
            } else if self.facts.options.selective.is_some() {
                verdict.left_out.insert(table);
            } else if before.is_none() && after.is_none() {
                verdict.reasons.push(self.lack(&format!(
                    "{database}.{name} {lacks}, and the server could not be asked whether it is empty"
                )));
            } else {
                verdict
                    .reasons
                    .push(self.lack(&format!("{database}.{name} {lacks}")));
            }
        }
        if !self.facts.options.countable {
            return;
        }
        for (table, files) in &self.data {
            let digests: Vec<(&str, &FileDigest)> = files
                .iter()
                .filter_map(|name| Some((*name, self.facts.digests.get(*name)?.as_ref().ok()?)))
                .collect();
            verdict.file_rows.extend(
                digests
                    .iter()
                    .map(|(name, digest)| ((*name).to_owned(), digest.rows)),
            );
            // Without a row, and not found to be empty.
            let lacks = self.hold_no_row(files) && !verdict.rows.contains_key(table);
            if !lacks
                && digests.len() == files.len()
                && digests.iter().all(|(_, digest)| digest.fault.is_none())
            {
                let rows = digests.iter().map(|(_, digest)| digest.rows).sum();
                self.compare_rows(table, rows, verdict);
                verdict.rows.insert(table.clone(), rows);
            }
        }
    }

    fn compare_rows(&self, table: &TableName, rows: u64, verdict: &mut Verdict) {
        let recorded = self.record(self.database_in_files(&table.0), &table.1);
        if let Some(recorded) = recorded.and_then(|record| record.rows)
            && recorded != rows
        {
            verdict.reasons.push(self.lack(&format!(
                "the data files of {}.{} hold {rows} rows where metadata says {recorded}",
                table.0, table.1
            )));
        }
    }
}

fn holds_rows(engine: Option<&str>) -> bool {
    !engine.is_some_and(|engine| {
        WITHOUT_ROWS
            .iter()
            .any(|without| without.eq_ignore_ascii_case(engine))
    })
}

/// The table that a data file belongs to: `database.table`, with any number of chunk numbers behind it.
fn table_of<'b>(plain_name: &str, stems: &'b HashMap<String, TableName>) -> Option<&'b TableName> {
    let mut stem = ["sql", "dat", "csv", "tsv"]
        .iter()
        .find_map(|ending| plain_name.strip_suffix(ending)?.strip_suffix('.'))?;
    loop {
        if let Some(table) = stems.get(stem) {
            return Some(table);
        }
        let (shorter, number) = stem.rsplit_once('.')?;
        if number.is_empty()
            || !number
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b'_')
        {
            return None;
        }
        stem = shorter;
    }
}

/// Names of databases in names of files, where they are not the same: from 0.11 on a name that is not plain is
/// replaced. The CREATE DATABASE files tell whose they are.
fn masks(facts: &PartFacts<'_>, present: &BTreeMap<&str, &str>) -> HashMap<String, String> {
    let mut masks = HashMap::new();
    let (mut unmatched, mut plain): (Vec<&str>, BTreeSet<&str>) = (Vec::new(), BTreeSet::new());
    for name in present.keys().filter(|name| name.starts_with("mydumper_")) {
        let mask = name.split(['.', '-']).next().unwrap_or(name);
        plain.insert(mask);
    }
    for mask in plain {
        let create = present.get(format!("{mask}-schema-create.sql").as_str());
        let text = create.and_then(|name| facts.digests.get(*name)?.as_ref().ok()?.text.as_deref());
        match text.and_then(|text| created_name(&String::from_utf8_lossy(text))) {
            Some(database) => drop(masks.insert(database, mask.to_owned())),
            None => unmatched.push(mask),
        }
    }
    if unmatched.len() != 1 {
        return masks;
    }
    let without: Vec<&String> = facts
        .databases
        .iter()
        .filter(|database| !masks.contains_key(*database))
        .filter(|database| {
            let begin = format!("{database}.");
            !present.keys().any(|name| name.starts_with(&begin))
        })
        .collect();
    if let ([mask], [database]) = (unmatched.as_slice(), without.as_slice()) {
        masks.insert((*database).clone(), (*mask).to_owned());
    }
    masks
}

/// The name in `` CREATE DATABASE /*!32312 IF NOT EXISTS*/ `name` ``.
fn created_name(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("CREATE DATABASE")?;
    let (_, rest) = rest.split_once('`')?;
    let mut name = String::new();
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '`' if chars.peek() == Some(&'`') => {
                name.push('`');
                chars.next();
            }
            '`' => return Some(name),
            other => name.push(other),
        }
    }
    None
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
                plain_bytes: 9,
                rows: 0,
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
