//! The mydumpers of a dump, one after another.

mod folder;
mod tail;

use super::collect::{Collected, Collector, Packers, is_exhausted, watch};
use super::detect::INSTALL_HINT;
use super::heard::{Heard, locked};
use super::lockup;
use super::long_queries;
use super::option_file::OptionFile;
use super::options::{CHUNK_OPTION, DumpOptions};
use super::plan::{DumpPlan, PartPlan};
use super::presence::{Presence, Watched};
use super::pressure::{LockSeen, Pressure};
use super::run::{DumpEnv, DumpRequest, PROGRAM};
use super::said::Said;
use crate::blocking::{ANSWERS_WITHIN, off_thread};
use crate::env::{ended_from_here, run_error};
use crate::error::ToolError;
use crate::pipeline::Crew;
use crate::room::room_of;
use folder::{clear, make_folder};
use mykeeper_domain::space::Room;
use mykeeper_supervise::{Activity, ChildSpec, Exit, Limits};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tail::Tail;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Begins the line of a set's command that says how mykeeper has compressed its files.
pub const PACKED_BY: &str = "# compressed by mykeeper: ";

/// How often a mydumper is started that locks itself up.
const LOCKUP_TRIES: u32 = 5;

/// What one mydumper left.
#[derive(Default)]
pub(super) struct PartRun {
    pub(super) collected: Collected,
    pub(super) said: Said,
    pub(super) exit: String,
    pub(super) success: bool,
    pub(super) ended: Option<ToolError>,
    pub(super) locked_up: bool,
    pub(super) lock_waited: Option<Duration>,
    pub(super) lock_held: Option<Duration>,
    /// What it left on the server, and what was done about it.
    pub(super) left: Vec<String>,
    /// As it was run, the last time if more than once.
    pub(super) args: Vec<String>,
}

/// What one mydumper is run with besides its plan.
#[derive(Clone)]
struct Course<'a> {
    limits: Limits,
    /// Of the parts before it, for the progress of the whole.
    bytes: u64,
    watched: Watched,
    options: &'a DumpOptions,
    /// Told when this mydumper has ended by itself, where it is the last.
    over: Option<&'a CancellationToken>,
}

/// One after another; when one was ended from here, those behind it are not started. `over` is cancelled when the last
/// has ended by itself: its last files may be yet to be read.
pub(super) async fn run_parts(
    request: &DumpRequest<'_>,
    env: &DumpEnv<'_>,
    options: &DumpOptions,
    ((plan, option_file), over): ((&DumpPlan, &OptionFile), &CancellationToken),
) -> Result<Vec<PartRun>, ToolError> {
    let started_at = Instant::now();
    let mut runs: Vec<PartRun> = Vec::new();
    let mut bytes = 0;
    for (number, part) in plan.parts.iter().enumerate() {
        let is_last = number + 1 == plan.parts.len();
        if env.cancel.is_cancelled() && !runs.is_empty() || runs.iter().any(|run| run.ended.is_some()) {
            runs.push(PartRun {
                exit: "not started".to_owned(),
                ..PartRun::default()
            });
            continue;
        }
        let outcome = async {
            if options.takes_lock() {
                long_queries::before_dump(request, env).await?;
            }
            let limits = left(&request.limits, started_at.elapsed());
            let watched = Watched {
                takes_lock: options.takes_lock(),
                budget: request.lock.budget,
                stall: limits.stall,
                is_silent: options.is_silent(),
            };
            let course = Course {
                limits,
                bytes,
                watched,
                options,
                over: is_last.then_some(over),
            };
            run_unlocked(request, env, (part, option_file), course).await
        };
        match outcome.await {
            Ok(run) => {
                bytes += run
                    .collected
                    .digests
                    .values()
                    .flatten()
                    .map(|file| match request.packing {
                        Some(_) => file.plain_bytes,
                        None => file.stamp.size_bytes,
                    })
                    .sum::<u64>();
                runs.push(run);
            }
            Err(error) if runs.is_empty() => return Err(error),
            Err(error) => runs.push(PartRun {
                exit: "not started".to_owned(),
                said: Said {
                    last_plain: Some(error.to_string()),
                    ..Said::default()
                },
                ended: Some(error),
                ..PartRun::default()
            }),
        }
    }
    for run in &mut runs {
        // The limit is the whole dump's, whatever was left of it for this part.
        if let (Some(ToolError::TimedOut { after, .. }), Some(whole)) =
            (&mut run.ended, request.limits.timeout)
        {
            *after = whole;
        }
    }
    Ok(runs)
}

