//! Every command line that the documentation prints, and the row that it shows.

use crate::Host;
use crate::host::{PASSWORD, TABLES};
use crate::row::Holds::{Text, True};
use crate::row::{LOCAL, assert_whole_row};
use mykeeper_e2e::{MariaDb, MariaDbOptions};

#[test]
fn every_documented_command_leaves_the_row_that_is_shown() {
    let Some(host) = Host::or_skip() else { return };
    let home = "/data4/recover/pybackup";
    host.server.sql("USE catalogdb; SET NAMES utf8; INSERT INTO user_backup (bk_id, bk_server, start_time, end_time, elapsed_time, \
        backuped_db, is_complete, bk_size, bk_dir, transfer_complete, remote_dest, master_status, slave_status, \
        tool_version, server_version, pybackup_version, bk_command, tag) VALUES ('bcd36dc6-c9e7-11e7-9e30-005056b15d9c', \
        '106.3.130.84', '2017-11-15 17:31:20', '2017-11-15 17:32:07', 47, 'fandb,test', 'Y,Y', '480M', \
        '/data4/recover/pybackup/2017-11-15', 'Y', 'x', 'm', 'Not a slave', 'mydumper 0.9.2', '5.7.18-log', \
        'pybackup 0.10.13', 'mydumper', '国内平台从1')");
    for word in ["-h", "--help", "mydumper help", "--version"] {
        host.run(home, &format!("./pybackup.py {word}")).assert_code(0);
    }
    the_row_of_the_documentation(&host, home);
    one_database(&host, home);
    the_socket(&host);
    flags(&host, home);
    chosen_by_expression(&host, home);
    sent_by_hand(&host, home);
    marked(&host);
    the_lines_of_a_backup_host(&host);
    the_conf_is_found(&host);
    localhost_means_the_socket(&host);
    sets_are_seen_and_restored_by_the_conf(&host, home);
    let kept = host.catalog().value(
        "SELECT CONCAT_WS('|', bk_size, tag, start_time, is_deleted) FROM user_backup \
        WHERE bk_id = 'bcd36dc6-c9e7-11e7-9e30-005056b15d9c'",
    );
    assert_eq!(kept, "480M|国内平台从1|2017-11-15 17:31:20|N");
}

fn the_row_of_the_documentation(host: &Host, home: &str) {
    let dir = "/data4/recover/pybackup/2017-11-15";
    let ended = host.run(
        home,
        &format!(
            "./pybackup.py mydumper password=fanboshi outputdir={dir} verbose=3 compress triggers events routines \
             use-savepoints"
        ),
    );
    ended
        .assert_code(0)
        .assert_says("warning: until it was moved out of sight");
    let row = host.newest_row();
    let command = format!(
        "mydumper --password=supersecrect --outputdir={dir} --verbose=3 --compress --triggers --events --routines \
         --use-savepoints database=fandb,test,union_log_ad_201710_db,union_log_ad_201711_db"
    );
    assert_whole_row(
        host,
        &row,
        &[&[
            (
                "backuped_db",
                Text("fandb,test,union_log_ad_201710_db,union_log_ad_201711_db"),
            ),
            ("is_complete", Text("Y,Y,Y,Y")),
            ("bk_dir", Text(dir)),
            ("bk_command", Text(&command)),
        ]],
    );
    let id = &row["bk_id"];
    for database in row["backuped_db"].split(',') {
        assert!(
            host.at(&dir[1..])
                .join(id)
                .join(database)
                .join("metadata")
                .is_file(),
            "{database}"
        );
        let copy = host
            .vault
            .vault()
            .join("106.3.130.84/2017-11-15")
            .join(id)
            .join(database);
        assert!(copy.join("metadata").is_file(), "{}", copy.display());
    }
}

