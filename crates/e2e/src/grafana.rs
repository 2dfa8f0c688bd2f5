//! What Grafana does with a dashboard on a MySQL data source, without Grafana: variables and macros are replaced, the
//! query is run in a session as Grafana opens it, and its answer is read as Grafana's panels read it.
//!
//! After `pkg/tsdb/mysql/macros.go` and `sqleng/sql_engine.go` of Grafana 9 to 12, and after its format `sqlstring`.

use chrono::{DateTime, Utc};
use regex::{Captures, Regex};
use serde_json::Value;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Executor, Row, TypeInfo};
use std::collections::BTreeMap;
use std::path::Path;

/// Types that Grafana turns into numbers. All others, unsigned ones among them, become text: no line can be drawn.
const NUMBERS: [&str; 8] = [
    "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL", "YEAR",
];

/// A dashboard's file.
#[derive(Debug)]
pub struct Dashboard {
    json: Value,
}

/// One query, with the panel that shows it.
#[derive(Clone, Debug)]
pub struct PanelQuery {
    /// The panel's title.
    pub title: String,
    /// `table` or `time_series`.
    pub format: String,
    /// As it stands in the file.
    pub sql: String,
    /// The columns that the panel's own settings name.
    pub named: Vec<String>,
    /// The panel.
    pub panel: Value,
}

/// What a person looks at: a range of time, and the variables at the top.
#[derive(Clone, Debug)]
pub struct View {
    /// Where it begins.
    pub from: DateTime<Utc>,
    /// Where it ends.
    pub to: DateTime<Utc>,
    /// The chosen values of variables; a variable that is not here has the value that the file gives it.
    pub chosen: BTreeMap<String, Vec<String>>,
}

/// How a data source opens a session.
#[derive(Clone, Debug)]
pub struct DataSource {
    /// Of a server on loopback.
    pub port: u16,
    /// The database.
    pub database: String,
    /// An account and its password.
    pub account: (String, String),
    /// `SET` statements: the session's time zone (`time_zone = '+08:00'`), which is the data source's setting, and what
    /// a test pins besides (`timestamp = ...`).
    pub session: Vec<String>,
}

/// A query's answer.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Names and types as the server calls them.
    pub columns: Vec<(String, String)>,
    /// Values as text.
    pub rows: Vec<Vec<Option<String>>>,
}

impl Dashboard {
    /// Reads the file.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let json = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{} is no JSON: {error}", path.display()));
        Self { json }
    }

    /// The whole of it.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// Every panel, those in folded rows too.
    pub fn panels(&self) -> Vec<&Value> {
        let mut found = Vec::new();
        for panel in list(&self.json["panels"]) {
            found.push(panel);
            found.extend(list(&panel["panels"]));
        }
        found
    }

    /// Every query of every panel.
    pub fn queries(&self) -> Vec<PanelQuery> {
        let mut found = Vec::new();
        for panel in self.panels() {
            for target in list(&panel["targets"]) {
                found.push(PanelQuery {
                    title: text(&panel["title"]),
                    format: text(&target["format"]),
                    sql: text(&target["rawSql"]),
                    named: named_columns(panel),
                    panel: panel.clone(),
                });
            }
        }
        found
    }

    /// Variables by name.
    pub fn variables(&self) -> BTreeMap<String, Value> {
        list(&self.json["templating"]["list"])
            .into_iter()
            .map(|variable| (text(&variable["name"]), variable.clone()))
            .collect()
    }

    /// The query as Grafana sends it.
    pub fn expand(&self, sql: &str, view: &View) -> String {
        let sql = self.replace_variables(sql, view);
        let sql = sql
            .replace("$__interval_ms", "60000")
            .replace("$__interval", "1m")
            .replace("$__unixEpochFrom()", &view.from.timestamp().to_string())
            .replace("$__unixEpochTo()", &view.to.timestamp().to_string());
        refuse_restricted(&sql);
        // Up to the first closing bracket: an argument that holds a call is cut there.
        let macros = pattern(r"\$([_a-zA-Z0-9]+)\(([^\)]*)\)");
        let expanded = macros.replace_all(&sql, |found: &Captures| {
            let arguments: Vec<&str> = found[2]
                .split(',')
                .map(|argument| argument.trim_matches(' '))
                .collect();
            one_macro(&found[1], &arguments, view)
        });
        assert!(
            !expanded.contains("$_") && !expanded.contains("${"),
            "left over: {expanded}"
        );
        expanded.into_owned()
    }

    fn replace_variables(&self, sql: &str, view: &View) -> String {
        let variables = self.variables();
        let references =
            pattern(r"\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.([^:^\}]+))?(?::([^\}]+))?\}");
        let replaced = references.replace_all(sql, |found: &Captures| {
            let part = |at: usize| found.get(at).map(|part| part.as_str());
            let name = part(1).or(part(2)).or(part(4)).unwrap_or_default();
            match variables.get(name) {
                None => found[0].to_owned(),
                Some(variable) => formatted(variable, view.chosen.get(name), part(3).or(part(6))),
            }
        });
        replaced.into_owned()
    }
}

