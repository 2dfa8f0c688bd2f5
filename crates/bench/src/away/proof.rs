//! From a set that is there to the word that it can be restored.

use super::figures::median;
use super::scene::Scene;
use super::ways::Taken;
use crate::data::database_names;
use crate::error::BenchError;
use crate::process::cpu;
use crate::tree::follow_tree;
use mykeeper_e2e::{MariaDb, MariaDbOptions};
use std::path::Path;
use std::time::Duration;

/// As pybackup has it.
const LOADER_THREADS: u32 = 3;

/// One proof of one set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Took {
    pub(super) wall: Duration,
    /// Of all that took part in it, the server among them.
    pub(super) cpu: Duration,
}

/// Of sets of one round.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    by_pybackup: Vec<Took>,
    by_mykeeper: Vec<Took>,
}

impl Proofs {
    /// One more round.
    pub(super) fn measure(&mut self, scene: &Scene, set: &Path, kept: &Taken) -> Result<(), BenchError> {
        if self.by_mykeeper.is_empty() {
            // The first server of all makes the template for the others.
            by_mykeeper(scene, &kept.id)?;
        }
        scene.clear()?;
        self.by_pybackup.push(by_pybackup(scene, set)?);
        scene.clear()?;
        self.by_mykeeper.push(by_mykeeper(scene, &kept.id)?);
        Ok(())
    }

    /// Medians in seconds: pybackup's, mykeeper's.
    pub(super) fn medians(&self, of: impl Fn(&Took) -> Duration) -> (f64, f64) {
        let middle = |all: &[Took]| median(all.iter().map(|took| of(took).as_secs_f64()).collect());
        (middle(&self.by_pybackup), middle(&self.by_mykeeper))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_mykeeper.is_empty()
    }
}

/// myloader for one database after another into a server that is there, whose settings are MariaDB's own.
fn by_pybackup(scene: &Scene, set: &Path) -> Result<Took, BenchError> {
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
    let before = cpu_of(&server)?;
    let mut whole = Took::default();
    for database in database_names() {
        let mut command = scene.command("myloader");
        command
            .args(["--user=root", "--overwrite-tables"])
            .arg(format!("--threads={LOADER_THREADS}"))
            .arg(format!("--socket={}", server.socket().display()))
            .arg(format!("--database={database}"))
            .arg(format!("--directory={}", set.join(&database).display()));
        let tree = scene.run(command, |_| {})?;
        whole.wall += tree.wall;
        whole.cpu += tree.whole_cpu();
    }
    whole.cpu += cpu_of(&server)?.saturating_sub(before);
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

/// So far, of a server that runs.
fn cpu_of(server: &MariaDb) -> Result<Duration, BenchError> {
    let pid = std::fs::read_to_string(server.value("SELECT @@pid_file"))
        .map_err(BenchError::io("read the server's number"))?;
    let cpu = pid.trim().parse().ok().and_then(cpu);
    cpu.map(|cpu| cpu.own)
        .ok_or_else(|| BenchError::Unfit("the server's CPU time cannot be told".to_owned()))
}

fn by_mykeeper(scene: &Scene, id: &str) -> Result<Took, BenchError> {
    let command = scene.mykeeper(&["validate", "--bk-id", id]);
    // A proof with a warning is a proof. Its server and its loader are among those that it waited for.
    let tree = follow_tree(command, &[0, 4], scene.limit, |_| {})?;
    Ok(Took {
        wall: tree.wall,
        cpu: tree.whole_cpu(),
    })
}
