//! `mykeeper show`

use super::backups::{arrival, as_json, of_its_own, reasons, validity, with_damage, with_reason};
use super::wanted_set::WantedSet;
use crate::failure::{Failure, Status};
use crate::output::{coloured, local, print, print_json, say, table};
use crate::surroundings::{Look, local_zone, open_catalog_or_copy, settings_despite_schedule};
use chrono_tz::Tz;
use mykeeper_config::Settings;
use mykeeper_daemon::repair::{Elsewhere, elsewhere};
use mykeeper_domain::backup::{Backup, Deletion, du_size};
use mykeeper_domain::damage::Damage;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::humane;
use mykeeper_domain::manifest::FileEntry;
use mykeeper_domain::proof::Proof;
use mykeeper_domain::transfer::Transfer;
use mykeeper_domain::verification::{Verification, VerificationState};
use mykeeper_domain::{BackupId, counted};
use mykeeper_tools::mydumper::read_set_record;
use serde::Serialize;
use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

/// A set's folder may lie on a disk that hangs.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// `show --json`
#[derive(Serialize)]
struct SetView {
    /// With `unproven`: why it is not proven; `damaged` and `damage`: which copies differ.
    backup: serde_json::Value,
    /// The same for people.
    #[serde(skip)]
    unproven: Option<String>,
    #[serde(skip)]
    damage: Option<Damage>,
    /// Where a copy lies that can be brought here, when none that was read is whole.
    #[serde(skip)]
    elsewhere: Option<Elsewhere>,
    evidence: Option<Evidence>,
    files: Vec<FileEntry>,
    transfers: Vec<Transfer>,
    /// `null` while the catalog is away, which alone knows them.
    proofs: Option<Vec<Proof>>,
    /// The newest look of each node at its copies. `null` as `proofs`.
    verifications: Option<Vec<Verification>>,
}

pub(crate) async fn run(config: &Path, bk_id: &str, all_files: bool, json: bool) -> anyhow::Result<Status> {
    let wanted = WantedSet::parse(bk_id)?;
    let settings = settings_despite_schedule(config)?;
    let look = open_catalog_or_copy(&settings).await?;
    let found = match wanted.find(look.catalog.as_ref(), &settings).await {
        Ok(id) => view(&look, &settings, id).await,
        Err(error) => Err(error),
    };
    look.catalog.close().await;
    let (backup, view) = found?;
    let status = look.status(&settings.node, "its proofs");
    if json {
        print_json(&view)?;
    } else {
        print(&describe((&backup, &view), local_zone(), all_files))?;
    }
    Ok(status)
}

async fn view(look: &Look, settings: &Settings, id: BackupId) -> anyhow::Result<(Backup, SetView)> {
    let catalog = &look.catalog;
    let Some(backup) = catalog.backup(id).await? else {
        return Err(match &look.away {
            None => Failure::usage(format!(
                "the catalog knows no set {id}; \"mykeeper backups\" lists them"
            )),
            Some(away) => Failure::unavailable(format!(
                "this node knows no set {id} of its own; whether another does cannot be told: {away}"
            )),
        });
    };
    let is_whole = look.away.is_none();
    let ((evidence, files), looks) = if is_whole {
        let contents = (catalog.evidence(id).await?, catalog.files(id).await?);
        let looks = (catalog.proofs(id).await?, catalog.verifications(id).await?);
        (contents, Some(looks))
    } else {
        (own_record(&backup).await, None)
    };
    let (proofs, verifications) = looks.unzip();
    let proven = match is_whole {
        true => catalog.proven_copies(id).await?,
        false => Vec::new(),
    };
    let damage = Damage::of(verifications.as_deref().unwrap_or_default(), &proven);
    let elsewhere = match &damage {
        Some(damage) if damage.is_of_every_copy() && backup.deletion != Deletion::Deleted => {
            elsewhere(settings, catalog.as_ref(), &backup).await?
        }
        _ => None,
    };
    let unproven = match is_whole {
        true => reasons(catalog.as_ref(), settings, std::slice::from_ref(&backup)).await?,
        false => HashMap::new(),
    };
    let unproven = unproven.get(&id);
    let view = SetView {
        backup: with_damage(
            with_reason(as_json(&backup, is_whole)?, unproven)?,
            damage.as_ref(),
        )?,
        unproven: unproven.map(|reason| of_its_own(&reason.shown(local_zone()).to_string(), id)),
        damage,
        elsewhere,
        evidence,
        files,
        transfers: catalog.transfers(id).await?,
        proofs,
        verifications,
    };
    Ok((backup, view))
}

