//! The sets that a job tries, one after the other, out of as many as wait: page by page, and no more in memory than that.

use crate::jobs::{JobError, RunContext};
use crate::locate::{places, reach};
use chrono::{DateTime, Utc};
use mykeeper_catalog::{BackupPath, Bookmark, Catalog, CatalogError, MOST_COUNTED, WaitingScope};
use mykeeper_domain::BackupId;
use mykeeper_domain::backup::Backup;
use mykeeper_domain::selection::{Choice, Draw, Lots, Select};
use std::collections::{BTreeSet, VecDeque};

/// Entries that are asked of the catalog at a time.
pub(crate) const PAGE: u32 = 200;
/// Of sets in any order the identities of so many are drawn at a time, in one pass over all that wait: each of them is as likely
/// as any other to come first. Only where more than these wait, and none of them can be tried, is there another pass.
const DRAWN: usize = 100_000;

/// What is asked of the catalog for a choice at `now`, wherever the sets lie.
pub(crate) fn scope_of(choice: &Choice, now: DateTime<Utc>) -> WaitingScope {
    WaitingScope {
        reach: None,
        tags: choice.tags.clone(),
        since: choice
            .within
            .and_then(|within| chrono::TimeDelta::from_std(within).ok())
            .and_then(|within| now.checked_sub_signed(within)),
        newest_first: choice.newest_first(),
    }
}

/// The pages of a scope, one after the other: of each the sets that a choice may try.
pub(crate) struct Pages<'a> {
    catalog: &'a dyn Catalog,
    choice: Choice,
    scope: WaitingScope,
    now: DateTime<Utc>,
    after: Option<Bookmark>,
    is_over: bool,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(
        catalog: &'a dyn Catalog,
        (choice, scope): (Choice, WaitingScope),
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            catalog,
            choice,
            scope,
            now,
            after: None,
            is_over: false,
        }
    }

    /// The next page, which may have none; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Backup>>, CatalogError> {
        if self.is_over {
            return Ok(None);
        }
        let page = self
            .catalog
            .validation_candidates(&self.scope, self.after.as_ref(), PAGE)
            .await?;
        self.is_over = page.next.is_none();
        self.after = page.next;
        Ok(Some(self.choice.candidates(page.sets, self.now)))
    }

    fn again(&mut self) {
        (self.after, self.is_over) = (None, false);
    }
}

/// The sets that a job on this node tries, in that order.
pub(super) struct Queue<'a> {
    context: &'a RunContext,
    paths: &'a [BackupPath],
    pages: Pages<'a>,
    /// Where any will do.
    draw: Option<Draw>,
    /// Those that could not be tried before: they come last, in this order.
    last: VecDeque<BackupId>,
    /// Drawn, and not yet looked at.
    drawn: VecDeque<BackupId>,
    comes_last: BTreeSet<BackupId>,
    ready: VecDeque<Backup>,
}

impl<'a> Queue<'a> {
    pub(super) fn new(
        context: &'a RunContext,
        (choice, paths): (Choice, &'a [BackupPath]),
        last: Vec<BackupId>,
    ) -> Self {
        let now = context.clock().now();
        let scope = WaitingScope {
            reach: Some(reach(paths, &context.settings)),
            ..scope_of(&choice, now)
        };
        let lots = || Draw::new(Lots::new(rand::random()), DRAWN);
        Self {
            context,
            paths,
            draw: (choice.select == Select::Random).then(lots),
            pages: Pages::new(context.environment.catalog.as_ref(), (choice, scope), now),
            comes_last: last.iter().copied().collect(),
            last: last.into(),
            drawn: VecDeque::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next one; `None` after the last.
    ///
    /// # Errors
    /// The catalog does not answer, or the run is ended.
    pub(super) async fn next(&mut self) -> Result<Option<Backup>, JobError> {
        loop {
            if self.context.cancel.is_cancelled() {
                return Err(JobError::cancelled());
            }
            if let Some(backup) = self.ready.pop_front() {
                return Ok(Some(backup));
            }
            let drawn = self.drawn.pop_front();
            if drawn.is_none() && self.fill().await? {
                continue;
            }
            let Some(id) = drawn.or_else(|| self.last.pop_front()) else {
                return Ok(None);
            };
            let backup = self.context.environment.catalog.shared_backup(id).await?;
            let candidates = self.pages.choice.candidates(backup, self.pages.now);
            self.ready = candidates
                .into_iter()
                .filter(|backup| self.may_lie_here(backup))
                .collect();
        }
    }

    /// Whether there was another page; of sets in any order, whether there was another pass.
    async fn fill(&mut self) -> Result<bool, JobError> {
        let Some(mut draw) = self.draw.take() else {
            let Some(page) = self.pages.next().await? else {
                return Ok(false);
            };
            self.ready = self.first_of(page).collect();
            return Ok(true);
        };
        if !draw.wants_more() {
            self.draw = Some(draw);
            return Ok(false);
        }
        draw.begin();
        self.pages.again();
        while let Some(page) = self.pages.next().await? {
            if self.context.cancel.is_cancelled() {
                return Err(JobError::cancelled());
            }
            self.first_of(page).for_each(|backup| draw.show(backup.id));
        }
        self.drawn = draw.drawn().into();
        self.draw = Some(draw);
        Ok(true)
    }

    fn first_of(&self, page: Vec<Backup>) -> impl Iterator<Item = Backup> {
        page.into_iter()
            .filter(|backup| !self.comes_last.contains(&backup.id) && self.may_lie_here(backup))
    }

    fn may_lie_here(&self, backup: &Backup) -> bool {
        let (settings, node) = (&self.context.settings, &self.context.environment.node);
        !places(backup, self.paths, settings, node).is_empty()
    }

    /// How many sets the job would try that lie elsewhere, for people, once none was found that lies here but those that
    /// other runs have: `3`, `more than 1000`; `None` for none.
    pub(super) async fn elsewhere(&self, taken: u64) -> Result<Option<String>, CatalogError> {
        let choice = self.pages.choice.clone();
        let scope = scope_of(&choice, self.pages.now);
        let mut pages = Pages::new(self.pages.catalog, (choice, scope), self.pages.now);
        let mut waiting = 0_u64;
        while let Some(page) = pages.next().await? {
            waiting += page.len() as u64;
            if waiting > MOST_COUNTED.saturating_add(taken) {
                return Ok(Some(format!("more than {MOST_COUNTED}")));
            }
        }
        let elsewhere = waiting.saturating_sub(taken);
        Ok((elsewhere > 0).then(|| elsewhere.to_string()))
    }
}
