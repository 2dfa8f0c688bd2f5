//! `mk_proof`, `mk_proof_database` and the seed's `user_recover_info`: what restore tests found.

use crate::RestoreTime;
use crate::contents::parts;
use crate::db::{Fault, Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms, signed, to_json};
use crate::zone::to_wall;
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::ValidateStatus;
use mykeeper_domain::proof::{AssertedValue, DatabaseProof, Link, Proof, ProofDocument, ProvenSet};
use sqlx::FromRow;
use std::collections::HashMap;
use uuid::Uuid;

/// So spelt by pybackup, and looked for so by its users' dashboards.
const RECOVERED: &str = "sucess";
const NOT_RECOVERED: &str = "failed";

#[derive(FromRow)]
struct ProofRow {
    id: String,
    bk_id: String,
    run_id: Option<String>,
    node: String,
    path: String,
    sandbox_version: String,
    loader_version: String,
    started_ms: i64,
    finished_ms: i64,
    dumper_version: Option<String>,
    source_version: Option<String>,
    asserts_json: Option<String>,
    warnings_json: Option<String>,
    bytes_checked: Option<i64>,
    bytes_loaded: Option<i64>,
    load_ms: Option<i64>,
    manifest_blake3: Option<String>,
    evidence_blake3: Option<String>,
    chain_number: Option<i64>,
    previous_digest: Option<String>,
    digest: Option<String>,
}

#[derive(FromRow)]
struct DatabaseRow {
    proof_id: String,
    db: String,
    passed: i64,
    differences_json: String,
    error: Option<String>,
    objects_compared: i64,
    rows_compared: i64,
    tables_exact: Option<i64>,
    tables_counted: Option<i64>,
    started_ms: i64,
    finished_ms: i64,
}

/// A part of the text that a proof's digest is of.
#[derive(FromRow)]
struct DocumentRow {
    proof_id: String,
    json: String,
}

#[derive(FromRow)]
struct TimeRow {
    bk_id: String,
    load_ms: i64,
    bytes_loaded: Option<i64>,
    set_started_ms: i64,
    finished_ms: i64,
}

impl ProofRow {
    /// `document` is the text that its digest is of, which alone tells of the set.
    fn into_proof(
        self,
        databases: Vec<DatabaseProof>,
        document: Option<&str>,
    ) -> Result<Proof, CatalogError> {
        let place = Place {
            table: "mk_proof",
            id: &self.id,
        };
        let bytes = |column, bytes: Option<i64>| place.count(column, bytes.unwrap_or(0));
        let link = match (self.chain_number, self.digest) {
            (Some(number), Some(digest)) => Some(Link {
                number: place.count("chain_number", number)?,
                previous: self.previous_digest,
                digest,
            }),
            _ => None,
        };
        let asserts: Option<Vec<AssertedValue>> = self
            .asserts_json
            .map(|text| place.json("asserts_json", &text))
            .transpose()?;
        let warnings: Option<Vec<String>> = self
            .warnings_json
            .map(|text| place.json("warnings_json", &text))
            .transpose()?;
        Ok(Proof {
            bk_id: place.parse("bk_id", &self.bk_id)?,
            run_id: place.parse_some("run_id", self.run_id.as_ref())?,
            node: place.parse("node", &self.node)?,
            path: self.path,
            sandbox_version: self.sandbox_version,
            loader_version: self.loader_version,
            dumper_version: self.dumper_version,
            source_version: self.source_version,
            databases,
            asserts: asserts.unwrap_or_default(),
            warnings: warnings.unwrap_or_default(),
            bytes_checked: bytes("bytes_checked", self.bytes_checked)?,
            bytes_loaded: bytes("bytes_loaded", self.bytes_loaded)?,
            load_ms: self
                .load_ms
                .map(|load_ms| place.count("load_ms", load_ms))
                .transpose()?,
            manifest_blake3: self.manifest_blake3,
            evidence_blake3: self.evidence_blake3,
            started_at: place.instant("started_ms", self.started_ms)?,
            finished_at: place.instant("finished_ms", self.finished_ms)?,
            // One that cannot be read shows in its digest, and keeps nobody from looking at the rest.
            set: document.and_then(set_of),
            link,
        })
    }
}

fn set_of(document: &str) -> Option<ProvenSet> {
    let mut document: serde_json::Value = serde_json::from_str(document).ok()?;
    serde_json::from_value(document.get_mut("set")?.take()).ok()
}

