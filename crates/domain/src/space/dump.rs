//! What a dump will need, by the sets before it and by the server's data.

use super::{Need, Volume, scaled, size_text};
use chrono::{DateTime, Utc};

/// A set of the same job and server that was made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastSet {
    /// When it was started.
    pub started_at: DateTime<Utc>,
    /// Its size on disk.
    pub bytes: u64,
    /// Its files, where they were counted.
    pub files: Option<u64>,
    /// What the server's tables of this set took then, by its own statistics; `None` where that was not recorded.
    pub source_bytes: Option<u64>,
    /// Whether it holds just what is to be dumped now, and not other databases of the server.
    pub is_of_the_same: bool,
}

/// What is known of the size of what is to be dumped, by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Nothing.
    Unknown,
    /// All of this is dumped.
    Whole(Volume),
    /// Not more than this: of its tables, or of their rows, a part.
    Within(Volume),
}

impl Extent {
    fn most(&self) -> Option<&Volume> {
        match self {
            Self::Unknown => None,
            Self::Whole(volume) | Self::Within(volume) => Some(volume),
        }
    }

    fn whole(&self) -> Option<&Volume> {
        match self {
            Self::Whole(volume) => Some(volume),
            Self::Unknown | Self::Within(_) => None,
        }
    }
}

/// Hundredths of `DATA_LENGTH` that a compressed dump takes: a third was measured, and data differ.
const COMPRESSED_PERCENT: u64 = 40;
/// No dump is taken to need more than so many bytes for each byte of the server's data, before the tenth. A set that had
/// more shows that the statistics were out of date when it was made: they are no measure of it then.
const MOST_PER_DATA_BYTE: u64 = 4;
/// The record of a set, and files for each database, whatever else there is.
const RECORD_FILES: u64 = 16;
/// Definition, data and triggers.
const FILES_PER_TABLE: u64 = 3;

/// What a dump will need. `past` is newest first.
///
/// The most that one of the last sets of the same databases makes expect: its size, or, where the statistics were right
/// when it was made and the data of its databases have grown since, its size in that proportion. Of sets of other databases
/// the proportion alone counts. It is never more than four times the server's data, so that what one set has led astray
/// heals without another set. Where no set tells anything, the server's data as they are, or two fifths of them for a
/// compressed dump. And a tenth. `None` when nothing is known.
pub fn dump_need(past: &[PastSet], extent: &Extent, is_compressed: bool) -> Option<Need> {
    let by_tables = extent
        .most()
        .map_or(0, |volume| volume.tables.saturating_mul(FILES_PER_TABLE));
    let expected = past
        .iter()
        .enumerate()
        .rev()
        .filter_map(|(age, set)| expected_of(set, age == 0, extent))
        .max_by_key(|(bytes, _)| *bytes);
    let (bytes, because) = match (expected, extent.whole()) {
        (Some(expected), _) => expected,
        (None, Some(volume)) if is_compressed => (
            scaled(volume.data_bytes, COMPRESSED_PERCENT, 100),
            format!(
                "no set of this job is known{}, {COMPRESSED_PERCENT} percent of the {} of data that the server has by its \
                 statistics",
                of_these(past),
                size_text(volume.data_bytes)
            ),
        ),
        (None, Some(volume)) => (
            volume.data_bytes,
            format!(
                "no set of this job is known{}, the server has {} of data by its statistics",
                of_these(past),
                size_text(volume.data_bytes)
            ),
        ),
        (None, None) => return None,
    };
    let counted = past.first().filter(|newest| newest.is_of_the_same);
    let files = counted.and_then(|newest| newest.files).unwrap_or(by_tables);
    Some(Need {
        bytes: scaled(bytes, 11, 10),
        files: scaled(files, 11, 10).saturating_add(RECORD_FILES),
        because: format!("{because}, plus a tenth"),
    })
}

/// Said where there are sets, of other databases.
fn of_these(past: &[PastSet]) -> &'static str {
    match past.is_empty() {
        true => "",
        false => " that tells of these databases",
    }
}

