use super::*;
use crate::pybackup::conf::parse_pybackup_conf;
use secrecy::ExposeSecret;
use std::collections::BTreeMap;

/// The documentation's own.
const CONF: &str = include_str!("fixtures/pybackup.conf");
const DUMP_SCRIPT: &str = include_str!("fixtures/pybackup.sh");
const VALIDATE_SCRIPT: &str = include_str!("fixtures/validate_backup.sh");
const MARK_LINES: &str = "python /data/scripts/bin/pybackup.py mark-del --backup-dir=$obsolete_dir2\n\
    find /data2/backup/db_backup/101.37.164.13 -name \"2017*\"  ! -name  \"*-01\" -type d  -mtime  +31 -exec rm -r {} \\;\n";

/// What is installed.
const PROGRAMS: [&str; 3] = ["certbot", "oddjob", "python3"];

struct Host<'a> {
    conf: &'a str,
    crontab: &'a str,
    scripts: Vec<(&'a str, &'a str)>,
}

impl Host<'_> {
    fn import(&self) -> Imported {
        let imported = self.read();
        loads(&imported);
        loads(&with_retention(&imported));
        imported
    }

    fn read(&self) -> Imported {
        let file = Path::new("/data/backup_db/pybackup.conf");
        let read = parse_pybackup_conf(file, self.conf, &[]).unwrap();
        let conf = read.conf;
        let scripts: BTreeMap<&Path, &str> = self
            .scripts
            .iter()
            .map(|(path, text)| (Path::new(*path), *text))
            .collect();
        let crontabs = [(PathBuf::from("/var/spool/cron/root"), self.crontab.to_owned())];
        import(ImportFrom {
            conf: &conf,
            mistakes: &read.warnings,
            crontabs: &crontabs,
            zone: Tz::Asia__Shanghai,
            local_socket: None,
            is_user: &|name| ["root", "sync", "backup"].contains(&name),
            files: &|path| {
                scripts.get(path).map(|text| Script {
                    text: (*text).to_owned(),
                    is_executable: !path.ends_with("mode-644"),
                })
            },
            is_program: &|path| {
                PROGRAMS
                    .iter()
                    .any(|name| path == Path::new("/usr/bin").join(name))
            },
            is_link: &|path| path == Path::new("/link"),
        })
    }

    /// Of the documented conf.
    fn of(crontab: &str, scripts: &[(&str, &str)]) -> Imported {
        Host {
            conf: CONF,
            crontab,
            scripts: scripts.to_vec(),
        }
        .import()
    }

    /// Of one backup job and one script.
    fn of_script(script: &str) -> Imported {
        Host::of("0 4 * * * /x.sh\n", &[("/x.sh", script)])
    }
}

/// `mykeeper check --offline` has nothing to say.
fn loads(imported: &Imported) {
    let folder = tempfile::tempdir().unwrap();
    let keeper = folder.path().join("mykeeper.toml");
    std::fs::write(&keeper, &imported.keeper).unwrap();
    std::fs::write(folder.path().join("schedule.toml"), &imported.schedule).unwrap();
    let surroundings = crate::Surroundings {
        host_name: "db1".to_owned(),
        host_address: "10.0.0.7".to_owned(),
        is_root: true,
        ..crate::Surroundings::default()
    };
    let loaded = crate::load(&keeper, &surroundings);
    let loaded =
        loaded.unwrap_or_else(|errors| panic!("{errors}\n{}\n{}", imported.keeper, imported.schedule));
    assert!(loaded.warnings.is_empty(), "{:#?}", loaded.warnings);
    assert_eq!(loaded.settings.jobs.len(), imported.jobs + imported.added);
}

