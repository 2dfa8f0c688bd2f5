//! Which copy of a set is restored: the first that is whole, of those that were asked for.

use super::proven::{READABLE, fewer};
use super::{Obstacle, Prepared};
use crate::copies::Known;
use crate::environment::Environment;
use crate::error::DaemonError;
use crate::locate::{original, places, relative_path};
use crate::repair::{fetching_aside, on_lines};
use crate::set_lease::keep_folder;
use chrono::{DateTime, Utc};
use mykeeper_catalog::BackupPath;
use mykeeper_config::Settings;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::job::{RestoreFrom, RestoreTask};
use mykeeper_domain::proof::Difference;
use mykeeper_supervise::Limits;
use mykeeper_tools::prove::{PlainFiles, ProveRequest, read_plain};
use mykeeper_tools::restore::{CheckedSet, check_set};
use mykeeper_tools::{ToolEnv, ToolError};
use serde::Serialize;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// What is said before the commands of [`fetching_aside`].
const MADE_KNOWN: &str = "its copy is fetched (it is missed there when it is removed again: \
    \"mykeeper paths remove\") and its place made known by:";

/// What the files of the places are like that were looked at.
#[derive(Clone, Debug)]
pub struct CheckedSource {
    /// Those of the plan's path, which may be loaded; `None`: there is no place whose files are as they were written.
    pub set: Option<CheckedSet>,
    /// The places that were looked at before it.
    pub damaged: Vec<DamagedPlace>,
}

/// A place whose files are not loaded.
#[derive(Clone, Debug, Serialize)]
pub struct DamagedPlace {
    /// Its folder.
    pub path: PathBuf,
    /// Each names a file.
    pub differences: Vec<Difference>,
    /// Why it could not be read.
    pub error: Option<String>,
}

impl CheckedSource {
    /// What is wrong with them, each line with its place; for people.
    pub fn faults(&self) -> Vec<String> {
        let of_place = |place: &DamagedPlace| {
            let lines = place.differences.iter();
            let path = place.path.display();
            let lines = lines.map(|difference| format!("{path}: {difference}"));
            lines.chain(place.error.clone()).collect::<Vec<_>>()
        };
        self.damaged.iter().flat_map(of_place).collect()
    }
}

/// The places that were asked for, the first to be tried first.
pub(super) fn wanted_places(
    task: &RestoreTask,
    backup: &Backup,
    paths: &[BackupPath],
    settings: &Settings,
) -> VecDeque<PathBuf> {
    let own = original(backup, &settings.node);
    let all = places(backup, paths, settings, &settings.node);
    let all: Vec<PathBuf> = match &task.from {
        RestoreFrom::Any => all,
        RestoreFrom::Original => own.into_iter().collect(),
        RestoreFrom::Destination => all
            .into_iter()
            .filter(|place| Some(place) != own.as_ref())
            .collect(),
        RestoreFrom::Folder(folder) => {
            let id = backup.id.to_string();
            match folder.file_name().and_then(|name| name.to_str()) == Some(id.as_str()) {
                true => vec![folder.clone()],
                false => vec![
                    folder.join(relative_path(backup, settings.catalog.timezone)),
                    folder.join(id),
                ],
            }
        }
    };
    let mut wanted = VecDeque::new();
    for place in all {
        if !wanted.contains(&place) {
            wanted.push_back(place);
        }
    }
    wanted
}

/// Takes places away until one has the set, as far as that shows without reading it.
///
/// # Errors
/// None has it, and one of their file systems does not answer.
pub(super) async fn next_whole(
    environment: &Environment,
    (backup, from): (&Backup, &RestoreFrom),
    places: &mut VecDeque<PathBuf>,
) -> Result<Option<PathBuf>, Obstacle> {
    let mut unknown = None;
    while let Some(place) = places.pop_front() {
        match has_set(environment, (backup, from), &place).await {
            Ok(true) => return Ok(Some(place)),
            Ok(false) => {}
            Err(error) => unknown = Some(Obstacle::Missing(error.to_string())),
        }
    }
    unknown.map_or(Ok(None), Err)
}

/// What a person names need not have been seen to arrive.
async fn has_set(
    environment: &Environment,
    (backup, from): (&Backup, &RestoreFrom),
    place: &Path,
) -> Result<bool, DaemonError> {
    let settings = environment.settings();
    let whereabouts = environment.whereabouts(&settings);
    match from {
        RestoreFrom::Folder(_) => whereabouts.is_whole(backup, place).await,
        _ => whereabouts.is_copy(backup, place).await,
    }
}

