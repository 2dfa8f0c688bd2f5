//! The server that a set is put into, before anything is written there.

use super::letters::{Letters, letters};
use super::scope::Scope;
use crate::connection::ServerConnection;
use crate::error::ToolError;
use crate::probe::{DatabaseNeed, RestoreNeed, missing_for_restore};
use crate::probe::{Probe, text};
use mykeeper_domain::definition::UNKNOWN;
use mykeeper_domain::evidence::BinaryLog;
use mykeeper_domain::inventory::{DatabaseInventory, Inventory};
use mykeeper_domain::server::Endpoint;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

/// Databases that belong to the server itself. A set's copy of them is never put into a running server.
pub const SYSTEM_DATABASES: [&str; 4] = ["mysql", "information_schema", "performance_schema", "sys"];

/// Whether a database is the server's own.
pub fn is_system_database(name: &str) -> bool {
    SYSTEM_DATABASES
        .iter()
        .any(|system| system.eq_ignore_ascii_case(name))
}

/// What a server holds of the databases that are to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// `SELECT VERSION()`.
    pub version: String,
    /// `lower_case_table_names`: 0, it tells `Shop` from `shop`; 1, it keeps names in small letters; 2, as they were given.
    pub(super) lower_case_table_names: u8,
    /// Wanted name to what is there under it.
    pub existing: BTreeMap<String, DatabaseInventory>,
    /// Wanted names that stand for a database which is there under another spelling.
    pub other_spellings: BTreeMap<String, String>,
    /// Where its data lie, when that is on this machine; else why it is not known.
    pub data_dir: DataDir,
    /// Where its binary log lies, and its port; `None` where it does not tell.
    pub binary_log: Option<BinaryLog>,
    /// Whether it can encrypt connections.
    pub(super) can_encrypt: bool,
    /// `SHOW GRANTS` of the account; empty where it cannot be asked.
    grants: Vec<String>,
    /// Whether it takes functions and triggers of an account that is no administrator's only.
    distrusts: bool,
}

/// The folder of a server's data, as seen from this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataDir {
    /// Here.
    Here(PathBuf),
    /// A fragment: `the server is on another machine`.
    Unknown(&'static str),
}

impl Default for DataDir {
    fn default() -> Self {
        Self::Unknown("the server was not asked")
    }
}

impl Target {
    /// Why its account cannot write what is wanted of a set, as far as grants and the set's inventory tell; each with what an
    /// administrator may run.
    pub fn missing_rights(&self, scope: &Scope, held: &Inventory, overwrite: bool) -> Vec<String> {
        let mut need = RestoreNeed::default();
        let mut makes_code = false;
        let mut definers = BTreeSet::new();
        for database in &scope.databases {
            let there = scope.there(database);
            let part = held.databases.get(database).cloned().unwrap_or_default();
            makes_code |= !part.functions.is_empty() || !part.triggers.is_empty();
            let one = DatabaseNeed {
                name: there.to_owned(),
                drops: overwrite && self.existing.contains_key(there),
                tables: scope
                    .tables_of(database)
                    .filter(|_| self.existing.contains_key(there))
                    .cloned(),
                views: !part.views.is_empty(),
                triggers: !part.triggers.is_empty(),
                routines: !part.procedures.is_empty() || !part.functions.is_empty(),
                events: !part.events.is_empty(),
            };
            need.databases.push(one);
            // What is not told of one object may be any of them.
            definers.extend(definers_of(&part).unwrap_or_else(|| held.definers.keys().cloned().collect()));
        }
        need.definers = definers.into_iter().collect();
        need.distrusted = makes_code && self.distrusts;
        missing_for_restore(&self.grants, &need, &self.version)
    }

    /// What becomes of the names of what is wanted of a set, of which `held` is the inventory.
    pub fn letters(&self, scope: &Scope, held: &Inventory) -> Letters {
        letters(self.lower_case_table_names, scope, &scope.part_of_all(held))
    }

    /// A MariaDB rather than a MySQL.
    pub(super) fn is_mariadb(&self) -> bool {
        self.version.to_ascii_lowercase().contains("mariadb")
    }
}

/// The accounts that a database's objects name; `None`: it is not known of each.
fn definers_of(part: &DatabaseInventory) -> Option<BTreeSet<String>> {
    let views = part.views.iter().map(|name| ("view", name));
    let objects = views
        .chain(part.triggers.keys().map(|name| ("trigger", name)))
        .chain(part.procedures.iter().map(|name| ("procedure", name)))
        .chain(part.functions.iter().map(|name| ("function", name)))
        .chain(part.events.iter().map(|name| ("event", name)));
    let definer = |(kind, name): (&str, &String)| {
        let definition = part.definitions.get(&format!("{kind} {name}"))?;
        let definer = definition.0.get("definer")?;
        (definer != UNKNOWN).then(|| definer.clone())
    };
    objects.map(definer).collect()
}

/// Asks a server what it holds of `wanted`.
///
/// # Errors
/// It cannot be reached or refuses the account, or a question.
pub async fn look_at_target(connection: &ServerConnection, wanted: &[String]) -> Result<Target, ToolError> {
    let mut probe = Probe::connect(connection).await?;
    let target = look(&mut probe, &connection.endpoint, wanted).await;
    probe.close().await;
    target
}

