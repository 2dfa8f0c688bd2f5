//! pybackup's own command line, conf, catalog and scripts, as its documentation prints them.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

mod away;
mod crontab;
mod defects;
mod documented;
mod estimate;
mod host;
mod moving;
mod nothing_begun;
mod renamed;
mod row;
mod scripts;
mod told;
mod typo;
mod unmounted;

use host::Host;
