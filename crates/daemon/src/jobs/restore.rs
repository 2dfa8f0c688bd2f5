//! Puts a set into a server, and compares what is there then with the set's evidence.

mod plan;

use super::{JobError, JobReport, JobResult, RunContext};
use crate::environment::Environment;
use crate::limits::Limited;
use crate::locate::{first_present, places};
use crate::set_lease::{SetLease, keep_folder};
use mykeeper_config::{Settings, nearest};
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::inventory::Inventory;
use mykeeper_domain::job::RestoreTask;
use mykeeper_domain::manifest::FileEntry;
use mykeeper_domain::proof::Difference;
use mykeeper_domain::run::RunState;
use mykeeper_domain::space::{load_need, size_text};
use mykeeper_domain::{BackupId, RunId, counted};
use mykeeper_supervise::Limits;
use mykeeper_tools::log::NoLog;
use mykeeper_tools::prove::ProveRequest;
use mykeeper_tools::restore::{
    CheckedSet, DataDir, RestoreRequest, Restored, Target, check_set, is_system_database, look_at_target,
    restore_set, survey_set,
};
use mykeeper_tools::room::room_of;
use mykeeper_tools::{ServerConnection, ToolEnv, ToolError};
pub use plan::{Fate, PlannedDatabase, Position, RestorePlan};
use plan::{census, other_objects, positions};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// How the word about room begins where it is not known.
const ROOM_UNKNOWN: &str = "whether there is room for it cannot be known";
/// Lines of a report in one message.
const SHOWN: usize = 3;

/// Why there is nothing to plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// What was asked for does not exist or is never done.
    Asked(String),
    /// Something that is needed cannot be had.
    Missing(String),
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Asked(text) | Self::Missing(text)) = self;
        f.write_str(text)
    }
}

impl From<mykeeper_catalog::CatalogError> for Obstacle {
    fn from(error: mykeeper_catalog::CatalogError) -> Self {
        Self::Missing(error.to_string())
    }
}

impl From<ToolError> for Obstacle {
    fn from(error: ToolError) -> Self {
        Self::Missing(error.to_string())
    }
}

impl From<Obstacle> for JobError {
    fn from(obstacle: Obstacle) -> Self {
        Self::fatal(obstacle.to_string())
    }
}

/// What a restore has found, for whoever asked for it.
pub type Seen = Arc<Mutex<Option<Restored>>>;

/// A plan with all that it is made of.
pub struct Prepared {
    /// For people and programs.
    pub plan: RestorePlan,
    backup: Backup,
    files: Vec<FileEntry>,
    evidence: Option<Evidence>,
    wanted: Vec<String>,
    connection: ServerConnection,
    target: Target,
    settings: Arc<Settings>,
}

/// Finds the set, looks at the server, and says what would be written. Writes nothing.
///
/// # Errors
/// No such set, server or database; the set is not here, not complete or going; the server cannot be reached, or has no
/// room on this machine.
pub async fn prepare(environment: &Environment, task: &RestoreTask) -> Result<Prepared, Obstacle> {
    let settings = environment.settings();
    let catalog = &environment.catalog;
    let id = task.set;
    let server = settings.servers.get(&task.into).ok_or_else(|| {
        Obstacle::Asked(format!(
            "there is no server {:?} in the configuration",
            task.into.as_str()
        ))
    })?;
    let backup = catalog
        .backup(id)
        .await?
        .ok_or_else(|| Obstacle::Asked(format!("the catalog knows no set {id}")))?;
    may_be_restored(&backup)?;
    let paths = catalog.paths().await?;
    let places = places(&backup, &paths, &settings, &environment.node);
    let path = first_present(&environment.disk, &places)
        .await
        .map_err(|error| Obstacle::Missing(error.to_string()))?
        .cloned()
        .ok_or_else(|| not_here(id, &places))?;
    let (files, evidence) = (catalog.files(id).await?, catalog.evidence(id).await?);
    let (wanted, left_out) = choose(&backup, evidence.as_ref(), task)?;
    let connection = environment
        .connection(server)
        .map_err(|error| Obstacle::Missing(error.to_string()))?;
    let target = look_at_target(&connection, &wanted).await?;
    let mut prepared = Prepared {
        plan: RestorePlan {
            bk_id: id,
            path,
            into: task.into.to_string(),
            server_version: target.version.clone(),
            databases: Vec::new(),
            left_out,
            refusals: refusals(&target, task),
            space: String::new(),
            continue_from: positions(&backup, evidence.as_ref(), &wanted),
        },
        backup,
        files,
        evidence,
        wanted,
        connection,
        target,
        settings,
    };
    prepared.plan.databases = prepared.databases(environment, task).await?;
    prepared.plan.space = prepared.space(task).await?;
    Ok(prepared)
}

