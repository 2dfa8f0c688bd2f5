//! One dump from beginning to end.

use super::collect::{Collected, Collector, Room};
use super::detect::{INSTALL_HINT, MydumperInfo};
use super::lockup;
use super::option_file::OptionFile;
use super::options::DumpOptions;
use super::plan::{DumpPlan, PartPlan, PlanInput, plan_dump};
use super::said::Said;
use super::verdict::{Emptiness, PartFacts, PartFiles, TableName, Verdict};
use crate::connection::ServerConnection;
use crate::env::{ToolEnv, ended_from_here, run_error};
use crate::error::ToolError;
use crate::probe::{Found, LostColumn, MissingPrivilege, Probe, lost_columns, missing_privileges};
use mykeeper_domain::evidence::PartEvidence;
use mykeeper_domain::inventory::{Coverage, Inventory};
use mykeeper_domain::job::{Consistency, MydumperOption};
use mykeeper_domain::manifest::FileEntry;
use mykeeper_supervise::{Activity, ChildSpec, Exit, Limits};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const PROGRAM: &str = "mydumper";
/// How often a mydumper is started that locks itself up.
const LOCKUP_TRIES: u32 = 5;
/// `slave_status` of a server that replicates nothing.
const NOT_A_SLAVE: &str = "Not a slave";
/// Columns without their values that are named.
const MAX_LOST_COLUMNS: usize = 20;
/// Warnings handed on from the parts.
const MAX_WARNINGS: usize = 20;
/// Warnings of mydumper that are no more than news: such a row is written whole; what the account may not see of
/// positions is said before the dump.
const NEWS: [&str; 4] = [
    "Row bigger than statement_size",
    "Couldn't get master position",
    "Couldn't get slave position",
    "Could not check PROCESSLIST",
];

/// What a dump needs besides its request.
pub type DumpEnv<'a> = ToolEnv<'a>;

/// One dump.
#[derive(Clone, Debug)]
pub struct DumpRequest<'a> {
    /// The installed mydumper.
    pub info: &'a MydumperInfo,
    /// The server.
    pub connection: &'a ServerConnection,
    /// What is dumped: names, not patterns.
    pub databases: &'a [String],
    /// Over what one snapshot reaches, and how the folder is laid out.
    pub consistency: Consistency,
    /// The job's options.
    pub options: &'a [MydumperOption],
    /// `<dir>/<date>/<bk_id>`, there and empty.
    pub set_dir: &'a Path,
    /// For option files; only we may enter it.
    pub private_dir: &'a Path,
    /// Over the whole dump, all parts together.
    pub limits: Limits,
}

/// How far a dump got, and what it is worth.
#[derive(Debug)]
pub struct DumpResult {
    /// Every file of the set, sorted by path.
    pub files: Vec<FileEntry>,
    /// One for each mydumper.
    pub parts: Vec<PartEvidence>,
    /// One for each database with per-database, else one for all.
    pub complete: Vec<bool>,
    /// What the set must hold, rows counted from its files.
    pub inventory: Inventory,
    /// What kinds of object were asked for.
    pub coverage: Coverage,
    /// `file,position[,gtid]` of the (first) part; empty without a binary log.
    pub master_status: String,
    /// `file,position[,gtid]`, or `Not a slave`.
    pub slave_status: String,
    /// `SELECT VERSION()`.
    pub server_version: String,
    /// As run, one line for each part. No secret is ever in it.
    pub command: String,
    /// Why it was ended from here or could not go on: time, stall, cancellation, a full disk.
    pub ended: Option<ToolError>,
    /// Worth a look, and nothing against the set.
    pub warnings: Vec<String>,
}

/// What the server told before the dump.
struct Before {
    version: String,
    present: Vec<String>,
    can_encrypt: bool,
    found: Found,
    emptiness: BTreeMap<TableName, bool>,
    missing: Vec<MissingPrivilege>,
    lost_columns: Vec<LostColumn>,
    warnings: Vec<String>,
}

/// What one mydumper left.
#[derive(Default)]
struct PartRun {
    collected: Collected,
    said: Said,
    exit: String,
    success: bool,
    ended: Option<ToolError>,
    locked_up: bool,
    /// As it was run, the last time if more than once.
    args: Vec<String>,
}