/// What one set makes expect, and why; `None` where it tells nothing of what is to be dumped.
fn expected_of(set: &PastSet, is_newest: bool, extent: &Extent) -> Option<(u64, String)> {
    let which = if is_newest {
        "the last set"
    } else {
        "the largest of the last sets"
    };
    let day = set.started_at.format("%Y-%m-%d");
    let mut because = format!("{which} had {} on {day}", size_text(set.bytes));
    let was_wrong = set
        .source_bytes
        .filter(|then| set.bytes / MOST_PER_DATA_BYTE > *then);
    let then = set.source_bytes.filter(|then| *then > 0 && was_wrong.is_none());
    let bytes = match (then.zip(extent.whole()), was_wrong.filter(|then| *then > 0)) {
        (Some((then, now)), _) if !set.is_of_the_same => {
            because.push_str(&format!(
                " of {} of data, though not of just these databases, which have {} by the server's statistics",
                size_text(then),
                size_text(now.data_bytes)
            ));
            scaled(set.bytes, now.data_bytes, then)
        }
        _ if !set.is_of_the_same => return None,
        (Some((then, now)), _) if now.data_bytes > then => {
            because.push_str(&format!(
                ", the server's data have grown since from {} to {} by its statistics",
                size_text(then),
                size_text(now.data_bytes)
            ));
            scaled(set.bytes, now.data_bytes, then)
        }
        (None, Some(then)) if extent.whole().is_some() => {
            because.push_str(&format!(
                "; what the server's data have grown since is not known, as its statistics had {} then, too little for \
                 that set",
                size_text(then)
            ));
            set.bytes
        }
        _ => set.bytes,
    };
    let data = extent.most().map_or(0, |volume| volume.data_bytes);
    let most = data.saturating_mul(MOST_PER_DATA_BYTE);
    if data > 0 && was_wrong.is_none() && bytes > most {
        because.push_str(&format!(
            "; it is not taken to need more than {MOST_PER_DATA_BYTE} times the {} of data that the server has now",
            size_text(data)
        ));
        return Some((most, because));
    }
    Some((bytes, because))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    pub(in crate::space) fn past(bytes: u64, source_bytes: Option<u64>) -> PastSet {
        PastSet {
            started_at: "2026-11-21T04:00:00Z".parse().unwrap(),
            bytes,
            files: Some(100),
            source_bytes,
            is_of_the_same: true,
        }
    }

    fn volume(data_bytes: u64) -> Volume {
        Volume {
            tables: 1,
            data_bytes,
            index_bytes: 0,
        }
    }

    fn whole(data_bytes: u64) -> Extent {
        Extent::Whole(volume(data_bytes))
    }

    #[test]
    fn statistics_that_were_out_of_date_make_no_estimate_of_a_thousandfold() {
        // An empty table by the statistics of then, and ten gigabytes in the set.
        let need = dump_need(&[past(9 * GIB, Some(16_384))], &whole(10 * GIB), false).unwrap();
        assert_eq!(need.bytes, scaled(9 * GIB, 11, 10));
        assert!(need.because.contains("is not known"), "{}", need.because);
        assert!(need.because.contains("16 KiB then"), "{}", need.because);
    }

    #[test]
    fn a_server_that_has_grown_makes_a_larger_set_and_one_that_shrank_does_not() {
        let sets = [past(10 * GIB, Some(20 * GIB)), past(5 * GIB, None)];
        let grown = dump_need(&sets, &whole(40 * GIB), true).unwrap();
        assert_eq!(grown.bytes, 22 * GIB);
        assert!(
            grown.because.contains("grown since from 20 GiB to 40 GiB"),
            "{}",
            grown.because
        );
        let shrunk = dump_need(&sets, &whole(3 * GIB), true).unwrap();
        assert_eq!(shrunk.bytes, 11 * GIB);
    }

    #[test]
    fn a_small_set_makes_no_large_one_grow() {
        // 39 MiB of 153 MiB, and after it one that was made when there was a table of 16 KiB alone.
        let sets = [past(600, Some(16 << 10)), past(39 << 20, Some(153 << 20))];
        let need = dump_need(&sets, &whole(153 << 20), true).unwrap();
        assert_eq!(need.bytes, scaled(39 << 20, 11, 10), "{}", need.because);
    }

    #[test]
    fn of_sets_of_other_databases_the_proportion_alone_counts() {
        let other = |bytes, source_bytes| PastSet {
            is_of_the_same: false,
            ..past(bytes, source_bytes)
        };
        let full = other(40 << 20, Some(160 << 20));
        let need = dump_need(&[full], &whole(16 << 20), true).unwrap();
        assert_eq!(need.bytes, scaled(4 << 20, 11, 10), "{}", need.because);
        assert!(
            need.because.contains("though not of just these databases"),
            "{}",
            need.because
        );
        // Nothing is known of what these took: the server's data tell.
        for set in [other(40 << 20, None), other(40 << 20, Some(16 << 10))] {
            let need = dump_need(&[set], &whole(10 << 20), true).unwrap();
            assert_eq!(need.bytes, scaled(4 << 20, 11, 10));
            assert!(
                need.because.starts_with("no set of this job is known that tells"),
                "{}",
                need.because
            );
        }
        let part = Extent::Within(Volume {
            data_bytes: 16 << 20,
            ..Volume::default()
        });
        assert_eq!(dump_need(&[full], &part, true), None);
    }

    #[test]
    fn data_that_were_removed_make_room_by_themselves() {
        let sets = [past(10 * GIB, Some(20 * GIB))];
        for extent in [whole(GIB), Extent::Within(volume(GIB))] {
            let need = dump_need(&sets, &extent, true).unwrap();
            assert_eq!(need.bytes, 44 * GIB / 10);
            assert!(
                need.because
                    .contains("more than 4 times the 1 GiB of data that the server has now"),
                "{}",
                need.because
            );
        }
    }

    #[test]
    fn the_first_dump_is_judged_by_the_servers_data() {
        let volume = Volume {
            tables: 10,
            data_bytes: 10 * GIB,
            index_bytes: 5 * GIB,
        };
        let extent = Extent::Whole(volume);
        assert_eq!(dump_need(&[], &extent, false).unwrap().bytes, 11 * GIB);
        assert_eq!(dump_need(&[], &extent, true).unwrap().bytes, 44 * GIB / 10);
        assert_eq!(dump_need(&[], &Extent::Unknown, true), None);
        assert_eq!(dump_need(&[], &Extent::Within(volume), true), None);
    }
}
