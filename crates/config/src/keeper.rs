//! `mykeeper.toml`: what exists.

use crate::catalog;
use crate::daemon;
use crate::destination;
use crate::document::{Document, complaint};
use crate::limits;
use crate::logs;
use crate::notify;
use crate::sandbox;
use crate::section::{Entry, Section};
use crate::server;
use crate::settings::{
    CatalogSettings, DaemonSettings, LimitSettings, LogSettings, Surroundings, ToolPrograms,
};
use crate::tools;
use mykeeper_domain::destination::Destination;
use mykeeper_domain::notify::NotifySettings;
use mykeeper_domain::sandbox::Sandbox;
use mykeeper_domain::server::Server;
use mykeeper_domain::{DestinationName, InvalidName, NodeName, ServerName};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use toml::de::DeTable;

/// What the file yields. Where something is missing, a mistake is recorded.
pub(crate) struct Keeper {
    pub(crate) schedule_file: PathBuf,
    pub(crate) node: Option<NodeName>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) catalog: Option<CatalogSettings>,
    pub(crate) servers: BTreeMap<ServerName, Arc<Server>>,
    pub(crate) destinations: BTreeMap<DestinationName, Arc<Destination>>,
    pub(crate) sandbox: Sandbox,
    pub(crate) tools: ToolPrograms,
    pub(crate) daemon: DaemonSettings,
    pub(crate) limits: LimitSettings,
    pub(crate) logs: LogSettings,
    pub(crate) notify: NotifySettings,
    /// The folder that relative paths of secrets begin at.
    pub(crate) base: PathBuf,
    /// Every name that a job may use, also of what has mistakes.
    pub(crate) server_names: BTreeSet<String>,
    /// So with destinations.
    pub(crate) destination_names: BTreeSet<String>,
    /// Whether parts of the file could not be read, so that a name that is not known may yet be there.
    pub(crate) is_damaged: bool,
}

/// Walks the tree of `mykeeper.toml`.
pub(crate) fn read<'d>(document: &'d Document, tree: &'d DeTable<'d>, surroundings: &Surroundings) -> Keeper {
    let base = document.file().parent().unwrap_or(Path::new("/")).to_owned();
    let mut top = Section::top(document, tree);
    let node = read_node(&mut top, surroundings);
    let state_dir = read_state_dir(&mut top, surroundings);
    let schedule = top.take("schedule").and_then(|entry| entry.path_beside(&base));
    let catalog = catalog::read(top.section("catalog"), &base, state_dir.as_deref());
    warn_of_shared_name(&top, node.as_ref(), catalog.as_ref());
    let server_entries = top.named("servers");
    let destination_entries = top.named("destinations");
    let addresses = [
        surroundings.host_address.as_str(),
        surroundings.host_name.as_str(),
    ];
    let address = addresses
        .into_iter()
        .find(|address| !address.is_empty())
        .unwrap_or("localhost");
    let servers = server::read_all(&server_entries, &base, address);
    let destinations = destination::read_all(&destination_entries, &base);
    let sandbox = sandbox::read(top.section("sandbox"));
    let tools = tools::read(top.section("tools"));
    let daemon = daemon::read(top.section("daemon"));
    let limits = limits::read(top.section("limits"));
    let logs = logs::read(top.section("logs"));
    let notify = notify::read(top.section("notify"), &base);
    top.finish(|key| {
        ["backup", "transfer", "validation", "retention", "timezone"]
            .contains(&key)
            .then(|| format!("`{key}` belongs into the schedule file"))
    });
    Keeper {
        schedule_file: schedule.unwrap_or_else(|| base.join("schedule.toml")),
        node,
        state_dir,
        catalog,
        servers,
        destinations,
        sandbox,
        tools,
        daemon,
        limits,
        logs,
        notify,
        base,
        server_names: names(&server_entries),
        destination_names: names(&destination_entries),
        is_damaged: document.is_damaged(),
    }
}

