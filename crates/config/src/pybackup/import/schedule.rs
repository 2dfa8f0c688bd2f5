//! `schedule.toml`: what happens when.

use super::dumps::{Dump, at, at_said};
use super::lost::Lost;
use super::page::{Page, list, quoted};
use super::removals::{self, Removal};
use super::script::{Act, Found};
use super::unknown::{CONF_OF_ITS_OWN, names_other_conf, other_conf};
use super::{Entry, ImportFrom, Place, Remark, keeper};
use std::collections::BTreeSet;

/// pybackup tries sets of the last month.
const WITHIN: &str = "31d";
/// When sets are sent that did not arrive at once.
const CATCH_UP: &str = "*/30 * * * *";
const CATCH_UP_SAYS: &str =
    "pybackup tries three times more, and never again; what has not arrived by then is sent by this.";

/// What whoever reads rows and folders of sets has to know.
const OTHER_SHAPE: &str = "sets of a job look otherwise than those of the command line: bk_dir is the set's own folder, \
                           <directory>/<YYYY-MM-DD>/<bk_id>, in which with consistency = \"all\" the files of all databases \
                           lie beside one another; remote_dest is the destination's URL, and bk_command what mydumper was \
                           given; pybackup's own validate-backup on another host proves none of these";

/// Whether a line of a crontab runs on each day, as far as is seen at once.
fn is_daily(when: &str) -> bool {
    let fields: Vec<&str> = when.split_whitespace().collect();
    match fields.as_slice() {
        [nickname] => ["@daily", "@midnight", "@hourly"].contains(nickname),
        [_, _, days @ ..] => days.iter().all(|field| *field == "*"),
        [] => false,
    }
}

/// Writes the file but for the remarks at its end; which jobs there are.
pub(super) fn write(
    from: &ImportFrom<'_>,
    entries: &[Entry],
    (dumps, lost, open): (&[Dump], &[Lost], &BTreeSet<Place>),
    remarks: &mut Vec<Remark>,
) -> Schedule {
    let mut page = Page::default();
    page.remark("schedule.toml: what happens when. What exists stands in mykeeper.toml.");
    page.remark("\"mykeeper config example\" tells of every key; \"mykeeper jobs --next 5\" of the times that come of it.");
    page.gap();
    page.key(
        "timezone",
        quoted(from.zone.name()),
        "this host's zone, which is cron's",
    );
    let mut jobs = Jobs {
        from,
        dumps,
        page,
        written: Vec::new(),
        names: Vec::new(),
    };
    if from.crontabs.is_empty() {
        let text = "no crontab was given: there are no jobs; give --crontab, or write them";
        remarks.push(Remark::gap(at(from.conf, 1), text.to_owned()));
    }
    for entry in entries {
        for dump in dumps.iter().filter(|dump| dump.entry == entry.place) {
            let server = keeper::server_name(from.conf, dumps, dump);
            let name = jobs.name(&server);
            jobs.begin("backup", &name, entry);
            jobs.come_from([&[dump.place.clone()][..], &dump.again].concat());
            dump.write(&mut jobs.page, from, &server, remarks);
        }
    }
    for entry in entries {
        for found in &entry.found {
            jobs.write_other(entry, found, remarks);
        }
    }
    let added = jobs.write_catch_up(entries, remarks);
    let mut all = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let of_entry = removals::read(entry, dumps, remarks);
        all.extend(of_entry.into_iter().map(|removal| (at, removal)));
    }
    removals::reconcile(&mut all);
    for (_, removal) in &mut all {
        if let Some(lost) = lost.iter().find(|lost| lost.may_lie_in(&removal.directory)) {
            removal.doubt_that_sets_go_on(lost);
        }
        removal.doubt_beside(open);
    }
    if let Some(line) = from.conf.unusable_dest {
        let sent = all.iter_mut().map(|(_, removal)| removal);
        let is_sent = |removal: &&mut Removal| {
            dumps
                .iter()
                .any(|dump| dump.sends && dump.directory == removal.directory)
        };
        sent.filter(is_sent)
            .for_each(|removal| removal.doubt_that_sets_are_sent(&at(from.conf, line)));
    }
    for (at, entry) in entries.iter().enumerate() {
        for (_, removal) in all.iter().filter(|(of, _)| *of == at) {
            let name = jobs.name("prune");
            let doubt = removal.warn(&mut jobs.page, &name, entry);
            jobs.page.comment_out(doubt.is_some());
            match doubt {
                Some(doubt) => {
                    remarks.push(doubt);
                    jobs.head("retention", &name, entry);
                }
                None => jobs.begin("retention", &name, entry),
            }
            jobs.come_from(removal.places());
            let sends = dumps
                .iter()
                .any(|dump| dump.sends && dump.directory == removal.directory);
            let makes = dumps.iter().any(|dump| dump.directory == removal.directory);
            // A host that receives sets proves them, too.
            let require = match (sends && from.conf.rsync.is_some(), makes) {
                (true, _) => Some("transferred"),
                (false, true) => Some("complete"),
                (false, false) => None,
            };
            removal.write(&mut jobs.page, require);
            jobs.page.comment_out(false);
        }
    }
    if !dumps.is_empty() {
        remarks.push(Remark::note(at(from.conf, 1), OTHER_SHAPE.to_owned()));
    }
    Schedule {
        page: jobs.page,
        jobs: jobs.written,
        added,
    }
}

