//! Who stands in the way of a lock.
//!
//! A connection at work is in the process list; one that has locked tables and does nothing is there too, and looks
//! like any other that does nothing. A server that is asked to keep its locks in a table (`METADATA_LOCK_INFO`,
//! `performance_schema.metadata_locks`) says which it is; of another no more can be said than who it may be.

use super::{Probe, Session, text};
use std::collections::BTreeSet;

/// Connections that are named in one sentence.
const MAX_NAMED: usize = 3;
const ACTION: &str = "look at the locks";
/// Kinds of lock on a table that whoever reads it, or locks all tables, has to wait for.
const STRONG: &str = "('SHARED_NO_READ_WRITE','SHARED_NO_WRITE','SHARED_READ_ONLY','EXCLUSIVE')";

/// Who is in the way, as far as it can be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InTheWay {
    /// They are.
    pub(crate) known: Vec<Session>,
    /// One of them may be.
    pub(crate) suspects: Vec<Session>,
}

impl InTheWay {
    /// Of these, the ones whose ids are known to be in the way, and the idle ones if there is none, the longest first.
    pub(crate) fn among<'a>(
        sessions: impl Iterator<Item = &'a Session>,
        is_known: impl Fn(&Session) -> bool,
    ) -> Self {
        let others: Vec<&Session> = sessions.filter(|session| !session.is_of_the_server()).collect();
        let longest = |mut some: Vec<Session>| {
            some.sort_by_key(|session| std::cmp::Reverse(session.seconds));
            some
        };
        let known: Vec<Session> = others
            .iter()
            .filter(|session| is_known(session))
            .map(|session| (*session).clone())
            .collect();
        let suspects = if known.is_empty() {
            others
                .into_iter()
                .filter(|session| session.is_idle())
                .cloned()
                .collect()
        } else {
            Vec::new()
        };
        Self {
            known: longest(known),
            suspects: longest(suspects),
        }
    }

    /// Who it is and what to do about it, to stand behind a comma or a semicolon: `held up by connection 14 (...): let
    /// it end, or end it with KILL 14`.
    pub(crate) fn describe(&self) -> String {
        if let Some(first) = self.known.first() {
            return format!(
                "held up by {}: let it end, or end it with KILL {}",
                named(&self.known, " and "),
                first.id
            );
        }
        if self.suspects.is_empty() {
            return "what held it up is not to be seen in the process list: look for a connection with locked tables, \
                    and grant the account PROCESS to see those of others"
                .to_owned();
        }
        format!(
            "held up by a connection that does nothing and has locked tables, by the process list {}: find out which, \
             and let it give its lock back, or end it with KILL and its number",
            named(&self.suspects, " or ")
        )
    }
}

fn named(sessions: &[Session], word: &str) -> String {
    let mut named: Vec<String> = sessions.iter().take(MAX_NAMED).map(Session::describe).collect();
    if sessions.len() > MAX_NAMED {
        named.push(format!("one of {} more", sessions.len() - MAX_NAMED));
    }
    named.join(word)
}

impl Probe {
    /// Connections that hold a strong lock on `table`, or on any; `None` where the server does not say.
    pub(crate) async fn lock_holders(&mut self, table: Option<&(String, String)>) -> Option<BTreeSet<u64>> {
        let values: Vec<String> = table
            .map(|(database, name)| vec![database.clone(), name.clone()])
            .unwrap_or_default();
        let of_table = |schema: &str, name: &str| match table {
            Some(_) => format!("{schema} = ? AND {name} = ? AND "),
            None => String::new(),
        };
        let questions = [
            format!(
                "SELECT CAST(THREAD_ID AS CHAR) FROM information_schema.METADATA_LOCK_INFO WHERE {}\
                 REPLACE(LOCK_MODE, 'MDL_', '') IN {STRONG}",
                of_table("TABLE_SCHEMA", "TABLE_NAME")
            ),
            format!(
                "SELECT CAST(t.PROCESSLIST_ID AS CHAR) FROM performance_schema.metadata_locks m \
                 JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID \
                 WHERE {}m.LOCK_STATUS = 'GRANTED' AND m.LOCK_TYPE IN {STRONG}",
                of_table("m.OBJECT_SCHEMA", "m.OBJECT_NAME")
            ),
        ];
        for sql in questions {
            if let Ok(rows) = self.rows(ACTION, sql, &values).await {
                let ids: BTreeSet<u64> = rows.iter().filter_map(|row| text(row, 0).parse().ok()).collect();
                if !ids.is_empty() {
                    return Some(ids);
                }
            }
        }
        None
    }

    /// Who has locked `table`.
    pub(crate) async fn who_has_locked(&mut self, table: &(String, String)) -> InTheWay {
        let holders = self.lock_holders(Some(table)).await.unwrap_or_default();
        let sessions = self.sessions().await.unwrap_or_default();
        InTheWay::among(sessions.iter(), |session| holders.contains(&session.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: u64, command: &str, seconds: u64) -> Session {
        Session {
            id,
            user: "app".into(),
            host: "10.0.0.7".into(),
            command: command.into(),
            seconds,
            ..Session::default()
        }
    }

    #[test]
    fn who_is_in_the_way_is_named_with_what_to_do() {
        let sessions = [
            session(3, "Sleep", 5),
            session(4, "Sleep", 93),
            session(5, "Binlog Dump", 900),
        ];
        let known = InTheWay::among(sessions.iter(), |session| session.id == 3);
        assert_eq!(
            known.describe(),
            "held up by connection 3 (app@10.0.0.7, Sleep for 5 s): let it end, or end it with KILL 3"
        );
        let unknown = InTheWay::among(sessions.iter(), |_| false);
        assert_eq!(
            unknown.describe(),
            "held up by a connection that does nothing and has locked tables, by the process list connection 4 \
             (app@10.0.0.7, Sleep for 93 s) or connection 3 (app@10.0.0.7, Sleep for 5 s): find out which, and let it \
             give its lock back, or end it with KILL and its number"
        );
        assert!(
            InTheWay::default()
                .describe()
                .contains("grant the account PROCESS")
        );
    }
}
