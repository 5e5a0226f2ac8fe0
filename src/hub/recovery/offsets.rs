//! The numbers of a node's events, and the moment at which a session moves from one worker to another.

use crate::protocol::offset::Offset;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Numbers the events of a node. Without recovery it stays unused.
#[derive(Debug)]
pub(in crate::hub) struct Offsets {
    epoch: u32,
    next: AtomicU64,
    fence: RwLock<()>,
    is_on: bool,
}

impl Offsets {
    /// # Panics
    /// When the operating system has no randomness.
    pub(in crate::hub) fn new(is_on: bool) -> Self {
        let mut epoch = [0; 4];
        getrandom::fill(&mut epoch).expect("the operating system has randomness");
        Self { epoch: u32::from_be_bytes(epoch), next: AtomicU64::new(1), fence: RwLock::new(()), is_on }
    }

    /// Whether events have numbers.
    pub(in crate::hub) fn is_on(&self) -> bool {
        self.is_on
    }

    /// The next number. A broadcast takes it, and is posted to the other workers, while it holds [`Offsets::publish`].
    pub(in crate::hub) fn next(&self) -> Offset {
        Offset { epoch: self.epoch, number: self.next.fetch_add(1, Relaxed) }
    }

    /// Whether this process may have given out this number.
    pub(super) fn knows(&self, offset: Offset) -> bool {
        offset.epoch == self.epoch && offset.number < self.next.load(Relaxed)
    }

    /// Held from numbering a broadcast until it is in the inbox of every worker that it is for. Those who publish do not
    /// wait for each other, only for whoever is in [`Offsets::fence`].
    pub(in crate::hub) fn publish(&self) -> RwLockReadGuard<'_, ()> {
        self.fence.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that parts the broadcasts: those below it are in all the inboxes that they go to, and those from it on have
    /// not looked yet where they have to go. `meanwhile` is done at that moment.
    pub(super) fn fence(&self, meanwhile: impl FnOnce()) -> u64 {
        let _nobody_publishes = self.fence.write().unwrap_or_else(PoisonError::into_inner);
        meanwhile();
        self.next.load(Relaxed)
    }
}
