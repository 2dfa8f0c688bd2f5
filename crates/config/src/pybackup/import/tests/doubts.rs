//! What cannot be told of a script: what a removal removes, whether a backup is made each time, what a line does at all.

use super::*;

const DUMP: &str = "pybackup mydumper outputdir=/b/`date +%F`\n";
const REMOVAL: &str = "rm -rf /b/`date -d '3 days ago' +%F`\n";

#[test]
fn a_loop_that_may_be_left_removes_nothing_by_itself() {
    for script in [
        "for d in $(find /b -mtime +7); do case $d in *-01) continue;; esac; rm -rf \"$d\"; done\n",
        "for d in $(find /b -mtime +7); do rm -rf \"$d\"; break; done\n",
        "for d in $(find /b -mtime +7); do rm -rf \"$d\"; exit; done\n",
        "clean() { rm -rf /b/`date -d '3 days ago' +%F`; }\nclean\n",
    ] {
        is_left_to_a_person(&Host::of_script(&format!("{DUMP}{script}")));
    }
    // The arguments of a function are those of its calls, not those of the script.
    let imported = Host::of(
        "0 4 * * * /x.sh /b/\n",
        &[(
            "/x.sh",
            "pybackup mydumper outputdir=/b\nclean() { rm -rf $1`date -d yesterday +%F`; }\nclean /c/\n",
        )],
    );
    assert!(
        !imported.schedule.contains("[retention."),
        "{}",
        imported.schedule
    );
    assert!(imported.remarks.iter().any(|remark| remark.is_gap));
}

#[test]
fn a_name_that_cannot_be_read_spares_or_means_whatever_it_may() {
    for find in [
        "FIRST=`date +%Y-%m-01`\nfind /b ! -name \"$FIRST\" -mtime +7 -exec rm -rf {} +\n",
        "find /b ! -name '*-[[:digit:]]1' -mtime +7 -exec rm -rf {} +\n",
        "find /b ! -name '*-0[\\1]' -mtime +7 -exec rm -rf {} +\n",
        "find /b -name \"$YEAR*\" -mtime +7 -exec rm -rf {} +\n",
        "find /b -type $T -mtime +7 -exec rm -rf {} +\n",
        "find /b -type d,f -mtime +7 -exec rm -rf {} +\n",
        "find /b -mtime +7 -exec rm -rf {}/tmp \\;\n",
        "find /b -mtime +7 -ok rm -rf {} \\;\n",
        "find /b -mtime +7 | xargs -I{} rm -rf {}/tmp\n",
        "find /b/* -mtime +7 -exec rm -rf {} +\n",
        "find -mtime +7 -exec rm -rf {} +\n",
        "for d in /b/20*; do rm -rf $d; done\n",
        "rm -rf /b/{x,y}\n",
        "rm -rf ~/b/`date -d yesterday +%F`\n",
        "rm -rf /b/../c/`date -d yesterday +%F`\n",
    ] {
        let imported = Host::of_script(&format!("{DUMP}{find}"));
        assert!(
            !imported.schedule.contains("[retention."),
            "{find}{}",
            imported.schedule
        );
        let told = imported.remarks.iter().any(|remark| remark.is_gap);
        assert!(told, "{find}{:#?}", remarks(&imported));
    }
    // What spares no day may have been meant for one.
    for find in [
        "find /b ! -name '*.keep' -mtime +7 -exec rm -rf {} +\n",
        "find /b ! -name 'keep' -mtime +7 -exec rm -rf {} +\n",
    ] {
        is_left_to_a_person(&Host::of_script(&format!("{DUMP}{find}")));
    }
}

