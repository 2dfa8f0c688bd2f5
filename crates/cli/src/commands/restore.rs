//! `mykeeper restore`: puts a set into a server.

mod without_catalog;

use super::run::{conclude, to_its_end};
use super::validate::by_hand;
use super::wanted_set::WantedSet;
use crate::args::RestoreArgs;
use crate::failure::{Failure, Status};
use crate::output::{print, print_json, say, table};
use crate::progress::TerminalLog;
use crate::surroundings::settings_despite_schedule;
use mykeeper_config::{Settings, nearest};
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::restore::{
    CheckedSource, Fate, Obstacle, PlannedDatabase, Prepared, RestorePlan, Seen, passed_over, prepare,
    restore,
};
use mykeeper_daemon::{Environment, FinishedRun};
use mykeeper_domain::ServerName;
use mykeeper_domain::backup::du_size;
use mykeeper_domain::job::{RestoreFrom, RestoreTask, Task};
use mykeeper_domain::run::RunState;
use mykeeper_tools::ToolEnv;
use mykeeper_tools::restore::Restored;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use tokio_util::sync::CancellationToken;
use without_catalog::{environment_to_restore, find_here};

pub(crate) async fn run(config: &Path, args: &RestoreArgs, json: bool) -> anyhow::Result<Status> {
    let wanted = WantedSet::parse(&args.bk_id)?;
    let (environment, unasked) = environment_to_restore(settings_despite_schedule(config)?).await?;
    let into = find_server(&environment.settings(), &args.into)?;
    let (set, skipped) = match &unasked {
        None => wanted.find_to_restore(&environment).await?,
        Some(why) => (
            find_here(&wanted, &environment, (why.as_str(), args)).await?,
            Vec::new(),
        ),
    };
    for line in &skipped {
        say(&format!("skipped: {line}"));
    }
    let task = RestoreTask {
        set,
        into,
        databases: args.database.clone(),
        new_name: args.new_name.clone(),
        tables: args.table.clone(),
        overwrite: args.overwrite,
        from: asked_source(args.from.as_deref())?,
        despite_missing_rights: args.despite_missing_rights,
    };
    let ended = put_back(environment, task, (args.dry_run, json)).await?;
    // Whoever asked for the newest gets an older one.
    Ok(match ended {
        Status::Done if !skipped.is_empty() => Status::Warnings,
        ended => ended,
    })
}

async fn put_back(
    environment: Arc<Environment>,
    task: RestoreTask,
    (dry_run, json): (bool, bool),
) -> anyhow::Result<Status> {
    let mut prepared = Box::pin(prepare(&environment, &task))
        .await
        .map_err(|obstacle| match obstacle {
            Obstacle::Asked(_) => Failure::usage(obstacle),
            Obstacle::Missing(_) | Obstacle::Away { .. } => Failure::unavailable(obstacle),
        })?;
    if !json {
        print(&as_text(&prepared.plan))?;
    }
    let refused = !prepared.plan.refusals.is_empty();
    // A run says it itself.
    if prepared.plan.by_own_record && (refused || dry_run) {
        prepared
            .plan
            .doubt
            .iter()
            .for_each(|doubt| say(&format!("warning: {doubt}")));
    }
    if refused && !dry_run {
        let doubt = prepared
            .plan
            .doubt
            .iter()
            .filter(|_| !json && !prepared.plan.by_own_record);
        for doubt in doubt {
            print(&format!("warning: {doubt}"))?;
        }
    }
    if dry_run {
        let checked = rehearse(&environment, &mut prepared, json).await;
        environment.catalog.close().await;
        return checked;
    }
    if refused {
        if json {
            print_json(&serde_json::json!({ "plan": prepared.plan, "dry_run": false }))?;
        }
        environment.catalog.close().await;
        return Err(Failure::usage(format!(
            "{}\n  nothing was written",
            prepared.plan.refusals.join("\n  ")
        )));
    }
    let mut plan = prepared.plan;
    let seen = Seen::default();
    let (finished, caught) = run_restore(environment, task, &seen).await?;
    let sight = seen.lock().unwrap_or_else(PoisonError::into_inner).take();
    let restored = sight.map(|sight| {
        plan.path = sight.path;
        sight.restored
    });
    if json {
        print_json(&report(&plan, &finished, restored.as_ref()))?;
        return match finished.state {
            RunState::Succeeded => Ok(Status::Done),
            RunState::Warned => Ok(Status::Warnings),
            // Says it on standard error.
            _ => conclude(&finished, caught, false),
        };
    }
    conclude(&finished, caught, false)
}

