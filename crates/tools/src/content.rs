//! A digest of a table's rows that does not depend on their order, nor on how a dump cuts and quotes them.
//!
//! Made from the INSERT statements of a dump's data files as their bytes stream by, and from the rows that a restored
//! table yields; the two are equal when every value of every row came back. Each row is digested by itself (BLAKE3,
//! first 128 bits) and the digests are added up, so that a row that is missing, changed or there twice shows, and the
//! order in which rows come does not.
//!
//! Values are the bytes of the server's text protocol under `SET NAMES binary`, which is what mydumper writes between
//! quotes: the number of bytes is digested behind the bytes, so that two neighbours cannot be taken for one. A zero of a
//! column of numbers is digested without its sign: MySQL prints the -0 of a DOUBLE as it is, mydumper writes it without
//! quotes, and there it is the integer 0.

mod hasher;

pub use hasher::Content;
pub(crate) use hasher::{RowHasher, unsigned_zero};

use memchr::{memchr, memchr3};

/// Digits of `0x...` (the option `hex-blob`) gathered before they are digested.
const HEX_BYTES: usize = 64 * 1024;
/// Bytes kept of a name; no server takes more than 64 characters.
const NAME_BYTES: usize = 1024;
/// Bytes kept of a word outside of rows.
const WORD_BYTES: usize = 16;
/// Columns of a statement; no server takes more.
const MAX_COLUMNS: usize = 8192;
const NULL: &[u8] = b"NULL";

/// What the bytes at hand belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Code,
    /// A string, up to this quote.
    Text(u8),
    /// Behind a backslash in a string.
    Escaped(u8),
    /// Behind a quote in a string: its end, or the first of two that mean one.
    Quote(u8),
    /// A name in backticks.
    Name,
    LineComment,
    /// True when the last byte was a star.
    BlockComment(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Statement {
    Unbegun,
    Insert,
    Values,
    Other,
}

/// What is known of the value at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// Nothing yet but words, which are kept.
    Words,
    /// There was a string in it: words around it, like `CONVERT( USING UTF8MB4)`, are not part of the value.
    Text,
    /// Digits behind `0x`, of which some have been digested.
    Hex,
}

/// Digests the rows of the INSERT statements of a data file. Feed it the whole file, in pieces of any size.
#[derive(Debug)]
pub struct ContentReader {
    within: Within,
    statement: Statement,
    depth: u32,
    /// The byte before, when it may begin a comment.
    last: u8,
    /// A word outside of strings: of the statement's head, or a value.
    word: Vec<u8>,
    value: Value,
    hasher: RowHasher,
    /// The columns that an INSERT names, and the name at hand.
    columns: Vec<Vec<u8>>,
    name: Vec<u8>,
    /// Two INSERT statements of the file name their columns differently.
    mixed: bool,
    named: Option<Vec<Vec<u8>>>,
    has_signed_zero: bool,
    has_other_escapes: bool,
}

impl Default for ContentReader {
    fn default() -> Self {
        Self::new()
    }
}

/// What a file's rows are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileContent {
    /// The sum of its rows.
    pub content: Content,
    /// The columns that its statements name; `None` where they name none.
    pub columns: Option<Vec<String>>,
    /// A number in them is -0, which comes back as 0.
    pub has_signed_zero: bool,
    /// Values are quoted as no client library quotes them for a session that goes by backslashes: what they mean here is
    /// not what they meant to the server.
    pub has_other_escapes: bool,
}

impl ContentReader {
    /// A reader at the beginning of a file.
    pub fn new() -> Self {
        Self {
            within: Within::Code,
            statement: Statement::Unbegun,
            depth: 0,
            last: 0,
            word: Vec::new(),
            value: Value::Words,
            hasher: RowHasher::default(),
            columns: Vec::new(),
            name: Vec::new(),
            mixed: false,
            named: None,
            has_signed_zero: false,
            has_other_escapes: false,
        }
    }

    /// What the file holds; `None` when its statements do not agree about their columns, so that no one question to
    /// the restored table yields the same rows.
    pub fn finish(self) -> Option<FileContent> {
        if self.mixed {
            return None;
        }
        let names = self.named.unwrap_or_default();
        let columns: Option<Vec<String>> = names
            .into_iter()
            .map(|name| String::from_utf8(name).ok())
            .collect();
        Some(FileContent {
            content: self.hasher.content(),
            columns: columns.filter(|columns| !columns.is_empty()),
            has_signed_zero: self.has_signed_zero,
            has_other_escapes: self.has_other_escapes,
        })
    }

