//! How many members a node has in rooms of each kind.

use crate::protocol::name::RoomKind;
use serde::{Deserialize, Serialize};

/// Members by what their rooms are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Members {
    /// In rooms of single incidents.
    pub incident: u64,
    /// In rooms of services.
    pub service: u64,
    /// In rooms of dashboards.
    pub dashboard: u64,
    /// In other rooms that are reserved.
    pub reserved: u64,
    /// In rooms that are anybody's.
    pub free: u64,
}

impl Members {
    /// Members in the order of [`RoomKind::ALL`].
    #[must_use]
    pub fn new([incident, service, dashboard, reserved, free]: [u64; RoomKind::ALL.len()]) -> Self {
        Self { incident, service, dashboard, reserved, free }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            incident: self.incident.saturating_add(other.incident),
            service: self.service.saturating_add(other.service),
            dashboard: self.dashboard.saturating_add(other.dashboard),
            reserved: self.reserved.saturating_add(other.reserved),
            free: self.free.saturating_add(other.free),
        }
    }
}