#[test]
fn what_is_marked_by_one_rule_and_removed_by_another_is_left_to_a_person() {
    let old = |days| format!("OLD=$(date -d '{days} days ago' +%F)\n");
    let mark = format!("{}pybackup mark-del --backup-dir=/b/$OLD\n", old(7));
    let imported = Host::of_script(&format!("{DUMP}{mark}{}rm -rf /b/$OLD\n", old(14)));
    assert_eq!(imported.jobs, 1, "{}", imported.schedule);
    assert_eq!(imported.schedule.matches("# [retention.").count(), 2);
    // By one rule on two lines of the crontab they are one job, at the time of the removal.
    let lines = |days| {
        let remove = format!("{}rm -rf /b/$OLD\n", old(days));
        Host::of(
            "0 4 * * * /x.sh\n0 5 * * * /y.sh\n",
            &[("/x.sh", &format!("{DUMP}{mark}")), ("/y.sh", &remove)],
        )
    };
    let one = lines(7);
    assert_eq!(one.jobs, 2, "{}", one.schedule);
    assert!(!one.schedule.contains("\"mark\"") && one.schedule.contains("\ncron = \"0 5 * * *\""));
    assert_eq!(lines(8).jobs, 1);
}

#[test]
fn a_host_that_only_removes_folders_of_days_is_told_of_them() {
    let imported = Host::of(
        "0 1 * * * find /data2/backup/10.0.0.7 -mtime +31 -type d -exec rm -r {} +\n\
                  0 2 * * * rm -rf /sets/`date -d '8 days ago' +\\%F`\n\
                  0 3 * * * find /sets -name '20*' -mtime +8 -exec rm -rf {} +\n\
                  0 4 * * * find /var/log -type d -mtime +7 -exec rm -rf {} +\n",
        &[],
    );
    let fates: Vec<Fate> = imported.lines.iter().map(|line| line.fate).collect();
    let part = Fate::InPart;
    assert_eq!(fates, [part, part, part, Fate::NotUnderstood]);
    assert_eq!(imported.jobs, 0);
    assert_eq!(with_retention(&imported).jobs, 3, "{}", imported.schedule);
    let told = |remark: &&Remark| {
        remark.is_gap && remark.text.contains("nothing that is read here makes sets there")
    };
    assert_eq!(
        imported.remarks.iter().filter(told).count(),
        3,
        "{:#?}",
        remarks(&imported)
    );
    // What no rule tells is told all the same.
    for line in [
        "rm -rf /sets/`date +\\%F`",
        "find /sets -name '20*' -size +1G -mtime +8 -exec rm -rf {} +",
    ] {
        let crontab = format!("0 2 * * * {line}\n");
        let imported = Host::of(&crontab, &[]);
        assert_eq!(imported.lines[0].fate, Fate::NotUnderstood, "{line}");
        assert_eq!(with_retention(&imported).jobs, 0, "{line}");
    }
}

#[test]
fn a_folder_that_no_key_can_hold_is_none() {
    let imported = Host::of_script("pybackup mydumper 'outputdir=/b \n'\n");
    assert_eq!(imported.jobs, 0, "{}", imported.schedule);
    assert!(imported.remarks.iter().any(|remark| remark.is_gap));
}

#[test]
fn a_folder_that_is_not_known_to_hold_days_is_left_to_a_person() {
    let kept = |names: &str| {
        Host {
            conf: "[CATALOG]\ndb_host=10.0.0.5\ndb_user=u\ndb_passwd=p\ndb_use=catalogdb\n",
            crontab: "0 7 * * * /clean.sh\n",
            scripts: vec![(
                "/clean.sh",
                &format!("pybackup mark-del --backup-dir=$(find /sets {names} -mtime +7)\n"),
            )],
        }
        .import()
    };
    let unknown = kept("-type d");
    assert_eq!(unknown.jobs, 0, "{}", unknown.schedule);
    assert!(unknown.schedule.contains("# [retention."), "{}", unknown.schedule);
    assert!(
        unknown
            .remarks
            .iter()
            .any(|remark| remark.is_gap && remark.text.contains("hosts"))
    );
    let known = kept("-name '20??-??-??'");
    assert!(known.schedule.contains("# [retention."), "{}", known.schedule);
    assert!(
        !known.remarks.iter().any(|remark| remark.text.contains("hosts")),
        "{:#?}",
        remarks(&known)
    );
}

