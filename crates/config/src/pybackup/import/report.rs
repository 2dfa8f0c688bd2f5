//! What has become of each line of the crontabs.

use super::lexical::Telling;
use super::page::Page;
use super::removals::TODAYS_FOLDER;
use super::schedule::Written;
use super::script::Reading;
use super::{CronReport, Entry, Fate, Place, Remark};
use std::collections::BTreeSet;
use std::path::PathBuf;

const SEE_GAPS: &str = "see what could not be translated";

/// A line that no job comes of, or one that some do, and what there is to say of it.
pub(super) struct OtherLine {
    pub(super) report: CronReport,
    pub(super) remarks: Vec<Remark>,
    /// The scripts that it calls.
    pub(super) scripts: BTreeSet<PathBuf>,
}

impl OtherLine {
    fn new(place: Place, fate: Fate, text: String, remarks: Vec<Remark>) -> Self {
        Self {
            report: CronReport { place, fate, text },
            remarks,
            scripts: BTreeSet::new(),
        }
    }

    /// Nothing of it is in the schedule, for what the remarks say.
    pub(super) fn not_understood(place: Place, remarks: Vec<Remark>) -> Self {
        Self::new(place, Fate::NotUnderstood, SEE_GAPS.to_owned(), remarks)
    }

    /// The same line, which calls these.
    pub(super) fn calling(mut self, scripts: BTreeSet<PathBuf>) -> Self {
        self.scripts = scripts;
        self
    }

    pub(super) fn left_alone(place: Place, program: Option<String>) -> Self {
        let shown = program.filter(|program| !program.is_empty());
        let text = shown.map_or_else(
            || "nothing of backups is found in it".to_owned(),
            |program| format!("nothing of backups is found in what {program:?} does here"),
        );
        Self::new(place, Fate::LeftAlone, text, Vec::new())
    }

    /// A line in which nothing of pybackup's is found.
    pub(super) fn of(place: Place, command: &str, reading: Reading<'_>) -> Self {
        let scripts = reading.scripts.clone();
        if !reading.tools.is_empty() {
            let is_of_tools = |remark: &Remark| reading.tools.iter().any(|(place, _)| *place == remark.place);
            let remarks = reading.remarks.into_iter().filter(is_of_tools).collect();
            return Self::not_understood(place, remarks).calling(scripts);
        }
        let unread: Vec<&str> = reading.unread.iter().map(|(_, name)| name.as_str()).collect();
        let text = if !unread.is_empty() {
            format!(
                "{unread:?} cannot be read, or is no shell script; if it makes, checks or removes backups, write a job \
                 for it"
            )
        } else if command.to_lowercase().contains("backup") {
            "nothing of pybackup's is found in what this line runs, or it cannot be read; if it makes, checks or removes \
             backups, write a job for it"
                .to_owned()
        } else {
            return Self::left_alone(place, reading.program).calling(scripts);
        };
        Self::not_understood(place.clone(), vec![Remark::gap(place, text)])
    }
}

/// What of the lines that must not be passed over nobody has told of, and no job stands for.
pub(super) fn untold(telling: &[(PathBuf, Telling)], jobs: &[Written], remarks: &[Remark]) -> Vec<Remark> {
    let told = remarks
        .iter()
        .filter(|remark| remark.is_gap || remark.text == TODAYS_FOLDER)
        .map(|remark| &remark.place);
    let told: Vec<&Place> = told.chain(jobs.iter().flat_map(|job| &job.places)).collect();
    let is_told = |file: &PathBuf, (first, last): (usize, usize)| {
        told.iter()
            .any(|place| place.file == *file && (first..=last).contains(&place.line))
    };
    telling
        .iter()
        .filter(|(file, line)| !is_told(file, line.lines))
        .map(|(file, line)| {
            let place = Place {
                file: file.clone(),
                line: line.lines.0,
            };
            let text = format!(
                "not understood: {:?} stands here, and no job is written for it; where it makes, checks or removes \
                 sets, write one",
                line.word
            );
            Remark::gap(place, text)
        })
        .collect()
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
            of_kind
                .iter()
                .for_each(|remark| page.remark(&format!("  {remark}")));
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
