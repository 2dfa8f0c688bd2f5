//! What a dump is worth: the server asked again, the parts judged, the result put together.

mod after;

pub(super) use after::{After, ask_after};

use super::checksums::by_dumper;
use super::contents::table_contents;
use super::options::DumpOptions;
use super::part::PartRun;
use super::plan::{DumpPlan, PartPlan};
use super::run::{Before, DumpEnv, DumpRequest, DumpResult};
use super::verdict::{Emptiness, PartFacts, PartFiles, TableName, Verdict};
use crate::error::ToolError;
use crate::probe::{Flavor, LostColumn, ServerVersion, TableTraits, Traits};
use mykeeper_domain::checksum::SourceChecksum;
use mykeeper_domain::counted;
use mykeeper_domain::evidence::PartEvidence;
use mykeeper_domain::inventory::{DatabaseInventory, Inventory};
use mykeeper_domain::job::Consistency;
use mykeeper_domain::manifest::FileEntry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// `slave_status` of a server that replicates nothing.
const NOT_A_SLAVE: &str = "Not a slave";
/// The same where that could not be asked.
const NOT_KNOWN: &str = "N/A";
/// Columns without their values that are named.
const MAX_LOST_COLUMNS: usize = 20;
/// Warnings handed on from the parts.
const MAX_WARNINGS: usize = 20;
/// Warnings of mydumper that are no more than news: such a row is written whole; what the account may not see of
/// positions is said before the dump.
const NEWS: [&str; 4] = [
    "Row bigger than statement_size",
    "Couldn't get master position",
    "Couldn't get slave position",
    "Could not check PROCESSLIST",
];

/// What a verdict is formed from, and what comes of it.
pub(super) struct Dumped {
    pub(super) options: DumpOptions,
    pub(super) before: Before,
    pub(super) plan: DumpPlan,
    pub(super) runs: Vec<PartRun>,
    pub(super) stable: Inventory,
}

/// The verdicts, and what they were formed from.
struct Judged {
    parts: Vec<(PartEvidence, Verdict)>,
    per_database: bool,
    checksums: BTreeMap<TableName, SourceChecksum>,
    warnings: Vec<String>,
}

impl Dumped {
    /// Each part's files, matched with what they are about.
    fn parts(&self) -> impl Iterator<Item = (&PartPlan, &PartRun, PartFiles<'_>)> {
        self.plan.parts.iter().zip(&self.runs).map(|(part, run)| {
            let files = PartFiles::new(PartFacts {
                databases: &part.databases,
                stable: &self.stable,
                options: &self.options,
                broken_views: &self.before.found.broken_views,
                digests: &run.collected.digests,
                gone: &run.collected.gone,
                said: &run.said,
                exit: &run.exit,
                success: run.success,
            });
            (part, run, files)
        })
    }

    /// Tables without rows in the set that were not known to be empty.
    fn unsure(&self) -> Vec<TableName> {
        self.parts()
            .flat_map(|(_, _, files)| files.without_data())
            .filter(|table| self.before.emptiness.get(table) != Some(&true))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    fn judge(&self, emptiness: &Emptiness) -> Vec<(PartEvidence, Verdict)> {
        self.parts()
            .map(|(part, run, files)| {
                let mut verdict = files.judge(emptiness);
                verdict.contents = table_contents(&files);
                add_what_stands_outside(part, run, self, &mut verdict);
                let metadata = files.metadata();
                let evidence = PartEvidence {
                    dir: part.dir.clone(),
                    databases: part.databases.clone(),
                    complete: verdict.reasons.is_empty(),
                    reasons: verdict.reasons.clone(),
                    warnings: verdict.warnings.clone(),
                    exit_status: run.exit.clone(),
                    master_status: metadata.and_then(|metadata| metadata.master.clone()),
                    slave_status: metadata.and_then(|metadata| metadata.slave.clone()),
                    lock_waited_ms: run.lock_waited.map(milliseconds),
                    lock_held_ms: run.lock_held.map(milliseconds),
                };
                (evidence, verdict)
            })
            .collect()
    }
}

/// Judges. Of a dump that was ended from here what the server has said meanwhile does not count: nothing can come of it.
pub(super) async fn judge(
    request: &DumpRequest<'_>,
    env: &DumpEnv<'_>,
    (mut dumped, after): (Dumped, Option<Result<After, ToolError>>),
) -> Result<DumpResult, ToolError> {
    let mut warnings = Vec::new();
    let mut checksums = BTreeMap::new();
    let mut answers = false;
    match after.filter(|_| dumped.runs.iter().all(|run| run.ended.is_none())) {
        Some(Ok(after)) => {
            dumped.stable = dumped.stable.stable_part(&after.inventory);
            (checksums, warnings) = (after.checksums, after.warnings);
            answers = true;
        }
        Some(Err(error)) => warnings.push(format!(
            "the server could not be asked again after the dump: {error}"
        )),
        None => {}
    }
    if request.info.is_classic() {
        warnings.extend(without_head(&dumped.runs));
    }
    // A set may have 100,000 files.
    let (dumped, unsure) = off_thread(move || {
        let unsure = dumped.unsure();
        (dumped, unsure)
    })
    .await?;
    let mut emptiness = Emptiness {
        before: dumped.before.emptiness.clone(),
        ..Emptiness::default()
    };
    if answers && !unsure.is_empty() {
        emptiness.after = tokio::select! {
            biased;
            () = env.cancel.cancelled() => BTreeMap::new(),
            answers = after::ask_emptiness(request, &unsure) => answers.unwrap_or_default(),
        };
    }
    let per_database = request.consistency == Consistency::PerDatabase;
    off_thread(move || {
        let judged = Judged {
            parts: dumped.judge(&emptiness),
            per_database,
            checksums,
            warnings,
        };
        result(dumped, judged)
    })
    .await
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ToolError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ToolError::Failed {
            message: format!("cannot judge the dump: {error}"),
            passing: true,
        })
}

