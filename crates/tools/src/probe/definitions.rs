//! How the objects of a server's databases are defined.
//!
//! Tables by `SHOW CREATE TABLE`, one line of it a fact; all else by the columns of `information_schema`, one column a
//! fact; sequences by their row. Bodies and connection strings are digested: they may hold what a catalog should not know.

mod table;

pub(crate) use table::{Options, TableTraits, without_format, without_options, without_secrets};

use super::inventory::{DATABASES_PER_QUERY, of_databases};
use super::{Flavor, Probe, ServerVersion, optional_text, quoted_name, text};
use crate::error::ToolError;
use crate::mydumper::TableName;
use mykeeper_domain::definition::Definition;
use mykeeper_domain::inventory::Inventory;
use sqlx::mysql::MySqlRow;
use std::collections::{BTreeMap, BTreeSet};
use table::{parse_create_table, without_repeated_charset};

/// Longer texts are digested.
const MAX_FACT_BYTES: usize = 300;
/// How `SHOW CREATE TABLE` should write, whatever the server's default.
const MODE: &str = "SET SESSION sql_mode = '', sql_quote_show_create = 1";
/// MySQL tells of columns that are kept as before 5.6 only who asks for it; MariaDB and MySQL 9 know no such word.
const FORMATS: &str = "SET SESSION show_old_temporals = 1";

/// The mode that it was written in.
const SQL_MODE: &str = "sql_mode";
/// The type of a function.
const RETURNS: &str = "returns";
/// The session that an object was written in, which its strings are of and are compared in.
const CLIENT_CHARSET: &str = "character_set_client";
const CONNECTION_COLLATION: &str = "collation_connection";
/// What its database had at that time.
pub(crate) const DATABASE_COLLATION: &str = "database collation";

/// Where a line of a body ends in a semicolon and a space, which mydumper makes of every semicolon at an end.
pub(crate) const SPACED_ENDS: &str = "lines that end in a space";

/// Columns of a sequence's row, and what they are to people.
const SEQUENCE: [(&str, &str); 6] = [
    ("start_value", "start"),
    ("increment", "increment"),
    ("minimum_value", "minimum"),
    ("maximum_value", "maximum"),
    ("cache_size", "cache"),
    ("cycle_option", "cycle"),
];

/// Of each table whose definition is known.
pub(crate) type Traits = BTreeMap<TableName, TableTraits>;

/// A kind of object whose definition is a row of `information_schema`.
struct Kind {
    action: &'static str,
    /// Up to and with the column that names the schema; the first three columns are schema, kind and name.
    sql: &'static str,
    /// Names of the columns from the fourth on.
    facts: &'static [&'static str],
}

const KINDS: [Kind; 4] = [
    Kind {
        action: "read the definitions of views",
        sql: "SELECT TABLE_SCHEMA, 'view', TABLE_NAME, VIEW_DEFINITION, DEFINER, SECURITY_TYPE, CHECK_OPTION, \
              CHARACTER_SET_CLIENT, COLLATION_CONNECTION \
              FROM information_schema.VIEWS WHERE TABLE_SCHEMA",
        facts: &[
            "body",
            "definer",
            "security",
            "check option",
            CLIENT_CHARSET,
            CONNECTION_COLLATION,
        ],
    },
    Kind {
        action: "read the definitions of triggers",
        sql: "SELECT TRIGGER_SCHEMA, 'trigger', TRIGGER_NAME, ACTION_STATEMENT, DEFINER, SQL_MODE, \
              CONCAT(ACTION_TIMING, ' ', EVENT_MANIPULATION), CAST(ACTION_ORDER AS CHAR), \
              CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION \
              FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA",
        facts: &[
            "body",
            "definer",
            SQL_MODE,
            "timing",
            "order",
            CLIENT_CHARSET,
            CONNECTION_COLLATION,
            DATABASE_COLLATION,
        ],
    },
    Kind {
        action: "read the definitions of routines",
        sql: "SELECT ROUTINE_SCHEMA, LOWER(ROUTINE_TYPE), ROUTINE_NAME, ROUTINE_DEFINITION, DEFINER, SQL_MODE, \
              DTD_IDENTIFIER, IS_DETERMINISTIC, SQL_DATA_ACCESS, SECURITY_TYPE, ROUTINE_COMMENT, \
              CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION \
              FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA",
        facts: &[
            "body",
            "definer",
            SQL_MODE,
            RETURNS,
            "deterministic",
            "data access",
            "security",
            "comment",
            CLIENT_CHARSET,
            CONNECTION_COLLATION,
            DATABASE_COLLATION,
        ],
    },
    Kind {
        action: "read the definitions of events",
        sql: "SELECT EVENT_SCHEMA, 'event', EVENT_NAME, EVENT_DEFINITION, DEFINER, SQL_MODE, EVENT_TYPE, \
              CAST(EXECUTE_AT AS CHAR), CONCAT(INTERVAL_VALUE, ' ', INTERVAL_FIELD), CAST(STARTS AS CHAR), \
              CAST(ENDS AS CHAR), STATUS, ON_COMPLETION, TIME_ZONE, EVENT_COMMENT, \
              CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION \
              FROM information_schema.EVENTS WHERE EVENT_SCHEMA",
        facts: &[
            "body",
            "definer",
            SQL_MODE,
            "type",
            "at",
            "every",
            "starts",
            "ends",
            "status",
            "on completion",
            "time zone",
            "comment",
            CLIENT_CHARSET,
            CONNECTION_COLLATION,
            DATABASE_COLLATION,
        ],
    },
];

