//! Sets on disk, sets at the destination, sets in the catalog: each held against the others, and read anew.

use super::{Audited, Findings};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const MANIFEST: &str = "mykeeper.manifest.json";
const EVIDENCE: &str = "mykeeper.evidence.json";

/// A row of `user_backup`.
struct Row {
    bk_id: String,
    dir: PathBuf,
    is_complete: bool,
    is_deleted: bool,
    deletion: String,
    validated: String,
    has_arrived: bool,
    manifest_blake3: String,
    databases: String,
}

pub(super) fn look(audited: &Audited<'_>, findings: &mut Findings) {
    let rows = rows(audited);
    let folders = set_folders(&audited.workspace.sets());
    let mut seen = BTreeSet::new();
    for row in &rows {
        if !seen.insert(&row.dir) {
            findings
                .doubled
                .push(format!("{} is recorded twice", row.dir.display()));
        }
        has_its_folder(row, findings);
        if row.is_complete && !row.is_deleted && row.dir.is_dir() {
            is_whole(audited, row, findings);
        }
        verdict_has_its_proof(audited, row, findings);
    }
    for folder in &folders {
        match rows.iter().find(|row| row.dir == *folder) {
            None => findings.lost.push(format!("{} has no row", folder.display())),
            Some(row) if !row.is_complete && claims_to_be_complete(folder) => findings.lost.push(format!(
                "{} is finished by its own record, and recorded as not complete",
                folder.display()
            )),
            Some(_) => {}
        }
    }
    remains_have_a_mark(audited, &rows, findings);
    look_at_destinations(audited, &rows, findings);
}

/// What was set aside to be removed belongs to a set that is marked so: a later pass ends it.
fn remains_have_a_mark(audited: &Audited<'_>, rows: &[Row], findings: &mut Findings) {
    for folder in folders_of_days(&audited.workspace.sets()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let Some(bk_id) = name
            .strip_prefix('.')
            .and_then(|name| name.strip_suffix(".deleting"))
        else {
            continue;
        };
        let is_marked = rows
            .iter()
            .any(|row| row.bk_id == bk_id && row.deletion == "deleting");
        if !is_marked {
            findings.lost.push(format!(
                "{} is left, and its set is not marked as being deleted",
                folder.display()
            ));
        }
    }
}

fn rows(audited: &Audited<'_>) -> Vec<Row> {
    // What is looked at is the original: where it is gone and a copy stays, the set is deleted here.
    let query = "SELECT bk_id, bk_dir, COALESCE(is_complete, ''), \
                 CASE WHEN original_gone_ms IS NULL THEN is_deleted ELSE 'Y' END, \
                 CASE WHEN original_gone_ms IS NULL THEN deletion ELSE 'deleted' END, validate_status, transfer_complete, \
                 COALESCE(manifest_blake3, ''), COALESCE(backuped_db, '') FROM user_backup";
    let rows = audited.catalog.query(query).into_iter();
    rows.map(|row| Row {
        bk_id: row[0].clone(),
        dir: PathBuf::from(&row[1]),
        is_complete: !row[2].is_empty() && !row[2].contains('N'),
        is_deleted: row[3] == "Y",
        deletion: row[4].clone(),
        validated: row[5].clone(),
        has_arrived: row[6].ends_with('Y'),
        manifest_blake3: row[7].clone(),
        databases: row[8].clone(),
    })
    .collect()
}

fn has_its_folder(row: &Row, findings: &mut Findings) {
    let there = row.dir.symlink_metadata().is_ok();
    match row.deletion.as_str() {
        "deleted" if !row.is_deleted => findings
            .wrong
            .push(format!("the set {} is deleted and is not", row.bk_id)),
        "deleted" if there => findings.wrong.push(format!(
            "the set {} is recorded as deleted, and {} is there",
            row.bk_id,
            row.dir.display()
        )),
        // Its removal had begun; a pass that comes later ends it. Either may be so.
        "deleting" | "deleted" => {}
        _ if !there => findings
            .lost
            .push(format!("{} of the set {} is gone", row.dir.display(), row.bk_id)),
        _ => {}
    }
}

