//! How much room something needs, and whether it is there: arithmetic that can be shown.

mod dump;

pub use dump::{Extent, PastSet, dump_need};
use std::path::Path;

/// Room on a file system, as far as whoever writes there may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// What the file system keeps for root: among the free for root, beyond them for others, and not what `df` shows.
    pub kept_for_root: KeptForRoot,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Files that can still be made; `None` where the file system does not count them.
    pub free_files: Option<u64>,
}

/// Bytes that root alone may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptForRoot {
    /// Root writes there: they count as free.
    Counted(u64),
    /// Another does.
    NotCounted(u64),
}

impl Room {
    /// `9.8 GiB of 100 GiB are free in /data (4.8 GiB in df, which leaves out what is kept for root)`
    fn describe(&self, place: &Path) -> String {
        let root = match self.kept_for_root {
            KeptForRoot::Counted(0) | KeptForRoot::NotCounted(_) => String::new(),
            KeptForRoot::Counted(bytes) => format!(
                " ({} in df, which leaves out what is kept for root)",
                size_text(self.free_bytes.saturating_sub(bytes))
            ),
        };
        format!(
            "{} of {} are free in {}{root}",
            size_text(self.free_bytes),
            size_text(self.total_bytes),
            place.display()
        )
    }
}

/// What something needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Bytes on disk.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// How that was estimated: `the last set had 11.2 GiB on 2026-11-21, plus a tenth`.
    pub because: String,
}

impl Need {
    /// `needs about 12.3 GiB: the last set had 11.2 GiB on 2026-11-21, plus a tenth; 9.8 GiB of 100 GiB are free in /data`
    pub fn arithmetic(&self, room: &Room, place: &Path) -> String {
        format!(
            "needs about {}: {}; {}",
            size_text(self.bytes),
            self.because,
            room.describe(place)
        )
    }

    /// Why it does not fit, when `reserve` bytes are to stay free; `None` when it does.
    pub fn shortage(&self, room: &Room, reserve: u64, place: &Path) -> Option<String> {
        if self.bytes.saturating_add(reserve) > room.free_bytes {
            let stays = if reserve > 0 {
                format!(", {} of which are to stay free", size_text(reserve))
            } else {
                String::new()
            };
            return Some(format!("{}{stays}", self.arithmetic(room, place)));
        }
        let free_files = room.free_files.filter(|free| *free < self.files)?;
        Some(format!(
            "needs about {} files, and {free_files} more can be made on the file system of {}",
            self.files,
            place.display()
        ))
    }
}

/// What is to be dumped, as the server has it (`information_schema.TABLES`): its statistics, which are made anew when
/// it thinks fit, and may be far off after a large import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// Tables.
    pub tables: u64,
    /// `DATA_LENGTH`.
    pub data_bytes: u64,
    /// `INDEX_LENGTH`.
    pub index_bytes: u64,
}

/// What an empty server takes before anything is loaded: 286 MiB were measured, nearly all of it log.
const SERVER_BYTES: u64 = 320 << 20;

/// What InnoDB keeps beside the values of each row: its header, its transaction, the way back, a number where it has no
/// key, and its share of a page that is never quite full.
const BESIDE_A_ROW: u64 = 26;

/// What statements of so many bytes with so many rows fill: `(1),` has four bytes, and its row takes thirty.
pub fn filled_bytes(plain_bytes: u64, rows: u64) -> u64 {
    plain_bytes.saturating_add(rows.saturating_mul(BESIDE_A_ROW))
}

/// What the indexes of a set will fill whose statements have so many bytes: in proportion to those of its server, where these
/// are known. Building them after the rows takes as much once more for a while, at most, to sort their entries.
pub fn index_bytes(plain_bytes: u64, volume: Option<&Volume>) -> u64 {
    match volume.filter(|volume| volume.data_bytes > 0) {
        Some(volume) => scaled(plain_bytes, volume.index_bytes, volume.data_bytes),
        None => plain_bytes / 2,
    }
}

/// What loading a set will need: its statements, and indexes in proportion to those of the server that it is of.
///
/// `volume` is that server's, over the same databases. `on_empty` adds what a new server takes by itself.
pub fn load_need(plain_bytes: u64, volume: Option<&Volume>, on_empty: bool) -> Need {
    let indexes = index_bytes(plain_bytes, volume);
    let how = match volume.filter(|volume| volume.data_bytes > 0) {
        Some(_) => "in proportion to those of its server",
        None => "taken for half of it",
    };
    let mut because = format!(
        "what the set's statements fill has {}, its indexes {}, {how}",
        size_text(plain_bytes),
        size_text(indexes)
    );
    let mut bytes = plain_bytes.saturating_add(indexes);
    if on_empty {
        bytes = bytes.saturating_add(SERVER_BYTES);
        because.push_str(&format!(", and the server itself {}", size_text(SERVER_BYTES)));
    }
    Need {
        bytes,
        files: 0,
        because,
    }
}

