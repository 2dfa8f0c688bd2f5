//! Room for command lines that ask for other databases each.

use crate::Host;
use mykeeper_e2e::Tmpfs;

const HOME: &str = "/data4/recover/pybackup";

#[test]
fn a_call_for_one_small_database_does_not_make_later_ones_for_all_seem_too_large() {
    let Some(host) = Host::or_skip() else { return };
    host.server.sql(
        "USE fandb; CREATE TABLE fandb.big (id INT PRIMARY KEY, v CHAR(64)); \
         INSERT INTO fandb.big SELECT seq, SHA2(RAND(), 256) FROM seq_1_to_30000; ANALYZE TABLE fandb.big",
    );
    // Much more than both take, and less than the space that a schedule's jobs leave free.
    let Some(disk) = Tmpfs::or_skip(host.at("data1"), "size=40m") else {
        return;
    };
    let dump = |words: &str| {
        let line = format!(
            "mkdir -p /data1/sets && ./pybackup.py mydumper {words} outputdir=/data1/sets compress --no-rsync"
        );
        host.run(HOME, &line)
    };
    for words in ["", "database=test", "", "database=test", ""] {
        dump(words).assert_code(0);
    }
    assert_eq!(host.newest_row()["is_complete"], "Y,Y,Y,Y");
    // What is refused says what can be done about it.
    std::fs::write(disk.path().join("full"), vec![1; 36 << 20]).unwrap();
    dump("")
        .assert_code(1)
        .assert_says("the last set had")
        .assert_says("make room, or name another `outputdir`");
}
