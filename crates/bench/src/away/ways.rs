//! The ways of getting a set to its destination that are compared.

use super::THREADS;
use super::figures::{Figure, Figures};
use super::link::Link;
use super::scene::{DATABASES_REGEX, GZIP_JOB, Scene, ZSTD_JOB, remove, sizes};
use crate::data::database_names;
use crate::error::BenchError;
use crate::tree::{Tree, follow_tree};
use mykeeper_domain::manifest::MANIFEST_FILE;
use mykeeper_domain::packing::PackFormat;
use mykeeper_e2e::find_set;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// As long as a set's folder bears the name of the set alone, it is whole once its manifest is there.
const ID_LENGTH: usize = 36;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// Database after database with `mydumper -c`, then rsync.
    Pybackup,
    /// All with one `mydumper -c`, then rsync.
    Snapshot,
    /// `mykeeper run`, as it comes.
    Gzip,
    /// The same with zstd.
    Zstd,
}

impl Way {
    /// In the order in which they are taken.
    pub(super) const ALL: [Self; 4] = [Self::Pybackup, Self::Snapshot, Self::Gzip, Self::Zstd];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pybackup => "pybackup's",
            Self::Snapshot => "snapshot, rsync",
            Self::Gzip => "mykeeper",
            Self::Zstd => "mykeeper, zstd",
        }
    }

    /// What mykeeper's files are; nothing of the other ways.
    pub(super) fn format(self) -> Option<PackFormat> {
        match self {
            Self::Pybackup | Self::Snapshot => None,
            Self::Gzip => Some(PackFormat::Gzip),
            Self::Zstd => Some(PackFormat::Zstd),
        }
    }
}

/// What it came to. The set is still there.
pub(super) struct Taken {
    pub(super) figures: Figures,
    /// Its folder on this side.
    pub(super) set: PathBuf,
    /// Its bk_id; empty without mykeeper.
    pub(super) id: String,
}

/// Takes it once.
pub(super) fn take(way: Way, scene: &Scene) -> Result<Taken, BenchError> {
    scene.clear()?;
    let before = scene.link.as_ref().and_then(Link::bytes);
    let mut taken = match way {
        Way::Pybackup => by_script(scene, include_str!("pybackup.sh"), &database_names()),
        Way::Snapshot => by_script(scene, include_str!("snapshot.sh"), &[DATABASES_REGEX.to_owned()]),
        Way::Gzip => by_mykeeper(scene, GZIP_JOB),
        Way::Zstd => by_mykeeper(scene, ZSTD_JOB),
    }?;
    let after = scene.link.as_ref().and_then(Link::bytes);
    if let (Some(before), Some(after)) = (before, after) {
        let wire = after.saturating_sub(before);
        taken.figures.insert(Figure::Wire, wire as f64);
    }
    Ok(taken)
}

fn by_script(scene: &Scene, script: &str, databases: &[String]) -> Result<Taken, BenchError> {
    let day = scene.workspace.at("day");
    let mut command = scene.command("sh");
    command
        .args(["-c", script, "sh"])
        .arg(scene.server.socket())
        .arg(&day)
        .arg(scene.destination("by-script/"))
        .arg(scene.password_file())
        .arg(THREADS.to_string())
        .args(databases);
    let tree = scene.run(command, |_| {})?;
    let set = day.join("set");
    let mut figures = figures(&tree, tree.wall);
    figures.insert(Figure::Size, size(&set));
    // The tools' own log says nothing to the rest.
    remove(&scene.workspace.at("day.log"))?;
    same_at_both_ends(&set, &scene.vault.vault().join("by-script/day/set"))?;
    Ok(Taken {
        figures,
        set,
        id: String::new(),
    })
}

