//! Reads the one monotonic clock that publishers and members share.
//!
//! Latency is a difference of two readings of the same clock, so no synchronisation error can
//! hide in it. Times are nanoseconds since the process started.

use std::time::Instant;

/// One microsecond in the clock's unit.
pub(crate) const MICROSECOND: u64 = 1_000;
/// One millisecond in the clock's unit.
pub(crate) const MILLISECOND: u64 = 1_000_000;
/// One second in the clock's unit.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// A copyable reference to the start of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    /// Starts the clock; called once, in `main`.
    pub(crate) fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    /// Nanoseconds since the start.
    #[inline]
    pub(crate) fn now(&self) -> u64 {
        // 64 bits of nanoseconds last 584 years
        self.epoch.elapsed().as_nanos() as u64
    }
}

/// Converts seconds given on the command line to the clock's unit.
pub(crate) fn from_seconds(seconds: f64) -> u64 {
    (seconds.max(0.0) * SECOND as f64) as u64
}

/// Converts a span of the clock to seconds.
pub(crate) fn to_seconds(span: u64) -> f64 {
    span as f64 / SECOND as f64
}
