//! How a table is defined: the answer of `SHOW CREATE TABLE`, taken apart. Pure.

use super::{digest, quoted_part, short};
use mykeeper_domain::definition::Definition;
use std::collections::BTreeMap;

/// What is told of a table by the lines that define it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CreatedTable {
    /// Each line under the name of the column, key or constraint that it is about.
    pub(super) definition: Definition,
    /// The next `AUTO_INCREMENT`, which changes with each row.
    pub(super) auto_increment: Option<u64>,
    pub(super) traits: TableTraits,
}

/// What a table's definition means for the comparing of its values: read from the lines as the server writes them, of
/// which a definition keeps long ones as digests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TableTraits {
    /// Why `CHECKSUM TABLE` says another thing after a restore; for people.
    pub(crate) unfit: Option<String>,
    /// A column is a JSON by its type, as in MySQL.
    pub(crate) has_json: bool,
}

impl TableTraits {
    /// `column` is a column's name and `value` what follows it.
    fn see(&mut self, column: &str, value: &str) {
        self.has_json |= value.starts_with("json");
        let why = if value.starts_with("float") {
            "is a FLOAT, of which a dump does not hold every digit"
        } else if value.starts_with("json") {
            "is a JSON, whose numbers come back as another type"
        } else if without_format(value).len() < value.len() {
            "is of an old format"
        } else if value.contains(" INVISIBLE") {
            "is INVISIBLE"
        } else {
            return;
        };
        self.unfit.get_or_insert_with(|| format!("column {column} {why}"));
    }
}

/// Takes the answer of `SHOW CREATE TABLE` apart; `None` for anything else.
pub(super) fn parse_create_table(created: &str) -> Option<CreatedTable> {
    let mut lines = created.lines();
    lines
        .next()
        .filter(|line| line.starts_with("CREATE ") && line.ends_with('('))?;
    let mut facts: BTreeMap<String, String> = BTreeMap::new();
    let mut before: Option<String> = None;
    let mut table = CreatedTable::default();
    while let Some(line) = lines.next() {
        if let Some(options) = line.strip_prefix(')') {
            let (options, counter) = without_counter(options.trim());
            table.auto_increment = counter;
            if options.contains("SYSTEM VERSIONING") {
                table
                    .traits
                    .unfit
                    .get_or_insert("a dump leaves its history out".to_owned());
            }
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
        let rest = &without_options(rest, Options::Ignored);
        let value = match name.strip_prefix("column ") {
            None => rest.clone(),
            Some(column) => {
                table.traits.see(column, rest);
                let rest = without_format(rest);
                match before.replace(column.to_owned()) {
                    Some(before) => format!("{rest} after {before}"),
                    None => rest,
                }
            }
        };
        facts.insert(name, short(value));
    }
    let is_whole = facts.contains_key("options");
    table.definition = Definition(facts);
    is_whole.then_some(table)
}

/// What MySQL says of a table, without the character sets that its collations name anyway: it prints them where they were
/// once written, and so of every column that a dump has given a collation.
pub(super) fn without_repeated_charset(created: &str) -> String {
    const SET: &str = " CHARACTER SET ";
    copied_without(created, |rest| {
        let (charset, collation) = rest.strip_prefix(SET)?.split_once(" COLLATE ")?;
        let is_of_it = collation
            .strip_prefix(charset)
            .is_some_and(|more| more.starts_with('_'));
        rest.get(SET.len() + charset.len()..).filter(|_| is_of_it)
    })
}

/// A column's or parameter's type and what follows, without what a server says behind the type of how it keeps its
/// values: `datetime /* mariadb-5.3 */`. Whatever it was made by, a restored one is of the server's own format.
pub(crate) fn without_format(column: &str) -> String {
    let all = || column.to_owned();
    if column.starts_with("enum(") || column.starts_with("set(") {
        return all();
    }
    let word = column.find([' ', '(']).unwrap_or(column.len());
    let (kind, rest) = column.split_at(word);
    let size = match rest.strip_prefix('(') {
        Some(inner) => inner.find(')').map_or(0, |end| end + 2),
        None => 0,
    };
    let Some((size, rest)) = rest.split_at_checked(size) else {
        return all();
    };
    let remark = rest
        .trim_start()
        .strip_prefix("/*")
        .and_then(|rest| rest.split_once("*/"));
    match remark {
        // What begins so is no remark but part of the definition.
        Some((remark, behind)) if !remark.starts_with(['!', 'M', 'T']) => format!("{kind}{size}{behind}"),
        _ => all(),
    }
}

/// Which of the options of an engine's own that stand behind a column or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Options {
    /// Those that the table's engine does not know: the server writes them as a remark.
    Ignored,
    All,
}

