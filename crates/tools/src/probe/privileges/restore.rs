//! What the account lacks for a restore.
//!
//! Found out with an account that has what is said here and nothing else, and the sample's objects of every kind.

use super::grants::{Grant, Grants, account_of};
use super::{Flavor, Missing, PrivilegeNeed, ServerVersion, grant_pattern, routines};
use std::collections::BTreeSet;

/// What is written into one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DatabaseNeed {
    /// As the server calls it.
    pub(crate) name: String,
    /// Something there is dropped before; so are the tables that dumps make in place of views.
    pub(crate) drops: bool,
    /// The tables that alone are written, into a database that is there; `None`: it is written whole.
    pub(crate) tables: Option<BTreeSet<String>>,
    /// Views are made.
    pub(crate) views: bool,
    /// Triggers.
    pub(crate) triggers: bool,
    /// Procedures and functions.
    pub(crate) routines: bool,
    /// Events.
    pub(crate) events: bool,
}

/// What a restore asks of its account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RestoreNeed {
    /// Where it writes.
    pub(crate) databases: Vec<DatabaseNeed>,
    /// Accounts that what is made names as definers, `user@host` each.
    pub(crate) definers: Vec<String>,
    /// Functions or triggers are made, while the binary log is on and trusts nobody's but an administrator's.
    pub(crate) distrusted: bool,
}

/// Why the account cannot write all of it, each with what an administrator may run.
pub(crate) fn missing_for_restore(
    grants: &[String],
    need: &RestoreNeed,
    server_version: &str,
) -> Vec<String> {
    let Some(account) = grants.iter().find_map(|grant| account_of(grant)) else {
        return Vec::new();
    };
    let held = Grants(grants.iter().filter_map(|grant| Grant::parse(grant)).collect());
    let version = ServerVersion::parse(server_version);
    let mut missing = Vec::new();
    for database in &need.databases {
        let lacking: Vec<&str> = privileges(database)
            .into_iter()
            .filter(|privilege| !holds(&held, privilege, database))
            .collect();
        if !lacking.is_empty() {
            let lacking = lacking.join(", ");
            missing.push(format!(
                "account {account} lacks {lacking} on database {}; have an administrator run: GRANT {lacking} ON {}.* TO \
                 {account};",
                database.name,
                grant_pattern(&database.name)
            ));
        }
    }
    let own = plain(&account);
    let other = need.definers.iter().find(|definer| plain(definer) != own);
    if other.is_some() {
        // What is compared afterwards must be seen.
        let with_routines = need.databases.iter().filter(|database| database.routines);
        let shown = PrivilegeNeed {
            databases: with_routines.map(|database| database.name.clone()).collect(),
            ..PrivilegeNeed::default()
        };
        let mut unseen = Missing {
            account: account.clone(),
            list: Vec::new(),
        };
        if !shown.databases.is_empty() {
            routines(&held, &shown, version, &mut unseen);
        }
        missing.extend(unseen.list.into_iter().map(|one| {
            format!(
                "account {account} lacks {} on {}, needed to {}; have an administrator run: {}",
                one.privilege, one.on, one.why, one.grant_statement
            )
        }));
    }
    let (privilege, enough) = for_definers(version);
    if let Some(definer) = other
        && !enough.iter().any(|privilege| held.global(privilege))
    {
        missing.push(format!(
            "account {account} may not define in the name of others, as of {definer}; have an administrator run: GRANT \
             {privilege} ON *.* TO {account};"
        ));
    }
    let may_log = ["SUPER", "BINLOG ADMIN"];
    if need.distrusted && !may_log.iter().any(|privilege| held.global(privilege)) {
        missing.push(format!(
            "account {account} may not make functions and triggers while the binary log is on; have an administrator run, \
             for as long as the restore takes: SET GLOBAL log_bin_trust_function_creators = 1;"
        ));
    }
    missing
}

/// On the database, or on each of the tables where no others are written.
fn holds(held: &Grants, privilege: &str, database: &DatabaseNeed) -> bool {
    let on_tables = database.tables.as_ref().is_some_and(|tables| {
        tables
            .iter()
            .all(|table| held.on_table(privilege, &database.name, table))
    });
    on_tables || held.on_database(privilege, &database.name)
}

