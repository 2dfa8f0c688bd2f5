//! Where a restored set stands in binary logs, and how to go on from there.

use mykeeper_domain::backup::Backup;
use mykeeper_domain::evidence::Evidence;
use mykeeper_tools::restore::{Scope, is_system_database};
use mykeeper_tools::rsync::shell_word;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// In a command, for what no set knows.
const UNKNOWN_HOST: &str = "HOST";
const UNKNOWN_PORT: &str = "PORT";
/// The account of a replica is one of its own, and its password stands nowhere.
const UNKNOWN_USER: &str = "REPLICATION-USER";
const UNKNOWN_PASSWORD: &str = "ITS-PASSWORD";

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
    /// Statements that make the restored server follow from there. Empty where it cannot: it has only some of the
    /// databases, or not all as of one point.
    pub follow: Vec<String>,
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
            ", in the binary log {whose}\n  what was written since, {at}:\n    {}",
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
        Ok(())
    }
}

/// Where each part of what is restored stands. `port` is that of the set's server, where the set itself does not know it.
pub(super) fn positions(
    backup: &Backup,
    evidence: Option<&Evidence>,
    scope: &Scope,
    port: Option<u16>,
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
    let is_whole = is_whole(backup, evidence, scope);
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
            })
        })
        .collect();
    for of in [Whose::Server, Whose::Primary] {
        let mut these: Vec<&mut Position> = points.iter_mut().filter(|point| point.of == of).collect();
        if let (true, [point]) = (is_whole, these.as_mut_slice()) {
            let address = match of {
                Whose::Server => (backup.bk_server.as_str(), port),
                Whose::Primary => (UNKNOWN_HOST, None),
            };
            point.follow = product.follow(point, address);
        }
    }
    points
}

/// All that the set holds, under its own names. The server's own databases never are.
fn is_whole(backup: &Backup, evidence: Option<&Evidence>, scope: &Scope) -> bool {
    let held = evidence
        .iter()
        .flat_map(|evidence| evidence.inventory.databases.keys());
    let mut all = backup.databases.iter().chain(held);
    scope.renamed.is_empty()
        && scope.tables.is_empty()
        && all.all(|name| is_system_database(name) || scope.databases.contains(name))
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
        [_] if !tables.is_empty() => Some(format!(
            "it shows the changes of all tables of that database: there is no filter for tables, so take out by hand what is \
             not of {}",
            tables.join(", ")
        )),
        [only] if scope.there(only) != only => Some(format!(
            "--database and --rewrite-db take a statement by the database that was current (USE) when it was run, and a change \
             of rows by that of its table: look for statements that name another database, and for those that name {only} \
             themselves, which go on writing there"
        )),
        [_] => Some(
            "--database takes a statement by the database that was current (USE) when it was run, and a change of rows by \
             that of its table: look for statements that name another database"
                .to_owned(),
        ),
        several => Some(format!(
            "it shows the changes of all databases: run it once for each of {}, with --database=NAME",
            several.join(", ")
        )),
    }
}

/// Whether `--rewrite-db` takes the name as the new one: it ends at the first blank.
fn is_rewritable(there: &str) -> bool {
    !there.contains(char::is_whitespace)
}

/// `file,position[,gtid]`; a GTID of MySQL holds commas itself.
fn parse(status: &str) -> Option<(String, u64, Option<String>)> {
    let mut words = status.splitn(3, ',').map(str::trim);
    let (file, position) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
    let gtid = words.next().filter(|gtid| !gtid.is_empty()).map(str::to_owned);
    Some((file, position, gtid))
}

/// How a product names these things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Product {
    MariaDb,
    /// Up to 8.0.22.
    OldMySql,
    MySql,
}

impl Product {
    fn of(version: &str) -> Self {
        if version.to_ascii_lowercase().contains("mariadb") {
            return Self::MariaDb;
        }
        let numbers: Vec<u32> = version
            .split(|c: char| !c.is_ascii_digit())
            .map_while(|word| word.parse().ok())
            .take(3)
            .collect();
        if numbers.as_slice() < [8, 0, 23].as_slice() {
            Self::OldMySql
        } else {
            Self::MySql
        }
    }

