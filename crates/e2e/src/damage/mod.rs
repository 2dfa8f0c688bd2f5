//! The damage suite: real sets, each damaged in one way, and what each witness says of it. Beside it sets that nothing
//! is wrong with, which must pass, and the same damages judged by pybackup's rule.
//!
//! A set has three witnesses against damage. Its files' digests, as the catalog has them: they find everything that
//! is done to a file. What the files hold, against the evidence: it finds rows, for nothing, also where the manifest
//! was rewritten to match. And the restore, compared with the evidence. Each damage is judged by each witness alone,
//! the ones before it disarmed.

mod bytes;
mod definitions;
mod judge;
mod rows;
mod sets;
mod table;
mod tools;
mod victim;

use crate::faults::Dice;
use judge::{Judge, Said};
use sets::{Layout, Set, Sets};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
pub use table::table;
use victim::Victim;

/// Sets judged at a time.
const AT_ONCE: usize = 2;

/// What tells of a damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Witness {
    /// The manifest's digests.
    Digest,
    /// What the files hold, against the evidence, with the manifest rewritten to match the damage.
    Evidence,
    /// What came back, with neither manifest nor files heard.
    Restore,
}

/// One damage of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Damage {
    /// What `--only` and the tests call it.
    pub name: &'static str,
    /// What is done to what.
    pub what: &'static str,
    /// The last witness that must find it alone. Before a restore, a damage that changes nothing of what comes back
    /// shows in digests alone.
    pub latest: Witness,
    layout: Layout,
    act: Act,
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Files(fn(&mut Victim<'_>)),
    Tools(fn() -> tools::Outcome),
}

const fn damage(
    name: &'static str,
    what: &'static str,
    layout: Layout,
    latest: Witness,
    act: fn(&mut Victim<'_>),
) -> Damage {
    Damage {
        name,
        what,
        latest,
        layout,
        act: Act::Files(act),
    }
}

/// All of them, in the table's order.
pub fn damages() -> Vec<Damage> {
    let files = bytes::DAMAGES
        .iter()
        .chain(rows::DAMAGES)
        .chain(definitions::DAMAGES);
    files.copied().chain(tools::DAMAGES.iter().copied()).collect()
}

/// The damage of this name.
pub fn damage_of(name: &str) -> Option<Damage> {
    damages().into_iter().find(|damage| damage.name == name)
}

/// How much is tried.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of everything random.
    pub seed: u64,
    /// These damages.
    pub damages: Vec<Damage>,
    /// Every good set; otherwise one.
    pub every_good_set: bool,
}

/// What the witnesses said of one damage.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The damage.
    pub damage: Damage,
    /// Found by its digest.
    pub by_digest: bool,
    /// Found by what the files hold; or they could not be read.
    pub by_evidence: bool,
    /// Found by restoring; where the files cannot be read there is nothing to restore.
    pub by_restore: bool,
    /// Found as it happened, by mykeeper's own verdict on the dump; or nothing could be said, as it should be.
    pub at_once: bool,
    /// Not by whom it must be.
    pub missed: bool,
    /// What pybackup would have said: of the damaged database, of the set. `None` where it was not asked.
    pub pybackup: Option<(bool, bool)>,
    /// The first words of the witness that should have the last one.
    pub words: String,
    /// Why it was not tried.
    pub skipped: Option<String>,
}

/// What was said of a set with nothing wrong.
#[derive(Clone, Debug)]
pub struct Good {
    /// Which.
    pub name: String,
    /// What speaks against it; it must be nothing.
    pub against: Vec<String>,
    /// What pybackup would have said of every one of its databases.
    pub pybackup: bool,
}

/// Everything that came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Damages, in order.
    pub findings: Vec<Finding>,
    /// Good sets.
    pub good: Vec<Good>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// Nothing was missed, no good set failed.
    pub fn is_clean(&self) -> bool {
        !self.findings.iter().any(|finding| finding.missed)
            && self.good.iter().all(|good| good.against.is_empty())
    }
}

/// One set to be judged.
enum Task<'a> {
    Damage(usize, Damage),
    Good(usize, String, &'a Set, Option<Damage>, bool),
}

