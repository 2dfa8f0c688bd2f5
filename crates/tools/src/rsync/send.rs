//! Sending a set, and comparing what arrived.

use super::argv::Way;
use super::exit::failure;
use super::output::{Stats, parse_itemized, parse_progress};
use super::{RsyncInfo, run_rsync};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::log::Progress;
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::manifest::MANIFEST_FILE;
use mykeeper_supervise::{Exit, Limits};
use secrecy::{ExposeSecret, SecretString};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use tempfile::{NamedTempFile, TempDir};

/// How many differing files are named.
const MAX_NAMED: usize = 100;
/// The slowest disk that is not yet called stalled while it reads one file for its checksum.
const CHECKSUM_BYTES_PER_SECOND: u64 = 20 * 1024 * 1024;

/// A set and where it goes.
#[derive(Clone, Copy, Debug)]
pub struct SendRequest<'a> {
    /// The installed rsync.
    pub info: &'a RsyncInfo,
    /// ssh, for a destination that needs it.
    pub ssh_program: &'a Path,
    /// Where to.
    pub destination: &'a Destination,
    /// The daemon's password.
    pub password: Option<&'a SecretString>,
    /// The set's folder.
    pub set_dir: &'a Path,
    /// `<YYYY-MM-DD>/<bk_id>`: the set's place below the destination.
    pub relative: &'a str,
    /// A folder that only we can read, for the password's file.
    pub private_dir: &'a Path,
    /// For each call of rsync. While an rsync reads for checksums it says nothing: the stall limit is extended by
    /// what the largest file takes, and where all are compared, by what all take, since rsync reads a whole folder
    /// before it says the first word of it.
    pub limits: &'a Limits,
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendOutcome {
    /// Bytes that went over the wire, by all calls of rsync.
    pub sent_bytes: u64,
    /// Files that this call had to send; those that had arrived before are not among them.
    pub files: u64,
    /// Where the set now lies, without secrets.
    pub target: String,
}

/// Sends a set, its manifest last, and compares it by checksum with what arrived.
///
/// A file that differs although size and time agree is sent again once.
///
/// # Errors
/// The message says what failed; [`ToolError::is_passing`] whether another attempt may help.
pub async fn send_set(request: SendRequest<'_>, env: &ToolEnv<'_>) -> Result<SendOutcome, ToolError> {
    let session = Session::open(request, env)?;
    session.make_folders().await?;
    let mut total = Stats::default();
    total = session.send(&[], total).await?;
    let mut differing = session.compare().await?;
    if !differing.is_empty() {
        env.log.line(
            "mykeeper",
            &format!(
                "sent again, as they differ at the destination: {}",
                differing.join(", ")
            ),
        );
        total = session.send(&["--checksum"], total).await?;
        differing = session.compare().await?;
    }
    if let Some(first) = differing.first() {
        let more = differing.len() - 1;
        let more = if more == 0 {
            String::new()
        } else {
            format!(" and {more} more")
        };
        return Err(ToolError::Failed {
            message: format!(
                "cannot {}: {first}{more} still differs there after it was sent",
                session.act("send")
            ),
            passing: true,
        });
    }
    Ok(SendOutcome {
        sent_bytes: total.sent_bytes.unwrap_or(0),
        files: total.files.unwrap_or(0),
        target: session.target_text(),
    })
}

/// Compares a set with what lies at its destination, by checksum; changes nothing.
///
/// Yields the files that differ or are missing there, at most 100 of them.
///
/// # Errors
/// The comparison could not be made.
pub async fn verify_set(request: SendRequest<'_>, env: &ToolEnv<'_>) -> Result<Vec<String>, ToolError> {
    Session::open(request, env)?.compare().await
}

/// One destination, with the password's file at hand for as long as it lives.
struct Session<'a> {
    request: SendRequest<'a>,
    env: &'a ToolEnv<'a>,
    way: Way<'a>,
    limits: Limits,
    /// The same with the limits of an rsync that reads everything.
    reading: (Way<'a>, Limits),
    total_bytes: u64,
    _password: Option<NamedTempFile>,
}

