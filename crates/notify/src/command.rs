//! One call of a program of the user's.

use crate::error::{DeliveryError, quoted};
use mykeeper_domain::notice::Message;
use mykeeper_domain::notify::CommandHook;
use mykeeper_supervise::{Activity, ChildSpec, Exit, Limits, Stream, Supervisor};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// Where it is run.
pub(crate) struct Place<'a> {
    pub(crate) supervisor: &'a Supervisor,
    pub(crate) private: &'a Path,
}

/// Done when it exits with 0. The message is a JSON file of mode 0600, named by `MYKEEPER_NOTIFY_FILE`, that is gone
/// afterwards.
pub(crate) async fn run(
    at: &Place<'_>,
    hook: &CommandHook,
    message: &Message,
    cancel: &CancellationToken,
) -> Result<(), DeliveryError> {
    let failed = |cause: String| DeliveryError::Command {
        program: hook.program.clone(),
        cause,
    };
    let file = at.private.join(format!("{}.json", uuid::Uuid::new_v4()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut open| open.write_all(&serde_json::to_vec(message).unwrap_or_default()));
    let _removed = RemovedAtEnd(&file);
    written.map_err(|error| failed(format!("{} cannot be written: {error}", file.display())))?;
    let spec = ChildSpec::new(&hook.program)
        .args(hook.args.iter().map(|arg| arg.expand(message).replace('\0', "")))
        .env("MYKEEPER_NOTIFY_FILE", &file)
        .env("MYKEEPER_NOTIFY_KIND", message.kind.as_str())
        .current_dir("/")
        .limits(Limits {
            timeout: Some(hook.timeout),
            stall: None,
            grace: GRACE,
        });
    let mut last = String::new();
    let mut on_line = |_: Stream, line: &[u8]| {
        let line = quoted(&String::from_utf8_lossy(line));
        if !line.is_empty() {
            last = line;
        }
    };
    let finished = at
        .supervisor
        .run(spec, cancel.clone(), Activity::default(), &mut on_line)
        .await
        .map_err(|error| failed(error.to_string()))?;
    match finished.exit {
        Exit::Success => Ok(()),
        Exit::Cancelled => Err(DeliveryError::Cancelled),
        exit => Err(DeliveryError::Exit {
            program: hook.program.clone(),
            exit: exit.to_string(),
            said: match last.is_empty() {
                true => String::new(),
                false => format!(": {last}"),
            },
        }),
    }
}

struct RemovedAtEnd<'a>(&'a Path);

impl Drop for RemovedAtEnd<'_> {
    fn drop(&mut self) {
        // One that is left is swept with the folder at the next start.
        drop(std::fs::remove_file(self.0));
    }
}
