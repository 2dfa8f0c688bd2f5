//! What of a set is restored, as it was asked for, and what keeps a server from being written to.

use super::Obstacle;
use super::plan::census;
use mykeeper_config::nearest;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::inventory::{Coverage, DatabaseInventory};
use mykeeper_domain::job::RestoreTask;
use mykeeper_tools::pairing::{Taker, wrong_pairing};
use mykeeper_tools::restore::{Scope, Target, is_system_database};
use std::collections::{BTreeMap, BTreeSet};

/// Said of a database that no restore touches.
const WHY: &str = "is the server's own: accounts and privileges of a running server are not replaced; load what is \
                   needed of it by hand";
/// Characters of a database's name.
const MAX_NAME: usize = 64;
/// So many of a database's tables are named where another was asked for.
const TABLES_NAMED: usize = 20;

/// What is to be written, and what is said of the rest.
pub(super) fn choose(
    backup: &Backup,
    evidence: Option<&Evidence>,
    task: &RestoreTask,
) -> Result<(Scope, Vec<String>), Obstacle> {
    let held = Held::of(backup, evidence);
    let tables = held.tables(&task.tables)?;
    for name in &task.databases {
        held.may_be_asked(name)?;
    }
    let is_asked = |name: &str| {
        let everything = task.databases.is_empty() && tables.is_empty();
        everything || tables.contains_key(name) || task.databases.iter().any(|asked| asked == name)
    };
    let (system, others): (Vec<&str>, Vec<&str>) = held
        .databases
        .iter()
        .copied()
        .filter(|name| is_asked(name))
        .partition(|name| is_system_database(name));
    if others.is_empty() {
        return Err(Obstacle::Asked(format!(
            "set {} holds no database that can be restored",
            backup.id
        )));
    }
    let left_out = system.into_iter().map(|name| format!("{name} {WHY}")).collect();
    let mut scope = Scope::whole(others.into_iter().map(str::to_owned).collect());
    scope.tables = tables;
    if let Some(new_name) = &task.new_name {
        rename(&mut scope, new_name)?;
    }
    Ok((scope, left_out))
}

fn rename(scope: &mut Scope, new_name: &str) -> Result<(), Obstacle> {
    let [database] = scope.databases.as_slice() else {
        return Err(Obstacle::Asked(format!(
            "--as {new_name:?} names one database, and {} would be restored; name the one with --database",
            scope.databases.len()
        )));
    };
    if is_system_database(new_name) {
        return Err(Obstacle::Asked(format!("--as {new_name:?} cannot be: it {WHY}")));
    }
    let is_name = !new_name.is_empty() && new_name.chars().count() <= MAX_NAME && !new_name.ends_with(' ');
    if !is_name || new_name.chars().any(char::is_control) {
        return Err(Obstacle::Asked(format!(
            "--as {new_name:?} is no name of a database; it takes 1 to {MAX_NAME} characters and does not end in a space"
        )));
    }
    if database != new_name {
        scope.renamed = BTreeMap::from([(database.clone(), new_name.to_owned())]);
    }
    Ok(())
}

/// What a set holds, as far as that is known before its files are read.
struct Held<'a> {
    backup: &'a Backup,
    databases: BTreeSet<&'a str>,
    /// By database, where the evidence tells.
    inventory: BTreeMap<&'a str, &'a DatabaseInventory>,
}

impl<'a> Held<'a> {
    fn of(backup: &'a Backup, evidence: Option<&'a Evidence>) -> Self {
        let inventory: BTreeMap<&str, &DatabaseInventory> = evidence
            .iter()
            .flat_map(|evidence| &evidence.inventory.databases)
            .map(|(name, held)| (name.as_str(), held))
            .collect();
        let mut databases: BTreeSet<&str> = backup.databases.iter().map(String::as_str).collect();
        databases.extend(inventory.keys());
        Self {
            backup,
            databases,
            inventory,
        }
    }

