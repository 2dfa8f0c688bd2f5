//! From start to exit: recovery, scheduler, signals, sd_notify, shutdown.

mod refusal;
mod service_manager;

use crate::control::Control;
use crate::engine::Engine;
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::heartbeat;
use crate::log_pruning::{PRUNED_EVERY, prune_events, prune_logs};
use crate::namesake::refuse_second;
use crate::notices;
use crate::promises;
use crate::recovery::{SETTLED_EVERY, recover, settle};
use crate::resume::retry_interrupted;
use crate::scheduler::{Jobs, Scheduler, SchedulerHandle};
use crate::status::{DaemonStatus, JobStatus, ReloadRecord};
use futures::StreamExt;
use mykeeper_catalog::Backlog;
use mykeeper_config::Settings;
use mykeeper_domain::counted;
use mykeeper_domain::notice::NoticeKind;
pub use refusal::Refusal;
use sd_notify::NotifyState;
pub use service_manager::while_starting;
use service_manager::{answer_watchdog, ask_for_time, notify};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The topic of reloads.
const RELOAD: &str = "reload";

/// Reads both files again.
pub type Reload = Box<dyn Fn() -> Result<Settings, Refusal> + Send + Sync>;

/// How often what the daemon tells about itself is brought up to date.
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// How long runs may take to end, beyond their tools' grace, once they are told to.
const ENDED_WITHIN: Duration = Duration::from_secs(150);
/// How long the catalog's connections may take to close.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// How long reading both files may take at a reload: they may lie on a server that is away.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// How long who asks for a reload waits at most until the scheduler goes by the new jobs.
const ADOPTED_WITHIN: Duration = Duration::from_secs(60);
/// How long deliveries may take to be cut off.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// How long the scheduler may take for its last turn.
const SCHEDULER_ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Schedules and supervises until SIGTERM or SIGINT. SIGHUP reloads, and so does who asks at the socket `control`, and
/// hears what came of it.
pub async fn serve(environment: Arc<Environment>, reload: Reload, control: &Path) -> Result<(), DaemonError> {
    let lock = environment.state.lock_daemon()?;
    environment.state.check_writable()?;
    // Signals from now on wait to be handled; none ends the process half-started.
    let mut signals = Signals::new([SIGHUP, SIGTERM, SIGINT]).map_err(DaemonError::Signals)?;
    let engine = Engine::for_daemon(Arc::clone(&environment));
    let mut daemon = Daemon::new(Arc::clone(&environment), engine.clone(), reload);
    notify(&[NotifyState::Status("looking after what an earlier daemon left")]);
    // What a daemon that was killed has left says nothing of this one, and on a full disk would stay.
    drop(std::fs::remove_file(environment.state.status_file()));
    let starting = while_starting();
    let alone = tokio::select! {
        alone = refuse_second(&environment) => alone.map(|()| true),
        () = told_to_stop(&mut signals) => Ok(false),
    };
    if !matches!(alone, Ok(true)) {
        close_catalog(&environment).await;
        return alone.map(drop);
    }
    let (mut scheduler, handle, turned) = Scheduler::new(engine.clone(), environment.settings().jobs.clone());
    let looked_after = tokio::select! {
        result = look_after(&engine, &mut scheduler) => result.map(|()| true),
        () = told_to_stop(&mut signals) => Ok(false),
    };
    if !matches!(looked_after, Ok(true)) {
        // What was taken up again meanwhile ends with its record.
        engine.stop_taking();
        engine.end_runs();
        until_idle(&engine).await;
        close_catalog(&environment).await;
        return looked_after.map(drop);
    }
    let stop = CancellationToken::new();
    let mut scheduling = tokio::spawn(scheduler.run(stop.clone()));
    let watchdog = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(answer_watchdog(turned)));
    let settling =
        tokio_util::task::AbortOnDropHandle::new(tokio::spawn(settle_now_and_then(engine.clone())));
    let pruning = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(prune_now_and_then(engine.clone())));
    let watching =
        tokio_util::task::AbortOnDropHandle::new(tokio::spawn(promises::watch(Arc::clone(&environment))));
    let mut control = daemon.open_control(control);
    let told = CancellationToken::new();
    let delivering = tokio::spawn(notices::attend(Arc::clone(&environment), told.clone()));
    let beating = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(heartbeat::beat(
        engine.clone(),
        daemon.status.started_at,
        daemon.status.version.clone(),
    )));
    daemon.write_status();
    drop(starting);
    notify(&[NotifyState::Ready, NotifyState::Status(&daemon.status_line())]);
    // What a reload was refused for, this start has mended.
    environment.tell_over(RELOAD, "the files are in force: the daemon was started with them");
    tracing::info!(
        pid = std::process::id(),
        jobs = environment.settings().jobs.len(),
        "ready"
    );
    let mut look = tokio::time::interval(STATUS_EVERY);
    let ended_early = loop {
        tokio::select! {
            _ = look.tick() => daemon.refresh().await,
            signal = signals.next() => match signal {
                Some(SIGHUP) => drop(daemon.reload(&handle).await),
                Some(signal) => {
                    tracing::info!(signal, "stopping: nothing new starts");
                    break None;
                }
                None => break None,
            },
            Some(request) = next_request(&mut control) => {
                let (record, adopted) = daemon.reload(&handle).await;
                tokio::spawn(async move {
                    if let Some(adopted) = adopted
                        && tokio::time::timeout(ADOPTED_WITHIN, adopted).await.is_err()
                    {
                        tracing::warn!("the scheduler does not go by the new jobs yet");
                        return request.fail(format!(
                            "both files are read and right, but the scheduler does not go by them after \
                             {ADOPTED_WITHIN:?}: its log says what holds it up; \"mykeeper jobs\" shows what is in force"
                        ));
                    }
                    request.answer(record);
                });
            }
            result = &mut scheduling => break Some(result),
        }
    };
    engine.stop_taking();
    drop((settling, pruning, watching, control));
    stop.cancel();
    daemon.status.state = "stopping".to_owned();
    daemon.status.stopping_since = Some(environment.clock.now());
    daemon.write_status();
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    let telling = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(ask_for_time()));
    // Its last turn is over before it is asked whether anything runs.
    if ended_early.is_none()
        && tokio::time::timeout(SCHEDULER_ENDS_WITHIN, &mut scheduling)
            .await
            .is_err()
    {
        scheduling.abort();
    }
    shut_down(&engine, &mut signals, environment.settings().daemon.grace).await;
    drop((watchdog, beating));
    heartbeat::stop(&engine, daemon.status.started_at, &daemon.status.version).await;
    // What is not delivered by now waits in state_dir for the next start.
    told.cancel();
    if tokio::time::timeout(TOLD_WITHIN, delivering).await.is_err() {
        tracing::warn!("a delivery does not end; it is left");
    }
    close_catalog(&environment).await;
    if let Err(error) = std::fs::remove_file(environment.state.status_file()) {
        tracing::debug!(%error, "the status file was not there");
    }
    drop(lock);
    drop(telling);
    tracing::info!("stopped");
    match ended_early {
        None => Ok(()),
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(DaemonError::Pulse(error.to_string())),
    }
}

