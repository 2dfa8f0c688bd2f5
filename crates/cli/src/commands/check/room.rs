//! Whether a job's next dump would fit, and whether anything ever makes room.

use super::{Findings, Grade};
use crate::surroundings::connect_catalog_to_look;
use mykeeper_catalog::Catalog;
use mykeeper_config::Settings;
use mykeeper_daemon::space::{Dump, estimate};
use mykeeper_domain::job::Task;
use mykeeper_tools::probe::Probe;
use mykeeper_tools::room::room_of;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// The catalog, as it is, where it can tell of earlier sets. What it cannot tell is said elsewhere.
pub(super) async fn earlier_sets(settings: &Settings) -> Option<Arc<dyn Catalog>> {
    let catalog = connect_catalog_to_look(settings).await.ok()?;
    let is_current = catalog
        .status()
        .await
        .is_ok_and(|status| status.applied == status.latest);
    if !is_current {
        catalog.close().await;
        return None;
    }
    Some(catalog)
}

/// As the job itself would ask before it begins.
pub(super) async fn try_room(
    dump: &Dump<'_>,
    catalog: Option<&dyn Catalog>,
    probe: &mut Probe,
    findings: &mut Findings,
) {
    let what = format!("room for job {}", dump.job);
    let (Some(reserve), directory) = (dump.task.reserve, &dump.task.directory) else {
        return;
    };
    let (need, unknown) = estimate(dump, catalog, probe).await;
    for line in unknown {
        findings.add(&what, Grade::Warning, line);
    }
    let Some(need) = need else { return };
    let Ok(room) = room_of(directory).await else {
        // That the folder is not there, or does not answer, is said elsewhere.
        return;
    };
    match need.shortage(&room, reserve, directory) {
        Some(shortage) => findings.add(
            what,
            Grade::Warning,
            format!("the next dump {shortage}; make room, choose another directory, or set `reserve`"),
        ),
        None => findings.add(
            what,
            Grade::Ok,
            format!("the next dump {}", need.arithmetic(&room, directory)),
        ),
    }
}

/// Names the folders of sets that no retention job looks at. Another program may.
pub(super) fn look_for_retention(settings: &Settings, findings: &mut Findings) {
    let mut looked_at: Vec<&Path> = Vec::new();
    let mut written: BTreeSet<&Path> = BTreeSet::new();
    for job in settings.jobs.values() {
        match &job.task {
            Task::Retention(task) => looked_at.push(&task.directory),
            Task::Backup(task) => drop(written.insert(&task.directory)),
            _ => {}
        }
    }
    written.retain(|folder| !looked_at.iter().any(|looked_at| folder.starts_with(looked_at)));
    for folder in written {
        let detail = format!(
            "no retention job looks at {}: nothing is ever removed there",
            folder.display()
        );
        findings.add("retention", Grade::Note, detail);
    }
}