fn formatted(variable: &Value, chosen: Option<&Vec<String>>, format: Option<&str>) -> String {
    let current = &variable["current"]["value"];
    let values = chosen.cloned().unwrap_or_else(|| match current {
        Value::Array(values) => values.iter().map(text).collect(),
        value => vec![text(value)],
    });
    if values.first().is_some_and(|first| first == "$__all") {
        // A value for "All" is taken as it stands, whatever the format.
        return variable["allValue"]
            .as_str()
            .map(str::to_owned)
            .unwrap_or_else(|| {
                panic!(
                    "the variable {} has no value for All: it would list every one",
                    variable["name"]
                )
            });
    }
    match format {
        Some("sqlstring") => values
            .iter()
            .map(|value| format!("'{}'", value.replace('\'', "''").replace('"', "\\\"")))
            .collect::<Vec<_>>()
            .join(","),
        None if variable["multi"] == false && values.len() == 1 => values[0].replace('\'', "''"),
        other => panic!("the format {other:?} of {} is not told of here", variable["name"]),
    }
}

fn one_macro(name: &str, arguments: &[&str], view: &View) -> String {
    let (from, to) = (view.from.timestamp(), view.to.timestamp());
    let column = arguments.first().copied().unwrap_or_default();
    match name {
        "__time" | "__timeEpoch" => format!("UNIX_TIMESTAMP({column}) as time_sec"),
        "__timeFilter" => format!("{column} BETWEEN FROM_UNIXTIME({from}) AND FROM_UNIXTIME({to})"),
        "__timeFrom" => format!("FROM_UNIXTIME({from})"),
        "__timeTo" => format!("FROM_UNIXTIME({to})"),
        "__timeGroup" => {
            let seconds = interval(arguments);
            format!("UNIX_TIMESTAMP({column}) DIV {seconds} * {seconds}")
        }
        "__timeGroupAlias" => format!("{} AS \"time\"", one_macro("__timeGroup", arguments, view)),
        "__unixEpochFilter" => format!("{column} >= {from} AND {column} <= {to}"),
        "__unixEpochGroup" => {
            let seconds = interval(arguments);
            format!("{column} DIV {seconds} * {seconds}")
        }
        "__unixEpochGroupAlias" => format!("{} AS \"time\"", one_macro("__unixEpochGroup", arguments, view)),
        _ => panic!("Grafana knows no macro {name}"),
    }
}

fn interval(arguments: &[&str]) -> u64 {
    let words = arguments.get(1).map(|word| word.trim_matches(['\'', '"']));
    let (number, unit) = words
        .and_then(|word| Some((word.get(..word.len() - 1)?, word.chars().last()?)))
        .unwrap_or_else(|| panic!("an interval is needed: {arguments:?}"));
    let number: u64 = number
        .parse()
        .unwrap_or_else(|_| panic!("no interval: {arguments:?}"));
    number
        * match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => panic!("no unit of an interval: {arguments:?}"),
        }
}

fn refuse_restricted(sql: &str) {
    let restricted = pattern(
        r"(?im)([\s]*show[\s]+grants|[\s,]session_user\([^\)]*\)|[\s,]current_user(\([^\)]*\))?|[\s,]system_user\([^\)]*\)|[\s,]user\([^\)]*\))([\s,;]|$)",
    );
    assert!(!restricted.is_match(sql), "Grafana refuses this: {sql}");
}

