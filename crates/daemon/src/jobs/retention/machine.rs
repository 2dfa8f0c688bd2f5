//! Which servers are on this machine. A central mykeeper names those of others.

use crate::disk::Disk;
use crate::error::DaemonError;
use mykeeper_domain::server::{Endpoint, Server};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// The kernel's routes of IPv4, and its addresses of IPv6.
const ROUTES: &str = "/proc/net/fib_trie";
const ADDRESSES_6: &str = "/proc/net/if_inet6";

/// The addresses that its interfaces have. Whether one can be bound to tells nothing where `ip_nonlocal_bind` is set.
#[derive(Clone, Debug)]
pub(super) struct Machine(BTreeSet<IpAddr>);

impl Machine {
    /// As they are now.
    ///
    /// # Errors
    /// The kernel does not answer in time.
    pub(super) async fn ask(disk: &Disk) -> Result<Self, DaemonError> {
        Ok(disk.ask(("read", Path::new(ROUTES)), Self::read).await?)
    }

    /// None where the kernel does not tell them: then a set is not taken for one of this machine.
    fn read() -> Self {
        let text = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self(parse_addresses(&text(ROUTES), &text(ADDRESSES_6)))
    }

    /// Whether a server is reached without a network, or at an address that this machine has. Behind its own loopback
    /// address may be a tunnel: there the address counts that the server goes by. A name is asked of nobody: such a server
    /// may be anywhere.
    pub(super) fn has_server(&self, server: &Server) -> bool {
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
    pub(super) fn is_host(&self, host: &str) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        address.is_some_and(|address| !address.is_loopback() && self.0.contains(&address))
    }

    fn may_go_by(&self, address: &str) -> bool {
        let address: Option<IpAddr> = address.parse().ok();
        address.is_none_or(|address| address.is_loopback() || self.0.contains(&address))
    }
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
}