fn one_database(host: &Host, home: &str) {
    host.run(
        home,
        "./pybackup.py mydumper password=fanboshi database=fandb outputdir=/data4/recover/pybackup/2017-11-12 \
         logfile=/data4/recover/pybackup/bak.log verbose=3",
    )
    .assert_code(0);
    let row = host.newest_row();
    assert_whole_row(
        host,
        &row,
        &[&[
            ("backuped_db", Text("fandb")),
            ("bk_dir", Text("/data4/recover/pybackup/2017-11-12")),
            (
                "bk_command",
                Text(
                    "mydumper --password=supersecrect --database=fandb --outputdir=/data4/recover/pybackup/2017-11-12 \
                     --logfile=/data4/recover/pybackup/bak.log --verbose=3",
                ),
            ),
        ]],
    );
    let set = host.at("data4/recover/pybackup/2017-11-12").join(&row["bk_id"]);
    assert!(set.join("fandb/fandb.日志.sql").is_file());
    let log = std::fs::read_to_string(host.at("data4/recover/pybackup/bak.log")).unwrap();
    assert!(
        log.contains("mydumper: ") && log.contains("rsync") && !log.contains("fanboshi"),
        "{log}"
    );
}

fn the_socket(host: &Host) {
    host.run(
        "/data/backup_db",
        "./pybackup.py mydumper password=\"papapa\" user=root socket=/data/mysql/mysql.sock outputdir=/data/backup_db/ \
         verbose=3 compress threads=8 triggers events routines use-savepoints logfile=/data/backup_db/pybackup.log \
         database=yourdb",
    )
    .assert_code(0);
    let row = host.newest_row();
    assert_whole_row(
        host,
        &row,
        &[&[
            ("backuped_db", Text("yourdb")),
            ("bk_dir", Text("/data/backup_db")),
            (
                "bk_command",
                Text(
                    "mydumper --password=supersecrect --user=root --socket=/data/mysql/mysql.sock \
                     --outputdir=/data/backup_db/ --verbose=3 --compress --threads=8 --triggers --events --routines \
                     --use-savepoints --logfile=/data/backup_db/pybackup.log --database=yourdb",
                ),
            ),
        ]],
    );
    assert!(
        host.at("data/backup_db")
            .join(&row["bk_id"])
            .join("yourdb")
            .is_dir()
    );
}

fn flags(host: &Host, home: &str) {
    let dump = |flags: &str| {
        host.run(
            home,
            &format!("./pybackup mydumper database=test outputdir=/data4/recover/pybackup/flags {flags}"),
        )
    };
    dump("--no-rsync").assert_code(0);
    let row = host.newest_row();
    let own = [
        ("backuped_db", Text("test")),
        ("bk_dir", Text("/data4/recover/pybackup/flags")),
        (
            "bk_command",
            Text("mydumper --database=test --outputdir=/data4/recover/pybackup/flags"),
        ),
    ];
    assert_whole_row(host, &row, &[&own, &LOCAL]);
    let (rows, sent) = (host.rows(), host.vault.files().len());
    // Beside sets that the catalog of the conf alone knows.
    let beside = format!("./pybackup mydumper database=test outputdir={home} --only-backup");
    let ended = host.run(home, &beside);
    ended.assert_code(0);
    assert!(!ended.said.contains("catalog"), "{}", ended.said);
    assert_eq!(
        (host.rows(), host.vault.files().len()),
        (rows, sent),
        "nothing recorded, nothing sent"
    );
    dump("--no-history").assert_code(0);
    assert_eq!(host.rows(), rows);
    assert!(host.vault.files().len() > sent, "sent all the same");
    dump("--only-backup --no-rsync")
        .assert_code(2)
        .assert_says("it stands alone");
    let entries = std::fs::read_dir(host.at("data4/recover/pybackup/flags")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // What names the disk is hidden.
    assert_eq!(names.filter(|name| !name.starts_with('.')).count(), 2);
}

/// Flat, with the expression in place of the databases.
fn chosen_by_expression(host: &Host, home: &str) {
    for (word, tables) in [
        (
            "regex='^(fandb|test)\\.'",
            &["fandb.日志", "fandb.empty_one", "test.日志", "test.empty_one"][..],
        ),
        (
            "regex='^(?!(mysql|catalogdb|union|yourdb|fandb|test\\.empty))'",
            &["test.日志"],
        ),
        (
            "tables-list=fandb.日志,yourdb.empty_one",
            &["fandb.日志", "yourdb.empty_one"],
        ),
    ] {
        let dir = "/data4/recover/pybackup/flags";
        host.run(
            home,
            &format!("./pybackup.py mydumper {word} outputdir={dir} routines --no-rsync"),
        )
        .assert_code(0);
        let row = host.newest_row();
        let expression = word.split_once('=').unwrap().1.replace('\'', "");
        let command = format!(
            "mydumper --{}={expression} --outputdir={dir} --routines",
            word.split('=').next().unwrap()
        );
        let own = [
            ("backuped_db", Text(&expression)),
            ("bk_dir", Text(dir)),
            ("bk_command", Text(&command)),
        ];
        assert_whole_row(host, &row, &[&own, &LOCAL]);
        let set = host.at(&dir[1..]).join(&row["bk_id"]);
        let mut found: Vec<String> = std::fs::read_dir(&set)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix("-schema.sql").map(str::to_owned))
            .collect();
        found.sort();
        let mut expected: Vec<&str> = tables.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{word}");
        assert!(set.join("metadata").is_file());
    }
}

