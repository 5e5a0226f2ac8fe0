//! The limits that the hub keeps, taken from the settings.

use super::outbox::Bounds;
use crate::config::{DeliverySettings, LimitSettings, RoomPolicyRule, SlowConsumerPolicy};

/// The limits that the hub keeps.
#[derive(Debug, Clone)]
pub struct HubLimits {
    pub(super) outbox: Bounds,
    pub(super) rooms_per_session: usize,
    pub(super) rooms: usize,
    policy: SlowConsumerPolicy,
    policies: Vec<RoomPolicyRule>,
}

impl HubLimits {
    /// Takes them from the settings.
    #[must_use]
    pub fn new(limits: &LimitSettings, delivery: &DeliverySettings) -> Self {
        Self {
            outbox: Bounds { bytes: delivery.outbox_bytes, frames: delivery.outbox_frames },
            rooms_per_session: limits.max_rooms_per_session,
            rooms: limits.max_rooms,
            policy: delivery.slow_consumer,
            policies: delivery.slow_consumer_rooms.clone(),
        }
    }

    pub(super) fn policy_of(&self, room: &str) -> SlowConsumerPolicy {
        self.policies.iter().find(|rule| rule.matches(room)).map_or(self.policy, |rule| rule.policy)
    }
}
