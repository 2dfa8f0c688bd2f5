//! Sets made by the real mydumper from a real server, with their evidence.

use crate::bench::{Bench, limits};
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::checksum::ChecksumLimit;
use mykeeper_domain::clock::{Clock, SystemClock};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::ids::{BackupId, NodeName};
use mykeeper_domain::job::{Assertion, Consistency, LockPolicy, MydumperOption};
use mykeeper_domain::manifest::{FORMAT_VERSION, FileEntry};
use mykeeper_domain::packing::Packing;
use mykeeper_domain::proof::Proof;
use mykeeper_domain::sandbox::Sandbox;
use mykeeper_supervise::Limits;
use mykeeper_tools::ToolError;
use mykeeper_tools::digest::{Compression, digest_file};
use mykeeper_tools::mydumper::{DumpEnv, DumpRequest, detect_mydumper, run_dump};
use mykeeper_tools::probe::Probe;
use mykeeper_tools::prove::{ProveRequest, prove_by_restore, prove_set};
use mykeeper_tools::sandbox::ThrowawayServer;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Everything that was ever awkward.
pub(crate) const AWKWARD: &str = include_str!("../fixtures/awkward.sql");
/// One database with one of each.
pub(crate) const SHOP: &str = include_str!("../fixtures/shop.sql");

/// A set, as it lies on disk, and what is known of it.
pub(crate) struct Set {
    pub(crate) dir: PathBuf,
    pub(crate) databases: Vec<String>,
    pub(crate) evidence: Evidence,
    pub(crate) files: Vec<FileEntry>,
    /// What the dump said was worth a look.
    pub(crate) warnings: Vec<String>,
}

/// How a set is dumped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) consistency: Consistency,
    /// By mydumper.
    pub(crate) compressed: bool,
    /// By mykeeper.
    pub(crate) packing: Option<Packing>,
}

