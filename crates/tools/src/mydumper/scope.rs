//! Which tables a regular expression of mydumper's means. Pure.

use super::detect::MydumperInfo;
use crate::error::ToolError;
use fancy_regex::Regex;
use mykeeper_domain::inventory::Inventory;

/// Some tables of some databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableScope {
    /// Database and table, view, routine or event: mydumper asks its expression about each of them.
    pub tables: Vec<(String, String)>,
    /// Every routine and event of each of the databases is among them.
    pub programs: bool,
}

/// What the expression means on one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexScope {
    /// The databases of which it means something.
    pub databases: Vec<String>,
    /// What of them; `None`: all.
    pub tables: Option<TableScope>,
}

/// Asks the expression about everything that `inventory` holds, as mydumper does: `database.table` in any case, each
/// line by itself, found anywhere in it.
///
/// # Errors
/// [`ToolError::Failed`]: it is none, or nothing that is there is meant.
pub fn resolve_regex(
    pattern: &str,
    info: &MydumperInfo,
    inventory: &Inventory,
) -> Result<RegexScope, ToolError> {
    let failed = |message: String| ToolError::Failed {
        message,
        passing: false,
    };
    let regex = Regex::new(&format!("(?im){pattern}")).map_err(|error| {
        failed(format!(
            "cannot understand regex={pattern}: {error}; mydumper takes Perl's"
        ))
    })?;
    let means = |text: &str| {
        regex
            .is_match(text)
            .map_err(|error| failed(format!("cannot ask regex={pattern} about {text}: {error}")))
    };
    let (mut databases, mut tables) = (Vec::new(), Vec::new());
    let (mut is_whole, mut programs_are_whole) = (true, true);
    for (database, content) in &inventory.databases {
        // For the database itself 0.10 asks about `name.(null)`, later ones about `name`.
        let itself = match info.is_classic() {
            true => format!("{database}.(null)"),
            false => database.clone(),
        };
        let is_meant = means(&itself)?;
        let mut meant = Vec::new();
        let mut names = |objects: &mut dyn Iterator<Item = &String>| {
            let mut are_all = true;
            for object in objects {
                match means(&format!("{database}.{object}"))? {
                    true => meant.push((database.clone(), object.clone())),
                    false => are_all = false,
                }
            }
            Ok::<bool, ToolError>(are_all)
        };
        let tables_are = names(
            &mut content
                .tables
                .keys()
                .chain(&content.views)
                .chain(&content.sequences),
        )?;
        let programs = content.functions.iter().chain(&content.procedures);
        let programs_are = names(&mut programs.chain(&content.events))?;
        if is_meant || !meant.is_empty() {
            is_whole &= is_meant && tables_are && programs_are;
            programs_are_whole &= programs_are;
            databases.push(database.clone());
            tables.extend(meant);
        }
    }
    if databases.is_empty() {
        return Err(failed(format!(
            "regex={pattern} means nothing that is on the server; it is asked about \"database.table\""
        )));
    }
    Ok(RegexScope {
        databases,
        tables: (!is_whole).then_some(TableScope {
            tables,
            programs: programs_are_whole,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::inventory::{DatabaseInventory, TableInventory};

    fn resolve(pattern: &str, version: (u32, u32, u32)) -> Result<(String, String, bool), String> {
        let info = MydumperInfo {
            program: "mydumper".into(),
            banner: String::new(),
            version,
            options: Default::default(),
        };
        let mut inventory = Inventory::default();
        for (name, tables) in [
            ("fandb", "a log_1"),
            ("mysql", "user"),
            ("test", "a"),
            ("Shop", "orders"),
        ] {
            let mut database = DatabaseInventory::default();
            for table in tables.split(' ') {
                database
                    .tables
                    .insert(table.to_owned(), TableInventory::default());
            }
            database.procedures.insert("p".to_owned());
            inventory.databases.insert(name.to_owned(), database);
        }
        let scope = resolve_regex(pattern, &info, &inventory).map_err(|error| error.to_string())?;
        let (tables, programs) = match scope.tables {
            None => ("all".to_owned(), true),
            Some(scope) => {
                let tables: Vec<String> = scope.tables.iter().map(|(d, t)| format!("{d}.{t}")).collect();
                (tables.join(" "), scope.programs)
            }
        };
        Ok((scope.databases.join(" "), tables, programs))
    }

    #[test]
    fn an_expression_means_what_mydumper_takes_it_for() {
        const CLASSIC: (u32, u32, u32) = (0, 10, 0);
        for (pattern, databases, tables, programs) in [
            (r"^(fandb|test)\.", "fandb test", "all", true),
            (r"^(?!(mysql|test))", "Shop fandb", "all", true),
            (
                r"^(?!(mysql\.|test\.|fandb\.log_))",
                "Shop fandb",
                "Shop.orders Shop.p fandb.a fandb.p",
                true,
            ),
            (r"^fandb\.a$", "fandb", "fandb.a", false),
            (r"^shop\.orders$", "Shop", "Shop.orders", false),
            (r"\.a$", "fandb test", "fandb.a test.a", false),
        ] {
            let expected = (databases.to_owned(), tables.to_owned(), programs);
            assert_eq!(resolve(pattern, CLASSIC), Ok(expected), "{pattern}");
        }
        assert_eq!(
            resolve("^test$|^test", (1, 0, 1)),
            Ok(("test".to_owned(), "all".to_owned(), true))
        );
        let error = resolve("(", CLASSIC).unwrap_err();
        assert!(error.contains("cannot understand regex=("), "{error}");
        let error = resolve("^nothing", CLASSIC).unwrap_err();
        assert!(error.contains("means nothing that is on the server"), "{error}");
    }
}
