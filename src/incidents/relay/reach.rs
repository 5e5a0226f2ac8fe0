//! How many events of each part one look reads: bounded for all parts together, whatever waits.

use crate::store::OUTBOX_PARTS;

/// Events that are taken out of a part in one transaction.
pub(super) const BATCH: u32 = 100;

/// Events of all parts together that have been said here and may wait for the broker; members here wait for more of them.
const HELD_MAX: u32 = 10_000;

/// The same for each part.
const HELD_OF_PART: u32 = HELD_MAX / OUTBOX_PARTS as u32;

/// By how much a look may read more than the one before it, after one that took too long.
const GROWTH: u32 = BATCH / 10;

/// How far a look reaches.
#[derive(Debug)]
pub(super) struct Reach {
    most: u32,
}

impl Default for Reach {
    fn default() -> Self {
        Self { most: BATCH + HELD_OF_PART }
    }
}

impl Reach {
    /// How many events of each part are read, when one of them has so many that wait for the broker: what is behind these has
    /// to be said here, too.
    pub(super) fn limit(&self, held: usize) -> u32 {
        u32::try_from(held).unwrap_or(HELD_OF_PART).min(HELD_OF_PART).saturating_add(BATCH).min(self.most)
    }

    /// A look has ended in time.
    pub(super) fn grow(&mut self) {
        self.most = (self.most + GROWTH).min(BATCH + HELD_OF_PART);
    }

    /// A look of this limit took too long.
    pub(super) fn shrink(&mut self, limit: u32) {
        self.most = (limit / 2).max(BATCH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_reaches_behind_what_waits_and_no_further_than_all_parts_may_hold() {
        let reach = Reach::default();
        assert_eq!((reach.limit(0), reach.limit(7)), (BATCH, BATCH + 7));
        let parts = u32::from(OUTBOX_PARTS);
        for held in [5_000, 10_000, usize::MAX] {
            assert!(reach.limit(held) * parts <= HELD_MAX + BATCH * parts, "{held}");
        }
    }

    #[test]
    fn what_took_too_long_is_halved_and_grows_again() {
        let mut reach = Reach::default();
        let whole = reach.limit(usize::MAX);
        reach.shrink(whole);
        assert_eq!(reach.limit(usize::MAX), whole / 2);
        assert_eq!(reach.limit(0), BATCH);
        (0..10).for_each(|_| reach.shrink(reach.limit(usize::MAX)));
        assert_eq!(reach.limit(usize::MAX), BATCH, "and never less");
        reach.grow();
        assert_eq!(reach.limit(usize::MAX), BATCH + GROWTH);
        (0..1_000).for_each(|_| reach.grow());
        assert_eq!(reach.limit(usize::MAX), whole);
    }
}
