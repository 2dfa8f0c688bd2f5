//! Why a set could not be tried, and what that means for the next.

use crate::jobs::{JobError, JobResult, RunContext};
use mykeeper_catalog::CatalogError;
use mykeeper_domain::job::Assertion;
use mykeeper_tools::ToolError;
use mykeeper_tools::prove::check_asserts;

/// What came of the proof of one set, or why it could not be tried.
pub(super) type Tried = Result<JobResult, Untryable>;

/// Why a set could not be tried.
pub(super) struct Untryable {
    pub(super) error: JobError,
    /// The database of a statement that could not be run.
    pub(super) asserted: Option<String>,
}

impl From<JobError> for Untryable {
    fn from(error: JobError) -> Self {
        Self {
            error,
            asserted: None,
        }
    }
}

/// Why a proof did not come to a verdict.
pub(super) enum Hindrance {
    /// In one copy, which cannot be read: another may do.
    OfCopy(JobError),
    /// In the set, or in what it takes: another set may do.
    OfSet(JobError),
    /// In a statement that is tried in each set that holds this database.
    Asserted(JobError, String),
    /// In what every set takes.
    OfAll(JobError),
}

impl From<CatalogError> for Hindrance {
    fn from(error: CatalogError) -> Self {
        match error.is_away() {
            true => Self::OfAll(error.into()),
            false => Self::OfSet(error.into()),
        }
    }
}

impl From<ToolError> for Hindrance {
    fn from(error: ToolError) -> Self {
        match error {
            ToolError::NotInstalled { .. }
            | ToolError::Run { .. }
            | ToolError::Assertion { is_for_all: true, .. } => Self::OfAll(error.into()),
            ToolError::Assertion { ref database, .. } => {
                let database = database.clone();
                Self::Asserted(error.into(), database)
            }
            _ => Self::OfSet(error.into()),
        }
    }
}

/// Has statements that no server would understand found before a set is read for them. Why no throwaway server starts is
/// said of the set that needs one.
///
/// # Errors
/// There is such a statement.
pub(super) async fn check_statements(context: &RunContext, asserts: &[Assertion]) -> Result<(), JobError> {
    if !asserts.is_empty() {
        context.say("having a throwaway server of its own look at the asserts of the schedule first");
    }
    let checked = check_asserts(asserts, &context.settings.sandbox, &context.tools()).await;
    match checked {
        Err(error @ ToolError::Assertion { .. }) => Err(error.into()),
        _ => Ok(()),
    }
}
