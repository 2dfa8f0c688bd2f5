//! What has become of each line of the crontabs.

use super::lexical::Telling;
use super::page::Page;
use super::schedule::Written;
use super::script::{Reading, Told};
use super::{CronReport, Entry, Fate, Place, Remark, Script};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const SEE_GAPS: &str = "see what could not be translated";

/// A line that no job comes of, or one that some do, and what there is to say of it.
pub(super) struct OtherLine {
    pub(super) report: CronReport,
    pub(super) remarks: Vec<Remark>,
    /// What of it is not understood; it matters where the line names folders of sets.
    strange: Vec<Remark>,
    /// The command, as it stands.
    command: String,
    /// The scripts that it calls.
    pub(super) scripts: BTreeSet<PathBuf>,
    /// What must not be passed over, in it and in them.
    telling: Vec<(PathBuf, Telling)>,
    /// How much of that is told of, and where.
    told: Vec<(Place, usize)>,
    /// It may make sets, and nobody knows.
    pub(super) is_open: bool,
    /// All that it does is known, and is not about sets.
    pub(super) is_elsewhere: bool,
}

impl OtherLine {
    fn new(place: Place, fate: Fate, text: String, remarks: Vec<Remark>) -> Self {
        Self {
            report: CronReport { place, fate, text },
            remarks,
            strange: Vec::new(),
            command: String::new(),
            scripts: BTreeSet::new(),
            telling: Vec::new(),
            told: Vec::new(),
            is_open: false,
            is_elsewhere: false,
        }
    }

    /// Nothing of it is in the schedule, for what the remarks say.
    pub(super) fn not_understood(place: Place, remarks: Vec<Remark>) -> Self {
        Self::new(place, Fate::NotUnderstood, SEE_GAPS.to_owned(), remarks)
    }

    /// The same line, which calls these.
    fn calling(mut self, scripts: BTreeSet<PathBuf>) -> Self {
        self.scripts = scripts;
        self
    }

    /// The same line, in which this must not be passed over, and of which so much is told.
    fn holding(mut self, telling: Vec<(PathBuf, Telling)>, told: Vec<(Place, usize)>) -> Self {
        (self.telling, self.told) = (telling, told);
        self
    }

    /// A line that only removes, and not where sets are made.
    pub(super) fn of_entry(mut entry: Entry) -> Self {
        let (scripts, telling) = (entry.scripts, entry.telling);
        let (line, is_elsewhere) = (entry.otherwise.take(), entry.doubt.is_none());
        let mut line = line
            .unwrap_or_else(|| Self::left_alone(entry.place, entry.program).holding(telling, Vec::new()))
            .calling(scripts);
        line.is_elsewhere = is_elsewhere;
        line
    }

    /// Tells of what is not understood in it where it names one of these folders: it may move sets, or change them.
    pub(super) fn tell_of_sets(&mut self, folders: &BTreeSet<&str>, files: &dyn Fn(&Path) -> Option<Script>) {
        if self.strange.is_empty() || self.report.fate != Fate::LeftAlone {
            return;
        }
        let scripts = self.scripts.iter().filter_map(|path| files(path));
        let mut texts = std::iter::once(self.command.clone()).chain(scripts.map(|script| script.text));
        if texts.any(|text| folders.iter().any(|folder| names(&text, folder))) {
            self.remarks.append(&mut self.strange);
        }
    }

    /// What must not be passed over and is not told of.
    pub(super) fn untold(&self) -> Vec<Remark> {
        untold(&self.telling, &self.told)
    }

    pub(super) fn left_alone(place: Place, program: Option<String>) -> Self {
        let shown = program.filter(|program| !program.is_empty());
        let text = shown.map_or_else(
            || "nothing of backups is found in it".to_owned(),
            |program| format!("nothing of backups is found in what is read of it; it runs {program:?}"),
        );
        Self::new(place, Fate::LeftAlone, text, Vec::new())
    }

