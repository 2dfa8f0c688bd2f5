//! What holds when nothing is written.

use crate::files::{Files, surroundings};
use mykeeper_config::{Settings, load};
use mykeeper_domain::destination::{DestinationUrl, SshOptions};
use mykeeper_domain::job::{
    Consistency, LockPolicy, LongQueries, Missed, Overlap, Require, RetentionAction, Task,
};
use mykeeper_domain::packing::{PackFormat, Packing};
use mykeeper_domain::retry::RetryPolicy;
use mykeeper_domain::selection::Select;
use mykeeper_domain::server::{Endpoint, PasswordSource, Tls, TlsMode};
use std::path::{Path, PathBuf};
use std::time::Duration;

const KEEPER: &str = "
[servers.shop]
host = '10.0.0.5'
user = 'backup'
password_file = 'shop.password'

[destinations.vault]
url = 'keeper@vault:/sets'
ssh = { port = 2222, identity_file = 'id' }
";

const SCHEDULE: &str = "
[backup.nightly]
cron = '0 4 * * *'
server = 'shop'
databases = ['!mysql']
directory = '/data/sets/'
transfer_to = ['vault']

[transfer.catch-up]
cron = '@hourly'
destination = 'vault'

[validation.prove]
cron = '*/30 * * * * *'

[retention.prune]
cron = '@daily'
directory = '/data'
keep = { last = 'all', yearly = 2 }
timezone = 'Asia/Shanghai'
";

fn settings(files: &Files) -> Settings {
    let loaded = files.load().unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(loaded.warnings, []);
    loaded.settings
}

#[test]
fn two_empty_files_are_enough() {
    let files = Files::new("", "");
    let settings = settings(&files);
    assert_eq!(settings.node.as_str(), "db7");
    assert_eq!(settings.state_dir, Path::new("/var/lib/mykeeper"));
    assert_eq!(settings.catalog.url, "sqlite:/var/lib/mykeeper/catalog.db");
    assert_eq!(settings.catalog.password, PasswordSource::None);
    assert_eq!(settings.catalog.timezone, chrono_tz::Tz::UTC);
    assert_eq!(settings.sandbox.server, Path::new("mariadbd"));
    assert_eq!(settings.sandbox.directory, Path::new("/var/tmp"));
    assert_eq!(
        (settings.sandbox.memory_bytes, settings.sandbox.threads),
        (1 << 30, 4)
    );
    assert_eq!(settings.sandbox.nice, 10);
    assert_eq!(settings.tools.ssh, Path::new("ssh"));
    assert_eq!(settings.logs.keep, Some(Duration::from_secs(90 * 86_400)));
    assert_eq!(
        (
            settings.limits.per_server,
            settings.limits.per_destination,
            settings.limits.validations
        ),
        (1, 2, 1)
    );
    assert_eq!(settings.daemon.grace, Duration::from_secs(30));
    assert_eq!(settings.daemon.kill_grace, Duration::from_secs(10));
    assert_eq!(settings.daemon.lease, Duration::from_secs(600));
    assert_eq!(settings.schedule_file, files.folder.path().join("schedule.toml"));
}

#[test]
fn a_server_and_a_destination_need_little() {
    let files = Files::new(KEEPER, SCHEDULE);
    let settings = settings(&files);
    let server = &settings.servers["shop"];
    assert_eq!(
        server.endpoint,
        Endpoint::Tcp {
            host: "10.0.0.5".into(),
            port: 3306
        }
    );
    assert_eq!(server.tag, "shop");
    assert_eq!(server.address, "10.0.0.7");
    assert_eq!(
        server.tls,
        Tls {
            mode: TlsMode::Preferred,
            ca: None
        }
    );
    assert_eq!(
        server.password,
        PasswordSource::File(files.folder.path().join("shop.password"))
    );
    let vault = &settings.destinations["vault"];
    assert!(matches!(vault.url, DestinationUrl::Ssh { .. }));
    assert_eq!(
        vault.ssh,
        SshOptions {
            port: Some(2222),
            identity_file: Some(files.folder.path().join("id")),
            known_hosts_file: None
        }
    );
}

#[test]
fn nothing_waits_forever() {
    let settings = settings(&Files::new(KEEPER, SCHEDULE));
    let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
    for (name, timeout, attempts) in [
        ("nightly", 12, 3),
        ("catch-up", 12, 3),
        ("prove", 12, 1),
        ("prune", 1, 1),
    ] {
        let job = &settings.jobs[name];
        assert_eq!(job.timeout, hours(timeout), "{name}");
        assert_eq!(job.stall, Some(Duration::from_secs(1800)), "{name}");
        assert_eq!(
            job.retry,
            RetryPolicy {
                attempts,
                delay: Duration::from_secs(60)
            },
            "{name}"
        );
        assert_eq!(
            (job.missed, job.overlap),
            (Missed::RunOnce, Overlap::Skip),
            "{name}"
        );
        assert_eq!(job.jitter, Duration::ZERO, "{name}");
    }
    assert_eq!(settings.jobs["nightly"].schedule.zone(), chrono_tz::Tz::UTC);
    assert_eq!(
        settings.jobs["prune"].schedule.zone(),
        chrono_tz::Tz::Asia__Shanghai
    );
}

