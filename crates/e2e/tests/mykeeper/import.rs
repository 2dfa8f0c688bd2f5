//! `mykeeper import`: what pybackup's documentation has becomes files that mykeeper runs on.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use mykeeper_e2e::*;
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const CONF: &str = include_str!("../../../config/src/pybackup/import/fixtures/pybackup.conf");
const DUMP_SCRIPT: &str = include_str!("../../../config/src/pybackup/import/fixtures/pybackup.sh");
const CRONTAB: &str =
    "MAILTO=\"\"\n0 4 * * * /data/backup_db/pybackup.sh>> /data/backup_db/pybackup_sh.log 2>&1 \n";

/// The documentation's files, `/data` being a folder of the workspace.
struct Site {
    workspace: Workspace,
}

impl Site {
    fn new(conf: &str, script: &str) -> Self {
        let mut workspace = Workspace::new();
        let variables = [
            ("TZ", "Asia/Shanghai".to_owned()),
            ("STATE_DIRECTORY", workspace.at("state").display().to_string()),
        ];
        workspace.surround(Surroundings {
            variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
            ..Surroundings::default()
        });
        std::fs::create_dir_all(workspace.at("data/backup_db")).unwrap();
        let site = Self { workspace };
        for (name, text) in [
            ("data/backup_db/pybackup.conf", conf),
            ("data/backup_db/pybackup.sh", script),
            ("crontab", CRONTAB),
        ] {
            std::fs::write(site.workspace.at(name), site.here(text)).unwrap();
        }
        // cron calls it by its name alone.
        let script = site.workspace.at("data/backup_db/pybackup.sh");
        std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
        site
    }

    fn here(&self, text: &str) -> String {
        text.replace("/data/", &format!("{}/", self.workspace.at("data").display()))
    }

    fn import(&self, more: &[&str]) -> Finished {
        let path = |name: &str| self.workspace.at(name).display().to_string();
        let (conf, crontab) = (path("data/backup_db/pybackup.conf"), path("crontab"));
        let words = [&["import", &conf, "--crontab", &crontab][..], more].concat();
        self.workspace.mykeeper(&words)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.workspace.at(name)).unwrap()
    }
}

/// Every file of a folder, by name.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Option<String>> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries
        .map(|entry| (entry.path(), std::fs::read_to_string(entry.path()).ok()))
        .collect()
}

