//! Whether the files of a copy are those that were written, without restoring them.

use super::ProveRequest;
use super::compare::difference;
use super::files::{check_files, digest_record};
use crate::env::ToolEnv;
use crate::error::ToolError;
use mykeeper_domain::manifest::MANIFEST_FILE;
use mykeeper_domain::proof::Difference;

/// A copy to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct VerifyRequest<'a> {
    /// The set; its `files` are what the copy must hold.
    pub set: ProveRequest<'a>,
    /// BLAKE3 of the manifest, as the catalog has it; `None`: it is not known, and not compared.
    pub manifest_blake3: Option<&'a str>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCopy {
    /// Each names a file that differs, is missing, or is too much.
    pub differences: Vec<Difference>,
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
pub async fn verify_copy(request: &VerifyRequest<'_>, env: &ToolEnv<'_>) -> Result<VerifiedCopy, ToolError> {
    let set = &request.set;
    let mut checked = check_files(set, env).await?;
    let mut files = checked.files.len() as u64;
    if let Some(expected) = request.manifest_blake3 {
        files += 1;
        let (manifest, _) = digest_record(set.set_dir, &env.cancel).await?;
        let object = format!("file {MANIFEST_FILE}");
        match manifest {
            None => checked
                .differences
                .push(difference("", &object, "present", "missing")),
            Some(found) if !found.eq_ignore_ascii_case(expected) => {
                let object = format!("{object}, BLAKE3");
                checked
                    .differences
                    .push(difference("", &object, expected, &found));
            }
            Some(_) => {}
        }
    }
    Ok(VerifiedCopy {
        differences: checked.differences,
        files,
        bytes: checked.bytes,
    })
}
