//! Finds the conf and puts the settings together.

use super::{Call, absolute, is_pybackup_conf};
use crate::args::DEFAULT_CONFIG;
use crate::commands::run::{Beside, conclude_with, to_its_end_beside};
use crate::failure::{Failure, Status};
use crate::output::{printed_for, say};
use crate::surroundings::{
    client_socket, environment_or_journal, gather, host_zone_or_nearest, read_despite_schedule, search_path,
};
use mykeeper_config::pybackup::{
    CONF_NAME, ConfPart, DropIn, DumpWords, PybackupConf, drop_in_settings, read_pybackup_conf,
};
use mykeeper_config::{Settings, read_password};
use mykeeper_daemon::DaemonError;
use mykeeper_daemon::engine::Work;
use mykeeper_daemon::jobs::password_problem;
use mykeeper_daemon::log_pruning::prune_logs;
use mykeeper_daemon::state_dir::{LockAttempt, StateDir};
use mykeeper_domain::JobName;
use mykeeper_domain::destination::Destination;
use mykeeper_domain::job::Job;
use mykeeper_domain::server::{PasswordSource, ToldPassword};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// No password is nearly so long. Bytes.
const MAX_PASSWORD_FILE: u64 = 64 << 10;
/// So many of one command's runs go on beside one another.
const BESIDE_ONE_ANOTHER: u32 = 32;

/// Reads the conf that is named, or the first that there is: beside the program as it was called, in the working
/// directory, in `/etc`.
pub(super) fn find(call: &Call, named: Option<&Path>, needed: &[ConfPart]) -> anyhow::Result<PybackupConf> {
    let file = match named {
        Some(file) => absolute(file)?,
        None => {
            let places = places(call);
            first_of(&places).ok_or_else(|| {
                let looked: Vec<String> = places.iter().map(|file| file.display().to_string()).collect();
                Failure::usage(format!(
                    "there is no {CONF_NAME}; looked for: {}",
                    looked.join(", ")
                ))
            })?
        }
    };
    let read = read_pybackup_conf(&file, needed).map_err(Failure::usage)?;
    for warning in &read.warnings {
        say(&warning.to_string());
    }
    if let Ok(metadata) = std::fs::metadata(&file)
        && metadata.mode() & 0o044 != 0
    {
        say(&format!(
            "warning: others than its owner may read the passwords in {0}; run: chmod 600 {0}",
            file.display()
        ));
    }
    Ok(read.conf)
}

/// Commands in messages name the conf where nothing but it tells of a catalog, however early they are told.
pub(super) fn advise_by_conf(call: &Call, named: Option<&Path>) {
    let file = match named {
        Some(file) => absolute(file).ok(),
        None => first_of(&places(call)),
    };
    if let Some(file) = file.filter(|file| is_pybackup_conf(file) && !call.config.is_file()) {
        printed_for(&file);
    }
}

fn first_of(places: &[PathBuf]) -> Option<PathBuf> {
    places.iter().find(|file| file.is_file()).cloned()
}

fn places(call: &Call) -> Vec<PathBuf> {
    let program = Path::new(&call.program);
    let beside = match program.parent() {
        Some(folder) if folder != Path::new("") => Some(folder.to_owned()),
        _ => search_path()
            .into_iter()
            .find(|folder| folder.join(program).is_file()),
    };
    let folders = beside
        .into_iter()
        .chain([PathBuf::from("."), PathBuf::from("/etc")]);
    let mut files: Vec<PathBuf> = Vec::new();
    for folder in folders {
        let file = folder.join(CONF_NAME);
        let file = std::path::absolute(&file).unwrap_or(file);
        if !files.contains(&file) {
            files.push(file);
        }
    }
    files
}

/// The settings of `mykeeper.toml`, where there is one that can be used. Of the schedule nothing is needed here: with a mistake
/// in it this works on the node and the state of the daemon, which goes on by the files as they were.
pub(super) fn keeper(call: &Call) -> Option<Settings> {
    static TOLD: OnceLock<()> = OnceLock::new();
    // Commands in messages name pybackup's conf in its place, where that is what they were asked by.
    let config = match is_pybackup_conf(&call.config) {
        true => Path::new(DEFAULT_CONFIG),
        false => &call.config,
    };
    if !config.is_file() {
        return None;
    }
    let file = config.display();
    let (settings, warning) = match read_despite_schedule(config) {
        Ok((settings, None)) => return Some(settings),
        Ok((settings, Some(_))) => {
            let schedule = settings.schedule_file.display();
            let warning = format!(
                "warning: {schedule} has mistakes, and nothing of it is needed here; see mykeeper --config {file} check --offline"
            );
            (Some(settings), warning)
        }
        Err(_) => {
            let warning = format!(
                "warning: {file} has mistakes and is left out of account; see mykeeper --config {file} check --offline"
            );
            (None, warning)
        }
    };
    TOLD.get_or_init(|| say(&warning));
    settings
}

