//! `[servers.NAME]`

use crate::document::{Spot, complaint};
use crate::keeper::{table_name, top_key_hint};
use crate::password;
use crate::section::{Entry, Section, no_hint};
use mykeeper_domain::ServerName;
use mykeeper_domain::server::{Endpoint, Server, Tls, TlsMode};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const TLS_MODES: [(&str, TlsMode); 5] = [
    ("disabled", TlsMode::Disabled),
    ("preferred", TlsMode::Preferred),
    ("required", TlsMode::Required),
    ("verify-ca", TlsMode::VerifyCa),
    ("verify-identity", TlsMode::VerifyIdentity),
];

/// What `user_backup.tag` and `user_backup.bk_server` hold.
const LONGEST_TAG: usize = 200;

/// Reads every server. Two with one tag are a mistake: the catalog could not tell their sets apart.
pub(crate) fn read_all(
    entries: &[Entry<'_>],
    base: &Path,
    host_address: &str,
) -> BTreeMap<ServerName, Arc<Server>> {
    let mut servers = BTreeMap::new();
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    for entry in entries {
        let Some((tag, tag_spot, server)) = read(entry, base, host_address) else {
            continue;
        };
        if let Some(other) = tags.insert(tag.clone(), entry.key.clone()) {
            tag_spot.mistake(
                complaint(format!(
                    "the servers {other:?} and {:?} have the same tag {tag:?}",
                    entry.key
                ))
                .help("give each its own tag: the catalog tells their sets apart by it"),
            );
        }
        if let Some(server) = server {
            servers.insert(server.name.clone(), Arc::new(server));
        }
    }
    servers
}

type Read<'d> = (String, Spot<'d>, Option<Server>);

fn read<'d>(entry: &Entry<'d>, base: &Path, host_address: &str) -> Option<Read<'d>> {
    let mut section = Section::of(entry)?;
    let name = table_name::<ServerName>(entry);
    let endpoint = read_endpoint(&mut section);
    let user = section
        .require("user", "user = \"backup\"")
        .and_then(|entry| entry.short_text(128));
    let password = password::read_source(&mut section, base);
    let tag_entry = section.take("tag");
    let tag_spot = tag_entry
        .as_ref()
        .map_or_else(|| entry.key_spot.clone(), |tag| tag.spot.clone());
    let tag = match tag_entry {
        Some(tag) => tag.short_text(LONGEST_TAG).map(str::to_owned),
        None => Some(entry.key.clone()),
    };
    let address = match section.take("address") {
        Some(address) => address.short_text(LONGEST_TAG).map(str::to_owned),
        None => Some(host_address.to_owned()),
    };
    let tls = section
        .take("tls")
        .map_or_else(|| Some(Tls::default()), |entry| read_tls(&entry, base));
    let proven_within = section.take("proven_within").map_or(Some(None), |entry| {
        entry.positive_duration("no set is proven in no time").map(Some)
    });
    section.finish(|key| {
        (key == "databases")
            .then(|| "`databases` belongs into [backup.NAME] of the schedule file".to_owned())
            .or_else(|| top_key_hint(key))
    });
    let tag = tag?;
    let server = (|| {
        Some(Server {
            name: name?,
            endpoint: endpoint?,
            user: user?.to_owned(),
            password,
            tag: tag.clone(),
            address: address?,
            tls: tls?,
            proven_within: proven_within?,
        })
    })();
    Some((tag, tag_spot, server))
}

fn read_endpoint(section: &mut Section<'_>) -> Option<Endpoint> {
    let socket = section.take("socket");
    let host = section.take("host");
    let port = section.take("port");
    match (&socket, &host) {
        (Some(_), Some(host)) => {
            host.key_spot.mistake(
                complaint("both `socket` and `host` are given").help("keep the one that is to be used"),
            );
            None
        }
        (None, None) => {
            section
                .spot()
                .missing(complaint("neither `socket` nor `host` is given").help(
                    "add socket = \"/run/mysqld/mysqld.sock\", or host = \"db.example.org\" and port = 3306",
                ));
            None
        }
        (Some(socket), None) => {
            if let Some(port) = port {
                port.key_spot.mistake(
                    complaint("a socket has no port")
                        .help("take `port` out, or write `host` instead of `socket`"),
                );
            }
            socket.absolute_path().map(Endpoint::Socket)
        }
        (None, Some(host)) => {
            let host = read_host(host);
            let port = port.map_or(Some(3306), |port| port.whole_number(1, 65_535));
            Some(Endpoint::Tcp {
                host: host?,
                port: u16::try_from(port?).ok()?,
            })
        }
    }
}

fn read_host(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let problem = if text.contains("://") {
        "write the host's name or address alone, without \"://\""
    } else if text.matches(':').count() == 1 {
        "write the host alone, and the port beside it: port = 3306"
    } else if text.starts_with(['-', '[']) || text.contains([' ', '/', '@']) {
        "write a name such as \"db.example.org\" or an address such as \"10.0.0.5\" or \"fd00::5\""
    } else {
        return Some(text.to_owned());
    };
    entry
        .spot
        .mistake(complaint(format!("{text:?} is no host")).help(problem));
    None
}

fn read_tls(entry: &Entry<'_>, base: &Path) -> Option<Tls> {
    let mut section = Section::of(entry)?;
    let mode = section.take("mode");
    let spot = mode
        .as_ref()
        .map_or_else(|| entry.key_spot.clone(), |mode| mode.spot.clone());
    let ca = section.take("ca").and_then(|entry| entry.path_beside(base));
    let mode = match mode {
        Some(mode) => mode.choice(&TLS_MODES),
        None if ca.is_some() => Some(TlsMode::VerifyIdentity),
        None => Some(TlsMode::default()),
    };
    section.finish(no_hint);
    let mode = mode?;
    if matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyIdentity) && ca.is_none() {
        spot.missing(
            complaint("this mode checks the server's certificate, but there is no `ca` to check it against")
                .help(
                    "add ca = \"/etc/mykeeper/ca.pem\"; for a public authority, \
                       ca = \"/etc/ssl/certs/ca-certificates.crt\"",
                ),
        );
    }
    Some(Tls { mode, ca })
}