fn privileges(database: &DatabaseNeed) -> Vec<&'static str> {
    let wanted = [
        (true, "CREATE"),
        (true, "INSERT"),
        (true, "SELECT"),
        (database.drops || database.views, "DROP"),
        (database.views, "CREATE VIEW"),
        (database.views, "SHOW VIEW"),
        (database.triggers, "TRIGGER"),
        (database.routines, "CREATE ROUTINE"),
        (database.routines, "ALTER ROUTINE"),
        (database.events, "EVENT"),
    ];
    let wanted = wanted.into_iter().filter(|(is_wanted, _)| *is_wanted);
    wanted.map(|(_, privilege)| privilege).collect()
}

/// What an account is given that defines in the name of others, and all that are enough.
fn for_definers(version: ServerVersion) -> (&'static str, &'static [&'static str]) {
    match version.flavor {
        Flavor::MariaDb if version.number >= (11, 0, 0) => ("SET USER", &["SET USER"]),
        Flavor::MariaDb if version.number >= (10, 5, 2) => ("SET USER", &["SET USER", "SUPER"]),
        Flavor::MySql if version.number >= (8, 2, 0) => ("SET_ANY_DEFINER", &["SET_ANY_DEFINER", "SUPER"]),
        Flavor::MySql if version.number >= (8, 0, 0) => ("SET_USER_ID", &["SET_USER_ID", "SUPER"]),
        Flavor::MariaDb | Flavor::MySql => ("SUPER", &["SUPER"]),
    }
}

/// `` `a`@`b` `` as a definer is written: `a@b`.
fn plain(account: &str) -> String {
    account.replace(['`', '\'', '"'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_restore_lacks_comes_with_the_statement_that_grants_it() {
        let need = RestoreNeed {
            databases: vec![DatabaseNeed {
                name: "a_b".into(),
                views: true,
                ..DatabaseNeed::default()
            }],
            definers: vec!["me@%".into(), "app@%".into()],
            distrusted: true,
        };
        let grants = |lines: &[&str]| -> Vec<String> { lines.iter().map(ToString::to_string).collect() };
        let missing = |lines: &[&str], version| missing_for_restore(&grants(lines), &need, version);
        assert_eq!(
            missing(&["GRANT ALL PRIVILEGES ON *.* TO `me`@`%`"], "11.4.2-MariaDB"),
            [""; 0]
        );
        let some = [
            "GRANT USAGE ON *.* TO `me`@`%`",
            "GRANT SELECT, CREATE, DROP ON `a\\_b`.* TO `me`@`%`",
        ];
        let told = missing(&some, "10.11.6-MariaDB");
        assert_eq!(
            told[0],
            "account `me`@`%` lacks INSERT, CREATE VIEW, SHOW VIEW on database a_b; have an administrator run: GRANT INSERT, \
             CREATE VIEW, SHOW VIEW ON `a\\_b`.* TO `me`@`%`;"
        );
        assert!(told[1].contains("as of app@%") && told[1].ends_with("GRANT SET USER ON *.* TO `me`@`%`;"));
        assert!(told[2].ends_with("SET GLOBAL log_bin_trust_function_creators = 1;"));
        let mut of_tables = need.clone();
        of_tables.definers.clear();
        of_tables.distrusted = false;
        of_tables.databases[0].views = false;
        of_tables.databases[0].tables = Some(["t".to_owned(), "u".to_owned()].into());
        let on = |table: &str| format!("GRANT SELECT, INSERT, CREATE, DROP ON `a_b`.`{table}` TO `me`@`%`");
        let both = [on("t"), on("u")];
        let none = missing_for_restore(&both, &of_tables, "10.11.6-MariaDB");
        assert_eq!(none, [""; 0], "rights on the tables are enough");
        let one = missing_for_restore(&both[..1], &of_tables, "10.11.6-MariaDB");
        assert!(one[0].contains("lacks CREATE, INSERT, SELECT on"), "{one:?}");
        of_tables.databases[0].tables = None;
        let whole = missing_for_restore(&both, &of_tables, "10.11.6-MariaDB");
        assert_eq!(whole, one, "a whole database has others");
        let old = missing(&some, "8.0.30");
        assert!(old[1].contains("GRANT SET_USER_ID ON *.*"), "{old:?}");
    }
}
