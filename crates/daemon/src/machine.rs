//! Which servers are on this machine, and so which sets were made here. A central mykeeper names the servers of others.

use crate::disk::{Disk, DiskError};
use crate::locate::{copy_places, is_named};
use mykeeper_catalog::BackupPath;
use mykeeper_config::Settings;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::server::{Endpoint, Server};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// The kernel's routes of IPv4, and its addresses of IPv6.
const ROUTES: &str = "/proc/net/fib_trie";
const ADDRESSES_6: &str = "/proc/net/if_inet6";

/// The addresses that its interfaces have. Whether one can be bound to tells nothing where `ip_nonlocal_bind` is set.
#[derive(Clone, Debug)]
pub(crate) struct Machine(BTreeSet<IpAddr>);

impl Machine {
    /// As they are now.
    ///
    /// # Errors
    /// The kernel does not answer in time.
    pub(crate) async fn ask(disk: &Disk) -> Result<Self, DiskError> {
        disk.ask(("read", Path::new(ROUTES)), Self::read).await
    }

    /// None where the kernel does not tell them: then a set is not taken for one of this machine.
    fn read() -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self(parse_addresses(&text(ROUTES), &text(ADDRESSES_6)))
    }

    /// Whether a server is reached without a network, or at an address that this machine has. Behind its own loopback
    /// address may be a tunnel: there the address counts that the server goes by. A name is asked of nobody: such a server
    /// may be anywhere.
    pub(crate) fn has_server(&self, server: &Server) -> bool {
        let Endpoint::Tcp { host, .. } = &server.endpoint else {
            return true;
        };
        let address: Option<IpAddr> = host.parse().ok();
        match address {
            _ if host == "localhost" => self.may_go_by(&server.address),
            Some(address) if address.is_loopback() => self.may_go_by(&server.address),
            Some(address) => self.0.contains(&address),
            None => false,
        }
    }

    /// Whether a destination at this address is on this machine. Behind its own loopback address may be a tunnel.
    pub(crate) fn is_host(&self, host: &str) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        address.is_some_and(|address| !address.is_loopback() && self.0.contains(&address))
    }

    fn may_go_by(&self, address: &str) -> bool {
        let address: Option<IpAddr> = address.parse().ok();
        address.is_none_or(|address| address.is_loopback() || self.0.contains(&address))
    }
}

/// Whether this machine made a set, so that it should lie where the catalog says. Of pybackup's rows and of a node
/// called as many are, by the address of a server that is on this machine, where that is one: a tag may be that of many hosts,
/// and `N/A` is that of all that have none.
pub(crate) fn is_of_here(backup: &Backup, settings: &Settings, machine: &Machine) -> bool {
    if backup.node.as_ref().is_some_and(|node| is_named(node, settings)) {
        return true;
    }
    is_an_address(&backup.bk_server) && servers_of(backup, settings).any(|server| machine.has_server(server))
}

/// Whether what lies in a set's own folder on this machine may be its original. A row of pybackup's that was written here
/// has the address of the server, wherever that is; not of one that nobody knows here, and no copy's place.
pub(crate) fn may_be_original(
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

/// Whether it tells one host from others.
fn is_an_address(text: &str) -> bool {
    let is_nobodys = |address: IpAddr| address.is_loopback() || address.is_unspecified();
    !text.trim().is_empty()
        && text != "N/A"
        && !text.starts_with("localhost")
        && !text.parse().is_ok_and(is_nobodys)
}

/// `|-- 192.0.2.7` is followed by what it is: `/32 host LOCAL`. IPv6 addresses stand at the beginning of their lines.
fn parse_addresses(routes: &str, addresses_6: &str) -> BTreeSet<IpAddr> {
    let mut addresses = BTreeSet::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in routes.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            addresses.extend(last.map(IpAddr::V4));
        }
    }
    let of_6 = addresses_6.lines().filter_map(|line| {
        let word = line.split_whitespace().next().filter(|word| word.len() == 32)?;
        let bits = u128::from_str_radix(word, 16).ok()?;
        Some(IpAddr::V6(Ipv6Addr::from_bits(bits)))
    });
    addresses.extend(of_6);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     \
        |-- 198.51.100.9\n        /32 link UNICAST\nLocal:\n     |-- 127.0.0.0\n        /8 host LOCAL\n        \
        |-- 127.0.0.1\n           /32 host LOCAL\n     |-- 192.0.2.7\n        /32 host LOCAL\n     \
        |-- 192.0.2.255\n        /32 link BROADCAST\n";

    fn server(endpoint: &str, address: &str) -> Server {
        let settings = format!(
            "state_dir = \"/s\"\nnode = \"n\"\n[servers.a]\n{endpoint}\nuser = \"u\"\ntag = \"t\"\naddress = {address:?}\n"
        );
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mykeeper.toml");
        std::fs::write(&path, settings).unwrap();
        std::fs::write(dir.path().join("schedule.toml"), "").unwrap();
        let loaded = mykeeper_config::load(&path, &mykeeper_config::Surroundings::default()).unwrap();
        let server = loaded.settings.servers.values().next().unwrap();
        (**server).clone()
    }

    #[test]
    fn a_server_behind_a_tunnel_or_at_an_address_of_nobody_is_not_on_this_machine() {
        let machine = Machine(parse_addresses(
            TRIE,
            "20010db8000000000000000000000007 02 40 00 80 eth0\n",
        ));
        assert_eq!(machine.0.len(), 3, "{:?}", machine.0);
        for (endpoint, address, is_here) in [
            ("socket = \"/x.sock\"", "203.0.113.1", true),
            ("host = \"192.0.2.7\"", "192.0.2.7", true),
            ("host = \"2001:db8::7\"", "2001:db8::7", true),
            ("host = \"192.0.2.255\"", "192.0.2.255", false),
            ("host = \"198.51.100.9\"", "198.51.100.9", false),
            ("host = \"127.0.0.1\"", "192.0.2.7", true),
            ("host = \"127.0.0.1\"", "198.51.100.9", false),
            ("host = \"localhost\"", "198.51.100.9", false),
            ("host = \"127.0.0.1\"", "db1.internal", true),
            ("host = \"db1.internal\"", "192.0.2.7", false),
        ] {
            assert_eq!(
                machine.has_server(&server(endpoint, address)),
                is_here,
                "{endpoint} {address}"
            );
        }
    }

    #[test]
    fn the_kernel_tells_its_loopback_address() {
        let found = Machine::read();
        assert!(
            found.0.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)),
            "{:?}",
            found.0
        );
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
