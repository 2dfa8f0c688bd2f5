//! Proves sets as a validation does, and judges them as pybackup did.

use super::sets::{Set, run};
use crate::binary::Binary;
use crate::scratch::Scratch;
use mykeeper_domain::SystemClock;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::ids::NodeName;
use mykeeper_domain::manifest::FileEntry;
use mykeeper_domain::proof::Proof;
use mykeeper_domain::sandbox::Sandbox;
use mykeeper_supervise::{Limits, ShimCommand, Supervisor};
use mykeeper_tools::prove::{ProveRequest, prove_by_restore, prove_set};
use mykeeper_tools::sandbox::ThrowawayServer;
use mykeeper_tools::{Progress, RunLog, ToolEnv, ToolError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// No single proof takes longer.
const PROVEN_WITHIN: Duration = Duration::from_secs(120);
/// myloader goes on for ever after some damages.
const LOADED_WITHIN: Duration = Duration::from_secs(30);

/// What a proof says.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// A file is not as the manifest has it, or cannot be read.
    Digest(String),
    /// The files do not hold what the evidence knows.
    Evidence(String),
    /// It did not come back.
    Restored(String),
    /// Nothing is against it.
    Passed,
    /// It could not be tried.
    Untried(String),
}

impl Said {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Digest(words) | Self::Evidence(words) | Self::Restored(words) => words.clone(),
            Self::Passed => "passed".to_owned(),
            Self::Untried(words) => format!("could not be tried: {words}"),
        }
    }

    fn of(proof: Result<Proof, ToolError>) -> Self {
        let proof = match proof {
            Ok(proof) if proof.passed() => return Self::Passed,
            Ok(proof) => proof,
            Err(error) => return Self::Untried(error.to_string()),
        };
        let of_a_file = proof
            .databases
            .iter()
            .flat_map(|database| &database.differences)
            .any(|difference| difference.object.starts_with("file "));
        match (proof.sandbox_version.as_str(), of_a_file) {
            ("not started", true) => Self::Digest(proof.summary()),
            ("not started", false) => Self::Evidence(proof.summary()),
            _ => Self::Restored(proof.summary()),
        }
    }
}

struct Silent;

impl RunLog for Silent {
    fn line(&self, _source: &str, _text: &str) {}
    fn progress(&self, _progress: Progress) {}
}

/// Everything that proofs need. Throwaway servers share one prepared folder.
pub(super) struct Judge {
    supervisor: Supervisor,
    sandbox: Sandbox,
    node: NodeName,
    limits: Limits,
    runtime: Runtime,
    folder: PathBuf,
    // The throwaway server of root's is another user, and its socket's path must be short.
    _scratch: Scratch,
}

impl Judge {
    /// Copies lie below `folder`, on the file system of the sets.
    pub(super) fn new(folder: &Path) -> Self {
        let scratch = Scratch::new();
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let shim = ShimCommand {
            program: Binary::find().path().to_owned(),
            args: vec!["run-shim".into()],
        };
        let judge = Self {
            supervisor: Supervisor::new(shim, vec![("PATH".into(), path.into())]),
            sandbox: Sandbox {
                server: "mariadbd".into(),
                directory: scratch.path().to_owned(),
                memory_bytes: 64 << 20,
                threads: 2,
                nice: 5,
            },
            node: NodeName::new("judge").expect("a name that a node may have"),
            limits: Limits {
                timeout: Some(PROVEN_WITHIN),
                stall: None,
                grace: Duration::from_secs(2),
            },
            runtime: Runtime::new().expect("threads can be started"),
            folder: folder.to_owned(),
            _scratch: scratch,
        };
        // Prepared once, before two ask for it at the same time.
        let server = judge.server();
        judge.runtime.block_on(server.stop());
        judge
    }

