//! Where a restored set stands in binary logs, and how to go on from there.

mod product;

use mykeeper_domain::backup::Backup;
use mykeeper_domain::evidence::Evidence;
use mykeeper_tools::restore::{Scope, is_system_database};
use product::{Product, is_rewritable};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

/// So many of the databases are named that the source had besides.
const NAMED: usize = 5;
/// In a command, for what no set knows.
const UNKNOWN_HOST: &str = "HOST";
/// How a program that takes one database tells what is of it.
const BY_DATABASE: &str = "--database takes a statement by the database that was current (USE) when it was run, and a change of \
                           rows by that of its table: look for statements that name another database";
/// How the filter of a replica does, and how long it lasts.
const BY_FILTER: &str = "it takes a statement by the database that was current (USE) when it was run, and lasts until the \
                         server starts again: write replicate-do-db into its option file, a line for each database";

/// What is in that log beside what is wanted.
const STOP: &str = "that shows also what made this restore necessary, a DROP or a wrong DELETE, and would run it again: find its event \
                    there, and stop before it, with --stop-position=POSITION or --stop-datetime='YYYY-MM-DD hh:mm:ss'";
/// Where the set comes back to where it was made.
const ITS_OWN_SERVER: &str = "this is the server that the set is of, which follows nobody from there";

/// Whose binary log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// That of the server that the set is of.
    Server,
    /// That of the server that it replicated when it was dumped.
    Primary,
}

/// A point in a binary log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The databases that it holds for, as the set calls them.
    pub databases: Vec<String>,
    /// Whose log.
    pub of: Whose,
    /// The log's file.
    pub file: String,
    /// The position in it.
    pub position: u64,
    /// The GTID, where the server has one.
    pub gtid: Option<String>,
    /// The folder of the log's files on its server's machine, where the set knows it.
    pub folder: Option<PathBuf>,
    /// A command that shows what has been written since, as far as this file goes.
    pub command: String,
    /// What the command shows besides, or leaves out; `None`: neither.
    pub caveat: Option<String>,
    /// Statements that make the restored server follow from there, with what it has alone. Empty where it cannot: it has
    /// only some of the tables, has them under other names, or not all as of one point, or the set does not tell what
    /// its server had besides.
    pub follow: Vec<String>,
    /// Why it cannot, or takes some changes alone; `None`: it follows with all.
    pub follow_caveat: Option<String>,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whose, whom) = match self.of {
            Whose::Server => ("of the server that the set is of", "that server"),
            Whose::Primary => (
                "of the server that it replicated then",
                "the server that it replicated",
            ),
        };
        write!(
            f,
            "{}: as of {}, position {}",
            self.databases.join(", "),
            self.file,
            self.position
        )?;
        if let Some(gtid) = &self.gtid {
            write!(f, ", GTID {gtid}")?;
        }
        let at = match &self.folder {
            Some(folder) => format!("on its machine, with the files after it in {}", folder.display()),
            None => "in the folder of its binary log (SELECT @@log_bin_basename), with the files after it"
                .to_owned(),
        };
        write!(
            f,
            ", in the binary log {whose}\n  what was written since, {at}:\n    {}\n  {STOP}",
            self.command
        )?;
        if let Some(caveat) = &self.caveat {
            write!(f, "\n  {caveat}")?;
        }
        if !self.follow.is_empty() {
            let statements = self.follow.join("; ");
            write!(
                f,
                "\n  to follow {whom} from there, with the user of a replica besides:\n    {statements};"
            )?;
        }
        match &self.follow_caveat {
            Some(caveat) => write!(f, "\n  {caveat}"),
            None => Ok(()),
        }
    }
}

