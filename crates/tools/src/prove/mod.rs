//! Proves that a set can be restored: loads it into a throwaway server and compares what came back.
//!
//! Four things are checked in turn, each of which finds what the others cannot: every file against its manifest,
//! what the files hold against the set's evidence, the loading itself, and what the server then holds against the
//! evidence once more. Tables and rows are loaded by
//! myloader; whatever it complains of, or leaves different, is loaded once more by us before the set is blamed
//! for it. What is defined upon the tables is always loaded by us, when the tables of every database are there.

pub(crate) mod asserts;
pub(crate) mod compare;
pub(crate) mod define;
mod definers;
mod early;
mod elsewhere;
mod engines;
pub(crate) mod expect;
pub(crate) mod fault;
pub(crate) mod feed;
pub(crate) mod files;
mod keys;
pub(crate) mod layout;
pub(crate) mod load;
pub(crate) mod sequences;
mod shares;
pub(crate) mod statements;
mod trial;
pub(crate) mod values;
mod verify;
mod wire;
pub(crate) mod written;

use crate::blocking::{READ_WITHIN, off_thread};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::myloader::detect_myloader;
use crate::pairing::{Taker, advice, is_other_product, wrong_pairing};
use crate::room::room_of_server;
use crate::sandbox::{Likeness, NOT_STARTED, ThrowawayServer};
pub use asserts::check_asserts;
use chrono::{DateTime, Utc};
use compare::difference;
use expect::created_database;
use files::{Checked, check_files, digest_record, judge_manifest};
use layout::{Known, Layout, SetFile, sort_files};
use mykeeper_domain::backup::Backup;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::ids::{BackupId, NodeName, RunId};
use mykeeper_domain::job::Assertion;
use mykeeper_domain::manifest::FileEntry;
use mykeeper_domain::proof::{DatabaseProof, Difference, Proof};
use mykeeper_domain::sandbox::Sandbox;
use mykeeper_domain::space::{filled_bytes, load_need};
use mykeeper_supervise::Limits;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use trial::restore_and_compare;
pub use verify::{PlainFiles, VerifiedCopy, read_plain, verify_copy};

/// A server with less room than this may have failed for want of it: InnoDB makes files grow by as much at once.
const LEAST_ROOM: u64 = 8 << 20;

/// A set to be proven.
#[derive(Clone, Copy, Debug)]
pub struct ProveRequest<'a> {
    /// The set.
    pub bk_id: BackupId,
    /// The run, for the record.
    pub run_id: Option<RunId>,
    /// This machine, for the record.
    pub node: &'a NodeName,
    /// Where the set's files lie.
    pub set_dir: &'a Path,
    /// `None`: a set of pybackup's; its files are compared with themselves.
    pub evidence: Option<&'a Evidence>,
    /// The manifest; empty: a set of pybackup's.
    pub files: &'a [FileEntry],
    /// Of a set without a manifest: what its other copies have, each with its place. A copy that lacks of it differs.
    pub beside: &'a [(PathBuf, PlainFiles)],
    /// Of a set without a manifest: what it took on its disk when it was made, as its row has it from `du -sh` (`480M`).
    pub recorded_size: Option<&'a str>,
    /// BLAKE3 of the manifest, as the catalog has it; `None`: it is not known, and not compared.
    pub manifest_blake3: Option<&'a str>,
    /// The set's databases.
    pub databases: &'a [String],
    /// The throwaway server.
    pub sandbox: &'a Sandbox,
    /// The loader.
    pub myloader: &'a Path,
    /// Tried after the restore.
    pub asserts: &'a [Assertion],
    /// `timeout` is that of the whole proof; `stall` is for each tool.
    pub limits: &'a Limits,
}

/// Restores a set and compares it.
///
/// A damaged file fails the proof before anything is started. The throwaway server is gone afterwards, also when
/// the future is dropped.
///
/// # Errors
/// The set could not be tried: no throwaway server, no loader, the server ended in the middle, cancelled, timed out.
pub async fn prove_set(request: ProveRequest<'_>, env: &ToolEnv<'_>) -> Result<Proof, ToolError> {
    prove_within(&request, (Early::Counts, &mut None), env).await
}

/// As [`prove_set`], in a throwaway server that lies ready, if it is as the proof needs it. It is taken once nothing but
/// the restore is left to do.
///
/// # Errors
/// As [`prove_set`].
pub async fn prove_set_in(
    ready: &mut Option<ThrowawayServer>,
    request: ProveRequest<'_>,
    env: &ToolEnv<'_>,
) -> Result<Proof, ToolError> {
    prove_within(&request, (Early::Counts, ready), env).await
}

