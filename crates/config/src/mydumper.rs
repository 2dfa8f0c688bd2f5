//! `mydumper = [...]`: options handed to mydumper, checked against what any of its versions knows.
//!
//! The names come from `mydumper --help` of 0.10 and from the option tables of every release up to 1.0.1.
//! Whether the installed one knows an option is found out where it is run.

use crate::document::{Complaint, complaint};
use crate::nearest::nearest;
use crate::section::Entry;
use mykeeper_domain::job::MydumperOption;
use std::collections::BTreeSet;

/// Whether an option has a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Never.
    Nothing,
    /// Always a whole number.
    Number,
    /// Always some text.
    Text,
    /// As one likes, or differently in different versions.
    Maybe,
}

/// Every option that a job may give, by name.
const KNOWN: &[(&str, Takes)] = &[
    ("all-tablespaces", Takes::Nothing),
    ("binlogs", Takes::Nothing),
    ("build-empty-files", Takes::Nothing),
    ("bulk-metadata-prefetch", Takes::Nothing),
    ("capath", Takes::Text),
    ("cert", Takes::Text),
    ("char-chunk", Takes::Number),
    ("char-deep", Takes::Number),
    ("check-row-count", Takes::Nothing),
    ("checksum-all", Takes::Nothing),
    ("chunk-filesize", Takes::Number),
    ("cipher", Takes::Text),
    ("compact", Takes::Nothing),
    ("complete-insert", Takes::Nothing),
    ("compress", Takes::Maybe),
    ("compress-protocol", Takes::Nothing),
    ("data-checksums", Takes::Nothing),
    ("debug", Takes::Nothing),
    ("default-connection-database", Takes::Text),
    ("disk-limits", Takes::Text),
    ("enable-cleartext-plugin", Takes::Nothing),
    ("events", Takes::Nothing),
    ("exit-if-broken-table-found", Takes::Nothing),
    ("ftwrl-max-wait-time", Takes::Number),
    ("ftwrl-timeout-retries", Takes::Number),
    ("hex-blob", Takes::Nothing),
    ("identifier-quote-character", Takes::Text),
    ("ignore-engines", Takes::Text),
    ("ignore-errors", Takes::Text),
    ("insert-ignore", Takes::Nothing),
    ("key", Takes::Text),
    ("kill-long-queries", Takes::Nothing),
    ("less-locking", Takes::Maybe),
    ("lock-all-tables", Takes::Maybe),
    ("long-query-guard", Takes::Number),
    ("long-query-retries", Takes::Number),
    ("long-query-retry-interval", Takes::Number),
    ("max-char-size", Takes::Number),
    ("max-items-per-string-chunk", Takes::Number),
    ("max-rows", Takes::Number),
    ("max-split-of-step-in-integer-chunk", Takes::Number),
    ("max-threads-per-table", Takes::Number),
    ("max-time-per-select", Takes::Number),
    ("no-backup-locks", Takes::Nothing),
    ("no-check-generated-fields", Takes::Nothing),
    ("no-data", Takes::Nothing),
    ("no-locks", Takes::Maybe),
    ("no-schema-checksums", Takes::Nothing),
    ("no-schemas", Takes::Nothing),
    ("no-trx-tables", Takes::Maybe),
    ("no-views", Takes::Nothing),
    ("omit-from-file", Takes::Text),
    ("optimize-keys-engines", Takes::Text),
    ("order-by-primary", Takes::Nothing),
    ("partition-regex", Takes::Text),
    ("pmm-path", Takes::Text),
    ("pmm-resolution", Takes::Text),
    ("replace", Takes::Nothing),
    ("replace-definer", Takes::Text),
    ("replica-data", Takes::Maybe),
    ("routine-checksums", Takes::Nothing),
    ("routines", Takes::Nothing),
    ("rows", Takes::Text),
    ("rows-hard", Takes::Text),
    ("schema-checksums", Takes::Nothing),
    ("server-version", Takes::Text),
    ("skip-constraints", Takes::Nothing),
    ("skip-data-checksums", Takes::Nothing),
    ("skip-database-checksums", Takes::Nothing),
    ("skip-ddl-locks", Takes::Nothing),
    ("skip-defer", Takes::Nothing),
    ("skip-definer", Takes::Nothing),
    ("skip-event-checksums", Takes::Nothing),
    ("skip-index-checksums", Takes::Nothing),
    ("skip-indexes", Takes::Nothing),
    ("skip-metadata-sorting", Takes::Nothing),
    ("skip-routine-checksums", Takes::Nothing),
    ("skip-table-checksums", Takes::Nothing),
    ("skip-trigger-checksums", Takes::Nothing),
    ("skip-view-checksums", Takes::Nothing),
    ("source-control-command", Takes::Text),
    ("source-data", Takes::Maybe),
    ("split-partitions", Takes::Nothing),
    ("split-string-pk", Takes::Nothing),
    ("statement-size", Takes::Number),
    ("success-on-1146", Takes::Maybe),
    ("sync-thread-lock-mode", Takes::Text),
    ("sync-wait", Takes::Number),
    ("table-checksums", Takes::Nothing),
    ("table-engine-for-view-dependency", Takes::Text),
    ("tables-list", Takes::Text),
    ("threads", Takes::Number),
    ("throttle", Takes::Maybe),
    ("tidb-snapshot", Takes::Text),
    ("tls-version", Takes::Text),
    ("triggers", Takes::Nothing),
    ("trx-consistency-only", Takes::Maybe),
    ("trx-tables", Takes::Maybe),
    ("tz-utc", Takes::Nothing),
    ("updated-since", Takes::Number),
    ("use-defer", Takes::Nothing),
    ("use-savepoints", Takes::Nothing),
    ("use-single-column", Takes::Nothing),
    ("verbose", Takes::Number),
    ("views-as-tables", Takes::Nothing),
    ("where", Takes::Text),
];

