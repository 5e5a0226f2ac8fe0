//! What waits to be published: bounded in number, bytes and age, in order. Pure: `now` is an argument, in milliseconds.

use super::broker::Publication;
use super::receipt::Owed;
use std::collections::VecDeque;

/// What other nodes should have, and have not got yet.
#[derive(Debug)]
pub(super) struct Outgoing {
    waiting: VecDeque<Held>,
    hold_ms: u64,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) publication: Publication,
    /// When it was published, in milliseconds.
    pub(super) since: u64,
    /// What it counts in the queue's bound.
    pub(super) cost: usize,
    /// Whether it is counted when it is given up.
    pub(super) is_missed: bool,
    /// Whoever waits to hear that it is sent.
    pub(super) owed: Option<Owed>,
}

impl Held {
    /// Whether something before it was given up, without which it is worth nothing.
    pub(super) fn is_void(&self) -> bool {
        self.owed.as_ref().is_some_and(Owed::is_void)
    }
}

impl Outgoing {
    /// A queue in which nothing waits longer than `hold_ms`.
    pub(super) fn new(hold_ms: u64) -> Self {
        Self { waiting: VecDeque::new(), hold_ms }
    }

    pub(super) fn push(&mut self, held: Held) {
        self.waiting.push_back(held);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the first of what waits was published, in milliseconds; 0 when nothing waits.
    pub(super) fn oldest(&self) -> u64 {
        self.waiting.front().map_or(0, |held| held.since)
    }

    /// The first `most`, at most `bytes` together and at least one; they stay until [`Outgoing::done`].
    pub(super) fn batch(&self, most: usize, bytes: usize) -> Vec<Publication> {
        let mut total = 0;
        let fits = |held: &&Held| {
            total += held.publication.payload.len();
            total <= bytes
        };
        let mut batch: Vec<_> =
            self.waiting.iter().take(most).take_while(fits).map(|held| held.publication.clone()).collect();
        if batch.is_empty() {
            batch.extend(self.waiting.front().map(|held| held.publication.clone()));
        }
        batch
    }

    /// The first `n` are sent. Returns what they cost.
    pub(super) fn sent(&mut self, n: usize) -> usize {
        for owed in self.waiting.iter_mut().take(n).filter_map(|held| held.owed.take()) {
            owed.redeem();
        }
        self.done(n)
    }

    /// The first `n` are gone. Returns what they cost.
    pub(super) fn done(&mut self, n: usize) -> usize {
        self.waiting.drain(..n.min(self.waiting.len())).map(|held| held.cost).sum()
    }

    /// Gives up what has waited too long. Returns how many are missed, and what they cost.
    pub(super) fn expire(&mut self, now: u64) -> (u64, usize) {
        let late = self.waiting.iter().take_while(|held| held.since.saturating_add(self.hold_ms) <= now).count();
        let missed = self.waiting.iter().take(late).filter(|held| held.is_missed).count();
        let cost = self.done(late);
        let (behind, its_cost) = if late > 0 { self.forget_void() } else { (0, 0) };
        (missed as u64 + behind, cost + its_cost)
    }

    /// Gives up what is worth nothing without something that was given up. Returns how many these were, and what they cost.
    pub(super) fn forget_void(&mut self) -> (u64, usize) {
        let (mut count, mut cost) = (0, 0);
        self.waiting.retain(|held| {
            let is_void = held.is_void();
            count += u64::from(is_void);
            cost += if is_void { held.cost } else { 0 };
            !is_void
        });
        (count, cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::receipt::Strand;
    use bytes::Bytes;
    use tokio::sync::oneshot::error::TryRecvError;

    fn held(payload: &'static str, since: u64) -> Held {
        let publication = Publication { channel: "c".into(), payload: Bytes::from_static(payload.as_bytes()) };
        Held { publication, since, cost: payload.len(), is_missed: true, owed: None }
    }

    fn payloads(batch: &[Publication]) -> Vec<&str> {
        batch.iter().map(|publication| std::str::from_utf8(&publication.payload).unwrap()).collect()
    }

    #[test]
    fn what_waits_goes_in_order_and_stays_until_it_is_taken() {
        let mut outgoing = Outgoing::new(5_000);
        for payload in ["one", "two", "three"] {
            outgoing.push(held(payload, 0));
        }
        assert_eq!(payloads(&outgoing.batch(2, 100)), ["one", "two"]);
        assert_eq!(payloads(&outgoing.batch(9, 6)), ["one", "two"]);
        assert_eq!(payloads(&outgoing.batch(9, 1)), ["one"], "one always goes");
        assert_eq!(outgoing.done(1), 3);
        assert_eq!(payloads(&outgoing.batch(9, 100)), ["two", "three"]);
    }

    #[test]
    fn what_is_too_old_is_given_up() {
        let mut outgoing = Outgoing::new(5_000);
        outgoing.push(held("old", 1_000));
        outgoing.push(held("new", 3_000));
        assert_eq!(outgoing.expire(5_999), (0, 0));
        assert_eq!(outgoing.expire(6_000), (1, 3));
        assert_eq!(payloads(&outgoing.batch(9, 100)), ["new"]);
        assert_eq!(outgoing.expire(60_000), (1, 3));
        assert!(outgoing.is_empty());
    }

    #[test]
    fn whoever_waits_is_told_of_what_is_sent_and_not_of_what_is_given_up() {
        let (mut outgoing, mut receipts) = (Outgoing::new(5_000), Vec::new());
        for since in [0, 1_000] {
            let (owed, receipt) = Owed::new(None);
            outgoing.push(Held { owed: Some(owed), ..held("one", since) });
            receipts.push(receipt);
        }
        assert_eq!(outgoing.sent(1), 3);
        assert_eq!(outgoing.expire(6_000), (1, 3));
        assert_eq!(receipts[0].try_recv(), Ok(()));
        assert_eq!(receipts[1].try_recv(), Err(TryRecvError::Closed));
    }

    #[test]
    fn nothing_of_a_strand_is_sent_behind_what_was_given_up() {
        let (mut outgoing, strand, mut receipts) = (Outgoing::new(5_000), Strand::default(), Vec::new());
        for (payload, since) in [("first", 0), ("second", 3_000), ("third", 3_000)] {
            let (owed, receipt) = Owed::new(Some(&strand));
            outgoing.push(Held { owed: Some(owed), ..held(payload, since) });
            outgoing.push(held("other", 3_000));
            receipts.push(receipt);
        }
        assert_eq!(outgoing.expire(5_000), (3, 16));
        assert_eq!(payloads(&outgoing.batch(9, 100)), ["other"; 3]);
        assert!(receipts.iter_mut().all(|receipt| receipt.try_recv() == Err(TryRecvError::Closed)));
    }
}
