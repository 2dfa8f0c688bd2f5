//! The task that makes messages of notices and delivers them: each of those who are told in their own lane.

use super::duty::LOOK_EVERY;
use super::gathered;
use super::gathering::{Gathering, NEWS};
use super::lane::Lane;
use super::outcome::{self, Outcomes};
use super::queue::{Delivery, Parcel, ping_name};
use super::reason;
use super::trouble::{self, Troubles};
use super::untaken::Untaken;
use super::{folder, outcomes, read_secret};
use crate::environment::Environment;
use chrono::{DateTime, TimeDelta, Utc};
use mykeeper_config::Settings;
use mykeeper_domain::notice::{Message, Notice};
use mykeeper_notify::{Courier, DeliveryError, Secrets};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often it is looked for what is to be told of again.
const REMIND_EVERY: Duration = Duration::from_secs(20);
/// So much waits for one of those who are told; beyond it the oldest is dropped, and that said.
const MOST_MESSAGES: usize = 200;
/// Of a job's pings the last few count.
const MOST_PINGS: usize = 8;
/// Pings that are under way at a time; each of the others has a lane of its own.
const PINGS_AT_A_TIME: usize = 8;
/// How long attempts that are under way at the end may go on, and then take to be cut off.
const DONE_WITHIN: Duration = Duration::from_secs(1);
const CUT_OFF_WITHIN: Duration = Duration::from_secs(3);

/// What reads the secrets of those who are told.
pub fn secrets_of(credentials: Option<PathBuf>) -> Secrets {
    Box::new(move |source| read_secret(source, credentials.as_deref()))
}

/// Whether a channel, or a job's address, of this name is in the files.
pub(crate) fn is_told(settings: &Settings, name: &str) -> bool {
    let notify = &settings.notify;
    notify.channels.contains_key(name) || notify.pings.keys().any(|job| ping_name(job) == name)
}

type Attempt = (String, Result<(), Untaken>);

pub(super) struct Office {
    environment: Arc<Environment>,
    /// Whose files are in force. A command may have begun before a channel was added.
    is_daemon: bool,
    courier: Arc<Courier>,
    lanes: BTreeMap<String, Lane>,
    known: BTreeSet<Uuid>,
    attempts: JoinSet<Attempt>,
    cancel: CancellationToken,
    pings: Arc<Semaphore>,
    troubles: Troubles,
    outcomes: Outcomes,
    gathering: Gathering,
    /// How much of the inbox was looked through for news.
    seen_bytes: u64,
    /// What was written down last of when messages are made.
    noted_going: Option<Instant>,
    /// Whether it was said that nothing can be gathered.
    is_stuck: bool,
    reminded_at: Option<Instant>,
    is_noted: bool,
}

impl Office {
    pub(super) fn new(environment: Arc<Environment>, is_daemon: bool) -> Self {
        let private = folder(&environment.state).join("command");
        sweep(&private);
        let courier = Courier::new(environment.supervisor.clone(), environment.secrets(), private);
        Self {
            courier: Arc::new(courier),
            lanes: BTreeMap::new(),
            known: BTreeSet::new(),
            attempts: JoinSet::new(),
            cancel: CancellationToken::new(),
            pings: Arc::new(Semaphore::new(PINGS_AT_A_TIME)),
            troubles: trouble::kept(&environment.state),
            outcomes: outcomes(&environment.state),
            gathering: Gathering::default(),
            seen_bytes: 0,
            noted_going: None,
            is_stuck: false,
            reminded_at: None,
            is_noted: true,
            is_daemon,
            environment,
        }
    }

    /// Gathers what is there, takes up what is new, and begins what is due.
    pub(super) fn turn(&mut self, at_once: bool) {
        let settings = self.environment.settings();
        self.environment.notices.catch_up();
        if self.gathers(&settings) && self.environment.notices.inbox.has_any() {
            let now = Instant::now();
            if at_once || self.goes_at(&settings, now) <= now {
                match self.gather(&settings) {
                    Ok(()) => {
                        self.gathering.close();
                        self.seen_bytes = 0;
                        self.note_going(None);
                        self.is_stuck = false;
                    }
                    // The window stays open: it is tried again at the next turn.
                    Err(error) if !std::mem::replace(&mut self.is_stuck, true) => {
                        tracing::error!(%error, "what is to be told cannot be gathered until state_dir is mended");
                    }
                    Err(_) => {}
                }
            }
        }
        if self.reminded_at.is_none_or(|at| at.elapsed() >= REMIND_EVERY) {
            self.reminded_at = Some(Instant::now());
            if let Err(error) = self.remind(&settings) {
                tracing::error!(%error, "what lasts cannot be told again now");
            }
        }
        for delivery in self.environment.notices.queue.others(&self.known) {
            // The daemon has perhaps read of it since.
            if !self.is_daemon && !is_told(&settings, &delivery.to) {
                continue;
            }
            self.known.insert(delivery.id);
            let lane = self.lanes.entry(delivery.to.clone()).or_default();
            lane.waiting.push_back(delivery);
        }
        let now = self.environment.clock.now();
        self.heed_tests(&settings, now);
        self.drop_excess(&settings, now);
        self.begin_due(&settings, now);
        while let Some(done) = self.attempts.try_join_next() {
            self.settle(done);
        }
        self.note();
    }

