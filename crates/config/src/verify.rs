//! `verify` and `verify_every`, of transfer and validation jobs.

use crate::document::complaint;
use crate::section::{Entry, Section};
use std::time::Duration;

const DEFAULT_VERIFY_EVERY: Duration = Duration::from_secs(7 * 86_400);

/// How often what is there is looked at again (`None`: never), and whether its files are read. Of a job that
/// `only_reads`, nothing else is done as often.
pub(crate) fn read(section: &mut Section<'_>, only_reads: bool) -> Option<(Option<Duration>, bool)> {
    let every = section.take("verify_every");
    let verify = section.take("verify");
    let reads = verify.as_ref().map_or(Some(false), Entry::yes_or_no);
    if let (true, Some(false), Some(every)) = (only_reads, reads, &every) {
        every.spot.warning(
            complaint("`verify_every` does nothing here without verify = true")
                .help("add verify = true, or leave it out"),
        );
    }
    let every = every.map_or(Some(Some(DEFAULT_VERIFY_EVERY)), |entry| read_every(&entry));
    let (every, reads) = (every?, reads?);
    if let (None, true, Some(verify)) = (every, reads, &verify) {
        verify.spot.mistake(
            complaint("`verify = true` contradicts verify_every = \"never\"")
                .help("write verify_every = \"7d\", or leave one of them out"),
        );
        return None;
    }
    Some((every, reads))
}

fn read_every(entry: &Entry<'_>) -> Option<Option<Duration>> {
    let Some(every) = entry.duration_or("never")? else {
        return Some(None);
    };
    if every.is_zero() {
        entry.spot.mistake(
            complaint("`verify_every` is how long a copy is left alone after a look, which takes some time")
                .help("write \"7d\", or \"never\""),
        );
        return None;
    }
    Some(Some(every))
}
