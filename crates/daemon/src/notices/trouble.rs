//! What is in trouble, and of that what is told: the same once, and again after `repeat`.

use super::folder;
use super::inbox::write_whole;
use super::reason::{Reason, history};
use crate::state_dir::StateDir;
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_config::Settings;
use mykeeper_domain::notice::{Notice, NoticeKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Trouble that has no end of its own, a slot that was missed say, is forgotten after so long without more.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::days(30);

/// How the topic of `max_restore_time` begins.
pub(crate) const RESTORE_TIME_OF: &str = "restore time of ";

/// One thing that is in trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What kind.
    pub kind: NoticeKind,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When it was last noticed.
    pub seen_at: DateTime<Utc>,
    /// When people were last told.
    pub told_at: DateTime<Utc>,
    /// How often it was noticed.
    pub count: u64,
    /// In which words, last.
    pub message: String,
    /// In which words people were told last; `None` where an older mykeeper told them.
    #[serde(default)]
    pub told: Option<String>,
    /// What people were told of it within `repeat`: each reason by itself, a few at most.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    /// How often it was noticed since then with a reason that nobody was told of, since there were too many.
    #[serde(default)]
    pub held_back: u64,
    /// Since when people know that it is over, of what may come again at once: slots of a job that takes longer than it is
    /// from one to the next. So it is told no oftener than what lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_at: Option<DateTime<Utc>>,
}

impl Trouble {
    /// Whether people know of it, and of no end.
    pub(super) fn is_open(&self) -> bool {
        self.over_at.is_none()
    }
}

/// By topic.
pub(super) type Troubles = BTreeMap<String, Trouble>;

/// What is in trouble on this machine, as far as people are told.
pub fn troubles(state: &StateDir) -> Troubles {
    let mut troubles = kept(state);
    troubles.retain(|_, trouble| trouble.is_open());
    troubles
}

