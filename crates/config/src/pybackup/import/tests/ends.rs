//! How a script ends before its end, and the lock that many begin with.

use super::*;

const DUMP: &str = "pybackup mydumper outputdir=/b/`date +%F`\n";

#[test]
fn what_a_shell_ends_or_does_not_begin_is_told_apart_from_what_looks_like_it() {
    let call = DUMP.trim_end();
    for (script, jobs) in [
        (format!("kill $$\n{DUMP}"), 0),
        (format!("exec /bin/true\n{DUMP}"), 0),
        (format!("command exec /bin/true\n{DUMP}"), 0),
        (format!("{call} < /etc/flag\n"), 0),
        (format!("< /etc/flag {call}\n"), 0),
        (format!("{call} < /dev/null >> /log 2>&1\n"), 1),
        (format!("{call} <<EOF\nx\nEOF\n"), 1),
        (format!("{call} <&-\n"), 1),
        (format!("mysql < /x.sql\n{DUMP}"), 1),
        (format!("exec 3< /etc/flag\n{DUMP}"), 0),
        (format!("exec 3< /etc/flag || exit\n{DUMP}"), 0),
        (format!("exec < /dev/null\n{DUMP}"), 1),
        (format!("ROOT=/b; : ${{ROOT:?}} ${{HOME:?}}\n{DUMP}"), 1),
        (format!(": ${{X:=?}} ${{Y:-a?b}}\n{DUMP}"), 1),
        (format!("kill -0 $$; kill 17; kill $PID\n{DUMP}"), 1),
        (format!("(kill -0 $$; command exit)\n{DUMP}"), 1),
        (format!("command -v pybackup\n{DUMP}"), 1),
    ] {
        let imported = Host::of_script(&script);
        assert_eq!(imported.jobs, jobs, "{script}{:#?}", remarks(&imported));
    }
}

#[test]
fn a_lock_at_the_head_of_a_script_is_no_condition_and_is_noted() {
    for script in [
        "exec 9>/lock\nflock -n 9 || exit 0\n",
        "set -e\nexec 9>/lock; flock -n 9 || exit 0\n",
        "set -euo pipefail\nexec 200>/lock || exit 1\nflock -xn 200 || { echo running; exit 1; }\n",
        "set -e\nexec 9>/lock\nif ! flock -n 9; then echo running; exit 0; fi\n",
        "set -e\nflock -n 9\n",
        "LOCK=9\nflock -n $LOCK || exit\n",
    ] {
        let imported = Host::of_script(&format!("{script}{DUMP}"));
        assert_eq!(imported.jobs, 1, "{script}{:#?}", remarks(&imported));
        assert_eq!(
            imported.lines[0].fate,
            Fate::Translated,
            "{script}{:#?}",
            remarks(&imported)
        );
        let told = remarks(&imported).concat();
        assert!(
            !script.contains("exit") || told.contains("this lock is passed over"),
            "{script}{told}"
        );
    }
    // What is done while it is held elsewhere is.
    let imported = Host::of_script(&format!("flock -n 9 && exit 0\n{DUMP}"));
    assert_eq!(imported.jobs, 0);
}

#[test]
fn what_is_not_set_ends_a_script_in_redirections_and_under_set_u() {
    let call = DUMP.trim_end();
    for (script, jobs) in [
        (format!("{call} > \"${{LOG:?no log}}\"\n"), 0),
        (format!(": > ${{LOG:?}}\n{DUMP}"), 0),
        (format!("LOG=/log; {call} > \"${{LOG:?no log}}\"\n"), 1),
        (format!("set -u\n{DUMP}"), 1),
        (format!("set -u\nD=$1\n{DUMP}"), 0),
        (format!("set -u\necho $ROLE\n{DUMP}"), 0),
        (
            format!("set -eu; D=${{1:-x}}; echo ${{ROLE:-none}} $? $$ $# $HOME\n{DUMP}"),
            1,
        ),
        (format!("set -o nounset\necho $ROLE\n{DUMP}"), 0),
        (format!("set -u; ROLE=`hostname`; echo $ROLE\n{DUMP}"), 1),
        (format!("set -u; set +u; echo $ROLE\n{DUMP}"), 1),
        (format!("#!/bin/bash -u\necho $ROLE\n{DUMP}"), 0),
        (format!("set -u\n{call} > $LOG\n"), 0),
        (format!("echo $ROLE\n{DUMP}"), 1),
    ] {
        let imported = Host::of_script(&script);
        assert_eq!(imported.jobs, jobs, "{script}{:#?}", remarks(&imported));
    }
}

#[test]
fn a_folder_that_is_looked_for_is_usual_care_also_under_set_e() {
    for begin in ["", "set -e\n", "set -euo pipefail\n"] {
        for test in [
            "[ -d /b ] || exit 1",
            "[[ -d /b ]] || { echo none; exit 1; }",
            "[ ! -d /b ] && exit 1",
            "if [ ! -d /b ]; then exit 1; fi",
            "test -d /b || exit 1",
        ] {
            let script = format!("#!/bin/bash\n{begin}{test}\n{DUMP}");
            let imported = Host::of_script(&script);
            assert_eq!(imported.jobs, 1, "{script}{:#?}", remarks(&imported));
            let told = remarks(&imported).concat();
            assert!(told.contains("condition is passed over"), "{script}{told}");
        }
    }
}

#[test]
fn eval_of_an_end_and_a_kill_of_the_script_leave_it_under_their_condition() {
    for (end, jobs) in [
        ("[ -f /etc/nobackup ] && eval exit", 0),
        ("[ -f /etc/nobackup ] && eval \"exit 0\"", 0),
        ("[ -f /etc/nobackup ] && eval $X", 0),
        ("[ -z \"$ROLE\" ] && pkill -f x.sh", 0),
        ("[ -z \"$ROLE\" ] && killall x.sh", 0),
        ("[ -f /x ] && eval \"echo none\"", 1),
        ("pkill -f other-program", 1),
    ] {
        let imported = Host::of_script(&format!("{end}\n{DUMP}"));
        assert_eq!(imported.jobs, jobs, "{end}{:#?}", remarks(&imported));
    }
}
