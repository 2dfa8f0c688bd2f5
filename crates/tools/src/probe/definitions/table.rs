//! How a table is defined: the answer of `SHOW CREATE TABLE`, taken apart. Pure.

use super::{digest, quoted_part, short};
use mykeeper_domain::definition::Definition;
use std::collections::BTreeMap;

/// Takes the answer of `SHOW CREATE TABLE` apart: each line is a fact, under the name of the column, key or constraint
/// that it is about. The next `AUTO_INCREMENT` stands beside: it changes with each row. `None` for anything else.
pub(super) fn parse_create_table(created: &str) -> Option<(Definition, Option<u64>)> {
    let mut lines = created.lines();
    lines
        .next()
        .filter(|line| line.starts_with("CREATE ") && line.ends_with('('))?;
    let mut facts: BTreeMap<String, String> = BTreeMap::new();
    let mut before: Option<String> = None;
    let mut next = None;
    while let Some(line) = lines.next() {
        if let Some(options) = line.strip_prefix(')') {
            let (options, counter) = without_counter(options.trim());
            next = counter;
            facts.insert("options".to_owned(), without_secrets(&options));
            let partitions: Vec<&str> = lines.by_ref().map(str::trim).collect();
            if !partitions.is_empty() {
                facts.insert(
                    "partitions".to_owned(),
                    without_secrets(&short(partitions.join(" "))),
                );
            }
            break;
        }
        let line = line.trim().trim_end_matches(',');
        let (name, rest) = fact_name(line);
        let value = match (line.starts_with('`'), before.take()) {
            (true, Some(before)) => format!("{rest} after {before}"),
            _ => rest.to_owned(),
        };
        if line.starts_with('`') {
            before = Some(name.trim_start_matches("column ").to_owned());
        }
        facts.insert(name, short(value));
    }
    facts.contains_key("options").then_some((Definition(facts), next))
}

/// ``column `a` `` and what follows.
fn fact_name(line: &str) -> (String, &str) {
    let Some((kind, name, rest)) = quoted_part(line) else {
        return (line.to_owned(), "");
    };
    let kind = kind.trim();
    match kind {
        "" => (format!("column {name}"), rest.trim()),
        // Its columns stand in backticks, too.
        _ if kind.ends_with('(') => (kind.trim_end_matches(['(', ' ']).to_lowercase(), line),
        _ => (format!("{} {name}", kind.to_lowercase()), rest.trim()),
    }
}

/// Without `AUTO_INCREMENT=7`, and its number.
fn without_counter(options: &str) -> (String, Option<u64>) {
    const NAME: &str = "AUTO_INCREMENT=";
    // Behind it may stand a comment or a connection, never before.
    let Some((before, behind)) = options.split_once(NAME) else {
        return (options.to_owned(), None);
    };
    let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = behind.split_at(digits);
    if before.contains('\'') {
        return (options.to_owned(), None);
    }
    (format!("{}{}", before, rest.trim_start()), number.parse().ok())
}

