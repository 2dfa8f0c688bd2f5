//! What is otherwise in a set that pybackup's command line asks for.

use super::draft::{Drafting, draft_backup};
use super::records_of;
use crate::jobs::transfer::{Sent, send_with_retries};
use crate::jobs::{JobError, RunContext};
use crate::state_dir::BEGUN_SET;
use chrono::{DateTime, Utc};
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::databases::DatabaseSelection;
use mykeeper_domain::inventory::{Coverage, Inventory};
use mykeeper_domain::job::{AsPybackup, BackupTask, Consistency, MydumperOption};
use mykeeper_domain::run::RunState;
use mykeeper_domain::server::Server;
use mykeeper_tools::mydumper::{
    DumpResult, MydumperInfo, TableScope, resolve_regex, split_by_database, translate,
};
use mykeeper_tools::probe::Probe;
use mykeeper_tools::rsync::shell_word;
use std::path::{Path, PathBuf};

/// A new set's identity and folder: right below the directory, which is a day's already.
pub(super) fn place(task: &BackupTask) -> (BackupId, PathBuf) {
    let id = BackupId::generate_as_pybackup();
    (id, task.directory.join(id.to_string()))
}

/// The job's options as the installed mydumper calls them. A schedule says them in its own words, and is told.
pub(super) fn in_words_of(
    context: &RunContext,
    task: &BackupTask,
    info: &MydumperInfo,
) -> Vec<MydumperOption> {
    if task.as_pybackup.is_none() {
        return task.mydumper.clone();
    }
    let (options, said) = translate(info, &task.mydumper);
    said.iter().for_each(|note| context.say(note));
    options
}

/// Cuts `databases` down to those that the job's regular expression means something of, and tells which tables.
pub(super) async fn choose_tables(
    task: &BackupTask,
    info: &MydumperInfo,
    probe: &mut Probe,
    databases: &mut Vec<String>,
) -> Result<Option<TableScope>, JobError> {
    let regex = task
        .as_pybackup
        .as_ref()
        .and_then(|as_pybackup| as_pybackup.regex.as_ref());
    let Some(pattern) = regex.filter(|_| !databases.is_empty()) else {
        return Ok(None);
    };
    let inventory = probe.inventory(databases).await?;
    let scope = resolve_regex(pattern, info, &inventory)?;
    *databases = scope.databases;
    Ok(scope.tables)
}

/// A folder for each database, also where one mydumper wrote them all. A set for which that fails is not complete.
pub(super) async fn lay_out(context: &RunContext, task: &BackupTask, set_dir: &Path, dump: &mut DumpResult) {
    let by_database = task.consistency == Consistency::All
        && task
            .as_pybackup
            .as_ref()
            .is_some_and(|as_pybackup| as_pybackup.selected_by.is_none());
    if !by_database || dump.ended.is_some() {
        return;
    }
    if let Err(error) = split_by_database(set_dir, dump).await {
        context.say(error.to_string());
        dump.complete.fill(false);
        for part in &mut dump.parts {
            part.complete = false;
            part.reasons.push(error.to_string());
        }
    }
}

/// What is left to do where a set has not arrived, in the words of the command that made it: no job of a schedule knows
/// of such sets.
pub(super) fn send_again(context: &RunContext, backup: &Backup) -> String {
    let word = |path: &Path| shell_word(&path.display().to_string());
    format!(
        "and is left to you (mykeeper pybackup only-rsync --backup-dir={} --bk-id={} --conf={})",
        word(&backup.dir),
        backup.id,
        word(&context.settings.keeper_file)
    )
}

/// `bk_command`: as pybackup writes it, with the databases at its end where it does not name them.
pub(super) fn command(as_pybackup: &AsPybackup, databases: &[String]) -> String {
    if as_pybackup.selected_by.is_some() || as_pybackup.command.contains(" --database=") {
        return as_pybackup.command.clone();
    }
    format!("{} database={}", as_pybackup.command, databases.join(","))
}

/// `file,position,gtid`, of which the last may be empty.
pub(super) fn position(status: &str) -> String {
    match status.matches(',').count() {
        1 => format!("{status},"),
        _ => status.to_owned(),
    }
}

