//! The whole fault suite: one table, exit status 0 when nothing was lost, doubled, orphaned or judged wrongly.
//!
//! `fault-suite [--iterations N] [--seed S] [--only FAULT]...`; `deploy/test.sh --faults` builds and calls it.

use mykeeper_e2e::faults::{self, FAULTS, Fault, Outcome, Plan};
use std::io::Write;
use std::process::ExitCode;

/// Kills of the daemon when nothing is said.
const ITERATIONS: u32 = 200;

const USAGE: &str =
    "usage: fault-suite [--iterations N] [--seed S] [--only FAULT]...\n       fault-suite --only list";

struct Asked {
    plan: Plan,
    faults: Vec<Fault>,
    list: bool,
}

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            say(&format!("fault-suite: {why}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    if asked.list {
        for fault in FAULTS {
            say(&format!("{:<22} {}", fault.name, fault.title));
        }
        return ExitCode::SUCCESS;
    }
    let plan = asked.plan;
    say(&format!("seed {}, {} iterations", plan.seed, plan.iterations));
    let mut outcomes = Vec::new();
    for fault in asked.faults {
        say(&format!("... {}", fault.title));
        let outcome = faults::run(fault, plan);
        tell(&outcome);
        outcomes.push(outcome);
    }
    say(&format!("\n{}", faults::table(&outcomes)));
    let unclean: Vec<&Outcome> = outcomes.iter().filter(|outcome| !outcome.is_clean()).collect();
    if unclean.is_empty() {
        return ExitCode::SUCCESS;
    }
    let names: Vec<String> = unclean
        .iter()
        .map(|outcome| format!("--only {}", outcome.fault.name))
        .collect();
    say(&format!(
        "again: deploy/test.sh --faults --iterations {} --seed {} {}",
        plan.iterations,
        plan.seed,
        names.join(" ")
    ));
    ExitCode::FAILURE
}

fn tell(outcome: &Outcome) {
    say(&format!(
        "    injected {}, runs affected {}, {} s",
        outcome.injected,
        outcome.affected,
        outcome.took.as_secs()
    ));
    for line in outcome.findings.all() {
        say(&format!("    {line}"));
    }
    for line in outcome.broken.iter().chain(&outcome.skipped) {
        say(&format!("    {line}"));
    }
    for path in &outcome.kept {
        say(&format!("    kept for a look: {}", path.display()));
    }
}

fn say(text: &str) {
    // Nobody may be reading any more.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn asked(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut plan = Plan {
        iterations: ITERATIONS,
        seed: rand::random(),
    };
    let mut only = Vec::new();
    let mut list = false;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        match word.as_str() {
            "--iterations" => plan.iterations = number(&value()?)?,
            "--seed" => plan.seed = number(&value()?)?,
            "--only" => {
                let name = value()?;
                if name == "list" {
                    list = true;
                    continue;
                }
                only.push(faults::fault(&name).ok_or(format!("there is no fault {name}; see --only list"))?);
            }
            _ => return Err(format!("unknown option {word}")),
        }
    }
    let faults = if only.is_empty() { FAULTS.to_vec() } else { only };
    Ok(Asked { plan, faults, list })
}

fn number<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}
