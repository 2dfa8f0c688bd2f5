//! The outside tools: mydumper, myloader, rsync, the throwaway database server, and SQL probes of the server
//! that is backed up. Builds argv and option files, parses output, forms verdicts. Knows no job.

pub mod connection;
pub mod error;
pub mod log;

pub use connection::ServerConnection;
pub use error::ToolError;
pub use log::{Progress, RunLog};
