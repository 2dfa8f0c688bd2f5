//! Both engines, each with a way to hear which statements reach it and to have it explain them.

use super::throwaway::{Server, poll};
use super::{Cost, ROWS, history};
use crate::db::{Db, Store};
use crate::{Catalog, OpenCatalog, open};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Executor, Row};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tracing::field::{Field, Visit};
use tracing::span;

/// Tables with as many rows as there are servers or jobs, and what is taken from a part of a table before; by the names
/// that statements give them.
const SMALL: [&str; 8] = [
    "j",
    "mk_job",
    "mk_promise",
    "counted",
    "a",
    "(subquery-1)",
    "page",
    "maker",
];

/// Rows that are gone through for a list of twenty where about half of all belong on it, and many more.
const SOON: u64 = 200;

/// What is asked of some sets by their identities, or of those few that were found to differ, may be put in order.
fn is_of_few(sql: &str) -> bool {
    sql.contains("bk_id IN (") || sql.contains("state = 'differs' GROUP BY")
}

/// How one statement is answered.
pub(super) struct Plan {
    pub(super) sql: String,
    pub(super) steps: Vec<String>,
    is_scan: bool,
    is_in_order: bool,
    sorts: bool,
    /// Where the engine counts them.
    examined: Option<u64>,
}

impl Plan {
    /// What is wrong with it for a question of that cost.
    pub(super) fn fault(&self, cost: Cost) -> Option<String> {
        if self.is_scan {
            return Some("a table is read from end to end".to_owned());
        }
        if self.is_in_order && cost != Cost::InOrder {
            return Some("what is looked for is not found by an index".to_owned());
        }
        if self.sorts && cost != Cost::Found {
            return Some("all that is found is sorted".to_owned());
        }
        self.examined
            .filter(|examined| *examined > ROWS)
            .map(|examined| format!("{examined} rows were examined"))
    }
}

pub(super) enum Engine {
    Lite {
        _folder: TempDir,
        store: Store,
        heard: Arc<Mutex<Vec<String>>>,
    },
    My {
        server: Server,
        store: Store,
        sorts_few: bool,
    },
}

/// Takes down what the driver logs: a test has a process of its own.
struct Ear(Arc<Mutex<Vec<String>>>);

