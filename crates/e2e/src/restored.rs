//! An independent judge of a set: it is loaded file by file with the server's own client, and compared with the
//! source table by table. Nothing of mykeeper or myloader takes part.

use crate::mariadb::{MariaDb, program};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Loads the tables of a set (a folder of mydumper's, compressed or not) into `target`. `databases` are all that
/// the set should hold: a file's name alone does not tell where a database's name ends.
pub fn load_set(set: &Path, databases: &[&str], target: &MariaDb) {
    let mut files: Vec<String> = std::fs::read_dir(set)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", set.display()))
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".sql") || name.ends_with(".sql.gz"))
        .collect();
    files.sort();
    let stem = |name: &str| name.trim_end_matches(".gz").trim_end_matches(".sql").to_owned();
    for database in databases {
        let create = files
            .iter()
            .find(|name| stem(name) == format!("{database}-schema-create"));
        let create = create.unwrap_or_else(|| panic!("{} has no {database}-schema-create", set.display()));
        load_file(&set.join(create), "mysql", target);
    }
    let owner = |name: &str| {
        let owners = databases
            .iter()
            .filter(|database| name.starts_with(&format!("{database}.")));
        owners.max_by_key(|database| database.len()).copied()
    };
    let is_view = |name: &str| {
        files
            .iter()
            .any(|other| stem(other) == format!("{}-view", stem(name)))
    };
    let is_definition = |name: &str| stem(name).ends_with("-schema");
    let is_other = |name: &str| {
        [
            "-schema-view",
            "-schema-triggers",
            "-schema-post",
            "-schema-create",
        ]
        .iter()
        .any(|end| stem(name).ends_with(end))
    };
    let tables: Vec<&String> = files
        .iter()
        .filter(|name| !is_other(name) && !is_view(name))
        .collect();
    for wanted in [true, false] {
        for name in tables.iter().filter(|name| is_definition(name) == wanted) {
            if let Some(database) = owner(name) {
                load_file(&set.join(name), database, target);
            }
        }
    }
}

fn load_file(path: &Path, database: &str, target: &MariaDb) {
    let mut unpacking = None;
    let input: Stdio = if path.extension().is_some_and(|extension| extension == "gz") {
        let mut child = Command::new("zcat")
            .arg(path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("zcat is installed");
        let output = child.stdout.take().expect("a piped output");
        unpacking = Some(child);
        output.into()
    } else {
        File::open(path).expect("a file of the set").into()
    };
    let output = Command::new(program("mariadb"))
        .args(["--no-defaults", "--user=root", "--binary-mode", "--default-character-set=utf8mb4"])
        .arg("--init-command=SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO', FOREIGN_KEY_CHECKS=0, UNIQUE_CHECKS=0")
        .arg(format!("--socket={}", target.socket().display()))
        .arg(format!("--database={database}"))
        .stdin(input)
        .output()
        .expect("the program mariadb can be started");
    assert!(
        output.status.success(),
        "the file {} does not load: {}",
        path.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    if let Some(mut child) = unpacking {
        let unpacked = child.wait();
        assert!(
            unpacked.is_ok_and(|status| status.success()),
            "{} is cut or damaged",
            path.display()
        );
    }
}

/// Rows and checksum of every base table of these databases.
pub fn fingerprint(server: &MariaDb, databases: &[&str]) -> BTreeMap<String, String> {
    let list: Vec<String> = databases.iter().map(|database| format!("'{database}'")).collect();
    let tables = server.query(&format!(
        "SELECT table_schema, table_name FROM information_schema.tables \
         WHERE table_type = 'BASE TABLE' AND table_schema IN ({})",
        list.join(",")
    ));
    tables
        .iter()
        .map(|table| {
            let name = format!("`{}`.`{}`", table[0], table[1]);
            let rows = server.value(&format!("SELECT COUNT(*) FROM {name}"));
            let checksum = server.query(&format!("CHECKSUM TABLE {name} EXTENDED"));
            (name, format!("{rows} rows, checksum {}", checksum[0][1]))
        })
        .collect()
}

/// The one folder below `root` that bears the set's id.
pub fn find_set(root: &Path, bk_id: &str) -> PathBuf {
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy() == bk_id {
                    return entry.path();
                }
                open.push(entry.path());
            }
        }
    }
    panic!("there is no set {bk_id} below {}", root.display())
}
