//! What all ways have in common: the server with the data, the destination, and the link to it.

use super::link::{FAR, Link};
use super::{PATH, THREADS};
use crate::data::{DATABASES, Keys, make_lopsided_data};
use crate::error::BenchError;
use crate::tree::{Tree, follow_tree};
use mykeeper_e2e::{Binary, MariaDb, MariaDbOptions, RsyncDaemon, Surroundings, Workspace, secret_text};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The jobs, by what their files are.
pub(super) const GZIP_JOB: &str = "away-gzip";
pub(super) const ZSTD_JOB: &str = "away-zstd";
/// What is dumped, as mydumper takes it.
pub(super) const DATABASES_REGEX: &str = r"^bench_[0-9]+\.";
/// Of a link: an Ethernet frame carries so much less than it weighs.
const FRAME_BYTES: u64 = 1514;
const PAYLOAD_BYTES: u64 = 1448;
/// The server's memory: the data lie in it, as in one that has long been at work.
const POOL_MB: std::ops::RangeInclusive<u32> = 256..=8_192;

/// In the order in which it is taken down.
pub(super) struct Scene {
    pub(super) workspace: Workspace,
    pub(super) vault: RsyncDaemon,
    pub(super) server: MariaDb,
    /// `None` where namespaces cannot be had: the destination is on loopback.
    pub(super) link: Option<Link>,
    /// No single program takes longer.
    pub(super) limit: Duration,
}

impl Scene {
    /// With so much data.
    pub(super) fn new(size_mb: u32, keys: Keys) -> Result<Self, BenchError> {
        let pool = size_mb
            .saturating_mul(3)
            .div_ceil(2)
            .clamp(*POOL_MB.start(), *POOL_MB.end());
        let server = MariaDb::start_with(MariaDbOptions {
            extra: vec![
                format!("--innodb-buffer-pool-size={pool}M"),
                "--innodb-log-file-size=256M".to_owned(),
            ],
            ..MariaDbOptions::default()
        });
        make_lopsided_data(&server, size_mb, keys);
        let link = Link::new();
        let password = secret_text("vault");
        let vault = link.as_ref().map_or_else(
            || RsyncDaemon::start(&password),
            |link| RsyncDaemon::start_at(FAR, &password, link.far()),
        );
        let mut workspace = Workspace::new();
        workspace.surround(Surroundings {
            through: link.as_ref().map(Link::near).unwrap_or_default(),
            variables: Vec::new(),
        });
        let keeper = [
            workspace.server("bench", &server, &secret_text("bench")),
            workspace.destination("vault", &vault.url(vault.port(), "mykeeper"), &password),
            // All else as it comes.
            format!(
                "[sandbox]\ndirectory = \"{}\"\n",
                workspace.at("sandbox").display()
            ),
        ];
        workspace.write_keeper(&keeper.concat());
        workspace.write_schedule(&format!(
            "{}{}",
            job(GZIP_JOB, ""),
            job(ZSTD_JOB, "compression = \"zstd\"\n")
        ));
        let scene = Self {
            workspace,
            vault,
            server,
            link,
            limit: Duration::from_secs(300 + u64::from(size_mb) / 2),
        };
        // What is made once for good is no part of a backup.
        scene.run(scene.mykeeper(&["catalog", "migrate"]), |_| {})?;
        Ok(scene)
    }

    /// Runs a program to its end.
    pub(super) fn run(&self, command: Command, look: impl FnMut(Duration)) -> Result<Tree, BenchError> {
        follow_tree(command, &[0], self.limit, look)
    }

    /// A program at the near end of the link.
    pub(super) fn command(&self, program: &str) -> Command {
        let through = self.link.as_ref().map(Link::near).unwrap_or_default();
        let mut command = match through.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command.env_clear().env("PATH", PATH);
        command
    }

    /// The binary, at the near end.
    pub(super) fn mykeeper(&self, words: &[&str]) -> Command {
        let program = Binary::find().within(Surroundings {
            through: self.link.as_ref().map(Link::near).unwrap_or_default(),
            variables: Vec::new(),
        });
        let mut command = program.command(&self.workspace.config());
        command.args(words);
        command
    }

    /// A destination for rsync, below the module.
    pub(super) fn destination(&self, folder: &str) -> String {
        self.vault.url(self.vault.port(), folder)
    }