/// As a person has it who uncomments the retention jobs.
fn with_retention(imported: &Imported) -> Imported {
    let mut uncommented = imported.clone();
    let mut is_job = false;
    let lines = imported.schedule.lines().map(|line| {
        is_job |= line.starts_with("# [retention.");
        is_job &= line.starts_with("# ");
        uncommented.jobs += usize::from(line.starts_with("# [retention."));
        line.strip_prefix("# ").filter(|_| is_job).unwrap_or(line)
    });
    uncommented.schedule = lines.map(|line| format!("{line}\n")).collect();
    uncommented
}

fn remarks(imported: &Imported) -> Vec<String> {
    let shown = |remark: &Remark| format!("{} {remark}", if remark.is_gap { "GAP" } else { "   " });
    imported.remarks.iter().map(shown).collect()
}

#[test]
fn the_documented_host_that_is_backed_up() {
    let imported = Host::of(
        "# 备份\nMAILTO=\"\"\nPATH=/sbin:/bin:/usr/bin\n\n\
                  0 4 * * * /data/backup_db/pybackup.sh>> /data/backup_db/pybackup_sh.log 2>&1 \n\
                  5 * * * * /usr/sbin/ntpdate pool.example >/dev/null\n",
        &[("/data/backup_db/pybackup.sh", DUMP_SCRIPT)],
    );
    insta::assert_snapshot!("db_host_keeper", imported.keeper);
    insta::assert_snapshot!("db_host_schedule", imported.schedule);
    let passwords: Vec<(&str, &str)> = imported
        .passwords
        .iter()
        .map(|file| (file.name.as_str(), file.password.expose_secret()))
        .collect();
    assert_eq!(
        passwords,
        [("catalog.password", "fanboshi"), ("mysql.password", "papapa")]
    );
    for (_, password) in passwords {
        assert!(!imported.keeper.contains(password) && !imported.schedule.contains(password));
    }
}

#[test]
fn the_documented_host_that_keeps_the_sets() {
    let imported = Host {
        conf: "[CATALOG]\ndb_host=10.0.0.5\ndb_user=u\ndb_passwd=p\ndb_use=catalogdb\n\
               [Validate]\nbk_list=国内平台从1,国内平台主2\n",
        crontab: "#备份可恢复性测试\n\
                  */15 * * * * /data/scripts/bin/validate_backup.sh >> /data/scripts/log/validate_backup.log 2>&1\n\
                  0 7 * * * sh /data/scripts/bin/clean.sh\n",
        scripts: vec![
            ("/data/scripts/bin/validate_backup.sh", VALIDATE_SCRIPT),
            ("/data/scripts/bin/clean.sh", MARK_LINES),
        ],
    }
    .import();
    insta::assert_snapshot!("backup_host_keeper", imported.keeper);
    insta::assert_snapshot!("backup_host_schedule", imported.schedule);
}