/// Options that mykeeper gives itself, or that would take from it what it needs, and what to write instead.
const OURS: &[(&[&str], &str)] = &[
    (
        &["host", "port", "socket", "protocol"],
        "[servers.NAME] says where the server is: `host` and `port`, or `socket`",
    ),
    (&["user"], "[servers.NAME] says who logs in: `user`"),
    (
        &["password", "ask-password"],
        "[servers.NAME] says where the password is: `password_file` or `password_credential`",
    ),
    (
        &["defaults-file", "defaults-extra-file"],
        "mykeeper hands the password over in an option file of its own; take it out",
    ),
    (
        &["ssl", "ssl-mode", "ca"],
        "[servers.NAME] says how the connection is encrypted: `tls`",
    ),
    (
        &["database", "regex"],
        "the job says which databases are backed up: `databases`",
    ),
    (
        &["outputdir", "dirty", "clear", "merge"],
        "the job says where sets go: `directory`; each set has a new folder of its own",
    ),
    (
        &["logfile", "machine-log-json"],
        "mykeeper reads what mydumper says and keeps it: see `mykeeper run-log`",
    ),
    (
        &["daemon", "snapshot-interval", "snapshot-count"],
        "the job says when it runs: `cron`",
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
        "mykeeper checks and sends the files itself, see `transfer_to`; take it out",
    ),
    (
        &["set-names", "default-character-set"],
        "values are dumped as they are, and definitions as UTF-8; take it out",
    ),
    (
        &["skip-tz-utc"],
        "every TIMESTAMP would come back shifted by the difference of the servers' time zones; take it out",
    ),
    (
        &["masquerade-filename"],
        "a set is checked by the names of its files; take it out",
    ),
    (
        &["help", "version", "dry-run"],
        "nothing would be backed up; take it out",
    ),
    (
        &[
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
        "sets are checked and proven as files of SQL statements; take it out",
    ),
];

/// Options that are allowed but make sets which do not give back what was there.
const DOUBTFUL: &[(&str, &str)] = &[
    ("no-data", "the sets hold no rows"),
    ("no-schemas", "the sets hold no definitions of tables"),
    ("no-locks", "the tables of a set may come from different moments"),
];

const EXPECTED: &str = "a list of mydumper's long options: [\"compress\", \"threads=8\"]";

/// What a job that does not say gets: everything that belongs to a database.
pub(crate) fn defaults() -> Vec<MydumperOption> {
    ["triggers", "events", "routines"]
        .map(|name| MydumperOption {
            name: name.to_owned(),
            value: None,
        })
        .to_vec()
}

/// Reads the list.
pub(crate) fn read(entry: &Entry<'_>) -> Option<Vec<MydumperOption>> {
    let mut seen = BTreeSet::new();
    let mut options = Vec::new();
    for item in entry.items(EXPECTED)? {
        let Some(text) = item.text() else { continue };
        let option = match parse_option(text) {
            Ok(option) => option,
            Err(problem) => {
                item.spot.mistake(problem);
                continue;
            }
        };
        if !seen.insert(option.name.clone()) {
            item.spot.mistake(
                complaint(format!("the option {:?} stands here twice", option.name))
                    .help("keep one of the two"),
            );
        }
        if let Some(consequence) = lack_with(&option.name) {
            item.spot.warning(
                complaint(format!("with {:?} {consequence}", option.name))
                    .help("take it out, unless that is what you want"),
            );
        }
        options.push(option);
    }
    Some(options)
}

/// Whether this is an option's name, or is so like one that it is hardly anything else: a password that stands alone.
pub(crate) fn is_like_option(name: &str) -> bool {
    let ours = OURS.iter().flat_map(|(names, _)| names.iter().copied());
    let known = KNOWN.iter().map(|(known, _)| *known);
    nearest(name, known.chain(ours)).is_some()
}

/// Whether an option of mydumper's is called so.
pub(crate) fn is_option(name: &str) -> bool {
    OURS.iter().any(|(names, _)| names.contains(&name)) || KNOWN.iter().any(|(known, _)| *known == name)
}

/// Whether mydumper compresses by a method that is called so.
pub(crate) fn is_method(value: &str) -> bool {
    ["gzip", "zstd"]
        .iter()
        .any(|method| value.eq_ignore_ascii_case(method))
}

/// What sets lack that are made with this option.
pub(crate) fn lack_with(name: &str) -> Option<&'static str> {
    let found = DOUBTFUL.iter().find(|(doubtful, _)| *doubtful == name);
    found.map(|(_, consequence)| *consequence)
}

