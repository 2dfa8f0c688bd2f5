//! What is left to a person when the jobs run.

use super::*;

const DUMP: &str = "pybackup mydumper database=a outputdir=/b/`date +\\%F`";

#[test]
fn the_lines_that_jobs_stand_for_are_given_as_comments_without_passwords() {
    let crontab = format!(
        "0 4 * * * {DUMP}\n5 4 * * * /usr/sbin/ntpdate pool\n@daily {DUMP} threads=2\n\
         0 6 * * * {DUMP} user=u password=S3cretWord\n@weekly {DUMP} user=u password=S3cretWord\n\
         0 7 * * * {DUMP} database=c; mysqldump x > /c/x.sql\n0 8 * * * /gone/backup.sh\n"
    );
    let imported = Host::of(&crontab, &[]);
    let moved: Vec<(usize, Option<&str>)> = imported
        .moved
        .iter()
        .map(|(place, text)| (place.line, text.as_deref()))
        .collect();
    let lines: Vec<usize> = moved.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [1, 3, 4, 5, 6], "{:#?}", imported.lines);
    assert_eq!(moved[0].1, Some(format!("#0 4 * * * {DUMP}").as_str()));
    assert_eq!(moved[1].1, Some(format!("#@daily {DUMP} threads=2").as_str()));
    assert_eq!((moved[2].1, moved[3].1), (None, None));
    assert!(moved[4].1.is_some_and(|text| text.starts_with("#0 7 ")));
}

#[test]
fn a_line_of_which_nothing_runs_stays_with_cron() {
    let script = format!("if mysqladmin ping; then {DUMP}; fi\nfind /b -mtime +5 -exec rm -r {{}} +\n");
    let imported = Host::of("0 1 * * * /x.sh\n", &[("/x.sh", &script)]);
    assert_eq!(imported.jobs, 0, "{}", imported.schedule);
    assert!(
        imported.schedule.contains("# [retention."),
        "{}",
        imported.schedule
    );
    assert!(imported.moved.is_empty(), "{:#?}", imported.moved);
}

#[test]
fn what_sends_later_is_added_and_told_where_no_line_does_that_each_day() {
    for (line, added) in [
        ("", 1),
        ("0 5 * * * pybackup only-rsync --backup-dir=/b/x\n", 0),
        ("@daily pybackup only-rsync --backup-dir=/b/x\n", 0),
        ("0 5 * * 0 pybackup only-rsync --bk-id=x --backup-dir=/b/x\n", 1),
        ("@weekly pybackup only-rsync --backup-dir=/b/x\n", 1),
    ] {
        let imported = Host::of(&format!("0 4 * * * {DUMP}\n{line}"), &[]);
        let told = remarks(&imported).concat();
        assert_eq!(imported.added, added, "{line}{}", imported.schedule);
        assert_eq!(
            told.contains("is added, which sends every half hour"),
            added == 1,
            "{line}{told}"
        );
        assert!(told.contains("sets of a job look otherwise"), "{told}");
    }
    let rule = "rm -rf /b/`date -d '3 days ago' +%F`\n";
    let script = format!("{}\n{rule}", DUMP.replace('\\', ""));
    let imported = Host::of("0 4 * * * /x.sh\n", &[("/x.sh", &script)]);
    assert_eq!(imported.removing, ["prune"], "{:#?}", remarks(&imported));
}

#[test]
fn whom_cron_mails_is_told_and_written_as_a_comment() {
    for (mail, to) in [
        ("", None),
        ("MAILTO=\"\"\n", None),
        ("MAILTO=dba@example.org\n", Some("[\"dba@example.org\"]")),
        (
            "MAILTO=\"b@x.org, a@x.org\"\n",
            Some("[\"a@x.org\", \"b@x.org\"]"),
        ),
        ("MAILTO=x@x.org\nMAILTO=\n", None),
    ] {
        let imported = Host::of(&format!("{mail}0 4 * * * {DUMP}\n"), &[]);
        let told = remarks(&imported).concat();
        assert_eq!(told.contains("cron mails"), to.is_some(), "{mail}{told}");
        assert_eq!(
            imported.keeper.contains("# [notify.mail.cron]"),
            to.is_some(),
            "{mail}"
        );
        let Some(to) = to else { continue };
        assert!(
            imported.keeper.contains(&format!("\n# to = {to}")),
            "{}",
            imported.keeper
        );
        assert_eq!(imported.lines[0].fate, Fate::Translated, "{told}");
        // As a person has it who uncomments it.
        let mut uncommented = imported.clone();
        let mut is_mail = false;
        let lines = imported.keeper.lines().map(|line| {
            is_mail |= line.starts_with("# [notify.");
            line.strip_prefix("# ").filter(|_| is_mail).unwrap_or(line)
        });
        uncommented.keeper = lines.map(|line| format!("{line}\n")).collect();
        loads(&uncommented);
    }
    // Of lines that are no jobs nothing is said.
    let imported = Host::of(
        &format!("0 4 * * * {DUMP}\nMAILTO=x@x.org\n5 4 * * * true\n"),
        &[],
    );
    assert!(!remarks(&imported).concat().contains("cron mails"));
}