/// Columns of tables of this part whose values are not in it.
fn lost_values(part: &PartPlan, dumped: &Dumped) -> Vec<String> {
    let is_ours = |lost: &&LostColumn| {
        let content = dumped.stable.databases.get(&lost.database);
        part.databases.contains(&lost.database)
            && content.is_some_and(|content| content.tables.contains_key(&lost.table))
    };
    let lost: Vec<&LostColumn> = dumped.before.lost_columns.iter().filter(is_ours).collect();
    let mut reasons: Vec<String> = lost
        .iter()
        .take(MAX_LOST_COLUMNS)
        .map(|lost| lost.why.clone())
        .collect();
    if lost.len() > MAX_LOST_COLUMNS {
        reasons.push(format!("and {} more columns", lost.len() - MAX_LOST_COLUMNS));
    }
    reasons
}

/// What mydumper warned of in any part and is worth a look, once each.
fn worth_a_look(parts: &[PartEvidence]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut warnings: Vec<String> = parts
        .iter()
        .flat_map(|part| &part.warnings)
        .filter(|warning| {
            warning
                .strip_prefix("mydumper: ")
                .is_some_and(|text| !NEWS.iter().any(|news| text.contains(news)))
        })
        .filter(|warning| seen.insert(warning.as_str()))
        .cloned()
        .collect();
    if warnings.len() > MAX_WARNINGS {
        let more = warnings.len() - MAX_WARNINGS;
        warnings.truncate(MAX_WARNINGS);
        warnings.push(format!("and {more} more warnings of mydumper"));
    }
    warnings
}

/// What the files cannot tell: how the child was ended, and what the account was not shown.
fn add_what_stands_outside(part: &PartPlan, run: &PartRun, dumped: &Dumped, verdict: &mut Verdict) {
    if let Some(ended) = &run.ended {
        if matches!(ended, ToolError::LockBudget { .. }) {
            // Its connections were ended from here before it was: what it says of that, and what it had not written
            // by then, is no cause.
            verdict.reasons.clear();
            verdict
                .warnings
                .retain(|warning| !warning.starts_with("mydumper: "));
        }
        verdict.reasons.insert(0, ended.to_string());
    }
    if let Some(fault) = &run.collected.fault {
        verdict.reasons.push(fault.clone());
    }
    verdict.reasons.extend(run.collected.lost.iter().cloned());
    verdict.reasons.extend(run.left.iter().cloned());
    verdict.reasons.extend(lost_values(part, dumped));
    for missing in &dumped.before.missing {
        let of_another = missing.on.ends_with(".*")
            && missing.on != "*.*"
            && !part.databases.iter().any(|database| {
                missing.on.replace("\\_", "_").replace("\\%", "%")
                    == format!("`{}`.*", database.replace('`', "``"))
            });
        if of_another {
            continue;
        }
        let text = format!(
            "the account lacks {} on {}, needed to {}: {}",
            missing.privilege, missing.on, missing.why, missing.grant_statement
        );
        let list = if missing.optional {
            &mut verdict.warnings
        } else {
            &mut verdict.reasons
        };
        list.push(text);
    }
}

