//! What is measured of each way, and what is made of it: medians and ratios.

use std::collections::BTreeMap;

/// One thing that is measured: seconds or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Figure {
    /// Until the set is whole at the destination.
    Complete,
    /// Until the command has ended: mykeeper has compared the copy and recorded it by then.
    Ended,
    /// For which mydumper ran, and with it its snapshot.
    Held,
    /// Until rsync was first called.
    Sent,
    /// For which an rsync ran. What is left of the time to the end, the link had nothing to do.
    Sending,
    /// For which nobody could write, as the catalog has it.
    Locked,
    /// CPU time of the way's programs: all but the server's and the destination's.
    Cpu,
    CpuOfMydumper,
    /// Of mykeeper's threads that compress, with all that they do for it: read, digest, count, write.
    CpuOfPacking,
    CpuOfRsync,
    /// What is left.
    CpuOfRest,
    /// Most ever resident of the program itself.
    Peak,
    /// The same of it and all below it at one moment.
    PeakOfAll,
    /// On the link, both ways.
    Wire,
    /// Of the set.
    Size,
}

use Figure::{
    Complete, Cpu, CpuOfMydumper, CpuOfPacking, CpuOfRest, CpuOfRsync, Ended, Held, Locked, Peak, PeakOfAll,
    Sending, Sent, Size, Wire,
};

impl Figure {
    /// In the order in which they are printed.
    pub(super) const ALL: [Self; 15] = [
        Complete,
        Ended,
        Held,
        Sent,
        Sending,
        Locked,
        Cpu,
        CpuOfMydumper,
        CpuOfPacking,
        CpuOfRsync,
        CpuOfRest,
        Peak,
        PeakOfAll,
        Wire,
        Size,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Complete => "complete at the destination, s",
            Ended => "the command has ended, s",
            Held => "snapshot held, s",
            Sent => "sent from, s after the start",
            Sending => "an rsync runs, s",
            Locked => "lock held, s",
            Cpu => "CPU, s",
            CpuOfMydumper => "  mydumper",
            CpuOfPacking => "  threads that compress",
            CpuOfRsync => "  rsync",
            CpuOfRest => "  the rest",
            Peak => "peak memory, MB",
            PeakOfAll => "  with all below it",
            Wire => "on the wire, MB",
            Size => "size of the set, MB",
        }
    }

    /// Without its unit, which the name has.
    pub(super) fn show(self, value: f64) -> String {
        match self {
            Peak | PeakOfAll | Wire | Size => format!("{:.1}", value / 1e6),
            Locked => format!("{value:.3}"),
            _ => format!("{value:.2}"),
        }
    }
}

/// Seconds and bytes; what could not be measured is not there.
pub(super) type Figures = BTreeMap<Figure, f64>;

/// One of them; not a number where it is not there, so that no ratio of it is one.
pub(super) fn get(figures: &Figures, figure: Figure) -> f64 {
    figures.get(&figure).copied().unwrap_or(f64::NAN)
}

/// The one in the middle; of an even number the mean of the two; not a number where there is none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(high), 0) => (high + values.get(middle.wrapping_sub(1)).unwrap_or(high)) / 2.0,
        (Some(value), _) => *value,
        (None, _) => f64::NAN,
    }
}

/// Of each figure over all rounds.
pub(super) fn medians(rounds: &[Figures]) -> Figures {
    let of = |figure: Figure| -> Vec<f64> {
        rounds
            .iter()
            .filter_map(|round| round.get(&figure).copied())
            .collect()
    };
    Figure::ALL
        .into_iter()
        .map(|figure| (figure, of(figure)))
        .filter(|(_, values)| !values.is_empty())
        .map(|(figure, values)| (figure, median(values)))
        .collect()
}

/// A figure that is held against what it should be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) value: f64,
    pub(super) at_most: f64,
}

impl Target {
    pub(super) fn new(name: impl Into<String>, value: f64, at_most: f64) -> Self {
        Self {
            name: name.into(),
            value,
            at_most,
        }
    }

    /// `end to end of pybackup's: 0.41 (to reach 0.25)`, with the name as wide as the others.
    pub(super) fn line(&self, widest: usize) -> String {
        let verdict = if self.value.is_nan() {
            "not measured"
        } else if self.value <= self.at_most {
            "reached"
        } else {
            "NOT reached"
        };
        let show = |value: f64| {
            if self.at_most >= 10.0 {
                format!("{value:.0}")
            } else {
                format!("{value:.2}")
            }
        };
        let value = if self.value.is_nan() {
            "-".to_owned()
        } else {
            show(self.value)
        };
        format!(
            "{:widest$}  {value:>5}  (to reach {}: {verdict})",
            self.name,
            show(self.at_most)
        )
    }
}

/// The one that takes longest, by name; nothing where none is a number.
pub(super) fn slowest<'a>(stages: &[(&'a str, f64)]) -> Option<(&'a str, f64)> {
    stages
        .iter()
        .copied()
        .filter(|(_, seconds)| !seconds.is_nan())
        .max_by(|left, right| left.1.total_cmp(&right.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle_and_of_an_even_number_between_the_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_figure_that_was_not_measured_has_no_median_and_no_ratio() {
        let rounds = [
            Figures::from([(Complete, 5.0), (Wire, 10.0)]),
            Figures::from([(Complete, 7.0)]),
        ];
        let medians = medians(&rounds);
        assert_eq!(medians, Figures::from([(Complete, 6.0), (Wire, 10.0)]));
        assert!(get(&medians, Locked).is_nan());
        let line = Target::new("lock", get(&medians, Locked) / 2.0, 0.5).line(4);
        assert_eq!(line, "lock      -  (to reach 0.50: not measured)");
    }

    #[test]
    fn a_ratio_stands_beside_what_is_to_be_reached() {
        let target = Target::new("end to end of pybackup's", 0.414, 0.25);
        assert_eq!(
            target.line(26),
            "end to end of pybackup's     0.41  (to reach 0.25: NOT reached)"
        );
        let target = Target::new("peak", 31.2, 150.0);
        assert_eq!(target.line(4), "peak     31  (to reach 150: reached)");
    }

    #[test]
    fn the_slowest_stage_is_named_among_those_that_were_measured() {
        let stages = [("raw dump", 1.5), ("compressor", 4.0), ("link", f64::NAN)];
        assert_eq!(slowest(&stages), Some(("compressor", 4.0)));
        assert_eq!(slowest(&[("link", f64::NAN)]), None);
    }
}
