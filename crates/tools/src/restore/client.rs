//! The server's own client, fed through a named pipe.
//!
//! It knows every way to log in and to encrypt, and passes on bytes that are text in no character set. It stops at
//! the first thing that the server does not take. A child has no standard input of its own, so a shell opens the
//! pipe in its place; what is fed is decompressed on the way and lies nowhere in between. In its binary mode it
//! obeys nothing of what it reads but `DELIMITER`: a set cannot make it run a program.

use crate::connection::ServerConnection;
use crate::env::{ToolEnv, ended_from_here, run_error};
use crate::error::ToolError;
use crate::introducers::Introducer;
use crate::mydumper::option_file::{OptionFile, option_file_text};
use crate::prove::layout::SetFile;
use crate::prove::statements::Statements;
use mykeeper_supervise::{Activity, ChildSpec, Exit, Limits, Stream, SuperviseError};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What to do about a missing client.
const HINT: &str = "install it with \"apt-get install mariadb-client\"";
/// What the client's answer to a mark is.
const MARK: &str = "mykeeper: so far";
/// How often the client's end of the pipe is asked for.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// Bytes that are read at once, and how many such pieces ahead.
const CHUNK_BYTES: usize = 128 * 1024;
const READ_AHEAD: usize = 4;

/// The installed client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientProgram {
    program: PathBuf,
    pub(super) banner: String,
}

/// Finds the client: first the one of the server's own product.
///
/// # Errors
/// There is none.
pub(super) async fn find_client(is_mariadb: bool, env: &ToolEnv<'_>) -> Result<ClientProgram, ToolError> {
    let programs = if is_mariadb {
        ["mariadb", "mysql"]
    } else {
        ["mysql", "mariadb"]
    };
    for program in programs {
        let limits = Limits {
            timeout: Some(Duration::from_secs(20)),
            ..Limits::default()
        };
        let spec = ChildSpec::new(program)
            .args(["--no-defaults", "--version"])
            .limits(limits);
        let mut banner = String::new();
        let answer = env
            .supervisor
            .run(spec, env.cancel.clone(), Activity::new(), &mut |_, line| {
                if banner.is_empty() {
                    banner = String::from_utf8_lossy(line).trim().to_owned();
                }
            })
            .await;
        match answer {
            Ok(_) => {
                return Ok(ClientProgram {
                    program: program.into(),
                    banner,
                });
            }
            Err(SuperviseError::NotFound { .. }) => {}
            Err(error) => return Err(run_error(Path::new(program), HINT, &error)),
        }
    }
    Err(ToolError::NotInstalled {
        program: "mariadb (or mysql, the client program)".to_owned(),
        hint: HINT.to_owned(),
    })
}

/// One piece of what a client is fed with.
pub(super) enum Piece {
    /// Bytes of our own.
    Text(Vec<u8>),
    /// A file of the set, decompressed, with what its rows need.
    File(SetFile, Option<Arc<Introducer>>),
}

/// What is heard while a client works.
pub(super) enum Heard<'a> {
    /// Everything up to the next mark has been done.
    Mark,
    /// A line that the server adds to a statement: `Note (Code 1449): ...`.
    Note(&'a str),
    /// So many bytes of files have been handed to it.
    Bytes(u64),
}

/// What a server says against a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its number; 0 when it is the client's word.
    pub(super) code: u16,
    /// `ERROR 1064 (42000): ...`, without the line.
    pub(super) text: String,
}

/// A statement that is answered when everything before it has been done.
pub(super) fn mark(delimiter: &str) -> Vec<u8> {
    format!("\nSELECT '{MARK}'{delimiter}\n").into_bytes()
}

/// The way to one server, for as long as it lives.
pub(super) struct Client<'a> {
    env: &'a ToolEnv<'a>,
    program: ClientProgram,
    options: OptionFile,
    private_dir: &'a Path,
    limits: Limits,
}

