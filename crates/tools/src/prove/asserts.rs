//! The statements of the schedule, tried in what was restored.
//!
//! A statement that the server does not understand, or that names what the set never held, is a mistake of the schedule:
//! it says nothing of the set, for it or against it.

use super::compare::difference;
use super::fault::refusal;
use super::feed::{SYNTAX_ERROR, quoted};
use super::load::{Loaded, Restore};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::sandbox::ThrowawayServer;
use futures::TryStreamExt;
use mykeeper_domain::inventory::DatabaseInventory;
use mykeeper_domain::job::Assertion;
use mykeeper_domain::proof::{AssertedValue, DatabaseProof, Difference};
use mykeeper_domain::sandbox::Sandbox;
use regex::Regex;
use sqlx::{
    AssertSqlSafe, Column, Connection, Executor, MySqlConnection, Row, SqlSafeStr, Statement, TypeInfo,
    ValueRef,
};
use std::collections::BTreeMap;

/// The server's numbers for a column, a table and a routine that are not there: of what the set should hold, they speak
/// against the set.
const UNKNOWN_COLUMN: u16 = 1054;
const NO_TABLE: u16 = 1146;
const NO_ROUTINE: u16 = 1305;
/// Its numbers for what is wrong with a statement whatever the tables hold: no database chosen, another that is not
/// there, a table that FROM does not name, an ambiguous column, one beside a group, a group in the wrong place, columns
/// that do not match, a subquery of several columns, a character set, a collation, a system variable, a number of
/// arguments (of a function of the server's, of a routine), what this server does not do, a collation that clashes, a
/// function that is not there.
const OF_THE_STATEMENT: [u16; 18] = [
    1046,
    1049,
    1109,
    1052,
    1055,
    1111,
    1140,
    1222,
    1241,
    1115,
    1273,
    1193,
    1582,
    1318,
    1235,
    1267,
    1630,
    SYNTAX_ERROR,
];

/// What came of one statement.
enum Answer {
    Value(String),
    /// The server's word against the data, or against what is defined upon them.
    Refused(String),
    /// Its word against the statement.
    Mistaken(String),
}

/// Finds statements that no server would understand, before anything is loaded.
///
/// # Errors
/// One of them; the server is gone.
pub(super) async fn check_syntax(server: &ThrowawayServer, asserts: &[Assertion]) -> Result<(), ToolError> {
    if asserts.is_empty() {
        return Ok(());
    }
    let mut connection = server.connect().await?;
    for assertion in asserts {
        let prepared = prepare(&mut connection, &assertion.sql).await;
        if let Err(error) = prepared
            && let (SYNTAX_ERROR, said) = refusal("prepare a statement in the throwaway server", error)?
        {
            return Err(cannot_run(
                assertion,
                &format!("ERROR {SYNTAX_ERROR}: {said}"),
                true,
            ));
        }
    }
    drop(connection.close().await);
    Ok(())
}

/// As [`check_syntax`], in a throwaway server of its own: before a set is read, which takes much longer.
///
/// # Errors
/// One of them; the server does not start, or is gone.
pub async fn check_asserts(
    asserts: &[Assertion],
    sandbox: &Sandbox,
    env: &ToolEnv<'_>,
) -> Result<(), ToolError> {
    if asserts.is_empty() {
        return Ok(());
    }
    let server = ThrowawayServer::start(sandbox, env).await?;
    let checked = tokio::select! {
        checked = check_syntax(&server, asserts) => checked,
        () = env.cancel.cancelled() => Err(ToolError::Cancelled { program: "the look at asserts".to_owned() }),
    };
    server.stop().await;
    checked
}

/// Has the server look at a statement without carrying it out. Yields why it is no assert, whatever it comes to.
pub(crate) async fn prepare(
    connection: &mut MySqlConnection,
    sql: &str,
) -> Result<Option<String>, sqlx::Error> {
    let sql = AssertSqlSafe(sql.to_owned()).into_sql_str();
    let columns = connection.prepare(sql).await?.columns().len();
    Ok((columns > 1).then(|| format!("it yields {columns} columns, and an assert is of one value")))
}

/// Whether a server that refuses a statement so does not understand it, or misses what it names.
pub(crate) fn is_mistake(code: u16) -> bool {
    [UNKNOWN_COLUMN, NO_TABLE, NO_ROUTINE].contains(&code) || OF_THE_STATEMENT.contains(&code)
}

