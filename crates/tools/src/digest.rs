//! Reads one file of a set to its end, once: digest, sizes, whether it can be read, rows.

use crate::content::{ContentReader, FileContent};
use crate::error::ToolError;
use crate::sql_rows::RowCounter;
use flate2::bufread::MultiGzDecoder;
use mykeeper_supervise::Activity;
use std::fs::{File, Metadata};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// How a file of a set is compressed, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    Plain,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

impl Compression {
    /// By the name's ending.
    pub fn of(name: &str) -> Self {
        match name.rsplit('.').next() {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::Plain,
        }
    }

    /// `name` without the ending that says how it is compressed.
    pub fn strip(name: &str) -> &str {
        name.strip_suffix(".gz")
            .or_else(|| name.strip_suffix(".zst"))
            .unwrap_or(name)
    }
}

/// By what a file is known to be the same as when it was last looked at, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// File system and inode: a renamed file stays the same.
    pub inode: (u64, u64),
    /// Bytes on disk.
    pub size_bytes: u64,
    /// Last modification, seconds and nanoseconds.
    pub modified: (i64, i64),
}

impl Stamp {
    /// Of a file's metadata.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            inode: (metadata.dev(), metadata.ino()),
            size_bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

/// What reading a file to its end told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileDigest {
    /// What the file was while it was read.
    pub stamp: Stamp,
    /// BLAKE3 of the bytes on disk, 64 hexadecimal digits; empty where the disk does not yield all of them.
    pub blake3: String,
    /// Bytes after decompression, up to the fault if there is one.
    pub plain_bytes: u64,
    /// Rows of its INSERT statements, up to the fault if there is one.
    pub rows: u64,
    /// It begins with its rows, and not with what a session has to know before them.
    pub headless: bool,
    /// What its rows are; `None` where it is no file of rows, or they cannot be told.
    pub content: Option<FileContent>,
    /// Why it cannot be read to its end; `None` when all is well.
    pub fault: Option<String>,
    /// The plain content, if it was asked for and is not longer than was asked for.
    pub text: Option<Vec<u8>>,
}

/// How a file begins whose rows have no head.
pub(crate) const ROWS: &[u8] = b"INSERT ";
const BUFFER_BYTES: usize = 256 * 1024;

/// Digests whatever is read through it.
struct Hashing<R> {
    inner: R,
    hasher: blake3::Hasher,
    stop: CancellationToken,
    activity: Activity,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(io::Error::other("it was given up"));
        }
        let read = self.inner.read(buffer)?;
        self.activity.touch();
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// Reads `path` to its end. Blocks. `name` says how it is compressed and whether it is SQL; `keep_text_bytes` is how
/// much plain content may be kept.
///
/// # Errors
/// The file is gone or its file system is away. A file that is cut or damaged is not an error but a `fault`, and so is
/// one that the disk does not yield whole.
pub fn digest_file(path: &Path, name: &str, keep_text_bytes: usize) -> Result<FileDigest, ToolError> {
    digest_file_until(path, name, keep_text_bytes, &CancellationToken::new())
}

/// As [`digest_file`], given up soon after `stop` is cancelled.
///
/// # Errors
/// As [`digest_file`]; the file was not read to its end.
pub fn digest_file_until(
    path: &Path,
    name: &str,
    keep_text_bytes: usize,
    stop: &CancellationToken,
) -> Result<FileDigest, ToolError> {
    digest_file_watched(path, name, keep_text_bytes, (stop, &Activity::new()))
}

/// As [`digest_file_until`]; `activity` is touched with every piece that is read.
///
/// # Errors
/// As [`digest_file_until`].
pub(crate) fn digest_file_watched(
    path: &Path,
    name: &str,
    keep_text_bytes: usize,
    (stop, activity): (&CancellationToken, &Activity),
) -> Result<FileDigest, ToolError> {
    let io_error = |action| {
        move |source| ToolError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    };
    let file = File::open(path).map_err(io_error("open"))?;
    let before = Stamp::of(&file.metadata().map_err(io_error("stat"))?);
    let handle = file.try_clone().map_err(io_error("open"))?;
    let mut raw = BufReader::with_capacity(
        BUFFER_BYTES,
        Hashing {
            inner: file,
            hasher: blake3::Hasher::new(),
            stop: stop.clone(),
            activity: activity.clone(),
        },
    );
    let mut content = Content::new(name, keep_text_bytes);
    let unpacked = match Compression::of(name) {
        Compression::Plain => content.take_all(&mut raw),
        Compression::Gzip if before.size_bytes > 0 => content.take_all(MultiGzDecoder::new(&mut raw)),
        Compression::Zstd if before.size_bytes > 0 => {
            zstd::stream::read::Decoder::with_buffer(&mut raw).and_then(|decoder| content.take_all(decoder))
        }
        Compression::Gzip | Compression::Zstd => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    };
    let unpacked = match unpacked {
        Err(error) if Compression::of(name) == Compression::Plain && !is_bad_sector(&error) => {
            return Err(io_error("read")(error));
        }
        unpacked => unpacked,
    };
    // The digest is of all bytes on disk, also of those behind a damage.
    let mut bad_sector = None;
    loop {
        let length = match raw.fill_buf() {
            Ok(buffer) => buffer.len(),
            Err(error) if is_bad_sector(&error) => {
                bad_sector = Some(error);
                break;
            }
            Err(error) => return Err(io_error("read")(error)),
        };
        if length == 0 {
            break;
        }
        raw.consume(length);
    }
    let after = Stamp::of(&handle.metadata().map_err(io_error("stat"))?);
    let is_whole = bad_sector.is_none();
    let mut fault = bad_sector.or(unpacked.err()).map(|error| unreadable(&error));
    if fault.is_none() && content.is_cut() {
        fault = Some(CUT.to_owned());
    }
    if before != after {
        fault = Some(CHANGED.to_owned());
    }
    let blake3 = match is_whole {
        true => raw.into_inner().hasher.finalize().to_hex().to_string(),
        false => String::new(),
    };
    Ok(content.digest(before, blake3, fault))
}

