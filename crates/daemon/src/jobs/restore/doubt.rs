//! Whether a set that is to be restored has been proven.

use chrono::SecondsFormat;
use mykeeper_catalog::{Catalog, CatalogError};
use mykeeper_domain::backup::{Backup, ValidateStatus};

/// One sentence where no proof of the set has passed, or its last one failed; for people, times in UTC.
///
/// # Errors
/// The catalog does not answer.
pub async fn doubt(catalog: &dyn Catalog, backup: &Backup) -> Result<Option<String>, CatalogError> {
    let id = backup.id;
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
