//! The words after `pybackup mydumper`: mydumper's long options without dashes.

use super::sight::{Sight, sights};
use crate::mydumper::parse_option;
use mykeeper_domain::job::MydumperOption;
use mykeeper_domain::server::{Endpoint, Tls, TlsMode};
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;

/// What pybackup writes in place of a password into `bk_command`.
pub const PASSWORD_SHOWN: &str = "supersecrect";

/// Options that change nothing here, and why.
const IGNORED: [(&[&str], &str); 5] = [
    (
        &["set-names", "default-character-set"],
        "values are dumped as they are, and definitions as UTF-8",
    ),
    (
        &["skip-tz-utc"],
        "TIMESTAMP values are dumped in UTC, or they would come back shifted on a server of another time zone",
    ),
    (
        &["dirty", "clear", "merge"],
        "each set has a new folder of its own",
    ),
    (
        &["machine-log-json"],
        "what mydumper says is kept in the run's log",
    ),
    (
        &["protocol"],
        "`host` means TCP, but for localhost, which means the client's own socket where there is one; `socket` a socket",
    ),
];

/// Options that would make something else than a set, and why.
const REFUSED: [(&[&str], &str); 6] = [
    (
        &["ask-password"],
        "nobody is there to be asked; write db_passwd into [TDB] of pybackup.conf",
    ),
    (
        &["defaults-file", "defaults-extra-file"],
        "write the account into [TDB] of pybackup.conf",
    ),
    (
        &["daemon", "snapshot-interval", "snapshot-count"],
        "the crontab, or mykeeper's own schedule, says when a backup is made",
    ),
    (
        &[
            "stream",
            "no-delete",
            "exec",
            "exec-per-thread",
            "exec-per-thread-extension",
            "exec-threads",
            "fifodir",
        ],
        "the files are checked and sent by mykeeper",
    ),
    (
        &[
            "masquerade-filename",
            "load-data",
            "csv",
            "format",
            "include-header",
            "load-data-character-set",
            "fields-terminated-by",
            "fields-enclosed-by",
            "fields-escaped-by",
            "lines-starting-by",
            "lines-terminated-by",
            "statement-terminated-by",
        ],
        "sets are checked and proven as files of SQL statements with mydumper's own names",
    ),
    (&["version", "dry-run"], "nothing would be backed up"),
];

/// What the words ask for.
#[derive(Clone, Debug, Default)]
pub struct DumpWords {
    /// `socket=`, or `host=` and `port=`; `None`: as `[TDB]` says.
    pub endpoint: Option<Endpoint>,
    /// `user=`
    pub user: Option<String>,
    /// `password=`
    pub password: Option<SecretString>,
    /// `ssl`, `ssl-mode=`, `ca=`
    pub tls: Tls,
    /// `outputdir=`, as written.
    pub outputdir: Option<PathBuf>,
    /// `logfile=`, as written.
    pub logfile: Option<PathBuf>,
    /// `database=`: names, not patterns.
    pub databases: Vec<String>,
    /// `regex=`
    pub regex: Option<String>,
    /// `tables-list=`
    pub tables: Option<String>,
    /// Options that mydumper gets.
    pub passed: Vec<MydumperOption>,
    /// What is worth a look, each a sentence.
    pub warnings: Vec<String>,
    /// As `bk_command` has it, the password masked.
    pub command: String,
}

/// Reads the words.
///
/// # Errors
/// Every mistake, each a sentence; no password is in one.
pub fn read_dump_words(words: &[String]) -> Result<DumpWords, Vec<String>> {
    let mut reading = Reading::default();
    for (at, (word, sight)) in words.iter().zip(sights(words)).enumerate() {
        // Of a short option nothing is shown anyway, and what to write instead is told.
        match sight == Sight::Nothing && !word.starts_with('-') {
            true => reading.mistakes.push(strange(at)),
            false => reading.word(word),
        }
    }
    reading.end()
}

/// Of a word that no option is like.
fn strange(at: usize) -> String {
    format!(
        "mydumper has no option like word {} after \"mydumper\", which is not shown, since it may be a password, or a part \
         of one: a value follows its option's name and \"=\" at once, in quotes where there is a space in it; `mydumper \
         --help` lists the long options",
        at + 1
    )
}

#[derive(Default)]
struct Reading {
    read: DumpWords,
    host: Option<String>,
    port: Option<u16>,
    socket: Option<PathBuf>,
    ssl: bool,
    shown: Vec<String>,
    mistakes: Vec<String>,
}

