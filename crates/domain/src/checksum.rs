//! `CHECKSUM TABLE`: which tables of a source are asked for it, and what came of it.
//!
//! It is the one thing that holds a dump against its source: all else that is compared after a restore is known from the
//! dump itself, and a row that the dump never had is missed by none of it.

use serde::{Deserialize, Serialize};

/// Of which tables a backup asks the checksum. The server reads each of them whole for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumLimit {
    /// Of none.
    Off,
    /// Of those whose rows take at most so many bytes.
    UpTo(u64),
    /// Of all.
    All,
}

impl ChecksumLimit {
    /// What a dump reads of such tables once more is read in moments, and lies in the server's memory already.
    pub const DEFAULT: Self = Self::UpTo(64 << 20);

    /// Of a table that is locked as a whole while it is read: whoever writes to it waits meanwhile.
    pub fn of_a_locked_table(self) -> Self {
        const MOST_BYTES: u64 = 64 << 20;
        match self {
            Self::Off => Self::Off,
            Self::UpTo(most) => Self::UpTo(most.min(MOST_BYTES)),
            Self::All => Self::UpTo(MOST_BYTES),
        }
    }

    /// Whether a table of this size is asked. One whose size is not known may be of any.
    pub fn admits(self, data_bytes: Option<u64>) -> bool {
        match self {
            Self::Off => false,
            Self::All => true,
            Self::UpTo(most) => data_bytes.is_some_and(|bytes| bytes <= most),
        }
    }
}

impl Default for ChecksumLimit {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What `CHECKSUM TABLE` said on the source of the rows that a dump must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceChecksum {
    /// This, and of just the rows of the dump's moment.
    Exact(u64),
    /// Nothing that could be compared, and why; for people.
    NotTaken(String),
}

impl SourceChecksum {
    /// The value, where there is one to be compared.
    pub fn exact(&self) -> Option<u64> {
        match self {
            Self::Exact(value) => Some(*value),
            Self::NotTaken(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_size_that_is_known_is_small_enough() {
        for (limit, bytes, admits) in [
            (ChecksumLimit::Off, Some(0), false),
            (ChecksumLimit::UpTo(10), Some(10), true),
            (ChecksumLimit::UpTo(10), Some(11), false),
            (ChecksumLimit::UpTo(10), None, false),
            (ChecksumLimit::All, None, true),
        ] {
            assert_eq!(limit.admits(bytes), admits, "{limit:?} {bytes:?}");
        }
    }

    #[test]
    fn a_table_that_is_locked_whole_is_never_read_for_long() {
        let large = Some(65 << 20);
        for (limit, small_too) in [
            (ChecksumLimit::Off, false),
            (ChecksumLimit::UpTo(1 << 40), true),
            (ChecksumLimit::All, true),
        ] {
            assert!(!limit.of_a_locked_table().admits(large), "{limit:?}");
            assert_eq!(limit.of_a_locked_table().admits(Some(1)), small_too, "{limit:?}");
        }
    }

    #[test]
    fn the_evidence_says_exact_or_why_not() {
        let text = |checksum: &SourceChecksum| serde_json::to_string(checksum).unwrap();
        assert_eq!(text(&SourceChecksum::Exact(7)), r#"{"exact":7}"#);
        assert_eq!(
            text(&SourceChecksum::NotTaken("it changed".into())),
            r#"{"not_taken":"it changed"}"#
        );
    }
}
