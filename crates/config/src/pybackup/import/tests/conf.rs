//! What is wrong with the conf, or beside another one, is told in the files, and nothing is made up in its place.

use super::*;

const CALL: &str = "pybackup mydumper outputdir=/b/`date +%F` compress";
const OLD: &str = "rm -rf /b/`date -d '3 days ago' +%F`";

/// The documentation's conf with some lines in place of others, and a script in the folder of another pybackup.
fn import(changes: &[(&str, &str)], script: &str) -> Imported {
    let mut conf = CONF.to_owned();
    for (line, new) in changes {
        assert!(conf.contains(line), "{line}");
        conf = conf.replace(line, new);
    }
    Host {
        conf: &conf,
        crontab: "0 4 * * * /x.sh\n",
        scripts: vec![
            ("/x.sh", script),
            ("/data/backup_db/pybackup.conf", &conf),
            ("/same/pybackup.conf", &conf),
            (
                "/p2/pybackup.conf",
                "[TDB]\ndb_host=10.9.9.9\ndb_user=u\ndb_list=crm\n",
            ),
        ],
    }
    .import()
}

#[test]
fn what_is_wrong_with_the_conf_is_told_with_its_line() {
    const DEST: &str = "dest=platform@182.92.83.238/db_backup/106.3.130.84";
    const SERVER: &str =
        "db_host=localhost\ndb_port=3306\ndb_user=root\ndb_passwd=fanboshi\ndb_use=information_schema";
    for (line, new, at, told, jobs) in [
        (DEST, "dest=platform@182.92.83.238", 19, "is no destination", 1),
        (
            DEST,
            "dest=rsync://u:Geheim7@h/x",
            19,
            "no place in a destination",
            1,
        ),
        (DEST, "dest=u:Geheim7@h", 19, "", 1),
        ("address=  ", "address=eth0", 20, "no IP address", 2),
        (
            "address=  ",
            "address=\naddress=10.0.0.1",
            21,
            "more than once",
            2,
        ),
        (DEST, "dest=/nas/backup", 18, "`password_file` is left out", 2),
        (DEST, "dest=u@h:/nas/backup", 18, "`password_file` is left out", 2),
        (
            SERVER,
            "db_host=10.0.0.9\ndb_port=33x6\ndb_user=root",
            10,
            "no port",
            0,
        ),
        (SERVER, "db_host=10.0.0.9", 1, "which server", 0),
        (
            "db_consistency=True",
            "db_consistency=maybe",
            14,
            "neither True nor False, and is taken for False: a dump for each database",
            2,
        ),
        (SERVER, "db_host=10.0.0.9\ndb_usr=root", 10, "`db_user`", 0),
    ] {
        let imported = import(&[(line, new)], &format!("{CALL}\n{OLD}\n"));
        let is_told =
            |remark: &Remark| remark.is_gap && remark.place.line == at && remark.text.contains(told);
        assert!(
            imported.remarks.iter().any(is_told),
            "{new}{:#?}",
            remarks(&imported)
        );
        assert_eq!(
            imported.jobs,
            jobs,
            "{new}{}{:#?}",
            imported.schedule,
            remarks(&imported)
        );
        assert_eq!(
            imported.keeper.contains("[servers."),
            jobs > 0,
            "{new}{}",
            imported.keeper
        );
        let files = format!("{}{}", imported.keeper, imported.schedule);
        assert!(!files.contains("Geheim7"), "{files}");
    }
    // A call that names its server needs no [TDB].
    let imported = import(
        &[(SERVER, "db_host=10.0.0.9")],
        &format!("{CALL} socket=/s.sock user=u\n{OLD}\n"),
    );
    assert_eq!(imported.jobs, 2, "{:#?}", remarks(&imported));
}

#[test]
fn a_pybackup_with_a_conf_of_its_own_is_not_translated() {
    for (program, jobs) in [
        ("/data/backup_db/pybackup.py", 2),
        ("/same/pybackup.py", 2),
        ("/none/pybackup.py", 2),
        ("/p2/pybackup.py", 0),
        ("python /p2/pybackup.py", 0),
        ("cd /p2; python pybackup.py", 0),
        ("cd /p2; ./pybackup.py", 0),
    ] {
        let call = CALL.replace("pybackup", program);
        let imported = import(&[], &format!("{call}\n{program} validate-backup --log-file=/x\n"));
        assert_eq!(imported.jobs, jobs, "{program}{:#?}", remarks(&imported));
        let told = remarks(&imported).concat();
        let is_told =
            told.contains("GAP") && told.contains("reads /p2/pybackup.conf, which says something else");
        assert_eq!(is_told, jobs == 0, "{program}{told}");
    }
}

#[test]
fn options_that_make_doubtful_sets_are_told() {
    for option in ["no-locks", "no-schemas", "no-data"] {
        let imported = import_unchecked(&format!("{CALL} {option}\n"));
        let told = remarks(&imported).concat();
        assert!(
            told.contains("GAP") && told.contains(&format!("with {option:?}")),
            "{told}"
        );
        assert!(
            imported.schedule.contains(&format!("\"{option}\"")),
            "{}",
            imported.schedule
        );
    }
}

/// `check` warns of what is written.
fn import_unchecked(script: &str) -> Imported {
    Host {
        conf: CONF,
        crontab: "0 4 * * * /x.sh\n",
        scripts: vec![("/x.sh", script)],
    }
    .read()
}

#[test]
fn todays_folder_that_is_removed_after_the_run_is_told() {
    const TODAY: &str = "rm -rf /b/`date +%F`";
    for (script, is_gap) in [
        (format!("{TODAY}\n{CALL}\n"), false),
        (format!("{CALL}\n{TODAY}\n"), true),
        (format!("{TODAY}\n{CALL}\n{TODAY}\n"), true),
    ] {
        let imported = import(&[], &script);
        assert_eq!(imported.jobs, 1, "{script}{}", imported.schedule);
        let gaps = imported.remarks.iter().filter(|remark| remark.is_gap).count();
        assert_eq!(gaps > 0, is_gap, "{script}{:#?}", remarks(&imported));
    }
}

#[test]
fn localhost_becomes_the_socket_that_clients_mean_by_it() {
    let file = Path::new("/data/backup_db/pybackup.conf");
    let conf = parse_pybackup_conf(file, CONF, &[]).unwrap().conf;
    let imported = super::super::import(ImportFrom {
        conf: &conf,
        mistakes: &[],
        crontabs: &[],
        zone: Tz::Asia__Shanghai,
        local_socket: Some(Path::new("/run/mysqld/mysqld.sock")),
        is_user: &|_| false,
        files: &|_| None,
        is_program: &|_| false,
        is_link: &|_| false,
    });
    let keeper = &imported.keeper;
    assert!(
        keeper.contains(
            "url = \"mysql://root@localhost:3306/catalogdb?or-socket=%2Frun%2Fmysqld%2Fmysqld.sock\""
        ) && keeper.contains("\nsocket = \"/run/mysqld/mysqld.sock\""),
        "{keeper}"
    );
    let told = |remark: &&Remark| !remark.is_gap && remark.text.contains("for TCP write 127.0.0.1");
    assert_eq!(imported.remarks.iter().filter(told).count(), 1);
    let told =
        |remark: &&Remark| !remark.is_gap && remark.text.contains("the catalog is looked for there first");
    assert_eq!(imported.remarks.iter().filter(told).count(), 1);
}
