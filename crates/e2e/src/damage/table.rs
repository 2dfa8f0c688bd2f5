//! The one table.

use super::{Finding, Report, Witness};
use std::fmt::Write;

/// Damages with who found them, then the sums.
pub fn table(report: &Report) -> String {
    let mut text = String::from(
        "| damage | what | set | must be found by | digest | evidence | restore | at once | pybackup takes it for proven |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for finding in &report.findings {
        let _ = writeln!(text, "{}", row(finding));
    }
    text.push('\n');
    for good in &report.good {
        let verdict = if good.against.is_empty() {
            "passed"
        } else {
            "WRONGLY FAILED"
        };
        let pybackup = if good.pybackup {
            "every database loads"
        } else {
            "not every database loads"
        };
        let _ = writeln!(text, "good: {}: {verdict} (pybackup: {pybackup})", good.name);
        for line in &good.against {
            let _ = writeln!(text, "    {line}");
        }
    }
    let _ = write!(text, "\n{}", sums(report));
    text
}

fn sums(report: &Report) -> String {
    let findings = &report.findings;
    let count = |is: &dyn Fn(&&Finding) -> bool| findings.iter().filter(is).count();
    let skipped = count(&|finding| finding.skipped.is_some());
    let judged = count(&|finding| finding.pybackup.is_some());
    let own = count(&|finding| finding.pybackup.is_some_and(|(own, _)| own));
    let any = count(&|finding| finding.pybackup.is_some_and(|(_, any)| any));
    let failed = report.good.iter().filter(|good| !good.against.is_empty()).count();
    let good_to_pybackup = report.good.iter().filter(|good| good.pybackup).count();
    let lines = [
        ("damages tried", findings.len() - skipped),
        ("not possible here", skipped),
        ("found as it happened", count(&|finding| finding.at_once)),
        ("found by digest", count(&|finding| finding.by_digest)),
        (
            "found by evidence, manifest rewritten",
            count(&|finding| finding.by_evidence),
        ),
        (
            "found by restore, files not heard",
            count(&|finding| finding.by_restore),
        ),
        ("missed", count(&|finding| finding.missed)),
        ("good sets passed", report.good.len() - failed),
        ("good sets wrongly failed", failed),
        ("damages judged by pybackup's rule", judged),
        ("  the damaged database taken for proven", own),
        ("  the set taken for proven", any),
        (
            "good sets every database of which loads for pybackup",
            good_to_pybackup,
        ),
    ];
    let mut text = String::new();
    for (what, number) in lines {
        let _ = writeln!(text, "{what:<54} {number:>4}");
    }
    let _ = writeln!(text, "{:<54} {:>4} s", "took", report.took.as_secs());
    text
}

fn row(finding: &Finding) -> String {
    let mark = |found: bool| if found { "found" } else { "-" };
    let damage = &finding.damage;
    let pybackup = match finding.pybackup {
        None => "not asked",
        Some((true, _)) => "yes",
        Some((false, true)) => "the set, not the database",
        Some((false, false)) => "no",
    };
    let last = match damage.latest {
        _ if finding.pybackup.is_none() => "the dump, the proof",
        Witness::Digest => "digest",
        Witness::Evidence => "evidence",
        Witness::Restore => "restore",
    };
    let state = if finding.missed {
        ": MISSED"
    } else if finding.skipped.is_some() {
        ": not possible here"
    } else {
        ""
    };
    format!(
        "| {}{state} | {} | {} | {last} | {} | {} | {} | {} | {pybackup} |",
        damage.name,
        damage.what,
        damage.layout.title(),
        mark(finding.by_digest),
        mark(finding.by_evidence),
        mark(finding.by_restore),
        mark(finding.at_once),
    )
}

/// One finding as it comes.
pub(super) fn line(finding: &Finding) -> String {
    let words = finding.skipped.as_ref().unwrap_or(&finding.words);
    format!("{}\n    {words}", row(finding))
}
