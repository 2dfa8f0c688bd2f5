//! Makes a set: databases resolved, dumped, judged by all the evidence, recorded; sent meanwhile, and after.

mod as_pybackup;
mod draft;
mod made;
mod missed;

use super::{JobError, JobReport, JobResult, RunContext};
use crate::jobs::ahead::{Ahead, make_room};
use crate::jobs::immediate::{Ready, begin_proof};
use crate::jobs::transfer::{Sent, send_holding};
use crate::limits::Limited;
use crate::locate::day_folder;
use crate::mounted::absent_at;
use crate::owed::left_to;
use crate::right_clock::look_at_clock;
use crate::seen_on;
use crate::set_folder::{create_set_dir, remove_unused};
use crate::set_lease::keep_folder;
use crate::space::before_dump;
use draft::{Drafting, draft_backup, records_of};
use futures::future::join_all;
use made::{Made, give_up};
use missed::sets_are_missed;
use mykeeper_domain::backup::{BACKUP_FAILED, Backup};
use mykeeper_domain::humane;
use mykeeper_domain::immediate::Prove;
use mykeeper_domain::job::{BackupTask, MydumperOption};
use mykeeper_domain::retry::RetryPolicy;
use mykeeper_domain::server::Server;
use mykeeper_domain::space::Need;
use mykeeper_domain::{BackupId, counted, run::RunState};
use mykeeper_tools::mydumper::{
    DumpOptions, DumpRequest, DumpResult, MydumperInfo, TableScope, detect_mydumper, run_dump,
    write_set_record,
};
use mykeeper_tools::probe::{Probe, group_missing, missing_privileges, sees_every_database};
use mykeeper_tools::{ServerConnection, ToolError, tells_of_lasting};
use std::path::Path;
use std::sync::Arc;
use tokio::time::Instant;

/// What makes mykeeper's rows in the seed's tables tell themselves from pybackup's.
pub(crate) const MADE_BY: &str = concat!("mykeeper ", env!("CARGO_PKG_VERSION"));

/// Said where a job wants every database and the account may not be shown all.
pub const UNSEEN: &str = "the account is not shown databases that it has no privilege on, and they are in no set: \
                          GRANT SHOW DATABASES ON *.* to it, or name the databases";
/// How many reasons stand in a row; all of them are in the evidence and in the run's log.
const REASONS_TOLD: usize = 5;

/// One run of a backup job.
pub async fn run(context: &RunContext, task: &BackupTask) -> JobResult {
    let server = context
        .settings
        .servers
        .get(&task.server)
        .cloned()
        .ok_or_else(|| JobError::fatal(format!("server {} is not configured any more", task.server)))?;
    let Made {
        backup,
        mut ahead,
        ready,
    } = match &context.resumed.set {
        Some(set) => {
            context.say(format!("set {} was complete before the interruption", set.id));
            Made {
                backup: set.clone(),
                ahead: None,
                ready: None,
            }
        }
        None => {
            let policy = match task.as_pybackup {
                Some(_) => &RetryPolicy::NONE,
                None => &context.job.retry,
            };
            let made = context.attempts_by(policy, context.first_attempt(), |number| {
                Box::pin(attempt(context, task, &server, number))
            });
            match made.await {
                Err(error) if task.as_pybackup.is_some() => {
                    return Err(as_pybackup::send_what_is_whole(context, task, error).await);
                }
                made => made?,
            }
        }
    };
    begin_proof(context, (task, &backup), ready).await;
    let dumped = format!(
        "set {} of {}, {}, complete after {}",
        backup.id,
        counted(backup.databases.len(), "database", "databases"),
        backup.size_text,
        humane(
            (backup.finished_at - backup.started_at)
                .to_std()
                .unwrap_or_default()
        )
    );
    // Each at its own pace: one that is slow, or away, holds up no other.
    let sends = task.transfer_to.iter().map(|destination| {
        let way = ahead.as_mut().and_then(|ahead| ahead.take(destination));
        let backup = &backup;
        async move {
            let held = match way {
                Some(way) => Some(way.finish(context).await),
                None => {
                    make_room(context, destination).await;
                    None
                }
            };
            (
                destination,
                send_holding(context, backup, destination, held).await,
            )
        }
    });
    let results = join_all(sends).await;
    let environment = &context.environment;
    let (mut failures, mut unmounted) = (Vec::new(), Vec::new());
    let mut sent = String::new();
    for (destination, result) in results {
        match result {
            Ok(Sent::Arrived) => sent.push_str(&format!(", arrived at {destination}")),
            // A transfer job that came between the dump and this line.
            Ok(Sent::ByAnother) => sent.push_str(&format!(", being sent to {destination} by another run")),
            Err(error) if error.state == RunState::Cancelled => return Err(error.about(backup.id)),
            // The set is made, and is owed there.
            Err(_) if let Ok(Some(absent)) = absent_at(environment, &context.settings, destination).await => {
                unmounted.push(format!("nothing was sent to {destination}: {absent}"));
            }
            Err(error) => failures.push((destination, error)),
        }
    }
    let (unsent, failures): (Vec<_>, Vec<_>) = failures.into_iter().unzip();
    let mut failures = failures.into_iter();
    match failures.next() {
        None => Ok(finished(&backup, &format!("{dumped}{sent}"), unmounted)),
        Some(mut error) => {
            for another in failures.map(|error| error.reason).chain(unmounted) {
                error.reason.push_str("; ");
                error.reason.push_str(&another);
            }
            let left_to = match &task.as_pybackup {
                None => left_to(&context.settings, &unsent),
                Some(_) => as_pybackup::send_again(context, &backup),
            };
            let reason = format!("{dumped}{sent}; its transfer failed {left_to}: {}", error.reason);
            Err(JobError {
                reason,
                retry: false,
                ..error
            }
            .about(backup.id))
        }
    }
}

