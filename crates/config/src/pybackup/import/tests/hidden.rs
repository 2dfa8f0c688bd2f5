//! What a shell makes of lines and words beyond what they look like: told, or not taken for what it is not.

use super::*;

const DUMP: &str = "pybackup mydumper outputdir=/b/`date +%F`\n";
const REMOVAL: &str = "rm -rf /b/`date -d '3 days ago' +%F`\n";

#[test]
fn how_a_line_of_the_crontab_is_read_is_told_where_it_may_be_read_otherwise() {
    let script = format!("{DUMP}{REMOVAL}");
    let of_line = |line: &str| {
        let crontab = format!("{line}\n");
        Host::of(&crontab, &[("/x.sh", &script)])
    };
    for (line, told) in [
        ("0 4 * * * sync /x.sh", "whether \"sync\" is a user"),
        ("0 4 * * * backup /x.sh", "whether \"backup\" is a user"),
        ("0 4 * * * oracle /x.sh", "not followed"),
        ("0 4 * * * run-one /x.sh", "not followed"),
        ("0 4 * * * ssh h /x.sh", "not followed"),
        ("0 4 * * * systemd-run -- /x.sh", "not followed"),
        (
            "0 4 * * * bash%mysqldump -A > /x",
            "an unescaped % cuts this line",
        ),
        (
            "0 4 * * * F=x-$(date +%F).sql; mysqldump -A > $F",
            "an unescaped % cuts this line",
        ),
        ("0 4 * * * /x.sh%rm -rf /keep", "an unescaped % cuts this line"),
        ("0 4 * * * /x.sh\r", "cannot be read"),
        ("@reboot /x.sh", "\"@reboot\" is when the host starts"),
    ] {
        let imported = of_line(line);
        let is_told = |remark: &Remark| remark.is_gap && remark.text.contains(told);
        assert!(
            imported.remarks.iter().any(is_told),
            "{line}{:#?}",
            remarks(&imported)
        );
        assert!(
            !imported.schedule.contains("\n[retention."),
            "{line}{}",
            imported.schedule
        );
        assert!(
            matches!(
                imported.lines.first().map(|line| line.fate),
                Some(Fate::NotUnderstood | Fate::InPart)
            ),
            "{line}"
        );
    }
    let at_midnight = of_line("@midnight /x.sh");
    assert!(at_midnight.schedule.contains("\ncron = \"0 0 * * *\""));
}

#[test]
fn a_folder_that_may_be_another_is_none() {
    const CALL: &str = "pybackup mydumper outputdir=$D/`date +%F`\n";
    for (script, directory) in [
        ("D=/a\n(D=/b; echo x)\n$CALL", Some("/a")),
        ("(D=/b; $CALL)\n", Some("/b")),
        ("cd /a; (cd /c; ls); pybackup mydumper\n", Some("/a")),
        ("cd /a; echo | cd /c; pybackup mydumper\n", Some("/a")),
        ("cd /a; { cd /c; } | cat; pybackup mydumper\n", Some("/a")),
        ("cd /a; { cd /c; }; pybackup mydumper\n", Some("/c")),
        ("D=/a\necho x | while read f; do D=/c; done\n$CALL", Some("/a")),
        ("D=/a\nD=/b &\n$CALL", Some("/a")),
        ("D=/old\nD=/new $CALL", Some("/old")),
        ("D=/a\nD=/b /bin/true\n$CALL", Some("/a")),
        ("D=/a\nD=/b :\n$CALL", None),
        ("D=/a\nread D < /x\n$CALL", None),
        ("D=/a\nread -r x D\n$CALL", None),
        ("D=/a\nD+=/sub\n$CALL", None),
        ("D=/a\nD=(/c /d)\n$CALL", None),
        ("D[0]=/a\n$CALL", None),
        ("D=/a\neval D=/c\n$CALL", None),
        ("D=/a\nprintf -v D /c\n$CALL", None),
        ("D=/a\nunset D\n$CALL", None),
        ("D=/a\n. /gone/site.conf\n$CALL", None),
        ("D=/a\n. ~/.bash_profile\n$CALL", Some("/a")),
        ("D=/a\nf() { local D=/z; }\nf\n$CALL", None),
        ("D=/a\nf() { D=/z; }\nf\n$CALL", None),
        ("f() { D=/z; }\nD=/a\nf\n$CALL", None),
        ("main() { D=/a; $CALL}\nmain\n", Some("/a")),
        ("cd /a\nf() { cd /c; }\nf\npybackup mydumper\n", None),
        ("cd /a\ncd -\npybackup mydumper\n", None),
        ("cd /a\npopd\npybackup mydumper\n", None),
        (
            "D=/b\nDX=/c\npybackup mydumper outputdir=$D\\\nX/`date +%F`\n",
            None,
        ),
        ("set -- /a\npybackup mydumper outputdir=$1\n", None),
        ("D='/a /b'\n$CALL", None),
        ("D='/a /b'\npybackup mydumper \"outputdir=$D\"\n", Some("/a /b")),
        ("cat <<EOF\n  EOF \n$CALLEOF\n", None),
        ("D=/a\nfor x in 1 2; do\n$CALL D=/b\ndone\n", None),
        ("D=/a\nfor x in $X; do D=/b; done\n$CALL", None),
        ("D=/a\nfor x in 1 2; do echo $x; done\n$CALL", Some("/a")),
        ("for x in 1 2; do\nD=/b\n$CALL done\n", Some("/b")),
        ("cd /a\nfor x in 1 2; do\npybackup mydumper\ncd /b\ndone\n", None),
        ("D=/a\n[ -d / ] && D=/c\n$CALL", None),
        ("[ -d / ] && D=/c && $CALL", Some("/c")),
    ] {
        let script = script.replace("$CALL", CALL);
        let imported = Host::of_script(&script);
        let key = directory.map(|directory| format!("\ndirectory = \"{directory}\" "));
        match key {
            Some(key) => assert!(imported.schedule.contains(&key), "{script}{}", imported.schedule),
            None => {
                assert_eq!(imported.jobs, 0, "{script}{}", imported.schedule);
                let is_told = |remark: &Remark| remark.is_gap;
                assert!(imported.remarks.iter().any(is_told), "{script}");
            }
        }
    }
}

