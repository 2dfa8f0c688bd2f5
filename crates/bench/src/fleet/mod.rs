//! A catalog after years of a fleet, on both engines, and a schedule of ten thousand jobs.

mod history;
pub(crate) mod schedule;

use crate::error::BenchError;
use crate::process::memory;
use crate::report::{grid, megabytes, say};
use chrono::{DateTime, TimeDelta, Utc};
use history::{Engine, end, run_id, set_id};
use mykeeper_catalog::{
    BackupFilter, Catalog, CatalogError, OpenCatalog, Reach, RunFilter, SetState, VerificationScope,
    WaitingScope, open,
};
use mykeeper_domain::job::JobKind;
use mykeeper_domain::run::RunState;
use mykeeper_domain::{BackupId, DestinationName, JobName, NodeName, RunId};
use mykeeper_e2e::{CatalogView, MariaDb, MariaDbOptions};
use std::future::Future;
use std::time::{Duration, Instant};

/// How often each question is asked.
const ASKED: usize = 200;
const TARGET: Duration = Duration::from_millis(20);

/// Asks both engines, then fires the schedule.
pub(crate) fn measure((sets, runs): (u32, u32), slots: schedule::Slots) -> Result<(), BenchError> {
    let folder = tempfile::tempdir().map_err(BenchError::io("make a folder"))?;
    let file = folder.path().join("catalog.db");
    let url = format!("sqlite:{}", file.display());
    measure_catalog(&url, (sets, runs), Engine::Sqlite, &CatalogView::sqlite(&file))?;
    let server = MariaDb::start_with(MariaDbOptions {
        extra: vec![
            "--innodb-buffer-pool-size=1G".to_owned(),
            "--innodb-flush-log-at-trx-commit=2".to_owned(),
        ],
        ..MariaDbOptions::default()
    });
    server.sql("CREATE DATABASE fleet");
    let url = format!(
        "mysql://root@localhost/fleet?socket={}",
        server.socket().display()
    );
    measure_catalog(
        &url,
        (sets, runs),
        Engine::MariaDb,
        &CatalogView::mariadb(&server, "fleet"),
    )?;
    drop(server);
    schedule::measure(slots)
}

fn unfit(error: &CatalogError) -> BenchError {
    BenchError::Unfit(error.to_string())
}

fn measure_catalog(
    url: &str,
    size: (u32, u32),
    engine: Engine,
    view: &CatalogView<'_>,
) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Runtime::new().map_err(BenchError::io("start a runtime"))?;
    let settings = OpenCatalog {
        url: url.to_owned(),
        password: None,
        timezone: chrono_tz::UTC,
        create: true,
    };
    let catalog = runtime.block_on(async {
        let catalog = open(&settings).await?;
        catalog.migrate().await?;
        Ok::<_, CatalogError>(catalog)
    });
    let catalog = catalog.map_err(|error| unfit(&error))?;
    let began = Instant::now();
    for statement in history::statements(size, engine) {
        view.edit(&statement);
    }
    say(&format!(
        "fleet: {} with {} sets and {} runs of 300 servers (made in {:.0} s), each question asked {ASKED} times",
        engine.name(),
        size.0,
        size.1,
        began.elapsed().as_secs_f64()
    ))?;
    let before = memory(std::process::id()).unwrap_or_default();
    let mut asked = Asked {
        rows: vec![["", "p50", "p99", "at most 20 ms"].map(str::to_owned).to_vec()],
    };
    let outcome = runtime.block_on(ask(&mut asked, catalog.as_ref(), size));
    outcome.map_err(|error| unfit(&error))?;
    let after = memory(std::process::id()).unwrap_or_default();
    runtime.block_on(catalog.close());
    grid(&asked.rows)?;
    say(&format!(
        "memory of the process that asked: {} before, {} after (most ever: {})\n",
        megabytes(before.resident),
        megabytes(after.resident),
        megabytes(after.peak)
    ))
}

struct Asked {
    rows: Vec<Vec<String>>,
}

