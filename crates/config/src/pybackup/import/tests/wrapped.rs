//! What other programs run: followed where it can be, told where it cannot, whatever it is called through.

use super::*;

const DUMP: &str = "pybackup mydumper outputdir=/b/`date +%F`\n";

/// What comes of a line beside these scripts.
fn of_line(line: &str) -> Imported {
    let crontab = format!("0 4 * * * {line}\n");
    Host {
        conf: CONF,
        crontab: &crontab,
        scripts: vec![
            ("/srv/nightly.sh", DUMP),
            ("/srv/nightly", DUMP),
            ("/srv/outer.sh", "ionice -c 2 -n 7 /srv/nightly.sh\n"),
        ],
    }
    .import()
}

#[test]
fn a_script_is_followed_whatever_it_is_called_through() {
    for line in [
        "ionice -c 3 /srv/nightly.sh",
        "nice -n 19 ionice -c 2 -n 7 /srv/nightly.sh",
        "taskset -c 0 /srv/nightly.sh",
        "chrt -b 0 /srv/nightly.sh",
        "timeout -k 5 3h nohup setsid /srv/nightly.sh",
        "flock -n /l -c '/srv/nightly.sh >/dev/null'",
        "env A=1 B=2 sudo -u backup /srv/nightly.sh",
        "su - backup -c /srv/nightly.sh",
        "su -c '/srv/nightly.sh' backup",
        "runuser -u backup -- /srv/nightly.sh",
        "bash -lc 'nice /srv/nightly.sh'",
        "command /srv/nightly.sh",
        "stdbuf -oL /srv/nightly.sh",
        "chpst -u backup -n 5 /srv/nightly.sh",
        "setuidgid backup softlimit -m 1000000 /srv/nightly.sh",
        "doas -u backup /srv/nightly.sh",
        "gosu backup /srv/nightly.sh",
        "systemd-cat -t backup /srv/nightly.sh",
        "systemd-inhibit --what=sleep /srv/nightly.sh",
        "script -qec '/srv/nightly.sh' /dev/null",
        "setlock -n /l cronic /srv/nightly.sh",
        // A shell asks for no name, and for no first line.
        "bash /srv/nightly",
        "cd /srv; sh nightly",
        "nice sh -x /srv/nightly",
        "/srv/outer.sh",
    ] {
        let imported = of_line(line);
        assert_eq!(imported.jobs, 1, "{line}{:#?}", remarks(&imported));
        assert_eq!(imported.lines[0].fate, Fate::Translated, "{line}");
    }
    // A user may be called like a program.
    for line in [
        "sudo -u pybackup /srv/nightly.sh",
        "su - pybackup -c /srv/nightly.sh",
    ] {
        let imported = of_line(line);
        assert_eq!(imported.jobs, 1, "{line}{:#?}", remarks(&imported));
    }
}

#[test]
fn what_cannot_be_followed_is_told_whatever_it_is_called_through() {
    for line in [
        "ionice -c 3 /srv/gone.sh",
        "nice -n 19 /srv/gone.sh",
        "nice python n.py",
        "sudo n.py",
        "flock -n /l n.py",
        "env FOO=1 python3 n.py",
        "time n.py",
        "nice run-parts /etc/site.daily",
        "timeout 3600 ssh h /srv/x",
        "ssh backup@h /srv/x",
        "nohup setsid /srv/gone",
        "screen -dmS x /srv/gone.sh",
        "stdbuf -oL nice /srv/gone.py",
        "sh -c \"$CMD\"",
        "sudo -u backup sh -c \"$CMD\"",
        "su - backup",
        "bash < /srv/t.sh",
        "cat /srv/t.sh | bash",
        "cat /srv/t.sh | nice sh",
        "bash gone",
        "$NICE /srv/nightly.sh",
        "nice bash -n /srv/nightly.sh",
    ] {
        let imported = of_line(line);
        assert_eq!(imported.jobs, 0, "{line}");
        assert_eq!(imported.lines[0].fate, Fate::NotUnderstood, "{line}");
        assert!(
            imported.remarks.iter().any(|remark| remark.is_gap),
            "{line}{:#?}",
            remarks(&imported)
        );
    }
    // What changes nothing is left alone through them, too.
    for line in [
        "nice echo x",
        "timeout 5 du -sh /x",
        "env",
        "command -v mail",
        "nice /usr/bin/certbot renew",
    ] {
        assert_eq!(of_line(line).lines[0].fate, Fate::LeftAlone, "{line}");
    }
}

#[test]
fn what_a_wrapper_does_to_the_environment_is_heeded() {
    for (call, directory) in [
        ("/y.sh", Some("/data/old")),
        ("nice /y.sh", Some("/data/old")),
        ("env OUT=/data/new /y.sh", Some("/data/new")),
        ("env OUT=/data/new nice sh /y.sh", Some("/data/new")),
        ("OUT=/data/new nice /y.sh", Some("/data/new")),
        ("OUT=/data/new env /y.sh", Some("/data/new")),
        ("sudo OUT=/data/new /y.sh", None),
        ("sudo /y.sh", None),
        ("doas /y.sh", None),
        ("nice sudo -u backup /y.sh", None),
        ("su - backup -c /y.sh", None),
        ("runuser -u backup -- /y.sh", None),
        ("env -i /y.sh", None),
        ("env -u OUT /y.sh", None),
        ("OUT=/data/new sudo /y.sh", None),
        // It changes nothing here.
        ("nice export OUT=/data/new; /y.sh", Some("/data/old")),
    ] {
        let imported = Host {
            conf: CONF,
            crontab: "0 4 * * * /x.sh\n",
            scripts: vec![
                ("/x.sh", &format!("export OUT=/data/old\n{call}\n")),
                ("/y.sh", "pybackup mydumper outputdir=$OUT/`date +%F`\n"),
            ],
        }
        .import();
        match directory {
            Some(directory) => {
                let key = format!("\ndirectory = \"{directory}\" ");
                assert!(imported.schedule.contains(&key), "{call}{}", imported.schedule);
            }
            None => {
                assert_eq!(imported.jobs, 0, "{call}{}", imported.schedule);
                assert!(remarks(&imported).concat().contains("cannot be told"), "{call}");
            }
        }
    }
}