pub(crate) fn parse_option(text: &str) -> Result<MydumperOption, Complaint> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, None),
    };
    check_form(name, value)?;
    if let Some((_, instead)) = OURS.iter().find(|(names, _)| names.contains(&name)) {
        return Err(complaint(format!(
            "mykeeper decides about mydumper's option {name:?} itself"
        ))
        .help(*instead));
    }
    let Some((_, takes)) = KNOWN.iter().find(|(known, _)| *known == name) else {
        let ours = OURS.iter().flat_map(|(names, _)| names.iter().copied());
        let known = KNOWN.iter().map(|(known, _)| *known);
        return Err(complaint(format!("mydumper has no option {name:?}")).help(
            match nearest(name, known.chain(ours)) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => "`mydumper --help` lists its long options".to_owned(),
            },
        ));
    };
    check_value(name, value, *takes)?;
    Ok(MydumperOption {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    })
}

fn check_form(name: &str, value: Option<&str>) -> Result<(), Complaint> {
    if let Some(long) = name.strip_prefix("--") {
        let shown = as_one_word(long, value);
        return Err(complaint("options are written without dashes").help(format!("write {shown:?}")));
    }
    // Not quoted: what follows a short option may be a password.
    if name.starts_with('-') || name.chars().count() == 1 {
        return Err(
            complaint("this is a short option").help("write the long one, without dashes: \"threads=8\"")
        );
    }
    if name.contains(char::is_whitespace) {
        let shown = as_one_word(name, value);
        return Err(complaint("there is a space in this option's name").help(format!(
            "write one option in one text, its value right after \"=\": {shown:?}"
        )));
    }
    if name.is_empty() {
        return Err(complaint("there is no option's name in this").help(EXPECTED));
    }
    Ok(())
}