impl Reading {
    fn word(&mut self, word: &str) {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        self.shown.push(match name {
            "password" => format!("--password={PASSWORD_SHOWN}"),
            _ => format!("--{word}"),
        });
        if self.ours(name, value) {
            return;
        }
        let listed = |table: &[(&[&str], &'static str)]| {
            let found = table.iter().find(|(names, _)| names.contains(&name));
            found.map(|(_, why)| *why)
        };
        if word == "verbose=0" {
            self.read
                .warnings
                .push("\"verbose=0\" is not passed on: what mydumper says of its errors is read".to_owned());
        } else if let Some(why) = listed(&IGNORED) {
            self.read
                .warnings
                .push(format!("mydumper's option {name:?} is not passed on: {why}"));
        } else if let Some(why) = listed(&REFUSED) {
            self.mistakes
                .push(format!("mydumper's option {name:?} cannot be given: {why}"));
        } else {
            match parse_option(word) {
                Ok(option) => {
                    self.read.passed.retain(|before| before.name != option.name);
                    self.read.passed.push(option);
                }
                Err(problem) => self.mistakes.push(problem.sentence()),
            }
        }
    }

    /// Takes what mykeeper itself needs to know. False for any other option.
    fn ours(&mut self, name: &str, value: Option<&str>) -> bool {
        const TEXTS: [&str; 12] = [
            "host",
            "port",
            "socket",
            "user",
            "password",
            "outputdir",
            "logfile",
            "database",
            "regex",
            "tables-list",
            "ca",
            "ssl-mode",
        ];
        if name == "ssl" {
            self.ssl = true;
            return true;
        }
        if !TEXTS.contains(&name) {
            return false;
        }
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            self.mistakes.push(format!(
                "mydumper's option {name:?} needs a value; write {name}=..."
            ));
            return true;
        };
        let text = value.to_owned();
        match name {
            "host" => self.host = Some(text),
            "port" => match value.parse::<u16>() {
                Ok(port) if port > 0 => self.port = Some(port),
                _ => self.mistakes.push(format!("{value:?} is no port; write port=3306")),
            },
            "socket" => self.socket = Some(text.into()),
            "user" => self.read.user = Some(text),
            "password" => self.read.password = Some(SecretString::from(text)),
            "outputdir" => self.read.outputdir = Some(text.into()),
            "logfile" => self.read.logfile = Some(text.into()),
            "database" => {
                let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                self.read.databases = names.map(str::to_owned).collect();
            }
            "regex" => self.read.regex = Some(text),
            "tables-list" => self.read.tables = Some(text),
            "ca" => self.read.tls.ca = Some(text.into()),
            _ => match tls_mode(value) {
                Some(mode) => self.read.tls.mode = mode,
                None => self.mistakes.push(format!(
                    "{value:?} is no ssl-mode; write DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"
                )),
            },
        }
        true
    }

    fn end(mut self) -> Result<DumpWords, Vec<String>> {
        let chosen = [
            ("database", !self.read.databases.is_empty()),
            ("regex", self.read.regex.is_some()),
            ("tables-list", self.read.tables.is_some()),
        ];
        let chosen: Vec<&str> = chosen
            .iter()
            .filter(|(_, is_given)| *is_given)
            .map(|(name, _)| *name)
            .collect();
        if chosen.len() > 1 {
            self.mistakes.push(format!(
                "{} each say what is backed up; keep one of them",
                chosen.join(" and ")
            ));
        }
        // In whatever order they stand, neither makes less of what `ssl-mode` says.
        let tls = &mut self.read.tls;
        if self.ssl {
            tls.mode = tls.mode.max(TlsMode::Required);
        }
        if tls.ca.is_some() {
            tls.mode = tls.mode.max(TlsMode::VerifyCa);
        }
        self.read.endpoint = match (self.socket, self.host, self.port) {
            (Some(socket), _, _) => Some(Endpoint::Socket(socket)),
            (None, None, None) => None,
            (None, host, port) => Some(Endpoint::Tcp {
                host: host.unwrap_or_else(|| "127.0.0.1".to_owned()),
                port: port.unwrap_or(3306),
            }),
        };
        // In a value, too, where somebody has a script that writes it there.
        let password = self.read.password.as_ref().map(ExposeSecret::expose_secret);
        let shown = self.shown.iter().map(|word| match password {
            Some(password) if password.len() >= 6 => word.replace(password, PASSWORD_SHOWN),
            _ => word.clone(),
        });
        self.read.command = std::iter::once("mydumper".to_owned())
            .chain(shown)
            .collect::<Vec<_>>()
            .join(" ");
        if self.mistakes.is_empty() {
            Ok(self.read)
        } else {
            Err(self.mistakes)
        }
    }
}

