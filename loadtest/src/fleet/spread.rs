//! Measures how far apart the first and the last recipient of a publish are.
//!
//! Only meaningful in large rooms, where a fan-out takes milliseconds. Each worker measures its
//! own members.

use hdrhistogram::Histogram;

use super::tally::histogram;
use crate::clock::MICROSECOND;
use crate::mark::Mark;

/// How many publishes of one publisher may be under way at once and still be told apart.
const SLOTS: usize = 64;

/// First and last arrivals of the publishes under way.
#[derive(Debug)]
pub(crate) struct Spread {
    slots: Vec<Slot>,
    publishers: usize,
    times: Histogram<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    publish: Option<u64>,
    first: u64,
    last: u64,
}

impl Spread {
    /// For `rooms` rooms with `publishers` publishers each.
    pub(crate) fn new(rooms: usize, publishers: usize) -> Self {
        Self { slots: vec![Slot::default(); rooms * publishers * SLOTS], publishers, times: histogram(2) }
    }

    /// Takes note of an arrival.
    #[inline]
    pub(crate) fn observe(&mut self, mark: &Mark, now: u64) {
        let publisher = mark.room as usize * self.publishers + mark.publisher as usize;
        let at = publisher * SLOTS + mark.sequence as usize % SLOTS;
        let Some(slot) = self.slots.get_mut(at) else {
            return;
        };
        if slot.publish == Some(mark.sequence) {
            slot.last = now;
            return;
        }
        let old = std::mem::replace(slot, Slot { publish: Some(mark.sequence), first: now, last: now });
        self.record(old);
    }

    /// Records what is still open and returns the times, in microseconds.
    pub(crate) fn times(&mut self) -> &Histogram<u64> {
        for at in 0..self.slots.len() {
            let slot = std::mem::take(&mut self.slots[at]);
            self.record(slot);
        }
        &self.times
    }

    /// Adds another worker's times.
    pub(crate) fn add(&mut self, other: &Self) {
        for slot in &other.slots {
            self.record(*slot);
        }
        self.times.add(&other.times).expect("all spread histograms have the same bounds");
    }

    fn record(&mut self, slot: Slot) {
        if slot.publish.is_some() {
            let time = (slot.last - slot.first) / MICROSECOND;
            self.times.saturating_record(time);
        }
    }
}
