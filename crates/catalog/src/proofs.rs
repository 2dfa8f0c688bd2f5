//! `mk_proof`, `mk_proof_database` and the seed's `user_recover_info`: what restore tests found.

use crate::db::{Store, is_duplicate, reading, writing};
use crate::error::CatalogError;
use crate::row::{Place, ms, signed, to_json};
use crate::zone::to_wall;
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::ValidateStatus;
use mykeeper_domain::proof::{DatabaseProof, Proof};
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
    started_ms: i64,
    finished_ms: i64,
}

impl ProofRow {
    fn into_proof(self, databases: Vec<DatabaseProof>) -> Result<Proof, CatalogError> {
        let place = Place {
            table: "mk_proof",
            id: &self.id,
        };
        Ok(Proof {
            bk_id: place.parse("bk_id", &self.bk_id)?,
            run_id: place.parse_some("run_id", self.run_id.as_ref())?,
            node: place.parse("node", &self.node)?,
            path: self.path,
            sandbox_version: self.sandbox_version,
            loader_version: self.loader_version,
            databases,
            started_at: place.instant("started_ms", self.started_ms)?,
            finished_at: place.instant("finished_ms", self.finished_ms)?,
        })
    }
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
    ($tx:ident, $id:ident, $proof:ident) => {
        sqlx::query(
            "INSERT INTO mk_proof (id, bk_id, run_id, node, path, sandbox_version, loader_version, passed, \
             started_ms, finished_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
        .execute(&mut *$tx)
        .await
    };
}

macro_rules! insert_database {
    ($tx:ident, $id:ident, $number:ident, $database:ident, $differences:ident) => {
        sqlx::query(
            "INSERT INTO mk_proof_database (proof_id, number, db, passed, differences_json, error, \
             objects_compared, rows_compared, started_ms, finished_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind($id.as_str())
        .bind(signed($number as u64))
        .bind($database.database.as_str())
        .bind(i64::from($database.passed))
        .bind($differences.as_str())
        .bind($database.error.as_deref())
        .bind(signed($database.objects_compared))
        .bind(signed($database.rows_compared))
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

pub(crate) async fn record(store: &Store, proof: &Proof) -> Result<(), CatalogError> {
    const ACTION: &str = "record a proof";
    let id = Uuid::new_v4().to_string();
    let differences = proof
        .databases
        .iter()
        .map(|database| to_json(ACTION, &database.differences))
        .collect::<Result<Vec<_>, _>>()?;
    let status = if proof.passed() {
        ValidateStatus::Passed
    } else {
        ValidateStatus::Failed
    };
    writing!(store, ACTION, |tx| {
        match insert_proof!(tx, id, proof) {
            // The same proof of the same run again: its first answer was lost on the way.
            Err(error) if is_duplicate(&error) => {}
            written => {
                written?;
                for (number, (database, differences)) in proof.databases.iter().zip(&differences).enumerate()
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
        }
    })
}

pub(crate) async fn of_set(store: &Store, id: BackupId) -> Result<Vec<Proof>, CatalogError> {
    let (proofs, databases): (Vec<ProofRow>, Vec<DatabaseRow>) = reading!(
        store,
        "list the proofs of a set",
        |conn| {
            let proofs = sqlx::query_as(
            "SELECT id, bk_id, run_id, node, path, sandbox_version, loader_version, started_ms, finished_ms \
             FROM mk_proof WHERE bk_id = ? ORDER BY finished_ms DESC, started_ms DESC, id",
        )
        .bind(id.to_string())
        .fetch_all(&mut *conn)
        .await?;
            let databases = sqlx::query_as(
            "SELECT d.proof_id, d.db, d.passed, d.differences_json, d.error, d.objects_compared, d.rows_compared, \
             d.started_ms, d.finished_ms FROM mk_proof p JOIN mk_proof_database d ON d.proof_id = p.id \
             WHERE p.bk_id = ? ORDER BY d.proof_id, d.number",
        )
        .bind(id.to_string())
        .fetch_all(&mut *conn)
        .await?;
            (proofs, databases)
        }
    )?;
    let mut by_proof: HashMap<String, Vec<DatabaseProof>> = HashMap::new();
    for row in databases {
        by_proof
            .entry(row.proof_id.clone())
            .or_default()
            .push(row.into_database()?);
    }
    proofs
        .into_iter()
        .map(|row| {
            let databases = by_proof.remove(&row.id).unwrap_or_default();
            row.into_proof(databases)
        })
        .collect()
}
