//! From a set that is there to the word that it can be restored.

use super::figures::median;
use super::scene::Scene;
use super::ways::Taken;
use crate::data::database_names;
use crate::error::BenchError;
use crate::tree::follow_tree;
use mykeeper_e2e::{MariaDb, MariaDbOptions};
use std::path::Path;
use std::time::Duration;

/// As pybackup has it.
const LOADER_THREADS: u32 = 3;

/// Of sets of one round, seconds each.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    by_pybackup: Vec<f64>,
    by_mykeeper: Vec<f64>,
}

impl Proofs {
    /// One more round.
    pub(super) fn measure(&mut self, scene: &Scene, set: &Path, kept: &Taken) -> Result<(), BenchError> {
        if self.by_mykeeper.is_empty() {
            // The first server of all makes the template for the others.
            by_mykeeper(scene, &kept.id)?;
        }
        scene.clear()?;
        self.by_pybackup.push(by_pybackup(scene, set)?.as_secs_f64());
        scene.clear()?;
        self.by_mykeeper.push(by_mykeeper(scene, &kept.id)?.as_secs_f64());
        Ok(())
    }

    /// Medians: pybackup's, mykeeper's.
    pub(super) fn medians(&self) -> (f64, f64) {
        (median(self.by_pybackup.clone()), median(self.by_mykeeper.clone()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_mykeeper.is_empty()
    }
}

/// myloader for one database after another into a server that is there, whose settings are MariaDB's own.
fn by_pybackup(scene: &Scene, set: &Path) -> Result<Duration, BenchError> {
    let settings = [
        "innodb-flush-log-at-trx-commit=1",
        "innodb-doublewrite=1",
        "innodb-buffer-pool-size=128M",
        "innodb-log-file-size=96M",
        "key-buffer-size=128M",
    ];
    let server = MariaDb::start_with(MariaDbOptions {
        extra: settings.map(|setting| format!("--{setting}")).to_vec(),
        ..MariaDbOptions::default()
    });
    let mut whole = Duration::ZERO;
    for database in database_names() {
        let mut command = scene.command("myloader");
        command
            .args(["--user=root", "--overwrite-tables"])
            .arg(format!("--threads={LOADER_THREADS}"))
            .arg(format!("--socket={}", server.socket().display()))
            .arg(format!("--database={database}"))
            .arg(format!("--directory={}", set.join(&database).display()));
        whole += scene.run(command, |_| {})?.wall;
    }
    // Its word is its exit status; what it says here must at least be true.
    let filled = server.value(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema LIKE 'bench\\_%' AND table_rows > 0",
    );
    if filled == (2 * database_names().len()).to_string() {
        Ok(whole)
    } else {
        Err(BenchError::Unfit(format!(
            "myloader ended well, and only {filled} tables have rows"
        )))
    }
}

fn by_mykeeper(scene: &Scene, id: &str) -> Result<Duration, BenchError> {
    let command = scene.mykeeper(&["validate", "--bk-id", id]);
    // A proof with a warning is a proof.
    Ok(follow_tree(command, &[0, 4], scene.limit, |_| {})?.wall)
}
