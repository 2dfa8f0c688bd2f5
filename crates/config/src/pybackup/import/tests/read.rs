//! How a script is read: what is a function, a pattern, a quote, and what is none.

use super::*;

const DUMP: &str = "pybackup mydumper outputdir=/b/`date +%F`\n";
const REMOVAL: &str = "rm -rf /b/`date -d '3 days ago' +%F`\n";

/// No job comes of the script, and that is told of this line.
fn is_told(script: &str, line: usize) {
    let imported = Host::of_script(script);
    assert_eq!(imported.jobs, 0, "{script}{}", imported.schedule);
    let told = |remark: &Remark| remark.is_gap && remark.place.line == line;
    assert!(
        imported.remarks.iter().any(told),
        "{script}{:#?}",
        remarks(&imported)
    );
}

#[test]
fn a_function_is_one_however_its_head_is_written() {
    for head in [
        "NAME() {",
        "NAME () {",
        "NAME ( ) {",
        "function NAME {",
        "function NAME() {",
        "function NAME () {",
        "function NAME ( )\n{",
        "function NAME\n{",
        "function NAME { :;",
    ] {
        let define = |name: &str, body: &str| format!("{} {body}\n}}\n", head.replace("NAME", name));
        let at = head.lines().count();
        // It is run where it is called, under what the call stands under.
        let script = format!(
            "{}if [ \"$(hostname)\" = db1 ]; then backup; fi\n",
            define("backup", DUMP)
        );
        is_told(&script, at);
        // One that nobody calls sets nothing.
        let script = format!(
            "D=/data/bk\n{}pybackup mydumper outputdir=$D/x/`date +%F`\n",
            define("usb", "D=/mnt/usb")
        );
        let imported = Host::of_script(&script);
        assert!(
            !imported.schedule.contains("/mnt/usb"),
            "{script}{}",
            imported.schedule
        );
        // Nor does it end the script.
        let script = format!("{}{DUMP}", define("die", "exit 1"));
        assert_eq!(Host::of_script(&script).jobs, 1, "{script}");
        // Its arguments are not the script's.
        let call = "pybackup mydumper database=$1 outputdir=/b/`date +%F`\n";
        let imported = Host {
            conf: CONF,
            crontab: "0 4 * * * /x.sh wrong\n",
            scripts: vec![("/x.sh", &format!("{}backup shop\n", define("backup", call)))],
        }
        .import();
        assert!(
            !imported.schedule.contains("wrong"),
            "{head}{}",
            imported.schedule
        );
    }
    let both = format!(
        "function full() {{ {DUMP}}}\nfunction part() {{ {DUMP}}}\n[ $(date +%u) = 7 ] && full || part\n"
    );
    is_told(&both, 1);
    is_told(&both, 3);
    // A body of another kind is one, too.
    for body in ["if true; then\nBODYfi", "(\nBODY)", "for x in 1; do\nBODYdone"] {
        let script = format!("backup() {}\n[ $X = 1 ] && backup\n", body.replace("BODY", DUMP));
        is_told(&script, 2);
    }
}

#[test]
fn a_quote_in_brackets_hides_nothing_behind_it() {
    for (before, after) in [
        ("x=\"${1//\\\"/}\"", "y=\"${2//\\\"/}\""),
        ("x=$(hostname | sed s/\\'//g)", "y=$(hostname | sed s/\\'//g)"),
        ("x=$(cat /x # it's here\n)", "y=$(cat /y # it's here\n)"),
        ("x=$(echo \"a\\\"b)\")", "y=$(echo \"a\\\"b)\")"),
        ("x=\"$(echo \"${a:-it's}\")\"", "y='it'"),
        ("x=`echo \\\"`", "y=`echo \\\"`"),
        ("x=\"${1:-it's}\"", "y=\"${1:-it's}\""),
    ] {
        let lines = before.lines().count();
        let script = format!("{before}\n[ -f /etc/master ] || exit 0\n{after}\n{DUMP}");
        is_told(&script, lines + after.lines().count() + 2);
        // And is no condition by itself, where the second reader reads it, too.
        if before.contains(":-it's") {
            continue;
        }
        let imported = Host::of_script(&format!("{before}\n{after}\n{DUMP}"));
        assert_eq!(imported.jobs, 1, "{before}{:#?}", remarks(&imported));
    }
}

