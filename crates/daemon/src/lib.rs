//! Schedules jobs, runs them, and answers for each of them. Knows neither SQL nor HTTP.

pub mod control;
mod copies;
pub mod disk;
pub mod engine;
pub mod environment;
pub mod error;
pub mod failed;
mod heartbeat;
pub mod jobs;
pub mod lifecycle;
pub mod limits;
pub mod locate;
pub mod log_pruning;
mod missed;
pub mod missing;
pub mod mounted;
pub mod notices;
pub mod promises;
pub mod rebuild;
pub mod recovery;
pub mod removal;
pub mod repair;
pub mod resume;
pub mod run_log;
pub mod scheduler;
mod set_folder;
pub mod set_lease;
pub mod space;
pub mod state_dir;
pub mod status;
pub mod unproven;
pub mod unrecorded;

pub use engine::{Engine, FinishedRun};
pub use environment::Environment;
pub use error::DaemonError;
pub use missed::parse_definition;
