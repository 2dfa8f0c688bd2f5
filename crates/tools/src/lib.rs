//! The outside tools: mydumper, myloader, rsync, the throwaway database server, and SQL probes of the server
//! that is backed up. Builds argv and option files, parses output, forms verdicts. Knows no job.

mod blocking;
pub mod connection;
pub mod content;
pub mod digest;
pub mod env;
pub mod error;
mod introducers;
pub mod log;
pub mod mydumper;
pub mod myloader;
pub mod pairing;
mod passing;
pub mod pipeline;
pub mod probe;
pub mod prove;
pub mod restore;
pub mod room;
pub mod rsync;
pub mod sandbox;
pub mod sql_rows;
mod sync;

pub use connection::ServerConnection;
pub use env::ToolEnv;
pub use error::ToolError;
pub use log::{Progress, RunLog};
pub use passing::tells_of_lasting;
