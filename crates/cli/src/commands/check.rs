//! `mykeeper check`: every mistake, then everything tried for real.

mod ahead;
mod asserts;
mod damage;
mod destinations;
mod disks;
mod dropins;
mod failed;
mod modes;
mod node;
mod nodes;
mod notify;
mod pairing;
mod promises;
mod room;
mod runs;
mod state;

use super::catalog::{NO_TABLES_YET, find_unrecorded};
use super::crontab::{self, Cron};
use crate::failure::{Failure, Status};
use crate::output::{coloured, print, print_json};
use crate::surroundings::{connect_catalog_to_look, gather, missing_file, supervisor};
use asserts::Present;
use mykeeper_catalog::Catalog;
use mykeeper_config::Settings;
use mykeeper_daemon::jobs::backup::UNSEEN;
use mykeeper_daemon::jobs::password_problem;
use mykeeper_daemon::space::Dump;
use mykeeper_daemon::unrecorded::Unrecorded;
use mykeeper_domain::job::{BackupTask, Task};
use mykeeper_domain::server::Server;
use mykeeper_domain::{JobName, SystemClock, counted};
use mykeeper_supervise::Supervisor;
use mykeeper_tools::log::NoLog;
use mykeeper_tools::mydumper::{DumpOptions, MydumperInfo, detect_mydumper, refuse_names, without_position};
use mykeeper_tools::probe::{Probe, group_missing, missing_privileges, sees_every_database};
use mykeeper_tools::rsync::detect_rsync;
use mykeeper_tools::{ServerConnection, ToolEnv};
use nodes::Others;
use serde::Serialize;
use state::CheckDir;
use std::collections::BTreeSet;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Grade {
    Ok,
    /// May be meant so: it changes no exit status.
    Note,
    Warning,
    Failed,
}

/// One thing that was tried.
#[derive(Clone, Debug, Serialize)]
struct Finding {
    what: String,
    grade: Grade,
    detail: String,
}

/// Everything that was tried.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, what: impl Into<String>, grade: Grade, detail: impl Into<String>) {
        self.0.push(Finding {
            what: what.into(),
            grade,
            detail: detail.into(),
        });
    }

    /// Whether the same was found of something whose name begins so.
    fn has(&self, beginning: &str, detail: &str) -> bool {
        self.0
            .iter()
            .any(|finding| finding.what.starts_with(beginning) && finding.detail == detail)
    }

    fn record<T>(&mut self, what: impl Into<String>, result: Result<(T, String), String>) -> Option<T> {
        match result {
            Ok((value, detail)) => {
                self.add(what, Grade::Ok, detail);
                Some(value)
            }
            Err(detail) => {
                self.add(what, Grade::Failed, detail);
                None
            }
        }
    }
}

pub(crate) async fn run(config: &Path, offline: bool, json: bool) -> anyhow::Result<Status> {
    let loaded = match mykeeper_config::load(config, &gather()) {
        Ok(loaded) => loaded,
        Err(errors) => {
            if json {
                print_json(&serde_json::json!({ "mistakes": errors.mistakes, "findings": [] }))?;
            }
            return Err(Failure::usage(errors));
        }
    };
    let mut findings = Findings::default();
    findings.add(
        "configuration",
        Grade::Ok,
        format!(
            "{} and {}: {}, {}, {}",
            loaded.settings.keeper_file.display(),
            loaded.settings.schedule_file.display(),
            counted(loaded.settings.servers.len(), "server", "servers"),
            counted(loaded.settings.destinations.len(), "destination", "destinations"),
            counted(loaded.settings.jobs.len(), "job", "jobs")
        ),
    );
    if loaded.settings.jobs.is_empty() {
        let schedule = loaded.settings.schedule_file.display();
        let text = format!("{schedule} has no job: nothing is ever backed up, proven or removed by it");
        findings.add("schedule", Grade::Note, text);
    }
    for warning in &loaded.warnings {
        let place = format!("{}:{}", warning.file.display(), warning.line);
        let help = warning
            .help
            .as_ref()
            .map(|help| format!("; {help}"))
            .unwrap_or_default();
        findings.add(place, Grade::Warning, format!("{}{help}", warning.message));
    }
    match crontab::look(&loaded.settings) {
        Some(Cron::Has(told)) => findings.add("crontab", Grade::Warning, told),
        Some(Cron::Unseen(told)) => findings.add("crontab", Grade::Note, told),
        None => {}
    }
    destinations::look_for_senders(&loaded.settings, &mut findings);
    if !offline {
        try_everything(&loaded.settings, &mut findings).await?;
    }
    report(&findings, (offline, json))
}