impl<'a> Session<'a> {
    fn open(request: SendRequest<'a>, env: &'a ToolEnv<'a>) -> Result<Self, ToolError> {
        let below = Path::new(request.relative);
        let is_plain = below
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if request.relative.is_empty() || !is_plain {
            return Err(ToolError::Failed {
                message: format!(
                    "cannot send to {:?}: a plain relative path is needed",
                    request.relative
                ),
                passing: false,
            });
        }
        let (total_bytes, largest) = folder_sizes(request.set_dir)?;
        let limits = with_reading_time(request.limits, largest);
        let password = password_file(request.destination, request.password, request.private_dir)?;
        let way = Way {
            info: request.info,
            destination: request.destination,
            ssh_program: request.ssh_program,
            password_file: password.as_ref().map(|file| file.path().to_owned()),
            stall: limits.stall,
        };
        way.check()?;
        let reading = with_reading_time(request.limits, total_bytes);
        let reading_way = Way {
            stall: reading.stall,
            ..way.clone()
        };
        if let DestinationUrl::Local { path } = &request.destination.url {
            let same = |a: &Path, b: &Path| matches!((std::fs::canonicalize(a), std::fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b);
            if same(&path.join(below), request.set_dir) {
                return Err(ToolError::Failed {
                    message: format!(
                        "cannot send {} to {}: it lies there already",
                        request.set_dir.display(),
                        request.destination.name
                    ),
                    passing: false,
                });
            }
        }
        Ok(Self {
            request,
            env,
            way,
            limits,
            reading: (reading_way, reading),
            total_bytes,
            _password: password,
        })
    }

    fn act(&self, verb: &str) -> String {
        format!(
            "{verb} set {} to {}",
            self.request.relative, self.request.destination.name
        )
    }

    fn target_text(&self) -> String {
        self.way
            .target(self.request.relative)
            .to_string_lossy()
            .trim_end_matches('/')
            .to_owned()
    }

    /// Makes the folders that lead to the set's place.
    async fn make_folders(&self) -> Result<(), ToolError> {
        if let DestinationUrl::Local { path } = &self.request.destination.url {
            // A file system that is not mounted must not be filled in its mount point's place.
            if !path.is_dir() {
                return Err(ToolError::Failed {
                    message: format!("cannot {}: {} is no folder", self.act("send"), path.display()),
                    passing: false,
                });
            }
            let folder = path.join(self.request.relative);
            return std::fs::create_dir_all(&folder).map_err(|source| ToolError::Io {
                action: "create",
                path: folder,
                source,
            });
        }
        let skeleton = private_folder(self.request.private_dir, "skeleton-")?;
        let folder = skeleton
            .path()
            .join(self.way.root().1)
            .join(self.request.relative);
        std::fs::create_dir_all(&folder).map_err(|source| ToolError::Io {
            action: "create",
            path: folder,
            source,
        })?;
        let args = self.way.make_folders_argv(skeleton.path());
        self.run(args, &self.limits, &mut |_| {}).await
    }

    /// Sends everything, then the manifest.
    async fn send(&self, more: &[&str], mut total: Stats) -> Result<Stats, ToolError> {
        let with = |mut args: Vec<OsString>| {
            args.splice(0..0, more.iter().map(OsString::from));
            args
        };
        let SendRequest {
            set_dir, relative, ..
        } = self.request;
        let (way, limits) = if more.is_empty() {
            (&self.way, &self.limits)
        } else {
            (&self.reading.0, &self.reading.1)
        };
        let mut stats = Stats::default();
        let mut last = None;
        self.run(
            with(way.send_argv(set_dir, relative, MANIFEST_FILE)),
            limits,
            &mut |line| {
                if let Some(done_bytes) = parse_progress(line) {
                    if last != Some(done_bytes) {
                        last = Some(done_bytes);
                        let total_bytes = Some(self.total_bytes);
                        self.env.log.progress(Progress {
                            phase: "transfer",
                            done_bytes,
                            total_bytes,
                        });
                    }
                } else {
                    stats.take(line);
                }
            },
        )
        .await?;
        add(&mut total, stats);
        let manifest = set_dir.join(MANIFEST_FILE);
        if manifest.is_file() {
            let mut stats = Stats::default();
            let args = with(way.send_file_argv(&manifest, relative));
            self.run(args, limits, &mut |line| stats.take(line)).await?;
            add(&mut total, stats);
        }
        Ok(total)
    }

    async fn compare(&self) -> Result<Vec<String>, ToolError> {
        let SendRequest {
            set_dir, relative, ..
        } = self.request;
        let progress = Progress {
            phase: "verify",
            done_bytes: 0,
            total_bytes: Some(self.total_bytes),
        };
        self.env.log.progress(progress);
        let mut differing = Vec::new();
        let (way, limits) = &self.reading;
        let args = way.verify_argv(set_dir, relative);
        let ended = run_rsync(self.request.info, args, limits.clone(), self.env, &mut |line| {
            if let Some(name) = parse_itemized(line)
                && differing.len() < MAX_NAMED
            {
                differing.push(name.to_owned());
            }
        })
        .await?;
        if ended.exit != Exit::Success {
            return Err(failure(&self.act("compare").replace(" to ", " with "), &ended));
        }
        Ok(differing)
    }

    async fn run(
        &self,
        args: Vec<OsString>,
        limits: &Limits,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), ToolError> {
        let ended = run_rsync(self.request.info, args, limits.clone(), self.env, on_line).await?;
        if ended.exit == Exit::Success {
            Ok(())
        } else {
            Err(failure(&self.act("send"), &ended))
        }
    }
}

fn add(total: &mut Stats, more: Stats) {
    let sum = |a: Option<u64>, b: Option<u64>| Some(a.unwrap_or(0) + b.unwrap_or(0));
    total.files = sum(total.files, more.files);
    total.sent_bytes = sum(total.sent_bytes, more.sent_bytes);
}

/// Our own copy of the password, 0600, for as long as the handle lives.
///
/// A daemon that asks for a user always gets one: without it rsync would ask the terminal, and wait.
pub(super) fn password_file(
    destination: &Destination,
    password: Option<&SecretString>,
    private_dir: &Path,
) -> Result<Option<NamedTempFile>, ToolError> {
    let DestinationUrl::Daemon { user, .. } = &destination.url else {
        return Ok(None);
    };
    if password.is_none() && user.is_none() {
        return Ok(None);
    }
    let fail = |source| ToolError::Io {
        action: "create",
        path: private_dir.to_owned(),
        source,
    };
    let mut file = tempfile::Builder::new()
        .prefix("rsync-password-")
        .tempfile_in(private_dir)
        .map_err(fail)?;
    let text = password.map_or("none", |password| password.expose_secret());
    writeln!(file, "{text}")
        .and_then(|()| file.flush())
        .map_err(fail)?;
    Ok(Some(file))
}

/// A folder of our own that is removed when the handle goes.
pub(super) fn private_folder(private_dir: &Path, prefix: &str) -> Result<TempDir, ToolError> {
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(private_dir)
        .map_err(|source| ToolError::Io {
            action: "create",
            path: private_dir.to_owned(),
            source,
        })
}

/// The limits, with time for either end to read so much for its checksums.
fn with_reading_time(limits: &Limits, bytes: u64) -> Limits {
    let reading = Duration::from_secs(bytes / CHECKSUM_BYTES_PER_SECOND);
    Limits {
        stall: limits.stall.map(|stall| stall + reading),
        ..limits.clone()
    }
}

/// Bytes of all files below `folder`, and of the largest.
fn folder_sizes(folder: &Path) -> Result<(u64, u64), ToolError> {
    let fail = |path: &Path, source| ToolError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    let (mut total, mut largest) = (0, 0);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|source| fail(&folder, source))? {
            let entry = entry.map_err(|source| fail(&folder, source))?;
            let kind = entry.file_type().map_err(|source| fail(&folder, source))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = entry.metadata().map_err(|source| fail(&folder, source))?.len();
                total += bytes;
                largest = bytes.max(largest);
            }
        }
    }
    Ok((total, largest))
}