    /// What shows the statements since.
    fn command(
        self,
        (file, position): (&str, u64),
        databases: &[String],
        (scope, is_whole): (&Scope, bool),
    ) -> String {
        let program = match self {
            Self::MariaDb => "mariadb-binlog",
            Self::OldMySql | Self::MySql => "mysqlbinlog",
        };
        let mut command = format!("{program} --start-position={position}");
        // A server of MySQL's passes over what it has carried out by its GTID, and says nothing: that it does on the source
        // itself, and under another name, too.
        if self != Self::MariaDb {
            command.push_str(" --skip-gtids");
        }
        // The programs take one database at most.
        if let (false, [only]) = (is_whole, databases) {
            let there = scope.there(only);
            if there != only && is_rewritable(there) {
                command.push_str(&format!(
                    " --rewrite-db={}",
                    shell_word(&format!("{only}->{there}"))
                ));
            }
            // MariaDB's program filters by the name as it was logged, MySQL's by the rewritten one.
            let filtered = match self {
                Self::OldMySql | Self::MySql if is_rewritable(there) => there,
                Self::MariaDb | Self::OldMySql | Self::MySql => only,
            };
            command.push_str(&format!(" --database={}", shell_word(filtered)));
        }
        format!("{command} {}", shell_word(file))
    }

    /// What a replica is told.
    fn follow(self, point: &Position, (host, port): (&str, Option<u16>)) -> Vec<String> {
        let (change, prefix, start) = match self {
            Self::MariaDb | Self::OldMySql => ("CHANGE MASTER TO", "MASTER", "START SLAVE"),
            Self::MySql => ("CHANGE REPLICATION SOURCE TO", "SOURCE", "START REPLICA"),
        };
        let mut statements = Vec::new();
        let place = match (&point.gtid, self) {
            (Some(gtid), Self::MariaDb) => {
                statements.push(format!("SET GLOBAL gtid_slave_pos = '{gtid}'"));
                "MASTER_USE_GTID = slave_pos".to_owned()
            }
            (Some(gtid), _) => {
                statements.push(format!("SET GLOBAL gtid_purged = '{gtid}'"));
                format!("{prefix}_AUTO_POSITION = 1")
            }
            (None, _) => format!(
                "{prefix}_LOG_FILE = '{}', {prefix}_LOG_POS = {}",
                point.file, point.position
            ),
        };
        let port = port.map_or_else(|| UNKNOWN_PORT.to_owned(), |port| port.to_string());
        statements.push(format!(
            "{change} {prefix}_HOST = '{host}', {prefix}_PORT = {port}, {prefix}_USER = '{UNKNOWN_USER}', \
             {prefix}_PASSWORD = '{UNKNOWN_PASSWORD}', {place}"
        ));
        statements.push(start.to_owned());
        statements
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn point(gtid: Option<&str>) -> Position {
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
        }
    }

    #[test]
    fn a_replica_is_told_in_the_words_of_its_product() {
        let (mariadb, old, new) = (
            Product::of("10.11.6-MariaDB-log"),
            Product::of("8.0.22"),
            Product::of("8.4.3-commercial"),
        );
        assert_eq!(
            (mariadb, old, new),
            (Product::MariaDb, Product::OldMySql, Product::MySql)
        );
        assert_eq!(Product::of("5.7.44-log"), Product::OldMySql);
        assert_eq!(
            mariadb.follow(&point(Some("0-1-5")), ("db1", Some(3307))),
            [
                "SET GLOBAL gtid_slave_pos = '0-1-5'",
                "CHANGE MASTER TO MASTER_HOST = 'db1', MASTER_PORT = 3307, MASTER_USER = 'REPLICATION-USER', \
                 MASTER_PASSWORD = 'ITS-PASSWORD', MASTER_USE_GTID = slave_pos",
                "START SLAVE"
            ]
        );
        assert_eq!(
            mariadb.follow(&point(None), ("db1", Some(3307)))[0],
            "CHANGE MASTER TO MASTER_HOST = 'db1', MASTER_PORT = 3307, MASTER_USER = 'REPLICATION-USER', \
                 MASTER_PASSWORD = 'ITS-PASSWORD', MASTER_LOG_FILE = 'bin.000007', MASTER_LOG_POS = 4711"
        );
        assert_eq!(
            new.follow(
                &point(Some("3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5,0e:1")),
                ("db1", Some(3307))
            )[..2],
            [
                "SET GLOBAL gtid_purged = '3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5,0e:1'",
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'db1', SOURCE_PORT = 3307, SOURCE_USER = 'REPLICATION-USER', \
                 SOURCE_PASSWORD = 'ITS-PASSWORD', SOURCE_AUTO_POSITION = 1"
            ]
        );
        assert_eq!(
            old.follow(&point(Some("u:1")), ("db1", Some(3307)))[1],
            "CHANGE MASTER TO MASTER_HOST = 'db1', MASTER_PORT = 3307, MASTER_USER = 'REPLICATION-USER', \
                 MASTER_PASSWORD = 'ITS-PASSWORD', MASTER_AUTO_POSITION = 1"
        );
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
