//! `mykeeper catalog migrate|status|rebuild`

use crate::failure::{Failure, Status, with_hint};
use crate::output::{coloured, describe_backlog, print, print_json, say, table};
use crate::surroundings::{
    connect_catalog, connect_catalog_to_look, empty_catalog, load_settings, local_zone, missing_file,
    open_catalog_to_look, warn_of_lost,
};
use mykeeper_catalog::{Backlog, Catalog, MigrationStatus, is_shared, journal_backlog};
use mykeeper_config::Settings;
use mykeeper_daemon::rebuild::{Finding, NOT_KNOWN_AGAIN, Outcome, Rebuild, find_sets};
use mykeeper_daemon::unrecorded::{Unrecorded, unrecorded_sets};
use mykeeper_domain::destination::DestinationUrl;
use mykeeper_domain::{Clock, DestinationName, SystemClock, counted};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Of a catalog that is new.
pub(crate) const NO_TABLES_YET: &str =
    "no tables of mykeeper's yet; the first start of the daemon, or \"mykeeper catalog migrate\", makes them";

pub(crate) async fn migrate(config: &Path, json: bool) -> anyhow::Result<Status> {
    let settings = load_settings(config)?.settings;
    let catalog = connect_catalog(&settings).await?;
    let status = catalog.migrate().await?;
    warn_of_lost(&settings, catalog.as_ref()).await?;
    catalog.close().await;
    show(&status, json)?;
    Ok(Status::Done)
}

pub(crate) async fn status(config: &Path, json: bool) -> anyhow::Result<Status> {
    let settings = load_settings(config)?.settings;
    let journal = journal_backlog(&settings.state_dir).await?;
    let reached = async {
        let catalog = connect_catalog_to_look(&settings).await?;
        let status = catalog.status().await?;
        let unrecorded = find_unrecorded(&settings, catalog.as_ref(), &status).await?;
        catalog.close().await;
        anyhow::Ok((status, unrecorded))
    };
    let (status, unrecorded) = match reached.await {
        Ok(reached) => reached,
        Err(error) => {
            // What waits is most of interest when the catalog cannot be had.
            if is_shared(&settings.catalog.url) {
                say(&describe_backlog(&journal, local_zone()));
            }
            let hint = "dumps and transfers go on meanwhile; start the server, or look at [catalog] url and the way there";
            return Err(with_hint(error, hint));
        }
    };
    if json {
        print_json(&StatusView {
            catalog: &status,
            journal: &journal,
        })?;
    } else {
        // Where sets lie that it should know, it was lost: to make a new one is not what is to be done.
        if status.applied > 0 || unrecorded.is_empty() {
            show(&status, json)?;
        }
        if is_shared(&settings.catalog.url) {
            print(&describe_backlog(&journal, local_zone()))?;
        }
    }
    if !unrecorded.is_empty() {
        let file = missing_file(&settings).map_or("", |_| "the catalog is not there, and ");
        say(&format!("warning: {file}{}", Unrecorded::describe(&unrecorded)));
    }
    // One that has no tables yet is as it should be: whoever needs them first makes them.
    let is_older = (1..status.latest).contains(&status.applied);
    Ok(
        if is_older || journal.waiting + journal.refused > 0 || !unrecorded.is_empty() {
            Status::Warnings
        } else {
            Status::Done
        },
    )
}

/// Sets that an embedded catalog should know and does not.
pub(super) async fn find_unrecorded(
    settings: &Settings,
    catalog: &dyn Catalog,
    status: &MigrationStatus,
) -> anyhow::Result<Vec<Unrecorded>> {
    if is_shared(&settings.catalog.url) {
        return Ok(Vec::new());
    }
    // Tables that are not there, or are older, cannot be asked.
    let catalog = (status.applied == status.latest).then_some(catalog);
    if catalog.is_none() && status.backups.is_some() {
        return Ok(Vec::new());
    }
    Ok(unrecorded_sets(settings, catalog).await?)
}

#[derive(Serialize)]
struct StatusView<'a> {
    #[serde(flatten)]
    catalog: &'a MigrationStatus,
    /// What waits on this machine.
    journal: &'a Backlog,
}

fn show(status: &MigrationStatus, json: bool) -> anyhow::Result<()> {
    if json {
        return print_json(status);
    }
    let state = if status.applied == 0 {
        NO_TABLES_YET.to_owned()
    } else if status.applied < status.latest {
        format!(
            "version {} of {}: run \"mykeeper catalog migrate\"",
            status.applied, status.latest
        )
    } else {
        format!("version {}, up to date", status.applied)
    };
    let sets = status.backups.map_or_else(
        || "no user_backup table".to_owned(),
        |sets| counted(sets, "set", "sets"),
    );
    print(&format!("{} ({}): {state}, {sets}", status.url, status.engine))
}

