//! What mends copies of a set that are not as it was written.

use crate::locate::{original, relative_path};
use mykeeper_catalog::{Catalog, CatalogError};
use mykeeper_config::Settings;
use mykeeper_domain::arrival::arrivals;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::server::PasswordSource;
use mykeeper_domain::verification::{LookedAtCopy, Verification};
use mykeeper_tools::rsync::{Fetch, fetch_command, shell_word};
use std::path::{Path, PathBuf};

/// Where fetched sets are put, in the folder of throwaway servers.
const FETCHED: &str = "fetched-sets";
/// Stands in a command where the file of a password cannot be named: it is no file, or no longer there.
const UNKNOWN_FILE: &str = "FILE-WITH-THE-PASSWORD";

/// What to do about copies that differ, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NextStep {
    /// One line without a command that mends, for logs and reasons.
    pub line: String,
    /// The commands that mend the copies, one line each, in their order; empty where none is known.
    pub commands: Vec<String>,
    /// What looks again afterwards.
    again: String,
}

impl NextStep {
    /// The same for whoever is to do it: each command on a line of its own.
    pub fn shown(&self, margin: &str) -> String {
        if self.commands.is_empty() {
            return self.line.clone();
        }
        let commands = on_lines(&self.commands, margin);
        format!("to mend it:{commands}\n{margin}then look again: {}", self.again)
    }
}

/// Each command on a line of its own, a little behind the margin.
pub(crate) fn on_lines(commands: &[String], margin: &str) -> String {
    let line = |command| format!("\n{margin}  {command}");
    commands.iter().map(line).collect()
}

/// What to do now. `found` is what lies on this machine, `others` what other nodes last found.
pub fn next_step(
    settings: &Settings,
    backup: &Backup,
    found: &Verification,
    others: &[Verification],
) -> NextStep {
    let mender = Mender {
        settings,
        backup,
        others,
    };
    let own = original(backup, &settings.node);
    let whole: Vec<&Path> = found
        .copies
        .iter()
        .filter(|copy| copy.is_intact())
        .map(|copy| Path::new(&copy.path))
        .collect();
    let own_whole = own.as_deref().filter(|own| whole.contains(own));
    let differing = found.copies.iter().filter(|copy| !copy.is_intact());
    let commands: Vec<String> = differing
        .filter_map(|copy| mender.step(copy, own_whole.or(whole.first().copied())))
        .collect();
    let id = backup.id;
    let again = format!("mykeeper verify --bk-id {id}");
    if !commands.is_empty() {
        return NextStep {
            line: format!("\"{again}\" tells what mends it"),
            commands,
            again,
        };
    }
    let known = others
        .iter()
        .find_map(|other| Some((other, other.copies.iter().find(|copy| copy.is_intact())?)));
    let line = match known {
        Some((other, copy)) => format!(
            "on {} it was as written in {} at {}: bring that folder here; then look again: {again}",
            other.node,
            copy.path,
            other.looked_at.format("%Y-%m-%d %H:%M UTC")
        ),
        None if others.is_empty() && backup.arrived.is_empty() => {
            "no copy that is whole is known, and no other place".to_owned()
        }
        None => format!("no copy that is whole is known: look at its other places (mykeeper show {id})"),
    };
    NextStep {
        line,
        commands,
        again,
    }
}

/// A copy that has arrived on another machine, where this one cannot read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// Where it is and when it was last seen as written, for people.
    pub copy: String,
    /// The commands that bring it here, one line each, in their order.
    pub commands: Vec<String>,
}

impl Elsewhere {
    /// For people, each command on a line of its own.
    pub fn shown(&self, margin: &str) -> String {
        format!(
            "{} is brought here by:{}",
            self.copy,
            on_lines(&self.commands, margin)
        )
    }
}

