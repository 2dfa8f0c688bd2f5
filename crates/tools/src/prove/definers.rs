//! The accounts that definers name, in the throwaway server: without them a good view cannot be selected from. Each gets
//! the rights that it had on the source, as far as they are known, and nobody is let in as it.

use super::compare::difference;
use super::feed::{Feeder, quoted};
use super::load::Restore;
use crate::error::ToolError;
use crate::probe::{Probe, account_name};
use mykeeper_domain::definer::Definer;
use mykeeper_domain::inventory::{DatabaseInventory, Inventory};
use mykeeper_domain::proof::Difference;
use sqlx::Row;
use std::collections::BTreeSet;

/// What a grant begins with that is carried out.
const GRANT: &str = "GRANT ";

impl Restore<'_> {
    /// What the evidence knows of a database.
    pub(super) fn known(&self, database: &str) -> Option<&DatabaseInventory> {
        self.request.evidence?.inventory.databases.get(database)
    }

    /// Makes the accounts that the source's definers name: without a role of its name, a definition that names it is
    /// taken for a user's.
    pub(super) async fn create_known_definers(&self) -> Result<(), ToolError> {
        let Some(evidence) = self.request.evidence else {
            return Ok(());
        };
        let mut feeder = self.granting().await?;
        for definer in evidence.inventory.definers.keys() {
            create(&mut feeder, definer).await?;
        }
        Ok(())
    }

    /// Makes the accounts that definers name, with the rights that the source had given them.
    pub(super) async fn create_definers(&self) -> Result<(), ToolError> {
        let mut feeder = self.granting().await?;
        for definer in self.named_definers().await? {
            create(&mut feeder, &definer).await?;
            for grant in self.grants(&definer) {
                // A role, a table or a plugin that only the source has.
                feeder.execute(grant.as_bytes()).await?;
            }
        }
        Ok(())
    }

    /// Gives every definer every right.
    pub(super) async fn empower_definers(&self) -> Result<(), ToolError> {
        let mut feeder = self.granting().await?;
        for definer in self.named_definers().await? {
            let grant = everything(&definer);
            feeder.execute(grant.as_bytes()).await?;
        }
        Ok(())
    }

    async fn granting(&self) -> Result<Feeder, ToolError> {
        let mut feeder = Feeder::connect(self.server.socket()).await?;
        feeder.execute(b"SET NAMES utf8mb4").await?;
        feeder
            .execute(b"SET SESSION sql_mode='NO_BACKSLASH_ESCAPES'")
            .await?;
        Ok(feeder)
    }

    fn grants(&self, definer: &str) -> Vec<String> {
        let known = self
            .request
            .evidence
            .and_then(|evidence| evidence.inventory.definers.get(definer));
        match known {
            Some(Definer::Present(account)) => account
                .grants
                .iter()
                .filter(|grant| grant.starts_with(GRANT))
                .cloned()
                .collect(),
            Some(Definer::Absent | Definer::Unknown(_)) | None => vec![everything(definer)],
        }
    }

    /// Those of everything that was restored.
    async fn named_definers(&self) -> Result<BTreeSet<String>, ToolError> {
        const SQL: &str = "SELECT CONVERT(DEFINER USING utf8mb4) FROM information_schema.VIEWS \
                           UNION SELECT CONVERT(DEFINER USING utf8mb4) FROM information_schema.ROUTINES \
                           UNION SELECT CONVERT(DEFINER USING utf8mb4) FROM information_schema.TRIGGERS \
                           UNION SELECT CONVERT(DEFINER USING utf8mb4) FROM information_schema.EVENTS";
        let mut connection = self.server.connect().await?;
        let rows = sqlx::query(SQL)
            .fetch_all(&mut connection)
            .await
            .map_err(|error| ToolError::Query {
                action: "list the definers".to_owned(),
                server: "throwaway".to_owned(),
                cause: error.to_string(),
            })?;
        Ok(rows
            .iter()
            .filter_map(|row| row.try_get_unchecked::<Vec<u8>, _>(0).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .collect())
    }

    /// Objects of the database called `target` here whose definer is another than the source's, where that is not
    /// compared with all else of their definitions, or has no account.
    ///
    /// # Errors
    /// The server is gone.
    pub(super) async fn dangling(
        &self,
        probe: &mut Probe,
        (database, target): (&str, &str),
        (measure, found): (&DatabaseInventory, &mut Inventory),
    ) -> Result<Vec<Difference>, ToolError> {
        probe.definers(found).await?;
        let Some(content) = found.databases.get(target) else {
            return Ok(Vec::new());
        };
        let mut differences = Vec::new();
        for (object, definer) in content.definers() {
            let object_definer = format!("{object}, definer");
            if found.definers.get(definer) == Some(&Definer::Absent) && !definer.starts_with('@') {
                differences.push(difference(database, &object_definer, "an account", "none"));
            }
            let is_compared = measure.definitions.contains_key(object);
            let before = self
                .known(database)
                .and_then(|known| known.definitions.get(object)?.0.get("definer"));
            if let Some(before) = before.filter(|before| !is_compared && *before != definer) {
                differences.push(difference(database, &object_definer, before, definer));
            }
        }
        Ok(differences)
    }
}

/// One may exist: the system's own, which may look at nothing but the server's own tables.
async fn create(feeder: &mut Feeder, definer: &str) -> Result<(), ToolError> {
    let name = account_name(definer, &quoted);
    let is_role = definer.rsplit_once('@').is_none_or(|(_, host)| host.is_empty());
    let statements = if is_role {
        vec![format!("CREATE ROLE {name}")]
    } else {
        // An old server cannot lock one; it listens on a socket of ours alone.
        vec![
            format!("CREATE USER {name} ACCOUNT LOCK"),
            format!("CREATE USER {name}"),
        ]
    };
    for statement in statements {
        if feeder.execute(statement.as_bytes()).await?.is_none() {
            break;
        }
    }
    Ok(())
}

fn everything(definer: &str) -> String {
    format!("GRANT ALL ON *.* TO {}", account_name(definer, &quoted))
}
