//! What passes by itself, and what lasts until somebody does something about it.

/// Words that tell of a state that lasts: the next attempt would meet it again.
const LASTING: [&str; 13] = [
    "access denied",
    "command denied",
    "you need (at least one of) the",
    "permission denied",
    "operation not permitted",
    "read-only file system",
    "no space left",
    "disk quota exceeded",
    "file too large",
    "references invalid table(s)",
    "error in your sql syntax",
    "unknown system variable",
    "exec format error",
];
/// Words that tell of an outage, also where one of [`LASTING`] occurs: what was cut off says all kinds of things.
const PASSING: [&str; 9] = [
    "gone away",
    "lost connection",
    "can't connect",
    "connection refused",
    "too many connections",
    "connection was killed",
    "execution was interrupted",
    "lock wait timeout",
    "shutdown in progress",
];

/// Whether what a tool or a server said tells of a state that another attempt does not mend.
pub fn tells_of_lasting(words: &str) -> bool {
    let words = words.to_lowercase();
    let says = |known: &[&str]| known.iter().any(|word| words.contains(word));
    says(&LASTING) && !says(&PASSING)
}

/// Whether a system call that failed so may succeed by itself: short of something for a moment, or interrupted. A disk
/// that is full, a right that is missing or a file that is not there is none of these.
pub(crate) fn io_passes(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        number,
        Some(
            Errno::INTR
                | Errno::AGAIN
                | Errno::NOMEM
                | Errno::BUSY
                | Errno::MFILE
                | Errno::NFILE
                | Errno::TIMEDOUT
                | Errno::STALE
        )
    )
}

#[cfg(test)]
mod tests {
    use crate::ToolError;
    use std::time::Duration;

    fn query(cause: &str) -> ToolError {
        ToolError::Query {
            action: "list the databases".into(),
            server: "shop".into(),
            cause: cause.into(),
        }
    }

    fn run(cause: &str) -> ToolError {
        ToolError::Run {
            program: "/opt/mydumper".into(),
            cause: cause.into(),
        }
    }

    fn io(errno: rustix::io::Errno) -> ToolError {
        ToolError::Io {
            action: "write",
            path: "/data/sets".into(),
            source: errno.into(),
        }
    }

    #[test]
    fn only_what_can_pass_is_tried_again() {
        use rustix::io::Errno;
        let program = || "mydumper".to_owned();
        let after = Duration::from_secs(60);
        let lasting = [
            query("SELECT command denied to user 'backup'@'localhost' for table `shop`.`orders`"),
            query("Access denied; you need (at least one of) the RELOAD privilege(s) for this operation"),
            query("View 'shop.v' references invalid table(s) or column(s)"),
            query("You have an error in your SQL syntax"),
            run("the program cannot be executed: Permission denied (os error 13)"),
            run("Exec format error (os error 8)"),
            io(Errno::NOSPC),
            io(Errno::DQUOT),
            io(Errno::ACCESS),
            io(Errno::ROFS),
            io(Errno::NOENT),
            ToolError::NotInstalled {
                program: program(),
                hint: "install it".into(),
            },
            ToolError::TimedOut {
                program: program(),
                after,
            },
            ToolError::Cancelled { program: program() },
        ];
        for error in lasting {
            assert!(!error.is_passing(), "{error}");
        }
        let passing = [
            query("Lost connection to server during query"),
            query("no answer within 60 s"),
            query("Lock wait timeout exceeded; try restarting transaction"),
            query("Server shutdown in progress"),
            run("the shim that watched over it is gone"),
            run("Resource temporarily unavailable (os error 11)"),
            io(Errno::MFILE),
            io(Errno::STALE),
            ToolError::Stalled {
                program: program(),
                after,
            },
        ];
        for error in passing {
            assert!(error.is_passing(), "{error}");
        }
    }

    #[test]
    fn what_a_dump_said_is_weighed_by_its_outage() {
        use super::tells_of_lasting;
        for words in [
            "Error dumping table (shop.a) data: SELECT command denied",
            "couldn't write data to file: No space left on device",
            "mydumper ended with exit 1",
        ] {
            assert_eq!(tells_of_lasting(words), !words.starts_with("mydumper"), "{words}");
        }
        assert!(!tells_of_lasting(
            "could not read data from shop.a: Lost connection; couldn't open file: Permission denied"
        ));
    }
}
