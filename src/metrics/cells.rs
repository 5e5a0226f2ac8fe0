//! What is counted in: numbers that one thread writes and any thread reads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter or gauge.
#[derive(Debug, Default)]
pub struct Cell(AtomicU64);

impl Cell {
    /// Adds; for the one thread that writes this cell. A plain load and store, without a locked instruction.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Subtracts; for the one thread that writes this cell.
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// Sets the value.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Adds; for cells that several threads write.
    pub fn add_shared(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// Subtracts; for cells that several threads write.
    pub fn sub_shared(&self, n: u64) {
        self.0.fetch_sub(n, Relaxed);
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds of the buckets in microseconds: from a quiet worker's microseconds to the seconds of a stuck one. The
/// alert on lag is at 200 ms.
pub(super) const BOUNDS_US: [u64; 14] =
    [5, 10, 25, 50, 100, 250, 1_000, 5_000, 25_000, 100_000, 200_000, 500_000, 1_000_000, 5_000_000];

/// A histogram of durations in microseconds, written by one thread.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Cell; BOUNDS_US.len() + 1],
    sum_us: Cell,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, us: u64) {
        let bucket = BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS_US.len());
        self.buckets[bucket].add(1);
        self.sum_us.add(us);
    }

    /// Counts one duration; for histograms that several threads write.
    pub fn observe_shared(&self, us: u64) {
        let bucket = BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS_US.len());
        self.buckets[bucket].add_shared(1);
        self.sum_us.add_shared(us);
    }

    /// Adds this histogram to cumulative counts per bound (the last is the total) and to a sum in microseconds.
    pub(super) fn add_to(&self, counts: &mut [u64; BOUNDS_US.len() + 1], sum_us: &mut u64) {
        let mut cumulative = 0;
        for (count, bucket) in counts.iter_mut().zip(&self.buckets) {
            cumulative += bucket.get();
            *count += cumulative;
        }
        *sum_us += self.sum_us.get();
    }
}