/// With what is worth a look, if anything is.
fn finished(backup: &Backup, done: &str, mut warnings: Vec<String>) -> JobReport {
    // On a complete set the reason holds warnings.
    warnings.extend(backup.reason.clone());
    match warnings.as_slice() {
        [] => JobReport::done(done, Some(backup.id)),
        warnings => JobReport::warned(format!("{done}; {}", warnings.join("; ")), Some(backup.id)),
    }
}

/// What is found out before anything is written.
struct Preparation {
    info: MydumperInfo,
    connection: ServerConnection,
    databases: Vec<String>,
    /// Only these of their tables.
    tables: Option<TableScope>,
    /// The job's options in the words of the installed mydumper.
    options: Vec<MydumperOption>,
    /// What should be there and is not: worth a look.
    unmatched: Vec<String>,
    /// On disk, as far as that can be told.
    room_need: Option<Need>,
    /// The server's `lower_case_table_names`, where a throwaway server like it is started.
    names: Option<u8>,
}

/// One attempt: a set of its own, with its row whether it is complete or not.
async fn attempt(
    context: &RunContext,
    task: &BackupTask,
    server: &Arc<Server>,
    number: u32,
) -> Result<Made, JobError> {
    // Held until the dump has ended; what is sent afterwards is the destination's business.
    let permit = context.permit(&Limited::Server(task.server.clone())).await?;
    let (started_at, began) = (context.clock().now(), Instant::now());
    let (id, set_dir) = match task.as_pybackup {
        Some(_) => as_pybackup::place(task),
        None => {
            let id = BackupId::generate();
            let day = day_folder(started_at, context.settings.catalog.timezone);
            (id, task.directory.join(day).join(id.to_string()))
        }
    };
    let attempt = context.begin_attempt(number, Some((id, set_dir.clone()))).await?;
    context.say(format!("attempt {number}: set {id} in {}", set_dir.display()));
    as_pybackup::note_begun(context, task, (server, id), (started_at, &set_dir)).await;
    let mut exit_status = None;
    let mut versions = Versions::default();
    let mut has_row = false;
    let result = async {
        let mut prepared = prepare(context, task, server, &mut versions).await?;
        prepared
            .unmatched
            .extend(sets_are_missed(context, task, (id, &set_dir)).await?);
        create_set_dir(context, &task.directory, &set_dir).await?;
        let need = prepared.room_need.as_ref();
        let mut ahead = Ahead::start(context, task, (id, &set_dir), need).await;
        let ready = Ready::begin(context, task, prepared.names);
        let mut dump = match dump(context, task, &prepared, (&set_dir, ahead.as_ref())).await {
            Ok(dump) => dump,
            Err(error) => {
                // The server is free for others.
                drop(permit);
                give_up(context, (ahead, ready)).await;
                remove_unused(context, &set_dir).await;
                return Err(error);
            }
        };
        drop(permit);
        if let Some(ahead) = &mut ahead {
            ahead.dump_ended(context, &dump.files);
        }
        dump.warnings.splice(0..0, prepared.unmatched.iter().cloned());
        exit_status = dump.parts.last().map(|part| part.exit_status.clone());
        let clock = look_at_clock(&context.environment, (started_at, began)).await;
        dump.warnings.extend(clock.told);
        let drafting = Drafting {
            begun_by_catalog_at: clock.begun_at,
            id,
            started_at,
            set_dir: &set_dir,
            tool_version: &prepared.info.banner,
            first_byte_at: task
                .transfer_to
                .first()
                .and_then(|first| ahead.as_ref()?.first_byte_at(first)),
        };
        let draft = draft_backup(context, task, server, &drafting, &dump);
        has_row = true;
        match record_set(context, &set_dir, draft, dump).await {
            Ok(backup) => {
                seen_on::note_made(context, (id, &set_dir)).await;
                Ok(Made { backup, ahead, ready })
            }
            Err(error) => {
                give_up(context, (ahead, ready)).await;
                Err(error)
            }
        }
    }
    .await
    .map_err(|error: JobError| error.about(id));
    if let (Err(error), false, Some(_)) = (&result, has_row, &task.as_pybackup) {
        let drafting = Drafting {
            begun_by_catalog_at: None,
            id,
            started_at,
            set_dir: &set_dir,
            tool_version: &versions.tool,
            first_byte_at: None,
        };
        let failed = (versions.server, error.reason.as_str());
        as_pybackup::record_failure(context, task, (server, &drafting), failed).await;
    }
    let report = match &result {
        Ok(made) => Ok(JobReport::done(
            format!("set {} is complete", made.backup.id),
            Some(id),
        )),
        Err(error) => Err(error.clone()),
    };
    context.end_attempt(attempt, &report, exit_status).await;
    result
}

