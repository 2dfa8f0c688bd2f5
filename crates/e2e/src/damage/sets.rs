//! Real sets of the sample data, made by the real binary, and copies of them that can be damaged.

use crate::mariadb::{MariaDb, MariaDbOptions};
use crate::restored::find_set;
use crate::scratch::Scratch;
use crate::workspace::Workspace;
use flate2::Compression as Level;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::manifest::{EVIDENCE_FILE, FileEntry, MANIFEST_FILE, Manifest};
use mykeeper_tools::digest::digest_file;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How a set lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layout {
    /// One folder, compressed by mykeeper.
    Packed,
    /// One folder.
    Plain,
    /// A folder for each database, compressed by mydumper.
    PackedEach,
    /// A folder for each database.
    PlainEach,
}

impl Layout {
    pub(super) const ALL: [Self; 4] = [Self::Packed, Self::Plain, Self::PackedEach, Self::PlainEach];

    fn is_packed(self) -> bool {
        matches!(self, Self::Packed | Self::PackedEach)
    }

    pub(super) fn has_folders(self) -> bool {
        matches!(self, Self::PackedEach | Self::PlainEach)
    }

    /// As the table calls it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Packed => "one folder, gz",
            Self::Plain => "one folder",
            Self::PackedEach => "folder each, gz",
            Self::PlainEach => "folder each",
        }
    }

    fn job(self) -> &'static str {
        match self {
            Self::Packed => "packed",
            Self::Plain => "plain",
            Self::PackedEach => "packed-each",
            Self::PlainEach => "plain-each",
        }
    }

    /// The backup job that makes one.
    fn schedule(self) -> String {
        let consistency = if self.has_folders() { "per-database" } else { "all" };
        let compression = match self {
            Self::Packed => "gzip",
            Self::PackedEach => "mydumper",
            Self::Plain | Self::PlainEach => "none",
        };
        format!(
            "[backup.{}]\ncron = \"0 0 29 2 *\"\nserver = \"shop\"\ndatabases = [\"!mysql\"]\ndirectory = \"{{sets}}\"\n\
             consistency = \"{consistency}\"\ncompression = \"{compression}\"\nmydumper = [\"threads=1\", \"statement-size=50000\", \"triggers\", \"events\", \"routines\"]\n\
             retry = {{ attempts = 1, delay = \"1s\" }}\n\n",
            self.job()
        )
    }
}

/// A set and what the catalog knows of it.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) layout: Layout,
    pub(super) dir: PathBuf,
    pub(super) evidence: Evidence,
    pub(super) files: Vec<FileEntry>,
}

/// The sets that are damaged.
#[derive(Debug)]
pub(super) struct Sets {
    scratch: Scratch,
    /// Of the sample, one of each layout that was asked for.
    pub(super) sample: Vec<Set>,
    /// The same databases a while before, in one folder, compressed.
    pub(super) older: Option<Set>,
    /// Everything that was ever awkward.
    pub(super) awkward: Vec<Set>,
}

/// What the sample has not.
const MORE: &str = include_str!("more.sql");
/// Everything that was ever awkward, as the prover's own tests have it.
const AWKWARD: &str = include_str!("../../../tools/tests/fixtures/awkward.sql");

impl Sets {
    /// Makes them: the sample in these layouts, and the awkward ones in those.
    pub(super) fn make(sample: &[Layout], awkward: &[Layout], with_older: bool) -> Self {
        let mut sets = Self {
            scratch: Scratch::new(),
            sample: Vec::new(),
            older: None,
            awkward: Vec::new(),
        };
        let source = MariaDb::with_sample();
        source.sql(MORE);
        if with_older {
            sets.older = sets.dump(&source, "older", &[Layout::Packed]).pop();
            source.sql(
                "UPDATE shop.orders SET amount = amount + 1 WHERE id = 77; \
                 INSERT INTO shop.visits VALUES ('2024-05-05', '/since/then'); \
                 ALTER TABLE shop.audit MODIFY what VARCHAR(90)",
            );
        }
        sets.sample = sets.dump(&source, "sample", sample);
        drop(source);
        if !awkward.is_empty() {
            // Its events would change what is being dumped.
            let source = MariaDb::start_with(MariaDbOptions {
                binlog: true,
                extra: vec!["--event-scheduler=OFF".to_owned()],
                ..MariaDbOptions::default()
            });
            source.sql(AWKWARD);
            source.sql("DROP VIEW shop.v_broken");
            sets.awkward = sets.dump(&source, "awkward", awkward);
        }
        sets
    }

