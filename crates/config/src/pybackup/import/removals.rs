//! What removes sets, or marks them as removed: a retention job. In doubt it keeps more.

use super::dumps::Dump;
use super::find::Find;
use super::lost::{self, Lost};
use super::page::{Page, quoted};
use super::script::{Act, Found};
use super::word::{DAY_FORMAT, Word, is_place, tidy};
use super::{Entry, Place, Remark};
use mykeeper_domain::counted;
use std::collections::BTreeSet;

const DAY: u64 = 24 * 60;

/// All that there is to say of a removal that needs no job.
pub(super) const TODAYS_FOLDER: &str =
    "today's folder is not removed before a run: each set has a folder of its own in it";

/// What is kept of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// What is younger, in minutes, and the sets of these days of each month.
    Younger(u64, BTreeSet<u32>),
    /// All but the folder of the day so many days ago.
    AllButDay(u32),
}

/// What one line of a crontab removes from one folder.
#[derive(Clone)]
pub(super) struct Removal {
    /// The folder in which the days lie.
    pub(super) directory: String,
    rule: Rule,
    /// Whether it removes them; otherwise it only marks them.
    removes: bool,
    /// Where this stands.
    places: Vec<Place>,
    /// Why it is not certain that the script removes all that the job would.
    doubt: Option<String>,
}

impl Removal {
    /// Whether the job touches nothing that the script does not; otherwise that is said above it, which is commented
    /// out, and among the remarks.
    pub(super) fn warn(&self, page: &mut Page, name: &str, entry: &Entry) -> Option<Remark> {
        let doubt = self.doubt.as_ref()?;
        page.gap();
        page.remark(&format!("Commented out, since {doubt}."));
        page.remark("What to do: write it by hand, or take the \"# \" away from the lines below where that is wanted,");
        page.remark(&format!(
            "and read \"mykeeper retention {name} --dry-run\" before the daemon runs."
        ));
        let place = self.places.first().unwrap_or(&entry.place);
        let text = format!(
            "[retention.{name}] is written commented out, since {doubt}: write it by hand, or uncomment it where that is \
             wanted, and read \"mykeeper retention {name} --dry-run\" before the daemon runs"
        );
        Some(Remark::gap(place.clone(), text))
    }

    /// What the script has sent before it is removed, the jobs do not send.
    pub(super) fn doubt_that_sets_are_sent(&mut self, dest: &Place) {
        self.doubt.get_or_insert_with(|| {
            format!("where the sets are sent is not understood at {dest}, and the job would not wait until they are")
        });
    }

    /// What is made there without a job would be removed once it is old, and nothing would follow it.
    pub(super) fn doubt_that_sets_go_on(&mut self, lost: &Lost) {
        self.doubt.get_or_insert_with(|| lost.doubt());
    }

    /// What is not understood may make sets, change them, or change what is made: no removal stands beside it that runs.
    pub(super) fn doubt_beside(&mut self, open: &BTreeSet<Place>) {
        self.doubt = lost::doubt_beside(open, self.doubt.take());
    }

    /// Where it stands, each place once.
    pub(super) fn places(&self) -> Vec<Place> {
        let mut places = self.places.clone();
        places.sort();
        places.dedup();
        places
    }

    /// The job's own keys. `require` is what the newest set has to be that is never removed.
    pub(super) fn write(&self, page: &mut Page, require: Option<&str>) {
        let places = self.places();
        let source = places.iter().map(Place::to_string).collect::<Vec<_>>().join(", ");
        page.key("directory", quoted(&self.directory), &source);
        page.key("depth", quoted("day"), &source);
        let mut rules = match &self.rule {
            // A day's folder is as old as the newest set in it.
            Rule::Younger(minutes, spared) => {
                let minutes = minutes + DAY;
                let mut rules = vec![match minutes % DAY {
                    0 => format!("within = \"{}d\"", minutes / DAY),
                    _ => format!("within = \"{minutes}m\""),
                }];
                if !spared.is_empty() {
                    let days: Vec<String> = spared.iter().map(ToString::to_string).collect();
                    rules.push(format!("month_days = [{}]", days.join(", ")));
                }
                rules
            }
            Rule::AllButDay(days_ago) => vec![format!("all_but_day = {days_ago}")],
        };
        rules.push("failed = true".to_owned());
        page.key("keep", format!("{{ {} }}", rules.join(", ")), &source);
        let action = if self.removes { "delete" } else { "mark" };
        page.key("action", quoted(action), &source);
        if let Some(require) = require {
            page.key(
                "require",
                quoted(require),
                "the newest such set is kept, whatever `keep` says",
            );
        }
    }
}

