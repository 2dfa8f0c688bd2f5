//! A server with three catalogs, and what is written into them.

use crate::tables::{USER_BACKUP, USER_BACKUP_PATH, USER_BACKUP_PATH_LATER, USER_RECOVER_INFO};
use crate::{AHEAD, ODD, OLD, shipped};
use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};
use mykeeper_e2e::grafana::{DataSource, View};
use mykeeper_e2e::{MariaDb, MySql, Workspace};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

/// One server that is backed up, and one, the same where no other is given, that holds three catalogs: pybackup's, the
/// same adopted, an empty one.
pub(crate) struct Stage {
    pub(crate) server: MariaDb,
    catalogs: Option<MySql>,
    pub(crate) workspace: Workspace,
    /// When mykeeper's first set was begun, and its day on the wall of Asia/Shanghai.
    pub(crate) made: DateTime<Utc>,
    pub(crate) today: NaiveDate,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with_catalogs_in(None)
    }

    pub(crate) fn with_catalogs_in(catalogs: Option<MySql>) -> Self {
        let server = MariaDb::with_sample();
        let sql = |statements: &str| match &catalogs {
            Some(other) => drop(other.sql(statements)),
            None => server.sql(statements),
        };
        let database = |name: &str, paths: &str| {
            sql(&format!(
                "CREATE DATABASE {name}; USE {name}; {USER_BACKUP}{paths}{USER_RECOVER_INFO}"
            ));
        };
        // One without `is_offline`, and one of another collation beside the others.
        database("plain", USER_BACKUP_PATH);
        database(
            "catalogdb",
            &USER_BACKUP_PATH_LATER.replace(
                "DEFAULT CHARSET=utf8",
                "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci",
            ),
        );
        database("nothing", USER_BACKUP_PATH);
        for host in ["localhost", "127.0.0.1"] {
            sql(&format!(
                "CREATE USER keeper@'{host}' IDENTIFIED BY 'catalog pw'; GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, \
                 ALTER, INDEX ON catalogdb.* TO keeper@'{host}';"
            ));
        }
        let port = catalogs.as_ref().map_or(server.port(), MySql::port);
        let workspace = workspace(&server, port);
        for arguments in [&["catalog", "migrate"][..], &["run", "nightly"], &["validate"]] {
            workspace.mykeeper(arguments).assert_code(0);
        }
        std::fs::write(workspace.at("fail"), "").unwrap();
        workspace.mykeeper(&["run", "nightly"]).assert_code(1);
        let mut stage = Self {
            server,
            catalogs,
            workspace,
            made: DateTime::UNIX_EPOCH,
            today: NaiveDate::MIN,
        };
        let made = stage.value("SELECT MIN(started_ms) FROM catalogdb.user_backup");
        stage.made = DateTime::from_timestamp_millis(made.parse().unwrap()).unwrap();
        stage.today = (stage.made + Duration::hours(AHEAD)).date_naive();
        stage.pybackup_writes("plain", "");
        stage.pybackup_writes("catalogdb", ", is_offline");
        stage.account();
        stage
    }

    /// Runs statements where the catalogs lie.
    pub(crate) fn sql(&self, statements: &str) {
        match &self.catalogs {
            Some(other) => drop(other.sql(statements)),
            None => self.server.sql(statements),
        }
    }

    /// The first column of the first row of a query there.
    pub(crate) fn value(&self, query: &str) -> String {
        match &self.catalogs {
            Some(other) => other.sql(query).trim().to_owned(),
            None => self.server.value(query),
        }
    }

    /// As pybackup does: its own columns alone. `days` before today, at this time on the wall.
    fn pybackup_writes(&self, database: &str, is_offline: &str) {
        let set = |id: u32, day: i64, time: &str, what: &str, tag: &str| {
            let start = (self.today - Duration::days(day)).and_time(time.parse::<NaiveTime>().unwrap());
            let [complete, size, transfer, seconds] = what.split(';').collect::<Vec<_>>().try_into().unwrap();
            let sent = match seconds {
                "" => "NULL, NULL, NULL".to_owned(),
                seconds => format!("'{start}', '{start}' + INTERVAL {seconds} SECOND, {seconds}"),
            };
            format!(
                "INSERT INTO user_backup (bk_id, bk_server, start_time, end_time, elapsed_time, backuped_db, is_complete, \
                 bk_size, bk_dir, transfer_start, transfer_end, transfer_elapsed, transfer_complete, remote_dest, \
                 master_status, slave_status, tool_version, server_version, pybackup_version, bk_command, tag) VALUES \
                 ('{}', '106.3.130.84', '{start}', '{start}' + INTERVAL 47 SECOND, 47, 'fandb,test,日志_库', '{complete}', \
                 '{size}', '/data/backup_db/x', {sent}, '{transfer}', 'platform@182.92.83.238/db_backup/', \
                 'mysql-bin.000036,61286,', 'Not a slave', 'mydumper 0.9.2', '5.7.18-log', 'pybackup 0.10.13', \
                 'mydumper --password=supersecrect', '{}');",
                bk_id(id),
                tag.replace('\'', "''"),
            )
        };
        let odd = ODD.replace('\'', "''");
        let tested = (self.today - Duration::days(1)).and_time("15:11:36".parse().unwrap());
        let sql = [
            "SET NAMES utf8mb4; SET sql_mode = '';".to_owned(),
            format!("USE {database};"),
            // Yesterday; the first minutes of a day, which are the day before in UTC; two in one day.
            set(1, 1, "04:00:00", "Y,Y,Y;480M;N,N,Y;89", OLD),
            set(2, 2, "00:10:00", "Y,N,Y;N/A;Backup failed;", OLD),
            set(3, 3, "04:00:00", "Y,Y,Y;1,5G;N,N,N,N;30", OLD),
            set(4, 3, "12:00:00", "Y,Y,Y;1.5G;N/A (local backup);", OLD),
            set(5, 1, "23:59:59", "Y;0;;", ODD),
            // Known still, and long since forgotten.
            set(6, 30, "04:00:00", "Y;4.0K;Y;1", "once"),
            set(7, 40, "04:00:00", "Y;4.0K;Y;1", "long ago"),
            format!(
                "INSERT INTO user_backup_path (bk_server, remote_server, real_path, tag{is_offline}) VALUES \
                 ('a', 'b', '/c/', 'never'{}), ('a', 'b', '/c/', '{OLD}'{}), ('a', 'b', '/c/', 'gone'{});",
                if is_offline.is_empty() { "" } else { ", 'N'" },
                if is_offline.is_empty() { "" } else { ", 'N'" },
                if is_offline.is_empty() { "" } else { ", 'Y'" },
            ),
            format!(
                "INSERT INTO user_recover_info (bk_id, tag, backup_path, db, start_time, end_time, elapsed_time, \
                 recover_status, validate_time) VALUES \
                 ('{}', '{OLD}', '/data2/x/', 'fandb', '{tested}', '{tested}', 1300, 'sucess', '{tested}'), \
                 ('{}', '{odd}', '/data2/y/', 'test', '{tested}', '{tested}', 3, 'failed', '{tested}');",
                bk_id(1),
                bk_id(99)
            ),
            format!(
                "UPDATE user_backup SET validate_status = 'passed' WHERE bk_id = '{}';",
                bk_id(1)
            ),
            format!(
                "UPDATE user_backup SET is_deleted = 'Y' WHERE bk_id = '{}';",
                bk_id(3)
            ),
        ];
        self.sql(&sql.concat());
    }

    /// The account of the README, with the rights that the README gives it.
    fn account(&self) {
        let readme = shipped("README.md");
        let statements = readme
            .lines()
            .filter(|line| line.starts_with("CREATE USER") || line.starts_with("GRANT"));
        for statement in statements {
            self.sql(&format!("{};", statement.trim_end_matches(';')));
            let own = statement.contains("mk_");
            for database in ["plain", "nothing"]
                .into_iter()
                .filter(|_| statement.starts_with("GRANT") && !own)
            {
                self.sql(&statement.replace("catalogdb", database));
            }
        }
    }

    /// A data source as the provisioned one, at noon of today.
    pub(crate) fn source(&self, database: &str, sql_mode: &str) -> DataSource {
        let noon = self.today.and_time("12:00:00".parse().unwrap()).and_utc() - Duration::hours(AHEAD);
        let now = noon.max(self.made + Duration::minutes(1));
        DataSource {
            port: self.catalogs.as_ref().map_or(self.server.port(), MySql::port),
            database: database.to_owned(),
            account: ("grafana".to_owned(), "...".to_owned()),
            session: vec![
                format!("sql_mode = '{sql_mode}'"),
                "time_zone = '+08:00'".to_owned(),
                format!("timestamp = {}", now.timestamp()),
            ],
        }
    }

    /// From the first instant of so many days ago to the last of today, by the catalog's clock.
    pub(crate) fn view(&self, days: i64) -> View {
        let midnight = self.today.and_time(NaiveTime::MIN).and_utc() - Duration::hours(AHEAD);
        View {
            from: midnight - Duration::days(days),
            to: midnight + Duration::days(1) - Duration::seconds(1),
            chosen: BTreeMap::new(),
        }
    }

    pub(crate) fn day(&self, before: i64) -> String {
        (self.today - Duration::days(before)).to_string()
    }

    /// An instant by its day and its time on the wall, in seconds.
    pub(crate) fn instant(&self, before: i64, time: &str) -> i64 {
        let wall = (self.today - Duration::days(before)).and_time(time.parse().unwrap());
        wall.and_utc().timestamp() - AHEAD * 3_600
    }
}

