//! Jobs are known, and each of their slots is taken once.

use super::*;

pub(super) fn definition(job: &JobName, kind: JobKind) -> JobDefinition {
    JobDefinition {
        job: job.clone(),
        kind,
        schedule: "0 4 * * * Asia/Shanghai".into(),
        choice: None,
    }
}

pub(super) async fn jobs_are_known_and_forgotten(catalog: &dyn Catalog) {
    let (n1, nightly) = (node("n1"), job("国内 平台-1"));
    let first = catalog
        .know_job(&n1, &definition(&nightly, JobKind::Backup), noon())
        .await
        .unwrap();
    assert_eq!((first.since, first.last_slot_at), (noon(), None));
    let later = noon() + minutes(60);
    assert_eq!(
        catalog
            .know_job(&n1, &definition(&nightly, JobKind::Backup), later)
            .await
            .unwrap(),
        first,
        "seen before"
    );
    let changed = JobDefinition {
        schedule: "0 5 * * * Asia/Shanghai".into(),
        ..definition(&nightly, JobKind::Backup)
    };
    assert_eq!(
        catalog.know_job(&n1, &changed, later).await.unwrap(),
        first,
        "the schedule that was noted stays until it is noted anew"
    );
    catalog.reschedule_job(&n1, &changed, later).await.unwrap();
    let noted = catalog.know_job(&n1, &changed, later).await.unwrap();
    assert_eq!((noted.since, &noted.schedule), (later, &changed.schedule));

    let slot = noon() + minutes(30);
    assert_eq!(
        catalog
            .claim_slot(&run("n1", nightly.as_str(), Some(slot)))
            .await
            .unwrap(),
        Claim::Won
    );
    let older = noon() + minutes(15);
    assert_eq!(
        catalog
            .claim_slot(&run("n1", nightly.as_str(), Some(older)))
            .await
            .unwrap(),
        Claim::Won
    );
    assert_eq!(
        catalog.known_jobs(&n1).await.unwrap()[0].last_slot_at,
        Some(slot),
        "the newest that was decided"
    );

    catalog.forget_job(&n1, &nightly, later).await.unwrap();
    assert_eq!(catalog.known_jobs(&n1).await.unwrap(), []);
    let again = catalog
        .know_job(&n1, &definition(&nightly, JobKind::Retention), later)
        .await
        .unwrap();
    assert_eq!(
        (again.since, again.last_slot_at, again.kind),
        (later, None, JobKind::Retention)
    );
    assert_eq!(catalog.known_jobs(&n1).await.unwrap(), [again]);
    assert_eq!(
        catalog.known_jobs(&node("N1")).await.unwrap(),
        [],
        "large and small letters are different nodes"
    );
}

pub(super) async fn each_slot_is_won_once(settings: &OpenCatalog) {
    // Four daemons of one name with two tasks each: what the lock on the state directory should make impossible.
    let mut catalogs = Vec::new();
    for _ in 0..4 {
        catalogs.push(open(settings).await.unwrap());
    }
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let catalog: Arc<dyn Catalog> = Arc::clone(&catalogs[task / 2]);
            tokio::spawn(async move {
                let mut won = Vec::new();
                for slot in 0..50 {
                    let run = run("n2", "race", Some(noon() + minutes(slot)));
                    if catalog.claim_slot(&run).await.unwrap() == Claim::Won {
                        assert_eq!(
                            catalog.claim_slot(&run).await.unwrap(),
                            Claim::Won,
                            "asked again, still ours"
                        );
                        won.push((slot, run.id));
                    }
                }
                won
            })
        })
        .collect();
    let mut won = Vec::new();
    for task in tasks {
        won.extend(task.await.unwrap());
    }
    won.sort_unstable();
    assert_eq!(
        won.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(),
        (0..50).collect::<Vec<_>>()
    );
    let filter = RunFilter {
        job: Some(job("race")),
        limit: 1000,
        ..Default::default()
    };
    assert_eq!(
        catalogs[0].runs(&filter).await.unwrap().len(),
        50,
        "who lost wrote nothing"
    );
    let unfinished = catalogs[0].unfinished_runs(&node("n2")).await.unwrap();
    assert_eq!(
        unfinished.iter().map(|run| run.id).collect::<Vec<_>>(),
        won.iter().map(|(_, id)| *id).collect::<Vec<_>>()
    );
}

