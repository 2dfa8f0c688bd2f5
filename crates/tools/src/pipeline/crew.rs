//! The threads that pack. Not those of the runtime: their priority is lowered, which only root could take back.

use super::pack::{Handled, PackJob, pack_file};
use super::packer::Packer;
use crate::error::ToolError;
use mykeeper_domain::packing::Packing;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// Degrees below the rest of this program. The kernel weighs them against threads of its control group alone: mydumper is
/// one of ours and comes first; a server that is a service of its own shares the processors with all of ours by the
/// weights of the groups (`CPUWeight=`), whatever they are.
const NICER_BY: i32 = 10;
const NICEST: i32 = 19;
/// More would wait for the disk, and each holds some memory.
const MOST_THREADS: usize = 16;

type Answer = oneshot::Sender<Result<Handled, ToolError>>;

/// Some threads, gone when this is dropped and each has done what it is at.
#[derive(Debug)]
pub(crate) struct Crew {
    jobs: Sender<(PackJob, Answer)>,
    threads: usize,
    packing: Packing,
}

impl Crew {
    /// As many threads as `wanted`, and no more than there are processors.
    ///
    /// # Errors
    /// [`ToolError::Run`]: not one can be had.
    pub(crate) fn start(packing: Packing, wanted: usize) -> Result<Self, ToolError> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = wanted.min(processors).clamp(1, MOST_THREADS);
        let (jobs, queue) = channel();
        let queue = Arc::new(Mutex::new(queue));
        let mut started = 0;
        let mut failure = None;
        for number in 0..threads {
            let queue = queue.clone();
            // Here, where it can be told.
            let made = Packer::new(packing).and_then(|packer| {
                let thread = std::thread::Builder::new().name(format!("pack-{number}"));
                thread.spawn(move || work(&queue, packer))
            });
            match made {
                Ok(_) => started += 1,
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure.filter(|_| started == 0) {
            return Err(ToolError::Run {
                program: "a thread to compress on".to_owned(),
                cause: error.to_string(),
            });
        }
        Ok(Self {
            jobs,
            threads: started,
            packing,
        })
    }

    /// How many files are packed at the same time.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// What the names of packed files end with.
    pub(crate) fn ending(&self) -> &'static str {
        self.packing.format.ending()
    }

    /// Has a file packed. The work goes on also where nobody waits for it.
    pub(crate) fn pack(
        &self,
        job: PackJob,
    ) -> impl Future<Output = Result<Handled, ToolError>> + Send + use<> {
        let (answer, told) = oneshot::channel();
        let path = job.dir.join(&job.name);
        let sent = self.jobs.send((job, answer));
        async move {
            let lost = |_| ToolError::Io {
                action: "compress",
                path,
                source: io::Error::other("the thread that did it has ended"),
            };
            match sent {
                Ok(()) => told.await.map_err(|_| lost(())).flatten(),
                Err(_) => Err(lost(())),
            }
        }
    }
}

fn work(queue: &Mutex<Receiver<(PackJob, Answer)>>, mut packer: Packer) {
    // Of this thread alone, on Linux.
    let lowered = rustix::process::getpriority_process(None)
        .and_then(|now| rustix::process::setpriority_process(None, (now + NICER_BY).min(NICEST)));
    if let Err(error) = lowered {
        tracing::debug!(%error, "files are compressed at the usual priority");
    }
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((job, answer)) = next else { return };
        let handled = pack_file(&mut packer, &job);
        // Who asked may have gone.
        drop(answer.send(handled));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::packing::PackFormat;
    use mykeeper_supervise::Activity;
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn many_files_are_packed_by_few_threads_whose_priority_is_low() {
        let dir = tempfile::tempdir().unwrap();
        let crew = Crew::start(Packing::of(PackFormat::Zstd), 2).unwrap();
        assert!((1..=2).contains(&crew.threads()));
        let mut packing = Vec::new();
        for number in 0..50 {
            let name = format!("a.t.{number:05}.sql");
            std::fs::write(dir.path().join(&name), "INSERT INTO a VALUES (1);\n").unwrap();
            packing.push(crew.pack(PackJob {
                dir: dir.path().to_owned(),
                name,
                ending: crew.ending(),
                keep_text_bytes: 0,
                head: None,
                is_over: false,
                stop: CancellationToken::new(),
                activity: Activity::new(),
            }));
        }
        for handled in futures::future::join_all(packing).await {
            assert_eq!(handled.unwrap().digest.rows, 1);
        }
        let is_packed = |entry: io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().to_string_lossy().ends_with(".sql.zst")
        };
        assert!(std::fs::read_dir(dir.path()).unwrap().all(is_packed));
        let own = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(nice_of("pack-0"), Some((own + NICER_BY).min(NICEST)));
    }

    /// Of a thread of this process.
    fn nice_of(name: &str) -> Option<i32> {
        for thread in std::fs::read_dir("/proc/self/task").unwrap() {
            let path = thread.unwrap().path();
            let Ok(stat) = std::fs::read_to_string(path.join("stat")) else {
                continue;
            };
            if stat.contains(&format!("({name})")) {
                return stat
                    .rsplit_once(')')?
                    .1
                    .split_ascii_whitespace()
                    .nth(16)?
                    .parse()
                    .ok();
            }
        }
        None
    }
}