#[test]
fn a_pattern_may_stand_in_brackets() {
    for head in [
        "case \"$1\" in (test)",
        "case \"$1\" in\n(test)",
        "case \"$1\" in\n  (a|test)",
    ] {
        let at = head.lines().count();
        is_told(&format!("{head} exit 0;; esac\n{DUMP}"), at + 1);
        let script = format!(
            "DIR=/b\n{head} echo x;; (true) DIR=/data/other;; esac\npybackup mydumper outputdir=$DIR\n"
        );
        is_told(&script, at + 2);
        let script = format!("{head} echo x;;\n (true)\n{DUMP};;\nesac\n");
        is_told(&script, at + 2);
    }
}

#[test]
fn of_a_text_that_two_readers_read_otherwise_nothing_is_certain() {
    for odd in [
        "select x in a b; do break; done",
        "for ((i = 0; i < 3; i++)); do echo $i; done",
        "\"if\" [ -f /etc/master ]",
        "case $1 in @(a|b)) exit;; esac",
        "echo )",
        "time { echo x; }",
        "echo 'open",
        "x=$(echo",
    ] {
        for (before, after) in [(true, false), (false, true)] {
            let line = |is: bool| if is { format!("{odd}\n") } else { String::new() };
            let script = format!("{}{DUMP}{REMOVAL}{}", line(before), line(after));
            let imported = Host::of_script(&script);
            assert_eq!(imported.jobs, 0, "{script}{}", imported.schedule);
            let at = if before { 1 } else { 3 };
            let told = |remark: &Remark| {
                remark.is_gap
                    && (at..=3).contains(&remark.place.line)
                    && remark.text.contains("not understood here")
            };
            assert!(
                imported.remarks.iter().any(told),
                "{script}{:#?}",
                remarks(&imported)
            );
            assert_ne!(imported.lines[0].fate, Fate::Translated, "{script}");
        }
    }
    // One that is read in may have set anything; one that is called changes nothing here.
    for (call, jobs) in [(". /odd.sh", 0), ("/odd.sh", 1), ("sh -c 'echo )'", 1)] {
        let script = format!("D=/b\n{call}\npybackup mydumper outputdir=$D/`date +%F`\n");
        let imported = Host {
            conf: CONF,
            crontab: "0 4 * * * /x.sh\n",
            scripts: vec![
                ("/x.sh", &script),
                ("/odd.sh", "D=/c\nselect x in a; do break; done\n"),
            ],
        }
        .import();
        assert_eq!(imported.jobs, jobs, "{call}{:#?}", remarks(&imported));
        assert!(
            remarks(&imported).concat().contains("not understood here"),
            "{call}"
        );
    }
    // Of a system's own that names no tool nothing is said; of a line of the crontab it is.
    let of_line = |line: &str| {
        let crontab = format!("0 4 * * * {line}\n");
        Host {
            conf: CONF,
            crontab: &crontab,
            scripts: vec![("/usr/lib/x.sh", "select x in a; do break; done\n")],
        }
        .import()
    };
    assert_eq!(of_line("/usr/lib/x.sh").lines[0].fate, Fate::LeftAlone);
    assert_eq!(of_line("echo ) /x").lines[0].fate, Fate::NotUnderstood);
}