impl DataSource {
    /// The answer of a query that is ready to be sent.
    pub fn answer(&self, sql: &str) -> Result<Frame, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime
            .expect("a runtime")
            .block_on(self.ask(sql))
            .map_err(|error| error.to_string())
    }

    async fn ask(&self, sql: &str) -> Result<Frame, sqlx::Error> {
        let options = MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username(&self.account.0)
            .password(&self.account.1)
            .database(&self.database)
            .collation("utf8mb4_unicode_ci")
            .timezone(None)
            .pipes_as_concat(false)
            .no_engine_substitution(false);
        let mut session: MySqlConnection = options.connect().await?;
        for setting in &self.session {
            session.execute(AssertSqlSafe(format!("SET {setting}"))).await?;
        }
        // Without parameters Grafana's driver sends the text itself, and the answer comes as text.
        let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .fetch_all(&mut session)
            .await?;
        let columns = rows.first().map(Row::columns).unwrap_or_default();
        let columns = columns
            .iter()
            .map(|column| (column.name().to_owned(), column.type_info().name().to_owned()))
            .collect();
        let rows = rows
            .iter()
            .map(|row| {
                (0..row.columns().len())
                    .map(|at| row.try_get_unchecked::<Option<String>, _>(at))
                    .collect()
            })
            .collect::<Result<_, _>>()?;
        Ok(Frame { columns, rows })
    }
}

impl Frame {
    /// A panel's time series: name to points, each an instant in seconds and a value. Fails the test where Grafana
    /// would draw nothing.
    #[track_caller]
    pub fn series(&self) -> BTreeMap<String, Vec<(i64, f64)>> {
        let at = |name: &str| {
            self.columns
                .iter()
                .position(|(column, _)| column == name)
                .unwrap_or_else(|| panic!("no column {name}: {:?}", self.columns))
        };
        let (time, metric) = (at("time"), at("metric"));
        let values: Vec<usize> = (0..self.columns.len())
            .filter(|index| ![time, metric].contains(index))
            .collect();
        assert_eq!(
            values.len(),
            1,
            "the lines bear the tags' names only then: {:?}",
            self.columns
        );
        assert!(
            self.is_number(values[0]),
            "the value is no number: {:?}",
            self.columns
        );
        assert!(
            !self.is_number(metric),
            "the name is a number: {:?}",
            self.columns
        );
        let mut series: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
        let mut last = i64::MIN;
        for row in &self.rows {
            let instant: i64 = parsed(&row[time]);
            assert!(instant >= last, "the points are not in their order: {row:?}");
            last = instant;
            let name = row[metric].clone().expect("a line has a name");
            series
                .entry(name)
                .or_default()
                .push((instant, parsed(&row[values[0]])));
        }
        series
    }

    /// A table's rows by the titles of their columns.
    pub fn table(&self) -> Vec<BTreeMap<&str, Option<&str>>> {
        let titles = || self.columns.iter().map(|(title, _)| title.as_str());
        self.rows
            .iter()
            .map(|row| titles().zip(row.iter().map(Option::as_deref)).collect())
            .collect()
    }

    /// Whether Grafana takes a column for numbers.
    pub fn is_number(&self, at: usize) -> bool {
        NUMBERS.contains(&self.columns[at].1.as_str())
    }
}

fn parsed<T: std::str::FromStr>(value: &Option<String>) -> T {
    value
        .as_ref()
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("no number: {value:?}"))
}

/// Columns that overrides, the order of rows and transformations are about.
fn named_columns(panel: &Value) -> Vec<String> {
    let overrides = list(&panel["fieldConfig"]["overrides"])
        .into_iter()
        .filter(|one| one["matcher"]["id"] == "byName")
        .map(|one| text(&one["matcher"]["options"]));
    let sorted = list(&panel["options"]["sortBy"])
        .into_iter()
        .map(|one| text(&one["displayName"]));
    assert!(
        list(&panel["transformations"]).is_empty(),
        "transformations are not told of here"
    );
    overrides.chain(sorted).collect()
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().into_iter().flatten().collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of our own")
}