/// Says where a key belongs that only the file's top knows.
pub(crate) fn top_key_hint(key: &str) -> Option<String> {
    ["node", "state_dir", "schedule"]
        .contains(&key)
        .then(|| format!("`{key}` belongs to the file's top: move it above the first [section]"))
}

/// A table's own name as a name of the domain.
pub(crate) fn table_name<T: TryFrom<String, Error = InvalidName>>(entry: &Entry<'_>) -> Option<T> {
    match T::try_from(entry.key.clone()) {
        Ok(name) => Some(name),
        Err(error) => {
            entry.key_spot.mistake(error.to_string());
            None
        }
    }
}

fn names(entries: &[Entry<'_>]) -> BTreeSet<String> {
    entries.iter().map(|entry| entry.key.clone()).collect()
}

fn read_node(top: &mut Section<'_>, surroundings: &Surroundings) -> Option<NodeName> {
    if let Some(entry) = top.take("node") {
        return entry.parsed();
    }
    match NodeName::new(surroundings.host_name.as_str()) {
        Ok(name) => Some(name),
        Err(_) => {
            top.spot()
                .missing(complaint("this machine's name cannot be told").help("write node = \"its name\""));
            None
        }
    }
}

/// By its node's name a shared catalog tells whose a set is.
fn warn_of_shared_name(top: &Section<'_>, node: Option<&NodeName>, catalog: Option<&CatalogSettings>) {
    let is_anybodys = node.is_some_and(|node| node.as_str().starts_with("localhost"));
    let is_shared = catalog.is_some_and(|catalog| !catalog.url.starts_with("sqlite:"));
    if let Some(node) = node.filter(|_| is_anybodys && is_shared) {
        top.spot().warning(
            complaint(format!(
                "`node` is {:?}, and so may be that of other hosts that share the catalog",
                node.as_str()
            ))
            .help("write node = \"db1\", a name that no other host has, before the first set is made"),
        );
    }
}

fn read_state_dir(top: &mut Section<'_>, surroundings: &Surroundings) -> Option<PathBuf> {
    if let Some(entry) = top.take("state_dir") {
        return entry.absolute_path();
    }
    let found = default_state_dir(surroundings);
    if found.is_none() {
        top.spot().missing(
            complaint("there is no default for state_dir without $STATE_DIRECTORY, root or a home folder")
                .help("write state_dir = \"/an/absolute/path\""),
        );
    }
    found
}

/// Where there is none in the file.
pub(crate) fn default_state_dir(surroundings: &Surroundings) -> Option<PathBuf> {
    // systemd separates several with colons; the first is ours.
    let first = surroundings
        .state_directory
        .as_ref()
        .and_then(|folders| folders.to_str())
        .and_then(|folders| folders.split(':').next())
        .map(PathBuf::from);
    let found = if first.is_some() {
        first
    } else if surroundings.is_root {
        Some(PathBuf::from("/var/lib/mykeeper"))
    } else {
        surroundings
            .xdg_state_home
            .as_ref()
            .map(|home| home.join("mykeeper"))
    };
    found.filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_folder_comes_from_systemd_then_root_then_home() {
        let mut surroundings = Surroundings {
            xdg_state_home: Some("/home/x/.local/state".into()),
            ..Surroundings::default()
        };
        let found = |surroundings: &Surroundings| {
            default_state_dir(surroundings)
                .map(|path| path.display().to_string())
                .unwrap_or_default()
        };
        assert_eq!(found(&surroundings), "/home/x/.local/state/mykeeper");
        surroundings.is_root = true;
        assert_eq!(found(&surroundings), "/var/lib/mykeeper");
        surroundings.state_directory = Some("/var/lib/a:/var/lib/b".into());
        assert_eq!(found(&surroundings), "/var/lib/a");
        assert_eq!(found(&Surroundings::default()), "");
    }
}
