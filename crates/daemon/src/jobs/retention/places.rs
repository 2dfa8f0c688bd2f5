//! Which places are a retention job's, and which sets this machine's.

use super::machine::Machine;
use crate::locate::{copy_places, is_named};
use chrono::NaiveDate;
use mykeeper_catalog::BackupPath;
use mykeeper_config::Settings;
use mykeeper_domain::NodeName;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::damage::Damage;
use mykeeper_domain::job::{RetentionDepth, RetentionTask};
use mykeeper_domain::server::Server;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

/// Whether this machine made a set, so that it should lie where the catalog says. Of pybackup's rows and of a node
/// called as many are, by the address of a server that is on this machine, where that is one: a tag may be that of many hosts,
/// and `N/A` is that of all that have none.
pub(super) fn is_of_here(backup: &Backup, settings: &Settings, machine: &Machine) -> bool {
    if backup.node.as_ref().is_some_and(|node| is_named(node, settings)) {
        return true;
    }
    is_an_address(&backup.bk_server) && servers_of(backup, settings).any(|server| machine.has_server(server))
}

/// Whether what lies in a set's own folder on this machine may be its original. A row of pybackup's that was written here
/// has the address of the server, wherever that is; not of one that nobody knows here, and no copy's place.
pub(super) fn may_be_original(
    backup: &Backup,
    paths: &[BackupPath],
    settings: &Settings,
    machine: &Machine,
) -> bool {
    if is_of_here(backup, settings, machine) {
        return true;
    }
    let is_known = !is_an_address(&backup.bk_server) || servers_of(backup, settings).next().is_some();
    is_known && !copy_places(backup, paths, settings).contains(&backup.folder())
}

fn servers_of<'a>(backup: &'a Backup, settings: &'a Settings) -> impl Iterator<Item = &'a Server> {
    let servers = settings.servers.values().map(AsRef::as_ref);
    servers.filter(|server| server.address == backup.bk_server)
}

/// Whether what lies at `there`, this job's places on this machine, is known to differ from what was written: each as this
/// machine has read it. A place that nobody has read is not damaged for what was found elsewhere. Where nothing lies here,
/// every copy that anyone has read counts.
pub(super) fn is_damaged_here(damage: &Damage, there: &[&PathBuf], node: &NodeName) -> bool {
    let differs = |place: &PathBuf| {
        let mut copies = damage.copies.iter();
        copies.any(|copy| copy.node == *node && Path::new(&copy.path) == place)
    };
    match there {
        [] => damage.is_of_every_copy(),
        there => there.iter().all(|place| differs(place)),
    }
}

/// Whether it tells one host from others.
fn is_an_address(text: &str) -> bool {
    let is_nobodys = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    !text.trim().is_empty()
        && text != "N/A"
        && !text.starts_with("localhost")
        && !text.parse().is_ok_and(is_nobodys)
}

/// Whether `place` lies in the job's directory, as deep as the job looks, without `..`.
pub(super) fn lies_below(place: &Path, task: &RetentionTask) -> bool {
    let directory = &task.directory;
    place.starts_with(directory)
        && place != directory
        && !place
            .components()
            .any(|part| matches!(part, Component::ParentDir))
        && (task.depth == RetentionDepth::Any || day_of_place(place, directory).is_some())
}

/// The day whose folder all of `places` lie in.
pub(super) fn day_of(places: &[PathBuf], directory: &Path) -> Option<NaiveDate> {
    let mut days = places.iter().map(|place| day_of_place(place, directory));
    let first = days.next()??;
    days.all(|day| day == Some(first)).then_some(first)
}

/// `<directory>/<YYYY-MM-DD>/<bk_id>`
fn day_of_place(place: &Path, directory: &Path) -> Option<NaiveDate> {
    let folder = place.parent()?;
    let name = folder.file_name()?.to_str()?;
    // Ten letters: a day may be read from fewer.
    let is_in_directory = folder.parent() == Some(directory) && name.len() == 10;
    is_in_directory.then(|| name.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_the_directory_is_looked_at() {
        let task = |depth| RetentionTask {
            directory: "/data".into(),
            depth,
            keep: Default::default(),
            action: Default::default(),
            require: Default::default(),
        };
        for (place, any, day) in [
            ("/data/2026-11-22/x", true, true),
            ("/data/shop/2026-11-22/x", true, false),
            ("/data/2026-11-22/shop/x", true, false),
            ("/data/2026-13-22/x", true, false),
            ("/data/2026-1-2/x", true, false),
            ("/data/x", true, false),
            ("/data", false, false),
            ("/database/2026-11-22/x", false, false),
            ("/data/../etc/x", false, false),
        ] {
            let place = Path::new(place);
            assert_eq!(lies_below(place, &task(RetentionDepth::Any)), any, "{place:?}");
            assert_eq!(lies_below(place, &task(RetentionDepth::Day)), day, "{place:?}");
        }
    }

    #[test]
    fn an_address_that_many_hosts_have_is_none() {
        for address in [
            "",
            " ",
            "N/A",
            "127.0.0.1",
            "::1",
            "0.0.0.0",
            "localhost",
            "localhost.localdomain",
        ] {
            assert!(!is_an_address(address), "{address}");
        }
        assert!(is_an_address("106.3.130.84") && is_an_address("db1.internal"));
    }
}
