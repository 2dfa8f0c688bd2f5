//! The daemon's log in systemd's journal: each line with its fields, so that `journalctl JOB=shop-nightly` finds what
//! belongs to a job. What the journal shows by itself (MESSAGE) is the line that a terminal would get.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// The longest line, in bytes: what is longer fits into no datagram. Runs have logs of their own.
const LONGEST_LINE: usize = 48 * 1024;
/// The longest value of a field.
const LONGEST_VALUE: usize = 1024;
/// How long a line may wait for a journal that does not read.
const TAKEN_WITHIN: Duration = Duration::from_millis(500);

/// What a line, or the run that it belongs to, is about. Other fields stand in the line alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct About {
    job: Option<String>,
    run: Option<String>,
    bk_id: Option<String>,
}

impl About {
    fn set(&mut self, field: &str, value: &dyn std::fmt::Debug) {
        let place = match field {
            "job" => &mut self.job,
            "run" => &mut self.run,
            "bk_id" => &mut self.bk_id,
            _ => return,
        };
        *place = Some(cut(format!("{value:?}"), LONGEST_VALUE));
    }

    /// What is not known here is as there.
    fn or(self, other: &Self) -> Self {
        Self {
            job: self.job.or_else(|| other.job.clone()),
            run: self.run.or_else(|| other.run.clone()),
            bk_id: self.bk_id.or_else(|| other.bk_id.clone()),
        }
    }
}

impl Visit for About {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.set(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), &format_args!("{value}"));
    }
}

/// The line, as on a terminal: the message, then each field.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.message.push_str(&format!("{value:?}")),
            name => self.fields.push_str(&format!(" {name}={value:?}")),
        }
    }
}

/// Writes events to the journal.
pub(crate) struct Journal {
    socket: UnixDatagram,
    lost: AtomicU64,
}

impl Journal {
    /// Connects to this host's journal.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SOCKET)?;
        Self::over(socket)
    }

    fn over(socket: UnixDatagram) -> io::Result<Self> {
        socket.set_write_timeout(Some(TAKEN_WITHIN))?;
        Ok(Self {
            socket,
            lost: AtomicU64::new(0),
        })
    }

    /// A line that the journal does not take is counted, and the next that it takes says how many.
    fn send(&self, level: Level, line: &str, about: &About) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        let line = match lost {
            0 => line.to_owned(),
            lost => format!("{line} (lines lost before this one, which the journal did not take: {lost})"),
        };
        if self.socket.send(&datagram(level, line, about)).is_err() {
            self.lost.fetch_add(lost + 1, Ordering::Relaxed);
        }
    }
}

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Journal {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut about = About::default();
        attributes.record(&mut about);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(about);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(about) = span.extensions_mut().get_mut::<About>()
        {
            values.record(about);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let (mut line, mut about) = (Line::default(), About::default());
        event.record(&mut line);
        event.record(&mut about);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<About>() {
                about = about.or(outer);
            }
        }
        let text = format!("{}{}", line.message, line.fields);
        self.send(*event.metadata().level(), text.trim_start(), &about);
    }
}

/// One entry in the journal's own format: `KEY=value`, or for what may hold line ends the key, the length as 64 bits,
/// little end first, and the value.
fn datagram(level: Level, line: String, about: &About) -> Vec<u8> {
    // As syslog counts: error, warning, informational, debug.
    let priority = match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    };
    let mut entry = format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER=mykeeper\n").into_bytes();
    let mut add = |key: &str, value: &str| {
        entry.extend_from_slice(key.as_bytes());
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
        entry.extend_from_slice(value.as_bytes());
        entry.push(b'\n');
    };
    add("MESSAGE", &cut(line, LONGEST_LINE));
    for (key, value) in [("JOB", &about.job), ("RUN", &about.run), ("BK_ID", &about.bk_id)] {
        if let Some(value) = value {
            add(key, value);
        }
    }
    entry
}

/// The text, or its beginning where it is longer.
fn cut(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    /// Fields of an entry, by key.
    fn fields(entry: &[u8]) -> Vec<(String, String)> {
        let (mut found, mut rest) = (Vec::new(), entry);
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
            let head = std::str::from_utf8(&rest[..end]).unwrap();
            rest = &rest[end + 1..];
            if let Some((key, value)) = head.split_once('=') {
                found.push((key.to_owned(), value.to_owned()));
                continue;
            }
            let length = usize::try_from(u64::from_le_bytes(rest[..8].try_into().unwrap())).unwrap();
            let value = String::from_utf8(rest[8..8 + length].to_vec()).unwrap();
            found.push((head.to_owned(), value));
            rest = &rest[8 + length + 1..];
        }
        found
    }

    #[test]
    fn a_line_of_a_run_bears_its_job_its_run_and_its_set_and_reads_as_on_a_terminal() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal::over(ours).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("run", job = "国内", run = "r1", bk_id = tracing::field::Empty);
            let _within = span.enter();
            tracing::warn!(cause = %"two\nlines", "cannot");
            span.record("bk_id", "b1");
            tracing::error!(run = "r2", "{}", "x".repeat(100_000));
        });
        let mut buffer = vec![0; 100_000];
        let mut next = || {
            let length = theirs.recv(&mut buffer).unwrap();
            fields(&buffer[..length])
        };
        let has = |entry: &[(String, String)], key: &str, value: &str| {
            let found: Vec<&str> = entry
                .iter()
                .filter(|(k, _)| k == key)
                .map(|(_, v)| &**v)
                .collect();
            assert_eq!(found, [value], "{key} of {entry:?}");
        };
        let first = next();
        has(&first, "MESSAGE", "cannot cause=two\nlines");
        has(&first, "PRIORITY", "4");
        has(&first, "JOB", "国内");
        has(&first, "RUN", "r1");
        assert!(first.iter().all(|(key, _)| key != "BK_ID"), "{first:?}");
        let second = next();
        has(&second, "PRIORITY", "3");
        has(&second, "RUN", "r2");
        has(&second, "JOB", "国内");
        has(&second, "BK_ID", "b1");
        let message = second.iter().find(|(key, _)| key == "MESSAGE").unwrap();
        assert!(message.1.len() < 50_000 && message.1.ends_with('…'));
    }

    #[test]
    fn a_journal_that_does_not_read_holds_up_a_line_for_a_moment_alone_and_is_told_how_many_it_lost() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let journal = Journal::over(ours).unwrap();
        let began = std::time::Instant::now();
        let line = "x".repeat(40_000);
        while journal.lost.load(Ordering::Relaxed) == 0 {
            journal.send(Level::INFO, &line, &About::default());
        }
        assert!(began.elapsed() < TAKEN_WITHIN * 10);
        theirs.set_nonblocking(true).unwrap();
        let mut buffer = vec![0; 100_000];
        while theirs.recv(&mut buffer).is_ok() {}
        journal.send(Level::INFO, "again", &About::default());
        let length = theirs.recv(&mut buffer).unwrap();
        let message = &fields(&buffer[..length])[2].1;
        assert!(
            message.starts_with("again") && message.ends_with(": 1)"),
            "{message}"
        );
    }
}