/// What a verdict is formed from, and what comes of it.
struct Dumped {
    options: DumpOptions,
    before: Before,
    plan: DumpPlan,
    runs: Vec<PartRun>,
    stable: Inventory,
}

/// Dumps the databases and judges what came of it.
///
/// # Errors
/// Only where nothing was started: a mistake in the options, a server that cannot be reached, a database that is not
/// there, a folder that cannot be written, mydumper missing. All else is told in the result.
pub async fn run_dump(request: &DumpRequest<'_>, env: &DumpEnv<'_>) -> Result<DumpResult, ToolError> {
    let options = DumpOptions::read(request.info, request.options)?;
    let before = tokio::select! {
        biased;
        () = env.cancel.cancelled() => {
            return Err(ToolError::Cancelled {
                program: PROGRAM.to_owned(),
            });
        }
        before = ask_before(request, &options) => before?,
    };
    let plan = plan_dump(&PlanInput {
        info: request.info,
        connection: request.connection,
        databases: request.databases,
        present: &before.present,
        consistency: request.consistency,
        options: &options,
        can_encrypt: before.can_encrypt,
        transactional: is_transactional(&before.found.inventory),
    })?;
    let option_file = OptionFile::create(request.private_dir, &plan.option_file)?;
    let runs = run_parts(request, env, &plan, &option_file).await?;
    let command = command_text(request, (&plan, &runs), &option_file);
    drop(option_file);
    let dumped = Dumped {
        stable: before.found.inventory.clone(),
        options,
        before,
        plan,
        runs,
    };
    Ok(judge(request, env, dumped).await?.with_command(command))
}

async fn ask_before(request: &DumpRequest<'_>, options: &DumpOptions) -> Result<Before, ToolError> {
    let mut probe = Probe::connect(request.connection).await?;
    let version = probe.server_version().await?;
    let present = probe.databases().await?;
    let absent: Vec<&str> = request
        .databases
        .iter()
        .filter(|database| !present.contains(database))
        .map(String::as_str)
        .collect();
    if !absent.is_empty() {
        let message = format!(
            "server {} has no database {}",
            request.connection.name,
            absent.join(", ")
        );
        return Err(ToolError::Failed {
            message,
            passing: false,
        });
    }
    let mut warnings = Vec::new();
    let can_encrypt = probe.can_encrypt().await.unwrap_or(false);
    let missing = match probe.grants().await {
        Ok(grants) => missing_privileges(
            &grants,
            &options.privilege_need(request.info, request.databases),
            &version,
        ),
        Err(error) => {
            warnings.push(error.to_string());
            Vec::new()
        }
    };
    let mut found = probe.find(request.databases).await?;
    options.scope(&mut found.inventory);
    let lost_columns = if options.coverage.data {
        let columns = probe.marked_columns(request.databases).await?;
        lost_columns(&columns, request.info.version, options.has("complete-insert"))
    } else {
        Vec::new()
    };
    let emptiness = if options.coverage.data {
        probe.emptiness(&all_tables(&found.inventory)).await?
    } else {
        BTreeMap::new()
    };
    probe.close().await;
    warnings.extend(
        found
            .unknown_objects
            .iter()
            .map(|object| format!("mydumper does not dump {object}")),
    );
    Ok(Before {
        version,
        present,
        can_encrypt,
        found,
        emptiness,
        missing,
        lost_columns,
        warnings,
    })
}

fn all_tables(inventory: &Inventory) -> Vec<TableName> {
    inventory
        .databases
        .iter()
        .flat_map(|(database, content)| {
            content
                .tables
                .keys()
                .map(move |table| (database.clone(), table.clone()))
        })
        .collect()
}

fn is_transactional(inventory: &Inventory) -> bool {
    inventory
        .databases
        .values()
        .flat_map(|content| content.tables.values())
        .all(|table| {
            table.engine.as_deref().is_some_and(|engine| {
                ["InnoDB", "TokuDB", "ROCKSDB"]
                    .iter()
                    .any(|good| good.eq_ignore_ascii_case(engine))
            })
        })
}

