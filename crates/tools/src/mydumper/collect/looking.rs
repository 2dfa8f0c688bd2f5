//! Looks at one waiting file after another, off the runtime's threads. Of a file system that does not answer one look hangs,
//! and the collector goes on: it is told that the dump has ended, or is given up, whatever the disk does.

use std::fs::Metadata;
use std::io;
use std::path::Path;
use tokio::task::JoinHandle;

/// What a look has come to: the file's name in the folder, and what it is.
type Looked = (String, io::Result<Metadata>);

/// At most one look at a time.
#[derive(Debug)]
pub(super) struct Looking {
    look: fn(&Path) -> io::Result<Metadata>,
    under_way: Option<JoinHandle<Looked>>,
}

impl Default for Looking {
    fn default() -> Self {
        Self {
            look: |path| std::fs::symlink_metadata(path),
            under_way: None,
        }
    }
}

impl Looking {
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Begins to look at a file of this folder.
    pub(super) fn begin(&mut self, dir: &Path, name: String) {
        let (look, path) = (self.look, dir.join(&name));
        self.under_way = Some(tokio::task::spawn_blocking(move || (name, look(&path))));
    }

    /// What the look that is under way has come to. Never returns while there is none. Nothing is lost when it is not
    /// waited for any more.
    pub(super) async fn end(&mut self) -> Option<Looked> {
        let looked = match &mut self.under_way {
            Some(under_way) => under_way.await,
            None => std::future::pending().await,
        };
        self.under_way = None;
        looked.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Collector, watch};
    use crate::log::NoLog;
    use mykeeper_supervise::Activity;
    use std::fs::{self, Metadata};
    use std::io;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};
    use tokio_util::sync::CancellationToken;

    static LOOKS: AtomicUsize = AtomicUsize::new(0);
    static ANSWERS: AtomicBool = AtomicBool::new(false);

    /// Of a disk that hangs.
    fn hanging(path: &Path) -> io::Result<Metadata> {
        LOOKS.fetch_add(1, Ordering::SeqCst);
        let began = Instant::now();
        while !ANSWERS.load(Ordering::SeqCst) && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        fs::symlink_metadata(path)
    }

    #[tokio::test]
    async fn a_look_that_is_not_answered_holds_up_neither_the_end_nor_another_thread() {
        let dir = tempfile::tempdir().unwrap();
        let events = watch(dir.path()).unwrap();
        let mut collector = Collector::new((dir.path(), events), Activity::new(), &NoLog, 0);
        collector.looking.look = hanging;
        for name in ["a.t.sql", "a.u.sql", "a.v.sql"] {
            fs::write(dir.path().join(name), "INSERT INTO t VALUES (1);\n").unwrap();
        }
        let (done, give_up) = (CancellationToken::new(), CancellationToken::new());
        let ending = async {
            while LOOKS.load(Ordering::SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            done.cancel();
        };
        let work = async { tokio::join!(collector.run(done.clone(), give_up), ending).0 };
        // Three looks of five seconds would be longer.
        let collected = tokio::time::timeout(Duration::from_secs(4), work).await;
        let looks = LOOKS.load(Ordering::SeqCst);
        ANSWERS.store(true, Ordering::SeqCst);
        let names: Vec<String> = collected.unwrap().digests.into_keys().collect();
        assert_eq!(
            names,
            ["a.t.sql", "a.u.sql", "a.v.sql"],
            "the last look finds them"
        );
        assert_eq!(looks, 1, "no other thread hangs beside it");
    }
}
