//! Statements of a set's files, fed to the throwaway server by us.
//!
//! Views, triggers, routines and events always go this way: a view may stand on a view of another database, which
//! myloader, one database at a time, cannot know; an event whose time has passed would be dropped as it is created,
//! were the server's clock not set back; a routine may need the SQL mode it was written in, which mydumper 0.10 does
//! not keep. Tables and rows go this way where myloader cannot load them, or did not load them all.

use super::elsewhere::STAY_WITHIN;
use super::fault::Lack;
use super::layout::SetFile;
use super::statements::Statements;
use super::wire::{Wire, WireError};
use super::written::{Written, as_written};
use crate::error::ToolError;
use mykeeper_domain::inventory::DatabaseInventory;
use std::collections::HashSet;
use std::io;
use std::path::Path;
use tokio::sync::mpsc;

/// Statements read ahead.
const READ_AHEAD: usize = 3;
/// The server's number for a syntax error.
pub(crate) const SYNTAX_ERROR: u16 = 1064;
/// MariaDB's number for an option of a table or column that the engine does not know.
const UNKNOWN_OPTION: u16 = 1911;
/// The modes in which a definition may have been written, tried in turn.
pub(crate) const MODES: [&str; 3] = ["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ORACLE"];
/// The mode for rows and tables: a zero is no next number, and a day that no month has (which a source in this mode has
/// taken) is no zero date.
pub(crate) const ROWS_MODE: &str = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES";
/// What each file begins with, whatever the one before left behind.
///
/// Unique keys are checked: without, MariaDB finds a row that is there twice only at the commit, and then loses all.
const PRELUDE: [&str; 7] = [
    "SET NAMES binary",
    "SET SESSION foreign_key_checks=0",
    "SET SESSION unique_checks=1",
    "SET SESSION time_zone='+00:00'",
    "SET SESSION timestamp=DEFAULT",
    "SET SESSION sql_mode=''",
    // A table in memory had room in its source.
    "SET SESSION max_heap_table_size=1099511627776",
];

/// A statement that the server did not take, or a file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// The file.
    pub(crate) path: String,
    /// The server's number for it; 0 when it is not the server's.
    pub(crate) code: u16,
    /// What it says.
    pub(crate) text: String,
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.text)
    }
}

/// How a file's statements are taken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Manner<'a> {
    /// A table: as rows are taken, but in the character set that it is written in, whatever the file says. As `binary`
    /// the words of an ENUM would be taken for bytes of the table's own.
    Table,
    /// Rows: one transaction, up to the first complaint.
    Rows,
    /// Definitions: each for itself.
    Definitions {
        /// The server's clock for it, seconds since 1970.
        at: Option<i64>,
        /// How they are known to have been written.
        known: Option<&'a DatabaseInventory>,
    },
}

/// What fails where the server does.
const ACT: &str = "load into the throwaway server";
/// The server's numbers for a variable that it does not have, a value that it cannot take, and a time zone that it does
/// not know.
const CANNOT_BE_SET: [u16; 3] = [1193, 1231, 1298];

/// The way to one server.
pub(super) struct Feeder {
    wire: Wire,
    /// The files were written for a server of another series, whose settings this one need not know.
    is_foreign: bool,
    /// The triggers that were created, by their statement and database.
    triggers: HashSet<blake3::Hash>,
}

impl Feeder {
    pub(super) async fn connect(socket: &Path) -> Result<Self, ToolError> {
        Wire::connect(socket)
            .await
            .map(|wire| Self {
                wire,
                is_foreign: false,
                triggers: HashSet::new(),
            })
            .map_err(|error| lost(&error))
    }

    /// Takes files of a server of another series, or of one that is not known, when `is_foreign`.
    pub(super) fn for_files(self, is_foreign: bool) -> Self {
        Self { is_foreign, ..self }
    }

    /// One statement of our own.
    ///
    /// # Errors
    /// The connection broke, or the server lacks what it takes. What it says against the statement itself is yielded.
    pub(super) async fn execute(&mut self, sql: &[u8]) -> Result<Option<(u16, String)>, ToolError> {
        match self.wire.execute(sql).await {
            Ok(()) => Ok(None),
            Err(WireError::Server { code, message }) => match Lack::of(code, &message) {
                None => Ok(Some((code, message))),
                Some(lack) => Err(lack.error(ACT, &format!("ERROR {code}: {message}"))),
            },
            Err(error @ WireError::Broken(_)) => Err(lost(&error)),
        }
    }

