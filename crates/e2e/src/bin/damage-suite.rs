//! The whole damage suite: one table, exit status 0 when no damage was missed and no good set failed.
//!
//! `damage-suite [--seed S] [--only DAMAGE]...`; `deploy/test.sh --damages` builds and calls it.

use mykeeper_e2e::damage::{self, Damage, Plan};
use std::io::Write;
use std::process::ExitCode;

const USAGE: &str = "usage: damage-suite [--seed S] [--only DAMAGE]...\n       damage-suite --only list";

struct Asked {
    plan: Plan,
    list: bool,
}

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(asked) => asked,
        Err(why) => {
            say(&format!("damage-suite: {why}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    if asked.list {
        for damage in damage::damages() {
            say(&format!("{:<24} {}", damage.name, damage.what));
        }
        return ExitCode::SUCCESS;
    }
    let plan = asked.plan;
    say(&format!("seed {}, {} damages", plan.seed, plan.damages.len()));
    let report = damage::run(&plan, &say);
    say(&format!("\n{}", damage::table(&report)));
    if report.is_clean() {
        return ExitCode::SUCCESS;
    }
    let missed = report.findings.iter().filter(|finding| finding.missed);
    let names: Vec<String> = missed
        .map(|finding| format!("--only {}", finding.damage.name))
        .collect();
    say(&format!(
        "again: deploy/test.sh --damages --seed {} {}",
        plan.seed,
        names.join(" ")
    ));
    ExitCode::FAILURE
}

fn say(text: &str) {
    // Nobody may be reading any more.
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn asked(mut words: impl Iterator<Item = String>) -> Result<Asked, String> {
    let mut seed = rand::random();
    let mut only: Vec<Damage> = Vec::new();
    let mut list = false;
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} takes a value"));
        match word.as_str() {
            "--seed" => {
                let text = value()?;
                seed = text.parse().map_err(|_| format!("{text:?} is no number"))?;
            }
            "--only" => {
                let name = value()?;
                if name == "list" {
                    list = true;
                    continue;
                }
                only.push(
                    damage::damage_of(&name).ok_or(format!("there is no damage {name}; see --only list"))?,
                );
            }
            _ => return Err(format!("unknown option {word}")),
        }
    }
    let every_good_set = only.is_empty();
    let damages = if only.is_empty() { damage::damages() } else { only };
    let plan = Plan {
        seed,
        damages,
        every_good_set,
    };
    Ok(Asked { plan, list })
}
