//! What mends copies of a set that are not as it was written.

use crate::locate::{original, relative_path};
use mykeeper_config::Settings;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::destination::{Destination, DestinationUrl};
use mykeeper_domain::server::PasswordSource;
use mykeeper_domain::verification::{LookedAtCopy, Verification};
use mykeeper_tools::rsync::{Fetch, fetch_command, shell_word};
use std::path::Path;

/// Stands in a command where the file of a password cannot be named: it is no file, or no longer there.
const UNKNOWN_FILE: &str = "FILE-WITH-THE-PASSWORD";

/// What to do now, for people. `found` is what lies on this machine, `others` what other nodes last found.
pub fn next_step(
    settings: &Settings,
    backup: &Backup,
    found: &Verification,
    others: &[Verification],
) -> String {
    let mender = Mender { settings, backup };
    let own = original(backup, &settings.node);
    let whole: Vec<&Path> = found
        .copies
        .iter()
        .filter(|copy| copy.is_intact())
        .map(|copy| Path::new(&copy.path))
        .collect();
    let own_whole = own.as_deref().filter(|own| whole.contains(own));
    let differing = found.copies.iter().filter(|copy| !copy.is_intact());
    let steps: Vec<String> = differing
        .filter_map(|copy| mender.step(copy, own_whole.or(whole.first().copied())))
        .collect();
    let id = backup.id;
    let then = format!("then look again: mykeeper verify --bk-id {id}");
    if !steps.is_empty() {
        return format!("to mend it: {}; {then}", steps.join(" ; "));
    }
    let known = others
        .iter()
        .find_map(|other| Some((other, other.copies.iter().find(|copy| copy.is_intact())?)));
    match known {
        Some((other, copy)) => format!(
            "on {} it was as written in {} at {}: bring that folder here; {then}",
            other.node,
            copy.path,
            other.looked_at.format("%Y-%m-%d %H:%M UTC")
        ),
        None => format!(
            "no copy that is whole is known: look at its other places (mykeeper show {id}), and keep the sets before it"
        ),
    }
}

struct Mender<'a> {
    settings: &'a Settings,
    backup: &'a Backup,
}

impl Mender<'_> {
    /// The command that makes one copy whole again; `None` where nothing whole is known to make it from.
    fn step(&self, copy: &LookedAtCopy, whole: Option<&Path>) -> Option<String> {
        let place = Path::new(&copy.path);
        let is_too_much = copy.differences.iter().any(|one| one.expected == "absent");
        let own = original(self.backup, &self.settings.node);
        match whole {
            Some(whole) if own.as_deref() == Some(whole) && !is_too_much => Some(
                self.sending(whole, place)
                    .unwrap_or_else(|| copying(whole, place)),
            ),
            Some(whole) => Some(copying(whole, place)),
            None => fetching(self.settings, self.backup, place),
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

fn copying(whole: &Path, place: &Path) -> String {
    let folder = |path: &Path| shell_word(&path.join("").display().to_string());
    format!(
        "rsync --archive --checksum --delete {} {}",
        folder(whole),
        folder(place)
    )
}

/// The command that fetches the set from a destination on another machine into `folder`; `None` where it was sent to none.
pub(crate) fn fetching(settings: &Settings, backup: &Backup, folder: &Path) -> Option<String> {
    if !backup.is_transferred() {
        return None;
    }
    let destination = destinations(settings, backup)
        .find(|destination| !matches!(destination.url, DestinationUrl::Local { .. }))?;
    let password_file = match &destination.password {
        PasswordSource::None => None,
        PasswordSource::File(path) => Some(path.as_path()),
        PasswordSource::Credential(_) | PasswordSource::Told(_) => Some(Path::new(UNKNOWN_FILE)),
    };
    Some(fetch_command(&Fetch {
        rsync: &settings.tools.rsync,
        ssh_program: &settings.tools.ssh,
        destination,
        password_file,
        relative: &relative_path(backup, settings.catalog.timezone),
        folder,
    }))
}

fn destinations<'a>(settings: &'a Settings, backup: &'a Backup) -> impl Iterator<Item = &'a Destination> {
    let named = backup
        .transfer_to
        .iter()
        .filter_map(|name| settings.destinations.get(name));
    named.map(AsRef::as_ref)
}
