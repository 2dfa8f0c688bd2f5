//! Each damage that myloader does not tell of fails the proof, by name.

use crate::bench::Bench;
use crate::prove_sets::{Asked, How, SHOP, Set, against, make_set, manifest, prove, sql};
use mykeeper_domain::job::{Assertion, Consistency};
use mykeeper_tools::ToolError;
use mykeeper_tools::sandbox::ThrowawayServer;
use std::time::Duration;

async fn shop_set(bench: &Bench) -> Set {
    let source = ThrowawayServer::start(&bench.sandbox(), &bench.env())
        .await
        .unwrap();
    sql(&source, SHOP);
    let how = How {
        consistency: Consistency::All,
        compressed: true,
        packing: None,
    };
    let set = make_set(&source, &bench.path().join("set"), how, false).await;
    source.stop().await;
    set
}

fn truncate(set: &Set, name: &str, keep: impl FnOnce(usize) -> usize) {
    let path = set.dir.join(name);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(path, &bytes[..keep(bytes.len())]).unwrap();
}

fn flip(set: &Set, name: &str) {
    let path = set.dir.join(name);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn no_sandboxes(bench: &Bench) {
    for entry in std::fs::read_dir(bench.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            !name.starts_with("mykeeper-sandbox-") || name.contains("template"),
            "{name} is left"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_is_named_before_anything_is_loaded() {
    let bench = Bench::new();
    let good = shop_set(&bench).await;
    type Damage = fn(&Set);
    let damages: [(&str, Damage); 9] = [
        (
            "file shop.orders.sql.gz: expected present, found missing",
            |set| set.remove("shop.orders.sql.gz"),
        ),
        ("file shop.orders.sql.gz, bytes", |set| {
            truncate(set, "shop.orders.sql.gz", |bytes| bytes / 2);
        }),
        ("file shop.orders.sql.gz, bytes", |set| {
            truncate(set, "shop.orders.sql.gz", |bytes| bytes - 8);
        }),
        ("file shop.orders.sql.gz, bytes", |set| {
            truncate(set, "shop.orders.sql.gz", |_| 0);
        }),
        ("file shop.orders.sql.gz, BLAKE3", |set| {
            flip(set, "shop.orders.sql.gz");
        }),
        ("file shop.v_one-schema-view.sql.gz", |set| {
            set.remove("shop.v_one-schema-view.sql.gz");
        }),
        ("file shop-schema-create.sql.gz", |set| {
            set.remove("shop-schema-create.sql.gz");
        }),
        ("file metadata", |set| set.remove("metadata")),
        ("file shop.stray.sql: expected absent, found present", |set| {
            std::fs::write(set.dir.join("shop.stray.sql"), "SELECT 1;\n").unwrap();
        }),
    ];
    for (number, (words, damage)) in damages.into_iter().enumerate() {
        let set = good.copy(&bench.path().join(format!("damaged-{number}")));
        damage(&set);
        let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
        assert!(!proof.passed());
        let lines = against(&proof);
        assert!(
            lines.iter().any(|line| line.contains(words)),
            "{words:?} is not in {lines:?}"
        );
        assert_eq!(proof.sandbox_version, "not started");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damage_that_the_manifest_agrees_with_is_found_by_restoring() {
    let bench = Bench::new();
    let good = shop_set(&bench).await;
    type Damage = fn(&Set);
    let damages: [(&str, Damage); 14] = [
        ("shop: table orders, rows: expected 2000, found 0", |set| {
            set.remove("shop.orders.sql.gz");
        }),
        ("shop: table orders: expected present, found missing", |set| {
            set.remove("shop.orders-schema.sql.gz");
        }),
        ("shop: view v_two: expected present, found missing", |set| {
            set.remove("shop.v_two-schema-view.sql.gz");
        }),
        ("shop: function fn: expected present, found missing", |set| {
            set.remove("shop-schema-post.sql.gz");
        }),
        ("shop: event ev: expected present, found missing", |set| {
            set.remove("shop-schema-post.sql.gz");
        }),
        ("shop: trigger tr: expected present, found missing", |set| {
            set.remove("shop.orders-schema-triggers.sql.gz");
        }),
        ("shop: CREATE DATABASE: expected present, found missing", |set| {
            set.remove("shop-schema-create.sql.gz");
        }),
        ("shop: default collation: expected utf8mb3_bin", |set| {
            set.rewrite("shop-schema-create.sql.gz", |text| {
                text.replace("COLLATE utf8mb3_bin", "")
            });
        }),
        ("shop: table orders, rows: expected 2000, found 1999", |set| {
            set.rewrite("shop.orders.sql.gz", |text| {
                let from = text.find("(1,").unwrap();
                let to = text.find("(2,").unwrap();
                format!("{}{}", &text[..from], &text[to..])
            });
        }),
        (
            "shop: table vouchers, AUTO_INCREMENT: expected at least 5000, found 1",
            |set| {
                set.rewrite("shop.vouchers-schema.sql.gz", |text| {
                    text.replace("AUTO_INCREMENT=5000 ", "")
                });
            },
        ),
        (
            "shop: sequence tickets, next value: expected at least 27, found 1",
            |set| {
                set.remove("shop.tickets.sql.gz");
            },
        ),
        ("shop.orders.sql.gz: ERROR 1062", |set| {
            set.rewrite("shop.orders.sql.gz", |text| text.replacen("(2,", "(1,", 1));
        }),
        ("ERROR 1064", |set| {
            set.rewrite("shop-schema-post.sql.gz", |text| {
                text.replace("CREATE DEFINER", "CRATE DEFINER")
            });
        }),
        ("ERROR 1146", |set| {
            set.rewrite("shop.v_one-schema-view.sql.gz", |text| {
                text.replace("from `orders`", "from `ordres`")
            });
        }),
    ];
    for (number, (words, damage)) in damages.into_iter().enumerate() {
        let mut set = good.copy(&bench.path().join(format!("damaged-{number}")));
        damage(&set);
        set.files = manifest(&set.dir);
        let mut asked = Asked::of(&bench);
        asked.by_restore = true;
        let proof = prove(&bench, &set, &asked).await.unwrap();
        let lines = against(&proof);
        assert!(!proof.passed(), "{words}");
        assert!(
            lines.iter().any(|line| line.contains(words)),
            "{words:?} is not in {lines:?}"
        );
        no_sandboxes(&bench);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_files_themselves_lack_needs_no_restore() {
    let bench = Bench::new();
    let good = shop_set(&bench).await;
    type Damage = fn(&Set);
    let damages: [(&str, Damage); 9] = [
        ("shop: table orders, rows: expected 2000, found 0", |set| {
            set.remove("shop.orders.sql.gz");
        }),
        ("shop: table orders, rows: expected 2000, found 2001", |set| {
            set.rewrite("shop.orders.sql.gz", |text| {
                text.replacen("(1,", "(9999,\"x\"),\n(1,", 1)
            });
        }),
        ("shop: table orders, content: expected ", |set| {
            set.rewrite("shop.orders.sql.gz", |text| {
                text.replacen("order number 7 ", "order number 8 ", 1)
            });
        }),
        ("shop: table audit: expected present, found missing", |set| {
            set.remove("shop.audit-schema.sql.gz");
        }),
        ("shop: view v_two: expected present, found missing", |set| {
            set.remove("shop.v_two-schema-view.sql.gz");
        }),
        ("shop: event ev: expected present, found missing", |set| {
            set.remove("shop-schema-post.sql.gz");
        }),
        ("shop: trigger tr: expected present, found missing", |set| {
            set.remove("shop.orders-schema-triggers.sql.gz");
        }),
        ("metadata: expected present, found missing", |set| {
            set.remove("metadata");
        }),
        ("metadata: expected finished, found not finished", |set| {
            set.rewrite("metadata", |text| text.replace("Finished", "Begun"));
        }),
    ];
    for (number, (words, damage)) in damages.into_iter().enumerate() {
        let mut set = good.copy(&bench.path().join(format!("damaged-{number}")));
        damage(&set);
        set.files = manifest(&set.dir);
        let proof = prove(&bench, &set, &Asked::of(&bench)).await.unwrap();
        let lines = against(&proof);
        assert!(
            !proof.passed() && lines.iter().any(|line| line.contains(words)),
            "{words:?} is not in {lines:?}"
        );
        assert_eq!(proof.sandbox_version, "not started", "{words}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loader_that_is_killed_says_nothing_of_the_set() {
    let bench = Bench::new();
    let set = shop_set(&bench).await;
    let mut asked = Asked::of(&bench);
    asked.myloader = bench.path().join("myloader");
    let script = "#!/bin/sh\ncase $1 in --version) exec myloader --version;; esac\nkill -9 $$\n";
    std::fs::write(&asked.myloader, script).unwrap();
    std::fs::set_permissions(
        &asked.myloader,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let error = prove(&bench, &set, &asked).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    assert!(
        error.to_string().contains("killed") || error.to_string().contains("signal"),
        "{error}"
    );
    no_sandboxes(&bench);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_without_evidence_is_judged_by_its_own_files() {
    let bench = Bench::new();
    let good = shop_set(&bench).await;
    let mut asked = Asked::of(&bench);
    asked.with_evidence = false;
    type Damage = fn(&Set);
    let damages: [(&str, Damage); 4] = [
        ("file shop.orders.sql.gz: expected readable to its end", |set| {
            truncate(set, "shop.orders.sql.gz", |bytes| bytes / 2);
        }),
        ("file shop.orders.sql.gz: expected readable to its end", |set| {
            flip(set, "shop.orders.sql.gz");
        }),
        ("file metadata: expected present, found missing", |set| {
            set.remove("metadata");
        }),
        ("CREATE DATABASE: expected present, found missing", |set| {
            set.remove("shop-schema-create.sql.gz");
        }),
    ];
    for (number, (words, damage)) in damages.into_iter().enumerate() {
        let set = good.copy(&bench.path().join(format!("damaged-{number}")));
        damage(&set);
        let proof = prove(&bench, &set, &asked).await.unwrap();
        let lines = against(&proof);
        assert!(
            !proof.passed() && lines.iter().any(|line| line.contains(words)),
            "{words:?} is not in {lines:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_asserts_is_tried() {
    let bench = Bench::new();
    let set = shop_set(&bench).await;
    let mut asked = Asked::of(&bench);
    let assert = |sql: &str| Assertion {
        database: "shop".into(),
        sql: sql.into(),
    };
    asked.asserts = vec![
        assert("SELECT COUNT(*) = 2000 FROM orders"),
        assert("SELECT COUNT(*) > 5000 FROM orders"),
        assert("SELECT NULL"),
        assert("SELECT nothing FROM nowhere"),
        assert("SELECT id FROM orders LIMIT 2"),
    ];
    let proof = prove(&bench, &set, &asked).await.unwrap();
    assert_eq!(
        against(&proof),
        [
            "shop: assert SELECT COUNT(*) > 5000 FROM orders: expected a true value, found 0",
            "shop: assert SELECT NULL: expected a true value, found NULL",
            "shop: assert SELECT id FROM orders LIMIT 2: expected a true value, found more than one row",
        ]
    );
    assert_eq!(
        proof.warnings,
        [
            "the assert on shop cannot be run: SELECT nothing FROM nowhere: ERROR 1146: Table 'shop.nowhere' doesn't \
             exist"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_tried_is_no_failed_proof() {
    let bench = Bench::new();
    let set = shop_set(&bench).await;
    let mut asked = Asked::of(&bench);
    asked.myloader = "no-such-myloader".into();
    let error = prove(&bench, &set, &asked).await.unwrap_err();
    assert!(matches!(error, ToolError::NotInstalled { .. }), "{error}");

    asked.myloader = "myloader".into();
    asked.sandbox.server = "no-such-server".into();
    let error = prove(&bench, &set, &asked).await.unwrap_err();
    assert!(matches!(error, ToolError::NotInstalled { .. }), "{error}");

    asked.sandbox.server = "mariadbd".into();
    asked.asserts = vec![Assertion {
        database: "shop".into(),
        sql: "SELECT SLEEP(60)".into(),
    }];
    asked.limits.timeout = Some(Duration::from_secs(5));
    let error = prove(&bench, &set, &asked).await.unwrap_err();
    assert!(matches!(error, ToolError::TimedOut { .. }), "{error}");
    no_sandboxes(&bench);

    asked.limits.timeout = None;
    asked.asserts = vec![Assertion {
        database: "shop".into(),
        sql: "SHUTDOWN".into(),
    }];
    asked.asserts.push(Assertion {
        database: "shop".into(),
        sql: "SELECT SLEEP(60)".into(),
    });
    let error = prove(&bench, &set, &asked).await.unwrap_err();
    assert!(error.is_passing(), "{error}");
    no_sandboxes(&bench);

    asked.asserts = vec![Assertion {
        database: "shop".into(),
        sql: "SELECT SLEEP(60)".into(),
    }];
    let cancel = bench.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        cancel.cancel();
    });
    let error = prove(&bench, &set, &asked).await.unwrap_err();
    assert!(matches!(error, ToolError::Cancelled { .. }), "{error}");
    no_sandboxes(&bench);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_take_what_the_source_wrote_is_refused_and_the_set_not_blamed() {
    let bench = Bench::new();
    let mut set = shop_set(&bench).await;
    set.evidence.backup.server_version = "99.1.0-MariaDB".into();
    let refused = prove(&bench, &set, &Asked::of(&bench)).await.unwrap_err();
    let said = refused.to_string();
    assert!(
        said.contains("99.1.0-MariaDB wrote it") && said.contains("install MariaDB 99.1 or later"),
        "{said}"
    );
    assert!(!bench.log.text().contains("CREATE"), "{}", bench.log.text());
    no_sandboxes(&bench);
}
