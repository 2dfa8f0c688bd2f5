//! One process, never mistaken for a later one with the same number.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::process_table::Process;
use crate::sweep;

/// Carries the identity of the tool into everything it starts.
pub(crate) const TREE_VARIABLE: &str = "MYKEEPER_TREE";

/// One process of one boot: pids are reused, the pair of pid and start time is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`: clock ticks from boot to its start.
    pub start_time_ticks: u64,
    /// The kernel's random id of this boot.
    pub boot_id: String,
}

impl ProcessIdentity {
    /// Identifies the process that has this id now.
    ///
    /// # Errors
    /// No such process, or `/proc` cannot be read.
    pub fn of(pid: u32) -> io::Result<Self> {
        let process = Process::read(pid)?;
        Ok(Self {
            pid,
            start_time_ticks: process.start_time_ticks,
            boot_id: boot_id()?,
        })
    }

    /// Whether this very process still runs. One that only waits to be reaped does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        boot_id().is_ok_and(|boot_id| boot_id == self.boot_id)
            && Process::read(self.pid)
                .is_ok_and(|now| now.start_time_ticks == self.start_time_ticks && !now.dead)
    }

    /// Stops this very process, all its threads, until [`ProcessIdentity::resume`]. Ending its tree lets it go on first.
    ///
    /// # Errors
    /// It is gone, or is not ours.
    pub fn pause(&self) -> io::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on where [`ProcessIdentity::pause`] has stopped it.
    ///
    /// # Errors
    /// It is gone, or is not ours.
    pub fn resume(&self) -> io::Result<()> {
        self.signal(Signal::CONT)
    }

    /// What is opened before it is looked at cannot become another process meanwhile.
    fn signal(&self, signal: Signal) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let handle = pidfd_open(pid.ok_or_else(gone)?, PidfdFlags::empty())?;
        if !self.is_alive() {
            return Err(gone());
        }
        Ok(pidfd_send_signal(handle, signal)?)
    }

    /// Ends this process, its group, its descendants and, also when the process itself is gone, whatever else it
    /// started: SIGTERM, `grace`, SIGKILL. A process that merely has the same number is left alone. For recovery
    /// after a crash; returns how many processes were signalled.
    ///
    /// # Errors
    /// `/proc` cannot be read, or something survives SIGKILL (`ErrorKind::TimedOut`).
    pub async fn kill_tree(&self, grace: Duration) -> io::Result<u32> {
        let swept = sweep::in_background(self.clone(), grace, sweep::Adopted::Leave).await?;
        if swept.survivors > 0 {
            let message = format!(
                "{} processes of the tree of {} survive SIGKILL",
                swept.survivors, self.pid
            );
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        Ok(swept.signalled)
    }

    /// The value of [`TREE_VARIABLE`] in this process and what it starts.
    pub(crate) fn mark(&self) -> OsString {
        format!("{}:{}:{}", self.boot_id, self.pid, self.start_time_ticks).into()
    }
}

pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}
