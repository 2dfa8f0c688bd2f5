//! mydumper writes faster than files are compressed. Before the disk is full of plain ones it is held up, until some of
//! them are packed.
//!
//! It is stopped by a signal, and only where it is known to hold no lock of a table, of all or of definitions that
//! others wait for: by its version and options it takes but the global one, it said some time ago that it has given that
//! back, and nobody is ending it. Else it is left to write. What its transactions have read stays known to the server as
//! being read, as in any dump: ALTER of such a table waits for the end of the dump, and so the longer. Its server goes on writing
//! to it until the connection is full, and gives up on a client that takes nothing for `net_write_timeout` (60 s where
//! nobody has set it; mydumper raises it for one connection of several): so it gets a moment to read, again and again.

use super::heard::{Heard, locked};
use crate::log::RunLog;
use mykeeper_domain::space::{Room, size_text};
use mykeeper_supervise::ProcessIdentity;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The longest that it takes nothing from its server.
const LONGEST_STOP: Duration = Duration::from_secs(10);
/// mydumper tells that it gives its lock back before it does.
const RELEASED_WITHIN: Duration = Duration::from_secs(2);
/// Options by which it takes locks that it says nothing of, or none that it could give back.
const UNTOLD_LOCKS: [&str; 5] = [
    "less-locking",
    "lock-all-tables",
    "no-locks",
    "no-trx-tables",
    "sync-thread-lock-mode",
];
/// From then on it may take a lock of definitions; until 0.11 without a word.
const DDL_LOCKS_FROM: (u32, u32, u32) = (0, 10, 8);
/// How often it is told that it is held up.
const STOPS_TOLD: u32 = 10;
/// So long it takes something.
const BREATH: Duration = Duration::from_millis(100);
/// As much as came between two looks may come until the next, and until a signal takes effect.
const GROWTHS: u64 = 2;

/// The part of the most that has come between two looks that is forgotten with each.
const GROWTH_FADES: u64 = 16;

/// What there is to be packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backlog {
    /// What may be written for files that are being packed, before their plain ones go.
    pub(super) packing_bytes: u64,
    /// Files that are finished and not packed.
    pub(super) files: usize,
}

impl Backlog {
    /// Whether there is less room than `keep_free_bytes` and what is about to be written, of which `grown_bytes` have
    /// come since the last look. One that is held up is let go on when there is twice the room that it was stopped at.
    fn is_tight(self, room: &Room, (keep_free_bytes, grown_bytes): (u64, u64), is_stopped: bool) -> bool {
        let about_to_come = self
            .packing_bytes
            .saturating_add(grown_bytes.saturating_mul(GROWTHS));
        let margin = about_to_come.saturating_mul(if is_stopped { 2 } else { 1 });
        // With nothing to pack, no room will come of waiting.
        self.files > 0 && room.free_bytes < keep_free_bytes.saturating_add(margin)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// Since then.
    Stopped(Instant),
    /// Takes a breath, until then.
    Breathes(Instant),
}

/// Holds one mydumper up as the room demands; when dropped, it runs.
pub(super) struct Pressure<'a> {
    identity: watch::Receiver<Option<ProcessIdentity>>,
    heard: &'a Mutex<Heard>,
    log: &'a dyn RunLog,
    /// Of its lock it says something, where it takes one.
    lock: LockSeen,
    keep_free_bytes: u64,
    /// The most that it lately wrote between two looks while it ran: it may write as much again before the next.
    most_grown_bytes: u64,
    /// What was free at the last look.
    last_free_bytes: Option<u64>,
    state: State,
    is_disarmed: bool,
    /// That it could not be held up has been told.
    has_warned: bool,
    /// How often it has been stopped.
    stops: u32,
}

/// Whether its lock can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockSeen {
    /// It takes the global one alone, and says when it has given it back.
    Told,
    /// It takes others too, or does not say.
    Unknown,
}

impl LockSeen {
    /// Of a mydumper of this version that is run with `args`, and says enough or not.
    pub(super) fn of(version: (u32, u32, u32), args: &[String], is_silent: bool) -> Self {
        let name = |arg: &'_ str| arg.trim_start_matches('-').split('=').next().map(str::to_owned);
        let is_untold = |arg: &String| name(arg).is_some_and(|name| UNTOLD_LOCKS.contains(&name.as_str()));
        let may_say_nothing = (DDL_LOCKS_FROM..(0, 11, 0)).contains(&version);
        match is_silent || may_say_nothing || args.iter().any(is_untold) {
            true => Self::Unknown,
            false => Self::Told,
        }
    }
}

