//! `[destinations.NAME]`

use crate::document::complaint;
use crate::keeper::{table_name, top_key_hint};
use crate::mask;
use crate::password;
use crate::section::{Entry, Section, no_hint};
use mykeeper_domain::DestinationName;
use mykeeper_domain::destination::{Destination, DestinationUrl, SshOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// rsync counts KiB, and takes less than one for "no limit".
const LEAST_RATE: u64 = 1024;

/// Reads every destination.
pub(crate) fn read_all(entries: &[Entry<'_>], base: &Path) -> BTreeMap<DestinationName, Arc<Destination>> {
    entries
        .iter()
        .filter_map(|entry| read(entry, base))
        .map(|destination| (destination.name.clone(), Arc::new(destination)))
        .collect()
}

fn read(entry: &Entry<'_>, base: &Path) -> Option<Destination> {
    let mut section = Section::of(entry)?;
    let name = table_name(entry);
    let url = section
        .require(
            "url",
            "url = \"rsync://user@host/module/path\", \"user@host:/path\" or \"/local/path\"",
        )
        .and_then(|entry| read_url(&entry));
    let (password, password_entry) = password::read_source_at(&mut section, base);
    let source_address = section.take("source_address");
    let address = match &source_address {
        None => Some(None),
        Some(entry) => read_address(entry).map(Some),
    };
    let bandwidth_limit = section.take("bandwidth_limit").map_or(Some(None), |entry| {
        let rate = entry.rate()?;
        if rate < LEAST_RATE {
            entry.spot.mistake(
                complaint("less than 1 KiB a second cannot be kept")
                    .help("write at least \"1 KiB/s\", or leave the key out for no limit"),
            );
        }
        Some(Some(rate))
    });
    let ssh_entry = section.take("ssh");
    let ssh = ssh_entry
        .as_ref()
        .map_or_else(|| Some(SshOptions::default()), |entry| read_ssh(entry, base));
    let is_ssh = matches!(url, Some(DestinationUrl::Ssh { .. }));
    if let (Some(_), false, Some(entry)) = (&url, is_ssh, &ssh_entry) {
        entry.key_spot.mistake(
            complaint("`ssh` says how user@host:/path is reached; this url is none")
                .help("take `ssh` out, or write the url as \"user@host:/path\""),
        );
    }
    if let (Some(DestinationUrl::Local { .. }), Some(entry)) = (&url, &source_address) {
        entry
            .key_spot
            .mistake(complaint("a local folder is not reached from an address").help("take it out"));
    }
    if let (Some(entry), Some(DestinationUrl::Ssh { .. } | DestinationUrl::Local { .. })) =
        (&password_entry, &url)
    {
        entry.key_spot.mistake(
            complaint("only an rsync daemon asks for a password").help(if is_ssh {
                "take it out; ssh logs in with a key: ssh = { identity_file = \"/etc/mykeeper/id_ed25519\" }"
            } else {
                "take it out"
            }),
        );
    }
    section.finish(top_key_hint);
    Some(Destination {
        password,
        source_address: address?,
        bandwidth_limit: bandwidth_limit?,
        ssh: ssh?,
        ..Destination::at(name?, url?)
    })
}

fn read_url(entry: &Entry<'_>) -> Option<DestinationUrl> {
    let text = entry.text()?;
    if mask::password_in_url(text).is_some() {
        return None; // recorded when the file was parsed
    }
    if mask::password_before_host(text).is_some() {
        entry.spot.mistake(
            complaint("a password has no place in a URL")
                .help("write \"user@host:/path\"; ssh logs in with a key"),
        );
        return None;
    }
    match entry.parsed()? {
        DestinationUrl::Local { path } => Some(DestinationUrl::Local {
            path: path
                .components()
                .filter(|part| *part != std::path::Component::CurDir)
                .collect(),
        }),
        url => Some(url),
    }
}

fn read_address(entry: &Entry<'_>) -> Option<std::net::IpAddr> {
    let text = entry.text()?;
    let address = text.parse().ok();
    if address.is_none() {
        entry.spot.mistake(
            complaint(format!("{text:?} is no IP address"))
                .help("write one of this machine's, such as \"10.0.0.9\""),
        );
    }
    address
}

fn read_ssh(entry: &Entry<'_>, base: &Path) -> Option<SshOptions> {
    let mut section = Section::of(entry)?;
    let port = section.take("port").map_or(Some(None), |entry| {
        entry
            .whole_number(1, 65_535)
            .and_then(|port| u16::try_from(port).ok())
            .map(Some)
    });
    let mut file = |key| -> Option<Option<PathBuf>> {
        section
            .take(key)
            .map_or(Some(None), |entry| entry.path_beside(base).map(Some))
    };
    let identity_file = file("identity_file");
    let known_hosts_file = file("known_hosts_file");
    section.finish(no_hint);
    Some(SshOptions {
        port: port?,
        identity_file: identity_file?,
        known_hosts_file: known_hosts_file?,
    })
}