/// What is wrong with a file whose last statement has no end.
pub(crate) const CUT: &str = "it ends in the middle of a statement";
/// What is wrong with a file that is not what it was when its reading began.
pub(crate) const CHANGED: &str = "it changed while it was read";

/// The disk itself does not yield what was written to this file. A mount that is away says something else.
fn is_bad_sector(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        _ if is_bad_sector(error) => format!("it cannot be read to its end: {error}"),
        io::ErrorKind::UnexpectedEof => "it is cut: the compressed data ends too early".to_owned(),
        _ => format!("it is damaged: {error}"),
    }
}

/// What is told by a file's plain content, as its bytes stream by.
pub(crate) struct Content {
    bytes: u64,
    rows: RowCounter,
    values: Option<ContentReader>,
    holds: Holds,
    headless: bool,
    text: Option<Vec<u8>>,
    keep_bytes: usize,
}

impl Content {
    /// Of a file of this name, whose text is kept up to so many bytes.
    pub(crate) fn new(name: &str, keep_bytes: usize) -> Self {
        let holds = Holds::of(Compression::strip(name));
        Self {
            bytes: 0,
            rows: RowCounter::new(),
            values: (holds != Holds::NoRows).then(ContentReader::new),
            holds,
            headless: false,
            text: (keep_bytes > 0).then(Vec::new),
            keep_bytes,
        }
    }

    /// Takes the next bytes.
    pub(crate) fn feed(&mut self, piece: &[u8]) {
        self.headless |= self.bytes == 0 && self.holds != Holds::NoRows && piece.starts_with(ROWS);
        self.bytes += piece.len() as u64;
        if self.holds != Holds::NoRows {
            self.rows.feed(piece);
        }
        if self.holds == Holds::ByItsText
            && let Some(has_rows) = self.rows.opens_with_rows()
        {
            self.holds = if has_rows { Holds::Rows } else { Holds::NoRows };
            self.values.take_if(|_| !has_rows);
        }
        if let Some(values) = &mut self.values {
            values.feed(piece);
        }
        if let Some(text) = &mut self.text {
            text.extend_from_slice(piece);
            if text.len() > self.keep_bytes {
                self.text = None;
            }
        }
    }

    /// Rows so far.
    pub(crate) fn rows(&self) -> u64 {
        match self.holds {
            Holds::Rows => self.rows.rows(),
            Holds::ByItsText | Holds::NoRows => 0,
        }
    }

    /// Whether a statement has begun and not ended.
    pub(crate) fn is_cut(&self) -> bool {
        self.holds == Holds::Rows && !self.rows.at_boundary()
    }

    /// The digest of the file that has this content.
    pub(crate) fn digest(mut self, stamp: Stamp, blake3: String, fault: Option<String>) -> FileDigest {
        FileDigest {
            stamp,
            blake3,
            plain_bytes: self.bytes,
            rows: self.rows(),
            headless: self.headless,
            content: self.finish_rows().filter(|_| fault.is_none()),
            fault,
            text: self.text,
        }
    }

    /// Only where both readings see the same rows: each knows SQL in its own way.
    fn finish_rows(&mut self) -> Option<FileContent> {
        let values = self.values.take().filter(|_| self.holds == Holds::Rows);
        let found = values?.finish()?;
        (found.content.rows == self.rows.rows()).then_some(found)
    }

    fn take_all(&mut self, mut reader: impl Read) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => self.feed(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether the statements of a file are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Rows,
    /// Rows of a table, or routines, events and triggers: both may be called so.
    ByItsText,
    NoRows,
}

impl Holds {
    /// Bodies of routines and triggers hold statements of their own, so the end of a statement means nothing there. The
    /// rows of a table `a-schema-post` lie in a file that is called like theirs: what it begins with decides.
    fn of(plain_name: &str) -> Self {
        let is_named_so = |ending| plain_name.ends_with(ending);
        if !plain_name.ends_with(".sql") {
            Self::NoRows
        } else if PROGRAMS.iter().any(is_named_so) {
            Self::ByItsText
        } else {
            Self::Rows
        }
    }
}

/// What the names of files end with that hold routines, events and triggers.
const PROGRAMS: [&str; 2] = ["-schema-post.sql", "-schema-triggers.sql"];

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const SQL: &[u8] = b"INSERT INTO `t` VALUES\n(1,\"a\"),\n(2,\"b\");\n";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn digest(name: &str, bytes: &[u8]) -> FileDigest {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let digest = digest_file(&path, name, 1024).unwrap();
        assert_eq!(
            digest.blake3,
            blake3::hash(bytes).to_hex().to_string(),
            "of all bytes on disk"
        );
        assert_eq!(digest.stamp.size_bytes, bytes.len() as u64);
        digest
    }

