//! `updates`: what people did, what became of it, and who heard of it.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use super::hearing::{Envelope, Hearing, Id, Order};
use super::requests::Ledger;
use crate::clock::MICROSECOND;
use crate::crew::rest::Requests;
use crate::crew::{Answer, Audience};
use crate::fleet::tally::{Window, histogram};
use crate::report::Quantiles;
use crate::report::incidents::Heard;

/// Members who hear of every deed: one in the room of all incidents, one in that of the service, one in the incident's.
const WITNESSES: u64 = 3;

/// An incident that people take care of.
#[derive(Debug)]
pub(super) struct Case {
    /// Its id.
    pub(super) id: Id,
    /// Deeds that were taken.
    pub(super) taken: u64,
    path: String,
    next: u64,
    busy: bool,
}

/// All deeds of a run.
#[derive(Debug)]
pub(super) struct Deeds {
    /// The deeds as requests.
    pub(super) ledger: Ledger,
    /// What was heard.
    pub(super) hearing: Hearing,
    /// The incidents.
    pub(super) cases: Vec<Case>,
    /// From when a deed was due until members had heard of it.
    pub(super) latency: Histogram<u64>,
    window: Window,
    /// The case of each request, and the status that is wished for.
    asked: Vec<(usize, u16)>,
    /// Events by incident and number: when the deed was due, once its answer has come, and when it was heard.
    events: HashMap<(Id, u64), (Option<u64>, Vec<u64>)>,
}

impl Deeds {
    /// Nothing was done yet with these incidents, each of which has one event.
    pub(super) fn new(incidents: &[(Id, String)], window: Window, ears: usize) -> Self {
        let mut hearing = Hearing::new(ears);
        incidents.iter().for_each(|(id, _)| hearing.begins_behind(*id, 1));
        let case = |(id, text): &(Id, String)| Case {
            id: *id,
            taken: 0,
            path: format!("/api/v1/incidents/{text}"),
            next: 0,
            busy: false,
        };
        Self {
            ledger: Ledger::new(window),
            hearing,
            cases: incidents.iter().map(case).collect(),
            latency: histogram(3),
            window,
            asked: Vec::new(),
            events: HashMap::new(),
        }
    }

    /// The next deed: its number and its request.
    pub(super) fn next(&mut self, due: u64, requests: &Requests) -> (u64, Vec<u8>) {
        let number = self.ledger.note(due);
        let at = number as usize % self.cases.len();
        let case = &mut self.cases[at];
        // each changes something, whatever was done before; but while that is not known, only a note does for certain
        let deed = if case.busy { 0 } else { case.next };
        let (method, path, body, status) = match deed % 4 {
            1 => ("POST", "/acknowledge", "{\"by\":\"ada\"}".to_owned(), 200),
            2 => ("PATCH", "", format!("{{\"title\":\"deed {number}\",\"by\":\"ada\"}}"), 200),
            3 => ("POST", "/unacknowledge", "{\"by\":\"ada\"}".to_owned(), 200),
            _ => ("POST", "/notes", format!("{{\"text\":\"deed {number}\",\"by\":\"ada\"}}"), 201),
        };
        if !case.busy {
            case.next += 1;
        }
        case.busy = true;
        self.asked.push((at, status));
        (number, requests.json(method, &format!("{}{path}", case.path), Some(&body)))
    }

    /// Whether everything that was done was heard.
    pub(super) fn is_complete(&self) -> bool {
        self.ledger.open() == 0 && self.hearing.counts.events >= self.ledger.counts.taken * WITNESSES
    }

    /// What was heard, and of what was done was not.
    pub(super) fn what_was_heard(&self) -> Heard {
        let done = self.events.values().filter(|(due, _)| due.is_some());
        let missing = done.map(|(_, heard)| WITNESSES.saturating_sub(heard.len() as u64)).sum();
        Heard { missing, latency: Quantiles::of(&self.latency), ..self.hearing.counts.clone() }
    }

    fn measure(&mut self, due: u64, heard: u64) {
        if (self.window.from..self.window.until).contains(&due) {
            self.latency.saturating_record(heard.saturating_sub(due) / MICROSECOND);
        }
    }
}

impl Audience for Deeds {
    fn answered(&mut self, request: u64, answer: &Answer<'_>, now: u64) {
        let (at, wished) = self.asked[request as usize];
        self.cases[at].busy = false;
        self.ledger.answered(request, answer, wished, now);
        if !self.ledger.is_taken(request) {
            return;
        }
        self.cases[at].taken += 1;
        let (Some(seq), Some(due)) = (answer.version, self.ledger.due(request)) else {
            self.ledger.sample("an answer has no ETag".to_owned());
            return;
        };
        // some hear of it before its answer has come
        let event = self.events.entry((self.cases[at].id, seq)).or_default();
        event.0 = Some(due);
        for heard in event.1.clone() {
            self.measure(due, heard);
        }
    }

    fn failed(&mut self, request: u64, why: &str, now: u64) {
        let (at, _) = self.asked[request as usize];
        self.cases[at].busy = false;
        self.ledger.failed(request, why, now);
    }

    fn heard(&mut self, ear: usize, name: &str, data: &[u8], now: u64) {
        let Some(envelope) = Envelope::read(name, data) else { return };
        let Some(incident) = envelope.incident() else { return };
        // the first event is that of monitoring, and some may hear of it who came meanwhile
        if envelope.seq == 1 || self.hearing.newest(incident).is_none() {
            return;
        }
        if self.hearing.note(ear, incident, envelope.seq) == Order::Again {
            return;
        }
        let event = self.events.entry((incident, envelope.seq)).or_default();
        event.1.push(now);
        if let Some(due) = event.0 {
            self.measure(due, now);
        }
    }

    fn closed(&mut self, _ear: usize, why: &str, _now: u64) {
        self.hearing.counts.closed += 1;
        self.ledger.sample(format!("a member was closed: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(deeds: &mut Deeds, ear: usize, seq: u64, now: u64) {
        let text = format!("{{\"type\":\"x\",\"at\":\"\",\"seq\":{seq},\"incident\":\"{:032x}\",\"data\":{{}}}}", 7);
        deeds.heard(ear, "incident.x", text.as_bytes(), now);
    }

    #[test]
    fn a_deed_is_complete_when_its_three_witnesses_have_heard_it() {
        let mut deeds = Deeds::new(&[(7, "a".into())], Window { from: 0, until: 100 }, 3);
        let requests = Requests::new("host".into(), None, None);
        let (first, text) = deeds.next(1, &requests);
        assert!(String::from_utf8(text).unwrap().starts_with("POST /api/v1/incidents/a/notes "));
        hear(&mut deeds, 0, 2, 5_000);
        let answer = Answer { status: 201, retry_after: None, version: Some(2), body: b"", is_last: false };
        deeds.answered(first, &answer, 6_000);
        hear(&mut deeds, 1, 2, 7_000);
        assert!(!deeds.is_complete());
        assert_eq!((deeds.what_was_heard().missing, deeds.what_was_heard().events), (1, 2));
        hear(&mut deeds, 2, 2, 8_000);
        assert!(deeds.is_complete());
        assert_eq!((deeds.what_was_heard().missing, deeds.what_was_heard().latency.count), (0, 3));
        let (_, text) = deeds.next(2, &requests);
        assert!(String::from_utf8(text).unwrap().contains("/a/acknowledge "));
        let (_, text) = deeds.next(3, &requests);
        assert!(String::from_utf8(text).unwrap().contains("/a/notes "), "what became of the last one is not known");
    }
}
