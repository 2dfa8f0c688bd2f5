//! The server's connections as its process list shows them.
//!
//! Of a statement only its first word is ever kept, and only when it is a keyword of SQL: the rest may hold secrets.

use super::{Probe, text};
use crate::error::ToolError;
use sqlx::mysql::MySqlRow;
use std::collections::BTreeSet;

const ACTION: &str = "list the connections";
/// First words of statements that are told.
const VERBS: [&str; 35] = [
    "ALTER", "ANALYZE", "BACKUP", "BEGIN", "CALL", "CHECK", "COMMIT", "CREATE", "DELETE", "DO", "DROP",
    "EXECUTE", "EXPLAIN", "FLUSH", "GRANT", "HANDLER", "INSERT", "KILL", "LOAD", "LOCK", "OPTIMIZE",
    "RENAME", "REPAIR", "REPLACE", "REVOKE", "ROLLBACK", "SELECT", "SET", "SHOW", "START", "TABLE",
    "TRUNCATE", "UNLOCK", "UPDATE", "WITH",
];
/// States in which a connection does nothing itself: it waits for another, or for whoever reads what it sends.
const IDLE_STATES: [&str; 7] = [
    "Waiting",
    "Locked",
    "User lock",
    "User sleep",
    "Writing to net",
    "Sending to client",
    "Reading from net",
];

/// One connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) user: String,
    /// Without the port.
    pub(crate) host: String,
    /// The client's, of one that came over TCP.
    pub(crate) port: Option<u16>,
    pub(crate) command: String,
    /// In this state, or with this statement.
    pub(crate) seconds: u64,
    pub(crate) state: String,
    /// First word of its statement, upper case.
    pub(crate) verb: Option<&'static str>,
}

impl Session {
    /// `connection 14 (root@localhost, INSERT for 93 s, User sleep)`.
    pub(crate) fn describe(&self) -> String {
        let doing = self.verb.unwrap_or(self.command.as_str());
        let state = match self.state.as_str() {
            "" => String::new(),
            state => format!(", {state}"),
        };
        format!(
            "connection {} ({}@{}, {doing} for {} s{state})",
            self.id, self.user, self.host, self.seconds
        )
    }

    /// Whether it has a statement under way.
    pub(crate) fn is_busy(&self) -> bool {
        ["Query", "Execute"].contains(&self.command.as_str())
    }

    /// Whether it is there and does nothing, as far as is seen.
    pub(crate) fn is_idle(&self) -> bool {
        self.command == "Sleep"
    }

    /// Whether it is the server's own rather than a client's.
    pub(crate) fn is_of_the_server(&self) -> bool {
        ["system user", "event_scheduler"].contains(&self.user.as_str()) || self.command == "Daemon"
    }

    /// Whether it waits for a lock, and so is held up itself.
    pub(crate) fn waits_for_lock(&self) -> bool {
        self.state.starts_with("Waiting for") || self.state == "Locked"
    }

    /// Whether it asks for a lock over all tables.
    pub(crate) fn asks_for_lock(&self) -> bool {
        self.is_busy() && matches!(self.verb, Some("FLUSH" | "LOCK" | "BACKUP"))
    }

    /// Whether the server works for it. A row that is computed for an hour is worked for; one that nobody takes, or
    /// that another's lock keeps back, is not.
    pub(crate) fn is_at_work(&self) -> bool {
        self.is_busy() && !IDLE_STATES.iter().any(|state| self.state.starts_with(state))
    }
}

/// Which account a probe is on, and where it stands in the server's count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) id: u64,
    pub(crate) user: String,
    pub(crate) host: String,
}

impl Probe {
    /// Its own connection.
    pub(crate) async fn standing(&mut self) -> Result<Standing, ToolError> {
        let sql = "SELECT ID, USER, HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()";
        let rows = self.raw("look at the own connection", sql.to_owned()).await?;
        let row = rows.first().ok_or_else(|| ToolError::Query {
            action: "look at the own connection".to_owned(),
            server: self.server.clone(),
            cause: "it is not in the process list".to_owned(),
        })?;
        Ok(Standing {
            id: number(row, 0),
            user: text(row, 1),
            host: split_port(&text(row, 2)).0,
        })
    }

    /// All connections that the account may see: without PROCESS only its own.
    pub(crate) async fn sessions(&mut self) -> Result<Vec<Session>, ToolError> {
        let sql = "SELECT ID, USER, HOST, COMMAND, TIME, STATE, LEFT(INFO, 64) FROM information_schema.PROCESSLIST \
                   WHERE ID <> CONNECTION_ID()";
        let rows = self.raw(ACTION, sql.to_owned()).await?;
        Ok(rows.iter().map(session).collect())
    }

