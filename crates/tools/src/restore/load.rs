//! Databases, tables and rows; then what stands upon them.

use super::client::{Client, Heard, Piece, Refusal, mark};
use super::define::{Complaints, Definer};
use super::naming::{as_alteration, in_database, with_name, without_if_not_exists};
use super::standing::Standing;
use super::target::Target;
use super::{CheckedSet, RestoreRequest};
use crate::blocking::{ANSWERS_WITHIN, off_thread};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::introducers::{Introducer, Introducers};
use crate::log::Progress;
use crate::probe::quoted_name;
use crate::prove::expect::each_statement;
use crate::prove::feed::ROWS_MODE;
use crate::prove::layout::{DatabaseFiles, Layout, SetFile};
use crate::prove::sequences::makes_sequence;
use crate::prove::written::Written;
use futures::future::join_all;
use mykeeper_domain::inventory::DatabaseInventory;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// Most clients at a time.
const MOST_CLIENTS: u32 = 64;

/// How MySQL's warning begins that some of a session's SQL mode should not be set apart from the rest, as a dump sets it.
const OF_SQL_MODE: &str = "(Code 3135)";

/// What loading has told of the databases.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// By database.
    pub(super) complaints: BTreeMap<String, Complaints>,
    /// What is worth a look.
    pub(super) warnings: Vec<String>,
    /// Databases of the set that stay as they were, but for the tables that are written.
    pub(super) kept: BTreeSet<String>,
    /// Databases of the set of which events were made.
    pub(super) with_events: BTreeSet<String>,
    /// Bytes of statements.
    pub(super) bytes: u64,
}

/// The loading of one set.
pub(super) struct Load<'a> {
    request: &'a RestoreRequest<'a>,
    layout: &'a Layout,
    target: &'a Target,
    client: &'a Client<'a>,
    standing: &'a Standing,
    env: &'a ToolEnv<'a>,
    total: u64,
    done: AtomicU64,
    warned: Mutex<(u64, String)>,
}

/// The rows of one table: where it lies, and its files.
struct Rows<'a> {
    database: &'a str,
    /// The statements of the one file, where it is no rows yet but the table's definition.
    definition: Option<Vec<u8>>,
    files: Vec<&'a SetFile>,
    introducer: Option<Arc<Introducer>>,
}

impl Rows<'_> {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.plain_bytes).sum()
    }
}

