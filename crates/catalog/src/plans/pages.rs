//! What jobs choose from, page by page.

use super::{Asked, Cost, end, node};
use crate::{Bookmark, Catalog, CatalogError, Page, Reach, VerificationScope, WaitingScope};
use chrono::TimeDelta;
use mykeeper_domain::DestinationName;
use std::future::Future;

impl Asked<'_> {
    /// Some pages of each kind: a page is led by an index alone, and what of it fits is found by its identity.
    async fn pages<Answer>(&mut self, name: &str, page: impl Fn(Option<Bookmark>) -> Answer)
    where
        Answer: Future<Output = Result<Page, CatalogError>>,
    {
        let mut after = None;
        for _ in 0..3 {
            let next = std::cell::RefCell::new(None);
            let question = async {
                next.replace(page(after.clone()).await?.next);
                Ok(())
            };
            self.of(name, Cost::FoundInOrder, question).await;
            after = next.into_inner();
            if after.is_none() {
                return;
            }
        }
    }
}

pub(super) async fn ask_for_choices(asked: &mut Asked<'_>, catalog: &dyn Catalog) {
    let vault = DestinationName::new("vault").unwrap();
    for (name, destinations, tags, since) in [
        ("one's own", vec![], vec![], None),
        (
            "within",
            vec![vault.clone()],
            vec![],
            Some(end() - TimeDelta::hours(30)),
        ),
        ("of servers", vec![vault.clone()], vec!["tag-7".to_owned()], None),
    ] {
        let reach = Reach {
            node: node(),
            tags_here: vec!["tag-9".into()],
            destinations,
        };
        for newest_first in [true, false] {
            for reach in [Some(reach.clone()), None] {
                let scope = WaitingScope {
                    reach,
                    tags: tags.clone(),
                    since,
                    newest_first,
                };
                let page = async |after: Option<Bookmark>| {
                    catalog.validation_candidates(&scope, after.as_ref(), 20).await
                };
                asked.pages(&format!("to prove, {name}"), page).await;
            }
        }
        let page = async |after: Option<Bookmark>| catalog.sets_here(&reach, after.as_ref()).await;
        asked.pages(&format!("what lies here, {name}"), page).await;
        let scope = VerificationScope {
            reach,
            tags,
            since,
            before: end() - TimeDelta::days(1),
        };
        let page = async |after: Option<Bookmark>| catalog.due_for_reading(&scope, after.as_ref(), 20).await;
        asked.pages(&format!("to read again, {name}"), page).await;
    }
}
