//! What must hold of an installation whose daemon has ended, whatever was done to it before.
//!
//! Judged from what lies on disk, in `/proc` and in the catalog's tables. Nothing of mykeeper's own code takes part:
//! the slots are worked out anew, the sets are digested anew.

mod processes;
mod runs;
mod sets;
mod slots;

use crate::catalog_view::CatalogView;
use crate::mariadb::MariaDb;
use crate::rsync_daemon::RsyncDaemon;
use crate::workspace::Workspace;
pub use processes::processes_of;
pub(crate) use processes::strangers_after;
pub(crate) use slots::shown;
use std::path::PathBuf;

/// What is audited.
#[derive(Debug)]
pub struct Audited<'a> {
    /// The installation; its daemon has ended.
    pub workspace: &'a Workspace,
    /// Its catalog.
    pub catalog: CatalogView<'a>,
    /// The server that it backs up.
    pub source: &'a MariaDb,
    /// Where it sends to, and the folder there.
    pub vault: Option<(&'a RsyncDaemon, PathBuf)>,
    /// The folder of this machine that is the destination `near`.
    pub near: Option<PathBuf>,
    /// From when to when slots had to be taken.
    pub watched: Watched,
    /// The databases that each complete set holds.
    pub databases: &'a [&'a str],
}

/// The time over which slots are accounted for, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// Before this no slot can have been taken: the first daemon was started.
    pub started_ms: i64,
    /// After this each slot must be accounted for: the first daemon had said READY.
    pub ready_ms: i64,
    /// Until this each slot must be accounted for: the last daemon was told to stop a moment later.
    pub until_ms: i64,
}

/// What the audit found; each a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// A slot without its row, a set without its row, a row without its set.
    pub lost: Vec<String>,
    /// A slot with two runs, a set recorded twice.
    pub doubled: Vec<String>,
    /// What outlived its daemon: processes, private files, throwaway servers' folders, connections.
    pub orphans: Vec<String>,
    /// What is said and does not hold: complete, proven, arrived, running, deleted.
    pub wrong: Vec<String>,
}

impl Findings {
    /// Nothing at all.
    pub fn are_none(&self) -> bool {
        self.all().is_empty()
    }

    /// Each with its kind.
    pub fn all(&self) -> Vec<String> {
        let kinds = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("orphan", &self.orphans),
            ("wrong verdict", &self.wrong),
        ];
        kinds
            .into_iter()
            .flat_map(|(kind, list)| list.iter().map(move |what| format!("{kind}: {what}")))
            .collect()
    }

    /// Adds what another look has found.
    pub fn extend(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.doubled.extend(other.doubled);
        self.orphans.extend(other.orphans);
        self.wrong.extend(other.wrong);
    }
}

/// Looks at sets alone: here, at their destinations and in the catalog.
pub fn audit_sets(audited: &Audited<'_>) -> Findings {
    let mut findings = Findings::default();
    sets::look(audited, &mut findings);
    findings
}

/// Looks at everything.
pub fn audit(audited: &Audited<'_>) -> Findings {
    let mut findings = Findings::default();
    slots::look(audited, &mut findings);
    runs::look(audited, &mut findings);
    sets::look(audited, &mut findings);
    processes::look(audited, &mut findings);
    findings
}
