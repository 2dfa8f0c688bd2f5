//! What pybackup's users have: its conf file, and the options that it hands to mydumper.

mod conf;
mod dump_options;
mod ini;
mod selection;

pub use conf::{
    ConfPart, PybackupConf, ReadConf, RsyncConf, Said, ServerConf, parse_pybackup_conf, read_pybackup_conf,
};
pub use dump_options::{DumpWords, PASSWORD_SHOWN, read_dump_words};
pub use selection::{InvalidDbList, parse_db_list};

/// What the conf file is called.
pub const CONF_NAME: &str = "pybackup.conf";
