//! One dump from beginning to end.

use super::checksums::{self, Asked, Bracket, Source};
use super::detect::MydumperInfo;
use super::judge::{After, Dumped, ask_after, judge};
use super::locked_tables::{emptiness_before, explained};
use super::mysql;
use super::option_file::OptionFile;
use super::options::DumpOptions;
use super::part::{PartRun, command_text, run_parts};
use super::plan::{DumpPlan, PlanInput, plan_dump};
use super::scope::TableScope;
use super::verdict::TableName;
use crate::connection::ServerConnection;
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::pipeline::Finished;
use crate::probe::{
    Found, LostColumn, MissingPrivilege, Probe, Traits, lost_columns, missing_privileges, sees_every_database,
};
use crate::restore::is_system_database;
use crate::room::KeptBack;
use mykeeper_domain::checksum::ChecksumLimit;
use mykeeper_domain::counted;
use mykeeper_domain::definer::Definer;
use mykeeper_domain::evidence::{BinaryLog, PartEvidence};
use mykeeper_domain::inventory::{Coverage, Inventory};
use mykeeper_domain::job::{Consistency, LockPolicy, MydumperOption};
use mykeeper_domain::manifest::FileEntry;
use mykeeper_domain::packing::Packing;
use mykeeper_supervise::Limits;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(super) const PROGRAM: &str = "mydumper";

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
    /// Only these tables of the databases.
    pub tables: Option<&'a TableScope>,
    /// `<dir>/<date>/<bk_id>`, there and empty.
    pub set_dir: &'a Path,
    /// For option files; only we may enter it.
    pub private_dir: &'a Path,
    /// Over the whole dump, all parts together.
    pub limits: Limits,
    /// How it goes about its lock.
    pub lock: LockPolicy,
    /// Of which tables the server is asked for a checksum.
    pub checksum: ChecksumLimit,
    /// How the files are compressed as they finish; `None`: they stay as mydumper writes them.
    pub packing: Option<Packing>,
    /// About how many bytes of a table's rows go into one file; `None`: what the options say.
    pub chunk_bytes: Option<u64>,
    /// Bytes of the set's file system that the plain files which wait to be compressed leave free, as far as that can
    /// be had: mydumper is held up.
    pub keep_free_bytes: u64,
    /// Told of each file that is as it will stay, while others are still written.
    pub finished: Option<&'a Arc<Finished>>,
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
    /// What the server says of its binary log.
    pub binary_log: Option<BinaryLog>,
    /// As run, one line for each part. No secret is ever in it.
    pub command: String,
    /// Why it was ended from here or could not go on: time, stall, cancellation, a full disk.
    pub ended: Option<ToolError>,
    /// Worth a look, and nothing against the set.
    pub warnings: Vec<String>,
}

/// What the server told before the dump.
pub(super) struct Before {
    pub(super) version: String,
    pub(super) version_comment: String,
    /// Positions are not known: the set says `N/A`.
    pub(super) without_position: bool,
    pub(super) binary_log: Option<BinaryLog>,
    pub(super) present: Vec<String>,
    pub(super) can_encrypt: bool,
    pub(super) found: Found,
    /// Of the tables as they are defined before the dump.
    pub(super) traits: Traits,
    pub(super) emptiness: BTreeMap<TableName, bool>,
    pub(super) missing: Vec<MissingPrivilege>,
    pub(super) lost_columns: Vec<LostColumn>,
    /// Options by which mydumper is asked for checksums of its own.
    pub(super) dumper_checksums: Vec<&'static str>,
    /// The server's checksums before the dump, where mydumper does not ask for them.
    pub(super) bracket: Option<Bracket>,
    pub(super) warnings: Vec<String>,
}

