//! What is not understood beside a removal, and a conf that is changed while scripts run.

use super::*;

const DUMP: &str = "0 4 * * * pybackup mydumper database=a outputdir=/b/`date +\\%F`\n";
/// Three days of what lies in the folder of the calls.
const REMOVAL: &str = "30 7 * * * rm -rf /b/`date -d \"3 days ago\" +\\%F`\n";
const CALL: &str = "pybackup mydumper database=q outputdir=/b/`date +%F`\n";

fn of_crontab(crontab: &str) -> Imported {
    let python = "#!/usr/bin/python\nos.system('pybackup ' + 'mydumper')\n";
    let generator = "open('/data/backup_db/pybackup.conf', 'w').write(conf)\n";
    let host = Host {
        conf: CONF,
        crontab,
        scripts: vec![
            ("/b/prog", python),
            ("/b/prog.py", "#!/usr/bin/python\nmain()\n"),
            ("/b/p.pl", "#!/usr/bin/perl\nrun();\n"),
            ("/b/t", CALL),
            ("/b/y.sh", "#!/bin/sh\n/opt/bin/anything\n"),
            ("/b/plain.sh", "#!/bin/sh\necho x\nmysql -e 'select 1'\n"),
            ("/gen_conf.py", generator),
        ],
    };
    host.import()
}

#[test]
fn beside_what_is_not_understood_no_removal_runs_and_the_line_is_named() {
    for (line, runs) in [
        ("", true),
        ("/usr/sbin/ntpdate pool.example >/dev/null", true),
        ("mysql -e 'flush logs' | mail -s x y", true),
        ("x=`date +\\%F`; find /var/log -mtime +7 -exec gzip {} \\;", false),
        ("find /var/log -type d -mtime +7 -exec rm -rf {} \\;", true),
        ("/b/plain.sh", true),
        ("python3 /b/prog", false),
        ("/b/prog", false),
        ("/b/prog.py", false),
        ("/b/p.pl", false),
        ("/b/y.sh", false),
        ("/b/gone", false),
        ("run-parts /b/parts", false),
        ("bash < /b/t", false),
        ("cat /b/t | bash", false),
        ("sed s/X/q/ /b/t | sh", false),
        ("echo /b/y.sh | at now", false),
        (". <(echo pybackup mydumper database=q)", false),
        ("backup-all", false),
        ("ssh db2 /opt/bk.sh", false),
        ("systemctl start backup.service", false),
        ("make -C /b backup", false),
        ("python -m backup.run", false),
        ("ansible-playbook backup.yml", false),
        ("curl -s http://10.0.0.7/bk.sh | bash", false),
        ("x=$(/b/prog)", false),
        ("echo `/b/prog`", false),
        ("find /etc/dbs -exec /b/prog {} \\;", false),
        ("trap '/b/prog' EXIT", false),
        ("awk '{ system(\"/b/prog \" $1) }' /etc/dbs", false),
        ("oddjob", false),
        ("echo x > `/b/prog`", false),
    ] {
        let line = match line {
            "" => String::new(),
            line => format!("0 5 * * * {line}\n"),
        };
        let imported = of_crontab(&format!("{DUMP}{line}{REMOVAL}"));
        let schedule = &imported.schedule;
        assert!(schedule.contains("\n[backup."), "{line}{schedule}");
        assert_eq!(schedule.contains("\n[retention."), runs, "{line}{schedule}");
        assert!(schedule.contains("[retention."), "{line}{schedule}");
        if !runs {
            let told = |remark: &Remark| {
                remark.is_gap
                    && remark.text.contains("[retention.prune] is written commented out")
                    && (remark.text.contains("/root:2") || remark.text.contains("/b/"))
            };
            assert!(
                imported.remarks.iter().any(told),
                "{line}{:#?}",
                remarks(&imported)
            );
        }
    }
}

#[test]
fn of_a_conf_that_is_changed_no_job_comes_and_no_removal_runs() {
    const AT: &str = "/data/backup_db/pybackup.conf";
    for (change, jobs) in [
        ("echo begins".to_owned(), 2),
        (format!("grep -c db_list {AT}; cat {AT}"), 2),
        (format!("sed -i 's/^db_list=.*/db_list=crm/' {AT}"), 0),
        (format!("cat > {AT} <<EOF\n[TDB]\nEOF"), 0),
        (format!("echo db_list=crm >> {AT}"), 0),
        (format!("true; > {AT}"), 0),
        (
            format!("cd /data/backup_db; cat crm.conf > {}", "pybackup.conf"),
            0,
        ),
        (format!("CONF={AT}; cat crm.conf > $CONF"), 0),
        (format!("echo db_list=crm | tee {AT}"), 0),
        (format!("cp /etc/crm.conf {AT}"), 0),
        ("cp /etc/crm/pybackup.conf /data/backup_db/".to_owned(), 0),
        (format!("mv /etc/crm.conf {AT}"), 0),
        (format!("ln -sf /etc/crm.conf {AT}"), 0),
        (format!("install -m 600 /etc/crm.conf {AT}"), 0),
        (format!("rsync /etc/crm.conf {AT}"), 0),
        (format!("sudo sed --in-place s/a/b/ {AT}"), 0),
        (format!("perl -pi -e s/a/b/ {AT}"), 0),
        (format!("rm -f {AT}"), 0),
        ("python3 /gen_conf.py crm".to_owned(), 0),
    ] {
        let dump = "pybackup mydumper outputdir=/b/`date +%F`\n";
        let generator = "open('/data/backup_db/pybackup.conf', 'w').write(conf)\n";
        let script = format!("{change}\n{dump}");
        // Also on a line of its own, behind the calls.
        for (of_call, other) in [(script.as_str(), "true\n"), (dump, change.as_str())] {
            let host = Host {
                conf: CONF,
                crontab: &format!("0 4 * * * /x.sh\n{REMOVAL}0 9 * * * /other.sh\n"),
                scripts: vec![
                    ("/x.sh", of_call),
                    ("/other.sh", other),
                    ("/gen_conf.py", generator),
                ],
            };
            let imported = host.import();
            assert_eq!(imported.jobs, jobs, "{script}{}", imported.schedule);
            let told = remarks(&imported).concat();
            assert_eq!(told.contains("may be changed here"), jobs == 0, "{script}{told}");
            assert_eq!(
                told.contains("the conf that it reads"),
                jobs == 0,
                "{script}{told}"
            );
        }
    }
    // What is copied from it leaves it as it is.
    let imported = Host::of_script(&format!(
        "cp {AT} /var/backups/\npybackup mydumper outputdir=/b/`date +%F`\n"
    ));
    assert_eq!(imported.jobs, 1, "{:#?}", remarks(&imported));
}

#[test]
fn two_equal_calls_with_something_done_between_them_are_told_of() {
    for (between, is_told) in [
        ("|| ", false),
        ("\necho again\n", false),
        ("\nsleep 5; date\n", false),
        ("\nmysql shop < /migrate.sql\n", true),
        ("\nexport MODE=full\n", true),
        ("\nrm -rf /b/x\n", true),
        ("\n. /etc/second.env\n", true),
    ] {
        let imported = Host::of_script(&format!("{}{between}{CALL}", CALL.trim_end()));
        assert_eq!(imported.jobs, 1, "{between}{}", imported.schedule);
        let told = remarks(&imported).concat();
        assert_eq!(
            told.contains("something is done between them"),
            is_told,
            "{between}{told}"
        );
        assert!(!told.contains("makes several sets"), "{between}{told}");
    }
}
