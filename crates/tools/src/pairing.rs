//! Which servers cannot take what others wrote: known before anything is restored, and no fault of the set's. Pure.

use crate::probe::{Flavor, ServerVersion};
use mykeeper_domain::inventory::{DatabaseInventory, Inventory};

type Number = (u32, u32, u32);

/// Something that not every server knows, and the first of each product that does; `None`: none does.
struct Feature {
    name: &'static str,
    is_used: fn(&DatabaseInventory) -> bool,
    mariadb: Option<Number>,
    mysql: Option<Number>,
}

const FEATURES: [Feature; 8] = [
    Feature {
        name: "a collation utf8mb4_0900_*",
        is_used: |content| says(content, "utf8mb4_0900_"),
        mariadb: Some((11, 4, 5)),
        mysql: Some((8, 0, 1)),
    },
    Feature {
        name: "a collation *_uca1400_*",
        is_used: |content| says(content, "_uca1400_"),
        mariadb: Some((10, 10, 1)),
        mysql: None,
    },
    Feature {
        name: "a column of type UUID",
        is_used: |content| has_column(content, "uuid"),
        mariadb: Some((10, 7, 0)),
        mysql: None,
    },
    Feature {
        name: "a column of type INET4",
        is_used: |content| has_column(content, "inet4"),
        mariadb: Some((10, 10, 0)),
        mysql: None,
    },
    Feature {
        name: "a column of type INET6",
        is_used: |content| has_column(content, "inet6"),
        mariadb: Some((10, 5, 0)),
        mysql: None,
    },
    Feature {
        name: "a column of type VECTOR",
        is_used: |content| has_column(content, "vector("),
        mariadb: Some((11, 7, 0)),
        mysql: Some((9, 0, 0)),
    },
    Feature {
        name: "a sequence",
        is_used: |content| !content.sequences.is_empty(),
        mariadb: Some((10, 3, 0)),
        mysql: None,
    },
    Feature {
        name: "a table of the engine Aria",
        is_used: |content| {
            content
                .tables
                .values()
                .any(|table| table.engine.as_deref() == Some("Aria"))
        },
        mariadb: Some((5, 1, 0)),
        mysql: None,
    },
];

/// Who is to take a set.
#[derive(Clone, Copy, Debug)]
pub enum Taker<'a> {
    /// The throwaway server of proofs, by its version.
    Throwaway(&'a str),
    /// A server of the configuration, by its name and version.
    Server(&'a str, &'a str),
}

impl Taker<'_> {
    fn version(&self) -> &str {
        let (Self::Throwaway(version) | Self::Server(_, version)) = self;
        version
    }

    fn advice(&self, source: &str) -> String {
        match self {
            Self::Throwaway(_) => advice(source),
            Self::Server(..) => format!("restore it into a server of {} or later", series(source)),
        }
    }
}

impl std::fmt::Display for Taker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Throwaway(_) => f.write_str("the throwaway server"),
            Self::Server(name, _) => write!(f, "server {name}"),
        }
    }
}

/// Why a set made from `source` cannot come back in `taker`, with what to do; versions are as `SELECT VERSION()` says
/// them. Of what it holds only what its evidence knows is looked at.
pub fn wrong_pairing(source: &str, taker: Taker<'_>, held: &Inventory) -> Option<String> {
    if let Some(why) = older(source, taker) {
        return Some(why);
    }
    let here = taker.version();
    let version = ServerVersion::parse(here);
    for (database, content) in &held.databases {
        let missing = FEATURES
            .iter()
            .find(|feature| (feature.is_used)(content) && !knows(feature, version));
        if let Some(feature) = missing {
            return Some(format!(
                "database {database} has {}, which {taker}, {here}, does not know: {}",
                feature.name,
                taker.advice(source)
            ));
        }
    }
    None
}

/// Why a throwaway server of the version `here` is too old for whatever one of the version `source` writes, with what to
/// do; for what is known without a set.
pub fn too_old(source: &str, here: &str) -> Option<String> {
    older(source, Taker::Throwaway(here))
}

fn older(source: &str, taker: Taker<'_>) -> Option<String> {
    let here = taker.version();
    let (from, to) = (ServerVersion::parse(source), ServerVersion::parse(here));
    // 5.5.5 and 0: a server that does not say which it is.
    let is_older = from.flavor == to.flavor && to.number.0 > 0 && from.number.0 > to.number.0;
    is_older.then(|| {
        format!(
            "{source} wrote it, and {taker} is {here}, of an older series, which need not know what that writes: {}",
            taker.advice(source)
        )
    })
}

/// Whether two servers are of different products, of which each knows what the other does not.
pub fn is_other_product(source: &str, here: &str) -> bool {
    ServerVersion::parse(source).flavor != ServerVersion::parse(here).flavor
}

