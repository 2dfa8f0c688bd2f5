//! The way in.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::activity::Activity;
use crate::child::Child;
use crate::error::SuperviseError;
use crate::outcome::{Finished, LineHandler, Stream};
use crate::record::Recorder;
use crate::spec::{ChildSpec, ShimCommand};
use crate::tether::Tether;
use crate::watch::Watch;

/// All that a child gets of the daemon's environment.
const HANDED_DOWN: [&str; 5] = ["PATH", "HOME", "LANG", "LC_ALL", "TZ"];

/// Starts children through shims. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Supervisor {
    shim: Arc<ShimCommand>,
    base_env: Arc<[(OsString, OsString)]>,
    recorder: Recorder,
}

impl Supervisor {
    /// `base_env` may be the whole environment of the daemon: children get `PATH`, `HOME`, `LANG`, `LC_ALL` and
    /// `TZ` of it.
    #[must_use]
    pub fn new(shim: ShimCommand, base_env: Vec<(OsString, OsString)>) -> Self {
        let handed_down = base_env
            .into_iter()
            .filter(|(name, _)| HANDED_DOWN.iter().any(|known| name == known));
        Self {
            shim: Arc::new(shim),
            base_env: handed_down.collect(),
            recorder: Recorder::default(),
        }
    }

    /// The same, which keeps a file in `folder` for each living child; [`end_leftovers`](crate::end_leftovers) goes
    /// by them after a crash.
    #[must_use]
    pub fn recording_in(mut self, folder: &Path) -> Self {
        self.recorder.folder = Some(folder.into());
        self
    }

    /// The same, on behalf of `owner`, a run, as its children's records say.
    #[must_use]
    pub fn on_behalf_of(&self, owner: &str) -> Self {
        let mut supervisor = self.clone();
        supervisor.recorder.owner = Some(owner.into());
        supervisor
    }

    /// Runs a child to its end. `on_line` gets each line as bytes, without its terminator (`\n`, `\r` or `\r\n`)
    /// and cut at [`MAX_LINE_BYTES`](crate::MAX_LINE_BYTES); as long as it works, the child may have to wait.
    ///
    /// Dropped before it is done, it ends the tree in the background: SIGTERM, grace, SIGKILL.
    ///
    /// # Errors
    /// The child could not be started, or not be watched to its end. How a child that ran ended is in
    /// [`Finished`].
    pub async fn run(
        &self,
        spec: ChildSpec,
        cancel: CancellationToken,
        activity: Activity,
        on_line: &mut (dyn FnMut(Stream, &[u8]) + Send),
    ) -> Result<Finished, SuperviseError> {
        self.begin(spec, activity).await?.follow(&cancel, on_line).await
    }

    /// Starts a child that is to run beside its caller, such as a server. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// The child could not be started.
    pub async fn start(
        &self,
        spec: ChildSpec,
        cancel: CancellationToken,
        activity: Activity,
        on_line: LineHandler,
    ) -> Result<Child, SuperviseError> {
        let program = spec.program.clone();
        let watch = self.begin(spec, activity).await?;
        Ok(Child::follow(watch, program, &cancel, on_line))
    }

    async fn begin(&self, spec: ChildSpec, activity: Activity) -> Result<Watch, SuperviseError> {
        let limits = spec.limits.clone();
        let (tether, output, identity) =
            Tether::start(&self.shim, &self.base_env, spec, &self.recorder).await?;
        let now = Instant::now();
        Ok(Watch {
            tether,
            output,
            identity,
            limits,
            activity,
            exited: CancellationToken::new(),
            started_at: now,
            last_output_at: now,
            stop: None,
            end: None,
        })
    }
}