fn report(findings: &Findings, (offline, json): (bool, bool)) -> anyhow::Result<Status> {
    let count = |grade| findings.0.iter().filter(|finding| finding.grade == grade).count();
    let (failed, warnings) = (count(Grade::Failed), count(Grade::Warning));
    if json {
        print_json(&serde_json::json!({ "mistakes": [], "findings": findings.0 }))?;
    } else {
        for finding in &findings.0 {
            let mark = match finding.grade {
                Grade::Ok => coloured("ok     ", true),
                Grade::Note => "note   ".to_owned(),
                Grade::Warning => coloured("warning", false),
                Grade::Failed => coloured("FAILED ", false),
            };
            print(&format!("{mark} {}: {}", finding.what, finding.detail))?;
        }
        print(&match (failed, warnings) {
            (0, 0) if offline => {
                "everything is in order in the files; nothing was tried (--offline)".to_owned()
            }
            (0, 0) => "everything is in order".to_owned(),
            (0, _) => counted(warnings, "warning", "warnings"),
            _ => format!("{failed} failed, {}", counted(warnings, "warning", "warnings")),
        })?;
    }
    Ok(match (failed, warnings) {
        (0, 0) => Status::Done,
        (0, _) => Status::Warnings,
        _ => Status::Unavailable,
    })
}

async fn try_everything(settings: &Settings, findings: &mut Findings) -> anyhow::Result<()> {
    let supervisor = supervisor();
    mykeeper_supervise::become_subreaper()?;
    let cancel = CancellationToken::new();
    let tools = ToolEnv {
        supervisor: &supervisor,
        cancel,
        log: &NoLog,
        clock: &SystemClock,
    };
    let own = findings.record(
        "state_dir",
        CheckDir::open(&settings.state_dir).and_then(CheckDir::tried),
    );
    if let Some(own) = own.as_ref().filter(|_| !settings.jobs.is_empty()) {
        node::look_for_daemon(settings, &own.state, findings);
    }
    if let Some(own) = &own {
        notify::look_at_notify(settings, &own.state, findings);
    }
    let is_empty = try_catalog(settings, findings).await;
    node::look_into_journal(settings, findings).await;
    let mydumper = try_tools(settings, &supervisor, findings).await;
    let catalog = room::earlier_sets(settings).await;
    let others = Others::new(settings, (catalog.as_deref(), is_empty));
    let (mut versions, mut present) = (Vec::new(), Present::new());
    for server in settings.servers.values() {
        let known = (mydumper.as_ref(), catalog.as_deref());
        let version = try_server(settings, server, (known, &mut present), findings).await;
        versions.extend(version.map(|version| (server.name.to_string(), version)));
    }
    asserts::find_untried(settings, &present, others, findings).await;
    asserts::find_unknown_tags(settings, others, findings).await;
    promises::look_at_schedule(settings, others, findings).await;
    if let Some(own) = &own {
        ahead::look_for_leftovers((settings, &own.state), catalog.as_deref(), findings).await;
    }
    let mut empty = BTreeSet::new();
    if let Some(catalog) = catalog {
        promises::look_at_promises(settings, catalog.as_ref(), findings).await;
        let lives = own.as_ref().is_some_and(|own| own.state.daemon_lives());
        nodes::look_at_nodes((settings, lives), catalog.as_ref(), findings).await;
        runs::look_at_last_runs(settings, catalog.as_ref(), findings).await;
        runs::look_for_sets_out_of_reach(settings, catalog.as_ref(), findings).await;
        destinations::look_for_waiting(settings, catalog.as_ref(), findings).await;
        damage::look_for_damage(settings, catalog.as_ref(), findings).await;
        empty = disks::look_for_disks(settings, catalog.as_ref(), findings).await;
        catalog.close().await;
    }
    for (name, task) in backup_tasks(settings) {
        let what = format!("job {name}");
        if !empty.contains(&what) {
            disks::try_directory(&what, &task.directory, findings);
        }
    }
    room::look_for_retention(settings, findings);
    let rsync = detect_rsync(&supervisor, &settings.tools.rsync).await;
    let rsync = if settings.destinations.is_empty() && rsync.is_err() {
        None
    } else {
        findings.record(
            "rsync",
            rsync
                .map(|info| {
                    let banner = info.banner.clone();
                    (info, banner)
                })
                .map_err(|e| e.to_string()),
        )
    };
    if let (Some(rsync), Some(own)) = (rsync, own) {
        let is_empty = |name| empty.contains(&format!("destination {name}"));
        let destinations = settings.destinations.values();
        for destination in destinations.filter(|destination| !is_empty(&destination.name)) {
            destinations::try_destination(settings, destination, (&rsync, &own.state), &tools, findings)
                .await;
        }
    }
    pairing::warn_of_zstd(settings, &tools, findings).await;
    if settings
        .jobs
        .values()
        .any(|job| matches!(job.task, Task::Validation(_)))
    {
        let dumps = (mydumper.as_ref(), versions.as_slice());
        pairing::try_proofs(settings, dumps, &tools, findings).await;
    }
    Ok(())
}

