//! `CHECKSUM TABLE` on the server, held around the dump.
//!
//! A table whose checksum and time of change are the same before and after was the same when the dump read it. Both are
//! asked for: rows that came and went leave the checksum as it was, and a time of change is forgotten with the table's
//! definition. A mydumper that takes checksums itself asks for them in the transaction that it reads in.

mod source;

use super::detect::MydumperInfo;
use super::options::DumpOptions;
use super::verdict::TableName;
use crate::error::ToolError;
use crate::probe::{Changes, TableTraits, Traits};
use mykeeper_domain::checksum::{ChecksumLimit, SourceChecksum};
use mykeeper_domain::inventory::{Inventory, TableInventory};
pub(super) use source::Source;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long all tables may take, before the dump and again after it: where there is a limit to their size, and where
/// there is none.
const SMALL_WITHIN: Duration = Duration::from_secs(30);
const ALL_WITHIN: Duration = Duration::from_secs(3600);
/// The option by which mydumper asks for the checksums of tables.
pub(super) const DATA: &str = "data-checksums";
/// The first mydumper whose `metadata` holds what it was asked for here.
const FIRST_WITH_CHECKSUMS: (u32, u32, u32) = (0, 16, 0);
/// Engines whose tables mydumper reads in one transaction, checksum and rows, and whose writers nobody's reading holds up.
const TRANSACTIONAL: [&str; 3] = ["InnoDB", "TokuDB", "ROCKSDB"];

/// What is known of the server's checksums, half way or wholly.
#[derive(Clone, Debug, Default)]
pub(super) struct Bracket {
    /// As they were before the dump.
    before: BTreeMap<TableName, u64>,
    changes: Changes,
    /// Why there is none of others.
    reasons: BTreeMap<TableName, String>,
    within: Duration,
}

/// The options by which this mydumper is asked for checksums of its own; none where the job has a say in it.
pub(super) fn dumper_options(info: &MydumperInfo, asked: Asked<'_>) -> Vec<&'static str> {
    let Asked {
        inventory,
        options,
        limit,
        ..
    } = asked;
    let has_say = options.passed.iter().any(|option| option.contains("checksum"));
    if has_say || limit == ChecksumLimit::Off || info.version < FIRST_WITH_CHECKSUMS {
        return Vec::new();
    }
    let mut tables = inventory
        .databases
        .values()
        .flat_map(|content| content.tables.values());
    let admits_all = tables.all(|table| limit.admits(table.data_bytes));
    // It is asked of whole tables, whatever of their rows is dumped.
    let are_whole = options.coverage.data && options.selective.is_none();
    [(DATA, admits_all && are_whole), ("routine-checksums", true)]
        .into_iter()
        .filter(|(option, is_wanted)| *is_wanted && info.knows(option))
        .map(|(option, _)| option)
        .collect()
}

/// Why the checksum of a table is another after a restore, or is not asked for.
pub(super) fn unfit(
    table: &TableInventory,
    traits: Option<&TableTraits>,
    limit: ChecksumLimit,
) -> Option<String> {
    let Some(traits) = traits else {
        return Some("how it is defined is not known".to_owned());
    };
    let why = if !limit.admits(table.data_bytes) {
        "it is larger than the job's \"checksum\" admits"
    } else if !has_row_locks(table) && !limit.of_a_locked_table().admits(table.data_bytes) {
        "its writers would wait while it is read, and it is large"
    } else {
        return traits.unfit.clone();
    };
    Some(traits.unfit.clone().unwrap_or_else(|| why.to_owned()))
}

fn has_row_locks(table: &TableInventory) -> bool {
    let engine = table.engine.as_deref();
    engine.is_some_and(|engine| TRANSACTIONAL.iter().any(|one| one.eq_ignore_ascii_case(engine)))
}

/// What is asked of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) traits: &'a Traits,
    pub(super) options: &'a DumpOptions,
    pub(super) limit: ChecksumLimit,
}

/// Asks before the dump. `None` where nothing is asked for.
///
/// # Errors
/// The server cannot be reached, or does not answer. [`ToolError::Cancelled`]: nothing is left there that goes on.
pub(super) async fn take_before(source: Source<'_>, asked: Asked<'_>) -> Result<Option<Bracket>, ToolError> {
    let Asked {
        inventory,
        traits,
        options,
        limit,
    } = asked;
    if limit == ChecksumLimit::Off || !options.coverage.data || options.selective.is_some() {
        return Ok(None);
    }
    let mut bracket = Bracket {
        within: if limit == ChecksumLimit::All {
            ALL_WITHIN
        } else {
            SMALL_WITHIN
        },
        ..Bracket::default()
    };
    let mut tables: Vec<(u64, TableName)> = Vec::new();
    for (database, content) in &inventory.databases {
        for (table, facts) in &content.tables {
            let name = (database.clone(), table.clone());
            match unfit(facts, traits.get(&name), limit) {
                Some(why) => drop(bracket.reasons.insert(name, why)),
                None => tables.push((facts.data_bytes.unwrap_or(u64::MAX), name)),
            }
        }
    }
    tables.sort();
    let names = tables.into_iter().map(|(_, name)| name).collect();
    bracket.before = source.ask(names, &mut bracket).await?;
    let databases: Vec<String> = inventory.databases.keys().cloned().collect();
    bracket.changes = source.changes(&databases).await?;
    Ok(Some(bracket))
}

