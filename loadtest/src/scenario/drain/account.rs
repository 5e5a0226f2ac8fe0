//! Judges a move between servers by what the clients noted: who came through, and what was lost.
//!
//! # What counts as lost
//! A delivery is **owed** to a member when, at the time its publish was written to the socket and for [`GRACE`] after,
//! publisher and member were both in the room on the same server: joined (the answer to the join was seen) and not closed
//! (neither a close frame nor the end of the connection was seen). Owed and never seen is lost.
//! If one of the two was closed within the grace, the delivery is **in doubt**: the server may have closed the one before
//! it read what the other wrote. Those are counted apart. If the member was elsewhere, nothing is owed.

use crate::clock::MILLISECOND;
use crate::fleet::journal::{Journal, Published, Stay};
use crate::report::drain::Deliveries;

/// How long both ends must have stayed after a publish was written.
const GRACE: u64 = 500 * MILLISECOND;
/// Width of the window in which closes are counted.
const CROWD: u64 = 100 * MILLISECOND;

/// A journal in the order in which it is asked.
#[derive(Debug)]
pub(super) struct Account<'a> {
    journal: &'a Journal,
    rooms: usize,
    stays: Vec<Vec<&'a Stay>>,
    seen: Vec<usize>,
}

impl<'a> Account<'a> {
    /// For `users` clients, of which number `n` is in room `n % rooms`.
    pub(super) fn new(journal: &'a Journal, users: usize, rooms: usize) -> Self {
        let mut stays = vec![Vec::new(); users];
        for stay in &journal.stays {
            stays[stay.user as usize].push(stay);
        }
        let mut seen = vec![usize::MAX; users];
        for (at, (user, _)) in journal.seen.iter().enumerate() {
            seen[*user as usize] = at;
        }
        Self { journal, rooms, stays, seen }
    }

    /// What was owed and what came of it.
    pub(super) fn deliveries(&self) -> Deliveries {
        let mut sum = Deliveries::default();
        for published in &self.journal.published {
            let publisher = published.room as usize + published.publisher as usize * self.rooms;
            let Some(stay) = self.stay_at(publisher, published.at) else { continue };
            for member in (published.room as usize..self.stays.len()).step_by(self.rooms) {
                let Some(other) = self.stay_at(member, published.at).filter(|other| other.moved == stay.moved) else {
                    sum.apart += 1;
                    continue;
                };
                let missing = u64::from(!self.has(member, published));
                if [stay, other].iter().all(|stay| lasts_until(stay, published.at + GRACE)) {
                    sum.owed += 1;
                    sum.lost += missing;
                } else {
                    sum.in_doubt += 1;
                    sum.in_doubt_lost += missing;
                }
            }
        }
        sum
    }

    fn stay_at(&self, user: usize, at: u64) -> Option<&'a Stay> {
        self.stays[user].iter().copied().find(|stay| stay.joined_at <= at && lasts_until(stay, at))
    }

    fn has(&self, user: usize, published: &Published) -> bool {
        let Some((_, sequences)) = self.journal.seen.get(self.seen[user]) else { return false };
        sequences.get(published.publisher as usize).is_some_and(|sequence| sequence.has(published.sequence))
    }

    /// Times from each client's close by the first server to its rejoin on the second.
    pub(super) fn absences(&self) -> Vec<u64> {
        let of = |stays: &Vec<&Stay>| {
            let left = stays.iter().find(|stay| !stay.moved)?.closed_at?;
            let back = stays.iter().find(|stay| stay.moved)?.joined_at;
            Some(back.saturating_sub(left))
        };
        self.stays.iter().filter_map(of).collect()
    }
}

fn lasts_until(stay: &Stay, at: u64) -> bool {
    stay.closed_at.is_none_or(|closed| closed > at)
}

/// Largest share of sorted times that lies within any [`CROWD`], in percent.
pub(super) fn largest_share(times: &[u64]) -> f64 {
    let mut first = 0;
    let mut most = 0;
    for (last, time) in times.iter().enumerate() {
        while time - times[first] >= CROWD {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most as f64 * 100.0 / times.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::Sequence;
    use crate::fleet::journal::Farewell;

    const MS: u64 = MILLISECOND;

    fn stay(user: u32, moved: bool, joined_at: u64, closed_at: Option<u64>) -> Stay {
        let closed_at = closed_at.map(|ms| ms * MS);
        Stay {
            user,
            moved,
            recovered: false,
            left: false,
            joined_at: joined_at * MS,
            closed_at,
            farewell: Farewell::default(),
        }
    }

    fn seen(numbers: &[u64]) -> Vec<Sequence> {
        let mut sequence = Sequence::default();
        for &number in numbers {
            sequence.observe(number);
        }
        vec![sequence]
    }

    /// Two members of one room; the first publishes and moves at 10 s, the second at 12 s.
    fn journal(times_ms: &[u64], member_saw: &[u64]) -> Journal {
        let all: Vec<_> = (0..times_ms.len() as u64).collect();
        let publish =
            |(sequence, at): (usize, &u64)| Published { room: 0, publisher: 0, sequence: sequence as u64, at: at * MS };
        Journal {
            stays: vec![
                stay(0, false, 0, Some(10_000)),
                stay(1, false, 0, Some(12_000)),
                stay(0, true, 11_000, None),
                stay(1, true, 13_000, None),
            ],
            published: times_ms.iter().enumerate().map(publish).collect(),
            seen: vec![(0, seen(&all)), (1, seen(member_saw))],
            retries: 0,
        }
    }

    #[test]
    fn only_what_both_ends_could_have_is_owed() {
        // together; right before the publisher's close; apart; together again
        let journal = journal(&[5_000, 9_800, 11_500, 13_500], &[0, 3]);
        let deliveries = Account::new(&journal, 2, 1).deliveries();
        // the publisher gets its own, the third one too, on the second server
        let expected = Deliveries { owed: 2 + 1 + 2, lost: 0, in_doubt: 2, in_doubt_lost: 1, apart: 1 };
        assert_eq!(deliveries, expected);
    }

    #[test]
    fn what_both_ends_should_have_had_is_lost() {
        let journal = journal(&[5_000, 6_000, 13_500, 14_000], &[0, 3]);
        assert_eq!(Account::new(&journal, 2, 1).deliveries().lost, 2);
        assert_eq!(Account::new(&journal, 2, 1).absences(), [1_000 * MS, 1_000 * MS]);
    }

    #[test]
    fn the_largest_crowd_is_found_anywhere() {
        let times: Vec<_> = [0, 500, 590, 599, 600, 2_000].iter().map(|ms| ms * MS).collect();
        assert_eq!(largest_share(&times), 50.0);
        assert_eq!(largest_share(&[]), 0.0);
    }
}