/// `original`, `destination`, or a folder.
fn asked_source(from: Option<&Path>) -> anyhow::Result<RestoreFrom> {
    Ok(match from.map(|from| (from, from.to_str())) {
        None => RestoreFrom::Any,
        Some((_, Some("original"))) => RestoreFrom::Original,
        Some((_, Some("destination"))) => RestoreFrom::Destination,
        Some((folder, _)) => RestoreFrom::Folder(
            folder
                .canonicalize()
                .map_err(|error| Failure::usage(no_folder(folder, &error)))?,
        ),
    })
}

fn no_folder(folder: &Path, error: &std::io::Error) -> String {
    let shown = folder.display();
    match nearest(&shown.to_string(), ["original", "destination"]) {
        Some(near) => format!("--from {shown}: did you mean {near:?}? There is no such folder: {error}"),
        None => format!("--from {shown}: {error}; write \"original\", \"destination\" or a folder"),
    }
}

fn find_server(settings: &Settings, name: &str) -> anyhow::Result<ServerName> {
    let found = ServerName::new(name)
        .ok()
        .filter(|name| settings.servers.contains_key(name));
    found.ok_or_else(|| {
        let names: Vec<&str> = settings.servers.keys().map(ServerName::as_str).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None if names.is_empty() => "add a [servers.NAME]".to_owned(),
            None => format!("there are: {}", names.join(", ")),
        };
        Failure::usage(format!(
            "there is no server {name:?} in {}; {hint}",
            settings.keeper_file.display()
        ))
    })
}

/// Everything but the writing.
async fn rehearse(environment: &Environment, prepared: &mut Prepared, json: bool) -> anyhow::Result<Status> {
    let log = TerminalLog::new(false);
    let env = ToolEnv {
        supervisor: &environment.supervisor,
        cancel: CancellationToken::new(),
        log: &log,
        clock: environment.clock.as_ref(),
    };
    let source = prepared.check(environment, &env).await;
    log.finish();
    let source = source?;
    let faults = source.faults();
    let CheckedSource { set, damaged } = source;
    let mut notes = set.as_ref().map_or_else(Vec::new, |set| set.notes.clone());
    if set.is_some() && !faults.is_empty() {
        notes.push(passed_over(prepared.plan.bk_id, &faults));
    }
    if json {
        print_json(&serde_json::json!({
            "plan": prepared.plan,
            "dry_run": true,
            "checked_bytes": set.as_ref().map(|set| set.bytes),
            "notes": notes,
            "differences": damaged.last().filter(|_| set.is_none()).map_or(&[][..], |last| &last.differences),
            "damaged": damaged,
        }))?;
    }
    let damage = set.is_none().then(|| {
        format!(
            "set {} is damaged and would not be restored: {}; {}",
            prepared.plan.bk_id,
            faults.join("\n  "),
            prepared.other_ways()
        )
    });
    // What the files show says more.
    let is_said = prepared.plan.by_own_record;
    let doubt = prepared
        .plan
        .doubt
        .as_ref()
        .filter(|_| !json && !is_said && damage.is_none());
    if let Some(doubt) = doubt {
        print(&format!("warning: {doubt}"))?;
    }
    // Whoever rehearses wants to know all that stands in the way.
    let refusals = &prepared.plan.refusals;
    if !refusals.is_empty() {
        let lines: Vec<&str> = refusals.iter().chain(&damage).map(String::as_str).collect();
        return Err(Failure::usage(format!(
            "{}\n  nothing was written",
            lines.join("\n  ")
        )));
    }
    if let Some(damage) = damage {
        return Err(Failure::job(damage));
    }
    let Some(set) = set else {
        return Ok(Status::Warnings);
    };
    if !json {
        for note in &notes {
            print(&format!("warning: {note}"))?;
        }
        let what = match prepared.is_part() {
            true => "every file that was asked for in",
            false => "every file in",
        };
        print(&format!(
            "{what} {} {} ({}); nothing was written",
            prepared.plan.path.display(),
            prepared.is_as(),
            du_size(set.bytes)
        ))?;
    }
    let is_clean = prepared.plan.doubt.is_none() && prepared.plan.names.is_empty() && notes.is_empty();
    Ok(if is_clean { Status::Done } else { Status::Warnings })
}