/// Dumps the databases and judges what came of it.
///
/// # Errors
/// Only where nothing was started: a mistake in the options, a server that cannot be reached, a database that is not
/// there, a folder that cannot be written, mydumper missing. All else is told in the result.
pub async fn run_dump(request: &DumpRequest<'_>, env: &DumpEnv<'_>) -> Result<DumpResult, ToolError> {
    let options = DumpOptions::read(request.info, request.options)?
        .narrowed(request.tables)
        .chunked(request.info, request.chunk_bytes);
    let mut before = tokio::select! {
        biased;
        () = env.cancel.cancelled() => {
            return Err(ToolError::Cancelled {
                program: PROGRAM.to_owned(),
            });
        }
        before = Box::pin(ask_before(request, env, &options)) => before?,
    };
    Box::pin(take_checksums((request, env), &options, &mut before)).await?;
    let mut plan = plan_dump(&PlanInput {
        info: request.info,
        connection: request.connection,
        databases: request.databases,
        present: &before.present,
        consistency: request.consistency,
        options: &options,
        can_encrypt: before.can_encrypt,
        transactional: is_transactional(&before.found.inventory),
        checksums: &before.dumper_checksums,
    })?;
    mysql::tell(
        &mut plan,
        (request.info, &options),
        (&before.version, &before.version_comment),
    );
    let option_file = OptionFile::create(request.private_dir, &plan.option_file)?;
    let tables = all_tables(&before.found.inventory).len();
    let kept_back = KeptBack::taken(request.set_dir, tables, &env.cancel).await;
    let bracket = before.bracket.take();
    let (runs, after) = dump_and_ask(request, env, (&options, bracket), (&plan, &option_file)).await;
    // What follows is the record of what came of it.
    kept_back.give_back().await;
    let runs = runs?;
    let command = command_text(request, (&plan, &runs), &option_file);
    drop(option_file);
    let dumped = Dumped {
        stable: before.found.inventory.clone(),
        options,
        before,
        plan,
        runs,
    };
    Ok(Box::pin(judge(request, env, (dumped, after)))
        .await?
        .with_command(command))
}

/// Asks the server again as soon as the last mydumper has ended: what is on it changes while the last files are read
/// and compressed.
async fn dump_and_ask(
    request: &DumpRequest<'_>,
    env: &DumpEnv<'_>,
    (options, bracket): (&DumpOptions, Option<Bracket>),
    plan: (&DumpPlan, &OptionFile),
) -> (Result<Vec<PartRun>, ToolError>, Option<Result<After, ToolError>>) {
    let over = CancellationToken::new();
    let mut running = Box::pin(run_parts(request, env, options, (plan, &over)));
    tokio::select! {
        biased;
        runs = &mut running => (runs, None),
        () = over.cancelled() => {
            let asking = Box::pin(ask_after(request, env, (options, bracket)));
            let (runs, asked) = tokio::join!(running, asking);
            (runs, Some(asked))
        }
    }
}

async fn ask_before(
    request: &DumpRequest<'_>,
    env: &DumpEnv<'_>,
    options: &DumpOptions,
) -> Result<Before, ToolError> {
    let mut probe = Probe::connect(request.connection).await?;
    match ask(&mut probe, (request, env), options).await {
        Ok(before) => {
            probe.close().await;
            Ok(before)
        }
        Err(error) if probe.took_too_long() => Err(explained(request, error).await),
        Err(error) => Err(error),
    }
}

/// The server's checksums are evidence beside that which a dump needs: without them there is a warning.
///
/// # Errors
/// The run was ended. It is not given up from without: the server would go on with the question.
async fn take_checksums(
    (request, env): (&DumpRequest<'_>, &DumpEnv<'_>),
    options: &DumpOptions,
    before: &mut Before,
) -> Result<(), ToolError> {
    let asked = Asked {
        inventory: &before.found.inventory,
        traits: &before.traits,
        options,
        limit: request.checksum,
    };
    before.dumper_checksums = checksums::dumper_options(request.info, asked);
    if before.dumper_checksums.contains(&checksums::DATA) {
        return Ok(());
    }
    let source = Source {
        connection: request.connection,
        cancel: &env.cancel,
    };
    match checksums::take_before(source, asked).await {
        Ok(bracket) => before.bracket = bracket,
        Err(error @ ToolError::Cancelled { .. }) => return Err(error),
        Err(error) => before.warnings.push(checksums::untaken(&error)),
    }
    Ok(())
}

/// The databases that are not dumped, but for the server's own.
fn beside(present: &[String], dumped: &[String]) -> Vec<String> {
    let others = present
        .iter()
        .filter(|name| !is_system_database(name) && !dumped.contains(name));
    others.cloned().collect()
}

