//! Large tables, whose keys are made after their rows.

use crate::bench::Bench;
use crate::prove_sets::{Asked, How, against, make_set, manifest, prove, sql};
use mykeeper_domain::job::Consistency;
use mykeeper_tools::sandbox::ThrowawayServer;

const LARGE: &str = "CREATE DATABASE big; USE big; \
     CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT NOT NULL, state ENUM('new', '回执') NOT NULL, \
       token BINARY(16) NOT NULL, note VARCHAR(200) NOT NULL, KEY `by ``who` (customer, state), UNIQUE KEY token (token), \
       KEY note (note(20) DESC)) CHARACTER SET utf8mb4; \
     INSERT INTO orders SELECT seq, seq * 7919 % 1000, 1 + seq % 2, UNHEX(MD5(seq)), REPEAT(SHA1(seq), 4) \
       FROM seq_1_to_30000; \
     CREATE TABLE small (a INT, KEY a (a)); INSERT INTO small VALUES (1), (2); \
     CREATE DATABASE other; CREATE TABLE other.t (a INT PRIMARY KEY); INSERT INTO other.t VALUES (1)";
const SCHEMA: &str = "big.orders-schema.sql.gz";

#[tokio::test(flavor = "multi_thread")]
async fn keys_made_after_the_rows_come_back_as_they_were_and_one_that_is_not_in_the_set_fails_it() {
    let bench = Bench::new();
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(&source, LARGE);
    let how = How {
        consistency: Consistency::All,
        compressed: true,
        packing: None,
    };
    let set = make_set(&source, &bench.path().join("set"), how, false).await;
    source.stop().await;
    let asked = Asked::of(&bench);
    let proof = prove(&bench, &set, &asked).await.unwrap();
    let log = bench.log.text();
    assert_eq!(against(&proof), [""; 0], "{log}");
    assert!(
        log.contains("big: 1 large table was loaded without further keys"),
        "{log}"
    );
    assert!(!log.contains("again"), "{log}");

    for (from, to, told) in [
        // It is not in the set.
        (
            "  KEY `note` (`note`(20) DESC)",
            "  KEY `note` (`note`(21) DESC)",
            "note",
        ),
        // The server does not make it.
        ("(`customer`,`state`)", "(`customer`,`gone`)", "gone"),
    ] {
        bench.log.lines.lock().unwrap().clear();
        let mut damaged = set.copy(&bench.path().join(told));
        damaged.rewrite(SCHEMA, |text| text.replace(from, to));
        damaged.files = manifest(&damaged.dir);
        let proof = prove(&bench, &damaged, &asked).await.unwrap();
        let (against, log) = (against(&proof).join("; "), bench.log.text());
        assert!(against.contains(told), "{against}: {log}");
        assert!(log.contains("big: loading it again without myloader"), "{log}");
        assert!(
            proof
                .databases
                .iter()
                .all(|database| database.passed == (database.database == "other"))
        );
    }
}