/// What is written.
pub(super) struct Schedule {
    pub(super) page: Page,
    pub(super) jobs: Vec<Written>,
    /// Jobs that run and come of no line of a crontab.
    pub(super) added: usize,
}

/// A job of the file.
pub(super) struct Written {
    /// The line of the crontab that it comes from.
    pub(super) entry: Place,
    /// `retention.prune`
    pub(super) name: String,
    /// Whether it runs; otherwise it is commented out.
    pub(super) runs: bool,
    /// What it stands for.
    pub(super) places: Vec<Place>,
}

/// The names of those that remove.
pub(super) fn removing(jobs: &[Written]) -> Vec<String> {
    let running = jobs.iter().filter(|job| job.runs);
    let names = running.filter_map(|job| job.name.strip_prefix("retention."));
    names.map(str::to_owned).collect()
}

struct Jobs<'a> {
    from: &'a ImportFrom<'a>,
    dumps: &'a [Dump],
    page: Page,
    written: Vec<Written>,
    /// Names that are taken, whatever the kind, also by jobs that are commented out.
    names: Vec<String>,
}

impl Jobs<'_> {
    /// A name that no job has, from now on taken.
    fn name(&mut self, name: &str) -> String {
        let name = std::iter::once(name.to_owned())
            .chain((2..).map(|number| format!("{name}-{number}")))
            .find(|name| !self.names.contains(name))
            .unwrap_or_default();
        self.names.push(name.clone());
        name
    }

    /// A job that runs.
    fn begin(&mut self, kind: &str, name: &str, entry: &Entry) {
        self.head(kind, name, entry);
        if let Some(written) = self.written.last_mut() {
            written.runs = true;
        }
    }

    /// `[kind.name]` with its time.
    fn head(&mut self, kind: &str, name: &str, entry: &Entry) {
        self.page.section(&format!("{kind}.{name}"), &entry.place);
        self.written.push(Written {
            entry: entry.place.clone(),
            name: format!("{kind}.{name}"),
            runs: false,
            places: Vec::new(),
        });
        self.page.key("cron", quoted(&entry.when), &entry.place);
        if let Some(zone) = entry.zone {
            self.page.key(
                "timezone",
                quoted(zone.name()),
                format!("{}: CRON_TZ", entry.place.file.display()),
            );
        }
    }

    /// What the job that is being written stands for.
    fn come_from(&mut self, places: Vec<Place>) {
        if let Some(written) = self.written.last_mut() {
            written.places = places;
        }
    }

    /// What sends sets that did not arrive at once, where no line of the crontab is for that each day. Gives how many jobs that
    /// makes, which are not counted as one of theirs.
    fn write_catch_up(&mut self, entries: &[Entry], remarks: &mut Vec<Remark>) -> usize {
        let conf = self.from.conf;
        let sends = self.dumps.iter().any(|dump| dump.sends);
        let is_daily = |place: &Place| {
            let mut entries = entries.iter();
            entries.any(|entry| entry.place == *place && is_daily(&entry.when))
        };
        let is_served = |written: &Written| {
            written.runs && written.name.starts_with("transfer.") && is_daily(&written.entry)
        };
        let Some(rsync) = conf.rsync.as_ref().filter(|_| sends) else {
            return 0;
        };
        if self.written.iter().any(is_served) {
            return 0;
        }
        let name = self.name("catch-up");
        let place = at(conf, rsync.line);
        self.page.section(&format!("transfer.{name}"), &place);
        self.page.remark(CATCH_UP_SAYS);
        self.page.key(
            "cron",
            quoted(CATCH_UP),
            "pybackup has nothing of the kind: two times in each hour",
        );
        self.page.key("destination", quoted(keeper::DESTINATION), &place);
        let text = format!(
            "[transfer.{name}] is added, which sends every half hour, also by day, what has not arrived; `bandwidth_limit` of \
             the destination bounds it, and another `cron` says when"
        );
        remarks.push(Remark::note(place, text));
        1
    }

    fn write_other(&mut self, entry: &Entry, found: &Found, remarks: &mut Vec<Remark>) {
        let conf = self.from.conf;
        let gap = |text: &str| Remark::gap(found.place.clone(), text.to_owned());
        if matches!(found.act, Act::Validate(_) | Act::Send(_))
            && let Some(gap) = found.is_conditional().or_else(|| found.asks_for_others(None))
        {
            return remarks.push(gap);
        }
        if matches!(found.act, Act::Validate(_) | Act::Send(_))
            && let Some(other) = other_conf(self.from, found)
        {
            let is_gap = other.is_gap;
            remarks.push(other);
            if is_gap {
                return;
            }
        }
        if matches!(found.act, Act::Validate(_) | Act::Send(_)) {
            remarks.extend(found.passed_over());
        }
        if let Act::Validate(words) | Act::Send(words) = &found.act
            && names_other_conf(words, &conf.file)
        {
            return remarks.push(gap(CONF_OF_ITS_OWN));
        }
        match &found.act {
            Act::Validate(words) => {
                if words.iter().any(|word| word.shown().starts_with("--bk")) {
                    return remarks.push(gap(
                        "one set is tried each time; run mykeeper validate --bk-id ID for that",
                    ));
                }
                let name = self.name("prove");
                self.begin("validation", &name, entry);
                self.come_from(vec![found.place.clone()]);
                self.page.key(
                    "select",
                    quoted("random"),
                    "pybackup's way; \"newest\" proves the newest first",
                );
                self.page.key("within", quoted(WITHIN), "pybackup's way");
                match conf.validate.first() {
                    Some(first) => {
                        let tags = conf.validate.iter().map(|said| said.value.clone());
                        let more = keeper::more_tags(conf, self.dumps);
                        self.page
                            .key("tags", list(tags.chain(more)), at_said(conf, first));
                    }
                    None => remarks.push(gap(
                        "the conf has no [Validate] bk_list: sets of every tag are proven",
                    )),
                }
            }
            Act::Send(_) if conf.rsync.is_some() => {
                let name = self.name("catch-up");
                self.begin("transfer", &name, entry);
                self.come_from(vec![found.place.clone()]);
                self.page
                    .key("destination", quoted(keeper::DESTINATION), &found.place);
                remarks.push(Remark::note(
                    found.place.clone(),
                    "the job sends every complete set that has not arrived, not one folder".to_owned(),
                ));
            }
            Act::Send(_) => remarks.push(gap("the conf has no usable [rsync]: no job is written for this")),
            Act::Dump(_) | Act::Mark(_) | Act::Remove(_) => {}
        }
    }
}
