//! Which connections of the server are a dump's.
//!
//! Its threads say the numbers of theirs. A server that keeps what clients say of themselves (`performance_schema`)
//! knows the process, and a server that is reached through TCP the port, which the process can be seen to have. The
//! connection that takes the lock, of which mydumper says nothing but that it is there, is else the only one of the
//! account and host that came after ours, made right before the start, and was there when mydumper said so. Where two
//! were, neither is ever touched, also when one of them has gone: the other may be another dump's.

use super::heard::{Heard, locked};
use crate::probe::{Probe, Session, Standing};
use mykeeper_domain::server::Endpoint;
use std::collections::BTreeSet;
use std::sync::Mutex;

/// Connections that are remembered as having been there with the dump.
const MAX_SEEN: usize = 4_096;
/// Looks, after mydumper has said that it is connected, in which its connection may be yet to be seen.
const LOOKS_AT_CONNECT: u32 = 5;
/// Open files of a process that are looked at.
const MAX_FILES: usize = 65_536;

/// The connections of one dump.
pub(super) struct Own<'a> {
    heard: &'a Mutex<Heard>,
    /// Of a connection made right before the start. Without it nothing can be told.
    pub(super) before: Option<Standing>,
    /// Our own since.
    pub(super) ours: BTreeSet<u64>,
    /// The dump's besides its threads'.
    pub(super) sure: BTreeSet<u64>,
    /// Those that could be the one that takes the lock, when mydumper had just said that it is there.
    at_connect: Option<BTreeSet<u64>>,
    looks_at_connect: u32,
    /// Of the account and host, newer than the start, seen while it ran.
    seen: BTreeSet<u64>,
}

impl<'a> Own<'a> {
    pub(super) fn new(heard: &'a Mutex<Heard>) -> Self {
        Self {
            heard,
            before: None,
            ours: BTreeSet::new(),
            sure: BTreeSet::new(),
            at_connect: None,
            looks_at_connect: 0,
            seen: BTreeSet::new(),
        }
    }

    /// A connection made right before the start.
    pub(super) fn begin(&mut self, standing: Standing) {
        self.ours.insert(standing.id);
        self.before = Some(standing);
    }

    /// Asks the server which connections come from this process.
    ///
    /// What a client says of its process counts in its own namespace: over the network, the connections of another
    /// container behind the same address may name the same number.
    pub(super) async fn learn_from_server(&mut self, probe: &mut Probe, (pid, endpoint): (u32, &Endpoint)) {
        if matches!(endpoint, Endpoint::Tcp { .. }) && !has_own_numbers() {
            return;
        }
        let attributed = probe.sessions_of_processes(&[pid]).await;
        let after = self.before.as_ref().map_or(u64::MAX, |before| before.id);
        self.sure.extend(attributed.into_iter().filter(|id| *id > after));
    }

    /// Learns from the server's list, taken while `pid` lived.
    pub(super) fn learn(&mut self, sessions: &[Session], pid: Option<u32>) {
        let of_account: Vec<&Session> = sessions
            .iter()
            .filter(|session| self.is_of_account(session))
            .collect();
        let ports = match pid {
            Some(pid) if of_account.iter().any(|session| session.port.is_some()) => ports_of(pid),
            _ => BTreeSet::new(),
        };
        let by_port: Vec<u64> = of_account
            .iter()
            .filter(|session| session.port.is_some_and(|port| ports.contains(&port)))
            .map(|session| session.id)
            .collect();
        for session in of_account {
            if self.seen.len() < MAX_SEEN {
                self.seen.insert(session.id);
            }
        }
        self.sure.extend(by_port);
        if self.at_connect.is_none() && locked(self.heard).is_connected {
            let candidates: BTreeSet<u64> = self
                .candidates(sessions)
                .iter()
                .map(|session| session.id)
                .collect();
            if candidates.len() == 1 && self.sure.is_empty() {
                self.sure.extend(&candidates);
            }
            self.looks_at_connect += 1;
            if !candidates.is_empty() || self.looks_at_connect >= LOOKS_AT_CONNECT {
                self.at_connect = Some(candidates);
            }
        }
    }

