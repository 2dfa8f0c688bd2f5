//! Dumps in which something goes wrong: what is said, and that no set passes for whole that is not.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where its stage does not stand"
)]

use crate::support::{Dump, Server, mydumper_program, reasons, tempdir};
use mykeeper_domain::job::Consistency;
use mykeeper_tools::ToolError;
use mykeeper_tools::mydumper::DumpResult;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// One table that takes mydumper some seconds, and one that comes after it.
const BIG: &str = "CREATE DATABASE big; USE big;
    CREATE TABLE a_big (id INT PRIMARY KEY, t VARCHAR(250));
    INSERT INTO a_big SELECT seq, CONCAT(MD5(seq), SHA2(seq, 256), SHA2(seq + 1, 256)) FROM seq_1_to_400000;
    CREATE TABLE z_late (id INT PRIMARY KEY); INSERT INTO z_late VALUES (1);";

/// A file system of its own, unmounted with its value.
pub(crate) struct Mount(tempfile::TempDir);

impl Mount {
    /// `None` where the tests are not run by root: says that this one is skipped. Root's are not.
    #[expect(
        clippy::print_stderr,
        reason = "whoever reads a test's output must see that nothing was tested"
    )]
    pub(crate) fn tmpfs(options: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: only root can mount a file system");
            return None;
        }
        let dir = tempdir();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(
            mounted.success(),
            "root may mount a tmpfs; give the container that right"
        );
        Some(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(self.0.path()).status());
    }
}

/// A mydumper that does its work and then has something done to the folder it worked in.
pub(crate) fn stand_in(dir: &Path, after: &str) -> std::path::PathBuf {
    stand_in_around(dir, ":", after)
}

pub(crate) fn stand_in_around(dir: &Path, before: &str, after: &str) -> std::path::PathBuf {
    let path = dir.join("mydumper");
    let real = mydumper_program();
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in --version|--help) ;; *) {before};; esac\n{real} \"$@\"\ncode=$?\ncase \"$1\" in --version|--help) exit $code;; esac\n{after}\nexit $code\n",
        real = real.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Does `act` once mydumper says that it dumps the big table.
