//! Programs that are called by their names alone, and what others run that are not followed.

use super::*;

const DUMP: &str = "#!/bin/sh\npybackup mydumper outputdir=/b/`date +%F`\n";

fn of(crontab: &str) -> Imported {
    let script = |text: &'static str| ("/x.sh", text);
    let called = "#!/bin/bash\nPATH=/srv/bin:$PATH\nbackup.sh\n";
    Host::of(
        crontab,
        &[
            ("/srv/bin/backup.sh", DUMP),
            ("/srv/bin/nightly", DUMP),
            ("/srv/bin/mode-644", DUMP),
            ("/srv/bin/keep", "#!/usr/bin/perl\nsystem 'pybackup mydumper';\n"),
            script(called),
        ],
    )
}

#[test]
fn a_name_alone_is_looked_for_where_the_shell_looks() {
    for (crontab, jobs) in [
        ("PATH=/usr/bin:/srv/bin\n0 4 * * * backup.sh\n", 1),
        ("PATH=/srv/bin:/usr/bin\n0 4 * * * nice nightly >/dev/null\n", 1),
        ("0 4 * * * PATH=/srv/bin:$PATH; nightly\n", 1),
        ("0 4 * * * PATH=/srv/bin:$PATH nightly\n", 1),
        ("0 4 * * * export PATH=$PATH:/srv/bin; nightly\n", 1),
        ("0 4 * * * /x.sh\n", 1),
        // A PATH holds for the lines after it.
        ("0 4 * * * nightly\nPATH=/srv/bin\n", 0),
        ("0 4 * * * backup.sh\n", 0),
        // What comes first may be another.
        ("0 4 * * * PATH=$HERE:/srv/bin; nightly\n", 0),
        ("0 4 * * * PATH=bin:/srv/bin; nightly\n", 0),
        ("PATH=/srv/bin\n0 4 * * * . ~/.bash_profile; nightly\n", 0),
        ("PATH=/srv/bin\n0 4 * * * sudo nightly\n", 0),
        ("PATH=/srv/bin\n0 4 * * * keep\n", 0),
        ("PATH=/srv/bin\n0 4 * * * mode-644\n", 0),
    ] {
        let imported = of(crontab);
        assert_eq!(imported.jobs, jobs, "{crontab}{:#?}", remarks(&imported));
        let fate = match jobs {
            1 => Fate::Translated,
            _ => Fate::NotUnderstood,
        };
        assert_eq!(imported.lines[0].fate, fate, "{crontab}{:#?}", remarks(&imported));
    }
    // What comes with the system is left alone, installed or not.
    for line in ["certbot renew", "ntpdate pool", "oddjob", "kill 7"] {
        let crontab = format!("0 4 * * * {line}\n");
        assert_eq!(of(&crontab).lines[0].fate, Fate::LeftAlone, "{line}");
    }
}

#[test]
fn what_an_unknown_program_runs_is_told_with_its_name() {
    for (line, told) in [
        ("setpriv --reuid 7 /srv/bin/nightly", "nightly through setpriv"),
        (
            "cronitor exec d3adb33f /srv/bin/nightly",
            "nightly through cronitor",
        ),
        ("cronitor exec d3adb33f gone.sh", "gone.sh through cronitor"),
        ("oddjob -x '/srv/gone.sh --all; true'", "gone.sh through oddjob"),
        ("parallel ::: /srv/gone", "gone through parallel"),
        ("unshare -n /srv/gone", "gone through unshare"),
        ("chpst -e /env /srv/bin/nightly", "\"nightly\""),
        (
            "oddjob run pybackup mydumper database=a",
            "in what this line runs",
        ),
    ] {
        let imported = of(&format!("0 4 * * * {line}\n"));
        assert_eq!(imported.jobs, 0, "{line}");
        assert_eq!(imported.lines[0].fate, Fate::NotUnderstood, "{line}");
        let shown = remarks(&imported);
        assert!(shown.concat().contains(told), "{line}{shown:#?}");
    }
    // Beside a call that is understood.
    let imported = of("0 4 * * * pybackup mydumper outputdir=/b/`date +\\%F`; oddjob -x /srv/gone.sh\n");
    assert!(
        remarks(&imported)
            .concat()
            .contains("this runs gone.sh through oddjob, which is not followed"),
        "{:#?}",
        remarks(&imported)
    );
    // What copies a script does not run it.
    let imported = of("0 4 * * * rsync /srv/gone.sh /etc/x.sh h::m\n");
    assert_eq!(imported.lines[0].fate, Fate::NotUnderstood);
    let imported = of("0 4 * * * oddjob --config /etc/x.conf\n");
    assert_eq!(
        imported.lines[0].fate,
        Fate::LeftAlone,
        "{:#?}",
        remarks(&imported)
    );
}