/// Where else the set lies. `None` where nowhere is known, or the set is not of this machine.
///
/// # Errors
/// The catalog does not answer.
pub async fn elsewhere(
    settings: &Settings,
    catalog: &dyn Catalog,
    backup: &Backup,
) -> Result<Option<Elsewhere>, CatalogError> {
    let Some(own) = original(backup, &settings.node) else {
        return Ok(None);
    };
    let looks = catalog.verifications(backup.id).await?;
    let Some(destination) = whole_away(settings, backup, &looks) else {
        return Ok(None);
    };
    let arrived = arrivals(backup, &catalog.transfers(backup.id).await?);
    let seen = arrived
        .iter()
        .find(|arrival| arrival.destination == destination.name.as_str())
        .map_or_else(String::new, |arrival| {
            format!(
                " (last seen as written at {})",
                arrival.seen_at.format("%Y-%m-%d %H:%M UTC")
            )
        });
    // Where the original was removed, what lies there is no copy of the set any more, and is removed again.
    let commands = match backup.original_gone_at {
        None => vec![fetching_from(settings, backup, destination, &own)],
        Some(_) => bringing_aside(settings, backup, destination),
    };
    Ok(Some(Elsewhere {
        copy: format!("the copy at {}{seen}", destination.name),
        commands,
    }))
}

struct Mender<'a> {
    settings: &'a Settings,
    backup: &'a Backup,
    /// What other nodes last found.
    others: &'a [Verification],
}

impl Mender<'_> {
    /// The command that makes one copy whole again; `None` where nothing whole is known to make it from.
    fn step(&self, copy: &LookedAtCopy, whole: Option<&Path>) -> Option<String> {
        let place = Path::new(&copy.path);
        let is_too_much = copy.differences.iter().any(|one| one.expected == "absent");
        let own = original(self.backup, &self.settings.node);
        match whole {
            Some(whole) => {
                let is_sent = own.as_deref() == Some(whole) && !is_too_much;
                let sending = is_sent.then(|| self.sending(whole, place)).flatten();
                Some(sending.unwrap_or_else(|| copying(whole, place, copy.is_gone)))
            }
            None => fetching(self.settings, (self.backup, self.others), place),
        }
    }

    /// As a transfer sends it, where the copy lies at a destination.
    fn sending(&self, whole: &Path, place: &Path) -> Option<String> {
        let relative = relative_path(self.backup, self.settings.catalog.timezone);
        let destination = destinations(self.settings, self.backup).find(|destination| {
            matches!(&destination.url, DestinationUrl::Local { path } if path.join(&relative) == place)
        })?;
        Some(format!(
            "mykeeper transfer --backup-dir {} --bk-id {} --to {}",
            shell_word(&whole.display().to_string()),
            self.backup.id,
            shell_word(destination.name.as_str())
        ))
    }
}

fn copying(whole: &Path, place: &Path, is_gone: bool) -> String {
    let folder = |path: &Path| shell_word(&path.join("").display().to_string());
    // With the set's folder that of its day may be gone, and rsync makes one level.
    let above = place
        .parent()
        .filter(|_| is_gone)
        .map_or_else(String::new, |above| {
            format!("mkdir -p {} && ", shell_word(&above.display().to_string()))
        });
    format!(
        "{above}rsync --archive --checksum --delete {} {}",
        folder(whole),
        folder(place)
    )
}

/// The command that fetches the set into `folder` from a destination on another machine where it has arrived, and where none
/// of `looks` has found it damaged; `None` where there is none.
pub(crate) fn fetching(
    settings: &Settings,
    (backup, looks): (&Backup, &[Verification]),
    folder: &Path,
) -> Option<String> {
    let destination = whole_away(settings, backup, looks)?;
    Some(fetching_from(settings, backup, destination, folder))
}

/// The commands that bring the set from such a destination to a folder of its own, and make that known; none where there is
/// no such destination.
pub(crate) fn fetching_aside(
    settings: &Settings,
    (backup, looks): (&Backup, &[Verification]),
) -> Vec<String> {
    let destination = whole_away(settings, backup, looks);
    destination.map_or_else(Vec::new, |destination| {
        bringing_aside(settings, backup, destination)
    })
}

