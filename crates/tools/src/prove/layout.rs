//! Which file of a set is what, and whose.
//!
//! mydumper puts names into file names as they are: `shop.eu.a.b-schema.sql` is table `a.b` of `shop.eu` or table
//! `eu.a.b` of `shop`, and `x.t-schema.sql` the definition of `t` or rows of `t-schema`. What lies in the set
//! decides, and where the evidence knows it, the evidence.

use crate::digest::Compression;
use mykeeper_domain::inventory::Inventory;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// One file of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetFile {
    /// Relative to the set's folder.
    pub(crate) path: String,
    /// Where it is.
    pub(crate) real: PathBuf,
    /// Bytes when decompressed, as far as known.
    pub(crate) plain_bytes: u64,
    /// Rows in its statements, as far as known.
    pub(crate) rows: Option<u64>,
}

impl SetFile {
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(super) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// `.gz`, `.zst` or nothing.
    pub(crate) fn ending(&self) -> &'static str {
        match Compression::of(&self.path) {
            Compression::Plain => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
        }
    }

    /// The name without `.sql` and what follows; `None` when it is no SQL.
    fn stem(&self) -> Option<&str> {
        Compression::strip(self.name()).strip_suffix(".sql")
    }
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `CREATE DATABASE`.
    Create,
    /// A table's definition, or that of what stands in for a view.
    Schema(String),
    /// Rows of a table.
    Data(String),
    /// A view.
    View(String),
    /// Triggers, of a table or of the whole database.
    Triggers,
    /// Routines and events.
    Post,
}

/// One database's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DatabaseFiles {
    pub(crate) create: Option<SetFile>,
    /// With the table's name as the file name has it.
    pub(crate) schemas: Vec<(String, SetFile)>,
    pub(crate) data: Vec<(String, SetFile)>,
    pub(crate) views: Vec<(String, SetFile)>,
    pub(crate) triggers: Vec<SetFile>,
    pub(crate) post: Vec<SetFile>,
}

impl DatabaseFiles {
    pub(crate) fn plain_bytes(&self) -> u64 {
        let tables = self
            .schemas
            .iter()
            .chain(&self.data)
            .chain(&self.views)
            .map(|(_, file)| file.plain_bytes);
        tables
            .chain(
                self.triggers
                    .iter()
                    .chain(&self.post)
                    .map(|file| file.plain_bytes),
            )
            .sum()
    }

    /// These files without those of some tables, and those; what is not of one table stays.
    pub(crate) fn split(mut self, is_apart: &dyn Fn(&str) -> bool) -> (Self, Self) {
        let mut apart = Self::default();
        let of_table = |(table, _): &(String, SetFile)| is_apart(table);
        (apart.schemas, self.schemas) = self.schemas.into_iter().partition(of_table);
        (apart.data, self.data) = self.data.into_iter().partition(of_table);
        (self, apart)
    }
}

/// All of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) databases: BTreeMap<String, DatabaseFiles>,
    /// SQL of nothing that the set should hold. With a regex that means `shop`, mydumper dumps `shop.eu` too.
    pub(crate) strangers: Vec<String>,
}

/// What is known before the files are looked at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known<'a> {
    /// The set's databases.
    pub(crate) databases: BTreeSet<String>,
    /// Folder to the databases dumped into it, where that is known.
    pub(crate) folders: BTreeMap<String, Vec<String>>,
    /// What should be there.
    pub(crate) inventory: Option<&'a Inventory>,
    /// Folder, and what mydumper 1.0 calls a database in file names there (`mydumper_0`), to its name: each dump
    /// counts anew.
    pub(crate) aliases: BTreeMap<(String, String), String>,
}

/// Sorts the files.
pub(crate) fn sort_files(files: &[SetFile], known: &Known<'_>) -> Layout {
    let mut layout = Layout::default();
    for database in &known.databases {
        layout.databases.entry(database.clone()).or_default();
    }
    let stems: BTreeSet<(&str, &str)> = files
        .iter()
        .filter_map(|file| Some((file.folder(), file.stem()?)))
        .collect();
    for file in files {
        let Some(stem) = file.stem() else { continue };
        match readings(file.folder(), stem, known, &stems) {
            Some((database, kind)) => put(layout.databases.entry(database).or_default(), kind, file.clone()),
            None => layout.strangers.push(file.path.clone()),
        }
    }
    layout
}

fn put(files: &mut DatabaseFiles, kind: Kind, file: SetFile) {
    match kind {
        Kind::Create => files.create = Some(file),
        Kind::Schema(table) => files.schemas.push((table, file)),
        Kind::Data(table) => files.data.push((table, file)),
        Kind::View(view) => files.views.push((view, file)),
        Kind::Triggers => files.triggers.push(file),
        Kind::Post => files.post.push(file),
    }
}