    /// A line in which nothing of pybackup's is found.
    pub(super) fn of(place: Place, command: &str, reading: Reading<'_>) -> Self {
        let (scripts, telling) = (reading.scripts.clone(), reading.telling.clone());
        if !reading.tools.is_empty() {
            let is_of_tools = |remark: &Remark| reading.tools.iter().any(|(place, _)| *place == remark.place);
            let remarks = reading.remarks.iter().filter(|remark| is_of_tools(remark));
            let remarks = remarks.cloned().collect();
            let told = told_of(&reading.told).into_iter();
            let told = told.filter(|(at, _)| reading.tools.iter().any(|(place, _)| place == at));
            return Self::not_understood(place, remarks)
                .calling(scripts)
                .holding(telling, told.collect());
        }
        let mut unread: Vec<&str> = reading.unread.iter().map(|(_, name)| name.as_str()).collect();
        unread.dedup();
        let text = if !unread.is_empty() {
            format!(
                "{unread:?} cannot be read, is no shell script, or is not followed; if it makes, checks or removes \
                 backups, write a job for it"
            )
        } else if ["backup", "dump"]
            .iter()
            .any(|word| command.to_lowercase().contains(word))
        {
            "nothing of pybackup's is found in what this line runs, or it cannot be read; if it makes, checks or removes \
             backups, write a job for it"
                .to_owned()
        } else {
            let mut line = Self::left_alone(place, reading.program)
                .calling(scripts)
                .holding(telling, Vec::new());
            let strange = reading.remarks.into_iter().filter(|remark| remark.is_gap);
            (line.strange, line.command) = (strange.collect(), command.to_owned());
            return line;
        };
        // That is said of the line as a whole.
        let told = vec![(place.clone(), usize::MAX)];
        let gap = Remark::gap(place.clone(), text);
        let remarks = reading.unclear.into_iter().chain([gap]).collect();
        let mut line = Self::not_understood(place, remarks)
            .calling(scripts)
            .holding(telling, told);
        line.is_open = true;
        line
    }
}

/// Whether a text names a folder, or something in it.
fn names(text: &str, folder: &str) -> bool {
    let is_of_name = |one: char| one.is_alphanumeric() || "_-./".contains(one);
    text.match_indices(folder).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + folder.len()..]);
        let begins = !before.chars().next_back().is_some_and(is_of_name);
        begins
            && after
                .chars()
                .next()
                .is_none_or(|next| next == '/' || !is_of_name(next))
    })
}

/// By place.
pub(super) fn told_of(told: &Told) -> Vec<(Place, usize)> {
    told.iter()
        .map(|((place, _, _), count)| (place.clone(), *count))
        .collect()
}

/// Of the lines that hold more than is told of them, what they hold: one thing that is understood hides no other.
pub(super) fn untold(telling: &[(PathBuf, Telling)], told: &[(Place, usize)]) -> Vec<Remark> {
    let mut lines: BTreeMap<(&PathBuf, (usize, usize)), Vec<&str>> = BTreeMap::new();
    for (file, telling) in telling {
        lines
            .entry((file, telling.lines))
            .or_default()
            .push(&telling.word);
    }
    let mut remarks = Vec::new();
    for ((file, (first, last)), words) in lines {
        let here = told
            .iter()
            .filter(|(place, _)| place.file == *file && (first..=last).contains(&place.line));
        let count = here.fold(0_usize, |sum, (_, count)| sum.saturating_add(*count));
        if count >= words.len() {
            continue;
        }
        let place = Place {
            file: file.clone(),
            line: first,
        };
        let shown: BTreeSet<String> = words.iter().map(|word| format!("{word:?}")).collect();
        let shown = shown.into_iter().collect::<Vec<_>>().join(", ");
        let text = match words.as_slice() {
            [_] => format!(
                "not understood: {shown} stands here, and no job is written for it; where it makes, checks or removes \
                 sets, write one"
            ),
            _ => format!(
                "not understood: of {shown}, which stand here, not all is translated; where the rest makes, checks or \
                 removes sets, write a job for it"
            ),
        };
        remarks.push(Remark::gap(place, text));
    }
    remarks
}

