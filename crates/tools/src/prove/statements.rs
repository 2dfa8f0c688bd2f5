//! The statements of a dump's file.
//!
//! mydumper ends a statement with `;` at the end of a line, and sees to it that no line within a statement ends so:
//! in rows a line break is written `\n`, in the body of a routine `;` at the end of a line gets a space after it.

use crate::digest::Compression;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// The longest statement a server takes.
const LONGEST: usize = 1 << 30;

/// Reads statements one by one, without their final `;`.
pub(crate) struct Statements {
    pub(crate) reader: Box<dyn BufRead + Send>,
}

impl Statements {
    pub(crate) fn open(path: &Path, name: &str) -> io::Result<Self> {
        let file = BufReader::with_capacity(256 * 1024, File::open(path)?);
        let reader: Box<dyn Read + Send> = match Compression::of(name) {
            Compression::Plain => {
                return Ok(Self {
                    reader: Box::new(file),
                });
            }
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
        };
        Ok(Self {
            reader: Box::new(BufReader::with_capacity(256 * 1024, reader)),
        })
    }

    /// The next statement; `None` at the end. What follows the last `;` is a statement too: the server will say
    /// what it thinks of it.
    pub(crate) fn next_statement(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut statement = Vec::new();
        loop {
            let from = statement.len();
            let read = self
                .reader
                .by_ref()
                .take(LONGEST as u64)
                .read_until(b'\n', &mut statement)?;
            if statement.len() > LONGEST {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a statement is longer than 1 GiB",
                ));
            }
            if read == 0 {
                let is_blank = statement.iter().all(u8::is_ascii_whitespace);
                return Ok((!is_blank).then_some(statement));
            }
            let line = &statement[from..];
            let ends = line.ends_with(b";\n") || (!line.ends_with(b"\n") && line.ends_with(b";"));
            if !ends {
                continue;
            }
            let end = statement.len() - if statement.ends_with(b"\n") { 2 } else { 1 };
            statement.truncate(end);
            if !statement.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(statement));
            }
            statement.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<String> {
        let mut statements = Statements {
            reader: Box::new(io::Cursor::new(text.as_bytes().to_vec())),
        };
        let mut all = Vec::new();
        while let Some(statement) = statements.next_statement().unwrap() {
            all.push(String::from_utf8(statement).unwrap().trim().to_owned());
        }
        all
    }

    #[test]
    fn statements_end_where_a_line_ends_with_a_semicolon() {
        assert_eq!(
            split("/*!40101 SET NAMES binary*/;\n\nINSERT INTO t VALUES\n(1,\"a;\"),\n(2,\"b\");\n;\n"),
            [
                "/*!40101 SET NAMES binary*/",
                "INSERT INTO t VALUES\n(1,\"a;\"),\n(2,\"b\")"
            ]
        );
    }

    #[test]
    fn a_body_stays_whole() {
        assert_eq!(
            split("CREATE PROCEDURE `p`()\nBEGIN\n SELECT 1; \n SELECT ';'; \nEND;\nSET x = 1;\n"),
            [
                "CREATE PROCEDURE `p`()\nBEGIN\n SELECT 1; \n SELECT ';'; \nEND",
                "SET x = 1"
            ]
        );
    }

    #[test]
    fn what_is_cut_off_is_not_dropped() {
        assert_eq!(
            split("INSERT INTO t VALUES\n(1,\"a"),
            ["INSERT INTO t VALUES\n(1,\"a"]
        );
        assert_eq!(split("SELECT 1;"), ["SELECT 1"]);
        assert_eq!(split("\n \n"), [] as [&str; 0]);
    }
}
