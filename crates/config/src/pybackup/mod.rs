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
    word.split_once('=').is_some_and(|(name, _)| is_secret_name(name))
}

/// A word as it may be shown: what follows the name of a password is not.
pub fn word_shown(word: &str) -> String {
    match word.split_once('=') {
        Some((name, _)) if is_secret_name(name) => format!("{name}={PASSWORD_SHOWN}"),
        _ => word.to_owned(),
    }
}

/// Whether what follows this name may be a password, whichever program is meant to read it; `password_file` names a file.
fn is_secret_name(name: &str) -> bool {
    let lower = name.to_lowercase();
    let is_like = ["pass", "pwd"].iter().any(|sign| lower.contains(sign));
    let names_place = lower.ends_with("file") || lower.contains("credential");
    is_like && !names_place || crate::mask::is_password_key(name)
}
