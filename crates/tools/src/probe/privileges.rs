//! What the account may do, from `SHOW GRANTS`, and what it lacks for a dump.
//!
//! Found out with accounts that lack one privilege at a time: without SELECT on `mysql.proc` MariaDB shows neither
//! the routines of others nor, to one who may execute them, their bodies, and mydumper 0.10 writes `(null)` for them
//! and exits 0; without TRIGGER or SHOW VIEW and the like objects are not to be seen at all.

mod grants;
mod restore;

pub(super) use grants::without_digest;
use grants::{Grant, Grants, account_of};
pub(crate) use restore::{DatabaseNeed, RestoreNeed, missing_for_restore};

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavor {
    /// MySQL, Percona Server and other close kin.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// What a server calls itself, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    /// Whose it is.
    pub flavor: Flavor,
    /// Major, minor, patch.
    pub number: (u32, u32, u32),
}

impl ServerVersion {
    /// From `SELECT VERSION()`.
    pub fn parse(text: &str) -> Self {
        // Old MariaDB put this before its own number, for replicas of its time.
        let text = text.strip_prefix("5.5.5-").unwrap_or(text);
        let flavor = if text.to_ascii_lowercase().contains("mariadb") {
            Flavor::MariaDb
        } else {
            Flavor::MySql
        };
        let mut parts = text
            .split(|c: char| !c.is_ascii_digit() && c != '.')
            .next()
            .unwrap_or_default()
            .split('.')
            .map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        Self {
            flavor,
            number: (next(), next(), next()),
        }
    }
}

/// What a dump asks of its account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivilegeNeed {
    /// The databases.
    pub databases: Vec<String>,
    /// Others that mydumper looks into on its way.
    pub passed_through: Vec<String>,
    /// Definitions of tables and views are dumped.
    pub schemas: bool,
    /// Triggers are dumped.
    pub triggers: bool,
    /// Procedures and functions are dumped.
    pub routines: bool,
    /// Events are dumped.
    pub events: bool,
    /// The dump holds the global lock for a moment, so that it is of one point in time.
    pub global_lock: bool,
    /// The dump locks tables one by one.
    pub table_locks: bool,
    /// mydumper keeps its savepoints out of the binary log.
    pub savepoints: bool,
    /// mydumper locks definitions (0.11 and later).
    pub backup_locks: bool,
}

/// One privilege that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPrivilege {
    /// As it stands in a GRANT statement.
    pub privilege: &'static str,
    /// On what, as it stands in a GRANT statement.
    pub on: String,
    /// What fails without it; reads after "needed to".
    pub why: &'static str,
    /// What an administrator may run.
    pub grant_statement: String,
    /// A dump is complete without it, and lacks something that is good to have.
    pub optional: bool,
}

/// What the account lacks, from its `SHOW GRANTS` and the server's `SELECT VERSION()`.
pub fn missing_privileges(
    grants: &[String],
    need: &PrivilegeNeed,
    server_version: &str,
) -> Vec<MissingPrivilege> {
    let account = grants
        .iter()
        .find_map(|grant| account_of(grant))
        .unwrap_or_else(|| "<account>".to_owned());
    let held = Grants(grants.iter().filter_map(|grant| Grant::parse(grant)).collect());
    let version = ServerVersion::parse(server_version);
    let mut missing = Missing {
        account,
        list: Vec::new(),
    };
    for database in &need.databases {
        on_database(&held, need, database, &mut missing);
    }
    for database in &need.passed_through {
        passing_through(&held, need, database, &mut missing);
    }
    if need.routines {
        routines(&held, need, version, &mut missing);
    }
    on_server(&held, need, version, &mut missing);
    missing.list
}

struct Missing {
    account: String,
    list: Vec<MissingPrivilege>,
}

impl Missing {
    fn add(&mut self, privilege: &'static str, on: String, why: &'static str, optional: bool) {
        let grant_statement = format!("GRANT {privilege} ON {on} TO {};", self.account);
        self.list.push(MissingPrivilege {
            privilege,
            on,
            why,
            grant_statement,
            optional,
        });
    }
}

fn on_database(held: &Grants, need: &PrivilegeNeed, database: &str, missing: &mut Missing) {
    for (needed, privilege, why) in [
        (true, "SELECT", "read the tables"),
        (need.schemas, "SHOW VIEW", "read the definitions of views"),
        (need.triggers, "TRIGGER", "see the triggers"),
        (need.events, "EVENT", "see the events"),
        (need.table_locks, "LOCK TABLES", "lock the tables"),
    ] {
        if needed && !held.on_database(privilege, database) {
            missing.add(privilege, format!("{}.*", grant_pattern(database)), why, false);
        }
    }
}

