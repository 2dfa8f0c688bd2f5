//! Whether a set comes back to the server that it was made of, perhaps under another name and by another account.

use mykeeper_config::Settings;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::evidence::{BinaryLog, Evidence};
use mykeeper_domain::server::{Endpoint, Server};
use std::net::IpAddr;

/// False where that is not known for certain.
pub(super) fn is_source(
    settings: &Settings,
    (backup, evidence): (&Backup, Option<&Evidence>),
    (into, log): (&Server, Option<&BinaryLog>),
) -> bool {
    if into.tag == backup.tag && into.address == backup.bk_server {
        return true;
    }
    let source = settings.servers.values().find(|server| server.tag == backup.tag);
    let own = evidence.and_then(|evidence| evidence.binary_log.as_ref());
    let (Some(source), Some(own), Some(log)) = (source, own, log) else {
        return false;
    };
    // Two of one machine listen at ports of their own, or at none and keep their logs apart.
    let is_one_server = own.port.is_some() && own.port == log.port && own.folder == log.folder;
    is_one_server && machine(&source.endpoint) == machine(&into.endpoint)
}

/// `None` is this one.
fn machine(endpoint: &Endpoint) -> Option<String> {
    match endpoint {
        Endpoint::Socket(_) => None,
        Endpoint::Tcp { host, .. } => {
            let is_here = host.eq_ignore_ascii_case("localhost")
                || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            (!is_here).then(|| host.to_ascii_lowercase())
        }
    }
}
