//! `SHOW GRANTS`, read.

use mykeeper_domain::databases::like;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// `grant` without the digest of the password that MariaDB prints in it.
pub(in crate::probe) fn without_digest(grant: &str) -> String {
    grant
        .find(" IDENTIFIED ")
        .map_or(grant, |at| &grant[..at])
        .to_owned()
}

/// Where a grant holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Global,
    /// A pattern as in LIKE.
    Database(String),
    Table(String, String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    given: bool,
    privileges: BTreeSet<String>,
    level: Level,
    /// The account, or a role of its own.
    to: Option<String>,
}

impl Grant {
    /// `None` for grants of roles, proxies and single routines.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (given, rest) = match line.strip_prefix("GRANT ") {
            Some(rest) => (true, rest),
            None => (false, line.strip_prefix("REVOKE ")?),
        };
        let (privileges, rest) = split_unquoted(rest, " ON ")?;
        let object = rest.strip_prefix("TABLE ").unwrap_or(rest);
        let (database, rest) = identifier(object)?;
        let (table, _) = identifier(rest.strip_prefix('.')?)?;
        let level = match (database, table) {
            (None, None) => Level::Global,
            (Some(database), None) => Level::Database(database),
            (Some(database), Some(table)) => Level::Table(database, table),
            (None, Some(_)) => return None,
        };
        let privileges = split_list(privileges)
            .into_iter()
            // Of some columns only: a dump needs all.
            .filter(|privilege| !privilege.contains('('))
            .map(|privilege| privilege.to_ascii_uppercase())
            .collect();
        Some(Self {
            given,
            privileges,
            level,
            to: account_of(line),
        })
    }

    fn names(&self, privilege: &str) -> bool {
        self.privileges.contains("ALL PRIVILEGES") || self.privileges.contains(privilege)
    }
}

/// Everything that the account may do.
pub(super) struct Grants(pub(super) Vec<Grant>);

impl Grants {
    pub(super) fn global(&self, privilege: &str) -> bool {
        let named = |given| {
            self.0
                .iter()
                .any(|grant| grant.given == given && grant.level == Level::Global && grant.names(privilege))
        };
        named(true) && !named(false)
    }

    /// Whether the account may make the database its current one: any privilege on it or in it is enough.
    pub(super) fn enters(&self, database: &str) -> bool {
        const ANY: [&str; 10] = [
            "SELECT",
            "SHOW VIEW",
            "TRIGGER",
            "EVENT",
            "LOCK TABLES",
            "EXECUTE",
            "INSERT",
            "UPDATE",
            "CREATE",
            "DROP",
        ];
        let in_it =
            |grant: &Grant| grant.given && matches!(&grant.level, Level::Table(name, _) if name == database);
        ANY.iter().any(|privilege| self.on_database(privilege, database)) || self.0.iter().any(in_it)
    }

    pub(super) fn on_database(&self, privilege: &str, database: &str) -> bool {
        // A revoked part of a global privilege (MySQL's partial_revokes) names its database as it is.
        let revoked = self.0.iter().any(|grant| {
            !grant.given
                && grant.names(privilege)
                && matches!(&grant.level, Level::Database(name) if name == database)
        });
        // Of an account's patterns that match, the server goes by the most specific one alone; what its roles have
        // comes on top of that.
        let mut closest: BTreeMap<Option<&str>, (usize, bool)> = BTreeMap::new();
        for grant in self.0.iter().filter(|grant| grant.given) {
            let Level::Database(pattern) = &grant.level else {
                continue;
            };
            if !like(pattern, database) && pattern != database {
                continue;
            }
            let (rank, named) = (specificity(pattern), grant.names(privilege));
            closest
                .entry(grant.to.as_deref())
                .and_modify(|(best, given)| match rank.cmp(best) {
                    Ordering::Greater => (*best, *given) = (rank, named),
                    Ordering::Equal => *given &= named,
                    Ordering::Less => {}
                })
                .or_insert((rank, named));
        }
        closest.values().any(|(_, given)| *given) || (self.global(privilege) && !revoked)
    }

    pub(super) fn on_table(&self, privilege: &str, database: &str, table: &str) -> bool {
        self.on_database(privilege, database)
            || self.0.iter().any(|grant| {
                grant.given
                    && grant.names(privilege)
                    && matches!(&grant.level, Level::Table(d, t) if d == database && t == table)
            })
    }
}

/// The later its first wildcard, the more specific is a pattern; most of all one that has none.
fn specificity(pattern: &str) -> usize {
    let mut chars = pattern.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '%' | '_' => return at,
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
    usize::MAX
}

/// What stands after TO (or FROM), without what may follow.
pub(super) fn account_of(grant: &str) -> Option<String> {
    let (_, rest) = split_unquoted(grant, " TO ")?;
    let (_, after_user) = identifier(rest)?;
    let end = match after_user.strip_prefix('@') {
        Some(host) => identifier(host)?.1,
        None => after_user,
    };
    Some(rest[..rest.len() - end.len()].to_owned())
}

/// An identifier at the beginning of `text`, and what follows it. `*` is `None`.
fn identifier(text: &str) -> Option<(Option<String>, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some((None, rest));
    }
    let quote = text.chars().next().filter(|c| matches!(c, '`' | '"' | '\''));
    let Some(quote) = quote else {
        let end = text.find(['.', ' ', '@', ',']).unwrap_or(text.len());
        return (end > 0).then(|| (Some(text[..end].to_owned()), &text[end..]));
    };
    let mut name = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            name.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            name.push(quote);
            chars.next();
        } else {
            return Some((Some(name), &text[at + 1..]));
        }
    }
    None
}

/// `text` around the first `separator` that stands outside quotes and parentheses.
fn split_unquoted<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut quote: Option<char> = None;
    let mut depth = 0_u32;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None => match c {
                '`' | '"' | '\'' => quote = Some(c),
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ if depth == 0 && text[at..].starts_with(separator) => {
                    return Some((&text[..at], &text[at + separator.len()..]));
                }
                _ => {}
            },
        }
    }
    None
}

fn split_list(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((part, after)) = split_unquoted(rest, ",") {
        parts.push(part.trim().to_owned());
        rest = after;
    }
    parts.push(rest.trim().to_owned());
    parts
}