fn cannot_run(assertion: &Assertion, cause: &str, is_for_all: bool) -> ToolError {
    ToolError::Assertion {
        database: assertion.database.clone(),
        sql: assertion.sql.clone(),
        cause: cause.to_owned(),
        is_for_all,
    }
}

/// Enters into `proofs` what does not hold, and into `warnings` what was not tried.
///
/// # Errors
/// A statement could not be run, and the set has passed all else.
pub(super) fn judge(
    values: &[AssertedValue],
    proofs: &mut [DatabaseProof],
    warnings: &mut Vec<String>,
) -> Result<(), ToolError> {
    for value in values {
        let Some(difference) = failed(value) else {
            warnings.extend(value.held.is_none().then(|| untried(value)));
            continue;
        };
        for found in proofs.iter_mut().filter(|found| found.database == value.database) {
            found.passed = false;
            found.differences.push(difference.clone());
        }
    }
    let has_passed = proofs.iter().all(|found| found.passed);
    match values.iter().find(|value| not_run(value).is_some()) {
        Some(mistaken) if has_passed => {
            let assertion = Assertion {
                database: mistaken.database.clone(),
                sql: mistaken.sql.clone(),
            };
            let cause = not_run(mistaken).unwrap_or_default();
            Err(cannot_run(&assertion, cause, false))
        }
        _ => Ok(()),
    }
}

/// What stands before the server's words in the place of a value.
const NOT_RUN: &str = "not run: ";

/// Why a statement could not be run.
fn not_run(value: &AssertedValue) -> Option<&str> {
    let told = value.value.as_deref().filter(|_| value.held.is_none())?;
    told.strip_prefix(NOT_RUN)
}

/// Said of a statement that was not tried.
fn untried(value: &AssertedValue) -> String {
    let AssertedValue { database, sql, .. } = value;
    match not_run(value) {
        Some(why) => format!("the assert on {database} cannot be run: {sql}: {why}"),
        None => format!("not asserted, as the set does not hold {database}: {sql}"),
    }
}

/// The difference that a statement makes which was tried and did not hold.
fn failed(value: &AssertedValue) -> Option<Difference> {
    let found = value.value.as_deref().unwrap_or_default();
    let object = format!("assert {}", value.sql);
    (value.held == Some(false)).then(|| difference(&value.database, &object, "a true value", found))
}

impl Restore<'_> {
    /// Tries the job's statements, each against the database it names; yields them all.
    ///
    /// # Errors
    /// The server is gone.
    pub(super) async fn assert(
        &self,
        loaded: &BTreeMap<String, Loaded>,
        measures: &BTreeMap<String, DatabaseInventory>,
    ) -> Result<Vec<AssertedValue>, ToolError> {
        // A server of another series is compared by less than the evidence knows.
        let evidence = self.request.evidence;
        let known = evidence.map_or(measures, |evidence| &evidence.inventory.databases);
        let mut values = Vec::new();
        for assertion in self.request.asserts {
            let Assertion { database, sql } = assertion;
            let (value, held) = if self.layout.databases.contains_key(database) {
                match self.answer(assertion, (known, loaded)).await? {
                    Answer::Value(value) => (Some(value.clone()), Some(is_true(&value))),
                    Answer::Refused(said) => (Some(said), Some(false)),
                    Answer::Mistaken(said) => (Some(format!("{NOT_RUN}{said}")), None),
                }
            } else {
                (None, None)
            };
            let asserted = AssertedValue {
                database: database.clone(),
                sql: sql.clone(),
                value,
                held,
            };
            let said = match (&asserted.held, &asserted.value) {
                (Some(_), Some(value)) => format!("{database}: {sql}: {value}"),
                _ => untried(&asserted),
            };
            self.env.log.line("mykeeper", &said);
            values.push(asserted);
        }
        Ok(values)
    }

    async fn answer(
        &self,
        assertion: &Assertion,
        (known, loaded): (&BTreeMap<String, DatabaseInventory>, &BTreeMap<String, Loaded>),
    ) -> Result<Answer, ToolError> {
        let Assertion { database, sql } = assertion;
        let mut connection = self.server.connect().await?;
        let act = format!("try the statement {sql} in database {database} of the throwaway server");
        let current = format!("USE {}", quoted(&self.target(database)));
        if let Err(error) = sqlx::raw_sql(AssertSqlSafe(current))
            .execute(&mut connection)
            .await
        {
            return refusal(&act, error).map(|(_, said)| Answer::Refused(said));
        }
        // What the server has against it, it says again when it is carried out.
        if let Ok(Some(why)) = prepare(&mut connection, sql).await {
            return Ok(Answer::Mistaken(why));
        }
        let value = first_value(&mut connection, sql).await;
        // There may be more rows on their way.
        drop(connection.close_hard().await);
        match value {
            Ok(value) => Ok(Answer::Value(value)),
            Err(error) => {
                let (code, said) = refusal(&act, error)?;
                let text = format!("ERROR {code}: {said}");
                let blame = Blame {
                    assertion,
                    known,
                    loaded,
                    target: &|database| self.target(database),
                };
                Ok(match blame.is_of_the_statement(code, &said)? {
                    true => Answer::Mistaken(text),
                    false => Answer::Refused(text),
                })
            }
        }
    }
}