/// Of so many copies it is told where they were last seen, those that were seen last.
const MOST_SEEN: usize = 5;

/// Where copies of a set were last seen as it was written, wherever that is; empty where nobody has seen one that was not
/// removed since.
fn told_of_seen(known: &Known) -> String {
    let read = known.copies.intact.iter().map(|copy| {
        let where_from = format!("{} on {}", copy.path, copy.node);
        (copy.looked_at, where_from)
    });
    let arrived = known.arrivals.iter().map(|arrival| {
        let target = match arrival.target.as_str() {
            "" => String::new(),
            target => format!(" ({target})"),
        };
        (arrival.seen_at, format!("at {}{target}", arrival.destination))
    });
    let mut seen: Vec<(DateTime<Utc>, String)> = read.chain(arrived).collect();
    seen.sort_by(|one, other| other.cmp(one));
    seen.truncate(MOST_SEEN);
    let seen: Vec<String> = seen
        .into_iter()
        .map(|(at, what)| format!("{what}, {}", at.format("%Y-%m-%d %H:%M UTC")))
        .collect();
    match seen.is_empty() {
        true => String::new(),
        false => format!("; last seen as it was written: {}", seen.join("; ")),
    }
}

/// `known` is what is known of its copies, wherever they are.
pub(super) fn not_here(settings: &Settings, backup: &Backup, known: &Known, places: &[PathBuf]) -> Obstacle {
    let id = backup.id;
    let shown: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    let shown = match shown.as_slice() {
        [] => "no place is known".to_owned(),
        shown => shown.join(", "),
    };
    let deleted = match (backup.deletion, &backup.deletion_reason) {
        (Deletion::None, _) => String::new(),
        (deletion, None) => format!(" (it is marked as {deletion})"),
        (deletion, Some(why)) => format!(" (it is marked as {deletion}: {why})"),
    };
    let what = format!(
        "set {id} is not on this machine, still on its way, or on a disk that is not mounted{deleted}; looked at: \
         {shown}{}",
        told_of_seen(known)
    );
    match fetching_aside(settings, (backup, &known.looks)) {
        commands if commands.is_empty() => Obstacle::Missing(format!(
            "{what}; add its place with \"mykeeper paths add\", or name it with --from"
        )),
        commands => Obstacle::Away {
            what,
            how: MADE_KNOWN,
            commands,
        },
    }
}

impl Prepared {
    /// Reads every file that would be loaded, and compares it with the manifest; where one is not as it was written, in
    /// the next place that has the set. The plan's path is the last that was looked at.
    ///
    /// # Errors
    /// The set's only folder cannot be read, or `env` was cancelled.
    pub async fn check(
        &mut self,
        environment: &Environment,
        env: &ToolEnv<'_>,
    ) -> Result<CheckedSource, ToolError> {
        let limits = Limits::default();
        let mut damaged: Vec<DamagedPlace> = Vec::new();
        let mut unread = None;
        // Without a manifest a copy that lacks files looks like one that is whole.
        let has_manifest = !self.files.is_empty();
        let mut beside = match has_manifest {
            true => Vec::new(),
            false => self.listed(environment, env).await?,
        };
        loop {
            let path = self.plan.path.clone();
            self.folder_lock = keep_folder(environment, &path).await;
            let mut read = check_set(&self.set(environment, None, &limits), &self.scope, env).await;
            if let Ok(checked) = &mut read {
                for (place, other) in beside.iter().filter(|(place, _)| *place != path) {
                    let wanted = other.only(|file| self.may_be_wanted(file));
                    let lacking = checked.plain.differences_from(&wanted, place);
                    checked.differences.extend(lacking);
                }
                if let Some(proof) = &self.proof {
                    let fewer = fewer(proof, &self.scope, &checked.rows);
                    checked.differences.extend(fewer);
                }
                if !has_manifest && self.proof_tells().is_none() {
                    checked
                        .notes
                        .push(format!("of set {}, {READABLE}", self.backup.id));
                }
                // What was read tells more than its listing.
                beside.retain(|(place, _)| *place != path);
                beside.push((path.clone(), checked.plain.clone()));
            }
            match read {
                Ok(checked) if checked.differences.is_empty() => {
                    let set = Some(checked);
                    return Ok(CheckedSource { set, damaged });
                }
                Ok(checked) => damaged.push(DamagedPlace {
                    path: path.clone(),
                    differences: checked.differences,
                    error: None,
                }),
                Err(error) if is_of_the_run(&error) => return Err(error),
                Err(error) => {
                    damaged.push(DamagedPlace {
                        path: path.clone(),
                        differences: Vec::new(),
                        error: Some(error.to_string()),
                    });
                    unread = Some(error);
                    // What another would have to have is not known.
                    if !has_manifest {
                        break;
                    }
                }
            }
            match next_whole(environment, (&self.backup, &self.from), &mut self.places).await {
                Ok(Some(next)) => {
                    let (id, next_shown) = (self.backup.id, next.display());
                    let text = format!(
                        "set {id} is not as it was written in {}: going on in {next_shown}",
                        path.display()
                    );
                    env.log.line("mykeeper", &text);
                    self.plan.path = next;
                }
                Ok(None) => break,
                Err(obstacle) => {
                    if let Some(last) = damaged.last_mut() {
                        last.error.get_or_insert(obstacle.to_string());
                    }
                    break;
                }
            }
        }
        match unread {
            Some(error) if damaged.len() == 1 => Err(error),
            _ => Ok(CheckedSource { set: None, damaged }),
        }
    }