    /// All statements of a file, into the database `into`. `change` may alter each before it is sent.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn feed(
        &mut self,
        file: &SetFile,
        into: Option<&str>,
        manner: Manner<'_>,
        change: &(dyn Fn(Vec<u8>) -> Vec<u8> + Sync),
    ) -> Result<Vec<Complaint>, ToolError> {
        let is_rows = matches!(manner, Manner::Table | Manner::Rows);
        let complain = |code, text| Complaint {
            path: file.path.clone(),
            code,
            text,
        };
        if let Some(complaint) = self.prepare(into, manner).await? {
            return Ok(vec![complain(complaint.0, complaint.1)]);
        }
        let written = Written::new()?;
        let mut complaints = Vec::new();
        let mut statements = read_statements(file);
        while let Some(statement) = statements.recv().await {
            let statement = match statement {
                Ok(statement) => change(statement),
                Err(error) => {
                    complaints.push(complain(0, format!("cannot be read: {error}")));
                    break;
                }
            };
            if matches!(manner, Manner::Table) && written.sets_names(&statement) {
                continue;
            }
            let answer = match manner {
                Manner::Table => {
                    let names = format!("SET NAMES {}", written.charset(&statement));
                    self.execute(names.as_bytes()).await?;
                    // Whatever mode the file has set.
                    match self.execute(STAY_WITHIN.as_bytes()).await? {
                        None => self.create_table(&statement).await?,
                        refused => refused,
                    }
                }
                Manner::Rows => self.execute(&statement).await?,
                Manner::Definitions { .. } if self.has_created(&written, &statement, into) => None,
                Manner::Definitions { known, .. } => {
                    let session = written.session(&statement, known);
                    let own = written.spaced_ends(&statement, known);
                    self.define(&statement, &session, &own).await?
                }
            };
            let is_harmless = |code| {
                (self.is_foreign && CANNOT_BE_SET.contains(&code) && is_setting(&statement))
                    || is_unsettled(&written, &statement, manner)
            };
            if let Some((code, message)) = answer.filter(|(code, _)| !is_harmless(*code)) {
                complaints.push(complain(code, format!("ERROR {code}: {message}")));
                if is_rows {
                    break;
                }
            }
        }
        if is_rows && let Some((code, message)) = self.execute(b"COMMIT").await? {
            complaints.push(complain(code, format!("ERROR {code}: {message}")));
        }
        Ok(complaints)
    }

    /// One statement to a table of `database`, as the file of its definition writes names. Yields what the server says
    /// against it.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn alter(
        &mut self,
        database: &str,
        statement: &[u8],
    ) -> Result<Option<(u16, String)>, ToolError> {
        if let Some(refused) = self.prepare(Some(database), Manner::Table).await? {
            return Ok(Some(refused));
        }
        self.execute(statement).await
    }

    /// A table of an engine that the server does not have is kept in another, which need not know its options.
    async fn create_table(&mut self, statement: &[u8]) -> Result<Option<(u16, String)>, ToolError> {
        const NO_HEED: &[u8] = b"SET SESSION sql_mode=CONCAT(@@sql_mode,',IGNORE_BAD_TABLE_OPTIONS')";
        let answer = self.execute(statement).await?;
        let is_option = answer.as_ref().is_some_and(|(code, _)| *code == UNKNOWN_OPTION);
        if !is_option || self.execute(NO_HEED).await?.is_some() {
            return Ok(answer);
        }
        self.execute(statement).await
    }

    /// Whether a statement is the same that created a trigger before; it counts as such from now on. mydumper 0.10 asks
    /// for the triggers of a table as LIKE has it: what stands on `t11` it writes with what stands on `t_1`, too.
    fn has_created(&mut self, written: &Written, statement: &[u8], into: Option<&str>) -> bool {
        let is_trigger = written
            .object(statement)
            .is_some_and(|object| object.starts_with("trigger "));
        is_trigger
            && !self
                .triggers
                .insert(trigger_id(into.unwrap_or_default(), statement))
    }

    /// A definition, in the session that it was written in where that is known, else in the first that takes it.
    async fn define(
        &mut self,
        statement: &[u8],
        session: &[String],
        spaced_ends: &[usize],
    ) -> Result<Option<(u16, String)>, ToolError> {
        if session.is_empty() {
            let answer = self.execute(statement).await?;
            if is_syntax_error(answer.as_ref()) {
                return self.try_modes(statement, answer).await;
            }
            return Ok(answer);
        }
        // A mode that this server does not know shows when the definitions are compared.
        for setting in session {
            self.execute(setting.as_bytes()).await?;
        }
        let answer = self.execute(&as_written(statement, spaced_ends)).await?;
        self.execute(b"SET SESSION sql_mode='', time_zone='+00:00'")
            .await?;
        Ok(answer)
    }

    async fn prepare(
        &mut self,
        into: Option<&str>,
        manner: Manner<'_>,
    ) -> Result<Option<(u16, String)>, ToolError> {
        let mut own: Vec<String> = PRELUDE.iter().map(|sql| (*sql).to_owned()).collect();
        match manner {
            Manner::Table | Manner::Rows => {
                own.push("SET SESSION autocommit=0".to_owned());
                own.push(format!("SET SESSION sql_mode='{ROWS_MODE}'"));
            }
            Manner::Definitions { at, .. } => {
                own.push("SET SESSION autocommit=1".to_owned());
                if let Some(at) = at.filter(|at| *at > 0) {
                    own.push(format!("SET SESSION timestamp={at}"));
                }
            }
        }
        for sql in own {
            if let Some(answer) = self.execute(sql.as_bytes()).await? {
                return Ok(Some(answer));
            }
        }
        match into {
            Some(database) => {
                // The name is UTF-8, whatever the file's statements are.
                self.execute(b"SET NAMES utf8mb4").await?;
                let answer = self
                    .execute(format!("USE {}", quoted(database)).as_bytes())
                    .await?;
                if !matches!(manner, Manner::Table) {
                    self.execute(b"SET NAMES binary").await?;
                }
                Ok(answer)
            }
            None => Ok(None),
        }
    }

    /// The same statement in other modes; the first complaint stands when none takes it.
    async fn try_modes(
        &mut self,
        statement: &[u8],
        first: Option<(u16, String)>,
    ) -> Result<Option<(u16, String)>, ToolError> {
        let mut answer = first;
        for mode in MODES {
            if self
                .execute(format!("SET SESSION sql_mode='{mode}'").as_bytes())
                .await?
                .is_some()
            {
                continue;
            }
            let again = self.execute(statement).await?;
            if !is_syntax_error(again.as_ref()) {
                answer = again;
                break;
            }
        }
        self.execute(b"SET SESSION sql_mode=''").await?;
        Ok(answer)
    }
}

