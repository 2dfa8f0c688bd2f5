//! No removal of a script runs by itself that is not of plain statements from end to end.

use super::statements::{ODD, PLAIN};
use super::*;

const DUMP: &str = "pybackup mydumper outputdir=/b/`date +%F`\n";
const REMOVALS: [&str; 2] = [
    "rm -rf /b/`date -d '3 days ago' +%F`\n",
    "find /b -name \"20*\" ! -name \"*-01\" -type d -mtime +31 -exec rm -r {} \\;\n",
];
const OTHERS: [(&str, &str); 6] = [
    ("/mode-644", "#!/bin/sh\necho x\n"),
    ("/ends.sh", "#!/bin/sh\r\necho x\n"),
    (
        "/written.sh",
        "#!/bin/sh\necho 'exit 1' > /closed.sh\n/closed.sh\n",
    ),
    (
        "/closed.sh",
        "#!/bin/bash\necho $1\nrm -rf /c/`date -d '2 days ago' +%F`\n",
    ),
    ("/open.sh", "#!/bin/sh\nset -e\npybackup only-rsync\n"),
    ("/strict.sh", "#!/bin/sh -eu\necho x\n"),
];

fn host<'a>(crontab: &'a str, script: &'a str) -> Imported {
    let mut scripts = vec![("/x.sh", script), ("/b/y.sh", script)];
    scripts.extend(OTHERS);
    let host = Host {
        conf: CONF,
        crontab,
        scripts,
    };
    host.read()
}

fn runs_a_removal(imported: &Imported) -> bool {
    imported.schedule.contains("\n[retention.")
}

#[test]
fn beside_anything_that_is_not_plain_no_removal_runs() {
    for (number, odd) in ODD.iter().enumerate() {
        let lines = odd.lines().count();
        for at in 0..3 {
            // Each of both, since what a pattern means takes a while to find out.
            let removal = REMOVALS[usize::from((number + at) % 8 == 0)];
            let mut parts = vec![DUMP.to_owned(), removal.to_owned()];
            parts.insert(at, format!("{odd}\n"));
            let script = parts.concat();
            let imported = host("0 4 * * * /x.sh\n", &script);
            assert!(!runs_a_removal(&imported), "{script}{}", imported.schedule);
            let told = remarks(&imported).concat();
            if imported.schedule.contains("\n# [retention.prune]") {
                // Which line it is, wherever the odd one begins and ends.
                let mut named = (at + 1..=at + lines).map(|line| format!(" at /x.sh:{line} is none of"));
                let is_of_other = [
                    "/open.sh:2",
                    "/strict.sh:1",
                    "/mode-644:1",
                    "/ends.sh:1",
                    "/written.sh:2",
                ]
                .iter()
                .any(|place| told.contains(place));
                let is_open = odd.contains("open");
                assert!(
                    is_of_other || is_open || named.any(|named| told.contains(&named)),
                    "{script}{told}"
                );
                assert!(told.contains("write it by hand"), "{told}");
            }
            assert!(told.contains("GAP"), "{script}{told}");
        }
    }
    // Around it.
    for (before, after) in [
        ("if true; then\n", "fi\n"),
        ("for d in $(cat /x); do\n", "done\n"),
        ("for d in $(find /b -mtime +7); do\n", "done\n"),
        ("while false; do\n", "done\n"),
        ("case $1 in\nx)\n", ";;\nesac\n"),
        ("clean() {\n", "}\nclean\n"),
        ("function clean() {\n", "}\n"),
        ("{\n", "}\n"),
        ("(\n", ")\n"),
        ("cat <<EOF\n", "EOF\n"),
        ("cat <<'EOF' > /y\n", "EOF\n"),
        (": '\n", "'\n"),
        ("echo \"\n", "\"\n"),
        ("false &&\n", ""),
        ("true ||\n", ""),
        ("pybackup only-rsync && ", ""),
        ("! ", ""),
        ("nice ", ""),
        ("sudo ", ""),
        ("echo ", ""),
        ("D=4 ", ""),
        ("TZ=UTC ", ""),
        ("echo $(\n", ")\n"),
        ("if false; then\n:\nelse\n", "fi\n"),
    ] {
        for removal in REMOVALS {
            let script = format!("{DUMP}{before}{removal}{after}");
            let imported = host("0 4 * * * /x.sh\n", &script);
            assert!(!runs_a_removal(&imported), "{script}{}", imported.schedule);
        }
    }
}

