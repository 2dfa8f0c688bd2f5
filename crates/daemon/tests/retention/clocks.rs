//! A machine's clock that is wrong decides nothing about what is old.

use super::*;

#[tokio::test]
async fn nothing_goes_by_a_clock_that_is_months_from_the_last_run_until_a_person_says_that_it_is_right() {
    for months in [3, -3] {
        let stage = Stage::new("{ within = \"30d\" }", "delete").await;
        let (old, place) = stage.set(if months > 0 { 1 } else { 120 + 40 }).await;
        stage
            .set_from(stage.clock.now() - TimeDelta::days(if months > 0 { 0 } else { 119 }))
            .await;
        // A run that went by the right clock, and removed nothing that it should not have.
        stage.run(stage.job_called("prove")).await;
        stage.clock.advance(TimeDelta::days(30 * months));
        for _ in 0..2 {
            let run = stage.prune().await;
            assert_eq!(run.state, RunState::Failed, "{}", run.reason);
            assert!(
                run.reason
                    .starts_with("nothing is removed: 1 set would go, and this machine's clock says"),
                "{}",
                run.reason
            );
            assert!(place.is_dir());
            assert_eq!(stage.row(old).await.deletion, Deletion::None);
        }
        let (settings, job) = (stage.environment.settings(), stage.job());
        let Task::Retention(task) = &job.task else {
            panic!("{job:?}")
        };
        let plan = plan(&stage.environment, &settings, &job, task).await.unwrap();
        assert!(
            plan.warnings
                .iter()
                .any(|told| told.starts_with("nothing is removed")),
            "{:?}",
            plan.warnings
        );
        let (_, command) = plan.warnings[0].split_once("right now: ").unwrap();
        let (_, file) = command.split_once("> ").unwrap();
        let said = stage.clock.now().to_rfc3339();
        std::fs::write(file, said).unwrap();
        let run = stage.prune().await;
        assert_eq!(run.state, RunState::Succeeded, "{}", run.reason);
        assert!(!place.exists());
    }
}