fn may_be_restored(backup: &Backup) -> Result<(), Obstacle> {
    let id = backup.id;
    // A set that is marked as deleted may still lie somewhere, at its destination say; one that is being removed is
    // half a set.
    if backup.deletion == Deletion::Deleting {
        let why = backup
            .deletion_reason
            .as_deref()
            .unwrap_or("no reason is recorded");
        return Err(Obstacle::Asked(format!("set {id} is being removed: {why}")));
    }
    if !backup.is_complete() {
        let why = backup.reason.as_deref().unwrap_or("no reason is recorded");
        return Err(Obstacle::Asked(format!(
            "set {id} is not complete and is not restored: {why}"
        )));
    }
    Ok(())
}

fn not_here(id: BackupId, places: &[PathBuf]) -> Obstacle {
    let shown: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    Obstacle::Missing(format!(
        "set {id} is not on this machine; looked at: {}; add its place with \"mykeeper paths add\"",
        if shown.is_empty() {
            "no place is known".to_owned()
        } else {
            shown.join(", ")
        }
    ))
}

/// The databases to be written, and what is said of the others.
fn choose(
    backup: &Backup,
    evidence: Option<&Evidence>,
    task: &RestoreTask,
) -> Result<(Vec<String>, Vec<String>), Obstacle> {
    const WHY: &str = "is the server's own: accounts and privileges of a running server are not replaced; load what is \
                       needed of it by hand";
    let mut all: BTreeSet<&str> = backup.databases.iter().map(String::as_str).collect();
    all.extend(
        evidence
            .iter()
            .flat_map(|evidence| evidence.inventory.databases.keys().map(String::as_str)),
    );
    for name in &task.databases {
        if is_system_database(name) {
            return Err(Obstacle::Asked(format!("database {name} {WHY}")));
        }
        if !all.contains(name.as_str()) {
            let hint = nearest(name, all.iter().copied()).map_or_else(
                || format!("it holds: {}", all.iter().copied().collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean {near:?}?"),
            );
            return Err(Obstacle::Asked(format!(
                "set {} holds no database {name:?}; {hint}",
                backup.id
            )));
        }
    }
    let is_asked = |name: &str| task.databases.is_empty() || task.databases.iter().any(|asked| asked == name);
    let (system, others): (Vec<&str>, Vec<&str>) = all
        .into_iter()
        .filter(|name| is_asked(name))
        .partition(|name| is_system_database(name));
    if others.is_empty() {
        return Err(Obstacle::Asked(format!(
            "set {} holds no database that can be restored",
            backup.id
        )));
    }
    let left_out = system.into_iter().map(|name| format!("{name} {WHY}")).collect();
    Ok((others.into_iter().map(str::to_owned).collect(), left_out))
}

/// Everything that keeps the server from being written to.
fn refusals(target: &Target, task: &RestoreTask) -> Vec<String> {
    let mut refusals = Vec::new();
    for (wanted, other) in &target.other_spellings {
        refusals.push(format!(
            "server {} takes {wanted} for its database {other}, as it does not tell small letters from capitals",
            task.into
        ));
    }
    if !task.overwrite {
        for (name, there) in target.filled() {
            refusals.push(format!(
                "server {} has a database {name} already, with {}; --overwrite drops and replaces it",
                task.into,
                census(there)
            ));
        }
    }
    refusals
}

impl Prepared {
    /// Whether there is room for what is written, as far as that can be known.
    async fn space(&self, task: &RestoreTask) -> Result<String, Obstacle> {
        let unknown = |why: &str| format!("{ROOM_UNKNOWN}: {why}");
        let data_dir = match &self.target.data_dir {
            DataDir::Here(folder) => folder,
            DataDir::Unknown(why) => return Ok(unknown(why)),
        };
        let sizes: Vec<u64> = self
            .plan
            .databases
            .iter()
            .filter_map(|planned| planned.size_bytes)
            .collect();
        if sizes.len() < self.plan.databases.len() {
            return Ok(unknown("the set has no manifest that tells its size"));
        }
        let volume = self
            .evidence
            .as_ref()
            .and_then(|evidence| evidence.inventory.volume(&self.wanted));
        let mut need = load_need(sizes.iter().sum(), volume.as_ref(), false);
        if task.overwrite {
            let there = Inventory {
                databases: self.target.existing.clone(),
            };
            let freed = there
                .volume(there.databases.keys())
                .map_or(0, |volume| volume.data_bytes.saturating_add(volume.index_bytes));
            if freed > 0 {
                need.bytes = need.bytes.saturating_sub(freed);
                need.because
                    .push_str(&format!(", less {} of what is replaced", size_text(freed)));
            }
        }
        let room = match room_of(data_dir).await {
            Ok(room) => room,
            Err(error) => return Ok(unknown(&error.to_string())),
        };
        match need.shortage(&room, 0, data_dir) {
            None => Ok(format!("it {}", need.arithmetic(&room, data_dir))),
            Some(shortage) => Err(Obstacle::Missing(format!(
                "server {} has no room for set {}, and nothing was written: it {shortage}; make room there",
                task.into, self.backup.id
            ))),
        }
    }

    async fn databases(
        &self,
        environment: &Environment,
        task: &RestoreTask,
    ) -> Result<Vec<PlannedDatabase>, Obstacle> {
        let env = ToolEnv {
            supervisor: &environment.supervisor,
            cancel: CancellationToken::new(),
            log: &NoLog,
            clock: environment.clock.as_ref(),
        };
        let limits = Limits::default();
        let sizes = survey_set(&self.set(environment, None, &limits), &self.wanted, &env).await?;
        let one = |name: &String| {
            let held = self
                .evidence
                .as_ref()
                .and_then(|evidence| evidence.inventory.databases.get(name));
            let there = self.target.existing.get(name);
            PlannedDatabase {
                database: name.clone(),
                fate: if there.is_some() && task.overwrite {
                    Fate::Replaced
                } else {
                    Fate::Created
                },
                there_now: there.map(census).unwrap_or_default(),
                tables: held.map(|held| held.tables.len() as u64),
                rows: held.map(|held| held.tables.values().filter_map(|table| table.rows).sum()),
                others: held.map(other_objects),
                size_bytes: sizes.get(name).copied(),
            }
        };
        Ok(self.wanted.iter().map(one).collect())
    }

    fn set<'a>(
        &'a self,
        environment: &'a Environment,
        run_id: Option<RunId>,
        limits: &'a Limits,
    ) -> ProveRequest<'a> {
        ProveRequest {
            bk_id: self.backup.id,
            run_id,
            node: &environment.node,
            set_dir: &self.plan.path,
            evidence: self.evidence.as_ref(),
            files: &self.files,
            manifest_blake3: self.backup.manifest_blake3.as_deref(),
            databases: &self.backup.databases,
            sandbox: &self.settings.sandbox,
            myloader: &self.settings.tools.myloader,
            asserts: &[],
            limits,
        }
    }

    /// Reads every file that would be loaded, and compares it with the manifest.
    ///
    /// # Errors
    /// The set's folder cannot be read, or `env` was cancelled.
    pub async fn check(&self, environment: &Environment, env: &ToolEnv<'_>) -> Result<CheckedSet, ToolError> {
        let limits = Limits::default();
        check_set(&self.set(environment, None, &limits), &self.wanted, env).await
    }
}

