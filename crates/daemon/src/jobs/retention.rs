//! Marks or removes what the policy condemns: planned, marked `deleting`, removed, marked deleted.
//!
//! What an earlier pass has begun to remove is finished, whatever the policy says now. Where it has only marked a set,
//! the set is judged anew, and the mark taken back when a rule keeps it.

mod carry_out;
mod changed;
mod done;
mod due;
mod here;
mod left;
mod marks;
mod owed;
mod places;
mod unmounted;
mod unseen;

use super::{JobError, JobResult, RunContext};
use crate::copies::Known;
use crate::covered;
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::locate::original;
use crate::machine::{Machine, is_of_here, may_be_original};
use crate::removal::{Standing, standing};
use crate::right_clock::{WrongClock, wrong_clock};
use crate::set_lease::sets_in_use;
use carry_out::{Gone, Removal, condemn, give_back, tidy};
use changed::{find_changed, forget_uncovered, what_waits};
use chrono::NaiveDate;
use done::Done;
use here::{SetHere, sets_here};
use marks::{is_marked_by, is_marked_elsewhere, mark_of, places_of_mark, told_of_stray};
use mykeeper_config::Settings;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::job::{Job, RetentionAction, RetentionTask};
use mykeeper_domain::retention::{
    CondemnReason, Context, Decision, DueDays, KeepReason, Verdict, plan_retention,
};
use mykeeper_domain::{BackupId, counted};
use owed::{Owed, kept_as_only_whole, kept_as_owed};
use places::{day_of, is_damaged_here};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use unmounted::{Seen, note_seen};
use unseen::{keep_for_unseen, kept_as_unseen};

/// What a pass would do.
#[derive(Debug)]
pub struct Plan {
    /// One for each set in the job's directory.
    pub decisions: Vec<Decision>,
    /// Where each set lies in the directory, or would: the original and a copy may both lie there.
    pub places: BTreeMap<BackupId, Vec<PathBuf>>,
    /// How far an earlier pass has got with each set, where it has begun or the set is gone.
    pub standings: BTreeMap<BackupId, Standing>,
    /// Those of the places where something of the set lies.
    there: BTreeMap<BackupId, Vec<PathBuf>>,
    /// What is worth a look.
    pub warnings: Vec<String>,
    /// The days whose folders sets lie in, or would.
    days: BTreeSet<NaiveDate>,
    owed: Owed,
    /// What stays of those that go.
    staying: BTreeMap<BackupId, String>,
    /// The sets of which another machine is about to remove its copy, as their marks say.
    marked_elsewhere: BTreeSet<BackupId>,
    /// What this machine is called by others.
    machine: Machine,
    seen: Seen,
}

impl Plan {
    fn places_of(&self, backup: &Backup) -> &[PathBuf] {
        self.places.get(&backup.id).map_or(&[], Vec::as_slice)
    }

    /// The sets that go, with the rule that condemns each.
    pub fn condemned(&self) -> impl Iterator<Item = (&Backup, CondemnReason)> {
        self.decisions
            .iter()
            .filter_map(|decision| match &decision.verdict {
                Verdict::Condemn(reason) => Some((&decision.backup, *reason)),
                Verdict::Keep(_) => None,
            })
    }

    /// How many sets go that would be there for longer by another clock.
    fn goes_by_the_clock(&self) -> usize {
        let is_over = |reason| matches!(reason, CondemnReason::RemovalBegun | CondemnReason::GoneFromDisk);
        self.condemned().filter(|(_, reason)| !is_over(*reason)).count()
    }

    /// The sets of a server that stay whatever the rules say, and for whose sake others of it may go.
    fn pinned(&self, tag: &str) -> impl Iterator<Item = &Backup> {
        self.decisions
            .iter()
            .filter(move |decision| decision.backup.tag == tag && decision.is_pinned())
            .map(|decision| &decision.backup)
    }

