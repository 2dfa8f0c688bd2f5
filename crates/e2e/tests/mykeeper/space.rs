//! Room is looked for before anything is written.

use crate::{ALL, assert_run, backup_job, text};
use mykeeper_e2e::*;
use std::path::{Path, PathBuf};

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

#[test]
fn a_dump_that_does_not_fit_is_not_begun_and_not_tried_again() {
    let server = MariaDb::with_sample();
    // On a machine that is busy its statistics come late.
    server.sql("ANALYZE TABLE shop.orders");
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &server, "pw"));
    let (Some(small), Some(few)) = (
        Tmpfs::or_skip(workspace.at("small"), "size=600k"),
        Tmpfs::or_skip(workspace.at("few"), "size=40m,nr_inodes=20"),
    ) else {
        return;
    };
    let job = |name: &str, more: &str| {
        backup_job(
            name,
            ALL,
            &format!("{more}\nretry = {{ attempts = 3, delay = \"1s\" }}"),
        )
    };
    let on = |job: String, disk: &Tmpfs| job.replace("{sets}", &disk.path().display().to_string());
    workspace.write_schedule(&format!(
        "{}{}{}{}",
        on(job("bytes", "reserve = \"0 B\""), &small),
        on(job("reserved", ""), &few),
        on(job("files", "reserve = \"0 B\""), &few),
        job("roomy", "")
    ));
    // The check asks as the job would, and refuses nothing.
    workspace
        .mykeeper(&["check"])
        .assert_code(4)
        .assert_says("warning room for job bytes: the next dump needs about")
        .assert_says("of 600 KiB are free in")
        .assert_says("warning room for job files: the next dump needs about")
        .assert_says("ok      room for job roomy: the next dump needs about");
    for (name, disk, words) in [
        (
            "bytes",
            &small,
            &[
                "needs about",
                "no set of this job is known",
                "plus a tenth",
                "of 600 KiB are free in",
            ][..],
        ),
        (
            "reserved",
            &few,
            &["of 40 MiB are free", "256 MiB of which are to stay free"],
        ),
        (
            "files",
            &few,
            &["files", "more can be made on the file system of"],
        ),
    ] {
        workspace
            .mykeeper(&["run", name])
            .assert_code(1)
            .assert_says("the dump is not begun");
        let run = workspace.only_run_of(name);
        assert_run(&run, "failed", words);
        assert_eq!(run["attempts"].as_array().map(Vec::len), Some(1), "{run:#}");
        assert!(is_empty(disk.path()), "{name} has written something");
        assert!(workspace.backups().is_empty());
    }

    workspace.mykeeper(&["run", "roomy"]).assert_code(0);
    workspace.mykeeper(&["run", "roomy"]).assert_code(0);
    let id = text(&workspace.runs_of("roomy")[0], "id").to_owned();
    // The second one goes by the first.
    workspace
        .mykeeper(&["run-log", &id])
        .assert_code(0)
        .assert_says("the dump needs about")
        .assert_says("the last set had");
    workspace
        .mykeeper(&["check"])
        .assert_says("room for job roomy: the next dump needs about")
        .assert_says("the last set had");
}

#[test]
fn a_set_is_not_begun_to_be_sent_where_it_does_not_fit() {
    let server = MariaDb::with_sample();
    let workspace = Workspace::new();
    let vault = RsyncDaemon::start("vault pw");
    let (Some(near), Some(far)) = (
        Tmpfs::or_skip(workspace.at("near"), "size=300k"),
        Tmpfs::or_skip(vault.vault(), "size=300k"),
    ) else {
        return;
    };
    workspace.write_keeper(&format!(
        "{}[destinations.near]\nurl = \"{}\"\n\n{}",
        workspace.server("shop", &server, "pw"),
        near.path().display(),
        workspace.destination("far", &vault.url(vault.port(), "db1"), "vault pw")
    ));
    let job = |name: &str| {
        let more = format!("transfer_to = \"{name}\"\nretry = {{ attempts = 3, delay = \"1s\" }}");
        backup_job(&format!("to-{name}"), ALL, &more)
    };
    workspace.write_schedule(&format!("{}{}", job("near"), job("far")));
    for (name, words) in [
        ("near", ["there is no room for it: it needs about", "are free in"]),
        (
            "far",
            ["there is no room left at the destination", "make room there"],
        ),
    ] {
        let job = format!("to-{name}");
        workspace.mykeeper(&["run", &job]).assert_code(1);
        let run = workspace.only_run_of(&job);
        assert_run(&run, "failed", &words);
        let set = text(&run, "bk_id");
        let tried = workspace.catalog().value(&format!(
            "SELECT COUNT(*) FROM mk_transfer WHERE bk_id = '{set}' AND purpose = 'send'"
        ));
        assert_eq!(tried, "1", "{name}: {run:#}");
        let backup = workspace.backups().remove(0);
        assert_eq!(backup["complete"], serde_json::json!([true]), "{backup:#}");
        assert_eq!(backup["transfer_complete"], "N");
    }
    assert!(is_empty(near.path()), "something was written");
    drop(far);
}

