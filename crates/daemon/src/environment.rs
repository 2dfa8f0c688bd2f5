//! Every outside system that jobs touch, in one place.

use crate::disk::Disk;
use crate::locate::Whereabouts;
use crate::notices::Notices;
use crate::state_dir::StateDir;
use mykeeper_catalog::{Catalog, CatalogError};
use mykeeper_config::{PasswordError, Settings, read_password};
use mykeeper_domain::server::{PasswordSource, Server};
use mykeeper_domain::{Clock, NodeName};
use mykeeper_supervise::Supervisor;
use mykeeper_tools::ServerConnection;
use secrecy::SecretString;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the engine and its jobs work with.
pub struct Environment {
    /// This machine.
    pub node: NodeName,
    /// The catalog.
    pub catalog: Arc<dyn Catalog>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Children.
    pub supervisor: Supervisor,
    /// Locks, logs, private files.
    pub state: StateDir,
    /// systemd's credentials.
    pub credentials_directory: Option<PathBuf>,
    /// File systems that may not answer.
    pub disk: Disk,
    /// What people are to be told.
    pub(crate) notices: Notices,
    settings: RwLock<Arc<Settings>>,
    /// The leases on sets that runs of this process hold, by name.
    pub(crate) held_leases: Mutex<BTreeSet<String>>,
}

/// How long a write to the catalog is tried again before the run goes on without it.
const PERSIST_FOR: Duration = Duration::from_secs(600);

impl Environment {
    /// Puts it together.
    pub fn new(
        settings: Settings,
        catalog: Arc<dyn Catalog>,
        clock: Arc<dyn Clock>,
        supervisor: Supervisor,
        places: (StateDir, Option<PathBuf>),
    ) -> Self {
        let (state, credentials_directory) = places;
        Self {
            node: settings.node.clone(),
            notices: Notices::new(&state),
            catalog,
            clock,
            supervisor,
            state,
            credentials_directory,
            disk: Disk::default(),
            settings: RwLock::new(Arc::new(settings)),
            held_leases: Mutex::default(),
        }
    }

    /// The settings in force now. A run takes them once, so that a reload leaves it undisturbed.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other settings in force.
    pub fn replace_settings(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Reads a password where it lies.
    pub fn secret(&self, source: &PasswordSource) -> Result<Option<SecretString>, PasswordError> {
        read_password(source, self.credentials_directory.as_deref())
    }

    /// How `server` is reached, its password at hand.
    pub fn connection(&self, server: &Server) -> Result<ServerConnection, PasswordError> {
        Ok(ServerConnection {
            name: server.name.to_string(),
            endpoint: server.endpoint.clone(),
            user: server.user.clone(),
            password: self.secret(&server.password)?,
            password_source: server.password.clone(),
            tls: server.tls.clone(),
        })
    }

    /// Who is asked where sets lie.
    pub fn whereabouts<'a>(&'a self, settings: &'a Settings) -> Whereabouts<'a> {
        Whereabouts {
            disk: &self.disk,
            catalog: self.catalog.as_ref(),
            settings,
        }
    }

    /// Writes to the catalog, again and again with a growing wait while it cannot be reached.
    ///
    /// Ends with the last error after ten minutes, or after one more try once `stop` is cancelled.
    pub async fn persist<T, F>(
        &self,
        what: &str,
        stop: &CancellationToken,
        mut write: impl FnMut(Arc<dyn Catalog>) -> F,
    ) -> Result<T, CatalogError>
    where
        F: Future<Output = Result<T, CatalogError>> + Send,
    {
        let began = tokio::time::Instant::now();
        let mut wait = Duration::from_millis(500);
        loop {
            let last_try = stop.is_cancelled() || began.elapsed() >= PERSIST_FOR;
            match write(Arc::clone(&self.catalog)).await {
                Err(CatalogError::Unreachable { url, cause, .. }) if !last_try => {
                    tracing::warn!(%url, %cause, retry_in = ?wait, "cannot {what}: the catalog cannot be reached");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = stop.cancelled() => {}
                    }
                    wait = (wait * 2).min(Duration::from_secs(30));
                }
                result => return result,
            }
        }
    }
}