/// The set as it lies there: each file of the manifest, whole, no other file; the catalog's list says the same.
fn is_whole(audited: &Audited<'_>, row: &Row, findings: &mut Findings) {
    if row.deletion != "none" {
        return;
    }
    let wrong = &mut findings.wrong;
    match listed(&row.dir, &row.manifest_blake3) {
        Err(why) => wrong.push(format!("the complete set {}: {why}", row.bk_id)),
        Ok(files) => {
            for why in differences(&row.dir, &files) {
                wrong.push(format!("the complete set {}: {why}", row.bk_id));
            }
            let query = format!(
                "SELECT path, blake3 FROM mk_file WHERE bk_id = '{}' ORDER BY number",
                row.bk_id
            );
            let known = audited.catalog.query(&query);
            let known: BTreeMap<String, String> = known
                .into_iter()
                .map(|file| (file[0].clone(), file[1].clone()))
                .collect();
            if known != files {
                wrong.push(format!(
                    "the catalog lists other files of the set {} than its manifest",
                    row.bk_id
                ));
            }
        }
    }
    if row.databases != audited.databases.join(",") {
        wrong.push(format!(
            "the complete set {} holds {:?} and should hold {:?}",
            row.bk_id, row.databases, audited.databases
        ));
    }
    if !claims_to_be_complete(&row.dir) {
        wrong.push(format!(
            "the set {} is complete, and its own record does not say so",
            row.bk_id
        ));
    }
}

/// The manifest's files with their digests.
fn listed(dir: &Path, manifest_blake3: &str) -> Result<BTreeMap<String, String>, String> {
    let bytes =
        std::fs::read(dir.join(MANIFEST)).map_err(|error| format!("its manifest cannot be read: {error}"))?;
    if blake3::hash(&bytes).to_hex().as_str() != manifest_blake3 {
        return Err("its manifest is not the one that was recorded".to_owned());
    }
    let manifest: Value =
        serde_json::from_slice(&bytes).map_err(|error| format!("its manifest is no JSON: {error}"))?;
    let files = manifest["files"]
        .as_array()
        .ok_or("its manifest lists no files")?;
    if files.is_empty() {
        return Err("its manifest lists no files".to_owned());
    }
    Ok(files
        .iter()
        .filter_map(|file| {
            Some((
                file["path"].as_str()?.to_owned(),
                file["blake3"].as_str()?.to_owned(),
            ))
        })
        .collect())
}

/// What in `dir` is not as `files` have it.
fn differences(dir: &Path, files: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    for (path, digest) in files {
        match std::fs::read(dir.join(path)) {
            Ok(bytes) if blake3::hash(&bytes).to_hex().as_str() == digest => {}
            Ok(_) => found.push(format!("{path} in {} is damaged", dir.display())),
            Err(error) => found.push(format!("{path} in {}: {error}", dir.display())),
        }
    }
    let mut there = Vec::new();
    files_below(dir, dir, &mut there);
    for path in there {
        if path != MANIFEST && !files.contains_key(&path) {
            found.push(format!("{path} in {} is in no manifest", dir.display()));
        }
    }
    found
}

fn files_below(root: &Path, dir: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files_below(root, &path, found);
        } else if let Ok(relative) = path.strip_prefix(root) {
            found.push(relative.to_string_lossy().into_owned());
        }
    }
}

/// Whether the set's own record, its manifest being there, says that the dump is complete.
fn claims_to_be_complete(dir: &Path) -> bool {
    let evidence = std::fs::read(dir.join(EVIDENCE)).ok();
    let evidence: Option<Value> = evidence.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let parts = evidence
        .as_ref()
        .and_then(|said| said["backup"]["complete"].as_array());
    dir.join(MANIFEST).is_file()
        && parts.is_some_and(|parts| !parts.is_empty() && parts.iter().all(|part| part == true))
}

/// `passed` stands on a proof of every database; `failed` cannot be: nobody has damaged a set.
fn verdict_has_its_proof(audited: &Audited<'_>, row: &Row, findings: &mut Findings) {
    let query = format!(
        "SELECT d.db FROM mk_proof p JOIN mk_proof_database d ON d.proof_id = p.id \
         WHERE p.bk_id = '{}' AND p.passed = 1 AND d.passed = 1 AND d.objects_compared > 0 ORDER BY p.id, d.number",
        row.bk_id
    );
    match row.validated.as_str() {
        "passed" => {
            let proven: BTreeSet<String> = audited.catalog.column(&query).into_iter().collect();
            // An empty database has nothing to compare.
            let untold: Vec<&&str> = audited
                .databases
                .iter()
                .filter(|database| !proven.contains(**database) && **database != "empty_one")
                .collect();
            if !untold.is_empty() {
                findings.wrong.push(format!(
                    "the set {} has passed, and no proof says so of {untold:?}",
                    row.bk_id
                ));
            }
        }
        "failed" => findings.wrong.push(format!(
            "the set {} has failed its proof, and nobody has damaged it",
            row.bk_id
        )),
        _ => {}
    }
}

