//! Checks one publisher's sequence as one member sees it: lost, duplicated, out of order.
//!
//! The usual case, the next number, costs one comparison. A gap is remembered as a range, so that
//! a late arrival is told apart from a duplicate.
//!
//! # Invariants
//! - `distinct() + missing() == next`: every number below `next` either arrived or is missing.
//! - Memory is bounded: above [`MAX_GAPS`] ranges the oldest is forgotten and stays lost.

use std::ops::Range;

/// How many separate gaps a member remembers per publisher.
const MAX_GAPS: usize = 1_024;

/// What one arrival means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The number that was expected.
    InOrder,
    /// A number ahead of the expected one; those between are missing for now.
    Ahead,
    /// A number that was missing: it came out of order.
    Late,
    /// A number that had already come.
    Duplicate,
}

/// One (member, publisher) pair's position.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    next: u64,
    gaps: Option<Box<Gaps>>,
}

#[derive(Debug, Default)]
struct Gaps {
    ranges: Vec<Range<u64>>,
    forgotten: u64,
}

impl Sequence {
    /// Takes note of an arrival.
    #[inline]
    pub(crate) fn observe(&mut self, number: u64) -> Arrival {
        if number == self.next {
            self.next += 1;
            return Arrival::InOrder;
        }
        self.observe_unexpected(number)
    }

    /// The same for a member that came later: nothing is missing before the first arrival.
    pub(crate) fn observe_from_first(&mut self, number: u64) -> Arrival {
        if self.next == 0 {
            self.next = number;
        }
        self.observe(number)
    }

    #[cold]
    fn observe_unexpected(&mut self, number: u64) -> Arrival {
        let gaps = self.gaps.get_or_insert_default();
        if number > self.next {
            gaps.open(self.next..number);
            self.next = number + 1;
            return Arrival::Ahead;
        }
        if gaps.fill(number) { Arrival::Late } else { Arrival::Duplicate }
    }

    /// Whether a number has arrived.
    pub(crate) fn has(&self, number: u64) -> bool {
        let missing = self.gaps.as_ref().is_some_and(|gaps| gaps.ranges.iter().any(|gap| gap.contains(&number)));
        number < self.next && !missing
    }

    /// How many different numbers have arrived.
    pub(crate) fn distinct(&self) -> u64 {
        self.next - self.missing()
    }

    /// How many numbers have not arrived although a later one has.
    pub(crate) fn missing(&self) -> u64 {
        self.gaps.as_ref().map_or(0, |gaps| gaps.missing())
    }
}

impl Gaps {
    fn open(&mut self, range: Range<u64>) {
        if self.ranges.len() == MAX_GAPS {
            let oldest = self.ranges.remove(0);
            self.forgotten += oldest.end - oldest.start;
        }
        self.ranges.push(range);
    }

    fn fill(&mut self, number: u64) -> bool {
        let Some(at) = self.ranges.iter().position(|gap| gap.contains(&number)) else {
            return false;
        };
        let gap = self.ranges.remove(at);
        if number + 1 < gap.end {
            self.ranges.insert(at, number + 1..gap.end);
        }
        if gap.start < number {
            self.ranges.insert(at, gap.start..number);
        }
        true
    }

    fn missing(&self) -> u64 {
        let open: u64 = self.ranges.iter().map(|gap| gap.end - gap.start).sum();
        open + self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observe_all(numbers: &[u64]) -> (Vec<Arrival>, u64) {
        let mut sequence = Sequence::default();
        let arrivals = numbers.iter().map(|&n| sequence.observe(n)).collect();
        (arrivals, sequence.distinct())
    }

    #[test]
    fn an_unbroken_sequence_is_in_order() {
        assert_eq!(observe_all(&[0, 1, 2]), (vec![Arrival::InOrder; 3], 3));
    }

    #[test]
    fn a_gap_is_missing_until_it_is_filled() {
        use Arrival::{Ahead, Duplicate, InOrder, Late};
        assert_eq!(observe_all(&[0, 4]), (vec![InOrder, Ahead], 2));
        let (arrivals, distinct) = observe_all(&[0, 4, 2, 2, 1, 3, 5, 5, 0]);
        assert_eq!(arrivals, [InOrder, Ahead, Late, Duplicate, Late, Late, InOrder, Duplicate, Duplicate]);
        assert_eq!(distinct, 6);
    }

    #[test]
    fn who_comes_later_misses_nothing_before_its_first_arrival() {
        let mut sequence = Sequence::default();
        let arrivals = [7, 8, 10, 10].map(|number| sequence.observe_from_first(number));
        assert_eq!(arrivals, [Arrival::InOrder, Arrival::InOrder, Arrival::Ahead, Arrival::Duplicate]);
        assert_eq!(sequence.missing(), 1);
    }

    #[test]
    fn what_has_arrived_is_known_one_by_one() {
        let mut sequence = Sequence::default();
        for number in [0, 1, 4, 3] {
            sequence.observe(number);
        }
        let has: Vec<_> = (0..6).filter(|&number| sequence.has(number)).collect();
        assert_eq!(has, [0, 1, 3, 4]);
    }

    #[test]
    fn forgotten_gaps_stay_lost() {
        let mut sequence = Sequence::default();
        for number in 0..(MAX_GAPS as u64 + 10) {
            sequence.observe(number * 2 + 1);
        }
        assert_eq!(sequence.distinct(), MAX_GAPS as u64 + 10);
        assert_eq!(sequence.observe(0), Arrival::Duplicate);
    }
}
