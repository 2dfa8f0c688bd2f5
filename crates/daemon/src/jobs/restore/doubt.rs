//! Whether a set that is to be restored has been proven, and is still what it was.

use crate::repair::{Elsewhere, elsewhere};
use chrono::SecondsFormat;
use chrono_tz::Tz;
use mykeeper_catalog::{Catalog, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::damage::Damage;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::job::RestoreTask;
use mykeeper_domain::server::Server;
use mykeeper_tools::restore::Scope;

/// One sentence where no proof of the set has passed, its last one failed, none of its copies is as it was written, or it
/// is marked as deleted; for people, times in UTC.
///
/// # Errors
/// The catalog does not answer.
pub(super) async fn doubt(
    settings: &Settings,
    catalog: &dyn Catalog,
    backup: &Backup,
) -> Result<Option<String>, CatalogError> {
    let doubts = [
        of_its_files(settings, catalog, backup).await?,
        of_deletion(backup),
    ];
    let doubts: Vec<String> = doubts.into_iter().flatten().collect();
    Ok((!doubts.is_empty()).then(|| doubts.join("; ")))
}

fn of_deletion(backup: &Backup) -> Option<String> {
    let why = backup
        .deletion_reason
        .as_ref()
        .map_or_else(String::new, |why| format!(" ({why})"));
    (backup.deletion == Deletion::Deleted).then(|| format!("set {} is marked as deleted{why}", backup.id))
}

/// Said where `--overwrite` meets the server that the set was taken from.
pub(super) fn onto_source(server: &Server, backup: &Backup, task: &RestoreTask) -> Option<String> {
    (task.overwrite && is_source(server, backup)).then(|| {
        format!(
            "server {} is the one that the set was taken from: what is replaced there loses all that was written since {}",
            task.into,
            backup.started_at.format("%Y-%m-%d %H:%M UTC")
        )
    })
}

fn is_source(server: &Server, backup: &Backup) -> bool {
    server.tag == backup.tag && server.address == backup.bk_server
}

/// For each event that comes to another server under its own name, as it was, the statement that disables it there: it may
/// go on in both. Empty for a set without evidence, of which events are not known.
pub(super) fn disabling(
    server: &Server,
    backup: &Backup,
    (scope, evidence): (&Scope, Option<&Evidence>),
) -> Vec<String> {
    let Some(evidence) = evidence.filter(|_| !is_source(server, backup)) else {
        return Vec::new();
    };
    let quoted = |name: &str| format!("`{}`", name.replace('`', "``"));
    let mut statements = Vec::new();
    for (database, held) in scope.part_of_all(&evidence.inventory).databases {
        let events = held.events.iter().filter(|_| scope.there(&database) == database);
        statements.extend(
            events.map(|event| format!("ALTER EVENT {}.{} DISABLE", quoted(&database), quoted(event))),
        );
    }
    statements
}

async fn of_its_files(
    settings: &Settings,
    catalog: &dyn Catalog,
    backup: &Backup,
) -> Result<Option<String>, CatalogError> {
    let id = backup.id;
    // A proof that failed tells more.
    if backup.validate_status != ValidateStatus::Failed {
        let damages = catalog.damages(Some(&[id])).await?;
        if let Some(damage) = damages.get(&id).filter(|damage| damage.is_of_every_copy()) {
            let copy = elsewhere(settings, catalog, backup).await?;
            return Ok(Some(damaged(backup, damage, copy.as_ref())));
        }
    }
    let prove = format!("\"mykeeper validate --bk-id {id}\" does that");
    if backup.validate_status == ValidateStatus::NotTried {
        return Ok(Some(format!(
            "set {id} is not proven: nobody has restored and compared it yet; {prove}"
        )));
    }
    let proofs = catalog.proofs(id).await?;
    Ok(match (&backup.validate_status, proofs.first()) {
        (ValidateStatus::Failed, Some(last)) => Some(format!(
            "set {id} failed its proof at {}: {}",
            last.finished_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            last.summary()
        )),
        (ValidateStatus::Failed, None) => Some(format!(
            "set {id} failed its test of restoring by pybackup, which tells no more; {prove} and compares"
        )),
        (_, None) => Some(format!(
            "set {id} is not proven: pybackup has restored it, and nobody has compared what came back; {prove}"
        )),
        (_, Some(_)) => None,
    })
}

fn damaged(backup: &Backup, damage: &Damage, copy: Option<&Elsewhere>) -> String {
    let id = backup.id;
    let (known, copy) = match copy {
        None => ("no copy is known to be", String::new()),
        Some(copy) => (
            "no copy that was read is",
            format!(
                "; {}; \"mykeeper show {id}\" has the line that brings it here",
                copy.copy
            ),
        ),
    };
    format!(
        "set {id} is damaged: {known} as it was written ({}){copy}",
        damage.lines(Tz::UTC).join("; ")
    )
}
