//! A row of pybackup's, column by column.

use crate::Host;
use std::collections::BTreeMap;

/// What a column holds.
pub(crate) enum Holds<'a> {
    /// This.
    Text(&'a str),
    /// This SQL expression over the row is true.
    True(&'a str),
}
use Holds::{Text, True};

/// What a command line says of a column.
pub(crate) type Column<'a> = (&'a str, Holds<'a>);

/// What a row says of a transfer that nobody wanted.
pub(crate) const LOCAL: [Column<'static>; 5] = [
    ("transfer_start", Text("NULL")),
    ("transfer_end", Text("NULL")),
    ("transfer_elapsed", Text("NULL")),
    ("transfer_complete", Text("N/A (local backup)")),
    ("remote_dest", Text("N/A (local backup)")),
];

/// The row of the documentation, as this test's server and backup host would have it: `said` is what the command line
/// says of it, and wins. Every column of the documented table is looked at.
pub(crate) fn assert_whole_row(host: &Host, row: &BTreeMap<String, String>, said: &[&[Column<'_>]]) {
    let version = host.server.value("SELECT VERSION()");
    let remote = format!("{}/", host.dest());
    let usual = [
        ("id", True("id > 177")),
        (
            "bk_id",
            True("bk_id RLIKE '^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$'"),
        ),
        ("bk_server", True("bk_server RLIKE '^[0-9a-f.:]+$'")),
        // On the wall in Shanghai, as the host's clock shows it.
        (
            "start_time",
            True("ABS(TIMESTAMPDIFF(MINUTE, start_time, UTC_TIMESTAMP() + INTERVAL 8 HOUR)) < 10"),
        ),
        ("end_time", True("end_time >= start_time")),
        (
            "elapsed_time",
            True("ABS(elapsed_time - TIMESTAMPDIFF(SECOND, start_time, end_time)) <= 1"),
        ),
        ("is_complete", Text("Y")),
        ("bk_size", True("bk_size RLIKE '^[0-9.]+[KM]$'")),
        ("transfer_start", True("transfer_start >= end_time")),
        ("transfer_end", True("transfer_end >= transfer_start")),
        (
            "transfer_elapsed",
            True("ABS(transfer_elapsed - TIMESTAMPDIFF(SECOND, transfer_start, transfer_end)) <= 1"),
        ),
        ("transfer_complete", Text("Y")),
        ("remote_dest", Text(&remote)),
        (
            "master_status",
            True("master_status RLIKE '^mysql-bin\\\\.[0-9]+,[0-9]+,[-0-9]*$'"),
        ),
        ("slave_status", Text("Not a slave")),
        (
            "tool_version",
            True("tool_version LIKE 'mydumper %, built against %'"),
        ),
        ("server_version", Text(&version)),
        ("pybackup_version", True("pybackup_version LIKE 'mykeeper %'")),
        ("tag", Text("国内平台从1")),
        ("is_deleted", Text("N")),
        ("validate_status", Text("N/A")),
    ];
    for column in documented_columns() {
        let mut all = said.iter().copied().flatten().chain(&usual);
        let said_of_it = all.find(|(name, _)| *name == column).map(|(_, holds)| holds);
        assert!(said_of_it.is_some(), "nothing is said of {column}");
        match said_of_it {
            Some(Text(text)) => assert_eq!(row[column], *text, "{column} in {row:#?}"),
            Some(True(sql)) => {
                let asked = format!("SELECT {sql} FROM user_backup WHERE id = {}", row["id"]);
                assert_eq!(host.catalog().value(&asked), "1", "{column}: {sql} in {row:#?}");
            }
            None => {}
        }
    }
}

/// Those of `user_backup` as pybackup documents it.
fn documented_columns() -> Vec<&'static str> {
    let tables = crate::host::TABLES;
    let table = tables.split("user_backup` (").nth(1).unwrap();
    let table = table.split("PRIMARY KEY").next().unwrap();
    let columns = table.lines().filter_map(|line| line.trim().strip_prefix('`'));
    let columns: Vec<&str> = columns.filter_map(|line| line.split('`').next()).collect();
    assert_eq!(columns.len(), 24, "{columns:?}");
    columns
}