fn by_mykeeper(scene: &Scene, job: &str) -> Result<Taken, BenchError> {
    let vault = scene.vault.vault().join("mykeeper");
    let mut arrived: Option<Duration> = None;
    let command: Command = scene.mykeeper(&["run", job]);
    // A set with a warning is a set.
    let tree = follow_tree(command, &[0, 4], scene.limit, |now| {
        if arrived.is_none() && has_arrived(&vault) {
            arrived = Some(now);
        }
    })?;
    let arrived = arrived.ok_or_else(|| BenchError::Unfit("mykeeper's set did not arrive".to_owned()))?;
    let backups = scene.workspace.backups();
    let id = backups.first().and_then(|backup| backup["id"].as_str());
    let id = id.ok_or_else(|| BenchError::Unfit("mykeeper tells no set after its run".to_owned()))?;
    let set = find_set(&scene.workspace.sets(), id);
    same_at_both_ends(&set, &find_set(&vault, id))?;
    let mut figures = figures(&tree, arrived);
    let packing: Duration = tree
        .threads
        .values()
        .filter(|thread| thread.name.starts_with("pack-"))
        .map(|thread| thread.cpu)
        .sum();
    let apart = tree.tool("mydumper").cpu + tree.tool("rsync").cpu + packing;
    figures.insert(Figure::CpuOfPacking, packing.as_secs_f64());
    figures.insert(
        Figure::CpuOfRest,
        tree.whole_cpu().saturating_sub(apart).as_secs_f64(),
    );
    // Of the scripts it is the shell's.
    figures.insert(Figure::Peak, tree.peak as f64);
    figures.insert(Figure::Size, size(&set));
    let held = scene.workspace.catalog().value(&format!(
        "SELECT lock_held_ms FROM user_backup WHERE bk_id = '{id}'"
    ));
    if let Ok(held) = held.parse::<f64>() {
        figures.insert(Figure::Locked, held / 1e3);
    }
    Ok(Taken {
        figures,
        set,
        id: id.to_owned(),
    })
}

fn figures(tree: &Tree, complete: Duration) -> Figures {
    let (mydumper, rsync) = (tree.tool("mydumper"), tree.tool("rsync"));
    [
        (Figure::Complete, complete),
        (Figure::Ended, tree.wall),
        (Figure::Held, mydumper.ran),
        (Figure::Cpu, tree.whole_cpu()),
        (Figure::CpuOfMydumper, mydumper.cpu),
        (Figure::CpuOfRsync, rsync.cpu),
        (Figure::Sending, rsync.ran),
    ]
    .into_iter()
    .chain(rsync.began.map(|began| (Figure::Sent, began)))
    .map(|(figure, time)| (figure, time.as_secs_f64()))
    .chain([(Figure::PeakOfAll, tree.peak_tree as f64)])
    .collect()
}

/// Whether there is a set with its manifest in a folder of its own name: one that still arrives has another.
fn has_arrived(vault: &Path) -> bool {
    let folders = |dir: &Path| {
        std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let is_id = |set: &Path| {
        set.file_name()
            .is_some_and(|name| name.len() == ID_LENGTH && !name.to_string_lossy().starts_with('.'))
    };
    folders(vault)
        .flat_map(|day| folders(&day))
        .any(|set| is_id(&set) && set.join(MANIFEST_FILE).is_file())
}

fn size(set: &Path) -> f64 {
    sizes(set).values().sum::<u64>() as f64
}

/// No command is believed alone.
fn same_at_both_ends(here: &Path, there: &Path) -> Result<(), BenchError> {
    let (here, there) = (sizes(here), sizes(there));
    if !here.is_empty() && here == there {
        return Ok(());
    }
    let differs = |(path, size): &(&PathBuf, &u64)| there.get(*path) != Some(*size);
    let missing: Vec<&PathBuf> = here.iter().filter(differs).map(|(path, _)| path).collect();
    Err(BenchError::Unfit(format!(
        "the set has {} files here and {} at the destination; otherwise there: {missing:?}",
        here.len(),
        there.len()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_arrived_when_its_manifest_lies_under_its_own_name() {
        let vault = tempfile::tempdir().unwrap();
        let set = "bcd36dc6-c9e7-11e7-9e30-005056b15d9c";
        let day = vault.path().join("2026-11-22");
        let arriving = day.join(format!("{set}.partial"));
        std::fs::create_dir_all(&arriving).unwrap();
        std::fs::write(arriving.join(MANIFEST_FILE), "{}").unwrap();
        assert!(!has_arrived(vault.path()));
        std::fs::rename(&arriving, day.join(set)).unwrap();
        assert!(has_arrived(vault.path()));
        assert!(!has_arrived(&vault.path().join("nothing")));
    }

    #[test]
    fn a_file_that_is_shorter_at_the_destination_is_named() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(here.path().join("a.sql.gz"), "whole").unwrap();
        std::fs::write(there.path().join("a.sql.gz"), "who").unwrap();
        let error = same_at_both_ends(here.path(), there.path()).unwrap_err();
        assert!(error.to_string().contains("a.sql.gz"), "{error}");
        std::fs::write(there.path().join("a.sql.gz"), "whole").unwrap();
        same_at_both_ends(here.path(), there.path()).unwrap();
    }
}
