//! Whether there is room for what a job is about to do. Asked before anything is written.

use crate::jobs::{JobError, RunContext};
use mykeeper_catalog::{BackupFilter, Catalog, CatalogError, SetState};
use mykeeper_domain::backup::Backup;
use mykeeper_domain::job::{BackupTask, MydumperOption};
use mykeeper_domain::server::Server;
use mykeeper_domain::space::{Extent, Need, PastSet, dump_need};
use mykeeper_domain::{JobName, NodeName};
use mykeeper_tools::mydumper::PACKED_BY;
use mykeeper_tools::probe::Probe;
use mykeeper_tools::room::room_of;
use std::collections::BTreeSet;

/// How many sets before this one are looked at.
const PAST_SETS: usize = 3;
/// Among how many of the server they are looked for.
const LOOKED_AT: u32 = 200;
/// Options with which the server's own account of its data says nothing of the size of a dump.
const PARTIAL: [&str; 6] = [
    "no-data",
    "regex",
    "tables-list",
    "omit-from-file",
    "ignore-engines",
    "where",
];

/// Refuses a dump that would not fit into its directory, by what is known of sets before it and of the server's data.
///
/// What cannot be found out is said in the run's log, and refuses nothing. Gives what the dump needs, where that was asked
/// and is known.
pub(crate) async fn before_dump(
    context: &RunContext,
    (task, server): (&BackupTask, &Server),
    databases: &[String],
    probe: &mut Probe,
) -> Result<Option<Need>, JobError> {
    let Some(reserve) = task.reserve else {
        return Ok(None);
    };
    let dump = Dump {
        node: &context.environment.node,
        job: &context.job.name,
        task,
        server,
        databases,
    };
    let catalog = Some(context.environment.catalog.as_ref());
    let (need, unknown) = estimate(&dump, catalog, probe).await;
    unknown.into_iter().for_each(|line| context.say(line));
    let Some(need) = need else {
        context.say("what the dump needs cannot be estimated");
        return Ok(None);
    };
    // Asked first, as few may hang: a directory that does not answer is no answer about its room.
    context.is_dir(&task.directory).await?;
    let room = match room_of(&task.directory).await {
        Ok(room) => room,
        // It does not answer, and may later.
        Err(error) if error.is_passing() => return Err(error.into()),
        // Why it is not there is said when the set's folder is made.
        Err(error) => {
            context.say(error.to_string());
            return Ok(None);
        }
    };
    if let Some(shortage) = need.shortage(&room, reserve, &task.directory) {
        // No file says anything of a command line's job.
        let way_out = match task.as_pybackup {
            Some(_) => "make room, or name another `outputdir`".to_owned(),
            None => format!(
                "make room, choose another directory, or set `reserve` of job {}",
                context.job.name
            ),
        };
        return Err(JobError::fatal(format!(
            "the dump is not begun, as there is no room for it: it {shortage}; {way_out}"
        )));
    }
    context.say(format!("the dump {}", need.arithmetic(&room, &task.directory)));
    Ok(Some(need))
}

/// A dump that may be made.
pub struct Dump<'a> {
    /// Whose sets before it are looked at.
    pub node: &'a NodeName,
    /// Of which job.
    pub job: &'a JobName,
    /// What the job says.
    pub task: &'a BackupTask,
    /// What is dumped.
    pub server: &'a Server,
    /// Of which databases.
    pub databases: &'a [String],
}

/// What a dump needs, by the sets before it, where there is a `catalog` to ask, and by the server's data; and what could
/// not be found out, in sentences. `None` where nothing is known.
pub async fn estimate(
    dump: &Dump<'_>,
    catalog: Option<&dyn Catalog>,
    probe: &mut Probe,
) -> (Option<Need>, Vec<String>) {
    let mut unknown = Vec::new();
    let past = match catalog {
        Some(catalog) => past_sets(dump, catalog).await,
        None => Ok(Vec::new()),
    };
    let past = past.unwrap_or_else(|error| {
        unknown.push(format!("the sizes of earlier sets are not known: {error}"));
        Vec::new()
    });
    let extent = match probe.volume(dump.databases).await {
        Ok(volume) if is_partial(dump.task) => Extent::Within(volume),
        Ok(volume) => Extent::Whole(volume),
        Err(error) => {
            unknown.push(format!("the size of the server's data is not known: {error}"));
            Extent::Unknown
        }
    };
    let need = dump_need(&past, &extent, is_compressed(dump.task));
    (need, unknown)
}

