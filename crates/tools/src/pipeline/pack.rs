//! One finished file: read once, digested, compressed, written under its new name, synced, and the plain one removed.

use super::packer::Packer;
use crate::digest::{CHANGED, CUT, Content, FileDigest, ROWS, Stamp, digest_file_watched};
use crate::error::ToolError;
use mykeeper_supervise::Activity;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// What the name of a compressed file ends with as long as it is written.
pub(crate) const PARTIAL: &str = ".packing";
/// Small enough to be looked at and packed while it is in the processor's cache.
const READ_BYTES: usize = 256 * 1024;
/// What names of files end with that hold no rows.
const DEFINITIONS: [&str; 6] = [
    "-schema.sql",
    "-schema-create.sql",
    "-schema-post.sql",
    "-schema-sequence.sql",
    "-schema-triggers.sql",
    "-schema-view.sql",
];

/// One file of a dump's folder.
#[derive(Clone, Debug)]
pub(crate) struct PackJob {
    pub(crate) dir: PathBuf,
    /// As it is called now.
    pub(crate) name: String,
    /// `.gz`
    pub(crate) ending: &'static str,
    /// See [`digest_file_watched`].
    pub(crate) keep_text_bytes: usize,
    /// What is put before rows that have none.
    pub(crate) head: Option<&'static [u8]>,
    /// mydumper has ended: nothing is renamed or removed any more, and what cannot be compressed now stays as it is.
    pub(crate) is_over: bool,
    pub(crate) stop: CancellationToken,
    /// Touched as the file is read.
    pub(crate) activity: Activity,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Handled {
    /// What the file is called now.
    pub(crate) name: String,
    /// Of the file as it lies now: compressed, or plain where it is not to be, or not yet.
    pub(crate) digest: FileDigest,
    /// Why it was left plain, where that was not meant.
    pub(crate) left_plain: Option<String>,
}

impl Handled {
    /// As it should be.
    pub(crate) fn new(name: String, digest: FileDigest) -> Self {
        Self {
            name,
            digest,
            left_plain: None,
        }
    }
}

/// What an attempt has come to.
enum Packed {
    /// It lies compressed, and the plain one is gone.
    Done(FileDigest),
    /// It stays plain: without a row mydumper may yet remove it, and what has a fault is not touched.
    Stays(FileDigest),
    /// It could not be read or written.
    Failed(ToolError),
}

/// Packs a file. Blocks.
///
/// # Errors
/// The file is gone, was given up, or could not be compressed while mydumper still runs: the plain one is as it was.
/// When mydumper has ended, it is digested as it is, and told why.
pub(crate) fn pack_file(packer: &mut Packer, job: &PackJob) -> Result<Handled, ToolError> {
    let partial = job.dir.join(format!("{}{}{PARTIAL}", job.name, job.ending));
    let packed = pack(packer, job, &partial);
    if !matches!(packed, Packed::Done(_)) {
        match std::fs::remove_file(&partial) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(path = %partial.display(), %error, "a file that was begun cannot be removed");
            }
            _ => {}
        }
    }
    match packed {
        Packed::Done(digest) => Ok(Handled::new(format!("{}{}", job.name, job.ending), digest)),
        Packed::Stays(digest) => Ok(Handled::new(job.name.clone(), digest)),
        Packed::Failed(error) if !job.is_over || job.stop.is_cancelled() => Err(error),
        Packed::Failed(error) => {
            let path = job.dir.join(&job.name);
            Ok(Handled {
                name: job.name.clone(),
                digest: digest_file_watched(
                    &path,
                    &job.name,
                    job.keep_text_bytes,
                    (&job.stop, &job.activity),
                )?,
                left_plain: Some(error.to_string()),
            })
        }
    }
}

