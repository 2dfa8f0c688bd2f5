//! Which mydumpers are run for a set, and with what. Pure.

use super::detect::MydumperInfo;
use super::option_file::dump_option_file_text;
use super::options::DumpOptions;
use crate::connection::ServerConnection;
use crate::error::ToolError;
use mykeeper_domain::job::Consistency;
use std::fmt::Write as _;

/// Seconds that no query runs for.
const NO_GUARD: i32 = i32::MAX;

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The installed mydumper.
    pub info: &'a MydumperInfo,
    /// The server.
    pub connection: &'a ServerConnection,
    /// What is dumped.
    pub databases: &'a [String],
    /// All databases that are there.
    pub present: &'a [String],
    /// Over what one snapshot reaches.
    pub consistency: Consistency,
    /// The job's options.
    pub options: &'a DumpOptions,
    /// The server can encrypt connections.
    pub can_encrypt: bool,
    /// Every table is of a transactional engine.
    pub transactional: bool,
    /// Options by which it is asked for checksums of its own.
    pub checksums: &'a [&'static str],
}

/// What is run for a set.
#[derive(Clone, PartialEq, Eq)]
pub struct DumpPlan {
    /// Text of the option file that all parts share. Holds the password.
    pub option_file: String,
    /// One mydumper after another.
    pub parts: Vec<PartPlan>,
}

impl std::fmt::Debug for DumpPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DumpPlan")
            .field("parts", &self.parts)
            .finish_non_exhaustive()
    }
}

/// One mydumper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartPlan {
    /// Its folder, relative to the set's; empty for the set's own.
    pub dir: String,
    /// What it dumps.
    pub databases: Vec<String>,
    /// Its arguments, all but option file and folder.
    pub args: Vec<String>,
}

/// Plans the mydumpers of a set.
///
/// # Errors
/// [`ToolError::Failed`] for a database whose name cannot be dumped safely.
pub fn plan_dump(input: &PlanInput<'_>) -> Result<DumpPlan, ToolError> {
    if input.databases.is_empty() {
        return Err(failed(
            "there is no database to dump: none is left after the job's \"databases\"".to_owned(),
        ));
    }
    for database in input.databases {
        if let Some(why) = unfit_name(database) {
            return Err(failed(format!(
                "cannot dump database {database:?}: {why}; exclude it with \"!{database}\""
            )));
        }
    }
    let parts: Vec<PartPlan> = match input.consistency {
        Consistency::All => vec![part(input, String::new(), input.databases)],
        Consistency::PerDatabase => input
            .databases
            .iter()
            .map(|database| part(input, database.clone(), std::slice::from_ref(database)))
            .collect(),
    };
    if let Some(part) = parts
        .iter()
        .find(|part| part.args.iter().any(|arg| is_too_large(arg)))
    {
        return Err(failed(if input.options.tables.is_some() {
            "too many tables for one regex of mydumper: name fewer in \"tables-list\", or make several jobs"
                .to_owned()
        } else if part.databases.len() > 1 {
            format!(
                "{} are too many databases for one regex of mydumper: use consistency = \"per-database\"",
                part.databases.len()
            )
        } else {
            "too many databases for one regex of mydumper: leave some out by a job of their own".to_owned()
        }));
    }
    Ok(DumpPlan {
        option_file: dump_option_file_text(input.connection, input.can_encrypt),
        parts,
    })
}

fn failed(message: String) -> ToolError {
    ToolError::Failed {
        message,
        passing: false,
    }
}

/// mydumper puts names into paths and statements as they are.
fn unfit_name(name: &str) -> Option<&'static str> {
    match name {
        "" | "." | ".." => Some("its name means a folder"),
        _ if name.contains('/') => Some("its name has a slash, which cannot stand in a file's name"),
        _ if name.contains('`') => Some("its name has a backtick, which mydumper does not quote"),
        _ if name.chars().any(char::is_control) => Some("its name has a control character"),
        _ => None,
    }
}