/// What is known of a table that was defined alike before and after.
fn traits_of<'t>(
    content: &DatabaseInventory,
    name: &TableName,
    traits: &'t Traits,
) -> Option<&'t TableTraits> {
    let is_known = content.definitions.contains_key(&format!("table {}", name.1));
    traits.get(name).filter(|_| is_known)
}

/// What mydumper itself took, of objects that nobody changed meanwhile.
fn enter_checksums(inventory: &mut Inventory, before: &Before, verdict: &Verdict, options: &DumpOptions) {
    for (name, value) in &verdict.checksums.data {
        let Some(content) = inventory.databases.get_mut(&name.0) else {
            continue;
        };
        let traits = traits_of(content, name, &before.traits);
        if let Some(facts) = content.tables.get_mut(&name.1) {
            facts.checksum = Some(by_dumper(facts, traits, (*value, options)));
        }
    }
    for (database, others) in &verdict.checksums.others {
        let Some(content) = inventory.databases.get_mut(database) else {
            continue;
        };
        let was = before.found.inventory.databases.get(database);
        let is_untouched = content.unsettled.is_empty()
            && was.is_some_and(|was| !was.definitions.is_empty() && was.definitions == content.definitions);
        let is_stable = |what: &str| match what.split_once(" of table ") {
            Some(("triggers", _)) => is_untouched,
            Some((_, table)) => content.definitions.contains_key(&format!("table {table}")),
            None if what.starts_with("view ") => content.definitions.contains_key(what),
            None => what == "database" || (options.is_whole() && is_untouched),
        };
        let others = others.iter().filter(|(what, _)| is_stable(what));
        let stable: Vec<_> = others
            .map(|(what, value)| (what.clone(), value.clone()))
            .collect();
        content.dumper_checksums.extend(stable);
    }
}

