//! What outlasts a power cut: the calls by which it does, in their order, as the kernel has seen them.

use super::*;

/// Calls `mykeeper` through strace, which notes what is synced, renamed and removed, and does `more`.
#[expect(clippy::print_stderr, reason = "a test says where it was not run")]
fn traced(workspace: &mut Workspace, more: &[&str]) -> Option<PathBuf> {
    let trace = workspace.at("trace");
    // The process stays mykeeper's own.
    let mut through: Vec<String> = "strace -D -f -qq -y -s 4096"
        .split(' ')
        .map(str::to_owned)
        .collect();
    through.extend([
        "-e".to_owned(),
        "trace=fsync,?rename,renameat,renameat2,?unlink,unlinkat".to_owned(),
    ]);
    through.extend(more.iter().map(|&word| word.to_owned()));
    through.extend(["-o".to_owned(), trace.display().to_string()]);
    let tried = std::process::Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "true"])
        .output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        eprintln!("SKIPPED: install strace, and let it trace, to see what is synced");
        return None;
    }
    workspace.surround(Surroundings {
        through,
        ..Surroundings::default()
    });
    Some(trace)
}

/// The calls that were noted and went well, in their order.
fn calls(trace: &Path) -> Vec<String> {
    // strace may end a moment after what it traced.
    let text = wait_until(LIMIT, "strace has written all", || {
        let text = std::fs::read_to_string(trace).ok()?;
        (!text.contains("unfinished") || text.ends_with('\n')).then_some(text)
    });
    // A call that another thread's came between stands in two lines of one process.
    let mut begun = std::collections::BTreeMap::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let (pid, call) = line.split_once(' ').unwrap_or(("", line));
        let call = call.trim_start();
        if let Some(head) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, head);
        } else if let Some(rest) = call.strip_prefix("<... ") {
            let tail = rest.split_once(" resumed>").map_or("", |(_, tail)| tail);
            found.push(format!("{}{tail}", begun.remove(pid).unwrap_or_default()));
        } else {
            found.push(call.to_owned());
        }
    }
    found.retain(|call| call.ends_with(" = 0"));
    found
}

/// Where in `calls` a call of this name has this path as its first.
#[track_caller]
#[expect(clippy::panic, reason = "a test ends where the call is not there")]
fn number_of(calls: &[String], name: &str, path: &Path) -> usize {
    // As strace writes it: what is not ASCII by its bytes, octal.
    let path: String = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
        .iter()
        .map(|byte| match byte {
            0x80.. => format!("\\{byte:o}"),
            _ => char::from(*byte).to_string(),
        })
        .collect();
    let is_it = |call: &String| {
        call.starts_with(name)
            && (call.contains(&format!("<{path}>)")) || call.contains(&format!("\"{path}\"")))
    };
    let number = calls.iter().position(is_it);
    number.unwrap_or_else(|| panic!("no {name} of {path}: {calls:#?}"))
}

/// A folder and all that is in it.
fn all_below(root: &Path) -> Vec<PathBuf> {
    let mut all = files_below(root);
    let folders: Vec<PathBuf> = all
        .iter()
        .flat_map(|file| {
            file.ancestors()
                .skip(1)
                .take_while(|above| above.starts_with(root))
        })
        .map(Path::to_owned)
        .collect();
    all.extend(folders);
    all.sort();
    all.dedup();
    all
}

