//! For how long a mydumper waits for its lock and holds it, by what it says. Pure.
//!
//! Versions before 0.11 lock right after "Connected to a MySQL server" and say "Started dump at" when they have the
//! lock. Later ones say "Acquiring ... lock", and whatever they say next they say with it. A line is taken to be as old
//! as it is when it is heard.

use std::time::Duration;
use tokio::time::Instant;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not come to its lock, or says nothing of it.
    Before,
    /// It waits, since then.
    Waiting(Instant),
    /// It has the lock, since then.
    Held(Instant),
    /// It has given it back.
    Over,
}

/// Its lock, line by line.
#[derive(Clone, Debug)]
pub(super) struct LockClock {
    classic: bool,
    phase: Phase,
    /// A later version has asked for the lock that holds up writers, the last one.
    asked_for_last: bool,
    waited: Option<Duration>,
    held: Option<Duration>,
    /// Since when it has been giving its global lock back, or has said that it has.
    released_at: Option<Instant>,
    /// It has asked for the lock against changes of definitions, and not said that it has given it back.
    has_ddl_lock: bool,
    /// What it says now it says because it is ended.
    is_ended: bool,
}

impl LockClock {
    /// `classic`: before 0.11.
    pub(super) fn new(classic: bool) -> Self {
        Self {
            classic,
            phase: Phase::Before,
            asked_for_last: false,
            waited: None,
            held: None,
            released_at: None,
            has_ddl_lock: false,
            is_ended: false,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// How long it waited, as far as it has come.
    pub(super) fn waited(&self) -> Option<Duration> {
        self.waited
    }

    /// How long it held the lock, as far as it has come.
    pub(super) fn held(&self) -> Option<Duration> {
        self.held
    }

    /// Since when it has given back, by its own words, every lock that it has told of. It tells before the server knows.
    pub(super) fn released_at(&self) -> Option<Instant> {
        self.released_at.filter(|_| !self.has_ddl_lock && !self.is_ended)
    }

    /// Takes one line of mydumper's.
    pub(super) fn hear(&mut self, line: &str, now: Instant) {
        let says = |words: &str| line.contains(words);
        let released =
            says(", unlocking tables") || says("releasing global locks") || says("Finished dump at");
        let is_released = match self.classic {
            true => says(", unlocking tables"),
            false => says("lobal locks released"),
        };
        if is_released {
            self.released_at.get_or_insert(now);
        } else if says("Releasing DDL lock") {
            self.has_ddl_lock = false;
            self.released_at = self.released_at.map(|_| now);
        } else if says(": Acquiring ") {
            self.has_ddl_lock |= says("DDL lock");
            self.released_at = None;
        }
        if released {
            self.leave(now);
            if self.phase != Phase::Before {
                self.phase = Phase::Over;
            }
        } else if self.classic {
            match self.phase {
                Phase::Before if says(": Connected to a MySQL server") => self.phase = Phase::Waiting(now),
                Phase::Waiting(_) if says(": Started dump at") => self.got_it(now),
                _ => {}
            }
        } else if says(": Acquiring ") || says("Initialing Lock All tables") {
            self.asked_for_last = !says("DDL lock");
            if self.phase == Phase::Before {
                self.phase = Phase::Waiting(now);
            }
        } else if matches!(self.phase, Phase::Waiting(_)) && self.asked_for_last && is_news(line) {
            self.got_it(now);
        }
    }

    /// mydumper has ended, or is ended.
    pub(super) fn end(&mut self, now: Instant) {
        self.is_ended = true;
        self.leave(now);
        if self.phase != Phase::Before {
            self.phase = Phase::Over;
        }
    }

    fn got_it(&mut self, now: Instant) {
        self.leave(now);
        self.phase = Phase::Held(now);
    }

    fn leave(&mut self, now: Instant) {
        match self.phase {
            Phase::Waiting(since) => self.waited = Some(now - since),
            Phase::Held(since) => self.held = Some(now - since),
            Phase::Before | Phase::Over => {}
        }
    }
}

/// A later version that is refused its lock warns, and asks again.
fn is_news(line: &str) -> bool {
    !line.trim().is_empty() && !line.contains("WARNING") && !line.contains("CRITICAL")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hears each line a second after the one before.
    fn times(classic: bool, lines: &str) -> (Option<u64>, Option<u64>) {
        let mut clock = LockClock::new(classic);
        let mut now = Instant::now();
        for line in lines.lines() {
            now += Duration::from_secs(1);
            clock.hear(line, now);
        }
        clock.end(now + Duration::from_secs(100));
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
        (seconds(clock.waited()), seconds(clock.held()))
    }

    const CLASSIC: &str = "** Message: 21:18:05.816: Server version reported as: 10.11.19-MariaDB\n\
        ** Message: 21:18:05.816: Connected to a MySQL server\n\
        ** Message: 21:18:05.816: Disabling Percona Backup Locks for Percona Server 8\n\
        ** Message: 21:18:10.311: Started dump at: 2026-11-22 21:18:10\n\n\
        ** Message: 21:18:10.312: Thread 1 connected using MySQL connection ID 17\n";

    #[test]
    fn an_old_mydumper_has_its_lock_when_the_dump_starts() {
        let whole =
            format!("{CLASSIC}** Message: 21:18:11.413: Non-InnoDB dump complete, unlocking tables\n");
        assert_eq!(times(true, &whole), (Some(2), Some(3)));
        let transactions =
            format!("{CLASSIC}** Message: 21:18:11.413: Transactions started, unlocking tables\n");
        assert_eq!(times(true, &transactions), (Some(2), Some(3)));
        // It ended with its lock: until its end.
        assert_eq!(times(true, CLASSIC), (Some(2), Some(102)));
        assert_eq!(
            times(true, include_str!("../../tests/fixtures/log-0.10")).0,
            Some(1)
        );
    }

    #[test]
    fn a_later_one_has_it_when_it_speaks_again() {
        let lines = "** Message: 10:00:00.000: Connected to MariaDB 10.11.19\n\
            ** Message: 10:00:00.000: Started dump at: 2026-11-22 10:00:00\n\
            ** Message: 10:00:00.000: Acquiring DDL lock\n\
            ** Message: 10:00:00.000: Acquiring Global lock\n\
            ** (mydumper:1): WARNING **: 10:00:00.000: Flush tables failed, we are continuing anyways\n\
            ** Message: 10:00:00.000: Thread 1: connected using MySQL connection ID 9\n\
            ** Message: 10:00:00.000: Transactions started, unlocking tables\n\
            ** Message: 10:00:00.000: Finished dump at: 2026-11-22 10:00:01\n";
        assert_eq!(times(false, lines), (Some(3), Some(1)));
    }

    #[test]
    fn only_a_mydumper_that_has_told_of_no_lock_left_has_released_them() {
        let released = |classic, lines: &[&str]| {
            let mut clock = LockClock::new(classic);
            let now = Instant::now();
            lines.iter().for_each(|line| clock.hear(line, now));
            let told = clock.released_at().is_some();
            clock.end(now);
            assert_eq!(clock.released_at(), None, "of one that is ended nothing is known");
            told
        };
        let unlocking = "** Message: 21:18:11.413: Transactions started, unlocking tables";
        assert!(!released(
            true,
            &["** Message: 21:18:05.816: Connected to a MySQL server"]
        ));
        assert!(released(true, &[unlocking]));
        let (ddl, global) = (
            "** Message: x: Acquiring DDL lock",
            "** Message: x: Acquiring Global lock",
        );
        let (releasing, done) = (
            "** Message: x: releasing global locks",
            "** Message: x: Global locks released",
        );
        assert!(!released(false, &[global, releasing]));
        assert!(released(false, &[global, releasing, done]));
        assert!(!released(false, &[ddl, global, done]));
        assert!(released(
            false,
            &[ddl, global, done, "** Message: x: Releasing DDL lock"]
        ));
    }

    #[test]
    fn one_that_says_nothing_of_a_lock_has_no_times() {
        assert_eq!(
            times(true, "** (mydumper:1): WARNING **: 10:00:00.000: x"),
            (None, None)
        );
        let lockless = "** Message: 10:00:00.000: Executing in NO_LOCK mode, we are not able to ensure\n\
            ** Message: 10:00:00.000: Finished dump at: 2026-11-22 10:00:01";
        assert_eq!(times(false, lockless), (None, None));
    }
}