/// Whether a statement creates what came or went while the set was made: what it stands on need not be there.
fn is_unsettled(written: &Written, statement: &[u8], manner: Manner<'_>) -> bool {
    let Manner::Definitions {
        known: Some(known), ..
    } = manner
    else {
        return false;
    };
    !known.unsettled.is_empty()
        && written
            .object(statement)
            .is_some_and(|object| known.unsettled.contains(&object))
}

/// By which a trigger is known again: its database and its statement.
pub(crate) fn trigger_id(database: &str, statement: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(database.as_bytes()).update(&[0]).update(statement);
    hasher.finalize()
}

/// Whether a statement sets what those behind it are read in.
pub(crate) fn is_setting(statement: &[u8]) -> bool {
    let text = statement.trim_ascii_start();
    let text = match text.strip_prefix(b"/*!") {
        Some(rest) => rest.trim_ascii_start(),
        None => text,
    };
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text[digits..]
        .trim_ascii_start()
        .get(..4)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"SET "))
}

fn is_syntax_error(answer: Option<&(u16, String)>) -> bool {
    answer.is_some_and(|(code, _)| *code == SYNTAX_ERROR)
}

/// A name in backticks.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn lost(error: &WireError) -> ToolError {
    ToolError::Failed {
        message: format!("cannot {ACT}: {error}"),
        passing: true,
    }
}

/// Reads and decompresses on a thread of its own, a few statements ahead.
fn read_statements(file: &SetFile) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let (real, path) = (file.real.clone(), file.path.clone());
    tokio::task::spawn_blocking(move || {
        let mut statements = match Statements::open(&real, &path) {
            Ok(statements) => statements,
            Err(error) => {
                drop(sender.blocking_send(Err(error)));
                return;
            }
        };
        loop {
            let statement = match statements.next_statement() {
                Ok(None) => return,
                Ok(Some(statement)) => Ok(statement),
                Err(error) => Err(error),
            };
            let is_last = statement.is_err();
            // Nobody listens any more: the load has been given up.
            if sender.blocking_send(statement).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_told_from_content() {
        for (statement, is) in [
            ("/*!40101 SET NAMES binary*/", true),
            ("SET @PREV_X=@@X", true),
            ("\n/*!40103 SET TIME_ZONE='+00:00' */", true),
            ("INSERT INTO t VALUES (\"SET \")", false),
            ("", false),
        ] {
            assert_eq!(is_setting(statement.as_bytes()), is, "{statement:?}");
        }
    }
}