    /// When what is in the inbox is taken.
    fn goes_at(&mut self, settings: &Settings, now: Instant) -> Instant {
        let gather = settings.notify.gather;
        let mut goes_at = self.gathering.open(gather, now);
        let inbox = &self.environment.notices.inbox;
        // Looked at as it grows, and only while it has long to wait.
        let size_bytes = inbox.size_bytes();
        if goes_at > now + NEWS.max(gather) && size_bytes != self.seen_bytes {
            self.seen_bytes = size_bytes;
            if reason::has_news(&self.troubles, &inbox.waiting()) {
                goes_at = self.gathering.hurry(gather, now).unwrap_or(goes_at);
            }
        }
        self.note_going(Some(goes_at));
        goes_at
    }

    /// Writes down when messages are made, where that has changed.
    fn note_going(&mut self, goes_at: Option<Instant>) {
        if std::mem::replace(&mut self.noted_going, goes_at) == goes_at {
            return;
        }
        let at = goes_at.and_then(|at| {
            let wait = at.saturating_duration_since(Instant::now());
            let wait = TimeDelta::from_std(wait).ok()?;
            self.environment.clock.now().checked_add_signed(wait)
        });
        gathered::note(&self.environment.state, at);
    }

    /// A command that knows of nobody to tell leaves what others have noted to who does.
    fn gathers(&self, settings: &Settings) -> bool {
        self.is_daemon || !settings.notify.channels.is_empty()
    }