#[test]
fn what_a_variable_puts_in_without_quotes_is_taken_apart() {
    let of = |options: &str, call: &str| {
        Host::of_script(&format!(
            "O={options}\npybackup mydumper {call} outputdir=/b/`date +%F`\n"
        ))
    };
    let split = of("\"user=bk password=Secret99\"", "$O");
    assert!(split.keeper.contains("\nuser = \"bk\" "), "{}", split.keeper);
    assert!(
        split
            .passwords
            .iter()
            .any(|file| file.password.expose_secret() == "Secret99")
    );
    for imported in [
        split,
        of("\"bk password=Secret99\"", "user=$O"),
        of("\"user=bk password=Secret99\"", "\"$O\""),
        of("\"bk password=Secret99\"", "\"user=$O\""),
        of("'user=b* password=Secret99'", "$O"),
        of("`echo 'user=b password=Secret99'`", "$O"),
    ] {
        let told = format!("{}{}{:?}", imported.keeper, imported.schedule, remarks(&imported));
        assert!(!told.contains("Secret99"), "{told}");
    }
    let database = of("\"database=shop --no-rsync\"", "$O");
    assert!(
        database.schedule.contains("\ndatabases = [\"shop\"]") && !database.schedule.contains("transfer_to"),
        "{}",
        database.schedule
    );
    let three = of("\"compress threads=8 database=shop\"", "$O");
    assert!(
        three
            .schedule
            .contains("\nmydumper = [\"compress\", \"threads=8\"]")
            && three.schedule.contains("\ndatabases = [\"shop\"]"),
        "{}",
        three.schedule
    );
    assert_eq!(of("''", "$O").jobs, 1);
}

#[test]
fn a_file_that_is_read_in_ends_by_return_itself_alone() {
    for (first, jobs) in [
        ("return\n", 1),
        ("[ -n \"$LOADED\" ] && return 0\nA=1\n", 1),
        ("[ -n \"$LOADED\" ] && exit 0\n", 0),
        ("exit\n", 0),
    ] {
        let imported = Host::of(
            "0 4 * * * /x.sh\n",
            &[("/x.sh", &format!(". /env.sh\n{DUMP}")), ("/env.sh", first)],
        );
        assert_eq!(imported.jobs, jobs, "{first}{:#?}", remarks(&imported));
    }
}

