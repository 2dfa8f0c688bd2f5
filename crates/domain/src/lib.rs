//! What a job, slot, run, attempt, backup and policy *is*, and the arithmetic over them.
//!
//! Pure: no I/O, no tokio, no SQL. The one exception is [`SystemClock`], the only place of the whole
//! program that reads the system's clock.

pub mod arrival;
pub mod backup;
pub mod checksum;
pub mod clock;
mod comparison;
mod counted;
pub mod damage;
pub mod databases;
pub mod definer;
pub mod definition;
pub mod destination;
pub mod event;
pub mod evidence;
mod humane;
pub mod ids;
pub mod immediate;
pub mod inventory;
pub mod job;
pub mod manifest;
pub mod node;
pub mod notice;
pub mod notify;
pub mod packing;
pub mod promise;
pub mod proof;
pub mod removal;
pub mod retention;
pub mod retry;
pub mod run;
pub mod sandbox;
pub mod schedule;
pub mod selection;
pub mod server;
pub mod space;
pub mod template;
pub mod transfer;
pub mod unproven;
pub mod verification;

pub use clock::{Clock, ManualClock, SystemClock};
pub use counted::counted;
pub use humane::humane;
pub use ids::{AttemptId, BackupId, DestinationName, InvalidName, JobName, NodeName, RunId, ServerName};