/// What is said of a column or a key without options of its engine: `` `FLAG`='1' ``, or in a remark where the engine does
/// not know them. A server that puts a table into another engine keeps them so, and a dump loses them.
pub(crate) fn without_options(fact: &str, which: Options) -> String {
    copied_without(fact, |rest| {
        let option = || behind_option(rest).filter(|_| which == Options::All);
        behind_remark(rest).or_else(option)
    })
}

/// The text without those parts behind which `skip` gives what follows. Strings and quoted names are never looked into.
fn copied_without(text: &str, skip: impl Fn(&str) -> Option<&str>) -> String {
    let mut left = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(behind) = skip(rest) {
            rest = behind;
            continue;
        }
        let length = match first {
            '\'' => string_length(rest),
            '`' => quoted_part(rest).map(|(_, name, _)| name.len()),
            _ => None,
        };
        let (part, behind) = rest.split_at(length.unwrap_or(first.len_utf8()));
        left.push_str(part);
        rest = behind;
    }
    left
}

/// What follows `` /* `A`='1' `B`=2 */`` and the space before it.
fn behind_remark(text: &str) -> Option<&str> {
    let mut rest = behind_option(text.strip_prefix(" /*")?)?;
    while let Some(behind) = behind_option(rest) {
        rest = behind;
    }
    rest.strip_prefix(" */")
}

/// What follows `` `A`='1'`` and the space before it.
fn behind_option(text: &str) -> Option<&str> {
    let (space, _, rest) = quoted_part(text)?;
    let value = rest.strip_prefix('=').filter(|_| space == " ")?;
    let length = match value.starts_with('\'') {
        true => string_length(value)?,
        false => value.find(' ').unwrap_or(value.len()),
    };
    value.get(length..)
}