/// The command that brings the set from such a destination to a folder of its own, and that folder as a word of a shell: where no
/// place can be made known, since the catalog cannot be asked.
pub(crate) fn fetching_by_itself(settings: &Settings, backup: &Backup) -> Option<(String, String)> {
    let destination = whole_away(settings, backup, &[])?;
    let folder = folder_aside(settings, backup);
    let fetch = fetching_from(settings, backup, destination, &folder);
    Some((fetch, shell_word(&folder.display().to_string())))
}

fn folder_aside(settings: &Settings, backup: &Backup) -> PathBuf {
    let root = settings.sandbox.directory.join(FETCHED);
    root.join(relative_path(backup, settings.catalog.timezone))
}

fn bringing_aside(settings: &Settings, backup: &Backup, destination: &Destination) -> Vec<String> {
    let root = settings.sandbox.directory.join(FETCHED);
    let folder = folder_aside(settings, backup);
    let add = format!(
        "mykeeper paths add --bk-server {} --remote-server {} --tag {} --real-path {}",
        shell_word(&backup.bk_server),
        shell_word(settings.node.as_str()),
        shell_word(&backup.tag),
        shell_word(&root.display().to_string())
    );
    vec![fetching_from(settings, backup, destination, &folder), add]
}

/// The destination on another machine to fetch the set from.
fn whole_away<'a>(
    settings: &'a Settings,
    backup: &Backup,
    looks: &[Verification],
) -> Option<&'a Destination> {
    let relative = relative_path(backup, settings.catalog.timezone);
    // First those that it was meant to go to, in their order; then where a person has sent it.
    let beside = backup
        .arrived
        .iter()
        .filter(|name| !backup.transfer_to.contains(name));
    let named = backup
        .transfer_to
        .iter()
        .filter(|name| backup.arrived.contains(name));
    named
        .chain(beside)
        .filter_map(|name| settings.destinations.get(name).map(AsRef::as_ref))
        .find(|destination| {
            !matches!(destination.url, DestinationUrl::Local { .. })
                && !is_seen_damaged(&destination.url, &relative, looks)
        })
}

fn fetching_from(settings: &Settings, backup: &Backup, destination: &Destination, folder: &Path) -> String {
    let password_file = match &destination.password {
        PasswordSource::None => None,
        PasswordSource::File(path) => Some(path.as_path()),
        PasswordSource::Credential(_) | PasswordSource::Told(_) => Some(Path::new(UNKNOWN_FILE)),
    };
    fetch_command(&Fetch {
        rsync: &settings.tools.rsync,
        ssh_program: &settings.tools.ssh,
        destination,
        password_file,
        relative: &relative_path(backup, settings.catalog.timezone),
        folder,
    })
}

/// Whether a copy that a node has read is that of the destination, as far as its place tells, and differs. An rsync daemon
/// does not tell where its module lies, but a node may be called like it.
fn is_seen_damaged(url: &DestinationUrl, relative: &str, looks: &[Verification]) -> bool {
    let lies_there = |look: &Verification, place: &str| match url {
        DestinationUrl::Ssh { path, .. } => Path::new(path).join(relative) == Path::new(place),
        DestinationUrl::Daemon { host, .. } => {
            look.node.as_str() == host && Path::new(place).ends_with(relative)
        }
        DestinationUrl::Local { .. } => false,
    };
    let mut read = looks
        .iter()
        .flat_map(|look| look.copies.iter().map(move |copy| (look, copy)))
        .filter(|(look, copy)| lies_there(look, &copy.path))
        .peekable();
    // Two machines may have folders of one name: where one of them is whole, it may be this one.
    read.peek().is_some() && read.all(|(_, copy)| !copy.is_intact())
}

