//! Puts a set into a real server, and compares what is there then with the set's evidence.
//!
//! In this order, each for all databases: every file is read and compared with its manifest before anything is
//! written; databases are made; tables; rows, several tables at a time; routines and triggers; views; then rows are read
//! back, before events are made, which may begin at once and change them; and definitions are compared. The server's own
//! client loads them: see [`client`]. The binary log stays on, so that replicas follow.

mod check;
mod client;
mod compare;
mod define;
mod letters;
mod load;
mod naming;
mod notes;
mod scope;
mod standing;
mod target;
mod unit;

pub use check::{CheckedSet, check_set, survey_set};
pub use letters::Letters;
pub use scope::Scope;
pub use target::{DataDir, SYSTEM_DATABASES, Target, is_system_database, look_at_target};

use crate::connection::ServerConnection;
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::prove::ProveRequest;
use client::{Client, find_client};
use load::Load;
use mykeeper_domain::proof::Difference;
use serde::Serialize;
use standing::Standing;
use std::path::Path;

/// A set, and where it is put.
#[derive(Clone, Copy, Debug)]
pub struct RestoreRequest<'a> {
    /// The set, as for a proof of it; the throwaway server lends the number of threads alone.
    pub set: ProveRequest<'a>,
    /// What of it is written, and under which names.
    pub scope: &'a Scope,
    /// Whether what is there under their names is dropped first.
    pub overwrite: bool,
    /// The server. Its account needs all privileges on these databases, and those of their definers.
    pub connection: &'a ServerConnection,
    /// A folder that no one else may read.
    pub private_dir: &'a Path,
}

/// One database as it came back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RestoredDatabase {
    /// Its name in the server.
    pub database: String,
    /// Its name in the set, where that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
    /// What is other than the evidence has it.
    pub differences: Vec<Difference>,
    /// What the server refused, each with the file it stands in.
    pub refusals: Vec<String>,
    /// How many objects were compared.
    pub objects: u64,
    /// How many rows were counted.
    pub rows: u64,
}

impl RestoredDatabase {
    /// All is there.
    pub fn is_whole(&self) -> bool {
        self.differences.is_empty() && self.refusals.is_empty()
    }
}

/// A set as it came back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// One for each that was wanted.
    pub databases: Vec<RestoredDatabase>,
    /// What is worth a look.
    pub warnings: Vec<String>,
    /// Bytes of statements.
    pub loaded_bytes: u64,
}

impl Restored {
    /// Every database is.
    pub fn is_whole(&self) -> bool {
        self.databases.iter().all(RestoredDatabase::is_whole)
    }
}

/// Writes the wanted databases into a server that is as `target` has it.
///
/// A restore that ends early leaves what it has written; the log says how far each database has come.
///
/// # Errors
/// The client is missing, the server refused a table or rows, the run was ended.
pub async fn restore_set(
    request: &RestoreRequest<'_>,
    (checked, target): (&CheckedSet, &Target),
    env: &ToolEnv<'_>,
) -> Result<Restored, ToolError> {
    let program = find_client(target.is_mariadb(), env).await?;
    env.log
        .line("mykeeper", &format!("loading with {}", program.banner));
    let server = (request.connection, target.can_encrypt);
    let client = Client::new(program, server, request.private_dir, request.set.limits, env)?;
    let standing = Standing::new(&checked.layout, request.scope);
    let load = Load::new(request, (checked, target), (&client, &standing), env);
    let writing = async {
        let loaded = load.run().await?;
        let mut read = compare::read_back(request, (&checked.layout, target), loaded, env).await?;
        load.make_events(&mut read.loaded).await?;
        Ok(read)
    };
    match writing.await {
        Ok(read) => compare::compare(request, read, env).await,
        Err(error) => {
            for line in standing.lines() {
                env.log.line("mykeeper", &line);
            }
            Err(error)
        }
    }
}