fn sent_by_hand(host: &Host, home: &str) {
    let id = &host.newest_row()["bk_id"];
    let dir = "/data4/recover/pybackup/flags";
    host.run(
        home,
        &format!("./pybackup.py only-rsync --backup-dir={dir} --bk-id={id} --log-file=rsync.log"),
    )
    .assert_code(0);
    let row = host.newest_row();
    assert_whole_row(
        host,
        &row,
        &[&[
            ("backuped_db", Text("fandb.日志,yourdb.empty_one")),
            ("bk_dir", Text(dir)),
            ("bk_command", True("bk_command LIKE 'mydumper --tables-list=%'")),
        ]],
    );
    assert!(host.at(&home[1..]).join("rsync.log").is_file());
    // Without an id nothing is updated, and the log has its documented name.
    let before = host.newest_row();
    host.run(dir, &format!("../pybackup.py only-rsync --backup-dir={dir}/{id}"))
        .assert_code(0);
    assert_eq!(host.newest_row(), before);
    assert!(host.at(&dir[1..]).join("pybackup_default.log").is_file());
}

fn marked(host: &Host) {
    let deleted = || {
        host.catalog()
            .value("SELECT COUNT(*) FROM user_backup WHERE is_deleted = 'Y'")
    };
    let all = "/data4/recover/pybackup";
    // As a script has it: what `find` says, in one variable, without quotes.
    let find = format!(
        "obsolete_dir2=`find {all} -name \"2017*\" ! -name \"*-01\" -type d`; \
         python /data/scripts/bin/pybackup.py mark-del --backup-dir=$obsolete_dir2"
    );
    host.run("/", &find).assert_code(0);
    assert_eq!(deleted(), "2", "both days, and no file is touched");
    host.run(
        "/",
        "python /data/scripts/bin/pybackup.py mark-del --backup-dir=`find /data1 -name x`",
    )
    .assert_code(0)
    .assert_says("nothing is marked");
    let id = host.newest_row()["bk_id"].clone();
    host.run(
        "/",
        &format!("python /data/scripts/bin/pybackup.py mark-del --bk-id={id}"),
    )
    .assert_code(0);
    assert_eq!(deleted(), "3");
    assert_eq!(host.newest_row()["is_deleted"], "Y");
    // A folder that is gone costs the others nothing, and is told of.
    let day = "/data4/recover/pybackup/2017-12-20";
    let dump = format!("./pybackup.py mydumper database=fandb outputdir={day} --no-rsync");
    host.run(all, &dump).assert_code(0);
    host.run(
        "/",
        &format!("{all}/pybackup.py mark-del --backup-dir=/data4/gone --backup-dir={day}"),
    )
    .assert_code(1)
    .assert_says("/data4/gone");
    assert_eq!(deleted(), "4");
    host.run(
        "/",
        &format!("{all}/pybackup.py mark-del --backup-dir=/data4/gone"),
    )
    .assert_code(2)
    .assert_says("nothing is marked");
}