    fn may_be_asked(&self, name: &str) -> Result<(), Obstacle> {
        if is_system_database(name) {
            return Err(Obstacle::Asked(format!("database {name} {WHY}")));
        }
        if !self.databases.contains(name) {
            let all = self.databases.iter().copied();
            let hint = nearest(name, all.clone()).map_or_else(
                || format!("it holds: {}", all.collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean {near:?}?"),
            );
            return Err(Obstacle::Asked(format!(
                "set {} holds no database {name:?}; {hint}",
                self.backup.id
            )));
        }
        Ok(())
    }

    /// `database.table` each, by database.
    fn tables(&self, asked: &[String]) -> Result<BTreeMap<String, BTreeSet<String>>, Obstacle> {
        let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for text in asked {
            let (database, table) = self.table(text)?;
            tables.entry(database).or_default().insert(table);
        }
        Ok(tables)
    }

    /// Where names hold dots, what the set holds decides.
    fn table(&self, text: &str) -> Result<(String, String), Obstacle> {
        let id = self.backup.id;
        let readings = readings(text);
        if readings.is_empty() {
            return Err(Obstacle::Asked(format!(
                "--table {text:?} is no table; write the database, a dot and the table: shop.orders"
            )));
        }
        let known: Vec<&(String, String)> = readings
            .iter()
            .filter(|(database, _)| self.databases.contains(database.as_str()))
            .collect();
        let Some((database, table)) = known.first() else {
            let (database, _) = &readings[0];
            self.may_be_asked(database)?;
            return Err(Obstacle::Asked(format!("set {id} holds no table {text:?}")));
        };
        if is_system_database(database) {
            return Err(Obstacle::Asked(format!("database {database} {WHY}")));
        }
        let has = |(database, table): &&&(String, String)| {
            self.inventory
                .get(database.as_str())
                .is_none_or(|held| held.tables.contains_key(table) || held.sequences.contains(table))
        };
        match known.iter().filter(has).collect::<Vec<_>>().as_slice() {
            [(database, table)] => Ok((database.clone(), table.clone())),
            [] => Err(Obstacle::Asked(self.no_table((database, table)))),
            _ => Err(Obstacle::Asked(format!(
                "--table {text:?} may be one of several tables; write the names in backticks: '`{database}`.`{table}`'"
            ))),
        }
    }

    fn no_table(&self, (database, table): (&str, &str)) -> String {
        let id = self.backup.id;
        let held = self.inventory.get(database);
        if held.is_some_and(|held| held.views.contains(table)) {
            return format!(
                "{table} is a view of database {database} in set {id}; --table takes tables, a view comes with its \
                 database"
            );
        }
        let names = held
            .iter()
            .flat_map(|held| held.tables.keys().map(String::as_str));
        let all: Vec<&str> = names.clone().take(TABLES_NAMED + 1).collect();
        let hint = match nearest(table, names) {
            Some(near) => format!("; did you mean {:?}?", format!("{database}.{near}")),
            None if all.is_empty() => String::new(),
            None if all.len() > TABLES_NAMED => {
                format!("; it holds: {} and more", all[..TABLES_NAMED].join(", "))
            }
            None => format!("; it holds: {}", all.join(", ")),
        };
        format!("set {id} holds no table {table:?} of database {database}{hint}")
    }
}

/// Every way to read `a.b.c` as a database and a table; one where the names stand in backticks.
fn readings(text: &str) -> Vec<(String, String)> {
    if let Some(inner) = text.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'))
        && let Some((database, table)) = inner.split_once("`.`")
    {
        let plain = |name: &str| name.replace("``", "`");
        return vec![(plain(database), plain(table))];
    }
    text.match_indices('.')
        .map(|(at, _)| (text[..at].to_owned(), text[at + 1..].to_owned()))
        .filter(|(database, table)| !database.is_empty() && !table.is_empty())
        .collect()
}

/// Everything that keeps the server from being written to.
pub(super) fn refusals(
    target: &Target,
    (scope, evidence): (&Scope, Option<&Evidence>),
    task: &RestoreTask,
) -> Vec<String> {
    let into = &task.into;
    let mut refusals: Vec<String> = evidence
        .and_then(|evidence| mismatch(target, (scope, evidence), task))
        .into_iter()
        .collect();
    if !task.despite_missing_rights {
        refusals.extend(missing_rights(target, (scope, evidence), task));
    }
    let collisions = evidence.map(|evidence| target.letters(scope, &evidence.inventory).collisions);
    for collision in collisions.iter().flatten() {
        refusals.push(format!(
            "server {into}: {collision}; restore one of them alone with --database or --table, and the other under \
             another name with --as"
        ));
    }
    for (wanted, other) in &target.other_spellings {
        refusals.push(format!(
            "server {into} takes {wanted} for its database {other}, as it does not tell small letters from capitals"
        ));
    }
    for database in &scope.databases {
        let there = scope.there(database);
        let Some(found) = target.existing.get(there) else {
            continue;
        };
        let Some(tables) = scope.tables_of(database) else {
            if !task.overwrite && !found.is_empty() {
                refusals.push(format!(
                    "server {into} has a database {there} already, with {}; --overwrite drops and replaces it",
                    census(found)
                ));
            }
            continue;
        };
        let part = scope.part_of(database, found);
        for view in &part.views {
            refusals.push(format!(
                "server {into} has a view {there}.{view} where the table would be; drop or rename it, or restore under \
                 another name with --as"
            ));
        }
        for table in part
            .tables
            .keys()
            .chain(&part.sequences)
            .filter(|_| !task.overwrite)
        {
            refusals.push(format!(
                "server {into} has a table {there}.{table} already; --overwrite drops and replaces it"
            ));
        }
        let held = evidence.and_then(|evidence| evidence.inventory.databases.get(database));
        for (trigger, table) in held.iter().flat_map(|held| &held.triggers) {
            let other = found
                .triggers
                .get(trigger)
                .filter(|other| !tables.contains(*other));
            if let (true, Some(other)) = (tables.contains(table), other) {
                refusals.push(format!(
                    "server {into} has a trigger {there}.{trigger} on table {other}, and that of {table} has the same \
                     name; drop or rename it, or restore under another name with --as"
                ));
            }
        }
    }
    refusals
}

/// What the account lacks, each with what an administrator may run.
pub(super) fn missing_rights(
    target: &Target,
    (scope, evidence): (&Scope, Option<&Evidence>),
    task: &RestoreTask,
) -> Vec<String> {
    let held = evidence.map_or_else(Default::default, |evidence| {
        scope.part_of_all(&evidence.inventory)
    });
    let missing = target.missing_rights(scope, &held, task.overwrite);
    let told = missing
        .into_iter()
        .map(|missing| format!("server {}: {missing}", task.into));
    told.collect()
}

/// Why the server cannot take what is wanted of the set, as far as its evidence tells.
fn mismatch(target: &Target, (scope, evidence): (&Scope, &Evidence), task: &RestoreTask) -> Option<String> {
    let mut held = scope.part_of_all(&evidence.inventory);
    for (database, content) in &mut held.databases {
        content.forget_definitions(Coverage::ALL);
        // One that is there stays as it is, but for its tables.
        if scope.tables_of(database).is_some() && target.existing.contains_key(scope.there(database)) {
            content.collation.clear();
        }
    }
    let source = &evidence.backup.server_version;
    let why = wrong_pairing(source, Taker::Server(task.into.as_str(), &target.version), &held)?;
    Some(format!("set {} is not restored: {why}", task.set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_in_every_way_that_its_dots_allow() {
        let pair = |one: &str, two: &str| (one.to_owned(), two.to_owned());
        assert_eq!(readings("shop.orders"), [pair("shop", "orders")]);
        assert_eq!(
            readings("shop.eu.a"),
            [pair("shop", "eu.a"), pair("shop.eu", "a")]
        );
        assert_eq!(readings("`shop.eu`.`a``b`"), [pair("shop.eu", "a`b")]);
        assert_eq!(readings("orders"), []);
        assert_eq!(readings(".x."), []);
    }
}