/// The conf in mykeeper's terms.
pub(super) fn settings(
    call: &Call,
    conf: &PybackupConf,
    words: Option<&DumpWords>,
    no_history: bool,
) -> anyhow::Result<Settings> {
    let keeper = keeper(call);
    let (timezone, uncertain) = host_zone_or_nearest();
    if let Some(uncertain) = uncertain {
        say(&uncertain);
    }
    let local_socket = client_socket();
    let from = DropIn {
        conf,
        keeper: keeper.as_ref(),
        surroundings: &gather(),
        timezone,
        local_socket: local_socket.as_deref(),
        words,
        no_history,
    };
    let mut settings = drop_in_settings(from).map_err(Failure::usage)?;
    let is_keepers = keeper.is_some_and(|keeper| keeper.state_dir == settings.state_dir);
    if is_keepers {
        printed_for(&call.config);
    } else if is_pybackup_conf(&conf.file) {
        printed_for(&conf.file);
    }
    for destination in settings.destinations.values_mut() {
        let mut known = Destination::clone(destination);
        known.password = password_as_rsync_takes_it(&known.password);
        *destination = Arc::new(known);
    }
    Ok(settings)
}

/// rsync takes a password file that its group may read, and so do hosts that have one. What rsync does not take is told,
/// and left to the transfer to fail of: the dump is made all the same.
fn password_as_rsync_takes_it(source: &PasswordSource) -> PasswordSource {
    let PasswordSource::File(path) = source else {
        return source.clone();
    };
    let Err(error) = read_password(source, None) else {
        return source.clone();
    };
    let is_for_group = std::fs::metadata(path)
        .is_ok_and(|file| file.is_file() && file.mode() & 0o007 == 0 && file.len() <= MAX_PASSWORD_FILE);
    let told = is_for_group.then(|| std::fs::read_to_string(path).ok()).flatten();
    let first = told
        .as_deref()
        .and_then(|text| text.lines().next())
        .filter(|line| !line.is_empty());
    match first {
        Some(line) => {
            say(&format!(
                "warning: the group of {0} may read the password in it; run: chmod 600 {0}",
                path.display()
            ));
            PasswordSource::Told(ToldPassword::new(line.to_owned().into()))
        }
        None => {
            say(&format!(
                "warning: [rsync] password_file: {}",
                password_problem(&error)
            ));
            source.clone()
        }
    }
}

/// Makes work for the name of a run.
pub(super) type Making<'a> = dyn Fn() -> Option<Work> + Send + Sync + 'a;

/// Runs the job to its end, as it is or with other work. Where another run of its name goes on, it goes on beside it
/// under a number: pybackup's runs do not wait for one another, and a server's dumps do.
pub(super) async fn run_beside_others(
    settings: Settings,
    job: Job,
    work: &Making<'_>,
    log: Option<Beside>,
) -> anyhow::Result<Status> {
    let name = job.name.to_string();
    for number in 1..=BESIDE_ONE_ANOTHER {
        let mut job = job.clone();
        if number > 1 {
            job.name = JobName::new(format!("{name} {number}"))?;
        }
        // The file of a lock is made in a folder that may not be there yet.
        let state = StateDir::open(&settings.state_dir)?;
        if let LockAttempt::Busy(_) = state.lock_job(&job.name)? {
            continue;
        }
        let job = Arc::new(job);
        let mut settings = settings.clone();
        // Also one that was cut off under another number is settled as what it was.
        for number in 2..=BESIDE_ONE_ANOTHER {
            let name = JobName::new(format!("{name} {number}"))?;
            let mut other = Job::clone(&job);
            other.name = name.clone();
            settings.jobs.insert(name, Arc::new(other));
        }
        settings.jobs.insert(job.name.clone(), Arc::clone(&job));
        let shut_out = shut_out_at(&settings);
        let environment = environment_or_journal(settings).await?;
        let is_shut_out = environment.catalog.backlog().await?.is_shut_out;
        // No daemon may ever run here.
        if let Err(error) = prune_logs(&environment).await {
            tracing::error!(%error, "old logs are left");
        }
        let told = "the tools are ended and the run is recorded as cancelled";
        match to_its_end_beside(&environment, (job, work()), (false, told), log.clone()).await {
            Ok((finished, caught)) => {
                // There may be no mykeeper.toml that would tell `mykeeper run-log` where to look.
                let log = state.run_log(finished.id).display().to_string();
                let status = conclude_with(&finished, caught, false, &log);
                if is_shut_out {
                    say(&shut_out);
                }
                // Every night would be as good as this one, and none in the catalog.
                return status.map(|status| match status {
                    Status::Done if is_shut_out => Status::Warnings,
                    status => status,
                });
            }
            Err(error) if is_busy(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Failure::unavailable(format!(
        "{BESIDE_ONE_ANOTHER} runs of {name} go on already; end some of them, or wait"
    )))
}

/// What to look at where the catalog's server does not take the account.
fn shut_out_at(settings: &Settings) -> String {
    let look_at = match settings.catalog.password {
        PasswordSource::None | PasswordSource::Told(_) => format!(
            "db_user, db_passwd and db_use in [CATALOG] of {}",
            settings.keeper_file.display()
        ),
        // Where both files name one catalog, it is opened as this one says.
        _ => "url and password of [catalog] in mykeeper.toml".to_owned(),
    };
    format!(
        "warning: nothing of this is in the catalog, which refuses the account, and that does not pass by itself; \
         look at {look_at}"
    )
}

fn is_busy(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<DaemonError>(),
        Some(DaemonError::JobBusy { .. })
    )
}
