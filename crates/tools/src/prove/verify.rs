//! Whether the files of a copy are those that were written, without restoring them.

use super::ProveRequest;
use super::files::{check_files, digest_record, judge_manifest};
use crate::env::ToolEnv;
use crate::error::ToolError;
use mykeeper_domain::proof::Difference;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCopy {
    /// Each names a file that differs, is missing, or is too much.
    pub differences: Vec<Difference>,
    /// Files that are not the set's, and that no restore would read.
    pub strangers: Vec<String>,
    /// Files that were looked at, the manifest with them.
    pub files: u64,
    /// Bytes that were read.
    pub bytes: u64,
}

/// Reads every file of a copy and holds it against the manifest as the catalog knows it, and the manifest that lies
/// there against the catalog's digest of it.
///
/// # Errors
/// The folder cannot be read, or the run was ended.
pub async fn verify_copy(set: &ProveRequest<'_>, env: &ToolEnv<'_>) -> Result<VerifiedCopy, ToolError> {
    let mut checked = check_files(set, env).await?;
    let mut files = checked.files.len() as u64;
    if set.manifest_blake3.is_some() {
        files += 1;
        let (manifest, _) = digest_record(set.set_dir, &env.cancel).await?;
        let difference = judge_manifest(set.manifest_blake3, manifest.as_deref());
        checked.differences.extend(difference);
    }
    Ok(VerifiedCopy {
        differences: checked.differences,
        strangers: checked.strangers,
        files,
        bytes: checked.bytes,
    })
}
