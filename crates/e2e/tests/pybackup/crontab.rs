//! Cron, which goes on with what the daemon was given.

use crate::Host;
use std::os::unix::fs::PermissionsExt;

/// A crontab of the host's own, beside nothing of the machine's.
const CRON: &str = "mount -t tmpfs none /var/spool && mkdir -p /var/spool/cron/crontabs && \
                    cp /data/root.cron /var/spool/cron/crontabs/root && ";

#[test]
fn the_check_and_the_daemon_warn_while_cron_has_lines_that_were_imported() {
    let Some(host) = Host::or_skip() else { return };
    let crontab = "MAILTO=\"\"\n\
                   0 4 * * * /data4/recover/pybackup/pybackup.py mydumper outputdir=/data/sets/`date +\\%F`\n\
                   0 5 * * * /usr/bin/true\n";
    let write = |text: &str| std::fs::write(host.at("data/root.cron"), text).unwrap();
    write(crontab);
    host.run(
        "/",
        &format!(
            "{CRON} mykeeper import /data4/recover/pybackup/pybackup.conf --crontab /var/spool/cron/crontabs/root \
             --out /data/keeper"
        ),
    )
    .assert_says("create these folders, or mount them, since a job makes none of its own: /data/sets");
    let remembered = host.at("data/keeper/imported.json");
    let mode = std::fs::metadata(&remembered).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&remembered).unwrap().contains("mydumper"));

    let check = format!("{CRON} mykeeper --config /data/keeper/mykeeper.toml check --offline");
    // Blanks make no other line.
    write(&crontab.replace("mydumper outputdir", "mydumper   outputdir"));
    host.run("/", &check)
        .assert_code(4)
        .assert_says("cron still has what jobs were made of: /var/spool/cron/crontabs/root:2; both");
    let daemon = format!(
        "{CRON} mykeeper --config /data/keeper/mykeeper.toml daemon >/data/said 2>&1 & \
         for try in `seq 600`; do grep -q 'cron still has' /data/said && break; kill -0 $! || break; sleep 0.1; done; \
         kill $!; wait $!; cat /data/said"
    );
    host.run("/", &daemon)
        .assert_says("cron still has what jobs were made of");

    write(&crontab.replace("0 4", "#0 4"));
    let after = host.run("/", &check);
    assert!(!after.said.contains("cron still has"), "{}", after.said);
}
