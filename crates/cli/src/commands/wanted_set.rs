//! Which set a person means: a bk_id, the beginning of one, or the newest.

use crate::failure::Failure;
use crate::output::when;
use crate::surroundings::local_zone;
use mykeeper_catalog::{BackupFilter, Catalog, SetState};
use mykeeper_config::Settings;
use mykeeper_daemon::Environment;
use mykeeper_daemon::jobs::verify::look_here;
use mykeeper_daemon::repair::elsewhere;
use mykeeper_domain::backup::{Backup, Deletion, ValidateStatus};
use mykeeper_domain::damage::Damage;
use mykeeper_domain::job::JobKind;
use mykeeper_domain::verification::VerificationState;
use mykeeper_domain::{BackupId, JobName, ServerName};

/// Fewer characters than these may come to stand for another set any day.
const SHORTEST_PREFIX: usize = 4;
/// Before commands that stand on lines of their own, below the line of their set.
const MARGIN: &str = "  ";
/// How many sets are named where a beginning is that of several.
const NAMED: u32 = 10;
/// Of so many of the newest sets one must be left that is not being removed.
const LOOKED_AT: u32 = 100;

/// As it was typed, and makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WantedSet {
    /// The whole of it.
    Id(BackupId),
    /// Its first characters, in small letters.
    Prefix(String),
    /// The newest complete set that is there: of all, or of the server or job of this name.
    Newest(Option<String>),
    /// The same of those that are proven, and not damaged.
    NewestProven(Option<String>),
}

/// What the newest must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    Complete,
    Proven,
    /// Complete, no failed proof, and not every copy damaged.
    Restorable,
}

/// What is asked of the newest.
#[derive(Clone, Copy)]
struct Asked<'a> {
    catalog: &'a dyn Catalog,
    /// Who is told what in it can be brought here.
    settings: &'a Settings,
    worth: Worth,
    /// Where it would be restored: a copy must be there, where one was.
    restored_on: Option<&'a Environment>,
}

impl WantedSet {
    /// # Errors
    /// It is nothing of the kind.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let (word, name) = match text.split_once(':') {
            None => (text, None),
            Some((word, name)) => (word, Some(name.to_owned())),
        };
        if name.as_ref().is_none_or(|name| !name.is_empty()) {
            match word {
                "newest" => return Ok(Self::Newest(name)),
                "newest-proven" => return Ok(Self::NewestProven(name)),
                _ => {}
            }
        }
        let is_of_a_uuid = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if is_of_a_uuid && (SHORTEST_PREFIX..36).contains(&text.len()) {
            return Ok(Self::Prefix(text.to_ascii_lowercase()));
        }
        Err(Failure::usage(format!(
            "{text:?} is no bk_id; write one as \"mykeeper backups\" shows it, its first {SHORTEST_PREFIX} characters or \
             more, \"newest\" or \"newest-proven\", or \"newest:NAME\" with the name of a server or a job"
        )))
    }

    /// The set's identity. One that was written in full may be of a set that the catalog does not know.
    ///
    /// # Errors
    /// There is no such set, or more than one, or the catalog does not answer.
    pub(crate) async fn find(&self, catalog: &dyn Catalog, settings: &Settings) -> anyhow::Result<BackupId> {
        let asked = Asked {
            catalog,
            settings,
            worth: Worth::Complete,
            restored_on: None,
        };
        let (id, _) = self.search(asked).await?;
        Ok(id)
    }

    /// The same for a restore: the newest is no set whose proof failed, of which every copy is damaged, or whose copies
    /// are missing where they were. Those newer ones that were skipped are told, each with its reason.
    ///
    /// # Errors
    /// As of [`WantedSet::find`].
    pub(crate) async fn find_to_restore(
        &self,
        environment: &Environment,
    ) -> anyhow::Result<(BackupId, Vec<String>)> {
        let settings = environment.settings();
        let asked = Asked {
            catalog: environment.catalog.as_ref(),
            settings: &settings,
            worth: Worth::Restorable,
            restored_on: Some(environment),
        };
        self.search(asked).await
    }

    async fn search(&self, mut asked: Asked<'_>) -> anyhow::Result<(BackupId, Vec<String>)> {
        let name = match self {
            Self::Id(id) => return Ok((*id, Vec::new())),
            Self::Prefix(prefix) => return Ok((of_prefix(asked.catalog, prefix).await?, Vec::new())),
            Self::Newest(name) => name,
            Self::NewestProven(name) => {
                asked.worth = Worth::Proven;
                name
            }
        };
        let worth = asked.worth;
        let found = match name {
            None => newest(asked, BackupFilter::default()).await?,
            Some(name) => newest_of(asked, name).await?,
        };
        if let Some(backup) = found.set {
            return Ok((backup.id, found.skipped));
        }
        let skipped: String = found.skipped.iter().map(|line| format!("\n  {line}")).collect();
        let which = match worth {
            Worth::Complete | Worth::Restorable => "complete",
            Worth::Proven => "proven",
        };
        let but = match skipped.is_empty() {
            true => String::new(),
            false => format!(
                " but these, which are passed by; write a bk_id to try one of them all the same:{skipped}"
            ),
        };
        Err(match name {
            None => Failure::unavailable(format!(
                "the catalog knows no {which} set that is not deleted{but}"
            )),
            Some(name) => Failure::unavailable(format!(
                "there is no {which} set of {name} that is not deleted{but}; \"mykeeper backups\" lists sets"
            )),
        })
    }
}