    /// A path of its own for a copy.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(format!("copy-{name}"))
    }

    fn env(&self) -> ToolEnv<'_> {
        ToolEnv {
            supervisor: &self.supervisor,
            cancel: CancellationToken::new(),
            log: &Silent,
            clock: &SystemClock,
        }
    }

    fn server(&self) -> ThrowawayServer {
        let env = self.env();
        let starting = ThrowawayServer::start(&self.sandbox, &env);
        self.runtime
            .block_on(async { Box::pin(starting).await })
            .unwrap_or_else(|error| panic!("no throwaway server starts: {error}"))
    }

    /// Proves a set as it lies there against this manifest and evidence.
    pub(super) fn prove(
        &self,
        (set, files): (&Set, &[FileEntry]),
        evidence: Option<&Evidence>,
        by_restore: bool,
    ) -> Said {
        let databases: Vec<String> = set.evidence.inventory.databases.keys().cloned().collect();
        let request = ProveRequest {
            bk_id: set.evidence.backup.id,
            run_id: None,
            node: &self.node,
            set_dir: &set.dir,
            evidence,
            files,
            beside: &[],
            recorded_size: None,
            manifest_blake3: None,
            databases: &databases,
            sandbox: &self.sandbox,
            myloader: Path::new("myloader"),
            asserts: &[],
            limits: &self.limits,
        };
        let env = self.env();
        let proof = self.runtime.block_on(async {
            if by_restore {
                Box::pin(prove_by_restore(request, &env)).await
            } else {
                Box::pin(prove_set(request, &env)).await
            }
        });
        Said::of(proof)
    }

    /// As pybackup takes it: each database's folder is loaded by myloader, and exit status 0 is a success. Yields
    /// whether this database was one, and whether the set would pass, for which one success is enough.
    pub(super) fn pybackup(&self, set: &Set, database: &str) -> (bool, bool) {
        let loader = self.loader(set);
        let own = loader.load(database);
        let mut others = set.evidence.inventory.databases.keys();
        let any = own || others.any(|other| other != database && loader.load(other));
        self.runtime.block_on(loader.server.stop());
        (own, any)
    }

    /// Whether every database is a success to pybackup.
    pub(super) fn pybackup_all(&self, set: &Set) -> bool {
        let loader = self.loader(set);
        let all = set
            .evidence
            .inventory
            .databases
            .keys()
            .all(|database| loader.load(database));
        self.runtime.block_on(loader.server.stop());
        all
    }

    fn loader<'a>(&self, set: &'a Set) -> Loader<'a> {
        Loader {
            set,
            server: self.server(),
            folders: Scratch::new(),
        }
    }
}

/// Loads one database after the other, as pybackup does.
struct Loader<'a> {
    set: &'a Set,
    server: ThrowawayServer,
    folders: Scratch,
}

impl Loader<'_> {
    fn load(&self, database: &str) -> bool {
        if self.set.layout.has_folders() {
            return load(&self.set.dir.join(database), self.server.socket());
        }
        let folder = self.folders.path().join(database);
        gather(self.set, database, &folder);
        load(&folder, self.server.socket())
    }
}

/// As pybackup does after a consistent dump: the files that a database's name begins go to its own folder, with a copy
/// of `metadata`.
fn gather(set: &Set, database: &str, folder: &Path) {
    std::fs::create_dir(folder).expect("a folder within our own");
    for entry in std::fs::read_dir(&set.dir).expect("the set's folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_its_own = ['.', '-']
            .iter()
            .any(|mark| name.starts_with(&format!("{database}{mark}")));
        if is_its_own || name == "metadata" {
            run(Command::new("cp").arg(entry.path()).arg(folder.join(name)));
        }
    }
}

fn load(folder: &Path, socket: &Path) -> bool {
    let directory = format!("--directory={}", folder.display());
    let child = Command::new("myloader")
        .args([&directory, "--overwrite-tables", "--user=root"])
        .arg(format!("--socket={}", socket.display()))
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.expect("myloader is installed");
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("our own child") {
            return status.success();
        }
        if began.elapsed() > LOADED_WITHIN {
            let _ = child.kill();
            let _ = child.wait();
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
