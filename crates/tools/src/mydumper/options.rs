//! The job's own options for mydumper: which are let through, and what they mean for what a set must hold.

mod chunks;

pub(super) use chunks::CHUNK_OPTION;

use super::detect::MydumperInfo;
use super::plan::by_name;
use super::renamed::advice_on;
use super::scope::TableScope;
use crate::error::ToolError;
use crate::probe::PrivilegeNeed;
use mykeeper_domain::inventory::{Coverage, Inventory};
use mykeeper_domain::job::MydumperOption;
use std::collections::BTreeSet;

/// Options that are ours to give, with the reason.
const OURS: [(&str, &str); 26] = [
    (
        "ask-password",
        "the password comes from the server's password_file",
    ),
    ("clear", "each set has a folder of its own"),
    ("daemon", "mykeeper does the scheduling"),
    (
        "database",
        "the databases are chosen with the job's \"databases\"",
    ),
    (
        "default-character-set",
        "values are dumped as they are, and definitions as UTF-8",
    ),
    ("defaults-extra-file", "mykeeper writes the option file"),
    ("defaults-file", "mykeeper writes the option file"),
    ("dirty", "each set has a folder of its own"),
    ("dry-run", "it would make no set"),
    ("exec", "mykeeper handles the finished files"),
    ("help", "it makes no set"),
    ("host", "the address comes from the server in mykeeper.toml"),
    (
        "logfile",
        "mykeeper reads what mydumper says and keeps the log of the run",
    ),
    ("machine-log-json", "mykeeper reads what mydumper says"),
    ("merge", "each set has a folder of its own"),
    ("outputdir", "the folder comes from the job's \"directory\""),
    ("password", "the password comes from the server's password_file"),
    ("port", "the address comes from the server in mykeeper.toml"),
    ("regex", "the databases are chosen with the job's \"databases\""),
    (
        "set-names",
        "values are dumped as they are, and definitions as UTF-8",
    ),
    (
        "skip-tz-utc",
        "every TIMESTAMP would come back shifted by the difference of the servers' time zones",
    ),
    ("snapshot-interval", "mykeeper does the scheduling"),
    ("socket", "the address comes from the server in mykeeper.toml"),
    ("stream", "mykeeper handles the finished files"),
    ("user", "the account comes from the server in mykeeper.toml"),
    ("version", "it makes no set"),
];

/// Tables of the schema `mysql` that mydumper leaves to the server.
const MYSQL_LEFT_OUT: [&str; 4] = [
    "general_log",
    "innodb_index_stats",
    "innodb_table_stats",
    "slow_log",
];

/// The job's options, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DumpOptions {
    /// What kinds of object are asked for.
    pub coverage: Coverage,
    /// Views are asked for.
    pub views: bool,
    /// `database.table`, when only some tables are asked for.
    pub tables: Option<Vec<(String, String)>>,
    /// Engines whose tables are left out.
    pub ignored_engines: Vec<String>,
    /// `database.table` entries that are left out.
    pub omitted: BTreeSet<String>,
    /// The option that leaves out rows or tables by rules that cannot be foreseen here.
    pub selective: Option<String>,
    /// Data comes as INSERT statements, so that rows can be counted.
    pub countable: bool,
    /// Options handed on, `--name` or `--name=value`.
    pub passed: Vec<String>,
    names: BTreeSet<String>,
    /// For mydumper 0.10 or earlier.
    is_classic: bool,
}

