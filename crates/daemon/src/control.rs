//! What a command may ask of the daemon that lives, and hear what came of it: one thing so far, to read both files
//! again.
//!
//! A socket of mode 0600: the daemon's own user and root may talk to it, and the kernel says who does. One line of
//! JSON goes there, one comes back, each of bounded length and within a bounded time.

use crate::error::DaemonError;
use crate::status::ReloadRecord;
use serde::{Deserialize, Serialize};
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// The socket's name in its folder.
pub const SOCKET: &str = "control.sock";
/// The longest request, in bytes.
const LONGEST_REQUEST: u64 = 16 * 1024;
/// The longest answer: every mistake of two files.
const LONGEST_ANSWER: u64 = 4 * 1024 * 1024;
/// How long a request may take to arrive, and an answer to be taken.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// How long the daemon may take for its answer: to read both files, and to put the jobs in force.
const ANSWERED_WITHIN: Duration = Duration::from_secs(120);
/// How many may ask at a time; others wait in the kernel.
const ASK_AT_ONCE: usize = 8;
/// How long after a failure to accept the next try is.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Ask {
    /// To read both files again.
    Reload {
        /// The file that the asker means: another daemon is not to take it for its own.
        keeper_file: PathBuf,
    },
}

/// A reload that is asked for.
#[derive(Debug)]
pub(crate) struct ReloadRequest {
    answer: oneshot::Sender<Result<ReloadRecord, String>>,
}

impl ReloadRequest {
    /// Tells the asker what came of it; one who has gone misses nothing.
    pub(crate) fn answer(self, record: ReloadRecord) {
        drop(self.answer.send(Ok(record)));
    }

    /// Tells the asker why it is not known what comes of it.
    pub(crate) fn fail(self, why: String) {
        drop(self.answer.send(Err(why)));
    }
}

/// The open socket. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    requests: mpsc::Receiver<ReloadRequest>,
    _accepting: AbortOnDropHandle<()>,
}

