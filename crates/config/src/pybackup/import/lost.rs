//! Sets that are made and of which no job comes: what removes by age in their folder would remove the last of them.

use super::dumps::Dump;
use super::report::told_of;
use super::script::{Act, Found, Reading};
use super::word::{Piece, Word, tidy};
use super::{Entry, ImportFrom, Place};
use mykeeper_domain::counted;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// So many lines are named that hold a removal back; the remarks name all.
const MOST_SHOWN: usize = 10;

/// Sets without a job.
pub(super) struct Lost {
    /// Where they are made.
    pub(super) place: Place,
    /// What they lie in; `None` may be any folder.
    folders: Option<Vec<String>>,
    /// Whether sets are made there at all; otherwise they may be.
    is_certain: bool,
}

impl Lost {
    /// Why nothing that removes sets is a job: a subordinate clause.
    pub(super) fn doubt(&self) -> String {
        match self.is_certain {
            true => format!("no job is written for the sets that are made at {}", self.place),
            false => format!(
                "what is done at {} is not followed, and may make sets of which no job comes",
                self.place
            ),
        }
    }

    /// Whether they may lie in this folder.
    pub(super) fn may_lie_in(&self, directory: &str) -> bool {
        let is_below = |one: &str, other: &str| one.starts_with(&format!("{}/", other.trim_end_matches('/')));
        let Some(folders) = &self.folders else {
            return true;
        };
        folders
            .iter()
            .any(|folder| folder == directory || is_below(folder, directory) || is_below(directory, folder))
    }
}

/// The doubt that there is, with what is not understood besides: a subordinate clause.
pub(super) fn doubt_beside(open: &BTreeSet<Place>, before: Option<String>) -> Option<String> {
    let told = before.as_deref().unwrap_or_default();
    let names = |place: &Place| told.split([' ', ',']).any(|word| word == place.to_string());
    let untold: Vec<String> = open
        .iter()
        .filter(|place| !names(place))
        .map(ToString::to_string)
        .collect();
    if untold.is_empty() {
        return before;
    }
    let more = match untold.len().saturating_sub(MOST_SHOWN) {
        0 => String::new(),
        more => format!(" and {}", counted(more as u64, "other line", "other lines")),
    };
    let doubt = format!(
        "what is done at {}{more} is not understood, or not followed, and may make sets or change what is made",
        untold[..untold.len().min(MOST_SHOWN)].join(", ")
    );
    Some(match before {
        Some(before) => format!("{before}, and {doubt}"),
        None => doubt,
    })
}

/// The calls of which no job comes.
pub(super) fn of_entries(entries: &[Entry], dumps: &[Dump]) -> Vec<Lost> {
    let found = entries.iter().flat_map(|entry| &entry.found);
    let places = places_without_job(entries, dumps);
    let calls = found.filter(|found| places.contains(&found.place));
    calls.filter_map(of_call).collect()
}

/// The lines of which fewer jobs come than calls are made there: which of them is lost is all the same.
pub(super) fn places_without_job(entries: &[Entry], dumps: &[Dump]) -> BTreeSet<Place> {
    let mut calls: BTreeMap<&Place, usize> = BTreeMap::new();
    let found = entries.iter().flat_map(|entry| &entry.found);
    for call in found.filter(|found| matches!(found.act, Act::Dump(_))) {
        *calls.entry(&call.place).or_default() += 1;
    }
    let jobs = |place: &Place| {
        let of_dump = |dump: &Dump| {
            let again = dump.again.iter().filter(|again| *again == place);
            usize::from(dump.place == *place) + again.count()
        };
        dumps.iter().map(of_dump).sum::<usize>()
    };
    let lost = calls.into_iter().filter(|(place, calls)| jobs(place) < *calls);
    lost.map(|(place, _)| place.clone()).collect()
}

/// What pybackup is called for here, where it makes sets.
pub(super) fn of_call(found: &Found) -> Option<Lost> {
    let Act::Dump(words) = &found.act else { return None };
    Some(Lost {
        place: found.place.clone(),
        folders: folder_of(found, words).map(|folder| vec![folder]),
        is_certain: true,
    })
}

/// What is made by other tools, by calls that are told of and not followed, and perhaps by what cannot be read.
pub(super) fn of_reading(from: &ImportFrom<'_>, reading: &Reading<'_>) -> Vec<Lost> {
    let line = |place: &Place| line_at(from, place);
    let of_tools = reading.tools.iter().map(|(place, _)| Lost {
        place: place.clone(),
        folders: line(place).and_then(|line| paths_in(&line)),
        is_certain: true,
    });
    let hidden = hidden_calls(reading).into_iter().map(|place| Lost {
        // Nothing tells what of it is the folder, or that it is all.
        folders: line(&place)
            .filter(|line| !line.contains(['%', '+', '{']))
            .and_then(|line| paths_in(&line))
            .filter(|paths| !paths.is_empty()),
        place,
        is_certain: false,
    });
    let blind = reading.blind.iter().map(|place| Lost {
        place: place.clone(),
        folders: None,
        is_certain: false,
    });
    of_tools.chain(hidden).chain(blind).collect()
}