#[test]
fn a_proof_and_a_restore_without_room_are_not_begun() {
    let server = MariaDb::with_sample();
    let mut target = MariaDb::start();
    target.account("restorer", "pw", "ALL ON *.*");
    let workspace = Workspace::new();
    let Some(small) = Tmpfs::or_skip(workspace.at("small"), "size=100m") else {
        return;
    };
    let (id, refused) = refused_proof(&workspace, (&server, &target), &small);
    refused
        .assert_says("in proportion to those of its server")
        .assert_says("of 100 MiB are free in");
    assert!(is_empty(small.path()), "something was written");
    assert_eq!(workspace.backups()[0]["validate_status"], "N/A");

    let restore = ["restore", &id, "--into", "spare"];
    workspace
        .mykeeper(&[&restore[..], &["--dry-run"]].concat())
        .assert_says("it needs about")
        .assert_says("are free in");
    // The same server on a disk that is almost full.
    let mut mounted = None;
    let data = move_data(&mut target, |data| mounted = Tmpfs::mount(data.to_owned(), 300));
    let disk = mounted.unwrap();
    let room = rustix::fs::statvfs(disk.path()).unwrap();
    let filler = std::fs::File::create(data.join("filler")).unwrap();
    rustix::fs::fallocate(
        &filler,
        rustix::fs::FallocateFlags::empty(),
        0,
        room.f_bfree * room.f_frsize - (1 << 20),
    )
    .unwrap();
    workspace
        .mykeeper(&restore)
        .assert_code(3)
        .assert_says("server spare has no room for set")
        .assert_says("of 300 MiB are free in");
    assert_eq!(target.value("SHOW DATABASES LIKE 'shop'"), "");
    drop(filler);
    std::fs::remove_file(data.join("filler")).unwrap();
    workspace
        .mykeeper(&restore)
        .assert_code(4)
        .assert_says("; 1 warning");
    target.stop();
}

/// A set of `server` that no throwaway server on the disk `small` has room for, and what is said of that. The server `spare`
/// of the configuration is `target`, whose account `restorer` is there.
fn refused_proof(
    workspace: &Workspace,
    (server, target): (&MariaDb, &MariaDb),
    small: &Tmpfs,
) -> (String, Finished) {
    let file = workspace.password_file("spare", "pw");
    workspace.write_keeper(&format!(
        "{}[servers.spare]\nsocket = \"{}\"\nuser = \"restorer\"\npassword_file = \"{}\"\n\n\
         [sandbox]\ndirectory = \"{}\"\n",
        workspace.server("shop", server, "pw"),
        target.socket().display(),
        file.display(),
        small.path().display()
    ));
    workspace.write_schedule(&backup_job("nightly", ALL, ""));
    workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let id = text(&workspace.backups()[0], "id").to_owned();
    let refused = workspace.mykeeper(&["validate", "--bk-id", &id]);
    refused
        .assert_code(1)
        .assert_says("there is no room for a throwaway server: it needs about");
    (id, refused)
}

/// Moves a server onto the file system that is mounted on its data folder, and gives that folder.
fn move_data(server: &mut MariaDb, mount: impl FnOnce(&Path)) -> PathBuf {
    server.stop();
    let folder = server.socket().ancestors().nth(2).map(Path::to_owned);
    let data = folder.unwrap_or_default().join("data");
    let moved = data.with_file_name("moved");
    assert!(std::fs::rename(&data, &moved).is_ok(), "{}", data.display());
    mount(&data);
    let copied = std::process::Command::new("cp")
        .args([
            "-a",
            &format!("{}/.", moved.display()),
            &format!("{}/", data.display()),
        ])
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    server.start_again();
    data
}

#[test]
fn what_is_kept_for_root_is_no_room_for_a_server() {
    let server = MariaDb::with_sample();
    let mut target = MariaDb::start();
    target.account("restorer", "pw", "ALL ON *.*");
    let workspace = Workspace::new();
    let half = |path: &Path, image: &str| {
        Tmpfs::half_kept_for_root_or_skip(path.to_owned(), &workspace.at(image), 500)
    };
    // The throwaway server needs 320 MiB, and mykeeper itself might write more.
    let Some(small) = half(&workspace.at("small"), "small.ext4") else {
        return;
    };
    let (id, _) = refused_proof(&workspace, (&server, &target), &small);

    let mut mounted = None;
    let data = move_data(&mut target, |data| mounted = half(data, "data.ext4"));
    let room = rustix::fs::statvfs(&data).unwrap();
    let filler = std::fs::File::create(data.join("filler")).unwrap();
    let bytes = room.f_bavail * room.f_frsize - (1 << 20);
    rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, bytes).unwrap();
    workspace
        .mykeeper(&["restore", &id, "--into", "spare"])
        .assert_code(3)
        .assert_says("server spare has no room for set");
    assert_eq!(target.value("SHOW DATABASES LIKE 'shop'"), "");
    target.stop();
}