/// What comes before the first tick: what an earlier daemon left, jobs that are gone, slots that were missed.
async fn look_after(engine: &Engine, scheduler: &mut Scheduler) -> Result<(), DaemonError> {
    recover(engine).await?;
    if let Err(error) = scheduler.find_left_out().await {
        tracing::warn!(%error, "slots that were left out cannot be looked for");
    }
    scheduler.decide_missed().await?;
    Ok(())
}

/// Does again what was interrupted, as soon as the catalog can be asked. Settles, now and then, runs that are over and
/// whose end nobody recorded: those of commands that were killed.
async fn settle_now_and_then(engine: Engine) {
    let mut is_retried = false;
    loop {
        if !is_retried {
            match retry_interrupted(&engine).await {
                Ok(()) => is_retried = true,
                Err(error) => tracing::warn!(%error, "interrupted runs cannot be looked for yet"),
            }
        }
        tokio::time::sleep(SETTLED_EVERY).await;
        if let Err(error) = settle(&engine).await {
            tracing::debug!(%error, "runs that are over cannot be looked for now");
        }
    }
}

/// Old logs go while nothing waits for it.
async fn prune_now_and_then(engine: Engine) {
    loop {
        match prune_logs(engine.environment()).await {
            Ok(0) => {}
            Ok(logs) => tracing::info!("{} of runs removed", counted(logs, "old log", "old logs")),
            Err(error) => tracing::warn!(%error, "old logs are left"),
        }
        if let Err(error) = prune_events(engine.environment()).await {
            tracing::debug!(%error, "old events are left until the catalog answers");
        }
        tokio::time::sleep(PRUNED_EVERY).await;
    }
}

