//! `pybackup mydumper`: a backup job.

use super::page::{Page, list, quoted};
use super::script::{Act, Found};
use super::unknown::{CONF_OF_ITS_OWN, names_other_conf, other_conf, says_what, unknown_word, without_conf};
use super::word::{Piece, Word, is_place, tidy};
use super::{Entry, ImportFrom, Place, Remark};
use crate::mydumper::lack_with;
use crate::pybackup::conf::{PybackupConf, Said};
use crate::pybackup::dump_options::{DumpWords, read_dump_words};
use crate::pybackup::settings::pattern_of;
use crate::pybackup::sight::{Sight, sights};
use mykeeper_domain::databases::DatabaseSelection;
use secrecy::{ExposeSecret, SecretString};

/// Why no job is written.
pub(super) const NO_UTF8: &str =
    "what this is given is not UTF-8, and which bytes they are is not known here: no job is written for it";

const NO_OPTION: &str = "a word of this call is no option of mydumper's, and not shown, since it may be a password: the \
                         job is written without it";

/// One call.
pub(super) struct Dump {
    /// The line of the crontab that it belongs to.
    pub(super) entry: Place,
    /// Where it is called.
    pub(super) place: Place,
    /// Where the same is called once more.
    pub(super) again: Vec<Place>,
    /// What its words say.
    pub(super) words: DumpWords,
    /// A password that stands in the script.
    pub(super) password: Option<SecretString>,
    /// A password is given, and nobody can tell which.
    pub(super) hides_password: bool,
    /// `<directory>/<YYYY-MM-DD>/<bk_id>`
    pub(super) directory: String,
    /// Whether the script has a folder for each day, which is called as mykeeper calls it.
    pub(super) is_by_day: bool,
    /// Whether its sets are sent.
    pub(super) sends: bool,
    /// How much was done before it that may change what it meets.
    busy: usize,
}

impl Dump {
    /// The call, where this is one and can be translated.
    pub(super) fn read(
        from: &ImportFrom<'_>,
        entry: &Entry,
        found: &Found,
        remarks: &mut Vec<Remark>,
    ) -> Option<Self> {
        let Act::Dump(words) = &found.act else { return None };
        let place = &found.place;
        let gap = |text: &str| Remark::gap(place.clone(), text.to_owned());
        let note = |text: &str| Remark::note(place.clone(), text.to_owned());
        if let Some(gap) = found.is_conditional() {
            remarks.push(gap);
            return None;
        }
        if let Some(other) = other_conf(from, found) {
            let is_gap = other.is_gap;
            remarks.push(other);
            if is_gap {
                return None;
            }
        }
        if names_other_conf(words, &from.conf.file) {
            remarks.push(gap(CONF_OF_ITS_OWN));
            return None;
        }
        let (words, _) = without_conf(words);
        if words
            .iter()
            .any(|word| word.shown().contains(char::REPLACEMENT_CHARACTER))
        {
            remarks.push(gap(NO_UTF8));
            return None;
        }
        let is_odd = |word: &Word| {
            word.after("password=").is_none() && word.shown().contains(|one: char| one.is_control())
        };
        if words.iter().any(|word| is_odd(word)) {
            remarks.push(gap(
                "a word of this call goes over a line's end, or holds another control character: no job is written for it",
            ));
            return None;
        }
        let (mut texts, mut outputdir, mut hides_password) = (Vec::new(), None, false);
        let (mut sends, mut is_recorded) = (true, true);
        for word in words {
            if let Some(value) = word.after("outputdir=") {
                outputdir = Some(value.below(found.folder.as_ref()));
                continue;
            }
            match word.text().as_deref() {
                // One word to the shell, and hardly meant as one.
                Some(text) if text.find("password=").is_some_and(|at| at > 0) => {
                    remarks.push(gap("a word of this call holds a password behind something else: the job is written without it"));
                }
                Some("--no-rsync") => sends = false,
                Some("--no-history") => is_recorded = false,
                Some("--only-backup") => (sends, is_recorded) = (false, false),
                // mykeeper keeps the log of each run by itself.
                Some(text) if text.starts_with("logfile=") => {}
                Some(text) => texts.push(text.to_owned()),
                None if word.after("logfile=").is_some() => {}
                None if word.after("password=").is_some() => hides_password = true,
                None if says_what(word) => {
                    remarks.push(gap(&format!(
                        "{}, and it may say what is backed up, or of which server: no job is written for it; write \
                         [backup.NAME] for each",
                        unknown_word(word)
                    )));
                    return None;
                }
                None => remarks.push(gap(&format!(
                    "{}: the job is written without it",
                    unknown_word(word)
                ))),
            }
        }
        if !is_recorded {
            remarks.push(note(
                "mykeeper records every set, also those of a call with --no-history",
            ));
        }
        let named = outputdir
            .clone()
            .or_else(|| found.folder.clone())
            .unwrap_or_default();
        let Some(directory) = directory(outputdir.as_ref().or(found.folder.as_ref()), &note) else {
            remarks.push(gap(
                "in which folder the sets lie cannot be told: no job is written; write [backup.NAME] for it",
            ));
            return None;
        };
        // mydumper takes what both mean; a job has one of them.
        let chosen = ["database=", "regex=", "tables-list="];
        let says = |chosen: &&&str| texts.iter().any(|text| text.starts_with(**chosen));
        if chosen.iter().filter(says).count() > 1 {
            remarks.push(gap(
                "of database=, regex= and tables-list= more than one say what is backed up here, and no job says what they \
                 mean together: none is written; write [backup.NAME] with `databases`",
            ));
            return None;
        }
        let is_by_day = matches!(named.day_folder(), Some((_, day)) if day.is_todays());
        let words = read_words(texts, place, remarks);
        let mut tables = words.tables.iter().flat_map(|tables| tables.split(','));
        if tables.any(|table| !table.contains('.')) {
            remarks.push(gap(
                "a name in tables-list= has no database before it, and of which it is a table is not said: no job is \
                 written; write [backup.NAME] with tables-list=DATABASE.TABLE",
            ));
            return None;
        }
        if from.conf.server.is_none() && words.endpoint.is_none() {
            remarks.push(gap(
                "which server is backed up is not said: this call names none, and the conf has no usable [TDB]: no job \
                 is written",
            ));
            return None;
        }
        if let Some(gap) = found.asks_for_others(Some((&named, &directory.0))) {
            remarks.push(gap);
            return None;
        }
        remarks.extend(found.passed_over());
        remarks.extend(directory.1);
        Some(Self {
            entry: entry.place.clone(),
            place: place.clone(),
            again: Vec::new(),
            password: words.password.clone(),
            words,
            hides_password,
            directory: directory.0,
            is_by_day,
            sends,
            busy: found.busy,
        })
    }