#[test]
fn beside_plain_statements_a_removal_runs() {
    for plain in PLAIN {
        for at in 0..3 {
            for removal in REMOVALS.into_iter().skip(usize::from(at == 1)).take(1) {
                let mut parts = vec![DUMP.to_owned(), removal.to_owned()];
                parts.insert(at, format!("{plain}\n"));
                let script = parts.concat();
                let imported = host("0 4 * * * /x.sh\n", &script);
                assert!(
                    runs_a_removal(&imported),
                    "{script}{}{:#?}",
                    imported.schedule,
                    remarks(&imported)
                );
            }
        }
    }
    // The documentation's own scripts, as they are printed.
    let find = MARK_LINES.replace("2017*", "20*");
    for (path, script) in [
        ("/data/backup_db/pybackup.sh", DUMP_SCRIPT),
        ("/clean.sh", find.as_str()),
    ] {
        for first in ["", "#!/bin/bash\n", "#! /usr/bin/env bash\n"] {
            let crontab =
                format!("MAILTO=\"\"\nPATH=/sbin:/bin:/usr/bin\n0 4 * * * {path}>> /sh.log 2>&1 \n");
            let script = format!("{first}{script}");
            let scripts = vec![(path, script.as_str())];
            let host = Host {
                conf: CONF,
                crontab: &crontab,
                scripts,
            };
            assert!(
                runs_a_removal(&host.import()),
                "{script}{:#?}",
                remarks(&host.read())
            );
        }
        // A profile that was read before may have changed anything.
        let script = format!("source ~/.bash_profile\n{script}");
        let scripts = vec![(path, script.as_str())];
        let crontab = format!("0 4 * * * {path}\n");
        let host = Host {
            conf: CONF,
            crontab: &crontab,
            scripts,
        };
        let imported = host.import();
        assert!(!runs_a_removal(&imported), "{script}");
        let told = format!("commented out, since ~/.bash_profile, which is read in at {path}:1, may change");
        assert!(
            remarks(&imported).concat().contains(&told),
            "{:#?}",
            remarks(&imported)
        );
    }
}

#[test]
fn a_folder_of_today_is_made_nowhere_in_what_find_goes_through() {
    for (made, is_plain) in [
        ("mkdir -p /b/`date +%F`", true),
        ("mkdir -p /b/2017-01-01/`date +%F`", false),
        ("mkdir -p /c/x/`date +%F`", true),
        // Nor a file.
        ("echo x >> /b/x.log", true),
        ("echo x > /b/2017-01-01/checked", false),
        ("echo x > /b/`date -d '9 days ago' +%F`/checked", false),
        ("cd /b\necho x > 2017-01-01/checked", false),
        ("echo x > 2017-01-01/checked", false),
        ("echo x > /b/../b/2017-01-01/checked", false),
        ("echo x > /c/2017-01-01/checked", true),
    ] {
        let script = format!("{DUMP}{made}\n{}", REMOVALS[1]);
        let imported = host("0 4 * * * /x.sh\n", &script);
        assert_eq!(
            runs_a_removal(&imported),
            is_plain,
            "{script}{:#?}",
            remarks(&imported)
        );
    }
}

