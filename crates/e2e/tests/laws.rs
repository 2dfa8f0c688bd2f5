//! The laws of the house that no compiler holds: who imports whom, what lies at the top, what things are called.
#![expect(
    clippy::unwrap_used,
    reason = "a law that cannot be checked is a law that is broken"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A crate and those of ours that it may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &["domain"]),
    ("supervise", &[]),
    ("tools", &["domain", "supervise"]),
    ("catalog", &["domain"]),
    ("notify", &["domain", "supervise"]),
    (
        "daemon",
        &["domain", "config", "supervise", "tools", "catalog", "notify"],
    ),
    ("web", &["domain", "catalog", "daemon"]),
    (
        "cli",
        &[
            "domain",
            "config",
            "supervise",
            "tools",
            "catalog",
            "notify",
            "daemon",
            "web",
        ],
    ),
    (
        "e2e",
        &[
            "domain",
            "config",
            "supervise",
            "tools",
            "catalog",
            "notify",
            "daemon",
            "web",
            "cli",
        ],
    ),
    (
        "bench",
        &[
            "domain",
            "config",
            "supervise",
            "tools",
            "catalog",
            "notify",
            "daemon",
            "web",
            "cli",
            "e2e",
        ],
    ),
];

const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".clippy.toml",
    ".config",
    ".deny.toml",
    ".gitignore",
    ".rustfmt.toml",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "config",
    "crates",
    "deploy",
    "migrations",
];

const NAMES_THAT_SAY_NOTHING: &[&str] = &[
    "utils", "util", "common", "helpers", "helper", "manager", "new", "imp", "misc",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn crates() -> BTreeMap<String, toml::Table> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap().flatten() {
        let manifest = entry.path().join("Cargo.toml");
        if manifest.is_file() {
            let text = std::fs::read_to_string(manifest).unwrap();
            found.insert(entry.file_name().into_string().unwrap(), text.parse().unwrap());
        }
    }
    found
}

/// Every file that belongs to the project, by its path from the top.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "the laws are checked in a clone: {output:?}"
    );
    let text = String::from_utf8(output.stdout).unwrap();
    text.split('\0')
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect()
}

#[test]
fn crates_import_only_what_they_may() {
    let laws: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let mut broken = Vec::new();
    for (name, manifest) in crates() {
        let Some(allowed) = laws.get(name.as_str()) else {
            broken.push(format!(
                "crates/{name} has no line in the table of who may import whom"
            ));
            continue;
        };
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let table = manifest
                .get(kind)
                .and_then(toml::Value::as_table)
                .cloned()
                .unwrap_or_default();
            for ours in table.keys().filter_map(|key| key.strip_prefix("mykeeper-")) {
                if !allowed.contains(&ours) {
                    broken.push(format!(
                        "crates/{name} imports {ours} ({kind}), and may import {allowed:?}"
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_crates_folder_is_its_role() {
    for (folder, manifest) in crates() {
        let package = manifest["package"]["name"].as_str().unwrap();
        assert_eq!(
            package,
            format!("mykeeper-{folder}"),
            "the package in crates/{folder}"
        );
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "crates/{folder} has the workspace's lints"
        );
    }
}

#[test]
fn the_top_level_holds_nothing_else() {
    let allowed: BTreeSet<&str> = TOP_LEVEL.iter().copied().collect();
    let there: BTreeSet<String> = files()
        .iter()
        .filter_map(|path| path.components().next())
        .map(|first| first.as_os_str().to_string_lossy().into_owned())
        .collect();
    let strangers: Vec<&String> = there
        .iter()
        .filter(|name| !allowed.contains(name.as_str()))
        .collect();
    assert!(
        strangers.is_empty(),
        "at the top level, where they do not belong: {strangers:?}"
    );
}

#[test]
fn no_file_bears_a_name_that_says_nothing() {
    let strangers: Vec<PathBuf> = files()
        .into_iter()
        .filter(|path| {
            let parts = path.with_extension("");
            parts
                .components()
                .any(|part| NAMES_THAT_SAY_NOTHING.contains(&part.as_os_str().to_string_lossy().as_ref()))
        })
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn both_engines_have_the_same_migrations() {
    let names = |engine: &str| -> BTreeSet<String> {
        let folder = Path::new("migrations").join(engine);
        let ours = files().into_iter().filter(|path| path.starts_with(&folder));
        ours.map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
            .collect()
    };
    assert_eq!(
        names("sqlite"),
        names("mysql"),
        "migrations/sqlite (left) and migrations/mysql (right)"
    );
}