fn tls_mode(word: &str) -> Option<TlsMode> {
    Some(match word.to_ascii_uppercase().as_str() {
        "DISABLED" => TlsMode::Disabled,
        "PREFERRED" => TlsMode::Preferred,
        "REQUIRED" => TlsMode::Required,
        "VERIFY_CA" => TlsMode::VerifyCa,
        "VERIFY_IDENTITY" => TlsMode::VerifyIdentity,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<DumpWords, Vec<String>> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        read_dump_words(&words)
    }

    #[test]
    fn the_documented_words_are_read() {
        let read = read(
            "password=papapa user=root socket=/data/mysql/mysql.sock outputdir=/data/backup_db/2017-11-12 verbose=3 \
             compress threads=8 triggers events routines use-savepoints logfile=/data/backup_db/pybackup.log",
        )
        .unwrap();
        assert_eq!(
            read.endpoint,
            Some(Endpoint::Socket("/data/mysql/mysql.sock".into()))
        );
        assert_eq!(read.user.as_deref(), Some("root"));
        assert_eq!(read.password.unwrap().expose_secret(), "papapa");
        let passed: Vec<String> = read.passed.iter().map(ToString::to_string).collect();
        assert_eq!(
            passed,
            [
                "verbose=3",
                "compress",
                "threads=8",
                "triggers",
                "events",
                "routines",
                "use-savepoints"
            ]
        );
        assert_eq!(read.warnings, [""; 0]);
        assert_eq!(
            read.command,
            "mydumper --password=supersecrect --user=root --socket=/data/mysql/mysql.sock \
             --outputdir=/data/backup_db/2017-11-12 --verbose=3 --compress --threads=8 --triggers --events --routines \
             --use-savepoints --logfile=/data/backup_db/pybackup.log"
        );
    }

    #[test]
    fn a_password_may_hold_anything() {
        let words = [
            "password=a=b c'\"$x".to_owned(),
            "logfile=/x/a=b c'\"$x.log".to_owned(),
        ];
        let read = read_dump_words(&words).unwrap();
        assert_eq!(read.password.unwrap().expose_secret(), "a=b c'\"$x");
        assert_eq!(
            read.command,
            "mydumper --password=supersecrect --logfile=/x/supersecrect.log"
        );
    }

    #[test]
    fn a_value_of_compress_that_is_no_method_is_refused_and_not_shown() {
        let said = read("compress=Geheim34 threads=8").unwrap_err().join("\n");
        assert!(
            said.contains("takes GZIP, ZSTD or nothing") && !said.contains("Geheim34"),
            "{said}"
        );
        assert!(read("compress=zstd").is_ok());
    }

    #[test]
    fn what_cannot_be_is_said_without_the_password() {
        let mistakes =
            read("password=geheim1 port=x regex=a database=b daemon thread=8 pasword=geheim1 outputdir= -v")
                .unwrap_err();
        let said = mistakes.join("\n");
        assert!(!said.contains("geheim1"), "{said}");
        insta::assert_snapshot!(said);
    }

    #[test]
    fn a_word_that_may_be_a_password_is_told_of_by_its_place() {
        for words in [
            "compress password geheim",
            "compress password= geheim",
            "compress -p geheim",
            "compress password=a geheim",
            "compress password=a geheim=1",
            "compress x -pgeheim",
        ] {
            let said = read(words).unwrap_err().join("\n");
            assert!(!said.contains("geheim"), "{said}");
            let is_told =
                said.contains("like word 3") || words.contains("-pg") && said.contains("short option");
            assert!(is_told, "{said}");
        }
        let spaced = ["password=a".to_owned(), "ge heim".to_owned()];
        let said = read_dump_words(&spaced).unwrap_err().join("\n");
        assert!(said.contains("like word 2") && !said.contains("heim"), "{said}");
    }

    #[test]
    fn no_order_of_words_makes_less_of_the_encryption() {
        for (words, mode) in [
            ("ssl", TlsMode::Required),
            ("ca=/x", TlsMode::VerifyCa),
            ("ssl-mode=VERIFY_IDENTITY ca=/x", TlsMode::VerifyIdentity),
            ("ca=/x ssl-mode=VERIFY_IDENTITY", TlsMode::VerifyIdentity),
            ("ca=/x ssl", TlsMode::VerifyCa),
            ("ssl ca=/x", TlsMode::VerifyCa),
            ("ssl-mode=PREFERRED ssl", TlsMode::Required),
        ] {
            let tls = read(words).unwrap().tls;
            assert_eq!(tls.mode, mode, "{words}");
            assert_eq!(tls.ca.is_some(), words.contains("ca="), "{words}");
        }
    }

    #[test]
    fn what_means_nothing_here_is_told_and_left_out() {
        let read = read("set-names=utf8 dirty verbose=0 host=db1 database=a,b").unwrap();
        assert_eq!((read.passed.len(), read.warnings.len()), (0, 3));
        assert_eq!(read.databases, ["a", "b"]);
        let expected = Endpoint::Tcp {
            host: "db1".to_owned(),
            port: 3306,
        };
        assert_eq!(read.endpoint, Some(expected));
    }
}