/// As [`prove_set`], without a look at what the files hold before they are loaded: it spares a set that is known to
/// be damaged its restore, and shows nothing that the restore must not show as well. For the tests that hold it to
/// that.
///
/// # Errors
/// As [`prove_set`].
pub async fn prove_by_restore(request: ProveRequest<'_>, env: &ToolEnv<'_>) -> Result<Proof, ToolError> {
    prove_within(&request, (Early::Waits, &mut None), env).await
}

/// What becomes of a set whose files show by themselves that they do not hold what they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Early {
    /// It has failed.
    Counts,
    /// It is restored first.
    Waits,
}

async fn prove_within(
    request: &ProveRequest<'_>,
    (early, ready): (Early, &mut Option<ThrowawayServer>),
    env: &ToolEnv<'_>,
) -> Result<Proof, ToolError> {
    let proving = Box::pin(prove(request, (early, ready), env));
    let Some(timeout) = request.limits.timeout else {
        return proving.await;
    };
    tokio::time::timeout(timeout, proving).await.unwrap_or_else(|_| {
        Err(ToolError::TimedOut {
            program: "the proof".to_owned(),
            after: timeout,
        })
    })
}

async fn prove(
    request: &ProveRequest<'_>,
    (early, ready): (Early, &mut Option<ThrowawayServer>),
    env: &ToolEnv<'_>,
) -> Result<Proof, ToolError> {
    let started_at = env.clock.now();
    let mut proof = Proof {
        bk_id: request.bk_id,
        run_id: request.run_id,
        node: request.node.clone(),
        path: request.set_dir.display().to_string(),
        sandbox_version: NOT_STARTED.to_owned(),
        loader_version: NOT_STARTED.to_owned(),
        dumper_version: made_by(request, |backup| &backup.tool_version),
        source_version: made_by(request, |backup| &backup.server_version),
        databases: Vec::new(),
        asserts: Vec::new(),
        warnings: Vec::new(),
        copy_differs: false,
        bytes_checked: 0,
        bytes_loaded: 0,
        load_ms: None,
        manifest_blake3: None,
        evidence_blake3: None,
        started_at,
        finished_at: started_at,
        set: None,
        link: None,
    };
    (proof.manifest_blake3, proof.evidence_blake3) = digest_record(request.set_dir, &env.cancel).await?;
    let mut checked = check_files(request, env).await?;
    proof.bytes_checked = checked.bytes;
    checked.differences.extend(judge_manifest(
        request.manifest_blake3,
        proof.manifest_blake3.as_deref(),
    ));
    // What its rows are is the same wherever the files are those that were written; these are not.
    proof.copy_differs = !checked.differences.is_empty();
    let mut layout = lay_out(request, &mut checked, env).await?;
    if let (Early::Counts, true, Some(evidence)) = (early, checked.differences.is_empty(), request.evidence) {
        let known = early::Known::of(evidence);
        let comparing = off_thread(("read", request.set_dir), READ_WITHIN, &env.cancel, move || {
            checked.differences = early::differences(&known, &layout, &checked);
            Ok((layout, checked))
        });
        (layout, checked) = comparing.await?;
    }
    proof.warnings.extend(unloaded(request, &layout));
    if !checked.differences.is_empty() {
        proof.databases = failed_files(checked.differences, &proof, env.clock.now());
        proof.finished_at = env.clock.now();
        return Ok(proof);
    }
    check_room(request, &checked).await?;
    let myloader = detect_myloader(env.supervisor, request.myloader).await?;
    let likeness = request
        .evidence
        .map_or_else(Likeness::default, |evidence| Likeness::to(&evidence.inventory));
    let server = server_like(&likeness, ready.take(), (request.sandbox, env)).await?;
    proof.sandbox_version = server.version().to_owned();
    proof.loader_version.clone_from(&myloader.banner);
    if let Some(refusal) = refuse_pairing(request, server.version()) {
        server.stop().await;
        return Err(refusal);
    }
    let trying = async {
        asserts::check_syntax(&server, request.asserts).await?;
        Box::pin(restore_and_compare(
            (request, env),
            &server,
            (&myloader, &layout),
            &mut proof,
        ))
        .await?;
        if proof.passed() {
            return Ok(());
        }
        sandbox_stands(request, &server).await?;
        doubt_another_product(request, (&proof, server.version()))
    };
    let outcome = tokio::select! {
        outcome = trying => outcome,
        said = server.ended() => Err(ToolError::Failed {
            message: format!("cannot go on with the proof: the throwaway server ended: {said}"),
            passing: true,
        }),
        () = env.cancel.cancelled() => Err(ToolError::Cancelled { program: "the proof".to_owned() }),
    };
    // A server that is ended, and then says so, has both ready.
    let outcome = if env.cancel.is_cancelled() {
        Err(ToolError::Cancelled {
            program: "the proof".to_owned(),
        })
    } else {
        outcome
    };
    if outcome.is_err() {
        server.tell(env);
    }
    server.stop().await;
    outcome?;
    proof.finished_at = env.clock.now();
    Ok(proof)
}

