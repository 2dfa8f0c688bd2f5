//! Runs and attempts end once, and are found.

use super::*;

pub(super) async fn a_run_is_done_again_once_and_says_what_it_waits_for(catalog: &dyn Catalog) {
    let lost = run("n8", "again", Some(noon()));
    catalog.claim_slot(&lost).await.unwrap();
    let end = end(RunState::Interrupted, None, noon() + minutes(1));
    catalog.finish_run(lost.id, &end).await.unwrap();
    let again = Run {
        trigger: Trigger::Retry,
        retry_of: Some(lost.id),
        planned_at: Some(noon() + minutes(2)),
        ..run("n8", "again", None)
    };
    catalog.insert_run(&again).await.unwrap();
    assert_eq!(catalog.run(again.id).await.unwrap().unwrap(), again);
    let twice = Run {
        id: RunId::generate(),
        ..again.clone()
    };
    catalog.insert_run(&twice).await.unwrap();
    assert_eq!(
        catalog.run(twice.id).await.unwrap(),
        None,
        "it is done again already"
    );

    let reason = async || catalog.run(again.id).await.unwrap().unwrap().reason;
    assert!(
        catalog
            .note_run(again.id, Some("waits for server shop"))
            .await
            .unwrap()
    );
    assert_eq!(reason().await.as_deref(), Some("waits for server shop"));
    assert!(catalog.note_run(again.id, None).await.unwrap());
    assert_eq!(reason().await, None);
    assert!(!catalog.note_run(lost.id, Some("too late")).await.unwrap());
    assert_eq!(catalog.run(lost.id).await.unwrap().unwrap().reason, None);
}

pub(super) async fn runs_and_attempts_end_once(catalog: &dyn Catalog) {
    let mut expected = run("n3", "nightly", None);
    catalog.insert_run(&expected).await.unwrap();
    catalog.insert_run(&expected).await.unwrap();
    assert_eq!(catalog.run(expected.id).await.unwrap().as_ref(), Some(&expected));
    assert_eq!(catalog.run(RunId::generate()).await.unwrap(), None);

    let log = PathBuf::from("/var/lib/mykeeper/logs/日志.log");
    assert!(
        catalog
            .start_run(expected.id, noon(), Some(log.clone()))
            .await
            .unwrap()
    );
    assert!(
        catalog.start_run(expected.id, noon(), None).await.unwrap(),
        "a second attempt of the same run"
    );
    (expected.state, expected.started_at, expected.log_path) = (RunState::Running, Some(noon()), Some(log));
    assert_eq!(catalog.run(expected.id).await.unwrap().as_ref(), Some(&expected));

    let mut attempt = Attempt {
        id: AttemptId::generate(),
        run_id: expected.id,
        number: 1,
        bk_id: Some(BackupId::from(RunId::generate().as_uuid())),
        work_dir: Some(PathBuf::from("/data/备份")),
        state: RunState::Running,
        reason: None,
        exit_status: None,
        started_at: noon(),
        finished_at: None,
    };
    catalog.start_attempt(&attempt).await.unwrap();
    catalog.start_attempt(&attempt).await.unwrap();
    let n3 = node("n3");
    assert_eq!(
        catalog.runs_with_open_attempts(&n3).await.unwrap(),
        [],
        "the run goes on"
    );
    let failed = end(
        RunState::Failed,
        Some("mydumper: Access denied 🦀"),
        noon() + minutes(1),
    );
    assert!(
        catalog
            .finish_attempt(attempt.id, &failed, Some("exit 1"))
            .await
            .unwrap()
    );
    assert!(
        !catalog
            .finish_attempt(attempt.id, &failed, Some("exit 1"))
            .await
            .unwrap()
    );
    let second = Attempt {
        id: AttemptId::generate(),
        number: 2,
        ..attempt.clone()
    };
    catalog.start_attempt(&second).await.unwrap();
    (
        attempt.state,
        attempt.reason,
        attempt.exit_status,
        attempt.finished_at,
    ) = (
        failed.state,
        failed.reason.clone(),
        Some("exit 1".into()),
        Some(failed.finished_at),
    );
    assert_eq!(catalog.attempts(expected.id).await.unwrap(), [attempt, second]);

    let bk_id = BackupId::from(RunId::generate().as_uuid());
    let warned = RunEnd {
        bk_id: Some(bk_id),
        ..end(RunState::Warned, Some("look"), noon() + minutes(2))
    };
    assert!(catalog.finish_run(expected.id, &warned).await.unwrap());
    assert!(
        !catalog.finish_run(expected.id, &failed).await.unwrap(),
        "it is final"
    );
    assert!(!catalog.start_run(expected.id, noon(), None).await.unwrap());
    assert!(
        !catalog.finish_run(RunId::generate(), &warned).await.unwrap(),
        "there is no such run"
    );
    (
        expected.state,
        expected.reason,
        expected.bk_id,
        expected.finished_at,
    ) = (
        warned.state,
        warned.reason,
        warned.bk_id,
        Some(warned.finished_at),
    );
    assert_eq!(catalog.run(expected.id).await.unwrap().as_ref(), Some(&expected));
    assert_eq!(
        catalog.runs_with_open_attempts(&n3).await.unwrap(),
        [expected],
        "its second attempt has no end"
    );
    assert_eq!(catalog.unfinished_runs(&n3).await.unwrap(), []);
}

