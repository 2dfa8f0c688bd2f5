//! What becomes of a file as soon as it is finished: it is read once, digested, compressed, written, and made to last;
//! then the plain one is removed. On threads of their own, which come after the server and everybody else.

mod crew;
mod finished;
mod pack;
mod packer;
mod settling;

pub(crate) use crew::Crew;
pub use finished::{Finished, FinishedFile};
pub(crate) use pack::{Handled, PARTIAL, PackJob, is_definition};
pub use packer::Packer;
pub(crate) use settling::Settling;
