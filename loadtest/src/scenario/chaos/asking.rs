//! HTTP requests at a steady rate, whatever happens to the cluster: on a thread and connections of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;

use anyhow::{Result, anyhow};
use serde::Deserialize;

use crate::clock::{Clock, SECOND};
use crate::crew::rest::{Caller, Requests};
use crate::crew::{Answer, Audience, Crew};

/// Connections that may wait for answers; requests that are due beyond wait, and that counts.
const CONNECTIONS: usize = 512;
/// Requests that a run remembers.
const MOST: usize = 200_000;
/// Texts of failures that are kept.
const SAMPLES: usize = 5;
/// Service and key that `roomcast dev` begins with.
const SERVICE: (&str, &str) = ("demo", "dev");
/// Incidents in one answer.
const PAGE: usize = 200;

/// What is asked, how often, and of whom.
#[derive(Clone, Debug)]
pub(crate) struct Steady {
    /// The balancer.
    pub(crate) target: SocketAddr,
    /// Requests per second.
    pub(crate) rate: f64,
    /// How long an answer may take.
    pub(crate) within: u64,
    /// Whether events of monitoring are among them.
    pub(crate) has_database: bool,
    /// What keys of events begin with.
    pub(crate) prefix: String,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Success.
    Taken,
    /// 503 with a time to come again.
    Refused,
    /// Anything else, or nothing in time.
    Failed,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// When it was due.
    pub(crate) due: u64,
    /// When its answer came; absent without one.
    pub(crate) answered: Option<u64>,
    /// What became of it.
    pub(crate) fate: Fate,
    /// Whether it was an event of monitoring.
    pub(crate) is_event: bool,
}

/// All requests of a run, by number.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// In the order in which they were due.
    pub(crate) asked: Vec<Asked>,
    /// Texts of the first failures.
    pub(crate) samples: Vec<String>,
    /// How long an answer may take.
    pub(crate) within: u64,
}

/// The thread that asks.
#[derive(Debug)]
pub(crate) struct Asker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Ledger>>,
}

#[derive(Debug, Deserialize)]
struct Page {
    data: Vec<Incident>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Incident {
    dedup_key: String,
}

impl Asker {
    /// Begins to ask.
    pub(crate) fn start(clock: Clock, steady: Steady) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let until = stop.clone();
        let thread = std::thread::Builder::new().name("requests".to_owned());
        Ok(Self { stop, thread: thread.spawn(move || ask(clock, &steady, &until))? })
    }

    /// Asks no more, and waits for the last answers.
    pub(crate) fn end(self) -> Result<Ledger> {
        self.stop.store(true, Relaxed);
        self.thread.join().map_err(|_| anyhow!("the thread that asks has panicked"))?
    }
}

fn ask(clock: Clock, steady: &Steady, stop: &AtomicBool) -> Result<Ledger> {
    let requests = Requests::new(steady.target.to_string(), None, None);
    let mut ledger = Ledger { within: steady.within, ..Ledger::default() };
    if steady.rate <= 0.0 {
        return Ok(ledger);
    }
    let mut crew = Crew::new(clock, steady.target, requests.clone(), CONNECTIONS)?;
    let interval = (SECOND as f64 / steady.rate) as u64;
    let mut due = clock.now();
    while !stop.load(Relaxed) {
        while due <= clock.now() && ledger.asked.len() < MOST {
            let number = ledger.asked.len() as u64;
            let (bytes, is_event) = steady.request(&requests, number);
            ledger.asked.push(Asked { due, answered: None, fate: Fate::Failed, is_event });
            crew.ask(number, closing(&bytes));
            due += interval;
        }
        crew.turn(&mut ledger, due)?;
    }
    let patience = clock.now() + steady.within;
    while clock.now() < patience && ledger.asked.iter().rev().take(CONNECTIONS).any(|asked| asked.answered.is_none()) {
        crew.turn(&mut ledger, patience)?;
    }
    Ok(ledger)
}