/// Whether a line that only removes looks where sets are made.
pub(super) fn looks_into(entry: &Entry, dumps: &[Dump]) -> bool {
    let is_of_sets = |folder: &str| is_near(folder, dumps);
    entry.found.iter().any(|found| match &found.act {
        Act::Remove(word) => match word.found() {
            Some(find) => {
                (find.is_of_days() || find.takes_files_of_sets())
                    && find
                        .folders
                        .iter()
                        .filter_map(Word::text)
                        .any(|text| is_of_sets(&tidy(&text)))
            }
            None => {
                let text = word.text().filter(|text| !is_place(text));
                let folder = word.day_folder().map(|(folder, _)| folder).or(text);
                folder.is_some_and(|folder| is_of_sets(&folder))
            }
        },
        _ => true,
    })
}

/// Whether a path, which may be a pattern, is one of sets, is above them, or may be among them.
fn is_near(path: &str, dumps: &[Dump]) -> bool {
    let end = path.find(['*', '?', '[', '{']);
    let known = &path[..end.unwrap_or(path.len())];
    let folder = tidy(known);
    dumps.iter().any(|dump| {
        let directory = &dump.directory;
        match end {
            None => {
                *directory == folder || directory.starts_with(&format!("{}/", folder.trim_end_matches('/')))
            }
            Some(_) => directory.starts_with(&folder) || folder.starts_with(&format!("{directory}/")),
        }
    })
}

/// What a line removes that only removes, and that no call of pybackup's explains, though it looks like sets.
pub(super) fn looks_like_sets(entry: &Entry) -> Option<Remark> {
    let found = entry.found.iter().find(|found| match &found.act {
        Act::Remove(word) => match word.found() {
            Some(find) => {
                find.is_of_days() && (find.names_days() || find.shown.to_lowercase().contains("backup"))
            }
            None => word.day_folder().is_some(),
        },
        _ => false,
    })?;
    let text = "this removes folders of days, and nothing that is read here makes sets there: where they are sets, write \
                a retention job for them";
    Some(Remark::gap(found.place.clone(), text.to_owned()))
}

/// Lets no removal run of a line that only removes where nothing makes sets. What is said of it where no job comes of it.
pub(super) fn doubt_that_it_is_of_sets(entry: &mut Entry, dumps: &[Dump]) -> Option<(Place, Remark)> {
    let removes_alone = entry
        .found
        .iter()
        .all(|found| matches!(found.act, Act::Remove(_)));
    if !removes_alone || looks_into(entry, dumps) {
        return None;
    }
    let gap = looks_like_sets(entry)?;
    let doubt = "nothing that is read here makes sets there".to_owned();
    entry.doubt = Some(match entry.doubt.take() {
        Some(odd) => format!("{doubt}, and {odd}"),
        None => doubt,
    });
    Some((entry.place.clone(), gap))
}

/// What a line removes and marks, each rule of each folder once.
pub(super) fn read(entry: &Entry, dumps: &[Dump], remarks: &mut Vec<Remark>) -> Vec<Removal> {
    let mut removals: Vec<Removal> = Vec::new();
    let mut marks: Vec<(&Found, Word)> = Vec::new();
    for (index, found) in entry.found.iter().enumerate() {
        match &found.act {
            Act::Remove(word) if is_todays(word) => remarks.push(of_today(entry, index)),
            Act::Remove(word) => {
                add(&mut removals, of_word(word, (&found.place, true), dumps, remarks));
            }
            Act::Mark(words) if words.is_empty() => {
                let text = "what this marks cannot be told: no job is written for it".to_owned();
                remarks.push(Remark::gap(found.place.clone(), text));
            }
            Act::Mark(words) => marks.extend(
                words
                    .iter()
                    .map(|word| (found, word.below(found.folder.as_ref()))),
            ),
            _ => {}
        }
    }
    let is_removed = !removals.is_empty();
    for (found, word) in marks {
        // What is removed here is marked, too: mykeeper's own removal does both.
        let is_unknown = word.found().is_none() && word.day_folder().is_none() && word.text().is_none();
        if is_unknown && is_removed {
            let text = format!(
                "{} is not known before the script runs: it is taken for what is removed beside it, which the job marks, \
                 too",
                word.told()
            );
            remarks.push(Remark::note(found.place.clone(), text));
            let places = removals.iter_mut().map(|removal| &mut removal.places);
            places.for_each(|places| places.push(found.place.clone()));
            continue;
        }
        add(
            &mut removals,
            of_word(&word, (&found.place, false), dumps, remarks),
        );
    }
    for removal in &mut removals {
        // What the script is comes before what it removes.
        removal.doubt = match (&entry.doubt, removal.doubt.take()) {
            (Some(odd), Some(doubt)) => Some(format!("{odd}, and {doubt}")),
            (odd, doubt) => doubt.or_else(|| odd.clone()),
        };
    }
    removals.sort_by(|one, other| one.directory.cmp(&other.directory));
    removals
}

