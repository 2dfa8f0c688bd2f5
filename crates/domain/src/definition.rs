//! How an object is defined, taken apart into facts that can be compared one by one.
//!
//! A fact is a name and what is said under it: for a table ``column `price` `` and `decimal(10,2) NOT NULL`, for a
//! routine `sql_mode` and `STRICT_TRANS_TABLES`. Texts that may be long, or hold what is nobody's business (bodies,
//! connection strings), stand as digests.

use crate::proof::Difference;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name to value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Definition(pub BTreeMap<String, String>);

/// The value of a fact that is no measure: whatever is found under its name is right.
pub const UNKNOWN: &str = "?";
/// What is found where a fact is not.
const NONE: &str = "none";

impl Definition {
    /// Every fact that `found` has otherwise, lacks or has too much. `object` is as people know it: `table orders`.
    pub fn differences<'a>(
        &'a self,
        (database, object): (&'a str, &'a str),
        found: &'a Self,
    ) -> impl Iterator<Item = Difference> + 'a {
        let names = self
            .0
            .keys()
            .chain(found.0.keys().filter(|name| !self.0.contains_key(*name)));
        names.filter_map(move |name| {
            let (before, after) = (self.0.get(name), found.0.get(name));
            let is_known = before.is_none_or(|value| value != UNKNOWN);
            (is_known && before != after).then(|| Difference {
                database: database.to_owned(),
                object: format!("{object}, {name}"),
                expected: before.map_or(NONE, String::as_str).to_owned(),
                found: after.map_or(NONE, String::as_str).to_owned(),
            })
        })
    }
}

impl FromIterator<(String, String)> for Definition {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(facts: I) -> Self {
        Self(facts.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fact_that_differs_is_one_line() {
        let of = |facts: &[(&str, &str)]| -> Definition {
            facts
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        let before = of(&[
            ("column `a`", "int(11)"),
            ("column `b`", "text"),
            ("key `k`", "(`a`)"),
        ]);
        let after = of(&[
            ("column `a`", "int(11)"),
            ("column `b`", "longtext"),
            ("key `l`", "(`a`)"),
        ]);
        let lines: Vec<String> = before
            .differences(("shop", "table t"), &after)
            .map(|difference| difference.to_string())
            .collect();
        assert_eq!(
            lines,
            [
                "shop: table t, column `b`: expected text, found longtext",
                "shop: table t, key `k`: expected (`a`), found none",
                "shop: table t, key `l`: expected none, found (`a`)",
            ]
        );
        assert_eq!(before.differences(("shop", "table t"), &before).count(), 0);
        let unknown = of(&[
            ("column `a`", UNKNOWN),
            ("column `b`", UNKNOWN),
            ("key `k`", "(`a`)"),
        ]);
        assert_eq!(unknown.differences(("shop", "table t"), &before).count(), 0);
    }
}