fn pack(packer: &mut Packer, job: &PackJob, partial: &Path) -> Packed {
    match try_pack(packer, job, partial) {
        Ok(packed) => packed,
        Err(error) => Packed::Failed(error),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ToolError {
    let path = path.to_owned();
    move |source| ToolError::Io { action, path, source }
}

fn try_pack(packer: &mut Packer, job: &PackJob, partial: &Path) -> Result<Packed, ToolError> {
    let path = job.dir.join(&job.name);
    let target = job.dir.join(format!("{}{}", job.name, job.ending));
    let mut plain = File::open(&path).map_err(failed("open", &path))?;
    let metadata = plain.metadata().map_err(failed("stat", &path))?;
    let before = Stamp::of(&metadata);
    let mut out = Out {
        path: partial,
        file: None,
        hasher: blake3::Hasher::new(),
    };
    let mut content = Content::new(&job.name, job.keep_text_bytes);
    let mut plain_hasher = blake3::Hasher::new();
    let mut piece = Vec::with_capacity(packer.piece_bytes());
    let mut is_begun = false;
    loop {
        let mut head = None;
        fill(
            &mut piece,
            packer.piece_bytes(),
            (&mut plain, &job.stop),
            |bytes| {
                job.activity.touch();
                if !std::mem::replace(&mut is_begun, true) {
                    head = job.head.filter(|_| bytes.starts_with(ROWS));
                    content.feed(head.unwrap_or_default());
                }
                content.feed(bytes);
                plain_hasher.update(bytes);
            },
        )
        .map_err(failed("read", &path))?;
        if piece.is_empty() {
            break;
        }
        if let Some(head) = head {
            let packed = packer.pack(head).map_err(failed("compress", &path))?;
            out.write(packed, &metadata)?;
        }
        let packed = packer.pack(&piece).map_err(failed("compress", &path))?;
        out.write(packed, &metadata)?;
    }
    let after = Stamp::of(&plain.metadata().map_err(failed("stat", &path))?);
    let fault = match before == after {
        false => Some(CHANGED),
        true => content.is_cut().then_some(CUT),
    };
    let is_settled = job.is_over || content.rows() > 0 || is_definition(&job.name);
    if before.size_bytes == 0 && job.is_over && fault.is_none() {
        // A member without content: an empty file of that name would be one that is cut.
        let packed = packer.pack(&[]).map_err(failed("compress", &path))?;
        out.write(packed, &metadata)?;
    }
    let Some(file) = out.file.filter(|_| fault.is_none() && is_settled) else {
        let blake3 = plain_hasher.finalize().to_hex().to_string();
        return Ok(Packed::Stays(content.digest(
            before,
            blake3,
            fault.map(str::to_owned),
        )));
    };
    file.sync_all().map_err(failed("sync", partial))?;
    let stamp = Stamp::of(&file.metadata().map_err(failed("stat", partial))?);
    if job.stop.is_cancelled() {
        // Whoever gave it up may have told by now what lies there.
        return Err(failed("compress", &path)(given_up()));
    }
    publish((&path, before), partial, &target)?;
    let blake3 = out.hasher.finalize().to_hex().to_string();
    Ok(Packed::Done(content.digest(stamp, blake3, None)))
}

fn given_up() -> io::Error {
    io::Error::other("it was given up")
}

/// Reads until `piece` has `length` bytes, or to the end.
fn fill(
    piece: &mut Vec<u8>,
    length: usize,
    (plain, stop): (&mut File, &CancellationToken),
    mut see: impl FnMut(&[u8]),
) -> io::Result<()> {
    piece.resize(length, 0);
    let mut filled = 0;
    while filled < length {
        if stop.is_cancelled() {
            return Err(given_up());
        }
        let until = length.min(filled + READ_BYTES);
        match plain.read(&mut piece[filled..until]) {
            Ok(0) => break,
            Ok(read) => {
                see(&piece[filled..filled + read]);
                filled += read;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    piece.truncate(filled);
    Ok(())
}

/// The compressed file, made when its first bytes come.
struct Out<'a> {
    path: &'a Path,
    file: Option<File>,
    hasher: blake3::Hasher,
}

impl Out<'_> {
    /// May be read by whom the plain one may.
    fn write(&mut self, bytes: &[u8], like: &std::fs::Metadata) -> Result<(), ToolError> {
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut options = OpenOptions::new();
                let file = options.write(true).create(true).truncate(true).open(self.path);
                let file = file.map_err(failed("create", self.path))?;
                file.set_permissions(like.permissions())
                    .map_err(failed("create", self.path))?;
                none.insert(file)
            }
        };
        self.hasher.update(bytes);
        file.write_all(bytes).map_err(failed("write", self.path))
    }
}

/// Gives the compressed file its name and removes the plain one, unless that one is not there any more as it was read.
fn publish((path, read): (&Path, Stamp), partial: &Path, target: &Path) -> Result<(), ToolError> {
    let is_as_read = || std::fs::symlink_metadata(path).is_ok_and(|now| Stamp::of(&now) == read);
    let moved = || failed("compress", path)(io::Error::other("it was renamed or written again meanwhile"));
    if !is_as_read() || target.symlink_metadata().is_ok() {
        return Err(moved());
    }
    std::fs::rename(partial, target).map_err(failed("rename", partial))?;
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) => {
            // Never both: whoever reads the set would have the rows twice.
            std::fs::remove_file(target).map_err(failed("remove", target))?;
            Err(match error.kind() {
                ErrorKind::NotFound => moved(),
                _ => failed("remove", path)(error),
            })
        }
    }
}

