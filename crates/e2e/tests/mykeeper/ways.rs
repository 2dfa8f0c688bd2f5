//! A catalog with two ways to it, of which the second may lead to another server.

use crate::NEVER;
use mykeeper_e2e::*;
use std::path::Path;

fn catalog_server(extra: &[String]) -> MariaDb {
    let server = MariaDb::start_with(MariaDbOptions {
        extra: extra.to_vec(),
        ..MariaDbOptions::default()
    });
    server.sql("CREATE DATABASE catalogdb");
    server.account("keeper", "pw", "ALL ON catalogdb.*");
    server
}

#[test]
fn no_command_takes_the_socket_of_another_server_than_the_one_that_was_seen() {
    let right = catalog_server(&[]);
    let tunnel = TcpProxy::to(right.port());
    // This host's own, which listens at the port that the tunnel has, at another address.
    let wrong = catalog_server(&[
        "--bind-address=127.0.0.2".to_owned(),
        format!("--port={}", tunnel.port()),
    ]);
    let workspace = Workspace::new();
    let socket = workspace.at("s");
    let lead_to = |server: &MariaDb| {
        drop(std::fs::remove_file(&socket));
        std::os::unix::fs::symlink(server.socket(), &socket).unwrap();
    };
    let file = workspace.password_file("catalog", "pw");
    workspace.write_keeper(&format!(
        "[catalog]\nurl = \"mysql://keeper@127.0.0.1:{}/catalogdb?or-socket={}\"\npassword_file = \"{}\"\n",
        tunnel.port(),
        socket.display(),
        file.display()
    ));
    workspace.write_schedule(&format!(
        "[retention.prune]\ncron = \"{NEVER}\"\ndirectory = \"{{sets}}\"\nkeep = {{ last = 1 }}\naction = \"delete\"\n\
         require = \"complete\"\n"
    ));
    lead_to(&right);
    let run = workspace.mykeeper(&["run", "prune"]);
    run.assert_code(0);
    assert!(!run.said().contains("the catalog is reached as"), "{run}");

    // The same server: its socket is taken, and that is told.
    drop(tunnel);
    let add = |real_path: &Path| {
        let words = "paths add --bk-server 192.0.2.7 --remote-server 127.0.0.1 --tag shop --real-path";
        let real_path = real_path.display().to_string();
        let words: Vec<&str> = words.split(' ').chain([real_path.as_str()]).collect();
        workspace.mykeeper(&words)
    };
    let way = format!("catalogdb?socket={}, not as mysql://", socket.display());
    for finished in [
        add(&workspace.at("one")),
        workspace.mykeeper(&["backups"]),
        workspace.mykeeper(&["run", "prune"]),
    ] {
        finished.assert_code(0).assert_says(&way);
    }

    lead_to(&wrong);
    for finished in [
        workspace.mykeeper(&["catalog", "migrate"]),
        add(&workspace.at("two")),
        workspace.mykeeper(&["backups"]),
        workspace.mykeeper(&["check"]),
    ] {
        finished
            .assert_code(3)
            .assert_says("this leads to another server");
    }
    assert!(wrong.query("SHOW TABLES IN catalogdb").is_empty());
    let paths = right.value("SELECT COUNT(*) FROM catalogdb.user_backup_path");
    assert_eq!(paths, "1");
}