#[test]
fn each_kind_of_job_has_its_defaults() {
    let settings = settings(&Files::new(KEEPER, SCHEDULE));
    let Task::Backup(backup) = &settings.jobs["nightly"].task else {
        panic!()
    };
    let lock = LockPolicy {
        budget: None,
        long_queries: LongQueries::Wait,
        long_query_limit: Duration::from_secs(60),
        long_query_wait: Duration::from_secs(600),
    };
    assert_eq!(backup.lock, lock);
    assert_eq!(backup.consistency, Consistency::All);
    assert_eq!(backup.directory, PathBuf::from("/data/sets"));
    let options: Vec<_> = backup.mydumper.iter().map(ToString::to_string).collect();
    assert_eq!(options, ["triggers", "events", "routines"]);
    assert_eq!(backup.packing, Some(Packing::of(PackFormat::Gzip)));
    assert_eq!(backup.chunk, Some(64 << 20));
    let Task::Transfer(transfer) = &settings.jobs["catch-up"].task else {
        panic!()
    };
    assert_eq!(transfer.verify_every, Some(Duration::from_secs(7 * 86_400)));
    assert!(!transfer.verify);
    let Task::Validation(validation) = &settings.jobs["prove"].task else {
        panic!()
    };
    assert_eq!((validation.select, validation.within), (Select::Newest, None));
    assert!(validation.tags.is_empty() && validation.asserts.is_empty());
    assert_eq!(validation.verify_every, None);
    let Task::Retention(retention) = &settings.jobs["prune"].task else {
        panic!()
    };
    assert_eq!(
        (retention.action, retention.require),
        (RetentionAction::Mark, Require::Validated)
    );
}

#[test]
fn one_destination_may_be_written_without_a_list() {
    let one = settings(&Files::new(KEEPER, &SCHEDULE.replace("['vault']", "'vault'")));
    assert_eq!(one.jobs, settings(&Files::new(KEEPER, SCHEDULE)).jobs);
}

#[test]
fn the_schedule_file_lies_beside_the_keeper_file_or_where_it_says() {
    let files = Files::new("schedule = 'sub/other.toml'", "not = 'read'");
    std::fs::create_dir(files.folder.path().join("sub")).unwrap();
    std::fs::write(files.folder.path().join("sub/other.toml"), "timezone = 'UTC'").unwrap();
    assert_eq!(
        settings(&files).schedule_file,
        files.folder.path().join("sub/other.toml")
    );
}

#[test]
fn the_forms_of_a_catalog_url_are_read() {
    for (written, expected) in [
        ("sqlite:x.db", "sqlite:/var/lib/mykeeper/x.db"),
        ("sqlite://x.db", "sqlite:/var/lib/mykeeper/x.db"),
        ("sqlite:/srv/x.db", "sqlite:/srv/x.db"),
        ("sqlite:///srv/x.db", "sqlite:/srv/x.db"),
        ("mysql://u@h:3306/d", "mysql://u@h:3306/d"),
        (
            "mariadb://u@[::1]/d?socket=/run/x.sock&ssl-mode=REQUIRED",
            "mysql://u@[::1]/d?socket=/run/x.sock&ssl-mode=REQUIRED",
        ),
    ] {
        let files = Files::new(&format!("[catalog]\nurl = '{written}'"), "");
        assert_eq!(settings(&files).catalog.url, expected);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let files = Files::new("schedule = 'gone.toml'", "");
    assert!(
        files.report().contains("--> /etc/mykeeper/gone.toml"),
        "{}",
        files.report()
    );
    let error = load(Path::new("/nowhere/mykeeper.toml"), &surroundings())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("--> /nowhere/mykeeper.toml") && error.contains("mykeeper config example"),
        "{error}"
    );
}

#[test]
fn a_machine_without_a_name_or_a_home_must_be_told() {
    let files = Files::new("", "");
    let found = load(&files.keeper(), &mykeeper_config::Surroundings::default())
        .unwrap_err()
        .mistakes;
    let messages: Vec<_> = found.iter().map(|mistake| mistake.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "this machine's name cannot be told",
            "there is no default for state_dir without $STATE_DIRECTORY, root or a home folder"
        ]
    );
}

#[test]
fn what_mydumper_does_about_long_queries_is_not_done_twice() {
    let written = SCHEDULE.replace(
        "transfer_to = ['vault']",
        "mydumper = ['kill-long-queries']\nlock_budget = '30s'\nlong_query_limit = '5m'",
    );
    let files = Files::new(KEEPER, &written);
    let loaded = files.load().unwrap_or_else(|errors| panic!("{errors}"));
    let Task::Backup(backup) = &loaded.settings.jobs["nightly"].task else {
        panic!()
    };
    assert_eq!(backup.lock.long_queries, LongQueries::Ignore);
    assert_eq!(backup.lock.budget, Some(Duration::from_secs(30)));
    assert_eq!(backup.lock.long_query_limit, Duration::from_secs(300));
}
