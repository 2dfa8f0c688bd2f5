//! What an attempt leaves behind that did what it was for, and what it takes back where it did not.

use crate::jobs::RunContext;
use crate::jobs::ahead::Ahead;
use crate::jobs::immediate::Ready;
use mykeeper_domain::backup::Backup;

/// A complete set, and what was begun for it while it was dumped.
pub(super) struct Made {
    pub(super) backup: Backup,
    pub(super) ahead: Option<Ahead>,
    pub(super) ready: Option<Ready>,
}

/// There will be no such set.
pub(super) async fn give_up(context: &RunContext, (ahead, ready): (Option<Ahead>, Option<Ready>)) {
    if let Some(ready) = ready {
        ready.put_away().await;
    }
    if let Some(ahead) = ahead {
        ahead.give_up(context).await;
    }
}
