//! The one table.

use super::Outcome;
use std::fmt::Write;

const HEAD: [&str; 7] = [
    "fault",
    "injected",
    "runs affected",
    "lost",
    "doubled",
    "orphans",
    "wrong verdicts",
];

/// Fault, times injected, runs affected, lost, doubled, orphans, wrong verdicts: one line each, and their sums.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut lines: Vec<Vec<String>> = vec![HEAD.map(str::to_owned).to_vec()];
    let mut sums = [0_u64; 6];
    for outcome in outcomes {
        let found = &outcome.findings;
        let counts = [
            u64::from(outcome.injected),
            outcome.affected,
            found.lost.len() as u64,
            found.doubled.len() as u64,
            found.orphans.len() as u64,
            found.wrong.len() as u64,
        ];
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
        let mut line = vec![title(outcome)];
        line.extend(counts.map(|count| count.to_string()));
        lines.push(line);
    }
    let mut last = vec!["together".to_owned()];
    last.extend(sums.map(|sum| sum.to_string()));
    lines.push(last);
    let widths: Vec<usize> = (0..HEAD.len())
        .map(|column| {
            lines
                .iter()
                .map(|line| line[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for (index, line) in lines.iter().enumerate() {
        let cells: Vec<String> = line
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
        if index == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(text, "| {} |", rules.join(" | "));
        }
    }
    text
}

fn title(outcome: &Outcome) -> String {
    let kinds: Vec<String> = outcome
        .details
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let mut text = outcome.fault.title.to_owned();
    if !kinds.is_empty() {
        let _ = write!(text, " ({})", kinds.join(", "));
    }
    if outcome.broken.is_some() {
        text.push_str(": DID NOT END");
    }
    if outcome.skipped.is_some() {
        text.push_str(": not possible here");
    }
    text
}
