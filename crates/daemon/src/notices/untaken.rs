//! What a delivery has met with that was not taken.

use mykeeper_notify::DeliveryError;

/// Why something was not taken.
pub(super) struct Untaken {
    pub(super) cause: String,
    pub(super) is_cut_off: bool,
    pub(super) is_permanent: bool,
    pub(super) reached: Vec<String>,
}

impl From<DeliveryError> for Untaken {
    fn from(error: DeliveryError) -> Self {
        Self {
            cause: error.to_string(),
            is_cut_off: matches!(error, DeliveryError::Cancelled),
            is_permanent: error.is_permanent(),
            reached: error.into_reached(),
        }
    }
}