/// What has become of every line of the crontabs, in their order.
pub(super) fn lines(
    mut others: Vec<OtherLine>,
    entries: &[Entry],
    jobs: &[Written],
    remarks: &[Remark],
) -> Vec<CronReport> {
    let has_gaps = |place: &Place, scripts: &BTreeSet<PathBuf>| {
        let mut gaps = remarks.iter().filter(|remark| remark.is_gap);
        gaps.any(|gap| gap.place == *place || scripts.contains(&gap.place.file))
    };
    for other in &mut others {
        if other.report.fate == Fate::LeftAlone && has_gaps(&other.report.place, &other.scripts) {
            other.report.fate = Fate::NotUnderstood;
            other.report.text = SEE_GAPS.to_owned();
        }
    }
    for entry in entries {
        let shown = |job: &Written| match job.runs {
            true => format!("[{}]", job.name),
            false => format!("[{}], commented out", job.name),
        };
        let made: Vec<String> = jobs
            .iter()
            .filter(|job| job.entry == entry.place)
            .map(shown)
            .collect();
        let has_gaps = has_gaps(&entry.place, &entry.scripts)
            || entry.zone.is_some()
            || jobs.iter().any(|job| job.entry == entry.place && !job.runs);
        let (fate, text) = match (made.is_empty(), has_gaps) {
            (false, false) => (Fate::Translated, made.join(", ")),
            (false, true) => (Fate::InPart, made.join(", ")),
            (true, true) => (Fate::NotUnderstood, SEE_GAPS.to_owned()),
            (true, false) => {
                others.push(OtherLine::left_alone(entry.place.clone(), entry.program.clone()));
                continue;
            }
        };
        others.push(OtherLine::new(entry.place.clone(), fate, text, Vec::new()));
    }
    let mut lines: Vec<CronReport> = others.into_iter().map(|line| line.report).collect();
    lines.sort_by(|one, other| one.place.cmp(&other.place));
    lines
}

/// Remarks for people: what is said of several lines is said once, with all of them.
pub fn told_once<'r>(remarks: impl IntoIterator<Item = &'r Remark>) -> Vec<String> {
    let mut told: Vec<(&str, Vec<&Place>)> = Vec::new();
    for remark in remarks {
        match told.iter_mut().find(|(text, _)| *text == remark.text) {
            Some((_, places)) => places.push(&remark.place),
            None => told.push((&remark.text, vec![&remark.place])),
        }
    }
    let shown = |(text, places): (&str, Vec<&Place>)| {
        let mut shown = String::new();
        let mut last: Option<&Place> = None;
        for place in places {
            match last.replace(place) {
                None => shown.push_str(&place.to_string()),
                Some(last) if last.file == place.file => shown.push_str(&format!(", {}", place.line)),
                Some(_) => shown.push_str(&format!(", {place}")),
            }
        }
        format!("{shown}: {text}")
    };
    told.into_iter().map(shown).collect()
}

/// The end of the schedule: what a person should look at.
pub(super) fn write(page: &mut Page, remarks: &[Remark], lines: &[CronReport]) {
    page.gap();
    for (is_gap, title) in [
        (true, "Could not be translated:"),
        (false, "Left out, or otherwise than it was:"),
    ] {
        let of_kind: Vec<&Remark> = remarks.iter().filter(|remark| remark.is_gap == is_gap).collect();
        if !of_kind.is_empty() {
            page.gap();
            page.remark(title);
            let told = told_once(of_kind);
            told.iter().for_each(|line| page.remark(&format!("  {line}")));
        }
    }
    if !lines.is_empty() {
        page.gap();
        page.remark("What has become of each line of the crontab:");
        for line in lines {
            page.remark(&format!(
                "  {}: {}: {}",
                line.place,
                line.fate.as_str(),
                line.text
            ));
        }
    }
}
