//! The accounts that definers name: whether they are there, and what they may do.
//!
//! What a server says of an account may hold a digest of its password, in a dozen forms. Nothing of it is kept but what is
//! known to be none.

use super::privileges::without_digest;
use super::{Probe, quoted_name, text};
use crate::error::ToolError;
use mykeeper_domain::definer::{Definer, DefinerAccount, Definers};
use mykeeper_domain::inventory::Inventory;
use std::collections::BTreeSet;

/// More are not asked about.
const MOST_DEFINERS: usize = 1_000;
/// The server's numbers for an account that is not there: MariaDB's and MySQL's of users, and of roles.
const NO_SUCH_ACCOUNT: [u16; 3] = [1141, 1959, 3523];
/// The words that stand between an account and what it is let in by.
const LET_IN: [&str; 2] = [" IDENTIFIED VIA ", " IDENTIFIED WITH "];
const GRANT_OPTION: &str = " WITH GRANT OPTION";

impl Probe {
    /// Enters the accounts that the objects of `inventory` name as definers.
    ///
    /// # Errors
    /// The connection is lost.
    pub(crate) async fn definers(&mut self, inventory: &mut Inventory) -> Result<(), ToolError> {
        let named: BTreeSet<String> = inventory
            .databases
            .values()
            .flat_map(|content| content.definers().map(|(_, definer)| definer.clone()))
            .collect();
        let mut definers = Definers::new();
        for definer in named.into_iter().take(MOST_DEFINERS) {
            let account = self.definer(&account_name(&definer, &quoted_name)).await?;
            definers.insert(definer, account);
        }
        inventory.definers = definers;
        Ok(())
    }

    async fn definer(&mut self, account: &str) -> Result<Definer, ToolError> {
        const ACTION: &str = "ask for a definer's account";
        let grants = match self.raw(ACTION, format!("SHOW GRANTS FOR {account}")).await {
            Ok(rows) => rows.iter().map(|row| bare_grant(&text(row, 0))).collect(),
            Err(error) if self.is_gone() => return Err(error),
            Err(_) if NO_SUCH_ACCOUNT.contains(&self.error_number()) => return Ok(Definer::Absent),
            Err(error) => return Ok(Definer::Unknown(error.to_string())),
        };
        let created = match self.raw(ACTION, format!("SHOW CREATE USER {account}")).await {
            Ok(rows) => rows.first().map(|row| text(row, 0)).unwrap_or_default(),
            Err(error) if self.is_gone() => return Err(error),
            // A role, or a server that does not say.
            Err(_) => String::new(),
        };
        Ok(Definer::Present(DefinerAccount {
            grants,
            plugin: plugin(&created),
            is_locked: created.contains(" ACCOUNT LOCK"),
        }))
    }
}

/// `app@%` as a statement names it, a role without a host; `quote` puts each part into quotes.
pub(crate) fn account_name(definer: &str, quote: &dyn Fn(&str) -> String) -> String {
    match definer.rsplit_once('@') {
        Some((user, host)) if !host.is_empty() => format!("{}@{}", quote(user), quote(host)),
        Some((role, _)) => quote(role),
        None => quote(definer),
    }
}

/// A line of `SHOW GRANTS` up to the account.
fn bare_grant(line: &str) -> String {
    let bare = without_digest(line);
    if line.ends_with(GRANT_OPTION) && !bare.ends_with(GRANT_OPTION) {
        return bare + GRANT_OPTION;
    }
    bare
}

/// The name of what lets one in, and nothing behind it.
fn plugin(created: &str) -> Option<String> {
    let behind = LET_IN
        .iter()
        .find_map(|words| Some(created.split_once(words)?.1))?;
    let name: String = behind
        .trim_start_matches(['\'', '`'])
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
        .collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_of_a_password_is_kept() {
        for (line, kept) in [
            (
                "GRANT USAGE ON *.* TO `app`@`%` IDENTIFIED BY PASSWORD '*B69027D44F' REQUIRE SSL WITH GRANT OPTION",
                "GRANT USAGE ON *.* TO `app`@`%` WITH GRANT OPTION",
            ),
            (
                "GRANT USAGE ON *.* TO `m`@`localhost` IDENTIFIED VIA ed25519 USING 'geheim' OR unix_socket",
                "GRANT USAGE ON *.* TO `m`@`localhost`",
            ),
            (
                "GRANT SELECT ON `shop`.* TO `app`@`%` WITH GRANT OPTION",
                "GRANT SELECT ON `shop`.* TO `app`@`%` WITH GRANT OPTION",
            ),
            ("GRANT `r` TO `app`@`%`", "GRANT `r` TO `app`@`%`"),
        ] {
            assert_eq!(bare_grant(line), kept);
        }
        for (created, expected) in [
            ("CREATE USER `a`@`%` IDENTIFIED BY PASSWORD '*B6'", None),
            (
                "CREATE USER `a`@`%` IDENTIFIED VIA ed25519 USING 'Xy'",
                Some("ed25519"),
            ),
            (
                "CREATE USER `a`@`%` IDENTIFIED WITH 'caching_sha2_password' AS '$A$005$x' REQUIRE NONE",
                Some("caching_sha2_password"),
            ),
            ("", None),
        ] {
            assert_eq!(plugin(created).as_deref(), expected, "{created}");
        }
    }

    #[test]
    fn an_account_is_named_as_a_statement_has_it() {
        for (definer, name) in [
            ("app@%", "`app`@`%`"),
            ("o'x@y@localhost", "`o'x@y`@`localhost`"),
            ("role@", "`role`"),
            ("role", "`role`"),
        ] {
            assert_eq!(account_name(definer, &quoted_name), name);
        }
    }
}
