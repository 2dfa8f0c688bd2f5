//! A dump digests as its rows do.

use super::hasher::GATHERED_BYTES;
use super::*;

/// Rows as a server would yield them.
fn rows(rows: &[&[Option<&[u8]>]]) -> Content {
    let mut hasher = RowHasher::default();
    for row in rows {
        for value in *row {
            match value {
                None => hasher.null(),
                Some(bytes) => {
                    hasher.bytes(bytes);
                    hasher.end_value();
                }
            }
        }
        hasher.end_row();
    }
    hasher.content()
}

fn read(sql: &[u8]) -> FileContent {
    let whole = |size: usize| {
        let mut reader = ContentReader::new();
        sql.chunks(size).for_each(|piece| reader.feed(piece));
        reader.finish().unwrap()
    };
    let expected = whole(sql.len().max(1));
    for size in [1, 2, 3, 7, 64] {
        assert_eq!(whole(size), expected, "in pieces of {size}");
    }
    expected
}

#[test]
fn a_dump_digests_as_its_rows_do() {
    let plain: &[&[Option<&[u8]>]] = &[
        &[Some(b"1"), Some(b"it's \\ \"x\"\n\0\x1a"), None],
        &[Some(b"-2.50"), Some(b""), Some(b"NULL")],
    ];
    for sql in [
        "/*!40101 SET NAMES binary*/;\nINSERT INTO `t` VALUES\n(1,\"it\\'s \\\\ \\\"x\\\"\\n\\0\\Z\",NULL),\n(-2.50,\"\",\"NULL\");\n",
        "INSERT INTO `t` VALUES (-2.50,'','NULL');\nINSERT INTO `t` VALUES(1,'it''s \\\\ \"x\"\\n\\0\\Z',null)\n;",
        "REPLACE INTO t VALUES (1,CONVERT(\"it's \\\\ \\\"x\\\"\\n\\0\\Z\" USING UTF8MB4),NULL)\n,(-2.50,_binary \"\",\"NULL\"); -- (3)",
        "INSERT INTO t VALUES (1 /*),(*/,0x69742773205c202278220a001a,NULL),(-2.50,'',0x4e554c4c) ON DUPLICATE KEY UPDATE a=VALUES(a);",
    ] {
        let found = read(sql.as_bytes());
        assert_eq!(found.content, rows(plain), "{sql}");
        assert_eq!(found.columns, None, "{sql}");
    }
}

#[test]
fn a_zero_that_is_a_number_has_no_sign() {
    for (written, back) in [
        ("(1,-0),(2,-0.000)", "(1,0),(2,0.000)"),
        ("(1,-0 ),(2,1)", "(1,0),(2,1)"),
    ] {
        let (signed, plain) = (
            read(format!("INSERT INTO t VALUES {written};").as_bytes()),
            read(format!("INSERT INTO t VALUES {back};").as_bytes()),
        );
        assert_eq!(signed.content, plain.content, "{written}");
        assert!(signed.has_signed_zero && !plain.has_signed_zero);
    }
    for (one, other) in [
        ("(1,'-0')", "(1,'0')"),
        ("(1,-1)", "(1,1)"),
        ("(1,-0.001)", "(1,0.001)"),
        ("(1,-)", "(1,)"),
        ("(1,-0.0.0)", "(1,0.0.0)"),
        ("(1,-0e-5)", "(1,0e-5)"),
    ] {
        let (one, other) = (
            read(format!("INSERT INTO t VALUES {one};").as_bytes()),
            read(format!("INSERT INTO t VALUES {other};").as_bytes()),
        );
        assert_ne!(one.content, other.content);
        assert!(!one.has_signed_zero);
    }
}