/// One after another; when one was ended from here, those behind it are not started.
async fn run_parts(
    request: &DumpRequest<'_>,
    env: &DumpEnv<'_>,
    plan: &DumpPlan,
    option_file: &OptionFile,
) -> Result<Vec<PartRun>, ToolError> {
    let started_at = Instant::now();
    let mut runs: Vec<PartRun> = Vec::new();
    let mut bytes = 0;
    for part in &plan.parts {
        if env.cancel.is_cancelled() && !runs.is_empty() || runs.iter().any(|run| run.ended.is_some()) {
            runs.push(PartRun {
                exit: "not started".to_owned(),
                ..PartRun::default()
            });
            continue;
        }
        let limits = left(&request.limits, started_at.elapsed());
        match run_unlocked(request, env, (part, option_file), (limits, bytes)).await {
            Ok(run) => {
                bytes += run
                    .collected
                    .digests
                    .values()
                    .flatten()
                    .map(|file| file.stamp.size_bytes)
                    .sum::<u64>();
                runs.push(run);
            }
            Err(error) if runs.is_empty() => return Err(error),
            Err(error) => runs.push(PartRun {
                exit: "not started".to_owned(),
                said: Said {
                    last_plain: Some(error.to_string()),
                    ..Said::default()
                },
                ended: Some(error),
                ..PartRun::default()
            }),
        }
    }
    for run in &mut runs {
        // The limit is the whole dump's, whatever was left of it for this part.
        if let (Some(ToolError::TimedOut { after, .. }), Some(whole)) =
            (&mut run.ended, request.limits.timeout)
        {
            *after = whole;
        }
    }
    Ok(runs)
}

fn left(limits: &Limits, elapsed: Duration) -> Limits {
    Limits {
        timeout: limits
            .timeout
            .map(|timeout| timeout.saturating_sub(elapsed).max(Duration::from_millis(1))),
        ..limits.clone()
    }
}

/// Runs a part, and again when mydumper 0.10 has locked itself up, which is before it has written a row.
///
/// The last time with one thread, which has not been seen to lock up.
async fn run_unlocked(
    request: &DumpRequest<'_>,
    env: &DumpEnv<'_>,
    (part, option_file): (&PartPlan, &OptionFile),
    (limits, bytes): (Limits, u64),
) -> Result<PartRun, ToolError> {
    let began = Instant::now();
    let mut part = part.clone();
    for tries_left in (0..LOCKUP_TRIES).rev() {
        let limits = left(&limits, began.elapsed());
        let run = run_part(request, env, (&part, option_file), (limits, bytes)).await?;
        if !run.locked_up || tries_left == 0 || env.cancel.is_cancelled() {
            return Ok(run);
        }
        if tries_left == 1 {
            part.args.retain(|arg| !arg.starts_with("--threads"));
            part.args.push("--threads=1".to_owned());
        }
        env.log.line(
            "mykeeper",
            "mydumper has locked itself up before the first row, as version 0.10 does at times with several \
             databases and threads; it was ended, and what it had begun to write is removed; it is started again",
        );
        clear(&part_dir(request, &part))?;
    }
    Err(ToolError::Failed {
        message: "mydumper was not started".to_owned(),
        passing: true,
    })
}

/// Removes the files of a dump that has not begun; the folder stays. mydumper makes no folders, so one that is there is
/// not ours to remove.
fn clear(dir: &Path) -> Result<(), ToolError> {
    let io = |action| {
        move |source| ToolError::Io {
            action,
            path: dir.to_owned(),
            source,
        }
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io("read"))? {
        let entry = entry.map_err(io("read"))?;
        if entry.file_type().map_err(io("read"))?.is_dir() {
            return Err(ToolError::Failed {
                message: format!(
                    "mydumper cannot be started again: there is a folder {} that it did not make",
                    entry.path().display()
                ),
                passing: false,
            });
        }
        paths.push(entry.path());
    }
    for path in paths {
        std::fs::remove_file(&path).map_err(|source| ToolError::Io {
            action: "remove",
            path,
            source,
        })?;
    }
    Ok(())
}

