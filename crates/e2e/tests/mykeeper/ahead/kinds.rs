//! Each kind of compression, sent while it is dumped.

use super::*;

/// By whom the files are compressed, and what their names end with then.
fn a_set_goes_ahead_and_is_proven(compression: &str, ending: &str) {
    let Stage {
        workspace,
        link,
        vault,
        road,
        source: _source,
    } = stage("[\"vault\", \"near\"]");
    let near = workspace.at("near");
    let more = format!("compression = \"{compression}\"\ntransfer_to = [\"vault\", \"near\"]\n{ONCE}");
    workspace.write_schedule(&format!(
        "{}[validation.prove]\ncron = \"{NEVER}\"\n",
        backup_job("nightly", ALL, &more)
    ));
    let there = |root: &Path| {
        let found = names(root);
        found.iter().filter(|name| name.ends_with(ending)).count()
    };
    let running = workspace.start_mykeeper(&["run", "nightly"]);
    for root in [&vault.vault(), &near] {
        wait_until(LIMIT, "files arrive while others are dumped", || {
            (there(root) > 2).then_some(())
        });
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
    link.set_rate(0);
    running.finish().assert_code(0);
    for root in [&vault.vault(), &near] {
        assert_copy(&workspace, root);
        let others: Vec<String> = names(root)
            .into_iter()
            .filter(|name| name.contains(".sql") && !name.ends_with(ending))
            .collect();
        assert_eq!(others, Vec::<String>::new(), "compressed one and all");
    }
    let bytes = workspace.backups()[0]["size_bytes"].as_u64().unwrap();
    assert!(
        road.carried() < bytes + bytes / 2,
        "{} of {bytes}",
        road.carried()
    );
    assert_transfers(
        &workspace,
        "near ahead succeeded, vault ahead succeeded, near send succeeded, vault send succeeded",
    );
    assert_eq!(noted(&workspace), 0);
    // The copy: of the original nothing is left that could be proven in its stead.
    let bk_id = text(&workspace.backups()[0], "id").to_owned();
    std::fs::rename(workspace.sets(), workspace.at("away")).unwrap();
    std::fs::create_dir(workspace.sets()).unwrap();
    workspace
        .mykeeper(&["validate", "--bk-id", &bk_id])
        .assert_code(0)
        .assert_says("is proven");
    let proven_at = workspace.catalog().value("SELECT path FROM mk_proof");
    assert!(proven_at.starts_with(&near.display().to_string()), "{proven_at}");
}

#[test]
fn what_mykeeper_compresses_as_zstd_goes_ahead_and_is_proven() {
    a_set_goes_ahead_and_is_proven("zstd", ".sql.zst");
}

#[test]
fn what_mydumper_compresses_itself_goes_ahead_and_is_proven() {
    a_set_goes_ahead_and_is_proven("mydumper", ".sql.gz");
}