    /// The same is called once more. A gap where something is done between them.
    pub(super) fn repeat(&mut self, other: Self) -> Option<Remark> {
        let text = format!(
            "this call is the same as that at {}, as far as is seen here, and something is done between them: one job is \
             written for both, and what is done between them is not",
            self.place
        );
        let gap = (self.busy != other.busy).then(|| Remark::gap(other.place.clone(), text));
        self.again.push(other.place);
        gap
    }

    /// What is said of it where the same line of the crontab makes others, too.
    pub(super) fn is_one_of(&self, dumps: &[Self]) -> Option<Remark> {
        let of_line = dumps.iter().filter(|dump| dump.entry == self.entry);
        let text = "this line of the crontab makes several sets one after another: their jobs start at the same time, and \
                    wait for each other on one server";
        (of_line.count() > 1).then(|| Remark::note(self.place.clone(), text.to_owned()))
    }

    /// Whether one line of the crontab calls both, and both do the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let password = |dump: &Self| dump.password.as_ref().map(|text| text.expose_secret().to_owned());
        self.entry == other.entry
            && self.directory == other.directory
            && self.words.command == other.words.command
            && self.hides_password == other.hides_password
            && password(self) == password(other)
    }

    /// The job's own keys.
    pub(super) fn write(
        &self,
        page: &mut Page,
        from: &ImportFrom<'_>,
        server: &str,
        remarks: &mut Vec<Remark>,
    ) {
        let conf = from.conf;
        page.key("server", quoted(server), &self.place);
        self.write_databases(page, conf, remarks);
        page.key("directory", quoted(&self.directory), &self.place);
        if let Some(rsync) = conf.rsync.as_ref().filter(|_| self.sends) {
            page.key(
                "transfer_to",
                quoted(super::keeper::DESTINATION),
                at(conf, rsync.line),
            );
        }
        let mut options: Vec<String> = self.words.passed.iter().map(ToString::to_string).collect();
        if let Some(tables) = &self.words.tables {
            options.push(format!("tables-list={tables}"));
        }
        let compresses = self.words.passed.iter().any(|option| option.name == "compress");
        page.key("mydumper", list(options), &self.place);
        if !compresses {
            // As the script has it: else mykeeper would compress.
            page.key("compression", quoted("none"), &self.place);
        }
    }

    fn write_databases(&self, page: &mut Page, conf: &PybackupConf, remarks: &mut Vec<Remark>) {
        let of_tables = self.words.tables.as_deref().map(databases_of_tables);
        let of_regex = self.words.regex.as_deref().map(databases_of_regex);
        let from_words = if !self.words.databases.is_empty() {
            Some(self.words.databases.iter().map(|name| pattern_of(name)).collect())
        } else if let Some(databases) = of_tables {
            Some(databases)
        } else if let Some(Some(databases)) = of_regex {
            let text = "mydumper takes regex= without regard to case, and `databases` goes by it: look whether a database \
                        is called so in other letters";
            remarks.push(Remark::note(self.place.clone(), text.to_owned()));
            Some(databases)
        } else {
            if let Some(regex) = &self.words.regex {
                remarks.push(Remark::gap(
                    self.place.clone(),
                    format!("regex={regex} is no list of databases: the job takes all of them; write `databases` for it"),
                ));
            }
            None
        };
        let takes_all = self.words.regex.is_some();
        let one_call = from_words.is_some() || takes_all;
        match (from_words, &conf.databases) {
            (Some(databases), _) => page.key("databases", list(databases), &self.place),
            (None, Some(said)) if !takes_all => {
                page.key("databases", list(patterns(&said.value)), at_said(conf, said));
            }
            (None, _) => {
                if !takes_all {
                    remarks.push(Remark::gap(
                        self.place.clone(),
                        "neither the call nor [TDB] db_list says which databases: the job takes all of them"
                            .to_owned(),
                    ));
                }
                page.key("databases", list(["%"]), &self.place);
            }
        }
        match &conf.consistency {
            _ if one_call && self.words.databases.len() <= 1 => {
                page.key(
                    "consistency",
                    quoted("all"),
                    format!("{}: one mydumper", self.place),
                );
            }
            Some(said) if said.value => page.key("consistency", quoted("all"), at_said(conf, said)),
            Some(said) => page.key("consistency", quoted("per-database"), at_said(conf, said)),
            None => page.key(
                "consistency",
                quoted("per-database"),
                "pybackup's way without db_consistency; \"all\" is one moment for all databases",
            ),
        }
    }
}