/// The one value of an answer, or what is in its place. Of many rows no more than two are taken from the server.
async fn first_value(connection: &mut MySqlConnection, sql: &str) -> Result<String, sqlx::Error> {
    let mut rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch(connection);
    let Some(row) = rows.try_next().await? else {
        return Ok("no row".to_owned());
    };
    Ok(match rows.try_next().await? {
        None => value_of(&row),
        Some(_) => "more than one row".to_owned(),
    })
}

fn value_of(row: &sqlx::mysql::MySqlRow) -> String {
    if row.len() != 1 {
        return format!("{} columns", row.len());
    }
    if row.try_get_raw(0).is_ok_and(|value| value.is_null()) {
        return "NULL".to_owned();
    }
    match row.try_get_unchecked::<Vec<u8>, _>(0) {
        Ok(bytes) if row.column(0).type_info().name() == "BIT" => bytes
            .iter()
            .fold(0_u128, |value, byte| value << 8 | u128::from(*byte))
            .to_string(),
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => error.to_string(),
    }
}

/// Who is to blame for a statement that was refused.
struct Blame<'a> {
    assertion: &'a Assertion,
    /// What the set should hold.
    known: &'a BTreeMap<String, DatabaseInventory>,
    loaded: &'a BTreeMap<String, Loaded>,
    /// What a database is called in the throwaway server.
    target: &'a (dyn Fn(&str) -> String + Sync),
}

impl Blame<'_> {
    /// # Errors
    /// A defect of ours.
    fn is_of_the_statement(&self, code: u16, said: &str) -> Result<bool, ToolError> {
        // `Table 'shop.orders' doesn't exist`, `Unknown column 'o.price' in 'SELECT'`, `FUNCTION shop.f does not exist`.
        let named = |pattern: &str| -> Result<String, ToolError> {
            let pattern = Regex::new(pattern).map_err(|error| ToolError::Failed {
                message: format!("cannot read what the throwaway server says: {error}"),
                passing: false,
            })?;
            let name = pattern.captures(said).and_then(|found| found.get(1));
            Ok(name.map_or(String::new(), |name| name.as_str().to_owned()))
        };
        Ok(match code {
            NO_TABLE => !self.should_have_table(&named("'(.*)' doesn't")?),
            UNKNOWN_COLUMN => !self.should_have_column(&named(r"'(?:[^']*\.)?([^'.]*)'")?),
            NO_ROUTINE => !self.should_have_routine(&named("(?i)(?:FUNCTION|PROCEDURE) (.*) does")?),
            code => OF_THE_STATEMENT.contains(&code),
        })
    }

    /// The databases that a name may be of, each with what follows its own.
    fn parts<'n>(
        &self,
        name: &'n str,
    ) -> impl Iterator<Item = (&String, &DatabaseInventory, &'n str)> + use<'_, 'n> {
        self.known.iter().filter_map(move |(database, content)| {
            let rest = name.strip_prefix(&(self.target)(database))?.strip_prefix('.')?;
            Some((database, content, rest))
        })
    }

    /// A view that stands on what the set does not hold was not to come back.
    fn should_have_table(&self, name: &str) -> bool {
        self.parts(name).any(|(database, content, table)| {
            let is_excused = self
                .loaded
                .get(database)
                .is_some_and(|loaded| loaded.excused_views.contains(table));
            let is_known = content.tables.contains_key(table)
                || content.views.contains(table)
                || content.sequences.contains(table);
            is_known && !is_excused
        })
    }

    /// In one of the tables that the statement speaks of.
    fn should_have_column(&self, name: &str) -> bool {
        let sql = self.assertion.sql.to_lowercase();
        let fact = format!("column `{}`", name.replace('`', "``")).to_lowercase();
        let databases = self.known.iter().filter(|(database, _)| {
            **database == self.assertion.database || sql.contains(&database.to_lowercase())
        });
        databases
            .flat_map(|(_, content)| &content.definitions)
            .filter_map(|(object, definition)| Some((object.strip_prefix("table ")?, definition)))
            .filter(|(table, _)| sql.contains(&table.to_lowercase()))
            .any(|(_, definition)| definition.0.keys().any(|known| known.to_lowercase() == fact))
    }

    fn should_have_routine(&self, name: &str) -> bool {
        self.parts(name).any(|(_, content, routine)| {
            let mut routines = content.functions.iter().chain(&content.procedures);
            let routine = routine.to_lowercase();
            routines.any(|known| known.to_lowercase() == routine)
        })
    }
}