#[test]
fn what_is_removed_is_kept_for_as_long_as_it_was() {
    const DUMP: &str = "pybackup mydumper outputdir=/b/`date +%F` compress\n";
    for (script, expected) in [
        (
            "find /b -name '20*' -mmin +90 -exec rm -r {} +\n",
            "{ within = \"1530m\", failed = true }",
        ),
        (
            "find /b -mtime +7 -delete\n",
            "{ within = \"9d\", failed = true }",
        ),
        (
            "find /b ! -name '????-??-01' -mtime +1 -exec rm -rf {} +\n",
            "{ within = \"3d\", month_days = [1], failed = true }",
        ),
        (
            "OLD=$(date -d '-7 days' +%F); rm -rf /b/${OLD}/\n",
            "{ all_but_day = 7, failed = true }",
        ),
        (
            "cd /b\nrm -r `date +%Y-%m-%d --date=yesterday`\n",
            "{ all_but_day = 1, failed = true }",
        ),
        (
            "find /b ! -name '*-15' ! -name '*-01' -mtime +6 -exec rm -rf {} +\n",
            "{ within = \"8d\", month_days = [1, 15], failed = true }",
        ),
    ] {
        let imported = Host::of_script(&format!("{DUMP}{script}"));
        assert_eq!(imported.jobs, 2, "{script}{}", imported.schedule);
        for key in [
            format!("\nkeep = {expected} "),
            "\naction = \"delete\"".to_owned(),
            "\ndepth = \"day\"".to_owned(),
        ] {
            assert!(imported.schedule.contains(&key), "{script}{}", imported.schedule);
        }
        assert!(
            imported.remarks.iter().all(|remark| !remark.is_gap),
            "{:#?}",
            remarks(&imported)
        );
    }
    let marked = Host::of_script(&format!(
        "{DUMP}OLD=$(date -d '7 days ago' +%F)\npybackup mark-del --backup-dir=/b/$OLD\n"
    ));
    assert_eq!(marked.jobs, 2, "{}", marked.schedule);
    assert!(
        marked.schedule.contains("\naction = \"mark\""),
        "{}",
        marked.schedule
    );
    // What is not of the closed set is read all the same, for the person who writes the job.
    for (script, expected) in [
        (
            "find /b -maxdepth 1 -type d -mtime +7 | xargs rm -rf\n",
            "within = \"9d\"",
        ),
        (
            "for d in `find /b/ -mtime +14`; do rm -rf $d; done\n",
            "within = \"16d\"",
        ),
        (
            "cd /b && rm -r `date +%Y-%m-%d --date=yesterday`\n",
            "all_but_day = 1",
        ),
    ] {
        let imported = Host::of_script(&format!("{DUMP}{script}"));
        is_left_to_a_person(&imported);
        let key = format!("\n# keep = {{ {expected}, failed = true }} ");
        assert!(imported.schedule.contains(&key), "{script}{}", imported.schedule);
    }
    // Each rule is a job of its own, and what is marked and removed by one rule is one job.
    let two = Host::of_script(&format!(
        "{DUMP}OLD=$(date -d '3 days ago' +%F)\npybackup mark-del --backup-dir=/b/$OLD\nrm -rf /b/$OLD\n\
         find /b -mtime +7 -exec rm -r {{}} +\n"
    ));
    assert_eq!(two.jobs, 3, "{}", two.schedule);
    assert!(!two.schedule.contains("\"mark\""), "{}", two.schedule);
    // What the job cannot tell apart is left to a person.
    for script in [
        "find /b -name '2017*' -mtime +7 -exec rm -r {} +\n",
        "find /b -name '*-1*' -mtime +7 -exec rm -r {} +\n",
    ] {
        is_left_to_a_person(&Host::of_script(&format!("{DUMP}{script}")));
    }
}

/// Of a backup job and a retention job the first alone runs, and the second is told of.
fn is_left_to_a_person(imported: &Imported) {
    assert_eq!(imported.jobs, 1, "{}", imported.schedule);
    assert_eq!(with_retention(imported).jobs, 2, "{}", imported.schedule);
    let is_told =
        |remark: &Remark| remark.is_gap && remark.text.contains("mykeeper retention prune --dry-run");
    assert!(imported.remarks.iter().any(is_told), "{:#?}", remarks(imported));
}