impl DumpOptions {
    /// Understands the options of a job for this mydumper.
    ///
    /// # Errors
    /// [`ToolError::Failed`] for each kind of mistake: an option that is ours to give, one that this version does not
    /// know (with the nearest that it does), a value that it cannot take.
    pub fn read(info: &MydumperInfo, options: &[MydumperOption]) -> Result<Self, ToolError> {
        let mistakes: Vec<String> = options
            .iter()
            .filter_map(|option| mistake(info, option))
            .collect();
        if !mistakes.is_empty() {
            return Err(ToolError::Failed {
                message: mistakes.join("; "),
                passing: false,
            });
        }
        let names: BTreeSet<String> = options.iter().map(|option| option.name.clone()).collect();
        let has = |name: &str| names.contains(name);
        let value = |name: &str| {
            options
                .iter()
                .rev()
                .find(|option| option.name == name)
                .and_then(|option| option.value.clone())
        };
        let list = |name: &str| -> Vec<String> {
            value(name).map_or_else(Vec::new, |value| {
                value.split(',').map(|one| one.trim().to_owned()).collect()
            })
        };
        let tables = match value("tables-list") {
            Some(_) => Some(table_list(&list("tables-list"))?),
            None => None,
        };
        let whole = tables.is_none();
        let schemas = !has("no-schemas");
        let omitted = match value("omit-from-file") {
            Some(path) => read_omitted(&path)?,
            None => BTreeSet::new(),
        };
        let selective = ["updated-since", "where", "partition-regex"]
            .into_iter()
            .find(|name| has(name));
        Ok(Self {
            coverage: Coverage {
                schemas,
                data: !has("no-data"),
                // They are written with the tables' definitions.
                triggers: has("triggers") && schemas,
                routines: has("routines") && whole,
                events: has("events") && whole,
            },
            views: !has("no-views") && schemas,
            tables,
            ignored_engines: list("ignore-engines"),
            omitted,
            selective: selective.map(str::to_owned),
            countable: value("format").is_none_or(|format| format.eq_ignore_ascii_case("INSERT"))
                && !has("views-as-tables"),
            passed: options
                .iter()
                // Table lists become part of the regex, which means the same to every version.
                .filter(|option| option.name != "tables-list")
                .map(|option| format!("--{option}"))
                .collect(),
            names,
            is_classic: info.is_classic(),
        })
    }

    /// Cuts them down to some tables, whatever else they ask for.
    #[must_use]
    pub fn narrowed(mut self, scope: Option<&TableScope>) -> Self {
        if let Some(scope) = scope {
            self.coverage.routines &= scope.programs;
            self.coverage.events &= scope.programs;
            self.tables = Some(scope.tables.clone());
        }
        self
    }

    /// Whether the job gives the option.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether the definitions in the set differ from the server's because they were asked to.
    pub(crate) fn changes_definitions(&self) -> bool {
        ["skip-constraints", "skip-indexes", "skip-definer", "no-schemas"]
            .iter()
            .any(|option| self.has(option))
    }

    /// Whether every table is asked for, and with it all that stands on one.
    pub(crate) fn is_whole(&self) -> bool {
        self.tables.is_none() && self.omitted.is_empty() && self.ignored_engines.is_empty()
    }

    /// Whether the dump takes a lock that nobody can write under.
    pub fn takes_lock(&self) -> bool {
        let mode_locks = |arg: &String| {
            arg.strip_prefix("--sync-thread-lock-mode=")
                .is_none_or(|mode| !["NO_LOCK", "SAFE_NO_LOCK", "GTID"].contains(&mode))
        };
        !self.has("no-locks") && self.passed.iter().all(mode_locks)
    }

    /// Whether all threads of the dump read what there was at one moment: by a lock, or by beginning anew until they agree.
    pub(crate) fn aligns_snapshots(&self) -> bool {
        let no_lock = |arg: &String| {
            arg.strip_prefix("--sync-thread-lock-mode=")
                .is_some_and(|mode| mode.eq_ignore_ascii_case("NO_LOCK"))
        };
        !self.has("no-locks") && !self.passed.iter().any(no_lock)
    }

    /// Whether mydumper is kept from saying when it takes its lock and gives it back.
    pub fn is_silent(&self) -> bool {
        self.passed
            .iter()
            .filter_map(|arg| arg.strip_prefix("--verbose="))
            .any(|level| level.trim().parse::<i64>().is_ok_and(|level| level < 3))
    }