/// A folder of the same name on another machine or in a container tells nothing: the server must be reached without a
/// network, call the machine what this one is called, and be a process of this machine as we see them.
async fn data_dir(probe: &mut Probe, endpoint: &Endpoint) -> DataDir {
    let is_near = match endpoint {
        Endpoint::Socket(_) => true,
        Endpoint::Tcp { host, .. } => {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    };
    if !is_near {
        return DataDir::Unknown("the server is on another machine");
    }
    let sql = "SELECT @@GLOBAL.datadir, @@GLOBAL.hostname".to_owned();
    let Ok(rows) = probe.raw("ask where the data lie", sql).await else {
        return DataDir::Unknown("the server does not say where its data lie");
    };
    let told = rows.first().map(|row| (text(row, 0), text(row, 1)));
    let Some((folder, host)) = told else {
        return DataDir::Unknown("the server does not say where its data lie");
    };
    if host.as_bytes() != rustix::system::uname().nodename().to_bytes() {
        return DataDir::Unknown("the server is in a container, or on another machine");
    }
    // A container may share the machine's name and its network.
    match probe.own_thread().await {
        None => DataDir::Unknown("the server does not say which process of which machine it is"),
        Some(thread) if !is_server_here(thread) => {
            DataDir::Unknown("the server is in a container, or on another machine")
        }
        Some(_) => DataDir::Here(PathBuf::from(folder)),
    }
}

/// Whether this thread id is that of a database server here, which sees the same files as we do, as far as we may know.
fn is_server_here(thread: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{thread}/status")) else {
        return false;
    };
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .map(str::trim)
    };
    // Of one in a process namespace of its own the server knows another number than we do.
    let is_nested = field("NSpid:").is_some_and(|ids| ids.split_ascii_whitespace().count() > 1);
    let Some(process) = field("Tgid:").filter(|_| !is_nested) else {
        return false;
    };
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    let is_server = ["mariadbd", "mysqld"]
        .iter()
        .any(|server| name.trim().starts_with(server));
    let files = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    // Another user's may not be asked.
    let sees_others = files(process).is_some_and(|its| files("self").is_some_and(|ours| ours != its));
    is_server && !sees_others
}

async fn look(probe: &mut Probe, endpoint: &Endpoint, wanted: &[String]) -> Result<Target, ToolError> {
    let version = probe.server_version().await?;
    let can_encrypt = probe.can_encrypt().await.unwrap_or(false);
    let binary_log = probe.binary_log().await.ok();
    let rows = probe
        .raw(
            "read lower_case_table_names",
            "SELECT CONCAT(@@GLOBAL.lower_case_table_names, '')".to_owned(),
        )
        .await?;
    let told = rows.first().and_then(|row| text(row, 0).parse().ok());
    let lower_case_table_names = told.unwrap_or(1);
    let present = probe.databases().await?;
    let mut other_spellings = BTreeMap::new();
    if lower_case_table_names != 0 {
        for name in wanted {
            let other = present
                .iter()
                .find(|there| *there != name && there.to_lowercase() == name.to_lowercase());
            if let Some(other) = other {
                other_spellings.insert(name.clone(), other.clone());
            }
        }
    }
    let existing = probe.inventory(wanted).await?.databases;
    let grants = probe.grants().await.unwrap_or_default();
    let asked = probe
        .raw(
            "ask whose functions the binary log trusts",
            "SELECT CONCAT(@@GLOBAL.log_bin AND NOT @@GLOBAL.log_bin_trust_function_creators, '')".to_owned(),
        )
        .await;
    let distrusts = asked.is_ok_and(|rows| rows.first().is_some_and(|row| text(row, 0) == "1"));
    Ok(Target {
        version,
        lower_case_table_names,
        existing,
        other_spellings,
        data_dir: data_dir(probe, endpoint).await,
        can_encrypt,
        binary_log,
        grants,
        distrusts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::definer::Definer;
    use mykeeper_domain::definition::Definition;

    #[test]
    fn rights_are_asked_for_the_definers_of_what_is_written_alone() {
        let define = |definer: &str| -> Definition {
            [("definer".to_owned(), definer.to_owned())].into_iter().collect()
        };
        let mut held = Inventory::default();
        for (database, definer) in [("shop", "me@%"), ("crm", "app@%")] {
            let part = held.databases.entry(database.into()).or_default();
            part.views.insert("v".into());
            part.definitions.insert("view v".into(), define(definer));
            held.definers.insert(definer.into(), Definer::Absent);
        }
        let target = Target {
            version: "10.11.6-MariaDB".into(),
            grants: vec!["GRANT ALL PRIVILEGES ON `shop`.* TO `me`@`%`".into()],
            ..Target::default()
        };
        let shop = Scope::whole(vec!["shop".into()]);
        assert_eq!(target.missing_rights(&shop, &held, false), [""; 0]);
        let all = Scope::whole(vec!["shop".into(), "crm".into()]);
        let missing = target.missing_rights(&all, &held, false);
        assert!(
            missing.iter().any(|line| line.contains("as of app@%")),
            "{missing:?}"
        );
        // Of a set that does not tell, any may be the one.
        held.databases.get_mut("shop").unwrap().definitions.clear();
        let missing = target.missing_rights(&shop, &held, false);
        assert!(
            missing.iter().any(|line| line.contains("as of app@%")),
            "{missing:?}"
        );
    }

    #[test]
    fn a_process_that_is_no_database_server_is_not_taken_for_one() {
        assert!(!is_server_here(std::process::id()));
        assert!(!is_server_here(u32::MAX));
    }
}