/// What the documentation prints for the host that keeps the sets, both lines as they are.
fn the_lines_of_a_backup_host(host: &Host) {
    let folder = "/data2/backup/db_backup/101.37.164.13";
    let sets = [
        ("2017-11-01", "0883fd06-e033-11e7-88ad-00163e0e2301", "N"),
        ("2017-11-15", "0883fd06-e033-11e7-88ad-00163e0e2315", "Y"),
        ("2017-12-14", "0883fd06-e033-11e7-88ad-00163e0e2396", "Y"),
        ("2018-01-05", "0883fd06-e033-11e7-88ad-00163e0e2305", "N"),
    ];
    for (day, id, _) in sets {
        let set = format!("{folder}/{day}/{id}");
        let make = format!(
            "mkdir -p {set}/day_hour && touch {set}/day_hour/metadata && touch -d {day} {folder}/{day}"
        );
        host.run("/", &make).assert_code(0);
        host.server.sql(&format!(
            "USE catalogdb; SET NAMES utf8; INSERT INTO user_backup (bk_id, bk_server, start_time, end_time, elapsed_time, \
             bk_size, bk_dir, transfer_complete, remote_dest, master_status, slave_status, tool_version, server_version) \
             VALUES ('{id}', '101.37.164.13', '{day}', '{day}', 1, '4.0K', '/data/backup_db/{day}', 'Y', 'x', 'm', '', \
             '', '')"
        ));
    }
    // No set's folder: pybackup put its name into a statement as it is.
    host.run(
        "/",
        &format!("mkdir \"{folder}/2017-11-15/x' OR '1'='1\" && touch -d 2017-11-15 {folder}/2017-11-15"),
    )
    .assert_code(0);
    let lines = "obsolete_dir2=`find /data2/backup/db_backup/101.37.164.13 -name \"2017*\"  ! -name  \"*-01\" -type d  -mtime  +31`\n\
        python /data/scripts/bin/pybackup.py mark-del --backup-dir=$obsolete_dir2\n\
        find /data2/backup/db_backup/101.37.164.13 -name \"2017*\"  ! -name  \"*-01\" -type d  -mtime  +31 -exec rm -r {} \\;\n";
    let ended = host.run("/", lines);
    for (day, id, deleted) in sets {
        let marked = format!("SELECT is_deleted FROM user_backup WHERE bk_id = '{id}'");
        assert_eq!(host.catalog().value(&marked), deleted, "{day}: {}", ended.said);
        let is_there = host.at(&folder[1..]).join(day).join(id).is_dir();
        assert_eq!(is_there, deleted == "N", "{day}: {}", ended.said);
    }
}

/// In the working directory, and in `/etc`, where none lies beside the program.
fn the_conf_is_found(host: &Host) {
    std::fs::create_dir_all(host.at("data1/work")).unwrap();
    let copy = host.at("data1/work/pybackup.conf");
    std::fs::copy(host.at("data4/recover/pybackup/pybackup.conf"), &copy).unwrap();
    let dump =
        "mykeeper pybackup mydumper database=fandb outputdir=/data4/recover/pybackup/2017-12-21 --no-rsync";
    host.run("/", dump)
        .assert_code(2)
        .assert_says("/etc/pybackup.conf");
    let rows = host.rows();
    host.run("/data1/work", dump).assert_code(0);
    let in_etc =
        "cp -a /etc /data1/etc && mv /data1/work/pybackup.conf /data1/etc && mount --bind /data1/etc /etc";
    host.run("/", &format!("{in_etc} && {dump}")).assert_code(0);
    assert_eq!((host.rows(), copy.exists()), (rows + 2, false));
}