/// What the set's own folder says of its contents; nothing where that cannot be read.
async fn own_record(backup: &Backup) -> (Option<Evidence>, Vec<FileEntry>) {
    let folder = backup.folder();
    let reading = tokio::time::timeout(READ_WITHIN, read_set_record(&folder));
    match reading.await {
        Ok(Ok(Some((manifest, evidence, _)))) if evidence.backup.id == backup.id => {
            (Some(evidence), manifest.files)
        }
        Ok(Ok(_)) => (None, Vec::new()),
        Ok(Err(error)) => {
            say(&format!("what is in the set is not known: {error}"));
            (None, Vec::new())
        }
        Err(_) => {
            say(&format!(
                "what is in the set is not known: {} does not answer within {} s",
                folder.display(),
                READ_WITHIN.as_secs()
            ));
            (None, Vec::new())
        }
    }
}

fn describe((backup, view): (&Backup, &SetView), zone: Tz, all_files: bool) -> String {
    let mut lines = vec![format!("set        {}", backup.id)];
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("{name:<10} {value}"));
        }
    };
    line("times", format!("of {zone}"));
    line("server", format!("{} ({})", backup.tag, backup.bk_server));
    line(
        "job",
        backup.job.as_ref().map(ToString::to_string).unwrap_or_default(),
    );
    line(
        "run",
        backup.run_id.map(|run| run.to_string()).unwrap_or_default(),
    );
    line("folder", backup.folder().display().to_string());
    line(
        "dumped",
        format!(
            "{} to {}",
            local(backup.started_at, zone),
            local(backup.finished_at, zone)
        ),
    );
    line(
        "size",
        match backup.size_bytes {
            Some(bytes) => format!(
                "{} ({bytes} bytes, {})",
                backup.size_text,
                counted(view.files.len(), "file", "files")
            ),
            None => backup.size_text.clone(),
        },
    );
    line(
        "complete",
        if backup.is_complete() {
            "yes".into()
        } else {
            "no".into()
        },
    );
    line("reason", backup.reason.clone().unwrap_or_default());
    line("position", backup.master_status.clone());
    line("replica", backup.slave_status.clone());
    line("lock", lock_text(backup));
    line(
        "made with",
        format!("{}; server {}", backup.tool_version, backup.server_version),
    );
    line(
        "transfer",
        format!(
            "{} to {}",
            if backup.transfer_complete.is_empty() {
                "not tried".to_owned()
            } else {
                arrival(backup)
            },
            backup.remote_dest
        ),
    );
    line(
        "validated",
        match &view.proofs {
            Some(_) => validity(backup, view.damage.as_ref()),
            None => "not known while the catalog is away".to_owned(),
        },
    );
    for found in view.damage.iter().flat_map(|damage| damage.lines(zone)) {
        line("copy", found);
    }
    let copy = view.elsewhere.as_ref();
    line(
        "elsewhere",
        copy.map_or_else(String::new, |copy| copy.shown("           ")),
    );
    line("unproven", view.unproven.clone().unwrap_or_default());
    if let Some(at) = backup.rebuilt_at {
        line(
            "rebuilt",
            format!("{}; proofs from before are not known", local(at, zone)),
        );
    }
    line(
        "deleted",
        match backup.deletion {
            Deletion::None => "no".to_owned(),
            other => format!("{other}: {}", backup.deletion_reason.clone().unwrap_or_default()),
        },
    );
    if let Some(at) = backup.original_gone_at {
        line(
            "original",
            format!(
                "gone since {}: {}",
                local(at, zone),
                backup.deletion_reason.clone().unwrap_or_default()
            ),
        );
    }
    lines.push(String::new());
    lines.push(databases_table(backup, view));
    if !view.transfers.is_empty() {
        lines.push(String::new());
        lines.push(transfers_table(&view.transfers, zone));
    }
    for found in view.verifications.iter().flatten() {
        lines.push(String::new());
        lines.push(describe_verification(found, zone));
    }
    for proof in view.proofs.iter().flatten() {
        lines.push(String::new());
        lines.push(describe_proof(proof, zone));
    }
    if !view.files.is_empty() {
        lines.push(String::new());
        lines.push(files_table(backup.id, &view.files, all_files));
    }
    lines.join("\n")
}

