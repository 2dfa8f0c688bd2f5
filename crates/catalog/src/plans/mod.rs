//! By which indexes the engines answer, told by themselves of the statements that the catalog's own methods send.

mod engine;
mod history;
mod pages;
#[path = "../../tests/throwaway/mod.rs"]
mod throwaway;

use crate::{BackupFilter, Bookmark, Catalog, CatalogError, MOST_COUNTED, RunFilter, SetState};
use chrono::{DateTime, TimeDelta, Utc};
use engine::{Engine, Plan};
use history::{SETS, began_at, set_id};
use mykeeper_domain::job::JobKind;
use mykeeper_domain::run::RunState;
use mykeeper_domain::{BackupId, JobName, NodeName, RunId};
use pages::ask_for_choices;
use std::future::Future;

/// What a question may touch, of the tables that grow with history.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cost {
    /// A list that begins at one end of an index and ends with its limit.
    InOrder,
    /// What an index finds, however much else there is; all of it is put in order.
    Found,
    /// What an index finds, in the index's own order: what is there need not be read to the end.
    FoundInOrder,
}

/// Rows that a question may examine, at most: what is counted is looked at twice.
const ROWS: u64 = 2 * MOST_COUNTED + 100;

struct Asked<'a> {
    engine: &'a Engine,
    complaints: Vec<String>,
    statements: usize,
}

impl Asked<'_> {
    async fn of<T>(
        &mut self,
        name: &str,
        cost: Cost,
        question: impl Future<Output = Result<T, CatalogError>>,
    ) {
        self.engine.listen().await;
        if let Err(error) = question.await {
            self.complaints.push(format!("{name}: {error}"));
        }
        let plans: Vec<Plan> = self.engine.heard().await;
        assert!(!plans.is_empty(), "{name}: no statement was heard");
        self.statements += plans.len();
        for plan in plans {
            if let Some(fault) = plan.fault(cost) {
                self.complaints.push(format!(
                    "{name}: {fault}\n    {}\n    {}",
                    plan.sql,
                    plan.steps.join("\n    ")
                ));
            }
        }
    }
}

fn node() -> NodeName {
    NodeName::new("keeper-7").unwrap()
}

fn job() -> JobName {
    JobName::new("nightly-7").unwrap()
}

fn end() -> DateTime<Utc> {
    began_at() + TimeDelta::minutes(SETS)
}

fn sets(state: Option<SetState>) -> BackupFilter {
    BackupFilter {
        state,
        present_only: true,
        limit: 20,
        ..BackupFilter::default()
    }
}

fn runs() -> RunFilter {
    RunFilter {
        limit: 20,
        ..RunFilter::default()
    }
}

const STATES: [SetState; 10] = [
    SetState::Complete,
    SetState::Incomplete,
    SetState::Transferred,
    SetState::Validated,
    SetState::Proven,
    SetState::ProvenOnce,
    SetState::Failed,
    SetState::Damaged,
    SetState::Unproven,
    SetState::Deleted,
];

