//! Counts what one worker sent and saw: histograms, counters and a few samples of what went wrong.
//!
//! Every worker has its own tally, so counting needs no lock; the fleet adds them up.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::diary::Diary;
use super::failures::Failures;
use super::placement::node;
use super::spread::Spread;
use crate::checker::Arrival;
use crate::clock::MICROSECOND;
use crate::mark::Mark;

/// Latencies up to a minute are told apart; longer ones count as a minute.
const LONGEST_US: u64 = 60_000_000;
/// How many error texts a worker keeps.
const MAX_SAMPLES: usize = 5;
/// How many bytes of an error text are kept.
const MAX_SAMPLE_LEN: usize = 300;

/// The part of a step that counts: from the end of the warm-up to the last intended send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    /// First instant inside.
    pub(crate) from: u64,
    /// First instant after.
    pub(crate) until: u64,
}

/// Plain counters; "in the window" means that the intended time lies in it, unless said otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Publishes written, including the warm-up.
    pub(crate) sent: u64,
    /// Deliveries these publishes should cause.
    pub(crate) expected: u64,
    /// Publishes due in the window and written.
    pub(crate) sent_in_window: u64,
    /// Deliveries the window's publishes should cause.
    pub(crate) expected_in_window: u64,
    /// Publishes that were due but could not be written before the step's end.
    pub(crate) unsent: u64,
    /// Deliveries seen, without duplicates.
    pub(crate) received: u64,
    /// Deliveries of the window's publishes.
    pub(crate) delivered: u64,
    /// Deliveries that arrived during the window, whenever they were due.
    pub(crate) arrived_in_window: u64,
    /// Deliveries seen before.
    pub(crate) duplicated: u64,
    /// Deliveries that came after a later one of the same publisher.
    pub(crate) out_of_order: u64,
    /// Deliveries of a room the client is not in.
    pub(crate) wrong_room: u64,
    /// Texts and binary frames without this run's mark.
    pub(crate) foreign: u64,
    /// Error events and error answers.
    pub(crate) errors: u64,
    /// Clients that ended although nobody asked them to.
    pub(crate) closed: u64,
    /// Acknowledged publishes.
    pub(crate) acks: u64,
    /// Heartbeats answered.
    pub(crate) heartbeats: u64,
}

/// Everything one worker counts during a step.
#[derive(Debug)]
pub(crate) struct Tally {
    /// The counters.
    pub(crate) counts: Counts,
    /// Delivery latency from the intended time, in microseconds.
    pub(crate) latency: Histogram<u64>,
    /// The same latencies by how the delivery came, when there are several nodes.
    pub(crate) by_way: Option<Box<ByWay>>,
    /// How late publishes were handed to the socket, in microseconds.
    pub(crate) lag: Histogram<u64>,
    /// From a publish's first recipient to its last, in large rooms.
    pub(crate) spread: Option<Spread>,
    /// Texts of the first errors.
    pub(crate) samples: Vec<String>,
    /// Those who came and went, and what they saw.
    pub(crate) visits: Visits,
    /// What the flooded room saw; it is in none of the figures above but those of what went wrong.
    pub(crate) flood: Flood,
    /// Every delivery, if that is kept.
    pub(crate) diary: Option<Box<Diary>>,
    window: Window,
    /// Rooms from this index on are flooded.
    calm_rooms: u32,
    nodes: u32,
}

/// Latencies within a node and from one to another, in microseconds.
#[derive(Debug)]
pub(crate) struct ByWay {
    /// Publisher and member are on the same node.
    pub(crate) same_node: Histogram<u64>,
    /// They are not.
    pub(crate) cross_node: Histogram<u64>,
}

/// Clients that came and went.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Visits {
    /// Connections begun.
    pub(crate) begun: u64,
    /// Those of them that got into their room.
    pub(crate) joined: u64,
    /// Left with a close frame.
    pub(crate) said_goodbye: u64,
    /// Left by closing the TCP connection.
    pub(crate) cut: u64,
    /// Cut on purpose before they were in their room.
    pub(crate) broken_off: u64,
    /// Ended by the server or the network, in their room or before, by kind.
    pub(crate) failures: Failures,
    /// Deliveries seen, without duplicates.
    pub(crate) deliveries: u64,
    /// Deliveries that did not come between the first and the last one of a visit.
    pub(crate) lost: u64,
}

