//! How a script is read: what is a function, a pattern, a quote, and what is none.

use super::*;

const DUMP: &str = "pybackup mydumper outputdir=/b/`date +%F`\n";

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
        // And is no condition by itself.
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
