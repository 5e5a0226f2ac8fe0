//! How many of something each address has at this moment.

use super::address::AddressKey;
use super::sharded::{Sharded, give_back};
use std::sync::Arc;

/// Counts by address. An address takes memory only while it holds something.
#[derive(Debug, Clone)]
pub struct Holders(Arc<Sharded<AddressKey, u32>>);

impl Holders {
    /// Nobody holds anything.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Sharded::new()))
    }

    /// One more for this address, until the answer is dropped; `None` when it has `most` already.
    #[must_use]
    pub fn hold(&self, key: AddressKey, most: u32) -> Option<Hold> {
        let mut shard = self.0.of(&key);
        let count = shard.entry(key).or_insert(0);
        if *count >= most {
            if *count == 0 {
                shard.remove(&key);
            }
            return None;
        }
        *count += 1;
        Some(Hold { holders: Arc::clone(&self.0), key })
    }

    /// How many addresses hold something.
    #[must_use]
    pub fn addresses(&self) -> usize {
        self.0.each().map(|shard| shard.len()).sum()
    }
}

impl Default for Holders {
    fn default() -> Self {
        Self::new()
    }
}

/// One thing that an address holds. Dropping it gives it back.
#[derive(Debug)]
pub struct Hold {
    holders: Arc<Sharded<AddressKey, u32>>,
    key: AddressKey,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut shard = self.holders.of(&self.key);
        let Some(count) = shard.get_mut(&self.key) else { return };
        *count -= 1;
        if *count == 0 {
            shard.remove(&self.key);
            give_back(&mut shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_held_again_and_leaves_nothing_behind() {
        let holders = Holders::new();
        let [a, b] = ["192.0.2.1", "192.0.2.2"].map(|text| AddressKey::of(text.parse().unwrap()));
        let first = holders.hold(a, 2).unwrap();
        let second = holders.hold(a, 2).unwrap();
        assert!(holders.hold(a, 2).is_none());
        let other = holders.hold(b, 2).unwrap();
        drop(first);
        let third = holders.hold(a, 2).unwrap();
        assert_eq!(holders.addresses(), 2);
        drop((second, third, other));
        assert_eq!(holders.addresses(), 0);
        assert!(holders.hold(a, 0).is_none() && holders.addresses() == 0);
    }
}
