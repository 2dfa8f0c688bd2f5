//! Which set a person means: a bk_id, the beginning of one, or the newest.

use crate::failure::Failure;
use crate::output::when;
use crate::surroundings::local_zone;
use mykeeper_catalog::{BackupFilter, Catalog, SetState};
use mykeeper_config::Settings;
use mykeeper_daemon::Environment;
use mykeeper_domain::backup::{Backup, Deletion};
use mykeeper_domain::{BackupId, JobName, ServerName};

/// Fewer characters than these may come to stand for another set any day.
const SHORTEST_PREFIX: usize = 4;
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
}

impl WantedSet {
    /// # Errors
    /// It is nothing of the kind.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        match text.split_once(':') {
            None if text == "newest" => return Ok(Self::Newest(None)),
            Some(("newest", name)) if !name.is_empty() => return Ok(Self::Newest(Some(name.to_owned()))),
            _ => {}
        }
        let is_of_a_uuid = text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if is_of_a_uuid && (SHORTEST_PREFIX..36).contains(&text.len()) {
            return Ok(Self::Prefix(text.to_ascii_lowercase()));
        }
        Err(Failure::usage(format!(
            "{text:?} is no bk_id; write one as \"mykeeper backups\" shows it, its first {SHORTEST_PREFIX} characters or \
             more, \"newest\", or \"newest:NAME\" with the name of a server or a job"
        )))
    }

    /// The set's identity. One that was written in full may be of a set that the catalog does not know.
    ///
    /// # Errors
    /// There is no such set, or more than one, or the catalog does not answer.
    pub(crate) async fn find(&self, catalog: &dyn Catalog, settings: &Settings) -> anyhow::Result<BackupId> {
        match self {
            Self::Id(id) => Ok(*id),
            Self::Prefix(prefix) => of_prefix(catalog, prefix).await,
            Self::Newest(None) => {
                let newest = newest(catalog, BackupFilter::default()).await?;
                newest.map(|backup| backup.id).ok_or_else(|| {
                    Failure::unavailable("the catalog knows no complete set that is not deleted")
                })
            }
            Self::Newest(Some(name)) => newest_of(catalog, settings, name).await,
        }
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

async fn newest(catalog: &dyn Catalog, narrowed: BackupFilter) -> anyhow::Result<Option<Backup>> {
    let filter = BackupFilter {
        present_only: true,
        state: Some(SetState::Complete),
        limit: LOOKED_AT,
        ..narrowed
    };
    let found = catalog.backups(&filter).await?;
    Ok(found.into_iter().find(|backup| backup.deletion == Deletion::None))
}

/// A name may be that of a server here, of a job, and a tag of another node's server.
async fn newest_of(catalog: &dyn Catalog, settings: &Settings, name: &str) -> anyhow::Result<BackupId> {
    let server = ServerName::new(name)
        .ok()
        .and_then(|name| settings.servers.get(&name));
    let of_server = BackupFilter {
        tag: Some(server.map_or_else(|| name.to_owned(), |server| server.tag.clone())),
        ..BackupFilter::default()
    };
    let of_server = newest(catalog, of_server).await?;
    let of_job = match JobName::new(name) {
        Ok(job) => {
            let filter = BackupFilter {
                job: Some(job),
                ..BackupFilter::default()
            };
            newest(catalog, filter).await?
        }
        Err(_) => None,
    };
    match (of_server, of_job) {
        (Some(server), Some(job)) if server.id != job.id => Err(Failure::usage(format!(
            "{name:?} is the name of a server and of a job; write the bk_id of the one that is meant:\n  {}\n  {}",
            told(&server),
            told(&job)
        ))),
        (Some(found), _) | (None, Some(found)) => Ok(found.id),
        (None, None) => Err(Failure::usage(format!(
            "there is no complete set of a server or a job {name:?} that is not deleted; \"mykeeper backups\" lists sets"
        ))),
    }
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
        for text in [
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