/// How an option is written that has dashes, or spaces, where none belong. What is no number is not shown: it may be a
/// password.
fn as_one_word(name: &str, value: Option<&str>) -> String {
    let mut words = name.split_whitespace();
    let name = words.next().unwrap_or_default();
    match value.map(str::trim).or_else(|| words.next()) {
        Some(value) if value.parse::<u64>().is_ok() => format!("{name}={value}"),
        Some(_) => format!("{name}=..."),
        None => name.to_owned(),
    }
}

fn check_value(name: &str, value: Option<&str>, takes: Takes) -> Result<(), Complaint> {
    match (takes, value) {
        (Takes::Nothing, Some(_)) => {
            Err(complaint(format!("the option {name:?} takes no value")).help(format!("write {name:?}")))
        }
        (Takes::Number, None) => {
            Err(complaint(format!("the option {name:?} needs a number")).help(format!("write \"{name}=8\"")))
        }
        (Takes::Text, None) => {
            Err(complaint(format!("the option {name:?} needs a value")).help(format!("write \"{name}=...\"")))
        }
        (_, Some("")) => Err(complaint(format!("nothing follows the \"=\" of {name:?}"))
            .help("write the value right after it, or leave the \"=\" out")),
        // Not quoted: what is none may be a password.
        (_, Some(value)) if name == "compress" && !is_method(value) => {
            Err(complaint("the option \"compress\" takes GZIP, ZSTD or nothing").help("write \"compress\""))
        }
        (Takes::Number, Some(value)) if value.parse::<u64>().is_err() => Err(complaint(format!(
            "the option {name:?} needs a number, not {value:?}"
        ))
        .help(format!("write \"{name}=8\""))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::section::Section;

    #[test]
    fn options_of_both_generations_are_known() {
        for text in [
            "compress",
            "compress=ZSTD",
            "threads=8",
            "triggers",
            "events",
            "routines",
            "use-savepoints",
            "verbose=3",
            "less-locking",
            "trx-consistency-only",
            "trx-tables",
            "trx-tables=2",
            "checksum-all",
            "rows=1000:2000:3000",
            "chunk-filesize=64",
            "where=id > 3",
            "sync-thread-lock-mode=AUTO",
            "success-on-1146",
        ] {
            assert!(parse_option(text).is_ok(), "{text}");
        }
        let option = parse_option("where=a = 'b=c'").ok().unwrap();
        assert_eq!(
            (option.name.as_str(), option.value.as_deref()),
            ("where", Some("a = 'b=c'"))
        );
    }

    #[test]
    fn an_option_with_dashes_or_spaces_is_shown_as_it_should_be_written() {
        for (text, right) in [
            ("--threads=2", "write \"threads=2\""),
            ("--threads 2", "write \"threads=2\""),
            ("--compress", "write \"compress\""),
            ("threads = 2", "right after \"=\": \"threads=2\""),
            ("threads 2", "right after \"=\": \"threads=2\""),
            ("--password=geheim", "write \"password=...\""),
        ] {
            let document = Document::new("x.toml".into(), format!("key = [{text:?}]\n"));
            let tree = document.parse();
            drop(read(&Section::top(&document, &tree).take("key").unwrap()));
            drop(tree);
            let help = document.into_found().remove(0).help.unwrap();
            assert!(help.contains(right), "{text}: {help}");
        }
    }

    #[test]
    fn no_option_is_both_given_by_jobs_and_decided_by_us() {
        let mut all: Vec<_> = OURS.iter().flat_map(|(names, _)| names.iter().copied()).collect();
        all.extend(KNOWN.iter().map(|(name, _)| *name));
        let unique: BTreeSet<_> = all.iter().collect();
        assert_eq!(unique.len(), all.len());
        assert!(
            defaults()
                .iter()
                .all(|option| parse_option(&option.to_string()).is_ok())
        );
    }
}
