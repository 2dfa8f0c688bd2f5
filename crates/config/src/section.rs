//! Takes a table apart key by key, and reports at the end the keys that nobody asked for.

use crate::document::{Document, Spot, complaint};
use crate::mask;
use crate::nearest::nearest;
use toml::de::{DeTable, DeValue};

/// A table of a file.
pub(crate) struct Section<'d> {
    /// What it is called in the file: `servers.shop`; empty for the file's top.
    path: String,
    /// Where its name stands.
    spot: Spot<'d>,
    table: &'d DeTable<'d>,
    known: Vec<&'static str>,
}

/// One key with its value, or one item of a list.
#[derive(Clone)]
pub(crate) struct Entry<'d> {
    /// The key, or the key of the list.
    pub(crate) key: String,
    /// What the section that it would be is called.
    pub(crate) path: String,
    /// Whether it is an item of a list.
    pub(crate) is_item: bool,
    /// Where the key stands.
    pub(crate) key_spot: Spot<'d>,
    /// Where the value stands.
    pub(crate) spot: Spot<'d>,
    /// The value.
    pub(crate) value: &'d DeValue<'d>,
}

impl<'d> Section<'d> {
    /// The top of a file.
    pub(crate) fn top(document: &'d Document, table: &'d DeTable<'d>) -> Self {
        Self {
            path: String::new(),
            spot: document.whole(),
            table,
            known: Vec::new(),
        }
    }

    /// The table that `entry` holds; anything else is a mistake.
    pub(crate) fn of(entry: &Entry<'d>) -> Option<Self> {
        match entry.value {
            DeValue::Table(table) => Some(Self {
                path: entry.path.clone(),
                spot: entry.key_spot.clone(),
                table,
                known: Vec::new(),
            }),
            _ => {
                entry.wrong_type(&format!("a table, [{}] or {{ ... }}", entry.path));
                None
            }
        }
    }

    /// Where its name stands.
    pub(crate) fn spot(&self) -> &Spot<'d> {
        &self.spot
    }

    /// The value of `key`, when there is one.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Entry<'d>> {
        self.known.push(key);
        let (found, value) = self.table.get_key_value(key)?;
        Some(self.entry(found, value))
    }

    /// The value of `key`; its absence is a mistake, and `example` is what would be right.
    pub(crate) fn require(&mut self, key: &'static str, example: &str) -> Option<Entry<'d>> {
        let taken = self.take(key);
        if taken.is_none() {
            self.spot
                .missing(complaint(format!("[{}] has no `{key}`", self.path)).help(format!("add {example}")));
        }
        taken
    }

    /// The table under `key`.
    pub(crate) fn section(&mut self, key: &'static str) -> Option<Section<'d>> {
        self.take(key).and_then(|entry| Section::of(&entry))
    }

    /// The tables under `key`, each with its own name: `[servers.shop]`, `[servers.blog]`.
    pub(crate) fn named(&mut self, key: &'static str) -> Vec<Entry<'d>> {
        self.section(key)
            .map_or_else(Vec::new, |section| section.entries())
    }

    fn entries(&self) -> Vec<Entry<'d>> {
        self.table
            .iter()
            .filter(|(key, value)| value.get_ref().is_table() || !mask::is_password_key(key.get_ref()))
            .map(|(key, value)| self.entry(key, value))
            .collect()
    }

    fn entry(
        &self,
        key: &'d toml::Spanned<toml::de::DeString<'d>>,
        value: &'d toml::Spanned<DeValue<'d>>,
    ) -> Entry<'d> {
        let name = key.get_ref();
        let separator = if self.path.is_empty() { "" } else { "." };
        Entry {
            key: name.to_string(),
            path: format!("{}{separator}{name}", self.path),
            is_item: false,
            key_spot: self.spot.elsewhere(key.span()),
            spot: self.spot.elsewhere(value.span()),
            value: value.get_ref(),
        }
    }

    /// Whether it has a key that was not asked for.
    pub(crate) fn has_strangers(&self) -> bool {
        self.entries()
            .iter()
            .any(|entry| !self.known.contains(&entry.key.as_str()))
    }

    /// Reports the keys that were not asked for. `hint` knows where some of them belong.
    pub(crate) fn finish(self, hint: impl Fn(&str) -> Option<String>) {
        let place = if self.path.is_empty() {
            "here".to_owned()
        } else {
            format!("in [{}]", self.path)
        };
        for entry in self.entries() {
            let key = entry.key.as_str();
            if self.known.contains(&key) {
                continue;
            }
            let help = match nearest(key, self.known.iter().copied()) {
                Some(meant) if hint(key).is_none() => format!("did you mean `{meant}`?"),
                _ => hint(key).unwrap_or_else(|| format!("known {place}: {}", self.known.join(", "))),
            };
            entry
                .key_spot
                .mistake(complaint(format!("unknown key {key:?} {place}")).help(help));
        }
    }
}

/// For sections whose keys belong nowhere else.
pub(crate) fn no_hint(_: &str) -> Option<String> {
    None
}
