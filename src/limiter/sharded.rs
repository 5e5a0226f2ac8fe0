//! A map that many threads share: cut into parts with a lock each, and giving back what it no longer needs.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Parts of a map: a sweep holds one of them at a time.
const SHARDS: usize = 64;

/// Places that an empty part may keep.
const KEPT_PLACES: usize = 64;

/// A map in parts. Nobody can choose keys that collide: the hash has a secret of its own.
#[derive(Debug)]
pub(super) struct Sharded<K, V> {
    shards: Box<[Mutex<Shard<K, V>>]>,
    hasher: RandomState,
}

pub(super) type Shard<K, V> = HashMap<K, V, RandomState>;

impl<K: Eq + Hash, V> Sharded<K, V> {
    pub(super) fn new() -> Self {
        let hasher = RandomState::new();
        let shards = (0..SHARDS).map(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))).collect();
        Self { shards, hasher }
    }

    /// The part in which a key is.
    pub(super) fn of(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        // The map itself uses the lowest and the highest bits.
        let shard = (self.hasher.hash_one(key) >> 32) as usize % SHARDS;
        lock(&self.shards[shard])
    }

    /// Every part, one after the other.
    pub(super) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Shard<K, V>>> {
        self.shards.iter().map(lock)
    }

    /// Places that are reserved.
    pub(super) fn capacity(&self) -> usize {
        self.each().map(|shard| shard.capacity()).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives memory back when most of it is unused. Rare enough to cost nothing per entry.
pub(super) fn give_back<K: Eq + Hash, V>(shard: &mut Shard<K, V>) {
    if shard.capacity() > KEPT_PLACES && shard.len() < shard.capacity() / 4 {
        shard.shrink_to(shard.len() * 2);
    }
}