/// Which throwaway server would take all that `source` writes.
pub fn advice(source: &str) -> String {
    format!(
        "install {} or later, and name its program as `server` under [sandbox]",
        series(source)
    )
}

/// `MariaDB 10.11`.
fn series(source: &str) -> String {
    let ServerVersion { flavor, number } = ServerVersion::parse(source);
    let product = match flavor {
        Flavor::MariaDb => "MariaDB",
        Flavor::MySql => "MySQL",
    };
    format!("{product} {}.{}", number.0, number.1)
}

fn knows(feature: &Feature, version: ServerVersion) -> bool {
    let first = match version.flavor {
        Flavor::MariaDb => feature.mariadb,
        Flavor::MySql => feature.mysql,
    };
    first.is_some_and(|first| version.number >= first)
}

/// Whether the database's own collation, or a definition, has these words: views and programs keep the collation of the
/// session that made them, and are made in such a one again.
fn says(content: &DatabaseInventory, words: &str) -> bool {
    content.collation.contains(words)
        || content
            .definitions
            .values()
            .flat_map(|definition| &definition.0)
            // A comment may say anything.
            .any(|(_, value)| value.split('\'').step_by(2).any(|bare| bare.contains(words)))
}

fn has_column(content: &DatabaseInventory, kind: &str) -> bool {
    let facts = content.definitions.values().flat_map(|definition| &definition.0);
    facts
        .filter(|(name, _)| name.starts_with("column "))
        .any(|(_, value)| value.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::definition::Definition;

    fn held(fact: &str, value: &str) -> Inventory {
        let definition: Definition = [(fact.to_owned(), value.to_owned())].into_iter().collect();
        let mut inventory = Inventory::default();
        let content = inventory.databases.entry("shop".into()).or_default();
        content.definitions.insert("table t".into(), definition);
        inventory
    }

    #[test]
    fn what_a_server_does_not_know_is_not_restored_into_it() {
        let newer = held(
            "options",
            "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_0900_ai_ci",
        );
        let program = held("collation_connection", "utf8mb4_0900_ai_ci");
        let comment = held("options", "ENGINE=InnoDB COMMENT='was utf8mb4_0900_ai_ci'");
        let uuid = held("column `id`", "uuid NOT NULL");
        let plain = held("column `id`", "int(11) NOT NULL");
        for (source, here, held, is_wrong) in [
            ("8.0.36", "10.11.19-MariaDB", &newer, true),
            ("8.0.36", "11.4.5-MariaDB", &newer, false),
            ("8.0.36", "10.11.19-MariaDB", &program, true),
            ("8.0.36", "8.0.36", &newer, false),
            ("5.7.44", "10.11.19-MariaDB", &plain, false),
            ("5.7.44", "10.11.19-MariaDB", &comment, false),
            ("10.11.19-MariaDB", "10.6.1-MariaDB", &uuid, true),
            ("10.11.19-MariaDB", "10.6.1-MariaDB", &plain, false),
            ("10.11.19-MariaDB", "8.0.36", &uuid, true),
            ("11.4.2-MariaDB", "10.11.19-MariaDB", &plain, true),
            ("10.11.19-MariaDB", "11.4.2-MariaDB", &plain, false),
            ("8.4.3", "5.7.44", &plain, true),
            ("5.5.5-10.3.39-MariaDB", "10.3.39-MariaDB", &plain, false),
        ] {
            let why = wrong_pairing(source, Taker::Throwaway(here), held);
            assert_eq!(why.is_some(), is_wrong, "{source} into {here}: {why:?}");
        }
        assert_eq!(
            wrong_pairing("8.0.36", Taker::Throwaway("10.11.19-MariaDB"), &newer).unwrap(),
            "database shop has a collation utf8mb4_0900_*, which the throwaway server, 10.11.19-MariaDB, does not know: \
             install MySQL 8.0 or later, and name its program as `server` under [sandbox]"
        );
        let spare = |version| Taker::Server("spare", version);
        assert_eq!(
            wrong_pairing("8.0.36", spare("10.11.19-MariaDB"), &newer).unwrap(),
            "database shop has a collation utf8mb4_0900_*, which server spare, 10.11.19-MariaDB, does not know: restore it \
             into a server of MySQL 8.0 or later"
        );
        assert_eq!(
            wrong_pairing("11.4.2-MariaDB", spare("10.11.19-MariaDB"), &plain).unwrap(),
            "11.4.2-MariaDB wrote it, and server spare is 10.11.19-MariaDB, of an older series, which need not know what \
             that writes: restore it into a server of MariaDB 11.4 or later"
        );
    }
}
