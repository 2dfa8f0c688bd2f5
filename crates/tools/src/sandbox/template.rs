//! The empty data folder that throwaway servers are cloned from: made once per version, ready in a moment.

use super::argv::{REDO_LOG_BYTES, lower_case_argument};
use super::folder::{PREFIX, io_error, remove_tree};
use super::likeness::Likeness;
use super::program::{HINT, ServerProgram, install_program};
use crate::env::{ToolEnv, ended_from_here, run_error};
use crate::error::ToolError;
use chrono::{DateTime, Utc};
use mykeeper_supervise::{Activity, ChildSpec, Exit, Limits};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A file that is written into one last, and removed first: without it, one was left half made or half removed.
const WHOLE: &str = "mykeeper-template-is-whole";

/// Making one takes a second or two, on a slow disk a minute.
const MADE_WITHIN: Duration = Duration::from_secs(300);

/// Fills `data`, an empty folder, by way of `tmp`, with the system tables of an empty server whose root needs no password.
///
/// # Errors
/// The program is missing, or fails: with its last words.
pub(super) async fn make(
    (server, likeness): (&ServerProgram, &Likeness),
    (data, tmp): (&Path, &Path),
    (user, nice): (Option<(u32, u32)>, i32),
    env: &ToolEnv<'_>,
) -> Result<(), ToolError> {
    let with = |option: &str, path: &Path| {
        let mut text = OsString::from(option);
        text.push(path);
        text
    };
    // A server that starts removes what others' temporary tables are called from its temporary folder: neither may
    // it do so to others, nor they to it.
    let folders = [with("--datadir=", data), with("--tmpdir=", tmp)];
    let (program, args) = if server.is_mariadb() {
        let mut args = vec![OsString::from("--no-defaults")];
        args.extend(folders);
        args.extend(
            [
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ]
            .map(OsString::from),
        );
        args.push(format!("--innodb-log-file-size={REDO_LOG_BYTES}").into());
        (install_program(&server.path), args)
    } else {
        let mut args = vec![OsString::from("--no-defaults"), "--initialize-insecure".into()];
        args.extend(lower_case_argument(likeness));
        args.extend(folders);
        (server.path.clone(), args)
    };
    let limits = Limits {
        timeout: Some(MADE_WITHIN),
        ..Limits::default()
    };
    let mut spec = ChildSpec::new(&program)
        .args(args)
        .current_dir(data)
        .nice(nice)
        .limits(limits);
    spec.user = user;
    let mut words: Vec<String> = Vec::new();
    let finished = env
        .supervisor
        .run(spec, env.cancel.clone(), Activity::new(), &mut |_, line| {
            let line = String::from_utf8_lossy(line).trim().to_owned();
            if !line.is_empty() {
                words.push(line);
            }
            if words.len() > 200 {
                words.remove(0);
            }
        })
        .await
        .map_err(|error| run_error(&program, HINT, &error))?;
    if let Some(error) = ended_from_here(&program.display().to_string(), &finished.exit) {
        return Err(error);
    }
    if finished.exit != Exit::Success || !data.join("mysql").is_dir() {
        for line in &words {
            env.log.line("sandbox", line);
        }
        let telling = words
            .iter()
            .find(|line| line.contains("ERROR"))
            .or_else(|| words.last());
        return Err(ToolError::Failed {
            message: format!(
                "cannot prepare an empty server with {}: it {}: {}",
                program.display(),
                finished.exit,
                telling.map_or("without a word", String::as_str)
            ),
            passing: true,
        });
    }
    Ok(())
}

/// Has everything below `path` written to the disk, and itself: what is cloned after a power cut must be whole.
///
/// # Errors
/// The disk does not take it.
fn sync(path: &Path) -> io::Result<()> {
    let folder = File::open(path)?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync(&entry.path())?;
        } else if kind.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    folder.sync_all()
}

