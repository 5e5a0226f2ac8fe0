//! Cuts all clients off at once and lets them come back, as stock clients do after a network's or a proxy's failure.

use std::cmp::Reverse;
use std::sync::atomic::Ordering::Relaxed;

use super::Worker;
use crate::client::{Failure, Stage};
use crate::clock::{SECOND, to_seconds};
use crate::fleet::Avalanche;

/// How long an attempt to come back may take, as with stock clients.
const MOVE_TIMEOUT: u64 = 20 * SECOND;
/// How long a visitor may take to get into its room.
const VISIT_TIMEOUT: u64 = 10 * SECOND;

impl Worker {
    /// Closes every TCP connection without a word; each client will connect again after its delay.
    pub(super) fn cut(&mut self) {
        let Some(comeback) = self.plan.comeback else { return };
        let now = self.clock.now();
        self.avalanche = Some(Avalanche { cut_at: now, back_at: vec![None; self.links.len()], ..Avalanche::default() });
        for (at, link) in self.links.iter_mut().enumerate() {
            link.close();
            link.client.renew();
            link.moved = true;
            link.attempts = 0;
            let delay = comeback.backoff.delay(0, &mut self.turn.random);
            self.turn.moments.push(Reverse((now + delay, at)));
        }
    }

    /// Notes that a client is in its room again.
    pub(super) fn note_comeback(&mut self, at: usize) {
        if let Some(avalanche) = &mut self.avalanche {
            avalanche.back_at[at] = Some(self.clock.now());
            self.links[at].attempts = 0;
        }
    }

    /// Lets a client whose attempt failed, or whose connection ended again, try once more. `false`: nobody was cut off.
    pub(super) fn come_back(&mut self, at: usize, failure: &Failure) -> bool {
        let (Some(avalanche), Some(comeback)) = (&mut self.avalanche, self.plan.comeback) else { return false };
        let link = &mut self.links[at];
        if link.client.stage == Stage::Joined {
            link.attempts = 0;
            avalanche.back_at[at] = None;
            avalanche.closed_again += 1;
            self.live.returned.fetch_sub(1, Relaxed);
            self.tally.counts.closed += 1;
            self.tally.sample(failure.to_string());
        } else {
            link.attempts += 1;
            self.turn.in_flight -= 1;
        }
        avalanche.failures.count(failure);
        link.close();
        link.client.renew();
        let delay = comeback.backoff.delay(link.attempts, &mut self.turn.random);
        self.turn.moments.push(Reverse((self.clock.now() + delay, at)));
        true
    }

    /// Ends attempts that take too long, as stock clients do: those of a comeback or a move and those of visitors.
    pub(super) fn give_up_attempts(&mut self, now: u64) {
        let Some(timeout) = self.attempt_timeout() else { return };
        for at in 0..self.links.len() {
            let link = &self.links[at];
            let is_trying = link.socket.is_some() && link.client.stage < Stage::Joined;
            let gives_up = self.avalanche.is_some() || link.client.visits || link.moved;
            if is_trying && gives_up && now.saturating_sub(link.began_at) > timeout {
                let text = format!("not in its room after {} s", to_seconds(timeout));
                self.fail(at, &Failure::refused(text));
            }
        }
    }

    fn attempt_timeout(&self) -> Option<u64> {
        let visits = self.plan.visiting.map(|_| VISIT_TIMEOUT);
        let moves = self.plan.refuge.map(|_| MOVE_TIMEOUT);
        self.plan.comeback.map(|comeback| comeback.timeout).or(visits).or(moves)
    }
}
