//! Work on a set's files, and on a destination that is a folder of this machine: the disk of either may hang.

use crate::blocking::{READ_WITHIN, off_thread};
use crate::env::ToolEnv;
use crate::error::ToolError;
use mykeeper_supervise::Limits;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// How long a walk over all files of a set may take: as long as an rsync that says nothing.
pub(super) fn walked_within(limits: &Limits) -> Duration {
    limits.stall.map_or(READ_WITHIN, |stall| stall.min(READ_WITHIN))
}

/// Does `work` on a thread of its own, of which `action` and `path` are told when nothing comes of it in time: `look at`, and
/// what. A run that is ended does not wait for it.
///
/// # Errors
/// What the work says; the disk does not answer within `limit`; [`ToolError::Cancelled`].
pub(super) async fn blocking<T: Send + 'static, E: From<ToolError> + Send + 'static>(
    (action, path): (&'static str, &Path),
    limit: Duration,
    env: &ToolEnv<'_>,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let worked = off_thread((action, path), limit, &env.cancel, move || Ok(work())).await;
    worked.unwrap_or_else(|error| {
        Err(E::from(match &error {
            ToolError::Io { source, .. } if source.kind() == ErrorKind::TimedOut => ToolError::Failed {
                message: format!(
                    "cannot {action} {}: its file system does not answer within {} s; look whether its disk, or the \
                     server behind it, is there",
                    path.display(),
                    limit.as_secs()
                ),
                passing: true,
            },
            _ => error,
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunLog;
    use crate::log::Progress;
    use crate::rsync::{RsyncInfo, SendRequest, send_set};
    use mykeeper_domain::SystemClock;
    use mykeeper_domain::destination::{Destination, DestinationUrl, SshOptions};
    use mykeeper_domain::manifest::MANIFEST_FILE;
    use mykeeper_domain::server::PasswordSource;
    use mykeeper_supervise::{ShimCommand, Supervisor};
    use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
    use tokio_util::sync::CancellationToken;

    struct Silent;

    impl RunLog for Silent {
        fn line(&self, _: &str, _: &str) {}
        fn progress(&self, _: Progress) {}
    }

    #[tokio::test]
    async fn a_run_that_is_ended_does_not_wait_for_a_disk_that_hangs() {
        let dir = tempfile::tempdir().unwrap();
        // Who opens it to read hangs until somebody opens it to write.
        let pipe = dir.path().join(MANIFEST_FILE);
        mknodat(CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let shim = ShimCommand {
            program: "/nonexistent".into(),
            args: vec![],
        };
        let supervisor = Supervisor::new(shim, vec![]);
        let env = ToolEnv {
            supervisor: &supervisor,
            cancel: CancellationToken::new(),
            log: &Silent,
            clock: &SystemClock,
        };
        let request = SendRequest {
            info: &RsyncInfo {
                program: "/nonexistent".into(),
                banner: String::new(),
                version: (3, 2, 7),
            },
            ssh_program: Path::new("/nonexistent"),
            destination: &Destination {
                name: "near".parse().unwrap(),
                url: DestinationUrl::Local {
                    path: dir.path().to_owned(),
                },
                password: PasswordSource::None,
                source_address: None,
                bandwidth_limit: None,
                ssh: SshOptions::default(),
                recorded_as: None,
            },
            password: None,
            set_dir: dir.path(),
            relative: "2026-11-22/set",
            private_dir: dir.path(),
            limits: &Limits {
                stall: Some(Duration::from_millis(200)),
                ..Limits::default()
            },
        };
        let error = send_set(request, &env).await.unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("does not answer") && told.contains("look whether its disk"),
            "{told}"
        );
        assert!(error.is_passing(), "it is tried again");
        env.cancel.cancel();
        let error = send_set(request, &env).await.unwrap_err();
        assert!(matches!(error, ToolError::Cancelled { .. }), "{error}");
        // The threads go, or the runtime would wait for them.
        rustix::fs::open(&pipe, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    }
}
