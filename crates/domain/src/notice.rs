//! What people are told: notices as they come, and the messages that are made of them.

use crate::counted;
use crate::ids::{BackupId, NodeName, RunId};
use crate::run::words;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
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
    /// The gravest kind of what its notices leave: of each topic the last one counts.
    pub kind: NoticeKind,
    /// One line, of that notice.
    pub subject: String,
    /// For people: a line for each notice, in the order of time.
    pub text: String,
    /// How many notices it stands for.
    pub count: u64,
    /// At most [`MOST_LISTED`] of them, in the order of time: the last of each topic, and the gravest, before others.
    pub events: Vec<Notice>,
}

impl Message {
    /// One message of many notices, in the order of time; `None` of none.
    pub fn of(node: &NodeName, at: DateTime<Utc>, notices: Vec<Notice>) -> Option<Self> {
        let count = notices.len();
        let (first, mut notices) = listed(notices)?;
        for notice in &mut notices {
            shorten(notice, LONGEST_SENTENCE);
        }
        let kind = first.kind;
        let rest = match count {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let head = format!("mykeeper on {node}: {}", what(&first));
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
        // The last say how things are now.
        short
            .events
            .drain(..short.events.len().saturating_sub(SHORT_LISTED));
        for notice in &mut short.events {
            shorten(notice, SHORT_SENTENCE);
        }
        if short.text.chars().count() > SHORT_TEXT {
            let lines: Vec<String> = short.events.iter().map(line).collect();
            let text: String = lines.join("\n").chars().take(SHORT_TEXT).collect();
            short.text = format!("{text}\n(cut: \"mykeeper notify\" and \"mykeeper runs\" show the rest)");
        }
        short
    }
}

/// The notice that the subject is of, and those that are listed.
fn listed(mut notices: Vec<Notice>) -> Option<(Notice, Vec<Notice>)> {
    // By the order in which they were noted: a clock may have been set back in between.
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut marked: Vec<(Notice, bool)> = Vec::with_capacity(notices.len());
    while let Some(notice) = notices.pop() {
        let is_last = seen.insert(notice.topic.clone());
        marked.push((notice, is_last));
    }
    marked.reverse();
    // Those of one instant stay in that order.
    marked.sort_by_key(|(notice, _)| notice.at);
    let (mut notices, is_last): (Vec<Notice>, Vec<bool>) = marked.into_iter().unzip();
    let mut ranked: Vec<usize> = (0..notices.len()).collect();
    ranked.sort_by_key(|number| {
        let kind = notices.get(*number).map(|notice| grade(notice.kind));
        (is_last.get(*number) != Some(&true), kind, *number)
    });
    let first = notices.get(*ranked.first()?)?.clone();
    ranked.truncate(MOST_LISTED);
    let kept: BTreeSet<usize> = ranked.into_iter().collect();
    let mut number = 0;
    notices.retain(|_| {
        number += 1;
        kept.contains(&(number - 1))
    });
    Some((first, notices))
}

fn shorten(notice: &mut Notice, most: usize) {
    notice.message = cut(&notice.message, most);
    notice.topic = cut(&notice.topic, most);
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

/// So much of a reason tells it from others.
const LONGEST_REASON: usize = 300;

/// What two reasons have in common that differ in nothing but ids, numbers, times, sizes and the paths of sets:
/// `set 01a2... complete after 3m 2s` and `set 01b7... complete after 9s` are one.
pub fn essence(reason: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in reason.split_whitespace() {
        let masked = masked(word);
        match words.last() {
            // `1h 2m` and `9s` are as much a time.
            Some(before) if masked == "#" && before == "#" => {}
            // `1 set` and `2 sets`.
            Some(before) if before == "#" => {
                let word = masked.trim_end_matches(|char: char| !char.is_alphanumeric() && char != '#');
                words.push(word.trim_end_matches('s').to_owned());
            }
            _ => words.push(masked),
        }
    }
    words.join(" ").chars().take(LONGEST_REASON).collect()
}

/// One word, what changes from time to time in it as `#`.
fn masked(word: &str) -> String {
    let is_inner = |char: char| char.is_alphanumeric();
    let (Some(start), Some(end)) = (word.find(is_inner), word.rfind(is_inner)) else {
        return word.to_owned();
    };
    // `rfind` gives where the last letter begins.
    let end = word[end..]
        .chars()
        .next()
        .map_or(end, |last| end + last.len_utf8());
    let core = &word[start..end];
    // A machine's address is a name; a port that a client has is not.
    if core.parse::<std::net::IpAddr>().is_ok() {
        return word.to_owned();
    }
    if let Ok(address) = core.parse::<std::net::SocketAddr>() {
        return format!("{}{}:#", &word[..start], address.ip());
    }
    if core.starts_with(|first: char| first.is_ascii_digit()) || is_id(core) {
        return "#".to_owned();
    }
    let parts: Vec<&str> = core.split('/').collect();
    if let Some(id) = parts.iter().position(|part| is_id(part)) {
        // The folder of a set, and whatever lies in it.
        return format!("{}{}/#", &word[..start], parts[..id.saturating_sub(1)].join("/"));
    }
    let mut masked = String::new();
    let mut before = ' ';
    for char in word.chars() {
        // `vault1` and `db-2` are names.
        let is_of_name = before.is_alphabetic() || matches!(before, '_' | '-');
        match char.is_ascii_digit() {
            true if is_of_name => masked.push(char),
            true => {
                if !masked.ends_with('#') {
                    masked.push('#');
                }
                continue;
            }
            false => masked.push(char),
        }
        // The digits of a name are all of it.
        before = if char.is_ascii_digit() { before } else { char };
    }
    masked
}

/// The id of a set or a run, or the beginning of one.
fn is_id(word: &str) -> bool {
    let is_of_id = |char: char| char.is_ascii_hexdigit() || char == '-';
    let has_digit = word.contains(|char: char| char.is_ascii_digit());
    word.len() >= 8 && has_digit && word.chars().all(is_of_id)
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
        let told: Vec<&str> = short.text.lines().collect();
        assert!(
            short
                .events
                .iter()
                .all(|event| told.iter().any(|line| line.contains(&event.topic))),
            "{told:?} tells of other events than {:?}",
            short.events
        );
        assert_eq!(short.in_short(), short);
    }

    #[test]
    fn what_happened_is_told_in_the_order_of_time_and_the_subject_says_how_it_is_now() {
        let node = NodeName::new("db1").unwrap();
        let at = |kind, topic: &str, seconds| Notice {
            at: DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(seconds),
            ..notice(kind, topic, "m")
        };
        let (failure, recovery) = (NoticeKind::Failure, NoticeKind::Recovery);
        let events = vec![
            at(failure, "job fresh", 45),
            at(recovery, "job fresh", 75),
            at(failure, "job fresh", 90),
            at(failure, "job old", 10),
            at(recovery, "job old", 80),
        ];
        let message = Message::of(&node, DateTime::UNIX_EPOCH, events).unwrap();
        assert_eq!(
            message.subject,
            "mykeeper on db1: failure: job fresh (and 4 more)"
        );
        let told: Vec<_> = message
            .events
            .iter()
            .map(|event| (event.kind, event.at.timestamp()))
            .collect();
        let expected = [
            (failure, 10),
            (failure, 45),
            (recovery, 75),
            (recovery, 80),
            (failure, 90),
        ];
        assert_eq!(told, expected);
        assert!(
            message
                .text
                .lines()
                .last()
                .unwrap()
                .contains("failure: job fresh")
        );
        // All of it is over.
        let events = vec![at(failure, "job old", 10), at(recovery, "job old", 80)];
        let message = Message::of(&node, DateTime::UNIX_EPOCH, events).unwrap();
        assert_eq!(message.kind, recovery);
        assert_eq!(message.subject, "mykeeper on db1: recovery: job old (and 1 more)");
        // Of too many the last of each job stays.
        let mut events: Vec<_> = (0..100).map(|second| at(failure, "job a", second)).collect();
        events.push(at(recovery, "job a", 100));
        let message = Message::of(&node, DateTime::UNIX_EPOCH, events).unwrap();
        assert_eq!(message.events.last().unwrap().kind, recovery);
        assert_eq!(message.in_short().events.last().unwrap().kind, recovery);
        // Its clock was set back after the failure.
        let message = Message::of(
            &node,
            DateTime::UNIX_EPOCH,
            vec![at(failure, "job a", 100), at(recovery, "job a", 40)],
        );
        assert_eq!(message.unwrap().kind, recovery);
    }

    #[test]
    fn reasons_that_differ_in_ids_numbers_times_and_paths_of_sets_are_one() {
        let same = [
            (
                "set 01a20a8e-7bca-7000-8000-0123456789ab of 1 database, 980K, complete after 9s; its transfer failed",
                "set 01b7ffff-7bca-7000-8000-0123456789ab of 3 databases, 1.2G, complete after 1h 2m; its transfer failed",
            ),
            (
                "cannot read /data/sets/2026-11-22/01a20a8e-7bca-7000-8000-0123456789ab/shop.t.00001.sql.zst: no space left",
                "cannot read /data/sets/2026-11-23/01b20a8e-7bca-7000-8000-0123456789ab/shop.u.00007.sql.zst: no space left",
            ),
            ("lost at 2026-11-22T03:04:05Z", "lost at 2026-11-24T13:00:00Z"),
            ("lost 10.0.0.5:33957 (pid 12)", "lost 10.0.0.5:40001 (pid 7)"),
        ];
        for (one, other) in same {
            assert_eq!(essence(one), essence(other));
        }
        let reasons = [
            "cannot connect to shop: Access denied for user 'backup'",
            "cannot connect to shop: Connection refused",
            "cannot send set 01a20a8e-7bca-7000-8000-0123456789ab to tiny: there is no room left",
            "cannot send set 01a20a8e-7bca-7000-8000-0123456789ab to vault: there is no room left",
            "cannot write to /data/sets: no space left",
            "cannot write to /data/logs: no space left",
            "cannot send to vault1: refused",
            "cannot send to vault2: refused",
            "cannot reach db-1: refused",
            "cannot reach db-2: refused",
            "cannot reach 10.0.0.5:3306: refused",
            "cannot reach 10.0.0.6:3306: refused",
            "标签 下午 坏",
            "",
        ];
        let told: BTreeSet<String> = reasons.iter().map(|reason| essence(reason)).collect();
        assert_eq!(told.len(), reasons.len(), "{told:#?}");
        assert!(essence(&"标 ".repeat(5_000)).chars().count() <= LONGEST_REASON);
    }

    #[test]
    fn the_gravest_gives_the_subject_and_no_line_of_a_tool_breaks_the_subject() {
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
