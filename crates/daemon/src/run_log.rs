//! One file per run: what the tools said and what we did, line by line, each with its time.

use mykeeper_domain::Clock;
use mykeeper_tools::{Progress, RunLog};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The most that one run's log takes on disk, bytes; a tool that floods its output must not fill the disk.
pub const MAX_LOG_BYTES: u64 = 64 * 1024 * 1024;

/// The log of one run.
pub struct RunLogFile {
    clock: Arc<dyn Clock>,
    observer: Option<Arc<dyn RunLog>>,
    out: Mutex<Out>,
}

struct Out {
    file: Option<File>,
    written: u64,
    limit: u64,
}

impl RunLogFile {
    /// Creates the file, mode 0600. `observer` is told everything too.
    pub fn create(
        path: &Path,
        clock: Arc<dyn Clock>,
        observer: Option<Arc<dyn RunLog>>,
    ) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            clock,
            observer,
            out: Mutex::new(Out {
                file: Some(file),
                written: 0,
                limit: MAX_LOG_BYTES,
            }),
        })
    }

    /// A log that goes to the observer alone, for when the file cannot be made.
    pub fn without_file(clock: Arc<dyn Clock>, observer: Option<Arc<dyn RunLog>>) -> Self {
        Self {
            clock,
            observer,
            out: Mutex::new(Out {
                file: None,
                written: 0,
                limit: 0,
            }),
        }
    }
}

impl Out {
    fn write(&mut self, line: &str) {
        let Some(file) = &mut self.file else { return };
        if self.written + line.len() as u64 > self.limit {
            if let Err(error) = file.write_all(b"(the log ends here: it has reached its limit)\n") {
                tracing::warn!(%error, "cannot write a run's log");
            }
            self.file = None;
            return;
        }
        match file.write_all(line.as_bytes()) {
            Ok(()) => self.written += line.len() as u64,
            Err(error) => {
                tracing::warn!(%error, "cannot write a run's log; it ends here");
                self.file = None;
            }
        }
    }
}

impl RunLog for RunLogFile {
    fn line(&self, source: &str, text: &str) {
        let now = self
            .clock
            .now()
            .to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let line = format!("{now} {source}: {text}\n");
        self.out
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write(&line);
        if let Some(observer) = &self.observer {
            observer.line(source, text);
        }
    }

    fn progress(&self, progress: Progress) {
        if let Some(observer) = &self.observer {
            observer.progress(progress);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::SystemClock;

    #[test]
    fn a_flood_ends_at_the_limit_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/run.log");
        let log = RunLogFile::create(&path, Arc::new(SystemClock), None).unwrap();
        log.out.lock().unwrap().limit = 1000;
        for _ in 0..1000 {
            log.line("mydumper", "a line of some length that comes again and again");
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() < 1100, "{}", text.len());
        assert!(text.ends_with("(the log ends here: it has reached its limit)\n"));
        assert!(text.contains("Z mydumper: a line"));
    }
}
