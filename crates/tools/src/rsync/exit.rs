//! What an rsync that failed means.

use super::Ended;
use crate::error::ToolError;
use mykeeper_supervise::Exit;

/// Words that settle it, whatever else is said: the connection is often cut after them.
const REFUSED: [&str; 5] = [
    "auth failed",
    "unknown module",
    "module is read only",
    "host key verification failed",
    "permission denied (",
];
/// Words that tell that nothing changes until somebody changes something.
const LASTING: [&str; 10] = [
    "read-only file system",
    "permission denied",
    "operation not permitted",
    "no such file or directory",
    "no such identity",
    "not a directory",
    "chdir failed",
    "refuse",
    "could not resolve hostname",
    "password file",
];
/// Words that tell of a state that passes, also where one of [`LASTING`] occurs.
const PASSING: [&str; 7] = [
    "connection refused",
    "connection reset",
    "connection timed out",
    "connection closed by",
    "max connections",
    "temporary failure in name resolution",
    "no route to host",
];
/// Words that tell of a full disk at the other end, which cannot be asked for its room before.
const FULL: [&str; 2] = ["no space left", "disk quota exceeded"];
const FULL_SENTENCE: &str = "there is no room left at the destination; make room there: the next transfer goes on where \
                             this one ended";

/// The error of an rsync that ended by itself, and not well.
pub(super) fn failure(act: &str, ended: &Ended) -> ToolError {
    let words = ended.errors.join("\n").to_lowercase();
    let is_full = FULL.iter().any(|word| words.contains(word));
    let (sentence, by_code) = match ended.exit {
        Exit::Failed { code } => {
            let (sentence, passing) = match is_full {
                true => (FULL_SENTENCE, false),
                false => meaning(code, &words),
            };
            (format!("{sentence} (rsync's exit status {code})"), passing)
        }
        Exit::Signaled { signal } => (format!("rsync was killed by signal {signal}"), true),
        ref other => (format!("rsync {other}"), true),
    };
    let passing = if is_full || REFUSED.iter().any(|word| words.contains(word)) {
        false
    } else if PASSING.iter().any(|word| words.contains(word)) {
        true
    } else if LASTING.iter().any(|word| words.contains(word)) {
        false
    } else {
        by_code
    };
    let line = relevant_line(&ended.errors)
        .map(|line| format!(": {line}"))
        .unwrap_or_default();
    ToolError::Failed {
        message: format!("cannot {act}: {sentence}{line}"),
        passing,
    }
}

fn meaning(code: i32, words: &str) -> (&'static str, bool) {
    match code {
        1 if words.contains("read only") => ("the module is read only", false),
        1 => ("rsync did not accept its arguments", false),
        2 => ("the two rsyncs cannot speak to each other", false),
        3 => ("a file or folder could not be chosen", false),
        4 => ("the other end does not support or refuses what is asked", false),
        5 if words.contains("auth failed") => ("the daemon refused user or password", false),
        5 if words.contains("unknown module") => ("the daemon has no such module", false),
        5 if words.contains("max connections") => ("the daemon has too many connections", true),
        5 => ("the daemon refused to begin", false),
        10 => ("the connection failed", true),
        11 => ("a file could not be read or written", true),
        12 | 255 if words.contains("permission denied (") => ("ssh was not let in", false),
        12 | 255 if words.contains("host key verification failed") => {
            ("ssh does not trust the host's key", false)
        }
        12 => ("the connection broke off", true),
        13 | 14 | 21 | 22 => ("rsync failed within itself", true),
        19 | 20 => ("rsync was told to end", true),
        23 => ("some files were not sent", true),
        24 => ("files of the set vanished while it was sent", false),
        25 => ("rsync stopped deleting", false),
        30 => ("the other end said nothing for too long", true),
        35 => ("no connection to the daemon came about in time", true),
        126 | 127 => ("rsync is not installed at the other end", false),
        255 => ("ssh could not connect", true),
        _ => ("rsync failed", true),
    }
}

/// The line that tells most: the first that is not rsync's own summary.
fn relevant_line(errors: &[String]) -> Option<&str> {
    errors
        .iter()
        .map(String::as_str)
        .find(|line| !line.starts_with("rsync error:") && !line.contains("connection unexpectedly closed"))
        .or_else(|| errors.first().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(code: i32, lines: &[&str]) -> (String, bool) {
        let ended = Ended {
            exit: Exit::Failed { code },
            errors: lines.iter().map(|line| (*line).to_owned()).collect(),
        };
        let error = failure("send set x to vault", &ended);
        (error.to_string(), error.is_passing())
    }

    #[test]
    fn what_passes_and_what_lasts_is_told_apart() {
        let cases = [
            message(
                5,
                &[
                    "@ERROR: auth failed on module m",
                    "rsync error: error starting client-server protocol",
                ],
            ),
            message(5, &["@ERROR: Unknown module 'unknown'"]),
            message(5, &["@ERROR: max connections (1) reached -- try again later"]),
            message(
                1,
                &[
                    "ERROR: module is read only",
                    "rsync: [sender] read error: Connection reset by peer (104)",
                ],
            ),
            message(
                10,
                &["rsync: [sender] failed to connect to 127.0.0.1 (127.0.0.1): Connection refused (111)"],
            ),
            message(
                12,
                &["rsync: connection unexpectedly closed (0 bytes received so far) [sender]"],
            ),
            message(
                12,
                &[
                    "ssh: connect to host h port 22: Connection refused",
                    "rsync: connection unexpectedly closed",
                ],
            ),
            message(
                12,
                &[
                    "me@h: Permission denied (publickey).",
                    "rsync: connection unexpectedly closed",
                ],
            ),
            message(
                11,
                &["rsync: [receiver] write failed on \"x\": No space left on device (28)"],
            ),
            message(
                23,
                &["rsync: [receiver] mkstemp \"x\" (in m) failed: Permission denied (13)"],
            ),
            message(24, &["file has vanished: \"/x\""]),
            message(
                30,
                &["rsync error: timeout in data send/receive (code 30) at io.c(201) [sender=3.5.0]"],
            ),
            message(35, &[]),
        ];
        let lines: Vec<String> = cases
            .iter()
            .map(|(text, passing)| format!("{} {text}", if *passing { "again:" } else { "never:" }))
            .collect();
        insta::assert_snapshot!(lines.join("\n"));
    }
}