/// Whether databases are told to mydumper by their names, rather than by a pattern over all that are there.
pub(super) fn by_name(info: &MydumperInfo, databases: &[String]) -> bool {
    if info.is_classic() {
        databases.len() == 1 && databases.iter().all(|name| name.is_ascii())
    } else {
        databases.iter().all(|name| is_plain(name))
    }
}

fn part(input: &PlanInput<'_>, dir: String, databases: &[String]) -> PartPlan {
    let (info, options) = (input.info, input.options);
    let mut args = Vec::new();
    if !options.has("verbose") {
        args.push("--verbose=3".to_owned());
    }
    let goes_about_them = ["long-query-guard", "kill-long-queries"]
        .iter()
        .any(|option| options.has(option));
    // By default mydumper gives up when a query has run for a minute; that is decided before it starts.
    if info.knows("long-query-guard") && !goes_about_them {
        args.push(format!("--long-query-guard={NO_GUARD}"));
    }
    let by_name = by_name(info, databases);
    if by_name {
        args.push(format!("--database={}", databases.join(",")));
    }
    match &options.tables {
        Some(tables) => args.push(format!("--regex={}", tables_regex(databases, tables))),
        None if !by_name => args.push(format!(
            "--regex={}",
            databases_regex(info, databases, input.present)
        )),
        None => {}
    }
    // By default 1.0 asks for each definition in the table's own character set, in which not every comment can be said,
    // and writes at its head that it is binary.
    for option in ["default-character-set", "set-names"] {
        if !info.is_classic() && info.knows(option) {
            args.push(format!("--{option}=utf8mb4,binary"));
        }
    }
    let chosen = ["trx-tables", "no-trx-tables"]
        .iter()
        .any(|option| options.has(option));
    // By default 1.0 fails on the first table that is not transactional.
    if !input.transactional && info.knows("no-trx-tables") && !chosen {
        args.push("--no-trx-tables".to_owned());
    }
    args.extend(input.checksums.iter().map(|option| format!("--{option}")));
    args.extend(options.passed.iter().cloned());
    PartPlan {
        dir,
        databases: databases.to_vec(),
        args,
    }
}

/// What may stand in a list between commas.
fn is_plain(name: &str) -> bool {
    name.chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$' | ' ' | '.'))
}

/// The compiled regex must not be larger than 64 KiB: two bytes for a character, three for each branch and for either
/// end of a group. mydumper ends with exit 1 else.
fn is_too_large(arg: &str) -> bool {
    let Some(regex) = arg.strip_prefix("--regex=") else {
        return false;
    };
    let mut bytes: usize = 64;
    let mut chars = regex.chars();
    while let Some(c) = chars.next() {
        bytes += match c {
            '|' | '(' | ')' => 3,
            '\\' => {
                if chars.next() == Some('x') {
                    chars.nth(1);
                }
                2
            }
            _ => 2,
        };
    }
    bytes > 65_536
}

/// Matches `database.object` for these databases. mydumper matches without regard to case and line by line unless it
/// is told otherwise.
///
/// `shop.` begins the objects of `shop.eu` too, so databases that are there and not asked for are ruled out.
fn databases_regex(info: &MydumperInfo, databases: &[String], present: &[String]) -> String {
    // For the database itself 0.10 asks about `name.(null)`, later ones about `name`.
    let end = if info.is_classic() { "\\." } else { "(?:\\.|\\z)" };
    let mistakable: Vec<&str> = present
        .iter()
        .filter(|other| !databases.contains(other))
        .filter(|other| {
            databases.iter().any(|name| {
                other
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with('.'))
            })
        })
        .map(String::as_str)
        .collect();
    let without = if mistakable.is_empty() {
        String::new()
    } else {
        format!("(?!(?:{}){end})", alternatives(mistakable))
    };
    format!(
        "(?-i)\\A{without}(?:{}){end}",
        alternatives(databases.iter().map(String::as_str))
    )
}

