//! mydumper writes faster than files are compressed. Before the disk is full of plain ones it is held up, until some of
//! them are packed.
//!
//! It is stopped by a signal, and only where it is known to hold no lock that others wait for. Its server goes on writing
//! to it until the connection is full, and gives up on a client that takes nothing for `net_write_timeout` (60 s where
//! nobody has set it; mydumper raises it for one connection of several): so it gets a moment to read, again and again.

use super::heard::{Heard, locked};
use super::lock::Phase;
use crate::log::RunLog;
use mykeeper_domain::space::{Room, size_text};
use mykeeper_supervise::{Activity, ProcessIdentity};
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The longest that it takes nothing from its server.
const LONGEST_STOP: Duration = Duration::from_secs(10);
/// How often it is told that it is held up.
const STOPS_TOLD: u32 = 10;
/// So long it takes something.
const BREATH: Duration = Duration::from_millis(100);
/// As much as came between two looks may come until the next, and until a signal takes effect.
const GROWTHS: u64 = 2;

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
    /// At the last look.
    free_bytes: Option<u64>,
    /// The most that was taken between two looks while it ran: it may take as much again before the next.
    most_grown_bytes: u64,
    state: State,
    /// That it could not be held up has been told.
    has_warned: bool,
    /// How often it has been stopped.
    stops: u32,
}

/// Whether its lock can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LockSeen {
    /// It takes none.
    NotTaken,
    /// It says when it has given it back.
    Told,
    /// It does not say.
    Unknown,
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
            free_bytes: None,
            most_grown_bytes: 0,
            state: State::Runs,
            has_warned: false,
            stops: 0,
        }
    }

    /// What is to be done after a look at the room.
    pub(super) fn weigh(&mut self, room: &Room, backlog: Backlog, now: Instant) {
        let is_stopped = self.state != State::Runs;
        let before = self
            .free_bytes
            .replace(room.free_bytes)
            .unwrap_or(room.free_bytes);
        if !is_stopped {
            let grown_bytes = before.saturating_sub(room.free_bytes);
            self.most_grown_bytes = self.most_grown_bytes.max(grown_bytes);
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

    /// What is due is done. A mydumper that is held up is alive.
    pub(super) fn keep_up(&mut self, activity: &Activity, now: Instant) {
        match self.state {
            State::Stopped(since) if now >= since + LONGEST_STOP => {
                activity.touch();
                if self.signal(ProcessIdentity::resume) {
                    self.state = State::Breathes(now + BREATH);
                }
            }
            State::Breathes(until) if now >= until => {
                activity.touch();
                self.state = match self.signal(ProcessIdentity::pause) {
                    true => State::Stopped(now),
                    false => State::Runs,
                };
            }
            _ => {}
        }
    }

    /// Where it is not known to hold no lock, it is left to write.
    fn stop(&mut self, room: &Room, now: Instant) {
        let may_hold_lock = match self.lock {
            LockSeen::NotTaken => false,
            LockSeen::Told => locked(self.heard).lock.phase() != Phase::Over,
            LockSeen::Unknown => true,
        };
        let free = size_text(room.free_bytes);
        if may_hold_lock {
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

    /// Whether it is held up, or takes a breath meanwhile.
    pub(super) fn holds_up(&self) -> bool {
        self.state != State::Runs
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
        let activity = Activity::new();
        let mut pressure = Pressure::new(identity, (&heard, LockSeen::Told), &NoLog, 1_000);
        let now = Instant::now();
        pressure.weigh(&room(0), BACKLOG, now);
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
        pressure.weigh(&room(0), BACKLOG, now);
        until_stopped(&child, true);
        pressure.keep_up(&activity, now + LONGEST_STOP);
        until_stopped(&child, false);
        pressure.keep_up(&activity, now + LONGEST_STOP + BREATH);
        until_stopped(&child, true);
        pressure.weigh(&room(5_000), BACKLOG, now);
        until_stopped(&child, false);
        pressure.weigh(&room(0), BACKLOG, now);
        until_stopped(&child, true);
        drop(pressure);
        until_stopped(&child, false);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
