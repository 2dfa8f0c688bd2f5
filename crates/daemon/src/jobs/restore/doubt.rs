//! Whether a set that is to be restored has been proven, and is still what it was.

use chrono::SecondsFormat;
use chrono_tz::Tz;
use mykeeper_catalog::{Catalog, CatalogError};
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::damage::Damage;

/// One sentence where no proof of the set has passed, its last one failed, none of its copies is as it was written, or it
/// is marked as deleted; for people, times in UTC.
///
/// # Errors
/// The catalog does not answer.
pub async fn doubt(catalog: &dyn Catalog, backup: &Backup) -> Result<Option<String>, CatalogError> {
    let doubts = [of_its_files(catalog, backup).await?, of_deletion(backup)];
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

async fn of_its_files(catalog: &dyn Catalog, backup: &Backup) -> Result<Option<String>, CatalogError> {
    let id = backup.id;
    // A proof that failed tells more.
    if backup.validate_status != ValidateStatus::Failed {
        let damages = catalog.damages(Some(&[id])).await?;
        if let Some(damage) = damages.get(&id).filter(|damage| damage.is_of_every_copy()) {
            return Ok(Some(damaged(backup, damage)));
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

fn damaged(backup: &Backup, damage: &Damage) -> String {
    format!(
        "set {} is damaged: no copy is known to be as it was written ({})",
        backup.id,
        damage.lines(Tz::UTC).join("; ")
    )
}