#[test]
fn what_lies_under_a_condition_is_told_with_its_line_and_not_done() {
    for (script, line) in [
        (format!("if [ `date +%u` = 7 ]; then\n{DUMP}fi\n"), 2),
        (format!("case `hostname` in\ndb1)\n{DUMP};;\nesac\n"), 3),
        (format!("[ `date +%u` = 7 ] &&\n{DUMP}"), 2),
        (format!("[ -f /no-backup ] && exit 0\n{DUMP}"), 2),
        (format!("if test -e /x; then exit; fi\n{DUMP}"), 2),
        (format!("while sleep 60; do\n{DUMP}done\n"), 2),
        (format!("make() {{\n{DUMP}}}\n[ \"$1\" = x ] && make\n"), 2),
        (
            "grep -q x /y && sh -c 'pybackup mydumper outputdir=/b'\n".to_owned(),
            1,
        ),
        (format!("mount /b ||\n{DUMP}"), 2),
        (format!("if mountpoint -q /b; then :; else\n{DUMP}fi\n"), 2),
        // A function ends the script, or is called, under the conditions of each call.
        (
            format!("die() {{ echo; exit 1; }}\n[ -d /b ] || die\n[ \"`hostname`\" = db2 ] || die\n{DUMP}"),
            4,
        ),
        (
            format!("die() {{ exit 1; }}\nmkdir -p /b || die\nif [ `date +%u` -ne 7 ]; then die; fi\n{DUMP}"),
            4,
        ),
        (
            format!("fail() {{ stop; }}\nstop() {{ exit 1; }}\ncd /b || fail\npgrep x && fail\n{DUMP}"),
            5,
        ),
        (
            format!("bk() {{\n{DUMP}}}\n[ `date +%u` = 7 ] || exit 0\nbk\n"),
            2,
        ),
        (
            format!("bk() {{\n{DUMP}}}\n[ -d /x ] && bk; [ `date +%u` = 7 ] && bk\n"),
            2,
        ),
        (
            format!("main() {{\ncheck\n{DUMP}}}\ncheck() {{ [ -f /x ] && exit; }}\nmain\n"),
            3,
        ),
        (
            format!("check() {{ [ -f /x ] && return 1; }}\ncheck || exit 1\n{DUMP}"),
            3,
        ),
        (format!("bk() {{\n{DUMP}}}\ntime bk\n"), 2),
        // What is there, or goes well, on one host alone.
        (format!("[ -d /etc/role/master ] && {DUMP}"), 1),
        (format!("[ -d /data/mysql/role_slave ] || exit 0\n{DUMP}"), 2),
        (format!("[ -S /run/master.sock ] || exit 0\n{DUMP}"), 2),
        (format!("[ -w /mnt/x ] && {DUMP}"), 1),
        (format!("if cd /data/master_only; then\n{DUMP}fi\n"), 2),
        (format!("find /etc/master_flag && {DUMP}"), 1),
        (format!("touch /mnt/x/.w && {DUMP}"), 1),
        (format!("mkdir /lock && {DUMP}"), 1),
        (format!("rm /data/flag_do_backup && {DUMP}"), 1),
        (format!("chown x /y && {DUMP}"), 1),
        (format!(". /etc/site.conf && {DUMP}"), 1),
        (format!("X=`grep x /y` && {DUMP}"), 1),
        (format!("if pgrep -x restore_prod; then exit 0; fi\n{DUMP}"), 2),
        (format!("pgrep -v pybackup && exit\n{DUMP}"), 2),
        (
            format!("if [ `ps -ef | grep restore | wc -l` -gt 0 ]; then exit; fi\n{DUMP}"),
            2,
        ),
        (
            format!("n=`ps -ef | grep -v pybackup | wc -l`\nif [ $n -gt 0 ]; then exit; fi\n{DUMP}"),
            3,
        ),
        (
            format!("n=`ps -ef | grep pybackup | tee /x`\n[ $n -eq 0 ] && {DUMP}"),
            2,
        ),
        (format!("if [ ! -d /b/mounted ]; then exit 1; fi\n{DUMP}"), 2),
        // What may be a function of a file that is read in may end the script.
        (format!(". /gone/lib.sh\n[ `hostname` = db2 ] || die\n{DUMP}"), 3),
        // Where the shell stops, or goes on elsewhere.
        (format!("set -e\n[ `date +%u` -eq 7 ]\n{DUMP}"), 3),
        (format!("set -euo pipefail\ngrep -q master /etc/role\n{DUMP}"), 3),
        (format!("set -o errexit\nps | grep -q x\n{DUMP}"), 3),
        (format!("set -e\nROLE=$(grep x /etc/role)\n{DUMP}"), 3),
        (format!("#!/bin/bash -e\ntest -f /x\n{DUMP}"), 3),
        (format!("trap 'exit 1' ERR\ntest -f /x\n{DUMP}"), 3),
        // Other ways for a script to end.
        (format!(": ${{ROLE:?}}\n{DUMP}"), 2),
        (format!("ROLE=${{1?no role}}\n{DUMP}"), 2),
        (format!("[ -f /etc/nobackup ] && command exit 0\n{DUMP}"), 2),
        (format!("[ -f /etc/nobackup ] && builtin exit\n{DUMP}"), 2),
        (format!("test -f /etc/nobackup && kill $$\n{DUMP}"), 2),
        (format!("test -f /etc/nobackup && kill -9 $$\n{DUMP}"), 2),
        (format!("grep -q x /y && exec true\n{DUMP}"), 2),
        (
            format!("for x in 1 2; do\n[ -f /etc/nobackup ] && break\n{DUMP}done\n"),
            3,
        ),
        (
            format!("for db in a b; do\n[ $db = shop ] && continue\n{DUMP}done\n"),
            3,
        ),
    ] {
        let imported = Host::of_script(&script);
        assert_eq!(imported.jobs, 0, "{script}{}", imported.schedule);
        let told =
            |remark: &Remark| remark.is_gap && remark.place.line == line && remark.text.contains("condition");
        assert!(
            imported.remarks.iter().any(told),
            "{script}{:#?}",
            remarks(&imported)
        );
        assert_eq!(imported.lines[0].fate, Fate::NotUnderstood);
    }
    // The dump is made each time, and what is removed is left to a person.
    for script in [
        format!("{DUMP}if [ $? -eq 0 ]; then\n{REMOVAL}fi\n"),
        format!("{} &&\n{REMOVAL}", DUMP.trim_end()),
        format!("{DUMP}[ $? = 0 ] || exit 1\n{REMOVAL}"),
        format!("DIR=/b\nif [ -e /x ]; then DIR=/c; fi\n{DUMP}rm -rf $DIR/`date -d '3 days ago' +%F`\n"),
        // What any script takes care of is no condition of its backup.
        format!(
            "cd /b || exit 1\n[ -d /b ] || {{ echo no /b; exit 1; }}\nmkdir -p /b/x && cd /b/x &&\n{DUMP}{REMOVAL}"
        ),
        format!("die() {{ echo $1; exit 1; }}\nusage() {{ exit 2; }}\ncd /b || die x\n{DUMP}{REMOVAL}"),
        format!("n=`ps -ef | grep pybackup | wc -l`\nif [ $n -gt 0 ]; then exit; fi\n{DUMP}{REMOVAL}"),
        format!("pgrep -f pybackup && exit\nif ! pgrep mydumper; then\n{DUMP}fi\n{REMOVAL}"),
        format!("exec 9>/tmp/lock\nflock -n 9 || exit 1\n{DUMP}{REMOVAL}"),
        format!("{} || {DUMP}{REMOVAL}", DUMP.trim_end()),
        format!("bk() {{\n{DUMP}}}\n[ -d /b ] && bk; [ `date +%u` = 7 ] && bk\n{REMOVAL}"),
        format!("bk() {{\n{DUMP}}}\n[ `date +%u` = 7 ] && bk\nbk\n{REMOVAL}"),
        format!("check() {{ [ -f /x ] && return 1; }}\ncheck\n{DUMP}{REMOVAL}"),
        format!(". /gone/lib.sh\ncd /b || die x\nlog begin\n{DUMP}{REMOVAL}"),
        format!("[ `hostname` = db2 ] && mail x\n{DUMP}{REMOVAL}"),
        format!("set -e\nset +e\ntest -f /x\n{DUMP}{REMOVAL}"),
        format!(
            "set -e\ncd /b\nD=`date +%F`\nmkdir -p /b/$D\nif test -f /x; then echo x; fi\n{DUMP}{REMOVAL}"
        ),
        format!("set -e\nexec > /x.log\nfor x in 1; do\n{DUMP}done\n{REMOVAL}"),
        format!("(set -e; false)\nfalse\n{DUMP}{REMOVAL}"),
        format!("D=/b/`date +%F`\n[ -d $D ] || mkdir $D\ncd $D || exit 1\n{DUMP}{REMOVAL}"),
    ] {
        let imported = Host::of_script(&script);
        assert_eq!(
            imported.jobs,
            1,
            "{script}{}{:#?}",
            imported.schedule,
            remarks(&imported)
        );
        assert!(!imported.schedule.contains("\n[retention."), "{script}");
        let is_told =
            |remark: &Remark| remark.is_gap && (remark.text.contains("retention") || script.contains("DIR"));
        assert!(
            imported.remarks.iter().any(is_told),
            "{script}{:#?}",
            remarks(&imported)
        );
    }
    // What is passed over is told.
    for (script, line) in [
        (format!("cd /b || exit 1\n{DUMP}"), 1),
        (format!("[ -d / ] && {DUMP}"), 1),
        (format!("\nif [ `pgrep -c mydumper` = 0 ]; then\n{DUMP}fi\n"), 2),
        (format!("die() {{ exit 1; }}\n\n[ -w /b ] || die\n{DUMP}"), 3),
        (format!("set -e\ncd /b\n{DUMP}"), 2),
    ] {
        let imported = Host::of_script(&script);
        assert_eq!(imported.jobs, 1, "{script}{:#?}", remarks(&imported));
        let told = |remark: &Remark| {
            !remark.is_gap && remark.place.line == line && remark.text.contains("passed over")
        };
        assert!(
            imported.remarks.iter().any(told),
            "{script}{:#?}",
            remarks(&imported)
        );
    }
    // So is what a job does not have by itself.
    let plain = DUMP.trim_end();
    for (script, told) in [
        (format!("timeout 3600 {plain}\n"), "the limit that timeout sets"),
        (format!("sudo -u mysql {plain}\n"), "as a user of its own"),
        (format!("su - mysql -c '{plain}'\n"), "as a user of its own"),
        (
            "pybackup mydumper outputdir=/b/`date +%Y%m%d`\n".to_owned(),
            "folders of other names",
        ),
        (
            "pybackup mydumper outputdir=/b\n".to_owned(),
            "sets that lie right in it",
        ),
    ] {
        let imported = Host::of_script(&script);
        assert_eq!(imported.jobs, 1, "{script}{:#?}", remarks(&imported));
        let is_told = |remark: &Remark| !remark.is_gap && remark.text.contains(told);
        assert!(
            imported.remarks.iter().any(is_told),
            "{script}{:#?}",
            remarks(&imported)
        );
    }
    // Behind the end of a script nothing is done, whatever holds.
    let imported = Host::of_script(&format!("echo x\nexit 0\n{DUMP}"));
    assert_eq!(imported.jobs, 0, "{}", imported.schedule);
    let is_told = |remark: &Remark| remark.text.contains("the script ends at line 2");
    assert!(imported.remarks.iter().any(is_told), "{:#?}", remarks(&imported));
}

