//! Sending a set, and comparing what arrived.

use super::argv::Way;
use super::exit::failure;
use super::lasting::make_last;
use super::look::{Seen, look_at, missing};
use super::original::{Halt, Original};
use super::output::{Stats, parse_itemized, parse_progress, unescape};
use super::place::{arriving_at, give_name, make_folders, place_ahead, remove_ahead};
use super::private::password_file;
use super::waiting::{blocking, walked_within};
use super::{RsyncInfo, run_rsync};
use crate::blocking::ANSWERS_WITHIN;
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::log::Progress;
use crate::room::room_of;
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::manifest::MANIFEST_FILE;
use mykeeper_supervise::{Exit, Limits};
use secrecy::SecretString;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::NamedTempFile;

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

/// What became of a set that was to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// All of it is there and equal.
    Arrived(SendOutcome),
    /// The local set is not what its manifest lists: what lies at the destination was left as it is, but for files
    /// that were missing there. The text is a whole message; another attempt does not help.
    OriginalDamaged(String),
}

/// What comparing a copy told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The copy is as the set.
    Equal,
    /// These differ or are missing in the copy, at most 100 of them; the originals are as the manifest lists them.
    CopyDiffers(Vec<String>),
    /// The local set is not what its manifest lists, and nothing is said of the copy. The text is a whole message.
    OriginalDamaged(String),
}

/// Sends a set, `metadata` and its manifest last, and compares it by checksum with what arrived.
///
/// A set that has a manifest is compared with it first, by names and sizes. A file that differs from the one that
/// lies at the destination already takes its place only when it is the one that the manifest lists, by its digest.
///
/// # Errors
/// The message says what failed; [`ToolError::is_passing`] whether another attempt may help.
pub async fn send_set(request: SendRequest<'_>, env: &ToolEnv<'_>) -> Result<Delivery, ToolError> {
    match deliver(request, env).await {
        Ok(outcome) => Ok(Delivery::Arrived(outcome)),
        Err(Halt::Damaged(fault)) => Ok(Delivery::OriginalDamaged(damaged(&request, "send", &fault))),
        Err(Halt::Tool(error)) => Err(error),
    }
}

async fn deliver(request: SendRequest<'_>, env: &ToolEnv<'_>) -> Result<SendOutcome, Halt> {
    let mut session = Session::open(request, env).await?;
    session.check_room().await?;
    if session.original.is_some() {
        session.place = arriving_at((request.destination, request.relative), env).await?;
    }
    session.make_folders().await?;
    let mut total = Stats::default();
    // What is there already may be the last good copy: the comparison looks at it before anything takes its place.
    let first: &[&str] = if session.original.is_some() {
        &["--ignore-existing"]
    } else {
        &[]
    };
    total = session.send(first, total).await?;
    session.make_last().await?;
    let mut differing = session.compare().await?;
    if !differing.is_empty() {
        session.check_original(&differing).await?;
        let more = differing.len().saturating_sub(MAX_NAMED);
        let more = if more == 0 {
            String::new()
        } else {
            format!(" and {more} more")
        };
        let named = &differing[..differing.len().min(MAX_NAMED)];
        env.log.line(
            "mykeeper",
            &format!(
                "sending again what differs at the destination: {}{more}",
                named.join(", ")
            ),
        );
        total = session.send(&["--checksum"], total).await?;
        session.make_last().await?;
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
        }
        .into());
    }
    give_name((request.destination, request.relative), &session.place, env).await?;
    Ok(SendOutcome {
        sent_bytes: total.sent_bytes.unwrap_or(0),
        files: total.files.unwrap_or(0),
        target: session.target_text(),
    })
}