#[test]
fn nothing_is_removed_where_it_is_not_told_what() {
    const DUMP: &str = "pybackup mydumper outputdir=/b/`date +%F` compress\n";
    for (script, is_said) in [
        ("rm -rf $x\n", true),
        ("rm -rf /b\n", true),
        ("rm -rf /b/$(date -d 'last month' +%F)\n", true),
        ("rm -rf /b/$(date -d '2 days ago' +%Y%m%d)\n", true),
        ("find /b -exec rm -rf {} \\;\n", true),
        ("find $x -mtime +7 -exec rm -rf {} \\;\n", true),
        ("find /b ! -name '*-01-*' -mtime +7 -delete\n", true),
        ("find /b -name '20*' -mtime +7 -delete\n", true),
        ("find /b -type d -mtime +7 -delete\n", true),
        ("find /b -maxdepth 1 -mtime +7 -delete\n", true),
        ("find /b -mindepth 1 -maxdepth 1 -mtime +30 -delete\n", true),
        ("find /b -mindepth 3 -mtime +7 -exec rm -r {} +\n", true),
        ("find /b -size +1G -mtime +7 -delete\n", true),
        ("pybackup mark-del --backup-dir=$x\n", true),
        ("find /b -name '*.log' -mtime +7 -delete\n", true),
        ("find /b -type f -mtime +7 -delete\n", true),
        ("rm -rf /tmp/x /tmp/y; rm /b/x\n", true),
        ("find /b -mtime +7 -exec rm -f {} +\n", true),
        ("find /b -mtime +7\n", false),
        ("rm /tmp/x.lock\n", false),
        ("find /b -mtime +7 | xargs rm -f\n", true),
    ] {
        let imported = Host::of_script(&format!("{DUMP}{script}"));
        assert!(
            !imported.schedule.contains("[retention."),
            "{script}{}",
            imported.schedule
        );
        assert_eq!(imported.jobs, 1, "{script}{}", imported.schedule);
        let gaps = imported
            .remarks
            .iter()
            .filter(|remark| remark.is_gap && remark.place.line == 2);
        assert_eq!(gaps.count() > 0, is_said, "{script}{:#?}", remarks(&imported));
    }
    // It leaves folders that look like damaged sets.
    for line in [
        "find /b -type f -mtime +7 -delete",
        "find /b/ -name '*.sql.gz' -mtime +7 -exec rm -f {} +",
    ] {
        let crontab = format!("0 1 * * * {line}\n0 4 * * * /x.sh\n");
        let imported = Host::of(&crontab, &[("/x.sh", DUMP)]);
        assert_eq!(imported.jobs, 1, "{line}{}", imported.schedule);
        let is_told = |remark: &Remark| remark.is_gap && remark.text.contains("takes the files out of sets");
        assert!(
            imported.remarks.iter().any(is_told),
            "{line}{:#?}",
            remarks(&imported)
        );
        assert_eq!(imported.lines[0].fate, Fate::NotUnderstood);
    }
    // Of what is about other folders no job is written; that it removes is told.
    let imported = Host::of(
        "0 1 * * * find /var/log -type d -mtime +7 -exec rm -rf {} \\;\n0 2 * * * find /b -mtime +3 -delete\n\
                  0 4 * * * pybackup mydumper outputdir=/b/`date +\\%F`\n",
        &[],
    );
    assert_eq!(imported.jobs, 2);
    assert!(imported.schedule.contains("\ndirectory = \"/b\"") && !imported.schedule.contains("/var/log"));
    let fates: Vec<(usize, Fate)> = imported
        .lines
        .iter()
        .map(|line| (line.place.line, line.fate))
        .collect();
    assert_eq!(
        fates,
        [
            (1, Fate::NotUnderstood),
            (2, Fate::Translated),
            (3, Fate::Translated)
        ]
    );
}

#[test]
fn every_line_of_a_crontab_is_told_of() {
    let imported = Host::of(
        "0 1 * * * mysqldump -uroot -pS3cret --all-databases | gzip > /x.gz\n\
                  0 2 * * * /opt/nightly.sh\n0 3 * * * python3 /opt/keep.py\n0 4 * * * /x.sh\n\
                  5 * * * * /usr/sbin/ntpdate pool\n6 * * * * /opt/report.sh\nnonsense\n\
                  7 * * * * PASS=S3cret /usr/bin/curl -u x:S3cret\n8 3 * * * /opt/xtra.sh\n\
                  CRON_TZ=Europe/Berlin\n0 9 * * * pybackup mydumper outputdir=/c\n",
        &[
            (
                "/x.sh",
                "pybackup mydumper outputdir=/b/`date +%F`\nmysqldump x\n",
            ),
            ("/opt/report.sh", "mysql -e 'select 1' | mail -s x y\n"),
            ("/opt/xtra.sh", "cd /x\nxtrabackup --backup --password=S3cret\n"),
        ],
    );
    insta::assert_snapshot!(imported.schedule);
    assert!(!imported.schedule.contains("S3cret"));
}