pub(crate) async fn rebuild(
    config: &Path,
    from: &[PathBuf],
    dry_run: bool,
    json: bool,
) -> anyhow::Result<Status> {
    let settings = load_settings(config)?.settings;
    let mut folders = Vec::new();
    for dir in from {
        folders.extend(find_sets(dir).map_err(|reason| Failure::usage(format!("--from: {reason}")))?);
    }
    folders.sort();
    folders.dedup();
    let destinations = local_destinations(&settings);
    for (name, root) in &destinations {
        let is_there = |dir: &&PathBuf| {
            dir.canonicalize()
                .is_ok_and(|dir| dir.starts_with(root) || root.starts_with(&dir))
        };
        if let Some(dir) = from.iter().find(is_there) {
            say(&format!(
                "warning: --from {} holds destination {name}: the sets in {} are taken for copies, and no row takes \
                 its place from them",
                dir.display(),
                root.display()
            ));
        }
    }
    let catalog = if !dry_run {
        let catalog = connect_catalog(&settings).await?;
        catalog.migrate().await?;
        catalog
    } else if missing_file(&settings).is_some() {
        empty_catalog(&settings).await?
    } else {
        open_catalog_to_look(&settings).await?
    };
    let rebuild = Rebuild {
        catalog: catalog.as_ref(),
        node: &settings.node,
        destinations: destinations.into_iter().map(|(_, root)| root).collect(),
        now: SystemClock.now(),
        dry_run,
    };
    let findings = rebuild.run(&folders).await?;
    catalog.close().await;
    let count = |outcome| {
        findings
            .iter()
            .filter(|finding| finding.outcome == outcome)
            .count()
    };
    let (added, incomplete) = (count(Outcome::Added), count(Outcome::Incomplete));
    let (damaged, no_record) = (count(Outcome::Damaged), count(Outcome::NoRecord));
    if json {
        print_json(&serde_json::json!({
            "dry_run": dry_run, "sets": findings, "added": added, "incomplete": incomplete,
            "present": count(Outcome::Present), "copies": count(Outcome::Copy), "damaged": damaged, "no_record": no_record,
            "not_known_again": NOT_KNOWN_AGAIN,
        }))?;
    } else if !findings.is_empty() {
        print(&findings_table(&findings, dry_run))?;
        let verb = if dry_run { "would be added" } else { "added" };
        print(&format!(
            "{} {verb}, {incomplete} more as not complete; {} there already, {}, {} a damaged record, {} none",
            counted(added, "set", "sets"),
            counted(count(Outcome::Present), "was", "were"),
            counted(count(Outcome::Copy), "folder is a copy", "folders are copies"),
            counted(damaged, "has", "have"),
            counted(no_record, "has", "have")
        ))?;
    }
    if damaged > 0 {
        say(
            "note: where a record is damaged, fetch the folder anew from where the set was sent, and rebuild from that",
        );
    }
    if findings.is_empty() {
        say("warning: there is no set in these folders, nor four levels below them");
    } else if added + incomplete > 0 {
        say(&format!("note: {NOT_KNOWN_AGAIN}"));
    }
    let is_clean = !findings.is_empty() && incomplete + damaged + no_record == 0;
    Ok(if is_clean { Status::Done } else { Status::Warnings })
}

/// The folders on this machine that sets are sent to.
fn local_destinations(settings: &Settings) -> Vec<(&DestinationName, PathBuf)> {
    let destinations = settings.destinations.values();
    destinations
        .filter_map(|destination| match &destination.url {
            DestinationUrl::Local { path } => Some((&destination.name, path.canonicalize().ok()?)),
            _ => None,
        })
        .collect()
}

fn findings_table(findings: &[Finding], dry_run: bool) -> String {
    let rows = findings
        .iter()
        .map(|finding| {
            let is_good = matches!(finding.outcome, Outcome::Added | Outcome::Present | Outcome::Copy);
            vec![
                finding.bk_id.map(|id| id.to_string()).unwrap_or_default(),
                coloured(finding.outcome.text(dry_run), is_good),
                finding.path.display().to_string(),
                finding.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    table(&["BK_ID", "OUTCOME", "FOLDER", "BECAUSE"], rows)
}