/// Compares a set with what lies at its destination, by checksum; changes nothing.
///
/// # Errors
/// The comparison could not be made.
pub async fn verify_set(request: SendRequest<'_>, env: &ToolEnv<'_>) -> Result<Comparison, ToolError> {
    let compared = async {
        let session = Session::open(request, env).await?;
        let differing = session.compare().await?;
        session.check_original(&differing).await?;
        Ok(differing)
    };
    match compared.await {
        Ok(differing) if differing.is_empty() => Ok(Comparison::Equal),
        Ok(mut differing) => {
            differing.truncate(MAX_NAMED);
            Ok(Comparison::CopyDiffers(differing))
        }
        Err(Halt::Damaged(fault)) => Ok(Comparison::OriginalDamaged(damaged(&request, "compare", &fault))),
        Err(Halt::Tool(error)) => Err(error),
    }
}

fn damaged(request: &SendRequest<'_>, verb: &str, fault: &str) -> String {
    let with = if verb == "compare" { "with" } else { "to" };
    format!(
        "cannot {verb} set {} {with} {}: the original is damaged: {fault}",
        request.relative, request.destination.name
    )
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
    /// Where it is written, below the destination: under the set's own name, or one that says that it is arriving.
    place: String,
    /// `None` for a set without a manifest.
    original: Option<Arc<Original>>,
    _password: Option<NamedTempFile>,
}

