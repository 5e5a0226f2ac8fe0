//! Lets clients come and go at random moments: connect, join, listen for a while, and leave, politely or not.
//!
//! A visitor's life is a row of moments: at each it comes if it is away and leaves if it is there. Times away and times there
//! are uniform between nothing and a cycle, so a visitor comes once a cycle on average. Some leave in the middle of their
//! handshake.
//!
//! # Invariants
//! - While the step runs, each visitor has exactly one moment ahead of it, except while it connects in order to stay.

use std::cmp::Reverse;

use super::Worker;
use crate::checker::Sequence;
use crate::client::{Failure, Stage, frame};
use crate::clock::MILLISECOND;
use crate::fleet::schedule::next_random;

/// One visit of so many is broken off before it has begun well.
const BROKEN_OFF: u64 = 8;
/// Within this time of its beginning.
const BREAKS_WITHIN: u64 = 10 * MILLISECOND;

impl Worker {
    /// Sets each visitor's first moment, at `start` or within a cycle of it.
    pub(super) fn begin_visits(&mut self, start: u64) {
        let Some(visiting) = self.plan.visiting else { return };
        for (at, link) in self.links.iter().enumerate().filter(|(_, link)| link.client.visits) {
            if link.socket.is_none() {
                let wait = next_random(&mut self.turn.random) % visiting.cycle.max(1);
                self.turn.moments.push(Reverse((start + wait, at)));
            }
        }
    }

    /// A visitor's moment: whether it comes now. If it is there, it leaves.
    pub(super) fn visit_now(&mut self, at: usize, now: u64) -> bool {
        self.links[at].leaves = false;
        if !self.schedule.is_running(now) {
            return false;
        }
        if self.links[at].socket.is_some() {
            self.leave(at, now);
            return false;
        }
        self.tally.visits.begun += 1;
        if next_random(&mut self.turn.random).is_multiple_of(BROKEN_OFF) {
            self.set_moment(at, now, BREAKS_WITHIN);
            self.links[at].leaves = true;
        }
        true
    }

    /// A visitor is in its room; it will leave.
    pub(super) fn visit_joined(&mut self, at: usize) {
        self.turn.in_flight -= 1;
        self.tally.visits.joined += 1;
        if !self.links[at].leaves {
            self.links[at].leaves = true;
            self.set_moment(at, self.clock.now(), self.cycle());
        }
    }

    /// A visitor's connection ended although it did not leave.
    pub(super) fn visit_failed(&mut self, at: usize, failure: &Failure) {
        self.tally.visits.failures.count(failure);
        self.tally.sample(failure.to_string());
        // the moment at which it would have left is the one at which it comes again
        if !std::mem::take(&mut self.links[at].leaves) {
            self.set_moment(at, self.clock.now(), self.cycle());
        }
        self.end_visit(at);
    }

    /// Adds up what those who are still there have seen, at the end of a step.
    pub(super) fn end_visits(&mut self) {
        for link in self.links.iter_mut().filter(|link| link.client.visits) {
            self.tally.visits.lost += link.client.sequences.iter().map(Sequence::missing).sum::<u64>();
            link.client.sequences.fill_with(Sequence::default);
        }
    }

    fn leave(&mut self, at: usize, now: u64) {
        let link = &mut self.links[at];
        let visits = &mut self.tally.visits;
        if link.client.stage < Stage::Joined {
            visits.broken_off += 1;
        } else if next_random(&mut self.turn.random) >> 63 == 0 {
            visits.cut += 1;
        } else {
            visits.said_goodbye += 1;
            frame::append(&mut link.client.out, frame::CLOSE, &1000_u16.to_be_bytes());
            // the server may have ended the connection already; that is goodbye enough
            link.flush().ok();
        }
        self.end_visit(at);
        self.set_moment(at, now, self.cycle());
    }

    /// Forgets a visit, once what it lost is counted.
    fn end_visit(&mut self, at: usize) {
        let link = &mut self.links[at];
        if link.client.stage < Stage::Joined {
            self.turn.in_flight -= 1;
        }
        self.tally.visits.lost += link.client.sequences.iter().map(Sequence::missing).sum::<u64>();
        link.client.sequences.fill_with(Sequence::default);
        link.close();
        link.client.renew();
    }

    fn cycle(&self) -> u64 {
        self.plan.visiting.map_or(0, |visiting| visiting.cycle)
    }

    fn set_moment(&mut self, at: usize, now: u64, within: u64) {
        let wait = next_random(&mut self.turn.random) % within.max(1);
        self.turn.moments.push(Reverse((now + wait, at)));
    }
}
