//! Whose fault a refusal is: a server that has no room left, or is being ended, says nothing of the set.

use super::wire::WireError;
use crate::error::ToolError;
use crate::passing::tells_of_lasting;
use sqlx::mysql::MySqlDatabaseError;

/// Why a server does not do what it otherwise would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// Its disk, its quota, or what it may hold in memory of a table is full.
    Room,
    /// Memory, threads, files that may be open.
    Means,
    /// It is being ended, or the statement was.
    Time,
}

/// A table is full, a disk is, the table of locks is.
const OF_ROOM: [u16; 3] = [1114, 1021, 1206];
/// Memory, memory to sort in, too many connections, resources, threads; memory of an engine.
const OF_MEANS: [u16; 6] = [1037, 1038, 1040, 1041, 1135, 3015];
/// Shutdown (several words of it), a connection that broke or was killed, a statement that was interrupted, waited too
/// long or was chosen to end a deadlock; then MySQL's own numbers for a time limit, a killed and an idle session.
const OF_TIME: [u16; 19] = [
    1053, 1077, 1078, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1205, 1213, 1317, 1927, 1969, 3024,
    3169, 4031,
];
/// Numbers up to here are of the library that reads and writes the server's files.
const LAST_OF_FILES: u16 = 999;
/// What names the system's own error behind its words: to create, open, read, write, close, rename, commit.
const WITH_ERRNO: [u16; 14] = [
    1004, 1005, 1006, 1009, 1015, 1016, 1018, 1023, 1024, 1025, 1026, 1030, 1180, 1181,
];
/// The system's words for a full disk, a quota that is used up, and a file that may not grow.
const WORDS_OF_ROOM: [&str; 4] = [
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
    "is full",
];
/// Its words for too many files, here or in all, and for want of memory.
const WORDS_OF_MEANS: [&str; 4] = [
    "Too many open files",
    "Cannot allocate memory",
    "Out of memory",
    "Resource temporarily unavailable",
];
const WORDS_OF_TIME: [&str; 3] = ["was interrupted", "was killed", "shutdown in progress"];

impl Lack {
    /// What a server lacks that refused a statement so; `None` where the statement itself is at fault.
    pub(crate) fn of(code: u16, said: &str) -> Option<Self> {
        let numbers = [
            (Self::Room, OF_ROOM.as_slice()),
            (Self::Means, &OF_MEANS),
            (Self::Time, &OF_TIME),
        ];
        if let Some((lack, _)) = numbers.into_iter().find(|(_, codes)| codes.contains(&code)) {
            return Some(lack);
        }
        let has_errno = (1..=LAST_OF_FILES).contains(&code) || WITH_ERRNO.contains(&code);
        has_errno.then(|| Self::in_words(said)).flatten()
    }

    /// As [`of`](Self::of), where the server has words alone: `CHECK TABLE` answers in rows.
    pub(crate) fn in_words(said: &str) -> Option<Self> {
        let words = [
            (Self::Room, WORDS_OF_ROOM.as_slice()),
            (Self::Means, &WORDS_OF_MEANS),
            (Self::Time, &WORDS_OF_TIME),
        ];
        let says = |known: &[&str]| known.iter().any(|word| said.contains(word));
        words
            .into_iter()
            .find(|(_, known)| says(known))
            .map(|(lack, _)| lack)
    }

    /// The error of an act that came to nothing for it. `act` is what was done: `load into the throwaway server`.
    pub(crate) fn error(self, act: &str, said: &str) -> ToolError {
        let advice = match self {
            Self::Room => {
                "; make room where the server keeps its data: a throwaway one in the directory of [sandbox]"
            }
            Self::Means => "; give the machine more memory, or less to do at the same time",
            Self::Time => "; try again",
        };
        ToolError::Failed {
            message: format!("cannot {act}: {said}{advice}"),
            passing: self != Self::Room,
        }
    }
}

/// The error of an act that a server did not let begin, or that broke off with its connection.
pub(crate) fn failure(act: &str, error: sqlx::Error) -> ToolError {
    refusal(act, error).map_or_else(|error| error, |(_, said)| ended(act, &said))
}