/// A flooded room's counters.
#[derive(Debug)]
pub(crate) struct Flood {
    /// Publishes queued.
    pub(crate) sent: u64,
    /// Deliveries they should cause.
    pub(crate) expected: u64,
    /// Deliveries seen, without duplicates.
    pub(crate) received: u64,
    /// Deliveries that arrived during the window.
    pub(crate) arrived_in_window: u64,
    /// Delivery latency from the time at which a publish was queued, in microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Tally {
    /// An empty tally for a window. Rooms from `calm_rooms` on are flooded; clients are on `nodes` nodes.
    pub(crate) fn new(window: Window, spread: Option<Spread>, calm_rooms: u32, nodes: u32) -> Self {
        Self {
            counts: Counts::default(),
            latency: histogram(3),
            by_way: (nodes > 1).then(Box::default),
            lag: histogram(2),
            spread,
            samples: Vec::new(),
            visits: Visits::default(),
            flood: Flood { sent: 0, expected: 0, received: 0, arrived_in_window: 0, latency: histogram(2) },
            diary: None,
            window,
            calm_rooms,
            nodes,
        }
    }

    /// Counts a delivery to a member on node `at`.
    #[inline]
    pub(crate) fn delivered(&mut self, mark: &Mark, arrival: Arrival, at: u32, now: u64) {
        if let Some(diary) = &mut self.diary {
            diary.note(mark, arrival, at, now);
        }
        match arrival {
            Arrival::InOrder | Arrival::Ahead => {}
            Arrival::Late => self.counts.out_of_order += 1,
            Arrival::Duplicate => {
                self.counts.duplicated += 1;
                return;
            }
        }
        if mark.room >= self.calm_rooms {
            return self.delivered_flooded(mark, now);
        }
        self.counts.received += 1;
        self.counts.arrived_in_window += u64::from(self.window.contains(now));
        if self.window.contains(mark.intended) {
            self.counts.delivered += 1;
            let latency = now.saturating_sub(mark.intended) / MICROSECOND;
            self.latency.saturating_record(latency);
            if let Some(by_way) = &mut self.by_way {
                // publishers are a room's first members
                by_way.record(node(mark.room, mark.publisher, self.nodes) == at, latency);
            }
            if let Some(spread) = &mut self.spread {
                spread.observe(mark, now);
            }
        }
    }

    /// Counts a delivery to somebody who comes and goes.
    pub(crate) fn visited(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::InOrder | Arrival::Ahead => {}
            Arrival::Late => self.counts.out_of_order += 1,
            Arrival::Duplicate => {
                self.counts.duplicated += 1;
                return;
            }
        }
        self.visits.deliveries += 1;
    }

    fn delivered_flooded(&mut self, mark: &Mark, now: u64) {
        let flood = &mut self.flood;
        flood.received += 1;
        flood.arrived_in_window += u64::from(self.window.contains(now));
        if self.window.contains(mark.intended) {
            let latency = now.saturating_sub(mark.intended) / MICROSECOND;
            flood.latency.saturating_record(latency);
        }
    }

    /// Counts a publish of the flood to `members`.
    pub(crate) fn flooded(&mut self, members: u64) {
        self.flood.sent += 1;
        self.flood.expected += members;
    }

    /// Counts a publish to `members` that was due at `intended` and is written at `now`.
    #[inline]
    pub(crate) fn sent(&mut self, intended: u64, members: u64, now: u64) {
        self.counts.sent += 1;
        self.counts.expected += members;
        if self.window.contains(intended) {
            self.counts.sent_in_window += 1;
            self.counts.expected_in_window += members;
            let lag = now.saturating_sub(intended) / MICROSECOND;
            self.lag.saturating_record(lag);
        }
    }

    /// Counts an error and keeps its text if there is room.
    pub(crate) fn error(&mut self, text: String) {
        self.counts.errors += 1;
        self.sample(text);
    }

    /// Keeps a text if there is room.
    pub(crate) fn sample(&mut self, mut text: String) {
        if self.samples.len() < MAX_SAMPLES {
            let cut = text.floor_char_boundary(MAX_SAMPLE_LEN);
            text.truncate(cut);
            if !self.samples.contains(&text) {
                self.samples.push(text);
            }
        }
    }

    /// Moves the window's end, when a step is cut short.
    pub(crate) fn end_at(&mut self, now: u64) {
        self.window.until = self.window.until.min(now);
    }

    /// Adds another worker's tally.
    pub(crate) fn add(&mut self, other: Self) {
        self.counts.add(&other.counts);
        self.latency.add(&other.latency).expect("all latency histograms have the same bounds");
        self.lag.add(&other.lag).expect("all lag histograms have the same bounds");
        if let (Some(ours), Some(theirs)) = (&mut self.by_way, &other.by_way) {
            ours.add(theirs);
        }
        match (&mut self.spread, other.spread) {
            (Some(ours), Some(theirs)) => ours.add(&theirs),
            (ours @ None, theirs) => *ours = theirs,
            (Some(_), None) => {}
        }
        for text in other.samples {
            self.sample(text);
        }
        match (&mut self.diary, other.diary) {
            (Some(ours), Some(theirs)) => ours.add(*theirs),
            (ours @ None, theirs) => *ours = theirs,
            (Some(_), None) => {}
        }
        self.visits.add(other.visits);
        self.flood.add(&other.flood);
    }
}

