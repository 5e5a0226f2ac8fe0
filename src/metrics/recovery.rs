//! What is counted about sessions that come back.

use super::WorkerStats;
use super::families::sum;
use super::samples::{counters, single_gauge};
use prometheus::proto::MetricFamily;
use std::sync::Arc;

/// What became of a session that wanted to come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// It is the same as before.
    Restored,
    /// It is not known, or not any more.
    Unknown,
    /// Not all that it missed is known, or it is too much.
    Gap,
    /// Its client is somebody else now.
    OtherUser,
    /// One of its rooms, or the application, does not take it any more.
    Refused,
}

impl Recovered {
    /// Everything that may become of it.
    pub const ALL: [Self; 5] = [Self::Restored, Self::Unknown, Self::Gap, Self::OtherUser, Self::Refused];

    const fn label(self) -> &'static str {
        match self {
            Self::Restored => "restored",
            Self::Unknown => "unknown",
            Self::Gap => "gap",
            Self::OtherUser => "other-user",
            Self::Refused => "refused",
        }
    }
}

pub(super) fn families(w: &[Arc<WorkerStats>]) -> Vec<MetricFamily> {
    let recoveries = Recovered::ALL.map(|outcome| (outcome.label(), sum(w, |s| &s.recoveries[outcome as usize])));
    vec![
        single_gauge("roomcast_parked_sessions", "Sessions that are away and may come back.", sum(w, |s| &s.parked)),
        single_gauge(
            "roomcast_recovery_log_bytes",
            "Bytes of the events that are kept for them.",
            sum(w, |s| &s.recovery_log_bytes),
        ),
        counters(
            "roomcast_recoveries_total",
            "Sessions that wanted to come back, by what became of it.",
            "result",
            recoveries,
        ),
        counters(
            "roomcast_parked_sessions_displaced_total",
            "Sessions that were away and had to make room for others.",
            "",
            [("", sum(w, |s| &s.displaced_sessions))],
        ),
    ]
}
