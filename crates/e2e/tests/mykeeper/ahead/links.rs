//! Links that are cut or slow while files go ahead, and how often rsync is called for them.

use super::*;

/// A mydumper that has written all its files, and does not end before it may. What is given lets it.
fn held_mydumper(workspace: &Workspace) -> impl Fn() {
    let (program, go) = (workspace.at("mydumper"), workspace.at("end"));
    write_script(
        &program,
        &format!(
            "#!/bin/sh\nmydumper \"$@\"\nstatus=$?\ncase \"$*\" in *--outputdir=*) ;; *) exit $status ;; esac\n\
             i=0\nwhile [ ! -e {} ] && [ $i -lt 1200 ]; do sleep 0.05; i=$((i+1)); done\nexit $status\n",
            go.display()
        ),
    );
    let keeper = std::fs::read_to_string(workspace.config()).unwrap();
    let tools = format!("{keeper}\n[tools]\nmydumper = \"{}\"\n", program.display());
    std::fs::write(workspace.config(), tools).unwrap();
    move || std::fs::write(&go, "").unwrap()
}

/// Files of tables in the sets of this machine that are as they will stay.
fn packed(workspace: &Workspace) -> Vec<PathBuf> {
    let mut found = files_below(&workspace.sets());
    found.retain(|path| path.extension().is_some_and(|ending| ending == "gz"));
    found
}

fn is_dumping(running: &Started) -> bool {
    let children = descendants_of(running.pid());
    children.iter().any(|child| child.name == "mydumper")
}

#[test]
fn a_file_whose_link_is_cut_while_others_are_dumped_is_gone_on_with() {
    let Stage {
        workspace,
        link,
        vault,
        road,
        source: _source,
    } = stage("\"vault\"");
    link.set_rate(0);
    let end = held_mydumper(&workspace);
    road.set_rate(500_000);
    // Within the one large file.
    road.cut_after(1_300_000);
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    let large = "shop.orders.sql.gz";
    let size = wait_until(LIMIT, "the large file is packed", || {
        let files = packed(&workspace);
        let file = files.iter().find(|path| path.ends_with(large))?;
        Some(std::fs::metadata(file).unwrap().len())
    });
    wait_until(LIMIT, "the link is cut", || road.is_cut().then_some(()));
    let before = road.carried();
    road.heal();
    wait_until(LIMIT, "the large file arrives while others are dumped", || {
        // What has come of it so far lies in a folder of its own.
        let sets = sets_at(&vault.vault());
        sets.iter().any(|set| set.join(large).is_file()).then_some(())
    });
    let again = road.carried() - before;
    assert!(is_dumping(&running), "it is still dumped");
    assert_not_whole(&vault.vault());
    assert!(again < size / 2, "{again} bytes went again of {size}");
    end();
    running.finish().assert_code(0);
    assert_copy(&workspace, &vault.vault());
    assert_transfers(&workspace, "vault ahead succeeded, vault send succeeded");
}

/// It takes what comes, slowly: neither the dump nor the other destination waits for it, and it gets all in the end.
#[test]
fn a_destination_that_is_slow_holds_up_neither_the_dump_nor_the_other() {
    let Stage {
        workspace,
        link,
        vault,
        road,
        source: _source,
    } = stage("[\"vault\", \"near\"]");
    let near = workspace.at("near");
    road.set_rate(2_000);
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_arrivals(&near, 4);
    assert!(is_dumping(&running), "it is still dumped");
    link.set_rate(0);
    let catalog = workspace.catalog();
    wait_until(LIMIT, "the set has arrived at the other", || {
        let arrived = catalog.column("SELECT destination FROM mk_delivery WHERE arrived = 1");
        (arrived == ["near"]).then_some(())
    });
    assert_eq!(catalog.value("SELECT state FROM mk_run"), "running");
    assert_not_whole(&vault.vault());
    road.set_rate(0);
    running.finish().assert_code(0);
    for root in [&vault.vault(), &near] {
        assert_copy(&workspace, root);
    }
    assert_eq!(workspace.backups()[0]["transfer_complete"], "Y");
}

