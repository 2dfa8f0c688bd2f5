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
    other_hours_places_and_options_are_the_same_line(&host, &check);
    what_may_not_be_read_is_not_called_in_order(&host);
}

/// A crontab of the system's beside the user's, which has none of the lines.
fn other_hours_places_and_options_are_the_same_line(host: &Host, check: &str) {
    let call = "/data4/recover/pybackup/pybackup.py mydumper outputdir=/data/sets/x threads=2";
    for (file, line, is_same) in [
        ("/var/spool/cron/crontabs/root", format!("5 3 * * * {call}"), true),
        ("/etc/cron.d/pyb", format!("0 4 * * * root {call}"), true),
        (
            "/etc/cron.d/pyb.disabled",
            format!("0 4 * * * root {call}"),
            false,
        ),
        (
            "/etc/cron.d/pyb",
            call.replace("/data4", "0 4 * * * root /data5"),
            false,
        ),
        (
            "/var/spool/cron/crontabs/tmp.x",
            format!("5 3 * * * {call}"),
            false,
        ),
    ] {
        host.write_private("data/line.cron", &format!("{line}\n"));
        let put = format!("mount -t tmpfs none /etc/cron.d && cp /data/line.cron {file} && ");
        let checked = host.run("/", &check.replacen("mykeeper", &format!("{put}mykeeper"), 1));
        let told = format!("cron still has what jobs were made of: {file}:1; both");
        assert_eq!(
            checked.said.contains(&told),
            is_same,
            "{file}: {line}\n{}",
            checked.said
        );
    }
}

/// As the user of the service, as whom also root's own check goes on.
fn what_may_not_be_read_is_not_called_in_order(host: &Host) {
    let keeper = "/data/keeper/mykeeper.toml";
    let as_service = format!(
        "{CRON} chmod 1730 /var/spool/cron/crontabs && chown nobody $STATE_DIRECTORY && mykeeper --config {keeper} check \
         --offline"
    );
    host.run("/", &as_service)
        .assert_says("cannot be told as user nobody, since /data/keeper/imported.json cannot be read");
    let given = as_service.replacen(
        "mykeeper",
        "chown nobody /data/keeper/imported.json && mykeeper",
        1,
    );
    host.run("/", &given)
        .assert_says("note    crontab: whether cron still has what jobs were made of cannot be seen as user nobody, who may not")
        .assert_says("sudo crontab -l")
        .assert_says("/var/spool/cron/crontabs/root:2");
}
