//! The link to the destination: two network namespaces and a pair of virtual interfaces between them.

use mykeeper_e2e::NetworkNamespace;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

/// The far end's address, of those that are kept for documentation.
pub(super) const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const NEAR_INTERFACE: &str = "near";
const FAR_INTERFACE: &str = "far";

/// Both ends; gone when dropped.
#[derive(Debug)]
pub(super) struct Link {
    near: NetworkNamespace,
    far: NetworkNamespace,
}

impl Link {
    /// `None` where namespaces, or traffic control, cannot be had.
    pub(super) fn new() -> Option<Self> {
        let link = Self {
            near: NetworkNamespace::new()?,
            far: NetworkNamespace::new()?,
        };
        let (near, far) = (name(&link.near), name(&link.far));
        let pair = [
            "link",
            "add",
            "name",
            NEAR_INTERFACE,
            "netns",
            &near,
            "type",
            "veth",
            "peer",
            "name",
            FAR_INTERFACE,
            "netns",
            &far,
        ];
        let far_address = format!("{FAR}/30");
        let works = run("ip", &pair).is_some()
            && raise(&near, NEAR_INTERFACE, "198.51.100.1/30")
            && raise(&far, FAR_INTERFACE, &far_address)
            && link.limit(Some(8_000_000))
            && link.limit(None);
        works.then_some(link)
    }

    /// Words before a program at the near end.
    pub(super) fn near(&self) -> Vec<String> {
        self.near.through()
    }

    /// Words before a program at the far end.
    pub(super) fn far(&self) -> Vec<String> {
        self.far.through()
    }

    /// So many bits a second towards the far end.
    pub(super) fn limit(&self, bits_per_second: Option<u64>) -> bool {
        let near = name(&self.near);
        let at = ["dev", NEAR_INTERFACE];
        let queue = |words: &[&str]| run("tc", &[&["-n", &near, "qdisc"], words].concat());
        let Some(rate) = bits_per_second else {
            // There may be none to delete.
            let _ = queue(&[&["del"], &at[..], &["root"]].concat());
            let left = queue(&[&["show"], &at[..]].concat());
            return left.is_some_and(|left| !left.contains("tbf"));
        };
        let rate = format!("{rate}bit");
        let how = ["root", "tbf", "rate", &rate, "burst", "128kb", "latency", "200ms"];
        queue(&[&["replace"], &at[..], &how].concat()).is_some()
    }

    /// Bytes that have passed, both ways, with all headers.
    pub(super) fn bytes(&self) -> Option<u64> {
        let mut words = self.near();
        let folder = format!("/sys/class/net/{NEAR_INTERFACE}/statistics");
        words.extend([
            "cat".to_owned(),
            format!("{folder}/tx_bytes"),
            format!("{folder}/rx_bytes"),
        ]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (first, rest) = words.split_first()?;
        sum(&run(first, rest)?)
    }
}

/// Of a number in each line.
fn sum(lines: &str) -> Option<u64> {
    let numbers: Option<Vec<u64>> = lines.lines().map(|line| line.trim().parse().ok()).collect();
    numbers.map(|numbers| numbers.iter().sum())
}

/// The last of the words that lead into it.
fn name(namespace: &NetworkNamespace) -> String {
    namespace.through().pop().unwrap_or_default()
}

fn raise(namespace: &str, interface: &str, address: &str) -> bool {
    run("ip", &["-n", namespace, "addr", "add", address, "dev", interface]).is_some()
        && run("ip", &["-n", namespace, "link", "set", interface, "up"]).is_some()
}

/// What it printed, if it ended well.
fn run(program: &str, words: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(words)
        .env("PATH", super::PATH)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_both_ways_are_added_up() {
        assert_eq!(sum("1200\n34\n"), Some(1_234));
        assert_eq!(sum("1200\nno such file\n"), None);
    }
}