/// For how long others could not write. Empty where that is not known.
fn lock_text(backup: &Backup) -> String {
    let seconds = |ms: u64| format!("{}.{:03} s", ms / 1000, ms % 1000);
    let waited = backup
        .lock_waited_ms
        .map(|ms| format!("waited for {}", seconds(ms)));
    let held = backup.lock_held_ms.map(|ms| format!("held for {}", seconds(ms)));
    [waited, held]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

fn databases_table(backup: &Backup, view: &SetView) -> String {
    let rows = backup
        .databases
        .iter()
        .map(|name| {
            let inventory = view
                .evidence
                .as_ref()
                .and_then(|evidence| evidence.inventory.databases.get(name));
            let rows: Option<u64> = inventory.map(|i| i.tables.values().filter_map(|table| table.rows).sum());
            let count = |count: Option<usize>| count.map(|count| count.to_string()).unwrap_or_default();
            vec![
                name.clone(),
                count(inventory.map(|i| i.tables.len())),
                rows.map(|rows| rows.to_string()).unwrap_or_default(),
                count(inventory.map(|i| i.views.len())),
                count(inventory.map(|i| i.triggers.len())),
                count(inventory.map(|i| i.procedures.len() + i.functions.len())),
                count(inventory.map(|i| i.events.len())),
            ]
        })
        .collect();
    table(
        &[
            "DATABASE", "TABLES", "ROWS", "VIEWS", "TRIGGERS", "ROUTINES", "EVENTS",
        ],
        rows,
    )
}

fn transfers_table(transfers: &[Transfer], zone: Tz) -> String {
    let rows = transfers
        .iter()
        .map(|transfer| {
            vec![
                transfer.purpose.to_string(),
                transfer.destination.to_string(),
                local(transfer.started_at, zone),
                coloured(transfer.state.as_str(), transfer.state.is_success()),
                transfer.sent_bytes.map(du_size).unwrap_or_default(),
                transfer.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(
        &["TRANSFER", "DESTINATION", "STARTED", "STATE", "SENT", "REASON"],
        rows,
    )
}

fn describe_verification(found: &Verification, zone: Tz) -> String {
    let verdict = coloured(found.state.as_str(), found.state == VerificationState::AsWritten);
    let when = local(found.looked_at, zone);
    let mut lines = vec![format!("read at {when} on {}: {verdict}", found.node)];
    lines.extend(found.copies.iter().map(|copy| {
        format!(
            "  {}: {}, {}",
            copy.path,
            counted(copy.files, "file", "files"),
            du_size(copy.bytes)
        )
    }));
    let faults = found.faults().into_iter().chain(found.strangers());
    lines.extend(faults.map(|line| format!("  {line}")));
    lines.join("\n")
}

fn describe_proof(proof: &Proof, zone: Tz) -> String {
    let verdict = if proof.passed() {
        coloured("passed", true)
    } else {
        coloured("failed", false)
    };
    let when = local(proof.started_at, zone);
    // A set whose files are damaged is not restored at all.
    let mut lines = vec![if proof.sandbox_version.contains(|c: char| c.is_ascii_digit()) {
        format!(
            "proof at {when}: {verdict}; restored from {} on {} with {} into {}",
            proof.path, proof.node, proof.loader_version, proof.sandbox_version
        )
    } else {
        format!(
            "proof at {when}: {verdict}; the files in {} on {} were checked, and nothing was restored",
            proof.path, proof.node
        )
    }];
    lines.extend(proof_facts(proof));
    for database in &proof.databases {
        let name = if database.database.is_empty() {
            "(the set)"
        } else {
            &database.database
        };
        lines.push(format!(
            "  {name}: {}, {}, {}{}",
            if database.passed { "passed" } else { "failed" },
            counted(database.objects_compared, "object", "objects"),
            counted(database.rows_compared, "row", "rows"),
            match (database.tables_exact, database.tables_counted) {
                (0, 0) => String::new(),
                (_, 0) => ", compared row by row".to_owned(),
                (0, _) => ", compared by their number".to_owned(),
                (exact, by_number) => format!(
                    "; {} compared row by row, {by_number} by the number of rows",
                    counted(exact, "table", "tables")
                ),
            }
        ));
        lines.extend(database.error.iter().map(|error| format!("    {error}")));
        lines.extend(
            database
                .differences
                .iter()
                .map(|difference| format!("    {difference}")),
        );
    }
    lines.join("\n")
}

/// What a proof knows beyond its databases; nothing of one that was recorded before that was kept.
fn proof_facts(proof: &Proof) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(dumper), Some(source)) = (&proof.dumper_version, &proof.source_version) {
        lines.push(format!("  dumped with {dumper} from {source}"));
    }
    let load = proof.load_ms.map(|ms| {
        format!(
            ", {} loaded in {}",
            du_size(proof.bytes_loaded),
            humane(Duration::from_millis(ms))
        )
    });
    if proof.bytes_checked > 0 {
        lines.push(format!(
            "  {} of files checked{}",
            du_size(proof.bytes_checked),
            load.unwrap_or_default()
        ));
    }
    for assert in &proof.asserts {
        let held = match assert.held {
            Some(true) => "holds",
            Some(false) => "does not hold",
            None if assert.value.is_some() => "cannot be run",
            None => "was not tried",
        };
        let value = assert.value.as_ref().map(|value| format!(": {value}"));
        lines.push(format!(
            "  assert {held}: {}: {}{}",
            assert.database,
            assert.sql,
            value.unwrap_or_default()
        ));
    }
    lines.extend(
        proof
            .warnings
            .iter()
            .map(|warning| format!("  warning: {warning}")),
    );
    let digest =
        |what: &str, digest: &Option<String>| digest.as_ref().map(|digest| format!("  {what} {digest}"));
    lines.extend(digest("manifest", &proof.manifest_blake3));
    lines.extend(digest("evidence", &proof.evidence_blake3));
    if let Some(link) = &proof.link {
        lines.push(format!(
            "  number {} of its server, digest {}, after {}",
            link.number,
            link.digest,
            link.previous.as_deref().unwrap_or("none")
        ));
    }
    lines
}

fn files_table(id: BackupId, files: &[FileEntry], all: bool) -> String {
    const SHOWN: usize = 10;
    let shown = if all { files.len() } else { files.len().min(SHOWN) };
    let rows = files
        .iter()
        .take(shown)
        .map(|file| {
            vec![
                file.path.clone(),
                file.size_bytes.to_string(),
                file.rows.map(|rows| rows.to_string()).unwrap_or_default(),
                file.blake3.clone(),
            ]
        })
        .collect();
    let mut text = table(&["FILE", "BYTES", "ROWS", "BLAKE3"], rows);
    if shown < files.len() {
        text.push_str(&format!(
            "\nand {} more: mykeeper show {id} --files",
            files.len() - shown
        ));
    }
    text
}
