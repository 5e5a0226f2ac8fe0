//! The limits that the hub keeps, taken from the settings.

use super::outbox::Bounds;
use super::policy::Policies;
use super::recovery::RecoveryLimits;
use crate::config::Settings;

/// The limits that the hub keeps.
#[derive(Debug, Clone)]
pub struct HubLimits {
    pub(super) outbox: Bounds,
    pub(super) rooms_per_session: usize,
    pub(super) rooms: usize,
    pub(super) policies: Policies,
    /// Nothing, if sessions do not come back.
    pub(super) recovery: Option<RecoveryLimits>,
}

impl HubLimits {
    /// Takes them from the settings.
    #[must_use]
    pub fn new(settings: &Settings, policies: Policies) -> Self {
        let (limits, delivery) = (&settings.limits, &settings.delivery);
        Self {
            outbox: Bounds { bytes: delivery.outbox_bytes, frames: delivery.outbox_frames },
            rooms_per_session: limits.max_rooms_per_session,
            rooms: limits.max_rooms,
            policies,
            recovery: RecoveryLimits::new(settings),
        }
    }
}
