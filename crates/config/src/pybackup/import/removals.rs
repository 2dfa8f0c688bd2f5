//! What removes sets, or marks them as removed: a retention job. In doubt it keeps more.

use super::dumps::Dump;
use super::find::Find;
use super::page::{Page, quoted};
use super::script::Act;
use super::word::{DAY_FORMAT, Word, tidy};
use super::{Entry, Place, Remark};
use std::collections::BTreeMap;

const DAY: u64 = 24 * 60;

/// What one line of a crontab removes from one folder.
pub(super) struct Removal {
    /// The folder in which the days lie.
    pub(super) directory: String,
    /// Sets that are younger are kept: minutes.
    pub(super) younger: u64,
    /// So many are kept at least.
    pub(super) last: Option<u32>,
    /// One of each month is kept for ever.
    pub(super) monthly: bool,
    /// Whether it removes them; otherwise it only marks them.
    pub(super) removes: bool,
    /// Where this stands.
    pub(super) places: Vec<Place>,
}

impl Removal {
    /// Two rules for one folder keep what either keeps.
    fn join(&mut self, other: Self) {
        self.younger = self.younger.max(other.younger);
        self.last = self.last.max(other.last);
        self.monthly |= other.monthly;
        self.removes |= other.removes;
        self.places.extend(other.places);
    }

    /// Says above the job why it is commented out, and returns what a person is left to do.
    pub(super) fn warn(&self, page: &mut Page, name: &str, entry: &Entry) -> Remark {
        let directory = &self.directory;
        let does = if self.removes {
            "deletes"
        } else {
            "marks as deleted"
        };
        page.remark(&format!(
            "Commented out, since a job of mykeeper {does} other sets than the script does:"
        ));
        page.remark(&format!("- It judges every set below {directory}"));
        page.remark("  that the catalog knows, whatever made it and however old it is, not only");
        page.remark("  the folders that the script names; by when the set was started, not by its folder's name or time.");
        page.remark("- A set of this server's tag whose folder is not here, and that was sent nowhere, is marked as deleted,");
        page.remark("  also one that another host made under the same tag.");
        if self.monthly {
            page.remark(
                "- Of each month it keeps the newest set of each server and job, not that of the first day.",
            );
        }
        page.remark("What to do: give each server a tag of its own in mykeeper.toml, take the \"# \" away from the lines below,");
        page.remark(&format!(
            "read \"mykeeper retention {name} --dry-run\", and only then start the daemon."
        ));
        let place = self.places.first().unwrap_or(&entry.place);
        let text = format!(
            "[retention.{name}] is written commented out: it {does} every set below {directory} that its rules do not \
             keep, not only the folders that are named here; give each server a tag of its own, uncomment it, and read \
             \"mykeeper retention {name} --dry-run\" before the daemon runs"
        );
        Remark::gap(place.clone(), text)
    }

