//! The command that brings a set back from where it was sent, for a person to run.

use super::RsyncInfo;
use super::argv::{PARTIAL_DIR, Way};
use mykeeper_domain::destination::Destination;
use std::ffi::OsString;
use std::path::Path;

/// What is fetched, from where, and to where.
#[derive(Clone, Copy, Debug)]
pub struct Fetch<'a> {
    /// rsync, as it is called.
    pub rsync: &'a Path,
    /// ssh, for a destination that needs it.
    pub ssh_program: &'a Path,
    /// Where the set was sent.
    pub destination: &'a Destination,
    /// The file that holds the daemon's password: its path alone is told.
    pub password_file: Option<&'a Path>,
    /// `<YYYY-MM-DD>/<bk_id>`: the set's place below the destination.
    pub relative: &'a str,
    /// The folder that the set's files are put into.
    pub folder: &'a Path,
}

/// One line for a shell, which names no secret. What lies in the folder already and differs is replaced.
pub fn fetch_command(fetch: &Fetch<'_>) -> String {
    let info = RsyncInfo {
        program: fetch.rsync.to_owned(),
        banner: String::new(),
        version: (0, 0, 0),
    };
    let way = Way {
        info: &info,
        destination: fetch.destination,
        ssh_program: fetch.ssh_program,
        password_file: fetch.password_file.map(Path::to_owned),
        stall: None,
    };
    let folder = fetch.folder.join("");
    let mut words: Vec<OsString> = vec![fetch.rsync.into()];
    words.extend(way.common());
    words.extend(["--recursive", "--times", "--perms", "--checksum"].map(OsString::from));
    words.push(format!("--partial-dir={PARTIAL_DIR}").into());
    words.extend(["--info=progress2".into(), "--".into(), way.target(fetch.relative)]);
    words.push(folder.clone().into());
    let words: Vec<String> = words
        .iter()
        .map(|word| shell_word(&word.to_string_lossy()))
        .collect();
    format!(
        "mkdir -p {} && {}",
        shell_word(&folder.to_string_lossy()),
        words.join(" ")
    )
}

/// As a shell takes it for one word.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.,:/@%+=-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::DestinationName;

    #[test]
    fn a_set_is_fetched_with_the_password_s_file_and_never_the_password() {
        let destination = |url: &str| {
            let name = DestinationName::new("vault").unwrap();
            Destination::at(name, url.parse().unwrap())
        };
        let command = |destination: &Destination, password_file: Option<&Path>| {
            fetch_command(&Fetch {
                rsync: Path::new("rsync"),
                ssh_program: Path::new("ssh"),
                destination,
                password_file,
                relative: "2026-11-22/id",
                folder: Path::new("/srv/it's/id"),
            })
        };
        let daemon = destination("rsync://me@vault:1873/module/way");
        assert_eq!(
            command(&daemon, Some(Path::new("/etc/mykeeper/vault.password"))),
            r"mkdir -p '/srv/it'\''s/id/' && rsync --8-bit-output --contimeout=30 --password-file=/etc/mykeeper/vault.password --recursive --times --perms --checksum --partial-dir=.rsync-partial --info=progress2 -- rsync://me@vault:1873/module/way/2026-11-22/id/ '/srv/it'\''s/id/'"
        );
        let over_ssh = command(&destination("me@vault:/sets"), None);
        assert!(
            over_ssh.contains("--protect-args -e 'ssh -o BatchMode=yes")
                && over_ssh.contains(" me@vault:/sets/2026-11-22/id/ "),
            "{over_ssh}"
        );
    }
}
