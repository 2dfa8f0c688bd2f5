//! What wakes the scheduler.

use crate::error::DaemonError;
use std::time::Duration;
use tokio::sync::mpsc;
use uuid::Uuid;

/// The pulse: one tokio-cron-scheduler job, every second.
pub(super) struct Pulse {
    pub(super) scheduler: tokio_cron_scheduler::JobScheduler,
    job: Uuid,
    pub(super) beats: mpsc::Receiver<()>,
    sender: mpsc::Sender<()>,
}

impl Pulse {
    pub(super) async fn start() -> Result<Self, DaemonError> {
        let fail = |error: tokio_cron_scheduler::JobSchedulerError| DaemonError::Pulse(error.to_string());
        let scheduler = tokio_cron_scheduler::JobScheduler::new().await.map_err(fail)?;
        let (sender, beats) = mpsc::channel(1);
        let job = scheduler
            .add(Self::job(sender.clone()).map_err(fail)?)
            .await
            .map_err(fail)?;
        scheduler.start().await.map_err(fail)?;
        Ok(Self {
            scheduler,
            job,
            beats,
            sender,
        })
    }

    fn job(
        sender: mpsc::Sender<()>,
    ) -> Result<tokio_cron_scheduler::Job, tokio_cron_scheduler::JobSchedulerError> {
        tokio_cron_scheduler::Job::new("* * * * * *", move |_, _| {
            if sender.try_send(()).is_err() {
                tracing::trace!("a beat waits to be seen already");
            }
        })
    }

    /// After a step of the clock the library waits for the wall clock to catch up; a new job does not.
    pub(super) async fn renew(&mut self) {
        let renewed = async {
            self.scheduler.remove(&self.job).await?;
            self.job = self.scheduler.add(Self::job(self.sender.clone())?).await?;
            Ok::<_, tokio_cron_scheduler::JobSchedulerError>(())
        };
        match tokio::time::timeout(Duration::from_secs(2), renewed).await {
            Ok(Ok(())) => tracing::warn!("the scheduler's pulse stayed away and was started again"),
            Ok(Err(error)) => tracing::error!(%error, "the scheduler's pulse cannot be started again"),
            Err(_) => tracing::error!("the scheduler's pulse cannot be started again in time"),
        }
    }
}