impl<'a> Client<'a> {
    /// Writes the private file that tells the client how to reach the server.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn new(
        program: ClientProgram,
        (connection, can_encrypt): (&ServerConnection, bool),
        private_dir: &'a Path,
        limits: &Limits,
        env: &'a ToolEnv<'a>,
    ) -> Result<Self, ToolError> {
        let options = OptionFile::create(private_dir, &option_file_text(connection, can_encrypt))?;
        Ok(Self {
            env,
            program,
            options,
            private_dir,
            limits: limits.clone(),
        })
    }

    /// Feeds a client with all that `next` yields. Yields what the server refused, if anything: nothing behind that
    /// has been done.
    ///
    /// # Errors
    /// It could not be run, was ended from here, or a file could not be read; what was fed till then may be done.
    pub(super) async fn feed(
        &self,
        cancel: &CancellationToken,
        next: &mut (dyn FnMut() -> Option<Piece> + Send),
        hear: &(dyn Fn(Heard<'_>) + Sync),
    ) -> Result<Option<Refusal>, ToolError> {
        let pipe = Pipe::create(self.private_dir)?;
        let activity = Activity::new();
        // Of its own: a file that cannot be read ends the client before half a statement of it is taken for whole.
        let stop = cancel.child_token();
        let mut said = Said::default();
        let spec = ChildSpec::new("sh")
            .args(client_argv(
                &pipe.path,
                &self.program.program,
                self.options.path(),
            ))
            // What a login file in the account's home says would count for more than our own file.
            .env("HOME", self.private_dir)
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.private_dir)
            .limits(self.limits.clone());
        let finished = {
            let mut on_line = |stream, line: &[u8]| said.take(stream, line, hear);
            let running = self
                .env
                .supervisor
                .run(spec, stop.clone(), activity.clone(), &mut on_line);
            tokio::pin!(running);
            let feeding = feed_pipe(&pipe.path, next, &activity, hear);
            tokio::select! {
                finished = &mut running => finished,
                fed = feeding => match fed {
                    Ok(()) => running.await,
                    Err(error) => {
                        stop.cancel();
                        if let Err(error) = running.await {
                            self.env.log.line("mykeeper", &format!("end of the client: {error}"));
                        }
                        return Err(error);
                    }
                },
            }
        };
        let finished = finished.map_err(|error| run_error(&self.program.program, HINT, &error))?;
        let name = self.program.program.display().to_string();
        if let Some(error) = ended_from_here(&name, &finished.exit) {
            return Err(error);
        }
        if finished.exit == Exit::Success {
            return Ok(None);
        }
        for line in &said.others {
            self.env.log.line(&name, line);
        }
        Ok(Some(said.refusal.unwrap_or_else(|| Refusal {
            code: 0,
            text: format!("{name} {}: {}", finished.exit, said.others.join("; ")),
        })))
    }
}

/// What a client has said on standard error.
#[derive(Debug, Default)]
struct Said {
    refusal: Option<Refusal>,
    others: Vec<String>,
}

impl Said {
    fn take(&mut self, stream: Stream, line: &[u8], hear: &(dyn Fn(Heard<'_>) + Sync)) {
        const KEPT: usize = 5;
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        match stream {
            Stream::Stdout if line == MARK => hear(Heard::Mark),
            Stream::Stdout if !line.is_empty() => hear(Heard::Note(line)),
            Stream::Stderr => {
                if let Some(refusal) = parse_refusal(line) {
                    self.refusal = Some(refusal);
                } else if (line.starts_with("mariadb:") || line.starts_with("mysql:"))
                    && self.others.len() < KEPT
                {
                    // Nothing else is kept: it may be a piece of the statement, with rows in it.
                    self.others.push(line.to_owned());
                }
            }
            Stream::Stdout => {}
        }
    }
}

/// `ERROR 1064 (42000) at line 3: You have ...`, `ERROR 2002 (HY000): Can't ...`
fn parse_refusal(line: &str) -> Option<Refusal> {
    let rest = line.strip_prefix("ERROR ")?;
    let (head, message) = rest.split_once(": ")?;
    let code = head
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    let head = head.split_once(" at line ").map_or(head, |(head, _)| head);
    Some(Refusal {
        code,
        text: format!("ERROR {head}: {message}"),
    })
}

fn client_argv(pipe: &Path, program: &Path, options: &Path) -> Vec<OsString> {
    let mut defaults = OsString::from("--defaults-file=");
    defaults.push(options);
    let mut args: Vec<OsString> = vec!["-c".into(), "exec \"$@\" < \"$0\"".into()];
    args.extend([pipe.into(), program.into(), defaults]);
    args.extend(
        [
            "--binary-mode",
            "--batch",
            "--skip-column-names",
            "--unbuffered",
            // Else the comments are cut out of routines.
            "--comments",
            "--show-warnings",
            // A new connection would not have the old one's settings.
            "--skip-reconnect",
            "--local-infile=0",
            "--max-allowed-packet=1G",
            "--default-character-set=utf8mb4",
            "--loose-skip-print-query-on-error",
        ]
        .map(OsString::from),
    );
    args
}

/// A named pipe in the private folder; removed when dropped.
struct Pipe {
    path: PathBuf,
}

impl Pipe {
    fn create(private_dir: &Path) -> Result<Self, ToolError> {
        let path = private_dir.join(format!("feed-{}", Uuid::new_v4().simple()));
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).map_err(|error| ToolError::Io {
            action: "create",
            path: path.clone(),
            source: error.into(),
        })?;
        Ok(Self { path })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a named pipe");
        }
    }
}