async fn ask_for_sets(asked: &mut Asked<'_>, catalog: &dyn Catalog) {
    let of_server = |state| BackupFilter {
        tag: Some("tag-7".into()),
        ..sets(state)
    };
    let of_job = |state| BackupFilter {
        job: Some(job()),
        ..of_server(state)
    };
    for all in [false, true] {
        let with_deleted = |filter: BackupFilter| BackupFilter {
            present_only: filter.present_only && !all,
            ..filter
        };
        let filter = with_deleted(sets(None));
        asked.of("backups", Cost::InOrder, catalog.backups(&filter)).await;
        let since = with_deleted(BackupFilter {
            since: Some(end() - TimeDelta::hours(30)),
            ..sets(None)
        });
        asked
            .of("backups --since", Cost::FoundInOrder, catalog.backups(&since))
            .await;
        for (what, filter) in [
            ("backups --tag", of_server(None)),
            (
                "backups of a job",
                BackupFilter {
                    tag: None,
                    ..of_job(None)
                },
            ),
            ("backups of a job of a server", of_job(None)),
            (
                "backups of a node",
                BackupFilter {
                    node: Some(node()),
                    ..sets(None)
                },
            ),
            (
                "backups --server",
                BackupFilter {
                    server: Some("10.0.0.7".into()),
                    ..sets(None)
                },
            ),
        ] {
            let filter = with_deleted(filter);
            asked.of(what, Cost::FoundInOrder, catalog.backups(&filter)).await;
        }
        for state in STATES {
            for filter in [sets(Some(state)), of_server(Some(state)), of_job(Some(state))] {
                let filter = with_deleted(filter);
                let what = format!(
                    "backups --state {state:?}, tag {:?}, deleted ones {all}",
                    filter.tag
                );
                asked
                    .of(&what, Cost::FoundInOrder, catalog.backups(&filter))
                    .await;
            }
        }
    }
    let prefix = BackupFilter {
        id_prefix: Some(set_id(77)[..9].to_owned()),
        present_only: false,
        ..sets(None)
    };
    asked
        .of("show bk_id", Cost::Found, catalog.backups(&prefix))
        .await;
    for filter in [
        sets(None),
        of_server(None),
        sets(Some(SetState::Incomplete)),
        sets(Some(SetState::Failed)),
    ] {
        asked
            .of(
                "how many are deleted",
                Cost::Found,
                catalog.count_deleted(&filter),
            )
            .await;
    }
    let id: BackupId = set_id(SETS - 10).parse().unwrap();
    asked.of("show", Cost::Found, catalog.backup(id)).await;
    asked.of("its files", Cost::Found, catalog.files(id)).await;
    asked.of("its evidence", Cost::Found, catalog.evidence(id)).await;
    asked
        .of("its transfers", Cost::Found, catalog.transfers(id))
        .await;
    asked.of("its proofs", Cost::Found, catalog.proofs(id)).await;
    asked
        .of("its verifications", Cost::Found, catalog.verifications(id))
        .await;
    asked.of("its removals", Cost::Found, catalog.removals(id)).await;
    asked.of("damages", Cost::Found, catalog.damages(None)).await;
    asked
        .of("damages of a list", Cost::Found, catalog.damages(Some(&[id])))
        .await;
    for of_job in [Some(&job()), None] {
        asked
            .of(
                "comebacks",
                Cost::FoundInOrder,
                catalog.restore_times("tag-7", of_job, 50),
            )
            .await;
    }
    asked
        .of("neighbours", Cost::Found, catalog.neighbours("tag-7", 3))
        .await;
}

async fn ask_for_runs(asked: &mut Asked<'_>, catalog: &dyn Catalog) {
    let failed = vec![RunState::Failed, RunState::TimedOut, RunState::Interrupted];
    asked.of("runs", Cost::InOrder, catalog.runs(&runs())).await;
    for (what, filter) in [
        (
            "runs --job",
            RunFilter {
                job: Some(job()),
                ..runs()
            },
        ),
        (
            "runs of a job of a node",
            RunFilter {
                job: Some(job()),
                node: Some(node()),
                ..runs()
            },
        ),
        (
            "runs of a node",
            RunFilter {
                node: Some(node()),
                since: Some(end() - TimeDelta::days(1)),
                ..runs()
            },
        ),
        (
            "runs of a rare kind",
            RunFilter {
                kind: Some(JobKind::Restore),
                ..runs()
            },
        ),
        (
            "runs --since",
            RunFilter {
                since: Some(end() - TimeDelta::hours(3)),
                ..runs()
            },
        ),
        (
            "runs --state of several",
            RunFilter {
                states: failed.clone(),
                ..runs()
            },
        ),
        (
            "runs --state succeeded",
            RunFilter {
                states: vec![RunState::Succeeded, RunState::Failed],
                ..runs()
            },
        ),
        (
            "runs --job --state",
            RunFilter {
                job: Some(job()),
                states: failed.clone(),
                ..runs()
            },
        ),
        (
            "proofs that failed",
            RunFilter {
                kind: Some(JobKind::Validation),
                states: failed.clone(),
                ..runs()
            },
        ),
        (
            "backups under way",
            RunFilter {
                kind: Some(JobKind::Backup),
                states: vec![RunState::Running],
                ..runs()
            },
        ),
        (
            "runs of a node --state",
            RunFilter {
                node: Some(node()),
                states: failed.clone(),
                ..runs()
            },
        ),
        (
            "done again",
            RunFilter {
                retry_of: Some(RunId::generate()),
                ..runs()
            },
        ),
    ] {
        asked.of(what, Cost::FoundInOrder, catalog.runs(&filter)).await;
    }
    let id = RunId::generate();
    asked.of("run", Cost::Found, catalog.run(id)).await;
    asked.of("its attempts", Cost::Found, catalog.attempts(id)).await;
    asked
        .of("unfinished", Cost::Found, catalog.unfinished_runs(&node()))
        .await;
    asked
        .of(
            "open attempts",
            Cost::Found,
            catalog.runs_with_open_attempts(&node()),
        )
        .await;
    asked
        .of("last of each job", Cost::Found, catalog.last_runs(&node(), end()))
        .await;
    let span = (end() - TimeDelta::days(2), end());
    asked
        .of(
            "decided slots",
            Cost::FoundInOrder,
            catalog.decided_slots((&node(), &job()), span, 20),
        )
        .await;
    asked
        .of("events", Cost::InOrder, catalog.newest_events(span.0, 20))
        .await;
}

