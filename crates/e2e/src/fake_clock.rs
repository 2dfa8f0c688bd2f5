//! A clock of its own for the real binary.

use crate::binary::Surroundings;
use std::path::{Path, PathBuf};

/// The clock that a process sees.
#[derive(Debug)]
pub struct FakeClock {
    file: PathBuf,
}

impl FakeClock {
    /// `None` where the library is not installed.
    pub fn new(folder: &Path) -> Option<(Self, Surroundings)> {
        let library = std::fs::read_dir("/usr/lib")
            .ok()?
            .flatten()
            .map(|entry| entry.path().join("faketime/libfaketime.so.1"))
            .find(|path| path.exists())?;
        let file = folder.join("clock");
        let clock = Self { file };
        clock.set(0);
        let variables = [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", clock.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        let surroundings = Surroundings {
            through: Vec::new(),
            variables: variables.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        };
        Some((clock, surroundings))
    }

    /// So many seconds ahead of the real one.
    pub fn set(&self, seconds: i64) {
        // In one go: the process reads it at any moment.
        let partial = self.file.with_extension("next");
        std::fs::write(&partial, format!("{seconds:+}\n")).expect("a file within our own folder");
        std::fs::rename(&partial, &self.file).expect("a rename within our own folder");
    }
}
