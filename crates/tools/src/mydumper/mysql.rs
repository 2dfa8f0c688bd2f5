//! What a mydumper makes of a server of MySQL's own: what it would write wrongly is refused before it is started, what it
//! has to be told it is told. Measured with MySQL 9.7 and mydumper 0.10 and 1.0; nothing is refused of servers before 9.

use super::detect::MydumperInfo;
use super::options::DumpOptions;
use super::plan::DumpPlan;
use crate::error::ToolError;
use crate::probe::{Flavor, ServerVersion};
use mykeeper_domain::inventory::Inventory;

type Number = (u32, u32, u32);

/// The first series that was measured; it also put a column among those of `SHOW FUNCTION STATUS`.
const MEASURED: Number = (9, 0, 0);
/// The first that knows `SHOW BINARY LOG STATUS` and `SHOW REPLICA STATUS` alone.
const WITHOUT_MASTER: Number = (8, 4, 0);
/// What mydumper 1.0 finds in `@@version_comment` of a server that it knows; packages put words of their own there.
const KNOWN_BY: [&str; 6] = [
    "mysql",
    "percona",
    "mariadb",
    "source distribution",
    "dolt",
    "tidb",
];

/// The number of a server of MySQL's own that is not before `first`.
fn mysql_from(version: &str, first: Number) -> Option<Number> {
    let ServerVersion { flavor, number } = ServerVersion::parse(version);
    (flavor == Flavor::MySql && number >= first).then_some(number)
}

/// Refuses databases that a mydumper cannot select: it does so in a session of `SET NAMES binary`, where MySQL takes each
/// byte of the name for a character.
///
/// # Errors
/// The first such database, with what to do.
pub fn refuse_names(version: &str, databases: &[String]) -> Result<(), ToolError> {
    let foreign = databases.iter().find(|name| !name.is_ascii());
    match foreign.filter(|_| mysql_from(version, MEASURED).is_some()) {
        None => Ok(()),
        Some(name) => Err(failed(format!(
            "cannot dump database {name:?}: mydumper cannot select a database of MySQL whose name is not ASCII, and the \
             server is {version}; exclude it with \"!{name}\""
        ))),
    }
}

/// Refuses routines that mydumper 0.10 would write so that no server takes them: it counts the columns of
/// `SHOW FUNCTION STATUS`.
///
/// # Errors
/// The first database that has some, with what to do.
pub(super) fn refuse_routines(
    info: &MydumperInfo,
    options: &DumpOptions,
    (version, held): (&str, &Inventory),
) -> Result<(), ToolError> {
    let is_wrong = info.is_classic() && options.coverage.routines && mysql_from(version, MEASURED).is_some();
    let with_routines = held
        .databases
        .iter()
        .find(|(_, content)| is_wrong && !(content.procedures.is_empty() && content.functions.is_empty()));
    match with_routines {
        None => Ok(()),
        Some((database, _)) => Err(failed(format!(
            "cannot dump the routines of database {database}: {} writes those of MySQL {version} as statements that no \
             server takes; install mydumper 1.0 or later, or take \"routines\" out of the job's options",
            info.banner
        ))),
    }
}

/// Why nothing is known of positions where a mydumper asks by words that the server has given up.
pub fn without_position(info: &MydumperInfo, version: &str) -> Option<String> {
    (info.is_classic() && mysql_from(version, WITHOUT_MASTER).is_some()).then(|| {
        format!(
            "the set will have no position in the binary log, and say nothing of replication: {} asks by SHOW MASTER STATUS \
             and SHOW SLAVE STATUS, which MySQL {version} does not know; install mydumper 1.0 or later",
            info.banner
        )
    })
}

/// Tells mydumper 1.0 what it does not find out by itself: whose server it is where a package has renamed it (it asks for
/// positions by the words of old, and fails), and that EXPLAIN is read as a table (MySQL 9 draws a tree, on which it
/// crashes).
pub(super) fn tell(
    plan: &mut DumpPlan,
    (info, options): (&MydumperInfo, &DumpOptions),
    (version, comment): (&str, &str),
) {
    if info.is_classic() {
        return;
    }
    if mysql_from(version, MEASURED).is_some() {
        plan.option_file
            .push_str("\n[mydumper_session_variables]\nexplain_format=TRADITIONAL\n");
    }
    let comment = comment.to_ascii_lowercase();
    let is_unknown = info.knows("server-version")
        && !options.has("server-version")
        && !KNOWN_BY.iter().any(|name| comment.contains(name));
    if let Some((major, minor, patch)) = mysql_from(version, WITHOUT_MASTER).filter(|_| is_unknown) {
        for part in &mut plan.parts {
            part.args
                .push(format!("--server-version=mysql-{major}.{minor}.{patch}"));
        }
    }
}