impl<'a> Load<'a> {
    pub(super) fn new(
        request: &'a RestoreRequest<'a>,
        (checked, target): (&'a CheckedSet, &'a Target),
        (client, standing): (&'a Client<'a>, &'a Standing),
        env: &'a ToolEnv<'a>,
    ) -> Self {
        let layout = &checked.layout;
        let total = layout.databases.values().map(DatabaseFiles::plain_bytes).sum();
        Self {
            request,
            layout,
            target,
            client,
            standing,
            env,
            total,
            done: AtomicU64::new(0),
            warned: Mutex::default(),
        }
    }

    /// All but events.
    ///
    /// # Errors
    /// The server refused a database, a table or rows; the run was ended.
    pub(super) async fn run(&self) -> Result<Loaded, ToolError> {
        self.note_bytes(0);
        self.make_databases().await?;
        self.make_tables().await?;
        self.fill_tables().await?;
        let mut loaded = Loaded {
            bytes: self.done.load(Ordering::Relaxed),
            kept: self.kept(),
            ..Loaded::default()
        };
        Definer::new(self.client, (self.layout, self.request), self.env)?
            .run(&mut loaded)
            .await?;
        self.note_bytes(self.total);
        let (count, first) = &*self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if *count > 0 {
            loaded.warnings.push(format!(
                "the server warned {count} times as rows were loaded, first: {first}"
            ));
        }
        Ok(loaded)
    }

    /// Makes events, once nothing looks at rows any more.
    ///
    /// # Errors
    /// The server or the client is gone; the run was ended.
    pub(super) async fn make_events(&self, loaded: &mut Loaded) -> Result<(), ToolError> {
        Definer::new(self.client, (self.layout, self.request), self.env)?
            .run_events(loaded)
            .await?;
        self.standing.all_whole();
        Ok(())
    }

    fn note_bytes(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let done_bytes = done.min(self.total);
        self.env.log.progress(Progress {
            phase: "restore",
            done_bytes,
            total_bytes: Some(self.total),
        });
    }

    fn hear_warning(&self, line: &str) {
        let of_rows = |text: &&str| !text.contains(OF_SQL_MODE);
        if let Some(text) = line.strip_prefix("Warning ").filter(of_rows) {
            let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
            warned.0 += 1;
            if warned.1.is_empty() {
                text.clone_into(&mut warned.1);
            }
        }
    }

    async fn make_databases(&self) -> Result<(), ToolError> {
        // Answered once the client has logged in: nothing is touched before.
        let mut pieces = VecDeque::from([Piece::Text(mark(";"))]);
        let mut names: Vec<&String> = Vec::new();
        for (database, files) in &self.layout.databases {
            pieces.push_back(Piece::Text(self.making(database, files).await?));
            pieces.push_back(Piece::Text(mark(";")));
            names.push(database);
        }
        // How many are made; `None` before the client has logged in.
        let made: Mutex<Option<usize>> = Mutex::default();
        let lock = || made.lock().unwrap_or_else(PoisonError::into_inner);
        let refusal = self
            .client
            .feed(&self.env.cancel, &mut || pieces.pop_front(), &|heard| {
                if let Heard::Mark = heard {
                    let before = *lock();
                    if let Some(name) = before.and_then(|before| names.get(before)) {
                        self.standing.made(name);
                    }
                    let now = before.map_or(0, |before| before + 1);
                    *lock() = Some(now);
                    if let Some(name) = names.get(now).filter(|name| self.drops(name)) {
                        self.standing.drops(name);
                    }
                }
            })
            .await?;
        let count = lock().unwrap_or(0);
        match (refusal, names.get(count)) {
            (None, None) => Ok(()),
            (refusal, name) => Err(self.refused(
                &format!(
                    "make database {}",
                    name.map_or("", |name| self.request.scope.there(name))
                ),
                refusal,
            )),
        }
    }

    /// Whether what is there goes first. An empty database stays: it may have been filled a moment ago.
    fn drops(&self, database: &str) -> bool {
        self.request.overwrite && self.there_now(database).is_some_and(|there| there.is_some())
    }

    fn kept(&self) -> BTreeSet<String> {
        let scope = self.request.scope;
        let is_kept = |database: &&String| self.target.existing.contains_key(scope.there(database));
        scope.tables.keys().filter(is_kept).cloned().collect()
    }

    /// What the server has under a database's name, where it has it; of one of which only tables are written, what is
    /// there in place of these, if anything.
    fn there_now(&self, database: &str) -> Option<Option<DatabaseInventory>> {
        let scope = self.request.scope;
        let held = self.target.existing.get(scope.there(database))?;
        let part = scope.part_of(database, held);
        let counts =
            scope.tables_of(database).is_none() || !part.tables.is_empty() || !part.sequences.is_empty();
        Some(counts.then_some(part))
    }

    /// Makes the database, or what is there like it.
    async fn making(&self, database: &str, files: &DatabaseFiles) -> Result<Vec<u8>, ToolError> {
        let mut text = b"SET NAMES utf8mb4;\nSET SESSION foreign_key_checks=0;\n".to_vec();
        let scope = self.request.scope;
        let name = quoted_name(scope.there(database));
        let there_now = self.there_now(database);
        if scope.tables_of(database).is_some()
            && let Some(part) = &there_now
        {
            // It stays as it is, but for the tables that are written.
            let tables = part
                .iter()
                .flat_map(|part| part.tables.keys().chain(&part.sequences));
            for table in tables.filter(|_| self.request.overwrite) {
                text.extend(format!("DROP TABLE {name}.{};\n", quoted_name(table)).into_bytes());
            }
            text.extend(format!("USE {name};\n").into_bytes());
            return Ok(text);
        }
        if self.drops(database) {
            text.extend(format!("DROP DATABASE {name};\n").into_bytes());
        }
        let stays = there_now.is_some() && !self.request.overwrite;
        match &files.create {
            Some(file) => {
                for statement in self.statements(file).await? {
                    // One that has come into being since the server was looked at is nobody's to write into.
                    let mut statement = without_if_not_exists(&statement);
                    if scope.old_name(database).is_some() {
                        statement = with_name(&statement, scope.there(database));
                    }
                    text.extend(if stays {
                        as_alteration(statement)
                    } else {
                        statement
                    });
                    text.extend(b";\n");
                }
            }
            None if stays => {}
            None => {
                let inventory = self.request.set.evidence.map(|evidence| &evidence.inventory);
                let known = inventory.and_then(|inventory| inventory.databases.get(database));
                text.extend(format!("CREATE DATABASE {name}").into_bytes());
                if let Some(known) = known.filter(|known| !known.charset.is_empty()) {
                    let (charset, collation) = (&known.charset, &known.collation);
                    text.extend(format!(" CHARACTER SET {charset} COLLATE {collation}").into_bytes());
                }
                text.extend(b";\n");
            }
        }
        text.extend(format!("SET NAMES utf8mb4;\nUSE {name};\n").into_bytes());
        Ok(text)
    }

    async fn statements(&self, file: &SetFile) -> Result<Vec<Vec<u8>>, ToolError> {
        let there = file.clone();
        off_thread(
            ("read", &file.real),
            ANSWERS_WITHIN,
            &self.env.cancel,
            move || {
                let mut statements = Vec::new();
                each_statement(&there, &mut |statement| statements.push(statement.to_vec()))?;
                Ok(statements)
            },
        )
        .await
    }

    async fn make_tables(&self) -> Result<(), ToolError> {
        let written = Written::new()?;
        let mut queue: VecDeque<Rows<'a>> = VecDeque::new();
        for (database, files) in &self.layout.databases {
            for (_, file) in &files.schemas {
                let statements = self.statements(file).await?;
                let rows = Rows {
                    database,
                    definition: Some(self.definition(database, &statements, &written)),
                    files: vec![file],
                    introducer: None,
                };
                // A default of a table may ask a sequence, which must be there then.
                if statements.iter().any(|statement| makes_sequence(statement)) {
                    queue.push_front(rows);
                } else {
                    queue.push_back(rows);
                }
            }
        }
        let queue = Mutex::new(queue);
        // One after another: tables that refer to each other would wait for each other.
        self.work(&queue, &self.env.cancel, &|database| {
            self.standing.table_made(database);
        })
        .await
    }

    async fn fill_tables(&self) -> Result<(), ToolError> {
        let set_dir = self.request.set.set_dir;
        let introducers = Introducers::find(set_dir, self.layout, &self.env.cancel).await?;
        let mut tables: BTreeMap<(&'a str, &'a str), Rows<'a>> = BTreeMap::new();
        for (database, files) in &self.layout.databases {
            for (table, file) in &files.data {
                let rows = tables.entry((database, table)).or_insert(Rows {
                    database,
                    definition: None,
                    files: Vec::new(),
                    introducer: introducers.of(database, table).cloned(),
                });
                rows.files.push(file);
            }
        }
        let mut tables: Vec<Rows<'a>> = tables.into_values().collect();
        // A large one that comes last would be waited for alone.
        tables.sort_by_key(|rows| std::cmp::Reverse(rows.bytes()));
        let at_once = self.request.set.sandbox.threads.clamp(1, MOST_CLIENTS) as usize;
        let at_once = at_once.min(tables.len());
        let queue = Mutex::new(VecDeque::from(tables));
        let stop = self.env.cancel.child_token();
        let workers = (0..at_once).map(|_| async {
            let result = self
                .work(&queue, &stop, &|database| self.standing.table_filled(database))
                .await;
            if result.is_err() {
                stop.cancel();
            }
            result
        });
        let mut failed: Vec<ToolError> = join_all(workers)
            .await
            .into_iter()
            .filter_map(Result::err)
            .collect();
        // Those that were ended because of another have nothing to tell.
        let telling = failed
            .iter()
            .position(|error| !matches!(error, ToolError::Cancelled { .. }));
        match telling.or(failed.len().checked_sub(1)) {
            Some(index) => Err(failed.swap_remove(index)),
            None => Ok(()),
        }
    }

    /// One client that loads what the queue holds, until it is empty.
    async fn work(
        &self,
        queue: &Mutex<VecDeque<Rows<'_>>>,
        stop: &CancellationToken,
        done: &(dyn Fn(&str) + Sync),
    ) -> Result<(), ToolError> {
        // Files on their way, each with its table when it is the last one of that.
        let under_way: Mutex<VecDeque<(String, Option<String>)>> = Mutex::default();
        let lock = || under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pieces: VecDeque<Piece> = VecDeque::new();
        let mut next = || {
            if pieces.is_empty() {
                let rows = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?;
                let last = rows.files.len().saturating_sub(1);
                for (index, file) in rows.files.iter().enumerate() {
                    let there = self.request.scope.there(rows.database);
                    pieces.push_back(Piece::Text(rows_prelude(there)));
                    pieces.push_back(match &rows.definition {
                        Some(text) => Piece::Text(text.clone()),
                        None => Piece::File((*file).clone(), rows.introducer.clone()),
                    });
                    pieces.push_back(Piece::Text(mark(";")));
                    lock().push_back((
                        file.path.clone(),
                        (index == last).then(|| rows.database.to_owned()),
                    ));
                }
            }
            pieces.pop_front()
        };
        let hear = |heard: Heard<'_>| match heard {
            Heard::Mark => {
                let file = lock().pop_front();
                if let Some((_, Some(database))) = file {
                    done(&database);
                }
            }
            Heard::Bytes(bytes) => self.note_bytes(bytes),
            Heard::Note(line) => self.hear_warning(line),
        };
        let refusal = self.client.feed(stop, &mut next, &hear).await?;
        let at = lock().front().map(|(path, _)| path.clone());
        match (refusal, at) {
            (None, None) => Ok(()),
            (refusal, at) => Err(self.refused(&format!("load {}", at.unwrap_or_default()), refusal)),
        }
    }

