//! Statements to the throwaway server, byte for byte.
//!
//! A dump's statements hold whatever the tables hold: they are bytes of no one character set, and a client library
//! that takes text cannot send them. The command line client could, but it must be told where a routine's body ends,
//! and tells of errors by line number. What is needed of the protocol is little: a login without a password over a
//! Unix socket, a query, and whether it failed.

use std::io;
use std::path::Path;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// The longest payload of one packet: one of this length is followed by another.
const FULL_PACKET: usize = 0xff_ffff;
/// LONG_PASSWORD, LONG_FLAG, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, MULTI_RESULTS, PLUGIN_AUTH.
const CAPABILITIES: u32 =
    0x0000_0001 | 0x0000_0004 | 0x0000_0200 | 0x0000_2000 | 0x0000_8000 | 0x0002_0000 | 0x0008_0000;
/// The collation `binary`: nothing is converted on the way.
const BINARY: u8 = 63;
/// The protocol's numbers of types that have a -0.
pub(crate) const FLOAT: u8 = 4;
/// See [`FLOAT`].
pub(crate) const DOUBLE: u8 = 5;
/// A status flag: another result follows.
const MORE_RESULTS: u16 = 0x0008;

/// Why a statement was not executed.
#[derive(Debug, Error)]
pub(crate) enum WireError {
    /// The server says so.
    #[error("ERROR {code}: {message}")]
    Server {
        /// Its number.
        code: u16,
        /// Its words.
        message: String,
    },
    /// The connection is gone.
    #[error("the connection to the throwaway server broke: {0}")]
    Broken(#[from] io::Error),
}

/// One connection, as root.
pub(crate) struct Wire {
    stream: BufReader<UnixStream>,
    sequence: u8,
}

impl Wire {
    pub(crate) async fn connect(socket: &Path) -> Result<Self, WireError> {
        let mut wire = Self {
            stream: BufReader::with_capacity(64 * 1024, UnixStream::connect(socket).await?),
            sequence: 0,
        };
        let greeting = wire.read_packet().await?;
        if let Some(error) = server_error(&greeting) {
            return Err(error);
        }
        let mut login = Vec::new();
        login.extend(CAPABILITIES.to_le_bytes());
        login.extend((1_u32 << 30).to_le_bytes());
        login.push(BINARY);
        login.extend([0; 23]);
        login.extend(b"root\0");
        login.push(0);
        login.extend(b"mysql_native_password\0");
        wire.write_packets(&login).await?;
        loop {
            let answer = wire.read_packet().await?;
            match answer.first() {
                Some(0) => return Ok(wire),
                // Another method of authentication: with no password the answer is the same to each.
                Some(0xfe) => wire.write_packets(b"").await?,
                _ => return Err(server_error(&answer).unwrap_or_else(|| strange("login"))),
            }
        }
    }

    /// Executes one statement and drops what it yields.
    pub(crate) async fn execute(&mut self, sql: &[u8]) -> Result<(), WireError> {
        self.sequence = 0;
        let mut query = Vec::with_capacity(sql.len() + 1);
        query.push(3);
        query.extend(sql);
        self.write_packets(&query).await?;
        while self.read_result().await? & MORE_RESULTS != 0 {}
        Ok(())
    }

    /// Executes one query and hands over each of its rows, value by value, as bytes of the text protocol. The types of
    /// the columns come first: the protocol's own numbers, see [`FLOAT`] and [`DOUBLE`].
    ///
    /// # Errors
    /// The server refuses it, breaks off, or answers with something else than rows.
    pub(crate) async fn query(&mut self, sql: &[u8], sink: &mut impl RowSink) -> Result<(), WireError> {
        self.sequence = 0;
        let mut packet = Vec::with_capacity(sql.len() + 1);
        packet.push(3);
        packet.extend(sql);
        self.write_packets(&packet).await?;
        self.read_into(&mut packet).await?;
        if let Some(error) = server_error(&packet) {
            return Err(error);
        }
        let Some((Length::Bytes(columns), _)) = length_of(&packet).filter(|_| packet.first() != Some(&0))
        else {
            return Err(strange("rows"));
        };
        let mut types = Vec::new();
        for _ in 0..columns {
            self.read_into(&mut packet).await?;
            types.push(column_type(&packet).ok_or_else(|| strange("a column"))?);
        }
        sink.columns(&types);
        let mut ends = 0;
        while ends < 2 {
            self.read_into(&mut packet).await?;
            match packet.as_slice() {
                [0xff, ..] => return Err(server_error(&packet).unwrap_or_else(|| strange("error"))),
                [0xfe, rest @ ..] if rest.len() < 8 => ends += 1,
                row if ends == 1 => hand_over(row, types.len(), sink).ok_or_else(|| strange("a row"))?,
                _ => return Err(strange("a column")),
            }
        }
        Ok(())
    }

