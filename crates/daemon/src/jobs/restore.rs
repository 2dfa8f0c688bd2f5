//! Puts a set into a server, and compares what is there then with the set's evidence.

mod choice;
mod doubt;
mod known;
mod lying_here;
mod obstacle;
mod plan;
mod position;
pub(in crate::jobs) mod proven;
mod same;
mod source;

use super::{JobError, JobReport, JobResult, RunContext, first_few};
use crate::environment::Environment;
use crate::limits::Limited;
use crate::removal::Hold;
use crate::set_lease::SetLease;
use choice::{choose, missing_rights, refusals};
use doubt::{disabling, onto_source};
use known::{KnownSet, known_set};
pub use lying_here::{SetHere, ids_here, roots_here, sets_here};
use mykeeper_config::Settings;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::evidence::Evidence;
use mykeeper_domain::inventory::Inventory;
use mykeeper_domain::job::{RestoreFrom, RestoreTask};
use mykeeper_domain::manifest::FileEntry;
use mykeeper_domain::proof::{Difference, Proof};
use mykeeper_domain::run::RunState;
use mykeeper_domain::server::Endpoint;
use mykeeper_domain::space::{load_need, size_text};
use mykeeper_domain::verification::Verification;
use mykeeper_domain::{BackupId, RunId, counted};
use mykeeper_supervise::Limits;
use mykeeper_tools::log::NoLog;
use mykeeper_tools::prove::ProveRequest;
use mykeeper_tools::restore::{
    DataDir, RestoreRequest, Restored, Scope, Target, is_system_database, look_at_target, restore_set,
    survey_set,
};
use mykeeper_tools::room::room_of_server;
use mykeeper_tools::{ServerConnection, ToolEnv};
pub use obstacle::Obstacle;
pub use plan::{Fate, PlannedDatabase, RestorePlan};
use plan::{census, other_objects};
use position::positions;
pub use position::{Position, Whose};
use proven::recorded_size;
pub use source::CheckedSource;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// How the word about room begins where it is not known.
const ROOM_UNKNOWN: &str = "whether there is room for it cannot be known";

/// What a restore has found.
#[derive(Clone, Debug)]
pub struct Sight {
    /// What is in the server.
    pub restored: Restored,
    /// Where the set was taken from.
    pub path: PathBuf,
}

/// The same, for whoever asked for it.
pub type Seen = Arc<Mutex<Option<Sight>>>;

/// A plan with all that it is made of.
pub struct Prepared {
    /// For people and programs.
    pub plan: RestorePlan,
    backup: Backup,
    /// What nodes last found of its copies.
    looks: Vec<Verification>,
    files: Vec<FileEntry>,
    evidence: Option<Evidence>,
    /// Of a set without a manifest: the newest proof that has passed.
    proof: Option<Proof>,
    scope: Scope,
    connection: ServerConnection,
    target: Target,
    settings: Arc<Settings>,
    /// Where else the set may lie.
    places: VecDeque<PathBuf>,
    from: RestoreFrom,
    folder_lock: Option<Hold>,
}

/// Finds the set, looks at the server, and says what would be written. Writes nothing.
///
/// # Errors
/// No such set, server or database; the set is not here, not complete or going; the server cannot be reached, or has no
/// room on this machine.
pub async fn prepare(environment: &Environment, task: &RestoreTask) -> Result<Prepared, Obstacle> {
    let settings = environment.settings();
    let id = task.set;
    let server = settings.servers.get(&task.into).ok_or_else(|| {
        Obstacle::Asked(format!(
            "there is no server {:?} in the configuration",
            task.into.as_str()
        ))
    })?;
    let KnownSet {
        backup,
        looks,
        files,
        evidence,
        proof,
        path,
        places,
        doubt,
        by_own_record,
    } = Box::pin(known_set(environment, &settings, task)).await?;
    let (scope, left_out) = choose(&backup, evidence.as_ref(), task)?;
    let connection = environment
        .connection(server)
        .map_err(|error| Obstacle::Missing(error.to_string()))?;
    let target = look_at_target(&connection, &scope.names_there()).await?;
    let log = target.binary_log.as_ref();
    let is_source = same::is_source(&settings, (&backup, evidence.as_ref()), (server, log));
    let mut prepared = Prepared {
        plan: RestorePlan {
            bk_id: id,
            path,
            into: task.into.to_string(),
            server_version: target.version.clone(),
            databases: Vec::new(),
            doubt,
            by_own_record,
            onto_source: onto_source(server, &backup, task),
            disabling: disabling(server, &backup, (&scope, evidence.as_ref())),
            left_out,
            names: evidence.as_ref().map_or_else(Vec::new, |evidence| {
                target.letters(&scope, &evidence.inventory).warnings
            }),
            refusals: refusals(&target, (&scope, evidence.as_ref()), task),
            missing_rights: missing_rights(&target, (&scope, evidence.as_ref()), task),
            space: String::new(),
            continue_from: positions(
                &backup,
                evidence.as_ref(),
                &scope,
                (port_of(&settings, &backup), is_source),
            ),
        },
        backup,
        looks,
        files,
        evidence,
        proof,
        scope,
        connection,
        target,
        settings,
        places,
        from: task.from.clone(),
        folder_lock: None,
    };
    prepared.plan.databases = prepared.databases(environment, task).await?;
    prepared.plan.space = prepared.space(task).await?;
    Ok(prepared)
}