/// The last complete sets of this job and server that were written with the same options, as far as these matter for
/// size; newest first. Those of the databases that are asked for now, or, where there is none, of others.
async fn past_sets(dump: &Dump<'_>, catalog: &dyn Catalog) -> Result<Vec<PastSet>, CatalogError> {
    let task = dump.task;
    let filter = BackupFilter {
        tag: Some(dump.server.tag.clone()),
        node: Some(dump.node.clone()),
        state: Some(SetState::Complete),
        limit: LOOKED_AT,
        ..Default::default()
    };
    let is_like_this = |backup: &Backup| {
        let has = |name| given_in(&backup.command, name);
        backup.job.as_ref() == Some(dump.job)
            && (has("compress") || backup.command.contains(PACKED_BY)) == is_compressed(task)
            && has("no-data") == is_given(&task.mydumper, "no-data")
    };
    let mut sets: Vec<Backup> = catalog.backups(&filter).await?;
    sets.retain(is_like_this);
    let selection = Selection::asked(dump);
    let same = |backup: &Backup| selection == Selection::of(backup);
    let is_of_the_same = sets.iter().any(same);
    let sets = sets.into_iter().filter(|backup| same(backup) == is_of_the_same);
    let mut past = Vec::new();
    for backup in sets.take(PAST_SETS) {
        let Some(bytes) = backup.size_bytes else { continue };
        let files = match past.is_empty() {
            true => Some(catalog.files(backup.id).await?.len() as u64),
            false => None,
        };
        let evidence = catalog.evidence(backup.id).await?;
        let volume = evidence.and_then(|evidence| evidence.inventory.volume(&backup.databases));
        past.push(PastSet {
            started_at: backup.started_at,
            bytes,
            files,
            source_bytes: volume.map(|volume| volume.data_bytes),
            is_of_the_same,
        });
    }
    Ok(past)
}

/// What a set is of. The command lines of one host are one job, whatever each of them asks for.
#[derive(PartialEq, Eq)]
struct Selection<'a> {
    databases: BTreeSet<&'a str>,
    /// pybackup's words for a part of them.
    by: Option<&'a str>,
}

impl<'a> Selection<'a> {
    fn asked(dump: &Dump<'a>) -> Self {
        let own = dump.task.as_pybackup.as_ref();
        Self {
            databases: dump.databases.iter().map(String::as_str).collect(),
            by: own.and_then(|own| own.selected_by.as_deref()),
        }
    }

    fn of(backup: &'a Backup) -> Self {
        Self {
            databases: backup.databases.iter().map(String::as_str).collect(),
            by: backup.selected_by.as_deref(),
        }
    }
}

fn is_given(options: &[MydumperOption], name: &str) -> bool {
    options.iter().any(|option| option.name == name)
}

fn is_compressed(task: &BackupTask) -> bool {
    task.packing.is_some() || is_given(&task.mydumper, "compress")
}

fn is_partial(task: &BackupTask) -> bool {
    let by_words = task.as_pybackup.as_ref().and_then(|own| own.selected_by.as_ref());
    by_words.is_some() || PARTIAL.iter().any(|name| is_given(&task.mydumper, name))
}

/// Whether a command line as it was run holds the option.
fn given_in(command: &str, name: &str) -> bool {
    command
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .any(|word| word == name || word.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_not_taken_for_another() {
        let command = "mydumper --defaults-file=x --compress-protocol --threads=8 --no-data";
        assert!(!given_in(command, "compress"));
        assert!(given_in(command, "no-data"));
        assert!(given_in("mydumper --compress=zstd", "compress"));
        assert!(given_in("mydumper --compress", "compress"));
    }
}
