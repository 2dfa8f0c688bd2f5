//! mydumper: asked, planned, run, and judged by everything it leaves behind.

mod budget;
mod checksums;
mod collect;
mod contents;
mod detect;
mod heard;
mod judge;
mod leftovers;
mod lock;
mod locked_tables;
mod lockup;
mod long_queries;
mod metadata;
mod mysql;
pub mod option_file;
mod options;
mod own;
mod part;
mod plan;
mod presence;
mod pressure;
mod programs;
mod record;
mod renamed;
mod run;
mod said;
mod scope;
mod split;
mod verdict;

pub(crate) use contents::all as all_contents;
pub use detect::{MydumperInfo, ask_for_help, detect_mydumper, parse_options, parse_version};

pub use metadata::{DumpMetadata, TableRecord, parse_metadata};
pub use mysql::{refuse_names, without_position};
pub use options::DumpOptions;
pub use part::PACKED_BY;
pub use plan::{DumpPlan, PartPlan, PlanInput, plan_dump};
pub use record::{read_set_record, write_set_record};
pub use renamed::translate;
pub use run::{DumpEnv, DumpRequest, DumpResult, run_dump};
pub use scope::{RegexScope, TableScope, resolve_regex};
pub use split::split_by_database;
pub(crate) use verdict::TableName;