/// The task of a run that no one else looks into.
pub async fn run(context: &RunContext, task: &RestoreTask) -> JobResult {
    restore(context, task, &Seen::default()).await
}

/// One restore. `seen` is told what was found.
pub async fn restore(context: &RunContext, task: &RestoreTask, seen: &Seen) -> JobResult {
    let environment = &context.environment;
    let purpose = format!("restore:{}", task.into);
    let lease = SetLease::acquire(environment, task.set, &purpose, context.run)
        .await?
        .ok_or_else(|| {
            JobError::fatal(format!(
                "set {} is being restored into {} by another run",
                task.set, task.into
            ))
        })?;
    // Everything is looked at only now that the lease is ours: retention marks first and looks at leases then.
    let result = write(context, task, seen).await;
    lease.release().await;
    result.map_err(|error| error.about(task.set))
}

async fn write(context: &RunContext, task: &RestoreTask, seen: &Seen) -> JobResult {
    let environment = &context.environment;
    let mut prepared = prepare(environment, task).await?;
    let _folder_lock = keep_folder(environment, &prepared.plan.path).await;
    let id = task.set;
    if prepared.plan.space.starts_with(ROOM_UNKNOWN) {
        context.say(format!("warning: {}", prepared.plan.space));
    }
    context.say(format!(
        "checking the files of set {id} in {}",
        prepared.plan.path.display()
    ));
    let checked = prepared.check(environment, &context.tools()).await?;
    if !checked.differences.is_empty() {
        return Err(JobError::fatal(format!(
            "set {id} is damaged, and nothing was written: {}",
            told(context, &checked.differences)
        )));
    }
    let _permit = context.permit(&Limited::Server(task.into.clone())).await?;
    // That may have taken hours.
    prepared.target = look_at_target(&prepared.connection, &prepared.wanted).await?;
    let refusals = refusals(&prepared.target, task);
    if !refusals.is_empty() {
        return Err(JobError::fatal(refusals.join("; ")));
    }
    context.say(format!(
        "loading {} into server {}",
        counted(prepared.wanted.len(), "database", "databases"),
        task.into
    ));
    let limits = context.limits();
    let request = RestoreRequest {
        set: prepared.set(environment, Some(context.run), &limits),
        wanted: &prepared.wanted,
        overwrite: task.overwrite,
        connection: &prepared.connection,
        private_dir: context.private.path(),
    };
    let restored = Box::pin(restore_set(
        &request,
        (&checked, &prepared.target),
        &context.tools(),
    ))
    .await?;
    let result = conclude(context, &prepared.plan, &restored);
    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(restored);
    result
}