/// The same with what is over and may come again.
pub(super) fn kept(state: &StateDir) -> Troubles {
    let text = std::fs::read(folder(state).join("troubles.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

pub(super) fn keep(state: &StateDir, troubles: &Troubles) -> std::io::Result<()> {
    write_whole(
        &folder(state).join("troubles.json"),
        &serde_json::to_vec_pretty(troubles)?,
        false,
    )
}

/// Of `repeat`: what fails again a little sooner than that is told again, so that a job that fails every night is told of
/// every night with `repeat = "24h"`, however long each run of it took.
const SLACK: i32 = 20;

/// Of these notices those that are told now.
pub(super) fn sift(
    troubles: &mut Troubles,
    notices: Vec<Notice>,
    repeat: Duration,
    now: DateTime<Utc>,
) -> Vec<Notice> {
    let repeat = TimeDelta::from_std(repeat).unwrap_or(TimeDelta::MAX);
    let repeat = repeat - repeat / SLACK;
    let mut told = Vec::new();
    for mut notice in notices {
        match notice.kind {
            NoticeKind::Test => told.push(notice),
            NoticeKind::Recovery => {
                let Some(trouble) = troubles.get_mut(&notice.topic).filter(|found| found.is_open()) else {
                    continue;
                };
                notice.message = format!("{} ({})", notice.message, history(trouble));
                match trouble.kind {
                    NoticeKind::Missed => trouble.over_at = Some(notice.at),
                    _ => drop(troubles.remove(&notice.topic)),
                }
                told.push(notice);
            }
            _ => match troubles.get_mut(&notice.topic) {
                None => {
                    troubles.insert(notice.topic.clone(), Trouble::new(&notice, now));
                    told.push(notice);
                }
                Some(trouble) => {
                    if let Some(message) = trouble.is_noticed(&notice, (repeat, now)) {
                        notice.message = message;
                        told.push(notice);
                    }
                }
            },
        }
    }
    told
}

/// One that was told of in the future was so by a clock that was ahead.
fn is_to_be_told_again(trouble: &Trouble, repeat: TimeDelta, now: DateTime<Utc>) -> bool {
    trouble.told_at > now || now - trouble.told_at >= repeat
}

/// What lasts by itself and was last told of `repeat` ago: a promise that is broken, a file that is refused.
pub(super) fn remind(troubles: &mut Troubles, repeat: Duration, now: DateTime<Utc>) -> Vec<Notice> {
    let repeat = TimeDelta::from_std(repeat).unwrap_or(TimeDelta::MAX);
    troubles
        .iter_mut()
        .filter(|(_, trouble)| matches!(trouble.kind, NoticeKind::Promise | NoticeKind::Reload))
        .filter(|(_, trouble)| is_to_be_told_again(trouble, repeat, now))
        .map(|(topic, trouble)| {
            trouble.told_at = now;
            for reason in &mut trouble.reasons {
                reason.told_at = now;
            }
            let message = format!("still: {} ({})", trouble.message, history(trouble));
            trouble.told = Some(message.clone());
            Notice {
                at: now,
                kind: trouble.kind,
                topic: topic.clone(),
                message,
                run: None,
                bk_id: None,
            }
        })
        .collect()
}

/// Forgets what nobody can hear the end of: of jobs and servers that are gone, and what is long past.
pub(super) fn forget(troubles: &mut Troubles, settings: &Settings, now: DateTime<Utc>) -> bool {
    let before = troubles.len();
    let has_job = |name: &str| settings.jobs.keys().any(|job| job.as_str() == name);
    troubles.retain(|topic, trouble| {
        // The job that made a set may be another node's: what its sets take to come back is known to end by the next
        // proof alone.
        let is_of_sets = topic.starts_with(RESTORE_TIME_OF);
        let is_there = match topic.split_once(' ') {
            _ if is_of_sets => true,
            Some(("job", name)) => has_job(name),
            Some(("server", name)) => settings
                .servers
                .values()
                .any(|server| server.name.as_str() == name && server.proven_within.is_some()),
            _ => true,
        };
        let ends_by_itself = match trouble.kind {
            NoticeKind::Promise => is_of_sets,
            NoticeKind::Reload => false,
            // A job that runs once a month succeeds a month later; one that is gone is forgotten at once.
            NoticeKind::Failure => false,
            _ => true,
        };
        let forgotten_after = match trouble.kind {
            // By then the next would be told anew: it is over, and was told as what it is.
            NoticeKind::Missed => TimeDelta::from_std(settings.notify.repeat).unwrap_or(FORGOTTEN_AFTER),
            _ => FORGOTTEN_AFTER,
        };
        let is_long_past = ends_by_itself && now - trouble.seen_at >= forgotten_after.min(FORGOTTEN_AFTER);
        is_there && !is_long_past
    });
    troubles.len() != before
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::notices) fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    pub(in crate::notices) fn notice(kind: NoticeKind, topic: &str, minutes: i64) -> Notice {
        Notice {
            at: at(minutes),
            kind,
            topic: topic.to_owned(),
            message: "m".to_owned(),
            run: None,
            bk_id: None,
        }
    }

    #[test]
    fn the_same_trouble_is_told_once_and_again_after_repeat_and_its_end_at_once() {
        let repeat = Duration::from_secs(3600);
        let mut troubles = Troubles::new();
        let mut told = Vec::new();
        // Every quarter of an hour for three hours.
        for quarter in 0..12 {
            let now = quarter * 15;
            let found = vec![notice(NoticeKind::Failure, "job a", now)];
            told.extend(
                sift(&mut troubles, found, repeat, at(now))
                    .into_iter()
                    .map(|notice| (now, notice.message)),
            );
        }
        let minutes: Vec<_> = told.iter().map(|(minute, _)| *minute).collect();
        assert_eq!(minutes, [0, 60, 120]);
        assert!(told[2].1.contains("9 times since 1970"), "{told:?}");

        let over = vec![
            notice(NoticeKind::Recovery, "job a", 180),
            notice(NoticeKind::Recovery, "job b", 180),
        ];
        let over = sift(&mut troubles, over, repeat, at(180));
        assert_eq!(over.len(), 1, "what was in no trouble does not recover: {over:?}");
        assert!(over[0].message.contains("12 times since"), "{over:?}");
        assert!(troubles.is_empty());
    }

    #[test]
    fn slots_that_are_skipped_and_made_good_in_turn_are_told_no_oftener_than_those_that_are_only_skipped() {
        let repeat = Duration::from_secs(3600);
        let mut troubles = Troubles::new();
        let (topic, mut told) = ("slots of job a", Vec::new());
        for minute in 0..180 {
            let kind = match minute % 2 {
                0 => NoticeKind::Missed,
                _ => NoticeKind::Recovery,
            };
            let now = at(minute);
            let found = sift(&mut troubles, vec![notice(kind, topic, minute)], repeat, now);
            told.extend(found.into_iter().map(|notice| (minute, notice.kind)));
            assert!(troubles[topic].is_open() == (told.last() == Some(&(minute, NoticeKind::Missed))));
        }
        let (missed, over) = (NoticeKind::Missed, NoticeKind::Recovery);
        let expected = [
            (0, missed),
            (1, over),
            (58, missed),
            (59, over),
            (116, missed),
            (117, over),
        ];
        assert_eq!(told[..6], expected, "{told:?}");
        assert_eq!(told.len(), 8);
    }

    #[test]
    fn a_job_that_fails_every_night_is_told_of_every_night() {
        let repeat = Duration::from_secs(24 * 3600);
        let mut troubles = Troubles::new();
        // The run takes half an hour less each night.
        for minute in [0, 24 * 60 - 30, 48 * 60 - 60] {
            let found = vec![notice(NoticeKind::Failure, "job nightly", minute)];
            let told = sift(&mut troubles, found, repeat, at(minute));
            assert_eq!(told.len(), 1, "at minute {minute}");
        }
        let found = vec![notice(NoticeKind::Failure, "job nightly", 60 * 60)];
        assert!(sift(&mut troubles, found, repeat, at(60 * 60)).is_empty());
    }

    #[test]
    fn a_clock_that_was_ahead_once_silences_nothing() {
        let repeat = Duration::from_secs(3600);
        let mut troubles = Troubles::new();
        let ahead = 60 * 24 * 365;
        for (topic, kind) in [("job a", NoticeKind::Failure), ("server b", NoticeKind::Promise)] {
            sift(&mut troubles, vec![notice(kind, topic, ahead)], repeat, at(ahead));
        }
        let again = sift(
            &mut troubles,
            vec![notice(NoticeKind::Failure, "job a", 5)],
            repeat,
            at(5),
        );
        assert_eq!(again.len(), 1, "{troubles:?}");
        assert_eq!(remind(&mut troubles, repeat, at(5)).len(), 1, "{troubles:?}");
        assert!(remind(&mut troubles, repeat, at(6)).is_empty());
    }

    #[test]
    fn what_lasts_is_told_of_again_though_nothing_more_happens() {
        let repeat = Duration::from_secs(3600);
        let mut troubles = Troubles::new();
        let found = vec![
            notice(NoticeKind::Promise, "server shop", 0),
            notice(NoticeKind::Failure, "job a", 0),
        ];
        assert_eq!(sift(&mut troubles, found, repeat, at(0)).len(), 2);
        assert!(remind(&mut troubles, repeat, at(59)).is_empty());
        let reminded = remind(&mut troubles, repeat, at(60));
        assert_eq!(
            reminded.len(),
            1,
            "a failure is told when it comes again: {reminded:?}"
        );
        assert!(reminded[0].message.starts_with("still: m"), "{reminded:?}");
        assert!(remind(&mut troubles, repeat, at(61)).is_empty());
    }

    fn settings_of(schedule: &str) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let keeper = format!(
            "node = \"vault\"\nstate_dir = {:?}\n",
            folder.path().join("state")
        );
        std::fs::write(folder.path().join("mykeeper.toml"), keeper).unwrap();
        std::fs::write(folder.path().join("schedule.toml"), schedule).unwrap();
        let file = folder.path().join("mykeeper.toml");
        mykeeper_config::load(&file, &mykeeper_config::Surroundings::default())
            .unwrap()
            .settings
    }

    #[test]
    fn slots_that_were_missed_are_named_no_longer_than_they_are_not_told_again() {
        let settings = settings_of(
            "[retention.often]\ncron = \"@hourly\"\ndirectory = \"/sets\"\nkeep = { last = 1 }\n",
        );
        let mut troubles = Troubles::new();
        let found = vec![notice(NoticeKind::Missed, "slots of job often", 0)];
        sift(&mut troubles, found, settings.notify.repeat, at(0));
        assert!(!forget(&mut troubles, &settings, at(5 * 60)));
        assert!(forget(&mut troubles, &settings, at(6 * 60)));
    }

    #[test]
    fn a_job_that_fails_once_a_month_is_known_to_be_in_trouble_when_it_succeeds() {
        let settings = settings_of(
            "[retention.monthly]\ncron = \"0 4 1 * *\"\ndirectory = \"/sets\"\nkeep = { last = 1 }\n",
        );
        let mut troubles = Troubles::new();
        let found = vec![notice(NoticeKind::Failure, "job monthly", 0)];
        sift(&mut troubles, found, Duration::from_secs(3600), at(0));
        let month = 31 * 24 * 60;
        assert!(!forget(&mut troubles, &settings, at(month)));
        let over = vec![notice(NoticeKind::Recovery, "job monthly", month)];
        let told = sift(&mut troubles, over, Duration::from_secs(3600), at(month));
        assert_eq!(told.len(), 1);
    }

    #[test]
    fn what_another_nodes_sets_take_to_come_back_is_no_business_of_this_nodes_jobs() {
        let settings = settings_of("");
        let slow = format!("{RESTORE_TIME_OF}job shop-nightly");
        let found = vec![
            notice(NoticeKind::Promise, &slow, 0),
            notice(NoticeKind::Failure, "job shop-nightly", 0),
        ];
        let mut troubles = Troubles::new();
        sift(&mut troubles, found, Duration::from_secs(3600), at(0));
        assert!(forget(&mut troubles, &settings, at(1)));
        assert_eq!(
            troubles.keys().collect::<Vec<_>>(),
            [&slow],
            "the job is not this node's"
        );
        let day = 24 * 60;
        assert!(!forget(&mut troubles, &settings, at(29 * day)));
        assert!(
            forget(&mut troubles, &settings, at(31 * day)),
            "nobody proves it any more"
        );
    }
}