async fn run_part(
    request: &DumpRequest<'_>,
    env: &DumpEnv<'_>,
    (part, option_file): (&PartPlan, &OptionFile),
    (limits, bytes): (Limits, u64),
) -> Result<PartRun, ToolError> {
    let dir = part_dir(request, part);
    if !part.dir.is_empty() && !dir.is_dir() {
        DirBuilder::new()
            .mode(0o750)
            .create(&dir)
            .map_err(|source| ToolError::Io {
                action: "create",
                path: dir.clone(),
                source,
            })?;
    }
    let activity = Activity::new();
    let collector = Collector::start(&dir, activity.clone(), env.log, bytes)?;
    let (stop, done) = (env.cancel.child_token(), CancellationToken::new());
    let (announce, identity) = tokio::sync::watch::channel(None);
    let spec = ChildSpec::new(&request.info.program)
        .announce_to(announce)
        .args(argv(part, option_file, &dir))
        // Names in what it says are not ASCII; in the C locale they come as question marks.
        .env("LC_ALL", "C.UTF-8")
        .current_dir(&dir)
        .limits(limits);
    let mut said = Said::default();
    let mut hear = |_, line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        env.log.line(PROGRAM, &line);
        said.hear(&line);
    };
    let mut locked_up = false;
    let run = async {
        let run = env.supervisor.run(spec, stop.clone(), activity, &mut hear);
        tokio::pin!(run);
        let finished = if lockup::is_possible(request.info.version) {
            tokio::select! {
                finished = &mut run => finished,
                () = lockup::locked_up(identity) => {
                    locked_up = true;
                    stop.cancel();
                    run.await
                }
            }
        } else {
            run.await
        };
        done.cancel();
        finished
    };
    let (finished, collected) = tokio::join!(run, collector.run(done.clone(), stop.clone()));
    let (exit, ended) = match finished {
        Ok(finished) => (
            Some(finished.exit.clone()),
            ended_from_here(PROGRAM, &finished.exit),
        ),
        Err(error) => {
            let error = run_error(&request.info.program, INSTALL_HINT, &error);
            if matches!(error, ToolError::NotInstalled { .. }) {
                return Err(error);
            }
            (None, Some(error))
        }
    };
    let room = collected
        .full
        .or_else(|| Room::of(&dir).filter(|room| said.no_space || room.is_exhausted()));
    let is_success = exit == Some(Exit::Success);
    let damaged = collected
        .digests
        .values()
        .any(|file| file.as_ref().map_or(true, |file| file.fault.is_some()));
    let ended = match ended {
        Some(ToolError::Cancelled { .. }) if locked_up && !env.cancel.is_cancelled() => {
            Some(ToolError::Failed {
                message:
                    "mydumper has locked itself up again and again; try fewer threads, or a later version"
                        .to_owned(),
                passing: true,
            })
        }
        ended => ended,
    };
    let ended = match room {
        Some(room) if collected.full.is_some() || !is_success || damaged => Some(no_space(&dir, room)),
        // The run may also be cancelled while the last files are read.
        _ if env.cancel.is_cancelled() && damaged => Some(ToolError::Cancelled {
            program: PROGRAM.to_owned(),
        }),
        _ => ended,
    };
    Ok(PartRun {
        exit: exit_text(exit.as_ref()),
        success: is_success,
        collected,
        said,
        ended,
        // It may have ended well at the very moment.
        locked_up: locked_up && !is_success,
        args: part.args.clone(),
    })
}

fn part_dir(request: &DumpRequest<'_>, part: &PartPlan) -> PathBuf {
    if part.dir.is_empty() {
        request.set_dir.to_owned()
    } else {
        request.set_dir.join(&part.dir)
    }
}

fn argv(part: &PartPlan, option_file: &OptionFile, dir: &Path) -> Vec<OsString> {
    let mut defaults = OsString::from("--defaults-file=");
    defaults.push(option_file.path());
    let mut output = OsString::from("--outputdir=");
    // It takes no argument that is not ASCII, so there it is told the folder that it runs in.
    output.push(if dir.to_str().is_some_and(str::is_ascii) {
        dir.as_os_str()
    } else {
        ".".as_ref()
    });
    [defaults, output]
        .into_iter()
        .chain(part.args.iter().map(OsString::from))
        .collect()
}