    /// Until there may be something to do.
    pub(super) async fn wait(&mut self) {
        let environment = Arc::clone(&self.environment);
        tokio::select! {
            () = environment.notices.woken.notified() => {}
            Some(done) = self.attempts.join_next() => self.settle(done),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }

    pub(super) fn has_tried_all(&self) -> bool {
        let notices = &self.environment.notices;
        let gathers = self.gathers(&self.environment.settings());
        let is_gathered = notices.catch_up() && !(gathers && notices.inbox.has_any());
        is_gathered && self.attempts.is_empty() && self.lanes.values().all(Lane::is_tried)
    }

    /// What is nearly done is let be done, so that it is not told twice. The rest is cut off; its file stays.
    pub(super) async fn close(&mut self) {
        for (is_cut_off, within) in [(false, DONE_WITHIN), (true, CUT_OFF_WITHIN)] {
            if is_cut_off {
                self.cancel.cancel();
            }
            let ended = async {
                while let Some(done) = self.attempts.join_next().await {
                    self.settle(done);
                }
            };
            if tokio::time::timeout(within, ended).await.is_ok() {
                break;
            }
        }
        self.note();
    }

    /// Writes what has become of deliveries, where that has changed.
    fn note(&mut self) {
        if !std::mem::replace(&mut self.is_noted, true)
            && let Err(error) = outcome::keep(&self.environment.state, &self.outcomes)
        {
            tracing::warn!(%error, "what became of deliveries cannot be noted");
        }
    }

    fn gather(&mut self, settings: &Settings) -> std::io::Result<()> {
        let environment = Arc::clone(&self.environment);
        let notices = environment.notices.inbox.take()?;
        let now = environment.clock.now();
        let mut troubles = self.troubles.clone();
        let told = trouble::sift(&mut troubles, notices, settings.notify.repeat, now);
        self.tell(settings, (told, troubles), now)?;
        let open = self.troubles.iter().filter(|(_, trouble)| trouble.is_open());
        environment.notices.learn(open.map(|(topic, _)| topic));
        environment.notices.inbox.done()
    }

    fn remind(&mut self, settings: &Settings) -> std::io::Result<()> {
        let now = self.environment.clock.now();
        let mut troubles = self.troubles.clone();
        // A command may know less of the jobs: one that goes on in spite of mistakes in the schedule.
        let is_less = self.is_daemon && trouble::forget(&mut troubles, settings, now);
        let told = trouble::remind(&mut troubles, settings.notify.repeat, now);
        if told.is_empty() && !is_less {
            return Ok(());
        }
        self.tell(settings, (told, troubles), now)
    }

    /// Messages, and what people know then: both or neither. What fails is tried again whole.
    fn tell(
        &mut self,
        settings: &Settings,
        (told, troubles): (Vec<Notice>, Troubles),
        now: DateTime<Utc>,
    ) -> std::io::Result<()> {
        let mut posted = Vec::new();
        let done = self
            .post(settings, told, now, &mut posted)
            .and_then(|()| trouble::keep(&self.environment.state, &troubles));
        match done {
            Ok(()) => self.troubles = troubles,
            Err(_) => {
                for id in posted {
                    drop(self.environment.notices.queue.remove(id));
                }
            }
        }
        done
    }

    /// One message for each of those who want to be told of some of it.
    fn post(
        &self,
        settings: &Settings,
        told: Vec<Notice>,
        now: DateTime<Utc>,
        posted: &mut Vec<Uuid>,
    ) -> std::io::Result<()> {
        for channel in settings.notify.channels.values() {
            let wanted = told.iter().filter(|notice| channel.on.contains(&notice.kind));
            let Some(message) = Message::of(&self.environment.node, now, wanted.cloned().collect()) else {
                continue;
            };
            let delivery = Delivery::new(channel.name.clone(), Parcel::Message(message), now);
            posted.push(delivery.id);
            self.environment.notices.queue.write(&delivery)?;
        }
        Ok(())
    }

    /// Who was told of a test takes messages again; what became of those who are not told any more is of no use.
    fn heed_tests(&mut self, settings: &Settings, now: DateTime<Utc>) {
        for name in outcome::tested(&self.environment.state) {
            if let Some(outcome) = self.outcomes.get_mut(&name) {
                outcome.was_taken(now);
                self.is_noted = false;
            }
            if let Some(lane) = self.lanes.get_mut(&name) {
                lane.is_open();
            }
            outcome::heeded(&self.environment.state, &name);
        }
        if self.is_daemon {
            let before = self.outcomes.len();
            self.outcomes.retain(|name, _| is_told(settings, name));
            self.is_noted &= self.outcomes.len() == before;
        }
    }

    fn drop_excess(&mut self, settings: &Settings, now: DateTime<Utc>) {
        let mut dropped = Vec::new();
        for (name, lane) in &mut self.lanes {
            let is_told = is_told(settings, name);
            let most = match (is_told, name.starts_with("ping ")) {
                (false, _) => 0,
                (true, true) => MOST_PINGS,
                (true, false) => MOST_MESSAGES,
            };
            while let Some(delivery) = lane.drop_oldest(most) {
                dropped.push((delivery, is_told));
            }
        }
        for (delivery, is_told) in dropped {
            let why = match is_told {
                true => "too many wait for it",
                false => "it is not told any more",
            };
            self.lose(&delivery, (why, is_told), now);
        }
        self.lanes
            .retain(|_, lane| lane.under_way.is_some() || !lane.waiting.is_empty());
    }

    fn lose(&mut self, delivery: &Delivery, (why, counts): (&str, bool), now: DateTime<Utc>) {
        tracing::error!(
            to = delivery.to, since = %delivery.created_at, error = delivery.error,
            "a message is given up: {why}"
        );
        if counts {
            let outcome = self.outcomes.entry(delivery.to.clone()).or_default();
            outcome.lost += 1;
            outcome.lost_at = Some(now);
        } else {
            self.outcomes.remove(&delivery.to);
        }
        self.is_noted = false;
        self.forget(delivery.id);
    }

    fn forget(&mut self, id: Uuid) {
        match self.environment.notices.queue.remove(id) {
            Ok(()) => {
                self.known.remove(&id);
            }
            // It stays known, so that it is not delivered twice.
            Err(error) => tracing::warn!(delivery = %id, %error, "what was delivered cannot be removed"),
        }
    }

    fn begin_due(&mut self, settings: &Arc<Settings>, now: DateTime<Utc>) {
        for (name, lane) in &mut self.lanes {
            let Some(delivery) = lane.turn(now).cloned() else {
                continue;
            };
            let (courier, settings) = (Arc::clone(&self.courier), Arc::clone(settings));
            let (pings, cancel) = (Arc::clone(&self.pings), self.cancel.clone());
            let name = name.clone();
            let task = self.attempts.spawn(async move {
                let result = attempt(&courier, &settings, (&delivery, &pings), &cancel).await;
                (name, result.map_err(Untaken::from))
            });
            lane.under_way = Some(task.id());
        }
    }

    /// What an attempt has come to.
    fn settle(&mut self, done: Result<Attempt, tokio::task::JoinError>) {
        let (name, result) = match done {
            Ok(done) => done,
            Err(error) => {
                let of_task = |(_, lane): &(&String, &Lane)| lane.under_way == Some(error.id());
                let Some((name, _)) = self.lanes.iter().find(of_task) else {
                    return;
                };
                let untaken = Untaken {
                    cause: format!("a defect in mykeeper ended it: {error}"),
                    is_cut_off: false,
                    is_permanent: true,
                    reached: Vec::new(),
                };
                (name.clone(), Err(untaken))
            }
        };
        let now = self.environment.clock.now();
        let give_up =
            TimeDelta::from_std(self.environment.settings().notify.give_up).unwrap_or(TimeDelta::MAX);
        let Some(lane) = self.lanes.get_mut(&name) else {
            return;
        };
        lane.under_way = None;
        let Some(mut delivery) = lane.waiting.pop_front() else {
            return;
        };
        let untaken = match result {
            Ok(()) => {
                tracing::debug!(to = name, "delivered");
                lane.is_open();
                let outdated = lane.outdated_by(&delivery);
                let outcome = self.outcomes.entry(name.clone()).or_default();
                if let Some(since) = outcome.was_taken(now) {
                    tracing::info!(to = name, %since, "messages are taken again");
                }
                self.is_noted = false;
                self.forget(delivery.id);
                for delivery in outdated {
                    tracing::info!(to = name, since = %delivery.created_at, "what was refused is over, and is not told any more");
                    self.forget(delivery.id);
                }
                return;
            }
            Err(untaken) if untaken.is_cut_off => {
                lane.waiting.push_front(delivery);
                return;
            }
            Err(untaken) => untaken,
        };
        let outcome = self.outcomes.entry(name.clone()).or_default();
        if outcome.failing_since.is_none() {
            outcome.failing_since = Some(now);
            tracing::warn!(
                to = name,
                error = untaken.cause,
                "a message was not taken; it is tried again"
            );
        }
        outcome.error = Some(untaken.cause.clone());
        self.is_noted = false;
        delivery.attempts = delivery.attempts.saturating_add(1);
        delivery.error = Some(untaken.cause);
        delivery.reached.extend(untaken.reached);
        if now - delivery.created_at >= give_up {
            self.lose(&delivery, ("it could not be delivered for so long", true), now);
            return;
        }
        let id = delivery.id;
        lane.put_back(delivery, untaken.is_permanent, now);
        if let Some(delivery) = lane.waiting.iter().find(|delivery| delivery.id == id)
            && let Err(error) = self.environment.notices.queue.write(delivery)
        {
            tracing::debug!(%error, "an attempt to deliver is not noted");
        }
    }
}

async fn attempt(
    courier: &Courier,
    settings: &Settings,
    (delivery, pings): (&Delivery, &Semaphore),
    cancel: &CancellationToken,
) -> Result<(), DeliveryError> {
    match &delivery.parcel {
        Parcel::Message(message) => match settings.notify.channels.get(&delivery.to) {
            // What is refused is perhaps too long.
            Some(channel) if delivery.is_refused => {
                let reached = &delivery.reached;
                courier
                    .deliver(channel, &message.in_short(), reached, cancel)
                    .await
            }
            Some(channel) => courier.deliver(channel, message, &delivery.reached, cancel).await,
            None => Err(DeliveryError::Cancelled),
        },
        Parcel::Ping { job, signal, said } => {
            let Some(ping) = settings.notify.pings.get(job) else {
                return Err(DeliveryError::Cancelled);
            };
            let _permit = pings.acquire().await.map_err(|_| DeliveryError::Cancelled)?;
            courier.ping(ping, *signal, said, cancel).await
        }
    }
}

/// The files of commands that a crash has left.
fn sweep(private: &std::path::Path) {
    drop(std::fs::remove_dir_all(private));
    if let Err(error) = super::inbox::make_folder(private) {
        tracing::debug!(%error, "the folder for commands cannot be made");
    }
}