/// mydumper 0.10 enters every database that the account sees before it looks at the regex, and with `events` asks each
/// for its events (`SHOW EVENTS FROM`): refused once, it ends with 1. EVENT lets it in, too.
fn passing_through(held: &Grants, need: &PrivilegeNeed, database: &str, missing: &mut Missing) {
    const WHY: &str = "get past it: mydumper 0.10 enters every database that the account sees; without the privilege \
                       SHOW DATABASES it sees only those that it has rights on";
    const WHY_EVENT: &str = "get past it: mydumper 0.10 with the option events asks every database that the account sees \
                             for its events; without the privilege SHOW DATABASES it sees only those that it has rights on";
    let on = || format!("{}.*", grant_pattern(database));
    if need.events && !held.on_database("EVENT", database) {
        missing.add("EVENT", on(), WHY_EVENT, false);
    } else if !held.enters(database) {
        missing.add("SELECT", on(), WHY, false);
    }
}

/// See <https://mariadb.com/kb/en/show-create-procedure/> and MySQL's manual on `SHOW_ROUTINE`.
fn routines(held: &Grants, need: &PrivilegeNeed, version: ServerVersion, missing: &mut Missing) {
    const WHY: &str = "see the routines of other accounts and their bodies";
    match version.flavor {
        Flavor::MySql if version.number >= (8, 0, 20) => {
            if !held.global("SHOW_ROUTINE") && !held.global("SELECT") {
                missing.add("SHOW_ROUTINE", "*.*".to_owned(), WHY, false);
            }
        }
        Flavor::MySql if version.number >= (8, 0, 0) => {
            if !held.global("SELECT") {
                missing.add("SELECT", "*.*".to_owned(), WHY, false);
            }
        }
        Flavor::MySql | Flavor::MariaDb => {
            let everywhere = need
                .databases
                .iter()
                .all(|database| held.on_database("SHOW CREATE ROUTINE", database));
            let by_right = version.flavor == Flavor::MariaDb && version.number >= (11, 3, 0) && everywhere;
            if !by_right && !held.on_table("SELECT", "mysql", "proc") {
                missing.add("SELECT", "`mysql`.`proc`".to_owned(), WHY, false);
            }
        }
    }
}

fn on_server(held: &Grants, need: &PrivilegeNeed, version: ServerVersion, missing: &mut Missing) {
    let modern_maria = version.flavor == Flavor::MariaDb && version.number >= (10, 5, 0);
    let mut demand = |enough: &[&str], privilege, why, optional| {
        if !enough.iter().chain([&privilege]).any(|one| held.global(one)) {
            missing.add(privilege, "*.*".to_owned(), why, optional);
        }
    };
    if need.global_lock {
        demand(
            &[],
            "RELOAD",
            "take the lock that makes it one point in time",
            false,
        );
    }
    if need.backup_locks && version.flavor == Flavor::MySql && version.number >= (8, 0, 0) {
        demand(&[], "BACKUP_ADMIN", "keep definitions unchanged meanwhile", false);
    }
    if need.savepoints {
        const WHY: &str = "use savepoints (option use-savepoints)";
        if modern_maria {
            demand(&["SUPER"], "BINLOG ADMIN", WHY, false);
        } else if version.number >= (8, 0, 14) {
            demand(
                &["SUPER", "SYSTEM_VARIABLES_ADMIN"],
                "SESSION_VARIABLES_ADMIN",
                WHY,
                false,
            );
        } else {
            demand(&[], "SUPER", WHY, false);
        }
    }
    let positions = "record the position in the binary log";
    if modern_maria {
        demand(
            &["REPLICATION CLIENT", "SUPER"],
            "BINLOG MONITOR",
            positions,
            // 0.10 goes on without the position; later versions end with an error.
            !need.backup_locks,
        );
        demand(
            &["REPLICA MONITOR"],
            "SLAVE MONITOR",
            "record the position of a replica",
            true,
        );
    } else {
        demand(&["SUPER"], "REPLICATION CLIENT", positions, true);
    }
    if need.global_lock || need.table_locks {
        demand(
            &[],
            "PROCESS",
            "notice long queries that would hold up the lock",
            true,
        );
    }
}