impl Steady {
    /// In turn: an event for a room, a look at the nodes, an event of monitoring.
    fn request(&self, requests: &Requests, number: u64) -> (Vec<u8>, bool) {
        let kinds = if self.has_database { 3 } else { 2 };
        match number % kinds {
            0 => {
                let body = format!("{{\"event\":\"tick\",\"data\":{{\"n\":{number}}}}}");
                (requests.json("POST", "/api/v1/rooms/requests/events", Some(&body)), false)
            }
            1 => (requests.json("GET", "/api/v1/nodes", None), false),
            _ => {
                let body = format!(
                    "{{\"routing_key\":\"{}\",\"event_action\":\"trigger\",\"dedup_key\":\"{}\",\"payload\":{{\
                     \"summary\":\"chaos\",\"source\":\"loadtest\",\"severity\":\"error\"}}}}",
                    SERVICE.1,
                    self.key(number)
                );
                (requests.json("POST", "/v2/enqueue", Some(&body)), true)
            }
        }
    }

    fn key(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    /// Events that were answered 202, and those of them that a node no longer finds in the store.
    pub(crate) fn read_back(&self, node: SocketAddr, ledger: &Ledger) -> Result<(u64, u64)> {
        let taken = (0..).zip(&ledger.asked).filter(|(_, asked)| asked.is_event && asked.fate == Fate::Taken);
        let mut missing: std::collections::HashSet<String> = taken.map(|(number, _)| self.key(number)).collect();
        let count = missing.len() as u64;
        if count == 0 {
            return Ok((0, 0));
        }
        let mut caller = Caller::connect(node, Requests::new(node.to_string(), None, None))?;
        let mut cursor = String::new();
        loop {
            let path = format!("/api/v1/incidents?service={}&limit={PAGE}{cursor}", SERVICE.0);
            let page: Page = caller.get(&path)?;
            page.data.iter().for_each(|incident| {
                missing.remove(&incident.dedup_key);
            });
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok((count, missing.len() as u64)),
            }
        }
    }
}

impl Audience for Ledger {
    fn answered(&mut self, request: u64, answer: &Answer<'_>, now: u64) {
        let asked = &mut self.asked[request as usize];
        asked.answered = Some(now);
        asked.fate = match answer.status {
            _ if now - asked.due > self.within => Fate::Failed,
            200..300 => Fate::Taken,
            503 if answer.retry_after.is_some() => Fate::Refused,
            _ => Fate::Failed,
        };
        if asked.fate == Fate::Failed {
            let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(120)]).into_owned();
            let took = (now - asked.due) / crate::clock::MILLISECOND;
            self.sample(format!("request {request} answered {} after {took} ms: {body}", answer.status));
        }
    }

    fn failed(&mut self, request: u64, why: &str, now: u64) {
        self.asked[request as usize].answered = Some(now);
        self.sample(format!("request {request}: {why}"));
    }

    // there are no ears
    fn heard(&mut self, _: usize, _: &str, _: &[u8], _: u64) {}
    fn closed(&mut self, _: usize, _: &str, _: u64) {}
}

impl Ledger {
    fn sample(&mut self, text: String) {
        if self.samples.len() < SAMPLES {
            self.samples.push(text);
        }
    }
}

/// The request, on a connection that ends with its answer: what a balancer does to connections that wait is not asked here.
fn closing(request: &[u8]) -> Vec<u8> {
    let line = memchr::memmem::find(request, b"\r\n").map_or(0, |at| at + 2);
    [&request[..line], b"Connection: close\r\n", &request[line..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_ask_for_the_end_of_their_connection() {
        let bytes = closing(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(bytes, b"GET / HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n");
    }

    #[test]
    fn only_success_in_time_is_success() {
        let mut ledger = Ledger { within: 10, ..Ledger::default() };
        let asked = Asked { due: 100, answered: None, fate: Fate::Failed, is_event: false };
        ledger.asked = vec![asked; 5];
        let answer = |status, retry_after| Answer { status, retry_after, version: None, body: b"x", is_last: true };
        ledger.answered(0, &answer(202, None), 110);
        ledger.answered(1, &answer(202, None), 111);
        ledger.answered(2, &answer(503, Some(1)), 101);
        ledger.answered(3, &answer(502, None), 101);
        let fates: Vec<_> = ledger.asked.iter().map(|asked| asked.fate).collect();
        assert_eq!(fates, [Fate::Taken, Fate::Failed, Fate::Refused, Fate::Failed, Fate::Failed]);
        assert_eq!(ledger.samples.len(), 2);
    }
}
