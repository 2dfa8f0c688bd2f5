//! `mykeeper proof`: a proof as one document, and whether documents are as they were made.

use super::wanted_set::WantedSet;
use crate::args::ProofArgs;
use crate::failure::{Failure, Status};
use crate::output::{print, print_json, say, when};
use crate::surroundings::{local_zone, open_catalog_to_look, settings_despite_schedule};
use anyhow::Context;
use mykeeper_catalog::RecordedProof;
use mykeeper_domain::backup::{Backup, ValidateStatus};
use mykeeper_domain::proof::document::check_chain;
use mykeeper_domain::proof::{Link, Proof, ProofDocument};
use mykeeper_domain::{BackupId, counted};
use serde_json::Value;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// The longest file that is read as documents.
const LONGEST_BYTES: u64 = 256 << 20;

pub(crate) async fn run(config: &Path, args: &ProofArgs, json: bool) -> anyhow::Result<Status> {
    match &args.bk_id {
        Some(bk_id) => write(config, &WantedSet::parse(bk_id)?, args).await,
        None => verify(&args.verify, json),
    }
}

async fn write(config: &Path, wanted: &WantedSet, args: &ProofArgs) -> anyhow::Result<Status> {
    let settings = settings_despite_schedule(config)?;
    let catalog = open_catalog_to_look(&settings).await?;
    let id = wanted.find(catalog.as_ref(), &settings).await?;
    let backup = catalog.backup(id).await?;
    let recorded = catalog.proof_documents(id).await?;
    let wanted = if args.all { recorded.len() } else { 1 };
    let mut faults = Vec::new();
    faults.extend(
        backup
            .as_ref()
            .zip(recorded.first())
            .and_then(|(backup, newest)| misreported(backup, newest)),
    );
    for RecordedProof { proof, .. } in recorded.iter().take(wanted) {
        if let (Some(link), Some(set)) = (&proof.link, &proof.set) {
            let neighbours = catalog.neighbours(&set.tag, link.number).await?;
            faults.extend(unchained(id, link, &neighbours));
        }
    }
    catalog.close().await;
    if recorded.is_empty() {
        return Err(Failure::unavailable(match backup {
            Some(_) => format!("set {id} has no proof yet; \"mykeeper validate --bk-id {id}\" makes one"),
            None => format!("the catalog knows no set {id}; \"mykeeper backups\" lists them"),
        }));
    }
    let mut documents = Vec::new();
    for recorded in recorded.iter().take(wanted) {
        match document_of(id, recorded)? {
            Some((document, fault)) => {
                faults.extend(fault);
                documents.push(document.to_json());
            }
            None if args.all => say(&no_document(id, &recorded.proof)),
            None => return Err(Failure::unavailable(no_document(id, &recorded.proof))),
        }
    }
    let whole = match documents.pop() {
        Some(document) if !args.all => document,
        last => Value::Array(documents.into_iter().chain(last).collect()),
    };
    match &args.output {
        None => print_json(&whole)?,
        Some(file) => write_file(file, &whole)?,
    }
    if faults.is_empty() {
        return Ok(Status::Done);
    }
    Err(Failure::job(faults.join("\n")))
}

/// What the set's own row says otherwise than its newest proof.
fn misreported(backup: &Backup, newest: &RecordedProof) -> Option<String> {
    let verdict = match newest.proof.passed() {
        true => ValidateStatus::Passed,
        false => ValidateStatus::Failed,
    };
    // One that failed for its files alone waits for its proof again once a copy is whole.
    let waits_again = backup.validate_status == ValidateStatus::NotTried && !newest.proof.passed();
    (backup.validate_status != verdict && !waits_again).then(|| {
        format!(
            "validate_status of set {} in user_backup is {}, and its newest proof has {verdict}: it was edited, or a \
             pybackup beside this mykeeper has tested the set since",
            backup.id, backup.validate_status
        )
    })
}

