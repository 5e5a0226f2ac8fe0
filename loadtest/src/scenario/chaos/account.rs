//! Judges what clients noted by the steps in which it lies.
//!
//! # What counts as lost
//! A delivery is **owed** to a member when, at the time its publish was written to the socket and for [`GRACE`] after, publisher and
//! member were both in the room, on whatever node: joined (the answer to the join was seen) and not closed (neither a close frame nor
//! the end of the connection was seen). Owed and never seen is lost. If one of the two was closed within the grace, the delivery is
//! **in doubt**: a node may have closed the one before it read the other. A member that was on its way back is owed nothing;
//! what it does not hear of that time is **missed**. Whoever has left for good is not counted.

use crate::checker::{Arrival, Sequence};
use crate::clock::{MICROSECOND, MILLISECOND};
use crate::fleet::diary::Entry;
use crate::fleet::journal::{Journal, Published, Stay};
use crate::fleet::tally::histogram;
use crate::report::Quantiles;
use crate::report::chaos::{Deliveries, Step};

/// How long both ends must have stayed after a publish was written.
const GRACE: u64 = 500 * MILLISECOND;

/// When a step was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    /// In the calm before; what is due from then until the next one's counts for it.
    pub(crate) since: u64,
    /// When it began.
    pub(crate) begun: u64,
    /// When the fault had struck.
    pub(crate) struck: u64,
    /// When everything ran again.
    pub(crate) over: u64,
}

/// A journal in the order in which it is asked.
#[derive(Debug)]
pub(crate) struct Account<'a> {
    rooms: usize,
    published: &'a [Published],
    stays: Vec<Vec<&'a Stay>>,
    seen: Vec<&'a [Sequence]>,
}

impl<'a> Account<'a> {
    /// For `users` clients, of which number `n` is in room `n % rooms`.
    pub(crate) fn new(journal: &'a Journal, users: usize, rooms: usize) -> Self {
        let (mut stays, mut seen) = (vec![Vec::new(); users], vec![&[][..]; users]);
        for stay in journal.stays.iter().filter(|stay| (stay.user as usize) < users) {
            stays[stay.user as usize].push(stay);
        }
        for (user, sequences) in journal.seen.iter().filter(|(user, _)| (*user as usize) < users) {
            seen[*user as usize] = sequences.as_slice();
        }
        Self { rooms, published: &journal.published, stays, seen }
    }

    /// Fills in what happened from `span.since` until `end`.
    pub(crate) fn fill(&self, step: &mut Step, span: Span, end: u64) {
        let is_in = |at: u64| (span.since..end).contains(&at);
        for published in self.published.iter().filter(|published| is_in(published.at)) {
            self.deliver(published, &mut step.deliveries);
        }
        let mut gaps = histogram(3);
        for stays in &self.stays {
            let mut closes = 0;
            for (at, stay) in stays.iter().enumerate() {
                let Some(closed_at) = stay.closed_at.filter(|&closed_at| is_in(closed_at) && !stay.left) else {
                    continue;
                };
                closes += 1;
                let code = stay.farewell.close_code.map_or("none".to_owned(), |code| code.to_string());
                *step.close_codes.entry(code).or_default() += 1;
                match stays.get(at + 1) {
                    Some(next) => {
                        step.recovered += u64::from(next.recovered);
                        gaps.saturating_record(next.joined_at.saturating_sub(closed_at) / MICROSECOND);
                        let back = next.joined_at.saturating_sub(span.begun) / MICROSECOND;
                        step.back_us = step.back_us.max(back);
                    }
                    None => step.not_back += 1,
                }
            }
            step.closes += closes;
            step.closes_most = step.closes_most.max(closes);
        }
        step.gap = Quantiles::of(&gaps);
    }

    fn deliver(&self, published: &Published, sum: &mut Deliveries) {
        sum.published += 1;
        let publisher = published.room as usize + published.publisher as usize * self.rooms;
        let Some(from) = self.stay_at(publisher, published.at) else { return };
        for member in (published.room as usize..self.stays.len()).step_by(self.rooms) {
            let missing = u64::from(!self.has(member, published));
            let Some(stay) = self.stay_at(member, published.at) else {
                if self.is_on_its_way(member, published.at) {
                    sum.missed += missing;
                    // what its publisher wrote right before a close may never have been read
                    let is_sure = lasts_until(from, published.at + GRACE);
                    let is_kept = is_sure && self.comes_back_to_it(member, published.at);
                    sum.missed_recovered += if is_kept { missing } else { 0 };
                }
                continue;
            };
            // who leaves is closed like who is closed
            if [from, stay].iter().all(|stay| lasts_until(stay, published.at + GRACE)) {
                sum.owed += 1;
                sum.lost += missing;
            } else {
                sum.in_doubt += 1;
                sum.in_doubt_lost += missing;
            }
        }
    }

    fn stay_at(&self, user: usize, at: u64) -> Option<&'a Stay> {
        self.stays[user].iter().copied().find(|stay| stay.joined_at <= at && lasts_until(stay, at))
    }

    /// Whether its last connection before was ended by somebody else.
    fn is_on_its_way(&self, user: usize, at: u64) -> bool {
        self.stays[user].iter().rfind(|stay| stay.joined_at <= at).is_some_and(|stay| !stay.left)
    }

    /// Whether its next connection went on with the session.
    fn comes_back_to_it(&self, user: usize, at: u64) -> bool {
        self.stays[user].iter().find(|stay| stay.joined_at > at).is_some_and(|stay| stay.recovered)
    }

    fn has(&self, user: usize, published: &Published) -> bool {
        let sequence = self.seen[user].get(published.publisher as usize);
        sequence.is_some_and(|sequence| sequence.has(published.sequence))
    }
}

