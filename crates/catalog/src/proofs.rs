//! `mk_proof`, `mk_proof_database` and the seed's `user_recover_info`: what restore tests found.

mod record;

/// A set whose last proof failed for the files of a copy alone waits for another once a copy is known to be whole, or has
/// been replaced, since: `$at`.
macro_rules! try_again {
    ($tx:ident, $bk_id:expr, $at:expr) => {
        sqlx::query(
            "UPDATE user_backup SET validate_status = 'N/A' WHERE bk_id = ? AND validate_status = 'failed' AND EXISTS \
             (SELECT 1 FROM mk_proof p WHERE p.bk_id = user_backup.bk_id AND p.copy_differs = 1 \
             AND p.finished_ms <= ? AND NOT EXISTS \
             (SELECT 1 FROM mk_proof n WHERE n.bk_id = p.bk_id AND n.finished_ms > p.finished_ms))",
        )
        .bind($bk_id.to_string())
        .bind(crate::row::ms($at))
        .execute(&mut *$tx)
        .await?
    };
}

use crate::db::{Store, reading};
use crate::error::CatalogError;
use crate::row::{Place, signed};
use crate::{RecordedProof, RestoreTime};
use mykeeper_domain::proof::{AssertedValue, DatabaseProof, Link, Proof, ProvenSet};
use mykeeper_domain::{BackupId, JobName};
pub(crate) use record::record;
use sqlx::{FromRow, QueryBuilder};
use std::collections::HashMap;
pub(crate) use try_again;

/// Proofs of a server that are fetched at a time to find those of one job, and how many are looked at for it.
const PROOFS_AT_A_TIME: i64 = 100;
const PROOFS_LOOKED_AT: usize = 1_000;

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
    copy_differs: Option<i64>,
    bytes_checked: Option<i64>,
    bytes_loaded: Option<i64>,
    load_ms: Option<i64>,
    manifest_blake3: Option<String>,
    evidence_blake3: Option<String>,
    chain_number: Option<i64>,
    previous_digest: Option<String>,
    digest: Option<String>,
    chain_id: Option<String>,
    passed: i64,
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
    chain_number: i64,
    /// Of the set's own row.
    #[sqlx(skip)]
    backuped_db: Option<String>,
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
                chain: self.chain_id,
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
            copy_differs: self.copy_differs.is_some_and(|differs| differs != 0),
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

/// The proofs of a set, newest first, each with the text that its digest is of.
pub(crate) async fn of_set(store: &Store, id: BackupId) -> Result<Vec<RecordedProof>, CatalogError> {
    let (proofs, databases, documents): (Vec<ProofRow>, Vec<DatabaseRow>, Vec<DocumentRow>) = reading!(
        store,
        "list the proofs of a set",
        |conn| {
            let proofs = sqlx::query_as(
            "SELECT id, bk_id, run_id, node, path, sandbox_version, loader_version, started_ms, finished_ms, \
             dumper_version, source_version, asserts_json, warnings_json, copy_differs, bytes_checked, bytes_loaded, \
             load_ms, manifest_blake3, evidence_blake3, chain_number, previous_digest, digest, chain_id, passed \
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
            let document = texts.remove(&row.id);
            Ok(RecordedProof {
                passed: row.passed != 0,
                proof: row.into_proof(databases, document.as_deref())?,
                document,
            })
        })
        .collect()
}

/// How long the sets of a server took to come back: proofs that passed, the last recorded first.
pub(crate) async fn restore_times(
    store: &Store,
    tag: &str,
    job: Option<&JobName>,
    limit: u32,
) -> Result<Vec<RestoreTime>, CatalogError> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let rows: Vec<TimeRow> = reading!(store, "list how long sets took to come back", |conn| {
        let (mut rows, mut before, mut looked_at) = (Vec::new(), i64::MAX, 0);
        while rows.len() < wanted && looked_at < PROOFS_LOOKED_AT {
            let page: Vec<TimeRow> = sqlx::query_as(
                "SELECT bk_id, load_ms, bytes_loaded, set_started_ms, finished_ms, chain_number FROM mk_proof \
                 WHERE chain = ? AND chain_number < ? AND passed = 1 AND load_ms IS NOT NULL \
                 AND set_started_ms IS NOT NULL ORDER BY chain_number DESC LIMIT ?",
            )
            .bind(tag)
            .bind(before)
            .bind(PROOFS_AT_A_TIME)
            .fetch_all(&mut *conn)
            .await?;
            let Some(last) = page.last() else { break };
            before = last.chain_number;
            looked_at += page.len();
            // Not joined: where the collations of the two tables are not alike, no index would serve.
            let mut query = QueryBuilder::new("SELECT bk_id, backuped_db FROM user_backup WHERE bk_id IN (");
            let mut list = query.separated(", ");
            for row in &page {
                list.push_bind(row.bk_id.as_str());
            }
            match job {
                Some(job) => query.push(") AND +job = ").push_bind(job.as_str()),
                None => query.push(") AND +job IS NULL"),
            };
            let sets: Vec<(String, Option<String>)> = query.build_query_as().fetch_all(&mut *conn).await?;
            let sets: HashMap<String, Option<String>> = sets.into_iter().collect();
            rows.extend(page.into_iter().filter_map(|mut row| {
                row.backuped_db = sets.get(&row.bk_id)?.clone();
                Some(row)
            }));
        }
        rows.truncate(wanted);
        rows
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
                databases: row.backuped_db.clone().unwrap_or_default(),
                set_started_at: place.instant("set_started_ms", row.set_started_ms)?,
                proven_at: place.instant("finished_ms", row.finished_ms)?,
            })
        })
        .collect()
}

/// The links of a server's proofs numbered one less and one more than `number`.
pub(crate) async fn neighbours(store: &Store, tag: &str, number: u64) -> Result<Vec<Link>, CatalogError> {
    let rows: Vec<(Option<String>, i64, Option<String>, String)> = reading!(
        store,
        "list the neighbours of a proof",
        |conn| {
            sqlx::query_as(
            "SELECT chain_id, chain_number, previous_digest, digest FROM mk_proof WHERE chain = ? AND chain_number IN (?, ?) \
             AND digest IS NOT NULL ORDER BY chain_number",
        )
        .bind(tag)
        .bind(signed(number.saturating_sub(1)))
        .bind(signed(number.saturating_add(1)))
        .fetch_all(&mut *conn)
        .await?
        }
    )?;
    let place = Place {
        table: "mk_proof",
        id: tag,
    };
    rows.into_iter()
        .map(|(chain, number, previous, digest)| {
            Ok(Link {
                chain,
                number: place.count("chain_number", number)?,
                previous,
                digest,
            })
        })
        .collect()
}
