//! `mykeeper.toml` and `schedule.toml` to validated domain values; every mistake with file, line and column.
//!
//! Both files are parsed to trees that remember where each value stood, and are walked by hand: serde stops
//! at the first error, and a person who corrects a file wants to see all of them. [`load`] is the way in.

mod backup;
mod catalog;
mod daemon;
mod destination;
mod document;
mod immediate;
mod job;
mod keeper;
mod layout;
mod limits;
mod load;
mod logs;
mod mask;
mod mistake;
mod mydumper;
mod nearest;
mod notify;
mod packing;
mod password;
pub mod pybackup;
mod retention;
mod sandbox;
mod schedule;
mod section;
mod server;
mod settings;
mod statement;
mod tools;
mod transfer;
mod validation;
mod values;
mod verify;

pub use load::{Loaded, load, load_despite_schedule};
pub use mistake::{ConfigErrors, Mistake, Severity};
pub use nearest::nearest;
pub use password::{PasswordError, read_password};
pub use settings::*;

/// The documented example of `mykeeper.toml`, as shipped in `config/`.
pub const EXAMPLE_KEEPER: &str = include_str!("../../../config/mykeeper.toml");
/// The documented example of `schedule.toml`, as shipped in `config/`.
pub const EXAMPLE_SCHEDULE: &str = include_str!("../../../config/schedule.toml");
