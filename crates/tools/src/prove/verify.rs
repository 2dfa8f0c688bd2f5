//! Whether the files of a copy are those that were written, without restoring them.

use super::expect::{expect, untold};
use super::files::{
    Checked, check_files, database_of, digest_record, is_of_a_dump, judge_manifest, list_files,
};
use super::layout::SetFile;
use super::{ProveRequest, lay_out};
use crate::blocking::{READ_WITHIN, off_thread};
use crate::env::ToolEnv;
use crate::error::ToolError;
use mykeeper_domain::proof::Difference;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCopy {
    /// Each names a file that differs, is missing, or is too much.
    pub differences: Vec<Difference>,
    /// Files that are not the set's, and that no restore would read.
    pub strangers: Vec<String>,
    /// Files that were looked at, the manifest with them.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Of a set without a manifest.
    pub plain: PlainFiles,
    /// Rows that its files hold.
    pub rows: u64,
    /// Of a set without a manifest: tables of which nothing tells how many rows they had, a line for each database.
    pub untold: Vec<String>,
}

/// The files of a copy that nothing but another copy can be held against: bytes of each when decompressed, `None` where
/// it was not read, or cannot be read to its end. Empty for a set with a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlainFiles(BTreeMap<String, Option<u64>>);

impl PlainFiles {
    pub(crate) fn of(checked: &Checked) -> Self {
        let faulty: BTreeSet<&str> = checked
            .differences
            .iter()
            .filter_map(|difference| difference.object.strip_prefix("file "))
            .collect();
        let size = |file: &SetFile| (!faulty.contains(file.path.as_str())).then_some(file.plain_bytes);
        let files = checked.files.iter();
        Self(files.map(|file| (file.path.clone(), size(file))).collect())
    }

    /// What a listing shows: names alone. A size that nobody has read to its end may be that of a file which was cut.
    fn listed(names: impl IntoIterator<Item = String>) -> Self {
        let dumped = names.into_iter().filter(|path| is_of_a_dump(path));
        Self(dumped.map(|path| (path, None)).collect())
    }

    /// Those of them that are wanted, by their paths.
    #[must_use]
    pub fn only(&self, is_wanted: impl Fn(&str) -> bool) -> Self {
        let files = self.0.iter().filter(|(path, _)| is_wanted(path));
        Self(files.map(|(path, size)| (path.clone(), *size)).collect())
    }

    /// What it lacks of the files of another copy, or has less of, where both were read: what was cut is smaller.
    pub fn differences_from(&self, other: &Self, place: &Path) -> Vec<Difference> {
        let differences = other.0.iter().filter_map(|(path, there)| {
            let (what, expected, found) = match (self.0.get(path), there) {
                (None, _) => ("", "present".to_owned(), "missing".to_owned()),
                (Some(Some(here)), Some(there)) if here < there => {
                    (", bytes of its text", there.to_string(), here.to_string())
                }
                _ => return None,
            };
            Some(Difference {
                database: database_of(path),
                object: format!("file {path}{what}"),
                expected: format!("{expected}, as in {}", place.display()),
                found,
            })
        });
        differences.collect()
    }
}

/// The files of a copy of a set without a manifest, what others are held against before they are believed: each read to
/// its end, or as far as a listing tells where one cannot be.
///
/// # Errors
/// The folder cannot be listed, or the run was ended.
pub async fn read_plain(set: &ProveRequest<'_>, env: &ToolEnv<'_>) -> Result<PlainFiles, ToolError> {
    match verify_copy(set, env).await {
        Ok(verified) => Ok(verified.plain),
        Err(error) if env.cancel.is_cancelled() => Err(error),
        Err(_) => list_plain(set.set_dir, &env.cancel).await,
    }
}

async fn list_plain(set_dir: &Path, cancel: &CancellationToken) -> Result<PlainFiles, ToolError> {
    let folder = set_dir.to_owned();
    let listing = off_thread(("read", set_dir), READ_WITHIN, cancel, move || {
        list_files(&folder)
    });
    Ok(PlainFiles::listed(listing.await?))
}

/// Reads every file of a copy and holds it against the manifest as the catalog knows it, and the manifest that lies
/// there against the catalog's digest of it.
///
/// # Errors
/// The folder cannot be read, or the run was ended.
pub async fn verify_copy(set: &ProveRequest<'_>, env: &ToolEnv<'_>) -> Result<VerifiedCopy, ToolError> {
    let mut checked = check_files(set, env).await?;
    let mut files = checked.files.len() as u64;
    if set.manifest_blake3.is_some() {
        files += 1;
        let (manifest, _) = digest_record(set.set_dir, &env.cancel).await?;
        let difference = judge_manifest(set.manifest_blake3, manifest.as_deref());
        checked.differences.extend(difference);
    }
    let (plain, untold) = match set.files.is_empty() {
        true => (PlainFiles::of(&checked), without_rows(set, &checked, env).await?),
        false => Default::default(),
    };
    let dumped = checked.files.iter().filter(|file| is_of_a_dump(&file.path));
    // What holds no rows has none to count.
    let rows = dumped.filter_map(|file| file.rows).sum();
    Ok(VerifiedCopy {
        rows,
        untold,
        plain,
        differences: checked.differences,
        strangers: checked.strangers,
        files,
        bytes: checked.bytes,
    })
}

/// The tables that no file has rows of. Empty where the files are too damaged to tell.
async fn without_rows(
    set: &ProveRequest<'_>,
    checked: &Checked,
    env: &ToolEnv<'_>,
) -> Result<Vec<String>, ToolError> {
    if !checked.differences.is_empty() {
        return Ok(Vec::new());
    }
    // What is laid out otherwise than it should is for a proof to say.
    let mut files = Checked {
        files: checked.files.clone(),
        ..Checked::default()
    };
    let layout = lay_out(set, &mut files, env).await?;
    let expected = expect((None, set.set_dir), &layout, &env.cancel).await?;
    Ok(untold(&expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, Option<u64>)]) -> PlainFiles {
        PlainFiles(
            files
                .iter()
                .map(|(path, bytes)| ((*path).to_owned(), *bytes))
                .collect(),
        )
    }

    fn told(one: &PlainFiles, other: &PlainFiles) -> Vec<String> {
        let differences = one.differences_from(other, Path::new("/other"));
        differences
            .into_iter()
            .map(|difference| difference.object)
            .collect()
    }

    #[test]
    fn a_copy_that_was_cut_says_nothing_of_one_that_is_whole() {
        let whole = read(&[("metadata", Some(90)), ("shop.a.sql", Some(40))]);
        let cut = read(&[("metadata", Some(0)), ("shop.a.sql", Some(20))]);
        let faulty = read(&[("metadata", None), ("shop.a.sql", None)]);
        let names = ["metadata", "shop.a.sql", "notes.txt"].map(str::to_owned);
        let listed = PlainFiles::listed(names);
        for other in [&cut, &faulty, &listed] {
            assert_eq!(told(&whole, other), [""; 0]);
        }
        assert_eq!(
            told(&cut, &whole),
            [
                "file metadata, bytes of its text",
                "file shop.a.sql, bytes of its text"
            ]
        );
        assert_eq!(told(&cut, &listed), [""; 0], "a listing tells names alone");
        assert_eq!(
            told(&read(&[("metadata", Some(9))]), &listed),
            ["file shop.a.sql"]
        );
    }
}
