//! Remembers every delivery, so that a run can be judged by stretches of time afterwards.
//!
//! Only kept when a scenario asks for it: a delivery costs an entry.

use crate::checker::Arrival;
use crate::mark::Mark;

/// Entries that a worker keeps; a run that needs more cannot be judged.
const ENTRIES_MAX: usize = 8_000_000;

/// One delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Index of the room.
    pub(crate) room: u32,
    /// Position in the publisher's sequence.
    pub(crate) sequence: u32,
    /// Index of the member's node.
    pub(crate) node: u32,
    /// What it means to the member.
    pub(crate) arrival: Arrival,
    /// When its publish was due.
    pub(crate) due: u64,
    /// When it came.
    pub(crate) at: u64,
}

/// All deliveries, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    /// The deliveries.
    pub(crate) entries: Vec<Entry>,
    /// Whether there were more.
    pub(crate) is_full: bool,
}

impl Diary {
    /// Notes a delivery to a member on `node`.
    pub(crate) fn note(&mut self, mark: &Mark, arrival: Arrival, node: u32, at: u64) {
        let Mark { room, sequence, intended: due, .. } = *mark;
        if self.entries.len() < ENTRIES_MAX {
            self.entries.push(Entry { room, sequence: sequence as u32, node, arrival, due, at });
        } else {
            self.is_full = true;
        }
    }

    /// Adds another worker's.
    pub(crate) fn add(&mut self, other: Self) {
        self.entries.extend(other.entries);
        self.is_full |= other.is_full;
    }
}
