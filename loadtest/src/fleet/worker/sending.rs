//! Publishes: what is due, what is owed, and the flood.
//!
//! # Invariants
//! - At most [`SENDS_PER_TURN`] publishes and one [`FLOOD_SLICE`] are queued before the sockets are looked at again.

use super::Worker;
use crate::client::{OUT_LIMIT, Stage};
use crate::fleet::journal::Published;
use crate::mark::Mark;

/// Publishes queued in one turn.
const SENDS_PER_TURN: usize = 512;
/// Bytes that the flooding client writes in one turn, so that the others get theirs.
const FLOOD_SLICE: usize = 32 * 1024;

impl Worker {
    /// Queues what is due; returns whether more is due already.
    pub(super) fn send_due(&mut self, now: u64) -> bool {
        for _ in 0..SENDS_PER_TURN {
            let Some((due, at)) = self.schedule.take_due(now) else {
                return false;
            };
            let publisher = &mut self.schedule.publishers[at];
            let link = &self.links[publisher.client];
            if publisher.owed > 0 || link.client.queued() > OUT_LIMIT {
                publisher.owed += 1;
                continue;
            }
            let client = publisher.client;
            if link.client.queued() == 0 {
                self.turn.dirty.push(client);
            }
            self.publish(at, due, now);
        }
        true
    }

    #[inline]
    fn publish(&mut self, at: usize, intended: u64, now: u64) {
        let publisher = &mut self.schedule.publishers[at];
        let client = &mut self.links[publisher.client].client;
        if client.stage != Stage::Joined {
            self.tally.counts.unsent += 1;
            return;
        }
        let mark = Mark { room: publisher.room, publisher: publisher.index, sequence: publisher.sequence, intended };
        publisher.sequence += 1;
        if let Some(journal) = &mut self.journal {
            let Mark { room, publisher, sequence, .. } = mark;
            journal.published.push(Published { room, publisher, sequence, at: now });
        }
        self.plan.template.append(&mut client.out, &publisher.text, &mark);
        self.tally.sent(intended, publisher.members, now);
    }

    pub(super) fn settle_owed(&mut self, at: usize) {
        let Some(publisher) = self.links[at].publisher else {
            return;
        };
        let now = self.clock.now();
        while self.links[at].client.queued() <= OUT_LIMIT
            && let Some(intended) = self.schedule.take_owed(publisher)
        {
            self.publish(publisher, intended, now);
        }
    }

    pub(super) fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.turn.dirty);
        for at in dirty.drain(..) {
            self.flush(at);
        }
        self.turn.dirty = dirty;
    }

    pub(super) fn flush(&mut self, at: usize) {
        if let Err(failure) = self.links[at].flush() {
            self.fail(at, &failure);
        }
    }

    /// Lets the flooding client write one slice more; returns whether its socket would take another.
    pub(super) fn flood(&mut self, now: u64) -> bool {
        let Some(flooder) = &mut self.flooder else { return false };
        let at = flooder.client;
        let client = &mut self.links[at].client;
        if client.stage != Stage::Joined || client.queued() > 0 || !self.schedule.is_running(now) {
            return false;
        }
        while client.out.len() < FLOOD_SLICE {
            let mark = Mark { room: flooder.room, publisher: flooder.index, sequence: flooder.sequence, intended: now };
            flooder.sequence += 1;
            self.plan.template.append(&mut client.out, &flooder.text, &mark);
            self.tally.flooded(flooder.members);
        }
        self.flush(at);
        self.links[at].client.queued() == 0
    }
}