/// As they name themselves; empty as long as that is not known.
#[derive(Default)]
struct Versions {
    tool: String,
    server: String,
}

async fn prepare(
    context: &RunContext,
    task: &BackupTask,
    server: &Server,
    versions: &mut Versions,
) -> Result<Preparation, JobError> {
    let tools = context.tools();
    let info = detect_mydumper(tools.supervisor, &context.settings.tools.mydumper).await?;
    versions.tool.clone_from(&info.banner);
    context.say(format!("dumper: {}", info.banner));
    if let Some(packing) = task.packing {
        context.say(format!(
            "mykeeper compresses the files ({packing}); compression = \"none\" leaves them as mydumper writes them"
        ));
    }
    let asked = as_pybackup::in_words_of(context, task, &info);
    let options = DumpOptions::read(&info, &asked)?;
    let connection = context.environment.connection(server)?;
    let mut probe = Probe::connect(&connection).await?;
    let version = probe.server_version().await?;
    versions.server.clone_from(&version);
    let present = probe.databases().await?;
    let mut databases = task.databases.select(present.iter().map(String::as_str));
    let tables = as_pybackup::choose_tables(task, &info, &mut probe, &mut databases).await?;
    let options = options.narrowed(tables.as_ref());
    let mut unmatched: Vec<String> = task
        .databases
        .unmatched(&present)
        .iter()
        .map(|pattern| format!("no database of server {} matches {pattern:?}", server.name))
        .collect();
    if databases.is_empty() {
        probe.close().await;
        let seen = if present.is_empty() {
            "none".to_owned()
        } else {
            present.join(", ")
        };
        let why = match unmatched.is_empty() {
            true => format!(
                "no database of server {} is left after the patterns of job {}",
                server.name, context.job.name
            ),
            false => format!("{}, and no other is left", unmatched.join("; ")),
        };
        let patterns = match &task.as_pybackup {
            Some(_) => "database=, or db_list in the conf",
            None => "`databases`",
        };
        return Err(JobError::fatal(format!(
            "{why}; the account sees {seen}: adapt {patterns}, or grant the account access"
        )));
    }
    for warning in &unmatched {
        context.say(format!("warning: {warning}"));
    }
    let how_many = counted(databases.len(), "database", "databases");
    context.say(format!("{how_many}: {}", databases.join(", ")));
    let room_need = before_dump(context, (task, server), &databases, &mut probe).await?;
    let names = match task.prove {
        Prove::Immediately => probe.lower_case_table_names().await?,
        Prove::InTurn => None,
    };
    let grants = probe.grants().await?;
    probe.close().await;
    if task.databases.is_open_ended() && !sees_every_database(&grants) {
        let warning = format!("{} (job {})", UNSEEN, context.job.name);
        context.say(format!("warning: {warning}"));
        unmatched.push(warning);
    }
    let need = options.privilege_need(&info, &databases, &present);
    let groups = group_missing(&missing_privileges(&grants, &need, &version));
    let (wanted, missing): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.optional);
    for group in wanted {
        context.say(format!("warning: the account lacks {}", group.what));
    }
    if !missing.is_empty() {
        let list: Vec<&str> = missing.iter().map(|group| group.what.as_str()).collect();
        let statements: Vec<&str> = missing
            .iter()
            .flat_map(|group| &group.grants)
            .map(String::as_str)
            .collect();
        return Err(JobError::fatal(format!(
            "the account {} lacks privileges on server {}, and a dump would fail, or silently leave things out: {}; run there: {}",
            server.user,
            server.name,
            list.join("; "),
            statements.join(" "),
        )));
    }
    Ok(Preparation {
        info,
        connection,
        databases,
        tables,
        options: asked,
        unmatched,
        room_need,
        names,
    })
}