    /// Who could be the dump's besides its threads.
    fn candidates<'s>(&self, sessions: &'s [Session]) -> Vec<&'s Session> {
        let first_thread = locked(self.heard).threads.first().copied().unwrap_or(u64::MAX);
        sessions
            .iter()
            .filter(|session| self.is_of_account(session) && session.id < first_thread)
            .collect()
    }

    /// Of our account and host, and newer than the start.
    pub(super) fn is_of_account(&self, session: &Session) -> bool {
        self.before.as_ref().is_some_and(|before| {
            session.id > before.id
                && session.user == before.user
                && session.host == before.host
                && !self.ours.contains(&session.id)
        })
    }

    pub(super) fn is_surely_its(&self, session: &Session) -> bool {
        self.is_of_account(session)
            && (self.sure.contains(&session.id) || locked(self.heard).threads.contains(&session.id))
    }

    /// Surely its own, or, where nothing is known of them, of its account.
    pub(super) fn is_likely_its(&self, session: &Session) -> bool {
        let is_known = !self.sure.is_empty() || !locked(self.heard).threads.is_empty();
        if is_known {
            self.is_surely_its(session)
        } else {
            self.is_of_account(session)
        }
    }

    /// What is surely the dump's of the connections that are there after its end, and what may be.
    pub(super) fn left_over(&self, sessions: &[Session]) -> (Vec<Session>, Vec<Session>) {
        let (own, others): (Vec<&Session>, Vec<&Session>) = sessions
            .iter()
            .filter(|session| self.is_of_account(session))
            .partition(|session| self.is_surely_its(session));
        let (is_connected, first_thread) = {
            let heard = locked(self.heard);
            (heard.is_connected, heard.threads.first().copied())
        };
        let may_be = |session: &&&Session| match &self.at_connect {
            _ if !self.sure.is_empty() => false,
            Some(candidates) => candidates.contains(&session.id),
            // It ended before it was looked at.
            None if is_connected => first_thread.is_none_or(|first| session.id < first),
            None => self.seen.contains(&session.id),
        };
        let doubtful = others.iter().filter(may_be).map(|session| (*session).clone());
        let doubtful = doubtful.collect();
        (own.into_iter().cloned().collect(), doubtful)
    }
}

/// Local ports of this process's connections; none of one that is gone or another user's.
fn ports_of(pid: u32) -> BTreeSet<u16> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    let sockets: BTreeSet<String> = files
        .take(MAX_FILES)
        .flatten()
        .filter_map(|file| {
            let target = std::fs::read_link(file.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    if sockets.is_empty() {
        return BTreeSet::new();
    }
    ["tcp", "tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
        .flat_map(|table| {
            table
                .lines()
                .filter_map(|line| local_port(line, &sockets))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The local port of a line of `/proc/PID/net/tcp` that is about one of these sockets.
fn local_port(line: &str, sockets: &BTreeSet<String>) -> Option<u16> {
    let mut fields = line.split_ascii_whitespace();
    let (_, port) = fields.nth(1)?.rsplit_once(':')?;
    let inode = fields.nth(7)?;
    let port = u16::from_str_radix(port, 16).ok()?;
    sockets.contains(inode).then_some(port)
}

/// Whether this process is in the first namespace of processes, where a number is one process of the machine.
fn has_own_numbers() -> bool {
    const FIRST: &str = "pid:[4026531836]";
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|name| name.as_os_str() == FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn session(id: u64) -> Session {
        Session {
            id,
            user: "backup".into(),
            host: "localhost".into(),
            ..Session::default()
        }
    }

    fn own(heard: &Mutex<Heard>) -> Own<'_> {
        let mut own = Own::new(heard);
        own.begin(Standing {
            id: 10,
            user: "backup".into(),
            host: "localhost".into(),
        });
        own
    }

    fn ids(sessions: &[Session]) -> Vec<u64> {
        sessions.iter().map(|session| session.id).collect()
    }

    #[test]
    fn the_one_that_came_with_it_is_its_own_and_who_came_later_is_not() {
        let heard = Heard::new(true);
        let mut own = own(&heard);
        own.learn(&[session(9)], None);
        let said = "** Message: 10:00:00.000: Connected to a MySQL server";
        locked(&heard).hear(said, Instant::now());
        own.learn(&[session(9), session(11)], None);
        own.learn(&[session(9), session(12)], None);
        assert_eq!(own.sure, BTreeSet::from([11]));
        let (left, doubtful) = own.left_over(&[session(9), session(11), session(12)]);
        assert_eq!((ids(&left), ids(&doubtful)), (vec![11], vec![]));
    }

    #[test]
    fn of_two_that_came_the_one_that_remains_is_not_taken_for_its_own() {
        let heard = Heard::new(true);
        let mut own = own(&heard);
        let said = "** Message: 10:00:00.000: Connected to a MySQL server";
        locked(&heard).hear(said, Instant::now());
        own.learn(&[session(11), session(12)], None);
        own.learn(&[session(12)], None);
        assert!(own.sure.is_empty());
        let (left, doubtful) = own.left_over(&[session(12), session(13)]);
        assert_eq!((ids(&left), ids(&doubtful)), (vec![], vec![12]));
    }

    #[test]
    fn of_a_silent_one_only_what_was_there_with_it_may_be_its_own() {
        let heard = Heard::new(true);
        let mut own = own(&heard);
        own.learn(&[session(11)], None);
        let (left, doubtful) = own.left_over(&[session(11), session(12)]);
        assert_eq!((ids(&left), ids(&doubtful)), (vec![], vec![11]));
    }

    #[test]
    fn a_port_is_known_by_the_process_that_has_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let port = client.local_addr().unwrap().port();
        assert!(ports_of(std::process::id()).contains(&port));
        drop(client);
        let line = "   0: 0100007F:C822 0100007F:0CEA 01 00000000:00000000 00:00000000 00000000  1000        0 4711 1";
        assert_eq!(
            local_port(line, &BTreeSet::from(["4711".to_owned()])),
            Some(0xC822)
        );
        assert_eq!(local_port(line, &BTreeSet::from(["471".to_owned()])), None);
    }
}