impl Probe {
    /// Adds how the objects of an inventory are defined, as far as the account may see it, and the tables' next
    /// `AUTO_INCREMENT`. Yields what that means for the tables' values.
    ///
    /// # Errors
    /// [`ToolError::Query`]. A single table that cannot be asked (gone, locked, broken) is left without a definition.
    pub(crate) async fn define(&mut self, inventory: &mut Inventory) -> Result<Traits, ToolError> {
        self.define_renamed(inventory, &BTreeMap::new()).await
    }

    /// As [`Probe::define`], where some databases were called otherwise when they were dumped: by their names here, the
    /// old ones. Their objects read as if neither name were in them.
    pub(crate) async fn define_renamed(
        &mut self,
        inventory: &mut Inventory,
        old_names: &BTreeMap<String, String>,
    ) -> Result<Traits, ToolError> {
        const ACTION: &str = "say how to write definitions";
        self.raw(ACTION, MODE.to_owned()).await?;
        if let (Err(error), true) = (self.raw(ACTION, FORMATS.to_owned()).await, self.is_gone()) {
            return Err(error);
        }
        let databases: Vec<String> = inventory.databases.keys().cloned().collect();
        for some in databases.chunks(DATABASES_PER_QUERY) {
            for kind in &KINDS {
                for row in self.rows(kind.action, of_databases(kind.sql, some), some).await? {
                    if let Some(content) = inventory.databases.get_mut(&text(&row, 0)) {
                        let object = format!("{} {}", text(&row, 1), text(&row, 2));
                        // Without the privilege to see the body there is nothing to compare.
                        if optional_text(&row, 3).is_some() && content.holds(&object) {
                            let old_name = old_names.get(&text(&row, 0)).map(String::as_str);
                            if text(&row, 1) == "view" {
                                let names = names_before_dots(&text(&row, 3));
                                content.view_names.insert(text(&row, 2), names);
                            }
                            content
                                .definitions
                                .insert(object, facts(&row, kind.facts, old_name));
                        }
                    }
                }
            }
            self.define_parameters(some, inventory).await?;
        }
        self.define_sequences(inventory).await?;
        self.define_tables(inventory).await
    }

    async fn define_parameters(
        &mut self,
        databases: &[String],
        inventory: &mut Inventory,
    ) -> Result<(), ToolError> {
        let sql = of_databases(
            "SELECT SPECIFIC_SCHEMA, LOWER(ROUTINE_TYPE), SPECIFIC_NAME, PARAMETER_MODE, PARAMETER_NAME, DTD_IDENTIFIER \
             FROM information_schema.PARAMETERS WHERE ORDINAL_POSITION > 0 AND SPECIFIC_SCHEMA",
            databases,
        ) + " ORDER BY SPECIFIC_SCHEMA, ROUTINE_TYPE, SPECIFIC_NAME, ORDINAL_POSITION";
        for row in self
            .rows("read the parameters of routines", sql, databases)
            .await?
        {
            let object = format!("{} {}", text(&row, 1), text(&row, 2));
            let definition = inventory
                .databases
                .get_mut(&text(&row, 0))
                .and_then(|content| content.definitions.get_mut(&object));
            if let Some(definition) = definition {
                let parameter = format!(
                    "{} {} {}",
                    text(&row, 3),
                    text(&row, 4),
                    without_format(&text(&row, 5))
                );
                let all = definition.0.entry("parameters".to_owned()).or_default();
                if !all.is_empty() {
                    all.push_str(", ");
                }
                all.push_str(&parameter);
            }
        }
        Ok(())
    }

