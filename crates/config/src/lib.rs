//! `mykeeper.toml` and `schedule.toml` to validated domain values; every mistake with file, line and column.
mod settings;
pub use settings::*;
