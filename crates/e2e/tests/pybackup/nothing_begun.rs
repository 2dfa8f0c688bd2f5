//! A dump that could not begin, and the row that says so.

use crate::Host;
use crate::row::Holds::Text;
use crate::row::assert_whole_row;

const HOME: &str = "/data4/recover/pybackup";

/// As pybackup, whose mydumper ended at once: one `N` for each database that is asked for, and no folder.
pub(crate) fn what_cannot_begin_leaves_its_row(host: &Host) {
    let dir = "/data4/recover/pybackup/2026-01-05";
    let version = host.server.value("SELECT VERSION()");
    let list = "test,fandb,union_log_ad_%";
    for (words, databases, complete, server_version, said) in [
        ("database=nothing", "nothing", "N", version.as_str(), "nothing"),
        (
            "database=fandb password=nosuch",
            "fandb",
            "N",
            "",
            "Access denied",
        ),
        ("password=nosuch", list, "N,N,N", "", "Access denied"),
        (
            "database=fandb host=127.0.0.1 port=9",
            "fandb",
            "N",
            "",
            "127.0.0.1:9",
        ),
        (
            "database=fandb socket=/data/none.sock",
            "fandb",
            "N",
            "",
            "/data/none.sock",
        ),
        ("regex=^fandb port=9", "^fandb", "N", "", "127.0.0.1:9"),
    ] {
        let rows = host.rows();
        let line = format!("./pybackup.py mydumper {words} outputdir={dir}");
        host.run(HOME, &line).assert_code(1).assert_says(said);
        assert_eq!(host.rows(), rows + 1, "{words}");
        let shown: Vec<String> = words
            .split(' ')
            .map(|word| format!("--{}", word.replace("nosuch", "supersecrect")))
            .collect();
        let mut command = format!("mydumper {} --outputdir={dir}", shown.join(" "));
        if databases == list {
            command.push_str(&format!(" database={list}"));
        }
        let own = [
            ("backuped_db", Text(databases)),
            ("is_complete", Text(complete)),
            ("bk_size", Text("0")),
            ("bk_dir", Text(dir)),
            ("transfer_start", Text("NULL")),
            ("transfer_end", Text("NULL")),
            ("transfer_elapsed", Text("NULL")),
            ("transfer_complete", Text("Backup failed")),
            ("remote_dest", Text("Backup failed")),
            ("master_status", Text("")),
            ("slave_status", Text("")),
            ("server_version", Text(server_version)),
            ("bk_command", Text(&command)),
        ];
        let row = host.newest_row();
        assert_whole_row(host, &row, &[&own]);
        assert!(row["reason"].contains(said), "{row:#?}");
    }
    let folders = std::fs::read_dir(host.at(&dir[1..])).unwrap().count();
    assert_eq!(folders, 0, "no folder without files");
}
