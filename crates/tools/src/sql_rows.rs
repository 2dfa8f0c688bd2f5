//! Counts the rows in the INSERT statements of a dump's data file, as its bytes stream by.
//!
//! Knows just as much SQL as decides what a row is: strings in `'` or `"` with backslashes and doubled quotes,
//! names in backticks, three kinds of comment, nested parentheses. A row is a parenthesis that opens outside all
//! others after the word VALUES of an INSERT or REPLACE.
//!
//! Nearly all of a dump is rows, and they are taken sixty-four bytes at a time where that is plain (`block`); all else,
//! and every block with anything unusual in it, goes byte by byte.

mod block;

use block::{BLOCK_BYTES, Place, Refused};

/// What the bytes at hand belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// No string, name or comment.
    Code,
    /// A string, up to this quote.
    Text(u8),
    /// The byte after a backslash in a string, which has no meaning of its own.
    Escaped(u8),
    /// A name in backticks.
    Name,
    /// A comment up to the end of the line.
    LineComment,
    /// `/* */`; true when the last byte was a star.
    BlockComment(bool),
}

/// How far the statement at hand has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Statement {
    /// Nothing of it but space and comments.
    Unbegun,
    /// An INSERT or REPLACE before its VALUES.
    Insert,
    /// An INSERT or REPLACE after its VALUES.
    Values,
    /// Any other.
    Other,
}

/// The longest word that means anything here: `REPLACE`.
const WORD_BYTES: usize = 7;

/// Bytes that change something, in code.
const CODE: [bool; 256] = marked(b"'\"`(),;/*-#");

const fn marked(bytes: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
}

/// Counts rows. Feed it the whole file, in pieces of any size.
#[derive(Clone, Debug)]
pub struct RowCounter {
    within: Within,
    statement: Statement,
    depth: u32,
    /// The byte before, when it may begin a comment (`/`, `-`), or the two before were `--`.
    last: u8,
    dashes: u8,
    word: [u8; WORD_BYTES],
    word_len: usize,
    rows: u64,
    inserts: u64,
    /// The kind of quotes that blocks are expected to have.
    quote: u8,
}

impl Default for RowCounter {
    fn default() -> Self {
        Self::new()
    }
}

impl RowCounter {
    /// A counter at the beginning of a file.
    pub fn new() -> Self {
        Self {
            within: Within::Code,
            statement: Statement::Unbegun,
            depth: 0,
            last: 0,
            dashes: 0,
            word: [0; WORD_BYTES],
            word_len: 0,
            rows: 0,
            inserts: 0,
            quote: b'"',
        }
    }

    /// Rows seen so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// INSERT and REPLACE statements seen so far.
    pub fn inserts(&self) -> u64 {
        self.inserts
    }

    /// Whether the bytes so far end where a statement does: not within a string, a row or a statement.
    pub fn at_boundary(&self) -> bool {
        matches!(self.within, Within::Code | Within::LineComment)
            && self.statement == Statement::Unbegun
            && self.depth == 0
            && self.word_len == 0
    }

