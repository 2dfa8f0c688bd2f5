//! Writes a proof: its document, its databases, and the verdict that the set's row shows.

use crate::contents::{PART_BYTES, STATEMENT_BYTES, parts};
use crate::db::{Fault, STATEMENT_LIMIT, Store, is_duplicate, writing};
use crate::error::CatalogError;
use crate::proofs::try_again;
use crate::row::{ms, signed, to_json};
use crate::verifications::{VerificationRow, last_intact};
use crate::zone::to_wall;
use chrono::DateTime;
use mykeeper_domain::backup::ValidateStatus;
use mykeeper_domain::proof::{DatabaseProof, Proof, ProofDocument};
use sqlx::QueryBuilder;
use std::time::Duration;
use uuid::Uuid;

/// So spelt by pybackup, and looked for so by its users' dashboards.
const RECOVERED: &str = "sucess";
const NOT_RECOVERED: &str = "failed";

/// Rows of one INSERT: twelve placeholders each, of which SQLite takes 32,766 and MySQL 65,535.
const BATCH_ROWS: usize = 1000;
/// Bytes of one INSERT of many rows, about.
const BATCH_BYTES: usize = 512 * 1024;
/// Differences of one database that are kept, at most; together not much longer than [`MOST_BYTES`], each with texts of
/// [`LONGEST_TEXT`] bytes.
const MOST_DIFFERENCES: usize = 1000;
const MOST_BYTES: usize = 256 * 1024;
const LONGEST_TEXT: usize = 16 * 1024;
/// What each batch of rows adds to the time that a proof may take.
const LIMIT_PER_BATCH: Duration = Duration::from_secs(1);

/// The databases that get a row in `user_recover_info`. What concerns the whole set has no name and no row of its
/// own, unless it is all that there is: a failure must show.
fn recovered(proof: &Proof) -> Vec<&DatabaseProof> {
    let named: Vec<_> = proof
        .databases
        .iter()
        .filter(|database| !database.database.is_empty())
        .collect();
    if named.is_empty() {
        proof
            .databases
            .iter()
            .filter(|database| !database.passed)
            .collect()
    } else {
        named
    }
}

