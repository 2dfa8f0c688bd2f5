//! The shim's two sources of news: the daemon's socket, and the ends of children.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

use crate::protocol::{Event, STOP};

pub(super) struct Control {
    /// `None` once the daemon is gone.
    daemon: Option<UnixStream>,
    child_ended: UnixStream,
}

impl Control {
    /// Takes over standard input as the daemon's socket and learns of children's ends from here on.
    pub(super) fn from_stdin() -> io::Result<Self> {
        let daemon = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (child_ended, notify) = UnixStream::pair()?;
        child_ended.set_nonblocking(true)?;
        signal_hook::low_level::pipe::register(SIGCHLD, notify)?;
        // A service manager signals every process of the service at once. The daemon decides what becomes of the
        // tool, so the shim outlives such a signal. A handler, unlike SIG_IGN, is not inherited by the tool.
        for signal in [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2] {
            signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
        }
        Ok(Self {
            daemon: Some(daemon),
            child_ended,
        })
    }

    /// Tells the daemon. That it is gone is noticed when its side is read.
    pub(super) fn tell(&self, event: &Event) {
        if let Some(mut daemon) = self.daemon.as_ref()
            && let Ok(mut line) = serde_json::to_vec(event)
        {
            line.push(b'\n');
            // An error here is the daemon's end, and `wait` reports that one.
            drop(daemon.write_all(&line));
        }
    }

    /// Sleeps until a child ended, the time is over, a signal came, or the daemon wants the tree to end. Returns
    /// `true` for the last, which a daemon that is gone wants too.
    pub(super) fn wait(&mut self, time: Option<Duration>) -> io::Result<bool> {
        let time = time.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        let mut sources = vec![PollFd::new(&self.child_ended, PollFlags::IN)];
        sources.extend(
            self.daemon
                .as_ref()
                .map(|daemon| PollFd::new(daemon, PollFlags::IN)),
        );
        match poll(&mut sources, time.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let daemon_spoke = sources.get(1).is_some_and(|source| !source.revents().is_empty());
        drop(sources);
        let mut ends = [0; 64];
        while self
            .child_ended
            .read(&mut ends)
            .is_ok_and(|read| read == ends.len())
        {}
        Ok(daemon_spoke && self.hear())
    }

    fn hear(&mut self) -> bool {
        let mut word = [0];
        match self.daemon.as_ref().map(|mut daemon| daemon.read(&mut word)) {
            Some(Ok(1)) => word == [STOP],
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => false,
            _ => {
                self.daemon = None;
                true
            }
        }
    }
}
