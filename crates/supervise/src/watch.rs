//! Follows one child from its start to its end.

use std::future::pending;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::activity::Activity;
use crate::error::SuperviseError;
use crate::identity::ProcessIdentity;
use crate::outcome::{Exit, Finished};
use crate::output::{OnLine, Output};
use crate::protocol::{Event, LEFTOVER_GRACE};
use crate::spec::Limits;
use crate::tether::{SHIM_BOUND, Tether};

/// How long the last output may take when the tree is gone; longer, someone outside of it holds the pipe.
const DRAIN_BOUND: Duration = Duration::from_secs(2);

pub(crate) struct Watch {
    pub(crate) tether: Tether,
    pub(crate) output: Output,
    pub(crate) identity: ProcessIdentity,
    pub(crate) limits: Limits,
    pub(crate) activity: Activity,
    /// Fired as soon as the child has ended.
    pub(crate) exited: CancellationToken,
    pub(crate) started_at: Instant,
    pub(crate) last_output_at: Instant,
    pub(crate) stop: Option<Stop>,
    pub(crate) end: Option<End>,
}

/// The child was told to stop.
pub(crate) struct Stop {
    why: Exit,
    understood: bool,
}

/// The child's own end.
pub(crate) struct End {
    exit: Exit,
    raw: Option<i32>,
    elapsed: Duration,
}

impl Watch {
    pub(crate) async fn follow(
        mut self,
        cancel: &CancellationToken,
        on_line: &mut OnLine<'_>,
    ) -> Result<Finished, SuperviseError> {
        let exited = self.exited.clone();
        // Also when this future is dropped: nobody follows the child any more.
        let _exited = exited.drop_guard_ref();
        let mut give_up_at = None;
        loop {
            let free = self.stop.is_none() && self.end.is_none();
            let timeout_at = self
                .limits
                .timeout
                .map(|timeout| self.started_at + timeout)
                .filter(|_| free);
            let stall_at = self.stall_at().filter(|_| free);
            tokio::select! {
                // Output comes after all that must not be kept waiting by a flood, and before the stall, which
                // output waiting to be read disproves.
                biased;
                () = cancel.cancelled(), if free => give_up_at = Some(self.stop(Exit::Cancelled).await),
                event = self.tether.next_event() => match event {
                    Some(Event::Exited { code }) => give_up_at = Some(self.note_end(Ok(code), give_up_at)),
                    Some(Event::Signaled { signal }) => give_up_at = Some(self.note_end(Err(signal), give_up_at)),
                    Some(Event::Done { leftovers }) => return self.finish(leftovers, on_line).await,
                    Some(Event::Stopping) => self.stop.iter_mut().for_each(|stop| stop.understood = true),
                    Some(Event::Started { .. } | Event::SpawnFailed(_)) => {}
                    None => return self.go_on_without_shim(on_line).await,
                },
                after = reached(timeout_at, self.limits.timeout) => {
                    give_up_at = Some(self.stop(Exit::TimedOut { after }).await);
                }
                _ = reached(give_up_at, Some(Duration::ZERO)) => return self.give_up(on_line).await,
                bytes = self.output.pump(on_line), if self.output.is_open() => {
                    if bytes > 0 {
                        self.last_output_at = Instant::now();
                    }
                }
                after = reached(stall_at, self.limits.stall) => {
                    // A touch may have moved it meanwhile.
                    if self.stall_at().is_some_and(|at| at <= Instant::now()) {
                        give_up_at = Some(self.stop(Exit::Stalled { after }).await);
                    }
                }
            }
        }
    }

    fn stall_at(&self) -> Option<Instant> {
        let last_sign = self.activity.last().max(self.last_output_at).max(self.started_at);
        self.limits.stall.map(|stall| last_sign + stall)
    }

    /// Returns until when the tree must have ended.
    async fn stop(&mut self, why: Exit) -> Instant {
        self.stop = Some(Stop {
            why,
            understood: false,
        });
        // Before anything is sent: nobody may stop the tree once it has been told to end.
        self.activity.end();
        self.tether.ask_to_stop().await;
        Instant::now() + self.limits.grace + LEFTOVER_GRACE + SHIM_BOUND
    }

    /// Takes the exit code, or the signal. Returns until when the rest of the tree must have ended.
    fn note_end(&mut self, status: Result<i32, i32>, give_up_at: Option<Instant>) -> Instant {
        let own = match status {
            Ok(0) => Exit::Success,
            Ok(code) => Exit::Failed { code },
            Err(signal) => Exit::Signaled { signal },
        };
        let exit = self.stop.as_ref().map_or(own, |stop| stop.why.clone());
        self.end = Some(End {
            exit,
            raw: status.ok(),
            elapsed: self.started_at.elapsed(),
        });
        self.exited.cancel();
        self.activity.end();
        give_up_at.unwrap_or_else(|| Instant::now() + LEFTOVER_GRACE + SHIM_BOUND)
    }

    async fn finish(mut self, leftovers: u32, on_line: &mut OnLine<'_>) -> Result<Finished, SuperviseError> {
        self.drain(on_line).await;
        self.tether.join().await;
        self.tether.forget();
        let Some(end) = self.end else {
            return Err(self.tether.lost());
        };
        Ok(Finished {
            exit: end.exit,
            raw: end.raw,
            started: self.identity,
            elapsed: end.elapsed,
            leftovers,
            lines_cut: self.output.lines_cut(),
            output_bytes: self.output.bytes(),
        })
    }

    async fn drain(&mut self, on_line: &mut OnLine<'_>) {
        let rest = async {
            while self.output.is_open() {
                self.output.pump(on_line).await;
            }
        };
        if timeout(DRAIN_BOUND, rest).await.is_err() {
            tracing::warn!(
                pid = self.identity.pid,
                "output still held open after its child's tree ended"
            );
        }
        self.output.close(on_line);
    }

    async fn go_on_without_shim(mut self, on_line: &mut OnLine<'_>) -> Result<Finished, SuperviseError> {
        self.tether.kill_shim().await;
        let swept = self.tether.sweep().await;
        if swept.survivors > 0 {
            return Err(self.unkillable());
        }
        self.finish(swept.signalled, on_line).await
    }

    async fn give_up(mut self, on_line: &mut OnLine<'_>) -> Result<Finished, SuperviseError> {
        let shim_answers = self.end.is_some() || self.stop.as_ref().is_some_and(|stop| stop.understood);
        if shim_answers {
            self.tether.leave_shim();
            return Err(self.unkillable());
        }
        self.go_on_without_shim(on_line).await
    }

    fn unkillable(&self) -> SuperviseError {
        SuperviseError::Unkillable {
            program: self.tether.program(),
            pid: self.identity.pid,
        }
    }
}

/// Never comes without an instant. Returns the limit that led to it.
async fn reached(at: Option<Instant>, limit: Option<Duration>) -> Duration {
    match at.zip(limit) {
        Some((at, limit)) => {
            sleep_until(at).await;
            limit
        }
        None => pending().await,
    }
}