#[test]
fn what_makes_or_removes_sets_is_never_passed_over() {
    let of_line = |crontab: &str, script: &str| Host::of(crontab, &[("/x.sh", script)]);
    for line in [
        "nice mysqldump --all-databases",
        "ionice -c 3 /opt/bin/mariabackup --backup",
        "bash -lc 'mysqldump -pS3cret x'",
        "ssh db1 'mysqldump x' > /x.sql",
        "docker exec db xtrabackup --backup",
        "find /data/a/* -delete",
        "cd /data/a; find . | xargs rm -rf",
        "ls -d /data/a/2* | head -5 | xargs rm -rf",
        "find /data/a -mtime +7 -exec rmdir {} +",
        "/usr/sbin/tmpwatch 30d /data/a",
        "sudo -u mysql pybackup frobnicate",
        "true; nice /usr/local/bin/pybackup.py mydumper outputdir=$X",
        ". /etc/profile; nice mysqldump x",
    ] {
        let imported = of_line(&format!("0 3 * * * {line}\n"), "");
        assert_eq!(imported.lines[0].fate, Fate::NotUnderstood, "{line}");
        assert!(
            remarks(&imported)
                .iter()
                .any(|told| told.starts_with("GAP /var/spool/cron/root:1:")),
            "{line}{:#?}",
            remarks(&imported)
        );
        // In a script, beside a backup that is translated.
        let script = format!("{DUMP}if [ -f /y ]; then\n{line}\nfi\n");
        let imported = of_line("0 4 * * * /x.sh\n", &script);
        assert_eq!(imported.lines[0].fate, Fate::InPart, "{line}");
        let told = remarks(&imported);
        assert!(
            told.iter().any(|told| told.starts_with("GAP /x.sh:3:")),
            "{line}{told:#?}"
        );
        assert!(!imported.schedule.contains("S3cret"), "{}", imported.schedule);
    }
}