    /// The sets that stay, and that an earlier pass has marked or set aside: they are given back.
    pub fn given_back(&self) -> impl Iterator<Item = &Backup> {
        self.decisions
            .iter()
            .filter(|decision| matches!(&decision.verdict, Verdict::Keep(reasons) if !reasons.contains(&KeepReason::InUse)))
            .map(|decision| &decision.backup)
            .filter(|backup| !self.marked_elsewhere.contains(&backup.id))
            .filter(|backup| match self.standings.get(&backup.id) {
                Some(Standing::SetAside) => true,
                Some(Standing::Begun | Standing::Gone) => false,
                Some(Standing::Whole) | None => backup.deletion == Deletion::Deleting,
            })
    }

    /// Why a set stays or goes, for people.
    pub fn why(&self, decision: &Decision) -> String {
        let mut why = decision.why();
        let goes = matches!(decision.verdict, Verdict::Condemn(_));
        let stays = self.staying.get(&decision.backup.id).filter(|_| goes);
        let beside = [
            self.owed.gone_without(decision),
            self.resumption(decision).to_owned(),
            stays.cloned().unwrap_or_default(),
        ];
        for told in beside.iter().filter(|told| !told.is_empty()) {
            why.push_str("; ");
            why.push_str(told);
        }
        why
    }

    /// What becomes of a removal that an earlier pass has begun; empty where none has.
    pub fn resumption(&self, decision: &Decision) -> &'static str {
        match &decision.verdict {
            Verdict::Keep(_) if self.given_back().any(|backup| backup.id == decision.backup.id) => {
                "its mark as being deleted is taken back"
            }
            Verdict::Keep(_) if self.marked_elsewhere.contains(&decision.backup.id) => {
                "another machine removes its own copy of it"
            }
            Verdict::Condemn(reason)
                if decision.backup.deletion == Deletion::Deleting
                    && *reason != CondemnReason::RemovalBegun =>
            {
                "its removal had been decided before"
            }
            _ => "",
        }
    }
}

/// What a run of the job would do that a person starts now. Changes nothing.
pub async fn plan(
    environment: &Environment,
    settings: &Settings,
    job: &Job,
    task: &RetentionTask,
) -> Result<Plan, DaemonError> {
    let mut due = due::remembered(&environment.state, &job.name, task);
    if let Some(day) = due::day_by_hand(job, environment.clock.now()) {
        due.come_to(day);
    }
    let mut plan = plan_with(environment, settings, (job, task), &due).await?;
    let wrong_clock = wrong_clock(environment).await?;
    if let Some(wrong_clock) = wrong_clock.filter(|_| plan.goes_by_the_clock() > 0) {
        plan.warnings.push(told_of_clock(&plan, &wrong_clock));
    }
    Ok(plan)
}

fn told_of_clock(plan: &Plan, wrong_clock: &WrongClock) -> String {
    let sets = counted(plan.goes_by_the_clock(), "set would go", "sets would go");
    format!("nothing is removed: {sets}, and {wrong_clock}")
}