impl Default for ByWay {
    fn default() -> Self {
        Self { same_node: histogram(3), cross_node: histogram(3) }
    }
}

impl ByWay {
    #[inline]
    fn record(&mut self, is_same_node: bool, latency: u64) {
        let histogram = if is_same_node { &mut self.same_node } else { &mut self.cross_node };
        histogram.saturating_record(latency);
    }

    fn add(&mut self, other: &Self) {
        self.same_node.add(&other.same_node).expect("all latency histograms have the same bounds");
        self.cross_node.add(&other.cross_node).expect("all latency histograms have the same bounds");
    }
}

impl Visits {
    fn add(&mut self, other: Self) {
        self.begun += other.begun;
        self.joined += other.joined;
        self.said_goodbye += other.said_goodbye;
        self.cut += other.cut;
        self.broken_off += other.broken_off;
        self.failures.add(other.failures);
        self.deliveries += other.deliveries;
        self.lost += other.lost;
    }
}

impl Flood {
    fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.expected += other.expected;
        self.received += other.received;
        self.arrived_in_window += other.arrived_in_window;
        self.latency.add(&other.latency).expect("all flood histograms have the same bounds");
    }
}

impl Window {
    /// Whether an instant lies inside.
    #[inline]
    pub(crate) fn contains(self, instant: u64) -> bool {
        (self.from..self.until).contains(&instant)
    }
}

impl Counts {
    /// Adds counters field by field.
    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.expected += other.expected;
        self.sent_in_window += other.sent_in_window;
        self.expected_in_window += other.expected_in_window;
        self.unsent += other.unsent;
        self.received += other.received;
        self.delivered += other.delivered;
        self.arrived_in_window += other.arrived_in_window;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.wrong_room += other.wrong_room;
        self.foreign += other.foreign;
        self.errors += other.errors;
        self.closed += other.closed;
        self.acks += other.acks;
        self.heartbeats += other.heartbeats;
    }
}

/// A histogram of microseconds.
pub(crate) fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, digits).expect("the bounds are valid constants")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(intended: u64) -> Mark {
        Mark { room: 0, publisher: 0, sequence: 0, intended }
    }

    #[test]
    fn latency_counts_from_the_intended_time() {
        let window = Window { from: 1_000_000, until: 2_000_000 };
        let mut tally = Tally::new(window, None, 1, 1);
        tally.delivered(&mark(1_500_000), Arrival::InOrder, 0, 51_500_000);
        tally.delivered(&mark(900_000), Arrival::InOrder, 0, 1_100_000);
        tally.delivered(&mark(1_600_000), Arrival::Duplicate, 0, 1_700_000);
        assert_eq!(tally.counts.received, 2);
        assert_eq!(tally.counts.delivered, 1, "the warm-up is not measured");
        assert_eq!(tally.counts.arrived_in_window, 1);
        assert_eq!(tally.counts.duplicated, 1);
        let p99 = tally.latency.value_at_quantile(0.99);
        assert!((49_900..=50_100).contains(&p99), "{p99}");
    }

    #[test]
    fn latencies_within_a_node_and_between_nodes_are_kept_apart() {
        let mut tally = Tally::new(Window { from: 0, until: 10 }, None, 1, 2);
        // the publisher, first member of room 0, is on node 0
        for (at, now) in [(0, 1_000_000), (1, 2_000_000), (1, 3_000_000)] {
            tally.delivered(&mark(0), Arrival::InOrder, at, now);
        }
        let by_way = tally.by_way.unwrap();
        assert_eq!((by_way.same_node.len(), by_way.cross_node.len()), (1, 2));
        assert_eq!(tally.latency.len(), 3);
        assert!(by_way.same_node.max() < by_way.cross_node.min());
    }

    #[test]
    fn an_endless_latency_is_recorded_as_the_longest() {
        let mut tally = Tally::new(Window { from: 0, until: 10 }, None, 1, 1);
        tally.delivered(&mark(1), Arrival::InOrder, 0, u64::MAX);
        assert!(tally.latency.max() >= LONGEST_US);
    }
}
