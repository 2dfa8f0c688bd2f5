//! What pybackup's users have: its conf file, and the options that it hands to mydumper.

mod conf;
mod dump_options;
mod import;
mod ini;
mod selection;
mod settings;
mod sight;

pub use conf::{
    ConfPart, PybackupConf, ReadConf, RsyncConf, Said, ServerConf, parse_pybackup_conf, read_pybackup_conf,
};
pub use dump_options::{DumpWords, PASSWORD_SHOWN, read_dump_words};
pub use import::{
    CronReport, Fate, ImportFrom, Imported, PasswordFile, Place, Remark, Script, import, told_once,
};
pub use selection::{InvalidDbList, parse_db_list};
pub use settings::{
    DropIn, DropInError, THE_DESTINATION, THE_SERVER_TAG, catalog_by_conf, drop_in_settings, pattern_of,
};
pub use sight::{Sight, sights};

/// What the conf file is called.
pub const CONF_NAME: &str = "pybackup.conf";

/// Whether a word of a command line, `password=x`, is or may be meant to be a password.
pub fn is_password_word(word: &str) -> bool {
    word.split_once('=')
        .is_some_and(|(name, _)| crate::mask::is_password_key(name))
}