/// Each folder there belongs to a row; each copy that is said to have arrived is whole.
fn look_at_destinations(audited: &Audited<'_>, rows: &[Row], findings: &mut Findings) {
    if let Some((_, root)) = &audited.vault {
        // The seed's column tells of the first one.
        let arrived = rows.iter().filter(|row| row.has_arrived).collect();
        look_at_destination(audited, (root, arrived), rows, findings);
    }
    if let Some(root) = &audited.near {
        let query = "SELECT bk_id FROM mk_delivery WHERE destination = 'near' AND arrived = 1";
        let arrived: BTreeSet<String> = audited.catalog.column(query).into_iter().collect();
        let arrived = rows.iter().filter(|row| arrived.contains(&row.bk_id)).collect();
        look_at_destination(audited, (root, arrived), rows, findings);
    }
}

fn look_at_destination(
    audited: &Audited<'_>,
    (root, arrived): (&Path, Vec<&Row>),
    rows: &[Row],
    findings: &mut Findings,
) {
    let named = |folder: PathBuf| {
        let name = folder.file_name()?.to_str()?.to_owned();
        Some((name, folder))
    };
    let copies: BTreeMap<String, PathBuf> = set_folders(root).into_iter().filter_map(named).collect();
    let arriving: BTreeMap<String, PathBuf> = folders_of_days(root)
        .into_iter()
        .filter_map(named)
        .filter_map(|(name, folder)| Some((name.strip_suffix(".arriving")?.to_owned(), folder)))
        .collect();
    for (bk_id, folder) in copies.iter().chain(&arriving) {
        match rows.iter().find(|row| row.bk_id == *bk_id) {
            None => findings
                .lost
                .push(format!("{} at the destination has no row", folder.display())),
            Some(row) if !row.is_complete => went_ahead(audited, (bk_id, folder), findings),
            Some(_) => {}
        }
    }
    for (bk_id, folder) in &arriving {
        if copies.contains_key(bk_id) {
            findings.lost.push(format!(
                "{} is left beside the copy that has its name",
                folder.display()
            ));
        }
    }
    for row in arrived {
        let Some(copy) = copies.get(&row.bk_id) else {
            findings.wrong.push(format!(
                "the set {} is said to have arrived in {} and has not",
                row.bk_id,
                root.display()
            ));
            continue;
        };
        let found = match listed(copy, &row.manifest_blake3) {
            Ok(files) => differences(copy, &files),
            Err(why) => vec![why],
        };
        for why in found {
            findings
                .wrong
                .push(format!("the set {} is said to have arrived: {why}", row.bk_id));
        }
    }
}

/// What lies there of a set that never became complete looks like none, and somebody remembers to remove it.
fn went_ahead(audited: &Audited<'_>, (bk_id, folder): (&str, &Path), findings: &mut Findings) {
    for name in ["metadata", MANIFEST] {
        if folder.join(name).exists() {
            findings.wrong.push(format!(
                "{} holds {name}, and its set is not complete",
                folder.display()
            ));
        }
    }
    let noted = std::fs::read_dir(audited.workspace.at("state/ahead"));
    let mut noted = noted.into_iter().flatten().flatten();
    if !noted.any(|entry| entry.file_name().to_string_lossy().starts_with(bk_id)) {
        findings.lost.push(format!(
            "{} went ahead of a set that is not complete, and nothing says that it is to be removed",
            folder.display()
        ));
    }
}

/// `<root>/<YYYY-MM-DD>/<bk_id>`
fn set_folders(root: &Path) -> Vec<PathBuf> {
    let mut found = folders_of_days(root);
    found.retain(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        uuid::Uuid::parse_str(&name).is_ok()
    });
    found.sort();
    found
}

fn folders_of_days(root: &Path) -> Vec<PathBuf> {
    let below = |dir: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .map(|entry| entry.path())
            .collect()
    };
    below(root).iter().flat_map(|day| below(day)).collect()
}
