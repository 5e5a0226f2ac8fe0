//! Lets clients leave for good, one after the other, with a close frame.
//!
//! Whose turn it is follows from a client's number by a hash, so that those who leave, and those who stay, are spread over
//! everything that goes by number: nodes, rooms, the order in which they came. A room's publisher stays.

use std::sync::atomic::Ordering::Relaxed;

use super::Worker;
use crate::client::{Stage, frame};

/// Who leaves when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leaving {
    /// How many clients stay, publishers among them.
    pub(crate) stay: usize,
    /// When it begins.
    pub(crate) since: u64,
    /// How long it takes.
    pub(crate) span: u64,
}

impl Leaving {
    /// When a client leaves, of so many, of whom the first so many stay in any case.
    fn moment(&self, user: u32, users: usize, keep: usize) -> Option<u64> {
        if (user as usize) < keep {
            return None;
        }
        let share = users.saturating_sub(self.stay.max(keep)) as f64 / (users - keep) as f64;
        // Knuth's multiplicative hash: even over consecutive numbers
        let place = f64::from(user.wrapping_mul(2_654_435_761)) / (f64::from(u32::MAX) + 1.0);
        (place < share).then(|| self.since + (place / share * self.span as f64) as u64)
    }
}

impl Worker {
    /// Sets the moment at which each leaves.
    pub(super) fn begin_leaving(&mut self, leaving: Leaving) {
        let (users, keep) = (self.plan.users, self.plan.rooms * self.plan.publishers);
        let links = self.links.iter().enumerate().filter(|(_, link)| !link.client.visits);
        let mut all: Vec<_> =
            links.filter_map(|(at, link)| Some((leaving.moment(link.user, users, keep)?, at))).collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        self.leavers = all;
    }

    /// Ends those whose time has come.
    pub(super) fn leave_due(&mut self, now: u64) {
        while let Some((_, at)) = self.leavers.pop_if(|(due, _)| *due <= now) {
            self.leave_for_good(at, now);
        }
    }

    fn leave_for_good(&mut self, at: usize, now: u64) {
        let link = &mut self.links[at];
        link.left = true;
        if let (Some(stay), Some(journal)) = (link.stay.take(), &mut self.journal) {
            journal.stays[stay].closed_at = Some(now);
            journal.stays[stay].left = true;
        }
        match link.client.stage {
            Stage::Joined => {
                frame::append(&mut link.client.out, frame::CLOSE, &1000_u16.to_be_bytes());
                // the other side may be gone already; that is goodbye enough
                link.flush().ok();
            }
            Stage::Closed => return,
            _ => {
                self.turn.in_flight -= usize::from(link.socket.is_some());
                // whoever was on the way back is so no more
                self.live.returned.fetch_add(u64::from(link.moved), Relaxed);
            }
        }
        link.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_leave_evenly_and_some_of_all_ages_stay() {
        let leaving = Leaving { stay: 600, since: 1_000, span: 2_400 };
        let moments: Vec<_> = (0..3_000).map(|user| leaving.moment(user, 3_000, 300)).collect();
        assert!(moments[..300].iter().all(Option::is_none), "publishers stay");
        let gone_by = |now: u64| moments.iter().flatten().filter(|moment| **moment <= now).count();
        for (now, gone) in [(999, 0), (1_600, 600), (2_200, 1_200), (3_400, 2_400)] {
            assert!(gone_by(now).abs_diff(gone) < 20, "{} of {gone} at {now}", gone_by(now));
        }
        for some in moments[300..].chunks(300) {
            assert!(some.iter().filter(|moment| moment.is_none()).count().abs_diff(33) < 10);
        }
        let at_once = Leaving { span: 0, ..leaving };
        assert_eq!(at_once.moment(2_999, 3_000, 0).or(at_once.moment(2_998, 3_000, 0)), Some(1_000));
    }
}
