//! Chance that can be had again.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::time::Duration;

/// One row of chances.
#[derive(Debug)]
pub(crate) struct Dice(StdRng);

impl Dice {
    /// Of a fault of its own: the same whether it is injected alone or after others.
    pub(crate) fn of(seed: u64, name: &str) -> Self {
        // FNV-1a: tells one name from another, no more.
        let own = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(StdRng::seed_from_u64(seed ^ own))
    }

    /// A time between two numbers of milliseconds.
    pub(crate) fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(self.0.random_range(least..=most))
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        *list.choose(&mut self.0).expect("a list that is not empty")
    }

    /// A number below another, which is not zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// True so many times of a hundred.
    pub(crate) fn percent(&mut self, share: u32) -> bool {
        self.0.random_range(0..100) < share
    }
}
