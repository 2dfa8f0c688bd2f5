//! `mk_file` and `mk_evidence`: what is in a set.

use crate::db::{Store, reading};
use crate::error::CatalogError;
use crate::row::{Place, to_json};
use mykeeper_domain::BackupId;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::manifest::{FileEntry, Manifest};
use sqlx::FromRow;
use std::io::Read;

/// Bytes of one INSERT of many rows, about.
const BATCH_BYTES: usize = 512 * 1024;
/// Rows of one INSERT: seven placeholders each, of which SQLite takes 32,766 and MySQL 65,535.
const BATCH_ROWS: usize = 1000;
/// Bytes of one part of the evidence.
pub(crate) const PART_BYTES: usize = 512 * 1024;
/// Evidence that unpacks to more than this is none of ours: some ten million tables.
const MOST_EVIDENCE_BYTES: u64 = 4 << 30;

/// What a statement has beside the texts that are written by it: its head, identities, numbers, types. A little more.
pub(crate) const STATEMENT_BYTES: usize = 1024;

/// What a file's row adds to a statement, at most: its texts, its set's identity, numbers, types, lengths.
fn row_bytes(file: &FileEntry) -> usize {
    file.path.len() + file.blake3.len() + 100
}

/// The size of the statement that writes these files, at most.
pub(crate) fn batch_bytes(files: &[FileEntry]) -> usize {
    STATEMENT_BYTES + files.iter().map(row_bytes).sum::<usize>()
}

/// Runs of files that fit into one statement each, with the number of the first.
pub(crate) fn batches(manifest: &Manifest) -> Vec<(usize, &[FileEntry])> {
    let mut batches = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, file) in manifest.files.iter().enumerate() {
        let size = row_bytes(file);
        if at > from && (at - from >= BATCH_ROWS || bytes + size > BATCH_BYTES) {
            batches.push((from, &manifest.files[from..at]));
            (from, bytes) = (at, 0);
        }
        bytes += size;
    }
    if from < manifest.files.len() {
        batches.push((from, &manifest.files[from..]));
    }
    batches
}

/// The evidence as it is kept: JSON, compressed by zstd.
pub(crate) fn pack(action: &'static str, evidence: &Evidence) -> Result<Vec<u8>, CatalogError> {
    let packed = zstd::encode_all(
        to_json(action, evidence)?.as_bytes(),
        zstd::DEFAULT_COMPRESSION_LEVEL,
    );
    packed.map_err(|error| CatalogError::Statement {
        action,
        cause: format!("the evidence cannot be compressed: {error}"),
    })
}

fn unpack(packed: &[u8]) -> std::io::Result<Evidence> {
    let text = zstd::stream::read::Decoder::with_buffer(packed)?.take(MOST_EVIDENCE_BYTES);
    serde_json::from_reader(std::io::BufReader::new(text)).map_err(std::io::Error::from)
}

/// The text in parts of at most [`PART_BYTES`], none of which ends within a character.
pub(crate) fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let mut end = rest.len().min(PART_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (part, tail) = rest.split_at(end);
        parts.push(part);
        rest = tail;
    }
    parts
}

#[derive(FromRow)]
struct FileRow {
    path: String,
    size_bytes: i64,
    blake3: String,
    plain_bytes: i64,
    data_rows: Option<i64>,
}

pub(crate) async fn files(store: &Store, id: BackupId) -> Result<Vec<FileEntry>, CatalogError> {
    let key = id.to_string();
    let rows: Vec<FileRow> = reading!(store, "list the files of a set", |conn| {
        sqlx::query_as(
            "SELECT path, size_bytes, blake3, plain_bytes, data_rows FROM mk_file WHERE bk_id = ? ORDER BY number",
        )
        .bind(key.as_str())
        .fetch_all(&mut *conn)
        .await?
    })?;
    let place = Place {
        table: "mk_file",
        id: &key,
    };
    let mut files = rows
        .into_iter()
        .map(|row| {
            Ok(FileEntry {
                size_bytes: place.count("size_bytes", row.size_bytes)?,
                plain_bytes: place.count("plain_bytes", row.plain_bytes)?,
                rows: row
                    .data_rows
                    .map(|rows| place.count("data_rows", rows))
                    .transpose()?,
                path: row.path,
                blake3: row.blake3,
            })
        })
        .collect::<Result<Vec<_>, CatalogError>>()?;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

pub(crate) async fn evidence(store: &Store, id: BackupId) -> Result<Option<Evidence>, CatalogError> {
    let key = id.to_string();
    let (packed, plain): (Vec<Vec<u8>>, Vec<String>) =
        reading!(store, "read the evidence of a set", |conn| {
            let packed =
                sqlx::query_scalar("SELECT packed FROM mk_evidence_zstd WHERE bk_id = ? ORDER BY part")
                    .bind(key.as_str())
                    .fetch_all(&mut *conn)
                    .await?;
            // Of sets from before it was compressed.
            let plain = sqlx::query_scalar("SELECT json FROM mk_evidence WHERE bk_id = ? ORDER BY part")
                .bind(key.as_str())
                .fetch_all(&mut *conn)
                .await?;
            (packed, plain)
        })?;
    let place = |table| Place { table, id: &key };
    if !packed.is_empty() {
        // Seconds for a set of a hundred thousand tables: not on a thread of the runtime.
        let unpacked = tokio::task::spawn_blocking(move || unpack(&packed.concat())).await;
        return match unpacked {
            Ok(Ok(evidence)) => Ok(Some(evidence)),
            Ok(Err(error)) => Err(place("mk_evidence_zstd").error("packed", error)),
            Err(error) => Err(place("mk_evidence_zstd").error("packed", error)),
        };
    }
    if plain.is_empty() {
        return Ok(None);
    }
    place("mk_evidence").json("json", &plain.concat()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_ends_within_a_character() {
        let text = format!("x{}", "库".repeat(PART_BYTES));
        let cut = parts(&text);
        assert!(cut.len() > 3 && cut.iter().all(|part| part.len() <= PART_BYTES));
        assert_eq!(cut.concat(), text);
        assert_eq!(parts(""), [] as [&str; 0]);
    }

    #[test]
    fn every_file_is_in_one_batch() {
        let file = |number: usize| FileEntry {
            path: "p".repeat(if number.is_multiple_of(7) { 4000 } else { 10 }),
            size_bytes: 1,
            blake3: String::new(),
            plain_bytes: 1,
            rows: None,
        };
        for count in [0, 1, 999, 1000, 1001, 5000] {
            let manifest = Manifest {
                version: 1,
                bk_id: BackupId::generate(),
                created_at: chrono::DateTime::UNIX_EPOCH,
                files: (0..count).map(file).collect(),
            };
            let mut next = 0;
            for (first, files) in batches(&manifest) {
                assert_eq!(first, next);
                assert!(!files.is_empty() && files.len() <= BATCH_ROWS);
                assert!(files.iter().map(|file| file.path.len()).sum::<usize>() <= BATCH_BYTES);
                next += files.len();
            }
            assert_eq!(next, count);
        }
    }
}
