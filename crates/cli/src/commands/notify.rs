//! `mykeeper notify`: who is told, what waits for them, and whether they can be told.

use crate::failure::{Failure, Status};
use crate::output::{coloured, local, print, print_json, table, when};
use crate::surroundings::{gather, local_zone, settings_despite_schedule, supervisor};
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_config::{Settings, nearest};
use mykeeper_daemon::notices::{self, Delivery, Gathered, Outcome, Trouble, secrets_of};
use mykeeper_daemon::state_dir::StateDir;
use mykeeper_daemon::status::DaemonStatus;
use mykeeper_domain::notice::{Message, Notice, NoticeKind};
use mykeeper_domain::notify::Channel;
use mykeeper_domain::{Clock, RunId, SystemClock, counted};
use mykeeper_notify::Courier;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

#[derive(Serialize)]
struct NotifyView {
    /// Everybody who is told, pings of jobs among them.
    told: Vec<ToldView>,
    /// What they have been told of and is not over, by topic.
    troubles: BTreeMap<String, Trouble>,
    /// That notices lie there of which nobody makes messages; `null` where that is not so.
    ungathered: Option<String>,
    /// What was noted and is in no message yet; `null` where nothing is.
    gathered: Option<Gathered>,
}

/// One of those who are told.
#[derive(Serialize)]
pub(crate) struct ToldView {
    name: String,
    /// Kinds of notices; empty of a ping.
    on: Vec<NoticeKind>,
    waiting: usize,
    waiting_since: Option<DateTime<Utc>>,
    /// When what waits is tried next.
    next_try_at: Option<DateTime<Utc>>,
    #[serde(flatten)]
    outcome: Outcome,
}

impl ToldView {
    fn is_failing(&self) -> bool {
        self.outcome.failing_since.is_some()
    }
}

/// How each of those stands who are told.
pub(crate) fn told(settings: &Settings, state: &StateDir) -> Vec<ToldView> {
    let (mut outcomes, waiting) = (notices::outcomes(state), notices::waiting(state));
    let channels = settings.notify.channels.values();
    let channels = channels.map(|channel| (channel.name.clone(), channel.on.clone()));
    let pings = settings
        .notify
        .pings
        .keys()
        .map(|job| (format!("ping {job}"), Vec::new()));
    channels
        .chain(pings)
        .map(|(name, on)| {
            let own: Vec<&Delivery> = waiting.iter().filter(|delivery| delivery.to == name).collect();
            ToldView {
                on,
                waiting: own.len(),
                next_try_at: notices::next_try(&name, &waiting),
                waiting_since: own.iter().map(|delivery| delivery.created_at).min(),
                outcome: outcomes.remove(&name).unwrap_or_default(),
                name,
            }
        })
        .collect()
}

/// How long notices may wait beyond `gather` until messages are made of them, where people are told rarely by now.
const GATHERED_WITHIN: TimeDelta = TimeDelta::minutes(1);
/// However many come, people are told of them this often.
const LONGEST_GATHERING: TimeDelta = TimeDelta::minutes(10);

/// One sentence, where a daemon lives and nobody makes messages of what was noted.
pub(crate) fn ungathered(settings: &Settings, state: &StateDir) -> Option<String> {
    if !state.daemon_lives() || settings.notify.channels.is_empty() {
        return None;
    }
    let Gathered { count, since, .. } = notices::gathered(state)?;
    let holder = notices::on_duty(state)
        .filter(|owner| Some(owner.pid) != DaemonStatus::read(state).map(|daemon| daemon.pid));
    let gather = TimeDelta::from_std(settings.notify.gather).unwrap_or(TimeDelta::MAX);
    let patience = match holder {
        Some(_) => gather,
        None => gather.max(LONGEST_GATHERING),
    };
    let is_late =
        SystemClock.now() - since > patience.checked_add(&GATHERED_WITHIN).unwrap_or(TimeDelta::MAX);
    let by = holder.map_or_else(String::new, |owner| {
        format!(
            ": process {} was to tell people, and neither goes on nor ends",
            owner.pid
        )
    });
    is_late.then(|| {
        let count = counted(count, "notice waits", "notices wait");
        format!(
            "nobody is told of anything: {count} since {}{by}",
            when(since, local_zone())
        )
    })
}