impl<'a> Pressure<'a> {
    pub(super) fn new(
        identity: watch::Receiver<Option<ProcessIdentity>>,
        (heard, lock): (&'a Mutex<Heard>, LockSeen),
        log: &'a dyn RunLog,
        keep_free_bytes: u64,
    ) -> Self {
        Self {
            identity,
            heard,
            log,
            lock,
            keep_free_bytes,
            most_grown_bytes: 0,
            last_free_bytes: None,
            state: State::Runs,
            is_disarmed: false,
            has_warned: false,
            stops: 0,
        }
    }

    /// What is to be done after a look at the room.
    pub(super) fn weigh(&mut self, room: &Room, (backlog, grown_bytes): (Backlog, u64), now: Instant) {
        let is_stopped = self.state != State::Runs;
        let last_free_bytes = self.last_free_bytes.replace(room.free_bytes);
        // What has been closed and is not read yet is told by the room alone.
        let taken_bytes = last_free_bytes.map_or(0, |last| last.saturating_sub(room.free_bytes));
        let grown_bytes = grown_bytes.max(taken_bytes);
        if !is_stopped {
            let fading = self.most_grown_bytes - self.most_grown_bytes / GROWTH_FADES;
            self.most_grown_bytes = grown_bytes.max(fading);
        }
        let need = (self.keep_free_bytes, self.most_grown_bytes);
        match (is_stopped, backlog.is_tight(room, need, is_stopped)) {
            (false, true) => self.stop(room, now),
            (true, false) => {
                self.go_on();
                self.say_at_first("mydumper goes on: there is room again");
            }
            _ => {}
        }
    }

    /// When something is to be done next, whatever the room.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.state {
            State::Runs => None,
            State::Stopped(since) => Some(since + LONGEST_STOP),
            State::Breathes(until) => Some(until),
        }
    }

    /// It is being ended: it must hear of that, and is not stopped any more.
    pub(super) fn disarm(&mut self) {
        self.is_disarmed = true;
        self.go_on();
    }

    /// What is due is done.
    pub(super) fn keep_up(&mut self, now: Instant) {
        match self.state {
            State::Stopped(since) if now >= since + LONGEST_STOP && self.signal(ProcessIdentity::resume) => {
                self.state = State::Breathes(now + BREATH);
            }
            State::Breathes(until) if now >= until => {
                self.state = match self.may_be_stopped(now) && self.signal(ProcessIdentity::pause) {
                    true => State::Stopped(now),
                    false => State::Runs,
                };
            }
            _ => {}
        }
    }

    /// Where it is not known to hold no lock, it is left to write.
    fn stop(&mut self, room: &Room, now: Instant) {
        let free = size_text(room.free_bytes);
        if self.is_disarmed {
            return;
        }
        if !self.may_be_stopped(now) {
            if !self.has_warned {
                self.has_warned = true;
                self.say(&format!(
                    "warning: {free} are free and files are not compressed as fast as they are written, but mydumper is \
                     not held up, as it may hold a lock"
                ));
            }
        } else if self.signal(ProcessIdentity::pause) {
            self.state = State::Stopped(now);
            self.stops += 1;
            self.say_at_first(&format!(
                "mydumper is held up, as {free} are free and files are not compressed as fast as they are written"
            ));
        }
    }

    /// Whether it is known to hold no lock.
    fn may_be_stopped(&self, now: Instant) -> bool {
        let released_at = locked(self.heard).lock.released_at();
        let is_released = released_at.is_some_and(|at| now >= at + RELEASED_WITHIN);
        !self.is_disarmed && self.lock == LockSeen::Told && is_released
    }

    /// It runs, whatever comes.
    pub(super) fn go_on(&mut self) {
        if self.state != State::Runs {
            self.state = State::Runs;
            self.signal(ProcessIdentity::resume);
        }
    }

    fn signal(&self, act: fn(&ProcessIdentity) -> std::io::Result<()>) -> bool {
        let identity = self.identity.borrow();
        let Some(identity) = identity.as_ref() else {
            return false;
        };
        match act(identity) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(pid = identity.pid, %error, "mydumper cannot be held up or let go on");
                false
            }
        }
    }

    /// It may be so every second of a long dump.
    fn say_at_first(&self, text: &str) {
        match self.stops {
            0..STOPS_TOLD => self.say(text),
            STOPS_TOLD => self.say(&format!("{text}; this is not told any more")),
            _ => {}
        }
    }

    fn say(&self, text: &str) {
        self.log.line("mykeeper", text);
    }
}