fn left(limits: &Limits, elapsed: Duration) -> Limits {
    Limits {
        timeout: limits
            .timeout
            .map(|timeout| timeout.saturating_sub(elapsed).max(Duration::from_millis(1))),
        ..limits.clone()
    }
}

/// Runs a part, and again when mydumper 0.10 has locked itself up, which is before it has written a row.
///
/// The last time with one thread, which has not been seen to lock up.
async fn run_unlocked(
    request: &DumpRequest<'_>,
    env: &DumpEnv<'_>,
    (part, option_file): (&PartPlan, &OptionFile),
    course: Course<'_>,
) -> Result<PartRun, ToolError> {
    let began = Instant::now();
    let mut part = part.clone();
    for tries_left in (0..LOCKUP_TRIES).rev() {
        let course = Course {
            limits: left(&course.limits, began.elapsed()),
            ..course.clone()
        };
        let run = Box::pin(run_part(request, env, (&part, option_file), course)).await?;
        if !run.locked_up || tries_left == 0 || env.cancel.is_cancelled() {
            return Ok(run);
        }
        if tries_left == 1 {
            part.args.retain(|arg| !arg.starts_with("--threads"));
            part.args.push("--threads=1".to_owned());
        }
        env.log.line(
            "mykeeper",
            "mydumper has locked itself up before the first row, as version 0.10 does at times with several \
             databases and threads; it was ended, and what it had begun to write is removed; it is started again",
        );
        let dir = part_dir(request, &part);
        let there = dir.clone();
        off_thread(("clear", &dir), ANSWERS_WITHIN, &env.cancel, move || {
            clear(&there)
        })
        .await?;
    }
    Err(ToolError::Failed {
        message: "mydumper was not started".to_owned(),
        passing: true,
    })
}

