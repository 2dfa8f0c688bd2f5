//! A host as pybackup's users have it: `/data...` as in its documentation, a server, a catalog, a backup host.
//!
//! The paths of the documentation are absolute, so its commands run in a file system of their own: everything of the
//! machine's, and the folders `/data`, `/data1`, `/data2` and `/data4` of the test. Only root can make one.

use mykeeper_e2e::{Binary, CatalogView, MariaDb, RsyncDaemon, Scratch, is_root};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The three tables as pybackup documents them.
pub(crate) const TABLES: &str = include_str!("tables.sql");

/// What the documentation gives the accounts for a password.
pub(crate) const PASSWORD: &str = "fanboshi";

/// Mounts what the machine has below a new root, and the test's folders beside it; then runs the words in it.
const INSIDE: &str = r#"
set -e
data=$1 folder=$2 script=$3
root=/mnt
mount -t tmpfs none "$root"
for entry in /*; do
    name=${entry#/}
    case $name in mnt|data|data1|data2|data4) continue ;; esac
    if [ -L "$entry" ]; then cp -P "$entry" "$root/$name"
    elif [ -d "$entry" ]; then mkdir "$root/$name"; mount --rbind "$entry" "$root/$name"; fi
done
for name in data data1 data2 data4; do
    mkdir "$root/$name"
    mount --bind "$data/$name" "$root/$name"
done
cd "$root"
exec chroot "$root" /bin/sh -c 'cd "$1"; exec /bin/bash -c "$2"' sh "$folder" "$script"
"#;

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    script: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.script, self.said);
        self
    }

    #[track_caller]
    pub(crate) fn assert_says(&self, text: &str) -> &Self {
        assert!(
            self.said.contains(text),
            "it should say {text:?}: {}\n{}",
            self.script,
            self.said
        );
        self
    }
}

/// A command that runs.
pub(crate) struct Running {
    child: Child,
    output: File,
    script: String,
}

impl Running {
    pub(crate) fn finish(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let mut said = Vec::new();
        self.output.seek(SeekFrom::Start(0)).unwrap();
        self.output.read_to_end(&mut said).unwrap();
        Ended {
            code: status.code(),
            said: String::from_utf8_lossy(&said).into_owned(),
            script: self.script.clone(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Host {
    pub(crate) scratch: Scratch,
    pub(crate) server: MariaDb,
    pub(crate) vault: RsyncDaemon,
}

/// Where pybackup lies in the documentation.
pub(crate) const HOMES: [&str; 3] = ["data4/recover/pybackup", "data/backup_db", "data/scripts/bin"];

impl Host {
    /// Says that the test is skipped where only root could go on.
    #[expect(
        clippy::print_stderr,
        reason = "whoever reads a test's output must see that nothing was tested"
    )]
    pub(crate) fn or_skip() -> Option<Self> {
        if !is_root() {
            eprintln!("SKIPPED: only root can make a file system with /data in it");
            return None;
        }
        Some(Self::new())
    }

    fn new() -> Self {
        let host = Self {
            scratch: Scratch::new(),
            server: MariaDb::start(),
            vault: RsyncDaemon::start("vault pw"),
        };
        for folder in [
            "home/bin",
            "state",
            "data/mysql",
            "data/scripts/log",
            "data1",
            "data2",
        ] {
            std::fs::create_dir_all(host.at(folder)).unwrap();
        }
        symlink(Binary::find().path(), host.at("home/bin/mykeeper")).unwrap();
        symlink("/usr/bin/python3", host.at("home/bin/python")).unwrap();
        std::fs::write(host.at("home/.bash_profile"), "export PATH=$HOME/bin:$PATH\n").unwrap();
        symlink(host.server.socket(), host.at("data/mysql/mysql.sock")).unwrap();
        host.server.sql(&format!("CREATE OR REPLACE USER root@127.0.0.1 IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON *.* TO root@127.0.0.1"));
        // The tester's own client comes without one.
        host.server.sql("ALTER USER root@localhost IDENTIFIED VIA unix_socket OR mysql_native_password USING PASSWORD('papapa')");
        host.server.sql("CREATE DATABASE catalogdb CHARACTER SET utf8");
        host.server
            .sql(&format!("USE catalogdb; SET sql_mode = ''; {TABLES}"));
        for database in [
            "fandb",
            "test",
            "union_log_ad_201710_db",
            "union_log_ad_201711_db",
            "yourdb",
        ] {
            host.server.sql(&format!(
                "CREATE DATABASE IF NOT EXISTS {database}; USE {database}; \
                 CREATE TABLE `日志` (id INT PRIMARY KEY, 内容 VARCHAR(20)) CHARACTER SET utf8mb4; \
                 INSERT INTO `日志` VALUES (1, '一'), (2, '二'); CREATE TABLE empty_one (id INT PRIMARY KEY); \
                 CREATE PROCEDURE p() SELECT 1;"
            ));
        }
        for home in HOMES {
            std::fs::create_dir_all(host.at(home)).unwrap();
            host.install(home);
            host.write_conf(home, "", "");
        }
        host
    }

    /// The launcher under the name that crontabs have, and a link to the program itself.
    fn install(&self, home: &str) {
        let launcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/pybackup/pybackup.py");
        symlink(
            launcher.canonicalize().unwrap(),
            self.at(home).join("pybackup.py"),
        )
        .unwrap();
        symlink(Binary::find().path(), self.at(home).join("pybackup")).unwrap();
    }

    /// The documented conf, with this test's addresses; `tdb` and `more` are added to `[TDB]` and at the end.
    pub(crate) fn write_conf(&self, home: &str, tdb: &str, more: &str) {
        let secrets = self.at("data4/rsync.sec");
        std::fs::create_dir_all(self.at("data4")).unwrap();
        write_private(&secrets, "vault pw\n");
        let port = self.server.port();
        let text = format!(
            "[CATALOG]            --存储备份信息的数据库配置\ndb_host=127.0.0.1\ndb_port={port}\ndb_user=root\n\
             db_passwd={PASSWORD}\ndb_use=catalogdb\n\n\
             [TDB]              --需要备份的数据库配置\ndb_host=127.0.0.1\ndb_port={port}\ndb_user=root\n\
             db_passwd={PASSWORD}\ndb_use=information_schema\n{tdb}\n\
             db_list=test,fandb,union_log_ad_% --指定需要备份的数据库,可以使用mysql支持的通配符. 如果想要备份所有数据库则填写%\n\n\
             [rsync]\npassword_file=/data4/rsync.sec    --等同于--password-file\n\
             dest={} --传输到哪个目录\n\
             address=                                           --使用的网卡.可以为空不指定\n\n\
             [pybackup]\ntag=国内平台从1\n\n[Validate]\nbk_list=国内平台从1,国内平台主2\n{more}\n",
            self.dest()
        );
        write_private(&self.at(home).join("pybackup.conf"), &text);
    }

    /// `dest` of the conf.
    pub(crate) fn dest(&self) -> String {
        format!("platform@127.0.0.1:{}/vault/106.3.130.84", self.vault.port())
    }

    pub(crate) fn at(&self, relative: &str) -> PathBuf {
        self.scratch.path().join(relative)
    }

    pub(crate) fn catalog(&self) -> CatalogView<'_> {
        CatalogView::mariadb(&self.server, "catalogdb")
    }

    /// A file that its owner alone may read.
    pub(crate) fn write_private(&self, relative: &str, text: &str) {
        write_private(&self.at(relative), text);
    }

    fn command(&self, folder: &str, script: &str) -> Command {
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "/bin/sh",
                "-c",
                INSIDE,
                "sh",
            ])
            .arg(self.scratch.path())
            .args([folder, script])
            .env_clear()
            .env(
                "PATH",
                format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.at("home/bin").display()),
            )
            .env("HOME", self.at("home"))
            .env("STATE_DIRECTORY", self.at("state"))
            .env("TZ", "Asia/Shanghai")
            .stdin(Stdio::null());
        command
    }

    /// Runs a line of shell in a folder of the host.
    pub(crate) fn run(&self, folder: &str, script: &str) -> Ended {
        self.start(folder, script).finish()
    }

    /// The same, not waited for. All of it ends when it is dropped.
    pub(crate) fn start(&self, folder: &str, script: &str) -> Running {
        let output = tempfile::tempfile().unwrap();
        let child = self
            .command(folder, script)
            .stdout(output.try_clone().unwrap())
            .stderr(output.try_clone().unwrap())
            .spawn()
            .unwrap();
        Running {
            child,
            output,
            script: script.to_owned(),
        }
    }

    /// The newest row, column by column.
    pub(crate) fn newest_row(&self) -> std::collections::BTreeMap<String, String> {
        self.row_of("TRUE")
    }

    /// The newest row of those for which this holds.
    pub(crate) fn row_of(&self, condition: &str) -> std::collections::BTreeMap<String, String> {
        let columns = self.catalog().column(
            "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = 'catalogdb' \
             AND TABLE_NAME = 'user_backup' ORDER BY ORDINAL_POSITION",
        );
        let list: Vec<String> = columns
            .iter()
            .map(|column| format!("CAST({column} AS CHAR)"))
            .collect();
        let sql = format!(
            "SELECT {} FROM user_backup WHERE {condition} ORDER BY id DESC LIMIT 1",
            list.join(", ")
        );
        let row = self.catalog().query(&sql).remove(0);
        columns.into_iter().zip(row).collect()
    }

    pub(crate) fn rows(&self) -> usize {
        self.catalog()
            .value("SELECT COUNT(*) FROM user_backup")
            .parse()
            .unwrap()
    }
}

fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
