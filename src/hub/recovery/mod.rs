//! Sessions of Socket.IO that lost their connection and come back as the same: what they missed, and where they are.
//!
//! Every event that Socket.IO clients get without being asked for an answer has a number of the whole node, its offset, and
//! each worker logs what it hands out, in the order in which it does. A session that loses its connection is parked on
//! its worker: its rooms go on being watched there, so that the log has what it misses. When its client comes back, to
//! whichever worker, the session moves there.
//!
//! # Invariants
//! - A worker's log has the order in which each of its sessions got its events.
//! - What a parked session missed is the log of its old worker up to one number, and that of its new worker from there on:
//!   see [`Offsets::fence`].
//! - Whatever is kept here has a bound and ends with the window.

mod absent;
mod aliases;
mod arriving;
mod awaiting;
mod brought;
mod lasting;
mod leaving;
mod log;
mod moving;
mod offsets;
mod parking;

pub use moving::{Awaited, Claim, Missed, RecoveryStep, Restored, StillIn};
pub use parking::Notes;

pub(super) use aliases::Aliases;
pub(super) use lasting::Lasting;
pub(super) use offsets::Offsets;

use crate::config::Settings;
use crate::hub::address::Sid;
use awaiting::Expected;
use brought::Luggage;
use log::Log;
use parking::Parking;
use std::collections::HashMap;
use std::time::Duration;

/// How much is kept for those who are away.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecoveryLimits {
    /// Milliseconds that a session may be away.
    window_ms: u64,
    /// Milliseconds that an event may be needed: from the last pong of a session on.
    age_ms: u64,
    bytes: usize,
    sessions: usize,
    /// What one session may have missed.
    missed_bytes: usize,
}

impl RecoveryLimits {
    /// Takes them from the settings. `None`: nobody comes back.
    pub(super) fn new(settings: &Settings) -> Option<Self> {
        let (recovery, heartbeat) = (&settings.recovery, &settings.heartbeat);
        let silence = heartbeat.ping_interval.saturating_add(heartbeat.ping_timeout);
        (!recovery.recovery_window.is_zero()).then(|| Self {
            window_ms: millis(recovery.recovery_window),
            age_ms: millis(recovery.recovery_window.saturating_add(silence)),
            bytes: recovery.recovery_bytes,
            sessions: recovery.recovery_sessions,
            missed_bytes: settings.delivery.outbox_bytes / 2,
        })
    }
}

/// A worker's part of it.
#[derive(Debug)]
pub(super) struct Recovery {
    limits: RecoveryLimits,
    log: Log,
    parking: Parking,
    luggage: Luggage,
    /// Sessions of other workers that are on their way here, by pid.
    expected: HashMap<Sid, Expected>,
    /// Milliseconds, as of the worker's last tick.
    now: u64,
}

impl Recovery {
    pub(super) fn new(limits: RecoveryLimits) -> Box<Self> {
        let (log, parking) = (Log::new(limits.bytes, limits.age_ms), Parking::default());
        Box::new(Self { limits, log, parking, luggage: Luggage::default(), expected: HashMap::new(), now: 0 })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