pub(super) async fn runs_are_found(catalog: &dyn Catalog) {
    let now = noon() + minutes(10);
    let n4 = node("n4");
    let mut all = Vec::new();
    for (number, (name, state)) in [
        ("a", RunState::Succeeded),
        ("a", RunState::Skipped),
        ("b", RunState::Failed),
        ("c", RunState::Skipped),
    ]
    .into_iter()
    .enumerate()
    {
        let run = Run {
            kind: if name == "b" {
                JobKind::Transfer
            } else {
                JobKind::Backup
            },
            state,
            requested_at: noon() + minutes(number as i64),
            retry_of: (number == 2)
                .then(|| all.first().map(|first: &Run| first.id))
                .flatten(),
            ..run("n4", name, None)
        };
        catalog.insert_run(&run).await.unwrap();
        all.push(run);
    }
    let base = RunFilter {
        node: Some(n4.clone()),
        limit: 100,
        ..Default::default()
    };
    let ids = |runs: Vec<Run>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    let expect = |numbers: &[usize]| numbers.iter().map(|number| all[*number].id).collect::<Vec<_>>();
    for (filter, numbers) in [
        (base.clone(), vec![3, 2, 1, 0]),
        (
            RunFilter {
                limit: 2,
                ..base.clone()
            },
            vec![3, 2],
        ),
        (
            RunFilter {
                limit: 0,
                ..base.clone()
            },
            vec![],
        ),
        (
            RunFilter {
                job: Some(job("a")),
                ..base.clone()
            },
            vec![1, 0],
        ),
        (
            RunFilter {
                kind: Some(JobKind::Transfer),
                ..base.clone()
            },
            vec![2],
        ),
        (
            RunFilter {
                states: vec![RunState::Failed, RunState::Succeeded],
                ..base.clone()
            },
            vec![2, 0],
        ),
        (
            RunFilter {
                retry_of: Some(all[0].id),
                ..base.clone()
            },
            vec![2],
        ),
        (
            RunFilter {
                since: Some(noon() + minutes(2)),
                ..base.clone()
            },
            vec![3, 2],
        ),
    ] {
        assert_eq!(
            ids(catalog.runs(&filter).await.unwrap()),
            expect(&numbers),
            "{filter:?}"
        );
    }
    assert_eq!(
        ids(catalog.last_runs(&n4, now).await.unwrap()),
        expect(&[0, 2]),
        "c was only ever skipped"
    );
    catalog
        .know_job(&n4, &definition(&job("b"), JobKind::Transfer), noon())
        .await
        .unwrap();
    catalog.forget_job(&n4, &job("b"), noon()).await.unwrap();
    assert_eq!(
        ids(catalog.last_runs(&n4, now).await.unwrap()),
        expect(&[0]),
        "b is no job of this node any more"
    );
    // Of a clock that was ahead for a while: one that ended then, and one that was found to be lost since.
    for (state, ended_after) in [(RunState::Succeeded, 2 * 1440), (RunState::Interrupted, 5)] {
        let ahead = Run {
            state,
            requested_at: noon() + minutes(1440),
            finished_at: Some(noon() + minutes(ended_after)),
            ..run("n4", "a", None)
        };
        catalog.insert_run(&ahead).await.unwrap();
        all.push(ahead);
        let last = catalog.last_runs(&n4, now).await.unwrap();
        let expected = if ended_after == 5 { &all[5] } else { &all[0] };
        assert_eq!(last, std::slice::from_ref(expected));
    }
    let last = catalog.last_runs(&n4, noon() + minutes(3 * 1440)).await.unwrap();
    assert_eq!(last[0].requested_at, noon() + minutes(1440), "that time has come");
    assert_eq!(catalog.last_runs(&node("nobody"), now).await.unwrap(), []);
}
