//! What one worker has handed out of late, in that order.

use crate::hub::broadcast::Broadcast;
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes that an entry takes beside what was said.
const ENTRY_BYTES: usize = 96;

/// A log that forgets its oldest entries by bytes and by age.
#[derive(Debug)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// The position of the first entry that is left; positions count from the start and are never used again.
    first: u64,
    bytes: usize,
    bytes_max: usize,
    age_ms: u64,
}

#[derive(Debug)]
struct Entry {
    /// The lowest and the highest number in it: two only for events of which nothing but their numbers is kept.
    numbers: (u64, u64),
    /// Nothing for what is worth nothing later.
    said: Option<Arc<Broadcast>>,
    at: u64,
    bytes: usize,
}

impl Log {
    pub(super) fn new(bytes_max: usize, age_ms: u64) -> Self {
        Self { entries: VecDeque::new(), first: 0, bytes: 0, bytes_max, age_ms }
    }

    /// The position of what comes next.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The position of the oldest entry that is left.
    pub(super) fn start(&self) -> u64 {
        self.first
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Notes what has been handed out.
    pub(super) fn push(&mut self, number: u64, said: Arc<Broadcast>, now: u64) {
        let bytes = ENTRY_BYTES + said.cost();
        self.add(Entry { numbers: (number, number), said: Some(said), at: now, bytes });
    }

    /// Notes an event that is not worth keeping: clients remember its number all the same. A run of them is one entry.
    pub(super) fn mark(&mut self, number: u64, now: u64) {
        if let Some(Entry { numbers, said: None, at, .. }) = self.entries.back_mut() {
            (*numbers, *at) = ((numbers.0.min(number), numbers.1.max(number)), now);
            return;
        }
        self.add(Entry { numbers: (number, number), said: None, at: now, bytes: ENTRY_BYTES });
    }

    fn add(&mut self, entry: Entry) {
        self.bytes += entry.bytes;
        self.entries.push_back(entry);
        while self.bytes > self.bytes_max {
            self.forget_oldest();
        }
    }

    /// Forgets what is too old.
    pub(super) fn trim(&mut self, now: u64) {
        while self.entries.front().is_some_and(|entry| entry.at.saturating_add(self.age_ms) < now) {
            self.forget_oldest();
        }
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.first += 1;
            self.bytes -= entry.bytes;
        }
    }

    /// The position behind the event of this number.
    pub(super) fn after(&self, number: u64) -> Option<u64> {
        let mut run = None;
        for (i, entry) in self.entries.iter().enumerate().rev() {
            let (low, high) = entry.numbers;
            if low == number && high == number {
                return Some(self.first + i as u64 + 1);
            }
            if entry.said.is_none() && (low..=high).contains(&number) {
                run.get_or_insert(self.first + i as u64 + 1);
            }
        }
        run
    }

    /// What a session may have to hear, from a position on: its position, its number, and itself.
    pub(super) fn since(&self, position: u64) -> impl Iterator<Item = (u64, u64, &Arc<Broadcast>)> {
        let skip = usize::try_from(position.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let entries = (self.first..).zip(&self.entries).skip(skip);
        entries.filter_map(|(at, entry)| Some((at, entry.numbers.0, entry.said.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::NamespaceId;
    use crate::protocol::event::Event;
    use crate::protocol::request::RawEvent;

    fn said() -> Arc<Broadcast> {
        let raw = RawEvent { name: "\"e\"", args: "", arity: 0 };
        let event = Event { raw, attachments: &[], ack: None, offset: None };
        Arc::new(Broadcast::new(NamespaceId::DEFAULT, Vec::new(), Vec::new(), event))
    }

    fn numbers(log: &Log, position: u64) -> Vec<u64> {
        log.since(position).map(|(_, number, _)| number).collect()
    }

    #[test]
    fn an_event_is_found_by_its_number_whatever_the_order_of_numbers() {
        let mut log = Log::new(1 << 20, 100);
        for number in [1, 4, 2, 5] {
            log.push(number, said(), 0);
        }
        let position = log.after(4).unwrap();
        assert_eq!((numbers(&log, position), log.after(3)), (vec![2, 5], None));
    }

    #[test]
    fn what_is_not_worth_keeping_is_one_entry_and_can_be_come_back_from() {
        let mut log = Log::new(1 << 20, 100);
        log.push(1, said(), 0);
        for number in [3, 2, 9] {
            log.mark(number, 0);
        }
        log.push(4, said(), 0);
        assert_eq!(log.end(), 3);
        for number in [2, 3, 9] {
            assert_eq!(numbers(&log, log.after(number).unwrap()), [4]);
        }
        assert_eq!(log.after(4), Some(3), "a number of its own is better than a run around it");
    }

    #[test]
    fn the_oldest_is_forgotten_by_bytes_and_by_age_and_positions_stay() {
        let each = ENTRY_BYTES + said().cost();
        let mut log = Log::new(2 * each, 100);
        for number in 1..=3 {
            log.push(number, said(), number);
        }
        assert_eq!((log.start(), log.end(), log.after(1), log.after(2)), (1, 3, None, Some(2)));
        assert_eq!(log.bytes(), 2 * each);
        log.trim(102);
        assert_eq!((log.start(), log.end()), (1, 3));
        log.trim(104);
        assert_eq!((log.start(), log.end(), log.bytes()), (3, 3, 0));
    }
}