    /// The job's own keys. `require` is what the newest set has to be that is never removed.
    pub(super) fn write(&self, page: &mut Page, require: Option<&str>) {
        let mut places = self.places.clone();
        places.sort();
        places.dedup();
        let source = places.iter().map(Place::to_string).collect::<Vec<_>>().join(", ");
        page.key("directory", quoted(&self.directory), &source);
        let mut rules = Vec::new();
        if let Some(last) = self.last {
            rules.push(format!("last = {last}"));
        }
        rules.push(match self.younger % DAY {
            0 => format!("within = \"{}d\"", self.younger / DAY),
            _ => format!("within = \"{}m\"", self.younger),
        });
        if self.monthly {
            rules.push("monthly = \"all\"".to_owned());
        }
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
    let is_of_sets = |folder: &str| dumps.iter().any(|dump| folder == dump.directory);
    entry.found.iter().any(|found| match &found.act {
        Act::Remove(word) => match word.found() {
            Some(find) => {
                find.is_of_days()
                    && find
                        .folders
                        .iter()
                        .filter_map(Word::text)
                        .any(|text| is_of_sets(&tidy(&text)))
            }
            None => word.day_folder().is_some_and(|(folder, _)| is_of_sets(&folder)),
        },
        _ => true,
    })
}

/// What a line removes and marks, each folder once.
pub(super) fn read(entry: &Entry, dumps: &[Dump], remarks: &mut Vec<Remark>) -> Vec<Removal> {
    let mut removals: BTreeMap<String, Removal> = BTreeMap::new();
    let mut marks: Vec<(Place, Word)> = Vec::new();
    for found in &entry.found {
        match &found.act {
            Act::Remove(word) => {
                for removal in of_word(word, (&found.place, true), dumps, remarks) {
                    add(&mut removals, removal);
                }
            }
            Act::Mark(words) => marks.extend(
                words
                    .iter()
                    .map(|word| (found.place.clone(), word.below(found.folder.as_ref()))),
            ),
            _ => {}
        }
    }
    let is_removed = !removals.is_empty();
    for (place, word) in marks {
        // What is removed here is marked, too: mykeeper's own removal does both.
        let is_unknown = word.found().is_none() && word.day_folder().is_none();
        if is_unknown && is_removed {
            continue;
        }
        for removal in of_word(&word, (&place, false), dumps, remarks) {
            add(&mut removals, removal);
        }
    }
    removals.into_values().collect()
}

fn add(removals: &mut BTreeMap<String, Removal>, removal: Removal) {
    match removals.get_mut(&removal.directory) {
        Some(before) => before.join(removal),
        None => drop(removals.insert(removal.directory.clone(), removal)),
    }
}

fn of_word(
    word: &Word,
    (place, removes): (&Place, bool),
    dumps: &[Dump],
    remarks: &mut Vec<Remark>,
) -> Vec<Removal> {
    let act = if removes { "removes" } else { "marks" };
    let mut gap = |why: String| {
        let text = format!("this {act} {}, {why}: no job is written for it", word.shown());
        remarks.push(Remark::gap(place.clone(), text));
        Vec::new()
    };
    if let Some(find) = word.found() {
        return of_find(find, (place, removes), remarks);
    }
    if let Some((directory, day)) = word.day_folder() {
        if day.format != DAY_FORMAT {
            return gap(format!("and sets lie in folders that are called {DAY_FORMAT}"));
        }
        if day.days_ago == 0 {
            if removes {
                let text =
                    "today's folder is not removed before a run: each set has a folder of its own in it";
                remarks.push(Remark::note(place.clone(), text.to_owned()));
                return Vec::new();
            }
            return gap("which is today's".to_owned());
        }
        return vec![Removal {
            directory,
            younger: u64::from(day.days_ago) * DAY,
            last: Some(day.days_ago),
            monthly: false,
            removes,
            places: vec![place.clone()],
        }];
    }
    match word.text() {
        // The same place each time: no set, unless all of them.
        Some(text) if !dumps.iter().any(|dump| dump.directory.starts_with(&tidy(&text))) && removes => {
            Vec::new()
        }
        _ => gap("and which sets that is cannot be told".to_owned()),
    }
}

fn of_find(find: &Find, (place, removes): (&Place, bool), remarks: &mut Vec<Remark>) -> Vec<Removal> {
    let act = if removes { "removes" } else { "marks" };
    if !find.is_of_days() {
        let text = format!(
            "this {act} what {:?} finds, which are no folders of sets",
            find.shown
        );
        remarks.push(Remark::note(place.clone(), text));
        return Vec::new();
    }
    let spared = find.spares_others();
    let problem = if !find.strange.is_empty() {
        Some(format!("of which {:?} is not understood", find.strange.join(" ")))
    } else if !spared.is_empty() {
        Some(format!("which spares {:?}, and no rule does", spared.join(" ")))
    } else if find.older_minutes.is_none() {
        Some("whatever its age".to_owned())
    } else if find
        .folders
        .iter()
        .any(|folder| folder.text().is_none_or(|text| !text.starts_with('/')))
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
    if younger.is_multiple_of(DAY) && find.shown.contains("-mtime") {
        let text = format!(
            "-mtime +{} leaves what is younger than {} whole days, and so does the job",
            younger / DAY - 1,
            younger / DAY
        );
        remarks.push(Remark::note(place.clone(), text));
    }
    let years = find.years();
    if !years.is_empty() {
        let text = format!(
            "this {act} folders of {} alone, the job those of every year: look at what it would do, mykeeper retention \
             JOB --dry-run, before the daemon runs",
            years.join(" and ")
        );
        remarks.push(Remark::gap(place.clone(), text));
    }
    if find.spares_the_first() {
        let text = "the folder of the first of each month is spared here; the job keeps the newest set of each month, \
                    which is another one where more than that of the first is still there";
        remarks.push(Remark::note(place.clone(), text.to_owned()));
    }
    find.folders
        .iter()
        .filter_map(Word::text)
        .map(|directory| Removal {
            directory: tidy(&directory),
            younger,
            last: None,
            monthly: find.spares_the_first(),
            removes,
            places: vec![place.clone()],
        })
        .collect()
}
