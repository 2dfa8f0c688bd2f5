//! Who waits before whom, for each job: the first of each line are counted, the others stand behind them.

use super::Inquiry;
use crate::jobs::validation::queue::{Pages, scope_of};
use crate::jobs::validation::untried::Untried;
use crate::locate::{places, reach};
use chrono::{DateTime, Utc};
use mykeeper_catalog::{BackupPath, CatalogError, Lease, MOST_COUNTED, WaitingScope};
use mykeeper_domain::backup::Backup;
use mykeeper_domain::selection::{Choice, Select};
use mykeeper_domain::unproven::LastTry;
use mykeeper_domain::{BackupId, JobName, NodeName};
use std::collections::HashSet;

/// One validation job of some node, with the sets that it will take, in that order.
pub(super) struct Line {
    pub(super) node: NodeName,
    pub(super) job: JobName,
    pub(super) choice: Choice,
    pub(super) next_at: Option<DateTime<Utc>>,
    /// Those that it takes first, as far as they are counted.
    pub(super) sets: Vec<BackupId>,
    /// Whether these are all.
    pub(super) is_whole: bool,
    /// Those of them that could not be tried: they come last.
    pub(super) untried: HashSet<BackupId>,
    pub(super) is_ours: bool,
    /// Its last run, where that came to no set for what all sets take: a statement that no server understands, say.
    pub(super) hindered: Option<LastTry>,
}

/// The first of those that a job takes, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    sets: Vec<BackupId>,
    /// Whether these are all.
    is_whole: bool,
}

/// Asks for the heads of lines, each once.
pub(super) struct Heads<'a> {
    inquiry: &'a Inquiry<'a>,
    backups: &'a [Backup],
    paths: &'a [BackupPath],
    /// What was asked for before: the jobs of a fleet choose alike.
    elsewhere: Vec<(Choice, Head)>,
}

impl<'a> Heads<'a> {
    /// For those jobs that would take one of `backups`.
    pub(super) fn new(inquiry: &'a Inquiry<'a>, backups: &'a [Backup], paths: &'a [BackupPath]) -> Self {
        Self {
            inquiry,
            backups,
            paths,
            elsewhere: Vec::new(),
        }
    }

    /// Of a job of this node.
    pub(super) async fn here(&self, choice: &Choice) -> Result<Head, CatalogError> {
        let settings = self.inquiry.settings;
        let scope = WaitingScope {
            reach: Some(reach(self.paths, settings)),
            ..scope_of(choice, self.inquiry.now)
        };
        let is_here = |backup: &Backup| !places(backup, self.paths, settings, &settings.node).is_empty();
        self.head(choice, scope, is_here).await
    }

    /// Of another node's job: it is not known here what lies there.
    pub(super) async fn anywhere(&mut self, choice: &Choice) -> Result<Head, CatalogError> {
        if let Some((_, head)) = self.elsewhere.iter().find(|(asked, _)| asked == choice) {
            return Ok(head.clone());
        }
        let scope = scope_of(choice, self.inquiry.now);
        let head = self.head(choice, scope, |_| true).await?;
        self.elsewhere.push((choice.clone(), head.clone()));
        Ok(head)
    }

    async fn head(
        &self,
        choice: &Choice,
        scope: WaitingScope,
        is_taken: impl Fn(&Backup) -> bool,
    ) -> Result<Head, CatalogError> {
        let mut head = Head::default();
        let criteria = choice.criteria(self.inquiry.now);
        if self
            .backups
            .iter()
            .all(|backup| criteria.refusal(backup).is_some())
        {
            return Ok(head);
        }
        let mut pages = Pages::new(self.inquiry.catalog, (choice.clone(), scope), self.inquiry.now);
        while let Some(page) = pages.next().await? {
            head.sets.extend(
                page.iter()
                    .filter(|backup| is_taken(backup))
                    .map(|backup| backup.id),
            );
            if head.sets.len() as u64 > MOST_COUNTED {
                return Ok(head);
            }
        }
        head.is_whole = true;
        Ok(head)
    }
}

