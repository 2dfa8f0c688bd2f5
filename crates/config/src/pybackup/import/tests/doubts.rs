//! What a script holds that is not followed: no removal behind it runs before somebody has looked.

use super::*;

const DUMP: &str = "pybackup mydumper outputdir=/b/`date +%F`\n";
const REMOVAL: &str = "rm -rf /b/`date -d '3 days ago' +%F`\n";

#[test]
fn behind_what_is_not_followed_no_removal_runs() {
    for before in [
        "for d in a b; do case $d in *-01) continue;; esac; done\n",
        "for d in a b; do [ -d /x ] || break; done\n",
        "source /etc/site.conf\n",
        ". /etc/site.conf\n",
        "read D\n",
        "eval \"$X\"\n",
        "shift\n",
        "set -e\n",
        "set -- a b\n",
        "trap 'exit 0' EXIT\n",
        "let D=3\n",
        "unset D\n",
        "pushd /c\n",
        "popd\n",
        "cd -\n",
        "( cd /c; D=4 )\n",
        "{ cd /c; } | cat\n",
        "echo x | while true; do D=3; done\n",
        "D=4 &\n",
        "D=4 /usr/bin/true\n",
        "A=(/c /d)\n",
        "cat <<EOF\nx\nEOF\n",
        "touch /b/2017-01-01\n",
        "mv /b/2017-01-01 /keep\n",
        "printf -v D x\n",
        "declare -n D=E\n",
        "exec /usr/bin/true\n",
        "bash -c \"$X\"\n",
        "clean() { D=4; }\nclean\n",
        "for d in $(cat /x); do D=3; done\n",
        ": $((D = 4))\n",
        "find /b -name '*-01' -exec mv {} /keep \\;\n",
        "alias rm=:\n",
        "shopt -s nullglob\n",
        "mapfile D\n",
    ] {
        let imported = Host::of_script(&format!("{DUMP}{before}{REMOVAL}"));
        assert_eq!(imported.jobs, 1, "{before}{}", imported.schedule);
        assert!(
            imported.schedule.contains("# [retention.") || !imported.schedule.contains("[retention."),
            "{before}{}",
            imported.schedule
        );
        assert!(
            imported.remarks.iter().any(|remark| remark.is_gap),
            "{before}{:#?}",
            remarks(&imported)
        );
    }
    // What is known to be harmless is no reason for a doubt.
    let harmless = "#!/bin/bash\nset -x\nexec >> /x.log 2>&1\nLOG=/x\nexport LANG=C\ncd /b || exit 1\nmkdir -p /x\n\
        echo begin | tee -a $LOG\nlog() { echo \"$1\"; }\nlog x\nn=`ps -ef | grep -c x`\nif [ -d /b ]; then echo y; fi\n\
        tail -1 /x | mail -s done dba\n";
    let imported = Host::of_script(&format!("{harmless}{DUMP}{REMOVAL}"));
    assert_eq!(imported.jobs, 2, "{}{:#?}", imported.schedule, remarks(&imported));
}

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
    let imported = Host {
        conf: CONF,
        crontab: "0 4 * * * /x.sh /b/\n",
        scripts: vec![(
            "/x.sh",
            "pybackup mydumper outputdir=/b\nclean() { rm -rf $1`date -d yesterday +%F`; }\nclean /c/\n",
        )],
    }
    .import();
    assert!(
        !imported.schedule.contains("[retention."),
        "{}",
        imported.schedule
    );
    assert!(imported.remarks.iter().any(|remark| remark.is_gap));
}

#[test]
fn what_a_script_does_not_hand_down_its_scripts_do_not_know() {
    let host = |outer| {
        Host {
            conf: CONF,
            crontab: "0 4 * * * /x.sh\n",
            scripts: vec![
                ("/x.sh", outer),
                (
                    "/y.sh",
                    "pybackup mydumper outputdir=/b\nrm -rf $DIR/`date -d yesterday +%F`\n",
                ),
            ],
        }
        .import()
    };
    assert_eq!(host("DIR=/b\n/y.sh\n").jobs, 1);
    assert_eq!(host("export DIR=/b\n/y.sh\n").jobs, 2);
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
    let mark = "x=$(find /b -mtime +7)\npybackup mark-del --backup-dir=$x\n";
    let imported = Host::of_script(&format!("{DUMP}{mark}find /b -mtime +14 -exec rm -r {{}} +\n"));
    assert_eq!(imported.jobs, 1, "{}", imported.schedule);
    assert_eq!(imported.schedule.matches("# [retention.").count(), 2);
    // By one rule on two lines of the crontab they are one job, at the time of the removal.
    let lines = |days| {
        let remove = format!("find /b -mtime +{days} -exec rm -r {{}} +\n");
        Host {
            conf: CONF,
            crontab: "0 4 * * * /x.sh\n0 5 * * * /y.sh\n",
            scripts: vec![("/x.sh", &format!("{DUMP}{mark}")), ("/y.sh", &remove)],
        }
        .import()
    };
    let one = lines(7);
    assert_eq!(one.jobs, 2, "{}", one.schedule);
    assert!(!one.schedule.contains("\"mark\"") && one.schedule.contains("\ncron = \"0 5 * * *\""));
    assert_eq!(lines(8).jobs, 1);
}

#[test]
fn a_host_that_only_removes_folders_of_days_is_told_of_them() {
    let imported = Host {
        conf: CONF,
        crontab: "0 1 * * * find /data2/backup/10.0.0.7 -mtime +31 -type d -exec rm -r {} +\n\
                  0 2 * * * rm -rf /sets/`date -d '8 days ago' +\\%F`\n\
                  0 3 * * * find /sets -name '20*' -mtime +8 -exec rm -rf {} +\n\
                  0 4 * * * find /var/log -type d -mtime +7 -exec rm -rf {} +\n",
        scripts: Vec::new(),
    }
    .import();
    let fates: Vec<Fate> = imported.lines.iter().map(|line| line.fate).collect();
    let told = Fate::NotUnderstood;
    assert_eq!(fates, [told, told, told, Fate::LeftAlone]);
    assert_eq!(imported.jobs, 0);
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
    assert_eq!(kept("-name '20??-??-??'").jobs, 1);
}