impl DatabaseRow {
    fn into_database(self) -> Result<DatabaseProof, CatalogError> {
        let place = Place {
            table: "mk_proof_database",
            id: &self.proof_id,
        };
        Ok(DatabaseProof {
            database: self.db,
            passed: self.passed != 0,
            differences: place.json("differences_json", &self.differences_json)?,
            error: self.error,
            objects_compared: place.count("objects_compared", self.objects_compared)?,
            rows_compared: place.count("rows_compared", self.rows_compared)?,
            tables_exact: place.count("tables_exact", self.tables_exact.unwrap_or(0))?,
            tables_counted: place.count("tables_counted", self.tables_counted.unwrap_or(0))?,
            started_at: place.instant("started_ms", self.started_ms)?,
            finished_at: place.instant("finished_ms", self.finished_ms)?,
        })
    }
}

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
             bytes_loaded, load_ms, manifest_blake3, evidence_blake3, set_started_ms, chain, chain_number, \
             previous_digest, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
        .bind($proof.set.as_ref().map(|set| ms(set.started_at)))
        .bind($document.as_ref().and_then(ProofDocument::tag))
        .bind($document.as_ref().and_then(ProofDocument::number).map(signed))
        .bind($document.as_ref().and_then(ProofDocument::previous))
        .bind($document.as_ref().map(|document| document.claimed.as_str()))
        .execute(&mut *$tx)
        .await
    };
}