/// Fills in what came from `since` until `end`.
pub(crate) fn fill_arrivals(step: &mut Step, entries: &[Entry], (since, end): (u64, u64)) {
    let mut latency = histogram(3);
    for entry in entries.iter().filter(|entry| (since..end).contains(&entry.at)) {
        match entry.arrival {
            Arrival::Duplicate => step.duplicated += 1,
            Arrival::Late => step.out_of_order += 1,
            Arrival::InOrder | Arrival::Ahead => {}
        }
        latency.saturating_record(entry.at.saturating_sub(entry.due) / MICROSECOND);
    }
    step.latency = Quantiles::of(&latency);
}

fn lasts_until(stay: &Stay, at: u64) -> bool {
    stay.closed_at.is_none_or(|closed| closed > at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::journal::Farewell;

    const MS: u64 = MILLISECOND;

    fn stay(user: u32, joined_at: u64, closed_at: Option<u64>) -> Stay {
        let farewell = Farewell { close_code: Some(1012), ..Farewell::default() };
        let closed_at = closed_at.map(|ms| ms * MS);
        Stay { user, moved: false, recovered: false, left: false, joined_at: joined_at * MS, closed_at, farewell }
    }

    fn seen(numbers: &[u64]) -> Vec<Sequence> {
        let mut sequence = Sequence::default();
        for &number in numbers {
            sequence.observe(number);
        }
        vec![sequence]
    }

    fn span(since: u64, begun: u64) -> Span {
        Span { since: since * MS, begun: begun * MS, ..Span::default() }
    }

    /// Room 0 has users 0, who publishes, and 1, who is away from 10 s to 11.5 s, and 2, who leaves at 9 s.
    fn journal(times_ms: &[u64], member_saw: &[u64]) -> Journal {
        let all: Vec<_> = (0..times_ms.len() as u64).collect();
        let publish =
            |(sequence, at): (usize, &u64)| Published { room: 0, publisher: 0, sequence: sequence as u64, at: at * MS };
        let leaver = Stay { left: true, ..stay(2, 0, Some(9_000)) };
        Journal {
            stays: vec![stay(0, 0, None), stay(1, 0, Some(10_000)), leaver, stay(1, 11_500, None)],
            published: times_ms.iter().enumerate().map(publish).collect(),
            seen: vec![(0, seen(&all)), (1, seen(member_saw)), (2, seen(&[0]))],
            retries: 0,
        }
    }

    #[test]
    fn owed_in_doubt_and_missed_are_told_apart() {
        // together; together, and the third has left; right before a close; on the way back; together again
        let journal = journal(&[5_000, 9_100, 9_800, 10_500, 12_000], &[0, 1, 4]);
        let account = Account::new(&journal, 3, 1);
        let mut step = Step::default();
        account.fill(&mut step, span(0, 9_900), u64::MAX);
        let expected = Deliveries {
            published: 5,
            owed: 3 + 2 + 1 + 1 + 2,
            lost: 0,
            in_doubt: 1,
            in_doubt_lost: 1,
            missed: 1,
            missed_recovered: 0,
        };
        assert_eq!(step.deliveries, expected);
        assert_eq!((step.closes, step.closes_most, step.not_back), (1, 1, 0), "who leaves is not closed");
        assert_eq!(step.close_codes["1012"], 1);
        assert!((1_500_000..1_502_000).contains(&step.gap.max_us), "{}", step.gap.max_us);
        assert_eq!(step.back_us, 1_600_000);
    }

    #[test]
    fn who_comes_back_to_its_session_has_missed_nothing() {
        let mut journal = journal(&[5_000, 10_500, 12_000], &[0, 2]);
        journal.stays[3].recovered = true;
        let mut step = Step::default();
        Account::new(&journal, 3, 1).fill(&mut step, span(0, 9_900), u64::MAX);
        assert_eq!((step.recovered, step.deliveries.missed, step.deliveries.missed_recovered), (1, 1, 1), "but it has");
    }

    #[test]
    fn what_both_ends_should_have_had_is_lost_in_its_step() {
        let journal = journal(&[5_000, 6_000, 12_000], &[0]);
        let account = Account::new(&journal, 3, 1);
        let (mut first, mut second) = (Step::default(), Step::default());
        account.fill(&mut first, span(0, 9_900), 11_000 * MS);
        account.fill(&mut second, span(11_000, 12_000), u64::MAX);
        assert_eq!((first.deliveries.lost, second.deliveries.lost), (2, 1));
        assert_eq!((first.closes, second.closes), (1, 0));
    }

    #[test]
    fn arrivals_count_where_they_come() {
        let entry =
            |arrival, at: u64| Entry { room: 0, sequence: 0, node: 0, arrival, due: (at - 3) * MS, at: at * MS };
        let entries = [entry(Arrival::InOrder, 10), entry(Arrival::Duplicate, 20), entry(Arrival::Late, 30)];
        let mut step = Step::default();
        fill_arrivals(&mut step, &entries, (15 * MS, 25 * MS));
        assert_eq!((step.duplicated, step.out_of_order, step.latency.count), (1, 0, 1));
    }
}
