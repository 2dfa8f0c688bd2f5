//! The composition root: reads the environment, the files and the clock, and puts the parts together.

mod files;

pub(crate) use files::{
    load_both, load_settings, read_despite_schedule, settings_despite_schedule, settings_said,
};

use crate::commands::catalog::NO_TABLES_YET;
use crate::failure::{Failure, Status};
use crate::output::{describe_backlog, out_of_reach, say, tell_way, when};
use crate::zone::{zone_of_host, zone_or_nearest};
use anyhow::Context;
use chrono_tz::Tz;
use mykeeper_catalog::{
    Backlog, Catalog, CatalogError, OpenCatalog, embedded_file, is_shared, journal_backlog, open_copy,
    open_empty,
};
use mykeeper_config::{Settings, Surroundings};
use mykeeper_daemon::Environment;
use mykeeper_daemon::jobs::password_problem;
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_daemon::unrecorded::{Unrecorded, unrecorded_sets};
use mykeeper_domain::{Clock, NodeName, SystemClock};
use mykeeper_supervise::{ShimCommand, Supervisor};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// What children may know of our environment: nothing but this.
const HANDED_DOWN: [&str; 6] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"];

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
fn variable_as_it_is(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// One that is empty says nothing.
fn variable(name: &str) -> Option<OsString> {
    variable_as_it_is(name).filter(|value| !value.is_empty())
}

/// `$TZ`: one that is empty is UTC, as the C library takes it.
fn zone_variable() -> Option<String> {
    variable_as_it_is("TZ").and_then(|zone| zone.into_string().ok())
}

/// Where clients look for the socket of this host's own server.
pub(crate) const SOCKETS: [&str; 3] = [
    "/run/mysqld/mysqld.sock",
    "/var/lib/mysql/mysql.sock",
    "/tmp/mysql.sock",
];

/// The first of [`SOCKETS`] that is there.
pub(crate) fn client_socket() -> Option<PathBuf> {
    SOCKETS.iter().map(PathBuf::from).find(|path| path.exists())
}

/// What the process finds around it.
pub(crate) fn gather() -> Surroundings {
    let path = |name: &str| variable(name).map(PathBuf::from);
    Surroundings {
        host_name: hostname::get()
            .ok()
            .and_then(|name| name.into_string().ok())
            .unwrap_or_default(),
        host_address: host_address(),
        is_root: rustix::process::geteuid().is_root(),
        state_directory: directory_of_service("STATE_DIRECTORY").or_else(own_state_of_service),
        xdg_state_home: path("XDG_STATE_HOME").or_else(|| path("HOME").map(|home| home.join(".local/state"))),
        credentials_directory: path("CREDENTIALS_DIRECTORY").or_else(credentials_of_service),
    }
}

/// A folder that systemd made for the service. It separates several by colons; the first is ours.
fn directory_of_service(name: &str) -> Option<PathBuf> {
    let value = variable(name)?;
    value
        .to_str()
        .and_then(|text| text.split(':').next())
        .map(PathBuf::from)
}

/// The service's folder, for commands that its user gives by hand.
fn own_state_of_service() -> Option<PathBuf> {
    let folder = PathBuf::from("/var/lib/mykeeper");
    let user = rustix::process::geteuid().as_raw();
    std::fs::metadata(&folder)
        .is_ok_and(|metadata| user != 0 && metadata.is_dir() && metadata.uid() == user)
        .then_some(folder)
}

/// Where the service keeps what is gone with the process: its socket.
pub(crate) fn runtime_directory() -> Option<PathBuf> {
    directory_of_service("RUNTIME_DIRECTORY")
}

/// The credentials of the service while it runs, for commands that its user, or root, gives by hand.
fn credentials_of_service() -> Option<PathBuf> {
    let folder = PathBuf::from("/run/credentials/mykeeper.service");
    folder.is_dir().then_some(folder)
}

/// The zone of this host's clock on the wall, which is that of pybackup's times.
///
/// # Errors
/// A sentence: it is none that has a name.
pub(crate) fn host_zone() -> Result<Tz, String> {
    let named = zone_variable();
    zone_of_host(Path::new("/"), named.as_deref())
}

/// The same where work must go on whatever it is, and what a person should know of it.
pub(crate) fn host_zone_or_nearest() -> (Tz, Option<String>) {
    let named = zone_variable();
    // The system's own reckoning, which knows also what has no name.
    let seconds = SystemClock
        .now()
        .with_timezone(&chrono::Local)
        .offset()
        .local_minus_utc();
    zone_or_nearest(Path::new("/"), named.as_deref(), seconds)
}

/// The zone of all times that people are shown: this host's. UTC where that cannot be told, as is shown beside them.
pub(crate) fn local_zone() -> Tz {
    // Asked for each time that is shown, and a copy of a zone is held against all there are.
    static FOUND: OnceLock<Tz> = OnceLock::new();
    *FOUND.get_or_init(|| host_zone().unwrap_or(Tz::UTC))
}

/// The folders of `$PATH`.
pub(crate) fn search_path() -> Vec<PathBuf> {
    variable("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default()
}

/// The log level that the person wants, if any: `MYKEEPER_LOG=debug`.
pub(crate) fn wanted_log() -> Option<String> {
    variable("MYKEEPER_LOG").and_then(|value| value.into_string().ok())
}

/// Whether standard error goes to the journal: the variable that says so is inherited also by what is called with
/// another one.
pub(crate) fn logs_to_journal() -> bool {
    let Some(stream) = variable("JOURNAL_STREAM").and_then(|value| value.into_string().ok()) else {
        return false;
    };
    rustix::fs::fstat(std::io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

/// An address that others can reach this host at; empty where there is none but loopback.
fn host_address() -> String {
    let Ok(interfaces) = if_addrs::get_if_addrs() else {
        return String::new();
    };
    let mut addresses: Vec<std::net::IpAddr> = interfaces
        .iter()
        .filter(|interface| !interface.is_loopback())
        .map(if_addrs::Interface::ip)
        .collect();
    addresses.sort_by_key(std::net::IpAddr::is_ipv6);
    addresses
        .first()
        .map_or_else(|| "127.0.0.1".to_owned(), ToString::to_string)
}

/// Opens the catalog, made where it is embedded and not there, and brings its tables up.
pub(crate) async fn open_catalog(settings: &Settings) -> anyhow::Result<Arc<dyn Catalog>> {
    let catalog = connect_catalog(settings).await?;
    catalog.migrate().await?;
    warn_of_lost(settings, catalog.as_ref()).await?;
    Ok(catalog)
}

/// Tells, loudly, of sets in the jobs' directories when the embedded catalog knows none at all: it was lost, and this
/// is a new one.
pub(crate) async fn warn_of_lost(settings: &Settings, catalog: &dyn Catalog) -> anyhow::Result<()> {
    if is_shared(&settings.catalog.url) || catalog.status().await?.backups.unwrap_or(0) > 0 {
        return Ok(());
    }
    let found = unrecorded_sets(settings, Some(catalog)).await?;
    if !found.is_empty() {
        // A command shows what is logged as an error, and no more.
        tracing::error!(
            "the catalog {} is empty, as if it had been lost: {}",
            settings.catalog.url,
            Unrecorded::describe(&found)
        );
    }
    Ok(())
}

/// The file of the embedded catalog, where it is not there.
pub(crate) fn missing_file(settings: &Settings) -> Option<PathBuf> {
    embedded_file(&settings.catalog.url).filter(|file| file.try_exists().is_ok_and(|is_there| !is_there))
}

/// Opens the catalog for a look, which makes none: where there is none, nothing is found, or, where there are sets
/// that it should know, that is said. One that is shared is not changed either: the nodes beside this one may be older.
pub(crate) async fn open_catalog_to_look(settings: &Settings) -> anyhow::Result<Arc<dyn Catalog>> {
    if let Some(file) = missing_file(settings) {
        let found = unrecorded_sets(settings, None).await?;
        if !found.is_empty() {
            return Err(Failure::unavailable(format!(
                "the catalog {} is not there, and {}",
                file.display(),
                Unrecorded::describe(&found)
            )));
        }
        say(&format!(
            "there is no catalog yet: the first start of the daemon, or the first run, makes {}",
            file.display()
        ));
        return empty_catalog(settings).await;
    }
    if embedded_file(&settings.catalog.url).is_some() {
        return open_catalog(settings).await;
    }
    let catalog = connect_catalog(settings).await?;
    let status = catalog.status().await?;
    if status.applied == 0 {
        return Err(Failure::unavailable(format!(
            "the catalog at {} has {NO_TABLES_YET}",
            status.url
        )));
    }
    if status.applied < status.latest {
        return Err(Failure::unavailable(format!(
            "the catalog at {} is at version {} of {}; \"mykeeper catalog migrate\", or the start of a daemon, brings it up",
            status.url, status.applied, status.latest
        )));
    }
    Ok(catalog)
}

/// A catalog to look into, or what this machine knows while that one is away.
pub(crate) struct Look {
    pub(crate) catalog: Arc<dyn Catalog>,
    /// Why and since when it is only this machine's copy of its own records.
    pub(crate) away: Option<String>,
    /// What of this machine's own work the catalog does not have yet.
    pub(crate) waiting: Option<String>,
}

impl Look {
    /// Says what the answer leaves out, when it does, and gives the status that goes with it: a script must not take
    /// a part for the whole.
    pub(crate) fn status(&self, node: &NodeName, unknown: &str) -> Status {
        match &self.away {
            None if let Some(waiting) = &self.waiting => {
                say(&format!("{waiting}: what is shown is without them"));
                Status::Warnings
            }
            None => Status::Done,
            Some(away) => {
                say(&format!(
                    "{away}; showing what this node ({node}) knows of its own work, {unknown} cannot be shown"
                ));
                Status::Unavailable
            }
        }
    }
}

/// As [`open_catalog_to_look`]; while a shared catalog is away, this machine's copy of its own records instead. Where
/// there is no copy the catalog's absence is the error.
pub(crate) async fn open_catalog_or_copy(settings: &Settings) -> anyhow::Result<Look> {
    let error = match open_catalog_to_look(settings).await {
        Ok(catalog) => {
            let backlog = match is_shared(&settings.catalog.url) {
                true => journal_backlog(&settings.state_dir).await?,
                false => Backlog::default(),
            };
            return Ok(Look {
                catalog,
                away: None,
                waiting: (backlog.waiting > 0).then(|| describe_backlog(&backlog, local_zone())),
            });
        }
        Err(error) => error,
    };
    let cause = error.downcast_ref::<CatalogError>();
    let is_shut_out = cause.is_some_and(CatalogError::is_shut_out);
    if !cause.is_some_and(CatalogError::is_away) || !is_shared(&settings.catalog.url) {
        return Err(error);
    }
    let Some(catalog) = open_copy(&settings.state_dir, settings.catalog.timezone).await? else {
        return Err(error);
    };
    let since = journal_backlog(&settings.state_dir)
        .await?
        .since
        .map(|since| format!(" since {} or longer", when(since, local_zone())))
        .unwrap_or_default();
    Ok(Look {
        catalog,
        away: Some(format!("{}{since} ({error:#})", out_of_reach(is_shut_out))),
        waiting: None,
    })
}

/// In place of one that is not there: no set, no run, and no file.
pub(crate) async fn empty_catalog(settings: &Settings) -> anyhow::Result<Arc<dyn Catalog>> {
    let catalog = open_empty(&how_to_open(settings)?);
    catalog.migrate().await?;
    Ok(catalog)
}

/// Opens the catalog as it is, and an empty one with no tables where there is none.
pub(crate) async fn connect_catalog_to_look(settings: &Settings) -> anyhow::Result<Arc<dyn Catalog>> {
    match missing_file(settings) {
        Some(_) => Ok(open_empty(&how_to_open(settings)?)),
        None => connect_catalog(settings).await,
    }
}

/// Opens the catalog for work that goes on while it is away: what a shared one cannot take is kept in `state_dir`.
pub(crate) async fn open_catalog_or_journal(settings: &Settings) -> anyhow::Result<Arc<dyn Catalog>> {
    if !is_shared(&settings.catalog.url) {
        return open_catalog(settings).await;
    }
    StateDir::open(&settings.state_dir)?;
    let open = how_to_open(settings)?;
    let catalog = mykeeper_catalog::open_journaled(&open, &settings.state_dir, Arc::new(SystemClock)).await?;
    match catalog.migrate().await {
        // The journal has said so.
        Err(error) if error.is_away() => {}
        migrated => drop(migrated?),
    }
    Ok(catalog)
}

/// Opens the catalog as it is; an embedded one that is not there is made, without tables.
pub(crate) async fn connect_catalog(settings: &Settings) -> anyhow::Result<Arc<dyn Catalog>> {
    let open = how_to_open(settings)?;
    if open.url.starts_with("sqlite:") {
        StateDir::open(&settings.state_dir)?;
    }
    let catalog = mykeeper_catalog::open_known(&open, &settings.state_dir)
        .await
        .map_err(|error| with_its_file(error, settings))?;
    tell_way(catalog.as_ref());
    Ok(catalog)
}

/// A refusal says from which file the account is that is refused: there may be two that name the catalog.
fn with_its_file(error: CatalogError, settings: &Settings) -> anyhow::Error {
    match error {
        CatalogError::Unreachable {
            url,
            cause,
            is_shut_out: true,
        } => CatalogError::Unreachable {
            url,
            cause: format!(
                "{cause}; the account is that of {}",
                settings.keeper_file.display()
            ),
            is_shut_out: true,
        }
        .into(),
        error => error.into(),
    }
}

fn how_to_open(settings: &Settings) -> anyhow::Result<OpenCatalog> {
    let password = mykeeper_config::read_password(
        &settings.catalog.password,
        gather().credentials_directory.as_deref(),
    )
    .map_err(|error| Failure::unavailable(password_problem(&error)))?;
    Ok(OpenCatalog {
        url: settings.catalog.url.clone(),
        password,
        timezone: settings.catalog.timezone,
        create: true,
    })
}

/// Starts children through this very binary.
pub(crate) fn supervisor() -> Supervisor {
    let shim = ShimCommand::this_binary(["run-shim"]);
    let handed_down: Vec<(OsString, OsString)> = HANDED_DOWN
        .iter()
        .filter_map(|name| {
            let value = match *name {
                // An empty one is a zone.
                "TZ" => variable_as_it_is(name),
                name => variable(name),
            };
            value.map(|value| (OsString::from(name), value))
        })
        .collect();
    Supervisor::new(shim, handed_down)
}

/// Everything that a run needs that begins with a look into the catalog. Ask before this whatever may be wrong with
/// the command line.
pub(crate) async fn environment(settings: Settings) -> anyhow::Result<Arc<Environment>> {
    let catalog = open_catalog_or_journal(&settings).await?;
    catalog.status().await?;
    tell_way(catalog.as_ref());
    assemble(settings, catalog)
}

/// The same for a dry run, which makes no catalog where there is none.
pub(crate) async fn environment_to_look(settings: Settings) -> anyhow::Result<Arc<Environment>> {
    if missing_file(&settings).is_none() {
        return environment(settings).await;
    }
    let catalog = open_catalog_to_look(&settings).await?;
    assemble(settings, catalog)
}

/// The same for a run that can do without.
pub(crate) async fn environment_or_journal(settings: Settings) -> anyhow::Result<Arc<Environment>> {
    let catalog = open_catalog_or_journal(&settings).await?;
    tell_way(catalog.as_ref());
    let backlog = catalog.backlog().await?;
    if let Some(away) = backlog.away {
        let until = match backlog.is_shut_out {
            true => "it lets it in",
            false => "it is back",
        };
        say(&format!(
            "{}: work goes on, and what is to be recorded is kept in {} until {until}: {away}",
            out_of_reach(backlog.is_shut_out),
            settings.state_dir.display()
        ));
    }
    assemble(settings, catalog)
}

/// Puts the parts together.
pub(crate) fn assemble(settings: Settings, catalog: Arc<dyn Catalog>) -> anyhow::Result<Arc<Environment>> {
    let state = StateDir::open(&settings.state_dir)?;
    mykeeper_supervise::become_subreaper().context("cannot become the reaper of orphaned children")?;
    let supervisor = supervisor().recording_in(&state.children());
    let places = (state, gather().credentials_directory);
    Ok(Arc::new(Environment::new(
        settings,
        catalog,
        Arc::new(SystemClock),
        supervisor,
        places,
    )))
}
