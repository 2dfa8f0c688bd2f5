//! How far a run in the foreground has come.

use crate::output::say;
use indicatif::{ProgressBar, ProgressStyle};
use mykeeper_domain::space::size_text;
use mykeeper_tools::{Progress, RunLog};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a phase goes on before its first line; each further one takes twice as long to come, up to the longest.
const FIRST_LINE: Duration = Duration::from_secs(10);
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// Shows a run in the foreground: its steps as lines; its bytes as a bar on a terminal, as a line now and then elsewhere.
pub(crate) struct TerminalLog {
    verbose: bool,
    bar: Mutex<Option<(&'static str, ProgressBar)>>,
    pace: Mutex<Option<Pace>>,
}

impl TerminalLog {
    pub(crate) fn new(verbose: bool) -> Self {
        Self {
            verbose,
            bar: Mutex::new(None),
            pace: Mutex::new(None),
        }
    }

    fn tell_now_and_then(&self, progress: &Progress) {
        let now = Instant::now();
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = match &mut *pace {
            Some(pace) if pace.phase == progress.phase => pace,
            other => other.insert(Pace::of(progress, now)),
        };
        if let Some(line) = pace.line(progress, now) {
            say(&line);
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some((_, bar)) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

impl RunLog for TerminalLog {
    fn line(&self, source: &str, text: &str) {
        // How the run ended is the command's own last word.
        let is_last = source == "mykeeper" && text.starts_with(mykeeper_daemon::engine::LAST_LINE);
        if is_last || (!self.verbose && source != "mykeeper") {
            return;
        }
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let line = if source == "mykeeper" {
            text.to_owned()
        } else {
            format!("{source}: {text}")
        };
        match &*bar {
            Some((_, bar)) => bar.suspend(|| say(&line)),
            None => say(&line),
        }
    }

    fn progress(&self, progress: Progress) {
        if !std::io::stderr().is_terminal() {
            self.tell_now_and_then(&progress);
            return;
        }
        let mut held = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_none_or(|(phase, _)| *phase != progress.phase) {
            if let Some((_, old)) = held.take() {
                old.finish_and_clear();
            }
            let bar = ProgressBar::new(progress.total_bytes.unwrap_or(0));
            let template = if progress.total_bytes.is_some() {
                "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}, {eta} left"
            } else {
                "{msg} {spinner} {bytes} {bytes_per_sec}, {elapsed}"
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_message(progress.phase);
            bar.enable_steady_tick(Duration::from_millis(200));
            *held = Some((progress.phase, bar));
        }
        if let Some((_, bar)) = &*held {
            if let Some(total) = progress.total_bytes {
                bar.set_length(total);
            }
            bar.set_position(progress.done_bytes);
        }
    }
}

/// Which steps of a phase are told where there is no terminal.
#[derive(Clone, Debug)]
struct Pace {
    phase: &'static str,
    began: Instant,
    /// Bytes that were done when it began.
    before: u64,
    next: Instant,
    silence: Duration,
}

impl Pace {
    fn of(progress: &Progress, now: Instant) -> Self {
        Self {
            phase: progress.phase,
            began: now,
            before: progress.done_bytes,
            next: now + FIRST_LINE,
            silence: FIRST_LINE,
        }
    }

    /// `restore: 1.2 GiB of 4 GiB, 80 MiB/s, 35s left`, when it is time for one.
    fn line(&mut self, progress: &Progress, now: Instant) -> Option<String> {
        if now < self.next {
            return None;
        }
        self.silence = (self.silence * 2).min(LONGEST_SILENCE);
        self.next = now + self.silence;
        let (done, seconds) = (progress.done_bytes, (now - self.began).as_secs().max(1));
        let rate = done.saturating_sub(self.before) / seconds;
        let mut line = format!("{}: {}", self.phase, size_text(done));
        if let Some(total) = progress.total_bytes {
            line.push_str(&format!(" of {}", size_text(total)));
        }
        line.push_str(&format!(", {}/s", size_text(rate)));
        let left = progress.total_bytes.map(|total| total.saturating_sub(done));
        if let Some(seconds) = left.and_then(|left| left.checked_div(rate)) {
            let left = humantime::format_duration(Duration::from_secs(seconds));
            line.push_str(&format!(", {left} left"));
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_now_and_then_with_rate_and_time_left() {
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let progress = |done_mib: u64, total_mib: Option<u64>| Progress {
            phase: "restore",
            done_bytes: done_mib << 20,
            total_bytes: total_mib.map(|mib| mib << 20),
        };
        let mut pace = Pace::of(&progress(0, Some(4096)), began);
        assert_eq!(pace.line(&progress(90, Some(4096)), at(9)), None);
        assert_eq!(
            pace.line(&progress(100, Some(4096)), at(10)).as_deref(),
            Some("restore: 100 MiB of 4 GiB, 10 MiB/s, 6m 39s left")
        );
        assert_eq!(pace.line(&progress(290, Some(4096)), at(29)), None);
        assert!(pace.line(&progress(300, Some(4096)), at(30)).is_some());
        assert!(pace.line(&progress(700, Some(4096)), at(70)).is_some());
        let told: Vec<u64> = (71..400)
            .filter(|second| {
                pace.line(&progress(*second * 10, Some(4096)), at(*second))
                    .is_some()
            })
            .collect();
        assert_eq!(told, [130, 190, 250, 310, 370]);
        let mut unknown = Pace::of(&progress(0, None), began);
        assert_eq!(
            unknown.line(&progress(0, None), at(20)).as_deref(),
            Some("restore: 0 bytes, 0 bytes/s")
        );
    }
}
