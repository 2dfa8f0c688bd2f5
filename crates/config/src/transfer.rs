//! `[transfer.NAME]`

use crate::schedule::Reading;
use crate::section::Section;
use crate::verify;
use mykeeper_domain::DestinationName;
use mykeeper_domain::job::{Task, TransferTask};

/// Reads the keys that only a transfer job has.
pub(crate) fn read<'d>(section: &mut Section<'d>, reading: &mut Reading<'d, '_>) -> Option<Task> {
    let destination = section
        .require(
            "destination",
            "destination = \"NAME\", a [destinations.NAME] of mykeeper.toml",
        )
        .and_then(|entry| {
            let name = entry.text()?;
            if !reading.check_destination(&entry, name) {
                return None;
            }
            reading
                .mentions
                .transfers
                .push((entry.spot.clone(), name.to_owned()));
            DestinationName::new(name).ok()
        });
    let (verify_every, verify) = verify::read(section, false)?;
    Some(Task::Transfer(TransferTask {
        destination: destination?,
        verify_every,
        verify,
    }))
}
