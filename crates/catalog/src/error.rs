//! What can go wrong with the catalog.

use thiserror::Error;

/// The catalog did not do what was asked.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// It cannot be reached: down, refused, timed out.
    #[error("cannot reach the catalog at {url}: {cause}")]
    Unreachable {
        /// Without secrets.
        url: String,
        /// Why.
        cause: String,
        /// Its server answers, and lets this account in neither now nor later: a person has to look.
        is_shut_out: bool,
    },
    /// Its tables are not there, older, or newer than this program.
    #[error("the catalog at {url} {problem}")]
    Schema {
        /// Without secrets.
        url: String,
        /// `has no tables yet: run "mykeeper catalog migrate"`.
        problem: String,
    },
    /// A row cannot be understood.
    #[error("cannot read row {id} of {table}, column {column}: {cause}")]
    Row {
        /// Table.
        table: &'static str,
        /// Column.
        column: &'static str,
        /// Its key.
        id: String,
        /// Why.
        cause: String,
    },
    /// The URL is of no known kind.
    #[error("the catalog's url {url:?} cannot be used: {cause}")]
    Url {
        /// Without secrets.
        url: String,
        /// Why.
        cause: String,
    },
    /// A statement failed.
    #[error("cannot {action} in the catalog: {cause}")]
    Statement {
        /// What was being done.
        action: &'static str,
        /// The engine's word.
        cause: String,
    },
}

impl CatalogError {
    /// Whether the catalog is not there, or not ready yet, rather than what was asked of it at fault: the same may
    /// succeed later.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Schema { .. })
    }

    /// Whether that does not pass by itself, as far as its server has told.
    #[must_use]
    pub fn is_shut_out(&self) -> bool {
        matches!(self, Self::Unreachable { is_shut_out, .. } if *is_shut_out)
    }
}
