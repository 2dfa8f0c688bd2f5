//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Generous: a slow machine passes, a hang is named.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Asks until there is an answer and gives it; fails the test with `what` when `limit` is over.
pub fn wait_until<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(40));
    }
}