    /// A table's definition, in the character set that it is written in whatever the file says: as `binary` the words of
    /// an ENUM would be taken for bytes of the table's own.
    fn definition(&self, database: &str, statements: &[Vec<u8>], written: &Written) -> Vec<u8> {
        let mut text = Vec::new();
        for statement in statements {
            if !written.sets_names(statement) {
                text.extend_from_slice(format!("SET NAMES {};\n", written.charset(statement)).as_bytes());
                match self.request.scope.old_name(database) {
                    Some(old) => text.extend(in_database(statement, old, self.request.scope.there(database))),
                    None => text.extend_from_slice(statement),
                }
                text.extend_from_slice(b";\n");
            }
        }
        text
    }

    fn refused(&self, act: &str, refusal: Option<Refusal>) -> ToolError {
        refused(&self.request.connection.name, act, refusal)
    }
}

/// The error of a load that cannot go on.
fn refused(server: &str, act: &str, refusal: Option<Refusal>) -> ToolError {
    const PACKET_TOO_BIG: [u16; 3] = [1153, 2006, 2020];
    let (code, text) = refusal.map_or_else(
        || (0, "the client ended before all of it was done".to_owned()),
        |refusal| (refusal.code, refusal.text),
    );
    let hint = if PACKET_TOO_BIG.contains(&code) {
        "; look at the server's max_allowed_packet: a row or statement of the set may be larger"
    } else {
        ""
    };
    ToolError::Failed {
        message: format!("cannot {act} into server {server}: {text}{hint}"),
        passing: false,
    }
}

/// What comes before each file of tables or rows, whatever the one before has left behind.
fn rows_prelude(database: &str) -> Vec<u8> {
    // Unique keys are checked: MariaDB would find a row that is there twice only when it is too late to tell which.
    format!(
        "\nSET NAMES utf8mb4;\nUSE {};\nSET NAMES binary;\nSET SESSION foreign_key_checks=0, unique_checks=1, \
         time_zone='+00:00', sql_mode='{ROWS_MODE}', autocommit=1;\n",
        quoted_name(database)
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_file_server_and_what_to_look_at() {
        let refusal = Refusal {
            code: 2006,
            text: "ERROR 2006 (HY000): gone".into(),
        };
        assert_eq!(
            refused("new", "load shop.t.sql", Some(refusal)).to_string(),
            "cannot load shop.t.sql into server new: ERROR 2006 (HY000): gone; look at the server's \
             max_allowed_packet: a row or statement of the set may be larger"
        );
        assert_eq!(
            refused("new", "load a", None).to_string(),
            "cannot load a into server new: the client ended before all of it was done"
        );
    }
}