/// As SQL has it: a number that is not zero.
fn is_true(value: &str) -> bool {
    value
        .trim()
        .parse::<f64>()
        .is_ok_and(|number| number != 0.0 && !number.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_is_what_sql_takes_for_it() {
        for (value, is) in [
            ("1", true),
            ("0", false),
            ("-0.5", true),
            ("NULL", false),
            ("0.00", false),
            ("yes", false),
            ("NaN", false),
        ] {
            assert_eq!(is_true(value), is, "{value}");
        }
    }

    #[test]
    fn a_refusal_is_held_against_the_set_only_for_what_it_should_hold() {
        let mut shop = DatabaseInventory::default();
        shop.tables.insert("订 单.x".into(), Default::default());
        shop.tables.insert("people".into(), Default::default());
        shop.views.extend(["v_orders".into(), "v_crm".into()]);
        shop.functions.insert("Price".into());
        let facts = [("column `price`".to_owned(), "int(11)".to_owned())];
        shop.definitions
            .insert("table Orders".into(), facts.into_iter().collect());
        let known = BTreeMap::from([("shop".to_owned(), shop)]);
        let excused = Loaded {
            excused_views: ["v_crm".to_owned()].into(),
            ..Loaded::default()
        };
        let loaded = BTreeMap::from([("shop".to_owned(), excused)]);
        let is_mistake = |sql: &str, code, said| {
            let assertion = Assertion {
                database: "shop".into(),
                sql: sql.into(),
            };
            let blame = Blame {
                assertion: &assertion,
                known: &known,
                loaded: &loaded,
                target: &str::to_owned,
            };
            blame.is_of_the_statement(code, said).unwrap()
        };
        for (code, said, is) in [
            (1064, "You have an error in your SQL syntax; check ...", true),
            (1146, "Table 'shop.ordrs' doesn't exist", true),
            (1146, "Table 'crm.people' doesn't exist", true),
            (1146, "Table 'shop.people' doesn't exist", false),
            (1146, "Table 'shop.订 单.x' doesn't exist", false),
            (1146, "Table 'shop.v_orders' doesn't exist", false),
            (1146, "Table 'shop.v_crm' doesn't exist", true),
            (1054, "Unknown column 'prize' in 'SELECT'", true),
            (1054, "Unknown column 'o.Price' in 'WHERE'", false),
            (1305, "FUNCTION shop.price does not exist", false),
            (1305, "FUNCTION shop.prize does not exist", true),
            (1305, "FUNCTION crm.price does not exist", true),
            (1242, "Subquery returns more than 1 row", false),
            (1356, "View 'shop.v_orders' references invalid table(s)", false),
        ] {
            assert_eq!(is_mistake("SELECT price FROM orders", code, said), is, "{said}");
        }
        let said = "Unknown column 'price' in 'SELECT'";
        assert!(is_mistake("SELECT price FROM customers", 1054, said));
    }
}
