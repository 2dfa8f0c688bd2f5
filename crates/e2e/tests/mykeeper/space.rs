//! Room is looked for before anything is written.

use crate::{ALL, assert_run, backup_job, text};
use mykeeper_e2e::*;
use std::path::Path;

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none())
}

#[test]
fn a_dump_that_does_not_fit_is_not_begun_and_not_tried_again() {
    let server = MariaDb::with_sample();
    let workspace = Workspace::new();
    workspace.write_keeper(&workspace.server("shop", &server, "pw"));
    let (Some(small), Some(few)) = (
        Tmpfs::mount_with(workspace.at("small"), "size=600k"),
        Tmpfs::mount_with(workspace.at("few"), "size=40m,nr_inodes=20"),
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
}