    /// Takes the next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self.within {
                Within::Code if self.in_row() => self.row(rest),
                Within::Code => self.head(rest),
                Within::Text(quote) => self.text(rest, quote),
                Within::Escaped(quote) => {
                    self.escaped(rest[0], quote);
                    1
                }
                Within::Quote(quote) => self.quote(rest[0], quote),
                Within::Name => self.in_name(rest),
                Within::LineComment => match memchr(b'\n', rest) {
                    Some(end) => {
                        self.within = Within::Code;
                        end + 1
                    }
                    None => rest.len(),
                },
                Within::BlockComment(star) => {
                    self.within = if star && rest[0] == b'/' {
                        Within::Code
                    } else {
                        Within::BlockComment(rest[0] == b'*')
                    };
                    1
                }
            };
        }
    }

    fn in_row(&self) -> bool {
        self.statement == Statement::Values && self.depth > 0
    }

    /// Of a row, outside of strings. Yields how many bytes were taken.
    fn row(&mut self, bytes: &[u8]) -> usize {
        let plain = bytes
            .iter()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'+' | b'_'))
            .unwrap_or(bytes.len());
        if plain > 0 {
            self.word_bytes(&bytes[..plain]);
            return plain;
        }
        let (byte, last) = (bytes[0], self.last);
        self.last = 0;
        match byte {
            b',' if self.depth == 1 => self.end_value(),
            b'(' => self.depth += 1,
            b')' => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.end_value();
                    self.hasher.end_row();
                }
            }
            b'\'' | b'"' => {
                self.value = Value::Text;
                self.within = Within::Text(byte);
            }
            b'`' => self.begin_name(),
            b'-' => self.word_bytes(b"-"),
            b'#' => self.within = Within::LineComment,
            b'/' => self.last = b'/',
            b'*' if last == b'/' => self.within = Within::BlockComment(false),
            byte if byte.is_ascii_whitespace() => {
                // "-- " is a comment: what looked like the beginning of a number was none.
                if self.word.ends_with(b"--") {
                    self.word.truncate(self.word.len() - 2);
                    if byte != b'\n' {
                        self.within = Within::LineComment;
                    }
                }
            }
            other => self.word_bytes(&[other]),
        }
        1
    }

    fn word_bytes(&mut self, bytes: &[u8]) {
        self.last = 0;
        if self.value == Value::Text {
            return;
        }
        self.word.extend_from_slice(bytes);
        if self.word.len() < HEX_BYTES {
            return;
        }
        // A long word is hexadecimal, or damage: in both cases it need not be kept.
        if self.value == Value::Words && self.word.starts_with(b"0x") {
            self.word.drain(..2);
            self.value = Value::Hex;
        }
        let digested = match self.value {
            Value::Hex => self.word.len() / 2 * 2,
            _ => self.word.len(),
        };
        let rest = self.word.split_off(digested);
        let word = std::mem::replace(&mut self.word, rest);
        match unhex(&word).filter(|_| self.value == Value::Hex) {
            Some(bytes) => self.hasher.bytes(&bytes),
            None => self.hasher.bytes(&word),
        }
    }

    /// A value ends, by a comma or with its row.
    fn end_value(&mut self) {
        match self.value {
            Value::Text => self.hasher.end_value(),
            Value::Hex => {
                match unhex(&self.word) {
                    Some(bytes) => self.hasher.bytes(&bytes),
                    None => self.hasher.bytes(&self.word),
                }
                self.hasher.end_value();
            }
            Value::Words if self.word.eq_ignore_ascii_case(NULL) => self.hasher.null(),
            Value::Words => {
                match self.word.strip_prefix(b"0x").and_then(unhex) {
                    Some(bytes) => self.hasher.bytes(&bytes),
                    None => {
                        let number = unsigned_zero(&self.word);
                        self.has_signed_zero |= number.len() < self.word.len();
                        self.hasher.bytes(number);
                    }
                }
                self.hasher.end_value();
            }
        }
        self.word.clear();
        self.value = Value::Words;
    }

    fn text(&mut self, bytes: &[u8], quote: u8) -> usize {
        let other = if quote == b'"' { b'\'' } else { b'"' };
        let end = memchr3(quote, b'\\', other, bytes).unwrap_or(bytes.len());
        if self.in_row() {
            self.hasher.bytes(&bytes[..end]);
        }
        match bytes.get(end) {
            None => end,
            // Both quotes get a backslash, whichever of them is around.
            Some(byte) if *byte == other => {
                if self.in_row() {
                    self.has_other_escapes = true;
                    self.hasher.bytes(&[other]);
                }
                end + 1
            }
            Some(b'\\') => {
                self.within = Within::Escaped(quote);
                end + 1
            }
            Some(_) => {
                self.within = Within::Quote(quote);
                end + 1
            }
        }
    }

    fn escaped(&mut self, byte: u8, quote: u8) {
        self.within = Within::Text(quote);
        if !self.in_row() {
            return;
        }
        // Libraries know no other, but that one may escape what begins no whole character.
        self.has_other_escapes |=
            byte.is_ascii() && !matches!(byte, b'0' | b'n' | b'r' | b'Z' | b'\\' | b'\'' | b'"');
        match byte {
            b'0' => self.hasher.bytes(&[0]),
            b'n' => self.hasher.bytes(b"\n"),
            b'r' => self.hasher.bytes(b"\r"),
            b't' => self.hasher.bytes(b"\t"),
            b'b' => self.hasher.bytes(&[8]),
            b'Z' => self.hasher.bytes(&[26]),
            // These keep their backslash, for LIKE.
            b'%' | b'_' => self.hasher.bytes(&[b'\\', byte]),
            other => self.hasher.bytes(&[other]),
        }
    }

    fn quote(&mut self, byte: u8, quote: u8) -> usize {
        if byte == quote {
            self.within = Within::Text(quote);
            if self.in_row() {
                self.has_other_escapes = true;
                self.hasher.bytes(&[quote]);
            }
            1
        } else {
            self.within = Within::Code;
            0
        }
    }

    fn begin_name(&mut self) {
        self.within = Within::Name;
        self.name.clear();
    }

    fn in_name(&mut self, bytes: &[u8]) -> usize {
        let end = memchr(b'`', bytes).unwrap_or(bytes.len());
        // No name is longer: what looks like one is damage, and need not be kept.
        let room = NAME_BYTES.saturating_sub(self.name.len());
        self.name.extend_from_slice(&bytes[..end.min(room)]);
        if end == bytes.len() {
            return end;
        }
        self.within = Within::Code;
        // A doubled backtick ends one name and begins the next, which has what came before in it: see `end_name`.
        if self.statement == Statement::Insert && self.depth == 1 {
            self.end_name();
        }
        end + 1
    }

    /// A name of the list of columns. Of two backticks within a name the second begins another part of it.
    fn end_name(&mut self) {
        let name = std::mem::take(&mut self.name);
        let has_room = self.columns.len() < MAX_COLUMNS;
        match self.columns.last_mut() {
            Some(before) if self.last == b'`' => {
                before.push(b'`');
                before.extend(name);
            }
            _ if has_room => self.columns.push(name),
            _ => self.mixed = true,
        }
        self.last = b'`';
    }

    /// Outside of rows: the words of statements.
    fn head(&mut self, bytes: &[u8]) -> usize {
        let byte = bytes[0];
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 {
            // A longer word means nothing here.
            if self.word.len() < WORD_BYTES {
                self.word.push(byte.to_ascii_uppercase());
            }
            self.last = 0;
            return 1;
        }
        self.end_word();
        let last = self.last;
        if byte != b'`' {
            self.last = 0;
        }
        match byte {
            b'\'' | b'"' => {
                self.begin_other();
                self.within = Within::Text(byte);
            }
            b'`' => {
                self.begin_other();
                self.begin_name();
            }
            b'#' => self.within = Within::LineComment,
            b'-' => {
                self.last = if last == b'-' { b'=' } else { b'-' };
            }
            byte if last == b'=' && byte <= b' ' => {
                self.within = if byte == b'\n' {
                    Within::Code
                } else {
                    Within::LineComment
                };
            }
            b'/' => self.last = b'/',
            b'*' if last == b'/' => self.within = Within::BlockComment(false),
            b'(' => {
                self.begin_other();
                if self.statement == Statement::Insert && self.depth == 0 {
                    self.columns.clear();
                }
                self.depth += 1;
            }
            b')' => self.depth = self.depth.saturating_sub(1),
            b';' if self.depth == 0 => self.statement = Statement::Unbegun,
            byte if byte > b' ' && byte != b';' => self.begin_other(),
            _ => {}
        }
        1
    }

    /// What begins with neither INSERT nor REPLACE.
    fn begin_other(&mut self) {
        if self.statement == Statement::Unbegun {
            self.statement = Statement::Other;
        }
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        self.statement = match (self.statement, self.word.as_slice()) {
            (Statement::Unbegun, b"INSERT" | b"REPLACE") => {
                self.columns.clear();
                Statement::Insert
            }
            (Statement::Unbegun, _) => Statement::Other,
            (Statement::Insert, b"VALUES" | b"VALUE") if self.depth == 0 => {
                self.note_columns();
                Statement::Values
            }
            (Statement::Values, b"ON") => Statement::Other,
            (statement, _) => statement,
        };
        self.word.clear();
    }

    fn note_columns(&mut self) {
        let columns = std::mem::take(&mut self.columns);
        match &self.named {
            None => self.named = Some(columns),
            Some(before) => self.mixed |= *before != columns,
        }
    }
}

/// The bytes of `4142`; `None` for what is not hexadecimal.
fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let (pairs, odd) = digits.as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
        })
        .collect()
}

#[cfg(test)]
mod tests;