/// Returns at the first signal that ends a daemon. The files are read anyway, so that SIGHUP changes nothing yet.
async fn told_to_stop(signals: &mut Signals) {
    loop {
        match signals.next().await {
            Some(SIGHUP) => {}
            Some(_) => return,
            None => std::future::pending().await,
        }
    }
}

/// Waits for running jobs for as long as `grace`, or until a second signal; then ends them, each with its record.
async fn shut_down(engine: &Engine, signals: &mut Signals, grace: Duration) {
    let running = engine.running();
    if running > 0 {
        tracing::info!(
            running,
            ?grace,
            "running jobs may go on; a second signal ends them"
        );
        notify(&[NotifyState::Status(&format!(
            "stopping: {} may go on for {grace:?}",
            counted(running, "run", "runs")
        ))]);
    }
    tokio::select! {
        () = engine.idle() => return,
        () = tokio::time::sleep(grace) => tracing::warn!("the grace is over: running jobs are ended"),
        () = told_to_stop(signals) => tracing::warn!("second signal: running jobs are ended"),
    }
    engine.end_runs();
    until_idle(engine).await;
}

/// Each run that was ended has a bounded time to end its children and write its record; together they have no more.
async fn until_idle(engine: &Engine) {
    let bound = ENDED_WITHIN + engine.environment().settings().daemon.kill_grace;
    if tokio::time::timeout(bound, engine.idle()).await.is_err() {
        tracing::error!(
            running = engine.running(),
            "runs are left that do not end; the next start settles them"
        );
    }
}

/// A connection that does not come back does not hold up the end.
async fn close_catalog(environment: &Environment) {
    if tokio::time::timeout(CLOSED_WITHIN, environment.catalog.close())
        .await
        .is_err()
    {
        tracing::warn!("connections to the catalog are left open");
    }
}

/// What is asked next; nothing where there is no socket.
async fn next_request(control: &mut Option<Control>) -> Option<crate::control::ReloadRequest> {
    match control {
        Some(control) => control.next().await,
        None => std::future::pending().await,
    }
}

/// What the daemon tells about itself.
struct Daemon {
    environment: Arc<Environment>,
    engine: Engine,
    reload: Arc<Reload>,
    status: DaemonStatus,
    /// The last line that the service manager was told while nothing but runs changes it.
    said: String,
}

impl Daemon {
    fn new(environment: Arc<Environment>, engine: Engine, reload: Reload) -> Self {
        let settings = environment.settings();
        let status = DaemonStatus {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: environment.clock.now(),
            state: "running".to_owned(),
            stopping_since: None,
            keeper_file: settings.keeper_file.clone(),
            jobs: job_statuses(&settings.jobs),
            last_reload: None,
            control: None,
            journal: Backlog::default(),
        };
        Self {
            environment,
            engine,
            reload: Arc::new(reload),
            status,
            said: String::new(),
        }
    }