/// Where each part of what is restored stands. `port` is that of the set's server, where the set itself does not know it; who is
/// that server itself is not told to follow.
pub(super) fn positions(
    backup: &Backup,
    evidence: Option<&Evidence>,
    scope: &Scope,
    (port, is_source): (Option<u16>, bool),
) -> Vec<Position> {
    let log = evidence
        .and_then(|evidence| evidence.binary_log.clone())
        .unwrap_or_default();
    let port = log.port.or(port);
    let mut by_status: BTreeMap<(Whose, &str), Vec<String>> = BTreeMap::new();
    let mut enter = |of, status, databases: &[String]| {
        let wanted = databases.iter().filter(|name| scope.databases.contains(name));
        by_status.entry((of, status)).or_default().extend(wanted.cloned());
    };
    match evidence.map(|evidence| &evidence.parts) {
        Some(parts) if parts.len() > 1 => {
            for part in parts {
                enter(
                    Whose::Server,
                    part.master_status.as_deref().unwrap_or_default(),
                    &part.databases,
                );
                enter(
                    Whose::Primary,
                    part.slave_status.as_deref().unwrap_or_default(),
                    &part.databases,
                );
            }
        }
        _ => {
            enter(Whose::Server, &backup.master_status, &scope.databases);
            enter(Whose::Primary, &backup.slave_status, &scope.databases);
        }
    }
    let extent = Extent::of(backup, evidence, scope);
    let product = Product::of(&backup.server_version);
    let mut points: Vec<Position> = by_status
        .into_iter()
        .filter(|(_, databases)| !databases.is_empty())
        .filter_map(|((of, status), databases)| {
            let (file, position, gtid) = parse(status)?;
            let folder = log.folder.clone().filter(|_| of == Whose::Server);
            let path = folder
                .as_ref()
                .map_or_else(|| file.clone(), |folder| folder.join(&file).display().to_string());
            // What stands at another point has a command of its own.
            let is_whole = extent == Extent::Whole && databases.len() == scope.databases.len();
            let command = product.command((&path, position), &databases, (scope, is_whole));
            let caveat = caveat(&databases, scope, is_whole);
            Some(Position {
                databases,
                of,
                file,
                position,
                gtid,
                folder,
                command,
                caveat,
                follow: Vec::new(),
                follow_caveat: None,
            })
        })
        .collect();
    for of in [Whose::Server, Whose::Primary] {
        let mut these: Vec<&mut Position> = points.iter_mut().filter(|point| point.of == of).collect();
        let [point] = these.as_mut_slice() else { continue };
        if is_source {
            point.follow_caveat = Some(ITS_OWN_SERVER.to_owned());
            continue;
        }
        let address = match of {
            Whose::Server => (backup.bk_server.as_str(), port),
            Whose::Primary => (UNKNOWN_HOST, None),
        };
        // Of what has no position changes would be missed, or come twice.
        let lacking: Vec<&str> = scope
            .databases
            .iter()
            .filter(|name| !point.databases.contains(name))
            .map(String::as_str)
            .collect();
        if !lacking.is_empty() {
            point.follow_caveat = Some(format!(
                "it cannot follow from there: the set does not tell where {} stood",
                lacking.join(", ")
            ));
            continue;
        }
        match extent.filter(product, &point.databases) {
            Ok(filter) => {
                point.follow = product.follow(point, address, filter);
                point.follow_caveat = extent.filtered();
            }
            Err(why) => point.follow_caveat = Some(format!("it cannot follow from there: {why}")),
        }
    }
    points
}

/// How what is restored stands to all that its server had.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extent {
    /// It is all of it, under its own names; the server's own databases never are.
    Whole,
    /// Whole databases under their own names; the server had these besides.
    Without(Vec<String>),
    /// Whole databases under their own names; what the server had besides nobody knows.
    Unknown,
    /// Single tables, or another name.
    Altered,
}

impl Extent {
    fn of(backup: &Backup, evidence: Option<&Evidence>, scope: &Scope) -> Self {
        if !scope.renamed.is_empty() || !scope.tables.is_empty() {
            return Self::Altered;
        }
        let log = evidence.and_then(|evidence| evidence.binary_log.as_ref());
        let Some(beside) = log.and_then(|log| log.beside.as_ref()) else {
            return Self::Unknown;
        };
        let held = evidence
            .iter()
            .flat_map(|evidence| evidence.inventory.databases.keys());
        let all = backup.databases.iter().chain(held).chain(beside);
        let without: BTreeSet<&String> = all
            .filter(|name| !is_system_database(name) && !scope.databases.contains(name))
            .collect();
        match without.is_empty() {
            true => Self::Whole,
            false => Self::Without(without.into_iter().cloned().collect()),
        }
    }