/// Whether there are no tables in it yet.
async fn try_catalog(settings: &Settings, findings: &mut Findings) -> bool {
    let result = async {
        let catalog = connect_catalog_to_look(settings).await?;
        let status = catalog.status().await?;
        let unrecorded = find_unrecorded(settings, catalog.as_ref(), &status).await?;
        catalog.close().await;
        anyhow::Ok((status, unrecorded))
    }
    .await;
    let status = match result {
        Err(error) => {
            findings.add("catalog", Grade::Failed, format!("{error:#}"));
            return false;
        }
        Ok((status, unrecorded)) if !unrecorded.is_empty() => {
            let (grade, what) = match missing_file(settings) {
                Some(_) => (Grade::Failed, " is not there, and"),
                None => (Grade::Warning, ":"),
            };
            let detail = format!("{}{what} {}", status.url, Unrecorded::describe(&unrecorded));
            findings.add("catalog", grade, detail);
            return false;
        }
        Ok((status, _)) => status,
    };
    let is_empty = status.applied == 0;
    match status {
        status if missing_file(settings).is_some() => findings.add(
            "catalog",
            Grade::Ok,
            format!("{} ({}) is not there yet; the daemon's first start, or a first run, makes it", status.url, status.engine),
        ),
        status if status.applied == 0 => findings.add(
            "catalog",
            Grade::Ok,
            format!("{} ({}) can be reached: {NO_TABLES_YET}", status.url, status.engine),
        ),
        status if status.applied < status.latest => findings.add(
            "catalog",
            Grade::Warning,
            format!(
                "{} ({}) is at version {} of {}; \"mykeeper catalog migrate\", or the daemon's next start, brings it up",
                status.url, status.engine, status.applied, status.latest
            ),
        ),
        status => findings.add(
            "catalog",
            Grade::Ok,
            format!("{} ({}), version {}", status.url, status.engine, status.applied),
        ),
    }
    is_empty
}

async fn try_tools(
    settings: &Settings,
    supervisor: &Supervisor,
    findings: &mut Findings,
) -> Option<MydumperInfo> {
    backup_tasks(settings).next()?;
    let info = detect_mydumper(supervisor, &settings.tools.mydumper).await;
    let info = findings.record(
        "mydumper",
        info.map(|info| {
            let banner = info.banner.clone();
            (info, banner)
        })
        .map_err(|error| error.to_string()),
    )?;
    for (name, task) in backup_tasks(settings) {
        if let Err(error) = DumpOptions::read(&info, &task.mydumper) {
            findings.add(format!("job {name}"), Grade::Failed, error.to_string());
        }
    }
    Some(info)
}

fn backup_tasks(settings: &Settings) -> impl Iterator<Item = (&JobName, &BackupTask)> {
    settings.jobs.values().filter_map(|job| match &job.task {
        Task::Backup(task) => Some((&job.name, task)),
        _ => None,
    })
}

/// The dumper that was found, and the catalog that knows of earlier sets.
type Known<'a> = (Option<&'a MydumperInfo>, Option<&'a dyn Catalog>);