macro_rules! insert_database {
    ($tx:ident, $id:ident, $number:ident, $database:ident, $differences:ident) => {
        sqlx::query(
            "INSERT INTO mk_proof_database (proof_id, number, db, passed, differences_json, error, \
             objects_compared, rows_compared, tables_exact, tables_counted, started_ms, finished_ms) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind($id.as_str())
        .bind(signed($number as u64))
        .bind($database.database.as_str())
        .bind(i64::from($database.passed))
        .bind($differences.as_str())
        .bind($database.error.as_deref())
        .bind(signed($database.objects_compared))
        .bind(signed($database.rows_compared))
        .bind(signed($database.tables_exact))
        .bind(signed($database.tables_counted))
        .bind(ms($database.started_at))
        .bind(ms($database.finished_at))
        .execute(&mut *$tx)
        .await?
    };
}

macro_rules! insert_recovery {
    ($tx:ident, $proof:ident, $tag:ident, $database:ident, $store:ident) => {
        sqlx::query(
            "INSERT INTO user_recover_info (bk_id, tag, backup_path, db, start_time, end_time, elapsed_time, \
             recover_status, validate_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind($proof.bk_id.to_string())
        .bind($tag.as_str())
        .bind($proof.path.as_str())
        .bind($database.database.as_str())
        .bind(to_wall($database.started_at, $store.zone))
        .bind(to_wall($database.finished_at, $store.zone))
        .bind(($database.finished_at - $database.started_at).num_seconds())
        .bind(if $database.passed {
            RECOVERED
        } else {
            NOT_RECOVERED
        })
        .bind($store.timestamp($proof.finished_at))
        .execute(&mut *$tx)
        .await?
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

/// What of a proof is kept as JSON.
struct Texts {
    asserts: String,
    warnings: String,
    /// One for each database.
    differences: Vec<String>,
}

impl Texts {
    fn of(action: &'static str, proof: &Proof) -> Result<Self, CatalogError> {
        Ok(Self {
            asserts: to_json(action, &proof.asserts)?,
            warnings: to_json(action, &proof.warnings)?,
            differences: proof
                .databases
                .iter()
                .map(|database| to_json(action, &database.differences))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The number and the digest of the last proof of a server; nothing where it has none yet.
macro_rules! last_of_chain {
    ($tx:ident, $proof:ident) => {
        match &$proof.set {
            None => None,
            Some(set) => {
                sqlx::query_as::<_, (i64, String)>(
                    "SELECT chain_number, digest FROM mk_proof WHERE chain = ? \
                     ORDER BY chain_number DESC LIMIT 1",
                )
                .bind(set.tag.as_str())
                .fetch_optional(&mut *$tx)
                .await?
            }
        }
    };
}

fn next_document(proof: &Proof, last: Option<(i64, String)>) -> Option<ProofDocument> {
    let (number, previous) = last.unzip();
    let number = u64::try_from(number.unwrap_or(0)).unwrap_or(0) + 1;
    ProofDocument::new(proof, number, previous.as_deref())
}

pub(crate) async fn record(store: &Store, proof: &Proof) -> Result<(), CatalogError> {
    const ACTION: &str = "record a proof";
    let id = Uuid::new_v4().to_string();
    let texts = Texts::of(ACTION, proof)?;
    let status = if proof.passed() {
        ValidateStatus::Passed
    } else {
        ValidateStatus::Failed
    };
    writing!(store, ACTION, |tx| {
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
                    written?;
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
                    .await?;
            }
            for (number, (database, differences)) in
                proof.databases.iter().zip(&texts.differences).enumerate()
            {
                insert_database!(tx, id, number, database, differences);
            }
            let tag: Option<String> = sqlx::query_scalar("SELECT tag FROM user_backup WHERE bk_id = ?")
                .bind(proof.bk_id.to_string())
                .fetch_optional(&mut *tx)
                .await?;
            let tag = tag.unwrap_or_else(|| "N/A".to_owned());
            for database in recovered(proof) {
                insert_recovery!(tx, proof, tag, database, store);
            }
            sqlx::query("UPDATE user_backup SET validate_status = ? WHERE bk_id = ?")
                .bind(status.as_str())
                .bind(proof.bk_id.to_string())
                .execute(&mut *tx)
                .await?;
        }
    })
}

/// The proofs of a set, newest first, each with the text that its digest is of.
pub(crate) async fn of_set(
    store: &Store,
    id: BackupId,
) -> Result<Vec<(Proof, Option<String>)>, CatalogError> {
    let (proofs, databases, documents): (Vec<ProofRow>, Vec<DatabaseRow>, Vec<DocumentRow>) = reading!(
        store,
        "list the proofs of a set",
        |conn| {
            let proofs = sqlx::query_as(
            "SELECT id, bk_id, run_id, node, path, sandbox_version, loader_version, started_ms, finished_ms, \
             dumper_version, source_version, asserts_json, warnings_json, bytes_checked, bytes_loaded, load_ms, \
             manifest_blake3, evidence_blake3, chain_number, previous_digest, digest \
             FROM mk_proof WHERE bk_id = ? ORDER BY finished_ms DESC, started_ms DESC, id",
        )
        .bind(id.to_string())
        .fetch_all(&mut *conn)
        .await?;
            let databases = sqlx::query_as(
            "SELECT d.proof_id, d.db, d.passed, d.differences_json, d.error, d.objects_compared, d.rows_compared, \
             d.tables_exact, d.tables_counted, d.started_ms, d.finished_ms FROM mk_proof p \
             JOIN mk_proof_database d ON d.proof_id = p.id WHERE p.bk_id = ? ORDER BY d.proof_id, d.number",
        )
        .bind(id.to_string())
        .fetch_all(&mut *conn)
        .await?;
            let documents = sqlx::query_as(
                "SELECT d.proof_id, d.json FROM mk_proof p JOIN mk_proof_document d ON d.proof_id = p.id \
             WHERE p.bk_id = ? ORDER BY d.proof_id, d.part",
            )
            .bind(id.to_string())
            .fetch_all(&mut *conn)
            .await?;
            (proofs, databases, documents)
        }
    )?;
    let mut by_proof: HashMap<String, Vec<DatabaseProof>> = HashMap::new();
    for row in databases {
        by_proof
            .entry(row.proof_id.clone())
            .or_default()
            .push(row.into_database()?);
    }
    let mut texts: HashMap<String, String> = HashMap::new();
    for row in documents {
        texts.entry(row.proof_id).or_default().push_str(&row.json);
    }
    proofs
        .into_iter()
        .map(|row| {
            let databases = by_proof.remove(&row.id).unwrap_or_default();
            let text = texts.remove(&row.id);
            Ok((row.into_proof(databases, text.as_deref())?, text))
        })
        .collect()
}

/// How long the sets of a server took to come back: proofs that passed, the last recorded first.
pub(crate) async fn restore_times(
    store: &Store,
    tag: &str,
    limit: u32,
) -> Result<Vec<RestoreTime>, CatalogError> {
    let rows: Vec<TimeRow> = reading!(store, "list how long sets took to come back", |conn| {
        sqlx::query_as(
            "SELECT bk_id, load_ms, bytes_loaded, set_started_ms, finished_ms FROM mk_proof \
             WHERE chain = ? AND passed = 1 AND load_ms IS NOT NULL AND set_started_ms IS NOT NULL \
             ORDER BY chain_number DESC LIMIT ?",
        )
        .bind(tag)
        .bind(i64::from(limit))
        .fetch_all(&mut *conn)
        .await?
    })?;
    rows.into_iter()
        .map(|row| {
            let place = Place {
                table: "mk_proof",
                id: &row.bk_id,
            };
            Ok(RestoreTime {
                bk_id: place.parse("bk_id", &row.bk_id)?,
                load: std::time::Duration::from_millis(place.count("load_ms", row.load_ms)?),
                bytes_loaded: place.count("bytes_loaded", row.bytes_loaded.unwrap_or(0))?,
                set_started_at: place.instant("set_started_ms", row.set_started_ms)?,
                proven_at: place.instant("finished_ms", row.finished_ms)?,
            })
        })
        .collect()
}