/// How many sets are taken before one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ahead {
    pub(super) sets: u64,
    /// These at least: they are not counted to the end.
    pub(super) or_more: bool,
}

impl Line {
    /// Of another node, nothing being known of its slots.
    pub(super) fn of((node, job, choice): (NodeName, JobName, Choice), head: &Head, noted: &[Lease]) -> Self {
        let remembered = Untried::of_node(&node, noted).remembered_last();
        let known: HashSet<BackupId> = head.sets.iter().copied().collect();
        let last: Vec<BackupId> = remembered.into_iter().filter(|id| known.contains(id)).collect();
        let untried: HashSet<BackupId> = last.iter().copied().collect();
        let first = head.sets.iter().copied().filter(|id| !untried.contains(id));
        Self {
            node,
            job,
            choice,
            next_at: None,
            sets: first.chain(last.iter().copied()).collect(),
            is_whole: head.is_whole,
            untried,
            is_ours: false,
            hindered: None,
        }
    }

    /// How many sets are taken before this one.
    pub(super) fn before(&self, id: BackupId) -> Ahead {
        let place = self.sets.iter().position(|set| *set == id);
        let firm = self.sets.len() - self.untried.len();
        let is_untried = self.untried.contains(&id);
        let (count, is_counted) = match (self.choice.select, place) {
            // Of those that are not counted it is not known which come before the last of all.
            (_, Some(_)) if is_untried && !self.is_whole => (firm, false),
            // Any of those that could be tried, then any of the others.
            (Select::Random, Some(_)) if !is_untried => (firm.saturating_sub(1), self.is_whole),
            (_, Some(place)) => (place, true),
            (_, None) => (firm, self.is_whole),
        };
        Ahead {
            sets: count as u64,
            or_more: !is_counted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::validation::untried::PREFIX;

    fn line(select: Select, head: &Head, noted: &[Lease]) -> Line {
        let choice = Choice {
            select,
            within: None,
            tags: Vec::new(),
        };
        let of = (
            NodeName::new("n1").unwrap(),
            JobName::new("prove").unwrap(),
            choice,
        );
        Line::of(of, head, noted)
    }

    fn ahead(sets: u64, or_more: bool) -> Ahead {
        Ahead { sets, or_more }
    }

    #[test]
    fn a_set_that_could_not_be_tried_waits_for_all_others() {
        let sets: Vec<BackupId> = (0..4).map(|_| BackupId::generate()).collect();
        let noted = [Lease {
            name: format!("{PREFIX}n1:{}", sets[1]),
            holder: "n1".into(),
            until: DateTime::<Utc>::MAX_UTC,
        }];
        for is_whole in [true, false] {
            let head = Head {
                sets: sets.clone(),
                is_whole,
            };
            let last = if is_whole { ahead(3, false) } else { ahead(3, true) };
            for (select, first, third, fourth) in [
                (Select::Newest, ahead(0, false), ahead(1, false), ahead(2, false)),
                // Any of the first three, and only then the last.
                (
                    Select::Random,
                    ahead(2, !is_whole),
                    ahead(2, !is_whole),
                    ahead(2, !is_whole),
                ),
            ] {
                let line = line(select, &head, &noted);
                let found: Vec<Ahead> = sets.iter().map(|set| line.before(*set)).collect();
                assert_eq!(found, [first, last, third, fourth], "{select}, {is_whole}");
            }
        }
    }

    #[test]
    fn a_set_that_was_not_counted_comes_after_more_than_were() {
        let sets: Vec<BackupId> = (0..4).map(|_| BackupId::generate()).collect();
        let head = Head {
            sets,
            is_whole: false,
        };
        for select in [Select::Newest, Select::Oldest, Select::Random] {
            let line = line(select, &head, &[]);
            assert_eq!(line.before(BackupId::generate()), ahead(4, true));
        }
    }
}
