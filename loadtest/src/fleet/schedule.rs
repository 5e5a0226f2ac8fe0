//! Says which publisher is due when: an open model, in which a slow server does not slow the load.
//!
//! All publishers of a step have the same interval, so the order of due times is a rotation and
//! the next one is always at the front. Their phases are spread at random, from a seed.
//!
//! # Invariants
//! - A due publish is written or owed, never skipped: what is owed keeps its intended time.

use std::collections::VecDeque;

use super::tally::Window;
use crate::client::template::RoomText;

/// One publisher of a room.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// Index of the client that publishes, in its worker.
    pub(crate) client: usize,
    /// Index of the room.
    pub(crate) room: u32,
    /// Index among the room's publishers.
    pub(crate) index: u32,
    /// How many members get each publish.
    pub(crate) members: u64,
    /// The room's text.
    pub(crate) text: RoomText,
    /// Number of the next publish.
    pub(crate) sequence: u64,
    /// Due publishes that wait for room in the client's queue.
    pub(crate) owed: u64,
    last_due: u64,
}

/// One stretch of constant rate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Step {
    /// When sending starts.
    pub(crate) start: u64,
    /// What is measured; sending stops at its end.
    pub(crate) window: Window,
    /// Time between two publishes of one publisher.
    pub(crate) interval: u64,
}

/// All publishers of one worker and their due times.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// The publishers.
    pub(crate) publishers: Vec<Publisher>,
    order: VecDeque<(u64, usize)>,
    step: Step,
}

impl Publisher {
    /// A publisher that has not sent yet.
    pub(crate) fn new(client: usize, room: (u32, u32), members: u64, text: RoomText) -> Self {
        Self { client, room: room.0, index: room.1, members, text, sequence: 0, owed: 0, last_due: 0 }
    }
}

impl Schedule {
    /// A schedule on which nothing is due yet.
    pub(crate) fn new(publishers: Vec<Publisher>) -> Self {
        Self { publishers, ..Self::default() }
    }

    /// Starts a step with fresh random phases.
    pub(crate) fn start(&mut self, step: Step, seed: u64) {
        let mut random = seed | 1;
        let mut order: Vec<_> = (0..self.publishers.len())
            .map(|at| (step.start + next_random(&mut random) % step.interval.max(1), at))
            .collect();
        order.sort_unstable();
        self.order = order.into();
        self.step = step;
    }

    /// Ends the step at `now` and forgets what is owed; returns how many publishes that were.
    pub(crate) fn stop(&mut self) -> u64 {
        self.order.clear();
        let owed = self.publishers.iter().map(|p| p.owed).sum();
        for publisher in &mut self.publishers {
            publisher.owed = 0;
        }
        owed
    }

    /// No publish is due at or after `now` any more.
    pub(crate) fn end_at(&mut self, now: u64) {
        self.step.window.until = self.step.window.until.min(now);
    }

    /// Whether a step is under way.
    #[inline]
    pub(crate) fn is_running(&self, now: u64) -> bool {
        (self.step.start..self.step.window.until).contains(&now)
    }

    /// When the next publish is due.
    #[inline]
    pub(crate) fn next_due(&self) -> Option<u64> {
        let &(due, _) = self.order.front()?;
        (due < self.step.window.until).then_some(due)
    }

    /// Takes the next publish that is due at `now`: its intended time and its publisher.
    #[inline]
    pub(crate) fn take_due(&mut self, now: u64) -> Option<(u64, usize)> {
        let &(due, at) = self.order.front()?;
        if due > now || due >= self.step.window.until {
            return None;
        }
        self.order.pop_front();
        self.order.push_back((due + self.step.interval, at));
        self.publishers[at].last_due = due;
        Some((due, at))
    }

    /// Intended time of the oldest publish a publisher owes; it is owed no longer.
    pub(crate) fn take_owed(&mut self, at: usize) -> Option<u64> {
        let publisher = &mut self.publishers[at];
        publisher.owed = publisher.owed.checked_sub(1)?;
        Some(publisher.last_due - publisher.owed * self.step.interval)
    }
}

/// The xorshift generator: good enough for phases, and needs no crate.
pub(crate) fn next_random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::dialect::Wire;
    use crate::client::template::Template;

    fn schedule(publishers: usize) -> Schedule {
        let template = Template::new(Wire::Json, *b"rc000000", 100, false);
        let publishers =
            (0..publishers).map(|at| Publisher::new(at, (0, at as u32), 2, template.room("room-0"))).collect();
        Schedule::new(publishers)
    }

    fn step() -> Step {
        let window = Window { from: 1_000, until: 2_000 };
        Step { start: 1_000, window, interval: 100 }
    }

    #[test]
    fn every_publisher_is_due_once_per_interval_in_order() {
        let mut schedule = schedule(7);
        schedule.start(step(), 42);
        let mut last = 0;
        let mut taken = [0; 7];
        while let Some((due, at)) = schedule.take_due(5_000) {
            assert!(due >= last && due < 2_000);
            last = due;
            taken[at] += 1;
        }
        assert_eq!(taken, [10; 7]);
    }

    #[test]
    fn what_is_owed_keeps_its_intended_time() {
        let mut schedule = schedule(1);
        schedule.start(step(), 42);
        let mut dues = Vec::new();
        for _ in 0..3 {
            let (due, at) = schedule.take_due(1_999).unwrap();
            schedule.publishers[at].owed += 1;
            dues.push(due);
        }
        assert_eq!(schedule.take_owed(0), Some(dues[0]));
        assert_eq!(schedule.take_owed(0), Some(dues[1]));
        assert_eq!(schedule.stop(), 1);
        assert_eq!(schedule.take_owed(0), None);
    }
}
