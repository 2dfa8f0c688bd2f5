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
    /// Whether the first statement that sets nothing is an INSERT or REPLACE.
    opens_with_rows: Option<bool>,
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
            opens_with_rows: None,
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

    /// Whether the first statement, but for those that set what the session is like, is an INSERT or REPLACE; `None` until
    /// there is one.
    pub fn opens_with_rows(&self) -> Option<bool> {
        self.opens_with_rows
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
            self.opens_with_rows.get_or_insert(false);
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
        if self.statement == Statement::Unbegun && word != b"SET" {
            self.opens_with_rows
                .get_or_insert(matches!(word, b"INSERT" | b"REPLACE"));
        }
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
mod tests;