async fn dump(
    context: &RunContext,
    task: &BackupTask,
    prepared: &Preparation,
    (set_dir, ahead): (&Path, Option<&Ahead>),
) -> Result<DumpResult, JobError> {
    let request = DumpRequest {
        info: &prepared.info,
        connection: &prepared.connection,
        databases: &prepared.databases,
        consistency: task.consistency,
        options: &prepared.options,
        tables: prepared.tables.as_ref(),
        set_dir,
        private_dir: context.private.path(),
        limits: context.limits(),
        lock: task.lock,
        checksum: task.checksum,
        packing: task.packing,
        chunk_bytes: task.chunk,
        keep_free_bytes: task.reserve.unwrap_or_default(),
        finished: ahead.map(Ahead::finished),
    };
    let mut dump = run_dump(&request, &context.tools()).await?;
    as_pybackup::lay_out(context, task, set_dir, &mut dump).await;
    Ok(dump)
}

/// Writes evidence and manifest beside the data, then the set's row. An incomplete set is recorded, then reported as an error.
async fn record_set(
    context: &RunContext,
    set_dir: &Path,
    mut backup: Backup,
    mut dump: DumpResult,
) -> Result<Backup, JobError> {
    let ended = dump.ended.take();
    let (mut manifest, mut evidence) = records_of(&backup, dump);
    // A run that is ended in the middle of this must not be settled before its record is there or never comes.
    let held = keep_folder(&context.environment, set_dir).await;
    match write_set_record(set_dir, &mut manifest, &evidence, held).await {
        Ok(digest) => backup.manifest_blake3 = Some(digest),
        Err(error) => {
            // A full disk, say: the row must tell, and a set without its record is not complete.
            let reason = format!("the set's own record cannot be written: {error}");
            backup.reason = Some(match backup.reason.take() {
                Some(before) if !backup.is_complete() => format!("{before}; {reason}"),
                _ => reason,
            });
            backup.complete = backup.complete.iter().map(|_| false).collect();
            backup.transfer_complete = BACKUP_FAILED.to_owned();
            backup.remote_dest = BACKUP_FAILED.to_owned();
            evidence.backup = backup.clone();
        }
    }
    context
        .environment
        .persist("record a set", &context.cancel, |catalog| {
            let (backup, manifest, evidence) = (backup.clone(), manifest.clone(), evidence.clone());
            async move { catalog.insert_backup(&backup, &manifest, &evidence).await }
        })
        .await?;
    if backup.is_complete() {
        context.say(format!(
            "set {} is complete: {}, {}",
            backup.id,
            counted(manifest.files.len(), "file", "files"),
            backup.size_text
        ));
        return Ok(backup);
    }
    let reason = backup.reason.unwrap_or_default();
    context.say(format!("set {} is not complete: {reason}", backup.id));
    Err(match ended {
        Some(
            error @ (ToolError::TimedOut { .. } | ToolError::Stalled { .. } | ToolError::Cancelled { .. }),
        ) => JobError::from(error),
        Some(error) => JobError {
            retry: error.is_passing(),
            ..JobError::fatal(reason)
        },
        None if tells_of_lasting(&reason) => JobError::fatal(reason),
        None => JobError::passing(reason),
    })
}