async fn run_part(
    request: &DumpRequest<'_>,
    env: &DumpEnv<'_>,
    (part, option_file): (&PartPlan, &OptionFile),
    course: Course<'_>,
) -> Result<PartRun, ToolError> {
    let Course {
        limits,
        bytes,
        watched,
        options,
        over,
    } = course;
    let dir = part_dir(request, part);
    let is_whole = Arc::new(AtomicBool::new(false));
    let packers = packers(request, options, is_whole.clone())?;
    let lock_seen = LockSeen::of(request.info.version, &part.args, watched.is_silent);
    let (there, is_own) = (dir.clone(), !part.dir.is_empty());
    let events = off_thread(("watch", &dir), ANSWERS_WITHIN, &env.cancel, move || {
        if is_own {
            make_folder(&there)?;
        }
        watch(&there)
    })
    .await?;
    let heard = Heard::new(request.info.is_classic());
    let (announce, identity) = tokio::sync::watch::channel(None);
    let mut presence = Presence::before_start(request.connection, env.log, &heard, identity.clone()).await;
    let activity = Activity::new();
    let mut collector = Collector::new((&dir, events), activity.clone(), env.log, bytes);
    collector = collector.telling(request.finished.cloned(), &part.dir);
    if let Some(packers) = packers {
        let pressure = Pressure::new(
            identity.clone(),
            (&heard, lock_seen),
            env.log,
            request.keep_free_bytes,
        );
        collector = collector.packing(packers, pressure);
    }
    let (stop, done) = (env.cancel.child_token(), CancellationToken::new());
    let tail = Tail::new(&limits, &activity, &done);
    let spec = ChildSpec::new(&request.info.program)
        .announce_to(announce)
        .args(argv(part, option_file, &dir))
        // Names in what it says are not ASCII; in the C locale they come as question marks.
        .env("LC_ALL", "C.UTF-8")
        // What a login file in the account's home says would count for more than our own option file.
        .env("HOME", request.private_dir)
        .current_dir(&dir)
        .limits(limits);
    let mut said = Said::default();
    let mut hear = |_, line: &[u8]| {
        let line = String::from_utf8_lossy(line);
        env.log.line(PROGRAM, &line);
        said.hear(&line);
        locked(&heard).hear(&line, Instant::now());
        activity.touch();
    };
    let (mut locked_up, mut over_budget) = (false, None);
    let lock_up = lockup::locked_up(request.info.version, identity);
    let run = async {
        let run = env
            .supervisor
            .run(spec, stop.clone(), activity.clone(), &mut hear);
        tokio::pin!(run);
        let finished = tokio::select! {
            finished = &mut run => finished,
            () = lock_up => {
                locked_up = true;
                stop.cancel();
                run.await
            }
            overrun = presence.watch(watched, &activity) => {
                over_budget = Some(overrun);
                stop.cancel();
                run.await
            }
        };
        let is_success = finished
            .as_ref()
            .is_ok_and(|finished| finished.exit == Exit::Success);
        is_whole.store(is_success, Ordering::Release);
        let by_itself =
            |finished: &mykeeper_supervise::Finished| ended_from_here(PROGRAM, &finished.exit).is_none();
        if finished.as_ref().is_ok_and(by_itself) {
            tail.hold_to_timeout();
            over.inspect(|over| over.cancel());
        }
        done.cancel();
        finished
    };
    let collecting = tail.limit(collector.run(done.clone(), stop.clone()), &stop);
    let (finished, (collected, tail_over)) = tokio::join!(run, collecting);
    locked(&heard).lock.end(Instant::now());
    let (exit, ended) = match finished {
        Ok(finished) => (
            Some(finished.exit.clone()),
            ended_from_here(PROGRAM, &finished.exit),
        ),
        Err(error) => {
            let error = run_error(&request.info.program, INSTALL_HINT, &error);
            if matches!(error, ToolError::NotInstalled { .. }) {
                return Err(error);
            }
            (None, Some(error))
        }
    };
    let room = match collected.full {
        Some(room) => Some(room),
        None => room_of(&dir)
            .await
            .ok()
            .filter(|room| said.no_space || is_exhausted(room)),
    };
    let is_success = exit == Some(Exit::Success);
    let damaged = collected
        .digests
        .values()
        .any(|file| file.as_ref().map_or(true, |file| file.fault.is_some()));
    let left = if is_success {
        Vec::new()
    } else {
        presence.leave_nothing().await
    };
    let (lock_waited, lock_held) = if watched.takes_lock {
        locked(&heard).lock_times()
    } else {
        (None, None)
    };
    say_lock(env, lock_waited, lock_held);
    let ended = match over_budget.or(presence.overrun.take()) {
        // It may have ended well at the very moment, or by itself when it lost its connections.
        Some(overrun) if (!is_success || presence.has_ended_any) && !env.cancel.is_cancelled() => {
            Some(overrun)
        }
        _ => ended,
    };
    let ended = match ended {
        Some(ToolError::Cancelled { .. }) if locked_up && !env.cancel.is_cancelled() => {
            Some(ToolError::Failed {
                message:
                    "mydumper has locked itself up again and again; try fewer threads, or a later version"
                        .to_owned(),
                passing: true,
            })
        }
        ended => ended,
    };
    let ended = ended.or(tail_over.filter(|_| !env.cancel.is_cancelled()));
    let ended = match room {
        Some(room) if collected.full.is_some() || !is_success || damaged => Some(no_space(&dir, room)),
        // The run may also be cancelled while the last files are read.
        _ if env.cancel.is_cancelled() && damaged => Some(ToolError::Cancelled {
            program: PROGRAM.to_owned(),
        }),
        _ => ended,
    };
    Ok(PartRun {
        exit: exit_text(exit.as_ref()),
        success: is_success,
        collected,
        said,
        ended,
        // It may have ended well at the very moment.
        locked_up: locked_up && !is_success,
        lock_waited,
        lock_held,
        left,
        args: part.args.clone(),
    })
}