/// The restore as a run of its own, until its end or a signal.
async fn run_restore(
    environment: Arc<Environment>,
    task: RestoreTask,
    seen: &Seen,
) -> anyhow::Result<(FinishedRun, Option<i32>)> {
    // One at a time into each server.
    let mut job = by_hand(
        &format!("restore into {}", task.into),
        Task::Restore(task.clone()),
    )?;
    // A large set takes as long as it takes; a client that does nothing is ended all the same.
    job.timeout = None;
    let seen = Arc::clone(seen);
    let work: Work = Box::new(move |context| Box::pin(async move { restore(context, &task, &seen).await }));
    let told = "the client is ended; what it has written stays in the server";
    to_its_end(&environment, (Arc::new(job), Some(work)), (false, told)).await
}

fn report(plan: &RestorePlan, finished: &FinishedRun, restored: Option<&Restored>) -> serde_json::Value {
    serde_json::json!({
        "plan": plan,
        "dry_run": false,
        "run": finished.id,
        "state": finished.state,
        "reason": finished.reason,
        "bk_id": finished.bk_id,
        "restored": restored,
    })
}

/// What will happen to a database of the server.
fn becomes(database: &PlannedDatabase) -> String {
    let there = database.there_now.as_str();
    let mut text = match (&database.only_tables, database.fate) {
        (_, Fate::Refused) => format!("stays: {there} there, which takes --overwrite"),
        (None, Fate::Replaced) if there.is_empty() => "will be dropped (it is empty) and created".to_owned(),
        (None, Fate::Replaced) => format!("will be dropped ({there}) and created"),
        (None, Fate::Created | Fate::Added) => "will be created".to_owned(),
        (Some(tables), Fate::Added) if there.is_empty() => format!("will get {}", tables.join(", ")),
        (Some(tables), Fate::Added) => format!("will get {} ({there} dropped before)", tables.join(", ")),
        (Some(tables), _) => format!("will be created with {} alone", tables.join(", ")),
    };
    if let Some(new_name) = &database.new_name {
        text.push_str(&format!(", as {new_name}"));
    }
    text
}

fn as_text(plan: &RestorePlan) -> String {
    let rows = plan
        .databases
        .iter()
        .map(|database| {
            let number =
                |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
            vec![
                database.database.clone(),
                number(database.tables),
                number(database.rows),
                database.size_bytes.map_or_else(|| "?".to_owned(), du_size),
                database.others.clone().unwrap_or_else(|| "?".to_owned()),
                becomes(database),
            ]
        })
        .collect();
    let mut lines = vec![
        format!("set {} in {}", plan.bk_id, plan.path.display()),
        format!(
            "into server {} ({}), whose binary log stays as it is set",
            plan.into, plan.server_version
        ),
        table(&["DATABASE", "TABLES", "ROWS", "SIZE", "OTHERS", "BECOMES"], rows),
    ];
    lines.push(plan.space.clone());
    lines.extend(plan.onto_source.clone());
    lines.extend(plan.left_out.iter().map(|line| format!("left out: {line}")));
    if plan.refusals.is_empty() {
        lines.extend(plan.missing_rights.iter().cloned());
    }
    lines.extend(plan.names.iter().map(|line| format!("warning: {line}")));
    let has_events = plan.databases.iter().any(|one| {
        one.others
            .as_ref()
            .is_none_or(|others| others.contains("event") || others.contains("routine"))
    });
    if has_events {
        lines.push(
            "events come back as they were, but for those of a copy under another name, which are disabled: an enabled one \
             may begin at once where the event scheduler is on; where \
             the set does not say in which SQL mode and time zone routines and events were written, the server's own holds"
                .to_owned(),
        );
    }
    if !plan.disabling.is_empty() {
        lines.push(
            "note: events of these databases come to another server as they were, and run in both where they are enabled; \
             once they are there, what disables them:"
                .to_owned(),
        );
        lines.extend(plan.disabling.iter().map(|statement| format!("  {statement};")));
    }
    lines.join("\n")
}
