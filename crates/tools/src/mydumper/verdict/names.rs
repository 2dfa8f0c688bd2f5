//! What the names of files say: whose they are, where they are not called like what they hold.

use super::{PartFacts, TableName};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The table that a data file belongs to: `database.table`, with any number of chunk numbers behind it.
pub(super) fn table_of<'b>(plain_name: &str, stems: &'b HashMap<String, TableName>) -> Option<&'b TableName> {
    let mut stem = ["sql", "dat", "csv", "tsv"]
        .iter()
        .find_map(|ending| plain_name.strip_suffix(ending)?.strip_suffix('.'))?;
    loop {
        if let Some(table) = stems.get(stem) {
            return Some(table);
        }
        let (shorter, number) = stem.rsplit_once('.')?;
        if number.is_empty()
            || !number
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'-' || byte == b'_')
        {
            return None;
        }
        stem = shorter;
    }
}

/// Names of databases in names of files, where they are not the same: from 0.11 on a name that is not plain is
/// replaced. The CREATE DATABASE files tell whose they are.
pub(super) fn masks(facts: &PartFacts<'_>, present: &BTreeMap<&str, &str>) -> HashMap<String, String> {
    let mut masks = HashMap::new();
    let (mut unmatched, mut plain): (Vec<&str>, BTreeSet<&str>) = (Vec::new(), BTreeSet::new());
    for name in present.keys().filter(|name| name.starts_with("mydumper_")) {
        let mask = name.split(['.', '-']).next().unwrap_or(name);
        plain.insert(mask);
    }
    for mask in plain {
        let create = present.get(format!("{mask}-schema-create.sql").as_str());
        let text = create.and_then(|name| facts.digests.get(*name)?.as_ref().ok()?.text.as_deref());
        match text.and_then(|text| created_name(&String::from_utf8_lossy(text))) {
            Some(database) => drop(masks.insert(database, mask.to_owned())),
            None => unmatched.push(mask),
        }
    }
    if unmatched.len() != 1 {
        return masks;
    }
    let without: Vec<&String> = facts
        .databases
        .iter()
        .filter(|database| !masks.contains_key(*database))
        .filter(|database| {
            let begin = format!("{database}.");
            !present.keys().any(|name| name.starts_with(&begin))
        })
        .collect();
    if let ([mask], [database]) = (unmatched.as_slice(), without.as_slice()) {
        masks.insert((*database).clone(), (*mask).to_owned());
    }
    masks
}

/// The name in `` CREATE DATABASE /*!32312 IF NOT EXISTS*/ `name` ``.
fn created_name(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("CREATE DATABASE")?;
    let (_, rest) = rest.split_once('`')?;
    let mut name = String::new();
    let mut chars = rest.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '`' if chars.peek() == Some(&'`') => {
                name.push('`');
                chars.next();
            }
            '`' => return Some(name),
            other => name.push(other),
        }
    }
    None
}