/// Asks again, and tells what can be counted on.
///
/// # Errors
/// As [`take_before`].
pub(super) async fn take_after(
    source: Source<'_>,
    mut bracket: Bracket,
) -> Result<BTreeMap<TableName, SourceChecksum>, ToolError> {
    let names: Vec<TableName> = bracket.before.keys().cloned().collect();
    let mut databases: Vec<String> = names.iter().map(|(database, _)| database.clone()).collect();
    databases.dedup();
    let after = source.ask(names, &mut bracket).await?;
    let changes = source.changes(&databases).await?;
    Ok(bracket.close(&after, &changes))
}

impl Bracket {
    fn close(
        mut self,
        after: &BTreeMap<TableName, u64>,
        later: &Changes,
    ) -> BTreeMap<TableName, SourceChecksum> {
        let mut all = BTreeMap::new();
        for (name, value) in std::mem::take(&mut self.before) {
            if self.reasons.contains_key(&name) {
                continue;
            }
            let checksum = match self.doubt(&name, (Some(&value), after.get(&name)), later) {
                None => SourceChecksum::Exact(value),
                Some(why) => SourceChecksum::NotTaken(why.to_owned()),
            };
            all.insert(name, checksum);
        }
        let reasons = self.reasons.into_iter();
        all.extend(reasons.map(|(name, why)| (name, SourceChecksum::NotTaken(why))));
        all
    }

    /// Why a table may have been another in the middle.
    fn doubt(
        &self,
        name: &TableName,
        (before, after): (Option<&u64>, Option<&u64>),
        later: &Changes,
    ) -> Option<&'static str> {
        if before != after {
            return Some("its rows changed during the dump");
        }
        match (self.changes.changed_at.get(name), later.changed_at.get(name)) {
            (Some(Some(before)), Some(Some(after))) if before != after => {
                Some("its rows changed and changed back during the dump")
            }
            (Some(Some(before)), Some(Some(_))) => {
                (*before >= self.changes.now).then_some("it was changed in the second before the dump")
            }
            (Some(None), Some(None)) => (!self.changes.remembers || !later.remembers)
                .then_some("the server does not know whether it was changed"),
            _ => Some("the server does not know whether it was changed"),
        }
    }
}

/// Said where the server did not tell its checksums.
pub(super) fn untaken(error: &ToolError) -> String {
    format!("no table's checksum is known, so a proof holds the set against its dump alone: {error}")
}