    /// Connections of this account, on a server that keeps what clients say of themselves, whose client is one of
    /// the process ids `pids`. Empty on others.
    pub(crate) async fn sessions_of_processes(&mut self, pids: &[u32]) -> BTreeSet<u64> {
        let list = pids
            .iter()
            .map(|pid| format!("'{pid}'"))
            .collect::<Vec<_>>()
            .join(",");
        if list.is_empty() {
            return BTreeSet::new();
        }
        let sql = format!(
            "SELECT PROCESSLIST_ID FROM performance_schema.session_account_connect_attrs \
             WHERE ATTR_NAME = '_pid' AND ATTR_VALUE IN ({list})"
        );
        let rows = self.raw(ACTION, sql).await.unwrap_or_default();
        rows.iter().map(|row| number(row, 0)).collect()
    }

    /// The system's number for the thread that serves this connection, as the server sees it; `None` where it does not
    /// say.
    pub(crate) async fn own_thread(&mut self) -> Option<u32> {
        let questions = [
            "SELECT CAST(TID AS CHAR) FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()",
            "SELECT CAST(THREAD_OS_ID AS CHAR) FROM performance_schema.threads \
             WHERE PROCESSLIST_ID = CONNECTION_ID()",
        ];
        for sql in questions {
            if let Ok(rows) = self.raw("look at the own connection", sql.to_owned()).await
                && let Some(thread) = rows.first().and_then(|row| text(row, 0).parse().ok())
            {
                return Some(thread);
            }
        }
        None
    }

    /// Ends a connection.
    pub(crate) async fn kill(&mut self, id: u64) -> Result<(), ToolError> {
        self.raw("end a connection", format!("KILL CONNECTION {id}"))
            .await?;
        Ok(())
    }
}

fn session(row: &MySqlRow) -> Session {
    let (host, port) = split_port(&text(row, 2));
    Session {
        id: number(row, 0),
        user: text(row, 1),
        host,
        port,
        command: text(row, 3),
        seconds: number(row, 4),
        state: text(row, 5),
        verb: verb(&text(row, 6)),
    }
}

fn number(row: &MySqlRow, index: usize) -> u64 {
    text(row, index).parse().unwrap_or_default()
}

fn split_port(host: &str) -> (String, Option<u16>) {
    let split = host
        .rsplit_once(':')
        .and_then(|(name, port)| Some((name, port.parse().ok()?)));
    match split {
        Some((name, port)) => (name.to_owned(), Some(port)),
        None => (host.to_owned(), None),
    }
}

/// The keyword that a statement begins with, after comments and brackets.
fn verb(statement: &str) -> Option<&'static str> {
    let mut rest = statement.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    while let Some(comment) = rest.strip_prefix("/*") {
        rest = comment.split_once("*/")?.1;
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    }
    let word = rest.split(|c: char| !c.is_ascii_alphabetic()).next()?;
    VERBS.iter().find(|verb| verb.eq_ignore_ascii_case(word)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(command: &str, state: &str) -> Session {
        Session {
            id: 14,
            user: "app".into(),
            host: "10.0.0.7".into(),
            port: None,
            command: command.into(),
            seconds: 93,
            state: state.into(),
            verb: verb("/* secret */ (select 'geheim'"),
        }
    }

    #[test]
    fn of_a_statement_only_its_keyword_is_told() {
        let told = session("Query", "Sending data").describe();
        assert_eq!(
            told,
            "connection 14 (app@10.0.0.7, SELECT for 93 s, Sending data)"
        );
        assert_eq!(verb("geheim = 1"), None);
        assert_eq!(verb("/* never ends"), None);
        assert_eq!(split_port("10.0.0.7:51234"), ("10.0.0.7".to_owned(), Some(51234)));
        assert_eq!(split_port("localhost"), ("localhost".to_owned(), None));
    }

    #[test]
    fn who_waits_or_sleeps_or_is_not_read_does_not_work() {
        for state in ["Sending data", "Creating sort index", "executing", ""] {
            assert!(session("Query", state).is_at_work(), "{state}");
        }
        for state in [
            "Waiting for table metadata lock",
            "Writing to net",
            "Sending to client",
            "User sleep",
        ] {
            assert!(!session("Query", state).is_at_work(), "{state}");
        }
        assert!(!session("Sleep", "").is_at_work());
    }
}
