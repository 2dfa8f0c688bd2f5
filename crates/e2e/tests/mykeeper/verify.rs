//! Sets that are read again on schedule, and what is found in them.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::{NEVER, add_path, backup_job, text};
use mykeeper_e2e::*;
use std::path::{Path, PathBuf};

/// Three sets of `shop`, each with its copy in a folder of this machine; a transfer job that reads them.
pub(crate) struct Stage {
    pub(crate) workspace: Workspace,
    _source: MariaDb,
    /// bk_ids, the oldest first.
    pub(crate) sets: Vec<String>,
}

impl Stage {
    pub(crate) fn new(more: &str) -> Self {
        let source = MariaDb::with_sample();
        let workspace = Workspace::new();
        let vault = workspace.at("vault");
        std::fs::create_dir(&vault).unwrap();
        workspace.write_keeper(&format!(
            "{}[destinations.vault]\nurl = \"{}\"\n",
            workspace.server("shop", &source, "pw"),
            vault.display()
        ));
        let nightly = backup_job("nightly", r#"["shop"]"#, "transfer_to = \"vault\"");
        workspace.write_schedule(&format!("{nightly}{}", more.replace("NEVER", NEVER)));
        for _ in 0..3 {
            workspace.mykeeper(&["run", "nightly"]).assert_code(0);
        }
        let sets = workspace.backups();
        let sets = sets.iter().rev().map(|set| text(set, "id").to_owned());
        Self {
            sets: sets.collect(),
            workspace,
            _source: source,
        }
    }

    pub(crate) fn original(&self, number: usize) -> PathBuf {
        find_set(&self.workspace.sets(), &self.sets[number])
    }

    pub(crate) fn copy(&self, number: usize) -> PathBuf {
        find_set(&self.workspace.at("vault"), &self.sets[number])
    }

    pub(crate) fn run(&self, job: &str) -> Finished {
        self.workspace.mykeeper(&["run", job])
    }

    pub(crate) fn verified(&self, number: usize) -> serde_json::Value {
        let shown = self.workspace.mykeeper(&["show", &self.sets[number], "--json"]);
        shown.json()["verifications"][0].clone()
    }

    /// The sets that have been looked at, in that order.
    fn looked_at(&self) -> Vec<usize> {
        let ids = self
            .workspace
            .catalog()
            .column("SELECT bk_id FROM mk_verification ORDER BY looked_ms");
        let number = |id: &String| self.sets.iter().position(|set| set == id).unwrap();
        ids.iter().map(number).collect()
    }
}

const JOBS: &str = r#"
[transfer.catch-up]
cron = "NEVER"
destination = "vault"
verify = true
verify_every = "1h"

[transfer.unread]
cron = "NEVER"
destination = "vault"
verify_every = "never"

[validation.prove]
cron = "NEVER"
verify = true
verify_every = "1h"
within = "1d"
tags = ["shop"]

[validation.others]
cron = "NEVER"
verify = true
tags = ["another"]

[transfer.again]
cron = "NEVER"
destination = "vault"
verify = true
verify_every = "1ms"
timeout = "5s"

[transfer.patient]
cron = "NEVER"
destination = "vault"
verify = true
verify_every = "1ms"
"#;

pub(crate) fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn what_is_due_is_read_once_and_what_differs_is_named_and_sent_again() {
    let stage = Stage::new(JOBS);
    stage.run("others").assert_code(0).assert_says("no set was due");
    let data = "shop.orders.sql.gz";
    flip(&stage.copy(1).join(data));
    std::fs::write(stage.original(2).join("notes.txt"), "mine").unwrap();
    let run = stage.run("catch-up");
    run.assert_code(1)
        .assert_says(&format!("set {} is not as it was written", stage.sets[1]))
        .assert_says(&format!("{data}, BLAKE3"))
        .assert_says("the next run of this job sends it again")
        .assert_says("3 sets were read");
    assert_eq!(run.said().matches(data).count(), 1, "once: {run}");
    assert_eq!(stage.looked_at(), [0, 1, 2], "the oldest first, and none held up");
    let good = stage.verified(0);
    assert_eq!(good["state"], "as-written", "{good:#}");
    assert_eq!(good["copies"].as_array().unwrap().len(), 2, "{good:#}");
    let bad = stage.verified(1);
    assert_eq!(bad["state"], "differs");
    let told = stage.workspace.mykeeper(&["show", &stage.sets[1]]);
    told.assert_says("on testnode: differs").assert_says(data);
    assert_eq!(stage.verified(2)["copies"][1]["strangers"][0], "notes.txt");

    // Nothing is due for an hour but what has been sent again: the catalog hears that it is whole.
    stage
        .run("catch-up")
        .assert_code(0)
        .assert_says("1 set sent")
        .assert_says("1 set was read");
    assert_eq!(stage.verified(1)["state"], "as-written");
    stage.run("catch-up").assert_code(0).assert_says("no set was due");

    // What a person has found to differ is sent again by the next run, and read.
    let by_hand = ["verify", "--bk-id", &stage.sets[1]];
    flip(&stage.copy(1).join(data));
    stage.workspace.mykeeper(&by_hand).assert_code(1);
    let run = stage.run("catch-up");
    run.assert_code(4)
        .assert_says("it has been sent again")
        .assert_says("1 set was read");
    assert_eq!(stage.verified(1)["state"], "as-written");
    // Without `verify`, too; and an original that is damaged spoils no copy.
    flip(&stage.copy(1).join(data));
    stage.workspace.mykeeper(&by_hand).assert_code(1);
    let run = stage.run("unread");
    run.assert_code(4)
        .assert_says(&format!(" verify --bk-id {}\" reads it", stage.sets[1]));
    stage.workspace.mykeeper(&by_hand).assert_code(0);
    let before = std::fs::read(stage.original(1).join(data)).unwrap();
    flip(&stage.original(1).join(data));
    stage.workspace.mykeeper(&by_hand).assert_code(1);
    stage.run("unread").assert_code(4).assert_says("was left alone");
    stage.run("unread").assert_code(0);
    std::fs::write(stage.original(1).join(data), before).unwrap();
    stage
        .workspace
        .mykeeper(&["verify", "--bk-id", &stage.sets[1]])
        .assert_code(0)
        .assert_says("2 copies");
    assert_eq!(stage.verified(1)["state"], "as-written", "by hand counts, too");
    stage
        .workspace
        .mykeeper(&["verify", "--bk-id", &stage.sets[2]])
        .assert_code(4)
        .assert_says("notes.txt is not the set's");

    std::fs::remove_file(stage.original(2).join("notes.txt")).unwrap();

    // A set that takes longer to read than a run may last is left, said, and holds up no other.
    let slow = std::fs::File::options()
        .write(true)
        .open(stage.original(0).join(data))
        .unwrap();
    let size = slow.metadata().unwrap().len();
    slow.set_len(1 << 40).unwrap();
    let run = stage.run("again");
    run.assert_code(4)
        .assert_says("cannot be read within the job's timeout")
        .assert_says("goes on where this one stopped");
    assert_eq!(stage.verified(0)["state"], "unfinished");
    // What is known to differ is told all the same. The set is the first to be read when the others have just been.
    for other in [1, 2] {
        let verify = ["verify", "--bk-id", &stage.sets[other]];
        stage.workspace.mykeeper(&verify).assert_code(0);
    }
    let whole = std::fs::read(stage.copy(0).join(data)).unwrap();
    flip(&stage.copy(0).join(data));
    stage.run("again").assert_says(&format!("{data}, BLAKE3"));
    assert_eq!(stage.verified(0)["state"], "differs");
    std::fs::write(stage.copy(0).join(data), whole).unwrap();
    slow.set_len(size).unwrap();
    let run = stage.run("patient");
    run.assert_code(0).assert_says("3 sets were read");
    assert_eq!(stage.looked_at(), [0, 1, 2], "what differs first");
}

#[test]
fn a_run_fails_where_manifest_or_evidence_of_a_copy_are_not_those_of_the_catalog() {
    let stage = Stage::new(JOBS);
    // Who changes the evidence may make the manifest agree with it.
    let evidence = stage.copy(2).join("mykeeper.evidence.json");
    let manifest = stage.copy(2).join("mykeeper.manifest.json");
    let whole = [&evidence, &manifest].map(|file| std::fs::read(file).unwrap());
    let digest = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let edited = [&whole[0][..], b"\n"].concat();
    std::fs::write(&evidence, &edited).unwrap();
    let text = String::from_utf8(whole[1].clone()).unwrap();
    std::fs::write(&manifest, text.replace(&digest(&whole[0]), &digest(&edited))).unwrap();
    let proof = stage.workspace.mykeeper(&["validate", "--bk-id", &stage.sets[2]]);
    proof
        .assert_code(1)
        .assert_says("mykeeper.evidence.json, bytes")
        .assert_says("mykeeper.manifest.json, BLAKE3");
    std::fs::write(&evidence, &whole[0]).unwrap();
    std::fs::write(&manifest, text.replace("\"version\": 1", "\"version\":  1")).unwrap();
    let proof = stage.workspace.mykeeper(&["validate", "--bk-id", &stage.sets[2]]);
    proof.assert_code(1).assert_says("mykeeper.manifest.json, BLAKE3");
    std::fs::remove_file(&manifest).unwrap();
    let proof = stage.workspace.mykeeper(&["validate", "--bk-id", &stage.sets[2]]);
    proof
        .assert_code(1)
        .assert_says("mykeeper.manifest.json: expected present, found missing");
    std::fs::write(&manifest, &whole[1]).unwrap();

    // What is on its way is no copy yet, wherever else the set has arrived: its manifest comes last.
    let vault = stage.workspace.at("vault");
    let arriving = stage.workspace.at("arriving");
    let half = arriving.join(stage.copy(2).strip_prefix(&vault).unwrap());
    std::fs::create_dir_all(&half).unwrap();
    std::fs::copy(stage.copy(2).join("metadata"), half.join("metadata")).unwrap();
    add_path(&stage.workspace, &arriving);
    let proof = stage.workspace.mykeeper(&["validate", "--bk-id", &stage.sets[2]]);
    proof.assert_code(0).assert_says(&vault.display().to_string());
    let verify = || stage.workspace.mykeeper(&["verify", "--bk-id", &stage.sets[2]]);
    verify().assert_code(0).assert_says("2 copies");
    std::fs::write(half.join("mykeeper.manifest.json"), &whole[1]).unwrap();
    verify()
        .assert_code(1)
        .assert_says("expected present, found missing");
    std::fs::remove_dir_all(&arriving).unwrap();

    // A validation job proves, and reads what is due after it, the set that a person has found to differ with it.
    let run = stage.run("prove");
    run.assert_code(0)
        .assert_says("is proven")
        .assert_says("3 sets were read");
}