fn failed(message: String) -> ToolError {
    ToolError::Failed {
        message,
        passing: false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::PartPlan;
    use super::*;
    use std::path::PathBuf;

    fn mydumper(version: Number) -> MydumperInfo {
        MydumperInfo {
            program: PathBuf::from("mydumper"),
            banner: format!("mydumper {}.{}.{}", version.0, version.1, version.2),
            version,
            options: ["routines", "server-version"].map(str::to_owned).into(),
        }
    }

    fn told(version: Number, server: (&str, &str)) -> (String, Vec<String>) {
        let info = mydumper(version);
        let options = DumpOptions::read(&info, &[]).unwrap();
        let part = PartPlan {
            dir: String::new(),
            databases: Vec::new(),
            args: Vec::new(),
        };
        let mut plan = DumpPlan {
            option_file: "[client]\n".to_owned(),
            parts: vec![part],
        };
        tell(&mut plan, (&info, &options), server);
        (plan.option_file, plan.parts.remove(0).args)
    }

    #[test]
    fn what_was_not_measured_is_not_refused() {
        let names = ["shop".to_owned(), "日志".to_owned()];
        for (version, is_refused) in [
            ("9.7.4-2", true),
            ("8.4.3", false),
            ("10.11.19-MariaDB", false),
            ("11.8.2-MariaDB-log", false),
        ] {
            assert_eq!(refuse_names(version, &names).is_err(), is_refused, "{version}");
            assert!(refuse_names(version, &names[..1]).is_ok(), "{version}");
        }
        let classic = mydumper((0, 10, 0));
        for (version, is_unknown) in [
            ("9.7.4", true),
            ("8.4.3", true),
            ("8.0.36", false),
            ("10.11.19-MariaDB", false),
        ] {
            assert_eq!(
                without_position(&classic, version).is_some(),
                is_unknown,
                "{version}"
            );
            assert_eq!(without_position(&mydumper((1, 0, 1)), version), None);
        }
    }

    #[test]
    fn routines_are_refused_where_they_would_be_dumped_wrongly() {
        let mut held = Inventory::default();
        let shop = held.databases.entry("shop".to_owned()).or_default();
        shop.functions.insert("gross".to_owned());
        let refused = |dumper: Number, server: &str, asked: bool| {
            let info = mydumper(dumper);
            let mut options = DumpOptions::read(&info, &[]).unwrap();
            options.coverage.routines = asked;
            refuse_routines(&info, &options, (server, &held)).is_err()
        };
        assert!(refused((0, 10, 0), "9.7.4", true));
        assert!(!refused((0, 10, 0), "9.7.4", false));
        assert!(!refused((1, 0, 1), "9.7.4", true));
        assert!(!refused((0, 10, 0), "10.11.19-MariaDB", true));
    }

    #[test]
    fn mydumper_is_told_whose_server_a_package_has_renamed() {
        let session = "[client]\n\n[mydumper_session_variables]\nexplain_format=TRADITIONAL\n";
        let (file, args) = told((1, 0, 1), ("9.7.4-2", "(Debian)"));
        assert_eq!(
            (file.as_str(), args),
            (session, vec!["--server-version=mysql-9.7.4".to_owned()])
        );
        let (file, args) = told((1, 0, 1), ("9.7.4", "MySQL Community Server - GPL"));
        assert_eq!((file.as_str(), args), (session, vec![]));
        for server in [("10.11.19-MariaDB", "Debian 12"), ("8.0.36", "(Ubuntu)")] {
            assert_eq!(told((1, 0, 1), server), ("[client]\n".to_owned(), vec![]));
        }
        assert_eq!(
            told((0, 10, 0), ("9.7.4-2", "(Debian)")),
            ("[client]\n".to_owned(), vec![])
        );
    }
}
