//! How a command ends.

use std::fmt;
use std::process::ExitCode;

/// The exit statuses that scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Done,
    JobFailed,
    Usage,
    Unavailable,
    Warnings,
    Interrupted,
    Terminated,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Done => 0,
            Status::JobFailed => 1,
            Status::Usage => 2,
            Status::Unavailable => 3,
            Status::Warnings => 4,
            Status::Interrupted => 130,
            Status::Terminated => 143,
        })
    }
}

/// Why a command did not do what was asked: its exit status and what a person is told.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn usage(message: impl fmt::Display) -> anyhow::Error {
        Self {
            status: Status::Usage,
            message: message.to_string(),
        }
        .into()
    }

    pub(crate) fn unavailable(message: impl fmt::Display) -> anyhow::Error {
        Self {
            status: Status::Unavailable,
            message: message.to_string(),
        }
        .into()
    }

    pub(crate) fn job(message: impl fmt::Display) -> anyhow::Error {
        Self {
            status: Status::JobFailed,
            message: message.to_string(),
        }
        .into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What to do where a catalog cannot be reached; any other error as it is.
pub(crate) fn with_hint(error: anyhow::Error, hint: &str) -> anyhow::Error {
    use mykeeper_catalog::CatalogError;
    use mykeeper_daemon::DaemonError;
    let cause = match error.downcast_ref::<DaemonError>() {
        Some(DaemonError::Catalog(cause)) => Some(cause),
        _ => error.downcast_ref::<CatalogError>(),
    };
    if matches!(cause, Some(CatalogError::Unreachable { .. })) {
        Failure::unavailable(format!("{error}; {hint}"))
    } else {
        error
    }
}

/// The status that an error stands for.
pub(crate) fn status_of(error: &anyhow::Error) -> Status {
    use mykeeper_catalog::CatalogError;
    use mykeeper_daemon::DaemonError;
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.status;
    }
    // Also of a job that another run has: nothing ran, and nothing failed.
    if error.downcast_ref::<DaemonError>().is_some() {
        return Status::Unavailable;
    }
    match error.downcast_ref::<CatalogError>() {
        Some(CatalogError::Url { .. }) => Status::Usage,
        Some(_) => Status::Unavailable,
        None => Status::JobFailed,
    }
}