    #[test]
    fn whole_files_are_read_to_their_end() {
        let two_members = [gzip(SQL), gzip(SQL)].concat();
        let two_frames = [
            zstd::encode_all(SQL, 1).unwrap(),
            zstd::encode_all(SQL, 1).unwrap(),
        ]
        .concat();
        for (name, bytes, copies) in [
            ("a.t.sql", SQL.to_vec(), 1),
            ("a.t.sql.gz", gzip(SQL), 1),
            ("a.t.sql.gz", two_members, 2),
            ("a.t.sql.zst", two_frames, 2),
            ("a.t.sql", Vec::new(), 0),
        ] {
            let digest = digest(name, &bytes);
            assert_eq!(digest.fault, None, "{name}");
            assert_eq!(digest.rows, 2 * copies, "{name}");
            assert_eq!(digest.plain_bytes, SQL.len() as u64 * copies, "{name}");
            assert_eq!(
                digest.text,
                Some(SQL.repeat(usize::try_from(copies).unwrap())),
                "{name}"
            );
        }
    }

    #[test]
    fn rows_of_a_table_that_is_called_like_a_kind_of_file_are_counted() {
        const HEAD: &[u8] = b"/*!40101 SET NAMES binary*/;\nSET x = 1;\n";
        const PROGRAM: &[u8] = b"DROP PROCEDURE IF EXISTS `p`;\nCREATE PROCEDURE `p`()\nBEGIN\nINSERT INTO t VALUES (1),(2);\nEND";
        let rows = [HEAD, SQL].concat();
        let program = [HEAD, PROGRAM].concat();
        for (name, bytes, count) in [
            ("a.t-schema-post.sql", rows.clone(), 2),
            ("a.t-schema-triggers.sql.gz", gzip(&rows), 2),
            ("a-schema-post.sql", program.clone(), 0),
            ("a.t-schema-triggers.sql.gz", gzip(&program), 0),
            ("a-schema-post.sql", HEAD.to_vec(), 0),
        ] {
            let digest = digest(name, &bytes);
            assert_eq!((digest.rows, digest.fault), (count, None), "{name}");
            assert_eq!(digest.content.is_some(), count > 0, "{name}");
        }
        let cut = digest("a.t-schema-post.sql", &rows[..rows.len() - 3]);
        assert_eq!(cut.fault.as_deref(), Some(CUT));
        assert!(digest("a.t-schema-post.sql", SQL).headless);
        // However the pieces fall.
        let mut content = Content::new("a.t-schema-post.sql", 0);
        rows.chunks(3).for_each(|piece| content.feed(piece));
        assert_eq!((content.rows(), content.is_cut()), (2, false));
        assert!(content.finish_rows().is_some());
    }

    #[test]
    fn every_cut_and_every_flipped_checksum_is_found() {
        let packed = gzip(SQL);
        for length in 0..packed.len() {
            assert!(
                digest("a.t.sql.gz", &packed[..length]).fault.is_some(),
                "cut to {length}"
            );
        }
        let mut flipped = packed.clone();
        let crc_at = flipped.len() - 6;
        flipped[crc_at] ^= 1;
        assert!(digest("a.t.sql.gz", &flipped).fault.is_some());
        let with_garbage = [packed, b"garbage".to_vec()].concat();
        assert!(digest("a.t.sql.gz", &with_garbage).fault.is_some());
        let frame = zstd::encode_all(SQL, 1).unwrap();
        for length in 0..frame.len() {
            assert!(
                digest("a.t.sql.zst", &frame[..length]).fault.is_some(),
                "cut to {length}"
            );
        }
        for length in 1..SQL.len() - 2 {
            assert!(
                digest("a.t.sql", &SQL[..length]).fault.is_some(),
                "cut to {length}"
            );
        }
    }

    #[test]
    fn what_the_disk_does_not_yield_is_a_fault_of_the_file() {
        // Its first page is never there.
        let path = Path::new("/proc/self/mem");
        for name in ["a.t.sql", "a.t.sql.gz"] {
            let digest = digest_file(path, name, 0).unwrap();
            let fault = digest.fault.unwrap();
            assert!(
                fault.starts_with("it cannot be read to its end: "),
                "{name}: {fault}"
            );
            assert_eq!(
                digest.blake3, "",
                "{name}: of what was read nobody can tell anything"
            );
        }
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let error = digest_file(Path::new("/nonexistent/a.sql"), "a.sql", 0).unwrap_err();
        assert!(
            error.to_string().starts_with("cannot open /nonexistent/a.sql: "),
            "{error}"
        );
    }
}