#[test]
fn a_rule_for_folders_of_days_runs_where_sets_lie_in_such() {
    for (outputdir, removal, runs) in [
        (
            "/b/`date +%F`",
            "find /b -name \"20*\" -type d -mtime +7 -exec rm -r {} \\;",
            true,
        ),
        ("/b/`date +%F`", "rm -rf /b/`date +%F -d \"3 days ago\"`", true),
        (
            "/b",
            "find /b -name \"20*\" -type d -mtime +7 -exec rm -r {} \\;",
            false,
        ),
        ("/b", "rm -rf /b/`date +%F -d \"3 days ago\"`", false),
        (
            "/b/`date +%Y%m%d`",
            "rm -rf /b/`date +%F -d \"7 days ago\"`",
            false,
        ),
        (
            "/b/`date +%Y%m%d`",
            "find /b -name \"20*\" -mtime +7 -exec rm -r {} \\;",
            false,
        ),
        (
            "/b/`date -d yesterday +%F`",
            "rm -rf /b/`date +%F -d \"7 days ago\"`",
            false,
        ),
        // Whatever is in it goes.
        ("/b", "find /b -type d -mtime +7 -exec rm -r {} \\;", true),
        ("/b/`date +%Y%m%d`", "find /b -mtime +7 -exec rm -r {} \\;", true),
    ] {
        let script = format!("pybackup mydumper outputdir={outputdir}\n{removal}\n");
        let imported = Host::of_script(&script);
        match runs {
            true => assert_eq!(imported.jobs, 2, "{script}{:#?}", remarks(&imported)),
            false => {
                is_left_to_a_person(&imported);
                assert!(
                    remarks(&imported).concat().contains("lie in no folder"),
                    "{script}"
                );
            }
        }
    }
    // One such call is enough.
    let script = format!("{DUMP}pybackup mydumper database=x outputdir=/b\n{REMOVAL}");
    let imported = Host::of_script(&script);
    assert_eq!(imported.jobs, 2, "{}", imported.schedule);
    assert!(
        imported.schedule.contains("# [retention."),
        "{}",
        imported.schedule
    );
}