/// Tries everything. `tell` is called with a line for each that is done.
pub fn run(plan: &Plan, tell: &(dyn Fn(&str) + Sync)) -> Report {
    let began = Instant::now();
    let mut layouts: Vec<Layout> = plan.damages.iter().map(|damage| damage.layout).collect();
    layouts.push(Layout::Packed);
    let all: &[Layout] = if plan.every_good_set { &Layout::ALL } else { &[] };
    layouts.extend(all);
    layouts.sort();
    layouts.dedup();
    let with_older =
        plan.every_good_set || plan.damages.iter().any(|damage| damage.name.starts_with("older"));
    let sets = Sets::make(&layouts, all, with_older);
    tell(&format!("the sets are made, {} s", began.elapsed().as_secs()));
    let judge = Judge::new(sets.folder());
    let mut tasks: Vec<Task<'_>> = good_tasks(plan, &sets);
    let is_of_files = |damage: &&Damage| matches!(damage.act, Act::Files(_));
    let numbered = plan.damages.iter().enumerate();
    tasks.extend(
        numbered
            .filter(|(_, damage)| is_of_files(damage))
            .map(|(number, damage)| Task::Damage(number, *damage)),
    );
    let findings: Mutex<Vec<(usize, Finding)>> = Mutex::default();
    let good: Mutex<Vec<(usize, Good)>> = Mutex::default();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match task {
                        Task::Damage(number, damage) => {
                            let finding = judged(&judge, &sets, *damage, plan.seed);
                            tell(&table::line(&finding));
                            findings
                                .lock()
                                .expect("no thread panics")
                                .push((*number, finding));
                        }
                        Task::Good(number, name, set, harmless, with_evidence) => {
                            let found = judge_good(&judge, (name, set), *harmless, *with_evidence);
                            tell(&format!("good: {name}: {:?}", found.against));
                            good.lock().expect("no thread panics").push((*number, found));
                        }
                    }
                }
            });
        }
    });
    let mut findings = findings.into_inner().expect("no thread panics");
    // One after the other: they look for processes.
    for (number, damage) in plan.damages.iter().enumerate() {
        if let Act::Tools(act) = damage.act {
            let finding = made_by_tools(*damage, act);
            tell(&table::line(&finding));
            findings.push((number, finding));
        }
    }
    findings.sort_by_key(|(number, _)| *number);
    let mut good = good.into_inner().expect("no thread panics");
    good.sort_by_key(|(number, _)| *number);
    Report {
        findings: findings.into_iter().map(|(_, finding)| finding).collect(),
        good: good.into_iter().map(|(_, good)| good).collect(),
        took: began.elapsed(),
    }
}

fn good_tasks<'a>(plan: &Plan, sets: &'a Sets) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    let mut add = |name: &str, set: &'a Set, harmless: Option<Damage>, with_evidence: bool| {
        let mut title = format!("{name}, {}", set.layout.title());
        if !with_evidence {
            title.push_str(", without evidence");
        }
        tasks.push(Task::Good(tasks.len(), title, set, harmless, with_evidence));
    };
    let sample: Vec<&Set> = sets
        .sample
        .iter()
        .filter(|set| plan.every_good_set || set.layout == Layout::Packed)
        .collect();
    for set in sample {
        add("sample", set, None, true);
    }
    for set in &sets.awkward {
        add("awkward", set, None, true);
        if set.layout.has_folders() {
            add("awkward", set, None, false);
        }
    }
    if plan.every_good_set {
        for harmless in rows::HARMLESS {
            add(
                harmless.what,
                of_layout(sets, harmless.layout),
                Some(*harmless),
                true,
            );
        }
        if let Some(set) = &sets.older {
            add("sample, a while before", set, None, true);
        }
    }
    tasks
}

fn of_layout(sets: &Sets, layout: Layout) -> &Set {
    let found = sets.sample.iter().find(|set| set.layout == layout);
    found.expect("a set of each layout that is asked for")
}

fn victim<'a>(judge: &Judge, (set, older): (&Set, Option<&'a Set>), damage: Damage, seed: u64) -> Victim<'a> {
    let mut victim = Victim {
        known: set.files.clone(),
        set: set.copy(judge.folder(damage.name)),
        rewritten: true,
        dice: Dice::of(seed, damage.name),
        older,
        database: Cell::new("shop"),
    };
    if let Act::Files(act) = damage.act {
        act(&mut victim);
    }
    victim
}

