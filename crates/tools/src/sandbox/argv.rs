//! The throwaway server's arguments.

use super::folder::SandboxFolder;
use super::likeness::Likeness;
use super::program::ServerProgram;
use mykeeper_domain::sandbox::Sandbox;
use std::ffi::OsString;
use std::path::Path;

/// One redo log for the template and for the servers cloned from it.
pub(super) const REDO_LOG_BYTES: u64 = 8 << 20;

/// How names are kept and compared, where it is not as they are: for the template, too, since MySQL 8 holds a folder to
/// what it was made with.
pub(super) fn lower_case_argument(likeness: &Likeness) -> Option<OsString> {
    likeness.lower_case.then(|| "--lower-case-table-names=1".into())
}

/// Private, fast, forgetful, and without a will of its own.
///
/// Options that only one product or some versions know are `--loose`: the others warn and go on.
pub(super) fn server_argv(
    program: &ServerProgram,
    folder: &SandboxFolder,
    (settings, likeness): (&Sandbox, &Likeness),
) -> Vec<OsString> {
    let with = |option: &str, path: &Path| {
        let mut text = OsString::from(option);
        text.push(path);
        text
    };
    let mut args = vec![
        OsString::from("--no-defaults"),
        with("--datadir=", &folder.data()),
        with("--socket=", folder.socket()),
        with("--pid-file=", &folder.path().join("server.pid")),
        with("--tmpdir=", &folder.tmp()),
        with("--secure-file-priv=", &folder.tmp()),
        format!("--innodb-buffer-pool-size={}", settings.memory_bytes.max(8 << 20)).into(),
    ];
    let fixed = [
        // Reached through its socket alone.
        "--skip-networking",
        "--skip-name-resolve",
        "--local-infile=0",
        // Forgetful.
        "--skip-log-bin",
        "--sync-binlog=0",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        "--loose-innodb-fast-shutdown=2",
        "--loose-innodb-buffer-pool-dump-at-shutdown=OFF",
        "--loose-innodb-buffer-pool-load-at-startup=OFF",
        "--performance-schema=OFF",
        // Kept statistics are worked out anew with each tenth that a table grows by: a third of the server's time as rows
        // come in. Those that are not kept cost a look at eight pages.
        "--innodb-stats-persistent=OFF",
        // The first transaction of a load has a MariaDB table for itself: other chunks of the table wait for its whole file.
        "--innodb-lock-wait-timeout=3600",
        // Nothing starts by itself.
        "--event-scheduler=OFF",
        "--skip-slave-start",
        "--loose-mysqlx=OFF",
        // Takes whatever a dump holds: zero dates, days that no month has, wide rows, long statements.
        "--sql-mode=ALLOW_INVALID_DATES",
        "--innodb-strict-mode=OFF",
        "--max-allowed-packet=1073741824",
        "--character-set-server=utf8mb4",
        "--default-time-zone=+00:00",
        "--loose-log-bin-trust-function-creators=ON",
        "--loose-sql-require-primary-key=OFF",
        // What a definition says of a TIMESTAMP is all that it means.
        "--loose-explicit-defaults-for-timestamp=ON",
        "--loose-restrict-fk-on-non-standard-key=OFF",
        "--loose-sql-generate-invisible-primary-key=OFF",
        "--max-connections=200",
    ];
    args.extend(fixed.map(OsString::from));
    args.extend(lower_case_argument(likeness));
    if program.is_mariadb() {
        args.push("--innodb-log-file-size=268435456".into());
    }
    args
}
