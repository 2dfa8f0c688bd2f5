//! `mykeeper runs`, `mykeeper run-log`

use crate::args::RunsArgs;
use crate::failure::{Failure, Status};
use crate::output::{coloured, local, parse_since, print, print_json, table};
use crate::surroundings::{load_settings, open_catalog_to_look};
use chrono_tz::Tz;
use mykeeper_catalog::{Catalog, RunFilter};
use mykeeper_config::Settings;
use mykeeper_daemon::missing::{Wanted, find_missing};
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_domain::run::{Attempt, Run, RunState};
use mykeeper_domain::{Clock, JobName, SystemClock};
use serde::Serialize;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// `runs --json`: a run with its attempts and what people reckon from its times.
#[derive(Serialize)]
struct RunView {
    #[serde(flatten)]
    run: Run,
    late_seconds: Option<f64>,
    elapsed_seconds: Option<f64>,
    attempts: Vec<Attempt>,
}

async fn view(catalog: &dyn Catalog, run: Run) -> anyhow::Result<RunView> {
    let seconds = |from: chrono::DateTime<chrono::Utc>, to: chrono::DateTime<chrono::Utc>| {
        (to - from).num_milliseconds() as f64 / 1000.0
    };
    Ok(RunView {
        late_seconds: run.late().map(|late| late.num_milliseconds() as f64 / 1000.0),
        elapsed_seconds: run
            .started_at
            .zip(run.finished_at)
            .map(|(from, to)| seconds(from, to)),
        attempts: catalog.attempts(run.id).await?,
        run,
    })
}

pub(crate) async fn list(config: &Path, args: &RunsArgs, json: bool) -> anyhow::Result<Status> {
    let settings = load_settings(config)?.settings;
    let states = args
        .state
        .iter()
        .map(|state| state.parse::<RunState>().map_err(Failure::usage))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let filter = RunFilter {
        job: args
            .job
            .as_deref()
            .map(JobName::new)
            .transpose()
            .map_err(Failure::usage)?,
        states,
        since: args
            .since
            .as_deref()
            .map(|since| parse_since(since, SystemClock.now()))
            .transpose()?,
        limit: args.limit,
        ..Default::default()
    };
    let catalog = open_catalog_to_look(&settings).await?;
    if args.missing {
        let wanted = Wanted {
            job: filter.job,
            since: filter.since,
            now: SystemClock.now(),
            limit: usize::try_from(args.limit)?,
        };
        let status = missing(catalog.as_ref(), &settings, &wanted, json).await;
        catalog.close().await;
        return status;
    }
    let runs = catalog.runs(&filter).await?;
    if json {
        let mut views = Vec::with_capacity(runs.len());
        for run in runs {
            views.push(view(catalog.as_ref(), run).await?);
        }
        print_json(&views)?;
    } else {
        print(&as_table(&runs, settings.catalog.timezone))?;
    }
    catalog.close().await;
    Ok(Status::Done)
}

async fn missing(
    catalog: &dyn Catalog,
    settings: &Settings,
    wanted: &Wanted,
    json: bool,
) -> anyhow::Result<Status> {
    let state = StateDir::open(&settings.state_dir)?;
    let found = find_missing(catalog, (settings, &state), wanted).await?;
    if json {
        print_json(&found)?;
    } else if found.total == 0 {
        print("no slot is missing")?;
    } else {
        let zone = settings.catalog.timezone;
        let rows = found
            .missing
            .iter()
            .map(|slot| vec![slot.job.to_string(), local(slot.slot_at, zone), slot.why.clone()])
            .collect();
        print(&table(&["JOB", &format!("SLOT ({zone})"), "WHY"], rows))?;
        let more = found.total - found.missing.len() as u64;
        if more > 0 {
            print(&format!("and {more} more; --limit shows more of them"))?;
        }
    }
    Ok(match found.total {
        0 => Status::Done,
        _ => Status::Warnings,
    })
}

fn as_table(runs: &[Run], zone: Tz) -> String {
    let rows = runs
        .iter()
        .map(|run| {
            let elapsed = run
                .started_at
                .zip(run.finished_at)
                .and_then(|(from, to)| (to - from).to_std().ok());
            let late = run
                .late()
                .and_then(|late| late.to_std().ok())
                .filter(|late| late.as_secs() > 0);
            vec![
                run.id.to_string(),
                run.job.to_string(),
                run.kind.to_string(),
                local(run.started_at.unwrap_or(run.requested_at), zone),
                late.map(mykeeper_daemon::jobs::humane).unwrap_or_default(),
                elapsed.map(mykeeper_daemon::jobs::humane).unwrap_or_default(),
                coloured(
                    run.state.as_str(),
                    run.state.is_success() || !run.state.is_final(),
                ),
                run.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let started = format!("STARTED ({zone})");
    table(
        &["RUN", "JOB", "KIND", &started, "LATE", "TOOK", "STATE", "REASON"],
        rows,
    )
}

pub(crate) async fn log(config: &Path, wanted: &str) -> anyhow::Result<Status> {
    let settings = load_settings(config)?.settings;
    let catalog = open_catalog_to_look(&settings).await?;
    let run = find_run(catalog.as_ref(), wanted).await?;
    catalog.close().await;
    let Some(path) = run.log_path else {
        return Err(Failure::usage(format!(
            "run {} has no log: {} ({})",
            run.id,
            run.state,
            run.reason.unwrap_or_default()
        )));
    };
    let mut file = std::fs::File::open(&path).map_err(|error| {
        Failure::unavailable(format!(
            "cannot read the log of run {} at {} on node {}: {error}",
            run.id,
            path.display(),
            run.node
        ))
    })?;
    // In pieces: a log may be larger than memory should be.
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; 64 * 1024];
    let mut out = std::io::stdout().lock();
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Status::Done);
        }
        match out.write_all(&buffer[..read]) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Status::Done),
            result => result?,
        }
    }
}

/// By whole identity, or by the first characters where they tell it from the last thousand others.
async fn find_run(catalog: &dyn Catalog, wanted: &str) -> anyhow::Result<Run> {
    let none = || {
        Failure::usage(format!(
            "there is no run {wanted:?}; \"mykeeper runs\" lists them"
        ))
    };
    if let Ok(id) = wanted.parse() {
        return catalog.run(id).await?.ok_or_else(none);
    }
    let recent = catalog
        .runs(&RunFilter {
            limit: 1000,
            ..Default::default()
        })
        .await?;
    let mut matching = recent
        .into_iter()
        .filter(|run| run.id.to_string().starts_with(wanted));
    let first = matching.next().ok_or_else(none)?;
    if matching.next().is_some() {
        return Err(Failure::usage(format!(
            "{wanted:?} begins the identities of several runs; write more of it"
        )));
    }
    Ok(first)
}