    /// One result; yields the status flags.
    async fn read_result(&mut self) -> Result<u16, WireError> {
        let first = self.read_packet().await?;
        match first.first() {
            Some(0) => return Ok(ok_status(&first)),
            Some(0xff) => return Err(server_error(&first).unwrap_or_else(|| strange("error"))),
            // It asks for a local file: it gets an empty one.
            Some(0xfb) => {
                self.write_packets(b"").await?;
                let answer = self.read_packet().await?;
                return server_error(&answer).map_or_else(|| Ok(ok_status(&answer)), Err);
            }
            _ => {}
        }
        let mut ends = 0;
        loop {
            let packet = self.read_packet().await?;
            if let Some(error) = server_error(&packet) {
                return Err(error);
            }
            if packet.first() == Some(&0xfe) && packet.len() < 9 {
                ends += 1;
                if ends == 2 {
                    return Ok(status_at(&packet, 3));
                }
            }
        }
    }

    async fn read_packet(&mut self) -> Result<Vec<u8>, WireError> {
        let mut payload = Vec::new();
        self.read_into(&mut payload).await?;
        Ok(payload)
    }

    async fn read_into(&mut self, payload: &mut Vec<u8>) -> Result<(), WireError> {
        payload.clear();
        loop {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header).await?;
            let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
            self.sequence = header[3].wrapping_add(1);
            let from = payload.len();
            payload.resize(from + length, 0);
            self.stream.read_exact(&mut payload[from..]).await?;
            if length < FULL_PACKET {
                return Ok(());
            }
        }
    }

    async fn write_packets(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let mut rest = payload;
        loop {
            let length = rest.len().min(FULL_PACKET);
            let (now, later) = rest.split_at(length);
            let bytes = u32::try_from(length).unwrap_or(0).to_le_bytes();
            self.stream
                .write_all(&[bytes[0], bytes[1], bytes[2], self.sequence])
                .await?;
            self.sequence = self.sequence.wrapping_add(1);
            self.stream.write_all(now).await?;
            rest = later;
            if length < FULL_PACKET {
                break;
            }
        }
        self.stream.flush().await?;
        Ok(())
    }
}

/// What takes the rows of a query.
pub(crate) trait RowSink {
    /// The types of the columns, before the first row.
    fn columns(&mut self, types: &[u8]);
    /// The next value of the row at hand; `None`: NULL.
    fn value(&mut self, column: usize, value: Option<&[u8]>);
    /// The row at hand ends.
    fn end_row(&mut self);
}

/// A length-encoded number, or what stands for NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Null,
    Bytes(u64),
}

/// The number that a payload begins with, and how many bytes it takes.
fn length_of(bytes: &[u8]) -> Option<(Length, usize)> {
    let number = |width: usize| {
        let digits = bytes.get(1..=width)?;
        let value = digits
            .iter()
            .rev()
            .fold(0, |value, digit| value << 8 | u64::from(*digit));
        Some((Length::Bytes(value), width + 1))
    };
    match *bytes.first()? {
        0xfb => Some((Length::Null, 1)),
        0xfc => number(2),
        0xfd => number(3),
        0xfe => number(8),
        0xff => None,
        small => Some((Length::Bytes(u64::from(small)), 1)),
    }
}

/// The value that `bytes` begin with, and what comes after it.
fn value_of(bytes: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, width) = length_of(bytes)?;
    let rest = bytes.get(width..)?;
    match length {
        Length::Null => Some((None, rest)),
        Length::Bytes(length) => {
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((Some(value), rest))
        }
    }
}

/// Of a column's definition: behind six names come the length of what follows, the character set and the longest value.
fn column_type(packet: &[u8]) -> Option<u8> {
    let mut rest = packet;
    for _ in 0..6 {
        (_, rest) = value_of(rest)?;
    }
    rest.get(7).copied()
}