/// Who compresses the files, where mykeeper does.
fn packers(
    request: &DumpRequest<'_>,
    options: &DumpOptions,
    is_whole: Arc<AtomicBool>,
) -> Result<Option<Packers>, ToolError> {
    let Some(packing) = request.packing else {
        return Ok(None);
    };
    let crew = Crew::start(packing, options.threads())?;
    let cuts = request.info.is_classic() && options.has(CHUNK_OPTION);
    Ok(Some(Packers::new(crew, cuts, is_whole)))
}

fn say_lock(env: &DumpEnv<'_>, waited: Option<Duration>, held: Option<Duration>) {
    let told: Vec<String> = [("waited for", waited), ("held", held)]
        .iter()
        .filter_map(|(what, time)| {
            Some(format!(
                "{what} its lock for {:.3} s",
                time.as_ref()?.as_secs_f64()
            ))
        })
        .collect();
    if !told.is_empty() {
        env.log
            .line("mykeeper", &format!("mydumper {}", told.join(" and ")));
    }
}

fn part_dir(request: &DumpRequest<'_>, part: &PartPlan) -> PathBuf {
    if part.dir.is_empty() {
        request.set_dir.to_owned()
    } else {
        request.set_dir.join(&part.dir)
    }
}

fn argv(part: &PartPlan, option_file: &OptionFile, dir: &Path) -> Vec<OsString> {
    let mut defaults = OsString::from("--defaults-file=");
    defaults.push(option_file.path());
    let mut output = OsString::from("--outputdir=");
    // It takes no argument that is not ASCII, so there it is told the folder that it runs in.
    output.push(if dir.to_str().is_some_and(str::is_ascii) {
        dir.as_os_str()
    } else {
        ".".as_ref()
    });
    [defaults, output]
        .into_iter()
        .chain(part.args.iter().map(OsString::from))
        .collect()
}

fn no_space(dir: &Path, room: Room) -> ToolError {
    let what = match room.free_files {
        Some(0) => "no file can be added".to_owned(),
        _ => format!("{} KiB free", room.free_bytes / 1024),
    };
    ToolError::Failed {
        message: format!(
            "no space left on the file system of {}: {what}; make room or choose another directory",
            dir.display()
        ),
        passing: false,
    }
}

fn exit_text(exit: Option<&Exit>) -> String {
    match exit {
        None => "unknown".to_owned(),
        Some(Exit::Success) => "exit 0".to_owned(),
        Some(Exit::Failed { code }) => format!("exit {code}"),
        Some(Exit::Signaled { signal }) => format!("signal {signal}"),
        Some(Exit::TimedOut { after }) => format!("timed out after {}s", after.as_secs()),
        Some(Exit::Stalled { after }) => format!("stalled for {}s", after.as_secs()),
        Some(Exit::Cancelled) => "cancelled".to_owned(),
    }
}

pub(super) fn command_text(
    request: &DumpRequest<'_>,
    (plan, runs): (&DumpPlan, &[PartRun]),
    option_file: &OptionFile,
) -> String {
    let quoted = |text: &str| {
        let is_plain = |c: char| c.is_alphanumeric() || "-_=/.,:@%+".contains(c);
        if text.chars().all(is_plain) {
            text.to_owned()
        } else {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
    };
    plan.parts
        .iter()
        .zip(runs)
        .map(|(part, run)| {
            let as_run = PartPlan {
                args: if run.args.is_empty() {
                    part.args.clone()
                } else {
                    run.args.clone()
                },
                ..part.clone()
            };
            let argv = argv(&as_run, option_file, &part_dir(request, part));
            std::iter::once(request.info.program.display().to_string())
                .chain(argv.iter().map(|arg| arg.to_string_lossy().into_owned()))
                .map(|arg| quoted(&arg))
                .collect::<Vec<_>>()
                .join(" ")
        })
        .chain(request.packing.map(|packing| format!("{PACKED_BY}{packing}")))
        .collect::<Vec<_>>()
        .join("\n")
}