async fn ask(
    probe: &mut Probe,
    (request, env): (&DumpRequest<'_>, &DumpEnv<'_>),
    options: &DumpOptions,
) -> Result<Before, ToolError> {
    let version = probe.server_version().await?;
    let mut binary_log = probe.binary_log().await.ok();
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
    mysql::refuse_names(&version, request.databases)?;
    let version_comment = probe.version_comment().await.unwrap_or_default();
    let mut warnings = Vec::new();
    warnings.extend(mysql::without_position(request.info, &version));
    let without_position = !warnings.is_empty();
    let can_encrypt = probe.can_encrypt().await.unwrap_or(false);
    let missing = match probe.grants().await {
        Ok(grants) => {
            if let Some(log) = &mut binary_log
                && sees_every_database(&grants)
                && options.is_whole()
            {
                log.beside = Some(beside(&present, request.databases));
            }
            missing_privileges(
                &grants,
                &options.privilege_need(request.info, request.databases, &present),
                &version,
            )
        }
        Err(error) => {
            warnings.push(error.to_string());
            Vec::new()
        }
    };
    let mut found = probe.find(request.databases).await?;
    options.scope(&mut found.inventory);
    mysql::refuse_routines(request.info, options, (&version, &found.inventory))?;
    let mut traits = Traits::new();
    if !options.changes_definitions() {
        traits = define(probe, &mut found.inventory, &mut warnings).await?;
        probe.definers(&mut found.inventory).await?;
        warnings.extend(dangling(&found.inventory));
    }
    let lost_columns = if options.coverage.data {
        let columns = probe.marked_columns(request.databases).await?;
        lost_columns(&columns, request.info.version, options.has("complete-insert"))
    } else {
        Vec::new()
    };
    let emptiness = if options.coverage.data {
        emptiness_before(probe, (request, env), &all_tables(&found.inventory)).await?
    } else {
        BTreeMap::new()
    };
    warnings.extend(
        found
            .unknown_objects
            .iter()
            .map(|object| format!("mydumper does not dump {object}")),
    );
    Ok(Before {
        version,
        version_comment,
        without_position,
        binary_log,
        present,
        can_encrypt,
        found,
        traits,
        emptiness,
        missing,
        lost_columns,
        dumper_checksums: Vec::new(),
        bracket: None,
        warnings,
    })
}

/// How objects are defined is evidence beside that which a dump needs: without it there is a warning.
///
/// # Errors
/// The connection is lost, and there is no other.
pub(super) async fn define(
    probe: &mut Probe,
    inventory: &mut Inventory,
    warnings: &mut Vec<String>,
) -> Result<Traits, ToolError> {
    let error = match probe.define(inventory).await {
        Ok(traits) => return Ok(traits),
        Err(error) => error,
    };
    for database in inventory.databases.values_mut() {
        database.definitions.clear();
    }
    warnings.push(format!(
        "how the objects are defined is not known, so a proof compares names and rows alone: {error}"
    ));
    if probe.is_gone() {
        Err(error)
    } else {
        Ok(Traits::new())
    }
}

/// Definers that the server itself does not have, with the first of what they define.
fn dangling(inventory: &Inventory) -> Vec<String> {
    let absent = inventory
        .definers
        .iter()
        .filter(|(_, account)| **account == Definer::Absent);
    absent
        .map(|(absent, _)| {
            let mut objects = inventory.databases.iter().flat_map(|(database, content)| {
                let theirs = content.definers().filter(|(_, definer)| *definer == absent);
                theirs.map(move |(object, _)| format!("{object} of {database}"))
            });
            let first = objects.next().unwrap_or_default();
            let more = match objects.count() {
                0 => String::new(),
                more => format!(" and {}", counted(more, "more object", "more objects")),
            };
            format!(
                "the definer {absent} of {first}{more} does not exist on the server: what it defines fails when it is \
                 used; create the account, or define it anew"
            )
        })
        .collect()
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

impl DumpResult {
    fn with_command(mut self, command: String) -> Self {
        self.command = command;
        self
    }
}