/// `None`: it is not a row of so many values.
fn hand_over(row: &[u8], columns: usize, sink: &mut impl RowSink) -> Option<()> {
    let mut rest = row;
    for column in 0..columns {
        let value;
        (value, rest) = value_of(rest)?;
        sink.value(column, value);
    }
    rest.is_empty().then(|| sink.end_row())
}

fn strange(what: &str) -> WireError {
    WireError::Broken(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{what} not understood"),
    ))
}

fn status_at(packet: &[u8], at: usize) -> u16 {
    match packet.get(at..at + 2) {
        Some(bytes) => u16::from_le_bytes([bytes[0], bytes[1]]),
        None => 0,
    }
}

/// After the header come two length-encoded numbers, then the status.
fn ok_status(packet: &[u8]) -> u16 {
    let mut at = 1;
    for _ in 0..2 {
        at += match packet.get(at) {
            Some(0xfc) => 3,
            Some(0xfd) => 4,
            Some(0xfe) => 9,
            _ => 1,
        };
    }
    status_at(packet, at)
}

fn server_error(packet: &[u8]) -> Option<WireError> {
    let [0xff, low, high, rest @ ..] = packet else {
        return None;
    };
    let code = u16::from_le_bytes([*low, *high]);
    let message = match rest {
        [b'#', rest @ ..] if rest.len() >= 5 => &rest[5..],
        rest => rest,
    };
    Some(WireError::Server {
        code,
        message: String::from_utf8_lossy(message).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_with_and_without_state() {
        let told = |packet: &[u8]| server_error(packet).unwrap().to_string();
        assert_eq!(
            told(b"\xff\x7a\x04#42S02Table 'a.b' doesn't exist"),
            "ERROR 1146: Table 'a.b' doesn't exist"
        );
        assert_eq!(
            told(b"\xff\x10\x04Too many connections"),
            "ERROR 1040: Too many connections"
        );
        assert!(server_error(b"\x00\x00\x00").is_none());
    }

    #[derive(Debug, Default)]
    struct Seen(Vec<Option<Vec<u8>>>, usize);

    impl RowSink for Seen {
        fn columns(&mut self, _: &[u8]) {}
        fn value(&mut self, _: usize, value: Option<&[u8]>) {
            self.0.push(value.map(<[u8]>::to_vec));
        }
        fn end_row(&mut self) {
            self.1 += 1;
        }
    }

    #[test]
    fn a_row_is_taken_apart_value_by_value_and_what_is_none_is_refused() {
        let long = [&[0xfc, 0x2c, 0x01][..], &[b'x'; 300]].concat();
        let row = [&b"\x02ab\xfb\x00"[..], &long].concat();
        let mut seen = Seen::default();
        hand_over(&row, 4, &mut seen).unwrap();
        let values = [
            Some(b"ab".to_vec()),
            None,
            Some(Vec::new()),
            Some(vec![b'x'; 300]),
        ];
        assert_eq!((seen.0.as_slice(), seen.1), (values.as_slice(), 1));
        for (cut, columns) in [
            (&row[..row.len() - 1], 4),
            (&row[..], 3),
            (&row[..], 5),
            (b"\xff", 1),
        ] {
            let mut seen = Seen::default();
            assert_eq!(hand_over(cut, columns, &mut seen), None, "{columns} columns");
            assert_eq!(seen.1, 0);
        }
    }

    #[test]
    fn a_column_tells_its_type_behind_six_names() {
        let names = b"\x03def\x01d\x01t\x01t\x01c\x01c";
        let packet = [
            &names[..],
            b"\x0c\x3f\x00\x16\x00\x00\x00\x05\x00\x00\x1f\x00\x00",
        ]
        .concat();
        assert_eq!(column_type(&packet), Some(DOUBLE));
        assert_eq!(column_type(names), None);
    }

    #[test]
    fn the_status_stands_after_two_numbers_of_any_length() {
        assert_eq!(ok_status(&[0, 0, 0, 8, 0]), MORE_RESULTS);
        assert_eq!(ok_status(&[0, 0xfc, 1, 2, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0]), 2);
        assert_eq!(ok_status(&[0]), 0);
    }
}
