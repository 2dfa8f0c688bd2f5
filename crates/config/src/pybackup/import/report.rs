//! What has become of each line of the crontabs.

use super::page::Page;
use super::schedule::Written;
use super::script::Reading;
use super::{CronReport, Entry, Fate, Place, Remark};

/// A line that no job comes of, or one that some do, and what there is to say of it.
pub(super) struct OtherLine {
    pub(super) report: CronReport,
    pub(super) remarks: Vec<Remark>,
}

impl OtherLine {
    fn new(place: Place, fate: Fate, text: String, remarks: Vec<Remark>) -> Self {
        let report = CronReport { place, fate, text };
        Self { report, remarks }
    }

    /// Nothing of it is in the schedule, for what the remarks say.
    pub(super) fn not_understood(place: Place, remarks: Vec<Remark>) -> Self {
        let text = "see what could not be translated".to_owned();
        Self::new(place, Fate::NotUnderstood, text, remarks)
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
        if !reading.tools.is_empty() {
            let is_of_tools = |remark: &Remark| reading.tools.iter().any(|(place, _)| *place == remark.place);
            let remarks = reading.remarks.into_iter().filter(is_of_tools).collect();
            return Self::not_understood(place, remarks);
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
            return Self::left_alone(place, reading.program);
        };
        Self::not_understood(place.clone(), vec![Remark::gap(place, text)])
    }
}

/// Every line of the crontabs, in their order.
pub(super) fn lines(
    mut others: Vec<OtherLine>,
    entries: &[Entry],
    jobs: &[Written],
    remarks: &[Remark],
) -> Vec<OtherLine> {
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
        let is_of_entry = |remark: &&Remark| {
            remark.place == entry.place || entry.found.iter().any(|found| found.place == remark.place)
        };
        let has_gaps = remarks
            .iter()
            .filter(is_of_entry)
            .chain(&entry.remarks)
            .any(|remark| remark.is_gap);
        let (fate, text) = match (made.is_empty(), has_gaps) {
            (false, false) => (Fate::Translated, made.join(", ")),
            (false, true) => (Fate::InPart, made.join(", ")),
            (true, true) => (Fate::NotUnderstood, "see what could not be translated".to_owned()),
            (true, false) => {
                others.push(OtherLine::left_alone(entry.place.clone(), entry.program.clone()));
                continue;
            }
        };
        others.push(OtherLine::new(entry.place.clone(), fate, text, Vec::new()));
    }
    others.sort_by(|one, other| one.report.place.cmp(&other.report.place));
    others
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