/// What does not fit to the proofs before and after it in the catalog.
fn unchained(id: BackupId, link: &Link, neighbours: &[Link]) -> Option<String> {
    let other = neighbours.iter().find(|other| {
        if other.number < link.number {
            link.previous.as_ref() != Some(&other.digest)
        } else {
            other.previous.as_ref() != Some(&link.digest)
        }
    })?;
    Some(format!(
        "the proof of set {id}, number {} of its server, and number {} are not chained to each other in the catalog: one of \
         them was edited and given a new digest",
        link.number, other.number
    ))
}

fn no_document(id: BackupId, proof: &Proof) -> String {
    format!(
        "the proof of set {id} of {} was recorded by a mykeeper that kept no documents; \"mykeeper validate --bk-id {id}\" \
         proves it again",
        when(proof.finished_at, local_zone())
    )
}

/// The document as it was recorded, and what is wrong with it; nothing where there is none.
fn document_of(
    id: BackupId,
    recorded: &RecordedProof,
) -> anyhow::Result<Option<(ProofDocument, Option<String>)>> {
    let proof = &recorded.proof;
    let (Some(link), Some(text)) = (&proof.link, recorded.document.as_deref()) else {
        return Ok(None);
    };
    let document = ProofDocument::from_record(text, &link.digest).map_err(|cause| {
        Failure::job(format!(
            "the catalog's record of the proof of set {id} cannot be read: {cause}"
        ))
    })?;
    let fault = if !document.is_intact() {
        Some(format!(
            "the proof of set {id} was edited in the catalog: its digest should be {}, and the catalog has {}",
            document.digest(),
            link.digest
        ))
    } else if !document.agrees_with(proof) || document.passed() != Some(recorded.passed) {
        Some(format!(
            "the proof of set {id} was edited in the catalog: mk_proof or mk_proof_database say otherwise than the \
             document that was recorded with them, which is what was written now"
        ))
    } else {
        None
    };
    Ok(Some((document, fault)))
}

/// A document that is there already is never written over.
fn write_file(path: &Path, document: &Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(document).context("cannot write JSON")?;
    let written = std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        });
    written.map_err(|error| {
        let cause = match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                "it is there already, and no proof is written over another file; name a new one, or remove that".to_owned()
            }
            _ => error.to_string(),
        };
        Failure::unavailable(format!("cannot write {}: {cause}", path.display()))
    })
}

fn verify(files: &[PathBuf], json: bool) -> anyhow::Result<Status> {
    let mut documents = Vec::new();
    let mut faults = Vec::new();
    for file in files {
        let name = file.display().to_string();
        match read_documents(file)? {
            Ok(found) => documents.extend(found.into_iter().map(|document| (name.clone(), document))),
            Err(cause) => faults.push(format!("{name}: it is no proof: {cause}")),
        }
    }
    let (edited, gaps) = check_chain(&documents);
    faults.extend(edited);
    if json {
        print_json(&serde_json::json!({
            "proofs": documents.len(), "faults": faults, "not_looked_at": gaps,
        }))?;
    } else {
        for line in faults.iter().chain(&gaps) {
            say(line);
        }
        // One that is missing may have been edited, and given another place.
        if faults.is_empty() && gaps.is_empty() {
            let proofs = counted(documents.len(), "proof is", "proofs are");
            print(&format!("{proofs} as recorded"))?;
        }
    }
    Ok(match (faults.is_empty(), gaps.is_empty()) {
        (false, _) => Status::JobFailed,
        (true, false) => Status::Warnings,
        (true, true) => Status::Done,
    })
}

/// One document, or a list of them.
fn read_documents(path: &Path) -> anyhow::Result<Result<Vec<ProofDocument>, String>> {
    let cannot =
        |error: std::io::Error| Failure::unavailable(format!("cannot read {}: {error}", path.display()));
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(LONGEST_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(cannot)?;
    if text.len() as u64 > LONGEST_BYTES {
        return Ok(Err("it is longer than 256 MiB".to_owned()));
    }
    let values = match serde_json::from_slice(&text) {
        Ok(Value::Array(values)) => values,
        Ok(value) => vec![value],
        Err(error) => return Ok(Err(error.to_string())),
    };
    Ok(values.into_iter().map(ProofDocument::parse).collect())
}
