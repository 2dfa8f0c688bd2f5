//! Files that a command writes for a person: all of them or none, and none over another.

use crate::failure::Failure;
use crate::output::say;
use crate::surroundings::gather;
use secrecy::zeroize::Zeroizing;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// One file that is written.
pub(super) struct NewFile {
    pub(super) name: String,
    pub(super) text: Zeroizing<String>,
    pub(super) mode: u32,
}

/// Writes all of them or none, the keeper file first: into a folder of their own first, where they are read as mykeeper reads them.
pub(super) fn write(out: &Path, files: &[NewFile], elsewhere: &str) -> anyhow::Result<()> {
    refuse_existing(out, files.iter().map(|file| file.name.as_str()), elsewhere)?;
    let is_new = !out.exists();
    let staged = stage(out, files).and_then(|staging| {
        let written = look((&staging, out), files).and_then(|()| put_in_place(&staging, out, files));
        drop(std::fs::remove_dir_all(&staging));
        written
    });
    if staged.is_err() && is_new {
        // Only where nothing is in it.
        drop(std::fs::remove_dir(out));
    }
    staged
}

/// Names all that are there.
pub(super) fn refuse_existing<'a>(
    out: &Path,
    names: impl IntoIterator<Item = &'a str>,
    elsewhere: &str,
) -> anyhow::Result<()> {
    let there: Vec<String> = names
        .into_iter()
        .map(|name| out.join(name))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    if !there.is_empty() {
        return Err(Failure::usage(format!(
            "{} already; nothing was written: move what is there away, or {elsewhere}",
            match there.as_slice() {
                [one] => format!("{one} is there"),
                all => format!("{} are there", all.join(", ")),
            }
        )));
    }
    Ok(())
}

fn stage(out: &Path, files: &[NewFile]) -> anyhow::Result<PathBuf> {
    let staging = out.join(format!(".new-{}", uuid::Uuid::new_v4().simple()));
    let failed =
        |error: std::io::Error| Failure::unavailable(format!("cannot write to {}: {error}", out.display()));
    if !out.is_dir() {
        std::fs::create_dir_all(out)
            .and_then(|()| std::fs::set_permissions(out, Permissions::from_mode(0o755)))
            .map_err(failed)?;
    }
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&staging)
        .map_err(failed)?;
    for file in files {
        let written = std::fs::File::options()
            .write(true)
            .create_new(true)
            .mode(file.mode)
            .open(staging.join(&file.name))
            .and_then(|mut opened| {
                opened.write_all(file.text.as_bytes())?;
                // Whatever the umask: who runs the service reads what is no secret.
                opened.set_permissions(Permissions::from_mode(file.mode))?;
                opened.sync_all()
            });
        if let Err(error) = written {
            drop(std::fs::remove_dir_all(&staging));
            return Err(failed(error));
        }
    }
    Ok(staging)
}

/// What `mykeeper check --offline` would say.
fn look((staging, out): (&Path, &Path), files: &[NewFile]) -> anyhow::Result<()> {
    let shown = |text: String| text.replace(&staging.display().to_string(), &out.display().to_string());
    let keeper = files.first().map_or("mykeeper.toml", |file| file.name.as_str());
    match mykeeper_config::load(&staging.join(keeper), &gather()) {
        Ok(loaded) => {
            for warning in loaded.warnings {
                say(&shown(warning.to_string()));
            }
            Ok(())
        }
        Err(errors) => Err(Failure::job(format!(
            "{}\nnothing was written: what comes of these files would not be usable",
            shown(errors.to_string())
        ))),
    }
}

/// Under their names, each only where nothing is; when one cannot be, those before it go again.
fn put_in_place(staging: &Path, out: &Path, files: &[NewFile]) -> anyhow::Result<()> {
    let mut placed: Vec<PathBuf> = Vec::new();
    for file in files {
        let path = out.join(&file.name);
        if let Err(error) = std::fs::hard_link(staging.join(&file.name), &path) {
            for before in &placed {
                drop(std::fs::remove_file(before));
            }
            return Err(Failure::unavailable(format!(
                "cannot write {}: {error}; nothing was written",
                path.display()
            )));
        }
        placed.push(path);
    }
    std::fs::File::open(out)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Failure::unavailable(format!("cannot sync {}: {error}", out.display())))
}