    /// A folder for what comes of them, on their file system.
    pub(super) fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Backs the server up in each layout, and takes the sets away from what made them.
    fn dump(&self, source: &MariaDb, name: &str, layouts: &[Layout]) -> Vec<Set> {
        let workspace = Workspace::new();
        workspace.write_keeper(&workspace.server("shop", source, "pw"));
        // A view that calls a function is whole only to whoever may call it.
        source.account("backup", "pw", "EXECUTE ON *.*");
        let jobs: String = layouts.iter().map(|layout| layout.schedule()).collect();
        workspace.write_schedule(&jobs);
        let made = |layout: &Layout| {
            workspace.mykeeper(&["run", layout.job()]).assert_code(0);
            let id = workspace.backups()[0]["id"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let dir = self.scratch.path().join(format!("{name}-{}", layout.job()));
            run(Command::new("cp")
                .arg("-a")
                .arg(find_set(&workspace.sets(), &id))
                .arg(&dir));
            Set::read(dir, *layout)
        };
        layouts.iter().map(made).collect()
    }
}

impl Set {
    /// As it lies there.
    pub(super) fn read(dir: PathBuf, layout: Layout) -> Self {
        let text = |name| std::fs::read_to_string(dir.join(name)).expect("a record of the set");
        let manifest: Manifest = serde_json::from_str(&text(MANIFEST_FILE)).expect("a manifest");
        let evidence = serde_json::from_str(&text(EVIDENCE_FILE)).expect("an evidence file");
        Self {
            layout,
            evidence,
            files: manifest.files,
            dir,
        }
    }

    /// One to be damaged: its files are the same ones until they are replaced.
    pub(super) fn copy(&self, dir: PathBuf) -> Self {
        run(Command::new("cp").arg("-al").arg(&self.dir).arg(&dir));
        Self { dir, ..self.clone() }
    }

    /// Where a file lies: `database`'s, called so without what its packing adds.
    pub(super) fn path(&self, database: &str, name: &str) -> PathBuf {
        let folder = if self.layout.has_folders() {
            self.dir.join(database)
        } else {
            self.dir.clone()
        };
        let ending = if self.layout.is_packed() && name.ends_with(".sql") {
            ".gz"
        } else {
            ""
        };
        folder.join(format!("{name}{ending}"))
    }

    /// The manifest of what lies there now.
    pub(super) fn manifest(&self) -> Vec<FileEntry> {
        let mut paths = Vec::new();
        files_below(&self.dir, "", &mut paths);
        paths.sort();
        let entries = paths.into_iter().filter(|path| path != MANIFEST_FILE);
        entries
            .map(|path| {
                let digest = digest_file(&self.dir.join(&path), &path, 0).expect("a file of the set");
                FileEntry {
                    path,
                    size_bytes: digest.stamp.size_bytes,
                    blake3: digest.blake3,
                    plain_bytes: digest.plain_bytes,
                    rows: Some(digest.rows),
                }
            })
            .collect()
    }

    /// Writes the evidence as it is known now.
    pub(super) fn write_evidence(&self) {
        let text = serde_json::to_vec(&self.evidence).expect("an evidence is JSON");
        replace(&self.dir.join(EVIDENCE_FILE), &text);
    }
}

/// Puts a new file in the place of one that other copies share.
pub(super) fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).expect("a file within our own folder");
    std::fs::rename(&new, path).expect("a rename within our own folder");
}

/// What a file holds when it is unpacked.
pub(super) fn unpacked(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    if path.extension().is_none_or(|ending| ending != "gz") {
        return bytes;
    }
    let mut plain = Vec::new();
    MultiGzDecoder::new(bytes.as_slice())
        .read_to_end(&mut plain)
        .expect("a whole gzip file");
    plain
}

/// As gzip has it, one member.
pub(super) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Level::fast());
    encoder.write_all(plain).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// Packed as the name of the file says.
pub(super) fn packed(path: &Path, plain: &[u8]) -> Vec<u8> {
    if path.extension().is_some_and(|ending| ending == "gz") {
        gzip(plain)
    } else {
        plain.to_vec()
    }
}

pub(super) fn run(command: &mut Command) {
    let status = command.status().expect("a program that every system has");
    assert!(status.success(), "{command:?} ended with {status}");
}

fn files_below(folder: &Path, prefix: &str, paths: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files_below(&entry.path(), &format!("{name}/"), paths);
        } else {
            paths.push(name);
        }
    }
}
