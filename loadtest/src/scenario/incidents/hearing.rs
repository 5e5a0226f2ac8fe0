//! What members hear of incidents: everything once, in order, and without a gap.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;

use crate::report::incidents::Heard;

/// An incident, as a number.
pub(super) type Id = u128;

/// What an event of an incident says, as far as it is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    /// Its number.
    pub(super) seq: u64,
    /// When.
    #[serde(borrow)]
    pub(super) at: Cow<'a, str>,
    #[serde(borrow)]
    incident: Cow<'a, str>,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Debug, Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    incident: Option<Whole<'a>>,
}

#[derive(Debug, Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    dedup_key: Cow<'a, str>,
}

/// How an event fits to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The next one, or one behind a gap.
    New,
    /// One that was heard before.
    Again,
}

/// What all ears have heard.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// The counters.
    pub(super) counts: Heard,
    newest: HashMap<Id, Vec<u64>>,
}

impl<'a> Envelope<'a> {
    /// Reads an event of an incident; `None` for anything else.
    pub(super) fn read(name: &str, data: &'a [u8]) -> Option<Self> {
        if !name.starts_with("incident.") {
            return None;
        }
        serde_json::from_slice(data).ok()
    }

    /// The incident.
    pub(super) fn incident(&self) -> Option<Id> {
        id(&self.incident)
    }

    /// The key of the incident, if the event carries the whole incident.
    pub(super) fn dedup_key(&self) -> Option<&str> {
        self.data.incident.as_ref().map(|incident| incident.dedup_key.as_ref())
    }
}

/// Reads a UUID.
pub(super) fn id(text: &str) -> Option<Id> {
    let digits = text.bytes().filter(|byte| *byte != b'-');
    digits.into_iter().try_fold(0, |number: Id, byte| Some(number << 4 | Id::from((byte as char).to_digit(16)?)))
}

impl Hearing {
    pub(super) fn new(ears: usize) -> Self {
        Self { counts: Heard { ears: ears as u64, ..Heard::default() }, ..Self::default() }
    }

    /// An ear heard an event of an incident of which it should hear everything.
    pub(super) fn note(&mut self, ear: usize, incident: Id, seq: u64) -> Order {
        let ears = self.counts.ears as usize;
        let newest = &mut self.newest.entry(incident).or_insert_with(|| vec![0; ears])[ear];
        if seq <= *newest {
            self.counts.twice += 1;
            return Order::Again;
        }
        self.counts.gaps += seq - *newest - 1;
        self.counts.events += 1;
        *newest = seq;
        Order::New
    }

    /// The number of the newest event that each ear has heard of an incident.
    pub(super) fn newest(&self, incident: Id) -> Option<&[u64]> {
        self.newest.get(&incident).map(Vec::as_slice)
    }

    /// What is before this is not heard by these ears, and not missing: they came later.
    pub(super) fn begins_behind(&mut self, incident: Id, seq: u64) {
        let ears = self.counts.ears as usize;
        self.newest.insert(incident, vec![seq; ears]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_gaps_are_told_apart() {
        let mut hearing = Hearing::new(2);
        for (ear, seq, order) in
            [(0, 1, Order::New), (1, 1, Order::New), (0, 2, Order::New), (0, 2, Order::Again), (1, 4, Order::New)]
        {
            assert_eq!(hearing.note(ear, 7, seq), order, "{ear} {seq}");
        }
        let counts = &hearing.counts;
        assert_eq!((counts.events, counts.twice, counts.gaps), (4, 1, 2));
        assert_eq!(hearing.newest(7), Some(&[2, 4][..]));
    }

    #[test]
    fn an_event_says_what_it_is_about() {
        let text = br#"{"id":"x/1","type":"incident.triggered","v":1,"at":"2026-11-21T00:00:00Z","seq":1,
            "incident":"00000000-0000-0000-0000-0000000000ff","data":{"incident":{"dedup_key":"a","title":"b"}}}"#;
        let envelope = Envelope::read("incident.triggered", text).unwrap();
        assert_eq!((envelope.incident(), envelope.seq, envelope.dedup_key()), (Some(255), 1, Some("a")));
        assert!(Envelope::read("dashboard.snapshot", text).is_none());
    }
}