/// What is marked and what is removed, of one folder: the job that removes would pass over whatever the one that marks
/// has marked. By one rule they are one job; by two neither runs.
pub(super) fn reconcile(removals: &mut Vec<(usize, Removal)>) {
    let marks: Vec<Removal> = {
        let is_same = |mark: &Removal, other: &Removal| {
            other.removes && mark.directory == other.directory && mark.rule == other.rule
        };
        let mut merged = Vec::new();
        let all = std::mem::take(removals);
        let (deletes, marks): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, removal)| removal.removes);
        *removals = deletes;
        for (entry, mark) in marks {
            match removals.iter_mut().find(|(_, other)| is_same(&mark, other)) {
                Some((_, other)) => {
                    other.places.extend(mark.places.iter().cloned());
                    other.doubt = other.doubt.take().or_else(|| mark.doubt.clone());
                }
                None => {
                    merged.push(mark.clone());
                    removals.push((entry, mark));
                }
            }
        }
        merged
    };
    for mark in &marks {
        let mut of_folder: Vec<&mut Removal> = removals
            .iter_mut()
            .map(|(_, removal)| removal)
            .filter(|removal| removal.directory == mark.directory)
            .collect();
        if !of_folder.iter().any(|removal| removal.removes) {
            continue;
        }
        for removal in &mut of_folder {
            removal.doubt.get_or_insert_with(|| {
                format!(
                    "sets in {} are marked by one rule and removed by another, and a job that removes passes over what \
                     another has marked: write one job of both",
                    mark.directory
                )
            });
        }
    }
    removals.sort_by(|(entry, one), (other_entry, other)| {
        (entry, &one.directory).cmp(&(other_entry, &other.directory))
    });
}

fn add(removals: &mut Vec<Removal>, new: Vec<Removal>) {
    for removal in new {
        let same = removals
            .iter_mut()
            .find(|before| before.directory == removal.directory && before.rule == removal.rule);
        match same {
            Some(before) => {
                before.removes |= removal.removes;
                before.places.extend(removal.places);
                before.doubt = before.doubt.take().or(removal.doubt);
            }
            None => removals.push(removal),
        }
    }
}

/// Whether it is today's folder of sets.
fn is_todays(word: &Word) -> bool {
    let of_day = word.day_folder();
    of_day.is_some_and(|(folder, day)| is_place(&folder) && folder.len() > 1 && day.is_todays())
}

/// What is said of today's folder, which the script removes as the so manieth thing that it does.
fn of_today(entry: &Entry, index: usize) -> Remark {
    let (before, after) = entry.found.split_at(index);
    let makes = |found: &Found| matches!(found.act, Act::Dump(_));
    let place = entry.found[index].place.clone();
    if after.iter().any(makes) && !before.iter().any(makes) {
        return Remark::note(place, TODAYS_FOLDER.to_owned());
    }
    let text = "this removes today's folder, with what was made in it: no job is written for it, and the sets stay; write \
                [retention.NAME] with the `keep` that is wanted";
    Remark::gap(place, text.to_owned())
}

fn of_word(
    word: &Word,
    (place, removes): (&Place, bool),
    dumps: &[Dump],
    remarks: &mut Vec<Remark>,
) -> Vec<Removal> {
    let act = if removes { "removes" } else { "marks" };
    let mut gap = |why: String| {
        let text = format!("this {act} {}, {why}: no job is written for it", word.told());
        remarks.push(Remark::gap(place.clone(), text));
        Vec::new()
    };
    if let Some(find) = word.found() {
        return of_find(find, (place, removes), dumps, remarks);
    }
    if let Some((directory, day)) = word.day_folder() {
        if !is_place(&directory) || directory.len() < 2 {
            return gap("and in which folder cannot be told".to_owned());
        }
        if day.format != DAY_FORMAT {
            return gap(format!("and sets lie in folders that are called {DAY_FORMAT}"));
        }
        if day.days_ago == 0 {
            return gap("which is today's".to_owned());
        }
        let text = format!(
            "this {act} the folder of one day, {} before the run, and so does the job: what either has left on a day on \
             which it did not run stays; keep = {{ within = \"{}d\" }} in its place takes all that is older",
            counted(u64::from(day.days_ago), "day", "days"),
            day.days_ago
        );
        remarks.push(Remark::note(place.clone(), text));
        return vec![Removal {
            rule: Rule::AllButDay(day.days_ago),
            removes,
            places: vec![place.clone()],
            doubt: never_met(&directory, removes, dumps),
            directory,
        }];
    }
    match word.text() {
        // The same place each time: no set, unless all of them.
        Some(text)
            if (text.is_empty() || !is_near(&text, dumps))
                && (is_place(&tidy(&text)) || !dumps.is_empty())
                && removes =>
        {
            gap("where no sets are known to lie".to_owned())
        }
        _ => gap("and which sets that is cannot be told".to_owned()),
    }
}