macro_rules! insert_proof {
    ($tx:ident, $id:ident, $proof:ident, $texts:ident, $document:ident) => {
        sqlx::query(
            "INSERT INTO mk_proof (id, bk_id, run_id, node, path, sandbox_version, loader_version, passed, \
             started_ms, finished_ms, dumper_version, source_version, asserts_json, warnings_json, bytes_checked, \
             bytes_loaded, load_ms, manifest_blake3, evidence_blake3, copy_differs, set_started_ms, chain, \
             chain_number, previous_digest, digest, chain_id) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind($id.as_str())
        .bind($proof.bk_id.to_string())
        .bind($proof.run_id.map(|id| id.to_string()))
        .bind($proof.node.as_str())
        .bind($proof.path.as_str())
        .bind($proof.sandbox_version.as_str())
        .bind($proof.loader_version.as_str())
        .bind(i64::from($proof.passed()))
        .bind(ms($proof.started_at))
        .bind(ms($proof.finished_at))
        .bind($proof.dumper_version.as_deref())
        .bind($proof.source_version.as_deref())
        .bind($texts.asserts.as_str())
        .bind($texts.warnings.as_str())
        .bind(signed($proof.bytes_checked))
        .bind(signed($proof.bytes_loaded))
        .bind($proof.load_ms.map(signed))
        .bind($proof.manifest_blake3.as_deref())
        .bind($proof.evidence_blake3.as_deref())
        .bind(i64::from($proof.copy_differs))
        .bind($proof.set.as_ref().map(|set| ms(set.started_at)))
        .bind($document.as_ref().and_then(ProofDocument::tag))
        .bind($document.as_ref().and_then(ProofDocument::number).map(signed))
        .bind($document.as_ref().and_then(ProofDocument::previous))
        .bind($document.as_ref().map(|document| document.claimed.as_str()))
        .bind($document.as_ref().and_then(ProofDocument::chain))
        .execute(&mut *$tx)
        .await
    };
}

macro_rules! insert_databases {
    ($tx:ident, $id:ident, $first:ident, $databases:ident) => {
        let mut query = QueryBuilder::new(
            "INSERT INTO mk_proof_database (proof_id, number, db, passed, differences_json, error, \
             objects_compared, rows_compared, tables_exact, tables_counted, started_ms, finished_ms) ",
        );
        query.push_values(
            $databases.iter().enumerate(),
            |mut row, (at, (database, differences))| {
                row.push_bind($id.as_str())
                    .push_bind(signed(($first + at) as u64))
                    .push_bind(database.database.as_str())
                    .push_bind(i64::from(database.passed))
                    .push_bind(differences.as_str())
                    .push_bind(database.error.as_deref())
                    .push_bind(signed(database.objects_compared))
                    .push_bind(signed(database.rows_compared))
                    .push_bind(signed(database.tables_exact))
                    .push_bind(signed(database.tables_counted))
                    .push_bind(ms(database.started_at))
                    .push_bind(ms(database.finished_at));
            },
        );
        let bytes = $databases
            .iter()
            .map(|(database, differences)| row_bytes(database, differences))
            .sum::<usize>();
        // Statements of this size are not kept prepared.
        let written = query.build().persistent(false).execute(&mut *$tx).await;
        written.map_err(|error| Fault::of_large(error, STATEMENT_BYTES + bytes))?
    };
}

macro_rules! insert_recoveries {
    ($tx:ident, $proof:ident, $tag:ident, $databases:ident, $store:ident) => {
        let mut query = QueryBuilder::new(
            "INSERT INTO user_recover_info (bk_id, tag, backup_path, db, start_time, end_time, elapsed_time, \
             recover_status, validate_time) ",
        );
        query.push_values($databases, |mut row, database| {
            row.push_bind($proof.bk_id.to_string())
                .push_bind($tag.as_str())
                .push_bind($proof.path.as_str())
                .push_bind(database.database.as_str())
                .push_bind(to_wall(database.started_at, $store.zone))
                .push_bind(to_wall(database.finished_at, $store.zone))
                .push_bind((database.finished_at - database.started_at).num_seconds())
                .push_bind(if database.passed { RECOVERED } else { NOT_RECOVERED })
                .push_bind($store.timestamp($proof.finished_at));
        });
        query.build().persistent(false).execute(&mut *$tx).await?
    };
}

impl Store {
    /// For `validate_time`: MySQL's TIMESTAMP takes the session's zone, which is UTC, and shows each reader his own;
    /// SQLite has the text alone, in the zone of the columns beside it.
    fn timestamp(&self, at: chrono::DateTime<chrono::Utc>) -> String {
        match &self.db {
            crate::db::Db::Lite { .. } => to_wall(at, self.zone),
            crate::db::Db::My { .. } => to_wall(at, chrono_tz::Tz::UTC),
        }
    }
}

/// What a database's row adds to a statement, at most: its texts, identities, numbers, types, lengths.
fn row_bytes(database: &DatabaseProof, differences: &str) -> usize {
    database.database.len() + database.error.as_ref().map_or(0, String::len) + differences.len() + 200
}

/// What of a proof is kept as JSON, ready to be written.
struct Texts<'a> {
    asserts: String,
    warnings: String,
    /// As many databases as fit into one statement each, with the number of the first, and the differences of each.
    databases: Vec<(usize, Vec<(&'a DatabaseProof, String)>)>,
}

impl<'a> Texts<'a> {
    fn of(action: &'static str, proof: &'a Proof) -> Result<Self, CatalogError> {
        let mut databases: Vec<(usize, Vec<_>)> = Vec::new();
        let mut bytes = 0;
        for (number, database) in proof.databases.iter().enumerate() {
            let differences = to_json(action, &database.differences)?;
            let size = row_bytes(database, &differences);
            match databases.last_mut() {
                Some((_, batch)) if batch.len() < BATCH_ROWS && bytes + size <= BATCH_BYTES => {
                    batch.push((database, differences));
                    bytes += size;
                }
                _ => {
                    databases.push((number, vec![(database, differences)]));
                    bytes = size;
                }
            }
        }
        Ok(Self {
            asserts: to_json(action, &proof.asserts)?,
            warnings: to_json(action, &proof.warnings)?,
            databases,
        })
    }

    /// As long as it takes over a slow line: one that is given up over and over would hold up all that waits behind it.
    fn time_limit(&self, document: usize, recovered: usize) -> Duration {
        let statements =
            self.databases.len() + recovered.div_ceil(BATCH_ROWS) + document.div_ceil(PART_BYTES);
        STATEMENT_LIMIT + LIMIT_PER_BATCH * u32::try_from(statements).unwrap_or(u32::MAX)
    }
}

/// Chain, number and digest of the last proof of a server.
type Last = (Option<String>, i64, String);

/// The last proof of a server; nothing where it has none yet.
macro_rules! last_of_chain {
    ($tx:ident, $proof:ident) => {
        match &$proof.set {
            None => None,
            Some(set) => {
                sqlx::query_as::<_, Last>(
                    "SELECT chain_id, chain_number, digest FROM mk_proof WHERE chain = ? \
                     ORDER BY chain_number DESC LIMIT 1",
                )
                .bind(set.tag.as_str())
                .fetch_optional(&mut *$tx)
                .await?
            }
        }
    };
}

/// The first of a chain gives it its identity.
fn next_document(proof: &Proof, last: Option<Last>) -> Option<ProofDocument> {
    match last {
        None => ProofDocument::new(proof, Some(&Uuid::new_v4().to_string()), 1, None),
        Some((chain, number, digest)) => {
            let number = u64::try_from(number).unwrap_or(0) + 1;
            ProofDocument::new(proof, chain.as_deref(), number, Some(&digest))
        }
    }
}

/// The proof without what no server would take in one row: the run's log has all of it.
fn shortened(proof: &Proof) -> Proof {
    let mut proof = proof.clone();
    for database in &mut proof.databases {
        let (mut kept, mut bytes) = (0, 0);
        for difference in &mut database.differences {
            for text in [
                &mut difference.object,
                &mut difference.expected,
                &mut difference.found,
            ] {
                shorten(text);
                bytes += text.len();
            }
            if kept == MOST_DIFFERENCES || (kept > 0 && bytes > MOST_BYTES) {
                break;
            }
            kept += 1;
        }
        let more = database.differences.len() - kept;
        if more > 0 {
            database.differences.truncate(kept);
            proof.warnings.push(format!(
                "{}: {more} more differences are in the log of the run",
                database.database
            ));
        }
        if let Some(error) = &mut database.error {
            shorten(error);
        }
    }
    proof
}

fn shorten(text: &mut String) {
    if text.len() > LONGEST_TEXT {
        let mut end = LONGEST_TEXT;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
}

pub(crate) async fn record(store: &Store, proof: &Proof) -> Result<(), CatalogError> {
    const ACTION: &str = "record a proof";
    let proof = &shortened(proof);
    let id = Uuid::new_v4().to_string();
    let texts = Texts::of(ACTION, proof)?;
    let recovered = recovered(proof);
    let status = if proof.passed() {
        ValidateStatus::Passed
    } else {
        ValidateStatus::Failed
    };
    // Its number has a few digits more or less: that is all that is not known of it yet.
    let document = next_document(proof, None).map_or(0, |document| document.canonical().len());
    let limit = texts.time_limit(document, recovered.len());
    writing!(store, ACTION, limit, |tx| {
        // The same proof of the same run again: its first answer was lost on the way.
        let known: i64 = sqlx::query_scalar(
            "SELECT COUNT(*) FROM mk_proof WHERE bk_id = ? AND run_id = ? AND started_ms = ?",
        )
        .bind(proof.bk_id.to_string())
        .bind(proof.run_id.map(|id| id.to_string()))
        .bind(ms(proof.started_at))
        .fetch_one(&mut *tx)
        .await?;
        if known == 0 {
            let document = next_document(proof, last_of_chain!(tx, proof));
            match insert_proof!(tx, id, proof, texts, document) {
                // Another has taken that number of the chain meanwhile, or recorded this very proof.
                Err(error) if is_duplicate(&error) => Err(Fault::Raced)?,
                written => {
                    let bytes = STATEMENT_BYTES * 2 + texts.asserts.len() + texts.warnings.len();
                    written.map_err(|error| Fault::of_large(error, bytes))?;
                }
            }
            let text = document
                .as_ref()
                .map(ProofDocument::canonical)
                .unwrap_or_default();
            for (number, part) in parts(&text).into_iter().enumerate() {
                sqlx::query("INSERT INTO mk_proof_document (proof_id, part, json) VALUES (?, ?, ?)")
                    .bind(id.as_str())
                    .bind(signed(number as u64))
                    .bind(part)
                    .execute(&mut *tx)
                    .await
                    .map_err(|error| Fault::of_large(error, STATEMENT_BYTES + part.len()))?;
            }
            for (first, databases) in &texts.databases {
                insert_databases!(tx, id, first, databases);
            }
            let tag: Option<String> = sqlx::query_scalar("SELECT tag FROM user_backup WHERE bk_id = ?")
                .bind(proof.bk_id.to_string())
                .fetch_optional(&mut *tx)
                .await?;
            let tag = tag.unwrap_or_else(|| "N/A".to_owned());
            for databases in recovered.chunks(BATCH_ROWS) {
                insert_recoveries!(tx, proof, tag, databases, store);
            }
            // One that was kept while the catalog was away may come after a newer one of another node.
            sqlx::query(
                "UPDATE user_backup SET validate_status = ? WHERE bk_id = ? AND NOT EXISTS \
                 (SELECT 1 FROM mk_proof p WHERE p.bk_id = user_backup.bk_id AND p.finished_ms > ?)",
            )
            .bind(status.as_str())
            .bind(proof.bk_id.to_string())
            .bind(ms(proof.finished_at))
            .execute(&mut *tx)
            .await?;
            if proof.copy_differs {
                // Heard of since the files were read, and before the verdict: nothing would free the set afterwards.
                let looks: Vec<VerificationRow> = sqlx::query_as(
                    "SELECT bk_id, node, run_id, state, looked_ms, copies_json FROM mk_verification \
                     WHERE bk_id = ? AND looked_ms > ?",
                )
                .bind(proof.bk_id.to_string())
                .bind(ms(proof.finished_at))
                .fetch_all(&mut *tx)
                .await?;
                // The last that brought something: a delivery's row tells of any ending.
                let arrived: Option<i64> = sqlx::query_scalar(
                    "SELECT MAX(finished_ms) FROM mk_transfer WHERE bk_id = ? AND purpose = 'send' \
                     AND state IN ('succeeded', 'warned')",
                )
                .bind(proof.bk_id.to_string())
                .fetch_one(&mut *tx)
                .await?;
                let arrived = arrived.and_then(DateTime::from_timestamp_millis);
                let whole = last_intact(looks)?.max(arrived);
                if let Some(at) = whole.filter(|at| *at > proof.finished_at) {
                    try_again!(tx, proof.bk_id, at);
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::NodeName;
    use mykeeper_domain::proof::Difference;

    fn proof(databases: usize, found: &str) -> Proof {
        let at = DateTime::UNIX_EPOCH;
        let difference = Difference {
            database: "shop".into(),
            object: "table a".into(),
            expected: "1".into(),
            found: found.to_owned(),
        };
        let database = |number: usize| DatabaseProof {
            database: format!("shop{number}"),
            passed: false,
            differences: vec![difference.clone()],
            error: None,
            objects_compared: 1,
            rows_compared: 1,
            tables_exact: 1,
            tables_counted: 0,
            started_at: at,
            finished_at: at,
        };
        Proof {
            bk_id: mykeeper_domain::BackupId::generate(),
            run_id: None,
            node: NodeName::new("n1").unwrap(),
            path: "/sets".into(),
            sandbox_version: "10.11".into(),
            loader_version: "0.10".into(),
            dumper_version: None,
            source_version: None,
            databases: (0..databases).map(database).collect(),
            asserts: Vec::new(),
            warnings: Vec::new(),
            copy_differs: false,
            bytes_checked: 0,
            bytes_loaded: 0,
            load_ms: None,
            manifest_blake3: None,
            evidence_blake3: None,
            started_at: at,
            finished_at: at,
            set: None,
            link: None,
        }
    }

    #[test]
    fn what_no_server_takes_in_one_row_is_cut_and_said() {
        let mut long = proof(1, &"库".repeat(100_000));
        let one = long.databases[0].differences[0].clone();
        long.databases[0].differences = vec![one; 200];
        let short = shortened(&long);
        let kept = &short.databases[0].differences;
        assert!((1..=MOST_DIFFERENCES).contains(&kept.len()));
        assert!(to_json("test", kept).unwrap().len() < 2 * MOST_BYTES);
        let more = 200 - kept.len();
        assert_eq!(
            short.warnings,
            [format!(
                "shop0: {more} more differences are in the log of the run"
            )]
        );
        let little = proof(3, "2");
        assert_eq!(shortened(&little), little);
    }

    #[test]
    fn a_proof_of_many_databases_takes_few_statements_and_is_given_more_time_for_each() {
        for (count, found, statements) in [
            (0, "2", 0),
            (1, "2", 1),
            (3000, "2", 3),
            (8, &*"x".repeat(200_000), 4),
        ] {
            let proof = proof(count, found);
            let texts = Texts::of("test", &proof).unwrap();
            assert_eq!(texts.databases.len(), statements, "{count} databases");
            let mut next = 0;
            for (first, databases) in &texts.databases {
                assert_eq!(*first, next);
                next += databases.len();
            }
            assert_eq!(next, count);
            let more = u32::try_from(statements + count.div_ceil(BATCH_ROWS) + 2).unwrap();
            assert_eq!(
                texts.time_limit(PART_BYTES * 2, count),
                STATEMENT_LIMIT + LIMIT_PER_BATCH * more
            );
        }
    }
}
