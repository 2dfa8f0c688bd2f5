//! The empty data folder that throwaway servers are cloned from: made once per version, ready in a moment.

use super::argv::{REDO_LOG_BYTES, lower_case_argument};
use super::likeness::Likeness;
use super::program::{HINT, ServerProgram, install_program};
use crate::env::{ToolEnv, ended_from_here, run_error};
use crate::error::ToolError;
use mykeeper_supervise::{Activity, ChildSpec, Exit, Limits};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

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
pub(super) fn sync(path: &Path) -> io::Result<()> {
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
