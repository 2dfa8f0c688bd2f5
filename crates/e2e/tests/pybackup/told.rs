//! What is said of runs of pybackup's command line afterwards, and of sets that it has not sent.

use crate::Host;
use crate::host::PASSWORD;

const HOME: &str = "/data4/recover/pybackup";

/// mykeeper.toml for the same catalog.
fn write_keeper(host: &Host) {
    host.write_private("data1/catalog.password", &format!("{PASSWORD}\n"));
    let keeper = format!(
        "node = \"db1\"\nschedule = \"schedule.toml\"\n\n[catalog]\n\
         url = \"mysql://root@127.0.0.1:{}/catalogdb\"\npassword_file = \"/data1/catalog.password\"\n",
        host.server.port()
    );
    host.write_private("data1/mykeeper.toml", &keeper);
    host.write_private("data1/schedule.toml", "");
}

#[test]
fn each_tag_has_its_last_run_and_a_number_is_no_job_of_its_own() {
    let Some(host) = Host::or_skip() else { return };
    write_keeper(&host);
    let dump = |home: &str, words: &str| {
        let line = format!(
            "mykeeper --config /data1/mykeeper.toml pybackup --conf {home}/pybackup.conf mydumper database=fandb \
             outputdir=/data1/2026-01-01 --no-rsync {words}"
        );
        host.run("/", &line)
    };
    let other = host.at("data/backup_db/pybackup.conf");
    let text = std::fs::read_to_string(&other).unwrap();
    std::fs::write(&other, text.replace("tag=国内平台从1", "tag=other")).unwrap();

    dump(HOME, "port=9").assert_code(1);
    // As the second of two that went on at once.
    for table in ["mk_run", "mk_job"] {
        let numbered = format!(
            "UPDATE catalogdb.{table} SET job = 'pybackup mydumper 2' WHERE job = 'pybackup mydumper'"
        );
        host.server.sql(&numbered);
    }
    dump("/data/backup_db", "").assert_code(0);
    let check = || host.run("/", "mykeeper --config /data1/mykeeper.toml check");
    check().assert_says("warning job pybackup mydumper (tag 国内平台从1): its last run failed");
    dump(HOME, "").assert_code(0);
    let checked = check();
    assert!(!checked.said.contains("its last run failed"), "{}", checked.said);
}

#[test]
fn a_set_that_could_not_be_sent_for_want_of_a_password_file_says_so_in_its_row_and_how_it_is_sent() {
    let Some(host) = Host::or_skip() else { return };
    let conf = host.at("data4/recover/pybackup/pybackup.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(
        &conf,
        text.replace("password_file=/data4/rsync.sec", "password_file=/data4/rsync.sek"),
    )
    .unwrap();
    let dump = "./pybackup.py mydumper database=fandb outputdir=/data1/2026-01-01";
    host.run(HOME, dump)
        .assert_code(1)
        .assert_says("/data4/rsync.sek");
    let row = host.newest_row();
    assert_eq!(row["transfer_complete"], "N", "{row:#?}");
    assert!(
        row["transfer_start"].starts_with("20") && row["transfer_end"].starts_with("20"),
        "{row:#?}"
    );
    let id = &row["bk_id"];
    let send = format!(
        "mykeeper --config {HOME}/pybackup.conf pybackup only-rsync --backup-dir=/data1/2026-01-01/{id} --bk-id={id} --conf={HOME}/pybackup.conf"
    );
    host.run("/", &format!("mykeeper --config {HOME}/pybackup.conf status"))
        .assert_code(4)
        .assert_says(&format!(
            "1 set waits for rsync, and nothing sends them by itself: {send} sends the oldest"
        ));

    std::fs::write(&conf, text).unwrap();
    let sent = host.run("/", &send);
    sent.assert_code(0);
    assert!(!sent.said.contains("has mistakes"), "{}", sent.said);
    assert_eq!(host.newest_row()["transfer_complete"], "N,Y");
    host.run("/", &format!("mykeeper --config {HOME}/pybackup.conf status"))
        .assert_code(0);
}