/// Judges every set that the catalog knows in the job's directory.
async fn plan_with(
    environment: &Environment,
    settings: &Settings,
    (job, task): (&Job, &RetentionTask),
    due: &DueDays,
) -> Result<Plan, DaemonError> {
    let catalog = &environment.catalog;
    let paths = catalog.paths().await?;
    let machine = Machine::ask(&environment.disk).await?;
    let (mut located, mut days) = (BTreeMap::new(), BTreeMap::new());
    let mark = mark_of(job, &environment.node);
    let (sets_here, damages) = sets_here(environment, (settings, &paths), (task, &mark)).await?;
    let (mut damaged, mut only_whole) = (BTreeSet::new(), BTreeSet::new());
    let mut sets = Vec::new();
    let mut standings = BTreeMap::new();
    let (mut untouched, mut begun) = (BTreeSet::new(), BTreeSet::new());
    let mut owed = Owed::default();
    let (mut seen, mut marked_elsewhere) = (Seen::default(), BTreeSet::new());
    let (mut originals, mut lying_at) = (BTreeMap::new(), BTreeMap::new());
    let (mut strays, covered) = (Vec::new(), covered::noted(&environment.state));
    for SetHere { mut backup, below } in sets_here {
        // Of several places the one that has most speaks for the set.
        let looked_at = below.clone();
        let standing_of: Vec<Standing> = environment
            .disk
            .ask(("look through", &task.directory), move || {
                looked_at.iter().map(|place| standing(place)).collect()
            })
            .await?;
        let standing = standing_of.iter().max().copied();
        let is_there = standing.is_some_and(|standing| standing != Standing::Gone);
        let is_of_here = is_of_here(&backup, settings, &machine);
        let own = original(&backup, &environment.node).filter(|place| below.contains(place));
        let may_be_own = own.is_some() && may_be_original(&backup, &paths, settings, &machine);
        if own.is_some() {
            owed.take(&backup, settings);
        }
        // What is held for its copies, since it would go as an original, and what is missed where it should lie.
        let (held, own) = (own.clone().filter(|_| may_be_own), own.filter(|_| is_of_here));
        // Its original has been told to be gone, and is, or is about to be removed by whoever it was marked for; no other
        // place here has the set.
        let is_marked = task.action == RetentionAction::Mark;
        let is_told = backup.original_gone_at.is_some() && may_be_own && {
            let mut lying = below.iter().zip(&standing_of);
            lying.all(|(place, standing)| {
                *standing == Standing::Gone || is_marked && *place == backup.folder()
            })
        };
        // A pass of this job ended between the removal and its record; if all that the mark is for was looked at.
        let is_open = !is_there && is_marked_by(&backup, &mark);
        let marked_for = places_of_mark(&backup);
        let is_below = |places: &Vec<PathBuf>| places.iter().all(|place| below.contains(place));
        let is_cut_off = is_open && !below.is_empty() && marked_for.as_ref().is_some_and(is_below);
        if is_open && !is_cut_off {
            strays.push((backup.id, told_of_stray(backup.id, marked_for.as_deref())));
        }
        // What should lie there and does not: the original, on the machine that made it. Of a place on a backup
        // host, and of a set that another machine's pybackup made, it is not known whether it is on this one at all.
        let is_missing = !is_there && own.is_none();
        if (is_told || is_missing) && !is_cut_off {
            continue;
        }
        seen.take(backup.id, &below, &standing_of);
        // One that no machine answers for any more is anyone's to take back.
        if is_marked_elsewhere(environment, settings, &backup).await? {
            marked_elsewhere.insert(backup.id);
        }
        match standing {
            _ if is_cut_off => {
                begun.insert(backup.id);
            }
            Some(Standing::Begun) => {
                // Also where the catalog does not say so: it may have been restored from an older copy of itself.
                backup.deletion = Deletion::Deleting;
                begun.insert(backup.id);
            }
            Some(Standing::Whole | Standing::SetAside) if backup.deletion == Deletion::Deleting => {
                untouched.insert(backup.id);
            }
            _ => {}
        }
        if let Some(standing) = standing.filter(|standing| *standing != Standing::Whole && !is_cut_off) {
            standings.insert(backup.id, standing);
        }
        let lying = below.iter().zip(&standing_of);
        let there: Vec<&PathBuf> = lying
            .filter(|(_, standing)| **standing != Standing::Gone)
            .map(|(place, _)| place)
            .collect();
        let held = held.filter(|held| there.contains(&held));
        originals.extend(held.clone().map(|held| (backup.id, held)));
        if let Some(damage) = damages.get(&backup.id) {
            if is_damaged_here(damage, &there, &environment.node) {
                damaged.insert(backup.id);
            } else if let Some(held) = held
                && Known::of(catalog.as_ref(), &backup)
                    .await?
                    .has_lost_others((&environment.node, &held))
            {
                only_whole.insert(backup.id);
            }
        }
        if let Some(day) = day_of(&below, &task.directory) {
            days.insert(backup.id, day);
        }
        lying_at.insert(backup.id, there.into_iter().cloned().collect());
        located.insert(backup.id, below);
        sets.push(backup);
    }
    // In doubt a set stays: what is away has not been removed, and cannot be.
    let away = seen.away(environment, &covered).await?;
    sets.retain(|backup| !away.sets.contains(&backup.id));
    let mut warnings = away.told;
    let gone: BTreeSet<BackupId> = standings
        .iter()
        .filter(|(_, standing)| **standing == Standing::Gone)
        .map(|(id, _)| *id)
        .collect();
    let days_seen = days.values().copied().collect();
    let context = Context {
        now: environment.clock.now(),
        zone: job.schedule.zone(),
        require: task.require,
        busy: sets_in_use(environment).await?,
        gone,
        untouched,
        begun,
        damaged,
        only_whole,
        days,
        due_days: due.days().clone(),
        owed: owed.waiting.clone(),
    };
    let mut decisions = plan_retention(sets, &task.keep, &context);
    let mut staying = keep_for_unseen(environment, settings, &originals, &mut decisions).await?;
    // One that lies in a second place here is told of by whoever removes it.
    staying.retain(|id, _| {
        lying_at
            .get(id)
            .is_none_or(|places: &Vec<PathBuf>| places.len() < 2)
    });
    let kept = seen.keep_for_places(environment, settings, &mut decisions);
    warnings.extend(kept.await?);
    // An original that is missed is judged like any other.
    let goes = |id| {
        let mut decisions = decisions.iter();
        decisions.any(|one| one.backup.id == id && matches!(one.verdict, Verdict::Condemn(_)))
    };
    strays.retain(|(id, _)| !goes(*id));
    warnings.extend(strays.into_iter().map(|(_, told)| told));
    warnings.extend(kept_as_damaged(&decisions));
    warnings.extend(kept_as_only_whole(&decisions));
    warnings.extend(kept_as_unseen(&decisions));
    warnings.extend(kept_as_owed(&decisions));
    warnings.extend(owed.told_of_dropped(&decisions));
    Ok(Plan {
        decisions,
        places: located,
        standings,
        there: lying_at,
        warnings,
        days: days_seen,
        owed,
        staying,
        marked_elsewhere,
        machine,
        seen,
    })
}