/// Of a table, a view, a database or what stands upon them: written at once, and never taken back.
pub(crate) fn is_definition(name: &str) -> bool {
    DEFINITIONS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::packing::{PackFormat, Packing};

    const SQL: &[u8] = b"SET NAMES binary;\nINSERT INTO `t` VALUES\n(1,\"a\"),\n(2,\"b\");\n";

    struct Stage {
        dir: tempfile::TempDir,
        packer: Packer,
    }

    impl Stage {
        fn new() -> Self {
            Self {
                dir: tempfile::tempdir().unwrap(),
                packer: Packer::new(Packing::of(PackFormat::Gzip)).unwrap(),
            }
        }

        fn pack(&mut self, name: &str, is_over: bool) -> Result<Handled, ToolError> {
            let job = self.job(name, is_over);
            pack_file(&mut self.packer, &job)
        }

        fn job(&self, name: &str, is_over: bool) -> PackJob {
            PackJob {
                dir: self.dir.path().to_owned(),
                name: name.to_owned(),
                ending: ".gz",
                keep_text_bytes: 1024,
                head: Some(b"SET NAMES binary;\n"),
                is_over,
                stop: CancellationToken::new(),
                activity: Activity::new(),
            }
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            std::fs::write(self.dir.path().join(name), bytes).unwrap();
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = std::fs::read_dir(self.dir.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn a_packed_file_tells_what_a_second_reading_would() {
        let mut stage = Stage::new();
        let long = SQL.repeat(100_000);
        for (name, text) in [
            ("a.t.sql", SQL),
            ("a.u.00003.sql", &long),
            ("a-schema-post.sql", SQL),
        ] {
            stage.write(name, text);
            let handled = stage.pack(name, false).unwrap();
            assert_eq!(handled.left_plain, None);
            let packed = format!("{name}.gz");
            let again = crate::digest::digest_file(&stage.dir.path().join(&packed), &packed, 1024).unwrap();
            assert_eq!((handled.name, handled.digest), (packed, again));
        }
        assert_eq!(
            stage.names(),
            ["a-schema-post.sql.gz", "a.t.sql.gz", "a.u.00003.sql.gz"]
        );
    }

    #[test]
    fn rows_without_a_head_get_one() {
        let mut stage = Stage::new();
        let (_, rows) = SQL.split_at(18);
        stage.write("a.t.sql", rows);
        stage.write("a.u.sql", SQL);
        let (headless, whole) = (stage.pack("a.t.sql", false), stage.pack("a.u.sql", false));
        assert_eq!(headless.unwrap().digest.text.as_deref(), Some(SQL));
        for name in ["a.t.sql.gz", "a.u.sql.gz"] {
            let again = crate::digest::digest_file(&stage.dir.path().join(name), name, 1024).unwrap();
            assert_eq!(again.text.as_deref(), Some(SQL), "{name}");
        }
        assert_eq!(whole.unwrap().digest.plain_bytes, SQL.len() as u64);
    }

    #[test]
    fn what_mydumper_may_still_remove_is_packed_when_it_has_ended() {
        let mut stage = Stage::new();
        stage.write("a.empty.sql", b"");
        stage.write("a-schema.t.sql", b"/*!40101 SET NAMES binary*/;\n");
        for name in ["a.empty.sql", "a-schema.t.sql"] {
            let plain = stage.pack(name, false).unwrap().digest;
            assert_eq!((plain.rows, plain.fault), (0, None));
        }
        assert_eq!(stage.names(), ["a-schema.t.sql", "a.empty.sql"]);
        for name in ["a.empty.sql", "a-schema.t.sql"] {
            let packed = stage.pack(name, true).unwrap().digest;
            assert_eq!((packed.rows, packed.fault), (0, None));
        }
        assert_eq!(stage.names(), ["a-schema.t.sql.gz", "a.empty.sql.gz"]);
    }

    #[test]
    fn a_file_with_a_fault_stays_as_it_is() {
        let mut stage = Stage::new();
        stage.write("a.t.sql", &SQL[..SQL.len() - 5]);
        let digest = stage.pack("a.t.sql", true).unwrap().digest;
        assert_eq!(digest.fault.as_deref(), Some(CUT));
        assert_eq!(
            digest.blake3,
            blake3::hash(&SQL[..SQL.len() - 5]).to_hex().to_string()
        );
        assert_eq!(stage.names(), ["a.t.sql"]);
    }

    #[test]
    fn what_was_given_up_is_not_published() {
        let mut stage = Stage::new();
        // More than a pipe holds, compressed, too: its writer waits until it is read, which is after the cancellation.
        let mut value = String::new();
        while value.len() < 512 * 1024 {
            value.push_str(&blake3::hash(&value.len().to_le_bytes()).to_hex());
        }
        let sql = format!("SET NAMES binary;\nINSERT INTO `t` VALUES\n(1,\"{value}\");\n");
        stage.write("a.t.sql", sql.as_bytes());
        let job = stage.job("a.t.sql", false);
        let partial = stage.dir.path().join("a.t.sql.gz.packing");
        std::thread::scope(|scope| {
            // A reader of the pipe that stands in the way of the compressed file: it is opened when that is written.
            let made = std::process::Command::new("mkfifo")
                .arg(&partial)
                .status()
                .unwrap();
            assert!(made.success());
            scope.spawn(|| {
                let mut bytes = Vec::new();
                let mut file = File::open(&partial).unwrap();
                job.stop.cancel();
                file.read_to_end(&mut bytes).unwrap();
            });
            let error = pack_file(&mut stage.packer, &job).unwrap_err().to_string();
            assert!(error.contains("given up"), "{error}");
        });
        assert_eq!(stage.names(), ["a.t.sql"]);
    }

    #[test]
    fn what_cannot_be_written_stays_plain_and_is_told_at_the_end() {
        let mut stage = Stage::new();
        stage.write("a.t.sql", SQL);
        // As if it had been written again after it was packed.
        stage.write("a.t.sql.gz", b"x");
        let error = stage.pack("a.t.sql", false).unwrap_err().to_string();
        assert!(
            error.contains("a.t.sql: it was renamed or written again"),
            "{error}"
        );
        let handled = stage.pack("a.t.sql", true).unwrap();
        assert_eq!(handled.digest.rows, 2);
        assert!(handled.left_plain.is_some());
        assert_eq!(stage.names(), ["a.t.sql", "a.t.sql.gz"]);
    }
}
