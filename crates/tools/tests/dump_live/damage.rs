//! Dumps that lack something, whatever mydumper says of them.

use crate::faults::{assert_incomplete, stand_in, stand_in_around};
use crate::support::{AWKWARD, Dump, Server, reasons, rows, tempdir};
use mykeeper_domain::job::Consistency;
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn every_damage_that_mydumper_hides_is_found() {
    let server = Server::start_with(&["--sql-mode="]);
    server.sql(AWKWARD);
    let admin = server.admin();
    for (damage, words) in [
        (
            "for f in shop.orders.*sql.*; do truncate -s -8 $f; done",
            "it is cut",
        ),
        (
            "for f in shop.orders.*sql.*; do truncate -s 1000 $f; done",
            "it is cut",
        ),
        ("for f in shop.orders.*sql.*; do : > $f; done", "it is cut"),
        (
            "f=$(ls shop.orders.*sql.* | head -1); printf X | dd of=$f bs=1 seek=5000 conv=notrunc",
            "it is damaged",
        ),
        (
            "rm shop.orders.*sql.gz shop.orders.*sql.zst shop.orders.sql.gz",
            "exit 0, but shop.orders has no data file",
        ),
        (
            "rm shop.orders.*sql.*; echo 'SET NAMES binary;' | gzip > shop.orders.00000.sql.gz",
            "exit 0, but shop.orders has data files that hold no row",
        ),
        (
            "rm shop.audit-schema.sql.*",
            "exit 0, but table shop.audit has no CREATE TABLE file",
        ),
        (
            "echo -n | gzip > shop.audit-schema.sql.gz",
            "shop.audit-schema.sql.gz is empty",
        ),
        (
            "rm shop-schema-create.sql.*",
            "exit 0, but database shop has no CREATE DATABASE file",
        ),
        (
            "rm shop-schema-post.sql.*",
            "exit 0, but the routines and events of shop have no file",
        ),
        (
            "rm shop*-schema-triggers.sql.*",
            "exit 0, but the triggers of shop.orders have no file",
        ),
        (
            "gunzip shop-schema-post.sql.gz || zstd -dq --rm shop-schema-post.sql.zst; sed -i 's/`p1`/`p10`/g' shop-schema-post.sql",
            "exit 0, but shop-schema-post.sql does not hold p1",
        ),
        (
            "gunzip shop-schema-post.sql.gz || zstd -dq --rm shop-schema-post.sql.zst; truncate -s -200 shop-schema-post.sql",
            "exit 0, but shop-schema-post.sql ends in the middle of a statement",
        ),
        (
            "rm shop.v2-schema-view.sql.*",
            "exit 0, but view shop.v2 has no file",
        ),
        (
            "rm shop.s1-schema.sql.*",
            "exit 0, but sequence shop.s1 has no file",
        ),
        ("rm metadata", "exit 0, but there is no metadata file"),
        (
            "sed -i '/Finished/d' metadata",
            "exit 0, but the metadata file has no \"Finished dump\"",
        ),
        (
            "mv metadata metadata.partial",
            "metadata is still called metadata.partial",
        ),
        ("rm *", "exit 0, but there is no metadata file"),
        ("kill -9 $$", "mydumper ended with signal 9"),
    ] {
        let dir = tempdir();
        let mut dump = Dump::of(
            &["shop"],
            &["compress", "triggers", "routines", "events", "threads=2"],
        );
        dump.program = stand_in(dir.path(), damage);
        let result = dump.run(&admin).await.unwrap();
        assert_incomplete(&result, words);
        let record = &result.inventory.databases["shop"].tables["orders"];
        if damage.contains("orders.*sql") {
            assert_eq!(
                record.rows, None,
                "{damage}: rows of a damaged file count for nothing"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_invisible_columns_are_missed() {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE t (a INT, b INT INVISIBLE); INSERT INTO t (a, b) VALUES (1, 2);
         CREATE TABLE g (a INT, b INT INVISIBLE, c INT AS (a + 1) VIRTUAL); INSERT INTO g (a, b) VALUES (1, 2);
         CREATE TABLE h (a INT, c INT AS (a + 1) STORED INVISIBLE); INSERT INTO h (a) VALUES (1);
         CREATE TABLE v (a INT, rs TIMESTAMP(6) GENERATED ALWAYS AS ROW START INVISIBLE,
           re TIMESTAMP(6) GENERATED ALWAYS AS ROW END INVISIBLE, PERIOD FOR SYSTEM_TIME (rs, re)) WITH SYSTEM VERSIONING;
         INSERT INTO v (a) VALUES (1)",
    );
    let admin = server.admin();
    let result = Dump::full(&["shop"]).run(&admin).await.unwrap();
    assert_incomplete(
        &result,
        "column shop.t.b is INVISIBLE: mydumper leaves its values out",
    );
    assert_eq!(reasons(&result).len(), 1, "{:?}", reasons(&result));
    let result = Dump::of(&["shop"], &["no-data"]).run(&admin).await.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    let dump = Dump::of(&["shop"], &["complete-insert"]);
    let is_named = dump.info().await.unwrap().version >= (1, 0, 0);
    assert_eq!(dump.run(&admin).await.unwrap().complete, [is_named]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_empty_at_the_moment_of_the_snapshot_is_no_loss() {
    let server = Server::start();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.q (id INT); INSERT INTO shop.q VALUES (1)");
    let dir = tempdir();
    let client = format!(
        "mariadb --no-defaults -uroot --socket={} -e",
        server.socket().display()
    );
    let mut dump = Dump::full(&["shop"]);
    if dump.info().await.unwrap().version >= (0, 11, 0) {
        eprintln!("SKIPPED: this mydumper does not say of a table that it is empty");
        return;
    }
    dump.program = stand_in_around(
        dir.path(),
        &format!("{client} 'DELETE FROM shop.q'"),
        &format!("{client} 'INSERT INTO shop.q VALUES (2)'"),
    );
    let result = dump.run(&server.admin()).await.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    assert_eq!(rows(&result.inventory, "shop", "q"), Some(0));
    // mydumper's word alone is none: without it, or without the file that it took back.
    dump.options.push(crate::support::option("verbose=2"));
    fs::remove_dir_all(&dump.set_dir).unwrap();
    fs::create_dir(&dump.set_dir).unwrap();
    let result = dump.run(&server.admin()).await.unwrap();
    assert_incomplete(&result, "exit 0, but shop.q has no data file");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failing_database_does_not_take_the_others_along() {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE a; CREATE TABLE a.t (id INT); CREATE DATABASE b; CREATE TABLE b.t (id INT);
         INSERT INTO b.t VALUES (1); CREATE DATABASE c; CREATE TABLE c.t (id INT)",
    );
    let dir = tempdir();
    let mut dump = Dump::full(&["a", "b", "c"]);
    dump.consistency = Consistency::PerDatabase;
    dump.program = stand_in(dir.path(), "case \"$PWD\" in */b) rm b.t.*sql.*;; esac");
    let result = dump.run(&server.admin()).await.unwrap();
    assert_eq!(result.complete, [true, false, true]);
    // Where it was read before it went, that is told as well.
    assert_eq!(
        result.parts[1].reasons[0],
        "mydumper ended with exit 0, but b.t has no data file"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_view_is_named() {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE gone (id INT); CREATE VIEW fine AS SELECT 1 AS a;
         CREATE VIEW broken AS SELECT * FROM gone; DROP TABLE gone",
    );
    let result = Dump::full(&["shop"]).run(&server.admin()).await.unwrap();
    assert_incomplete(
        &result,
        "view shop.broken is broken on the server and was left out: View 'shop.broken'",
    );
    assert_eq!(reasons(&result).len(), 1, "{:?}", reasons(&result));
}