/// The lines that hold more calls which may make sets than are understood there.
fn hidden_calls(reading: &Reading<'_>) -> Vec<Place> {
    let mut lines: BTreeMap<(&PathBuf, (usize, usize)), usize> = BTreeMap::new();
    for (file, telling) in reading.telling.iter().filter(|(_, telling)| telling.makes) {
        *lines.entry((file, telling.lines)).or_default() += 1;
    }
    let made = told_of(&reading.made);
    let is_hidden = |file: &PathBuf, (first, last): (usize, usize), calls: usize| {
        let here = made
            .iter()
            .filter(|(place, _)| place.file == *file && (first..=last).contains(&place.line));
        here.map(|(_, count)| count).sum::<usize>() < calls
    };
    let hidden = lines
        .into_iter()
        .filter(|((file, lines), calls)| is_hidden(file, *lines, *calls));
    let place = |((file, (line, _)), _): ((&PathBuf, _), _)| Place {
        file: file.clone(),
        line,
    };
    hidden.map(place).collect()
}

/// What a call's sets lie in.
fn folder_of(found: &Found, words: &[Word]) -> Option<String> {
    let named = words.iter().find_map(|word| word.after("outputdir="));
    let named = match named {
        Some(named) => named.below(found.folder.as_ref()),
        None => found.folder.clone()?,
    };
    known_folder(&named)
}

/// The folder down to what is not known beforehand.
fn known_folder(word: &Word) -> Option<String> {
    let Some(Piece::Text(text)) = word.0.first() else {
        return None;
    };
    let known = match word.0.len() {
        1 => text.as_str(),
        _ => text.rsplit_once('/')?.0,
    };
    let folder = tidy(known);
    (folder.starts_with('/') && folder.len() > 1).then_some(folder)
}

/// A line with those that it goes on in.
fn line_at(from: &ImportFrom<'_>, place: &Place) -> Option<String> {
    let crontab = from.crontabs.iter().find(|(path, _)| *path == place.file);
    let script = || (from.files)(Path::new(&place.file)).map(|script| script.text);
    let text = crontab.map(|(_, text)| text.clone()).or_else(script)?;
    let mut whole = String::new();
    for line in text.lines().skip(place.line.checked_sub(1)?) {
        whole.push_str(line.trim_end_matches('\\'));
        whole.push(' ');
        if !line.ends_with('\\') {
            break;
        }
    }
    Some(whole)
}

/// The paths that a command names; `None` where it may write to others.
fn paths_in(line: &str) -> Option<Vec<String>> {
    let mut targets = line.split('>').skip(1).map(str::trim_start);
    let is_relative = |target: &str| !target.is_empty() && !target.starts_with(['/', '&', '"', '\'']);
    if line.contains(['$', '`', '~']) || targets.any(is_relative) {
        return None;
    }
    let words = line.split(|one: char| one.is_whitespace() || "'\"=><;|&(),".contains(one));
    // Of a pattern what stands before it.
    let known = |word: &str| match word.find(['*', '?', '[', '{']) {
        Some(end) => tidy(word[..end].rsplit_once('/').map_or("", |(folder, _)| folder)),
        None => tidy(word),
    };
    Some(words.filter(|word| word.starts_with('/')).map(known).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_tool_may_write_is_what_its_line_names() {
        for (line, directory, expected) in [
            ("mysqldump -A > /data/bk/x.sql", "/data/bk", true),
            ("mysqldump -A | gzip >'/data/bk/x/y.gz' 2>&1", "/data/bk", true),
            ("xtrabackup --target-dir=/data/bk", "/data/bk", true),
            ("mysqldump -A > /data/x.sql", "/data/bk", false),
            ("mysqldump -A > $X/x.sql", "/data/bk", true),
            ("mysqldump -A > x.sql", "/data/bk", true),
            ("mysqldump -A >> /data/bk2/x 2>>/dev/null", "/data/bk", false),
            ("mysqldump x", "/data/bk", false),
            ("5 4 * * * mysqldump x > /c/x", "/data/bk", false),
            ("gzip /data/bk/20*/x.sql", "/data/bk", true),
        ] {
            let lost = Lost {
                place: Place::default(),
                folders: paths_in(line),
                is_certain: true,
            };
            assert_eq!(lost.may_lie_in(directory), expected, "{line}");
        }
    }
}