/// What one call of rsync was to send ahead.
fn batches(folder: &Path) -> Vec<Vec<String>> {
    let mut lists: Vec<PathBuf> = files_below(folder);
    lists.sort();
    let names = |path: &PathBuf| {
        let list = std::fs::read(path).unwrap();
        let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        names
            .map(|name| String::from_utf8(name.to_vec()).unwrap())
            .collect()
    };
    lists.iter().map(names).collect()
}

#[test]
fn what_waits_goes_in_few_calls_none_of_which_takes_the_link_for_long() {
    const LIMIT_PER_SECOND: u64 = 100 << 10;
    let Stage {
        workspace,
        link,
        vault,
        road: _road,
        source: _source,
    } = stage("\"vault\"");
    // rsync itself, which notes what each call is to send, and goes no further with the first before it may.
    link.set_rate(0);
    let end = held_mydumper(&workspace);
    let (lists, go, rsync) = (workspace.at("lists"), workspace.at("go"), workspace.at("rsync"));
    std::fs::create_dir(&lists).unwrap();
    write_script(
        &rsync,
        &format!(
            "#!/bin/sh\nfor word in \"$@\"; do case $word in --files-from=*)\n\
             cp \"${{word#--files-from=}}\" {0}/$(date +%s%N)\n\
             i=0; while [ ! -e {1} ] && [ $i -lt 1200 ]; do sleep 0.05; i=$((i+1)); done;;\nesac; done\nexec rsync \"$@\"\n",
            lists.display(),
            go.display()
        ),
    );
    let keeper = std::fs::read_to_string(workspace.config()).unwrap();
    let limited = keeper.replacen(
        "[destinations.vault]\n",
        "[destinations.vault]\nbandwidth_limit = \"100 KiB/s\"\n",
        1,
    );
    let tools = format!("{limited}rsync = \"{}\"\n", rsync.display());
    std::fs::write(workspace.config(), tools).unwrap();
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_until(LIMIT, "a first file is on its way", || {
        (!batches(&lists).is_empty()).then_some(())
    });
    // Many wait for the first, and the dump is not over.
    let waiting = wait_until(LIMIT, "the large file is packed", || {
        let files = packed(&workspace);
        let is_there = files.iter().any(|path| path.ends_with("shop.orders.sql.gz"));
        is_there.then_some(files)
    });
    std::fs::write(&go, "").unwrap();
    let all_there = || arrived(&vault.vault()).len() >= waiting.len();
    wait_until(LIMIT, "all that waited arrives", || all_there().then_some(()));
    assert!(is_dumping(&running), "it is still dumped");
    end();
    running.finish().assert_code(0);
    assert_copy(&workspace, &vault.vault());

    let set = find_set(&workspace.sets(), text(&workspace.backups()[0], "id"));
    let batches = batches(&lists);
    let mut named: Vec<&String> = batches.iter().flatten().collect();
    let count = named.len();
    named.sort();
    named.dedup();
    assert_eq!(named.len(), count, "no file goes twice: {batches:#?}");
    let most = 10 * LIMIT_PER_SECOND;
    for batch in &batches {
        let size = |name: &String| std::fs::metadata(set.join(name)).unwrap().len();
        let bytes: u64 = batch.iter().map(size).sum();
        assert!(
            batch.len() == 1 || bytes <= most,
            "{bytes} bytes are more than ten seconds of the link: {batch:?}"
        );
    }
    let largest = batches.iter().map(Vec::len).max().unwrap_or_default();
    assert!(largest > 10, "what waited goes together: {batches:#?}");
    assert!(
        batches.len() < count / 2,
        "{} calls for {count} files: {batches:#?}",
        batches.len()
    );
}
