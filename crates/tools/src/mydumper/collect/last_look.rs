//! The end of a dump's folder: what is not known as it is now is read now.

use super::folder::{list, serves};
use super::reading::{is_packable, spawn_reader};
use super::{Collected, Collector};
use crate::error::ToolError;
use crate::pipeline::Handled;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What is being read when the dump is given up has so long to notice; a file system may be away.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(30);

impl Collector<'_> {
    /// One look at the folder: what is not known as it is now is read now, unless the end came from outside, when
    /// nothing can be whole.
    pub(super) async fn finish(mut self, give_up: &CancellationToken) -> Collected {
        let away = format!("the file system of {} does not answer", self.dir.display());
        while let Some(Some(read)) = unless_away(give_up, self.reading.join_next()).await {
            if let Ok((name, stamp, result)) = read {
                self.keep(&name, stamp, result);
            }
        }
        let mut collected = Collected {
            gone: &self.gone - &self.had_rows.iter().cloned().collect(),
            ..Collected::default()
        };
        let dir = self.dir.clone();
        let listing = tokio::task::spawn_blocking(move || list(&dir));
        let files = match unless_away(give_up, listing).await {
            Some(Ok(Ok(files))) => files,
            None => {
                collected.fault = Some(away);
                return collected;
            }
            Some(Ok(Err(error))) => {
                collected.fault = Some(error.to_string());
                return collected;
            }
            Some(Err(error)) => {
                collected.fault = Some(format!("cannot list {}: {error}", self.dir.display()));
                return collected;
            }
        };
        collected.lost = self.with_rows.missing(&files);
        // Of a dump that has failed nothing more is packed: what is there is told as it lies.
        let packers = self.packers.as_ref().filter(|packers| packers.is_whole());
        let is_to_be_packed = |name: &str| packers.is_some() && is_packable(name);
        let mut unread: Vec<(u64, String)> = Vec::new();
        for (name, stamp) in files {
            match self
                .known
                .get(&stamp.inode)
                .filter(|known| known.stamp == stamp && serves(known, &name))
                .filter(|known| known.fault.is_some() || !is_to_be_packed(&name))
            {
                Some(known) => drop(collected.digests.insert(name, Ok(known.clone()))),
                None => unread.push((stamp.size_bytes, name)),
            }
        }
        let mut unread = largest_first(unread);
        let mut done_bytes = self.finished_bytes;
        let mut readers: JoinSet<(String, (), Result<Handled, ToolError>)> = JoinSet::new();
        loop {
            while !give_up.is_cancelled()
                && readers.len() < self.readers()
                && let Some(name) = unread.pop_front()
            {
                let packers = packers.map(|packers| (packers, true));
                let course = (give_up.clone(), self.activity.clone());
                spawn_reader(&mut readers, (&self.dir, name, ()), packers, course);
            }
            match unless_away(give_up, readers.join_next()).await {
                Some(Some(Ok((name, (), result)))) => {
                    let (name, digest) = match result {
                        Ok(handled) => {
                            self.tell(&handled);
                            done_bytes += self.written_bytes(&handled.digest);
                            self.report_bytes(done_bytes);
                            if let Some(why) = handled.left_plain {
                                collected.left_plain.get_or_insert((0, why)).0 += 1;
                            }
                            (handled.name, Ok(handled.digest))
                        }
                        Err(error) => (name, Err(error.to_string())),
                    };
                    collected.digests.insert(name, digest);
                }
                Some(Some(Err(error))) => collected.fault = Some(format!("cannot read a file: {error}")),
                Some(None) => break,
                None => {
                    collected.fault = Some(away);
                    break;
                }
            }
        }
        for name in unread {
            collected
                .digests
                .insert(name, Err("it was not read, as the dump was ended".to_owned()));
        }
        collected
    }
}

/// One large file that is begun last would be all that the end waits for.
fn largest_first(mut files: Vec<(u64, String)>) -> VecDeque<String> {
    files.sort_by(|(one, a), (other, b)| other.cmp(one).then_with(|| a.cmp(b)));
    files.into_iter().map(|(_, name)| name).collect()
}

/// What comes of `work`; `None` when the dump is given up and nothing has come of it some time later.
async fn unless_away<T>(give_up: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        result = work => Some(result),
        () = async {
            give_up.cancelled().await;
            tokio::time::sleep(GIVEN_UP_WITHIN).await;
        } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_the_last_files_is_begun_first() {
        let files = [(3, "b"), (9, "z"), (3, "a"), (0, "c")];
        let files = files.map(|(size, name)| (size, name.to_owned())).to_vec();
        assert_eq!(largest_first(files), ["z", "a", "b", "c"]);
    }
}