    /// A sequence is a table of one row.
    async fn define_sequences(&mut self, inventory: &mut Inventory) -> Result<(), ToolError> {
        for (database, content) in &mut inventory.databases {
            for sequence in &content.sequences {
                let columns: Vec<&str> = SEQUENCE.iter().map(|(column, _)| *column).collect();
                let sql = format!(
                    "SELECT next_not_cached_value, {} FROM {}.{}",
                    columns.join(", "),
                    quoted_name(database),
                    quoted_name(sequence)
                );
                let rows = match self.raw("read a sequence", sql).await {
                    Ok(rows) => rows,
                    Err(error) if self.is_gone() => return Err(error),
                    Err(_) => continue,
                };
                let Some(row) = rows.first() else { continue };
                let facts = SEQUENCE.iter().enumerate();
                let facts = facts.map(|(index, (_, fact))| ((*fact).to_owned(), text(row, index + 1)));
                content
                    .definitions
                    .insert(format!("sequence {sequence}"), facts.collect());
                if let Ok(next) = text(row, 0).parse() {
                    content.next_values.insert(sequence.clone(), next);
                }
            }
        }
        Ok(())
    }

    async fn define_tables(&mut self, inventory: &mut Inventory) -> Result<Traits, ToolError> {
        let mut traits = Traits::new();
        let is_mysql = ServerVersion::parse(&self.server_version().await?).flavor == Flavor::MySql;
        for (database, content) in &mut inventory.databases {
            for (table, known) in &mut content.tables {
                let sql = format!(
                    "SHOW CREATE TABLE {}.{}",
                    quoted_name(database),
                    quoted_name(table)
                );
                let created = match self.raw("read a table's definition", sql).await {
                    Ok(rows) => rows.first().map(|row| text(row, 1)).unwrap_or_default(),
                    Err(error) if self.is_gone() => return Err(error),
                    Err(_) => continue,
                };
                let created = if is_mysql {
                    without_repeated_charset(&created)
                } else {
                    created
                };
                if let Some(created) = parse_create_table(&created) {
                    known.auto_increment = created.auto_increment;
                    content
                        .definitions
                        .insert(format!("table {table}"), created.definition);
                    traits.insert((database.clone(), table.clone()), created.traits);
                }
            }
        }
        Ok(traits)
    }
}

/// Which ends of lines of a body have a space behind their semicolon, counted from the last of those that end in one;
/// `None` where none has.
fn spaced_ends(body: &str) -> Option<String> {
    let mut own = Vec::new();
    let mut place = 0;
    for (at, _) in body.rmatch_indices(';') {
        let rest = body.get(at + 1..).unwrap_or_default();
        let is_spaced = rest.starts_with(" \n");
        if is_spaced {
            own.push(place.to_string());
        }
        place += usize::from(is_spaced || rest.starts_with('\n'));
    }
    (!own.is_empty()).then(|| own.join(","))
}

fn facts(row: &MySqlRow, names: &[&str], old_name: Option<&str>) -> Definition {
    let value = |(index, name): (usize, &&str)| {
        let mut value = optional_text(row, index + 3)?;
        if *name == "body" {
            value = normal_body(&value, &text(row, 0));
            if let Some(old_name) = old_name {
                value = normal_body(&value, old_name);
            }
        } else if *name == RETURNS {
            value = without_format(&value);
        } else if *name == SQL_MODE {
            value = normal_mode(&value);
        }
        let value = if *name == "body" || value.len() > MAX_FACT_BYTES {
            digest(&value)
        } else {
            value
        };
        Some(((*name).to_owned(), value))
    };
    let spaced = optional_text(row, 3)
        .filter(|_| text(row, 1) != "view")
        .and_then(|body| spaced_ends(&body))
        .map(|ends| (SPACED_ENDS.to_owned(), ends));
    names.iter().enumerate().filter_map(value).chain(spaced).collect()
}

/// A body as it comes back from a good dump, whatever became of it on the way there.
///
/// mydumper 0.10 writes a space between a semicolon and the end of its line, so that no line ends a statement. And a
/// server names a column of a view by table or by database and table, depending on whether a view that it stands on
/// was there when it was created.
fn normal_body(body: &str, database: &str) -> String {
    // As it is, and as a server has it that shows strings as they would be written.
    let body = body
        .replace("; \n", ";\n")
        .replace("; \\n", ";\\n")
        .replace(&format!("{}.", quoted_name(database)), "");
    without_databases(&body)
}

