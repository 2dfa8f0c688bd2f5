//! Dumps whose files mykeeper compresses as they finish.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::faults::{Mount, assert_incomplete, stand_in, stand_in_around};
use crate::support::{AWKWARD, AWKWARD_NAMES, Dump, Server, reasons, rows, tempdir};
use mykeeper_domain::job::Consistency;
use mykeeper_domain::packing::{PackFormat, Packing};
use mykeeper_tools::digest::digest_file;
use mykeeper_tools::mydumper::DumpResult;
use std::fs;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// With files of about a mebibyte.
fn packing(databases: &[&str], format: PackFormat, options: &[&str]) -> Dump {
    let mut all = vec!["triggers", "routines", "events", "threads=2"];
    all.extend(options);
    let mut dump = Dump::of(databases, &all);
    dump.packing = Some(Packing::of(format));
    dump.chunk_bytes = Some(MIB);
    dump
}

/// Every file is listed as it lies, and all but mydumper's own are packed.
fn assert_packed(dump: &Dump, result: &DumpResult, ending: &str) {
    for file in &result.files {
        let path = dump.set_dir.join(&file.path);
        let digest = digest_file(&path, &file.path, 0).unwrap();
        assert_eq!(
            (&digest.blake3, digest.plain_bytes, digest.stamp.size_bytes),
            (&file.blake3, file.plain_bytes, file.size_bytes),
            "{}",
            file.path
        );
        let rows = file.rows.unwrap_or(digest.rows);
        assert_eq!((digest.fault, digest.rows), (None, rows), "{}", file.path);
        let is_metadata = file.path.rsplit('/').next() == Some("metadata");
        assert!(is_metadata || file.path.ends_with(ending), "{}", file.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_set_holds_what_a_plain_one_does() {
    let server = Server::start_with(&["--sql-mode="]);
    server.sql(AWKWARD);
    server.sql("CREATE DATABASE last; USE last; CREATE TABLE empty_ms (id INT) ENGINE=MyISAM");
    let admin = server.admin();
    let mut names = AWKWARD_NAMES.to_vec();
    names.push("last");
    let plain = Dump::of(&names, &["triggers", "routines", "events", "threads=2"]);
    let plain_result = plain.run(&admin).await.unwrap();
    assert_eq!(reasons(&plain_result), [""; 0]);
    for (format, ending, consistency) in [
        (PackFormat::Gzip, ".gz", Consistency::All),
        (PackFormat::Zstd, ".zst", Consistency::PerDatabase),
    ] {
        // Statements of 20,000 bytes, of which some come to a mebibyte: several files of one table.
        let mut dump = packing(&names, format, &["statement-size=20000"]);
        dump.chunk_bytes = Some(100_000);
        dump.consistency = consistency;
        let result = dump.run(&admin).await.unwrap();
        assert_eq!(reasons(&result), [""; 0], "{format:?}");
        assert_packed(&dump, &result, ending);
        let listed: Vec<&str> = result.files.iter().map(|file| file.path.as_str()).collect();
        if consistency == Consistency::All {
            assert_eq!(listed, dump.names(), "nothing else is left");
        }
        let of_orders = listed.iter().filter(|path| path.contains("shop.orders.")).count();
        assert!(of_orders > 3, "{listed:?}");
        for (database, content) in &plain_result.inventory.databases {
            for (table, facts) in &content.tables {
                let packed = &result.inventory.databases[database].tables[table];
                assert_eq!(
                    (packed.rows, &packed.content),
                    (facts.rows, &facts.content),
                    "{database}.{table}, {format:?}"
                );
            }
        }
        assert!(
            result.command.contains("# compressed by mykeeper: "),
            "{}",
            result.command
        );
        assert_eq!(rows(&result.inventory, "last", "empty_ms"), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_packed_while_the_dump_goes_on() {
    let server = Server::start();
    server.sql(BIG);
    let admin = server.admin();
    let dir = tempdir();
    let mut dump = packing(&["big"], PackFormat::Gzip, &["build-empty-files"]);
    // It is done with its files, and not at its end.
    let waiting = "i=0; while [ ! -e go ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done; rm -f go";
    dump.program = stand_in(dir.path(), waiting);
    let (result, early) = tokio::join!(dump.run(&admin), async {
        let mut names = Vec::new();
        for _ in 0..3_000 {
            names = dump.names();
            let is_plain = |name: &String| name.ends_with(".sql") || name.ends_with(".packing");
            let plain = names.iter().filter(|name| is_plain(name)).count();
            // That of the empty table waits: mydumper could remove it.
            if names.iter().any(|name| name == "metadata") && plain == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        fs::write(dump.set_dir.join("go"), "").unwrap();
        names
    });
    let result = result.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    assert!(early.contains(&"big.empty.sql".to_owned()), "{early:?}");
    let packed = early.iter().filter(|name| name.ends_with(".gz")).count();
    assert!(packed > 10 && packed + 2 == early.len(), "{early:?}");
    assert_packed(&dump, &result, ".gz");
    assert_eq!(rows(&result.inventory, "big", "a_big"), Some(60_000));
}

/// Some ten files of a mebibyte.
const BIG: &str = "CREATE DATABASE big; USE big;
    CREATE TABLE a_big (id INT PRIMARY KEY, t VARCHAR(250));
    INSERT INTO a_big SELECT seq, CONCAT(MD5(seq), SHA2(seq, 256), SHA2(seq + 1, 256)) FROM seq_1_to_60000;
    CREATE TABLE empty (id INT);
    CREATE TABLE z_late (id INT PRIMARY KEY); INSERT INTO z_late VALUES (1);";

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_dies_in_mid_stream_leaves_a_list_of_what_lies_there() {
    let server = Server::start();
    server.sql(BIG);
    server.sql("INSERT INTO big.a_big SELECT id + 100000, t FROM big.a_big");
    server.sql("INSERT INTO big.a_big SELECT id + 200000, t FROM big.a_big");
    let admin = server.admin();
    let dir = tempdir();
    let mut dump = packing(&["big"], PackFormat::Gzip, &[]);
    let program = stand_in(dir.path(), ":");
    let script = fs::read_to_string(&program).unwrap();
    // Stopped when it is at its third file or so, killed when the first is packed.
    let killed = "\"$@\" & p=$!
        case \"$1\" in --version|--help) ;; *)
          while [ ! -e big.a_big.00003.sql ] && kill -0 $p; do :; done; kill -STOP $p
          i=0; while [ ! -e big.a_big.00001.sql.gz ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done
          kill -9 $p;; esac
        wait $p\n";
    fs::write(&program, script.replacen("\"$@\"\n", killed, 1)).unwrap();
    dump.program = program;
    let result = dump.run(&admin).await;
    let result = result.unwrap();
    assert_incomplete(&result, "mydumper ended with exit 137");
    let listed: Vec<&str> = result.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(listed, dump.names());
    let of_rows = || listed.iter().filter(|path| path.starts_with("big.a_big."));
    assert!(of_rows().any(|path| path.ends_with(".gz")), "{listed:?}");
    assert!(of_rows().any(|path| path.ends_with(".sql")), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_again_after_it_was_packed_is_no_whole_set() {
    let server = Server::start();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT); INSERT INTO shop.t VALUES (1)");
    let dir = tempdir();
    let mut dump = packing(&["shop"], PackFormat::Gzip, &[]);
    let again = "i=0; while [ ! -e shop.t.sql.gz ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done; \
                 echo 'INSERT INTO `t` VALUES (2);' >shop.t.sql";
    dump.program = stand_in(dir.path(), again);
    let result = dump.run(&server.admin()).await.unwrap();
    assert_incomplete(&result, "it was written again after it had been finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_has_room_only_when_compressed_is_held_up_and_whole() {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE wide; USE wide; CREATE TABLE t (id INT PRIMARY KEY, t VARCHAR(900));
         INSERT INTO t SELECT seq, CONCAT(seq, REPEAT('left with the neighbour ', 36)) FROM seq_1_to_60000",
    );
    let admin = server.admin();
    let Some(mount) = Mount::tmpfs("size=24m") else {
        return;
    };
    // More than 50 MB plain.
    let mut dump = packing(&["wide"], PackFormat::Gzip, &["statement-size=100000"]);
    dump.set_dir = mount.path().to_owned();
    // Slow at first: it is not held up until it has surely given back its lock.
    let dir = tempdir();
    let program = stand_in(dir.path(), ":");
    let script = fs::read_to_string(&program).unwrap();
    let call = script.lines().find(|line| line.ends_with(" \"$@\"")).unwrap();
    let slow = "case \"$1\" in --version|--help) ;; *)
          (while [ ! -e wide.t.00003.sql ] && kill -0 $$; do :; done
          kill -STOP $$; sleep 2.5; kill -CONT $$) >/dev/null 2>&1 & ;; esac
        exec ";
    fs::write(&program, script.replacen(call, &format!("{slow}{call}"), 1)).unwrap();
    dump.program = program;
    let result = dump.run(&admin).await.unwrap();
    assert_eq!(reasons(&result), [""; 0], "{}", dump.log.text());
    assert!(result.files.iter().map(|file| file.plain_bytes).sum::<u64>() > 50_000_000);
    assert!(
        dump.log.text().contains("mydumper is held up, as "),
        "{}",
        dump.log.text()
    );
    assert_packed(&dump, &result, ".gz");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_a_table_that_is_cut_says_how_its_rows_are_written() {
    let server = Server::start();
    // In one of these the last row alone goes into a file of its own.
    let tables: String = (10..24)
        .map(|rows| {
            format!(
                "CREATE TABLE cut.t{rows} (at TIMESTAMP, v CHAR(90)); \
                 INSERT INTO cut.t{rows} SELECT '2026-01-01', REPEAT('x', 90) FROM seq_1_to_{rows}; "
            )
        })
        .collect();
    server.sql(&format!("CREATE DATABASE cut; USE cut; {tables}"));
    let mut dump = packing(&["cut"], PackFormat::Gzip, &["statement-size=500"]);
    dump.chunk_bytes = Some(500);
    let result = dump.run(&server.admin()).await.unwrap();
    assert_eq!(reasons(&result), [""; 0]);
    assert_packed(&dump, &result, ".gz");
    let of_rows = || result.files.iter().filter(|file| file.rows.is_some());
    assert!(of_rows().any(|file| file.rows == Some(1)), "{:?}", result.files);
    for file in of_rows() {
        let text = digest_file(&dump.set_dir.join(&file.path), &file.path, 4096)
            .unwrap()
            .text
            .unwrap();
        assert!(
            text.starts_with(b"/*!40101 SET NAMES binary*/;\n"),
            "{}",
            file.path
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_mydumper_leaves_without_their_head_are_named_or_mended() {
    let server = Server::start();
    server.sql(
        "CREATE DATABASE cut; USE cut; CREATE TABLE t (id INT, s LONGTEXT); \
         INSERT INTO t VALUES (1, REPEAT('a', 600000)), (2, REPEAT('b', 600000)), (3, REPEAT('c', 600000))",
    );
    let admin = server.admin();
    for format in [None, Some(PackFormat::Gzip)] {
        let mut dump = Dump::of(&["cut"], &["threads=1"]);
        dump.chunk_bytes = Some(MIB);
        dump.packing = format.map(Packing::of);
        let result = dump.run(&admin).await.unwrap();
        assert_eq!(reasons(&result), [""; 0], "{format:?}");
        let told: Vec<&String> = result
            .warnings
            .iter()
            .filter(|warning| warning.contains("without the time zone"))
            .collect();
        assert_eq!(
            told.len(),
            usize::from(format.is_none()),
            "{:?} {:?}",
            result.warnings,
            dump.names()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_rows_that_goes_while_others_are_dumped_is_no_whole_set() {
    let server = Server::start();
    server.sql(BIG);
    server.sql("INSERT INTO big.a_big SELECT id + 100000, t FROM big.a_big");
    let admin = server.admin();
    for (format, number, ending) in [
        (Some(PackFormat::Gzip), "00003", ".gz"),
        (None, "00003", ""),
        // No gap shows that this one was there.
        (Some(PackFormat::Zstd), "last", ".zst"),
    ] {
        let dir = tempdir();
        let mut dump = packing(&["big"], PackFormat::Gzip, &[]);
        dump.packing = format.map(Packing::of);
        // mydumper has written all, and not ended.
        let taken = format!(
            "n={number}; if [ $n = last ]; then n=$(ls | sed -n 's/^big.a_big.\\([0-9]*\\).sql.*/\\1/p' | sort | tail -n 1); fi
             f=big.a_big.$n.sql{ending}; i=0
             while [ ! -e $f ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done
             rm $f"
        );
        dump.program = stand_in(dir.path(), &taken);
        let result = dump.run(&admin).await.unwrap();
        let told = reasons(&result);
        assert_eq!(result.complete, [false], "{told:?}");
        // A plain one may have gone before it was read.
        let lost = format!("sql{ending} was finished with ");
        assert!(
            format.is_none() || told.iter().any(|reason| reason.contains(&lost)),
            "{told:?}"
        );
        let gap = "of the data files of big.a_big number 3 is missing, where number 4 is there";
        let has_gap = told.iter().any(|reason| reason.contains(gap));
        assert_eq!(has_gap, number != "last", "{told:?}");
    }
}

/// A client library that passes over the init-command leaves mydumper in the server's own mode.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_in_a_mode_that_nobody_reads_it_in_is_refused() {
    let server = Server::start_with(&["--sql-mode=NO_BACKSLASH_ESCAPES"]);
    let admin = server.admin();
    let dir = tempdir();
    let deaf = stand_in_around(
        dir.path(),
        "sed -i /^init-command/d \"${1#--defaults-file=}\"",
        ":",
    );
    for (value, is_seen) in [("it''s", true), ("a\\b", true), ("plain", false)] {
        server.sql(&format!(
            "CREATE OR REPLACE DATABASE d; CREATE TABLE d.t (v TEXT); INSERT INTO d.t VALUES ('{value}')"
        ));
        let mut dump = Dump::of(&["d"], &["threads=2"]);
        let result = dump.run(&admin).await.unwrap();
        assert_eq!(reasons(&result), [""; 0], "{value}");
        dump = Dump::of(&["d"], &["threads=2"]);
        dump.program.clone_from(&deaf);
        let result = dump.run(&admin).await.unwrap();
        assert_eq!(result.complete, [!is_seen], "{value}");
        if is_seen {
            assert_incomplete(&result, "mydumper's sessions had the mode NO_BACKSLASH_ESCAPES");
        }
    }
}
