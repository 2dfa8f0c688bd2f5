//! The README's way from pybackup to here and back, as it stands there.

use crate::Host;
use mykeeper_e2e::Binary;
use std::path::Path;

/// The blocks of commands below this heading.
fn blocks(heading: &str) -> Vec<String> {
    let readme = include_str!("../../../../README.md");
    let section = readme.split_once(&format!("\n## {heading}\n")).unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split_once("```").unwrap().0.to_owned())
        .collect()
}

#[test]
fn one_host_moves_in_five_commands_and_back_in_one() {
    let Some(host) = Host::or_skip() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap();
    let here = |commands: &str| {
        let binary = Binary::find().path().display().to_string();
        let commands = commands
            .replace("target/release/mykeeper", &binary)
            .replace("/usr/local", "/data/local");
        commands.replace("deploy/", &format!("{}/deploy/", root.display()))
    };
    let blocks = blocks("In place of pybackup");
    let [there, back] = blocks.as_slice() else {
        panic!("{blocks:?}")
    };
    assert_eq!((there.lines().count(), back.lines().count()), (5, 1));
    // What a host has before.
    let program = host.at("data/backup_db/pybackup.py");
    std::fs::remove_file(&program).unwrap();
    std::fs::write(&program, "print('pybackup itself')\n").unwrap();
    let line = "python /data/backup_db/pybackup.py mydumper database=fandb outputdir=/data/backup_db/2026-01-01 --no-rsync";
    host.run("/", line).assert_code(0).assert_says("pybackup itself");
    assert_eq!(host.rows(), 0);

    host.run("/", &format!("set -e\n{}", here(there))).assert_code(0);
    host.run("/", line).assert_code(0);
    assert_eq!((host.rows(), host.newest_row()["is_complete"].as_str()), (1, "Y"));
    host.run("/", &here(back)).assert_code(0);
    host.run("/", line).assert_code(0).assert_says("pybackup itself");
    // What it then writes, knowing none of the columns that were added, stands beside what is there.
    host.server.sql(
        "USE catalogdb; SET sql_mode = 'STRICT_ALL_TABLES'; INSERT INTO user_backup (bk_id, bk_server, start_time, end_time, \
         elapsed_time, backuped_db, is_complete, bk_size, bk_dir, transfer_complete, remote_dest, master_status, \
         slave_status, tool_version, server_version, pybackup_version, bk_command, tag) VALUES \
         ('bcd36dc6-c9e7-11e7-9e30-005056b15d9c', '106.3.130.84', NOW(), NOW(), 47, 'fandb', 'Y', '480M', '/x', 'Y', 'x', \
         'm', 'Not a slave', 'mydumper 0.9.2', '5.7.18-log', '0.10.13', 'mydumper', 't')",
    );
    assert_eq!(host.rows(), 2);
}