fn destinations<'a>(settings: &'a Settings, backup: &'a Backup) -> impl Iterator<Item = &'a Destination> {
    let named = backup
        .transfer_to
        .iter()
        .filter_map(|name| settings.destinations.get(name));
    named.map(AsRef::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::DestinationName;
    use mykeeper_domain::verification::VerificationState;

    fn settings() -> Settings {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mykeeper.toml");
        let near = dir.path().join("near");
        let text = format!(
            "state_dir = \"/s\"\nnode = \"n\"\n[destinations.near]\nurl = {near:?}\n\
             [destinations.vault]\nurl = \"b@vault.example:/sets\"\n\
             [destinations.cloud]\nurl = \"rsync://b@cloud/sets/n\"\n"
        );
        std::fs::write(&path, text).unwrap();
        std::fs::write(dir.path().join("schedule.toml"), "").unwrap();
        mykeeper_config::load(&path, &mykeeper_config::Surroundings::default())
            .unwrap()
            .settings
    }

    #[test]
    fn a_set_is_fetched_from_where_it_has_arrived_and_nobody_found_it_damaged() {
        let settings = settings();
        let set = Backup {
            transfer_to: ["near", "vault", "cloud"]
                .map(|name| DestinationName::new(name).unwrap())
                .to_vec(),
            transfer_complete: "Y".into(),
            ..serde_json::from_str(include_str!("../../domain/fixtures/set.json")).unwrap()
        };
        let relative = relative_path(&set, settings.catalog.timezone);
        let differs = |node: &str, root: &str| Verification {
            bk_id: set.id,
            node: node.parse().unwrap(),
            run_id: None,
            state: VerificationState::Differs,
            looked_at: set.finished_at,
            copies: vec![LookedAtCopy {
                path: format!("{root}/{relative}"),
                ..serde_json::from_str(COPY).unwrap()
            }],
            unread: Vec::new(),
        };
        let none: [Verification; 0] = [];
        let at_vault = [differs("keeper", "/sets")];
        let at_cloud = [differs("cloud", "/srv/sets/n"), differs("keeper", "/elsewhere")];
        for (arrived, looks, from) in [
            (vec![], &none[..], None),
            (vec!["near"], &none, None),
            (vec!["cloud", "near"], &none, Some("rsync://b@cloud/sets/n")),
            (vec!["vault", "cloud"], &none, Some("b@vault.example:/sets")),
            (vec!["vault", "cloud"], &at_vault, Some("rsync://b@cloud/sets/n")),
            (vec!["vault", "cloud"], &at_cloud, Some("b@vault.example:/sets")),
            (vec!["cloud"], &at_cloud, None),
        ] {
            let arrived = arrived
                .into_iter()
                .map(|name| DestinationName::new(name).unwrap());
            let set = Backup {
                arrived: arrived.collect(),
                ..set.clone()
            };
            let command = fetching(&settings, (&set, looks), Path::new("/f"));
            match (&command, from) {
                (None, None) => {}
                (Some(command), Some(from)) => assert!(command.contains(from), "{command}"),
                _ => assert_eq!(command.as_deref(), from),
            }
        }
    }

    #[test]
    fn a_copy_that_is_gone_with_the_folder_of_its_day_is_made_anew_from_the_original() {
        let set = Backup {
            node: Some("n".parse().unwrap()),
            dir: "/data/2026-11-20/bcd36dc6-c9e7-11e7-9e30-005056b15d9c".into(),
            ..serde_json::from_str(include_str!("../../domain/fixtures/set.json")).unwrap()
        };
        let copy = |path: &Path| LookedAtCopy {
            path: path.display().to_string(),
            differences: Vec::new(),
            ..serde_json::from_str(COPY).unwrap()
        };
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("2026-11-20/bcd36dc6-c9e7-11e7-9e30-005056b15d9c");
        let found = Verification {
            bk_id: set.id,
            node: "n".parse().unwrap(),
            run_id: None,
            state: VerificationState::Differs,
            looked_at: set.finished_at,
            copies: vec![
                LookedAtCopy::gone(place.display().to_string(), "the copy".to_owned()),
                copy(&set.folder()),
            ],
            unread: Vec::new(),
        };
        let step = next_step(&settings(), &set, &found, &[]);
        let above = place.parent().unwrap().display();
        assert!(
            step.commands[0].starts_with(&format!("mkdir -p {above} && rsync ")),
            "{:?}",
            step.commands
        );
    }

    const COPY: &str = r#"{"path": "", "files": 1, "bytes": 1, "differences": [{"database": "", "object": "a.sql", "expected": "ab", "found": "cd"}]}"#;
}
