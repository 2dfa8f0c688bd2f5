//! Files on their way while others are still dumped.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

mod kinds;
mod lasting;
mod leftovers;
mod links;

use crate::{ALL, NEVER, assert_run, backup_job, text};
use mykeeper_e2e::*;
use std::path::{Path, PathBuf};

/// So slow that the sample is never dumped, and quick enough to let go of.
const HELD: u64 = 20_000;
const SLOW: u64 = 400_000;
const ONCE: &str = "retry = { attempts = 1, delay = \"1s\" }";

struct Stage {
    workspace: Workspace,
    source: MariaDb,
    /// To the server.
    link: TcpProxy,
    vault: RsyncDaemon,
    /// To the rsync daemon.
    road: TcpProxy,
}

/// A job `nightly` that sends to `vault`, an rsync daemon, and to `near`, a folder.
fn stage(transfer_to: &str) -> Stage {
    let source = MariaDb::with_sample();
    let vault = RsyncDaemon::start("vault pw");
    let (link, road) = (TcpProxy::to(source.port()), TcpProxy::to(vault.port()));
    link.set_rate(SLOW);
    let workspace = Workspace::new();
    std::fs::create_dir(workspace.at("near")).unwrap();
    workspace.write_keeper(&format!(
        "{}{}[destinations.near]\nurl = \"{}\"\n",
        workspace.server_over_tcp("shop", &source, link.port(), "pw"),
        workspace.destination("vault", &vault.url(road.port(), "db1"), "vault pw"),
        workspace.at("near").display()
    ));
    workspace.write_schedule(&format!(
        "{}[transfer.catch-up]\ncron = \"{NEVER}\"\ndestination = \"vault\"\n{ONCE}\n",
        backup_job("nightly", ALL, &format!("transfer_to = {transfer_to}\n{ONCE}"))
    ));
    Stage {
        workspace,
        source,
        link,
        vault,
        road,
    }
}

/// The names of all files below `root`.
fn names(root: &Path) -> Vec<String> {
    let mut found: Vec<String> = files_below(root)
        .iter()
        .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
        .collect();
    found.sort();
    found
}

fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        match entry.path().is_dir() {
            true => found.extend(files_below(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

/// Files that have arrived under their own names.
fn arrived(root: &Path) -> Vec<String> {
    let mut found = names(root);
    found.retain(|name| name.ends_with(".gz"));
    found
}

/// Nothing there tells of a whole set.
fn assert_not_whole(root: &Path) {
    let found = names(root);
    let tells = |name: &&String| *name == "metadata" || name.contains("manifest") || name.ends_with(".sql");
    assert_eq!(found.iter().find(tells), None, "{found:?}");
}

/// The folders of sets at a destination.
fn sets_at(root: &Path) -> Vec<PathBuf> {
    let below = |folder: &PathBuf| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect()
    };
    // Of a module its folder comes first.
    let days = match root.join("db1") {
        module if module.is_dir() => below(&module),
        _ => below(&root.to_owned()),
    };
    days.iter().flat_map(below).collect()
}

fn wait_for_arrivals(root: &Path, more_than: usize) {
    wait_until(LIMIT, "files arrive while others are dumped", || {
        (arrived(root).len() > more_than).then_some(())
    });
}

fn transfers(workspace: &Workspace, columns: &str) -> Vec<String> {
    workspace.catalog().column(&format!(
        "SELECT {columns} FROM mk_transfer ORDER BY purpose, destination"
    ))
}

/// Each transfer as `vault ahead succeeded`, in a row.
#[track_caller]
fn assert_transfers(workspace: &Workspace, expected: &str) {
    let found = transfers(workspace, "destination || ' ' || purpose || ' ' || state");
    assert_eq!(found.join(", "), expected);
}

/// What `state_dir` remembers of sets that are on their way.
fn noted(workspace: &Workspace) -> usize {
    std::fs::read_dir(workspace.at("state/ahead")).map_or(0, Iterator::count)
}

fn assert_copy(workspace: &Workspace, root: &Path) {
    let bk_id = text(&workspace.backups()[0], "id").to_owned();
    let (here, there) = (find_set(&workspace.sets(), &bk_id), find_set(root, &bk_id));
    assert_eq!(names(&here), names(&there));
    for path in files_below(&here) {
        let copy = there.join(path.strip_prefix(&here).unwrap());
        assert!(
            std::fs::read(&path).unwrap() == std::fs::read(copy).unwrap(),
            "{}",
            path.display()
        );
    }
}

fn write_script(path: &Path, script: &str) {
    std::fs::write(path, script).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn files_arrive_at_each_destination_while_others_are_dumped_and_none_goes_twice() {
    let Stage {
        workspace,
        link,
        vault,
        road,
        source: _source,
    } = stage("[\"vault\", \"near\"]");
    let near = workspace.at("near");
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    for root in [&vault.vault(), &near] {
        wait_for_arrivals(root, 2);
        link.set_rate(HELD);
    }
    let children = descendants_of(running.pid());
    assert!(
        children.iter().any(|child| child.name == "mydumper"),
        "it is still dumped"
    );
    for root in [&vault.vault(), &near] {
        assert_not_whole(root);
    }
    // A folder on this machine has a name that says so.
    let ahead = files_below(&near);
    assert!(
        ahead
            .iter()
            .all(|path| path.to_string_lossy().contains(".arriving/")),
        "{ahead:?}"
    );
    assert_eq!(noted(&workspace), 2);
    link.set_rate(0);
    running.finish().assert_code(0);

    for root in [&vault.vault(), &near] {
        assert_copy(&workspace, root);
    }
    assert!(
        !files_below(&near)
            .iter()
            .any(|path| path.to_string_lossy().contains(".arriving/"))
    );
    assert_eq!(noted(&workspace), 0);
    let backup = workspace.backups().remove(0);
    let bytes = backup["size_bytes"].as_u64().unwrap();
    assert!(
        road.carried() < bytes + bytes / 2,
        "{} of {bytes}",
        road.carried()
    );
    assert_transfers(
        &workspace,
        "near ahead succeeded, vault ahead succeeded, near send succeeded, vault send succeeded",
    );
    // The seed's columns tell of the first, from its first byte.
    assert_eq!(backup["transfer_complete"], "Y");
    assert!(text(&backup, "remote_dest").contains("/vault/db1"), "{backup:#}");
    let catalog = workspace.catalog();
    assert_eq!(
        catalog.value(
            "SELECT transfer_started_ms < finished_ms AND transfer_finished_ms > finished_ms \
             AND transfer_elapsed >= (transfer_finished_ms - transfer_started_ms) / 1000 FROM user_backup"
        ),
        "1"
    );
    assert_eq!(
        catalog.value("SELECT COUNT(*) FROM mk_delivery WHERE arrived = 1"),
        "2"
    );
}

/// Over what goes ahead and what is sent at the end, of two jobs whose sets go there at the same time.
#[test]
fn the_limit_of_a_destination_holds_over_all_that_goes_there() {
    const LIMIT_PER_SECOND: u64 = 300 << 10;
    let Stage {
        workspace,
        link,
        vault,
        road,
        source: _source,
    } = stage("\"vault\"");
    link.set_rate(0);
    let keeper = std::fs::read_to_string(workspace.config()).unwrap();
    let limited = keeper.replacen(
        "[destinations.vault]\n",
        "[destinations.vault]\nbandwidth_limit = \"300 KiB/s\"\n",
        1,
    );
    std::fs::write(workspace.config(), limited).unwrap();
    let job = |name| {
        backup_job(
            name,
            ALL,
            &format!("transfer_to = \"vault\"\ncompression = \"none\"\n{ONCE}"),
        )
    };
    workspace.write_schedule(&format!("{}{}", job("one"), job("another")));
    let started = ["one", "another"].map(|job| workspace.start_mykeeper(&["run", job]));
    let began = std::time::Instant::now();
    let mut first_byte_at = None;
    let whole = || {
        let found = names(&vault.vault());
        found
            .iter()
            .filter(|name| *name == "mykeeper.manifest.json")
            .count()
    };
    while whole() < 2 {
        if road.carried() > 0 {
            first_byte_at.get_or_insert_with(std::time::Instant::now);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(began.elapsed() < LIMIT, "both arrive");
    }
    let seconds = first_byte_at.unwrap().elapsed().as_secs_f64();
    let carried = road.carried();
    for running in started {
        running.finish().assert_code(0);
    }
    assert_eq!(sets_at(&vault.vault()).len(), 2);
    // Two at once would be twice as fast. rsync keeps to its limit on the average, and by blocks.
    assert!(
        carried > 2 * LIMIT_PER_SECOND,
        "{carried} bytes are enough to tell"
    );
    let most = LIMIT_PER_SECOND as f64 * seconds * 1.3;
    assert!(carried as f64 <= most, "{carried} bytes in {seconds} s");
}

#[test]
fn a_destination_that_goes_away_holds_up_neither_the_dump_nor_the_other() {
    let Stage {
        workspace,
        link,
        mut vault,
        road: _road,
        source: _source,
    } = stage("[\"vault\", \"near\"]");
    let near = workspace.at("near");
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_arrivals(&vault.vault(), 0);
    link.set_rate(SLOW / 2);
    vault.stop();
    wait_for_arrivals(&near, 4);
    link.set_rate(0);
    running
        .finish()
        .assert_code(1)
        .assert_says("arrived at near")
        .assert_says("left to a transfer job");
    assert_copy(&workspace, &near);
    assert_not_whole(&vault.vault());
    let backup = workspace.backups().remove(0);
    assert_eq!(backup["complete"], serde_json::json!([true]));
    assert_eq!(backup["transfer_complete"], "N", "of the first");

    vault.start_again();
    workspace
        .mykeeper(&["run", "catch-up"])
        .assert_code(0)
        .assert_says("1 set sent to vault");
    assert_copy(&workspace, &vault.vault());
    assert_eq!(workspace.backups()[0]["transfer_complete"], "N,Y");
}

/// Under its own name lies only what has arrived, and was compared.
#[test]
fn a_set_in_a_folder_has_its_name_when_all_of_it_is_there() {
    let stage = crate::verify::Stage::new("");
    let workspace = &stage.workspace;
    let rsync = workspace.at("rsync");
    // One that cannot compare.
    let script = "#!/bin/sh\ncase \"$*\" in *--checksum*) exit 23 ;; esac\nexec rsync \"$@\"\n";
    write_script(&rsync, script);
    let keeper = std::fs::read_to_string(workspace.config()).unwrap();
    std::fs::write(
        workspace.config(),
        format!("{keeper}\n[tools]\nrsync = \"{}\"\n", rsync.display()),
    )
    .unwrap();
    let once = format!("transfer_to = \"vault\"\n{ONCE}");
    workspace.write_schedule(&backup_job("nightly", r#"["shop"]"#, &once));
    stage.run("nightly").assert_code(1);
    let id = text(&workspace.backups()[0], "id").to_owned();
    let half = || -> Vec<String> {
        let found = sets_at(&workspace.at("vault"));
        let names = found
            .iter()
            .map(|set| set.file_name().unwrap().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with(&id)).collect()
    };
    assert_eq!(half(), [format!("{id}.arriving")]);
    std::fs::write(workspace.config(), keeper).unwrap();
    let own = find_set(&workspace.sets(), &id);
    let send = [
        "transfer",
        "--backup-dir",
        own.to_str().unwrap(),
        "--bk-id",
        &id,
        "--to",
        "vault",
    ];
    workspace.mykeeper(&send).assert_code(0);
    assert_eq!(half(), [id.as_str()]);
}

#[test]
fn a_catch_up_run_leaves_a_set_alone_whose_files_are_still_on_their_way() {
    let Stage {
        workspace,
        link,
        vault,
        road,
        source: _source,
    } = stage("\"vault\"");
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_arrivals(&vault.vault(), 0);
    road.set_rate(1_000);
    link.set_rate(0);
    let catalog = workspace.catalog();
    wait_until(LIMIT, "the set is complete and not yet there", || {
        (catalog.value("SELECT COUNT(*) FROM user_backup WHERE is_complete = 'Y'") == "1").then_some(())
    });
    workspace.mykeeper(&["run", "catch-up"]).assert_code(0);
    assert_eq!(
        catalog.value(
            "SELECT COUNT(*) FROM mk_transfer t JOIN mk_run r ON r.id = t.run_id WHERE r.job = 'catch-up'"
        ),
        "0"
    );
    assert_eq!(
        catalog.value("SELECT state FROM mk_run WHERE job = 'nightly'"),
        "running"
    );
    road.set_rate(0);
    running.finish().assert_code(0);
    assert_copy(&workspace, &vault.vault());
    assert_transfers(&workspace, "vault ahead succeeded, vault send succeeded");
}

#[test]
fn nothing_goes_ahead_to_a_folder_that_the_set_does_not_fit_into() {
    let Stage {
        workspace,
        link,
        vault,
        road: _road,
        source: _source,
    } = stage("[\"vault\", \"near\"]");
    let Some(_disk) = Tmpfs::or_skip(workspace.at("near"), "size=16k") else {
        return;
    };
    link.set_rate(0);
    workspace
        .mykeeper(&["run", "nightly"])
        .assert_code(1)
        .assert_says("there is no room for it");
    assert_eq!(sets_at(&workspace.at("near")), Vec::<PathBuf>::new());
    assert_eq!(noted(&workspace), 0);
    assert_copy(&workspace, &vault.vault());
    assert_eq!(
        workspace
            .catalog()
            .value("SELECT COUNT(*) FROM mk_transfer WHERE destination = 'near' AND purpose = 'ahead'"),
        "0"
    );
}
