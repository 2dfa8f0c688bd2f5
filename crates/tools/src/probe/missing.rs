//! Missing privileges for people: a hundred databases that lack the same make one line, not a hundred.

use super::privileges::MissingPrivilege;
use mykeeper_domain::counted;
use std::collections::BTreeMap;

/// How many databases are named one by one, and get a GRANT of their own.
const NAMED: usize = 3;

/// Privileges that are missing on the same objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingGroup {
    /// `SHOW VIEW, TRIGGER on shop.* and 8 others (read the definitions of views; see the triggers)`.
    pub what: String,
    /// The statements to run on the server.
    pub grants: Vec<String>,
    /// Without them the dump is complete all the same.
    pub optional: bool,
}

/// A privilege, why it is needed, and one place where it is missing.
type Member<'a> = (&'a str, &'a str, &'a MissingPrivilege);

/// Joins what is missing on the same objects.
pub fn group_missing(missing: &[MissingPrivilege]) -> Vec<MissingGroup> {
    // By privilege and purpose first: on which objects it is missing; then privileges that are missing on the same ones.
    let mut objects: BTreeMap<(bool, &str, &str), Vec<&MissingPrivilege>> = BTreeMap::new();
    for one in missing {
        objects
            .entry((one.optional, one.privilege, one.why))
            .or_default()
            .push(one);
    }
    let mut groups: BTreeMap<(bool, Vec<&str>), Vec<Member<'_>>> = BTreeMap::new();
    for ((optional, privilege, why), list) in objects {
        let on = list.iter().map(|one| one.on.as_str()).collect();
        if let Some(first) = list.first() {
            groups
                .entry((optional, on))
                .or_default()
                .push((privilege, why, first));
        }
    }
    groups
        .into_iter()
        .map(|((optional, on), members)| describe(&on, &members, optional))
        .collect()
}

/// Whether the account is shown every database: one that it is not shown is in no set, and nobody would miss it.
pub fn sees_every_database(grants: &[String]) -> bool {
    const ENOUGH: [&str; 3] = ["ALL PRIVILEGES", "SHOW DATABASES", "SELECT"];
    grants.iter().any(|grant| {
        grant
            .strip_prefix("GRANT ")
            .and_then(|rest| rest.split_once(" ON *.* TO "))
            .is_some_and(|(privileges, _)| privileges.split(", ").any(|one| ENOUGH.contains(&one.trim())))
    })
}

fn describe(on: &[&str], members: &[Member<'_>], optional: bool) -> MissingGroup {
    let privileges = members
        .iter()
        .map(|(privilege, _, _)| *privilege)
        .collect::<Vec<_>>()
        .join(", ");
    let why = members
        .iter()
        .map(|(_, why, _)| *why)
        .collect::<Vec<_>>()
        .join("; ");
    let named = on.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let others = on.len().saturating_sub(NAMED);
    let more = if others > 0 {
        format!(" and {}", counted(others, "other", "others"))
    } else {
        String::new()
    };
    let account = members
        .first()
        .and_then(|(_, _, one)| one.grant_statement.rsplit_once(" TO "))
        .map_or("the account", |(_, account)| account.trim_end_matches(';'));
    let grants = if others > 0 {
        vec![format!("GRANT {privileges} ON *.* TO {account};")]
    } else {
        on.iter()
            .map(|on| format!("GRANT {privileges} ON {on} TO {account};"))
            .collect()
    };
    MissingGroup {
        what: format!("{privileges} on {named}{more} ({why})"),
        grants,
        optional,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(privilege: &'static str, on: &str, optional: bool) -> MissingPrivilege {
        MissingPrivilege {
            privilege,
            on: on.to_owned(),
            why: "see it",
            grant_statement: format!("GRANT {privilege} ON {on} TO `b`@`localhost`;"),
            optional,
        }
    }

    #[test]
    fn a_hundred_databases_make_one_line_and_one_statement() {
        let mut list = Vec::new();
        for number in 0..100 {
            for privilege in ["TRIGGER", "EVENT"] {
                list.push(missing(privilege, &format!("`db{number:02}`.*"), false));
            }
        }
        list.push(missing("PROCESS", "*.*", true));
        let groups = group_missing(&list);
        assert_eq!(groups.len(), 2, "{groups:?}");
        assert_eq!(
            groups[0].what,
            "EVENT, TRIGGER on `db00`.*, `db01`.*, `db02`.* and 97 others (see it; see it)"
        );
        assert_eq!(
            groups[0].grants,
            ["GRANT EVENT, TRIGGER ON *.* TO `b`@`localhost`;"]
        );
        assert!(groups[1].optional);
    }

    #[test]
    fn rights_on_some_databases_do_not_show_the_others() {
        let sees = |grants: &[&str]| {
            sees_every_database(&grants.iter().map(|g| (*g).to_owned()).collect::<Vec<_>>())
        };
        assert!(!sees(&[
            "GRANT RELOAD, PROCESS ON *.* TO `b`@`h`",
            "GRANT SELECT ON `shop`.* TO `b`@`h`"
        ]));
        assert!(sees(&["GRANT RELOAD, SHOW DATABASES ON *.* TO `b`@`h`"]));
        assert!(sees(&["GRANT SELECT ON *.* TO `b`@`h`"]));
        assert!(sees(&[
            "GRANT ALL PRIVILEGES ON *.* TO `b`@`h` WITH GRANT OPTION"
        ]));
    }

    #[test]
    fn few_databases_get_statements_of_their_own() {
        let list = [
            missing("TRIGGER", "`a`.*", false),
            missing("TRIGGER", "`b`.*", false),
        ];
        assert_eq!(
            group_missing(&list)[0].grants,
            [
                "GRANT TRIGGER ON `a`.* TO `b`@`localhost`;",
                "GRANT TRIGGER ON `b`.* TO `b`@`localhost`;"
            ]
        );
    }
}
