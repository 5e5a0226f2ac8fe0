//! A timer wheel: one for all sessions of a worker, so that an idle session costs no timer of its own.

/// Width of a slot in milliseconds where nothing is as short; what is due fires up to this much late.
const SLOT_MS: u64 = 100;

/// The shortest time that is waited for has at least this many slots.
const SLOTS_PER_WAIT: u64 = 20;

/// Slots: about 51 seconds at their usual width. What is due later is put into the last one and looked at again.
const SLOTS: usize = 512;

/// Keys by the time at which they are to be looked at.
#[derive(Debug)]
pub(super) struct Wheel<K> {
    slots: Vec<Vec<K>>,
    /// Width of a slot.
    slot_ms: u64,
    /// The slot that fires next, counted from the start.
    next: u64,
}

impl<K> Wheel<K> {
    /// A wheel for waits of `shortest_ms` and longer.
    pub(super) fn new(shortest_ms: u64) -> Self {
        let slot_ms = (shortest_ms / SLOTS_PER_WAIT).clamp(1, SLOT_MS);
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), slot_ms, next: 0 }
    }

    /// How often it has to be looked at, in milliseconds.
    pub(super) fn slot_ms(&self) -> u64 {
        self.slot_ms
    }

    /// Puts `key` where it fires at `due` or soon after. Returns when that will be: the end of its slot.
    pub(super) fn insert(&mut self, key: K, due: u64) -> u64 {
        let last = self.next.saturating_add(SLOTS as u64 - 1);
        let slot = due.div_ceil(self.slot_ms).clamp(self.next, last);
        self.slots[place(slot)].push(key);
        slot
    }

    /// Takes the keys of one slot that is over at `now`, with its number. `None` when there is none.
    pub(super) fn take_due(&mut self, now: u64) -> Option<(u64, Vec<K>)> {
        while self.next.saturating_mul(self.slot_ms) <= now {
            let slot = self.next;
            self.next += 1;
            let keys = std::mem::take(&mut self.slots[place(slot)]);
            if !keys.is_empty() {
                return Some((slot, keys));
            }
        }
        None
    }
}

/// Where a slot is kept.
fn place(slot: u64) -> usize {
    usize::try_from(slot % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wheel_turns_after_fifty_days_as_on_the_first() {
        let start = u64::from(u32::MAX) - 1_000;
        let mut wheel = Wheel::new(20_000);
        while wheel.take_due(start).is_some() {}
        wheel.insert("after", start + 5_000);
        assert!(wheel.take_due(start + 4_000).is_none());
        assert_eq!(wheel.take_due(start + 5_100).map(|(_, keys)| keys), Some(vec!["after"]));
    }

    #[test]
    fn keys_fire_in_their_time_and_never_early() {
        let mut wheel = Wheel::new(20_000);
        for (key, due) in [("a", 0), ("b", 250), ("c", 251), ("far", 1_000_000)] {
            wheel.insert(key, due);
        }
        let mut fired = Vec::new();
        for now in (0..=60_000).step_by(50) {
            while let Some((_, keys)) = wheel.take_due(now) {
                fired.extend(keys.into_iter().map(|key| (key, now)));
            }
        }
        assert_eq!(fired, [("a", 0), ("b", 300), ("c", 300), ("far", 51_100)]);
    }

    #[test]
    fn short_waits_have_narrow_slots() {
        assert_eq!(Wheel::<()>::new(200).slot_ms(), 10);
        assert_eq!(Wheel::<()>::new(0).slot_ms(), 1);
    }
}
