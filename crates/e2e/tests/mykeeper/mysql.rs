//! A server of MySQL's own, backed up, with its catalog on it: what works, and what is refused before anything is dumped.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::backup_job;
use mykeeper_e2e::*;

/// The sample but for the database whose name no mydumper can tell MySQL.
const ASCII: &str = r#"["shop%", "pay$roll", "my-schema", "empty_one", "union%"]"#;

/// One server, which is backed up and holds the catalog, that being reached over TCP in the clear.
struct Stage {
    server: MySql,
    workspace: Workspace,
}

impl Stage {
    fn new(server: MySql) -> Self {
        server.load_sample();
        server.sql(
            "CREATE DATABASE functional CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci; \
             CREATE TABLE functional.t (a INT NOT NULL PRIMARY KEY, KEY ((a + 1))); \
             INSERT INTO functional.t VALUES (1), (2); \
             CREATE DATABASE catalogdb; CREATE USER keeper@127.0.0.1 IDENTIFIED BY 'catalog pw'; \
             GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON catalogdb.* TO keeper@127.0.0.1; \
             CREATE USER backup@localhost IDENTIFIED BY 'pw'; \
             GRANT SELECT, RELOAD, PROCESS, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT, REPLICATION CLIENT, SHOW_ROUTINE, \
             BACKUP_ADMIN ON *.* TO backup@localhost",
        );
        let stage = Self {
            server,
            workspace: Workspace::new(),
        };
        let quiet = r#"mydumper = ["threads=1", "triggers", "events"]"#;
        stage.workspace.write_schedule(&format!(
            "{}{}{}{}[validation.prove]\ncron = \"0 0 29 2 *\"\n",
            backup_job("all", r#"["!mysql"]"#, ""),
            backup_job("routines", ASCII, ""),
            backup_job("nightly", ASCII, quiet),
            backup_job("functional", r#"["functional"]"#, quiet),
        ));
        stage
    }

    /// Proofs are made in a server of this program; empty: the machine's own, of MariaDB.
    fn prove_with(&self, program: &str) {
        let (catalog, server) = (
            self.workspace.password_file("catalog", "catalog pw"),
            self.workspace.password_file("shop", "pw"),
        );
        self.workspace.write_keeper(&format!(
            "[catalog]\nurl = \"mysql://keeper@127.0.0.1:{}/catalogdb?ssl-mode=disabled\"\npassword_file = \"{}\"\n\n\
             [servers.shop]\nsocket = \"{}\"\nuser = \"backup\"\npassword_file = \"{}\"\naddress = \"192.0.2.7\"\n\n\
             [sandbox]\ndirectory = \"{}\"\nmemory = \"128 MiB\"\n{program}\n",
            self.server.port(),
            catalog.display(),
            self.server.socket().display(),
            server.display(),
            self.workspace.at("sandbox").display(),
        ));
    }

    fn sets(&self) -> serde_json::Value {
        let listed = self.workspace.mykeeper(&["backups", "--json"]);
        listed.assert_code(0).json()
    }

    fn verdicts(&self) -> Vec<String> {
        let sets = self.sets();
        let sets = sets.as_array().unwrap().iter();
        sets.map(|set| set["validate_status"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn a_mysql_is_backed_up_and_proven_in_one_and_nothing_is_dumped_that_would_be_wrong() {
    let Some(server) = MySql::start_if_named("--log-bin=binlog") else {
        return;
    };
    let own = format!("server = \"{}\"", server.program().display());
    let stage = Stage::new(server);
    stage.prove_with("");
    let workspace = &stage.workspace;
    workspace
        .mykeeper(&["catalog", "migrate"])
        .assert_code(0)
        .assert_says("MySQL 9");

    // What mydumper cannot do there is said before it is started.
    let checked = workspace.mykeeper(&["check"]);
    checked
        .assert_code(3)
        .assert_says("mydumper cannot select a database of MySQL whose name is not ASCII")
        .assert_says("which MySQL 9");
    workspace
        .mykeeper(&["run", "all"])
        .assert_code(1)
        .assert_says("exclude it with \"!日志 库-1\"");
    workspace
        .mykeeper(&["run", "routines"])
        .assert_code(1)
        .assert_says("cannot dump the routines of database shop");
    assert_eq!(stage.sets(), serde_json::json!([]), "nothing was dumped");

    workspace
        .mykeeper(&["run", "nightly"])
        .assert_code(4)
        .assert_says("the set will have no position in the binary log");
    let set = &stage.sets()[0];
    assert_eq!(set["complete"], serde_json::json!([true]), "{set}");
    assert_eq!(set["master_status"], "");
    assert_eq!(set["slave_status"], "N/A");
    workspace.mykeeper(&["run", "functional"]).assert_code(4);

    // What a server of another product makes of them is no verdict.
    workspace
        .mykeeper(&["validate"])
        .assert_code(1)
        .assert_says("database shop has a collation utf8mb4_0900_*, which the throwaway server")
        .assert_says("is of another product, which need not take it: functional")
        .assert_says("install MySQL 9");
    assert_eq!(stage.verdicts(), ["N/A", "N/A"]);

    stage.prove_with(&own);
    for set in stage.sets().as_array().unwrap() {
        let id = set["id"].as_str().unwrap();
        workspace.mykeeper(&["validate", "--bk-id", id]).assert_code(0);
    }
    assert_eq!(stage.verdicts(), ["passed", "passed"]);
}