impl<'a> Session<'a> {
    async fn open(request: SendRequest<'a>, env: &'a ToolEnv<'a>) -> Result<Self, Halt> {
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
            }
            .into());
        }
        let set_dir = request.set_dir.to_owned();
        let there = match &request.destination.url {
            DestinationUrl::Local { path } => Some(path.join(below)),
            _ => None,
        };
        let there = match there {
            Some(there) => real_path(there, env).await?,
            None => None,
        };
        let walking = walked_within(request.limits);
        let seen = blocking(("read", request.set_dir), walking, env, move || {
            look_at(&set_dir, there.as_deref())
        })
        .await?;
        if seen.lies_there {
            return Err(ToolError::Failed {
                message: format!(
                    "cannot send {} to {}: it lies there already",
                    request.set_dir.display(),
                    request.destination.name
                ),
                passing: false,
            }
            .into());
        }
        let Seen {
            total_bytes, largest, ..
        } = seen;
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
        Ok(Self {
            request,
            env,
            way,
            limits,
            reading: (reading_way, reading),
            total_bytes,
            place: request.relative.to_owned(),
            original: seen.original.map(Arc::new),
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

    /// Refuses a set that does not fit into a destination that can be asked: a folder on this machine.
    async fn check_room(&self) -> Result<(), ToolError> {
        let DestinationUrl::Local { path } = &self.request.destination.url else {
            return Ok(());
        };
        let (set_dir, there) = (self.request.set_dir.to_owned(), path.join(self.request.relative));
        let ahead = path.join(place_ahead(self.request.destination, self.request.relative));
        let walking = walked_within(self.request.limits);
        let need = blocking(("look at", path), walking, self.env, {
            let ahead = ahead.clone();
            move || {
                let place = if there.is_dir() { there } else { ahead };
                missing(&set_dir, &place)
            }
        })
        .await?;
        // That it is not there is said when its folders are made.
        let Ok(room) = room_of(path).await else {
            return Ok(());
        };
        match need.shortage(&room, 0, path) {
            None => Ok(()),
            Some(shortage) => {
                let removed = blocking(("remove a set from", path), walking, self.env, move || {
                    Ok::<_, ToolError>(remove_ahead(&ahead))
                })
                .await?;
                Err(ToolError::Failed {
                    message: format!(
                        "cannot {}: there is no room for it: it {shortage}; {removed}make room there",
                        self.act("send")
                    ),
                    passing: false,
                })
            }
        }
    }

    /// Makes the folders that lead to the set's place.
    async fn make_folders(&self) -> Result<(), ToolError> {
        let what = (self.place.as_str(), self.act("send"));
        let with = (&self.limits, self.env);
        make_folders(&self.way, what, self.request.private_dir, with).await
    }

    /// Makes what has arrived outlast a power cut, where that is ours to do: in a folder on this machine. Before it is
    /// compared, so that the comparison sees what a disk that fails has made of it.
    async fn make_last(&self) -> Result<(), ToolError> {
        let DestinationUrl::Local { path } = &self.request.destination.url else {
            return Ok(());
        };
        make_last((path, &path.join(&self.place)), &self.limits, self.env).await
    }

    /// Whether the originals of what differs at the destination are those that the manifest lists.
    async fn check_original(&self, differing: &[String]) -> Result<(), Halt> {
        let Some(original) = self.original.clone().filter(|_| !differing.is_empty()) else {
            return Ok(());
        };
        let stop = self.env.cancel.child_token();
        // Also when this future is given up.
        let _guard = stop.clone().drop_guard();
        let differing = differing.to_vec();
        let about = ("read", self.request.set_dir);
        let check = blocking(about, Duration::MAX, self.env, move || {
            original.check(&differing, &stop)
        });
        let limit = self.limits.timeout.unwrap_or(Duration::MAX);
        let result = tokio::time::timeout(limit, check).await;
        if self.env.cancel.is_cancelled() {
            return Err(ToolError::Cancelled {
                program: "rsync".to_owned(),
            }
            .into());
        }
        result.unwrap_or_else(|_| {
            Err(ToolError::TimedOut {
                program: "rsync".to_owned(),
                after: limit,
            }
            .into())
        })
    }

    /// Sends everything, then what says that it is all: mydumper's `metadata`, and the manifest.
    async fn send(&self, more: &[&str], mut total: Stats) -> Result<Stats, ToolError> {
        let with = |mut args: Vec<OsString>| {
            args.splice(0..0, more.iter().map(OsString::from));
            args
        };
        let (set_dir, relative) = (self.request.set_dir, self.place.as_str());
        let (way, limits) = if more.contains(&"--checksum") {
            (&self.reading.0, &self.reading.1)
        } else {
            (&self.way, &self.limits)
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
        let mut stats = Stats::default();
        let args = with(way.send_metadata_argv(set_dir, relative));
        self.run(args, limits, &mut |line| stats.take(line)).await?;
        add(&mut total, stats);
        let manifest = set_dir.join(MANIFEST_FILE);
        if self.original.is_some() {
            let mut stats = Stats::default();
            let args = with(way.send_file_argv(&manifest, relative));
            self.run(args, limits, &mut |line| stats.take(line)).await?;
            add(&mut total, stats);
        }
        Ok(total)
    }

    async fn compare(&self) -> Result<Vec<String>, ToolError> {
        let (set_dir, relative) = (self.request.set_dir, self.place.as_str());
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
                // What is listed is known to be bounded, and all of it has to be looked at.
                && (self.original.is_some() || differing.len() < MAX_NAMED)
            {
                differing.push(unescape(name));
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

/// Where a folder of a destination really lies; `None` where it is not there.
async fn real_path(folder: PathBuf, env: &ToolEnv<'_>) -> Result<Option<PathBuf>, ToolError> {
    let asked = folder.clone();
    blocking(("look at", &folder), ANSWERS_WITHIN, env, move || {
        Ok(asked.canonicalize().ok())
    })
    .await
}

fn add(total: &mut Stats, more: Stats) {
    let sum = |a: Option<u64>, b: Option<u64>| Some(a.unwrap_or(0) + b.unwrap_or(0));
    total.files = sum(total.files, more.files);
    total.sent_bytes = sum(total.sent_bytes, more.sent_bytes);
}

/// The limits, with time for either end to read so much for its checksums.
fn with_reading_time(limits: &Limits, bytes: u64) -> Limits {
    let reading = Duration::from_secs(bytes / CHECKSUM_BYTES_PER_SECOND);
    Limits {
        stall: limits.stall.map(|stall| stall + reading),
        ..limits.clone()
    }
}
