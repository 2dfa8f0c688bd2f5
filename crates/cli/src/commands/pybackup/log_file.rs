//! The log that the person names, beside the run's own.

use crate::failure::Failure;
use crate::output::say;
use chrono_tz::Tz;
use mykeeper_domain::{Clock, SystemClock};
use mykeeper_tools::{Progress, RunLog};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Each line with its time on the wall, at the file's end: logrotate may cut it off in between (`copytruncate`).
pub(super) struct LogFile {
    path: PathBuf,
    zone: Tz,
    file: Mutex<Option<File>>,
}

impl LogFile {
    /// Opens the file, made where it is not there.
    pub(super) fn open(path: &Path, zone: Tz) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o640)
            .open(path)
            .map_err(|error| Failure::usage(format!("cannot write the log {}: {error}", path.display())))?;
        Ok(Self {
            path: path.to_owned(),
            zone,
            file: Mutex::new(Some(file)),
        })
    }
}

impl RunLog for LogFile {
    fn line(&self, source: &str, text: &str) {
        let now = SystemClock
            .now()
            .with_timezone(&self.zone)
            .format("%Y-%m-%d %H:%M:%S");
        let mut held = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = held.as_mut()
            && let Err(error) = file.write_all(format!("{now} {source}: {text}\n").as_bytes())
        {
            // Said once; the run has its own log.
            *held = None;
            say(&format!(
                "warning: the log {} is not written any more: {error}",
                self.path.display()
            ));
        }
    }

    fn progress(&self, _progress: Progress) {}
}
