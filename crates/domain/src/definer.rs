//! The accounts that definers name, as the source has them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Accounts by name, as a catalogue of a server writes a definer: `app@%`, a role without a host `app@`.
pub type Definers = BTreeMap<String, Definer>;

/// What the source said of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Definer {
    /// It is there.
    Present(DefinerAccount),
    /// It is not: what it defines fails on the source, too.
    Absent,
    /// The account that asked may not know, or the server did not answer: why, for people.
    Unknown(String),
}

/// An account without whatever lets one in as it: no password, no digest of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinerAccount {
    /// Each line of `SHOW GRANTS`, up to where the account is named, with `WITH GRANT OPTION`.
    pub grants: Vec<String>,
    /// How it is let in: `mysql_native_password`; `None` where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// Nobody is let in as it.
    #[serde(default)]
    pub is_locked: bool,
}