fn conclude(context: &RunContext, plan: &RestorePlan, restored: &Restored) -> JobResult {
    let (id, into) = (plan.bk_id, &plan.into);
    let refusals: Vec<&String> = restored
        .databases
        .iter()
        .flat_map(|database| &database.refusals)
        .collect();
    let differences: Vec<&Difference> = restored
        .databases
        .iter()
        .flat_map(|database| &database.differences)
        .collect();
    if !restored.is_whole() {
        let reason = format!("set {id} is in server {into}, but not as it was: {}", {
            let all = refusals
                .iter()
                .map(ToString::to_string)
                .chain(differences.iter().map(ToString::to_string));
            told(context, &all.collect::<Vec<_>>())
        });
        return Err(JobError {
            state: RunState::Failed,
            reason,
            retry: false,
            bk_id: Some(id),
        });
    }
    for warning in restored.warnings.iter().chain(&plan.left_out) {
        context.say(format!("warning: {warning}"));
    }
    let objects: u64 = restored.databases.iter().map(|database| database.objects).sum();
    let rows: u64 = restored.databases.iter().map(|database| database.rows).sum();
    let summary = format!(
        "set {id} is in server {into}: {}, {} and {} as they were",
        counted(restored.databases.len(), "database", "databases"),
        counted(objects, "object", "objects"),
        counted(rows, "row", "rows")
    );
    match restored.warnings.len() + plan.left_out.len() {
        0 => Ok(JobReport::done(summary, Some(id))),
        more => Ok(JobReport::warned(
            format!("{summary}; {}", counted(more, "warning", "warnings")),
            Some(id),
        )),
    }
}

/// Says each in the log; yields the first ones in one line.
fn told<T: ToString>(context: &RunContext, lines: &[T]) -> String {
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    for line in &lines {
        context.say(line);
    }
    let more = lines.len().saturating_sub(SHOWN);
    let mut text = lines.into_iter().take(SHOWN).collect::<Vec<_>>().join("; ");
    if more > 0 {
        text.push_str(&format!("; and {more} more"));
    }
    text
}
