//! How the products name what shows a binary log, and what makes a server follow it.

use super::Position;
use mykeeper_tools::restore::Scope;
use mykeeper_tools::rsync::shell_word;

/// In a statement, for what no set knows.
const UNKNOWN_PORT: &str = "PORT";
/// The account of a replica is one of its own, and its password stands nowhere.
const UNKNOWN_USER: &str = "REPLICATION-USER";
const UNKNOWN_PASSWORD: &str = "ITS-PASSWORD";

/// Whether `--rewrite-db` takes the name as the new one: it ends at the first blank.
pub(super) fn is_rewritable(there: &str) -> bool {
    !there.contains(char::is_whitespace)
}

/// How a product names these things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    MariaDb,
    /// Up to 8.0.22.
    OldMySql,
    MySql,
}

impl Product {
    pub(super) fn of(version: &str) -> Self {
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
    pub(super) fn command(
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
        // itself, under another name, and where each database is shown by itself, too.
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
        let file = shell_word(file);
        if is_whole || databases.len() < 2 {
            return format!("{command} {file}");
        }
        let names: Vec<_> = databases.iter().map(|name| shell_word(name)).collect();
        format!(
            "for database in {}; do {command} --database=\"$database\" {file}; done",
            names.join(" ")
        )
    }

    /// What keeps a replica to these databases; `None` where there is no such statement.
    pub(super) fn filter(self, databases: &[String]) -> Option<String> {
        match self {
            Self::MariaDb => {
                let names = databases.join(",");
                let is_one_each = databases.iter().all(|name| !name.contains(','));
                let text = names.replace('\\', "\\\\").replace('\'', "''");
                is_one_each.then(|| format!("SET GLOBAL replicate_do_db = '{text}'"))
            }
            Self::OldMySql | Self::MySql => {
                let names: Vec<String> = databases
                    .iter()
                    .map(|name| format!("`{}`", name.replace('`', "``")))
                    .collect();
                Some(format!(
                    "CHANGE REPLICATION FILTER REPLICATE_DO_DB = ({})",
                    names.join(", ")
                ))
            }
        }
    }

    /// What a replica is told, after the filter.
    pub(super) fn follow(
        self,
        point: &Position,
        (host, port): (&str, Option<u16>),
        filter: Option<String>,
    ) -> Vec<String> {
        let (change, prefix, start) = match self {
            Self::MariaDb | Self::OldMySql => ("CHANGE MASTER TO", "MASTER", "START SLAVE"),
            Self::MySql => ("CHANGE REPLICATION SOURCE TO", "SOURCE", "START REPLICA"),
        };
        let mut statements = Vec::from_iter(filter);
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
    use super::super::tests::point;
    use super::*;

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
            mariadb.follow(&point(Some("0-1-5")), ("db1", Some(3307)), None),
            [
                "SET GLOBAL gtid_slave_pos = '0-1-5'",
                "CHANGE MASTER TO MASTER_HOST = 'db1', MASTER_PORT = 3307, MASTER_USER = 'REPLICATION-USER', \
                 MASTER_PASSWORD = 'ITS-PASSWORD', MASTER_USE_GTID = slave_pos",
                "START SLAVE"
            ]
        );
        assert_eq!(
            mariadb.follow(&point(None), ("db1", Some(3307)), None)[0],
            "CHANGE MASTER TO MASTER_HOST = 'db1', MASTER_PORT = 3307, MASTER_USER = 'REPLICATION-USER', \
                 MASTER_PASSWORD = 'ITS-PASSWORD', MASTER_LOG_FILE = 'bin.000007', MASTER_LOG_POS = 4711"
        );
        assert_eq!(
            new.follow(
                &point(Some("3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5,0e:1")),
                ("db1", Some(3307)),
                None
            )[..2],
            [
                "SET GLOBAL gtid_purged = '3E11FA47-71CA-11E1-9E33-C80AA9429562:1-5,0e:1'",
                "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'db1', SOURCE_PORT = 3307, SOURCE_USER = 'REPLICATION-USER', \
                 SOURCE_PASSWORD = 'ITS-PASSWORD', SOURCE_AUTO_POSITION = 1"
            ]
        );
        assert_eq!(
            old.follow(&point(Some("u:1")), ("db1", Some(3307)), None)[1],
            "CHANGE MASTER TO MASTER_HOST = 'db1', MASTER_PORT = 3307, MASTER_USER = 'REPLICATION-USER', \
                 MASTER_PASSWORD = 'ITS-PASSWORD', MASTER_AUTO_POSITION = 1"
        );
    }

    #[test]
    fn a_replica_and_a_command_are_kept_to_several_databases() {
        let names = ["日志 库", "it's"].map(str::to_owned);
        let scope = Scope::whole(names.to_vec());
        let command = |product: Product| product.command(("bin.1", 4), &names, (&scope, false));
        assert_eq!(
            command(Product::MariaDb),
            r#"for database in '日志 库' 'it'\''s'; do mariadb-binlog --start-position=4 --database="$database" bin.1; done"#
        );
        assert!(command(Product::MySql).contains("--skip-gtids --database=\"$database\""));
        assert_eq!(
            Product::MariaDb.filter(&names).as_deref(),
            Some("SET GLOBAL replicate_do_db = '日志 库,it''s'")
        );
        assert_eq!(
            Product::OldMySql.filter(&names).as_deref(),
            Some("CHANGE REPLICATION FILTER REPLICATE_DO_DB = (`日志 库`, `it's`)")
        );
        assert_eq!(Product::MariaDb.filter(&["a,b".to_owned()]), None);
        let told = Product::MariaDb.follow(&point(None), ("h", None), Some("FILTER".to_owned()));
        assert_eq!((told.len(), told[0].as_str()), (3, "FILTER"));
    }
}
