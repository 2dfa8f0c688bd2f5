//! The daemon's end of the tie to one shim.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child as Shim, Command};
use tokio::time::timeout;

use crate::error::SuperviseError;
use crate::identity::{ProcessIdentity, boot_id};
use crate::output::Output;
use crate::protocol::{Event, Invocation, LEFTOVER_GRACE, STOP, SpawnFailure, Step};
use crate::record::{Recorded, Recorder};
use crate::spec::{ChildSpec, ShimCommand};
use crate::sweep::{self, Adopted};

/// How long a shim may take for what it does at once, on a machine that is short of everything.
pub(crate) const SHIM_BOUND: Duration = Duration::from_secs(30);

/// A started shim. Dropped, it closes the socket, upon which the shim ends the tree; a task sees to that it did.
pub(crate) struct Tether {
    spec: ChildSpec,
    /// `None` once the shim has been waited for, or given up.
    shim: Option<Shim>,
    /// `None` when dropped.
    socket: Option<Socket>,
    identity: Option<ProcessIdentity>,
    /// Until nothing of the tree is left.
    recorded: Option<Recorded>,
}

struct Socket {
    events: Lines<BufReader<OwnedReadHalf>>,
    wishes: OwnedWriteHalf,
}

impl Tether {
    /// Starts the shim, which starts the tool.
    pub(crate) async fn start(
        command: &ShimCommand,
        base_env: &[(OsString, OsString)],
        spec: ChildSpec,
        recorder: &Recorder,
    ) -> Result<(Self, Output, ProcessIdentity), SuperviseError> {
        let (mut tether, output) =
            Self::spawn(command, base_env, spec).map_err(|source| SuperviseError::Shim {
                program: command.program.clone(),
                source: Arc::new(source),
            })?;
        let event = timeout(SHIM_BOUND, tether.next_event()).await;
        match event {
            Ok(Some(Event::Started {
                pid,
                start_time_ticks,
            })) => {
                let boot_id =
                    boot_id().map_err(|error| tether.refused(&SpawnFailure::new(Step::Process, &error)))?;
                let identity = ProcessIdentity {
                    pid,
                    start_time_ticks,
                    boot_id,
                };
                tether.identity = Some(identity.clone());
                let shim = tether.shim.as_ref().and_then(Shim::id);
                tether.recorded = recorder.record(&identity, shim, &tether.spec.program).await;
                if let Some(receiver) = &tether.spec.announce_to {
                    receiver.send_replace(Some(identity.clone()));
                }
                Ok((tether, output, identity))
            }
            Ok(Some(Event::SpawnFailed(failure))) => {
                tether.join().await;
                Err(tether.refused(&failure))
            }
            _ => {
                tether.kill_shim().await;
                Err(tether.lost())
            }
        }
    }

