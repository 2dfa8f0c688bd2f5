//! Files of a set that go ahead while the others are dumped, and the removal of those whose set never became complete.

use super::argv::Way;
use super::exit::failure;
use super::output::Stats;
use super::place::{make_folders, place_ahead};
use super::private::{password_file, private_folder};
use super::run_rsync;
use super::send::{SendOutcome, SendRequest};
use super::waiting::blocking;
use crate::blocking::ANSWERS_WITHIN;
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::pipeline::FinishedFile;
use crate::room::room_of;
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::manifest::MANIFEST_FILE;
use mykeeper_supervise::Exit;
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;

/// Left free in a folder on this machine: the set itself is refused where it does not fit, once its size is known.
const LEFT_FREE_BYTES: u64 = 64 << 20;

/// Files that go ahead together.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Below the set's folder.
    pub files: &'a [FinishedFile],
    /// Left free beside them in a folder on this machine, for what else is written there meanwhile.
    pub keep_free_bytes: u64,
}

/// What became of what had gone ahead of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// It was there, and is not any more.
    Removed,
    /// Nothing was there.
    Nothing,
    /// A manifest lies there: that is a whole set, and nothing was touched.
    Whole,
}

/// Where what goes ahead of a set lies; for people, without secrets.
pub fn ahead_target(destination: &Destination, relative: &str) -> String {
    let below = place_ahead(destination, relative);
    match &destination.url {
        DestinationUrl::Local { path } => path.join(below).display().to_string(),
        url => format!("{}/{below}", url.to_string().trim_end_matches('/')),
    }
}

/// Makes the folder that files go ahead to, these first.
///
/// # Errors
/// The destination cannot be reached, lets nothing be made, is the set's own folder, or has no room.
pub async fn make_way(
    request: SendRequest<'_>,
    first: Batch<'_>,
    env: &ToolEnv<'_>,
) -> Result<(), ToolError> {
    check_room(&request, first).await?;
    if let DestinationUrl::Local { path } = &request.destination.url {
        let (own, there) = (request.set_dir.to_owned(), path.join(request.relative));
        let is_own = move || Ok::<_, ToolError>(there.canonicalize().is_ok_and(|there| there == own));
        if blocking(("look at", path), ANSWERS_WITHIN, env, is_own).await? {
            return Err(refused(format!(
                "cannot send {} to {}: it lies there already",
                request.set_dir.display(),
                request.destination.name
            )));
        }
    }
    let call = Call::open(request)?;
    let below = place_ahead(request.destination, request.relative);
    let what = (below.as_str(), act(&request, "send finished files of"));
    make_folders(&call.way, what, request.private_dir, (request.limits, env)).await
}

/// Sends these files of a set, in one call of rsync, to the folder that [`make_way`] has made.
///
/// # Errors
/// The message says what failed. Files that have arrived stay, and a cut one is gone on with.
pub async fn send_ahead(
    request: SendRequest<'_>,
    batch: Batch<'_>,
    env: &ToolEnv<'_>,
) -> Result<SendOutcome, ToolError> {
    let act = act(&request, "send finished files of");
    check_room(&request, batch).await?;
    let call = Call::open(request)?;
    let list = list_of(batch.files, request.private_dir)?;
    let below = place_ahead(request.destination, request.relative);
    let args = call.way.send_listed_argv(request.set_dir, list.path(), &below);
    let mut stats = Stats::default();
    let limits = request.limits.clone();
    let ended = run_rsync(request.info, args, limits, env, &mut |line| stats.take(line)).await?;
    if ended.exit != Exit::Success {
        return Err(failure(&act, &ended));
    }
    Ok(SendOutcome {
        sent_bytes: stats.sent_bytes.unwrap_or(0),
        files: stats.files.unwrap_or(0),
        target: ahead_target(request.destination, request.relative),
    })
}

/// Removes what went ahead of a set, unless a manifest lies there. Where nothing lies, nothing happens: no folder is made.
///
/// # Errors
/// The destination cannot be reached, does not let it be removed, or something of it is still there afterwards.
pub async fn clear_ahead(request: SendRequest<'_>, env: &ToolEnv<'_>) -> Result<Cleared, ToolError> {
    let below = place_ahead(request.destination, request.relative);
    let (day, name) = below.rsplit_once('/').unwrap_or(("", &below));
    // It is taken for a pattern.
    if name.is_empty() || name.contains(['*', '?', '[', '\\']) {
        return Err(refused(format!("cannot remove {below:?}: it is no set's name")));
    }
    if let DestinationUrl::Local { path } = &request.destination.url {
        let (root, place) = (path.clone(), path.join(&below));
        let looked = blocking(("look at", path), ANSWERS_WITHIN, env, move || {
            Ok::<_, ToolError>((root.is_dir(), place.symlink_metadata().is_ok()))
        });
        match looked.await? {
            (true, false) => return Ok(Cleared::Nothing),
            (true, true) => {}
            (false, _) => {
                return Err(ToolError::Failed {
                    message: format!("cannot look into {}: it is no folder", path.display()),
                    passing: true,
                });
            }
        }
    }
    let call = Call::open(request)?;
    let empty = private_folder(request.private_dir, "empty-")?;
    let removal = Removal {
        call: &call,
        request,
        empty: empty.path(),
        place: (day, name),
    };
    let there = match removal.run(true, env).await {
        Ok(there) => there,
        // It may refuse every removal, also that of nothing.
        Err(error) if !error.is_passing() => {
            return match removal.is_gone(env).await {
                Ok(true) => Ok(Cleared::Nothing),
                _ => Err(error),
            };
        }
        Err(error) => return Err(error),
    };
    match there {
        There { is_whole: true, .. } => return Ok(Cleared::Whole),
        There { is_any: false, .. } => return Ok(Cleared::Nothing),
        There { .. } => {}
    }
    removal.run(false, env).await?;
    // It ends with 0 also where a folder stays, since something in it is hidden from it.
    if removal.run(true, env).await?.is_any {
        return Err(refused(format!(
            "cannot {}: something in it stays",
            act(&request, REMOVE)
        )));
    }
    Ok(Cleared::Removed)
}