    /// Takes the next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        let (blocks, rest) = bytes.as_chunks();
        for block in blocks {
            if !self.take_block(block) {
                self.take_bytes(block);
            }
        }
        self.take_bytes(rest);
    }

    /// Takes a block of rows at once; `false`, and nothing has changed, where it must be taken byte by byte.
    #[inline]
    fn take_block(&mut self, bytes: &[u8; BLOCK_BYTES]) -> bool {
        let is_among_rows =
            self.statement == Statement::Values && (self.last, self.dashes, self.word_len) == (0, 0, 0);
        let (text, escaped) = match self.within {
            Within::Code => (None, false),
            Within::Text(quote) => (Some(quote), false),
            Within::Escaped(quote) => (Some(quote), true),
            _ => return false,
        };
        if !is_among_rows {
            return false;
        }
        self.quote = text.unwrap_or(self.quote);
        match block::take(
            bytes,
            self.quote,
            Place {
                in_text: text.is_some(),
                escaped,
                depth: self.depth,
                rows: self.rows,
            },
        ) {
            Ok(place) => {
                self.within = match (place.in_text, place.escaped) {
                    (false, _) => Within::Code,
                    (true, false) => Within::Text(self.quote),
                    (true, true) => Within::Escaped(self.quote),
                };
                (self.depth, self.rows) = (place.depth, place.rows);
                true
            }
            Err(Refused::OtherQuote) => {
                self.quote = if self.quote == b'"' { b'\'' } else { b'"' };
                false
            }
            Err(Refused::Unclear) => false,
        }
    }

    fn take_bytes(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() {
            at = match self.within {
                Within::Code if self.depth > 0 => self.row(bytes, at),
                Within::Code => self.outside(bytes, at),
                Within::Text(quote) => self.text(bytes, at, quote),
                Within::Escaped(quote) => {
                    self.within = Within::Text(quote);
                    at + 1
                }
                Within::Name => match find(bytes, at, |byte| byte == b'`') {
                    Some(end) => {
                        self.within = Within::Code;
                        end + 1
                    }
                    None => bytes.len(),
                },
                Within::LineComment => match find(bytes, at, |byte| byte == b'\n') {
                    Some(end) => {
                        self.within = Within::Code;
                        end + 1
                    }
                    None => bytes.len(),
                },
                Within::BlockComment(star) => {
                    let byte = bytes[at];
                    self.within = if star && byte == b'/' {
                        Within::Code
                    } else {
                        Within::BlockComment(byte == b'*')
                    };
                    at + 1
                }
            };
        }
    }

    /// Within a row or a list of columns: most bytes mean nothing.
    fn row(&mut self, bytes: &[u8], mut at: usize) -> usize {
        if self.last == 0 && self.dashes == 0 {
            match find(bytes, at, |byte| CODE[byte as usize]) {
                Some(next) => at = next,
                None => return bytes.len(),
            }
        }
        self.code_byte(bytes[at]);
        at + 1
    }

    /// Between rows and statements: words count.
    fn outside(&mut self, bytes: &[u8], at: usize) -> usize {
        let byte = bytes[at];
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 {
            if self.word_len < WORD_BYTES {
                self.word[self.word_len] = byte.to_ascii_uppercase();
            }
            self.word_len = (self.word_len + 1).min(WORD_BYTES + 1);
            self.last = 0;
            self.dashes = 0;
        } else {
            self.end_word();
            self.code_byte(byte);
        }
        at + 1
    }

    fn text(&mut self, bytes: &[u8], at: usize, quote: u8) -> usize {
        match find(bytes, at, |byte| byte == quote || byte == b'\\') {
            Some(end) if bytes[end] == quote => {
                // A doubled quote ends one string and begins the next, which comes to the same.
                self.within = Within::Code;
                end + 1
            }
            Some(end) => {
                self.within = Within::Escaped(quote);
                end + 1
            }
            None => bytes.len(),
        }
    }

    fn code_byte(&mut self, byte: u8) {
        let (last, dashes) = (self.last, self.dashes);
        (self.last, self.dashes) = (0, 0);
        if dashes == 2 && byte <= b' ' {
            self.within = if byte == b'\n' {
                Within::Code
            } else {
                Within::LineComment
            };
            return;
        }
        if byte > b' '
            && self.statement == Statement::Unbegun
            && !matches!(byte, b';' | b'#' | b'/' | b'-' | b'*')
        {
            self.statement = Statement::Other;
        }
        match byte {
            b'\'' | b'"' => self.within = Within::Text(byte),
            b'`' => self.within = Within::Name,
            b'#' => self.within = Within::LineComment,
            b'-' => self.dashes = (dashes + 1).min(2),
            b'/' => self.last = b'/',
            b'*' if last == b'/' => self.within = Within::BlockComment(false),
            b'(' => {
                if self.depth == 0 && self.statement == Statement::Values {
                    self.rows += 1;
                }
                self.depth += 1;
            }
            b')' => self.depth = self.depth.saturating_sub(1),
            b';' if self.depth == 0 => self.statement = Statement::Unbegun,
            _ => {}
        }
    }

    fn end_word(&mut self) {
        if self.word_len == 0 {
            return;
        }
        let word = self.word.get(..self.word_len).unwrap_or_default();
        self.statement = match (self.statement, word) {
            (Statement::Unbegun, b"INSERT" | b"REPLACE") => {
                self.inserts += 1;
                Statement::Insert
            }
            (Statement::Unbegun, _) => Statement::Other,
            (Statement::Insert, b"VALUES" | b"VALUE") => Statement::Values,
            // What follows the rows of an upsert is no row.
            (Statement::Values, b"ON") => Statement::Other,
            (statement, _) => statement,
        };
        self.word_len = 0;
    }
}

fn find(bytes: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    bytes
        .get(from..)?
        .iter()
        .position(|byte| wanted(*byte))
        .map(|at| from + at)
}

#[cfg(test)]
mod tests {
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
            inserts,
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
}
