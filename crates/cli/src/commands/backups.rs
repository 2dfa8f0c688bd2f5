//! `mykeeper backups`, `mykeeper show`

use super::parse_bk_id;
use crate::args::{BackupState, BackupsArgs};
use crate::failure::{Failure, Status};
use crate::output::{coloured, local, parse_since, print, print_json, table};
use crate::surroundings::{load_settings, open_catalog_to_look};
use chrono_tz::Tz;
use mykeeper_catalog::{BackupFilter, SetState};
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus, du_size};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::manifest::FileEntry;
use mykeeper_domain::proof::Proof;
use mykeeper_domain::transfer::Transfer;
use mykeeper_domain::{Clock, ServerName, SystemClock};
use serde::Serialize;
use std::path::Path;

pub(crate) async fn list(config: &Path, args: &BackupsArgs, json: bool) -> anyhow::Result<Status> {
    let settings = load_settings(config)?.settings;
    // A server is known by its name here, and by its tag in the catalog; an address does as well.
    let named = args.server.as_ref().and_then(|wanted| {
        let name = ServerName::new(wanted.as_str()).ok()?;
        settings.servers.get(&name).map(|server| server.tag.clone())
    });
    if let (Some(tag), Some(named)) = (&args.tag, &named)
        && tag != named
    {
        return Err(Failure::usage(format!(
            "--tag {tag:?} and --server contradict each other: that server's tag is {named:?}"
        )));
    }
    let filter = BackupFilter {
        server: args.server.clone().filter(|_| named.is_none()),
        tag: args.tag.clone().or(named),
        since: args
            .since
            .as_deref()
            .map(|since| parse_since(since, SystemClock.now()))
            .transpose()?,
        state: args.state.map(SetState::from),
        limit: args.limit,
        ..Default::default()
    };
    let catalog = open_catalog_to_look(&settings).await?;
    let backups = catalog.backups(&filter).await?;
    catalog.close().await;
    if json {
        print_json(&backups)?;
    } else {
        print(&as_table(&backups, settings.catalog.timezone))?;
    }
    Ok(Status::Done)
}

impl From<BackupState> for SetState {
    fn from(state: BackupState) -> Self {
        match state {
            BackupState::Complete => Self::Complete,
            BackupState::Incomplete => Self::Incomplete,
            BackupState::Transferred => Self::Transferred,
            BackupState::Validated => Self::Validated,
            BackupState::Failed => Self::Failed,
            BackupState::Deleted => Self::Deleted,
        }
    }
}

fn as_table(backups: &[Backup], zone: Tz) -> String {
    let rows = backups
        .iter()
        .map(|backup| {
            vec![
                backup.id.to_string(),
                backup.tag.clone(),
                local(backup.started_at, zone),
                mykeeper_daemon::jobs::humane(
                    (backup.finished_at - backup.started_at)
                        .to_std()
                        .unwrap_or_default(),
                ),
                backup.size_text.clone(),
                if backup.is_complete() {
                    coloured("Y", true)
                } else {
                    coloured("N", false)
                },
                backup.transfer_complete.clone(),
                coloured(
                    backup.validate_status.as_str(),
                    backup.validate_status != ValidateStatus::Failed,
                ),
                match backup.deletion {
                    Deletion::None => "N".to_owned(),
                    Deletion::Deleting => "deleting".to_owned(),
                    Deletion::Deleted => "Y".to_owned(),
                },
            ]
        })
        .collect();
    let started = format!("STARTED ({zone})");
    table(
        &[
            "BK_ID",
            "TAG",
            &started,
            "TOOK",
            "SIZE",
            "COMPLETE",
            "TRANSFER",
            "VALIDATED",
            "DELETED",
        ],
        rows,
    )
}

/// `show --json`
#[derive(Serialize)]
struct SetView {
    backup: Backup,
    evidence: Option<Evidence>,
    files: Vec<FileEntry>,
    transfers: Vec<Transfer>,
    proofs: Vec<Proof>,
}

pub(crate) async fn show(config: &Path, bk_id: &str, all_files: bool, json: bool) -> anyhow::Result<Status> {
    let id = parse_bk_id(bk_id)?;
    let settings = load_settings(config)?.settings;
    let catalog = open_catalog_to_look(&settings).await?;
    let Some(backup) = catalog.backup(id).await? else {
        return Err(Failure::usage(format!(
            "the catalog knows no set {id}; \"mykeeper backups\" lists them"
        )));
    };
    let view = SetView {
        evidence: catalog.evidence(id).await?,
        files: catalog.files(id).await?,
        transfers: catalog.transfers(id).await?,
        proofs: catalog.proofs(id).await?,
        backup,
    };
    catalog.close().await;
    if json {
        print_json(&view)?;
    } else {
        print(&describe(&view, settings.catalog.timezone, all_files))?;
    }
    Ok(Status::Done)
}

fn describe(view: &SetView, zone: Tz, all_files: bool) -> String {
    let backup = &view.backup;
    let mut lines = vec![format!("set        {}", backup.id)];
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("{name:<10} {value}"));
        }
    };
    line("server", format!("{} ({})", backup.tag, backup.bk_server));
    line(
        "job",
        backup.job.as_ref().map(ToString::to_string).unwrap_or_default(),
    );
    line(
        "run",
        backup.run_id.map(|run| run.to_string()).unwrap_or_default(),
    );
    line("folder", backup.dir.display().to_string());
    line(
        "dumped",
        format!(
            "{} to {} ({zone})",
            local(backup.started_at, zone),
            local(backup.finished_at, zone)
        ),
    );
    line(
        "size",
        match backup.size_bytes {
            Some(bytes) => format!("{} ({bytes} bytes, {} files)", backup.size_text, view.files.len()),
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
                "not tried"
            } else {
                &backup.transfer_complete
            },
            backup.remote_dest
        ),
    );
    line("validated", backup.validate_status.to_string());
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
    lines.push(String::new());
    lines.push(databases_table(view));
    if !view.transfers.is_empty() {
        lines.push(String::new());
        lines.push(transfers_table(&view.transfers, zone));
    }
    for proof in &view.proofs {
        lines.push(String::new());
        lines.push(describe_proof(proof, zone));
    }
    if !view.files.is_empty() {
        lines.push(String::new());
        lines.push(files_table(&view.files, all_files));
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

fn databases_table(view: &SetView) -> String {
    let rows = view
        .backup
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
    for database in &proof.databases {
        let name = if database.database.is_empty() {
            "(the set)"
        } else {
            &database.database
        };
        lines.push(format!(
            "  {name}: {}, {} objects, {} rows",
            if database.passed { "passed" } else { "failed" },
            database.objects_compared,
            database.rows_compared
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

fn files_table(files: &[FileEntry], all: bool) -> String {
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
            "\nand {} more: mykeeper show BK_ID --files",
            files.len() - shown
        ));
    }
    text
}
