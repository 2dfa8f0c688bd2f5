//! A local set that is not what its manifest lists, and the copy of it that may be the last good one.

use crate::bench::Bench;
use crate::rsync_daemon::{Sender, content, destination, make_manifest, make_set};
use mykeeper_tools::rsync::{Comparison, Delivery};
use std::path::{Path, PathBuf};

/// Same size, same time: only a digest tells.
fn rot(file: &Path) {
    let time = file.metadata().unwrap().modified().unwrap();
    let mut bytes = std::fs::read(file).unwrap();
    bytes[0] ^= 1;
    std::fs::write(file, bytes).unwrap();
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.set_modified(time).unwrap();
}

fn problem(delivery: Delivery) -> String {
    match delivery {
        Delivery::OriginalDamaged(problem) => problem,
        Delivery::Arrived(outcome) => panic!("it was sent: {outcome:?}"),
    }
}

fn fault(comparison: Comparison) -> String {
    match comparison {
        Comparison::OriginalDamaged(problem) => problem,
        other => panic!("{other:?}"),
    }
}

fn vault(bench: &Bench) -> (PathBuf, PathBuf) {
    let vault = bench.sub("vault");
    let copy = vault.join("2026-11-22/bk 1");
    (vault, copy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_cut_original_is_named_and_nothing_is_sent() {
    let bench = Bench::new();
    let (vault, _) = vault(&bench);
    let to = destination(vault.to_str().unwrap());
    let sender = Sender::new(&bench).await;
    let set = make_set(&bench);
    let table = "日志 库-1/日志 库-1.状态 表.sql";
    std::fs::remove_file(set.join(table)).unwrap();
    for told in [
        problem(sender.deliver(&to, &set).await.unwrap()),
        fault(sender.compare(&to, &set).await.unwrap()),
    ] {
        assert!(
            told.contains(&format!("the original is damaged: {table} is missing")),
            "{told}"
        );
    }
    std::fs::write(set.join("metadata"), "St").unwrap();
    let told = problem(sender.deliver(&to, &set).await.unwrap());
    assert!(told.ends_with(", and 1 more files"), "{told}");
    std::fs::write(set.join(table), "3").unwrap();
    let told = problem(sender.deliver(&to, &set).await.unwrap());
    assert!(
        told.ends_with("the original is damaged: metadata has 2 bytes instead of 8"),
        "{told}"
    );
    assert_eq!(content(&vault), [], "nothing is sent");

    std::fs::write(set.join("metadata"), "Started\n").unwrap();
    std::fs::write(set.join("mykeeper.manifest.json"), "{\"version\":").unwrap();
    let told = problem(sender.deliver(&to, &set).await.unwrap());
    assert!(
        told.contains("mykeeper.manifest.json cannot be understood"),
        "{told}"
    );
    std::fs::remove_file(set.join("mykeeper.manifest.json")).unwrap();
    std::fs::write(set.join("mykeeper.evidence.json"), "{}").unwrap();
    let told = problem(sender.deliver(&to, &set).await.unwrap());
    assert!(told.ends_with("mykeeper.manifest.json is missing"), "{told}");
    assert_eq!(content(&vault), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_good_copy_of_an_original_that_rotted_is_left_alone() {
    let bench = Bench::new();
    let (vault, copy) = vault(&bench);
    let to = destination(vault.to_str().unwrap());
    let sender = Sender::new(&bench).await;
    let set = make_set(&bench);
    sender.send(&to, &set).await.unwrap();
    let good = content(&copy);

    rot(&set.join("metadata"));
    for changed_time in [false, true] {
        if changed_time {
            // Without a look at what lies there, a newer file would be sent at once.
            let time = copy.join("metadata").metadata().unwrap().modified().unwrap();
            let file = std::fs::File::options()
                .write(true)
                .open(set.join("metadata"))
                .unwrap();
            file.set_modified(time + std::time::Duration::from_secs(60))
                .unwrap();
        }
        for told in [
            fault(sender.compare(&to, &set).await.unwrap()),
            problem(sender.deliver(&to, &set).await.unwrap()),
        ] {
            assert!(
                told.contains("the original is damaged: metadata has changed since it was written"),
                "{told}"
            );
        }
        assert_eq!(content(&copy), good);
    }

    // The original is whole again and the copy rots: now it is the copy.
    std::fs::write(set.join("metadata"), "Started\n").unwrap();
    rot(&copy.join("metadata"));
    assert_eq!(sender.verify(&to, &set).await.unwrap(), ["metadata"]);
    sender.send(&to, &set).await.unwrap();
    assert_eq!(content(&copy), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_rotted_does_not_take_the_place_of_a_good_one() {
    let bench = Bench::new();
    let (vault, copy) = vault(&bench);
    let to = destination(vault.to_str().unwrap());
    let sender = Sender::new(&bench).await;
    let set = make_set(&bench);
    sender.send(&to, &set).await.unwrap();
    let good = content(&copy);
    let manifest = set.join("mykeeper.manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let digest = blake3::hash(b"Started\n").to_hex().to_string();
    assert!(text.contains(&digest));
    std::fs::write(&manifest, text.replace(&digest, &"0".repeat(64))).unwrap();
    assert!(fault(sender.compare(&to, &set).await.unwrap()).contains("metadata has changed"));
    assert!(problem(sender.deliver(&to, &set).await.unwrap()).contains("metadata has changed"));
    assert_eq!(content(&copy), good);
    // And the other way round.
    std::fs::write(&manifest, &text).unwrap();
    rot(&copy.join("mykeeper.manifest.json"));
    assert_eq!(
        sender.verify(&to, &set).await.unwrap(),
        ["mykeeper.manifest.json"]
    );
    sender.send(&to, &set).await.unwrap();
    assert_eq!(content(&copy), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_control_characters_and_many_differences_are_looked_at() {
    let bench = Bench::new();
    let (vault, copy) = vault(&bench);
    let to = destination(vault.to_str().unwrap());
    let sender = Sender::new(&bench).await;
    let set = make_set(&bench);
    std::fs::write(set.join("a\nb.sql"), "5").unwrap();
    for number in 0..300 {
        std::fs::write(set.join(format!("db.t{number:03}.sql")), "0").unwrap();
    }
    make_manifest(&set);
    sender.send(&to, &set).await.unwrap();
    let good = content(&copy);
    rot(&set.join("a\nb.sql"));
    let told = fault(sender.compare(&to, &set).await.unwrap());
    assert!(told.contains("a\nb.sql has changed"), "{told}");
    std::fs::write(set.join("a\nb.sql"), "5").unwrap();

    // More of the copy than is named differs, and the one rotten original is not among the named.
    for number in 0..299 {
        rot(&copy.join(format!("db.t{number:03}.sql")));
    }
    assert_eq!(sender.verify(&to, &set).await.unwrap().len(), 100);
    rot(&set.join("db.t299.sql"));
    let told = problem(sender.deliver(&to, &set).await.unwrap());
    assert!(told.contains("db.t299.sql has changed"), "{told}");
    assert_eq!(std::fs::read(copy.join("db.t299.sql")).unwrap(), b"0");
    std::fs::write(set.join("db.t299.sql"), "0").unwrap();
    sender.send(&to, &set).await.unwrap();
    assert_eq!(content(&copy), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_without_a_manifest_is_its_own_measure() {
    let bench = Bench::new();
    let (vault, copy) = vault(&bench);
    let to = destination(vault.to_str().unwrap());
    let sender = Sender::new(&bench).await;
    let set = make_set(&bench);
    std::fs::remove_file(set.join("mykeeper.manifest.json")).unwrap();
    sender.send(&to, &set).await.unwrap();
    rot(&set.join("metadata"));
    assert_eq!(sender.verify(&to, &set).await.unwrap(), ["metadata"]);
    sender.send(&to, &set).await.unwrap();
    assert_eq!(content(&copy), content(&set));
}
