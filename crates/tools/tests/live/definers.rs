//! Definers come back with the rights they had, and without what lets anybody in as them.

use crate::bench::Bench;
use crate::prove_sets::{Asked, How, against, make_set, prove, sql};
use mykeeper_domain::definer::Definer;
use mykeeper_domain::job::Consistency;
use mykeeper_tools::sandbox::ThrowawayServer;

const OBJECTS: &str = "CREATE DATABASE shop; USE shop;
CREATE TABLE orders (id INT PRIMARY KEY, price INT, secret INT); INSERT INTO orders VALUES (1, 2, 3);
CREATE USER app@'%' IDENTIFIED BY 'geheim'; GRANT SELECT (id, price) ON shop.orders TO app@'%' WITH GRANT OPTION;
CREATE USER `o'x y`@localhost IDENTIFIED BY 'geheim' REQUIRE SSL ACCOUNT LOCK; GRANT SELECT ON *.* TO `o'x y`@localhost;
CREATE ROLE clerk; GRANT SELECT ON shop.* TO clerk; GRANT clerk TO app@'%';
CREATE DEFINER=app@'%' VIEW v_app AS SELECT id, price FROM orders;
CREATE DEFINER=`o'x y`@localhost VIEW v_odd AS SELECT id FROM v_app;
CREATE DEFINER=clerk PROCEDURE p_clerk() SELECT id FROM orders;
CREATE DEFINER=ghost@'%' SQL SECURITY INVOKER VIEW v_ghost AS SELECT id FROM orders;
CREATE DEFINER=ghost@'%' EVENT e_ghost ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1;
";

#[tokio::test(flavor = "multi_thread")]
async fn definers_come_back_with_their_rights_and_without_their_passwords() {
    let bench = Bench::new();
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(&source, OBJECTS);
    let how = How {
        consistency: Consistency::All,
        compressed: false,
        packing: None,
    };
    let mut set = make_set(&source, &bench.path().join("set"), how, false).await;
    source.stop().await;
    let definers = &set.evidence.inventory.definers;
    let Definer::Present(app) = &definers["app@%"] else {
        panic!("{definers:?}");
    };
    assert!(
        app.grants
            .iter()
            .any(|grant| grant.contains("`shop`.`orders`") && grant.ends_with(" WITH GRANT OPTION")),
        "{app:?}"
    );
    let Definer::Present(odd) = &definers["o'x y@localhost"] else {
        panic!("{definers:?}");
    };
    assert!(odd.is_locked && !app.is_locked);
    assert!(
        definers.keys().any(|definer| definer.starts_with("clerk")),
        "{definers:?}"
    );
    assert_eq!(definers["ghost@%"], Definer::Absent);
    let text = serde_json::to_string(&set.evidence).unwrap();
    // Each of MariaDB's digests begins so.
    assert!(!text.contains("'*") && !text.contains("IDENTIFIED"), "{text}");
    assert!(
        set.warnings.iter().any(|warning| warning.starts_with(
            "the definer ghost@% of event e_ghost of shop and 1 more object does not exist on the server"
        )),
        "{:?}",
        set.warnings
    );

    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    assert_eq!(against(&proof), [""; 0], "{}", bench.log.text());
    assert!(
        !bench.log.text().contains("may do everything"),
        "{}",
        bench.log.text()
    );

    // Where definitions are not compared, the definer is, all the same.
    set.evidence.backup.server_version = "10.6.1-MariaDB".into();
    let known = set.evidence.inventory.databases.get_mut("shop").unwrap();
    let view = known.definitions.get_mut("view v_odd").unwrap();
    view.0.insert("definer".into(), "other@localhost".into());
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    assert_eq!(
        against(&proof),
        ["shop: view v_odd, definer: expected other@localhost, found o'x y@localhost"]
    );
}