pub(super) async fn slots_that_pass_are_recorded_once(catalog: &dyn Catalog) {
    let skipped = |minute: i64| Run {
        state: RunState::Skipped,
        reason: Some("merged".into()),
        finished_at: Some(noon()),
        ..run("n7", "passes", Some(noon() + minutes(minute)))
    };
    let taken = run("n7", "passes", Some(noon() + minutes(3)));
    assert_eq!(catalog.claim_slot(&taken).await.unwrap(), Claim::Won);
    let mut many: Vec<Run> = (0..1000).map(skipped).collect();
    many[0].covers = Some(CoveredSlots {
        after: noon() - minutes(100),
        slots: 99,
    });
    assert_eq!(
        catalog.skip_slots(&many).await.unwrap(),
        999,
        "one was taken before"
    );
    assert_eq!(
        catalog.skip_slots(&many).await.unwrap(),
        0,
        "asked again, nothing changes"
    );
    assert_eq!(catalog.skip_slots(&[]).await.unwrap(), 0);
    assert!(
        catalog
            .skip_slots(&[skipped(2000), run("n7", "other", Some(noon()))])
            .await
            .is_err(),
        "slots of two jobs"
    );
    let filter = RunFilter {
        job: Some(job("passes")),
        limit: 2000,
        ..Default::default()
    };
    let rows = catalog.runs(&filter).await.unwrap();
    assert_eq!(rows.len(), 1000);
    assert_eq!(rows.last().unwrap(), &many[0]);
    let of = (&node("n7"), &job("passes"));
    let span = (noon(), noon() + minutes(10));
    let decided = catalog.decided_slots(of, span, 5).await.unwrap();
    assert_eq!(
        decided.iter().map(|slot| slot.slot_at).collect::<Vec<_>>(),
        (1..=5).map(|minute| noon() + minutes(minute)).collect::<Vec<_>>()
    );
    let first = catalog
        .decided_slots(of, (noon() - minutes(1), noon()), 5)
        .await
        .unwrap();
    assert_eq!(first[0].covers_after, Some(noon() - minutes(100)));
}

pub(super) async fn a_slot_that_a_clock_ahead_let_pass_is_taken_over(catalog: &dyn Catalog) {
    let definition = definition(&job("ahead"), JobKind::Backup);
    catalog.know_job(&node("n9"), &definition, noon()).await.unwrap();
    let slot = noon() + minutes(5);
    let covers = Some(CoveredSlots {
        after: noon(),
        slots: 4,
    });
    let passed = Run {
        state: RunState::Skipped,
        reason: Some("merged".into()),
        requested_at: noon() + minutes(500_000),
        covers,
        ..run("n9", "ahead", Some(slot))
    };
    let far = Run {
        requested_at: noon() + minutes(500_000),
        ..run("n9", "ahead", Some(noon() + minutes(499_999)))
    };
    assert_eq!(
        catalog.skip_slots(std::slice::from_ref(&passed)).await.unwrap(),
        1
    );
    assert_eq!(catalog.claim_slot(&far).await.unwrap(), Claim::Won);
    let known = catalog.know_job(&node("n9"), &definition, noon()).await.unwrap();
    assert_eq!(known.last_slot_at, None, "nothing of what is to come is decided");

    let due = Run {
        requested_at: slot,
        ..run("n9", "ahead", Some(slot))
    };
    for _ in 0..2 {
        assert_eq!(catalog.claim_slot(&due).await.unwrap(), Claim::Won);
        // The journal may do everything again.
        assert_eq!(
            catalog.skip_slots(std::slice::from_ref(&passed)).await.unwrap(),
            0
        );
    }
    let taken = catalog.run(due.id).await.unwrap().unwrap();
    assert_eq!((taken.slot_at, taken.covers), (Some(slot), covers));
    let row = catalog.run(passed.id).await.unwrap().unwrap();
    assert_eq!(
        (row.slot_at, row.covers, row.state),
        (None, None, RunState::Skipped)
    );
    let reason = row.reason.unwrap();
    assert!(
        reason.starts_with("merged; ") && reason.contains(&due.id.to_string()),
        "{reason}"
    );
    let known = catalog.know_job(&node("n9"), &definition, slot).await.unwrap();
    assert_eq!(known.last_slot_at, Some(slot));

    let later = Run {
        requested_at: slot - minutes(1),
        ..run("n9", "ahead", Some(slot))
    };
    assert_eq!(
        catalog.claim_slot(&later).await.unwrap(),
        Claim::Taken,
        "what ran is not run again"
    );
    let of_far = Run {
        requested_at: slot,
        ..run("n9", "ahead", far.slot_at)
    };
    assert_eq!(catalog.claim_slot(&of_far).await.unwrap(), Claim::Taken);
}