#[test]
fn every_line_that_is_written_names_its_source() {
    let site = Site::new(CONF, DUMP_SCRIPT);
    let imported = site.import(&[]);
    imported
        .assert_code(0)
        .assert_says("crontab:2: translated: [backup.mysql], [retention.prune]");
    for name in [
        "mykeeper.toml",
        "schedule.toml",
        "catalog.password",
        "mysql.password",
    ] {
        imported.assert_says(&site.workspace.at(name).display().to_string());
    }
    for password in ["fanboshi", "papapa"] {
        let told = [
            imported.said(),
            site.text("mykeeper.toml"),
            site.text("schedule.toml"),
        ];
        assert!(!told.concat().contains(password), "{imported}");
    }
    assert_eq!(site.text("catalog.password"), "fanboshi\n");
    assert_eq!(site.text("mysql.password"), "papapa\n");
    for name in ["catalog.password", "mysql.password"] {
        let mode = std::fs::metadata(site.workspace.at(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let backup_db = site.workspace.at("data/backup_db");
    for name in ["mykeeper.toml", "schedule.toml"] {
        for line in site
            .text(name)
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let source = line
                .split_once("  # ")
                .unwrap_or_else(|| panic!("{name}: no source: {line}"))
                .1;
            let is_place = source.starts_with(&site.workspace.path().display().to_string());
            assert!(
                is_place || source.contains("pybackup") || source.contains("zone") || source.contains("keep"),
                "{line}"
            );
        }
    }
    let script = format!("{}:", backup_db.join("pybackup.sh").display());
    let schedule = site.text("schedule.toml");
    for (line, source) in [
        (
            "cron = \"0 4 * * *\"",
            format!("{}:2", site.workspace.at("crontab").display()),
        ),
        ("keep = { all_but_day = 2, failed = true }", format!("{script}7")),
        (
            "databases = [\"test\", \"fandb\", \"union_log_ad_%\"]",
            format!("{}:15", backup_db.join("pybackup.conf").display()),
        ),
    ] {
        let found = schedule.lines().find(|found| found.starts_with(line));
        let found = found.unwrap_or_else(|| panic!("no line {line}:\n{schedule}"));
        assert!(found.ends_with(&format!("# {source}")), "{found}");
    }
    // What is left out is told on the terminal and in the file.
    for told in [imported.stdout.as_str(), schedule.as_str()] {
        assert!(
            told.contains(&format!("{script}9: ~/.bash_profile is not read")),
            "{told}"
        );
    }
    assert!(
        site.text("mykeeper.toml")
            .contains("timezone = \"Asia/Shanghai\"")
    );
    site.workspace.mykeeper(&["check", "--offline"]).assert_code(0);
}

#[test]
fn nothing_is_overwritten_and_nothing_left_half_done() {
    let site = Site::new(CONF, DUMP_SCRIPT);
    let out = site.workspace.at("new/folder");
    let place = out.display().to_string();
    let told = site.import(&["--out", &place, "--json"]);
    told.assert_code(0);
    let json = told.json();
    assert_eq!((&json["jobs"], &json["jobs_added"]), (&2.into(), &1.into()));
    assert_eq!(json["crontab"][0]["fate"], "translated", "{json:#}");
    assert_eq!(json["written"].as_array().map(Vec::len), Some(5));
    assert_eq!(json["untranslated"], serde_json::json!([]), "{json:#}");
    let mut left_out = json["left_out"].as_array().unwrap().iter();
    assert!(left_out.any(|left| left["line"] == 6), "{json:#}");
    let before = contents(&out);
    assert_eq!(before.len(), 5, "{before:?}");
    site.import(&["--out", &place])
        .assert_code(2)
        .assert_says("mykeeper.toml");
    assert_eq!(contents(&out), before);

    // One password file is enough; its link may lead nowhere.
    let other = site.workspace.at("other");
    std::fs::create_dir(&other).unwrap();
    std::os::unix::fs::symlink("/nowhere/at/all", other.join("mysql.password")).unwrap();
    let place = other.display().to_string();
    site.import(&["--out", &place])
        .assert_code(2)
        .assert_says("mysql.password");
    assert_eq!(contents(&other).len(), 1);

    // What cannot be written leaves nothing.
    std::fs::write(site.workspace.at("file"), "").unwrap();
    let below = site.workspace.at("file/below").display().to_string();
    site.import(&["--out", &below]).assert_code(3);
    let missing = site.workspace.mykeeper(&["import", "/nowhere/pybackup.conf"]);
    missing.assert_code(2).assert_says("/nowhere/pybackup.conf");
    let place = site.workspace.at("third").display().to_string();
    site.import(&["--out", &place, "--crontab", "/nowhere/crontab"])
        .assert_code(2)
        .assert_says("/nowhere/crontab");
    assert!(!site.workspace.at("third").exists());
}

#[test]
fn where_nothing_is_found_nothing_is_written() {
    let mut site = Site::new(CONF, DUMP_SCRIPT);
    let out = site.workspace.at("out").display().to_string();
    let nothing = site.workspace.mykeeper(&["import", "/dev/null", "--out", &out]);
    nothing
        .assert_code(2)
        .assert_says("nothing of pybackup's is found in /dev/null")
        .assert_says(&format!("nothing was written to {out}"));
    assert!(!site.workspace.at("out").exists());
    site.workspace
        .mykeeper(&["import", "/dev/null"])
        .assert_code(2)
        .assert_says("where files go without --out");

    // An empty TZ is UTC, whatever /etc/localtime says.
    let variables = [
        ("TZ", String::new()),
        (
            "STATE_DIRECTORY",
            site.workspace.at("state").display().to_string(),
        ),
    ];
    site.workspace.surround(Surroundings {
        variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
        ..Surroundings::default()
    });
    site.import(&["--out", &out]).assert_code(0);
    assert!(site.text("out/schedule.toml").contains("timezone = \"UTC\""));
}

#[test]
fn what_cannot_be_translated_ends_with_a_warning() {
    let script = format!(
        "{DUMP_SCRIPT}\nmail -s geheim root < /tmp/x\nfind /data/backup_db -mtime 3 -delete\n\
                 x=$(mysql -uroot -pgeheim -e q)\npybackup mark-del --backup-dir=$x\nrm -rf /data/backup_db/$x\n"
    );
    let site = Site::new(CONF, &script);
    let imported = site.import(&[]);
    imported
        .assert_code(4)
        .assert_says("what \"mail\" does here is not translated")
        .assert_says("-mtime 3");
    for told in [imported.said(), site.text("schedule.toml")] {
        assert!(
            told.contains("$(mysql ...)") && !told.contains("geheim"),
            "{told}"
        );
    }
    site.workspace.mykeeper(&["check", "--offline"]).assert_code(0);
}

#[test]
fn what_is_written_backs_up_the_server_and_sends_the_set() {
    let server = MariaDb::with_sample();
    server.backup_account("root2", "pa%p'a");
    server.sql("CREATE DATABASE catalogdb");
    server.account(
        "keeper",
        "k=e#ep",
        "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON catalogdb.*",
    );
    let vault = RsyncDaemon::start("vault pw");
    let conf = format!(
        "[CATALOG]\ndb_host=127.0.0.1\ndb_port={}\ndb_user=keeper\ndb_passwd=k=e#ep\ndb_use=catalogdb\n\
         [TDB] --需要备份的数据库配置\ndb_user=root2\ndb_list=shop,pay% --指定\n[pybackup]\ntag=国内平台从1\n\
         [rsync]\npassword_file=/data/backup_db/rsync.sec --等同于\ndest=platform@127.0.0.1:{}/vault/db1\naddress=\n",
        server.port(),
        vault.port()
    );
    let script = DUMP_SCRIPT
        .replace("\"papapa\"", "\"pa%p'a\"")
        .replace("user=root", "user=root2")
        .replace("/data/mysql/mysql.sock", &server.socket().display().to_string())
        .replace("threads=8", "threads=1");
    let site = Site::new(&conf, &script);
    let secret = site.workspace.at("data/backup_db/rsync.sec");
    std::fs::write(&secret, "vault pw\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    site.import(&[]).assert_code(0);
    let mykeeper = |words: &[&str]| site.workspace.mykeeper(words);
    mykeeper(&["catalog", "migrate"]).assert_code(0);
    mykeeper(&["run", "mysql"]).assert_code(0);
    let backup = site.workspace.backups().remove(0);
    assert_eq!(backup["tag"], "国内平台从1");
    assert_eq!(backup["databases"], serde_json::json!(["pay$roll", "shop"]));
    assert_eq!(backup["transfer_complete"], "Y");
    let set = find_set(&vault.vault().join("db1"), backup["id"].as_str().unwrap());
    assert!(set.exists());
    mykeeper(&["retention", "prune", "--dry-run"])
        .assert_says("keep.all_but_day")
        .assert_code(0);
    mykeeper(&["check"])
        .assert_says("no validation job of any node asks for sets with the tag \"国内平台从1\"")
        .assert_says("\n1 warning\n")
        .assert_code(4);
}

#[test]
fn the_service_can_read_the_passwords_that_root_imports() {
    const SERVICE: u32 = 65_534;
    if !is_root() {
        return; // only root can give a file away
    }
    let site = Site::new(CONF, DUMP_SCRIPT);
    let state = site.workspace.at("state");
    std::fs::create_dir_all(&state).unwrap();
    std::os::unix::fs::chown(&state, Some(SERVICE), Some(SERVICE)).unwrap();
    let out = site.workspace.at("out");
    let imported = site.import(&["--out", out.to_str().unwrap()]);
    imported
        .assert_code(0)
        .assert_says(&format!("given to user {SERVICE}, as whom the service runs"));
    for entry in std::fs::read_dir(&out).unwrap().flatten() {
        let metadata = entry.metadata().unwrap();
        let is_private = metadata.permissions().mode() & 0o777 == 0o600;
        let owner = if is_private { SERVICE } else { 0 };
        assert_eq!(metadata.uid(), owner, "{}", entry.path().display());
    }
    assert!(out.join("catalog.password").is_file());
}
