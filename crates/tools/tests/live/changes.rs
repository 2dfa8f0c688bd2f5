//! Sets of servers whose objects change meanwhile.

use crate::bench::{Bench, limits};
use crate::prove_sets::{Asked, How, Set, against, client, make_set_by, prove, sql, stand_in};
use mykeeper_domain::ids::NodeName;
use mykeeper_domain::job::Consistency;
use mykeeper_domain::server::Tls;
use mykeeper_tools::ServerConnection;
use mykeeper_tools::prove::ProveRequest;
use mykeeper_tools::restore::{RestoreRequest, Restored, Scope, check_set, look_at_target, restore_set};
use mykeeper_tools::sandbox::ThrowawayServer;
use std::path::Path;

const HOW: How = How {
    consistency: Consistency::All,
    compressed: false,
    packing: None,
};
const OBJECTS: &str = "CREATE DATABASE shop; USE shop;
CREATE TABLE orders (id INT PRIMARY KEY, note TEXT); INSERT INTO orders VALUES (1, 'a'), (2, 'b');
CREATE TABLE leaving (id INT); INSERT INTO leaving VALUES (1);
CREATE TRIGGER on_leaving BEFORE INSERT ON leaving FOR EACH ROW SET NEW.id = NEW.id + 1;
CREATE VIEW v_leaving AS SELECT id FROM leaving;
CREATE VIEW v_on_it AS SELECT id FROM v_leaving;
CREATE PROCEDURE stays() SELECT 1;
CREATE PROCEDURE leaves() SELECT 2;
CREATE EVENT once ON SCHEDULE AT '2037-01-01 00:00:00' DO DELETE FROM orders;
";
/// Between the first inventory and the dump.
const BEFORE: &str = "CREATE PROCEDURE comes() SELECT 3; DROP PROCEDURE leaves; \
                      CREATE TRIGGER pt_osc_shop_orders_ins AFTER INSERT ON orders FOR EACH ROW SET @a = 1; \
                      CREATE FUNCTION passes() RETURNS INT DETERMINISTIC RETURN 1; CREATE TABLE new (id INT)";
/// Between the dump and the second inventory.
const AFTER: &str =
    "DROP EVENT once; DROP TRIGGER pt_osc_shop_orders_ins; DROP FUNCTION passes; DROP TABLE leaving";

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_or_goes_in_mid_dump_fails_no_good_set_and_hides_no_damage() {
    let bench = Bench::new();
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(&source, OBJECTS);
    let client = client(&source, "shop");
    let (before, after) = (format!("{client} '{BEFORE}'"), format!("{client} '{AFTER}'"));
    let busy = stand_in(&bench, "busy", (&before, &after));
    let set = make_set_by(&busy, &source, &bench.path().join("set"), (HOW, false)).await;
    source.stop().await;
    assert_eq!(set.evidence.parts[0].reasons, [""; 0]);
    let shop = &set.evidence.inventory.databases["shop"];
    let unsettled: Vec<&str> = shop.unsettled.iter().map(String::as_str).collect();
    assert_eq!(
        unsettled,
        [
            "event once",
            "function passes",
            "procedure comes",
            "procedure leaves",
            "table leaving",
            "table new",
            "trigger on_leaving",
            "trigger pt_osc_shop_orders_ins",
        ]
    );
    let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
    assert_eq!(against(&proof), [""; 0], "{}", bench.log.text());
    let uncompared = format!(
        "shop: not compared, as it came or went while the set was made: {}",
        unsettled.join(", ")
    );
    assert!(proof.warnings.contains(&uncompared), "{:?}", proof.warnings);
    let log = bench.log.text();
    for view in ["v_leaving", "v_on_it"] {
        assert!(
            log.contains(&format!("view {view} stands on what is not part of the set")),
            "{log}"
        );
    }

    let restored = restored(&bench, &set).await;
    assert!(restored.is_whole(), "{restored:#?}");
    assert!(
        restored.warnings.iter().any(|warning| {
            warning.starts_with("shop.leaving-schema-triggers.sql: ERROR 1146")
                && warning.ends_with("what it was to create came or went while the set was made")
        }),
        "{:?}",
        restored.warnings
    );

    let mut damaged = set.copy(&bench.path().join("damaged"));
    damaged.rewrite("shop-schema-post.sql", |text| {
        text.replace("PROCEDURE `stays`", "PROCEDURE `strange`")
    });
    damaged.files = crate::prove_sets::manifest(&damaged.dir);
    let proof = prove(&bench, &damaged, &Asked::of(&bench)).await.unwrap();
    assert_eq!(
        against(&proof),
        [
            "shop: procedure stays: expected present, found missing",
            "shop: procedure strange: expected absent, found present"
        ]
    );
}

/// Puts the set into another server, as a restore for real does.
async fn restored(bench: &Bench, set: &Set) -> Restored {
    let target = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    let connection = ServerConnection {
        tls: Tls::default(),
        ..target.connection()
    };
    let (node, limits) = (NodeName::new("db1").unwrap(), limits(120));
    let sandbox = bench.sandbox();
    let request = ProveRequest {
        bk_id: set.evidence.backup.id,
        run_id: None,
        node: &node,
        set_dir: &set.dir,
        evidence: Some(&set.evidence),
        files: &set.files,
        beside: &[],
        recorded_size: None,
        manifest_blake3: None,
        databases: &set.databases,
        sandbox: &sandbox,
        myloader: Path::new("myloader"),
        asserts: &[],
        limits: &limits,
    };
    let scope = Scope::whole(set.databases.clone());
    let checked = check_set(&request, &scope, &bench.env()).await.unwrap();
    let found = look_at_target(&connection, &scope.names_there()).await.unwrap();
    let restore = RestoreRequest {
        set: request,
        scope: &scope,
        overwrite: false,
        connection: &connection,
        private_dir: &bench.sub("restore-private"),
    };
    let restored = restore_set(&restore, (&checked, &found), &bench.env())
        .await
        .unwrap();
    target.stop().await;
    restored
}