#[derive(Default)]
struct Statement(String);

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        // The whole of it where it is longer than its summary.
        if field.name() == "db.statement" && !value.is_empty() || field.name() == "summary" {
            self.0 = value.trim().to_owned();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

impl tracing::Subscriber for Ear {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query"
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        self.0.lock().unwrap().push(statement.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Only what reads is explained.
fn is_question(sql: &str) -> bool {
    sql.starts_with("SELECT ") || sql.starts_with("WITH ")
}

impl Engine {
    pub(super) async fn sqlite() -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        tracing::subscriber::set_global_default(Ear(Arc::clone(&heard))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalog.db");
        let settings = OpenCatalog {
            url: format!("sqlite:{}", file.display()),
            password: None,
            timezone: chrono_tz::UTC,
            create: true,
        };
        let mut store = open::sqlite(&settings).await.unwrap();
        // The same file, by connections that tell what they are asked.
        let pool: SqlitePool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_lazy_with(SqliteConnectOptions::new().filename(&file));
        store.db = Db::Lite {
            writer: pool.clone(),
            readers: pool,
        };
        Self::Lite {
            _folder: folder,
            store,
            heard,
        }
    }

    /// `sorts_few`: MySQL weighs costs, and puts in order what is few where another index finds it; of many it reads the
    /// index in its order.
    pub(super) async fn on(server: Server, sorts_few: bool) -> Self {
        server
            .sql(
                "mysql",
                "CREATE DATABASE fleet; SET GLOBAL log_output = 'TABLE', long_query_time = 0, slow_query_log = ON",
            )
            .await;
        let settings = OpenCatalog {
            url: server.url("root", "fleet"),
            password: None,
            timezone: chrono_tz::UTC,
            create: true,
        };
        let store = open::mysql(&settings, None).unwrap();
        Self::My {
            server,
            store,
            sorts_few,
        }
    }

    pub(super) fn sorts_few(&self) -> bool {
        matches!(self, Self::My { sorts_few: true, .. })
    }

    pub(super) fn store(&self) -> &Store {
        match self {
            Self::Lite { store, .. } | Self::My { store, .. } => store,
        }
    }

    /// Years of history, as the product leaves it: nobody asks SQLite for statistics, and MariaDB gathers its own.
    pub(super) async fn fill(&self) {
        match &self.store().db {
            Db::Lite { writer, .. } => {
                for statement in history::statements("strftime('%Y-%m-%d %H:%M:%S', {} / 1000, 'unixepoch')")
                {
                    writer.execute(AssertSqlSafe(statement)).await.unwrap();
                }
            }
            Db::My { pool, .. } => {
                let mut connection = pool.acquire().await.unwrap();
                for statement in history::statements("FROM_UNIXTIME({} / 1000)") {
                    connection.execute(AssertSqlSafe(statement)).await.unwrap();
                }
                for table in [
                    "user_backup",
                    "mk_run",
                    "mk_slot",
                    "mk_attempt",
                    "mk_proof",
                    "mk_proof_database",
                    "mk_proof_document",
                    "mk_transfer",
                    "mk_delivery",
                    "mk_verification",
                    "mk_removal",
                    "mk_event",
                    "mk_job",
                ] {
                    // The server does so itself, a little later.
                    let analyze = format!("ANALYZE TABLE {table}");
                    connection.fetch_all(AssertSqlSafe(analyze)).await.unwrap();
                }
            }
        }
    }

    pub(super) async fn drop_index(&self, table: &str, index: &str) {
        match self {
            Self::Lite { store, .. } => {
                if let Db::Lite { writer, .. } = &store.db {
                    let drop = format!("DROP INDEX {index}");
                    writer.execute(AssertSqlSafe(drop)).await.unwrap();
                }
            }
            Self::My { server, .. } => {
                server
                    .sql("fleet", &format!("DROP INDEX {index} ON {table}"))
                    .await;
            }
        }
    }

    /// Forgets what was heard before.
    pub(super) async fn listen(&self) {
        match self {
            Self::Lite { heard, .. } => heard.lock().unwrap().clear(),
            Self::My { server, .. } => server.sql("mysql", "TRUNCATE slow_log").await,
        }
    }

    /// How each statement is answered that was heard since.
    pub(super) async fn heard(&self) -> Vec<Plan> {
        let mut plans = Vec::new();
        let nothing = || "no statement was heard".to_owned();
        match self {
            Self::Lite { heard, store, .. } => {
                // The statement is told of by another thread, once its last row was fetched.
                let statements = poll(async || {
                    let heard = heard.lock().unwrap().clone();
                    (!heard.is_empty()).then_some(heard).ok_or_else(nothing)
                })
                .await;
                let Db::Lite { readers, .. } = &store.db else {
                    panic!("not SQLite")
                };
                for sql in statements.into_iter().filter(|sql| is_question(sql)) {
                    let explain = format!("EXPLAIN QUERY PLAN {sql}");
                    let rows = readers.fetch_all(AssertSqlSafe(explain)).await.unwrap();
                    plans.push(of_sqlite(sql, rows.iter().map(|row| row.get("detail")).collect()));
                }
            }
            Self::My {
                server,
                store,
                sorts_few,
            } => {
                // On the same connection, hence logged after all others.
                let own = (crate::LeaseClock::Own, chrono::DateTime::UNIX_EPOCH);
                store.leases("heard", own).await.unwrap();
                let mut session = server.session("fleet").await;
                let statements: Vec<(String, i64)> = poll(async || {
                    let statements: Vec<(String, i64)> = sqlx::query_as(
                        "SELECT CONVERT(sql_text USING utf8mb4), CAST(rows_examined AS SIGNED) FROM mysql.slow_log \
                         WHERE db = 'fleet' ORDER BY start_time",
                    )
                    .fetch_all(&mut *server_session(server).await)
                    .await
                    .unwrap();
                    let is_over = |(sql, _): &(String, i64)| sql.contains("mk_lease") && sql.contains("heard");
                    statements
                        .iter()
                        .any(is_over)
                        .then_some(statements)
                        .ok_or_else(nothing)
                })
                .await;
                session
                    .execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')")
                    .await
                    .unwrap();
                for (sql, examined) in statements {
                    if !is_question(&sql) || sql.contains("mk_lease") || sql.contains("slow_log") {
                        continue;
                    }
                    // MySQL 9 would draw a tree.
                    let explain = format!("EXPLAIN FORMAT=TRADITIONAL {sql}");
                    let rows = session.fetch_all(AssertSqlSafe(explain)).await.unwrap();
                    let text = |row: &sqlx::mysql::MySqlRow, name: &str| {
                        row.try_get::<Option<String>, _>(name)
                            .unwrap()
                            .unwrap_or_default()
                    };
                    let steps = rows
                        .iter()
                        .map(|row| ["table", "type", "key", "Extra"].map(|name| text(row, name)))
                        .collect();
                    let mut plan = of_server(sql, steps, u64::try_from(examined).unwrap());
                    plan.sorts &= !sorts_few || plan.examined > Some(SOON);
                    plans.push(plan);
                }
            }
        }
        plans
    }
}

async fn server_session(server: &Server) -> Box<sqlx::MySqlConnection> {
    Box::new(server.session("mysql").await)
}

/// `SCAN b`, `SCAN b USING INDEX x`, `SEARCH b USING INDEX x (y=?)`, `USE TEMP B-TREE FOR ORDER BY`.
fn of_sqlite(sql: String, steps: Vec<String>) -> Plan {
    let scans: Vec<&String> = steps
        .iter()
        .filter(|step| {
            let mut words = step.split_whitespace();
            words.next() == Some("SCAN")
                && words
                    .next()
                    .is_some_and(|table| !SMALL.contains(&table) && table != "CONSTANT")
        })
        .collect();
    Plan {
        is_scan: scans.iter().any(|step| !step.contains("USING")),
        is_in_order: !scans.is_empty(),
        sorts: !is_of_few(&sql) && steps.iter().any(|step| step.contains("TEMP B-TREE FOR ORDER BY")),
        examined: None,
        sql,
        steps,
    }
}

/// Table, type, key and Extra of each.
fn of_server(sql: String, rows: Vec<[String; 4]>, examined: u64) -> Plan {
    let grown: Vec<&[String; 4]> = rows
        .iter()
        .filter(|[table, ..]| !SMALL.contains(&table.as_str()) && !table.starts_with('<'))
        .collect();
    Plan {
        is_scan: grown.iter().any(|[_, how, ..]| how == "ALL"),
        // The server knows how much is there of each: what is found soon in the order of time it looks for so.
        is_in_order: examined > SOON && grown.iter().any(|[_, how, ..]| how == "index"),
        sorts: !is_of_few(&sql) && rows.iter().any(|[.., extra]| extra.contains("filesort")),
        examined: Some(examined),
        steps: rows.iter().map(|row| row.join(" | ")).collect(),
        sql,
    }
}