/// `mykeeper-sandbox-template-<version>-<uid>`, and `-lower-case` before the user's id where names are kept so.
pub(super) fn name(program: &ServerProgram, likeness: &Likeness, user: Option<(u32, u32)>) -> String {
    let uid = user.map_or_else(|| rustix::process::geteuid().as_raw(), |(uid, _)| uid);
    let version: String = program
        .version
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || ".-+".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let names = if likeness.lower_case { "-lower-case" } else { "" };
    format!("{PREFIX}template-{version}{names}-{uid}")
}

/// Whether a whole template is there.
///
/// # Errors
/// As [`is_own`].
pub(super) fn is_there(path: &Path, user: Option<(u32, u32)>) -> Result<bool, ToolError> {
    Ok(is_own(path, user)? && path.join(WHOLE).is_file())
}

/// Whether there is a template, whole or not.
///
/// # Errors
/// Another user could have made it: its server would be theirs.
fn is_own(path: &Path, user: Option<(u32, u32)>) -> Result<bool, ToolError> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(io_error("open", path)(source)),
    };
    let uid = user.map_or_else(|| rustix::process::geteuid().as_raw(), |(uid, _)| uid);
    if !metadata.is_dir() || metadata.uid() != uid || metadata.mode() & 0o077 != 0 {
        return Err(ToolError::Failed {
            message: format!(
                "cannot use {}: it must be a folder of user id {uid} that nobody else may enter; remove it",
                path.display()
            ),
            passing: false,
        });
    }
    Ok(true)
}

/// Puts what was made where servers are cloned from, in place of what may be there. Under that name it is whole, also
/// after a power cut.
///
/// # Errors
/// The disk does not take it, or what is there is another's.
pub(super) fn lay_down(data: &Path, template: &Path, user: Option<(u32, u32)>) -> Result<(), ToolError> {
    sync(data).map_err(io_error("sync", data))?;
    let mark = data.join(WHOLE);
    File::create(&mark)
        .and_then(|file| file.sync_all())
        .and_then(|()| File::open(data)?.sync_all())
        .map_err(io_error("create", &mark))?;
    if is_own(template, user)? {
        remove(template).map_err(io_error("remove", template))?;
    }
    std::fs::rename(data, template).map_err(io_error("rename", template))?;
    let directory = template.parent().unwrap_or(template);
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(io_error("sync", directory))
}

/// So that no part of it is taken for the whole.
fn remove(template: &Path) -> io::Result<()> {
    match std::fs::remove_file(template.join(WHOLE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => remove_tree(template),
    }
}

/// Says on the template itself when it was last wanted. Where that cannot be said, it goes earlier than it need.
pub(super) fn note_use(template: &Path, now: DateTime<Utc>) {
    let noted = File::open(template).and_then(|folder| folder.set_modified(now.into()));
    if let Err(error) = noted {
        tracing::debug!(%error, path = %template.display(), "note of a template's use");
    }
}

/// Removes the templates of versions that no server has been started from for a week, as a new version comes. Several
/// versions may be in use side by side.
pub(super) fn forget_others(directory: &Path, (made, user): (&Path, Option<(u32, u32)>), now: DateTime<Utc>) {
    const UNUSED_FOR: Duration = Duration::from_secs(7 * 86_400);
    let Ok(entries) = std::fs::read_dir(directory) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_template = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix(PREFIX))
            .is_some_and(|name| name.starts_with("template-"));
        // Another user's is not ours to remove, nor what is no template.
        if !is_template || path == made || !is_own(&path, user).unwrap_or(false) {
            continue;
        }
        let used = path.metadata().and_then(|metadata| metadata.modified());
        let is_old = used.is_ok_and(|used| {
            SystemTime::from(now)
                .duration_since(used)
                .is_ok_and(|unused| unused > UNUSED_FOR)
        });
        if is_old && let Err(error) = remove(&path) {
            tracing::warn!(%error, path = %path.display(), "removal of an old template");
        }
    }
}