impl Control {
    /// Opens it in place of one that an earlier daemon has left: only one daemon has this folder.
    pub(crate) fn open(path: &Path, keeper_file: &Path) -> std::io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        let (sender, requests) = mpsc::channel(ASK_AT_ONCE);
        let accepting = tokio::spawn(accept(listener, sender, keeper_file.to_owned()));
        Ok(Self {
            path: path.to_owned(),
            requests,
            _accepting: AbortOnDropHandle::new(accepting),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The next that is asked; `None` never comes while it is open.
    pub(crate) async fn next(&mut self) -> Option<ReloadRequest> {
        self.requests.recv().await
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

async fn accept(listener: UnixListener, requests: mpsc::Sender<ReloadRequest>, keeper_file: PathBuf) {
    let room = Arc::new(Semaphore::new(ASK_AT_ONCE));
    let keeper_file = Arc::new(keeper_file);
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket takes nobody for now");
                tokio::time::sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let (requests, keeper_file) = (requests.clone(), Arc::clone(&keeper_file));
        tokio::spawn(async move {
            if let Err(error) = serve_one(stream, &requests, &keeper_file).await {
                tracing::debug!(%error, "someone at the control socket was not served");
            }
            drop(permit);
        });
    }
}

async fn serve_one(
    mut stream: UnixStream,
    requests: &mpsc::Sender<ReloadRequest>,
    keeper_file: &Path,
) -> std::io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    if peer != 0 && peer != rustix::process::geteuid().as_raw() {
        return Err(std::io::Error::other(format!("user {peer} may not ask anything")));
    }
    let mut line = String::new();
    let (reader, mut writer) = stream.split();
    let mut reader = tokio::io::BufReader::new(reader.take(LONGEST_REQUEST));
    tokio::time::timeout(TOLD_WITHIN, reader.read_line(&mut line)).await??;
    let answer = match serde_json::from_str(&line) {
        Ok(Ask::Reload { keeper_file: meant }) if meant == keeper_file => ask_reload(requests).await,
        Ok(Ask::Reload { keeper_file: meant }) => Err(format!(
            "the daemon (pid {}) reads {}, not {}; name its file with --config",
            std::process::id(),
            keeper_file.display(),
            meant.display()
        )),
        Err(error) => Err(format!("the daemon does not know what is asked: {error}")),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    tokio::time::timeout(TOLD_WITHIN, writer.write_all(&text)).await?
}

async fn ask_reload(requests: &mpsc::Sender<ReloadRequest>) -> Result<ReloadRecord, String> {
    let stopping = || "the daemon stops, and reads nothing any more".to_owned();
    let (answer, answered) = oneshot::channel();
    requests
        .send(ReloadRequest { answer })
        .await
        .map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())?
}

/// Asks the daemon behind `socket` to read both files again, and waits until it has put them in force or refused them.
/// Blocks for two minutes at most.
///
/// # Errors
/// [`DaemonError::Control`]: nobody listens there, the daemon reads another file than `keeper_file`, or does not
/// answer.
pub fn reload(socket: &Path, keeper_file: &Path) -> Result<ReloadRecord, DaemonError> {
    let failed = |cause: String| DaemonError::Control {
        socket: socket.to_owned(),
        cause,
    };
    let io = |error: std::io::Error| failed(error.to_string());
    let mut stream = BlockingStream::connect(socket).map_err(io)?;
    stream.set_write_timeout(Some(TOLD_WITHIN)).map_err(io)?;
    stream.set_read_timeout(Some(ANSWERED_WITHIN)).map_err(io)?;
    let ask = Ask::Reload {
        keeper_file: keeper_file.to_owned(),
    };
    let mut text = serde_json::to_vec(&ask).map_err(|error| failed(error.to_string()))?;
    text.push(b'\n');
    stream.write_all(&text).map_err(io)?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_ANSWER))
        .read_line(&mut line)
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => failed(format!("no answer within {ANSWERED_WITHIN:?}")),
            _ => io(error),
        })?;
    if line.is_empty() {
        return Err(failed("the daemon has hung up without an answer".to_owned()));
    }
    serde_json::from_str::<Result<ReloadRecord, String>>(&line)
        .map_err(|error| failed(format!("an answer that cannot be read: {error}")))?
        .map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_asks_is_answered_once_and_a_line_without_an_end_or_sense_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(SOCKET);
        let file = PathBuf::from("/etc/mykeeper/mykeeper.toml");
        std::fs::write(&path, "left by an earlier one").unwrap();
        let mut control = Control::open(&path, &file).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let ask = |file: PathBuf| {
            let path = path.clone();
            tokio::task::spawn_blocking(move || reload(&path, &file))
        };
        let asked = ask(file.clone());
        let record = ReloadRecord {
            at: chrono::DateTime::UNIX_EPOCH,
            accepted: false,
            message: "line 3: no such key\n\"中文\"".to_owned(),
        };
        control.next().await.unwrap().answer(record.clone());
        assert_eq!(asked.await.unwrap().unwrap(), record);

        let asked = ask(file.clone());
        control.next().await.unwrap().fail("it hangs".to_owned());
        let hangs = asked.await.unwrap().unwrap_err().to_string();
        assert!(hangs.contains("it hangs"), "{hangs}");

        let other = ask("/elsewhere/mykeeper.toml".into()).await.unwrap().unwrap_err();
        assert!(
            other.to_string().contains("not /elsewhere/mykeeper.toml"),
            "{other}"
        );

        let endless = path.clone();
        let said = tokio::task::spawn_blocking(move || {
            let mut stream = BlockingStream::connect(endless).unwrap();
            stream.set_read_timeout(Some(ANSWERED_WITHIN)).unwrap();
            stream.write_all(&vec![b'x'; 17 * 1024]).ok();
            let mut said = String::new();
            stream.read_to_string(&mut said).ok();
            said
        });
        let said = said.await.unwrap();
        assert!(
            said.contains("does not know what is asked") || said.is_empty(),
            "{said}"
        );

        // What is asked of a daemon that stops ends at once.
        let asked = ask(file);
        let request = control.next().await.unwrap();
        drop(request);
        let stopping = asked.await.unwrap().unwrap_err().to_string();
        assert!(stopping.contains("stops"), "{stopping}");
        drop(control);
        assert!(!path.exists());
    }
}