/// The identity of a set that may be meant; see [`WantedSet::find`].
pub(crate) async fn find_in(
    environment: &Environment,
    wanted: Option<WantedSet>,
) -> anyhow::Result<Option<BackupId>> {
    let Some(wanted) = wanted else { return Ok(None) };
    let settings = environment.settings();
    wanted
        .find(environment.catalog.as_ref(), &settings)
        .await
        .map(Some)
}

async fn of_prefix(catalog: &dyn Catalog, prefix: &str) -> anyhow::Result<BackupId> {
    let filter = BackupFilter {
        id_prefix: Some(prefix.to_owned()),
        limit: NAMED + 1,
        ..BackupFilter::default()
    };
    let found = catalog.backups(&filter).await?;
    match found.as_slice() {
        [] => Err(Failure::usage(format!(
            "the catalog knows no set whose bk_id begins with {prefix:?}; \"mykeeper backups --all\" lists them"
        ))),
        [only] => Ok(only.id),
        several => {
            let more = match several.len() > NAMED as usize {
                true => "\n  and more",
                false => "",
            };
            let lines: Vec<String> = several.iter().take(NAMED as usize).map(told).collect();
            Err(Failure::usage(format!(
                "the bk_ids of several sets begin with {prefix:?}; write more of the one that is meant:\n  {}{more}",
                lines.join("\n  ")
            )))
        }
    }
}

/// A set among others.
fn told(backup: &Backup) -> String {
    let job = backup
        .job
        .as_ref()
        .map_or_else(String::new, |job| format!(", job {job}"));
    let deleted = match backup.deletion {
        Deletion::None => String::new(),
        deletion => format!(", {deletion}"),
    };
    format!(
        "{}: {}{job}, started at {}{deleted}",
        backup.id,
        backup.tag,
        when(backup.started_at, local_zone())
    )
}

/// The newest that is worth it, and those before it that are not.
#[derive(Default)]
struct Newest {
    set: Option<Backup>,
    skipped: Vec<String>,
}

async fn newest(asked: Asked<'_>, narrowed: BackupFilter) -> anyhow::Result<Newest> {
    let (catalog, worth) = (asked.catalog, asked.worth);
    let state = match worth {
        Worth::Proven => SetState::Proven,
        Worth::Complete | Worth::Restorable => SetState::Complete,
    };
    let filter = BackupFilter {
        present_only: true,
        state: Some(state),
        limit: LOOKED_AT,
        ..narrowed.clone()
    };
    let mut newest = Newest::default();
    for backup in catalog.backups(&filter).await? {
        if backup.deletion != Deletion::None {
            continue;
        }
        let fault = match worth {
            Worth::Restorable => fault(asked, &backup).await?,
            Worth::Complete | Worth::Proven => None,
        };
        let fault = match (fault, asked.restored_on) {
            (None, Some(environment)) => missing(environment, asked, &backup).await?,
            (fault, _) => fault,
        };
        match fault {
            None => {
                newest.set = Some(backup);
                break;
            }
            Some(fault) => newest.skipped.push(format!("{}: {fault}", told(&backup))),
        }
    }
    if worth == Worth::Proven {
        let since = newest.set.as_ref().map(|set| set.started_at);
        let damaged = proven_once(asked, BackupFilter { since, ..narrowed }).await?;
        newest.skipped.extend(damaged);
    }
    Ok(newest)
}

/// The sets that were proven and are damaged now, each with its reason.
async fn proven_once(asked: Asked<'_>, narrowed: BackupFilter) -> anyhow::Result<Vec<String>> {
    let filter = BackupFilter {
        present_only: true,
        state: Some(SetState::Damaged),
        limit: LOOKED_AT,
        ..narrowed
    };
    let mut skipped = Vec::new();
    for backup in asked.catalog.backups(&filter).await? {
        let was_proven =
            backup.validate_status == ValidateStatus::Passed && backup.deletion == Deletion::None;
        if was_proven && let Some(fault) = fault(asked, &backup).await? {
            skipped.push(format!("{}: it was proven, and {fault}", told(&backup)));
        }
    }
    Ok(skipped)
}

/// Where every copy of the set was that this machine had, where none is there any more. What cannot be asked is not
/// known to be missing: the restore itself tells.
async fn missing(
    environment: &Environment,
    asked: Asked<'_>,
    backup: &Backup,
) -> anyhow::Result<Option<String>> {
    let Ok(here) = look_here(environment, backup).await else {
        return Ok(None);
    };
    if !here.copies.is_empty() || here.gone.is_empty() {
        return Ok(None);
    }
    let mut told: Vec<String> = Vec::new();
    for copy in &here.gone {
        told.extend(copy.sentences().map(|what| format!("{}: {what}", copy.path)));
    }
    told.extend(here.away());
    let copy = elsewhere(asked.settings, asked.catalog, backup).await?;
    told.extend(copy.map(|copy| copy.shown(MARGIN)));
    Ok(Some(told.join("; ")))
}