    /// The statement that keeps a replica to what it has, where one is needed; else why it cannot follow.
    fn filter(&self, product: Product, databases: &[String]) -> Result<Option<String>, &'static str> {
        match self {
            Self::Whole => Ok(None),
            Self::Without(_) => product.filter(databases).map(Some).ok_or(
                "the server had other databases besides, and no filter takes a name with a comma in it",
            ),
            Self::Unknown => Err("the set does not tell whether its server had more than it holds"),
            Self::Altered => Err("only some tables are restored, or under another name"),
        }
    }

    fn filtered(&self) -> Option<String> {
        let Self::Without(others) = self else { return None };
        let more = match others.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named: Vec<&str> = others.iter().take(NAMED).map(String::as_str).collect();
        Some(format!(
            "the filter keeps it to what is restored, as its source had besides: {}{more}; {BY_FILTER}",
            named.join(", ")
        ))
    }
}

/// What of others' changes the command shows with those of what was restored.
fn caveat(databases: &[String], scope: &Scope, is_whole: bool) -> Option<String> {
    let tables: Vec<String> = databases
        .iter()
        .filter_map(|database| Some((scope.there(database), scope.tables_of(database)?)))
        .flat_map(|(there, tables)| tables.iter().map(move |table| format!("{there}.{table}")))
        .collect();
    match databases {
        _ if is_whole => None,
        [only] if scope.there(only) != only && !is_rewritable(scope.there(only)) => Some(format!(
            "it shows them as changes of {only}, and would write there: --rewrite-db takes no name with a blank in it, such as \
             {}; restored under a name without one, it can be gone on from",
            scope.there(only)
        )),
        _ if !tables.is_empty() => Some(format!(
            "it shows the changes of all tables of {}: there is no filter for tables, so take out by hand what is not of {}",
            match databases {
                [_] => "that database",
                _ => "these databases, one after another",
            },
            tables.join(", ")
        )),
        [only] if scope.there(only) != only => Some(format!(
            "--database and --rewrite-db take a statement by the database that was current (USE) when it was run, and a change \
             of rows by that of its table: look for statements that name another database, and for those that name {only} \
             themselves, which go on writing there"
        )),
        [_] => Some(BY_DATABASE.to_owned()),
        _ => Some(format!(
            "it shows the changes of one database after the other, as the program takes one at a time; {BY_DATABASE}"
        )),
    }
}