#[test]
fn one_thing_that_is_understood_hides_no_other_on_its_line() {
    const HIDDEN: [&str; 6] = [
        "find /k -mtime +3 -exec sh -c 'rm -rf \"$1\"' _ {} \\;",
        "docker exec h sh -c 'rm -rf /x'",
        "curl -s h | sh -c 'mysqldump -A > /x'",
        "ls /k | while read f; do rm \"/k/$f\"; done",
        "rsync -a --delete /e/ /k/",
        "rm -rf /keep/x",
    ];
    const TODAY: &str = "T=`date +%F`\nrm -rf /b/$T";
    for hidden in HIDDEN {
        for (line, number) in [
            (format!("{}; {hidden}", DUMP.trim_end()), 1),
            (format!("{hidden}; {}", DUMP.trim_end()), 1),
            (format!("{DUMP}mail -s x dba; {hidden}"), 2),
            (format!("{DUMP}{TODAY}; {hidden}"), 3),
            (format!("{DUMP}{}; {hidden}", REMOVAL.trim_end()), 2),
            (format!("{DUMP}{TODAY} /keep/x; echo"), 3),
        ] {
            let imported = Host::of_script(&format!("{line}\n"));
            let told = |remark: &Remark| {
                let is_here = remark.is_gap && remark.place.line == number;
                is_here && !remark.text.contains("\"mail\"") && !remark.text.contains("commented out")
            };
            assert!(
                imported.remarks.iter().any(told),
                "{line}{:#?}",
                remarks(&imported)
            );
            assert_eq!(imported.lines[0].fate, Fate::InPart, "{line}");
        }
    }
    // On a line of the crontab.
    let crontab = format!("0 4 * * * pybackup mydumper outputdir=/b; {}\n", HIDDEN[0]);
    let imported = Host::of(&crontab, &[]);
    assert_eq!(imported.lines[0].fate, Fate::InPart, "{:#?}", remarks(&imported));
    assert!(
        remarks(&imported)
            .iter()
            .any(|told| told.contains("\"-exec\", \"pybackup\", which stand here"))
    );
    // And what is understood as a whole is told of as such.
    let whole = format!(
        "{DUMP}OLD=`date -d '3 days ago' +%F`; pybackup mark-del --backup-dir=/b/$OLD; rm -rf /b/$OLD\n"
    );
    let imported = Host::of_script(&whole);
    assert_eq!(
        imported.lines[0].fate,
        Fate::Translated,
        "{:#?}",
        remarks(&imported)
    );
}

#[test]
fn what_is_marked_elsewhere_than_it_is_removed_is_told() {
    let of = |word: &str| Host::of_script(&format!("{DUMP}pybackup mark-del --backup-dir={word}\n{REMOVAL}"));
    for (word, is_gap) in [("/c", true), ("$X", false)] {
        let imported = of(word);
        let told = |remark: &Remark| remark.place.line == 2 && remark.is_gap == is_gap;
        assert!(imported.remarks.iter().any(told), "{:#?}", remarks(&imported));
    }
    let told = remarks(&Host::of_script(&format!("{DUMP}pybackup mark-del --bk-id=7\n")));
    assert!(
        told.iter().any(|told| told.starts_with("GAP /x.sh:2")),
        "{told:#?}"
    );
}

#[test]
fn what_is_not_followed_is_told() {
    for line in [
        "cd /data && python nightly.py",
        "python3 /opt/nightly.py",
        "cd / && run-parts --report /etc/cron.daily",
        "find /k -mtime +3 | parallel rm",
        "rm /k/*.gz",
        "/usr/sbin/holland bk",
        "/usr/bin/dump-all-dbs",
        "nightly",
        "eval mysql''dump -A",
        "bash -n /x.sh",
        "sh -s /x.sh",
        "bash -o noexec /x.sh",
        "/many.sh",
        "/large.sh",
        // Of the folder of sets all that is not known is told.
        "find /b -mtime +3 | xargs mv -t /trash",
        "mv /b/2017-11-01 /trash",
        "/move.sh",
    ] {
        let crontab = format!("0 3 * * * {line}\n0 4 * * * /x.sh\n");
        let imported = Host::of(
            &crontab,
            &[
                ("/x.sh", DUMP),
                ("/opt/nightly.py", "import os\nos.system('mysqldump -A')\n"),
                ("/usr/local/bin/nightly", "#!/usr/bin/perl\nexec 'x'\n"),
                ("/many.sh", &"echo x\n".repeat(10_001)),
                ("/large.sh", &"/long.sh\n".repeat(5)),
                ("/long.sh", &"#".repeat(1 << 20)),
                ("/move.sh", "D=/b\nmv $D/2017-11-01 /trash\n"),
            ],
        );
        assert_eq!(imported.lines[0].fate, Fate::NotUnderstood, "{line}");
        assert_eq!(imported.jobs, 1, "{line}");
        if line.contains("/opt/") {
            let told = remarks(&imported);
            assert!(
                told.iter().any(|told| told.starts_with("GAP /opt/nightly.py:2")),
                "{told:#?}"
            );
        }
    }
    // What looks at it, and what is about others, is left alone.
    for line in [
        "du -sh /b",
        "mv /bin/x /y",
        "mv /c/b /y",
        "/usr/bin/certbot renew",
    ] {
        let crontab = format!("0 3 * * * {line}\n0 4 * * * /x.sh\n");
        let imported = Host::of(&crontab, &[("/x.sh", DUMP)]);
        assert_eq!(imported.lines[0].fate, Fate::LeftAlone, "{line}");
    }
    let imported = Host::of_script("pybackup mydumper outputdir=/\u{FFFD}/`date +%F`\n");
    assert_eq!(imported.jobs, 0, "{}", imported.schedule);
    assert!(remarks(&imported).concat().contains("not UTF-8"));
}