/// Why nobody would restore the set without having asked for it.
async fn fault(asked: Asked<'_>, backup: &Backup) -> anyhow::Result<Option<String>> {
    let (catalog, settings) = (asked.catalog, asked.settings);
    if backup.validate_status == ValidateStatus::Failed {
        let proofs = catalog.proofs(backup.id).await?;
        let why = proofs.first().map(|last| format!(": {}", last.summary()));
        return Ok(Some(format!("its proof failed{}", why.unwrap_or_default())));
    }
    let looks = catalog.verifications(backup.id).await?;
    if looks.iter().all(|look| look.state != VerificationState::Differs) {
        return Ok(None);
    }
    let proven = catalog.proven_copies(backup.id).await?;
    let Some(damage) = Damage::of(&looks, &proven).filter(Damage::is_of_every_copy) else {
        return Ok(None);
    };
    let mut lines = damage.lines(local_zone());
    let copy = elsewhere(settings, catalog, backup).await?;
    lines.extend(copy.map(|copy| copy.shown(MARGIN)));
    Ok(Some(format!("it is damaged: {}", lines.join("; "))))
}

/// A name may be that of a server here, of a job, and a tag of another node's server.
async fn newest_of(asked: Asked<'_>, name: &str) -> anyhow::Result<Newest> {
    let (catalog, settings) = (asked.catalog, asked.settings);
    let server = ServerName::new(name)
        .ok()
        .and_then(|name| settings.servers.get(&name));
    let of_server = BackupFilter {
        tag: Some(server.map_or_else(|| name.to_owned(), |server| server.tag.clone())),
        ..BackupFilter::default()
    };
    let of_job = JobName::new(name).ok().map(|job| BackupFilter {
        job: Some(job),
        ..BackupFilter::default()
    });
    let named = JobName::new(name).ok().and_then(|name| settings.jobs.get(&name));
    if let (None, Some(job)) = (server, named.filter(|job| job.kind() != JobKind::Backup))
        && !has_any(catalog, [Some(&of_server), None]).await?
    {
        return Err(Failure::usage(format!(
            "{name:?} is a {} job, which makes no sets; write the name of a server or of a backup job",
            job.kind()
        )));
    }
    let is_configured = server.is_some() || settings.jobs.keys().any(|job| job.as_str() == name);
    if !is_configured && !has_any(catalog, [Some(&of_server), of_job.as_ref()]).await? {
        return Err(Failure::usage(format!(
            "there is no server or job {name:?} here, and the catalog knows no set of one; \"mykeeper backups --all\" lists \
             sets"
        )));
    }
    let of_server = newest(asked, of_server).await?;
    let of_job = match of_job {
        Some(filter) => newest(asked, filter).await?,
        None => Newest::default(),
    };
    match (&of_server.set, &of_job.set) {
        (Some(server), Some(job)) if server.id != job.id => Err(Failure::usage(format!(
            "{name:?} is the name of a server and of a job; write the bk_id of the one that is meant:\n  {}\n  {}",
            told(server),
            told(job)
        ))),
        (Some(_), _) => Ok(of_server),
        (None, Some(_)) => Ok(of_job),
        (None, None) => Ok(match of_server.skipped.is_empty() {
            true => of_job,
            false => of_server,
        }),
    }
}

/// Whether one of the filters finds a set.
async fn has_any(catalog: &dyn Catalog, filters: [Option<&BackupFilter>; 2]) -> anyhow::Result<bool> {
    for filter in filters.into_iter().flatten() {
        let one = BackupFilter {
            limit: 1,
            ..filter.clone()
        };
        if !catalog.backups(&one).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_named_by_its_identity_the_beginning_of_it_or_as_the_newest() {
        let id = "bcd36dc6-c9e7-11e7-9e30-005056b15d9c";
        let parse = |text: &str| WantedSet::parse(text).ok();
        assert_eq!(
            parse(&format!(" {id}\n")),
            Some(WantedSet::Id(id.parse().unwrap()))
        );
        assert_eq!(parse("BCD3"), Some(WantedSet::Prefix("bcd3".into())));
        assert_eq!(
            parse("bcd36dc6-c9e7"),
            Some(WantedSet::Prefix("bcd36dc6-c9e7".into()))
        );
        assert_eq!(parse("newest"), Some(WantedSet::Newest(None)));
        assert_eq!(
            parse("newest:国内 1"),
            Some(WantedSet::Newest(Some("国内 1".into())))
        );
        assert_eq!(parse("newest-proven"), Some(WantedSet::NewestProven(None)));
        assert_eq!(
            parse("newest-proven:shop"),
            Some(WantedSet::NewestProven(Some("shop".into())))
        );
        for text in [
            "newest-proven:",
            "",
            "bcd",
            "bcd%",
            "newest:",
            "latest",
            "bcd36dc6_c9e7",
            &format!("{id}0"),
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
