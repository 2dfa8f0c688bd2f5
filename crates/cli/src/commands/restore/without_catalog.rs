//! A restore while the catalog cannot be asked: the set tells of itself.

use crate::args::RestoreArgs;
use crate::commands::wanted_set::WantedSet;
use crate::failure::Failure;
use crate::output::{out_of_reach, say, when};
use crate::surroundings::{
    assemble, empty_catalog, local_zone, missing_file, open_catalog, open_catalog_or_journal,
};
use mykeeper_catalog::{Catalog, CatalogError, MigrationStatus, is_shared};
use mykeeper_config::Settings;
use mykeeper_daemon::Environment;
use mykeeper_daemon::jobs::restore::{SetHere, ids_here, roots_here, sets_here};
use mykeeper_daemon::unrecorded::{Unrecorded, unrecorded_sets};
use mykeeper_domain::BackupId;
use mykeeper_tools::rsync::shell_word;
use std::sync::Arc;

/// How many sets are named where a beginning is that of several.
const NAMED: usize = 10;
const BY_ITSELF: &str = "a set is restored by the records in its own folder";

/// Everything that a restore needs; where the catalog cannot be asked, why not, which has been said then.
///
/// What is to be recorded waits in the journal of a shared catalog. Of an embedded one that is gone none is made for it: it
/// may be put back yet.
pub(super) async fn environment_to_restore(
    settings: Settings,
) -> anyhow::Result<(Arc<Environment>, Option<String>)> {
    let (catalog, unasked) = match is_shared(&settings.catalog.url) {
        true => open_shared(&settings).await?,
        false => open_embedded(&settings).await?,
    };
    Ok((assemble(settings, catalog)?, unasked))
}

async fn open_shared(settings: &Settings) -> anyhow::Result<(Arc<dyn Catalog>, Option<String>)> {
    let catalog = open_catalog_or_journal(settings).await?;
    let error = match catalog.status().await {
        Err(error) if error.is_away() => error,
        status => {
            let unasked = of_empty(&status?);
            return Ok((catalog, unasked));
        }
    };
    say(&format!(
        "{}: {BY_ITSELF}, and what is to be recorded is kept in {} until it can be written: {error}",
        out_of_reach(error.is_shut_out()),
        settings.state_dir.display()
    ));
    Ok((catalog, Some(error.to_string())))
}

/// One that was lost and made anew tells nothing either.
fn of_empty(status: &MigrationStatus) -> Option<String> {
    (status.backups == Some(0)).then(|| format!("the catalog {} has no set at all", status.url))
}

async fn open_embedded(settings: &Settings) -> anyhow::Result<(Arc<dyn Catalog>, Option<String>)> {
    let why = match missing_file(settings) {
        Some(file) => format!("there is no catalog {}", file.display()),
        None => match open_catalog(settings).await {
            Ok(catalog) => {
                let unasked = of_empty(&catalog.status().await?);
                return Ok((catalog, unasked));
            }
            Err(error) => match error.downcast_ref::<CatalogError>() {
                // A newer program has it.
                None | Some(CatalogError::Schema { .. }) => return Err(error),
                Some(error) => error.to_string(),
            },
        },
    };
    say(&format!(
        "{why}: {BY_ITSELF}; no catalog is made for this, and the run is told of in its log alone, below {}/runs",
        settings.state_dir.display()
    ));
    let found = unrecorded_sets(settings, None).await?;
    if !found.is_empty() {
        say(&Unrecorded::describe(&found));
    }
    Ok((empty_catalog(settings).await?, Some(why)))
}

/// The set that is meant, as far as the folders on this machine tell.
///
/// # Errors
/// That takes the catalog; then the complete sets that lie here are named, with what restores them.
pub(super) async fn find_here(
    wanted: &WantedSet,
    environment: &Environment,
    (why, args): (&str, &RestoreArgs),
) -> anyhow::Result<BackupId> {
    let name = match wanted {
        WantedSet::Id(id) => return Ok(*id),
        WantedSet::Prefix(prefix) => return of_prefix(environment, prefix, why).await,
        WantedSet::Newest(name) | WantedSet::NewestProven(name) => name.as_deref(),
    };
    let asked = format!(
        "which set {:?} is, the catalog alone can tell: {why}",
        args.bk_id.trim()
    );
    let sets = sets_here(environment, name).await;
    if sets.is_empty() {
        return Err(Failure::unavailable(format!(
            "{asked}; no complete set of that name lies in {}; name one by its bk_id, with --from and its folder",
            folders(environment)
        )));
    }
    let lines: Vec<String> = sets.iter().map(|set| command(set, args)).collect();
    Err(Failure::unavailable(format!(
        "{asked}; complete sets that lie on this machine, the newest first (whether they are proven is not known):\n  {}",
        lines.join("\n  ")
    )))
}

async fn of_prefix(environment: &Environment, prefix: &str, why: &str) -> anyhow::Result<BackupId> {
    let found = ids_here(environment, prefix, NAMED + 1).await;
    match found.as_slice() {
        [only] => Ok(*only),
        [] => Err(Failure::unavailable(format!(
            "{why}, and no set whose bk_id begins with {prefix:?} lies in {}; write the whole of it, and name its folder with \
             --from",
            folders(environment)
        ))),
        several => {
            let more = match several.len() > NAMED {
                true => "\n  and more",
                false => "",
            };
            let ids: Vec<String> = several.iter().take(NAMED).map(ToString::to_string).collect();
            Err(Failure::usage(format!(
                "the bk_ids of several sets here begin with {prefix:?}; write more of the one that is meant:\n  {}{more}",
                ids.join("\n  ")
            )))
        }
    }
}

fn folders(environment: &Environment) -> String {
    let roots = roots_here(&environment.settings());
    match roots.is_empty() {
        true => "any folder of this machine that is configured".to_owned(),
        false => roots
            .iter()
            .map(|root| root.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// `2026-11-22 04:00 UTC, shop, job nightly: mykeeper restore <bk_id> --from /data/... --into spare`, with all else that was asked
/// for.
fn command(set: &SetHere, args: &RestoreArgs) -> String {
    let job = set
        .job
        .as_ref()
        .map_or_else(String::new, |job| format!(", job {job}"));
    let mut words = format!(
        "mykeeper restore {} --from {} --into {}",
        set.id,
        shell_word(&set.path.display().to_string()),
        shell_word(&args.into)
    );
    let options = args.database.iter().map(|name| ("--database", name));
    let options = options.chain(args.new_name.iter().map(|name| ("--as", name)));
    for (option, value) in options.chain(args.table.iter().map(|name| ("--table", name))) {
        words.push_str(&format!(" {option} {}", shell_word(value)));
    }
    for (is_asked, option) in [
        (args.overwrite, "--overwrite"),
        (args.despite_missing_rights, "--despite-missing-rights"),
        (args.dry_run, "--dry-run"),
    ] {
        if is_asked {
            words.push_str(&format!(" {option}"));
        }
    }
    let began = when(set.started_at, local_zone());
    format!("{began}, {}{job}: {words}", set.tag)
}