fn no_space(dir: &Path, room: Room) -> ToolError {
    let what = match room.free_files {
        Some(0) => "no file can be added".to_owned(),
        _ => format!("{} KiB free", room.free_bytes / 1024),
    };
    ToolError::Failed {
        message: format!(
            "no space left on the file system of {}: {what}; make room or choose another directory",
            dir.display()
        ),
        passing: false,
    }
}

fn exit_text(exit: Option<&Exit>) -> String {
    match exit {
        None => "unknown".to_owned(),
        Some(Exit::Success) => "exit 0".to_owned(),
        Some(Exit::Failed { code }) => format!("exit {code}"),
        Some(Exit::Signaled { signal }) => format!("signal {signal}"),
        Some(Exit::TimedOut { after }) => format!("timed out after {}s", after.as_secs()),
        Some(Exit::Stalled { after }) => format!("stalled for {}s", after.as_secs()),
        Some(Exit::Cancelled) => "cancelled".to_owned(),
    }
}

fn command_text(
    request: &DumpRequest<'_>,
    (plan, runs): (&DumpPlan, &[PartRun]),
    option_file: &OptionFile,
) -> String {
    let quoted = |text: &str| {
        let is_plain = |c: char| c.is_alphanumeric() || "-_=/.,:@%+".contains(c);
        if text.chars().all(is_plain) {
            text.to_owned()
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    };
    plan.parts
        .iter()
        .zip(runs)
        .map(|(part, run)| {
            let as_run = PartPlan {
                args: if run.args.is_empty() {
                    part.args.clone()
                } else {
                    run.args.clone()
                },
                ..part.clone()
            };
            let argv = argv(&as_run, option_file, &part_dir(request, part));
            std::iter::once(request.info.program.display().to_string())
                .chain(argv.iter().map(|arg| arg.to_string_lossy().into_owned()))
                .map(|arg| quoted(&arg))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The verdicts, and what they were formed from.
struct Judged {
    parts: Vec<(PartEvidence, Verdict)>,
    per_database: bool,
    warnings: Vec<String>,
}

impl Dumped {
    /// Each part's files, matched with what they are about.
    fn parts(&self) -> impl Iterator<Item = (&PartPlan, &PartRun, PartFiles<'_>)> {
        self.plan.parts.iter().zip(&self.runs).map(|(part, run)| {
            let files = PartFiles::new(PartFacts {
                databases: &part.databases,
                stable: &self.stable,
                options: &self.options,
                broken_views: &self.before.found.broken_views,
                digests: &run.collected.digests,
                gone: &run.collected.gone,
                said: &run.said,
                exit: &run.exit,
                success: run.success,
            });
            (part, run, files)
        })
    }

    /// Tables without rows in the set that were not known to be empty.
    fn unsure(&self) -> Vec<TableName> {
        self.parts()
            .flat_map(|(_, _, files)| files.without_data())
            .filter(|table| self.before.emptiness.get(table) != Some(&true))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect()
    }

    fn judge(&self, emptiness: &Emptiness) -> Vec<(PartEvidence, Verdict)> {
        self.parts()
            .map(|(part, run, files)| {
                let mut verdict = files.judge(emptiness);
                add_what_stands_outside(part, run, self, &mut verdict);
                let metadata = files.metadata();
                let evidence = PartEvidence {
                    dir: part.dir.clone(),
                    databases: part.databases.clone(),
                    complete: verdict.reasons.is_empty(),
                    reasons: verdict.reasons.clone(),
                    warnings: verdict.warnings.clone(),
                    exit_status: run.exit.clone(),
                    master_status: metadata.and_then(|metadata| metadata.master.clone()),
                    slave_status: metadata.and_then(|metadata| metadata.slave.clone()),
                };
                (evidence, verdict)
            })
            .collect()
    }
}

/// Asks the server again, and judges. Of a dump that was ended from here it is not asked: nothing can come of it, and
/// who ended it waits.
async fn judge(
    request: &DumpRequest<'_>,
    env: &DumpEnv<'_>,
    mut dumped: Dumped,
) -> Result<DumpResult, ToolError> {
    let mut warnings = Vec::new();
    let mut after = None;
    if dumped.runs.iter().all(|run| run.ended.is_none()) {
        let asked = tokio::select! {
            biased;
            () = env.cancel.cancelled() => Err(ToolError::Cancelled { program: PROGRAM.to_owned() }),
            asked = ask_after(request) => asked,
        };
        match asked {
            Ok((later, probe)) => {
                dumped.stable = dumped.stable.stable_part(&later);
                after = Some(probe);
            }
            Err(error) => warnings.push(format!(
                "the server could not be asked again after the dump: {error}"
            )),
        }
    }
    // A set may have 100,000 files.
    let (dumped, unsure) = off_thread(move || {
        let unsure = dumped.unsure();
        (dumped, unsure)
    })
    .await?;
    let mut emptiness = Emptiness {
        before: dumped.before.emptiness.clone(),
        ..Emptiness::default()
    };
    if let Some(mut probe) = after {
        emptiness.after = tokio::select! {
            biased;
            () = env.cancel.cancelled() => BTreeMap::new(),
            answers = probe.emptiness(&unsure) => answers.unwrap_or_default(),
        };
        probe.close().await;
    }
    let per_database = request.consistency == Consistency::PerDatabase;
    off_thread(move || {
        let judged = Judged {
            parts: dumped.judge(&emptiness),
            per_database,
            warnings,
        };
        result(dumped, judged)
    })
    .await
}

async fn ask_after(request: &DumpRequest<'_>) -> Result<(Inventory, Probe), ToolError> {
    let mut probe = Probe::connect(request.connection).await?;
    Ok((probe.inventory(request.databases).await?, probe))
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ToolError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ToolError::Failed {
            message: format!("cannot judge the dump: {error}"),
            passing: true,
        })
}

/// Columns of tables of this part whose values are not in it.
fn lost_values(part: &PartPlan, dumped: &Dumped) -> Vec<String> {
    let is_ours = |lost: &&LostColumn| {
        let content = dumped.stable.databases.get(&lost.database);
        part.databases.contains(&lost.database)
            && content.is_some_and(|content| content.tables.contains_key(&lost.table))
    };
    let lost: Vec<&LostColumn> = dumped.before.lost_columns.iter().filter(is_ours).collect();
    let mut reasons: Vec<String> = lost
        .iter()
        .take(MAX_LOST_COLUMNS)
        .map(|lost| lost.why.clone())
        .collect();
    if lost.len() > MAX_LOST_COLUMNS {
        reasons.push(format!("and {} more columns", lost.len() - MAX_LOST_COLUMNS));
    }
    reasons
}

/// What mydumper warned of in any part and is worth a look, once each.
fn worth_a_look(parts: &[PartEvidence]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut warnings: Vec<String> = parts
        .iter()
        .flat_map(|part| &part.warnings)
        .filter(|warning| {
            warning
                .strip_prefix("mydumper: ")
                .is_some_and(|text| !NEWS.iter().any(|news| text.contains(news)))
        })
        .filter(|warning| seen.insert(warning.as_str()))
        .cloned()
        .collect();
    if warnings.len() > MAX_WARNINGS {
        let more = warnings.len() - MAX_WARNINGS;
        warnings.truncate(MAX_WARNINGS);
        warnings.push(format!("and {more} more warnings of mydumper"));
    }
    warnings
}

/// What the files cannot tell: how the child was ended, and what the account was not shown.
fn add_what_stands_outside(part: &PartPlan, run: &PartRun, dumped: &Dumped, verdict: &mut Verdict) {
    if let Some(ended) = &run.ended {
        verdict.reasons.insert(0, ended.to_string());
    }
    if let Some(fault) = &run.collected.fault {
        verdict.reasons.push(fault.clone());
    }
    verdict.reasons.extend(lost_values(part, dumped));
    for missing in &dumped.before.missing {
        let of_another = missing.on.ends_with(".*")
            && missing.on != "*.*"
            && !part.databases.iter().any(|database| {
                missing.on.replace("\\_", "_").replace("\\%", "%")
                    == format!("`{}`.*", database.replace('`', "``"))
            });
        if of_another {
            continue;
        }
        let text = format!(
            "the account lacks {} on {}, needed to {}: {}",
            missing.privilege, missing.on, missing.why, missing.grant_statement
        );
        let list = if missing.optional {
            &mut verdict.warnings
        } else {
            &mut verdict.reasons
        };
        list.push(text);
    }
}

fn result(dumped: Dumped, judged: Judged) -> DumpResult {
    let Dumped {
        options,
        before,
        plan,
        runs,
        stable: mut inventory,
    } = dumped;
    let mut files = Vec::new();
    for ((part, (_, verdict)), run) in plan.parts.iter().zip(&judged.parts).zip(&runs) {
        let dir = &part.dir;
        for (name, digest) in &run.collected.digests {
            let Ok(digest) = digest else { continue };
            files.push(FileEntry {
                path: if dir.is_empty() {
                    name.clone()
                } else {
                    format!("{dir}/{name}")
                },
                size_bytes: digest.stamp.size_bytes,
                blake3: digest.blake3.clone(),
                plain_bytes: digest.plain_bytes,
                rows: verdict.file_rows.get(name).copied(),
            });
        }
        for ((database, table), rows) in &verdict.rows {
            if let Some(facts) = inventory
                .databases
                .get_mut(database)
                .and_then(|content| content.tables.get_mut(table))
            {
                facts.rows = Some(*rows);
            }
        }
        for (database, table) in &verdict.left_out {
            if let Some(content) = inventory.databases.get_mut(database) {
                content.tables.remove(table);
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let parts: Vec<PartEvidence> = judged.parts.into_iter().map(|(part, _)| part).collect();
    let first = |status: fn(&PartEvidence) -> Option<&String>| parts.iter().find_map(status).cloned();
    let complete = if judged.per_database {
        parts.iter().map(|part| part.complete).collect()
    } else {
        vec![parts.iter().all(|part| part.complete)]
    };
    DumpResult {
        files,
        complete,
        inventory,
        coverage: options.coverage,
        master_status: first(|part| part.master_status.as_ref()).unwrap_or_default(),
        slave_status: first(|part| part.slave_status.as_ref()).unwrap_or_else(|| NOT_A_SLAVE.to_owned()),
        server_version: before.version,
        command: String::new(),
        ended: runs.into_iter().find_map(|run| run.ended),
        warnings: before
            .warnings
            .into_iter()
            .chain(judged.warnings)
            .chain(worth_a_look(&parts))
            .collect(),
        parts,
    }
}

impl DumpResult {
    fn with_command(mut self, command: String) -> Self {
        self.command = command;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_mydumper_did_not_make_is_not_cleared() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("metadata.partial"), "").unwrap();
        std::fs::create_dir(dir.path().join("lost+found")).unwrap();
        let error = clear(dir.path()).unwrap_err().to_string();
        assert!(error.contains("lost+found that it did not make"), "{error}");
        assert!(dir.path().join("metadata.partial").exists());
        std::fs::remove_dir(dir.path().join("lost+found")).unwrap();
        clear(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_mydumper_warns_of_is_handed_on_once_and_without_the_news() {
        let part = |warnings: &[&str]| PartEvidence {
            dir: String::new(),
            databases: Vec::new(),
            complete: true,
            reasons: Vec::new(),
            warnings: warnings.iter().map(|text| (*text).to_owned()).collect(),
            exit_status: String::new(),
            master_status: None,
            slave_status: None,
        };
        let lock = "mydumper: Couldn't acquire global lock, snapshots will not be consistent: x";
        let parts = [
            part(&[lock, "mydumper: Row bigger than statement_size for shop.t"]),
            part(&[
                lock,
                "the account lacks PROCESS on *.*, needed to notice long queries",
            ]),
        ];
        assert_eq!(worth_a_look(&parts), [lock]);
        let many: Vec<String> = (0..30).map(|n| format!("mydumper: {n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(worth_a_look(&[part(&many)]).len(), MAX_WARNINGS + 1);
    }
}
