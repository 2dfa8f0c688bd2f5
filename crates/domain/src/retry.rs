//! How often, and how long apart, something is tried again.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest wait between two attempts.
pub const MAX_DELAY: Duration = Duration::from_secs(6 * 3600);

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

    /// The wait after attempt `attempt` (1 is the first) has failed; `None` when it was the last.
    pub fn delay_after(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
        Some(self.delay.saturating_mul(factor).min(MAX_DELAY))
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
        assert_eq!(policy.delay_after(1), Some(Duration::from_secs(300)));
        assert_eq!(policy.delay_after(2), Some(Duration::from_secs(600)));
        assert_eq!(policy.delay_after(3), None);
        assert_eq!(RetryPolicy::NONE.delay_after(1), None);
    }

    #[test]
    fn a_huge_count_does_not_overflow() {
        let policy = RetryPolicy {
            attempts: u32::MAX,
            delay: Duration::from_secs(300),
        };
        assert_eq!(policy.delay_after(4_000_000), Some(MAX_DELAY));
    }
}
