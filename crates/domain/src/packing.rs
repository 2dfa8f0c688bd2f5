//! How mykeeper itself compresses the files of a set, as they finish.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;

/// Size up to which a table's rows go into one file, where the job does not say: no file is the tail of a dump, and
/// few are so small that a file more costs more than it gains.
pub const DEFAULT_CHUNK_BYTES: u64 = 64 << 20;

/// What compressed files are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackFormat {
    /// `.gz`, which every loader reads.
    #[default]
    Gzip,
    /// `.zst`, faster.
    Zstd,
}

impl PackFormat {
    /// The word used in the schedule file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What names of files end with.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// How hard it can be tried.
    pub fn levels(self) -> RangeInclusive<u8> {
        match self {
            Self::Gzip => 1..=12,
            Self::Zstd => 1..=19,
        }
    }

    /// Nearly three times as fast as zlib at its default level and a little smaller, measured on rows of a shop; `zstd`
    /// four times as fast, at much the same size.
    pub fn default_level(self) -> u8 {
        match self {
            Self::Gzip => 5,
            Self::Zstd => 3,
        }
    }
}

/// What becomes of a finished file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packing {
    /// See [`PackFormat`].
    pub format: PackFormat,
    /// One of [`PackFormat::levels`].
    pub level: u8,
}

impl Packing {
    /// In this format, as hard as it is tried where nobody says.
    pub fn of(format: PackFormat) -> Self {
        Self {
            format,
            level: format.default_level(),
        }
    }
}

impl fmt::Display for Packing {
    /// `gzip, level 6`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, level {}", self.format.as_str(), self.level)
    }
}