#[test]
fn a_copy_in_a_folder_is_synced_before_it_has_its_name_and_again_when_it_is_mended() {
    let mut stage = stage("\"near\"");
    let Some(trace) = traced(&mut stage.workspace, &[]) else {
        return;
    };
    let (workspace, link) = (&stage.workspace, &stage.link);
    let near = workspace.at("near");
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    wait_for_arrivals(&near, 0);
    link.set_rate(0);
    running.finish().assert_code(0);
    // Whatever is called through strace begins the notes anew.
    let seen = calls(&trace);
    assert_transfers(workspace, "near ahead succeeded, near send succeeded");
    let bk_id = text(&workspace.backups()[0], "id").to_owned();
    let (own, copy) = (find_set(&workspace.sets(), &bk_id), find_set(&near, &bk_id));
    let arriving = copy.with_file_name(format!("{bk_id}.arriving"));
    let named = number_of(&seen, "rename", &arriving);
    for path in all_below(&copy) {
        let was = arriving.join(path.strip_prefix(&copy).unwrap());
        let was = if path == copy { arriving.clone() } else { was };
        assert!(
            number_of(&seen, "fsync", &was) < named,
            "{} has its name too soon: {seen:#?}",
            was.display()
        );
    }
    // The day's folder, and its name.
    let day = copy.parent().unwrap();
    assert!(number_of(&seen, "fsync", &near) < named);
    assert!(number_of(&seen[named..], "fsync", day) > 0);

    // mykeeper's own: what it has packed, before what mydumper wrote is removed.
    let packed: Vec<PathBuf> = files_below(&own);
    let packed = packed
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "gz"));
    let mut count = 0;
    for path in packed {
        let synced = number_of(
            &seen,
            "fsync",
            &PathBuf::from(format!("{}.packing", path.display())),
        );
        let removed = number_of(&seen, "unlink", &path.with_extension(""));
        assert!(synced < removed, "{} went too soon: {seen:#?}", path.display());
        count += 1;
    }
    assert!(count > 4, "{count} files were packed");

    // Under its own name, where nothing is renamed.
    let lost = files_below(&copy).swap_remove(0);
    std::fs::remove_file(&lost).unwrap();
    let dir = own.display().to_string();
    workspace
        .mykeeper(&[
            "transfer",
            "--backup-dir",
            &dir,
            "--bk-id",
            &bk_id,
            "--to",
            "near",
        ])
        .assert_code(0);
    let seen = calls(&trace);
    for path in all_below(&copy) {
        number_of(&seen, "fsync", &path);
    }
    number_of(&seen, "fsync", day);
}

#[test]
fn a_copy_that_cannot_be_synced_has_not_arrived() {
    let source = MariaDb::with_sample();
    let mut workspace = Workspace::new();
    let near = workspace.at("near");
    std::fs::create_dir(&near).unwrap();
    let rsync = workspace.at("rsync");
    let keeper = format!(
        "{}[destinations.near]\nurl = \"{}\"\n",
        workspace.server("shop", &source, "pw"),
        near.display()
    );
    // One that cannot compare, so that the folder is known that the next is to sync.
    let script = "#!/bin/sh\ncase \"$*\" in *--checksum*) exit 23 ;; esac\nexec rsync \"$@\"\n";
    write_script(&rsync, script);
    workspace.write_keeper(&format!("{keeper}[tools]\nrsync = \"{}\"\n", rsync.display()));
    let job = format!("transfer_to = \"near\"\n{ONCE}");
    workspace.write_schedule(&backup_job("nightly", r#"["shop"]"#, &job));
    workspace.mykeeper(&["run", "nightly"]).assert_code(1);
    write_script(&rsync, "#!/bin/sh\nexec rsync \"$@\"\n");
    let bk_id = text(&workspace.backups()[0], "id").to_owned();
    let own = find_set(&workspace.sets(), &bk_id).display().to_string();
    let send = [
        "transfer",
        "--backup-dir",
        &own,
        "--bk-id",
        &bk_id,
        "--to",
        "near",
    ];
    let arriving = sets_at(&near).remove(0);
    assert!(arriving.to_string_lossy().ends_with(".arriving"), "{arriving:?}");

    let folder = arriving.display().to_string();
    let failing = ["-P", &folder, "-e", "inject=fsync:error=EIO"];
    if traced(&mut workspace, &failing).is_none() {
        return;
    }
    workspace
        .mykeeper(&send)
        .assert_code(1)
        .assert_says(&format!("cannot sync {folder}: Input/output error"));
    assert_eq!(sets_at(&near), [arriving]);
    const ARRIVED: &str = "SELECT COUNT(*) FROM mk_delivery WHERE arrived = 1";
    assert_eq!(workspace.catalog().value(ARRIVED), "0");
    workspace.surround(Surroundings::default());
    workspace.mykeeper(&send).assert_code(0);
    assert_eq!(workspace.catalog().value(ARRIVED), "1");
    assert_copy(&workspace, &near);
}