impl Drop for Pressure<'_> {
    fn drop(&mut self) {
        self.go_on();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::NoLog;
    use mykeeper_domain::space::KeptForRoot;
    use std::process::{Child, Command};

    fn room(free_bytes: u64) -> Room {
        Room {
            free_bytes,
            kept_for_root: KeptForRoot::Counted(0),
            total_bytes: 1 << 30,
            free_files: None,
        }
    }

    const BACKLOG: Backlog = Backlog {
        packing_bytes: 100,
        files: 3,
    };

    #[test]
    fn room_is_tight_where_what_comes_would_take_what_is_to_stay_free() {
        let need = (1_000, 50);
        assert!(BACKLOG.is_tight(&room(1_199), need, false));
        assert!(!BACKLOG.is_tight(&room(1_200), need, false));
        assert!(
            BACKLOG.is_tight(&room(1_399), need, true),
            "once stopped, it waits for more"
        );
        assert!(!BACKLOG.is_tight(&room(1_400), need, true));
        let nothing_to_pack = Backlog { files: 0, ..BACKLOG };
        assert!(!nothing_to_pack.is_tight(&room(0), need, true));
    }

    #[test]
    fn one_that_may_take_locks_it_says_nothing_of_is_never_stopped() {
        let of = |version, args: &[&str], is_silent| {
            let args: Vec<String> = args.iter().map(|arg| format!("--{arg}")).collect();
            LockSeen::of(version, &args, is_silent)
        };
        let usual = ["threads=4", "triggers", "trx-consistency-only"];
        assert_eq!(of((0, 10, 0), &usual, false), LockSeen::Told);
        assert_eq!(
            of((1, 0, 1), &["threads=4", "skip-ddl-locks"], false),
            LockSeen::Told
        );
        assert_eq!(of((0, 10, 0), &usual, true), LockSeen::Unknown);
        assert_eq!(of((0, 10, 9), &usual, false), LockSeen::Unknown);
        for arg in [
            "less-locking",
            "no-trx-tables",
            "no-locks",
            "lock-all-tables",
            "sync-thread-lock-mode=SAFE_NO_LOCK",
        ] {
            assert_eq!(
                of((1, 0, 1), &["threads=4", arg], false),
                LockSeen::Unknown,
                "{arg}"
            );
        }
    }

    #[test]
    fn what_it_once_wrote_at_a_time_is_forgotten_by_and_by() {
        let (_announce, identity) = watch::channel(None);
        let heard = Heard::new(true);
        let mut pressure = Pressure::new(identity, (&heard, LockSeen::Told), &NoLog, 1_000);
        let now = Instant::now();
        pressure.weigh(&room(1 << 29), (BACKLOG, 1_000_000), now);
        assert_eq!(pressure.most_grown_bytes, 1_000_000);
        for _ in 0..100 {
            pressure.weigh(&room(1 << 29), (BACKLOG, 500), now);
        }
        assert!((500..5_000).contains(&pressure.most_grown_bytes));
    }

    #[test]
    fn what_is_closed_and_waits_is_seen_by_the_room_that_it_has_taken() {
        let (_announce, identity) = watch::channel(None);
        let heard = Heard::new(true);
        let mut pressure = Pressure::new(identity, (&heard, LockSeen::Told), &NoLog, 1_000);
        let now = Instant::now();
        for (free_bytes, most_grown_bytes) in [(90_000, 0), (60_000, 30_000), (80_000, 28_125)] {
            pressure.weigh(&room(free_bytes), (BACKLOG, 0), now);
            assert_eq!(pressure.most_grown_bytes, most_grown_bytes);
        }
    }

    /// `T` when stopped.
    fn state_of(child: &Child) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        stat.rsplit_once(')').unwrap().1.trim().chars().next().unwrap()
    }

    fn until_stopped(child: &Child, is_stopped: bool) {
        for _ in 0..500 {
            if (state_of(child) == 'T') == is_stopped {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("stopped: {}, wanted {is_stopped}", state_of(child));
    }

    #[tokio::test]
    async fn it_is_stopped_lets_go_for_a_breath_and_always_runs_at_the_end() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let (_announce, identity) = watch::channel(Some(ProcessIdentity::of(child.id()).unwrap()));
        let heard = Heard::new(true);
        let mut pressure = Pressure::new(identity, (&heard, LockSeen::Told), &NoLog, 1_000);
        let now = Instant::now();
        let (backlog, tight) = ((BACKLOG, 0), room(0));
        pressure.weigh(&tight, backlog, now);
        until_stopped(&child, false);
        assert_eq!(
            pressure.due(),
            None,
            "it has not said that it has given its lock back"
        );
        for line in [
            "** Message: 21:18:05.816: Connected to a MySQL server",
            "** Message: 21:18:10.311: Started dump at: 2026-11-22 21:18:10",
            "** Message: 21:18:11.413: Transactions started, unlocking tables",
        ] {
            locked(&heard).hear(line, now);
        }
        pressure.weigh(&tight, backlog, now + RELEASED_WITHIN / 2);
        assert_eq!(pressure.due(), None, "it says so before it does");
        let now = now + RELEASED_WITHIN;
        pressure.weigh(&tight, backlog, now);
        until_stopped(&child, true);
        pressure.keep_up(now + LONGEST_STOP);
        until_stopped(&child, false);
        pressure.keep_up(now + LONGEST_STOP + BREATH);
        until_stopped(&child, true);
        pressure.weigh(&room(5_000), backlog, now);
        until_stopped(&child, false);
        pressure.weigh(&tight, backlog, now);
        until_stopped(&child, true);
        pressure.disarm();
        until_stopped(&child, false);
        pressure.weigh(&tight, backlog, now);
        assert_eq!(pressure.due(), None, "it is being ended");
        pressure.is_disarmed = false;
        pressure.weigh(&tight, backlog, now);
        until_stopped(&child, true);
        drop(pressure);
        until_stopped(&child, false);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