#[test]
fn values_that_are_not_written_with_backslashes_are_noticed() {
    let other = |values: &str| read(format!("INSERT INTO t VALUES ({values});").as_bytes()).has_other_escapes;
    for usual in [
        r#"1,"it\'s \"x\" \\ \0\n\r\Z","	% _",NULL"#,
        r"'\'\\',CONVERT('x' USING UTF8MB4),0x27",
    ] {
        assert!(!other(usual), "{usual}");
    }
    for unusual in [
        r#""it''s""#,
        r#""a\b""#,
        r#""a\ ""#,
        r#""say ""x""""#,
        r#"'"'"#,
        r"'it''s'",
    ] {
        assert!(other(unusual), "{unusual}");
    }
    assert!(!read(br#"SELECT "it's"; INSERT INTO t VALUES ("x");"#).has_other_escapes);
}

#[test]
fn what_is_not_the_same_does_not_digest_the_same() {
    let of = |sql: &str| read(format!("INSERT INTO t VALUES {sql};").as_bytes()).content;
    let base = of("(1,'ab'),(2,'c')");
    assert_eq!(of("(2,'c'),(1,'ab')"), base);
    for other in [
        "(1,'ab')",
        "(1,'ab'),(2,'c'),(2,'c')",
        "(1,'ab'),(2,'d')",
        "(1,'a'),(2,'bc')",
        "('1a','b'),(2,'c')",
        "(1,'ab',''),(2,'c')",
        "(1,'ab'),(2,NULL)",
        "(1,'ab'),(2,'')",
        "(1,'c'),(2,'ab')",
    ] {
        assert_ne!(of(other), base, "{other}");
    }
    assert_ne!(of("('','a')"), of("('a','')"));
    assert_eq!(of("(1),(2)").and(of("(3)")), of("(3),(2),(1)"));
}

#[test]
fn named_columns_are_kept() {
    let sql = "INSERT INTO `d`.`t` (`a`,`we``ird`,`VALUES (`) VALUES\n(1,2,3),(4,5,6);";
    let found = read(sql.as_bytes());
    assert_eq!(
        found.columns,
        Some(vec!["a".to_owned(), "we`ird".to_owned(), "VALUES (".to_owned()])
    );
    assert_eq!(found.content.rows, 2);
    let mut reader = ContentReader::new();
    reader.feed(b"INSERT INTO t (`a`) VALUES (1);INSERT INTO t VALUES (1);");
    assert_eq!(reader.finish(), None);
}

#[test]
fn a_long_value_digests_as_a_short_one_does() {
    let long = vec![b'x'; 3 * GATHERED_BYTES + 17];
    let sql = [b"INSERT INTO t VALUES (1,\"".as_slice(), &long, b"\",2),(3,4,5);"].concat();
    let values: &[&[Option<&[u8]>]] = &[
        &[Some(b"1"), Some(&long), Some(b"2")],
        &[Some(b"3"), Some(b"4"), Some(b"5")],
    ];
    let digits: String = long.iter().map(|byte| format!("{byte:02x}")).collect();
    let hex = format!("INSERT INTO t VALUES (1,0x{digits},2),(3,4,5);").into_bytes();
    for sql in [sql, hex] {
        for size in [1000, 65_536, sql.len()] {
            let mut reader = ContentReader::new();
            sql.chunks(size).for_each(|piece| reader.feed(piece));
            assert_eq!(reader.finish().unwrap().content, rows(values));
        }
    }
}

proptest::proptest! {
    #[test]
    fn rows_are_seen_as_the_counter_sees_them(
        values in proptest::collection::vec(
            proptest::collection::vec(proptest::option::of(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..20)), 1..4),
            0..8,
        ),
    ) {
        let mut sql = b"/* x */ INSERT INTO `t` VALUES\n".to_vec();
        let mut hasher = RowHasher::default();
        for (number, row) in values.iter().enumerate() {
            sql.extend(if number > 0 { b",\n(".as_slice() } else { b"(" });
            for (column, value) in row.iter().enumerate() {
                if column > 0 {
                    sql.push(b',');
                }
                let Some(bytes) = value else {
                    sql.extend(b"NULL");
                    hasher.null();
                    continue;
                };
                sql.push(b'"');
                for byte in bytes {
                    match byte {
                        0 => sql.extend(b"\\0"),
                        b'\n' => sql.extend(b"\\n"),
                        26 => sql.extend(b"\\Z"),
                        b'"' | b'\'' | b'\\' => sql.extend([b'\\', *byte]),
                        other => sql.push(*other),
                    }
                }
                sql.push(b'"');
                hasher.bytes(bytes);
                hasher.end_value();
            }
            sql.push(b')');
            hasher.end_row();
        }
        sql.extend(b";\n");
        let found = read(&sql);
        proptest::prop_assert_eq!(found.content, hasher.content());
        let mut counter = crate::sql_rows::RowCounter::new();
        counter.feed(&sql);
        proptest::prop_assert_eq!(counter.rows(), found.content.rows);
    }
}
