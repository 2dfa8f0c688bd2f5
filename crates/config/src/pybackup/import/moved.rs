//! What is left to a person when the jobs run: the lines of the crontab that they stand for, and whom cron has mailed.

use super::page::{Page, list, quoted};
use super::schedule::Written;
use super::{CronReport, Entry, Fate, ImportFrom, PasswordFile, Place, Remark};
use secrecy::ExposeSecret;
use std::collections::BTreeSet;

/// Whom cron mails what lines print of which jobs come, and where that stands.
pub(super) fn mails(entries: &[Entry]) -> Vec<(Place, String)> {
    let of_entry = |entry: &Entry| {
        let (to, line) = entry.mail.clone()?;
        let file = entry.place.file.clone();
        Some((Place { file, line }, to))
    };
    let mails: BTreeSet<(Place, String)> = entries.iter().filter_map(of_entry).collect();
    mails.into_iter().collect()
}

/// The same people as those whom mykeeper might tell: which server takes its mail nobody has said.
pub(super) fn write_mail(page: &mut Page, mails: &[(Place, String)], remarks: &mut Vec<Remark>) {
    let Some((first, _)) = mails.first() else { return };
    let to = mails.iter().flat_map(|(_, to)| to.split(','));
    let to: BTreeSet<&str> = to.map(str::trim).filter(|to| !to.is_empty()).collect();
    let sender = to.first().copied().unwrap_or_default();
    page.gap();
    page.remark(
        "Cron has mailed these what its lines print; the daemon tells nobody until this is in force.",
    );
    page.remark(
        "What to do: name a server that takes mail, and addresses that are whole, and take the \"# \" away;",
    );
    page.remark("then \"mykeeper notify test\".");
    page.comment_out(true);
    page.section("notify.mail.cron", first);
    page.key("host", quoted("localhost"), "a server that takes mail");
    page.key("port", 25, "a server that takes mail");
    page.key("tls", quoted("none"), "a server that takes mail");
    page.key("from", quoted(sender), first);
    page.key("to", list(&to), first);
    page.comment_out(false);
    for (place, to) in mails {
        let text = format!(
            "cron mails {to} what its lines print, and the daemon tells nobody of a failure until [notify] says whom: \
             [notify.mail.cron] is written commented out in mykeeper.toml"
        );
        remarks.push(Remark::note(place.clone(), text));
    }
}

/// The lines that jobs stand for which run, as comments.
pub(super) fn commented(
    from: &ImportFrom<'_>,
    lines: &[CronReport],
    (jobs, passwords): (&[Written], &[PasswordFile]),
) -> Vec<(Place, Option<String>)> {
    // Of one whose jobs are all commented out nothing is done but by cron.
    let runs = |line: &CronReport| jobs.iter().any(|job| job.runs && job.entry == line.place);
    let moved = lines
        .iter()
        .filter(|line| matches!(line.fate, Fate::Translated | Fate::InPart) && runs(line));
    let shown = |line: &CronReport| {
        let place = line.place.clone();
        let (_, text) = from.crontabs.iter().find(|(file, _)| *file == place.file)?;
        let text = text.lines().nth(place.line.checked_sub(1)?)?;
        // Not the sign of `@daily`.
        let lower = text.trim_start().trim_start_matches('@').to_lowercase();
        let is_secret = |file: &PasswordFile| text.contains(file.password.expose_secret());
        let may_hold = ["pass", "pwd", "secret", "token", " -p", "@"];
        let is_hidden = may_hold.iter().any(|sign| lower.contains(sign)) || passwords.iter().any(is_secret);
        let is_hidden = is_hidden || text.chars().any(|one| one.is_control() && one != '\t');
        Some((place, (!is_hidden).then(|| format!("#{text}"))))
    };
    moved.filter_map(shown).collect()
}