pub(crate) fn bk_id(number: u32) -> String {
    format!("bcd36dc6-c9e7-11e7-9e30-{number:012}")
}

/// mykeeper on the catalog `catalogdb`, and a mydumper that fails while there is a file `fail`.
fn workspace(server: &MariaDb, catalog: u16) -> Workspace {
    let workspace = Workspace::new();
    let script = workspace.at("mydumper");
    let text = format!(
        "#!/bin/bash\nfor word in \"$@\"; do\n  case $word in --version|-V|--help) exec mydumper \"$@\";; esac\ndone\n\
         [ -e {}/fail ] && exit 9\nexec mydumper \"$@\"\n",
        workspace.path().display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(workspace.at("vault")).unwrap();
    workspace.write_keeper(&format!(
        "[catalog]\nurl = \"mysql://keeper@127.0.0.1:{}/catalogdb\"\npassword_file = \"{}\"\ntimezone = \"Asia/Shanghai\"\n\n\
         {}tag = \"{OLD}\"\n\n[destinations.vault]\nurl = \"{}\"\n\n[tools]\nmydumper = \"{}\"\n",
        catalog,
        workspace.password_file("catalog", "catalog pw").display(),
        workspace.server("shop", server, "pw").trim_end().to_owned() + "\n",
        workspace.at("vault").display(),
        script.display()
    ));
    workspace.write_schedule(
        "[backup.nightly]\ncron = \"0 0 29 2 *\"\nserver = \"shop\"\ndatabases = [\"shop\"]\ndirectory = \"{sets}\"\n\
         transfer_to = \"vault\"\nmydumper = [\"compress\", \"threads=1\", \"triggers\", \"events\", \"routines\"]\n\
         retry = { attempts = 1, delay = \"1s\" }\n",
    );
    workspace
}