    /// Of the destination.
    pub(super) fn password_file(&self) -> PathBuf {
        self.workspace.at("vault.password")
    }

    /// mydumper on all of the data, into a folder that is not there yet.
    pub(super) fn dump(&self, into: &Path, more: &[&str]) -> Result<Tree, BenchError> {
        let mut command = self.command("mydumper");
        command
            .args([
                "--user=root",
                "--triggers",
                "--events",
                "--routines",
                "--verbose=3",
            ])
            .arg(format!("--regex={DATABASES_REGEX}"))
            .arg(format!("--threads={THREADS}"))
            .arg(format!("--socket={}", self.server.socket().display()))
            .arg(format!("--outputdir={}", into.display()))
            .args(more);
        self.run(command, |_| {})
    }

    /// How many bits a second the link has on which it takes as long to send what `mydumper -c` makes as it takes
    /// to make it. Measured once after it was done once.
    pub(super) fn fitting_rate(&self) -> Result<u64, BenchError> {
        let dir = self.workspace.at("rate");
        let mut rate = 0;
        for _ in 0..2 {
            let dump = self.dump(&dir, &["--compress"])?;
            let bytes: u64 = sizes(&dir).values().sum();
            rate = rate_for(bytes, dump.wall);
            remove(&dir)?;
        }
        Ok(rate)
    }

    /// As if nothing had been done before: the destination is empty, and nothing waits to be written.
    pub(super) fn clear(&self) -> Result<(), BenchError> {
        for entry in std::fs::read_dir(self.vault.vault()).map_err(BenchError::io("list the destination"))? {
            remove(&entry.map_err(BenchError::io("list the destination"))?.path())?;
        }
        let folder =
            std::fs::File::open(self.vault.vault()).map_err(BenchError::io("open the destination"))?;
        rustix::fs::syncfs(folder).map_err(|error| BenchError::Io {
            act: "sync the disk",
            source: error.into(),
        })
    }
}

fn job(name: &str, more: &str) -> String {
    format!(
        "[backup.{name}]\ncron = \"@yearly\"\nserver = \"bench\"\ndatabases = [\"bench_%\"]\n\
         directory = \"{{sets}}\"\ntransfer_to = \"vault\"\n{more}\n"
    )
}

fn rate_for(bytes: u64, time: Duration) -> u64 {
    let frames = bytes.div_ceil(PAYLOAD_BYTES) * FRAME_BYTES;
    (frames as f64 * 8.0 / time.as_secs_f64().max(0.001)) as u64
}

/// Every file below a folder, by its path there, with its bytes.
pub(super) fn sizes(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.metadata() {
                Ok(is) if is.is_dir() => open.push(path),
                Ok(is) => {
                    if let Ok(relative) = path.strip_prefix(folder) {
                        found.insert(relative.to_path_buf(), is.len());
                    }
                }
                // Renamed or removed meanwhile.
                Err(_) => {}
            }
        }
    }
    found
}

/// A file or a folder with all in it.
pub(super) fn remove(path: &Path) -> Result<(), BenchError> {
    let removed = if path.is_dir() {
        std::fs::remove_dir_all(path)
    } else {
        std::fs::remove_file(path)
    };
    removed.map_err(BenchError::io("remove what was measured"))
}

/// What the data are, for the table's head.
pub(super) fn describe(scene: &Scene, (size_mb, keys): (u32, Keys)) -> String {
    let keys = match keys {
        Keys::Primary => "primary keys alone",
        Keys::Several => "several keys each",
    };
    let place = if scene.link.is_some() {
        "two network namespaces"
    } else {
        "loopback: no namespace can be had here, so no limit and no count of bytes"
    };
    format!(
        "{size_mb} MB in {DATABASES} databases, one table of 40 %, {keys}; destination: an rsync daemon, over {place}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_leaves_room_for_what_frames_weigh() {
        let second = Duration::from_secs(1);
        assert_eq!(rate_for(1_448_000, second), 1_514_000 * 8);
        assert_eq!(rate_for(1_448_000, 2 * second), 1_514_000 * 4);
    }

    #[test]
    fn files_are_found_in_folders_of_any_depth() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("day/set")).unwrap();
        std::fs::write(dir.path().join("day/set/metadata"), "Started").unwrap();
        let found = sizes(dir.path());
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [("day/set/metadata".into(), 7)]
        );
    }
}
