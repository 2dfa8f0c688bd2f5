//! The throwaway server: comes up, answers, goes, and leaves nothing.

use crate::bench::Bench;
use mykeeper_domain::clock::{Clock, SystemClock};
use mykeeper_tools::ToolError;
use mykeeper_tools::sandbox::{ThrowawayServer, check_sandbox, sweep_sandboxes};
use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

fn sandboxes(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with("mykeeper-sandbox-") && !name.contains("template"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_twice_from_one_template_and_leaves_only_that() {
    let bench = Bench::new();
    let version = check_sandbox(&bench.sandbox(), &bench.env()).await.unwrap();
    assert!(version.contains("MariaDB"), "{version}");
    assert!(bench.log.text().contains("preparing an empty server"));
    bench.log.lines.lock().unwrap().clear();
    let server = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    assert!(!bench.log.text().contains("preparing"), "{}", bench.log.text());
    assert!(server.socket().exists());
    let mode = server
        .socket()
        .parent()
        .unwrap()
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    server.stop().await;
    assert_eq!(sandboxes(bench.path()), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_no_statistics_and_waits_for_the_files_of_a_load() {
    let bench = Bench::new();
    let server = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    let asked = std::process::Command::new("mariadb")
        .args(["--no-defaults", "-uroot", "-N", "-e"])
        .arg("SELECT @@innodb_stats_persistent, @@innodb_lock_wait_timeout")
        .arg(format!("--socket={}", server.socket().display()))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), "0\t3600");
    server.stop().await;
}

/// Sockets of a process that listen for connections over a network.
fn listens_at(pid: u32) -> Vec<String> {
    let sockets: BTreeSet<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            Some(
                link.to_str()?
                    .strip_prefix("socket:[")?
                    .trim_end_matches(']')
                    .to_owned(),
            )
        })
        .collect();
    assert!(!sockets.is_empty(), "its sockets can be seen");
    let mut open = Vec::new();
    for kind in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{kind}")).unwrap_or_default();
        for line in text.lines() {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if fields.get(9).is_some_and(|inode| sockets.contains(*inode)) {
                open.push(fields[1].to_owned());
            }
        }
    }
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_nobody_in_particular_stands_back_and_can_be_reached_by_its_owner_alone() {
    let bench = Bench::new();
    let server = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    let folder = server.socket().parent().unwrap().to_owned();
    let pid: u32 = std::fs::read_to_string(folder.join("server.pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let owner = std::fs::metadata(format!("/proc/{pid}")).unwrap().uid();
    if rustix::process::geteuid().is_root() {
        assert_ne!(owner, 0, "root's server runs as root");
    }
    for part in ["", "data", "tmp"] {
        let part = std::fs::metadata(folder.join(part)).unwrap();
        assert_eq!((part.uid(), part.permissions().mode() & 0o777), (owner, 0o700));
    }
    assert_eq!(listens_at(pid), [] as [&str; 0]);
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let first: Vec<&[u8]> = command.split(|byte| *byte == 0).take(2).collect();
    assert_eq!(first[1], b"--no-defaults", "it reads what others have configured");
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let nice: i32 = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .nth(16)
        .unwrap()
        .parse()
        .unwrap();
    let own = rustix::process::getpriority_process(None).unwrap();
    assert_eq!(nice, own.max(i32::from(bench.sandbox().nice)));
    assert!(nice > 0);
    server.stop().await;
    // Told, so that it can be seen from every run: 0.3 s on an idle machine, once there is a template.
    check_sandbox(&bench.sandbox(), &bench.env()).await.unwrap();
    let text = bench.log.text();
    let last = text
        .lines()
        .rfind(|line| line.contains("is ready after"))
        .unwrap();
    let took: f64 = last.split_whitespace().rev().nth(1).unwrap().parse().unwrap();
    assert!(took < 20.0, "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_no_server_starts_from_is_made_anew_once() {
    let bench = Bench::new();
    check_sandbox(&bench.sandbox(), &bench.env()).await.unwrap();
    let template = std::fs::read_dir(bench.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("template"))
        .unwrap();
    // As after a power cut: the name is there, and what was written to the file is not.
    let tablespace = template.join("ibdata1");
    let whole = tablespace.metadata().unwrap().len();
    std::fs::File::options()
        .write(true)
        .open(&tablespace)
        .unwrap()
        .set_len(4096)
        .unwrap();
    bench.log.lines.lock().unwrap().clear();
    check_sandbox(&bench.sandbox(), &bench.env()).await.unwrap();
    let text = bench.log.text();
    assert!(
        text.contains("it is tried once more from an empty server that is made anew"),
        "{text}"
    );
    assert_eq!(text.matches("preparing an empty server").count(), 1, "{text}");
    assert_eq!(tablespace.metadata().unwrap().len(), whole);
    assert_eq!(sandboxes(bench.path()), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_gets_a_template_of_its_own_and_one_long_unused_goes() {
    let bench = Bench::new();
    check_sandbox(&bench.sandbox(), &bench.env()).await.unwrap();
    let templates = || -> BTreeSet<String> {
        let names = std::fs::read_dir(bench.path()).unwrap();
        names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("mykeeper-sandbox-template-"))
            .collect()
    };
    let first = templates().pop_first().unwrap();
    let version = first.rsplit_once('-').unwrap().0;
    // As after an upgrade: what is there is of other versions. One was wanted yesterday, one a month ago.
    let aged = |name: &str, days: u64| {
        let path = bench.path().join(name);
        let used = std::time::SystemTime::from(SystemClock.now()) - Duration::from_secs(days * 86_400);
        std::fs::File::open(path).unwrap().set_modified(used).unwrap();
    };
    let (new, old) = (
        first.replace(version, &format!("{version}.1")),
        first.replace(version, &format!("{version}.0")),
    );
    std::fs::rename(bench.path().join(&first), bench.path().join(&old)).unwrap();
    aged(&old, 30);
    bench.log.lines.lock().unwrap().clear();
    check_sandbox(&bench.sandbox(), &bench.env()).await.unwrap();
    assert!(
        bench.log.text().contains("preparing an empty server"),
        "{}",
        bench.log.text()
    );
    assert_eq!(templates(), BTreeSet::from([first.clone()]));
    std::fs::rename(bench.path().join(&first), bench.path().join(&new)).unwrap();
    aged(&new, 1);
    check_sandbox(&bench.sandbox(), &bench.env()).await.unwrap();
    assert_eq!(templates(), BTreeSet::from([first, new]));
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_it_is_gone() {
    let bench = Bench::new();
    let server = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    let socket = server.socket().to_owned();
    drop(server);
    assert!(!socket.exists());
    assert_eq!(sandboxes(bench.path()), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_start_leaves_nothing() {
    let bench = Bench::new();
    check_sandbox(&bench.sandbox(), &bench.env()).await.unwrap();
    bench.cancel.cancel();
    assert!(
        ThrowawayServer::start(&bench.sandbox(), &bench.env())
            .await
            .is_err()
    );
    assert_eq!(sandboxes(bench.path()), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_owner_left_is_removed_and_a_living_owners_is_not() {
    let bench = Bench::new();
    let living = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    let left = bench.sub("mykeeper-sandbox-00000000000000000000000000000000");
    std::fs::write(left.join("owner.lock"), "").unwrap();
    std::fs::write(left.join("data"), "x").unwrap();
    let unlike = bench.sub("mykeeper-sandbox-mine");
    check_sandbox(&bench.sandbox(), &bench.env()).await.unwrap();
    assert!(!left.exists());
    assert!(unlike.exists());
    assert!(living.socket().exists());
    living.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_program_is_named() {
    let bench = Bench::new();
    let mut settings = bench.sandbox();
    settings.server = "no-such-server".into();
    let error = check_sandbox(&settings, &bench.env()).await.unwrap_err();
    assert!(matches!(error, ToolError::NotInstalled { .. }), "{error}");
    assert!(error.to_string().contains("no-such-server"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_no_server_is_refused() {
    let bench = Bench::new();
    let mut settings = bench.sandbox();
    settings.server = "/bin/true".into();
    let error = check_sandbox(&settings, &bench.env())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("/bin/true"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_end_is_told_with_the_servers_own_words() {
    let bench = Bench::new();
    check_sandbox(&bench.sandbox(), &bench.env()).await.unwrap();
    bench.log.lines.lock().unwrap().clear();
    let mut settings = bench.sandbox();
    settings.memory_bytes = 1 << 50;
    let error = check_sandbox(&settings, &bench.env()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("it ended") && text.contains("[ERROR]"), "{text}");
    let log = bench.log.text();
    assert!(log.contains("sandbox: "));
    // It was not the template: a second time is enough to know.
    assert_eq!(log.matches("preparing an empty server").count(), 1, "{log}");
    assert_eq!(sandboxes(bench.path()), [] as [&str; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_its_user_cannot_reach_is_said_so() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root's server runs as another user");
        return;
    }
    let bench = Bench::new();
    std::fs::set_permissions(bench.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let error = check_sandbox(&bench.sandbox(), &bench.env())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("cannot be entered"), "{error}");
    let mut settings = bench.sandbox();
    settings.directory = bench.path().join("not there");
    let error = check_sandbox(&settings, &bench.env())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("not there"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_path_does_not_keep_it_from_a_socket() {
    let bench = Bench::new();
    let mut settings = bench.sandbox();
    settings.directory = bench.sub(&"long".repeat(25));
    std::fs::set_permissions(&settings.directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let started = std::time::Instant::now();
    check_sandbox(&settings, &bench.env()).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(60));
    let server = ThrowawayServer::start(&settings, &bench.env()).await.unwrap();
    let short = server.socket().parent().unwrap().to_owned();
    assert!(!short.starts_with(&settings.directory), "{}", short.display());
    server.stop().await;
    assert!(!short.exists(), "{}", short.display());
}

#[test]
fn a_dead_owners_server_and_its_short_folder_are_found_through_a_link_too() {
    let bench = Bench::new();
    let real = bench.sub("real");
    let link = bench.path().join("link");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let number = uuid::Uuid::new_v4().simple();
    let left = real.join(format!("mykeeper-sandbox-{number}"));
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("owner.lock"), "").unwrap();
    let short = Path::new("/tmp").join(format!("mykeeper-{number}"));
    std::fs::create_dir(&short).unwrap();
    std::fs::write(short.join("s"), "").unwrap();
    let mut server = std::process::Command::new("sleep")
        .arg("600")
        .current_dir(&left)
        .spawn()
        .unwrap();
    sweep_sandboxes(&link).unwrap();
    // Ended by the sweep, or still there for us to end.
    let ended = server.try_wait().unwrap();
    drop(server.kill());
    drop(server.wait());
    assert!(ended.is_some(), "the server goes on");
    assert!(!left.exists());
    assert!(!short.exists());
}