/// One sentence, where something was noted of which messages are about to be made.
pub(crate) fn gathered(settings: &Settings, state: &StateDir) -> Option<String> {
    if settings.notify.channels.is_empty() {
        return None;
    }
    let gathered = notices::gathered(state)?;
    let count = counted(gathered.count, "notice is gathered", "notices are gathered");
    let since = when(gathered.since, local_zone());
    let goes = match gathered.goes_at.filter(|_| state.daemon_lives()) {
        Some(at) if at > SystemClock.now() => {
            format!("messages are made of them at {}", when(at, local_zone()))
        }
        Some(_) => "messages are made of them now".to_owned(),
        None if state.daemon_lives() => "the daemon makes messages of them within some seconds".to_owned(),
        None => "messages are made of them when a daemon runs".to_owned(),
    };
    Some(format!("{count} since {since}: {goes}"))
}

/// One sentence for each of those who cannot be told.
pub(crate) fn failing(told: &[ToldView]) -> impl Iterator<Item = String> {
    told.iter().filter_map(|view| {
        let since = view.outcome.failing_since?;
        Some(format!(
            "{} cannot be told since {}, and {}: {}",
            view.name,
            when(since, local_zone()),
            counted(view.waiting, "message waits", "messages wait"),
            view.outcome.error.as_deref().unwrap_or("the cause is not known")
        ))
    })
}

pub(crate) fn list(config: &Path, json: bool) -> anyhow::Result<Status> {
    let settings = settings_despite_schedule(config)?;
    let state = StateDir::open(&settings.state_dir)?;
    let told = told(&settings, &state);
    let troubles = notices::troubles(&state);
    let ungathered = ungathered(&settings, &state);
    let is_failing = told.iter().any(ToldView::is_failing) || ungathered.is_some();
    if json {
        print_json(&NotifyView {
            told,
            troubles,
            ungathered,
            gathered: notices::gathered(&state),
        })?;
    } else {
        show(&settings, &told, &troubles)?;
        match ungathered {
            Some(stuck) => print(&stuck)?,
            None => gathered(&settings, &state).map_or(Ok(()), |waits| print(&waits))?,
        }
        if !told.is_empty() && !state.daemon_lives() {
            print("no daemon runs: what waits is delivered when one does")?;
        }
    }
    Ok(if is_failing {
        Status::Warnings
    } else {
        Status::Done
    })
}

fn show(settings: &Settings, told: &[ToldView], troubles: &BTreeMap<String, Trouble>) -> anyhow::Result<()> {
    if told.is_empty() {
        return print(&format!(
            "nobody is told of anything: {} has no [notify.webhook.NAME], [notify.mail.NAME] or [notify.command.NAME], \
             and no job has a ping",
            settings.keeper_file.display()
        ));
    }
    let zone = local_zone();
    let rows = told
        .iter()
        .map(|view| {
            let taken = view.outcome.delivered_at;
            let on: Vec<&str> = view.on.iter().map(|kind| kind.as_str()).collect();
            let lost = match view.outcome.lost {
                0 => String::new(),
                lost => format!("; {} given up", counted(lost, "message", "messages")),
            };
            let state = match &view.outcome.failing_since {
                Some(since) => format!(
                    "failing since {}{}: {}{lost}",
                    local(*since, zone),
                    view.next_try_at
                        .map_or_else(String::new, |at| format!(", tried again at {}", local(at, zone))),
                    view.outcome.error.as_deref().unwrap_or_default()
                ),
                None => match view.waiting_since {
                    // It may hang, which shows once it was given up.
                    Some(since) => format!("not taken yet, since {}{lost}", local(since, zone)),
                    None => lost.trim_start_matches("; ").to_owned(),
                },
            };
            vec![
                view.name.clone(),
                on.join(" "),
                taken.map_or_else(|| "never".to_owned(), |at| local(at, zone)),
                view.waiting.to_string(),
                state,
            ]
        })
        .collect();
    let delivered = format!("LAST TAKEN ({zone})");
    print(&table(
        &["WHO", "OF WHAT", &delivered, "WAITING", "TROUBLE"],
        rows,
    ))?;
    for (topic, trouble) in troubles {
        let (told, other) = trouble.words();
        print(&format!(
            "{} since {}, last told {}: {topic}: {told}",
            trouble.kind,
            when(trouble.since, zone),
            when(trouble.told_at, zone),
        ))?;
        if let Some(words) = other {
            let seen = when(trouble.seen_at, zone);
            let known = match trouble.seen_was_told_at() {
                Some(at) => format!("of which was told {}", when(at, zone)),
                None => "in words that were not told".to_owned(),
            };
            print(&format!("    seen last {seen}, {known}: {words}"))?;
        }
    }
    Ok(())
}

