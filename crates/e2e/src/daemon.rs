//! `mykeeper daemon`, started as systemd would.

use crate::binary::{Binary, send};
use crate::processes::{ProcessId, descendants_of};
use crate::wait::{LIMIT, wait_until};
use rustix::process::Signal;
use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The running daemon. Dropped, it is killed, with everything below it.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: PathBuf,
    /// How long the log was before this one wrote to it.
    log_began_at: u64,
    said: Arc<Mutex<Vec<String>>>,
    ended: Option<ExitStatus>,
}

impl Daemon {
    pub(crate) fn start(binary: &Binary, config: &Path, dir: &Path) -> Self {
        let number = uuid::Uuid::new_v4().simple().to_string();
        let address = dir.join(format!("n-{}", &number[..8]));
        let socket = UnixDatagram::bind(&address).expect("a socket within our own folder");
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("a limit on our own socket");
        let said = Arc::new(Mutex::new(Vec::new()));
        let (heard, gone) = (Arc::clone(&said), Arc::downgrade(&said));
        std::thread::spawn(move || listen(&socket, &heard, &gone));

        // One log for all daemons of a workspace, one after another.
        let log = dir.join("daemon.log");
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log file in our own folder");
        let log_began_at = output.metadata().map_or(0, |metadata| metadata.len());
        let child = binary
            .command(config)
            .arg("daemon")
            .env("NOTIFY_SOCKET", &address)
            .env("WATCHDOG_USEC", "3000000")
            .stdout(output.try_clone().expect("a second handle of the log"))
            .stderr(output)
            .spawn()
            .expect("mykeeper can be started");
        Self {
            child,
            log,
            log_began_at,
            said,
            ended: None,
        }
    }

    /// Waits for READY.
    pub fn wait_ready(&mut self) {
        wait_until(LIMIT, &format!("the daemon says READY\n{}", self.log()), || {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the daemon ended at its start with {status}:\n{}", self.log());
            }
            self.notified("READY=1").then_some(())
        });
    }

    /// Whether it told the service manager so (a whole line), since its start.
    pub fn notified(&self, line: &str) -> bool {
        self.notifications().iter().any(|said| said == line)
    }

    /// Every line that it told the service manager.
    pub fn notifications(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything below it.
    pub fn descendants(&self) -> Vec<ProcessId> {
        descendants_of(self.pid())
    }

    /// Everything it has written.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The same without what the daemons before it in this workspace have written.
    pub fn own_log(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let began_at = usize::try_from(self.log_began_at).unwrap_or(usize::MAX);
        String::from_utf8_lossy(log.get(began_at..).unwrap_or_default()).into_owned()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        send(self.child.id(), signal);
    }

    /// Asks it to read its files again, and waits until it has.
    pub fn reload(&self) {
        let before = self.count("READY=1");
        self.signal(Signal::HUP);
        wait_until(LIMIT, "the daemon says READY after its reload", || {
            (self.count("READY=1") > before).then_some(())
        });
    }

    fn count(&self, line: &str) -> usize {
        self.notifications().iter().filter(|said| *said == line).count()
    }

    /// How it has ended, if it has.
    pub fn try_end(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait_end(&mut self, limit: Duration) -> ExitStatus {
        if let Some(status) = self.ended {
            return status;
        }
        let status = wait_until(limit, "the daemon ends", || self.child.try_wait().ok().flatten());
        self.ended = Some(status);
        status
    }

    /// SIGTERM, and its exit code.
    #[track_caller]
    pub fn stop(&mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait_end(LIMIT).code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.ended.is_none() && matches!(self.child.try_wait(), Ok(None)) {
            let below = self.descendants();
            let _ = self.child.kill();
            let _ = self.child.wait();
            below.iter().for_each(ProcessId::kill);
        }
    }
}

fn listen(socket: &UnixDatagram, heard: &Mutex<Vec<String>>, gone: &std::sync::Weak<Mutex<Vec<String>>>) {
    let mut buffer = [0_u8; 8192];
    // Two owners: the daemon's handle and this thread.
    while gone.strong_count() > 1 {
        let Ok(count) = socket.recv(&mut buffer) else {
            continue;
        };
        let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
        heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(text.lines().map(str::to_owned));
    }
}