/// The port of the server that a set is of, as the configuration has it.
fn port_of(settings: &Settings, backup: &Backup) -> Option<u16> {
    let server = settings
        .servers
        .values()
        .find(|server| server.tag == backup.tag)?;
    match server.endpoint {
        Endpoint::Tcp { port, .. } => Some(port),
        Endpoint::Socket(_) => None,
    }
}

impl Prepared {
    /// Whether some of the set's own databases or tables are left out.
    pub fn is_part(&self) -> bool {
        let is_wanted = |name: &String| is_system_database(name) || self.scope.databases.contains(name);
        !self.scope.tables.is_empty() || !self.backup.databases.iter().all(is_wanted)
    }

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
            .map(|evidence| self.scope.part_of_all(&evidence.inventory))
            .and_then(|part| part.volume(part.databases.keys()));
        let mut need = load_need(sizes.iter().sum(), volume.as_ref(), false);
        if task.overwrite {
            let replaced = |database: &String| {
                let found = self.target.existing.get(self.scope.there(database))?;
                Some((database.clone(), self.scope.part_of(database, found)))
            };
            let there = Inventory {
                databases: self.scope.databases.iter().filter_map(replaced).collect(),
                ..Inventory::default()
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
        let room = match room_of_server(data_dir).await {
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
        let sizes = survey_set(&self.set(environment, None, &limits), &self.scope, &env).await?;
        let one = |name: &String| {
            let held = self
                .evidence
                .as_ref()
                .and_then(|evidence| evidence.inventory.databases.get(name))
                .map(|held| self.scope.part_of(name, held));
            let there = self.target.existing.get(self.scope.there(name));
            let part = there.map(|there| self.scope.part_of(name, there));
            let there_now = part.as_ref().map(census).unwrap_or_default();
            let tables = self.scope.tables_of(name);
            let is_renamed = self.scope.there(name) != name;
            PlannedDatabase {
                database: name.clone(),
                new_name: is_renamed.then(|| self.scope.there(name).to_owned()),
                only_tables: tables.map(|tables| tables.iter().cloned().collect()),
                fate: match (there.is_some(), tables.is_some()) {
                    (true, _) if !task.overwrite && !there_now.is_empty() => Fate::Refused,
                    (true, true) => Fate::Added,
                    (true, false) if task.overwrite => Fate::Replaced,
                    _ => Fate::Created,
                },
                there_now,
                tables: held.as_ref().map(|held| held.tables.len() as u64),
                rows: held
                    .as_ref()
                    .map(|held| held.tables.values().filter_map(|table| table.rows).sum()),
                others: held.as_ref().map(other_objects),
                size_bytes: sizes.get(name).copied(),
            }
        };
        Ok(self.scope.databases.iter().map(one).collect())
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
            beside: &[],
            recorded_size: recorded_size(&self.backup),
            manifest_blake3: self.backup.manifest_blake3.as_deref(),
            databases: &self.backup.databases,
            sandbox: &self.settings.sandbox,
            myloader: &self.settings.tools.myloader,
            asserts: &[],
            limits,
        }
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
    let id = task.set;
    if prepared.plan.space.starts_with(ROOM_UNKNOWN) {
        context.say(format!("warning: {}", prepared.plan.space));
    }
    if let Some(doubt) = &prepared.plan.doubt {
        context.say(format!("warning: {doubt}"));
    }
    context.say(format!(
        "checking the files of set {id} in {}",
        prepared.plan.path.display()
    ));
    let source = prepared.check(environment, &context.tools()).await?;
    let faults = source.faults();
    let Some(mut checked) = source.set else {
        return Err(JobError::fatal(format!(
            "set {id} is damaged, and nothing was written: {}; {}",
            context.tell_first(&faults),
            prepared.who_tells()
        )));
    };
    if !faults.is_empty() {
        checked.notes.push(passed_over(id, &faults));
    }
    for note in &checked.notes {
        context.say(format!("warning: {note}"));
    }
    let _permit = context.permit(&Limited::Server(task.into.clone())).await?;
    // That may have taken hours.
    prepared.target = look_at_target(&prepared.connection, &prepared.scope.names_there()).await?;
    let refusals = refusals(
        &prepared.target,
        (&prepared.scope, prepared.evidence.as_ref()),
        task,
    );
    if !refusals.is_empty() {
        return Err(JobError::fatal(refusals.join("; ")));
    }
    context.say(format!(
        "loading {} into server {}",
        counted(prepared.scope.databases.len(), "database", "databases"),
        task.into
    ));
    let limits = context.limits();
    let request = RestoreRequest {
        set: prepared.set(environment, Some(context.run), &limits),
        scope: &prepared.scope,
        overwrite: task.overwrite,
        connection: &prepared.connection,
        private_dir: context.private.path(),
    };
    let mut restored = Box::pin(restore_set(
        &request,
        (&checked, &prepared.target),
        &context.tools(),
    ))
    .await?;
    let noted = checked.notes.len();
    let found_later = std::mem::replace(&mut restored.warnings, checked.notes);
    restored.warnings.extend(found_later);
    for position in &prepared.plan.continue_from {
        position.to_string().lines().for_each(|line| context.say(line));
    }
    // A proof of files that had nothing beside them has counted what is in them.
    let is_known = !prepared.files.is_empty();
    let result = conclude(context, (&prepared.plan, is_known), &restored, noted);
    let path = prepared.plan.path.clone();
    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Sight { restored, path });
    result
}

/// What is said of copies that were not taken.
pub fn passed_over(id: BackupId, faults: &[String]) -> String {
    format!(
        "another copy is damaged and was passed over: {}; \"mykeeper verify --bk-id {id}\" tells what mends it",
        first_few(faults)
    )
}

/// `noted` of the warnings have been said before; `is_known`: something tells what was written.
fn conclude(
    context: &RunContext,
    (plan, is_known): (&RestorePlan, bool),
    restored: &Restored,
    noted: usize,
) -> JobResult {
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
        let refusals = refusals.iter().map(ToString::to_string);
        let lines: Vec<String> = refusals
            .chain(differences.iter().map(ToString::to_string))
            .collect();
        let reason = format!(
            "set {id} is in server {into}, but not as it was: {}",
            context.tell_first(&lines)
        );
        return Err(JobError {
            state: RunState::Failed,
            reason,
            retry: false,
            bk_id: Some(id),
        });
    }
    for warning in restored.warnings.iter().skip(noted).chain(&plan.names) {
        context.say(format!("warning: {warning}"));
    }
    // What is the server's own nobody has asked for.
    for left_out in &plan.left_out {
        context.say(format!("left out: {left_out}"));
    }
    let objects: u64 = restored.databases.iter().map(|database| database.objects).sum();
    let rows: u64 = restored.databases.iter().map(|database| database.rows).sum();
    let summary = format!(
        "set {id} is in server {into}: {}, {} and {} {}",
        counted(restored.databases.len(), "database", "databases"),
        counted(objects, "object", "objects"),
        counted(rows, "row", "rows"),
        match is_known {
            true => "as they were",
            false => "as its files have them",
        }
    );
    match restored.warnings.len() + plan.names.len() + usize::from(plan.doubt.is_some()) {
        0 => Ok(JobReport::done(summary, Some(id))),
        more => Ok(JobReport::warned(
            format!("{summary}; {}", counted(more, "warning", "warnings")),
            Some(id),
        )),
    }
}
