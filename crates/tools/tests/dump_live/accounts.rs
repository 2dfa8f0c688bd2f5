//! Accounts that dump: their passwords, their rights, and what they are not shown.

use crate::support::{AWKWARD, Dump, Server, reasons};
use mykeeper_domain::definer::Definer;
use mykeeper_tools::probe::{Probe, missing_privileges};

#[tokio::test(flavor = "multi_thread")]
async fn awkward_passwords_reach_the_server() {
    let server = Server::start();
    server.sql("CREATE DATABASE shop");
    for password in [
        "a#b",
        "#;lead",
        "\"q\"",
        "'q'",
        "a\\nb\\",
        " lead and trail ",
        "密码 =%;",
        "mix#\"'\\ =%;密",
        "[x]",
        "tab\tx",
    ] {
        let account = server.account("pw", password, &["ALL PRIVILEGES ON *.*"]);
        let dump = Dump::of(&["shop"], &[]);
        let result = dump
            .run(&account)
            .await
            .unwrap_or_else(|error| panic!("{password:?}: {error}"));
        assert_eq!(reasons(&result), [""; 0], "{password:?}");
        assert!(!format!("{result:?}{}", dump.log.text()).contains(password));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_privileges_suffice_and_each_one_is_needed() {
    let server = Server::start_with(&["--sql-mode="]);
    server.sql(AWKWARD);
    let least = [
        "SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.*",
        "SELECT ON mysql.proc",
        "RELOAD, BINLOG MONITOR, SLAVE MONITOR, PROCESS ON *.*",
    ];
    let mut least: Vec<&str> = least.to_vec();
    let later = !Dump::full(&[]).info().await.unwrap().options.contains("no-locks");
    if later {
        least.push("LOCK TABLES ON shop.*");
    }
    let result = Dump::full(&["shop"])
        .run(&server.account("lp", "x", &least))
        .await
        .unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    // Whether a definer is there, the account may not know; that is no fault of the set's.
    let definers = &result.inventory.definers;
    assert!(
        matches!(&definers["root@localhost"], Definer::Unknown(why) if why.contains("denied")),
        "{definers:?}"
    );
    let warnings: Vec<&String> = result.parts[0]
        .warnings
        .iter()
        .filter(|line| line.contains("account lacks"))
        .collect();
    assert_eq!(warnings, [""; 0]);
    for lacking in [
        "SELECT, SHOW",
        "SHOW VIEW, ",
        "TRIGGER, ",
        ", EVENT",
        "SELECT ON mysql.proc",
        "RELOAD, ",
    ] {
        let some: Vec<String> = least
            .iter()
            .map(|grant| match lacking {
                "SELECT, SHOW" => grant.replace("SELECT, SHOW", "INSERT, SHOW"),
                "SELECT ON mysql.proc" => grant.replace(lacking, "EXECUTE ON shop.*"),
                other => grant.replace(other, ""),
            })
            .collect();
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        let result = Dump::full(&["shop"])
            .run(&server.account("lp", "x", &some))
            .await
            .unwrap();
        let word = lacking.split([',', ' ']).find(|word| !word.is_empty()).unwrap();
        assert!(
            reasons(&result)
                .iter()
                .any(|reason| reason.contains(&format!("the account lacks {word}"))),
            "{lacking}: {:?}",
            reasons(&result)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_come_by_a_role_or_a_wildcard_are_seen() {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE log_1; CREATE ROLE dumper; GRANT RELOAD, PROCESS, BINLOG MONITOR, SLAVE MONITOR ON *.* TO dumper; \
         GRANT ALL ON `log\\_%`.* TO dumper; GRANT SELECT ON mysql.proc TO dumper",
    );
    let account = server.account("lp", "x", &["dumper"]);
    server.sql("SET DEFAULT ROLE dumper FOR lp@localhost");
    let mut probe = Probe::connect(&account).await.unwrap();
    let grants = probe.grants().await.unwrap();
    assert!(
        !grants.iter().any(|grant| grant.contains("IDENTIFIED")),
        "{grants:?}"
    );
    let version = probe.server_version().await.unwrap();
    let dump = Dump::full(&["log_1"]);
    let info = dump.info().await.unwrap();
    let options = mykeeper_tools::mydumper::DumpOptions::read(&info, &dump.options).unwrap();
    let missing = missing_privileges(
        &grants,
        &options.privilege_need(&info, &dump.databases, &[]),
        &version,
    );
    assert_eq!(missing, [], "{grants:?}");
    assert_eq!(reasons(&dump.run(&account).await.unwrap()), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_server_gives_nothing_to_look_at() {
    let server = Server::start_with(&["--log-bin-trust-function-creators=1"]);
    server.sql(include_str!("../../../../deploy/sample.sql"));
    // 1.0 ends with exit 1 where it may not read positions.
    let is_classic = Dump::full(&[]).info().await.unwrap().version < (0, 11, 0);
    let least = if is_classic {
        "RELOAD ON *.*"
    } else {
        "RELOAD, BINLOG MONITOR ON *.*"
    };
    // Without those that README calls wanted and not needed, too.
    for grants in [
        vec![
            "SELECT, RELOAD, PROCESS, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT, BINLOG MONITOR, REPLICA MONITOR, \
             BINLOG ADMIN ON *.*",
        ],
        vec![
            "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES ON *.*",
            "SELECT ON mysql.proc",
            least,
        ],
    ] {
        let databases = [
            "shop",
            "shop.eu",
            "shop_old",
            "日志 库-1",
            "pay$roll",
            "my-schema",
            "empty_one",
        ];
        let result = Dump::full(&databases)
            .run(&server.account("lp", "x", &grants))
            .await
            .unwrap();
        assert_eq!(reasons(&result), [""; 0]);
        assert_eq!(result.warnings, [""; 0], "{grants:?}");
    }
}
