//! How many of the loader's threads each database has, and what is begun first.
//!
//! The first file of a table has it for itself while it is loaded, whatever the number of threads, and the last file of a
//! database leaves all but one without work: several databases side by side keep them busy.

use super::layout::SetFile;
use futures::{Stream, StreamExt, stream};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// myloader takes no fewer.
const LEAST: u32 = 2;
/// Nor is it given more.
const MOST: u32 = 64;

/// How many threads there are in all.
pub(super) fn all_threads(wanted: u32) -> u32 {
    wanted.clamp(LEAST, MOST)
}

/// Databases in the order in which they are begun, the largest first, each with its part of the threads, in pairs: one that
/// is larger than all others together has most of them or all, and of many that are alike as many are loaded at a time as
/// there are pairs.
fn share_threads<T>(mut databases: Vec<(T, u64)>, wanted: u32) -> Vec<(T, u32)> {
    let threads = all_threads(wanted);
    let total: u128 = databases.iter().map(|(_, bytes)| u128::from(*bytes)).sum();
    let share = |bytes: u64| {
        // What is left of them would be none for another.
        if threads < 2 * LEAST {
            return threads;
        }
        let pairs = (u128::from(threads) * u128::from(bytes) + total) / (2 * total).max(1);
        let pairs = u32::try_from(pairs).unwrap_or(MOST);
        pairs.saturating_mul(2).clamp(LEAST, threads)
    };
    databases.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let with_share = |(database, bytes)| (database, share(bytes));
    databases.into_iter().map(with_share).collect()
}

/// Works on databases, the largest first, as far as their parts of the threads allow at a time. Yields what the work
/// does, as it ends.
pub(super) fn side_by_side<'w, T: 'w, Work: Future + 'w>(
    databases: Vec<(T, u64)>,
    wanted: u32,
    work: impl Fn(T, u32) -> Work + 'w,
) -> impl Stream<Item = Work::Output> + 'w {
    let threads = all_threads(wanted) as usize;
    let free = Arc::new(Semaphore::new(threads));
    let works = share_threads(databases, wanted).into_iter();
    let works = works.map(move |(database, share)| {
        let (work, free) = (work(database, share), Arc::clone(&free));
        async move {
            // It is never closed.
            let _taken = free.acquire_many(share).await.ok();
            work.await
        }
    });
    stream::iter(works).buffer_unordered(threads)
}

/// One large file that is begun last would be all that the end waits for.
pub(super) fn largest_first(data: &[(String, SetFile)]) -> Vec<&(String, SetFile)> {
    let mut data: Vec<_> = data.iter().collect();
    data.sort_by_key(|(_, file)| std::cmp::Reverse(file.plain_bytes));
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn shares(sizes: &[u64], threads: u32) -> Vec<(u64, u32)> {
        share_threads(sizes.iter().map(|bytes| (*bytes, *bytes)).collect(), threads)
    }

    #[test]
    fn many_of_one_size_are_loaded_in_pairs_of_threads() {
        assert_eq!(shares(&[100; 12], 4), [(100, 2); 12]);
        assert_eq!(shares(&[100; 12], 7), [(100, 2); 12]);
    }

    #[test]
    fn the_largest_begins_and_has_its_part_of_the_threads() {
        assert_eq!(shares(&[10, 900, 20], 4), [(900, 4), (20, 2), (10, 2)]);
        assert_eq!(
            shares(&[10, 500, 20, 490], 8),
            [(500, 4), (490, 4), (20, 2), (10, 2)]
        );
        assert_eq!(shares(&[499, 501], 4), [(501, 2), (499, 2)]);
        assert_eq!(shares(&[700, 100, 200], 16), [(700, 12), (200, 4), (100, 2)]);
    }

    #[test]
    fn one_alone_has_all() {
        assert_eq!(shares(&[7], 5), [(7, 5)]);
        assert_eq!(shares(&[u64::MAX], u32::MAX), [(u64::MAX, 64)]);
    }

    #[test]
    fn few_threads_are_not_parted() {
        assert_eq!(shares(&[5, 5], 1), [(5, 2), (5, 2)]);
        assert_eq!(shares(&[5, 5], 3), [(5, 3), (5, 3)]);
    }

    #[test]
    fn nothing_needs_no_more_than_anything() {
        assert_eq!(shares(&[0, 0], 4), [(0, 2), (0, 2)]);
        assert!(shares(&[], 4).is_empty());
    }

    #[test]
    fn the_largest_file_of_rows_is_fed_first() {
        let file = |name: &str, plain_bytes| {
            let file = SetFile {
                path: name.into(),
                real: name.into(),
                plain_bytes,
                rows: None,
            };
            (name.to_owned(), file)
        };
        let data = [file("a", 3), file("b", 90), file("c", 3), file("d", 8)];
        let order: String = largest_first(&data)
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(order, "bdac");
    }

    #[tokio::test]
    async fn as_many_are_worked_on_as_have_threads_and_no_more() {
        let most = |sizes: &'static [u64], threads| async move {
            let (busy, most) = (Cell::new(0), Cell::new(0));
            let databases = sizes.iter().map(|bytes| (*bytes, *bytes)).collect();
            let ended: Vec<u64> = side_by_side(databases, threads, |database, share| {
                let (busy, most) = (&busy, &most);
                async move {
                    busy.set(busy.get() + share);
                    most.set(most.get().max(busy.get()));
                    for _ in 0..5 {
                        tokio::task::yield_now().await;
                    }
                    busy.set(busy.get() - share);
                    database
                }
            })
            .collect()
            .await;
            assert_eq!(ended.len(), sizes.len());
            most.get()
        };
        assert_eq!(most(&[10, 10, 10, 10, 10], 4).await, 4);
        assert_eq!(most(&[10, 900, 10], 4).await, 4);
        assert_eq!(most(&[10, 10, 10], 3).await, 3);
        assert_eq!(most(&[10; 40], 64).await, 64);
    }
}