/// The best reading of a name.
fn readings(
    folder: &str,
    stem: &str,
    known: &Known<'_>,
    stems: &BTreeSet<(&str, &str)>,
) -> Option<(String, Kind)> {
    let has = |stem: &str| stems.contains(&(folder, stem));
    let mut names: Vec<(&str, &str)> = match known.folders.get(folder) {
        Some(databases) => databases
            .iter()
            .map(|name| (name.as_str(), name.as_str()))
            .collect(),
        None => known
            .databases
            .iter()
            .map(|name| (name.as_str(), name.as_str()))
            .collect(),
    };
    let aliases = known.aliases.iter().filter(|((at, _), _)| at.as_str() == folder);
    names.extend(aliases.map(|((_, alias), name)| (alias.as_str(), name.as_str())));
    let first = stem.split(['.', '-']).next().unwrap_or(stem);
    if is_alias(first)
        && let [(_, only)] = *names.as_slice()
    {
        names.push((first, only));
    }
    names.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    let mut all: Vec<(String, Kind)> = Vec::new();
    for (prefix, database) in names {
        let Some(rest) = stem.strip_prefix(prefix) else {
            continue;
        };
        for kind in kinds(rest, &|table| has(&format!("{prefix}.{table}-schema"))) {
            all.push((database.to_owned(), kind));
        }
    }
    let fits = |(database, kind): &(String, Kind)| {
        let found = known
            .inventory
            .and_then(|inventory| inventory.databases.get(database))?;
        Some(match kind {
            Kind::Schema(name) => {
                is_alias(name)
                    || found.tables.contains_key(name)
                    || found.views.contains(name)
                    || found.sequences.contains(name)
            }
            Kind::Data(name) => {
                is_alias(name) || found.tables.contains_key(name) || found.sequences.contains(name)
            }
            Kind::View(name) => is_alias(name) || found.views.contains(name),
            Kind::Create | Kind::Triggers | Kind::Post => true,
        })
    };
    let best = all.iter().position(|reading| fits(reading) == Some(true));
    // What the evidence knows nothing of is not loaded.
    let index = best.or_else(|| all.iter().position(|reading| fits(reading).is_none()))?;
    Some(all.swap_remove(index))
}