async fn amid(dump: &Dump, act: impl FnOnce()) {
    for _ in 0..3_000 {
        if dump.log.text().contains("a_big") && dump.names().iter().any(|name| name.starts_with("big.a_big"))
        {
            act();
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the dump did not come that far: {}", dump.log.text());
}

pub(crate) fn assert_incomplete(result: &DumpResult, words: &str) {
    assert_eq!(result.complete, [false], "{:?}", result.parts);
    assert!(
        reasons(result).iter().any(|reason| reason.contains(words)),
        "{words}: {:#?}",
        reasons(result)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_leaves_a_set_that_says_so() {
    let mut server = Server::start();
    server.sql(BIG);
    let dump = Dump::full(&["big"]);
    let admin = server.admin();
    let (result, ()) = tokio::join!(dump.run(&admin), amid(&dump, || server.kill()));
    let result = result.unwrap();
    assert_incomplete(&result, "mydumper ended with exit 1");
    assert!(
        result
            .warnings
            .iter()
            .any(|warning| warning.contains("could not be asked again")),
        "{result:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_leaves_a_set_that_says_so() {
    let server = Server::start();
    server.sql(BIG);
    let admin = server.admin();
    let dump = Dump::full(&["big"]);
    let (result, ()) = tokio::join!(
        dump.run(&admin),
        amid(&dump, || drop(server.sql("KILL CONNECTION USER dba@localhost")))
    );
    assert_incomplete(&result.unwrap(), "a_big");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_dropped_in_mid_dump_is_not_missed_but_the_failure_is_told() {
    let server = Server::start();
    server.sql(BIG);
    let admin = server.admin();
    let mut dump = Dump::full(&["big"]);
    dump.options.retain(|option| option.name != "threads");
    dump.options.push(crate::support::option("threads=1"));
    let (result, ()) = tokio::join!(
        dump.run(&admin),
        amid(&dump, || drop(server.try_sql("DROP TABLE big.z_late")))
    );
    let result = result.unwrap();
    // Either the drop had to wait for the dump, or mydumper failed on the table: never a set that lacks it in silence.
    if result.complete == [true] {
        assert!(
            dump.names().iter().any(|name| name.starts_with("big.z_late")),
            "{:?}",
            dump.names()
        );
    } else {
        assert_incomplete(&result, "z_late");
    }
}

/// Whether `secret` is in the arguments or the environment of any process.
fn is_exposed(secret: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        ["cmdline", "environ"].iter().any(|file| {
            let text = fs::read(process.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(secret)
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_and_no_word_shows_the_password() {
    const SECRET: &str = "sEcReT-4711-\"x";
    let server = Server::start();
    server.sql(BIG);
    let account = server.account("pw", SECRET, &["ALL PRIVILEGES ON *.*"]);
    let dump = Dump::full(&["big"]);
    let mut exposed = true;
    let (result, ()) = tokio::join!(dump.run(&account), amid(&dump, || exposed = is_exposed(SECRET)));
    assert!(!exposed);
    let result = result.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    assert!(!format!("{result:?}{}", dump.log.text()).contains("4711"));
    let left = Command::new("grep")
        .args(["-rlF", "4711"])
        .arg(&dump.set_dir)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_dump_with_a_clear_reason() {
    let server = Server::start();
    server.sql(BIG);
    let admin = server.admin();
    for options in [vec!["compress", "threads=2"], vec!["threads=2"]] {
        let Some(mount) = Mount::tmpfs("size=2m") else {
            return;
        };
        let mut dump = Dump::of(&["big"], &options);
        dump.set_dir = mount.path().to_owned();
        let result = tokio::time::timeout(Duration::from_secs(60), dump.run(&admin))
            .await
            .unwrap()
            .unwrap();
        let ended = result.ended.as_ref().unwrap();
        assert!(
            ended
                .to_string()
                .starts_with("no space left on the file system of /"),
            "{ended}"
        );
        assert!(!ended.is_passing());
        assert_incomplete(&result, "no space left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_just_fits_is_not_called_off() {
    let server = Server::start();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT); INSERT INTO shop.t VALUES (1)");
    let Some(mount) = Mount::tmpfs("size=256k") else {
        return;
    };
    let mut dump = Dump::full(&["shop"]);
    dump.set_dir = mount.path().to_owned();
    let result = dump.run(&server.admin()).await.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    assert!(result.ended.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_folder_is_named() {
    let server = Server::start();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT)");
    let admin = server.admin();
    let Some(mount) = Mount::tmpfs("ro,size=1m") else {
        return;
    };
    let mut dump = Dump::full(&["shop"]);
    dump.set_dir = mount.path().to_owned();
    match dump.run(&admin).await {
        Ok(result) => assert_incomplete(&result, "metadata"),
        Err(error) => panic!("{error}"),
    }
    dump.consistency = Consistency::PerDatabase;
    let error = dump.run(&admin).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot create /"), "{error}");
    assert!(error.to_string().contains("Read-only file system"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_dump_ends_soon_and_is_not_whole() {
    let server = Server::start();
    server.sql(BIG);
    let admin = server.admin();
    let dump = Dump::full(&["big"]);
    let (result, ()) = tokio::join!(dump.run(&admin), amid(&dump, || dump.cancel.cancel()));
    let result = result.unwrap();
    assert!(
        matches!(result.ended, Some(ToolError::Cancelled { .. })),
        "{:?}",
        result.ended
    );
    assert_incomplete(&result, "mydumper ended with cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mydumper_that_does_nothing_any_more_is_ended() {
    let server = Server::start();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT)");
    let admin = server.admin();
    let dir = tempdir();
    let mut dump = Dump::full(&["shop"]);
    dump.program = stand_in(dir.path(), "sleep 600");
    dump.limits.stall = Some(Duration::from_secs(2));
    let result = dump.run(&admin).await.unwrap();
    assert!(
        matches!(result.ended, Some(ToolError::Stalled { .. })),
        "{:?}",
        result.ended
    );
    dump.limits.stall = None;
    dump.limits.timeout = Some(Duration::from_secs(3));
    fs::remove_dir_all(&dump.set_dir).unwrap();
    fs::create_dir(&dump.set_dir).unwrap();
    let result = dump.run(&admin).await.unwrap();
    assert_eq!(
        result.ended.as_ref().map(ToString::to_string).as_deref(),
        Some("mydumper was ended after 3s: the run's timeout")
    );
    assert_incomplete(&result, "timed out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mydumper_that_writes_slowly_is_left_alone() {
    let server = Server::start();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT)");
    let dir = tempdir();
    let mut dump = Dump::full(&["shop"]);
    dump.program = stand_in(
        dir.path(),
        "for i in 1 2 3 4 5 6; do echo '-- x' >&3; sleep 1; done 3>slow.sql",
    );
    dump.limits.stall = Some(Duration::from_secs(3));
    let result = dump.run(&server.admin()).await.unwrap();
    assert!(result.ended.is_none(), "{:?}", result.ended);
    assert_eq!(reasons(&result), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_cancelled_while_it_asks_does_not_wait_for_the_server() {
    let server = Server::start();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT)");
    let admin = server.admin();
    let dump = Dump::full(&["shop"]);
    dump.cancel.cancel();
    let error = dump.run(&admin).await.unwrap_err();
    assert!(matches!(error, ToolError::Cancelled { .. }), "{error}");
    assert_eq!(dump.names(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_was_ended_does_not_ask_the_server_again() {
    let mut server = Server::start();
    server.sql(BIG);
    let admin = server.admin();
    let dump = Dump::full(&["big"]);
    let (result, ()) = tokio::join!(
        dump.run(&admin),
        amid(&dump, || {
            dump.cancel.cancel();
            server.kill();
        })
    );
    let result = result.unwrap();
    assert_incomplete(&result, "cancelled");
    assert_eq!(result.warnings, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_is_not_gone_on_with_when_its_dump_is_cancelled() {
    // Whoever reads waits for the rows that others change.
    let server = Server::start_with(&["--transaction-isolation=SERIALIZABLE", "--autocommit=0"]);
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE orders (id INT PRIMARY KEY, v INT); \
         INSERT INTO orders VALUES (1, 1), (2, 2); COMMIT",
    );
    let mut other = Command::new("mariadb")
        .args(["--no-defaults", "-uroot", "shop"])
        .arg(format!("--socket={}", server.socket().display()))
        .args(["-e", "UPDATE orders SET v = 3 WHERE id = 2; SELECT SLEEP(60)"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let wait_for = async |words: &str, is_there: bool| {
        let asking = format!(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '{words}%' AND ID <> CONNECTION_ID()"
        );
        let began = Instant::now();
        while (server.sql(&asking).trim() != "0") != is_there {
            assert!(began.elapsed() < Duration::from_secs(10), "{words}: {is_there}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    wait_for("SELECT SLEEP", true).await;
    let dump = Dump::full(&["shop"]);
    let admin = server.admin();
    let (result, ()) = tokio::join!(dump.run(&admin), async {
        wait_for("CHECKSUM TABLE", true).await;
        dump.cancel.cancel();
    });
    assert!(matches!(result, Err(ToolError::Cancelled { .. })), "{result:?}");
    wait_for("CHECKSUM TABLE", false).await;
    other.kill().unwrap();
    other.wait().unwrap();
}