/// A dump that could not begin leaves its row all the same, as pybackup's did: whoever watches the rows sees that nothing
/// was backed up. No folder goes with it.
pub(super) async fn record_failure(
    context: &RunContext,
    task: &BackupTask,
    (server, drafting): (&Server, &Drafting<'_>),
    (server_version, reason): (String, &str),
) {
    let Some((backup, dump)) = failed_set(context, task, (server, drafting), (server_version, reason)) else {
        return;
    };
    let (manifest, evidence) = records_of(&backup, dump);
    let recorded = context
        .environment
        .persist("record a set", &context.cancel, |catalog| {
            let (backup, manifest, evidence) = (backup.clone(), manifest.clone(), evidence.clone());
            async move { catalog.insert_backup(&backup, &manifest, &evidence).await }
        })
        .await;
    if let Err(error) = recorded {
        context.say(format!("that set {} failed is not recorded: {error}", backup.id));
    }
}

/// What the row says of a dump that came to nothing.
fn failed_set(
    context: &RunContext,
    task: &BackupTask,
    (server, drafting): (&Server, &Drafting<'_>),
    (server_version, reason): (String, &str),
) -> Option<(Backup, DumpResult)> {
    let as_pybackup = task.as_pybackup.as_ref()?;
    let databases = as_asked(task);
    let dump = DumpResult {
        files: Vec::new(),
        parts: Vec::new(),
        complete: match task.consistency {
            Consistency::PerDatabase => vec![false; databases.len().max(1)],
            _ => vec![false],
        },
        inventory: Inventory::default(),
        coverage: Coverage::ALL,
        master_status: String::new(),
        slave_status: String::new(),
        server_version,
        binary_log: None,
        command: String::new(),
        ended: None,
        warnings: Vec::new(),
    };
    let mut backup = draft_backup(context, task, server, drafting, &dump);
    backup.reason = Some(reason.to_owned());
    backup.command = command(as_pybackup, &databases);
    backup.databases = databases;
    Some((backup, dump))
}

/// Writes down what the row is to say should nobody end this attempt: who finds it may be a daemon, whose files name
/// neither the job nor its server.
pub(super) async fn note_begun(
    context: &RunContext,
    task: &BackupTask,
    (server, id): (&Server, BackupId),
    (started_at, set_dir): (DateTime<Utc>, &Path),
) {
    let drafting = Drafting {
        id,
        started_at,
        set_dir,
        tool_version: "",
        first_byte_at: None,
        begun_by_catalog_at: None,
    };
    let Some((backup, _)) = failed_set(context, task, (server, &drafting), (String::new(), "")) else {
        return;
    };
    let file = context.private.path().join(BEGUN_SET);
    let written = match serde_json::to_vec(&backup) {
        Ok(text) => tokio::task::spawn_blocking(move || write_whole(&file, &text)).await,
        Err(error) => Ok(Err(error.into())),
    };
    if !matches!(written, Ok(Ok(()))) {
        context.say("what would be recorded of this set, were this run cut off, cannot be kept");
    }
}

/// On the disk whole, or not at all: the attempt's row is, and a power cut leaves it as the next start finds it.
fn write_whole(file: &Path, text: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let draft = file.with_extension("json.new");
    let mut written = std::fs::File::create(&draft)?;
    written.write_all(text)?;
    written.sync_all()?;
    std::fs::rename(&draft, file)?;
    match file.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The databases in the words that ask for them, which the server has not been asked about: a pattern that means one name is
/// that name.
fn as_asked(task: &BackupTask) -> Vec<String> {
    let by_regex = task.as_pybackup.as_ref().and_then(|own| own.regex.as_ref());
    match &task.databases {
        _ if by_regex.is_some() => Vec::new(),
        DatabaseSelection::Include(patterns) => patterns.iter().map(|pattern| unescaped(pattern)).collect(),
        DatabaseSelection::Exclude(patterns) => {
            let names = patterns.iter().map(|pattern| unescaped(pattern));
            vec![names.map(|name| format!("!{name}")).collect::<Vec<_>>().join(",")]
        }
    }
}

fn unescaped(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => letters.next().unwrap_or(letter),
            other => other,
        });
    }
    plain
}

/// The databases that were dumped as they should be go their way, though others were not: the set's row says which, and
/// the run has failed. Gives the error that the run ends with.
pub(super) async fn send_what_is_whole(context: &RunContext, task: &BackupTask, error: JobError) -> JobError {
    let Some(id) = error.bk_id.filter(|_| error.state == RunState::Failed) else {
        return error;
    };
    let backup = match context.environment.catalog.backup(id).await {
        Ok(Some(backup)) if backup.complete.contains(&true) && backup.manifest_blake3.is_some() => backup,
        _ => return error,
    };
    let mut reason = error.reason.clone();
    for destination in &task.transfer_to {
        match send_with_retries(context, &backup, destination).await {
            Ok(Sent::Arrived) => reason.push_str(&format!(
                "; the databases that are whole were sent to {destination}"
            )),
            Ok(Sent::ByAnother) => {}
            Err(failed) if failed.state == RunState::Cancelled => return failed.about(id),
            Err(failed) => reason.push_str(&format!(
                "; to send those that are whole failed {}: {}",
                send_again(context, &backup),
                failed.reason
            )),
        }
    }
    JobError { reason, ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_read_as_pybackup_wrote_them() {
        let mut as_pybackup = AsPybackup {
            command: "mydumper --password=supersecrect --compress".to_owned(),
            selected_by: None,
            regex: None,
        };
        let databases = ["fandb".to_owned(), "test".to_owned()];
        assert_eq!(
            command(&as_pybackup, &databases),
            "mydumper --password=supersecrect --compress database=fandb,test"
        );
        as_pybackup.command.push_str(" --database=fandb");
        assert_eq!(command(&as_pybackup, &databases[..1]), as_pybackup.command);
        assert_eq!(position("mysql-bin.000036,61286"), "mysql-bin.000036,61286,");
        assert_eq!(
            position("mysql-bin.000036,61286,0-1-7"),
            "mysql-bin.000036,61286,0-1-7"
        );
        assert_eq!(position(""), "");
    }
}
