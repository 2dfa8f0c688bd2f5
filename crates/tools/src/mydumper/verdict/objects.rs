//! Whether what is defined is in the files: databases, tables, views, triggers, routines, events.

use super::{PartFiles, Verdict};
use crate::mydumper::programs::{self, Kind};
use mykeeper_domain::inventory::DatabaseInventory;
use std::collections::{BTreeMap, BTreeSet, HashMap};

impl<'a> PartFiles<'a> {
    pub(super) fn judge_schemas(&self, verdict: &mut Verdict) {
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

    pub(super) fn missing_view(&self, database: &str, view: &str) -> String {
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
    pub(super) fn judge_shared_names(&self, verdict: &mut Verdict) {
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

    pub(super) fn judge_programs(&self, verdict: &mut Verdict) {
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
    pub(super) fn judge_program_file(
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

    /// What the files of routines, events and triggers create and the server had neither before nor after: mydumper 0.10
    /// writes them behind all rows, which may be hours after it was asked what there is.
    pub(super) fn passing(&self) -> BTreeMap<String, BTreeSet<String>> {
        const ENDINGS: [&str; 2] = ["-schema-post.sql", "-schema-triggers.sql"];
        let mut owners: Vec<(&str, &String, &DatabaseInventory)> = self
            .contents()
            .map(|(database, content)| (self.database_in_files(database), database, content))
            .collect();
        // A database may be called as another and its table.
        owners.sort_by_key(|(in_files, ..)| std::cmp::Reverse(in_files.len()));
        let mut passing: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (plain, actual) in &self.present {
            let Some(stem) = ENDINGS.iter().find_map(|ending| plain.strip_suffix(ending)) else {
                continue;
            };
            let owner = owners.iter().find(|(in_files, ..)| {
                let rest = stem.strip_prefix(in_files);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            });
            let (Some((_, database, content)), Some(Ok(digest))) = (owner, self.facts.digests.get(*actual))
            else {
                continue;
            };
            let text = String::from_utf8_lossy(digest.text.as_deref().unwrap_or_default());
            let objects = programs::created(&text)
                .into_iter()
                .map(|(kind, name)| format!("{} {name}", kind.word()));
            let passing = passing.entry((*database).clone()).or_default();
            passing.extend(objects.filter(|object| !content.holds(object)));
        }
        passing.retain(|_, objects| !objects.is_empty());
        passing
    }
}