/// Writes everything into the pipe. A reader that is gone is no error here: how it ended says more.
async fn feed_pipe(
    path: &Path,
    next: &mut (dyn FnMut() -> Option<Piece> + Send),
    activity: &Activity,
    hear: &(dyn Fn(Heard<'_>) + Sync),
) -> Result<(), ToolError> {
    let fail = |source| ToolError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    };
    let mut pipe = loop {
        match pipe::OpenOptions::new().open_sender(path) {
            Ok(pipe) => break pipe,
            // Nobody reads yet.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                tokio::time::sleep(ASK_EVERY).await;
            }
            Err(error) => return Err(fail(error)),
        }
    };
    while let Some(piece) = next() {
        let written = match piece {
            Piece::Text(bytes) => pipe.write_all(&bytes).await,
            Piece::File(file, introducer) => {
                let mut chunks = match introducer {
                    Some(introducer) => read_introduced(&file, introducer),
                    None => read_chunks(&file),
                };
                let mut written = Ok(());
                while let Some(chunk) = chunks.recv().await {
                    let chunk = chunk.map_err(|source| ToolError::Io {
                        action: "read",
                        path: file.real.clone(),
                        source,
                    })?;
                    written = pipe.write_all(&chunk).await;
                    if written.is_err() {
                        break;
                    }
                    activity.touch();
                    hear(Heard::Bytes(chunk.len() as u64));
                }
                written
            }
        };
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(())
}

/// What is read on a thread of its own, a little ahead.
type Chunks = mpsc::Receiver<io::Result<Vec<u8>>>;

/// A file as it is, decompressed.
fn read_chunks(file: &SetFile) -> Chunks {
    read_ahead(file, |statements| {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let mut read = statements.reader.by_ref().take(CHUNK_BYTES as u64);
        let result = read.read_to_end(&mut chunk);
        result.map(|_| Some(chunk).filter(|chunk| !chunk.is_empty()))
    })
}

/// A file of rows, statement by statement, with introducers.
fn read_introduced(file: &SetFile, introducer: Arc<Introducer>) -> Chunks {
    read_ahead(file, move |statements| {
        let statement = statements.next_statement()?;
        Ok(statement.map(|statement| {
            let mut written = introducer.introduce(statement);
            written.extend_from_slice(b";\n");
            written
        }))
    })
}

/// Takes of a file what `next` yields, up to its end or an error.
fn read_ahead(
    file: &SetFile,
    mut next: impl FnMut(&mut Statements) -> io::Result<Option<Vec<u8>>> + Send + 'static,
) -> Chunks {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let (real, path) = (file.real.clone(), file.path.clone());
    tokio::task::spawn_blocking(move || {
        let mut statements = match Statements::open(&real, &path) {
            Ok(statements) => statements,
            Err(error) => {
                drop(sender.blocking_send(Err(error)));
                return;
            }
        };
        while let Some(piece) = next(&mut statements).transpose() {
            let is_last = piece.is_err();
            // Nobody listens any more: the load has been given up.
            if sender.blocking_send(piece).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_told_without_the_line_of_a_stream_that_nobody_sees() {
        let told = |line: &str| parse_refusal(line).map(|refusal| (refusal.code, refusal.text));
        assert_eq!(
            told("ERROR 1146 (42S02) at line 17: Table 'a.b' doesn't exist: no"),
            Some((
                1146,
                "ERROR 1146 (42S02): Table 'a.b' doesn't exist: no".to_owned()
            ))
        );
        assert_eq!(
            told("ERROR 2013 (HY000): Lost"),
            Some((2013, "ERROR 2013 (HY000): Lost".to_owned()))
        );
        assert_eq!(
            told("ERROR at line 3: ASCII '\\0' appeared").map(|told| told.0),
            Some(0)
        );
        assert_eq!(told("(1,'ERROR 5 (x): no')"), None);
    }

    #[test]
    fn of_a_failing_statement_no_row_is_kept() {
        let mut said = Said::default();
        for line in [
            "--------------",
            "INSERT INTO t VALUES (1,'secret')",
            "mariadb: unknown option '--x'",
        ] {
            said.take(Stream::Stderr, line.as_bytes(), &|_| {});
        }
        assert_eq!(said.others, ["mariadb: unknown option '--x'"]);
    }

    #[test]
    fn the_command_line_names_files_and_no_secret() {
        let argv = client_argv(Path::new("/p/feed"), Path::new("mariadb"), Path::new("/p/c.cnf"));
        let text: Vec<_> = argv
            .iter()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect();
        assert_eq!(
            text.join(" "),
            "-c exec \"$@\" < \"$0\" /p/feed mariadb --defaults-file=/p/c.cnf --binary-mode --batch \
             --skip-column-names --unbuffered --comments --show-warnings --skip-reconnect --local-infile=0 \
             --max-allowed-packet=1G --default-character-set=utf8mb4 --loose-skip-print-query-on-error"
        );
    }
}
