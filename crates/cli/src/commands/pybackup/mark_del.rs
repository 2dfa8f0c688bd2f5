//! `pybackup mark-del`

use super::Call;
use super::settings::settings;
use crate::commands::mark_deleted::{collect, mark};
use crate::commands::parse_bk_id;
use crate::failure::{Failure, Status};
use crate::output::print;
use crate::surroundings::open_catalog;
use mykeeper_config::pybackup::{ConfPart, PybackupConf};
use mykeeper_domain::BackupId;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) async fn run(
    call: &Call,
    conf: impl Fn(&[ConfPart]) -> anyhow::Result<PybackupConf>,
    backup_dirs: &[PathBuf],
    bk_ids: &[String],
) -> anyhow::Result<Status> {
    let mut ids: BTreeSet<BackupId> = BTreeSet::new();
    for id in bk_ids {
        ids.insert(parse_bk_id(id)?);
    }
    let unread = collect(backup_dirs, ids_in, &mut ids)?;
    if ids.is_empty() {
        // On most days `find` finds nothing that is old enough.
        print("no set is named; nothing is marked")?;
        return unread.conclude(Ok(Status::Done));
    }
    let conf = conf(&[ConfPart::Catalog])?;
    let settings = settings(call, &conf, None, false)?;
    let catalog = open_catalog(&settings).await?;
    let marked = mark(catalog.as_ref(), ids, "marked by mark-del", false).await;
    unread.conclude(marked)
}

/// The folder itself, or the folders in it, as far as their names are bk_ids. Not what is deeper: a root in place of a
/// day's folder would have all sets marked.
fn ids_in(dir: &Path) -> anyhow::Result<BTreeSet<BackupId>> {
    let id_of = |path: &Path| path.file_name()?.to_str()?.parse::<BackupId>().ok();
    // One that has been removed already is known by its name alone.
    let own = match dir.canonicalize() {
        Ok(path) => id_of(&path),
        Err(_) => id_of(dir),
    };
    if let Some(id) = own {
        return Ok(BTreeSet::from([id]));
    }
    let entries = std::fs::read_dir(dir)
        .map_err(|error| Failure::usage(format!("--backup-dir {}: {error}", dir.display())))?;
    let mut ids = BTreeSet::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            ids.extend(id_of(&entry.path()));
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_folders_named_as_sets_are_taken_and_none_below_a_days() {
        let root = tempfile::tempdir().unwrap();
        let (one, other) = (
            "0883fd06-e033-11e7-88ad-00163e0e2396",
            "1883fd06-e033-11e7-88ad-00163e0e2396",
        );
        let day = root.path().join("2017-12-14");
        for folder in [one, "day_hour", "x' or '1'='1"] {
            std::fs::create_dir_all(day.join(folder)).unwrap();
        }
        std::fs::write(day.join(other), "").unwrap();
        let ids = |dir: &Path| ids_in(dir).map(|ids| ids.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(ids(&day).unwrap(), [one]);
        assert_eq!(ids(&day.join(one)).unwrap(), [one]);
        assert_eq!(ids(&root.path().join("gone").join(other)).unwrap(), [other]);
        assert_eq!(ids(root.path()).unwrap(), [""; 0]);
        assert!(ids(&root.path().join("gone")).is_err());
    }
}