impl Asked {
    async fn of<T, Answer>(&mut self, name: &str, question: impl Fn() -> Answer) -> Result<(), CatalogError>
    where
        Answer: Future<Output = Result<T, CatalogError>>,
    {
        let mut times = Vec::with_capacity(ASKED);
        for _ in 0..ASKED {
            let began = Instant::now();
            question().await?;
            times.push(began.elapsed());
        }
        times.sort();
        let share = |percent: usize| {
            times
                .get(times.len() * percent / 100)
                .copied()
                .unwrap_or_default()
        };
        let (middle, slow) = (share(50), share(99));
        let reached = if slow <= TARGET { "reached" } else { "NOT reached" };
        let text = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
        self.rows.push(vec![
            name.to_owned(),
            text(middle),
            text(slow),
            reached.to_owned(),
        ]);
        Ok(())
    }
}

async fn ask(asked: &mut Asked, catalog: &dyn Catalog, size: (u32, u32)) -> Result<(), CatalogError> {
    ask_for_sets(asked, catalog, size.0).await?;
    ask_for_choices(asked, catalog, size.0).await?;
    ask_for_runs(asked, catalog, size.1).await?;
    let (Ok(node), Ok(vault)) = (NodeName::new("keeper-7"), DestinationName::new("vault")) else {
        return Ok(());
    };
    let now = end(size.0);
    asked
        .of("transfer: what waits to be sent", || {
            catalog.pending_transfers(&node, &vault, (None, 100))
        })
        .await?;
    let before = now - TimeDelta::days(7);
    asked
        .of("transfer: what is due to be compared", || {
            catalog.due_verifications(&node, &vault, before, 100)
        })
        .await?;
    let never = DateTime::<Utc>::MIN_UTC;
    asked
        .of("transfer: what was found to differ", || {
            catalog.due_verifications(&node, &vault, never, 100)
        })
        .await?;
    asked
        .of("jobs: the last run of each of a node", || {
            catalog.last_runs(&node, now)
        })
        .await?;
    asked.of("check: what is damaged", || catalog.damages(None)).await
}

async fn ask_for_sets(asked: &mut Asked, catalog: &dyn Catalog, sets: u32) -> Result<(), CatalogError> {
    let all = BackupFilter {
        present_only: true,
        limit: 20,
        ..BackupFilter::default()
    };
    let of_server = BackupFilter {
        tag: Some("tag-7".to_owned()),
        ..all.clone()
    };
    let in_state = |state, of: &BackupFilter| BackupFilter {
        state: Some(state),
        ..of.clone()
    };
    for (name, filter) in [
        ("backups", all.clone()),
        (
            "backups --all",
            BackupFilter {
                present_only: false,
                ..all.clone()
            },
        ),
        ("backups --tag", of_server.clone()),
        (
            "backups --server",
            BackupFilter {
                server: Some("10.0.0.7".to_owned()),
                ..all.clone()
            },
        ),
        (
            "backups --since",
            BackupFilter {
                since: Some(end(sets) - TimeDelta::days(1)),
                ..all.clone()
            },
        ),
        ("backups --state incomplete", in_state(SetState::Incomplete, &all)),
        (
            "backups --state transferred",
            in_state(SetState::Transferred, &all),
        ),
        ("backups --state validated", in_state(SetState::Validated, &all)),
        ("backups --state failed", in_state(SetState::Failed, &all)),
        ("backups --state damaged", in_state(SetState::Damaged, &all)),
        ("backups --state unproven", in_state(SetState::Unproven, &all)),
        (
            "backups --state deleted",
            BackupFilter {
                present_only: false,
                ..in_state(SetState::Deleted, &all)
            },
        ),
        (
            "status: the newest proven of a server",
            in_state(SetState::Proven, &of_server),
        ),
    ] {
        asked.of(name, || catalog.backups(&filter)).await?;
    }
    asked
        .of("backups: how many are deleted", || catalog.count_deleted(&all))
        .await?;
    let prefix = BackupFilter {
        id_prefix: set_id(sets / 2).get(..33).map(str::to_owned),
        present_only: false,
        ..all
    };
    asked
        .of("show, by a beginning", || catalog.backups(&prefix))
        .await?;
    if let Ok(id) = set_id(sets.saturating_sub(10)).parse::<BackupId>() {
        asked
            .of("show", || async move {
                catalog.backup(id).await?;
                catalog.files(id).await?;
                catalog.transfers(id).await?;
                catalog.proofs(id).await?;
                catalog.verifications(id).await
            })
            .await?;
    }
    Ok(())
}

