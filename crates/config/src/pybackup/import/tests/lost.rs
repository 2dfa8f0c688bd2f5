//! What else goes on, or changes, on a host where not all becomes jobs.

use super::*;

fn of_crontab(crontab: &str, scripts: Vec<(&str, &str)>) -> Imported {
    Host {
        conf: CONF,
        crontab,
        scripts,
    }
    .import()
}

#[test]
fn where_sets_are_made_without_a_job_no_removal_of_that_folder_runs() {
    const DUMP: &str = "0 4 * * * pybackup mydumper database=a outputdir=/b/`date +\\%F`\n";
    const REMOVAL: &str = "0 7 * * * find /b -maxdepth 1 -mtime +3 -exec rm -rf {} \\;\n";
    for (other, runs) in [
        ("", true),
        (
            "[ `hostname` = db1 ] && pybackup mydumper database=b outputdir=/b/`date +\\%F`",
            false,
        ),
        (
            "[ `hostname` = db1 ] && pybackup mydumper database=b outputdir=/b/x/$Y",
            false,
        ),
        (
            "[ `hostname` = db1 ] && pybackup mydumper database=b outputdir=$X",
            false,
        ),
        (
            "[ `hostname` = db1 ] && pybackup mydumper database=b outputdir=/c",
            true,
        ),
        ("mysqldump b > /b/2017-11-01/b.sql", false),
        ("mysqldump b > $D/b.sql", false),
        ("mysqldump b > /c/b.sql", true),
        (
            "@reboot pybackup mydumper database=b outputdir=/b/`date +\\%F`",
            false,
        ),
        ("@reboot pybackup mydumper database=b outputdir=/c", true),
        ("/y.sh", false),
        ("/z.sh", true),
    ] {
        let other = if other.starts_with('@') {
            format!("{other}\n")
        } else if other.is_empty() {
            String::new()
        } else {
            format!("5 4 * * * {other}\n")
        };
        for crontab in [
            format!("{DUMP}{other}{REMOVAL}"),
            format!("{REMOVAL}{other}{DUMP}"),
        ] {
            let scripts = vec![
                ("/y.sh", "mysqldump b | \\\n gzip > /b/b.gz\n"),
                ("/z.sh", "mysqldump b | \\\n gzip > /c/b.gz\n"),
            ];
            let imported = of_crontab(&crontab, scripts);
            match runs {
                true => assert_eq!(imported.jobs, 2, "{crontab}{:#?}", remarks(&imported)),
                false => {
                    is_left_to_a_person(&imported);
                    let told = remarks(&imported).concat();
                    assert!(
                        told.contains("no job is written for the sets that are made at"),
                        "{told}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_further_server_gets_a_tag_that_is_told_and_proven() {
    let call = |more: &str| format!("0 4 * * * pybackup mydumper {more} outputdir=/b/`date +\\%F`\n");
    let conf = format!("{CONF}\n[pybackup]\ntag=国内平台从1\n[Validate]\nbk_list=国内平台从1,other\n");
    let import = |conf: &str, second: &str| {
        let crontab = format!(
            "{}{}*/15 * * * * pybackup validate-backup --log-file=/x\n",
            call("socket=/data/3306/s.sock"),
            call(second)
        );
        Host {
            conf,
            crontab: &crontab,
            scripts: Vec::new(),
        }
        .import()
    };
    let tag = |imported: &Imported| imported.keeper.matches("\ntag = ").count();
    for second in ["socket=/data/3307/s.sock", "socket=/data/3306/s.sock user=other"] {
        let imported = import(&conf, second);
        assert_eq!(tag(&imported), 2, "{}", imported.keeper);
        let told = |remark: &Remark| {
            remark.is_gap && remark.place.line == 2 && remark.text.contains("国内平台从1 2")
        };
        assert!(imported.remarks.iter().any(told), "{:#?}", remarks(&imported));
        assert!(
            imported
                .schedule
                .contains("\ntags = [\"国内平台从1\", \"other\", \"国内平台从1 2\"]"),
            "{}",
            imported.schedule
        );
    }
    let one = import(&conf, "socket=/data/3306/s.sock database=x");
    assert_eq!(tag(&one), 1, "{}", one.keeper);
    assert!(
        one.schedule.contains("\ntags = [\"国内平台从1\", \"other\"]"),
        "{}",
        one.schedule
    );
    // Where the first one's sets are not proven, the others' are not either.
    let others = import(
        &conf.replace("国内平台从1,other", "other"),
        "socket=/data/3307/s.sock",
    );
    assert!(
        others.schedule.contains("\ntags = [\"other\"]"),
        "{}",
        others.schedule
    );
}

/// Seven days of what lies in the folder of the calls.
const REMOVAL: &str = "0 7 * * * find /b -maxdepth 1 -mtime +7 -exec rm -rf {} \\;\n";

#[test]
fn a_call_of_which_it_is_not_known_what_it_backs_up_gives_no_job_and_its_sets_stay() {
    for (words, runs) in [
        ("database=a", true),
        ("database=a threads=$T", true),
        ("database=$1", false),
        ("database=a port=$P", false),
        ("regex=$R", false),
        ("$OPTIONS database=a", false),
        ("\"$@\"", false),
    ] {
        let script = format!("pybackup mydumper {words} outputdir=/b/`date +%F`\n");
        let imported = of_crontab(&format!("0 4 * * * /y.sh\n{REMOVAL}"), vec![("/y.sh", &script)]);
        let schedule = &imported.schedule;
        assert_eq!(schedule.contains("\n[backup."), runs, "{words}{schedule}");
        assert_eq!(schedule.contains("\n[retention."), runs, "{words}{schedule}");
    }
}

#[test]
fn of_two_calls_in_one_line_one_that_is_lost_keeps_its_sets() {
    const ONE: &str = "pybackup mydumper database=a outputdir=/b/`date +\\%F`";
    const OTHER: &str = "pybackup mydumper database=b outputdir=/b/`date +\\%F`";
    for (line, runs) in [
        (format!("{ONE}; {OTHER}"), true),
        (format!("{ONE}; [ -f /m ] && {OTHER}"), false),
    ] {
        let imported = of_crontab(&format!("0 4 * * * {line}\n{REMOVAL}"), vec![]);
        let schedule = &imported.schedule;
        assert!(schedule.contains("\n[backup."), "{line}{schedule}");
        assert_eq!(schedule.contains("\n[retention."), runs, "{line}{schedule}");
    }
}

#[test]
fn what_xargs_runs_is_told_of() {
    for (line, is_told) in [
        ("cat /etc/dbs | xargs -n1 /y.sh", true),
        ("cat /etc/dbs | xargs -I {} sh /y.sh {}", true),
        ("cat /etc/dbs | xargs -I {} /srv/gone.sh {}", true),
        ("cat /etc/dbs | xargs -n 1 echo", false),
    ] {
        let script = "#!/bin/sh\npybackup mydumper database=$1 outputdir=/b/`date +%F`\n";
        let imported = of_crontab(&format!("0 4 * * * {line}\n"), vec![("/y.sh", script)]);
        assert_eq!(
            !remarks(&imported).is_empty(),
            is_told,
            "{line}{:?}",
            remarks(&imported)
        );
    }
}

#[test]
fn a_call_with_a_conf_of_its_own_gives_no_job_by_another() {
    let of = |words: &str| {
        let call = format!("pybackup mydumper {words} database=a outputdir=/b/`date +%F`\n");
        Host::of_script(&call)
    };
    for words in [
        "--conf /etc/pybackup2.conf",
        "--conf=/etc/pybackup2.conf",
        "--conf $C",
    ] {
        let imported = of(words);
        assert!(
            !imported.schedule.contains("\n[backup."),
            "{words}{}",
            imported.schedule
        );
        assert!(
            remarks(&imported).concat().contains("a conf of its own"),
            "{words}"
        );
    }
    assert!(of("").schedule.contains("\n[backup."));
}

#[test]
fn what_is_backed_up_is_not_less_than_the_call_says() {
    let of = |words: &str| Host::of_script(&format!("pybackup mydumper '{words}' outputdir=/b/`date +%F`\n"));
    for (words, databases) in [
        ("regex=^shop|orders", "[\"%\"]"),
        ("regex=^shop\\.|test\\.", "[\"%\"]"),
        ("regex=^(shop|orders)", "[\"shop%\", \"orders%\"]"),
        ("regex=^(?!mysql|test\\.)", "[\"!mysql%\", \"!test\"]"),
        ("tables-list=shop.orders,log.x", "[\"shop\", \"log\"]"),
    ] {
        let imported = of(words);
        let key = format!("\ndatabases = {databases} ");
        assert!(imported.schedule.contains(&key), "{words}{}", imported.schedule);
        let told = remarks(&imported).concat();
        assert_eq!(
            told.contains("is no list of databases"),
            databases == "[\"%\"]",
            "{told}"
        );
        let is_list = words.starts_with("regex") && databases != "[\"%\"]";
        assert_eq!(told.contains("without regard to case"), is_list, "{told}");
    }
    let imported = of("tables-list=shop.orders,items");
    assert_eq!(imported.jobs, 0, "{}", imported.schedule);
    assert!(remarks(&imported).concat().contains("no database before it"));
}

#[test]
fn calls_that_are_told_of_and_not_followed_keep_their_sets_as_lost_ones_do() {
    const CALL: &str = "pybackup mydumper database=a outputdir=/b/`date +%F`";
    for (script, runs) in [
        ("true".to_owned(), true),
        (
            "x=$(pybackup mydumper database=b outputdir=/b/x)".to_owned(),
            false,
        ),
        (
            "x=`pybackup mydumper database=b outputdir=/b/x`".to_owned(),
            false,
        ),
        ("x=$(pybackup mydumper database=b outputdir=/c)".to_owned(), false),
        ("eval \"pybackup mydumper database=b\"".to_owned(), false),
        (
            "bash <<EOF\npybackup mydumper database=b outputdir=$D\nEOF".to_owned(),
            false,
        ),
        (
            "su - u <<EOF\ncd /b\npybackup mydumper database=b\nEOF".to_owned(),
            false,
        ),
        ("cat <<EOF\npybackup only-rsync\nEOF".to_owned(), false),
        ("echo 'pybackup mydumper database=b' | sh".to_owned(), false),
        ("echo pybackup begins".to_owned(), true),
        ("oddjob pybackup mydumper database=b".to_owned(), false),
        (
            "find /etc/dbs -exec pybackup mydumper database={} \\;".to_owned(),
            false,
        ),
        ("xargs -n1 /z.sh < /etc/dbs".to_owned(), false),
        ("python3 /z.py".to_owned(), false),
        ("python3 /other.py".to_owned(), false),
        ("/srv/gone".to_owned(), false),
        ("python3 /srv/gone.py".to_owned(), false),
        ("oddjob".to_owned(), false),
        ("$RUNNER --all".to_owned(), false),
        (". /srv/gone.sh".to_owned(), false),
        (". ~/.bash_profile".to_owned(), true),
    ] {
        let script = format!("{CALL}\n{script}\n");
        let imported = of_crontab(
            &format!("0 4 * * * /y.sh\n{REMOVAL}"),
            vec![
                ("/y.sh", &script),
                ("/z.sh", "#!/bin/sh\npybackup mydumper database=$1 outputdir=/b\n"),
                (
                    "/z.py",
                    "#!/usr/bin/python\nos.system('pybackup mydumper database=' + db)\n",
                ),
                ("/other.py", "#!/usr/bin/python\nprint('x')\n"),
            ],
        );
        let schedule = &imported.schedule;
        assert!(schedule.contains("\n[backup."), "{script}{schedule}");
        assert_eq!(schedule.contains("\n[retention."), runs, "{script}{schedule}");
        if !runs {
            is_left_to_a_person(&imported);
        }
    }
}

#[test]
fn a_conf_that_any_call_names_is_heeded() {
    const OTHER: &str = "/etc/pybackup2.conf";
    const READ: &str = "/data/backup_db/pybackup.conf";
    for (call, kind) in [
        ("mydumper database=a outputdir=/b/`date +%F`", "backup"),
        ("validate-backup --log-file=/x", "validation"),
        ("only-rsync --backup-dir=/b", "transfer"),
        ("mark-del --backup-dir=/b/`date -d '3 days ago' +%F`", "retention"),
    ] {
        for (conf, runs) in [("", true), (READ, true), (OTHER, false), ("$C", false)] {
            for place in ["before", "behind", "whole"] {
                let line = match (conf, place) {
                    ("", _) => format!("pybackup {call}"),
                    (conf, "before") => format!("pybackup --conf {conf} {call}"),
                    (conf, "behind") => format!("pybackup {call} --conf {conf}"),
                    (conf, _) => format!("pybackup {call} --conf={conf}"),
                };
                let host = Host {
                    conf: CONF,
                    crontab: "0 4 * * * /x.sh\n",
                    scripts: vec![("/x.sh", &line)],
                };
                let imported = host.read();
                let written = imported.schedule.contains(&format!("[{kind}."));
                assert_eq!(written, runs, "{line}{}", imported.schedule);
                let gaps = imported.remarks.iter().any(|remark| remark.is_gap);
                assert!(runs || gaps, "{line}{:#?}", remarks(&imported));
            }
        }
    }
}

#[test]
fn a_call_that_says_twice_what_is_backed_up_gives_no_job_and_its_sets_stay() {
    for words in [
        "database=shop regex='shop\\.orders'",
        "regex=shop tables-list=shop.a",
        "tables-list=shop.a database=shop",
    ] {
        let crontab = format!(
            "0 4 * * * pybackup mydumper {words} outputdir=/b/`date +\\%F`\n\
             0 5 * * * pybackup mydumper database=crm outputdir=/b/`date +\\%F`\n\
             0 7 * * * find /b -maxdepth 1 -mtime +3 -exec rm -rf {{}} \\;\n"
        );
        let imported = of_crontab(&crontab, Vec::new());
        is_left_to_a_person(&imported);
        let told = remarks(&imported).concat();
        assert!(told.contains("more than one say what is backed up"), "{told}");
        assert!(!imported.schedule.contains("shop"), "{}", imported.schedule);
    }
}

#[test]
fn the_zone_of_a_call_is_told() {
    for (script, is_told) in [
        (
            "export TZ=America/Lima\npybackup mydumper database=a outputdir=/b\n",
            true,
        ),
        (
            "TZ=America/Lima\nexport TZ\npybackup mydumper database=a outputdir=/b\n",
            true,
        ),
        (
            "TZ=America/Lima pybackup mydumper database=a outputdir=/b\n",
            true,
        ),
        (
            "TZ=America/Lima\npybackup mydumper database=a outputdir=/b\n",
            false,
        ),
        ("pybackup mydumper database=a outputdir=/b\n", false),
    ] {
        let imported = of_crontab("0 4 * * * /x.sh\n", vec![("/x.sh", script)]);
        let told = remarks(&imported).concat();
        assert_eq!(told.contains("under TZ=America/Lima"), is_told, "{script}{told}");
        assert_eq!(imported.jobs, 1, "{script}{told}");
        assert_eq!(imported.folders, ["/b"], "{script}");
    }
}

#[test]
fn a_file_that_is_opened_under_a_number_ends_nothing() {
    let script = "exec {lock}>/run/lock\npybackup mydumper database=a outputdir=/b\n";
    let imported = of_crontab("0 4 * * * /x.sh\n", vec![("/x.sh", script)]);
    assert_eq!(imported.jobs, 1, "{:#?}", remarks(&imported));
}
