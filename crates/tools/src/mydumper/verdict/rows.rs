//! Whether the rows are in the files, as far as they can be counted.

use super::{Emptiness, PartFiles, TableName, Verdict};
use crate::digest::{Compression, FileDigest};
use mykeeper_domain::counted;

/// Engines that hold no rows of their own.
const WITHOUT_ROWS: [&str; 2] = ["MRG_MYISAM", "BLACKHOLE"];

impl PartFiles<'_> {
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
    pub(super) fn was_found_empty(&self, table: &TableName) -> bool {
        let said = &self.facts.said.empty;
        !self.data.contains_key(table)
            && said.contains(&format!("{}.{}", table.0, table.1))
            && self.taken_back.contains(table)
    }

    /// Whole files without a row. mydumper leaves none behind of a table that it found empty, unless it is told to.
    pub(super) fn hold_no_row(&self, files: &[&str]) -> bool {
        let options = self.facts.options;
        options.countable
            && options.selective.is_none()
            && !options.has("build-empty-files")
            && files.iter().all(|name| {
                matches!(self.facts.digests.get(*name), Some(Ok(digest)) if digest.rows == 0 && digest.fault.is_none())
            })
    }

    pub(super) fn judge_data(&self, emptiness: &Emptiness, verdict: &mut Verdict) {
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
        self.judge_numbers(verdict);
        self.judge_escapes(verdict);
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

    /// Of the files of a table that was cut none may be missing between others: their rows are all that is known of it.
    fn judge_numbers(&self, verdict: &mut Verdict) {
        if !self.facts.options.numbers_all_files() {
            return;
        }
        for ((database, table), files) in &self.data {
            let stem = self.stem(database, table);
            let mut numbers: Vec<u64> = files.iter().filter_map(|name| number_of(name, &stem)).collect();
            numbers.sort_unstable();
            let gap = (1..).zip(&numbers).find(|(expected, number)| expected != *number);
            if let Some((expected, number)) = gap {
                verdict.reasons.push(self.lack(&format!(
                    "of the data files of {database}.{table} number {expected} is missing, where number {number} is there"
                )));
            }
        }
    }

    /// Whoever reads a set goes by backslashes, the proof, too: it would hold the set against itself.
    fn judge_escapes(&self, verdict: &mut Verdict) {
        let has_other = |name: &&&str| {
            let digest = self
                .facts
                .digests
                .get(**name)
                .and_then(|digest| digest.as_ref().ok());
            digest
                .and_then(|digest| digest.content.as_ref())
                .is_some_and(|content| content.has_other_escapes)
        };
        let mut files = self.data.values().flatten().filter(has_other);
        let Some(first) = files.next() else { return };
        let more = match files.count() {
            0 => String::new(),
            more => format!(" and {}", counted(more, "more file", "more files")),
        };
        verdict.reasons.push(self.lack(&format!(
            "{first}{more} hold values that are not written with backslashes, so that what they were is not certain: mydumper's \
             sessions had the mode NO_BACKSLASH_ESCAPES; its client library has not carried out the init-command that \
             mykeeper gives it against that: take another mydumper, or take that mode out of the server's global sql_mode"
        )));
    }

    pub(super) fn compare_rows(&self, table: &TableName, rows: u64, verdict: &mut Verdict) {
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

/// `2` of `db.t.00002.sql.gz`, where the table's files begin with `db.t`; `None` for one without a number.
fn number_of(name: &str, stem: &str) -> Option<u64> {
    let number = Compression::strip(name).strip_suffix(".sql")?;
    number.strip_prefix(stem)?.strip_prefix('.')?.parse().ok()
}

fn holds_rows(engine: Option<&str>) -> bool {
    !engine.is_some_and(|engine| {
        WITHOUT_ROWS
            .iter()
            .any(|without| without.eq_ignore_ascii_case(engine))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_number_behind_its_tables_name_alone() {
        let number = |name| number_of(name, "d.t.00002");
        assert_eq!(number("d.t.00002.00003.sql.zst"), Some(3));
        assert_eq!(number("d.t.00002.sql"), None);
        assert_eq!(number("d.t.00002-schema.sql"), None);
    }
}
