//! Signs of life besides output.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::time::{Duration, Instant};

/// Anything that shows a child is alive besides its output, such as bytes that appear in a folder.
///
/// Clones share one state; [`touch`](Activity::touch) may be called from any thread and never goes backwards.
#[derive(Clone, Debug)]
pub struct Activity {
    base: Instant,
    last_ms: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

impl Activity {
    /// An activity last touched now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            base: Instant::now(),
            last_ms: Arc::new(AtomicU64::new(0)),
            is_over: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Notes a sign of life.
    pub fn touch(&self) {
        let elapsed_ms = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.fetch_max(elapsed_ms, Ordering::Relaxed);
    }

    /// How long it has not been touched.
    #[must_use]
    pub fn idle_for(&self) -> Duration {
        self.last().elapsed()
    }

    /// Whether the child is being ended from here, or has ended: who holds it up must let it go on.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    pub(crate) fn last(&self) -> Instant {
        self.base + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self::new()
    }
}