/// The databases that a body names, and whatever else stands before a dot.
fn names_before_dots(mut body: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    while let Some((_, name, rest)) = quoted_part(body) {
        if rest.starts_with(".`") {
            let bare = name.get(1..name.len() - 1).unwrap_or_default();
            names.insert(bare.replace("``", "`"));
        }
        body = rest;
    }
    names
}

/// A mode as it is set: where a server keeps those of routines, one is called otherwise.
fn normal_mode(modes: &str) -> String {
    let one = |mode| match mode {
        "INVALID_DATES" => "ALLOW_INVALID_DATES",
        other => other,
    };
    modes.split(',').map(one).collect::<Vec<_>>().join(",")
}

/// `` `d`.`t`.`c` `` as `` `t`.`c` ``.
fn without_databases(mut body: &str) -> String {
    let mut normal = String::with_capacity(body.len());
    while let Some((before, name, rest)) = quoted_part(body) {
        normal.push_str(before);
        let is_of_three = rest.strip_prefix('.').is_some_and(|rest| {
            quoted_part(rest).is_some_and(|(gap, _, rest)| gap.is_empty() && rest.starts_with(".`"))
        });
        if is_of_three {
            body = rest.get(1..).unwrap_or_default();
        } else {
            normal.push_str(name);
            body = rest;
        }
    }
    normal + body
}

fn short(value: String) -> String {
    if value.len() > MAX_FACT_BYTES {
        digest(&value)
    } else {
        value
    }
}

/// What digests begin with.
const DIGEST: &str = "BLAKE3 ";

/// Whether a fact is no text but its digest.
pub(crate) fn is_digest(fact: &str) -> bool {
    fact.starts_with(DIGEST)
}

fn digest(value: &str) -> String {
    let digest = blake3::hash(value.as_bytes()).to_hex();
    format!("{DIGEST}{}", digest.get(..32).unwrap_or_default())
}

/// What stands before the first name in backticks, the name with them, and what follows.
fn quoted_part(line: &str) -> Option<(&str, &str, &str)> {
    let start = line.find('`')?;
    let mut end = start + 1;
    loop {
        end += line.get(end..)?.find('`')? + 1;
        if !line.get(end..)?.starts_with('`') {
            return Some((line.get(..start)?, line.get(start..end)?, line.get(end..)?));
        }
        end += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_the_same_whatever_the_dump_made_of_it() {
        for (one, other) in [
            ("BEGIN\n SELECT 1;\nEND", "BEGIN\n SELECT 1; \nEND"),
            ("SELECT ';\\n'", "SELECT '; \\n'"),
            (
                "select `v_b`.`id` AS `id` from `shop`.`v_b`",
                "select `shop`.`v_b`.`id` AS `id` from `shop`.`v_b`",
            ),
            (
                "select `a`.`id` AS `id` from `other`.`a`",
                "select `other`.`a`.`id` AS `id` from `other`.`a`",
            ),
        ] {
            assert_eq!(normal_body(one, "shop"), normal_body(other, "shop"), "{one}");
        }
        let one = normal_body("select `a`.`id` AS `i``d` from `other`.`a`", "shop");
        assert_eq!(one, "select `a`.`id` AS `i``d` from `other`.`a`");
        assert_ne!(
            one,
            normal_body("select `a`.`id` AS `i``d` from `shop`.`a`", "shop")
        );
        assert_eq!(normal_body("a lone ` stays", "shop"), "a lone ` stays");
    }

    #[test]
    fn a_mode_is_told_so_that_it_can_be_set() {
        for (kept, set) in [
            ("", ""),
            ("INVALID_DATES", "ALLOW_INVALID_DATES"),
            (
                "ANSI_QUOTES,INVALID_DATES,ANSI",
                "ANSI_QUOTES,ALLOW_INVALID_DATES,ANSI",
            ),
            ("ALLOW_INVALID_DATES", "ALLOW_INVALID_DATES"),
        ] {
            assert_eq!(normal_mode(kept), set);
        }
    }

    #[test]
    fn a_space_behind_a_semicolon_is_remembered_where_the_dump_cannot_tell_it() {
        for (body, ends) in [
            ("BEGIN\n SELECT 1;\nEND", None),
            ("BEGIN; \n SELECT ';\n';\nEND", Some("2")),
            ("SELECT 1; \nSELECT 2; SELECT 3; \n", Some("0,1")),
            ("SELECT 1;  \n", None),
        ] {
            assert_eq!(spaced_ends(body).as_deref(), ends, "{body:?}");
        }
    }
}
