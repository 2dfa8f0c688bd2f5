//! Two files in a folder of their own.

use mykeeper_config::{ConfigErrors, Loaded, Mistake, Surroundings, load};
use std::path::PathBuf;
use tempfile::TempDir;

/// Two files in a folder of their own.
pub(crate) struct Files {
    pub(crate) folder: TempDir,
}

impl Files {
    /// Writes both.
    pub(crate) fn new(keeper: &str, schedule: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mykeeper.toml"), keeper).unwrap();
        std::fs::write(folder.path().join("schedule.toml"), schedule).unwrap();
        Self { folder }
    }

    /// Where `mykeeper.toml` lies.
    pub(crate) fn keeper(&self) -> PathBuf {
        self.folder.path().join("mykeeper.toml")
    }

    /// Reads both.
    pub(crate) fn load(&self) -> Result<Loaded, ConfigErrors> {
        load(&self.keeper(), &surroundings())
    }

    /// The report as it would be in `/etc/mykeeper`.
    pub(crate) fn report(&self) -> String {
        let report = self.load().map(|_| ()).unwrap_err().to_string();
        report.replace(self.folder.path().to_str().unwrap(), "/etc/mykeeper")
    }

    /// Everything found, errors and warnings.
    pub(crate) fn found(&self) -> Vec<Mistake> {
        match self.load() {
            Ok(loaded) => loaded.warnings,
            Err(errors) => errors.mistakes,
        }
    }

    /// `file:line:column: severity: message (help)` of each.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.found()
            .iter()
            .map(|mistake| {
                format!(
                    "{}:{}:{}: {:?}: {} ({})",
                    mistake.file.file_name().unwrap().to_str().unwrap(),
                    mistake.line,
                    mistake.column,
                    mistake.severity,
                    mistake.message,
                    mistake.help.as_deref().unwrap_or_default()
                )
            })
            .collect()
    }
}

/// A machine on which root runs it without systemd.
pub(crate) fn surroundings() -> Surroundings {
    Surroundings {
        host_name: "db7".to_owned(),
        host_address: "10.0.0.7".to_owned(),
        is_root: true,
        ..Surroundings::default()
    }
}