async fn ask_for_work(asked: &mut Asked<'_>, catalog: &dyn Catalog) {
    let vault = mykeeper_domain::DestinationName::new("vault").unwrap();
    let next = std::cell::RefCell::new(None);
    for _ in 0..2 {
        let after: Option<Bookmark> = next.take();
        let page = async {
            let page = (after.as_ref(), 20);
            next.replace(catalog.pending_transfers(&node(), &vault, page).await?.next);
            Ok(())
        };
        asked.of("to send", Cost::Found, page).await;
    }
    asked
        .of("destinations", Cost::InOrder, catalog.delivery_names(&node()))
        .await;
    asked
        .of(
            "to compare",
            Cost::Found,
            catalog.due_verifications(&node(), &vault, end() - TimeDelta::days(3), 20),
        )
        .await;
    asked
        .of(
            "to compare, as found to differ",
            Cost::Found,
            catalog.due_verifications(&node(), &vault, DateTime::<Utc>::MIN_UTC, 20),
        )
        .await;
    asked
        .of(
            "transfers left open",
            Cost::Found,
            catalog.unfinished_transfers(&node()),
        )
        .await;
    asked.of("promises", Cost::Found, catalog.promises(&node())).await;
}

/// Asks everything; then, without one of the indexes, one thing again.
async fn every_question_has_its_index(engine: Engine) {
    let store = engine.store();
    store.migrate().await.unwrap();
    engine.fill().await;
    let mut asked = Asked {
        engine: &engine,
        complaints: Vec::new(),
        statements: 0,
    };
    ask_for_sets(&mut asked, store).await;
    ask_for_runs(&mut asked, store).await;
    ask_for_work(&mut asked, store).await;
    ask_for_choices(&mut asked, store).await;
    assert!(asked.complaints.is_empty(), "{}", asked.complaints.join("\n"));
    assert!(
        asked.statements > 100,
        "{} statements were heard",
        asked.statements
    );

    for (table, index) in [("user_backup", "mk_whole_start"), ("mk_run", "mk_run_job_time")] {
        engine.drop_index(table, index).await;
    }
    let incomplete = sets(Some(SetState::Incomplete));
    let of_job = RunFilter {
        job: Some(job()),
        ..runs()
    };
    let what = "without its index";
    asked
        .of(what, Cost::FoundInOrder, store.backups(&incomplete))
        .await;
    assert!(!asked.complaints.is_empty(), "all sets were gone through unseen");
    asked.complaints.clear();
    asked.of(what, Cost::FoundInOrder, store.runs(&of_job)).await;
    assert!(
        !asked.complaints.is_empty() || asked.engine.sorts_few(),
        "all runs of a job were sorted unseen"
    );
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_answers_every_question_by_an_index() {
    every_question_has_its_index(Engine::sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_answers_every_question_by_an_index() {
    every_question_has_its_index(Engine::on(throwaway::Server::mariadb().await, false).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_answers_every_question_by_an_index() {
    if let Some(server) = throwaway::Server::mysql().await {
        every_question_has_its_index(Engine::on(server, true).await).await;
    }
}