/// `file,position[,gtid]`; a GTID of MySQL holds commas itself.
fn parse(status: &str) -> Option<(String, u64, Option<String>)> {
    let mut words = status.splitn(3, ',').map(str::trim);
    let (file, position) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    let gtid = words.next().filter(|gtid| !gtid.is_empty()).map(str::to_owned);
    Some((file, position, gtid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::evidence::{BinaryLog, PartEvidence};
    use mykeeper_domain::inventory::{Coverage, Inventory};
    use mykeeper_domain::job::Consistency;
    use std::collections::BTreeSet;

    pub(super) fn point(gtid: Option<&str>) -> Position {
        Position {
            databases: vec!["shop".into()],
            of: Whose::Server,
            file: "bin.000007".into(),
            position: 4711,
            gtid: gtid.map(str::to_owned),
            folder: Some("/var/lib/mysql".into()),
            command: "show it".into(),
            caveat: None,
            follow: Vec::new(),
            follow_caveat: None,
        }
    }

    #[test]
    fn what_was_written_since_is_shown_for_what_was_restored() {
        let mut scope = Scope::whole(vec!["日志 库".into()]);
        let command = |scope: &Scope, is_whole| {
            Product::MariaDb.command(("bin.1", 4), &scope.databases, (scope, is_whole))
        };
        assert_eq!(command(&scope, true), "mariadb-binlog --start-position=4 bin.1");
        assert_eq!(
            command(&scope, false),
            "mariadb-binlog --start-position=4 --database='日志 库' bin.1"
        );
        scope.renamed.insert("日志 库".into(), "copy".into());
        assert_eq!(
            command(&scope, false),
            "mariadb-binlog --start-position=4 --rewrite-db='日志 库->copy' --database='日志 库' bin.1"
        );
        for mysql in [Product::OldMySql, Product::MySql] {
            assert_eq!(
                mysql.command(("bin.1", 4), &scope.databases, (&scope, false)),
                "mysqlbinlog --start-position=4 --skip-gtids --rewrite-db='日志 库->copy' --database=copy bin.1"
            );
        }
        let mut blank = scope.clone();
        blank.renamed.insert("日志 库".into(), "the copy".into());
        assert_eq!(
            command(&blank, false),
            "mariadb-binlog --start-position=4 --database='日志 库' bin.1"
        );
        let said = caveat(&blank.databases, &blank, false).unwrap();
        assert!(
            said.contains("would write there: --rewrite-db takes no name with a blank"),
            "{said}"
        );
        let said = caveat(&scope.databases, &scope, false).unwrap();
        assert!(said.contains("those that name 日志 库 themselves"), "{said}");
        let as_it_was = Scope::whole(scope.databases.clone());
        let said = |is_whole| caveat(&scope.databases, &as_it_was, is_whole);
        assert_eq!(said(true), None);
        assert!(said(false).unwrap().contains("--database takes a statement by"));
        scope
            .tables
            .insert("日志 库".into(), BTreeSet::from(["orders".to_owned()]));
        let said = caveat(&scope.databases, &scope, false).unwrap();
        assert!(
            said.ends_with("take out by hand what is not of copy.orders"),
            "{said}"
        );
        let mut point = point(None);
        assert!(
            point
                .to_string()
                .contains("with the files after it in /var/lib/mysql:\n    show it")
        );
        point.folder = None;
        assert!(point.to_string().contains("@@log_bin_basename"));
    }

    #[test]
    fn nothing_follows_from_where_only_some_of_what_is_restored_stood() {
        let mut backup: Backup =
            serde_json::from_str(include_str!("../../../../domain/fixtures/set.json")).unwrap();
        backup.databases = vec!["shop".into(), "crm".into()];
        backup.server_version = "10.11.6-MariaDB".into();
        let part = |database: &str, status: Option<&str>| PartEvidence {
            dir: database.into(),
            databases: vec![database.into()],
            complete: true,
            reasons: Vec::new(),
            warnings: Vec::new(),
            exit_status: "exit 0".into(),
            master_status: status.map(str::to_owned),
            slave_status: None,
            lock_waited_ms: None,
            lock_held_ms: None,
        };
        let mut evidence = Evidence {
            version: 1,
            backup: backup.clone(),
            consistency: Consistency::PerDatabase,
            coverage: Coverage::ALL,
            inventory: Inventory::default(),
            parts: vec![part("shop", Some("bin.1,4")), part("crm", None)],
            taken_at: backup.finished_at,
            binary_log: Some(BinaryLog {
                beside: Some(Vec::new()),
                ..BinaryLog::default()
            }),
        };
        let scope = Scope::whole(backup.databases.clone());
        let told = |evidence: &Evidence| {
            let mut points = positions(&backup, Some(evidence), &scope, (Some(3306), false));
            assert_eq!(points.len(), 1, "{points:?}");
            let point = points.remove(0);
            (point.follow.is_empty(), point.follow_caveat.unwrap_or_default())
        };
        let (is_none, why) = told(&evidence);
        assert!(is_none && why.ends_with("does not tell where crm stood"), "{why}");
        evidence.parts[1].master_status = evidence.parts[0].master_status.clone();
        assert!(!told(&evidence).0);
    }

    #[test]
    fn a_position_is_read_with_and_without_a_gtid() {
        assert_eq!(
            parse("bin.1,7,u:1-3,v:1"),
            Some(("bin.1".into(), 7, Some("u:1-3,v:1".into())))
        );
        assert_eq!(parse("bin.1,7"), Some(("bin.1".into(), 7, None)));
        assert_eq!(parse("Not a slave"), None);
        assert_eq!(parse(""), None);
    }
}
