//! A timer wheel: one for all sessions of a worker, so that an idle session costs no timer of its own.

/// Width of a slot in milliseconds; what is due fires up to this much late.
pub(super) const SLOT_MS: u32 = 100;

/// Slots: about 51 seconds. What is due later is put into the last one and looked at again.
const SLOTS: usize = 512;

/// Keys by the time at which they are to be looked at.
#[derive(Debug)]
pub(super) struct Wheel<K> {
    slots: Vec<Vec<K>>,
    /// The slot that fires next, counted from the start.
    next: u32,
}

impl<K> Wheel<K> {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), next: 0 }
    }

    /// Puts `key` where it fires at `due` or soon after. Returns when that will be: the end of its slot.
    pub(super) fn insert(&mut self, key: K, due: u32) -> u32 {
        let last = self.next.saturating_add(SLOTS as u32 - 1);
        let slot = due.div_ceil(SLOT_MS).clamp(self.next, last);
        self.slots[slot as usize % SLOTS].push(key);
        slot
    }

    /// Takes the keys of one slot that is over at `now`, with its number. `None` when there is none.
    pub(super) fn take_due(&mut self, now: u32) -> Option<(u32, Vec<K>)> {
        while self.next.saturating_mul(SLOT_MS) <= now {
            let slot = self.next;
            self.next += 1;
            let keys = std::mem::take(&mut self.slots[slot as usize % SLOTS]);
            if !keys.is_empty() {
                return Some((slot, keys));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fire_in_their_time_and_never_early() {
        let mut wheel = Wheel::new();
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
}
