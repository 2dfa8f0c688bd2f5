//! Why there is nothing to restore, or to show of it.

use crate::jobs::JobError;
use crate::repair::on_lines;
use mykeeper_tools::ToolError;

/// Why there is nothing to plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// What was asked for does not exist or is never done.
    Asked(String),
    /// Something that is needed cannot be had.
    Missing(String),
    /// The set lies on another machine alone.
    Away {
        /// One sentence without a full stop.
        what: String,
        /// What the commands do, up to a colon.
        how: &'static str,
        /// What brings it here, one line each, in their order.
        commands: Vec<String>,
    },
}

/// For people, each command on a line of its own.
impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Asked(text) | Self::Missing(text) => f.write_str(text),
            Self::Away { what, how, commands } => {
                write!(f, "{what}; {how}{}", on_lines(commands, ""))
            }
        }
    }
}

impl From<mykeeper_catalog::CatalogError> for Obstacle {
    fn from(error: mykeeper_catalog::CatalogError) -> Self {
        Self::Missing(error.to_string())
    }
}

impl From<ToolError> for Obstacle {
    fn from(error: ToolError) -> Self {
        Self::Missing(error.to_string())
    }
}

impl From<Obstacle> for JobError {
    fn from(obstacle: Obstacle) -> Self {
        // A reason is one line.
        match obstacle {
            Obstacle::Away { what, .. } => {
                Self::fatal(format!("{what}; \"mykeeper restore\" tells how it is fetched"))
            }
            obstacle => Self::fatal(obstacle.to_string()),
        }
    }
}