/// Yields its version, where it tells it.
async fn try_server(
    settings: &Settings,
    server: &Server,
    (known, seen): (Known<'_>, &mut Present),
    findings: &mut Findings,
) -> Option<String> {
    let what = format!("server {}", server.name);
    let credentials = gather().credentials_directory;
    let password = match mykeeper_config::read_password(&server.password, credentials.as_deref()) {
        Ok(password) => password,
        Err(error) => {
            findings.add(what, Grade::Failed, password_problem(&error));
            return None;
        }
    };
    let connection = ServerConnection {
        name: server.name.to_string(),
        endpoint: server.endpoint.clone(),
        user: server.user.clone(),
        password,
        password_source: server.password.clone(),
        tls: server.tls.clone(),
    };
    let mut probe = match Probe::connect(&connection).await {
        Ok(probe) => probe,
        Err(error) => {
            findings.add(what, Grade::Failed, error.to_string());
            return None;
        }
    };
    let version = probe.server_version().await.ok();
    match try_server_jobs(settings, server, (known, &mut probe), findings).await {
        Ok(present) => drop(seen.insert(server.name.clone(), present)),
        Err(error) => findings.add(what, Grade::Failed, error.to_string()),
    }
    probe.close().await;
    version
}

/// Yields the databases that the account sees.
async fn try_server_jobs(
    settings: &Settings,
    server: &Server,
    ((mydumper, catalog), probe): (Known<'_>, &mut Probe),
    findings: &mut Findings,
) -> Result<Vec<String>, mykeeper_tools::ToolError> {
    let version = probe.server_version().await?;
    findings.add(
        format!("server {}", server.name),
        Grade::Ok,
        format!("{version} at {} as {}", server.endpoint, server.user),
    );
    if backup_tasks(settings).any(|(_, task)| task.server == server.name) {
        modes::look_at_modes(format!("server {}", server.name), probe, findings).await?;
    }
    let grants = probe.grants().await?;
    let present = probe.databases().await?;
    for (name, task) in backup_tasks(settings).filter(|(_, task)| task.server == server.name) {
        let what = format!("job {name} on server {}", server.name);
        let databases = task.databases.select(present.iter().map(String::as_str));
        if task.databases.is_open_ended() && !sees_every_database(&grants) {
            findings.add(&what, Grade::Warning, UNSEEN);
        }
        for pattern in task.databases.unmatched(&present) {
            findings.add(&what, Grade::Warning, format!("no database matches {pattern:?}"));
        }
        if databases.is_empty() {
            let seen = if present.is_empty() {
                "none".to_owned()
            } else {
                present.join(", ")
            };
            findings.add(
                &what,
                Grade::Failed,
                format!("no database is left after the patterns; the account sees {seen}"),
            );
            continue;
        }
        let dump = Dump {
            node: &settings.node,
            job: name,
            task,
            server,
            databases: &databases,
        };
        room::try_room(&dump, catalog, probe, findings).await;
        if let Err(error) = refuse_names(&version, &databases) {
            findings.add(&what, Grade::Failed, error.to_string());
        }
        // What the dump needs depends on the dumper; without one, that is said elsewhere.
        let Some(options) =
            mydumper.and_then(|info| DumpOptions::read(info, &task.mydumper).ok().zip(Some(info)))
        else {
            continue;
        };
        if let Some(why) = without_position(options.1, &version) {
            findings.add(&what, Grade::Warning, why);
        }
        let need = options.0.privilege_need(options.1, &databases, &present);
        let missing = missing_privileges(&grants, &need, &version);
        if missing.iter().all(|missing| missing.optional) {
            findings.add(
                &what,
                Grade::Ok,
                format!(
                    "{} ({}), privileges suffice",
                    counted(databases.len(), "database", "databases"),
                    databases.join(", ")
                ),
            );
        }
        for group in group_missing(&missing) {
            findings.add(
                &what,
                if group.optional {
                    Grade::Warning
                } else {
                    Grade::Failed
                },
                format!(
                    "the account lacks {}; run there: {}",
                    group.what,
                    group.grants.join(" ")
                ),
            );
        }
    }
    asserts::try_statements(settings, server, (&present, probe), findings).await?;
    Ok(present)
}
