//! All ways over one link, in turn, round after round.

use super::figures::{Figures, median, medians};
use super::limits::send;
use super::link::Link;
use super::scene::Scene;
use super::ways::{Taken, Way, take};
use crate::error::BenchError;
use std::collections::BTreeMap;

/// All rounds over one link.
#[derive(Debug)]
pub(super) struct Series {
    /// Bits a second, if it has a limit.
    rate: Option<u64>,
    rounds: BTreeMap<Way, Vec<Figures>>,
    /// Of mykeeper's sets: seconds.
    alone: BTreeMap<Way, Vec<f64>>,
}

impl Series {
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self {
            rate,
            rounds: BTreeMap::new(),
            alone: BTreeMap::new(),
        }
    }

    /// One more round. What becomes of each set says `done`.
    pub(super) fn measure(
        &mut self,
        scene: &Scene,
        mut done: impl FnMut(Way, Taken) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        for way in Way::ALL {
            if let Some(link) = &scene.link {
                self.prepare(link)?;
            }
            let taken = take(way, scene)?;
            if way.format().is_some() {
                self.alone.entry(way).or_default().push(send(scene, &taken.set)?);
            }
            self.rounds.entry(way).or_default().push(taken.figures.clone());
            done(way, taken)?;
        }
        Ok(())
    }

    fn prepare(&self, link: &Link) -> Result<(), BenchError> {
        if link.limit(self.rate) {
            Ok(())
        } else {
            Err(BenchError::Unfit("the link takes no limit any more".to_owned()))
        }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.rate.is_some()
    }

    pub(super) fn name(&self) -> &'static str {
        if self.is_limited() { "limited" } else { "no limit" }
    }

    pub(super) fn head(&self) -> String {
        let rounds = self.rounds.values().map(Vec::len).max().unwrap_or(0);
        let link = self.rate.map_or_else(
            || "a link without a limit".to_owned(),
            |rate| {
                format!(
                    "a link of {:.1} Mbit/s, on which sending what mydumper -c makes takes as long as it does",
                    rate as f64 / 1e6
                )
            },
        );
        format!("{link}; medians of {rounds}")
    }

    pub(super) fn medians(&self) -> BTreeMap<Way, Figures> {
        self.rounds
            .iter()
            .map(|(way, rounds)| (*way, medians(rounds)))
            .collect()
    }

    /// Median of sending the set of a way, seconds.
    pub(super) fn link_alone(&self, way: Way) -> f64 {
        median(self.alone.get(&way).cloned().unwrap_or_default())
    }
}