fn ended(act: &str, said: &str) -> ToolError {
    ToolError::Failed {
        message: format!("cannot {act}: {said}"),
        passing: !tells_of_lasting(said),
    }
}

/// A server's answer to a statement that a client library sent: what is held against the set, or the error of a server
/// that lacked something.
pub(crate) fn refusal(act: &str, error: sqlx::Error) -> Result<(u16, String), ToolError> {
    let sqlx::Error::Database(refused) = &error else {
        return Err(ended(act, &error.to_string()));
    };
    let said = refused.message();
    let code = refused
        .try_downcast_ref::<MySqlDatabaseError>()
        .map_or(0, MySqlDatabaseError::number);
    judged(act, (code, said.to_owned()))
}

/// As [`refusal`], of a statement that was sent byte for byte.
pub(crate) fn wire_refusal(act: &str, error: WireError) -> Result<(u16, String), ToolError> {
    match error {
        WireError::Server { code, message } => judged(act, (code, message)),
        broken @ WireError::Broken(_) => Err(ended(act, &broken.to_string())),
    }
}

/// As [`failure`], over a connection that takes statements byte for byte.
pub(crate) fn wire_failure(act: &str, error: WireError) -> ToolError {
    wire_refusal(act, error).map_or_else(|error| error, |(_, said)| ended(act, &said))
}

fn judged(act: &str, (code, said): (u16, String)) -> Result<(u16, String), ToolError> {
    match Lack::of(code, &said) {
        Some(lack) => Err(lack.error(act, &said)),
        None => Ok((code, said)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_room_or_time_is_told_from_a_wrong_statement() {
        let lack_of = [
            (1114, "The table 'orders' is full", Some(Lack::Room)),
            (1021, "Disk full (/tmp/#sql); waiting", Some(Lack::Room)),
            (
                3,
                "Error writing file './a/b.MYD' (Errcode: 28 \"No space left on device\")",
                Some(Lack::Room),
            ),
            (
                1030,
                "Got error 28 \"No space left on device\" from storage engine InnoDB",
                Some(Lack::Room),
            ),
            (
                1180,
                "Got error 122 \"Disk quota exceeded\" during COMMIT",
                Some(Lack::Room),
            ),
            (
                1037,
                "Out of memory; restart server and try again (needed 8 bytes)",
                Some(Lack::Means),
            ),
            (
                1038,
                "Out of sort memory, consider increasing server sort buffer size",
                Some(Lack::Means),
            ),
            (1041, "Out of memory.", Some(Lack::Means)),
            (
                23,
                "Out of resources when opening file 'x' (Errcode: 24 \"Too many open files\")",
                Some(Lack::Means),
            ),
            (1053, "Server shutdown in progress", Some(Lack::Time)),
            (1317, "Query execution was interrupted", Some(Lack::Time)),
            (1927, "Connection was killed", Some(Lack::Time)),
            (1213, "Deadlock found when trying to get lock", Some(Lack::Time)),
            (
                1062,
                "Duplicate entry 'No space left on device' for key 'PRIMARY'",
                None,
            ),
            (1064, "You have an error in your SQL syntax near 'is full'", None),
            (
                1005,
                "Can't create table `a`.`b` (errno: 150 \"Foreign key constraint is incorrectly formed\")",
                None,
            ),
            (1146, "Table 'shop.orders' doesn't exist", None),
            (1366, "Incorrect string value", None),
            (0, "cannot be read: No space left on device", None),
        ];
        for (code, said, expected) in lack_of {
            assert_eq!(Lack::of(code, said), expected, "{code} {said}");
        }
        assert!(!Lack::Room.error("load", "it is full").is_passing());
        assert!(Lack::Time.error("load", "it ends").is_passing());
        assert_eq!(
            Lack::in_words("Query execution was interrupted"),
            Some(Lack::Time)
        );
        assert_eq!(Lack::in_words("Table is marked as crashed"), None);
    }
}