    fn spawn(
        command: &ShimCommand,
        base_env: &[(OsString, OsString)],
        spec: ChildSpec,
    ) -> io::Result<(Self, Output)> {
        let invocation = Invocation {
            become_tool_under: None,
            grace: spec.limits.grace,
            self_args: command.args.clone(),
            nice: spec.nice,
            user: spec.user,
            folder: spec.current_dir.clone(),
            core_dumps: spec.core_dumps,
            program: spec.program.clone().into_os_string(),
            args: spec.args.clone(),
        };
        let (ours, shims) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut shim = Command::new(&command.program)
            .args(&command.args)
            .args(invocation.to_args())
            .env_clear()
            .envs(base_env.iter().map(|(name, value)| (name, value)))
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            // Ctrl-C in a terminal is for the daemon, which then decides.
            .process_group(0)
            .stdin(Stdio::from(OwnedFd::from(shims)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let output = Output::new(shim.stdout.take(), shim.stderr.take());
        let (events, wishes) = UnixStream::from_std(ours)?.into_split();
        let socket = Socket {
            events: BufReader::new(events).lines(),
            wishes,
        };
        Ok((
            Self {
                spec,
                shim: Some(shim),
                socket: Some(socket),
                identity: None,
                recorded: None,
            },
            output,
        ))
    }

    /// The shim's next word; `None` when it is gone, or talks nonsense. Loses nothing when dropped while waiting.
    pub(crate) async fn next_event(&mut self) -> Option<Event> {
        let line = self.socket.as_mut()?.events.next_line().await.ok()??;
        serde_json::from_str(&line)
            .inspect_err(|error| tracing::warn!(%error, line, "shim not understood"))
            .ok()
    }

    /// Asks the shim to end the tree: SIGTERM, grace, SIGKILL.
    pub(crate) async fn ask_to_stop(&mut self) {
        if let Some(socket) = &mut self.socket
            && let Err(error) = socket.wishes.write_all(&[STOP]).await
        {
            // A shim that is gone shows in its events.
            tracing::debug!(%error, "shim not told to stop");
        }
    }

    /// Waits for the end of a shim that has nothing more to do.
    pub(crate) async fn join(&mut self) {
        let Some(shim) = &mut self.shim else { return };
        if timeout(SHIM_BOUND, shim.wait()).await.is_err() {
            self.kill_shim().await;
        }
        self.shim = None;
    }

    /// Nothing of the tree is left.
    pub(crate) fn forget(&mut self) {
        if let Some(recorded) = self.recorded.take() {
            recorded.forget();
        }
    }

    pub(crate) async fn kill_shim(&mut self) {
        if let Some(mut shim) = self.shim.take()
            && let Err(error) = shim.kill().await
        {
            tracing::warn!(%error, "shim not killed");
        }
    }

    /// Leaves the shim to what it cannot finish now: it goes on until its tree is gone.
    pub(crate) fn leave_shim(&mut self) {
        self.shim = None;
    }

    /// Kills what is left of the tree after the shim, and reaps what fell to this process.
    pub(crate) async fn sweep(&mut self) -> sweep::Swept {
        let Some(identity) = self.identity.clone() else {
            return sweep::Swept::default();
        };
        let swept = sweep::in_background(identity, Duration::ZERO, Adopted::Reap).await;
        swept.unwrap_or_else(|error| {
            tracing::warn!(%error, "tree of a lost shim not searched");
            sweep::Swept {
                signalled: 0,
                survivors: 1,
            }
        })
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.spec.program.clone()
    }

    pub(crate) fn lost(&self) -> SuperviseError {
        let pid = self.identity.as_ref().map(|identity| identity.pid);
        SuperviseError::ShimLost {
            program: self.spec.program.clone(),
            pid,
        }
    }

    fn refused(&self, failure: &SpawnFailure) -> SuperviseError {
        let program = self.spec.program.clone();
        let error = failure.to_io_error();
        let kind = error.kind();
        let source = Arc::new(error);
        match (failure.step, &self.spec.current_dir) {
            (Step::Execute, _) if kind == io::ErrorKind::NotFound => SuperviseError::NotFound { program },
            (Step::Execute, _) => SuperviseError::NotExecutable { program, source },
            (Step::Folder, Some(folder)) => SuperviseError::WorkingFolder {
                folder: folder.clone(),
                program,
                source,
            },
            (step, _) => SuperviseError::Prepare {
                program,
                act: step.act(),
                source,
            },
        }
    }
}

impl Drop for Tether {
    fn drop(&mut self) {
        // The shim reads the end of this socket as the order to end the tree.
        self.socket = None;
        let Some(mut shim) = self.shim.take() else { return };
        // Without a runtime there is no one to look after the shim, and it needs no one.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let bound = self.spec.limits.grace + LEFTOVER_GRACE + SHIM_BOUND;
        let identity = self.identity.clone();
        let recorded = self.recorded.take();
        runtime.spawn(async move {
            if timeout(bound, shim.wait())
                .await
                .is_ok_and(|status| status.is_ok_and(|status| status.success()))
            {
                recorded.into_iter().for_each(Recorded::forget);
                return;
            }
            tracing::warn!(
                ?identity,
                "shim of a dropped child failed, ending the tree without it"
            );
            if let Err(error) = shim.kill().await {
                tracing::warn!(%error, "shim not killed");
            }
            let Some(identity) = identity else { return };
            match sweep::in_background(identity, Duration::ZERO, Adopted::Reap).await {
                Ok(swept) if swept.survivors == 0 => recorded.into_iter().for_each(Recorded::forget),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "tree of a lost shim not searched"),
            }
        });
    }
}
