//! `[tools]`

use crate::keeper::top_key_hint;
use crate::section::Section;
use crate::settings::ToolPrograms;

/// Reads the section.
pub(crate) fn read(mut section: Option<Section<'_>>) -> ToolPrograms {
    let mut program = |key: &'static str| {
        let written = section
            .as_mut()
            .and_then(|section| section.take(key))
            .and_then(|entry| entry.program());
        written.unwrap_or_else(|| key.into())
    };
    let programs = ToolPrograms {
        mydumper: program("mydumper"),
        myloader: program("myloader"),
        rsync: program("rsync"),
        ssh: program("ssh"),
    };
    if let Some(section) = section {
        section.finish(|key| {
            ["mariadbd", "mysqld", "server"]
                .contains(&key)
                .then(|| "the throwaway server's program is `server` of [sandbox]".to_owned())
                .or_else(|| top_key_hint(key))
        });
    }
    programs
}