fn tables_regex(databases: &[String], tables: &[(String, String)]) -> String {
    let mut each: Vec<String> = tables
        .iter()
        .filter(|(database, _)| databases.contains(database))
        .map(|(database, table)| format!("{}\\.{}", escaped(database), escaped(table)))
        .collect();
    each.extend(
        databases
            .iter()
            .map(|database| format!("{}(?:\\.\\(null\\))?", escaped(database))),
    );
    format!("(?-i)\\A(?:{})\\z", each.join("|"))
}

fn alternatives<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(escaped).collect::<Vec<_>>().join("|")
}

/// `name` as a regex that matches its bytes and is ASCII itself: mydumper takes no other arguments.
fn escaped(name: &str) -> String {
    let mut regex = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b' ' => regex.push(char::from(byte)),
            b'!'..=b'~' => regex.extend(['\\', char::from(byte)]),
            // Writing to a String cannot fail.
            _ => drop(write!(regex, "\\x{byte:02X}")),
        }
    }
    regex
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::job::MydumperOption;
    use mykeeper_domain::server::{Endpoint, PasswordSource, Tls};
    use std::collections::BTreeSet;

    fn info(version: (u32, u32, u32)) -> MydumperInfo {
        let names = "compress triggers events routines threads no-trx-tables verbose tables-list";
        MydumperInfo {
            program: "mydumper".into(),
            banner: format!("mydumper {version:?}"),
            version,
            options: names
                .split_whitespace()
                .map(str::to_owned)
                .collect::<BTreeSet<_>>(),
        }
    }

    fn plan(
        version: (u32, u32, u32),
        databases: &[&str],
        consistency: Consistency,
        options: &[&str],
    ) -> Result<DumpPlan, String> {
        let connection = ServerConnection {
            name: "shop".into(),
            endpoint: Endpoint::Socket("/run/mysqld/mysqld.sock".into()),
            user: "backup".into(),
            password: Some("geheim".to_owned().into()),
            password_source: PasswordSource::None,
            tls: Tls::default(),
        };
        let options: Vec<MydumperOption> = options
            .iter()
            .map(|text| match text.split_once('=') {
                Some((name, value)) => MydumperOption {
                    name: name.into(),
                    value: Some(value.into()),
                },
                None => MydumperOption {
                    name: (*text).into(),
                    value: None,
                },
            })
            .collect();
        let info = info(version);
        let options = DumpOptions::read(&info, &options).unwrap();
        let databases: Vec<String> = databases.iter().map(|name| (*name).to_owned()).collect();
        let mut present = databases.clone();
        present.extend(["shop.eu".to_owned(), "shop2".to_owned()]);
        plan_dump(&PlanInput {
            info: &info,
            connection: &connection,
            databases: &databases,
            present: &present,
            consistency,
            options: &options,
            can_encrypt: true,
            transactional: false,
            checksums: &[],
        })
        .map_err(|error| error.to_string())
    }

    const AWKWARD: [&str; 5] = ["shop", "日志 库-1", "a$b", "has space", "empty_one"];

    #[test]
    fn one_snapshot_chooses_its_databases_by_an_ascii_regex() {
        let plan = plan((0, 10, 0), &AWKWARD, Consistency::All, &["compress", "threads=8"]).unwrap();
        insta::assert_debug_snapshot!(plan.parts, @r#"
        [
            PartPlan {
                dir: "",
                databases: [
                    "shop",
                    "日志 库-1",
                    "a$b",
                    "has space",
                    "empty_one",
                ],
                args: [
                    "--verbose=3",
                    "--regex=(?-i)\\A(?!(?:shop\\.eu)\\.)(?:shop|\\xE6\\x97\\xA5\\xE5\\xBF\\x97 \\xE5\\xBA\\x93\\-1|a\\$b|has space|empty_one)\\.",
                    "--no-trx-tables",
                    "--compress",
                    "--threads=8",
                ],
            },
        ]
        "#);
    }

    #[test]
    fn each_database_has_a_mydumper_and_a_folder() {
        let plan = plan(
            (0, 10, 0),
            &["shop", "日志"],
            Consistency::PerDatabase,
            &["verbose=2"],
        )
        .unwrap();
        insta::assert_debug_snapshot!(plan.parts, @r#"
        [
            PartPlan {
                dir: "shop",
                databases: [
                    "shop",
                ],
                args: [
                    "--database=shop",
                    "--no-trx-tables",
                    "--verbose=2",
                ],
            },
            PartPlan {
                dir: "日志",
                databases: [
                    "日志",
                ],
                args: [
                    "--regex=(?-i)\\A(?:\\xE6\\x97\\xA5\\xE5\\xBF\\x97)\\.",
                    "--no-trx-tables",
                    "--verbose=2",
                ],
            },
        ]
        "#);
    }

    #[test]
    fn later_versions_take_a_list_of_databases() {
        let plain = plan((1, 0, 1), &["shop", "a$b"], Consistency::All, &[]).unwrap();
        assert_eq!(
            plain.parts[0].args,
            ["--verbose=3", "--database=shop,a$b", "--no-trx-tables"]
        );
        let awkward = plan((1, 0, 1), &["日", "shop"], Consistency::All, &[]).unwrap();
        assert_eq!(
            awkward.parts[0].args[1],
            "--regex=(?-i)\\A(?!(?:shop\\.eu)(?:\\.|\\z))(?:\\xE6\\x97\\xA5|shop)(?:\\.|\\z)"
        );
    }

    #[test]
    fn a_regex_that_mydumper_cannot_compile_is_told_before() {
        // Found by trying: 1,523 names of 20 characters are one too many.
        let names = |count| (0..count).map(|n| format!("n{n:019}")).collect::<Vec<String>>();
        let some = names(1_500);
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        assert!(plan((0, 10, 0), &some, Consistency::All, &[]).is_ok());
        let many = names(1_523);
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(
            plan((0, 10, 0), &many, Consistency::All, &[]).unwrap_err(),
            "1523 are too many databases for one regex of mydumper: use consistency = \"per-database\""
        );
        assert!(plan((0, 10, 0), &many, Consistency::PerDatabase, &[]).is_ok());
    }

    #[test]
    fn a_list_of_tables_becomes_a_regex() {
        let plan = plan(
            (0, 10, 0),
            &["shop"],
            Consistency::All,
            &["tables-list=shop.orders,b.t"],
        )
        .unwrap();
        assert_eq!(
            plan.parts[0].args,
            [
                "--verbose=3",
                "--database=shop",
                "--regex=(?-i)\\A(?:shop\\.orders|shop(?:\\.\\(null\\))?)\\z",
                "--no-trx-tables",
            ]
        );
    }

    #[test]
    fn the_password_is_in_the_option_file_alone() {
        let plan = plan((0, 10, 0), &AWKWARD, Consistency::PerDatabase, &[]).unwrap();
        assert!(!format!("{plan:?}").contains("geheim"));
        insta::assert_snapshot!(plan.option_file, @r#"
        [client]
        user="backup"
        password="geheim"
        host="localhost"
        socket="/run/mysqld/mysqld.sock"
        init-command="SET SESSION sql_mode = '', sql_quote_show_create = 1"
        "#);
    }

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for (name, why) in [
            ("a/b", "slash"),
            ("..", "folder"),
            ("a`b", "backtick"),
            ("a\nb", "control"),
        ] {
            let message = plan((0, 10, 0), &["shop", name], Consistency::All, &[]).unwrap_err();
            assert!(message.contains(why), "{message}");
        }
        assert!(
            plan((0, 10, 0), &[], Consistency::All, &[])
                .unwrap_err()
                .contains("no database")
        );
    }
}
