//! A catalog that cannot be reached when a set is made: pybackup left nothing of such a set.

use crate::Host;
use crate::row::Holds::Text;
use crate::row::assert_whole_row;
use mykeeper_e2e::TcpProxy;

const HOME: &str = "/data/scripts/bin";

/// The set is made and sent, its row waits on the host, and the next command writes it.
pub(crate) fn the_row_waits_while_the_catalog_is_away(host: &Host) {
    let proxy = TcpProxy::to(host.server.port());
    let conf = host.at("data/scripts/bin/pybackup.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    let port = |port: u16| format!("db_port={port}\n");
    std::fs::write(
        &conf,
        text.replacen(&port(host.server.port()), &port(proxy.port()), 1),
    )
    .unwrap();
    let dump = |database: &str| {
        let line = format!("./pybackup.py mydumper database={database} outputdir=/data1/2026-01-07 compress");
        host.run(HOME, &line)
    };
    dump("test").assert_code(0);
    let before = host.rows();
    proxy.refuse();
    proxy.cut_now();
    let away = dump("fandb");
    assert_eq!(host.rows(), before, "{}", away.said);
    proxy.heal();
    dump("test").assert_code(0);
    assert_eq!(host.rows(), before + 2, "{}", away.said);
    let row = host.row_of("backuped_db = 'fandb' AND bk_dir = '/data1/2026-01-07'");
    let command = "mydumper --database=fandb --outputdir=/data1/2026-01-07 --compress";
    let own = [
        ("backuped_db", Text("fandb")),
        ("bk_dir", Text("/data1/2026-01-07")),
        ("bk_command", Text(command)),
    ];
    assert_whole_row(host, &row, &[&own]);
    assert!(
        host.at("data1/2026-01-07")
            .join(&row["bk_id"])
            .join("fandb/metadata")
            .is_file()
    );
    std::fs::write(&conf, &text).unwrap();
    assert_eq!(away.code, Some(0), "{}", away.said);
}

/// As above, but no later night is better by itself: that is told, and mended, the row is there.
pub(crate) fn a_catalog_that_refuses_the_account_is_warned_of(host: &Host) {
    let conf = host.at("data/scripts/bin/pybackup.conf");
    let text = std::fs::read_to_string(&conf).unwrap();
    let before = host.rows();
    let dump = "./pybackup.py mydumper database=fandb outputdir=/data1/2026-01-08 --no-rsync";
    std::fs::write(&conf, text.replacen("db_passwd=fanboshi", "db_passwd=old one", 1)).unwrap();
    let refused = host.run(HOME, dump);
    std::fs::write(&conf, &text).unwrap();
    refused
        .assert_code(4)
        .assert_says("the catalog refuses the account: work goes on")
        .assert_says("Access denied")
        .assert_says("look at db_user, db_passwd and db_use in [CATALOG]");
    assert!(!refused.said.contains("old one"), "{}", refused.said);
    assert_eq!(host.rows(), before);
    host.run(HOME, dump).assert_code(0);
    assert_eq!(host.rows(), before + 2);
}