/// What jobs of a node choose from, whose sets are few among those that wait elsewhere, and of a host that all send to.
async fn ask_for_choices(asked: &mut Asked, catalog: &dyn Catalog, sets: u32) -> Result<(), CatalogError> {
    let (Ok(node), Ok(vault)) = (NodeName::new("keeper-7"), DestinationName::new("vault")) else {
        return Ok(());
    };
    let own = Reach {
        node,
        tags_here: Vec::new(),
        destinations: Vec::new(),
    };
    let all = Reach {
        destinations: vec![vault],
        ..own.clone()
    };
    let nobody = Reach {
        node: NodeName::new("idle").unwrap_or_else(|_| own.node.clone()),
        ..own.clone()
    };
    for (whose, reach) in [("own", &own), ("all senders'", &all), ("none of those", &nobody)] {
        for newest_first in [true, false] {
            let scope = WaitingScope {
                reach: Some(reach.clone()),
                tags: Vec::new(),
                since: None,
                newest_first,
            };
            let order = if newest_first { "newest" } else { "oldest" };
            asked
                .of(
                    &format!("validation: the next to prove, {whose}, {order}"),
                    || first_waiting(catalog, &scope),
                )
                .await?;
        }
        asked
            .of(&format!("retention: a page of what lies here, {whose}"), || {
                catalog.sets_here(reach, None)
            })
            .await?;
        let scope = VerificationScope {
            reach: reach.clone(),
            tags: Vec::new(),
            since: None,
            before: end(sets) - TimeDelta::days(1),
        };
        asked
            .of(&format!("verify_every: what is due first, {whose}"), || {
                first_due(catalog, &scope)
            })
            .await?;
    }
    Ok(())
}

/// Pages until one has a set.
async fn first_waiting(catalog: &dyn Catalog, scope: &WaitingScope) -> Result<(), CatalogError> {
    let mut after = None;
    loop {
        let page = catalog.validation_candidates(scope, after.as_ref(), 200).await?;
        after = page.next;
        if !page.sets.is_empty() || after.is_none() {
            return Ok(());
        }
    }
}

/// Pages until one has a set.
async fn first_due(catalog: &dyn Catalog, scope: &VerificationScope) -> Result<(), CatalogError> {
    let mut after = None;
    loop {
        let page = catalog.due_for_reading(scope, after.as_ref(), 500).await?;
        after = page.next;
        if !page.sets.is_empty() || after.is_none() {
            return Ok(());
        }
    }
}

async fn ask_for_runs(asked: &mut Asked, catalog: &dyn Catalog, runs: u32) -> Result<(), CatalogError> {
    let all = RunFilter {
        limit: 20,
        ..RunFilter::default()
    };
    let failed = vec![RunState::Failed, RunState::TimedOut, RunState::Interrupted];
    for (name, filter) in [
        ("runs", all.clone()),
        (
            "runs --job",
            RunFilter {
                job: JobName::new("nightly-7").ok(),
                ..all.clone()
            },
        ),
        (
            "runs --state failed",
            RunFilter {
                states: vec![RunState::Failed],
                ..all.clone()
            },
        ),
        (
            "runs --state of several",
            RunFilter {
                states: failed.clone(),
                ..all.clone()
            },
        ),
        (
            "runs --job --state",
            RunFilter {
                job: JobName::new("nightly-7").ok(),
                states: failed.clone(),
                ..all.clone()
            },
        ),
        (
            "proofs that failed",
            RunFilter {
                kind: Some(JobKind::Validation),
                states: failed,
                ..all.clone()
            },
        ),
        (
            "backups that run",
            RunFilter {
                kind: Some(JobKind::Backup),
                states: vec![RunState::Running],
                ..all
            },
        ),
    ] {
        asked.of(name, || catalog.runs(&filter)).await?;
    }
    if let Ok(id) = run_id(runs / 2).parse::<RunId>() {
        asked
            .of("one run with its attempts", || async move {
                catalog.run(id).await?;
                catalog.attempts(id).await
            })
            .await?;
    }
    Ok(())
}