/// The folder of all sets, and what changes by it.
fn directory(outputdir: Option<&Word>, note: &dyn Fn(&str) -> Remark) -> Option<(String, Vec<Remark>)> {
    let outputdir = outputdir?;
    let (folder, notes) = if let Some((folder, day)) = outputdir.day_folder() {
        let other = || {
            note(
                "mykeeper calls the folder of a day YYYY-MM-DD, and it is that of the day on which the run starts; what \
                 lies in folders of other names by now is removed by no job",
            )
        };
        (folder, (!day.is_todays()).then(other))
    } else if let [Piece::Text(folder)] = outputdir.0.as_slice() {
        let changed = || {
            note(
                "mykeeper makes a folder for each day, YYYY-MM-DD, in the folder that is named here; sets that lie right in \
                 it by now are removed by no job",
            )
        };
        (tidy(folder), Some(changed()))
    } else {
        return None;
    };
    let is_usable = is_place(&folder) && folder.len() > 1;
    is_usable.then(|| (folder, notes.into_iter().collect()))
}

/// Where their sets lie.
pub(super) fn folders(dumps: &[Dump]) -> Vec<String> {
    let folders: std::collections::BTreeSet<&String> = dumps.iter().map(|dump| &dump.directory).collect();
    folders.into_iter().cloned().collect()
}