/// Three times proven, each time with one witness less, and once by pybackup's rule.
fn judged(judge: &Judge, sets: &Sets, damage: Damage, seed: u64) -> Finding {
    let good = of_layout(sets, damage.layout);
    let trying = catch_unwind(AssertUnwindSafe(|| {
        let victim = victim(judge, (good, sets.older.as_ref()), damage, seed);
        let known = &victim.known;
        let manifest = if victim.rewritten {
            victim.set.manifest()
        } else {
            known.clone()
        };
        // The catalog has its own copy of the evidence; whoever rewrites the manifest has had both.
        let digest = judge.prove((&victim.set, known), Some(&good.evidence), false);
        let files = judge.prove((&victim.set, &manifest), Some(&victim.set.evidence), false);
        let restore = match &files {
            Said::Digest(_) | Said::Restored(_) | Said::Passed => files.clone(),
            Said::Evidence(_) | Said::Untried(_) => {
                judge.prove((&victim.set, &manifest), Some(&victim.set.evidence), true)
            }
        };
        let pybackup = judge.pybackup(&victim.set, victim.database.get());
        let _ = std::fs::remove_dir_all(&victim.set.dir);
        (digest, files, restore, pybackup)
    }));
    match trying {
        Ok((digest, files, restore, pybackup)) => finding(damage, (&digest, &files, &restore), pybackup),
        Err(panic) => Finding {
            missed: true,
            words: crate::faults::words_of(panic.as_ref()),
            ..blank(damage)
        },
    }
}

fn finding(
    damage: Damage,
    (digest, files, restore): (&Said, &Said, &Said),
    pybackup: (bool, bool),
) -> Finding {
    let by_digest = matches!(digest, Said::Digest(_));
    // What cannot be read to its end is found with any manifest, and there is nothing to restore.
    let by_evidence = matches!(files, Said::Digest(_) | Said::Evidence(_));
    let by_restore = matches!(restore, Said::Digest(_) | Said::Restored(_));
    let last = match damage.latest {
        Witness::Digest => digest,
        Witness::Evidence => files,
        Witness::Restore => restore,
    };
    // A manifest that does not list a file cannot speak for it.
    let is_seen = !matches!(digest, Said::Passed | Said::Untried(_));
    let is_found = match damage.latest {
        Witness::Digest => by_digest,
        Witness::Evidence => is_seen && by_evidence,
        Witness::Restore => is_seen && by_restore,
    };
    Finding {
        by_digest,
        by_evidence,
        by_restore,
        missed: !is_found,
        pybackup: Some(pybackup),
        words: last.words(),
        ..blank(damage)
    }
}

fn blank(damage: Damage) -> Finding {
    Finding {
        damage,
        by_digest: false,
        by_evidence: false,
        by_restore: false,
        at_once: false,
        missed: false,
        pybackup: None,
        words: String::new(),
        skipped: None,
    }
}

fn made_by_tools(damage: Damage, act: fn() -> tools::Outcome) -> Finding {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(tools::Outcome::Found(words)) => Finding {
            at_once: true,
            words,
            ..blank(damage)
        },
        Ok(tools::Outcome::Missed(words)) => Finding {
            missed: true,
            words,
            ..blank(damage)
        },
        Ok(tools::Outcome::Skipped(why)) => Finding {
            skipped: Some(why),
            ..blank(damage)
        },
        Err(panic) => Finding {
            missed: true,
            words: crate::faults::words_of(panic.as_ref()),
            ..blank(damage)
        },
    }
}

fn judge_good(
    judge: &Judge,
    (name, set): (&str, &Set),
    harmless: Option<Damage>,
    with_evidence: bool,
) -> Good {
    let judging = catch_unwind(AssertUnwindSafe(|| match harmless {
        None => {
            let evidence = with_evidence.then_some(&set.evidence);
            let files = if with_evidence { set.files.as_slice() } else { &[] };
            (
                judge.prove((set, files), evidence, false),
                judge.pybackup_all(set),
            )
        }
        Some(damage) => {
            let victim = victim(judge, (set, None), damage, 0);
            let said = judge.prove((&victim.set, &victim.set.manifest()), Some(&set.evidence), false);
            (said, judge.pybackup_all(&victim.set))
        }
    }));
    let (against, pybackup) = match judging {
        Ok((Said::Passed, pybackup)) => (Vec::new(), pybackup),
        Ok((said, pybackup)) => (vec![said.words()], pybackup),
        Err(panic) => (vec![crate::faults::words_of(panic.as_ref())], false),
    };
    Good {
        name: name.to_owned(),
        against,
        pybackup,
    }
}
