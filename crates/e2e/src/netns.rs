//! A network of its own, whose loopback can be slow, lossy, cut, reset and refused.

use crate::mariadb::program;
use crate::scratch::is_root;
use std::path::Path;
use std::process::Command;

/// A network namespace with nothing but its loopback; removed when dropped.
#[derive(Debug)]
pub struct NetworkNamespace {
    name: String,
}

impl NetworkNamespace {
    /// `None` where namespaces, traffic control or the packet filter cannot be had.
    pub fn new() -> Option<Self> {
        let there = |name: &str| {
            ["/usr/sbin", "/sbin", "/usr/bin"]
                .iter()
                .any(|dir| Path::new(dir).join(name).exists())
        };
        if !is_root() || !["ip", "tc", "nft", "ss"].iter().all(|name| there(name)) {
            return None;
        }
        let number = uuid::Uuid::new_v4().simple().to_string();
        let namespace = Self {
            name: format!("mk-{}", &number[..10]),
        };
        if !run("ip", &["netns", "add", &namespace.name]) {
            return None;
        }
        let works = run("ip", &["-n", &namespace.name, "link", "set", "lo", "up"])
            && namespace.slow_down(8_000_000)
            && namespace.filter("counter accept")
            && namespace.heal();
        works.then_some(namespace)
    }

    /// Words before a program that is to run in it.
    pub fn through(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// So many bits a second.
    pub fn slow_down(&self, bits_per_second: u64) -> bool {
        let rate = format!("{bits_per_second}bit");
        let how = ["tbf", "rate", &rate, "burst", "128kb", "latency", "400ms"];
        let words = ["-n", &self.name, "qdisc", "replace", "dev", "lo", "root"];
        run("tc", &[&words[..], &how[..]].concat())
    }

    /// So many packets of a hundred are lost.
    pub fn lose(&self, percent: u32) -> bool {
        self.filter(&format!("numgen random mod 100 < {percent} counter drop"))
    }

    /// No packet passes.
    pub fn cut(&self) -> bool {
        self.filter("counter drop")
    }

    /// New connections, and packets of old ones, are refused.
    pub fn refuse(&self) -> bool {
        self.filter("meta l4proto tcp counter reject with tcp reset")
    }

    /// Every connection there is ends with a reset.
    pub fn reset(&self) -> bool {
        run(
            "ip",
            &["netns", "exec", &self.name, "ss", "-K", "dst", "127.0.0.1"],
        )
    }

    /// All is well again.
    pub fn heal(&self) -> bool {
        // There may be no queue to delete.
        let _ = run("tc", &["-n", &self.name, "qdisc", "del", "dev", "lo", "root"]);
        self.nft("flush ruleset")
    }

    fn filter(&self, rule: &str) -> bool {
        self.nft(&format!(
            "flush ruleset\ntable inet fault {{\nchain input {{\ntype filter hook input priority 0\n{rule}\n}}\n}}"
        ))
    }

    fn nft(&self, rules: &str) -> bool {
        run("ip", &["netns", "exec", &self.name, "nft", rules])
    }
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        let _ = run("ip", &["netns", "del", &self.name]);
    }
}

fn run(name: &str, words: &[&str]) -> bool {
    let output = Command::new(program(name)).args(words).output();
    output.is_ok_and(|output| output.status.success())
}