pub(crate) fn sql(server: &ThrowawayServer, text: &str) {
    let file = server.socket().parent().unwrap().join("seed.sql");
    std::fs::write(&file, text).unwrap();
    let output = Command::new("mariadb")
        .args(["--no-defaults", "-u", "root", "--default-character-set=utf8mb4"])
        .arg(format!("--socket={}", server.socket().display()))
        .stdin(Stdio::from(std::fs::File::open(&file).unwrap()))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Options of a dump, one thread: with a regex and several threads 0.10 locks itself up now and then.
fn dump_options(compressed: bool) -> Vec<MydumperOption> {
    let mut names = vec!["triggers", "events", "routines"];
    names.extend(compressed.then_some("compress"));
    let threads = MydumperOption {
        name: "threads".into(),
        value: Some("1".into()),
    };
    let options = names.into_iter().map(|name| MydumperOption {
        name: name.into(),
        value: None,
    });
    options.chain([threads]).collect()
}

fn backup(id: BackupId, dir: &Path) -> Backup {
    let now = SystemClock.now();
    Backup {
        id,
        node: None,
        job: None,
        run_id: None,
        bk_server: "127.0.0.1".into(),
        tag: "test".into(),
        started_at: now,
        finished_at: now,
        elapsed_seconds: 1,
        databases: Vec::new(),
        complete: vec![true],
        reason: None,
        size_bytes: None,
        size_text: String::new(),
        dir: dir.to_owned(),
        consistency: None,
        transfer_to: Vec::new(),
        transfer_started_at: None,
        transfer_finished_at: None,
        transfer_complete: String::new(),
        remote_dest: String::new(),
        master_status: String::new(),
        slave_status: String::new(),
        tool_version: String::new(),
        server_version: String::new(),
        pybackup_version: String::new(),
        command: String::new(),
        deletion: Deletion::None,
        deletion_reason: None,
        validate_status: ValidateStatus::NotTried,
        manifest_blake3: None,
        lock_waited_ms: None,
        lock_held_ms: None,
        original_gone_at: None,
        begun_by_catalog_at: None,
        arrived: Vec::new(),
        removed_from: Vec::new(),
        rebuilt_at: None,
        selected_by: None,
    }
}

/// The manifest of what lies there now.
pub(crate) fn manifest(dir: &Path) -> Vec<FileEntry> {
    let mut entries = Vec::new();
    for (name, _) in crate::rsync_daemon::content(dir) {
        let digest = digest_file(&dir.join(&name), &name, 0).unwrap();
        entries.push(FileEntry {
            path: name,
            size_bytes: digest.stamp.size_bytes,
            blake3: digest.blake3,
            plain_bytes: digest.plain_bytes,
            rows: Some(digest.rows),
        });
    }
    entries
}

/// Dumps the server's own databases, as a backup job does.
pub(crate) async fn make_set(server: &ThrowawayServer, dir: &Path, how: How, with_system: bool) -> Set {
    make_set_by(Path::new("mydumper"), server, dir, (how, with_system)).await
}

/// As [`make_set`], by this mydumper.
pub(crate) async fn make_set_by(
    mydumper: &Path,
    server: &ThrowawayServer,
    dir: &Path,
    (how, with_system): (How, bool),
) -> Set {
    let bench = Bench::new();
    let mut made = backup(BackupId::generate(), dir);
    let mut probe = Probe::connect(&server.connection()).await.unwrap();
    let mut databases = probe.databases().await.unwrap();
    databases.retain(|name| {
        !["information_schema", "performance_schema", "sys"].contains(&name.as_str())
            && (with_system || name != "mysql")
    });
    let found = probe.find(&databases).await.unwrap();
    probe.close().await;
    std::fs::create_dir_all(dir).unwrap();
    let info = detect_mydumper(&bench.supervisor, mydumper).await.unwrap();
    let request = DumpRequest {
        info: &info,
        connection: &server.connection(),
        databases: &databases,
        consistency: how.consistency,
        options: &dump_options(how.compressed),
        tables: None,
        set_dir: dir,
        private_dir: &bench.sub("private"),
        limits: limits(300),
        lock: LockPolicy::default(),
        checksum: ChecksumLimit::DEFAULT,
        packing: how.packing,
        chunk_bytes: how.packing.map(|_| 1 << 20),
        keep_free_bytes: 0,
        finished: None,
    };
    let env = DumpEnv {
        supervisor: &bench.supervisor,
        cancel: bench.cancel.clone(),
        log: &bench.log,
        clock: &SystemClock,
    };
    let dumped = run_dump(&request, &env).await.unwrap();
    let mut inventory = dumped.inventory;
    for (database, view, _) in &found.broken_views {
        let content = inventory.databases.get_mut(database).unwrap();
        content.views.remove(view);
        content.definitions.remove(&format!("view {view}"));
    }
    made.tool_version.clone_from(&info.banner);
    made.server_version = dumped.server_version;
    let evidence = Evidence {
        version: FORMAT_VERSION,
        backup: made,
        consistency: how.consistency,
        coverage: dumped.coverage,
        inventory,
        parts: dumped.parts,
        taken_at: SystemClock.now(),
        binary_log: None,
    };
    Set {
        dir: dir.to_owned(),
        databases,
        evidence,
        files: manifest(dir),
        warnings: dumped.warnings,
    }
}

/// A mydumper that does something, dumps, does something more, and only then writes into the set's folder. The dumped
/// files lie in `$there` meanwhile.
pub(crate) fn stand_in(bench: &Bench, name: &str, (before, after): (&str, &str)) -> PathBuf {
    let path = bench.path().join(name);
    let script = format!(
        "#!/bin/bash\ncase $1 in --version|--help) exec mydumper \"$@\";; esac\nwords=()\n\
         for word; do case $word in --outputdir=*) out=${{word#*=}}; there={folder}/{name}.out; \
         words+=(--outputdir=$there);; *) words+=(\"$word\");; esac; done\n{before}\n\
         mydumper \"${{words[@]}}\" || exit\n{after}\nmetadata=$there/metadata\n\
         for file in $there/*; do [ $file = $metadata ] || cp $file $out/; done\ncp $metadata $out/\n",
        folder = bench.path().display(),
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A shell's words for a client of this server, in this database, that carries out what follows them.
pub(crate) fn client(server: &ThrowawayServer, database: &str) -> String {
    format!(
        "mariadb --no-defaults -uroot -S{} {database} -e",
        server.socket().display()
    )
}

impl Set {
    /// A copy that can be damaged.
    pub(crate) fn copy(&self, dir: &Path) -> Set {
        let copied = Command::new("cp")
            .arg("-a")
            .arg(&self.dir)
            .arg(dir)
            .status()
            .unwrap();
        assert!(copied.success());
        Set {
            dir: dir.to_owned(),
            databases: self.databases.clone(),
            evidence: self.evidence.clone(),
            files: self.files.clone(),
            warnings: self.warnings.clone(),
        }
    }

    /// Rewrites the plain content of one file, compressed again as it was.
    pub(crate) fn rewrite(&self, name: &str, change: impl FnOnce(String) -> String) {
        let path = self.dir.join(name);
        let bytes = std::fs::read(&path).unwrap();
        let is_gzip = Compression::of(name) == Compression::Gzip;
        let text = if is_gzip {
            let mut text = String::new();
            std::io::Read::read_to_string(
                &mut flate2::read::MultiGzDecoder::new(bytes.as_slice()),
                &mut text,
            )
            .unwrap();
            text
        } else {
            String::from_utf8(bytes).unwrap()
        };
        let changed = change(text.clone());
        assert_ne!(changed, text, "nothing changed in {name}");
        let bytes = if is_gzip {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, changed.as_bytes()).unwrap();
            encoder.finish().unwrap()
        } else {
            changed.into_bytes()
        };
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir.join(name)).unwrap();
    }
}

/// What a proof is asked for besides its set.
pub(crate) struct Asked {
    pub(crate) sandbox: Sandbox,
    pub(crate) asserts: Vec<Assertion>,
    pub(crate) with_evidence: bool,
    pub(crate) myloader: PathBuf,
    pub(crate) limits: Limits,
    /// Whatever the files show against themselves.
    pub(crate) by_restore: bool,
}

impl Asked {
    pub(crate) fn of(bench: &Bench) -> Self {
        Self {
            sandbox: bench.sandbox(),
            asserts: Vec::new(),
            with_evidence: true,
            myloader: "myloader".into(),
            limits: limits(120),
            by_restore: false,
        }
    }
}

pub(crate) async fn prove(bench: &Bench, set: &Set, asked: &Asked) -> Result<Proof, ToolError> {
    let node = NodeName::new("db1").unwrap();
    let request = ProveRequest {
        bk_id: set.evidence.backup.id,
        run_id: None,
        node: &node,
        set_dir: &set.dir,
        evidence: asked.with_evidence.then_some(&set.evidence),
        files: if asked.with_evidence { &set.files } else { &[] },
        beside: &[],
        recorded_size: None,
        manifest_blake3: None,
        databases: &set.databases,
        sandbox: &asked.sandbox,
        myloader: &asked.myloader,
        asserts: &asked.asserts,
        limits: &asked.limits,
    };
    if asked.by_restore {
        return prove_by_restore(request, &bench.env()).await;
    }
    prove_set(request, &bench.env()).await
}

/// What a proof says against its set, line by line.
pub(crate) fn against(proof: &Proof) -> Vec<String> {
    proof
        .databases
        .iter()
        .flat_map(|database| {
            let error = database
                .error
                .iter()
                .map(|error| format!("{}: {error}", database.database));
            error.chain(database.differences.iter().map(ToString::to_string))
        })
        .collect()
}

pub(crate) fn rows(proof: &Proof) -> BTreeMap<String, u64> {
    proof
        .databases
        .iter()
        .map(|database| (database.database.clone(), database.rows_compared))
        .collect()
}
