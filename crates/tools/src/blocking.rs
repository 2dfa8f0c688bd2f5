//! Work on a file system, which may hang for ever: done on a thread of its own, and waited for with an end.

use crate::error::ToolError;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A file system that does not do one small thing in this time is away.
pub(crate) const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// For reading what all files of a set say of themselves: there may be 100,000 of them.
pub(crate) const READ_WITHIN: Duration = Duration::from_secs(3_600);

/// Does `work`, of which `action` and `path` are told when it fails: `read`, and which folder. Waits for no longer than
/// `limit`, and no longer than until `cancel`; the work itself goes on then, and what comes of it is dropped.
///
/// # Errors
/// What the work says; [`ToolError::Io`] when it is not done in time; [`ToolError::Cancelled`].
pub(crate) async fn off_thread<T: Send + 'static>(
    (action, path): (&'static str, &Path),
    limit: Duration,
    cancel: &CancellationToken,
    work: impl FnOnce() -> Result<T, ToolError> + Send + 'static,
) -> Result<T, ToolError> {
    let failed = |source| ToolError::Io {
        action,
        path: path.to_owned(),
        source,
    };
    let working = tokio::task::spawn_blocking(work);
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(ToolError::Cancelled {
            program: format!("what was to {action} {}", path.display()),
        }),
        worked = tokio::time::timeout(limit, working) => match worked {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(failed(io::Error::other(error))),
            Err(_) => Err(failed(io::Error::from(io::ErrorKind::TimedOut))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn what_hangs_is_waited_for_no_longer_than_it_may() {
        let (release, held) = mpsc::channel::<()>();
        let held = std::sync::Arc::new(std::sync::Mutex::new(held));
        let hangs = || {
            let held = held.clone();
            move || {
                let _ = held.lock().unwrap().recv();
                Ok(())
            }
        };
        let at = ("read", Path::new("/sets"));
        let cancel = CancellationToken::new();
        let error = off_thread(at, Duration::from_millis(50), &cancel, hangs())
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "cannot read /sets: timed out");
        cancel.cancel();
        let error = off_thread(at, ANSWERS_WITHIN, &cancel, hangs())
            .await
            .unwrap_err();
        assert!(matches!(error, ToolError::Cancelled { .. }), "{error}");
        drop(release);
    }
}
