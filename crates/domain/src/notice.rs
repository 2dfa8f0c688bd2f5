//! What people are told: notices as they come, and the messages that are made of them.

use crate::counted;
use crate::ids::{BackupId, NodeName, RunId};
use crate::run::words;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

words! {
    /// What a notice is about.
    NoticeKind {
        /// A run ended without having done what it was for.
        Failure = "failure",
        /// A promise is broken: `proven_within`, `max_restore_time`.
        Promise = "promise",
        /// A slot passed without a run.
        Missed = "missed",
        /// A reload was refused.
        Reload = "reload",
        /// What was told of before is over.
        Recovery = "recovery",
        /// A person asked for it.
        Test = "test",
    }
}

/// One thing to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// When it happened.
    pub at: DateTime<Utc>,
    /// See [`NoticeKind`].
    pub kind: NoticeKind,
    /// What it is about, `job shop-nightly`: the same trouble has the same topic, and so has its end.
    pub topic: String,
    /// One sentence. Never holds a secret.
    pub message: String,
    /// The run concerned.
    pub run: Option<RunId>,
    /// The set concerned.
    pub bk_id: Option<BackupId>,
}

/// So many notices are listed in one message; the others are counted.
pub const MOST_LISTED: usize = 50;
/// A sentence of a notice is cut at so many characters: a reason may quote what a tool said.
const LONGEST_SENTENCE: usize = 1_000;
const LONGEST_SUBJECT: usize = 150;
/// What chat services take in one message, with room for what a template adds.
const SHORT_TEXT: usize = 1_500;
const SHORT_LISTED: usize = 5;
const SHORT_SENTENCE: usize = 200;

/// What is delivered in one piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Identity: whoever gets it twice can tell.
    pub id: Uuid,
    /// Which machine tells it.
    pub node: NodeName,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// The gravest kind in it.
    pub kind: NoticeKind,
    /// One line.
    pub subject: String,
    /// For people: a line for each notice.
    pub text: String,
    /// How many notices it stands for.
    pub count: u64,
    /// The first of them, at most [`MOST_LISTED`].
    pub events: Vec<Notice>,
}

impl Message {
    /// One message of many notices, the gravest first; `None` of none.
    pub fn of(node: &NodeName, at: DateTime<Utc>, mut notices: Vec<Notice>) -> Option<Self> {
        notices.sort_by_key(|notice| (grade(notice.kind), notice.at));
        let count = notices.len();
        notices.truncate(MOST_LISTED);
        for notice in &mut notices {
            notice.message = cut(&notice.message, LONGEST_SENTENCE);
            notice.topic = cut(&notice.topic, LONGEST_SENTENCE);
        }
        let first = notices.first()?;
        let kind = first.kind;
        let rest = match count {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let head = format!("mykeeper on {node}: {}", what(first));
        let subject = format!("{}{rest}", cut(&head, LONGEST_SUBJECT));
        let mut lines: Vec<String> = notices.iter().map(line).collect();
        if count > notices.len() {
            let more = u64::try_from(count - notices.len()).unwrap_or(u64::MAX);
            lines.push(format!(
                "... and {} that are not listed: \"mykeeper runs\" shows them",
                counted(usize::try_from(more).unwrap_or(usize::MAX), "event", "events")
            ));
        }
        Some(Self {
            id: Uuid::new_v4(),
            node: node.clone(),
            at,
            kind,
            subject,
            text: lines.join("\n"),
            count: u64::try_from(count).unwrap_or(u64::MAX),
            events: notices,
        })
    }

    /// The same for whoever refuses it as it is, perhaps for its length.
    #[must_use]
    pub fn in_short(&self) -> Self {
        let mut short = self.clone();
        short.events.truncate(SHORT_LISTED);
        for notice in &mut short.events {
            notice.message = cut(&notice.message, SHORT_SENTENCE);
            notice.topic = cut(&notice.topic, SHORT_SENTENCE);
        }
        if let Some((end, _)) = short.text.char_indices().nth(SHORT_TEXT) {
            short.text.truncate(end);
            short
                .text
                .push_str("...\n(cut: \"mykeeper notify\" and \"mykeeper runs\" show the rest)");
        }
        short
    }
}

fn grade(kind: NoticeKind) -> usize {
    NoticeKind::ALL
        .iter()
        .position(|other| *other == kind)
        .unwrap_or_default()
}

fn line(notice: &Notice) -> String {
    let at = notice.at.to_rfc3339_opts(SecondsFormat::Secs, true);
    format!("{at} {}: {}", what(notice), notice.message)
}

/// Its kind and its topic, which may be of one name.
fn what(notice: &Notice) -> String {
    match notice.topic == notice.kind.as_str() {
        true => notice.topic.clone(),
        false => format!("{}: {}", notice.kind, notice.topic),
    }
}

/// One line of at most so many characters.
fn cut(text: &str, most: usize) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= most {
        return one_line;
    }
    let mut shown: String = one_line.chars().take(most.saturating_sub(1)).collect();
    shown.push('…');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn notice(kind: NoticeKind, topic: &str, message: &str) -> Notice {
        Notice {
            at: DateTime::UNIX_EPOCH,
            kind,
            topic: topic.to_owned(),
            message: message.to_owned(),
            run: None,
            bk_id: None,
        }
    }

    #[test]
    fn a_thousand_failures_are_one_message_of_bounded_size() {
        let node = NodeName::new("db1").unwrap();
        let long = "x".repeat(100_000);
        let notices: Vec<_> = (0..1_000)
            .map(|number| notice(NoticeKind::Failure, &format!("job j{number}"), &long))
            .collect();
        let message = Message::of(&node, DateTime::UNIX_EPOCH, notices).unwrap();
        assert_eq!((message.count, message.events.len()), (1_000, MOST_LISTED));
        assert_eq!(message.subject, "mykeeper on db1: failure: job j0 (and 999 more)");
        assert!(message.text.len() < 64 * 1024, "{}", message.text.len());
        assert!(message.text.contains("and 950 events that are not listed"));
        let short = message.in_short();
        let size = serde_json::to_string(&short).unwrap().len();
        assert!(short.text.len() < 1_700 && size < 5_000, "{size}");
        assert_eq!((short.id, short.count), (message.id, message.count));
        assert_eq!(short.in_short(), short);
    }

    #[test]
    fn the_gravest_comes_first_and_no_line_of_a_tool_breaks_the_subject() {
        let node = NodeName::new("db1").unwrap();
        let message = Message::of(
            &node,
            DateTime::UNIX_EPOCH,
            vec![
                notice(NoticeKind::Recovery, "job a", "it succeeded"),
                notice(NoticeKind::Failure, "job b\r\nBcc: x@y", "line one\nline two"),
            ],
        )
        .unwrap();
        assert_eq!(message.kind, NoticeKind::Failure);
        assert_eq!(
            message.subject,
            "mykeeper on db1: failure: job b Bcc: x@y (and 1 more)"
        );
        assert_eq!(message.text.lines().count(), 2);

        let reload = vec![notice(NoticeKind::Reload, "reload", "both files have mistakes")];
        let message = Message::of(&node, DateTime::UNIX_EPOCH, reload).unwrap();
        assert_eq!(message.subject, "mykeeper on db1: reload");
        assert_eq!(
            message.text,
            "1970-01-01T00:00:00Z reload: both files have mistakes"
        );
    }
}