/// Options of a table or its partitions as they may be kept: how another server is reached may hold a password, so from
/// there on they are digested. The engines that know such options (CONNECT, FEDERATED, Spider) take their words in any
/// case, and some of them within a comment.
pub(crate) fn without_secrets(options: &str) -> String {
    const SECRETS: [&str; 5] = ["connection", "password", "passwd", "pwd", "://"];
    // No byte more or less: what is found there stands at the same place here.
    let text = options.to_ascii_lowercase();
    let secret = SECRETS.iter().filter_map(|word| text.find(word)).min();
    match secret.and_then(|at| options.split_at_checked(at)) {
        Some((before, secret)) => format!("{before}{}", digest(secret)),
        None => short(options.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_table_is_a_fact() {
        let created = "CREATE TABLE `or``ders` (\n  `id` int(11) NOT NULL AUTO_INCREMENT,\n  `pr``ice` decimal(10,2) NOT NULL \
                       DEFAULT 0.00 COMMENT 'a, `b`',\n  PRIMARY KEY (`id`),\n  UNIQUE KEY `k` (`pr``ice`),\n  \
                       CONSTRAINT `c` CHECK (`id` > 0)\n) ENGINE=InnoDB AUTO_INCREMENT=42 DEFAULT CHARSET=utf8mb4 \
                       COMMENT='AUTO_INCREMENT=7'\n PARTITION BY RANGE (`id`)\n(PARTITION `p0` VALUES LESS THAN (9))";
        let (definition, next) = parse_create_table(created).unwrap();
        assert_eq!(next, Some(42));
        let facts: Vec<String> = definition
            .0
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        assert_eq!(
            facts,
            [
                "column `id` = int(11) NOT NULL AUTO_INCREMENT",
                "column `pr``ice` = decimal(10,2) NOT NULL DEFAULT 0.00 COMMENT 'a, `b`' after `id`",
                "constraint `c` = CHECK (`id` > 0)",
                "options = ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='AUTO_INCREMENT=7'",
                "partitions = PARTITION BY RANGE (`id`) (PARTITION `p0` VALUES LESS THAN (9))",
                "primary key = PRIMARY KEY (`id`)",
                "unique key `k` = (`pr``ice`)",
            ]
        );
        assert_eq!(parse_create_table("CREATE VIEW v AS SELECT 1"), None);
    }

    #[test]
    fn how_another_server_is_reached_is_only_digested() {
        let of = |options: &str| {
            let created = format!("CREATE TABLE `t` (\n  `id` int(11)\n) {options}");
            parse_create_table(&created).unwrap().0.0
        };
        for (options, fact, kept) in [
            (
                "ENGINE=FEDERATED CONNECTION='mysql://u:geheim@h/d/t'",
                "options",
                "ENGINE=FEDERATED BLAKE3 ",
            ),
            (
                "ENGINE=CONNECT `TABLE_TYPE`='MYSQL' `OPTION_LIST`='User=u,Password=geheim'",
                "options",
                "ENGINE=CONNECT `TABLE_TYPE`='MYSQL' `OPTION_LIST`='User=u,BLAKE3 ",
            ),
            (
                "ENGINE=CONNECT `OPTION_LIST`='Driver=x,PWD=geheim'",
                "options",
                "ENGINE=CONNECT `OPTION_LIST`='Driver=x,BLAKE3 ",
            ),
            (
                "ENGINE=SPIDER COMMENT='wrapper \"mysql\", paSSword \"geheim\"'",
                "options",
                "ENGINE=SPIDER COMMENT='wrapper \"mysql\", BLAKE3 ",
            ),
            (
                "ENGINE=MONGO URI='mongodb://u:geheim@h'",
                "options",
                "ENGINE=MONGO URI='mongodbBLAKE3 ",
            ),
            (
                "ENGINE=SPIDER\n PARTITION BY LIST (`id`)\n(PARTITION `p` VALUES IN (1) COMMENT = 'user \"u\", \
                 Password \"geheim\"' ENGINE = SPIDER)",
                "partitions",
                "PARTITION BY LIST (`id`) (PARTITION `p` VALUES IN (1) COMMENT = 'user \"u\", BLAKE3 ",
            ),
            (
                "ENGINE=SPIDER\n PARTITION BY LIST (`id`)\n(PARTITION `p` VALUES IN (1) CONNECTION = \
                 'mysql://u:geheim@h' ENGINE = SPIDER)",
                "partitions",
                "PARTITION BY LIST (`id`) (PARTITION `p` VALUES IN (1) BLAKE3 ",
            ),
        ] {
            let facts = of(options);
            assert!(facts[fact].starts_with(kept), "{facts:?}");
            assert!(!format!("{facts:?}").contains("geheim"), "{facts:?}");
            assert_ne!(facts[fact], of(&options.replace("geheim", "other"))[fact]);
            assert_eq!(without_secrets(&facts[fact]), facts[fact]);
        }
    }
}