/// Why nothing tells that the script's own sets go: they lie in no folders of days, or those are called otherwise.
fn never_met(directory: &str, removes: bool, dumps: &[Dump]) -> Option<String> {
    let mut others = dumps
        .iter()
        .filter(|dump| dump.directory == directory && !dump.is_by_day);
    let other = others.next()?;
    let act = if removes { "removes" } else { "marks" };
    Some(format!(
        "the sets that are made at {} lie in no folder that is called YYYY-MM-DD until now, and what the \
         script {act} may be none of them",
        other.place
    ))
}

fn of_find(
    find: &Find,
    (place, removes): (&Place, bool),
    dumps: &[Dump],
    remarks: &mut Vec<Remark>,
) -> Vec<Removal> {
    let act = if removes { "removes" } else { "marks" };
    if !find.is_of_days() {
        let text = match find.takes_files_of_sets() {
            true => format!(
                "{:?} takes the files out of sets and leaves their folders, which then look like damaged sets: remove \
                 this line, and write a retention job in its place",
                find.shown
            ),
            false => format!(
                "this {act} what {:?} finds, which are no folders of sets: no job is written for it",
                find.shown
            ),
        };
        remarks.push(Remark::gap(place.clone(), text));
        return Vec::new();
    }
    let spared = find.spares_others();
    let problem = if !find.strange.is_empty() {
        Some(format!("of which {:?} is not understood", find.strange.join(" ")))
    } else if find.removes_nothing() {
        Some("and -delete removes of folders the empty ones alone".to_owned())
    } else if !spared.is_empty() {
        Some(format!("which spares {:?}, and no rule does", spared.join(" ")))
    } else if find.older_minutes.is_none() {
        Some("whatever its age".to_owned())
    } else if find.folders.iter().any(|folder| {
        folder
            .text()
            .is_none_or(|text| !is_place(&tidy(&text)) || tidy(&text).len() < 2)
    }) || find.folders.is_empty()
    {
        Some("and in which folder is not known before it runs".to_owned())
    } else {
        None
    };
    if let Some(problem) = problem {
        let text = format!(
            "this {act} what {:?} finds, {problem}: no job is written for it",
            find.shown
        );
        remarks.push(Remark::gap(place.clone(), text));
        return Vec::new();
    }
    let younger = find.older_minutes.unwrap_or_default();
    let text = "this goes by the time of a day's folder, which is that of the newest set in it, and the job by when each \
                set was started: it keeps a day longer";
    remarks.push(Remark::note(place.clone(), text.to_owned()));
    let doubt = find.of_some_days().map(|names| {
        format!("the script {act} folders called {names} alone, and the job those of every day")
    });
    let doubt = doubt.or_else(|| {
        let names = find.spares_no_day()?;
        Some(format!(
            "the script spares folders called {names}, and no day is called so"
        ))
    });
    let unknown = |directory: &str| {
        let is_of_dump = dumps.iter().any(|dump| dump.directory == directory);
        let is_parent = dumps
            .iter()
            .any(|dump| dump.directory.starts_with(&format!("{directory}/")));
        let is_known = is_of_dump || find.names_days() && !is_parent;
        (!is_known).then(|| {
            format!(
                "whether the folders of days lie right in {directory} is not known; where it holds folders of hosts, each \
                 of these needs a job"
            )
        })
    };
    find.folders
        .iter()
        .filter_map(Word::text)
        .map(|directory| Removal {
            doubt: doubt
                .clone()
                .or_else(|| unknown(&tidy(&directory)))
                .or_else(|| never_met(&tidy(&directory), removes, dumps).filter(|_| find.has_names())),
            directory: tidy(&directory),
            rule: Rule::Younger(younger, find.spared()),
            removes,
            places: vec![place.clone()],
        })
        .collect()
}
