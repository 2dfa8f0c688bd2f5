//! `mykeeper run-log`

use crate::failure::{Failure, Status};
use crate::surroundings::{Look, open_catalog_or_copy, settings_despite_schedule};
use mykeeper_catalog::{Catalog, RunFilter};
use mykeeper_config::Settings;
use mykeeper_domain::RunId;
use mykeeper_domain::run::Run;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Among how many of the last runs the beginning of an identity is looked for.
const LOOKED_AT: u32 = 1000;

/// Prints the log of one run. One that lies on this machine is found without the catalog.
pub(crate) async fn run(config: &Path, wanted: &str) -> anyhow::Result<Status> {
    let settings = settings_despite_schedule(config)?;
    let mut here = logs_here(&settings, wanted);
    let path = match here.pop() {
        Some(path) if here.is_empty() => path,
        Some(_) => return Err(several(wanted)),
        None => recorded_log(&settings, wanted).await?,
    };
    print_file(&path)
}

/// The logs in `state_dir` of runs whose identity begins so.
fn logs_here(settings: &Settings, wanted: &str) -> Vec<PathBuf> {
    let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    if wanted.is_empty() || !wanted.chars().all(is_id) {
        return Vec::new();
    }
    let wanted = wanted.to_ascii_lowercase();
    let named = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
            .collect::<Vec<_>>()
    };
    named(&settings.state_dir.join("runs"))
        .into_iter()
        .filter(|(shelf, _)| shelf.starts_with(&wanted) || wanted.starts_with(shelf.as_str()))
        .flat_map(|(_, shelf)| named(&shelf))
        .filter(|(name, _)| {
            name.strip_suffix(".log")
                .is_some_and(|id| id.starts_with(&wanted) && id.parse::<RunId>().is_ok())
        })
        .map(|(_, log)| log)
        .collect()
}

/// Where the catalog says that the log is: of a run that has none, or whose log lies elsewhere.
async fn recorded_log(settings: &Settings, wanted: &str) -> anyhow::Result<PathBuf> {
    let look = open_catalog_or_copy(settings).await?;
    let found = find_run(&look, wanted).await;
    look.catalog.close().await;
    let run = found?;
    let Some(path) = run.log_path else {
        return Err(Failure::usage(format!(
            "run {} has no log: {} ({})",
            run.id,
            run.state,
            run.reason.unwrap_or_default()
        )));
    };
    if run.node != settings.node && !path.exists() {
        return Err(Failure::unavailable(format!(
            "the log of run {} lies on node {}, at {}: ask there",
            run.id,
            run.node,
            path.display()
        )));
    }
    Ok(path)
}

/// By whole identity, or by the first characters where they tell it from the last thousand others.
async fn find_run(look: &Look, wanted: &str) -> anyhow::Result<Run> {
    let none = || match &look.away {
        Some(away) => Failure::unavailable(format!(
            "this node has no log of a run {wanted:?}; whether another has cannot be told: {away}"
        )),
        None => Failure::usage(format!(
            "there is no run {wanted:?}; \"mykeeper runs\" lists them"
        )),
    };
    let catalog: &dyn Catalog = look.catalog.as_ref();
    if let Ok(id) = wanted.parse() {
        return catalog.run(id).await?.ok_or_else(none);
    }
    let recent = catalog
        .runs(&RunFilter {
            limit: LOOKED_AT,
            ..Default::default()
        })
        .await?;
    let mut matching = recent
        .into_iter()
        .filter(|run| run.id.to_string().starts_with(wanted));
    let first = matching.next().ok_or_else(none)?;
    match matching.next() {
        Some(_) => Err(several(wanted)),
        None => Ok(first),
    }
}

fn several(wanted: &str) -> anyhow::Error {
    Failure::usage(format!(
        "{wanted:?} begins the identities of several runs; write more of it"
    ))
}

fn print_file(path: &Path) -> anyhow::Result<Status> {
    let unread = |error: std::io::Error| {
        Failure::unavailable(format!("cannot read the log {}: {error}", path.display()))
    };
    let mut file = std::fs::File::open(path).map_err(unread)?;
    // In pieces: a log may be larger than memory should be.
    let mut buffer = vec![0; 64 * 1024];
    let mut out = std::io::stdout().lock();
    loop {
        let read = file.read(&mut buffer).map_err(unread)?;
        if read == 0 {
            return Ok(Status::Done);
        }
        match out.write_all(&buffer[..read]) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(Status::Done),
            result => result?,
        }
    }
}
