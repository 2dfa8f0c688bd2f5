//! mydumper's own `metadata` file, in both of its formats.

use std::collections::BTreeMap;

/// One table as 1.0 records it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableRecord {
    /// The database as it stands in names of files.
    pub database_in_files: String,
    /// The table as it stands in names of files.
    pub table_in_files: String,
    /// The table.
    pub table: String,
    /// Rows that mydumper says it wrote.
    pub rows: Option<u64>,
    /// It is a view.
    pub is_view: bool,
    /// Its checksums by the keys that they stand under, lower case.
    pub checksums: BTreeMap<String, String>,
}

/// What the file tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DumpMetadata {
    /// Its last line is there.
    pub finished: bool,
    /// `file,position[,gtid]` of the server's own binary log.
    pub master: Option<String>,
    /// `file,position[,gtid]` of the binary log that the server replicates.
    pub slave: Option<String>,
    /// Tables and views; empty before 0.11.
    pub tables: Vec<TableRecord>,
    /// Checksums of databases by their names, as those of a table; empty before 0.11.
    pub databases: BTreeMap<String, BTreeMap<String, String>>,
}

/// How the keys of checksums end.
const CHECKSUM: &str = "_checksum";

#[derive(Default)]
struct Position {
    file: String,
    position: String,
    gtid: String,
}

impl Position {
    fn text(&self) -> Option<String> {
        if self.file.is_empty() || self.file == "(null)" {
            return None;
        }
        let mut text = format!("{},{}", self.file, self.position);
        if !self.gtid.is_empty() && self.gtid != "(null)" {
            text.push(',');
            text.push_str(&self.gtid);
        }
        Some(text)
    }
}

/// Reads either format.
pub fn parse_metadata(text: &str) -> DumpMetadata {
    let mut metadata = if text.trim_start().starts_with("Started dump at") {
        parse_classic(text)
    } else {
        parse_ini(text)
    };
    metadata.finished = text.lines().any(|line| {
        line.trim_start_matches(['#', ' '])
            .starts_with("Finished dump at:")
    });
    metadata
}

/// Up to 0.10: titles with indented lines below them. The file of a server with several masters has several titles
/// for slaves; the first counts.
fn parse_classic(text: &str) -> DumpMetadata {
    let (mut master, mut slaves) = (Position::default(), Vec::new());
    let mut in_slave = false;
    for line in text.lines() {
        let indented = line.starts_with('\t');
        let line = line.trim();
        if !indented {
            in_slave = line.starts_with("SHOW SLAVE STATUS");
            if in_slave {
                slaves.push(Position::default());
            }
            continue;
        }
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let target = if in_slave {
            slaves.last_mut().unwrap_or(&mut master)
        } else {
            &mut master
        };
        let value = value.trim().to_owned();
        match key {
            "Log" => target.file = value,
            "Pos" => target.position = value,
            "GTID" => target.gtid = value,
            _ => {}
        }
    }
    DumpMetadata {
        master: master.text(),
        slave: slaves.first().and_then(Position::text),
        ..DumpMetadata::default()
    }
}

/// From 0.11: sections of `key = value`. Positions are commented out unless they were asked for.
fn parse_ini(text: &str) -> DumpMetadata {
    let (mut master, mut slave) = (Position::default(), Position::default());
    let mut tables: BTreeMap<usize, TableRecord> = BTreeMap::new();
    let mut databases: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut section = String::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            if let Some((database, table)) = two_names(name) {
                let record = TableRecord {
                    database_in_files: database,
                    table: table.clone(),
                    table_in_files: table,
                    ..TableRecord::default()
                };
                tables.insert(at, record);
            }
            continue;
        }
        let Some((key, value)) = line.trim_start_matches(['#', ' ']).split_once('=') else {
            continue;
        };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim());
        let bare = value
            .split(" #")
            .next()
            .unwrap_or(value)
            .trim()
            .trim_matches(['"', '\'']);
        let kind = section.to_ascii_lowercase();
        if let Some(database) = one_name(&section) {
            if key.ends_with(CHECKSUM) {
                databases
                    .entry(database.to_owned())
                    .or_default()
                    .insert(key, bare.to_ascii_lowercase());
            }
        } else if section.contains('`') {
            let Some(record) = tables
                .values_mut()
                .next_back()
                .filter(|_| two_names(&section).is_some())
            else {
                continue;
            };
            match key.as_str() {
                "real_table_name" => record.table = value.to_owned(),
                "rows" => record.rows = value.parse().ok(),
                "is_view" => record.is_view = value == "1",
                _ if key.ends_with(CHECKSUM) => {
                    record.checksums.insert(key, bare.to_ascii_lowercase());
                }
                _ => {}
            }
        } else if kind.starts_with("source") || kind.starts_with("master") {
            note(&mut master, &key, bare);
        } else if kind.starts_with("repl") || kind.starts_with("slave") {
            note(&mut slave, &key, bare);
        }
    }
    DumpMetadata {
        master: master.text(),
        slave: slave.text(),
        tables: tables.into_values().collect(),
        databases,
        ..DumpMetadata::default()
    }
}

