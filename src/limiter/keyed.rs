//! A table of rate limits, one for each key. A key takes memory only while it owes something.

use super::Verdict;
use super::ledger::Standing;
use super::rate::{Limit, Rate};
use super::sharded::{Sharded, give_back};
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Rate limits by key, bounded in number.
#[derive(Debug)]
pub struct KeyedLimits<K> {
    limits: Sharded<K, Entry>,
    keys: AtomicUsize,
    most: usize,
}

/// What one key owes, and what of it others have not been told.
#[derive(Debug, Default)]
struct Entry {
    limit: Limit,
    untold: u32,
}

impl<K: Eq + Hash> KeyedLimits<K> {
    /// A table for at most so many keys.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { limits: Sharded::new(), keys: AtomicUsize::new(0), most }
    }

    /// Takes one unit of a key's rate. `None`: the table is full of keys that owe something, and this is none of them.
    pub fn check(&self, key: K, now_ms: u64, rate: Rate) -> Option<Verdict> {
        self.with(key, |entry| entry.limit.check(now_ms, rate))
    }

    /// The same, of which others have to be told: says whether it is time to, as it is after every so many units.
    pub fn check_and_note(&self, key: K, now_ms: u64, rate: Rate, told_after: u32) -> Option<(Verdict, bool)> {
        self.with(key, |entry| {
            let verdict = entry.limit.check(now_ms, rate);
            entry.untold = entry.untold.saturating_add(u32::from(verdict.allowed));
            (verdict, verdict.allowed && entry.untold.is_multiple_of(told_after))
        })
    }

    /// What others have not been told of a key; it counts as told from now on.
    pub fn take_untold(&self, key: &K) -> u32 {
        self.limits.of(key).get_mut(key).map_or(0, |entry| std::mem::take(&mut entry.untold))
    }

    /// Takes over how all nodes together stood at the moment `then_ms` or later. A unit that was refused is not owed here either.
    pub fn settle(&self, key: &K, then_ms: u64, rate: Rate, standing: Standing) {
        if let Some(entry) = self.limits.of(key).get_mut(key) {
            if !standing.taken {
                entry.limit.give_back(rate);
            }
            entry.limit.owes(then_ms, standing.owed_us);
        }
    }

    fn with<T>(&self, key: K, act: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let mut shard = self.limits.of(&key);
        if let Some(entry) = shard.get_mut(&key) {
            return Some(act(entry));
        }
        if self.keys.load(Relaxed) >= self.most {
            return None;
        }
        let mut entry = Entry::default();
        let outcome = act(&mut entry);
        shard.insert(key, entry);
        self.keys.fetch_add(1, Relaxed);
        Some(outcome)
    }

    /// Forgets the keys that owe nothing any more, part by part: between two parts others get their turn.
    pub fn sweep(&self, now_ms: u64) -> impl Iterator<Item = usize> {
        self.limits.each().map(move |mut shard| {
            let before = shard.len();
            shard.retain(|_, entry| !entry.limit.is_paid(now_ms));
            let forgotten = before - shard.len();
            self.keys.fetch_sub(forgotten, Relaxed);
            give_back(&mut shard);
            forgotten
        })
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.load(Relaxed)
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many keys there is memory.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.limits.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate::per_second(10, 2);

    #[test]
    fn each_key_has_its_own_limit() {
        let limits = KeyedLimits::new(10);
        let allowed = |key, now| limits.check(key, now, RATE).unwrap().allowed;
        assert_eq!(["a", "a", "a", "b"].map(|key| allowed(key, 0)), [true, true, false, true]);
        assert!(allowed("a", 100));
        assert_eq!(limits.len(), 2);
    }

    #[test]
    fn a_million_keys_leave_nothing_behind() {
        let limits = KeyedLimits::new(2_000_000);
        for key in 0..1_000_000_u64 {
            assert!(limits.check(key, 0, RATE).unwrap().allowed);
        }
        assert!(limits.check(0, 0, RATE).is_some_and(|verdict| verdict.remaining == 0));
        assert_eq!((limits.len(), limits.capacity() >= 1_000_000), (1_000_000, true));
        assert_eq!(limits.sweep(100).sum::<usize>(), 999_999, "only one key still owes something");
        assert_eq!(limits.sweep(200).sum::<usize>(), 1);
        assert!(limits.is_empty() && limits.capacity() < 8_192, "{}", limits.capacity());
    }

    #[test]
    fn a_key_that_owes_something_is_not_forgotten() {
        let limits = KeyedLimits::new(10);
        let check = |now| limits.check("a", now, RATE).unwrap().allowed;
        assert!(check(0) && check(0) && !check(0));
        assert_eq!(limits.sweep(50).sum::<usize>(), 0);
        assert!(!check(50) && check(150));
    }

    #[test]
    fn a_full_table_takes_no_new_key_and_goes_on_with_those_it_has() {
        let limits = KeyedLimits::new(3);
        assert!((0..3).all(|key| limits.check(key, 0, RATE).is_some()));
        assert!(limits.check(3, 0, RATE).is_none());
        assert!(limits.check(0, 0, RATE).is_some());
        assert_eq!((limits.len(), limits.sweep(10_000).sum::<usize>()), (3, 3));
        assert!(limits.check(3, 10_000, RATE).is_some());
    }
}
