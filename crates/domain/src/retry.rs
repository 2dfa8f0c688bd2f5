//! How often, and how long apart, something is tried again.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest wait between two attempts.
pub const MAX_DELAY: Duration = Duration::from_secs(6 * 3600);

/// How far a wait is from the even one at most, as a part of it: those who failed together do not come back together.
const SPREAD: f64 = 0.2;

/// Attempts in all, and the wait before the second; it doubles each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// How many attempts there are in all, the first included; at least 1.
    pub attempts: u32,
    /// The wait before the second attempt.
    pub delay: Duration,
}

impl RetryPolicy {
    /// One attempt, none after it.
    pub const NONE: Self = Self {
        attempts: 1,
        delay: Duration::ZERO,
    };

    /// The wait after attempt `attempt` (1 is the first) has failed; `None` when it was the last. `random`, from 0 to
    /// 1, says where it falls within a fifth around the even wait.
    pub fn delay_after(&self, attempt: u32, random: f64) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
        // The longest of them is within the limit, so that they are apart there, too.
        let even = self
            .delay
            .saturating_mul(factor)
            .min(MAX_DELAY.div_f64(1.0 + SPREAD));
        let spread = 1.0 - SPREAD + 2.0 * SPREAD * random.clamp(0.0, 1.0);
        Some(even.mul_f64(spread).min(MAX_DELAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_ends() {
        let policy = RetryPolicy {
            attempts: 3,
            delay: Duration::from_secs(300),
        };
        assert_eq!(policy.delay_after(1, 0.5), Some(Duration::from_secs(300)));
        assert_eq!(policy.delay_after(2, 0.5), Some(Duration::from_secs(600)));
        assert_eq!(policy.delay_after(3, 0.5), None);
        assert_eq!(RetryPolicy::NONE.delay_after(1, 0.5), None);
    }

    #[test]
    fn those_who_failed_together_come_back_apart() {
        let policy = RetryPolicy {
            attempts: 9,
            delay: Duration::from_secs(300),
        };
        for (random, seconds) in [(0.0, 240), (0.25, 270), (1.0, 360), (7.0, 360), (-1.0, 240)] {
            assert_eq!(
                policy.delay_after(1, random),
                Some(Duration::from_secs(seconds)),
                "{random}"
            );
        }
        let waits: Vec<Duration> = (1..8)
            .filter_map(|attempt| policy.delay_after(attempt, 0.9))
            .collect();
        assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
        let longest = |random| policy.delay_after(8, random).unwrap();
        assert!(longest(0.2) < longest(0.8) && longest(0.8) < longest(1.0));
        assert!(longest(1.0) <= MAX_DELAY && longest(1.0) > MAX_DELAY.mul_f64(0.99));
    }

    #[test]
    fn a_huge_count_does_not_overflow() {
        let policy = RetryPolicy {
            attempts: u32::MAX,
            delay: Duration::from_secs(300),
        };
        assert_eq!(
            policy.delay_after(4_000_000, 0.5),
            Some(MAX_DELAY.div_f64(1.0 + SPREAD))
        );
    }
}