/// What came of one try.
#[derive(Serialize)]
struct Tried {
    name: String,
    taken: bool,
    error: Option<String>,
}

/// Delivers a message to each, or to those named, now.
pub(crate) async fn test(config: &Path, names: &[String], json: bool) -> anyhow::Result<Status> {
    let settings = settings_despite_schedule(config)?;
    let channels = wanted(&settings, names)?;
    let state = StateDir::open(&settings.state_dir)?;
    mykeeper_supervise::become_subreaper()?;
    let private = state.private_dir(RunId::generate())?;
    let secrets = secrets_of(gather().credentials_directory);
    let courier = Courier::new(supervisor(), secrets, private.path().to_owned());
    let now = SystemClock.now();
    let notice = Notice {
        at: now,
        kind: NoticeKind::Test,
        topic: "notify test".to_owned(),
        message: "somebody tries whether this arrives; nothing has happened".to_owned(),
        run: None,
        bk_id: None,
    };
    let message = Message::of(&settings.node, now, vec![notice])
        .ok_or_else(|| Failure::unavailable("no message can be made"))?;
    let cancel = CancellationToken::new();
    let tries = channels.iter().map(|channel| async {
        let result = courier.deliver(channel, &message, &[], &cancel).await;
        let error = result.err().map(|error| error.to_string());
        let name = channel.name.clone();
        if error.is_none()
            && let Err(error) = notices::note_test(&state, &name)
        {
            tracing::debug!(%error, "that the test was taken is not noted");
        }
        Tried {
            taken: error.is_none(),
            name,
            error,
        }
    });
    let tried = futures::future::join_all(tries).await;
    let all = tried.iter().all(|one| one.taken);
    if json {
        print_json(&serde_json::json!({ "tried": tried }))?;
    } else {
        for one in &tried {
            let (mark, what) = match &one.error {
                None => (coloured("ok     ", true), "the test message was taken"),
                Some(error) => (coloured("FAILED ", false), error.as_str()),
            };
            print(&format!("{mark} {}: {what}", one.name))?;
        }
    }
    Ok(if all { Status::Done } else { Status::Unavailable })
}

fn wanted(settings: &Settings, names: &[String]) -> anyhow::Result<Vec<Arc<Channel>>> {
    let channels = &settings.notify.channels;
    if channels.is_empty() {
        return Err(Failure::usage(format!(
            "there is nobody to tell in {}; add [notify.webhook.NAME], [notify.mail.NAME] or [notify.command.NAME]",
            settings.keeper_file.display()
        )));
    }
    if names.is_empty() {
        return Ok(channels.values().cloned().collect());
    }
    let known = || channels.keys().map(String::as_str);
    names
        .iter()
        .map(|name| {
            channels.get(name).cloned().ok_or_else(|| {
                let hint = match nearest(name, known()) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("there are {}", known().collect::<Vec<_>>().join(", ")),
                };
                Failure::usage(format!("[notify] has no {name:?}; {hint}"))
            })
        })
        .collect()
}