#[test]
fn the_line_of_the_crontab_is_held_to_the_same_rule() {
    let script = format!("{DUMP}{}", REMOVALS[0]);
    for (lines, is_plain) in [
        ("0 4 * * * /x.sh", true),
        ("0 4 * * * root /x.sh >> /x.log 2>&1", true),
        ("0 4 * * * sh /x.sh > /dev/null", true),
        ("0 4 * * * cd /b && ./y.sh", true),
        ("0 4 * * * cd /b && sh y.sh a b", true),
        ("0 4 * * * cd /b; ./y.sh", true),
        ("SHELL=/bin/bash\nMAILTO=x\n0 4 * * * /x.sh", true),
        ("0 4 * * * /x.sh &", false),
        ("0 4 * * * /x.sh &> /x.log", false),
        ("0 4 * * * /x.sh | tee /x.log", false),
        ("0 4 * * * /x.sh && echo x", false),
        ("0 4 * * * /x.sh || echo x", false),
        ("0 4 * * * true && /x.sh", false),
        ("0 4 * * * [ -x /x.sh ] && /x.sh", false),
        ("0 4 * * * [ $(date +\\%u) = 7 ] && /x.sh", false),
        ("0 4 * * * cd /b || /b/y.sh", false),
        ("0 4 * * * cd $X && /b/y.sh", false),
        ("0 4 * * * cd /b && ./y.sh && echo x", false),
        ("0 4 * * * echo x; cd /b && ./y.sh", false),
        ("0 4 * * * nice /x.sh", false),
        ("0 4 * * * flock -n /l /x.sh", false),
        ("0 4 * * * timeout 10 /x.sh", false),
        ("0 4 * * * env D=4 /x.sh", false),
        ("0 4 * * * TZ=UTC /x.sh", false),
        ("0 4 * * * (/x.sh)", false),
        ("0 4 * * * . /x.sh", false),
        ("0 4 * * * bash -e /x.sh", false),
        ("0 4 * * * bash -c /x.sh", false),
        ("0 4 * * * bash -c '/x.sh; true'", false),
        ("0 4 * * * /x.sh; sleep 5", false),
        ("0 4 * * * /open.sh; /x.sh", false),
        ("0 4 * * * ssh h /x.sh", false),
        ("TZ=America/Lima\n0 4 * * * /x.sh", false),
        ("SHELL=/usr/bin/fish\n0 4 * * * /x.sh", false),
        ("PATH=/opt/bin:/bin\n0 4 * * * /x.sh", false),
        ("CRON_TZ=Europe/Berlin\n0 4 * * * /x.sh", false),
    ] {
        let imported = host(&format!("{lines}\n"), &script);
        assert_eq!(
            runs_a_removal(&imported),
            is_plain,
            "{lines}\n{}{:#?}",
            imported.schedule,
            remarks(&imported)
        );
    }
    // A removal in the line itself.
    for (line, is_plain) in [
        ("rm -rf /b/$(date -d '3 days ago' +\\%F)", true),
        ("rm -rf /b/$(date -d '3 days ago' +%F)", false),
        ("find /b -name '20*' -mtime +7 -exec rm -rf {} +", true),
        ("find /b -name '20*' -mtime +7 | xargs rm -rf", false),
    ] {
        let imported = host(
            &format!("0 4 * * * {DUMP}0 5 * * * {line}\n").replacen("+%F", "+\\%F", 1),
            "",
        );
        assert_eq!(
            runs_a_removal(&imported),
            is_plain,
            "{line}\n{}",
            imported.schedule
        );
    }
}

#[test]
fn a_script_that_is_called_is_held_to_the_same_rule() {
    let host =
        |outer: &str, inner: &str| Host::of("0 4 * * * /x.sh\n", &[("/x.sh", outer), ("/y.sh", inner)]);
    let inner = format!("#!/bin/sh\n{DUMP}{}", REMOVALS[0]);
    assert!(runs_a_removal(&host("echo x\n/y.sh\n", &inner)));
    for (outer, inner) in [
        ("set -e\n/y.sh\n", inner.clone()),
        ("/y.sh\necho x | cat\n", inner.clone()),
        ("/y.sh\n", format!("{inner}exit 1\n")),
        ("/y.sh\n", inner.replace("/bin/sh", "/bin/sh -e")),
        ("/y.sh\n", inner.replace("/bin/sh", "/usr/bin/python3")),
        ("/y.sh\n", format!("{inner}/x.sh\n")),
    ] {
        let imported = host(outer, &inner);
        assert!(!runs_a_removal(&imported), "{outer}{inner}{}", imported.schedule);
    }
    // What a script does not hand down its scripts do not know.
    let dump = "pybackup mydumper outputdir=$DIR\n";
    assert_eq!(host("DIR=/b\n/y.sh\n", dump).jobs, 0);
    assert_eq!(host("export DIR=/b\n/y.sh\n", dump).jobs, 1);
}
