//! `pybackup mydumper`

use super::log_file::LogFile;
use super::settings::{keeper, run_beside_others, settings};
use super::{Call, absolute};
use crate::commands::run::Beside;
use crate::commands::validate::by_hand;
use crate::failure::{Failure, Status};
use crate::output::{print, say};
use crate::surroundings::supervisor;
use mykeeper_config::Settings;
use mykeeper_config::pybackup::{
    ConfPart, DumpWords, PybackupConf, THE_DESTINATION, pattern_of, read_dump_words,
};
use mykeeper_domain::checksum::ChecksumLimit;
use mykeeper_domain::databases::DatabaseSelection;
use mykeeper_domain::immediate::Prove;
use mykeeper_domain::job::{AsPybackup, BackupTask, Consistency, LockPolicy, MydumperOption, Task};
use mykeeper_domain::retry::RetryPolicy;
use mykeeper_domain::{DestinationName, ServerName};
use mykeeper_tools::mydumper::ask_for_help;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What is left free at the least, in bytes: no word of a command line asks for more, and pybackup has filled disks to their
/// end.
const RESERVE: u64 = 0;

/// `pybackup mydumper help`
pub(super) async fn show_help(call: &Call) -> anyhow::Result<Status> {
    let program = keeper(call).map_or_else(|| PathBuf::from("mydumper"), |keeper| keeper.tools.mydumper);
    let lines = ask_for_help(&supervisor(), &program)
        .await
        .map_err(Failure::unavailable)?;
    print(&lines.join("\n"))?;
    Ok(Status::Done)
}

pub(super) async fn run(
    call: &Call,
    conf: impl Fn(&[ConfPart]) -> anyhow::Result<PybackupConf>,
    words: &[String],
    (no_rsync, no_history): (bool, bool),
) -> anyhow::Result<Status> {
    let words = read_dump_words(words).map_err(|mistakes| Failure::usage(mistakes.join("\n")))?;
    let mut needed = Vec::new();
    if !no_history {
        needed.push(ConfPart::Catalog);
    }
    let is_chosen = !words.databases.is_empty() || words.regex.is_some() || words.tables.is_some();
    if !is_chosen {
        needed.extend([ConfPart::Server, ConfPart::Databases]);
    }
    let conf = conf(&needed)?;
    for warning in &words.warnings {
        say(&format!("warning: {warning}"));
    }
    let settings = settings(call, &conf, Some(&words), no_history)?;
    let transfer_to = match settings.destinations.is_empty() || no_rsync {
        true => Vec::new(),
        false => vec![DestinationName::new(THE_DESTINATION)?],
    };
    let Some(server) = settings.servers.keys().next().cloned() else {
        return Err(Failure::usage("no server is named"));
    };
    let directory = output_dir(&words)?;
    let log = match &words.logfile {
        Some(path) => Some(open_log(path, &settings)?),
        None => None,
    };
    let task = task(&words, &conf, (server, directory), transfer_to)?;
    let mut job = by_hand("pybackup mydumper", Task::Backup(task))?;
    // Of a transfer: the dump itself is tried once.
    job.retry = RetryPolicy {
        attempts: 4,
        delay: Duration::from_secs(5),
    };
    run_beside_others(settings, job, &|| None, log).await
}

pub(super) fn open_log(path: &Path, settings: &Settings) -> anyhow::Result<Beside> {
    let log: Beside = Arc::new(LogFile::open(&absolute(path)?, settings.catalog.timezone)?);
    Ok(log)
}

fn task(
    words: &DumpWords,
    conf: &PybackupConf,
    (server, directory): (ServerName, PathBuf),
    transfer_to: Vec<DestinationName>,
) -> anyhow::Result<BackupTask> {
    let mut mydumper = words.passed.clone();
    let wants_one_snapshot = conf.consistency.as_ref().is_some_and(|said| said.value);
    let mut selected_by = None;
    let (databases, consistency) = if !words.databases.is_empty() {
        let names = words.databases.iter().map(|name| pattern_of(name)).collect();
        (DatabaseSelection::Include(names), Consistency::PerDatabase)
    } else if let Some(regex) = &words.regex {
        selected_by = Some(regex.clone());
        (DatabaseSelection::Include(vec!["%".to_owned()]), Consistency::All)
    } else if let Some(tables) = &words.tables {
        selected_by = Some(tables.clone());
        mydumper.push(MydumperOption {
            name: "tables-list".to_owned(),
            value: Some(tables.clone()),
        });
        (
            DatabaseSelection::Include(databases_of(tables)?),
            Consistency::All,
        )
    } else {
        let list = conf.databases.as_ref().map(|said| said.value.clone());
        let list = list.ok_or_else(|| Failure::usage("[TDB] has no db_list"))?;
        let consistency = match wants_one_snapshot {
            true => Consistency::All,
            false => Consistency::PerDatabase,
        };
        (list, consistency)
    };
    Ok(BackupTask {
        server,
        databases,
        consistency,
        directory,
        transfer_to,
        // Its files are laid out anew when the dump has ended.
        stream: false,
        mydumper,
        reserve: Some(RESERVE),
        checksum: ChecksumLimit::default(),
        lock: LockPolicy::default(),
        packing: None,
        chunk: None,
        prove: Prove::InTurn,
        as_pybackup: Some(AsPybackup {
            command: words.command.clone(),
            selected_by,
            regex: words.regex.clone(),
        }),
    })
}

/// The databases of a `tables-list=a.b,c.d`, as patterns.
fn databases_of(tables: &str) -> anyhow::Result<Vec<String>> {
    let mut databases = Vec::new();
    for table in tables.split(',').map(str::trim).filter(|table| !table.is_empty()) {
        let Some((database, _)) = table.split_once('.') else {
            return Err(Failure::usage(format!(
                "tables-list={tables}: {table:?} names no database; write database.table"
            )));
        };
        let pattern = pattern_of(database);
        if !databases.contains(&pattern) {
            databases.push(pattern);
        }
    }
    Ok(databases)
}

/// The day's folder, made where it is not there. What is above it must be: it may be a mount that is missing.
fn output_dir(words: &DumpWords) -> anyhow::Result<PathBuf> {
    let Some(given) = &words.outputdir else {
        return Err(Failure::usage(
            "mydumper's option \"outputdir\" is missing; write outputdir=/a/directory",
        ));
    };
    let dir: PathBuf = absolute(given)?.components().collect();
    match DirBuilder::new().mode(0o750).create(&dir) {
        Ok(()) => Ok(dir),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(dir),
        Err(error) => Err(Failure::unavailable(format!(
            "cannot make the directory {}: {error}; create what is above it, or mount it",
            dir.display()
        ))),
    }
}
