//! pybackup's own command line: `mykeeper pybackup ...`, or a link named `pybackup` or `pybackup.py`.
//!
//! What it asks for is put into mykeeper's terms and done by the same engine as a schedule's jobs.

mod dump;
pub(crate) mod hidden;
mod log_file;
mod mark_del;
mod only_rsync;
mod settings;
mod validate;
mod words;

use crate::args::DEFAULT_CONFIG;
use crate::failure::{Failure, Status};
use crate::output::{print, say};
use crate::surroundings::client_socket;
use mykeeper_config::Loaded;
use mykeeper_config::pybackup::{ConfPart, catalog_by_conf};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use words::{Asked, USAGE, Words, parse_words};

/// How it was called.
#[derive(Default)]
pub(crate) struct Call {
    /// As the shell named the program.
    pub(crate) program: OsString,
    /// `--config`.
    pub(crate) config: PathBuf,
    /// A password stood on the command line.
    pub(crate) told_password: bool,
}

pub(crate) async fn run(call: &Call, words: Vec<OsString>) -> anyhow::Result<Status> {
    let words: Result<Vec<String>, OsString> = words.into_iter().map(OsString::into_string).collect();
    let words = words.map_err(|_| Failure::usage("an argument is no text in UTF-8"))?;
    let Words { asked, conf } =
        parse_words(&words).map_err(|error| Failure::usage(format!("{error}\n{}", USAGE.trim_end())))?;
    if call.told_password {
        say(
            "warning: until it was moved out of sight, every user of this machine could read the password on the \
             command line; write it as db_passwd into [TDB] of pybackup.conf (chmod 600) and leave password= out",
        );
    }
    settings::advise_by_conf(call, conf.as_deref());
    let conf = |needed: &[_]| settings::find(call, conf.as_deref(), needed);
    match asked {
        Asked::Help => print(USAGE.trim_end()).map(|()| Status::Done),
        Asked::Version => {
            print(concat!("mykeeper ", env!("CARGO_PKG_VERSION"), " as pybackup")).map(|()| Status::Done)
        }
        Asked::DumperHelp => dump::show_help(call).await,
        Asked::Dump {
            words,
            no_rsync,
            no_history,
        } => Box::pin(dump::run(call, conf, &words, (no_rsync, no_history))).await,
        Asked::OnlyRsync {
            backup_dir,
            bk_id,
            log_file,
        } => {
            Box::pin(only_rsync::run(
                call,
                conf,
                (&backup_dir, bk_id.as_deref()),
                &log_file,
            ))
            .await
        }
        Asked::MarkDel { backup_dirs, bk_ids } => mark_del::run(call, conf, &backup_dirs, &bk_ids).await,
        Asked::Validate { log_file, bk_id } => {
            Box::pin(validate::run(call, conf, bk_id.as_deref(), &log_file)).await
        }
    }
}

/// No conf is larger. Bytes.
const MAX_CONF: u64 = 64 << 10;

/// Whether `--config` names pybackup's conf, by which sets are seen and restored where there is no `mykeeper.toml`: by its
/// name, or by sections that are pybackup's alone.
pub(crate) fn is_pybackup_conf(config: &Path) -> bool {
    let name = config.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("pybackup") && name.ends_with(".conf"))
        || holds_its_sections(config)
}

fn holds_its_sections(config: &Path) -> bool {
    // Those of ours are called so, whatever stands in them.
    if config.extension().is_some_and(|end| end == "toml") {
        return false;
    }
    let is_small = std::fs::metadata(config).is_ok_and(|file| file.is_file() && file.len() <= MAX_CONF);
    let text = is_small
        .then(|| std::fs::read(config).ok())
        .flatten()
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    // A remark may stand behind it.
    let is_its = |line: &str| line.starts_with("[CATALOG]") || line.starts_with("[TDB]");
    text.lines().any(is_its)
}

/// Its settings: the catalog, the server, the destination, and no job.
pub(crate) fn settings_of_conf(file: &Path) -> anyhow::Result<Loaded> {
    let call = Call {
        config: DEFAULT_CONFIG.into(),
        ..Call::default()
    };
    let conf = settings::find(&call, Some(file), &[ConfPart::Catalog])?;
    let mut settings = settings::settings(&call, &conf, None, false)?;
    // Whoever names it asks whether it is right, also where mykeeper.toml knows an account for the same catalog.
    let socket = client_socket();
    if let Some(catalog) = catalog_by_conf(&conf, settings.catalog.timezone, socket.as_deref()) {
        settings.catalog = catalog;
    }
    Ok(Loaded {
        settings,
        warnings: Vec::new(),
    })
}

/// Makes a path absolute without looking whether it is there.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
