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
pub mod option_file;
mod options;
mod own;
mod part;
mod plan;
mod presence;
mod programs;
mod record;
mod run;
mod said;
mod verdict;

pub(crate) use contents::all as all_contents;
pub use detect::{MydumperInfo, detect_mydumper, parse_options, parse_version};
pub use metadata::{DumpMetadata, TableRecord, parse_metadata};
pub use options::DumpOptions;
pub use plan::{DumpPlan, PartPlan, PlanInput, plan_dump};
pub use record::{read_set_record, write_set_record};
pub use run::{DumpEnv, DumpRequest, DumpResult, run_dump};
pub(crate) use verdict::TableName;