    /// Whether a file may be of a database that is restored: not where it lies in the folder of another one, or where its
    /// name begins as the files of others of the set alone do.
    fn may_be_wanted(&self, path: &str) -> bool {
        let wanted = &self.scope.databases;
        if let Some((folder, _)) = path.split_once('/') {
            return wanted.iter().any(|database| database == folder);
        }
        let is_named = |database: &&String| {
            let rest = path.strip_prefix(database.as_str());
            rest.is_some_and(|rest| rest.starts_with('.') || rest.starts_with("-schema"))
        };
        let mut named = self.backup.databases.iter().filter(is_named).peekable();
        named.peek().is_none() || named.any(|database| wanted.contains(database))
    }

    /// The files of the places that come after the first, of a set without a manifest: the first is held against them before
    /// it is believed.
    ///
    /// # Errors
    /// `env` was cancelled.
    async fn listed(
        &self,
        environment: &Environment,
        env: &ToolEnv<'_>,
    ) -> Result<Vec<(PathBuf, PlainFiles)>, ToolError> {
        let limits = Limits::default();
        let mut listed = Vec::new();
        for place in &self.places {
            // It may be all that is left: what another one has is not known, and said.
            let unknown = |why: &str| {
                let (id, place) = (self.backup.id, place.display());
                let text = format!("what set {id} lacks of its copy in {place} is not known: {why}");
                env.log.line("mykeeper", &text);
            };
            match has_set(environment, (&self.backup, &self.from), place).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(error) => {
                    unknown(&error.to_string());
                    continue;
                }
            }
            let there = ProveRequest {
                set_dir: place,
                ..self.set(environment, None, &limits)
            };
            match read_plain(&there, env).await {
                Ok(files) => listed.push((place.clone(), files)),
                Err(error) if env.cancel.is_cancelled() => return Err(error),
                Err(error) => unknown(&error.to_string()),
            }
        }
        Ok(listed)
    }

    /// What to do where no place has the set as it was written; for people, each command on a line of its own.
    pub fn other_ways(&self) -> String {
        match fetching_aside(&self.settings, (&self.backup, &self.looks)) {
            commands if commands.is_empty() => self.who_tells_more(),
            commands => format!("{MADE_KNOWN}{}", on_lines(&commands, "")),
        }
    }

    /// The same in one line without those commands, for the reason of a run.
    pub(super) fn who_tells(&self) -> String {
        match fetching_aside(&self.settings, (&self.backup, &self.looks)).is_empty() {
            true => self.who_tells_more(),
            false => format!(
                "\"mykeeper restore {} --into {} --dry-run\" tells how a copy of it is fetched",
                self.backup.id, self.plan.into
            ),
        }
    }

    fn who_tells_more(&self) -> String {
        format!(
            "\"mykeeper verify --bk-id {}\" tells what mends it; another folder that has it is named with --from",
            self.backup.id
        )
    }
}

/// Whether the run was ended, and not a folder that cannot be read.
fn is_of_the_run(error: &ToolError) -> bool {
    matches!(
        error,
        ToolError::Cancelled { .. } | ToolError::TimedOut { .. } | ToolError::Stalled { .. }
    )
}