/// The one that lies ready, where it is as one that is started now.
async fn server_like(
    likeness: &Likeness,
    ready: Option<ThrowawayServer>,
    (sandbox, env): (&Sandbox, &ToolEnv<'_>),
) -> Result<ThrowawayServer, ToolError> {
    if let Some(server) = ready
        && let Some(server) = server.fitted(likeness, sandbox).await
    {
        env.log
            .line("mykeeper", "the throwaway server that lies ready is taken");
        return Ok(server);
    }
    ThrowawayServer::start_like(likeness, sandbox, env).await
}

/// Whether what a set failed with may be its own: not where the server has ended by now, or has no room left.
async fn sandbox_stands(request: &ProveRequest<'_>, server: &ThrowawayServer) -> Result<(), ToolError> {
    drop(server.connect().await?);
    let directory = &request.sandbox.directory;
    let room = room_of_server(directory).await?;
    if room.free_bytes >= LEAST_ROOM && room.free_files != Some(0) {
        return Ok(());
    }
    Err(ToolError::Failed {
        message: format!(
            "cannot prove set {}: the throwaway server has no room left in {}, and what it found missing need not be; \
             make room there, or choose another directory in [sandbox]",
            request.bk_id,
            directory.display()
        ),
        passing: false,
    })
}

/// Refuses a server that cannot take what the set's source wrote: the set is not to blame for it.
fn refuse_pairing(request: &ProveRequest<'_>, version: &str) -> Option<ToolError> {
    let evidence = request.evidence?;
    let source = &evidence.backup.server_version;
    let why = wrong_pairing(source, Taker::Throwaway(version), &evidence.inventory)?;
    Some(ToolError::Failed {
        message: format!("cannot prove set {}: {why}", request.bk_id),
        passing: false,
    })
}

/// What a server of another product does not take, or gives back otherwise, is not held against the set: each knows what
/// the other does not. What the files alone show has been told by then.
fn doubt_another_product(
    request: &ProveRequest<'_>,
    (proof, version): (&Proof, &str),
) -> Result<(), ToolError> {
    let source = request.evidence.map(|evidence| &evidence.backup.server_version);
    let Some(source) = source.filter(|source| is_other_product(source, version)) else {
        return Ok(());
    };
    let mut differences = proof.databases.iter().flat_map(|database| &database.differences);
    // An assertion that does not hold of rows that came back whole stands.
    let Some(first) = differences.next() else {
        return Ok(());
    };
    Err(ToolError::Failed {
        message: format!(
            "cannot prove set {}: {source} wrote it, and the throwaway server, {version}, is of another product, which need \
             not take it: {first}; {}",
            request.bk_id,
            advice(source)
        ),
        passing: false,
    })
}

/// Refuses a set for which there is no room in the folder of throwaway servers.
async fn check_room(request: &ProveRequest<'_>, checked: &Checked) -> Result<(), ToolError> {
    let directory = &request.sandbox.directory;
    let volume = request
        .evidence
        .and_then(|evidence| evidence.inventory.volume(evidence.inventory.databases.keys()));
    let plain_bytes = checked.files.iter().map(|file| file.plain_bytes).sum();
    let rows = checked.files.iter().filter_map(|file| file.rows).sum();
    let need = load_need(filled_bytes(plain_bytes, rows), volume.as_ref(), true);
    // That it is not there is said when the server's folder is made.
    let Ok(room) = room_of_server(directory).await else {
        return Ok(());
    };
    match need.shortage(&room, 0, directory) {
        None => Ok(()),
        Some(shortage) => Err(ToolError::Failed {
            message: format!(
                "cannot prove set {}: there is no room for a throwaway server: it {shortage}; make room there, or choose \
                 another directory in [sandbox]",
                request.bk_id
            ),
            passing: false,
        }),
    }
}

/// What the evidence has of the row of its set.
fn made_by(request: &ProveRequest<'_>, of: impl Fn(&Backup) -> &String) -> Option<String> {
    request.evidence.map(|evidence| of(&evidence.backup).clone())
}

/// The files that are left out of the restore, for people.
fn unloaded(request: &ProveRequest<'_>, layout: &Layout) -> Vec<String> {
    let strangers = layout.strangers.iter().filter(|_| request.evidence.is_some());
    strangers.map(|path| not_loaded(path)).collect()
}

fn not_loaded(path: &str) -> String {
    format!("{path} holds nothing that the set should, and is not loaded")
}

/// Sorts the files. What belongs to no database is held against a set that has only its files to speak for it; where
/// there is evidence, it is left out.
///
/// # Errors
/// The set's folder does not answer, or the run was ended.
pub(crate) async fn lay_out(
    request: &ProveRequest<'_>,
    checked: &mut Checked,
    env: &ToolEnv<'_>,
) -> Result<Layout, ToolError> {
    let mut known = Known {
        databases: request.databases.iter().cloned().collect(),
        inventory: request.evidence.map(|evidence| &evidence.inventory),
        ..Known::default()
    };
    if let Some(evidence) = request.evidence {
        known
            .databases
            .extend(evidence.inventory.databases.keys().cloned());
        for part in &evidence.parts {
            known.folders.insert(part.dir.clone(), part.databases.clone());
        }
    }
    let files = foreign_creates(&checked.files, &known);
    let creates = off_thread(("read", request.set_dir), READ_WITHIN, &env.cancel, move || {
        Ok(files
            .into_iter()
            .filter_map(|(prefix, file)| Some((prefix, created_database(&file)?, file)))
            .collect())
    });
    learn_names(creates.await?, &mut known);
    let layout = sort_files(&checked.files, &known);
    for path in &layout.strangers {
        if request.evidence.is_some() {
            env.log.line("mykeeper", &not_loaded(path));
        } else {
            checked.differences.push(difference(
                "",
                &format!("file {path}"),
                "of a database of the set",
                "of none",
            ));
        }
    }
    if request.evidence.is_none() {
        for database in request.databases {
            let files = layout.databases.get(database);
            if files.is_none_or(|files| *files == layout::DatabaseFiles::default()) {
                checked
                    .differences
                    .push(difference(database, "files", "present", "missing"));
            }
        }
    }
    Ok(layout)
}

/// `CREATE DATABASE` files whose names tell no database that is known, with what stands before it in their names.
pub(crate) fn foreign_creates(files: &[SetFile], known: &Known<'_>) -> Vec<(String, SetFile)> {
    files
        .iter()
        .filter_map(|file| {
            let name = crate::digest::Compression::strip(file.name());
            let prefix = name.strip_suffix("-schema-create.sql")?;
            (!known.databases.contains(prefix)).then(|| (prefix.to_owned(), file.clone()))
        })
        .collect()
}

/// Names of databases from what their `CREATE DATABASE` files say, each with what stands before it in its name.
pub(crate) fn learn_names(creates: Vec<(String, String, SetFile)>, known: &mut Known<'_>) {
    let is_unknown = known.databases.is_empty();
    for (prefix, created, file) in creates {
        if known.databases.contains(&prefix) {
            continue;
        }
        if created != prefix {
            known
                .aliases
                .insert((file.folder().to_owned(), prefix), created.clone());
        }
        if is_unknown {
            known.databases.insert(created);
        }
    }
}

/// One failed proof for each database that a file is held against; the whole set where it is of none.
fn failed_files(
    differences: Vec<Difference>,
    proof: &Proof,
    finished_at: DateTime<Utc>,
) -> Vec<DatabaseProof> {
    let mut by_database: BTreeMap<String, Vec<Difference>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for difference in differences {
        if seen.insert(difference.to_string()) {
            by_database
                .entry(difference.database.clone())
                .or_default()
                .push(difference);
        }
    }
    by_database
        .into_iter()
        .map(|(database, differences)| DatabaseProof {
            database,
            passed: false,
            differences,
            error: None,
            objects_compared: 0,
            rows_compared: 0,
            tables_exact: 0,
            tables_counted: 0,
            started_at: proof.started_at,
            finished_at,
        })
        .collect()
}