#[test]
fn what_the_calls_say_wins_over_the_conf() {
    let calls = "export PATH=/x\nlog() { echo $1; }\nROOT=/data/sets\nlog begin\n\
        /opt/py/pybackup.py mydumper password='a b' user=u host=10.0.0.7 port=3307 database=one_db outputdir=$ROOT --only-backup\n\
        nice -n 10 python2.7 pybackup.py mydumper outputdir=$ROOT/`date +%Y%m%d` regex='^(?!(mysql\\.|test\\.))' thread=3\n\
        sudo -u root pybackup mydumper socket=/s.sock \"tables-list=a.x,b.y\" outputdir=/o/$(date +%F) -v chunk-filesize=64 password=$PW\n\
        pybackup mydumper help\npybackup only-rsync --backup-dir=/o\nmysql -e 'secret stuff'\n";
    let imported = Host::of_script(calls);
    insta::assert_snapshot!(format!("{}\n{}", imported.keeper, imported.schedule));
}

#[test]
fn lines_that_cannot_be_read_are_told() {
    let imported = Host {
        conf: "[TDB]\ndb_user=u\ndb_list=a\n",
        crontab: "@reboot pybackup mydumper outputdir=/b/`date +\\%F`\n0 4 * * * /gone/backup.sh\n0 4 * * /data/backup.sh\n\
                  CRON_TZ=Mars/Olympus\n0 4 * * * pybackup mydumper outputdir=/b\n0 5 * * * /usr/bin/true\n\
                  CRON_TZ=Europe/Berlin\n0 4 * * * flock -n /l sh -c 'cd /b; pybackup mydumper outputdir=x/`date +\\%F`'\n\
                  0 6 * * * pybackup validate-backup --bk_id=x --log-file=y\n0 7 * * * pybackup only-rsync\n\
                  0 8 * * * pybackup frobnicate\n",
        scripts: Vec::new(),
    }
    .import();
    insta::assert_snapshot!(format!("{}\n{}", imported.keeper, imported.schedule));
}

#[test]
fn functions_that_call_each_other_end() {
    let functions: String = (0..9)
        .map(|number| format!("f{number}() {{ {}}}\n", format!("f{}; ", number + 1).repeat(50)))
        .collect();
    for last in ["f9() { :; }", "f9() { ", "f9() { f0; }"] {
        let script = format!("{functions}{last}\n}}\npybackup mydumper outputdir=/b\nf0\n");
        let imported = Host::of_script(&script);
        assert!(imported.jobs <= 1, "{last}");
    }
}

#[test]
fn a_script_that_calls_itself_ends() {
    let script = format!(
        "pybackup mydumper outputdir=/b\n{}",
        "/x.sh\n. /x.sh\n".repeat(50)
    );
    assert_eq!(Host::of_script(&script).jobs, 1);
    // Where a bracket stays open no reader can tell what stands behind it.
    let imported = Host::of_script(&format!("{script}{}", "$(".repeat(5_000)));
    assert_eq!(imported.jobs, 0);
    assert!(remarks(&imported).concat().contains("not understood here"));
}

mod closed;
mod conf;
mod doubts;
mod ends;
mod hidden;
mod lost;
mod moved;
mod open;
mod passwords;
mod read;
mod search;
mod statements;
mod wrapped;

proptest::proptest! {
    #[test]
    fn whatever_a_script_holds_what_is_written_loads(script in "([a-z=/ ]|[-$`'\"(){};|&<>#\\\\\n%*]|pybackup mydumper |outputdir=/b |rm -rf |find /b |date \\+%F|-mtime \\+3 |database=|日志){0,40}") {
        let crontab = format!("0 4 * * * /x.sh\n1 4 * * * {script}\n{script}");
        let host = Host { conf: CONF, crontab: &crontab, scripts: vec![("/x.sh", &script)] };
        host.import();
    }
}