fn scaled(value: u64, times: u64, by: u64) -> u64 {
    let exact = u128::from(value) * u128::from(times) / u128::from(by.max(1));
    u64::try_from(exact).unwrap_or(u64::MAX)
}

/// A size for a sentence: `512 bytes`, `11.2 GiB`, `100 GiB`.
pub fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut unit = 0;
    let mut divisor = 1024_u128;
    let bytes = u128::from(bytes);
    while bytes >= divisor * 1024 && unit + 1 < UNITS.len() {
        unit += 1;
        divisor *= 1024;
    }
    let tenths = bytes * 10 / divisor;
    if tenths.is_multiple_of(10) || tenths >= 1000 {
        format!("{} {}", tenths / 10, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::dump::tests::past;
    use super::*;
    use proptest::prelude::*;

    const GIB: u64 = 1 << 30;

    fn room(free_bytes: u64) -> Room {
        Room {
            free_bytes,
            kept_for_root: KeptForRoot::Counted(0),
            total_bytes: 100 * GIB,
            free_files: Some(50),
        }
    }

    #[test]
    fn the_message_holds_the_arithmetic() {
        let need = dump_need(&[past(112 * GIB / 10 + 1, None)], &Extent::Unknown, true).unwrap();
        let text = need
            .shortage(&room(98 * GIB / 10 + 1), 0, Path::new("/data"))
            .unwrap();
        assert_eq!(
            text,
            "needs about 12.3 GiB: the last set had 11.2 GiB on 2026-11-21, plus a tenth; 9.8 GiB of 100 GiB are \
             free in /data"
        );
    }

    #[test]
    fn what_differs_from_df_is_explained() {
        for (kept_for_root, told) in [
            (KeptForRoot::Counted(0), "are free in /data"),
            (
                KeptForRoot::Counted(5 * GIB),
                "are free in /data (4 GiB in df, which leaves out what is kept for root)",
            ),
            (KeptForRoot::NotCounted(5 * GIB), "are free in /data"),
        ] {
            let room = Room {
                kept_for_root,
                ..room(9 * GIB)
            };
            let text = room.describe(Path::new("/data"));
            assert_eq!(text, format!("9 GiB of 100 GiB {told}"));
        }
    }

    #[test]
    fn what_fits_only_without_the_reserve_does_not_fit() {
        let need = load_need(GIB, None, false);
        assert_eq!(need.bytes, 3 * GIB / 2);
        assert_eq!(need.shortage(&room(2 * GIB), GIB / 2, Path::new("/d")), None);
        let text = need.shortage(&room(2 * GIB), GIB, Path::new("/d")).unwrap();
        assert!(text.ends_with("1 GiB of which are to stay free"), "{text}");
    }

    #[test]
    fn files_count_too() {
        let need = dump_need(&[past(1, None)], &Extent::Unknown, true).unwrap();
        assert_eq!(need.files, 126);
        let text = need.shortage(&room(GIB), 0, Path::new("/d")).unwrap();
        assert!(text.contains("126 files, and 50 more"), "{text}");
        let uncounted = Room {
            free_files: None,
            ..room(GIB)
        };
        assert_eq!(need.shortage(&uncounted, 0, Path::new("/d")), None);
    }

    #[test]
    fn a_load_needs_room_for_indexes() {
        let volume = Volume {
            tables: 10,
            data_bytes: 10 * GIB,
            index_bytes: 5 * GIB,
        };
        assert_eq!(load_need(10 * GIB, Some(&volume), false).bytes, 15 * GIB);
        assert_eq!(filled_bytes(4_000_000, 1_000_000), 30_000_000);
    }

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (100 * GIB, "100 GiB"),
            (123 * GIB + GIB / 2, "123 GiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(size_text(bytes), text, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn no_number_is_too_large(bytes: u64, data_bytes: u64, index_bytes: u64, then: u64, free_bytes: u64) {
            let volume = Volume { tables: data_bytes, data_bytes, index_bytes };
            let sets = [PastSet { files: Some(then), ..past(bytes, Some(then)) }];
            for need in [
                dump_need(&sets, &Extent::Whole(volume), true),
                dump_need(&[], &Extent::Whole(volume), false),
                Some(load_need(bytes, Some(&volume), true)),
            ] {
                let need = need.unwrap();
                let fits = need.shortage(&room(free_bytes), 0, Path::new("/d")).is_none();
                prop_assert!(!fits || need.bytes <= free_bytes);
            }
        }
    }
}