/// Of a string at the beginning, with its quotes.
fn string_length(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().skip(1).peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' => drop(bytes.next()),
            b'\'' if bytes.peek().is_some_and(|(_, next)| *next == b'\'') => drop(bytes.next()),
            b'\'' => return Some(at + 1),
            _ => {}
        }
    }
    None
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
        let table = parse_create_table(created).unwrap();
        assert_eq!(table.auto_increment, Some(42));
        assert_eq!(table.traits, TableTraits::default());
        let facts: Vec<String> = table
            .definition
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
        let said = "`a CHARACTER SET x COLLATE x_y` text CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT 'it''s \
                    CHARACTER SET x COLLATE x_y',\n  `b` text CHARACTER SET latin1,\n  `c` text COLLATE utf8mb4_bin";
        assert_eq!(
            without_repeated_charset(said),
            said.replace(" CHARACTER SET utf8mb4 COLLATE", " COLLATE")
        );
    }

    #[test]
    fn options_of_an_engine_are_told_from_what_only_looks_like_them() {
        for (fact, without_ignored, without_all) in [
            (
                "int(11) NOT NULL /* `FLAG`='1' `B`=2 */ after `id`",
                "int(11) NOT NULL after `id`",
                "int(11) NOT NULL after `id`",
            ),
            (
                "int(11) NOT NULL `FLAG`='it''s \\' /*' `B`=YES /* `C`='3' */ CHECK (`a` = 1)",
                "int(11) NOT NULL `FLAG`='it''s \\' /*' `B`=YES CHECK (`a` = 1)",
                "int(11) NOT NULL CHECK (`a` = 1)",
            ),
            (
                "(`a`,`b`(10)) `CLUSTERING`=YES",
                "(`a`,`b`(10)) `CLUSTERING`=YES",
                "(`a`,`b`(10))",
            ),
        ] {
            assert_eq!(without_options(fact, Options::Ignored), without_ignored);
            assert_eq!(without_options(fact, Options::All), without_all);
        }
        for plain in [
            "text COMMENT ' `A`=1 /* `A`=1 */'",
            "text DEFAULT ' `A`=''1'' ' COMMENT 'a \\' /* `A`=1 */' after ` /* ``A``=1 */`",
            "int(11) /* `a */ GENERATED ALWAYS AS (`a` = `b` and `a` = '1') STORED",
            "varchar(10) /*M!100301 COMPRESSED*/ DEFAULT 'open",
            "",
        ] {
            assert_eq!(without_options(plain, Options::All), plain);
        }
        let of = |column: &str| {
            let created =
                format!("CREATE TABLE `t` (\n  `c` {column},\n  KEY `k` (`c`) /* `X`=1 */\n) ENGINE=InnoDB");
            parse_create_table(&created).unwrap()
        };
        assert_eq!(of("int(11) /* `FLAG`='1' */"), of("int(11)"));
        assert_eq!(of("int(11)").definition.0["key `k`"], "(`c`)");
    }

    #[test]
    fn an_old_format_is_no_difference_but_makes_a_checksum_unfit() {
        for (old, new) in [
            ("datetime /* mariadb-5.3 */ DEFAULT NULL", "datetime DEFAULT NULL"),
            (
                "datetime(6) /* mariadb-5.3 */ NOT NULL COMMENT 'a'",
                "datetime(6) NOT NULL COMMENT 'a'",
            ),
            ("timestamp /* 5.5 binary format */ NULL", "timestamp NULL"),
            ("uuid /* old */", "uuid"),
        ] {
            assert_eq!(without_format(old), new);
            let of = |column: &str| {
                let created = format!("CREATE TABLE `t` (\n  `c` {column}\n) ENGINE=InnoDB");
                parse_create_table(&created).unwrap()
            };
            assert_eq!(of(old).definition, of(new).definition);
            assert_eq!(
                of(old).traits.unfit.as_deref(),
                Some("column `c` is of an old format")
            );
            assert_eq!(of(new).traits.unfit, None);
        }
        for plain in [
            "varchar(10) /*M!100301 COMPRESSED*/ DEFAULT NULL",
            "int /*!80023 INVISIBLE */",
            "enum('a) /* b */','c') DEFAULT NULL",
            "int(11) DEFAULT 1 COMMENT ' /* a */'",
            "datetime(6",
            "",
        ] {
            assert_eq!(without_format(plain), plain);
        }
    }

    #[test]
    fn what_is_long_or_secret_is_looked_into_before_it_is_digested() {
        let long = "x".repeat(300);
        let of = |column: &str, options: &str| {
            let created = format!("CREATE TABLE `t` (\n  `c` {column} COMMENT '{long}'\n) {options}");
            let table = parse_create_table(&created).unwrap();
            assert!(table.definition.0["column `c`"].starts_with("BLAKE3 "));
            table.traits
        };
        for (column, options, why) in [
            ("float(7,2)", "ENGINE=InnoDB", "column `c` is a FLOAT"),
            ("json", "ENGINE=InnoDB", "column `c` is a JSON"),
            (
                "time /* mariadb-5.3 */",
                "ENGINE=InnoDB",
                "column `c` is of an old format",
            ),
            ("int(11) INVISIBLE", "ENGINE=InnoDB", "column `c` is INVISIBLE"),
            (
                "int(11)",
                "ENGINE=InnoDB CONNECTION='mysql://u:p@h' WITH SYSTEM VERSIONING",
                "a dump leaves its history out",
            ),
        ] {
            let traits = of(column, options);
            assert!(traits.unfit.as_ref().unwrap().starts_with(why), "{traits:?}");
            assert_eq!(traits.has_json, column == "json");
        }
        for plain in [
            "int(11)",
            "double DEFAULT NULL",
            "int(11) DEFAULT 4 COMMENT 'float /* x */',",
        ] {
            assert_eq!(of(plain, "ENGINE=InnoDB"), TableTraits::default());
        }
        assert_eq!(
            of("varchar(9)", "ENGINE=InnoDB COMMENT='float'"),
            TableTraits::default()
        );
    }

    #[test]
    fn how_another_server_is_reached_is_only_digested() {
        let of = |options: &str| {
            let created = format!("CREATE TABLE `t` (\n  `id` int(11)\n) {options}");
            parse_create_table(&created).unwrap().definition.0
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
