//! Several under one name of a node, each with a `state_dir` of its own.

use super::away::journaled;
use super::*;
use throwaway::Server;

#[tokio::test(flavor = "multi_thread")]
async fn the_runs_of_another_state_dir_are_not_settled_for_it() {
    let server = Server::mariadb().await;
    let settings = OpenCatalog {
        url: server.url("root", "story"),
        password: None,
        timezone: Tz::UTC,
        create: true,
    };
    server.sql("mysql", "CREATE DATABASE story").await;
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let daemon = journaled(&settings, one.path()).await;
    daemon.migrate().await.unwrap();
    let command = journaled(&settings, other.path()).await;
    let twin = node("localhost");
    let unfinished = async |catalog: &dyn Catalog| -> Vec<RunId> {
        let runs = catalog.unfinished_runs(&twin).await.unwrap();
        runs.into_iter().map(|run| run.id).collect()
    };
    let running = |day: i64| Run {
        state: RunState::Running,
        requested_at: noon() + TimeDelta::days(day),
        ..run("localhost", "nightly", None)
    };
    let (of_daemon, of_command) = (running(0), running(1));
    daemon.insert_run(&of_daemon).await.unwrap();
    command.insert_run(&of_command).await.unwrap();
    let sent = Transfer {
        node: twin.clone(),
        run_id: Some(of_daemon.id),
        ..transfer(&backup("localhost", noon()), 1, TransferPurpose::Send, noon())
    };
    daemon.start_transfer(&sent, "x").await.unwrap();
    assert_eq!(unfinished(daemon.as_ref()).await, [of_daemon.id]);
    assert_eq!(unfinished(command.as_ref()).await, [of_command.id]);
    assert_eq!(daemon.unfinished_transfers(&twin).await.unwrap().len(), 1);
    assert_eq!(command.unfinished_transfers(&twin).await.unwrap(), []);
    // Nor is what it has begun gone on with here: it lies on a disk of its own.
    let last = async |catalog: &dyn Catalog| -> Vec<RunId> {
        let now = noon() + TimeDelta::days(2);
        let runs = catalog.last_runs(&twin, now).await.unwrap();
        runs.into_iter().map(|run| run.id).collect()
    };
    assert_eq!(last(daemon.as_ref()).await, [of_daemon.id]);
    assert_eq!(last(command.as_ref()).await, [of_command.id]);
    let over = running(-1);
    daemon.insert_run(&over).await.unwrap();
    let attempt = Attempt {
        id: AttemptId::generate(),
        run_id: over.id,
        number: 1,
        bk_id: None,
        work_dir: None,
        state: RunState::Running,
        reason: None,
        exit_status: None,
        started_at: noon(),
        finished_at: None,
    };
    daemon.start_attempt(&attempt).await.unwrap();
    let end = end(RunState::Interrupted, None, noon());
    daemon.finish_run(over.id, &end).await.unwrap();
    assert_eq!(daemon.runs_with_open_attempts(&twin).await.unwrap().len(), 1);
    assert_eq!(command.runs_with_open_attempts(&twin).await.unwrap(), []);
    // The next process in the same folder answers for them.
    daemon.close().await;
    let daemon = journaled(&settings, one.path()).await;
    assert_eq!(unfinished(daemon.as_ref()).await, [of_daemon.id]);
    // A folder that is gone has nobody else who would.
    let later = running(9);
    command.insert_run(&later).await.unwrap();
    assert_eq!(
        unfinished(command.as_ref()).await,
        [of_daemon.id, of_command.id, later.id]
    );
    daemon.close().await;
    command.close().await;
}