#[test]
fn what_a_file_that_is_read_in_defines_is_run_where_it_is_called() {
    const LIB: &str = "log() { echo $1; }\nrequire_master() { [ -f /etc/master ] || exit 1; }\n\
        die() { log x; exit 1; }\nother() { D=/c; }\nmake() { pybackup mydumper outputdir=/b/`date +%F`; }\n";
    let of = |script: &str| {
        Host {
            conf: CONF,
            crontab: "0 4 * * * /x.sh\n",
            scripts: vec![("/x.sh", script), ("/lib.sh", LIB)],
        }
        .import()
    };
    for (script, jobs) in [
        (format!(". /lib.sh\nlog begin\n{DUMP}"), 1),
        (format!(". /lib.sh\nrequire_master\n{DUMP}"), 0),
        (format!(". /lib.sh\n[ `hostname` = db1 ] || die\n{DUMP}"), 0),
        (format!(". /lib.sh\n[ -d /b ] || die\n{DUMP}"), 1),
        (format!(". /lib.sh\ndie\n{DUMP}"), 0),
        (
            ". /lib.sh\nD=/b\nother\npybackup mydumper outputdir=$D/`date +%F`\n".to_owned(),
            0,
        ),
        (". /lib.sh\nmake\n".to_owned(), 1),
        (". /lib.sh\n[ `hostname` = db1 ] && make\n".to_owned(), 0),
    ] {
        let imported = of(&script);
        assert_eq!(imported.jobs, jobs, "{script}{:#?}", remarks(&imported));
        assert!(
            jobs == 1 || imported.remarks.iter().any(|remark| remark.is_gap),
            "{script}"
        );
    }
}

#[test]
fn what_ends_a_script_or_may_be_another_is_heeded() {
    // Another program in its place.
    is_told(&format!("exec /opt/other.sh\n{DUMP}"), 2);
    is_told(&format!("[ -f /etc/standby ] && exec /opt/other.sh\n{DUMP}"), 2);
    assert_eq!(
        Host::of_script(&format!("exec > /x.log\n(exec /opt/other.sh)\n{DUMP}")).jobs,
        1
    );
    // Which of two functions it is depends.
    let two = "bk() { pybackup mydumper outputdir=/b; }\nbk() { pybackup mydumper outputdir=/c; }\nbk\n";
    is_told(two, 1);
    // A variable under another name.
    for declare in ["declare -n R=OUT", "typeset -n R=OUT", "declare -nr R=OUT"] {
        is_told(
            &format!("OUT=/b\n{declare}\nR=/y\npybackup mydumper outputdir=$OUT\n"),
            4,
        );
    }
    let imported = Host::of_script(&format!(
        "if pgrep -f mydumper; then exit; fi\necho \"pybackup begins\"\n{DUMP}"
    ));
    assert_eq!(
        imported.lines[0].fate,
        Fate::Translated,
        "{:#?}",
        remarks(&imported)
    );
}

#[test]
fn what_is_said_of_several_lines_is_said_once() {
    let remark = |file: &str, line, text: &str| {
        let place = Place {
            file: PathBuf::from(file),
            line,
        };
        Remark::gap(place, text.to_owned())
    };
    let remarks = [
        remark("/a", 1, "x"),
        remark("/a", 2, "y"),
        remark("/a", 7, "x"),
        remark("/b", 3, "x"),
        remark("/b", 4, "x"),
    ];
    assert_eq!(told_once(&remarks), ["/a:1, 7, /b:3, 4: x", "/a:2: y"]);
}

#[test]
fn a_quote_that_is_not_closed_is_named_with_the_line_on_which_it_begins() {
    let imported = Host::of_script("D=/b\npybackup mydumper outputdir=\"$D/`date +%F`\necho done\n");
    assert_eq!(imported.jobs, 0, "{}", imported.schedule);
    let told = |remark: &Remark| {
        remark.is_gap && remark.place.line == 2 && remark.text.contains("not understood here")
    };
    assert!(imported.remarks.iter().any(told), "{:#?}", remarks(&imported));
    assert_eq!(imported.lines[0].fate, Fate::NotUnderstood);
    // In the conf it is a letter like another, as it is to pybackup.
    let conf = CONF.replace("db_user=root", "db_user=\"root");
    assert_ne!(conf, CONF);
    let host = Host {
        conf: &conf,
        crontab: "0 4 * * * /x.sh\n",
        scripts: vec![("/x.sh", "pybackup mydumper outputdir=/b/`date +%F`\n")],
    };
    let imported = host.import();
    assert!(
        imported.keeper.contains("mysql://%22root@"),
        "{}",
        imported.keeper
    );
}