    /// Cuts `inventory` down to what these options ask for.
    pub fn scope(&self, inventory: &mut Inventory) {
        for (database, content) in &mut inventory.databases {
            let listed = |object: &str| {
                self.tables
                    .as_ref()
                    .is_none_or(|tables| tables.iter().any(|(d, t)| d == database && t == object))
            };
            let asked =
                |object: &str| listed(object) && !self.omitted.contains(&format!("{database}.{object}"));
            content.tables.retain(|table, facts| {
                let engine = facts.engine.as_deref().unwrap_or_default();
                asked(table)
                    && !self
                        .ignored_engines
                        .iter()
                        .any(|ignored| ignored.eq_ignore_ascii_case(engine))
                    && !(database == "mysql" && MYSQL_LEFT_OUT.contains(&table.as_str()))
            });
            content.views.retain(|view| self.views && asked(view));
            content.sequences.retain(|sequence| asked(sequence));
            let tables = &content.tables;
            content.triggers.retain(|_, table| tables.contains_key(table));
        }
    }

    /// What the account must be allowed to do.
    ///
    /// `present` are all databases that the account sees.
    pub fn privilege_need(
        &self,
        info: &MydumperInfo,
        databases: &[String],
        present: &[String],
    ) -> PrivilegeNeed {
        let passed_through = |name: &&String| {
            !by_name(info, databases) && info.is_classic() && !databases.contains(name) && !is_virtual(name)
        };
        let unlocked = self.has("no-locks") || self.passed.iter().any(|arg| arg.ends_with("=NO_LOCK"));
        PrivilegeNeed {
            databases: databases.to_vec(),
            passed_through: present.iter().filter(passed_through).cloned().collect(),
            schemas: self.views,
            triggers: self.coverage.triggers,
            routines: self.coverage.routines,
            events: self.coverage.events,
            global_lock: !unlocked && !self.has("lock-all-tables"),
            table_locks: !unlocked
                && (self.has("lock-all-tables") || self.has("less-locking") || !info.is_classic()),
            savepoints: self.has("use-savepoints"),
            backup_locks: !info.is_classic() && !unlocked && !self.has("skip-ddl-locks"),
        }
    }
}

/// Those that mydumper itself never looks into.
fn is_virtual(database: &str) -> bool {
    ["information_schema", "performance_schema", "data_dictionary"]
        .iter()
        .any(|name| name.eq_ignore_ascii_case(database))
}

fn mistake(info: &MydumperInfo, option: &MydumperOption) -> Option<String> {
    let name = option.name.as_str();
    if let Some((_, why)) = OURS.iter().find(|(ours, _)| *ours == name) {
        return Some(format!(
            "mydumper option {name:?} cannot be given in a job: {why}"
        ));
    }
    if !info.knows(name) {
        let advice = advice_on(info, name)
            .or_else(|| nearest(name, &info.options).map(|near| format!("did you mean {near:?}?")))
            .unwrap_or_else(|| "see its --help".to_owned());
        return Some(format!(
            "{} does not know the option {name:?}: {advice}",
            info.banner
        ));
    }
    let value = option.value.as_deref().unwrap_or_default();
    if name == "verbose" && value.trim().parse::<i64>().is_ok_and(|level| level < 1) {
        return Some(
            "mydumper option \"verbose\" must be 1 or more: mykeeper reads what mydumper says of its errors"
                .to_owned(),
        );
    }
    if name != "tables-list" && info.is_classic() && !value.is_ascii() {
        return Some(format!(
            "mydumper option {name:?}: this version takes no value that is not ASCII ({value:?})"
        ));
    }
    None
}

/// The known option that is spelt most like `name`.
fn nearest<'a>(name: &str, known: &'a BTreeSet<String>) -> Option<&'a str> {
    known
        .iter()
        .filter(|option| !OURS.iter().any(|(ours, _)| ours == option))
        .map(|option| (distance(name, option), option.as_str()))
        .min()
        .filter(|(distance, option)| *distance <= 1 + option.len() / 3)
        .map(|(_, option)| option)
}