/// What mydumper 1.0 writes for a name that it does not trust in a file name: `mydumper_3`.
pub(crate) fn is_alias(name: &str) -> bool {
    name.strip_prefix("mydumper_")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What may follow a database's name, likeliest first. `has_schema` tells whether a table of that name is defined in
/// the same folder.
fn kinds(rest: &str, has_schema: &dyn Fn(&str) -> bool) -> Vec<Kind> {
    match rest {
        "-schema-create" => return vec![Kind::Create],
        "-schema-post" => return vec![Kind::Post],
        "-schema-triggers" => return vec![Kind::Triggers],
        _ => {}
    }
    let Some(object) = rest.strip_prefix('.').filter(|object| !object.is_empty()) else {
        return Vec::new();
    };
    let mut kinds = Vec::new();
    let whole = Kind::Data(object.to_owned());
    let chunks = chunk_bases(object)
        .into_iter()
        .map(|base| Kind::Data(base.to_owned()));
    let data: Vec<Kind> = std::iter::once(whole).chain(chunks).collect();
    let (sure, unsure): (Vec<Kind>, Vec<Kind>) = data
        .into_iter()
        .partition(|kind| matches!(kind, Kind::Data(table) if has_schema(table)));
    kinds.extend(sure);
    if let Some(view) = object.strip_suffix("-schema-view") {
        kinds.push(Kind::View(view.to_owned()));
    }
    if object.ends_with("-schema-triggers") {
        kinds.push(Kind::Triggers);
    }
    for ending in ["-schema-sequence", "-schema"] {
        if let Some(table) = object.strip_suffix(ending) {
            kinds.push(Kind::Schema(table.to_owned()));
        }
    }
    // A chunk's number says more than a table without a definition.
    kinds.extend(unsure.into_iter().rev());
    kinds
}

/// `t.00001` and `t.00001.00002` without their numbers.
fn chunk_bases(object: &str) -> Vec<&str> {
    let mut bases = Vec::new();
    let mut rest = object;
    for _ in 0..2 {
        let Some((base, number)) = rest.rsplit_once('.') else {
            break;
        };
        if number.len() < 5 || !number.bytes().all(|byte| byte.is_ascii_digit()) || base.is_empty() {
            break;
        }
        bases.push(base);
        rest = base;
    }
    bases
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::inventory::{DatabaseInventory, TableInventory};

    fn sort(names: &[&str], databases: &[&str], inventory: Option<&Inventory>) -> Vec<String> {
        let files: Vec<SetFile> = names
            .iter()
            .map(|name| SetFile {
                path: (*name).into(),
                real: (*name).into(),
                plain_bytes: 0,
                rows: None,
            })
            .collect();
        let known = Known {
            databases: databases.iter().map(|name| (*name).to_owned()).collect(),
            aliases: BTreeMap::from([((String::new(), "mydumper_0".to_owned()), "a$b".to_owned())]),
            inventory,
            ..Known::default()
        };
        let layout = sort_files(&files, &known);
        let mut lines = Vec::new();
        for (database, files) in &layout.databases {
            let mut line = |what: &str, name: &str| lines.push(format!("{database} {what} {name}"));
            files.create.iter().for_each(|_| line("create", ""));
            files.schemas.iter().for_each(|(name, _)| line("schema", name));
            files.data.iter().for_each(|(name, _)| line("data", name));
            files.views.iter().for_each(|(name, _)| line("view", name));
            files.triggers.iter().for_each(|_| line("triggers", ""));
            files.post.iter().for_each(|_| line("post", ""));
        }
        lines.extend(layout.strangers.iter().map(|path| format!("? {path}")));
        lines.iter().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn awkward_names_are_read_rightly() {
        let names = [
            "metadata",
            "shop.eu-schema-create.sql.gz",
            "shop.eu.a.b-schema.sql.gz",
            "shop.eu.a.b.sql.gz",
            "shop.orders-schema.sql",
            "shop.orders.00000.sql",
            "shop.orders.00001.sql",
            "shop.orders-schema-triggers.sql",
            "shop.v-schema.sql",
            "shop.v-schema-view.sql",
            "shop-schema-post.sql",
            "x-schema-schema-create.sql",
            "x-schema.t-schema-schema.sql",
            "x-schema.t-schema.sql",
            "x-schema.t-schema-view-schema.sql",
            "x-schema.t-schema-view.sql",
            "日志 库-1.状态 表-schema.sql",
            "日志 库-1.状态 表.sql",
            "mydumper_0.mydumper_3-schema.sql",
            "mydumper_0.mydumper_3.00000.sql",
            "other.t.sql",
        ];
        let databases = ["shop", "shop.eu", "x-schema", "日志 库-1", "a$b"];
        insta::assert_snapshot!(sort(&names, &databases, None).join("\n"));
    }

    #[test]
    fn each_folder_has_its_own_aliases() {
        let files = [
            "a$b/mydumper_0.mydumper_1.00000.sql",
            "x.y/mydumper_0.t.00000.sql",
        ]
        .map(|path| SetFile {
            path: path.into(),
            real: path.into(),
            plain_bytes: 0,
            rows: None,
        });
        let folder = |name: &str| (name.to_owned(), vec![name.to_owned()]);
        let known = Known {
            databases: ["a$b", "x.y"].map(str::to_owned).into(),
            folders: BTreeMap::from([folder("a$b"), folder("x.y")]),
            aliases: BTreeMap::from([(("x.y".to_owned(), "mydumper_0".to_owned()), "x.y".to_owned())]),
            ..Known::default()
        };
        let layout = sort_files(&files, &known);
        assert_eq!(layout.databases["a$b"].data[0].1, files[0]);
        assert_eq!(layout.databases["x.y"].data[0].1, files[1]);
    }

    #[test]
    fn the_evidence_decides_between_two_readings() {
        let mut shop = DatabaseInventory::default();
        shop.tables.insert("eu.o".into(), TableInventory::default());
        let mut inventory = Inventory::default();
        inventory.databases.insert("shop".into(), shop);
        inventory
            .databases
            .insert("shop.eu".into(), DatabaseInventory::default());
        let names = ["shop.eu.o-schema.sql", "shop.eu.o.sql"];
        assert_eq!(
            sort(&names, &["shop", "shop.eu"], Some(&inventory)),
            ["shop schema eu.o", "shop data eu.o"]
        );
        assert_eq!(
            sort(&names, &["shop", "shop.eu"], None),
            ["shop.eu schema o", "shop.eu data o"]
        );
        inventory.databases.remove("shop.eu");
        inventory
            .databases
            .insert("shop".into(), DatabaseInventory::default());
        let names = [
            "shop.eu.o.sql",
            "shop.eu-schema-create.sql",
            "shop-schema-create.sql",
        ];
        assert_eq!(
            sort(&names, &["shop"], Some(&inventory)),
            ["shop create", "? shop.eu.o.sql", "? shop.eu-schema-create.sql"]
        );
    }
}