/// As the documentation prints it, for catalog and server: nothing listens on that port, nor does the server on another.
fn localhost_means_the_socket(host: &Host) {
    let server = MariaDb::start_with(MariaDbOptions {
        extra: vec!["--skip-networking".to_owned()],
        ..Default::default()
    });
    server.sql(&format!(
        "ALTER USER root@localhost IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('{PASSWORD}')"
    ));
    server.sql("CREATE DATABASE fandb; CREATE TABLE fandb.t (id INT PRIMARY KEY)");
    server.sql(&format!(
        "CREATE DATABASE catalogdb CHARACTER SET utf8; USE catalogdb; SET sql_mode = ''; {TABLES}"
    ));
    let conf = host.at("data/scripts/bin/pybackup.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    let port = format!("db_port={}\n", host.server.port());
    let printed = text
        .replace("db_host=127.0.0.1\n", "db_host=localhost\n")
        .replace(&port, "db_port=3306\n");
    std::fs::write(&conf, printed).unwrap();
    let socket = format!(
        "mount -t tmpfs none /run && mkdir /run/mysqld && ln -s {} /run/mysqld/mysqld.sock",
        server.socket().display()
    );
    let dump = "./pybackup.py mydumper database=fandb outputdir=/data1/2017-12-23 --no-rsync";
    let status = "mykeeper --config ./pybackup.conf catalog status";
    let ended = host.run("/data/scripts/bin", &format!("{socket} && {dump} && {status}"));
    std::fs::write(&conf, text).unwrap();
    ended
        .assert_code(0)
        .assert_says("/catalogdb?socket=%2Frun%2Fmysqld%2Fmysqld.sock");
    assert_eq!(
        server.value("SELECT bk_dir FROM catalogdb.user_backup"),
        "/data1/2017-12-23"
    );
}

/// Where there is no `mykeeper.toml`.
fn sets_are_seen_and_restored_by_the_conf(host: &Host, home: &str) {
    let conf = format!("{home}/pybackup.conf");
    let keeper = |words: &str| host.run("/", &format!("mykeeper --config {conf} {words}"));
    let dump = format!("./pybackup.py mydumper database=fandb outputdir={home}/2017-12-22 --no-rsync");
    host.run(home, &dump).assert_code(0);
    let id = host.newest_row()["bk_id"].clone();
    keeper("backups").assert_code(0).assert_says(&id);
    // By whatever name: what stands in it tells.
    let other = format!("cp {conf} /data1/other.cnf && mykeeper --config /data1/other.cnf backups");
    host.run("/", &other).assert_code(0).assert_says(&id);
    keeper(&format!("show {id}")).assert_code(0).assert_says("fandb");
    let server = format!("127.0.0.1:{}", host.server.port());
    host.server.sql("DROP DATABASE IF EXISTS fandb_back");
    keeper(&format!(
        "restore {id} --into {server} --database fandb --as fandb_back"
    ))
    .assert_code(4)
    .assert_says("is not proven");
    assert_eq!(host.server.value("SELECT COUNT(*) FROM fandb_back.`日志`"), "2");
    keeper("daemon").assert_code(2).assert_says("the command import");
    // No daemon can run by it, and cron goes on.
    let status = keeper("status");
    status.assert_says("and what cron calls needs none");
    assert!(!status.said.contains("nothing will fire"), "{}", status.said);
    // A conf that is named is tried with its own account, also where mykeeper.toml knows one for the same catalog.
    let beside = format!(
        "cp -a /etc /data1/etc && mount --bind /data1/etc /etc && {{ mykeeper import {conf} --out /etc/mykeeper; \
         sed 's/^db_passwd=.*/db_passwd=bad/' {conf} > /data1/pybackup-bad.conf; chmod 600 /data1/pybackup-bad.conf; }}"
    );
    host.run("/", &format!("{beside} && mykeeper --config {conf} backups"))
        .assert_code(0)
        .assert_says(&id);
    let cleared = "rm -rf /data1/etc";
    host.run(
        "/",
        &format!("{cleared}; {beside} && mykeeper --config /data1/pybackup-bad.conf backups"),
    )
    .assert_code(3)
    .assert_says("Access denied")
    .assert_says("the account is that of /data1/pybackup-bad.conf");
    // What a command line of pybackup's advises can be pasted.
    host.run(home, "./pybackup.py mark-del --bk-id=x")
        .assert_code(2)
        .assert_says(&format!("mykeeper --config {conf} backups"));
}