fn note(position: &mut Position, key: &str, value: &str) {
    match key {
        "file"
        | "source_log_file"
        | "master_log_file"
        | "relay_master_log_file"
        | "relay_source_log_file" => {
            position.file = value.to_owned();
        }
        "position" | "source_log_pos" | "master_log_pos" | "exec_master_log_pos" | "exec_source_log_pos" => {
            position.position = value.to_owned();
        }
        "executed_gtid_set" | "gtid_slave_pos" => position.gtid = value.to_owned(),
        _ => {}
    }
}

/// `` `a` `` as a name; `None` for two of them.
fn one_name(section: &str) -> Option<&str> {
    let inner = section.strip_prefix('`')?.strip_suffix('`')?;
    (!inner.contains("`.`")).then_some(inner)
}

/// `` `a`.`b` `` as two names.
fn two_names(section: &str) -> Option<(String, String)> {
    let inner = section.strip_prefix('`')?.strip_suffix('`')?;
    inner
        .split_once("`.`")
        .map(|(database, table)| (database.to_owned(), table.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_format_is_read() {
        let metadata = parse_metadata(include_str!("../../tests/fixtures/metadata-0.10"));
        assert_eq!(
            metadata,
            DumpMetadata {
                finished: true,
                master: Some("bin.000001,8539,0-7-49".into()),
                ..DumpMetadata::default()
            }
        );
        let replica = "Started dump at: 2026-11-22 18:24:42\nSHOW MASTER STATUS:\n\tLog: b.1\n\tPos: 4\n\tGTID:\n\n\
                       SHOW SLAVE STATUS:\n\tConnection name: \n\tHost: 10.0.0.1\n\tLog: m.7\n\tPos: 99\n\tGTID:0-1-2\n\n";
        let metadata = parse_metadata(replica);
        assert!(!metadata.finished);
        assert_eq!(metadata.master.as_deref(), Some("b.1,4"));
        assert_eq!(metadata.slave.as_deref(), Some("m.7,99,0-1-2"));
        assert_eq!(parse_metadata(""), DumpMetadata::default());
    }

    #[test]
    fn the_later_format_is_read() {
        let metadata = parse_metadata(include_str!("../../tests/fixtures/metadata-1.0"));
        assert!(metadata.finished);
        assert_eq!(metadata.master.as_deref(), Some("bin.000002,336,0-7-153"));
        assert_eq!(metadata.slave, None);
        let chinese = metadata
            .tables
            .iter()
            .find(|table| table.table == "表 一")
            .unwrap();
        assert_eq!(
            *chinese,
            TableRecord {
                database_in_files: "mydumper_4".into(),
                table_in_files: "mydumper_6".into(),
                table: "表 一".into(),
                rows: Some(1),
                is_view: false,
                checksums: BTreeMap::from([
                    ("schema_checksum".into(), "90ad8457".into()),
                    ("indexes_checksum".into(), "0".into()),
                ]),
            }
        );
        let of_shop = &metadata.databases["shop"];
        assert_eq!(of_shop["schema_checksum"], "fdf2173b");
        assert_eq!(of_shop["post_checksum"], "b37b3f4");
        assert_eq!(metadata.databases.len(), 5);
        assert_eq!(metadata.tables.iter().filter(|table| table.is_view).count(), 3);
    }
}