/// Forgets the checksums of tables with a -0 among their rows: to a dump it is 0, to `CHECKSUM TABLE` it is not.
fn doubt_signed_zeros(inventory: &mut Inventory, verdict: &Verdict) {
    let signed = verdict
        .contents
        .iter()
        .filter(|(_, content)| content.has_signed_zero);
    for ((database, table), _) in signed {
        let content = inventory.databases.get_mut(database);
        let checksum = content.and_then(|content| content.tables.get_mut(table)?.checksum.as_mut());
        if let Some(checksum) = checksum {
            *checksum =
                SourceChecksum::NotTaken("a number in its rows is -0, which comes back as 0".to_owned());
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn result(dumped: Dumped, judged: Judged) -> DumpResult {
    let Dumped {
        options,
        before,
        plan,
        runs,
        stable: mut inventory,
    } = dumped;
    let is_mariadb = ServerVersion::parse(&before.version).flavor == Flavor::MariaDb;
    let mut files = Vec::new();
    for ((part, (_, verdict)), run) in plan.parts.iter().zip(&judged.parts).zip(&runs) {
        let dir = &part.dir;
        for (name, digest) in &run.collected.digests {
            let Ok(digest) = digest else { continue };
            files.push(FileEntry {
                path: if dir.is_empty() {
                    name.clone()
                } else {
                    format!("{dir}/{name}")
                },
                size_bytes: digest.stamp.size_bytes,
                blake3: digest.blake3.clone(),
                plain_bytes: digest.plain_bytes,
                rows: verdict.file_rows.get(name).copied(),
            });
        }
        for (name, rows) in &verdict.rows {
            let Some(found) = inventory.databases.get_mut(&name.0) else {
                continue;
            };
            // MySQL keeps numbers in JSON by their type, which their text does not tell: `10.00` may come back as
            // `10.0`.
            let traits = traits_of(found, name, &before.traits);
            let reads_back = is_mariadb || traits.is_some_and(|traits| !traits.has_json);
            if let Some(facts) = found.tables.get_mut(&name.1) {
                facts.rows = Some(*rows);
                let content = verdict.contents.get(name);
                let content =
                    content.filter(|content| content.content.rows == *rows && *rows > 0 && reads_back);
                if let Some(content) = content {
                    facts.content = Some(content.content.to_string());
                    facts.content_columns.clone_from(&content.columns);
                }
            }
        }
        for (database, objects) in &verdict.passing {
            if let Some(content) = inventory.databases.get_mut(database) {
                content.unsettled.extend(objects.iter().cloned());
            }
        }
        enter_checksums(&mut inventory, &before, verdict, &options);
        for (database, table) in &verdict.left_out {
            if let Some(content) = inventory.databases.get_mut(database) {
                content.tables.remove(table);
            }
        }
    }
    for ((database, table), checksum) in judged.checksums {
        let content = inventory.databases.get_mut(&database);
        if let Some(facts) = content.and_then(|content| content.tables.get_mut(&table)) {
            facts.checksum.get_or_insert(checksum);
        }
    }
    for (_, verdict) in &judged.parts {
        doubt_signed_zeros(&mut inventory, verdict);
    }
    for content in inventory.databases.values_mut() {
        content.forget_definitions(options.coverage);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let parts: Vec<PartEvidence> = judged.parts.into_iter().map(|(part, _)| part).collect();
    let first = |status: fn(&PartEvidence) -> Option<&String>| parts.iter().find_map(status).cloned();
    let complete = if judged.per_database {
        parts.iter().map(|part| part.complete).collect()
    } else {
        vec![parts.iter().all(|part| part.complete)]
    };
    let none = if before.without_position {
        NOT_KNOWN
    } else {
        NOT_A_SLAVE
    };
    DumpResult {
        files,
        complete,
        inventory,
        coverage: options.coverage,
        master_status: first(|part| part.master_status.as_ref()).unwrap_or_default(),
        slave_status: first(|part| part.slave_status.as_ref()).unwrap_or_else(|| none.to_owned()),
        server_version: before.version,
        binary_log: before.binary_log,
        command: String::new(),
        warnings: before
            .warnings
            .into_iter()
            .chain(judged.warnings)
            .chain(left_plain(&runs))
            .chain(worth_a_look(&parts))
            .collect(),
        parts,
        ended: runs.into_iter().find_map(|run| run.ended),
    }
}

/// Files whose rows mydumper 0.10 has left without what they need: the last of a table that it cuts, with one row. Where
/// mykeeper compresses, it adds that.
fn without_head(runs: &[PartRun]) -> Option<String> {
    let digests = runs.iter().flat_map(|run| &run.collected.digests);
    let mut names = digests
        .filter(|(_, digest)| {
            digest
                .as_ref()
                .is_ok_and(|digest| digest.headless && digest.rows > 0)
        })
        .map(|(name, _)| name);
    let first = names.next()?;
    let more = match names.count() {
        0 => String::new(),
        more => format!(" and {}", counted(more, "more file", "more files")),
    };
    Some(format!(
        "{first}{more} hold rows without the time zone and character set that they were read in, as mydumper 0.10 writes \
         them where it cuts a table: loaded alone, their times are taken for those of another zone; let mykeeper compress \
         (compression = \"gzip\"), which mends them, or cut no tables (\"chunk-filesize\", `chunk`)"
    ))
}

/// Files that were to be compressed and are not.
fn left_plain(runs: &[PartRun]) -> Option<String> {
    let mut left = runs.iter().filter_map(|run| run.collected.left_plain.as_ref());
    let (mut files, why) = left.next().cloned()?;
    files += left.map(|(files, _)| files).sum::<usize>();
    let lie = counted(files, "file of the set lies", "files of the set lie");
    Some(format!(
        "{lie} there as mydumper wrote them, not compressed: {why}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mydumper_warns_of_is_handed_on_once_and_without_the_news() {
        let part = |warnings: &[&str]| PartEvidence {
            dir: String::new(),
            databases: Vec::new(),
            complete: true,
            reasons: Vec::new(),
            warnings: warnings.iter().map(|text| (*text).to_owned()).collect(),
            exit_status: String::new(),
            master_status: None,
            slave_status: None,
            lock_waited_ms: None,
            lock_held_ms: None,
        };
        let lock = "mydumper: Couldn't acquire global lock, snapshots will not be consistent: x";
        let parts = [
            part(&[lock, "mydumper: Row bigger than statement_size for shop.t"]),
            part(&[
                lock,
                "the account lacks PROCESS on *.*, needed to notice long queries",
            ]),
        ];
        assert_eq!(worth_a_look(&parts), [lock]);
        let many: Vec<String> = (0..30).map(|n| format!("mydumper: {n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(worth_a_look(&[part(&many)]).len(), MAX_WARNINGS + 1);
    }
}