/// Wildcards in the name of a database are taken as they are only behind a backslash.
fn grant_pattern(database: &str) -> String {
    format!(
        "`{}`",
        database
            .replace('`', "``")
            .replace('_', "\\_")
            .replace('%', "\\%")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARIADB: &str = "10.11.14-MariaDB-0+deb12u2-log";

    fn need(databases: &[&str]) -> PrivilegeNeed {
        PrivilegeNeed {
            databases: databases.iter().map(|name| (*name).to_owned()).collect(),
            schemas: true,
            triggers: true,
            routines: true,
            events: true,
            global_lock: true,
            ..PrivilegeNeed::default()
        }
    }

    fn missing(grants: &[&str], need: &PrivilegeNeed, version: &str) -> Vec<String> {
        let grants: Vec<String> = grants.iter().map(|grant| (*grant).to_owned()).collect();
        missing_privileges(&grants, need, version)
            .iter()
            .filter(|one| !one.optional)
            .map(|one| format!("{} ON {}", one.privilege, one.on))
            .collect()
    }

    #[test]
    fn an_account_with_the_least_privileges_lacks_nothing() {
        let grants = [
            "GRANT RELOAD, PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.* TO `lp`@`localhost`",
            "GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON `shop`.* TO `lp`@`localhost`",
            "GRANT SELECT ON `mysql`.`proc` TO `lp`@`localhost`",
        ];
        let owned: Vec<String> = grants.iter().map(|grant| (*grant).to_owned()).collect();
        assert_eq!(missing_privileges(&owned, &need(&["shop"]), MARIADB), []);
    }

    #[test]
    fn what_is_lacking_comes_with_the_statement_that_grants_it() {
        let grants = vec!["GRANT USAGE ON *.* TO `b k`@`10.0.0.%`".to_owned()];
        let list = missing_privileges(&grants, &need(&["a_b"]), MARIADB);
        let statements: Vec<&str> = list.iter().map(|one| one.grant_statement.as_str()).collect();
        assert_eq!(
            statements,
            [
                "GRANT SELECT ON `a\\_b`.* TO `b k`@`10.0.0.%`;",
                "GRANT SHOW VIEW ON `a\\_b`.* TO `b k`@`10.0.0.%`;",
                "GRANT TRIGGER ON `a\\_b`.* TO `b k`@`10.0.0.%`;",
                "GRANT EVENT ON `a\\_b`.* TO `b k`@`10.0.0.%`;",
                "GRANT SELECT ON `mysql`.`proc` TO `b k`@`10.0.0.%`;",
                "GRANT RELOAD ON *.* TO `b k`@`10.0.0.%`;",
                "GRANT BINLOG MONITOR ON *.* TO `b k`@`10.0.0.%`;",
                "GRANT SLAVE MONITOR ON *.* TO `b k`@`10.0.0.%`;",
                "GRANT PROCESS ON *.* TO `b k`@`10.0.0.%`;",
            ]
        );
    }

    #[test]
    fn a_database_that_is_only_passed_through_must_be_entered() {
        let need = PrivilegeNeed {
            passed_through: ["sys", "old", "mysql"].map(str::to_owned).into(),
            ..PrivilegeNeed::default()
        };
        let grants = [
            "GRANT SHOW DATABASES, RELOAD ON *.* TO `b`@`%`",
            "GRANT EXECUTE ON `old`.* TO `b`@`%`",
            "GRANT SELECT ON `mysql`.`proc` TO `b`@`%`",
        ];
        let missing = missing_privileges(&grants.map(str::to_owned), &need, MARIADB);
        let statements: Vec<&str> = missing
            .iter()
            .filter(|one| !one.optional)
            .map(|one| one.grant_statement.as_str())
            .collect();
        assert_eq!(statements, ["GRANT SELECT ON `sys`.* TO `b`@`%`;"]);
        let with_events = PrivilegeNeed { events: true, ..need };
        let grants = [&grants[..], &["GRANT EVENT ON `mysql`.* TO `b`@`%`"]].concat();
        assert_eq!(
            self::missing(&grants, &with_events, MARIADB),
            ["EVENT ON `sys`.*", "EVENT ON `old`.*"]
        );
    }

    #[test]
    fn long_queries_are_to_be_seen_before_any_lock() {
        let grants = vec!["GRANT SELECT, LOCK TABLES, SHOW VIEW ON *.* TO `b`@`%`".to_owned()];
        let lacks = |global_lock, table_locks| {
            let need = PrivilegeNeed {
                global_lock,
                table_locks,
                ..PrivilegeNeed::default()
            };
            let missing = missing_privileges(&grants, &need, MARIADB);
            missing.iter().any(|one| one.privilege == "PROCESS")
        };
        assert!(lacks(true, false) && lacks(false, true) && !lacks(false, false));
    }

    #[test]
    fn all_privileges_and_wildcards_and_roles_count() {
        let all = "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION";
        assert_eq!(missing(&[all], &need(&["shop", "日志 库-1"]), MARIADB), [""; 0]);
        let wild = [
            "GRANT `dumper` TO `lp`@`localhost`",
            "GRANT USAGE ON *.* TO `lp`@`localhost`",
            "GRANT RELOAD ON *.* TO `dumper`",
            "GRANT ALL PRIVILEGES ON `log\\_%`.* TO `dumper`",
            "GRANT SELECT ON `mysql`.* TO `dumper`",
        ];
        assert_eq!(missing(&wild, &need(&["log_1"]), MARIADB), [""; 0]);
        assert_eq!(
            missing(&wild, &need(&["logs"]), MARIADB),
            [
                "SELECT ON `logs`.*",
                "SHOW VIEW ON `logs`.*",
                "TRIGGER ON `logs`.*",
                "EVENT ON `logs`.*"
            ]
        );
    }

    #[test]
    fn a_privilege_on_columns_or_on_one_table_is_not_enough() {
        let grants = [
            "GRANT RELOAD, SHOW VIEW, TRIGGER, EVENT ON *.* TO `lp`@`%`",
            "GRANT SELECT (`a, b`, `c`), INSERT (`a`) ON `shop`.`t` TO `lp`@`%`",
            "GRANT SELECT ON `shop`.`orders` TO `lp`@`%`",
            "GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `lp`@`%`",
            "GRANT SELECT ON `mysql`.`proc` TO `lp`@`%`",
        ];
        assert_eq!(
            missing(&grants, &need(&["shop"]), MARIADB),
            ["SELECT ON `shop`.*"]
        );
    }

    #[test]
    fn the_most_specific_pattern_counts_alone() {
        let grants = [
            "GRANT RELOAD ON *.* TO `g`@`%`",
            "GRANT SELECT ON `shop\\_a`.* TO `g`@`%`",
            "GRANT SELECT, SHOW VIEW, EVENT, TRIGGER ON `shop%`.* TO `g`@`%`",
            "GRANT SELECT ON `mysql`.`proc` TO `g`@`%`",
        ];
        assert_eq!(
            missing(&grants, &need(&["shop_a"]), MARIADB),
            [
                "SHOW VIEW ON `shop\\_a`.*",
                "TRIGGER ON `shop\\_a`.*",
                "EVENT ON `shop\\_a`.*"
            ]
        );
        assert_eq!(missing(&grants, &need(&["shop_b"]), MARIADB), [""; 0]);
        let with_role = [
            &grants[..],
            &["GRANT SHOW VIEW, EVENT, TRIGGER ON `%`.* TO `role`"],
        ]
        .concat();
        assert_eq!(missing(&with_role, &need(&["shop_a"]), MARIADB), [""; 0]);
    }

    #[test]
    fn mysql_has_words_of_its_own() {
        let grants = [
            "GRANT SELECT, RELOAD, PROCESS, SHOW VIEW, EVENT, TRIGGER, REPLICATION CLIENT ON *.* TO `b`@`%`",
            "REVOKE SELECT ON `secret`.* FROM `b`@`%`",
        ];
        let mut need = need(&["shop", "secret"]);
        need.backup_locks = true;
        assert_eq!(
            missing(&grants, &need, "8.0.36"),
            ["SELECT ON `secret`.*", "BACKUP_ADMIN ON *.*"]
        );
        let narrow = [
            "GRANT RELOAD ON *.* TO `b`@`%`",
            "GRANT ALL PRIVILEGES ON `shop`.* TO `b`@`%`",
        ];
        need.databases = vec!["shop".into()];
        assert_eq!(
            missing(&narrow, &need, "8.4.3"),
            ["SHOW_ROUTINE ON *.*", "BACKUP_ADMIN ON *.*"]
        );
    }

    #[test]
    fn no_digest_of_a_password_is_handed_on() {
        assert_eq!(
            without_digest(
                "GRANT RELOAD ON *.* TO `lp`@`localhost` IDENTIFIED BY PASSWORD '*B6' WITH GRANT OPTION"
            ),
            "GRANT RELOAD ON *.* TO `lp`@`localhost`"
        );
    }

    #[test]
    fn versions_are_read() {
        for (text, flavor, number) in [
            (MARIADB, Flavor::MariaDb, (10, 11, 14)),
            ("5.5.5-10.3.39-MariaDB", Flavor::MariaDb, (10, 3, 39)),
            ("8.0.36-28-percona", Flavor::MySql, (8, 0, 36)),
            ("8.4.3", Flavor::MySql, (8, 4, 3)),
        ] {
            assert_eq!(
                ServerVersion::parse(text),
                ServerVersion { flavor, number },
                "{text}"
            );
        }
    }
}