/// Edits between two words.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, c) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(c != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

fn table_list(entries: &[String]) -> Result<Vec<(String, String)>, ToolError> {
    entries
        .iter()
        .map(|entry| {
            entry
                .split_once('.')
                .map(|(database, table)| (database.to_owned(), table.to_owned()))
                .ok_or_else(|| ToolError::Failed {
                    message: format!(
                        "mydumper option \"tables-list\": {entry:?} has no database; write \"database.table\""
                    ),
                    passing: false,
                })
        })
        .collect()
}

fn read_omitted(path: &str) -> Result<BTreeSet<String>, ToolError> {
    let text = std::fs::read_to_string(path).map_err(|source| ToolError::Io {
        action: "read",
        path: path.into(),
        source,
    })?;
    Ok(text
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> MydumperInfo {
        let names = "threads compress triggers events routines use-savepoints tables-list regex no-data no-views \
                     ignore-engines outputdir rows verbose sync-thread-lock-mode";
        MydumperInfo {
            program: "mydumper".into(),
            banner: "mydumper 0.10.0, built against MySQL 10.5.8".into(),
            version: (0, 10, 0),
            options: names.split_whitespace().map(str::to_owned).collect(),
        }
    }

    fn option(text: &str) -> MydumperOption {
        match text.split_once('=') {
            Some((name, value)) => MydumperOption {
                name: name.into(),
                value: Some(value.into()),
            },
            None => MydumperOption {
                name: text.into(),
                value: None,
            },
        }
    }

    fn read(texts: &[&str]) -> Result<DumpOptions, String> {
        let options: Vec<MydumperOption> = texts.iter().map(|text| option(text)).collect();
        DumpOptions::read(&info(), &options).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_asked_for_follows_from_the_options() {
        let all = read(&[
            "compress",
            "threads=8",
            "triggers",
            "events",
            "routines",
            "use-savepoints",
        ])
        .unwrap();
        assert_eq!(all.coverage, Coverage::ALL);
        assert_eq!(all.passed[1], "--threads=8");
        let need = all.privilege_need(&info(), &["shop".into()], &[]);
        assert!(need.global_lock && need.savepoints && !need.backup_locks && !need.table_locks);
        let some = read(&["no-data", "tables-list=shop.orders, shop.a.b", "routines"]).unwrap();
        assert!(!some.coverage.data && !some.coverage.routines && !some.coverage.triggers);
        assert_eq!(
            some.tables,
            Some(vec![
                ("shop".into(), "orders".into()),
                ("shop".into(), "a.b".into())
            ])
        );
        assert_eq!(some.passed, ["--no-data", "--routines"]);
    }

    #[test]
    fn mistakes_name_the_option_and_what_to_write_instead() {
        assert!(read(&["verbose=1"]).is_ok());
        assert_eq!(
            read(&["verbose=0"]).unwrap_err(),
            "mydumper option \"verbose\" must be 1 or more: mykeeper reads what mydumper says of its errors"
        );
        assert_eq!(
            read(&["thread=4", "password=x", "regex=^a", "no-locks", "zzzzzz"]).unwrap_err(),
            "mydumper 0.10.0, built against MySQL 10.5.8 does not know the option \"thread\": did you mean \
             \"threads\"?; mydumper option \"password\" cannot be given in a job: the password comes from the \
             server's password_file; mydumper option \"regex\" cannot be given in a job: the databases are chosen \
             with the job's \"databases\"; mydumper 0.10.0, built against MySQL 10.5.8 does not know the option \
             \"no-locks\": write \"sync-thread-lock-mode=NO_LOCK\"; mydumper 0.10.0, built against MySQL 10.5.8 \
             does not know the option \"zzzzzz\": see its --help"
        );
    }
}
