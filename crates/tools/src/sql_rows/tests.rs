use super::*;

fn count(sql: &[u8]) -> u64 {
    let mut whole = RowCounter::new();
    whole.feed(sql);
    for size in [1, 2, 3, 7, 64, 65, 200] {
        let mut pieces = RowCounter::new();
        sql.chunks(size).for_each(|chunk| pieces.feed(chunk));
        assert_eq!(pieces.rows(), whole.rows(), "in pieces of {size}");
        assert_eq!(pieces.at_boundary(), whole.at_boundary(), "in pieces of {size}");
    }
    whole.rows()
}

#[test]
fn rows_are_counted_as_the_server_would() {
    for (sql, rows) in [
        ("", 0),
        (
            "/*!40101 SET NAMES binary*/;\nINSERT INTO `t` VALUES\n(1,\"a\"),\n(2,\"b\");\n",
            2,
        ),
        ("INSERT INTO `t` VALUES(1,\"a\")\n,(2,\"b\")\n;\n", 2),
        ("INSERT INTO `gen` (`a`,`VALUES (`) VALUES\n(1),\n(2),(3);", 3),
        (
            r#"INSERT INTO t VALUES ("a),(b"),('it''s ),(\' x'),("\\"),("""),(");"#,
            4,
        ),
        (
            "INSERT INTO t VALUES (CONVERT(\"{\\\"a\\\":[1,(2)]}\" USING UTF8MB4)),(NULL);",
            2,
        ),
        (
            "INSERT IGNORE INTO t VALUES (-1),(- -1),(1--1),(5 /*),(*/);REPLACE INTO t VALUES(1)",
            5,
        ),
        ("-- INSERT INTO t VALUES (1),(2)\nINSERT INTO t VALUES (3);", 1),
        ("# ),(\nINSERT INTO t VALUES (3) -- ,(4)\n,(5);", 2),
        ("CREATE TABLE t (a INT DEFAULT (1), b INT) /* VALUES (1) */;", 0),
        (
            "SET @a='INSERT INTO t VALUES (1)'; insert into t values (1) on duplicate key update a=values(a);",
            1,
        ),
        ("SELECT INSERT('a',1,1,'b'); VALUES (1);", 0),
    ] {
        assert_eq!(count(sql.as_bytes()), rows, "{sql}");
    }
}

#[test]
fn every_byte_may_stand_in_a_blob() {
    let mut sql = b"INSERT INTO `b` VALUES\n(1,\"".to_vec();
    for byte in 0..=255_u8 {
        match byte {
            b'"' | b'\\' | b'\'' => sql.extend([b'\\', byte]),
            0 => sql.extend(b"\\0"),
            other => sql.push(other),
        }
    }
    sql.extend(b"\"),\n(2,NULL);\n");
    assert_eq!(count(&sql), 2);
}

#[test]
fn a_cut_file_does_not_end_at_a_boundary() {
    for (sql, boundary) in [
        ("INSERT INTO t VALUES (1);\n", true),
        ("INSERT INTO t VALUES (1);\n-- end", true),
        ("INSERT INTO t VALUES (1),", false),
        ("INSERT INTO t VALUES (1);\nINSERT INTO t VALUES (\"a", false),
        ("INSERT INTO t VALUES (1);\nINSE", false),
        ("", true),
    ] {
        let mut counter = RowCounter::new();
        counter.feed(sql.as_bytes());
        assert_eq!(counter.at_boundary(), boundary, "{sql}");
    }
}

/// By the way that knows no blocks.
fn byte_by_byte(sql: &[u8]) -> RowCounter {
    let mut counter = RowCounter::new();
    counter.take_bytes(sql);
    counter
}

/// All that decides how it goes on.
fn state(counter: &RowCounter) -> impl PartialEq + std::fmt::Debug {
    let RowCounter {
        within,
        statement,
        depth,
        last,
        dashes,
        word,
        word_len,
        rows,
        inserts,
        opens_with_rows,
        quote: _,
    } = *counter;
    let word = word.get(..word_len).map(<[u8]>::to_vec);
    (
        within,
        statement,
        depth,
        last,
        dashes,
        (word, word_len),
        rows,
        (inserts, opens_with_rows),
    )
}