    /// Without it the daemon works, and takes SIGHUP.
    fn open_control(&mut self, path: &Path) -> Option<Control> {
        match Control::open(path, &self.status.keeper_file) {
            Ok(control) => {
                self.status.control = Some(control.path().to_owned());
                Some(control)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "\"mykeeper reload\" cannot ask this daemon; SIGHUP reloads it");
                None
            }
        }
    }

    /// Tells what has changed since the last time.
    async fn refresh(&mut self) {
        match self.environment.catalog.backlog().await {
            Ok(journal) if journal != self.status.journal => {
                self.status.journal = journal;
                self.write_status();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the journal cannot be looked into"),
        }
        let line = self.status_line();
        if line != self.said {
            notify(&[NotifyState::Status(&line)]);
            self.said = line;
        }
    }

    fn status_line(&self) -> String {
        let waiting = match (self.status.journal.waiting, self.status.journal.since) {
            (count @ 1.., Some(since)) => format!(
                "; {} for the catalog since {}",
                counted(count, "record waits", "records wait"),
                since.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
            ),
            _ => String::new(),
        };
        let refused = match &self.status.last_reload {
            Some(reload) if !reload.accepted => "; the last reload was refused",
            _ => "",
        };
        format!(
            "{}, {} under way{waiting}{refused}",
            counted(self.status.jobs.len(), "job", "jobs"),
            counted(self.engine.running(), "run", "runs")
        )
    }

    fn write_status(&self) {
        if let Err(error) = self.status.write(&self.environment.state) {
            tracing::warn!(%error, "the daemon's status cannot be written");
        }
    }

    /// Both files again. A bad file changes nothing and says why. The second value ends once the scheduler goes by the
    /// new jobs.
    async fn reload(
        &mut self,
        handle: &SchedulerHandle,
    ) -> (ReloadRecord, Option<impl Future<Output = ()> + Send + 'static>) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "the service manager is not told of the reload"),
        }
        let read = Arc::clone(&self.reload);
        let read = tokio::time::timeout(READ_WITHIN, tokio::task::spawn_blocking(move || read())).await;
        let current = self.environment.settings();
        let result = match read {
            Err(_) => Err(format!("the files cannot be read within {READ_WITHIN:?}").into()),
            Ok(Ok(Ok(settings))) => reject_unreloadable(&current, settings).map_err(Refusal::from),
            Ok(Ok(Err(refusal))) => Err(refusal),
            Ok(Err(error)) => Err(format!("a defect in mykeeper ended the reading: {error}").into()),
        };
        let (accepted, message, adopted) = match result {
            Ok(settings) => {
                let message = describe_change(&current.jobs, &settings.jobs);
                let jobs = settings.jobs.clone();
                self.status.jobs = job_statuses(&jobs);
                self.environment.replace_settings(settings);
                let adopted = handle.replace_jobs(jobs);
                tracing::info!(changes = message, "reloaded");
                self.environment
                    .tell_over(RELOAD, format!("the files are in force: {message}"));
                (true, message, Some(adopted))
            }
            Err(Refusal { text, line }) => {
                tracing::error!("the reload is refused, and nothing has changed:\n{text}");
                let told = format!("it was refused, and nothing has changed: {line}");
                self.environment.tell(NoticeKind::Reload, RELOAD, told);
                (false, text, None)
            }
        };
        let record = ReloadRecord {
            at: self.environment.clock.now(),
            accepted,
            message,
        };
        self.status.last_reload = Some(record.clone());
        self.write_status();
        self.said = self.status_line();
        notify(&[NotifyState::Ready, NotifyState::Status(&self.said)]);
        (record, adopted)
    }
}

/// What the daemon holds open cannot be changed under it.
fn reject_unreloadable(current: &Settings, settings: Settings) -> Result<Settings, String> {
    let fixed = [
        ("node", current.node == settings.node),
        ("state_dir", current.state_dir == settings.state_dir),
        ("[catalog]", current.catalog == settings.catalog),
    ];
    let changed: Vec<&str> = fixed
        .iter()
        .filter(|(_, same)| !same)
        .map(|(key, _)| *key)
        .collect();
    if changed.is_empty() {
        return Ok(settings);
    }
    Err(format!(
        "{} changed in {}, which takes a restart of the daemon: restart it, or take the change back and reload",
        changed.join(" and "),
        settings.keeper_file.display()
    ))
}

fn job_statuses(jobs: &Jobs) -> Vec<JobStatus> {
    jobs.values()
        .map(|job| JobStatus {
            name: job.name.to_string(),
            kind: job.kind().to_string(),
            cron: job.schedule.expression().to_owned(),
            timezone: job.schedule.zone().name().to_owned(),
        })
        .collect()
}

fn describe_change(before: &Jobs, after: &Jobs) -> String {
    let names = |names: Vec<&mykeeper_domain::JobName>| {
        names
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let added: Vec<_> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    let removed: Vec<_> = before.keys().filter(|name| !after.contains_key(*name)).collect();
    let changed: Vec<_> = after
        .iter()
        .filter(|(name, job)| before.get(*name).is_some_and(|old| old != *job))
        .map(|(name, _)| name)
        .collect();
    let parts: Vec<String> = [("added", added), ("changed", changed), ("removed", removed)]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(what, list)| format!("{what}: {}", names(list)))
        .collect();
    if parts.is_empty() {
        "no job changed".to_owned()
    } else {
        parts.join("; ")
    }
}
