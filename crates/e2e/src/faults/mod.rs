//! The fault suite: real servers and tools, each fault injected at random instants, and an audit of what is left.
//!
//! What is random comes of a seed, so that a run can be had again; the machine's own timing does not.

mod clock;
mod dice;
mod disk;
mod kills;
mod limits;
mod network;
mod outage;
mod source;
mod stage;
mod table;

use crate::audit::Findings;
pub(crate) use dice::Dice;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};
pub use table::table;

/// How much is injected.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Kills of the daemon over the embedded catalog; what is injected otherwise grows with it.
    pub iterations: u32,
    /// Of everything random.
    pub seed: u64,
}

impl Plan {
    /// Short enough for the ordinary tests.
    fn is_short(&self) -> bool {
        self.iterations < 40
    }

    /// One injection for each `share` kills of the daemon, `least` at least.
    fn rounds(&self, share: u32, least: u32) -> u32 {
        (self.iterations / share).max(least)
    }
}

/// One fault of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What `--only` and the tests call it.
    pub name: &'static str,
    /// What the table calls it.
    pub title: &'static str,
    inject: fn(&mut Trial),
}

/// One fault being injected, and what came of it.
pub(crate) struct Trial {
    plan: Plan,
    dice: Dice,
    injected: u32,
    details: Vec<(String, u32)>,
    affected: u64,
    findings: Findings,
    kept: Vec<PathBuf>,
    skipped: Option<String>,
}

impl Trial {
    /// Counts one injection of this kind.
    fn count(&mut self, kind: &str) {
        self.injected += 1;
        match self.details.iter_mut().find(|(known, _)| known == kind) {
            Some((_, count)) => *count += 1,
            None => self.details.push((kind.to_owned(), 1)),
        }
    }

    /// How long a fault lasts, in milliseconds: in the short form, in the long one.
    fn lasts(&mut self, short: (u64, u64), long: (u64, u64)) -> Duration {
        let (least, most) = if self.plan.is_short() { short } else { long };
        self.dice.millis(least, most)
    }

    /// The fault cannot be injected on this machine.
    fn skip(&mut self, why: &str) {
        self.skipped = Some(why.to_owned());
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The fault.
    pub fault: Fault,
    /// Times.
    pub injected: u32,
    /// Times by kind.
    pub details: Vec<(String, u32)>,
    /// Runs that did not go through at the first attempt.
    pub affected: u64,
    /// What the audit says.
    pub findings: Findings,
    /// Why the trial did not come to its end.
    pub broken: Option<String>,
    /// Why it was not begun.
    pub skipped: Option<String>,
    /// Installations that are kept for a look.
    pub kept: Vec<PathBuf>,
    /// How long it took.
    pub took: Duration,
}

impl Outcome {
    /// Nothing was lost, nothing hung, nothing fired twice.
    pub fn is_clean(&self) -> bool {
        self.broken.is_none() && self.findings.are_none()
    }
}

/// All of them, in the table's order.
pub const FAULTS: &[Fault] = &[
    Fault {
        name: "kill-daemon",
        title: "kill -9 of the daemon, embedded catalog",
        inject: kills::of_daemon_over_sqlite,
    },
    Fault {
        name: "kill-daemon-mariadb",
        title: "kill -9 of the daemon, MariaDB catalog",
        inject: kills::of_daemon_over_mariadb,
    },
    Fault {
        name: "kill-tools",
        title: "kill -9 of a tool",
        inject: kills::of_tools,
    },
    Fault {
        name: "network",
        title: "the network to the rsync daemon",
        inject: network::inject,
    },
    Fault {
        name: "catalog",
        title: "the catalog's server",
        inject: outage::inject,
    },
    Fault {
        name: "disk-sets",
        title: "the disk of sets",
        inject: disk::of_sets,
    },
    Fault {
        name: "disk-sandbox",
        title: "the disk of the sandbox",
        inject: disk::of_sandbox,
    },
    Fault {
        name: "disk-state",
        title: "the disk of state",
        inject: disk::of_state,
    },
    Fault {
        name: "clock-steps",
        title: "steps of the clock",
        inject: clock::steps,
    },
    Fault {
        name: "clock-changes",
        title: "days on which the clock changes",
        inject: clock::changes,
    },
    Fault {
        name: "suspended",
        title: "the daemon suspended",
        inject: clock::suspended,
    },
    Fault {
        name: "source",
        title: "the server that is backed up",
        inject: source::inject,
    },
    Fault {
        name: "limits",
        title: "the daemon's own limits",
        inject: limits::inject,
    },
];

/// The fault of this name.
pub fn fault(name: &str) -> Option<Fault> {
    FAULTS.iter().copied().find(|fault| fault.name == name)
}

/// Injects one fault and audits what is left.
pub fn run(fault: Fault, plan: Plan) -> Outcome {
    let began = Instant::now();
    let mut trial = Trial {
        plan,
        dice: Dice::of(plan.seed, fault.name),
        injected: 0,
        details: Vec::new(),
        affected: 0,
        findings: Findings::default(),
        kept: Vec::new(),
        skipped: None,
    };
    // A stage that does not stand, or a wait in vain, fails this fault and no other.
    let broken = catch_unwind(AssertUnwindSafe(|| (fault.inject)(&mut trial)))
        .err()
        .map(|panic| words_of(panic.as_ref()));
    Outcome {
        fault,
        injected: trial.injected,
        details: trial.details,
        affected: trial.affected,
        findings: trial.findings,
        broken,
        skipped: trial.skipped,
        kept: trial.kept,
        took: began.elapsed(),
    }
}

/// What a panic said.
pub(crate) fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it ended without a word".to_owned())
}