#[test]
fn rows_as_mydumper_writes_them_go_in_blocks() {
    for quote in ["\"", "'"] {
        let row = "(17,-1.5,NULL,CONVERT(\"{\\\"a\\\":[1,(2)]}\" USING UTF8MB4),\"2024-01-01\",\"it\\'s \\\\ -- /*;#`\"),\n";
        let sql = format!("INSERT INTO `t` VALUES\n{}", row.repeat(50).replace('"', quote));
        let mut counter = RowCounter::new();
        let (head, rows) = sql.as_bytes().split_at(64);
        counter.feed(head);
        let (blocks, rest) = rows.as_chunks();
        let byte_by_byte = blocks
            .iter()
            .filter(|block| {
                let is_taken = counter.take_block(block);
                if !is_taken {
                    counter.take_bytes(*block);
                }
                !is_taken
            })
            .count();
        counter.take_bytes(rest);
        assert_eq!(counter.rows(), 50);
        // A block that ends with a minus, and the one behind it; one until the kind of quotes is known.
        assert!(
            byte_by_byte <= 4,
            "{byte_by_byte} of {} blocks with {quote}",
            blocks.len()
        );
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(CASES))]
    #[test]
    fn blocks_and_bytes_agree_on_anything(
        head in 0..4_usize,
        parts in proptest::collection::vec((0..PARTS.len(), 1..4_usize), 0..120),
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
        noise_at in 0..120_usize,
        sizes in proptest::collection::vec(proptest::prop_oneof![1..400_usize, proptest::prelude::Just(64)], 1..6),
    ) {
        let mut sql = ["", "INSERT INTO t VALUES ", "INSERT INTO t VALUES (1),(\"", "REPLACE INTO `t` VALUES\n('"][head].as_bytes().to_vec();
        for (index, (part, times)) in parts.iter().enumerate() {
            if index == noise_at {
                sql.extend(&noise);
            }
            sql.extend(PARTS[*part].repeat(*times).bytes());
        }
        let mut counter = RowCounter::new();
        let mut rest = sql.as_slice();
        for size in sizes.iter().cycle() {
            let (piece, behind) = rest.split_at((*size).min(rest.len()));
            counter.feed(piece);
            let so_far = byte_by_byte(&sql[..sql.len() - behind.len()]);
            proptest::prop_assert_eq!(state(&counter), state(&so_far));
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
    }
}

#[test]
fn blocks_and_bytes_agree_wherever_a_block_ends() {
    let parts = PARTS.iter().filter(|part| part.len() < 8);
    for (first, second) in parts
        .clone()
        .flat_map(|first| parts.clone().map(move |second| (first, second)))
    {
        // The first block is not taken at once: it begins the statement.
        for before in 95..107 {
            let sql = format!(
                "INSERT INTO t VALUES (\n{}{first}{second}\"),(1),(\"{before:90}",
                "1".repeat(before)
            );
            let mut counter = RowCounter::new();
            let mut fed = 0;
            for piece in sql.as_bytes().chunks(64) {
                counter.feed(piece);
                fed += piece.len();
                let so_far = byte_by_byte(&sql.as_bytes()[..fed]);
                assert_eq!(state(&counter), state(&so_far), "at {fed} of {sql}");
            }
        }
    }
}

const CASES: u32 = 2_000;

const PARTS: &[&str] = &[
    "(",
    ")",
    "),\n(",
    ",",
    "\n",
    " ",
    ";",
    "\"",
    "'",
    "`",
    "\\",
    "\\\\",
    "\\\"",
    "\"\"",
    "-",
    "--",
    "-- ",
    "/",
    "*",
    "/*",
    "*/",
    "#",
    "x",
    "1",
    "NULL",
    "\"plain text of some length\",",
    "'it''s',",
    "(1,\"a\"),\n",
    "(-1,'b')\n,",
    "王",
    "ON ",
    "VALUES",
    "INSERT INTO t VALUES\n",
    ";\nINSERT INTO t VALUES\n(",
    "0123456789012345678901234567890123456789012345678901234567890123",
];