const REMOVE: &str = "remove what went ahead of";

/// One folder at a destination that is to go.
struct Removal<'a> {
    call: &'a Call<'a>,
    request: SendRequest<'a>,
    empty: &'a Path,
    /// The folder that it lies in, and its name.
    place: (&'a str, &'a str),
}

/// What is, or was, in it.
#[derive(Default)]
struct There {
    is_any: bool,
    is_whole: bool,
}

impl Removal<'_> {
    /// Removes it, or tells by a `rehearsal` what would be removed.
    async fn run(&self, rehearsal: bool, env: &ToolEnv<'_>) -> Result<There, ToolError> {
        let (day, name) = self.place;
        let args = self
            .call
            .way
            .delete_folder_argv(self.empty, (day, name), rehearsal);
        let manifest = format!("{name}/{MANIFEST_FILE}");
        let mut there = There::default();
        let ended = run_rsync(
            self.request.info,
            args,
            self.request.limits.clone(),
            env,
            &mut |line| {
                if let Some(path) = line.strip_prefix("*deleting ") {
                    there.is_any = true;
                    there.is_whole |= path.trim_start() == manifest;
                } else if line.starts_with("cannot delete ") {
                    there.is_any = true;
                }
            },
        )
        .await?;
        match ended.exit {
            Exit::Success => Ok(there),
            _ => Err(failure(&act(&self.request, REMOVE), &ended)),
        }
    }

    /// Whether the destination can be read, and has no such folder.
    async fn is_gone(&self, env: &ToolEnv<'_>) -> Result<bool, ToolError> {
        let (day, name) = self.place;
        let args = self.call.way.look_for_argv(day, name);
        let ending = format!(" {day}/{name}");
        let mut is_there = false;
        let ended = run_rsync(
            self.request.info,
            args,
            self.request.limits.clone(),
            env,
            &mut |line| is_there |= line.ends_with(&ending),
        )
        .await?;
        Ok(ended.exit == Exit::Success && !is_there)
    }
}

/// Of a destination that can be asked: a folder on this machine.
async fn check_room(request: &SendRequest<'_>, batch: Batch<'_>) -> Result<(), ToolError> {
    let DestinationUrl::Local { path } = &request.destination.url else {
        return Ok(());
    };
    let bytes: u64 = batch.files.iter().map(|file| file.size_bytes).sum();
    let kept = batch.keep_free_bytes.saturating_add(LEFT_FREE_BYTES);
    if room_of(path).await?.free_bytes >= bytes.saturating_add(kept) {
        return Ok(());
    }
    Err(ToolError::Failed {
        message: format!(
            "cannot {}: {} MiB and what they need are not free in {}",
            act(request, "send finished files of"),
            kept >> 20,
            path.display()
        ),
        passing: true,
    })
}

fn refused(message: String) -> ToolError {
    ToolError::Failed {
        message,
        passing: false,
    }
}

fn act(request: &SendRequest<'_>, verb: &str) -> String {
    let preposition = if verb.starts_with("send") { "to" } else { "at" };
    format!(
        "{verb} set {} {preposition} {}",
        request.relative, request.destination.name
    )
}

/// One call's way, with the password's file for as long as it lives.
struct Call<'a> {
    way: Way<'a>,
    _password: Option<NamedTempFile>,
}

impl<'a> Call<'a> {
    fn open(request: SendRequest<'a>) -> Result<Self, ToolError> {
        let password = password_file(request.destination, request.password, request.private_dir)?;
        let way = Way {
            info: request.info,
            destination: request.destination,
            ssh_program: request.ssh_program,
            password_file: password.as_ref().map(|file| file.path().to_owned()),
            stall: request.limits.stall,
        };
        way.check()?;
        Ok(Self {
            way,
            _password: password,
        })
    }
}

fn list_of(files: &[FinishedFile], private_dir: &Path) -> Result<NamedTempFile, ToolError> {
    let fail = |source| ToolError::Io {
        action: "create",
        path: private_dir.to_owned(),
        source,
    };
    let mut list = tempfile::Builder::new()
        .prefix("ahead-")
        .tempfile_in(private_dir)
        .map_err(fail)?;
    let names: Vec<u8> = files
        .iter()
        .flat_map(|file| file.path.bytes().chain(std::iter::once(0)))
        .collect();
    list.write_all(&names).and_then(|()| list.flush()).map_err(fail)?;
    Ok(list)
}