/// The words as they can be understood; what cannot be is said.
fn read_words(mut texts: Vec<String>, place: &Place, remarks: &mut Vec<Remark>) -> DumpWords {
    let mut refuse = |problems: Vec<String>| {
        remarks.extend(
            problems
                .into_iter()
                .map(|problem| Remark::gap(place.clone(), problem)),
        );
    };
    let mut seen = sights(&texts).into_iter();
    texts.retain(|text| {
        // Of short ones nothing is shown.
        let is_short = text.starts_with('-') && !text.starts_with("--");
        let is_hidden = seen.next() == Some(Sight::Nothing) && !is_short;
        match read_dump_words(std::slice::from_ref(text)) {
            Ok(_) => true,
            Err(problems) => {
                refuse(match is_hidden {
                    true => vec![NO_OPTION.to_owned()],
                    false => problems,
                });
                false
            }
        }
    });
    let words = read_dump_words(&texts).unwrap_or_else(|problems| {
        refuse(problems);
        texts.retain(|text| !text.starts_with("regex=") && !text.starts_with("tables-list="));
        read_dump_words(&texts).unwrap_or_default()
    });
    let doubtful = words.passed.iter().filter_map(|option| {
        let lack = lack_with(&option.name)?;
        let text = format!(
            "with {:?} {lack}: the job has it, too, and \"mykeeper check\" warns of it; take it out of `mydumper` unless \
             that is what you want",
            option.name
        );
        Some(Remark::gap(place.clone(), text))
    });
    remarks.extend(doubtful);
    let notes = words
        .warnings
        .iter()
        .map(|text| Remark::note(place.clone(), text.clone()));
    remarks.extend(notes);
    words
}

fn patterns(selection: &DatabaseSelection) -> Vec<String> {
    match selection {
        DatabaseSelection::Include(patterns) => patterns.clone(),
        DatabaseSelection::Exclude(patterns) => {
            patterns.iter().map(|pattern| format!("!{pattern}")).collect()
        }
    }
}

fn databases_of_tables(tables: &str) -> Vec<String> {
    let mut databases: Vec<String> = Vec::new();
    for table in tables.split(',').map(str::trim) {
        let database = pattern_of(table.split_once('.').map_or(table, |(database, _)| database));
        if !database.is_empty() && !databases.contains(&database) {
            databases.push(database);
        }
    }
    databases
}

/// `^(a|b)\.` and `^(?!(a|b)\.)`, which are lists of databases in disguise.
fn databases_of_regex(regex: &str) -> Option<Vec<String>> {
    let inner = regex.strip_prefix('^')?;
    let (inner, sign) = match inner
        .strip_prefix("(?!")
        .and_then(|inner| inner.strip_suffix(')'))
    {
        Some(inner) => (inner, "!"),
        None => (inner, ""),
    };
    // With the dot each name is a whole one; without it, the beginning of one.
    let (inner, is_whole) = match inner.strip_suffix("\\.") {
        Some(inner) if inner.ends_with(')') || !inner.contains('|') => (inner, true),
        _ => (inner, false),
    };
    let list = inner.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
    if list.is_none() && sign.is_empty() && inner.contains('|') {
        // Without brackets the first alone stands at the beginning.
        return None;
    }
    list.unwrap_or(inner)
        .split('|')
        .map(|name| {
            let (name, is_whole) = match name.strip_suffix("\\.") {
                Some(name) => (name, true),
                None => (name, is_whole),
            };
            let is_plain = !name.is_empty()
                && name
                    .chars()
                    .all(|one| one == '_' || one == '-' || one.is_alphanumeric());
            let rest = if is_whole { "" } else { "%" };
            is_plain.then(|| format!("{sign}{}{rest}", pattern_of(name)))
        })
        .collect()
}

/// A line of the conf.
pub(super) fn at(conf: &PybackupConf, line: usize) -> Place {
    Place {
        file: conf.file.clone(),
        line,
    }
}

pub(super) fn at_said<T>(conf: &PybackupConf, said: &Said<T>) -> Place {
    at(conf, said.line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regex_that_lists_databases_is_a_list() {
        for (regex, expected) in [
            ("^(shop|log_a)\\.", Some(vec!["shop", "log\\_a"])),
            ("^shop\\.", Some(vec!["shop"])),
            ("^(?!(mysql\\.|test\\.))", Some(vec!["!mysql", "!test"])),
            ("^(?!(mysql|test))", Some(vec!["!mysql%", "!test%"])),
            ("^(?!(mysql|sys)\\.)", Some(vec!["!mysql", "!sys"])),
            ("shop", None),
            ("^(sh.*)\\.", None),
            ("^shop\\.orders$", None),
            ("^(a|)\\.", None),
            ("^shop|orders", None),
            ("^shop\\.|test\\.", None),
            ("^(a)|(b)", None),
            ("^(?!mysql|test\\.)", Some(vec!["!mysql%", "!test"])),
            ("^(shop\\.|log)", Some(vec!["shop", "log%"])),
        ] {
            let expected = expected.map(|list| list.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(databases_of_regex(regex), expected, "{regex}");
        }
        assert_eq!(databases_of_tables("a_b.x, a_b.y,c.z"), ["a\\_b", "c"]);
    }
}