/// What mydumper took of a table.
pub(super) fn by_dumper(
    table: &TableInventory,
    traits: Option<&TableTraits>,
    (value, options): (u64, &DumpOptions),
) -> SourceChecksum {
    let why = if let Some(why) = unfit(table, traits, ChecksumLimit::All) {
        why
    } else if let Some(option) = &options.selective {
        format!("it is of the whole table, and the option \"{option}\" leaves rows out")
    } else if !has_row_locks(table) {
        "its engine keeps no snapshot, and mydumper may have asked when it had given its lock back".to_owned()
    } else if !options.aligns_snapshots() {
        "the threads of a mydumper that takes no lock read what there was at different moments".to_owned()
    } else {
        return SourceChecksum::Exact(value);
    };
    SourceChecksum::NotTaken(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn name(table: &str) -> TableName {
        ("shop".to_owned(), table.to_owned())
    }

    fn changes(now: &str, at: &[(&str, Option<&str>)], remembers: bool) -> Changes {
        Changes {
            changed_at: at
                .iter()
                .map(|(table, at)| (name(table), at.map(str::to_owned)))
                .collect(),
            now: now.to_owned(),
            remembers,
        }
    }

    fn info(version: (u32, u32, u32)) -> MydumperInfo {
        MydumperInfo {
            program: "mydumper".into(),
            banner: String::new(),
            version,
            options: [
                "data-checksums",
                "routine-checksums",
                "checksum-all",
                "where",
                "partition-regex",
                "no-locks",
                "sync-thread-lock-mode",
            ]
            .into_iter()
            .map(str::to_owned)
            .collect::<BTreeSet<_>>(),
        }
    }

    fn options(version: (u32, u32, u32), jobs: &[(&str, Option<&str>)]) -> DumpOptions {
        let jobs: Vec<_> = jobs
            .iter()
            .map(|(name, value)| mykeeper_domain::job::MydumperOption {
                name: (*name).to_owned(),
                value: value.map(str::to_owned),
            })
            .collect();
        DumpOptions::read(&info(version), &jobs).unwrap()
    }

    #[test]
    fn only_what_nobody_touched_meanwhile_is_exact() {
        let tables = ["same", "rows", "back", "fresh", "unseen", "dropped", "forgotten"];
        let before: BTreeMap<TableName, u64> = tables.iter().map(|table| (name(table), 7)).collect();
        let mut after = before.clone();
        after.insert(name("rows"), 8);
        after.remove(&name("dropped"));
        let at = [
            ("same", Some("10:00:00")),
            ("rows", Some("10:00:00")),
            ("back", Some("10:00:00")),
            ("fresh", Some("10:00:05")),
            ("unseen", None),
            ("forgotten", Some("10:00:00")),
        ];
        let mut later = at;
        later[2].1 = Some("10:00:07");
        later[5].1 = None;
        let close = |remembers| {
            let bracket = Bracket {
                before: before.clone(),
                changes: changes("10:00:05", &at, true),
                reasons: BTreeMap::from([(name("large"), "it is large".to_owned())]),
                within: SMALL_WITHIN,
            };
            bracket.close(&after, &changes("10:00:30", &later, remembers))
        };
        let exact = |remembers| -> Vec<String> {
            let all = close(remembers).into_iter();
            all.filter(|(_, checksum)| checksum.exact().is_some())
                .map(|((_, table), _)| table)
                .collect()
        };
        assert_eq!(exact(true), ["same", "unseen"]);
        assert_eq!(exact(false), ["same"]);
        assert_eq!(close(true).len(), tables.len() + 1);
    }

    #[test]
    fn a_table_is_left_out_that_comes_back_with_another_checksum() {
        let table = TableInventory {
            engine: Some("InnoDB".into()),
            data_bytes: Some(100),
            ..TableInventory::default()
        };
        let fit = TableTraits::default();
        let float = TableTraits {
            unfit: Some("column `a` is a FLOAT".into()),
            ..TableTraits::default()
        };
        assert_eq!(unfit(&table, Some(&fit), ChecksumLimit::DEFAULT), None);
        assert_eq!(unfit(&table, Some(&float), ChecksumLimit::All), float.unfit);
        assert!(unfit(&table, None, ChecksumLimit::All).is_some());
        assert!(unfit(&table, Some(&fit), ChecksumLimit::UpTo(99)).is_some());
        let large = |engine: &str| TableInventory {
            engine: Some(engine.into()),
            data_bytes: Some(65 << 20),
            ..TableInventory::default()
        };
        assert_eq!(unfit(&large("InnoDB"), Some(&fit), ChecksumLimit::All), None);
        assert_eq!(
            unfit(&large("Aria"), Some(&fit), ChecksumLimit::All).unwrap(),
            "its writers would wait while it is read, and it is large"
        );
        let memory = TableInventory {
            engine: Some("MyISAM".into()),
            ..table.clone()
        };
        let taken = |table: &TableInventory, traits: &TableTraits, jobs: &[(&str, Option<&str>)]| {
            by_dumper(table, Some(traits), (9, &options((1, 0, 1), jobs))).exact()
        };
        assert_eq!(taken(&table, &fit, &[]), Some(9));
        assert_eq!(taken(&memory, &fit, &[]), None);
        assert_eq!(taken(&table, &float, &[]), None);
        for (job, is_exact) in [
            (("where", Some("id > 7")), false),
            (("partition-regex", Some("p1")), false),
            (("no-locks", None), false),
            (("sync-thread-lock-mode", Some("NO_LOCK")), false),
            (("sync-thread-lock-mode", Some("GTID")), true),
            (("sync-thread-lock-mode", Some("SAFE_NO_LOCK")), true),
            (("sync-thread-lock-mode", Some("LOCK_ALL")), true),
        ] {
            assert_eq!(taken(&table, &fit, &[job]).is_some(), is_exact, "{job:?}");
        }
    }

    #[test]
    fn a_mydumper_that_can_is_asked_unless_the_job_has_a_say_or_a_table_is_too_large() {
        let mut inventory = Inventory::default();
        let tables = &mut inventory.databases.entry("shop".into()).or_default().tables;
        tables.entry("t".into()).or_default().data_bytes = Some(100);
        let asked = |version, jobs: &[(&str, Option<&str>)], limit| {
            let asked = Asked {
                inventory: &inventory,
                traits: &Traits::new(),
                options: &options(version, jobs),
                limit,
            };
            dumper_options(&info(version), asked)
        };
        let all = ["data-checksums", "routine-checksums"];
        assert_eq!(asked((1, 0, 1), &[], ChecksumLimit::DEFAULT), all);
        assert_eq!(asked((1, 0, 1), &[], ChecksumLimit::UpTo(9)), all[1..]);
        let some = [("where", Some("id > 7"))];
        assert_eq!(asked((1, 0, 1), &some, ChecksumLimit::All), all[1..]);
        for (version, jobs, limit) in [
            ((0, 15, 0), &[][..], ChecksumLimit::All),
            ((1, 0, 1), &[("checksum-all", None)][..], ChecksumLimit::All),
            ((1, 0, 1), &[][..], ChecksumLimit::Off),
        ] {
            assert_eq!(
                asked(version, jobs, limit),
                [""; 0],
                "{version:?} {jobs:?} {limit:?}"
            );
        }
    }
}