/// Nothing gives back what damaged sets take up where nothing newer is ever proven.
fn kept_as_damaged(decisions: &[Decision]) -> Option<String> {
    let stay = decisions
        .iter()
        .filter(|decision| decision.verdict == Verdict::Keep(vec![KeepReason::Damaged]))
        .map(|decision| &decision.backup);
    let (number, bytes) = stay.fold((0, 0_u64), |(number, bytes), backup| {
        (number + 1, bytes.saturating_add(backup.size_bytes.unwrap_or(0)))
    });
    (number > 0).then(|| {
        format!(
            "{} ({}) until a newer one of the job is proven; \"mykeeper check\" tells which, and \"mykeeper validate\" \
             proves one",
            counted(number, "damaged set stays", "damaged sets stay"),
            mykeeper_domain::backup::du_size(bytes)
        )
    })
}

/// One run of a retention job.
pub async fn run(context: &RunContext, task: &RetentionTask) -> JobResult {
    context.recorded_attempts(|| Box::pin(pass(context, task))).await
}

async fn pass(context: &RunContext, task: &RetentionTask) -> JobResult {
    let wrong_clock = wrong_clock(&context.environment).await;
    let mut due = due::remembered(&context.environment.state, &context.job.name, task);
    // A catalog that is away says nothing against the clock.
    if !matches!(wrong_clock, Ok(Some(_)))
        && let Some(day) = due::day_of_run(context).await?
    {
        due.come_to(day);
    }
    // Also where the pass comes no further than this.
    if task.keep.all_but_day.is_some() {
        due::remember(context, &due)?;
    }
    if let Some(waiting) = what_waits(&context.environment).await? {
        return Err(JobError::passing(format!(
            "nothing is removed while {waiting} for the catalog; \"mykeeper catalog status\" tells more"
        )));
    }
    let wrong_clock = wrong_clock?;
    forget_uncovered(context).await?;
    let asked = (context.job.as_ref(), task);
    let mut plan = plan_with(&context.environment, &context.settings, asked, &due).await?;
    note_seen(&context.environment, &plan.seen).await?;
    if let Some(wrong_clock) = wrong_clock.filter(|_| plan.goes_by_the_clock() > 0) {
        return Err(JobError::fatal(told_of_clock(&plan, &wrong_clock)));
    }
    if !plan.decisions.is_empty() {
        // A folder that was emptied in this pass is forgotten in the next.
        due::forget(context, &mut due, &plan.days)?;
    }
    for decision in &plan.decisions {
        context.say(describe(&plan, decision));
    }
    let mut done = Done::default();
    for backup in plan.given_back() {
        match give_back(context, task, backup, plan.places_of(backup)).await {
            Ok(true) => done.given_back += 1,
            Ok(false) => context.say(format!("set {} is left to the next pass", backup.id)),
            Err(reason) => done.failed(context, backup.id, reason),
        }
    }
    for (backup, reason) in plan.condemned() {
        if context.cancel.is_cancelled() {
            return Err(done.cut_off_by(JobError::cancelled(), task.action));
        }
        let changed = find_changed(context, &plan, backup, reason).await;
        if let Some(changed) = changed.map_err(|error| done.cut_off_by(error, task.action))? {
            done.left
                .push(format!("set {} is left to the next pass: {changed}", backup.id));
            continue;
        }
        let removal = Removal {
            task,
            backup,
            places: plan.places_of(backup),
            there: plan.there.get(&backup.id).map_or(&[], Vec::as_slice),
            machine: &plan.machine,
            why: format!("{} {reason}", mark_of(&context.job, &context.environment.node)),
            may_be_given_back: !plan.standings.contains_key(&backup.id)
                && reason != CondemnReason::RemovalBegun,
        };
        match condemn(context, &removal).await {
            Ok(Some(Gone::Told)) => context.say(format!(
                "set {} has gone from here as far as the catalog knows, and another copy of it stays",
                backup.id
            )),
            Ok(Some(gone)) => {
                // What this job has removed before, and could not record, it has removed.
                let was_there = task.action == RetentionAction::Mark
                    || !removal.there.is_empty()
                    || reason == CondemnReason::RemovalBegun;
                match gone {
                    _ if !was_there => done.found_gone += 1,
                    Gone::OriginalAlone => done.originals += 1,
                    Gone::CopyAlone => done.copies += 1,
                    _ => done.condemned += 1,
                }
                if was_there {
                    done.freed_bytes += backup.size_bytes.unwrap_or(0);
                }
            }
            Ok(None) => context.say(format!(
                "set {} is in use now, or no longer what it was; it is left to the next pass",
                backup.id
            )),
            Err(error) => done.failed(context, backup.id, error.reason),
        }
    }
    for left in &done.left {
        context.say(left.clone());
    }
    plan.warnings.extend(done.left.first().cloned());
    tidy(context, task, &mut plan).await?;
    done.conclude(&plan, task.action)
}

/// One line of the plan.
fn describe(plan: &Plan, decision: &Decision) -> String {
    let backup = &decision.backup;
    let dated = backup.begun_by_catalog_at.map_or_else(String::new, |at| {
        format!(
            ", by the catalog's clock of {}",
            at.format("%Y-%m-%d %H:%M:%S UTC")
        )
    });
    let head = format!(
        "set {} of {}{dated} ({})",
        backup.id,
        backup.started_at.format("%Y-%m-%d %H:%M:%S UTC"),
        backup.tag
    );
    let why = plan.why(decision);
    match &decision.verdict {
        Verdict::Keep(_) => format!("{head} is kept: {why}"),
        Verdict::Condemn(_) => format!("{head} goes: {why}"),
    }
}
