//! Requests that were due at a time, and how they were answered.

use hdrhistogram::Histogram;

use crate::clock::{MICROSECOND, to_seconds};
use crate::crew::Answer;
use crate::fleet::tally::{Window, histogram};
use crate::report::Quantiles;
use crate::report::incidents::Requests;

/// Samples of errors that are kept.
const MAX_SAMPLES: usize = 5;
/// How much of an answer is shown.
const MAX_SHOWN: usize = 200;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Taken,
    Refused,
    /// Nobody knows whether it was done.
    InDoubt,
}

/// All requests of a run.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The counters.
    pub(super) counts: Requests,
    /// When a request was answered as wished for the last time.
    pub(super) taken_at: u64,
    /// When a request was refused for the last time.
    pub(super) refused_at: u64,
    window: Window,
    latency: Histogram<u64>,
    longest: u64,
    entries: Vec<(u64, Fate)>,
    taken_in_window: u64,
    due_in_window: u64,
    settled: u64,
}

impl Ledger {
    pub(super) fn new(window: Window) -> Self {
        Self {
            counts: Requests::default(),
            taken_at: 0,
            refused_at: 0,
            window,
            latency: histogram(3),
            longest: 0,
            entries: Vec::new(),
            taken_in_window: 0,
            due_in_window: 0,
            settled: 0,
        }
    }

    /// Notes a request; returns its number.
    pub(super) fn note(&mut self, due: u64) -> u64 {
        self.entries.push((due, Fate::Open));
        self.counts.sent += 1;
        self.due_in_window += u64::from(self.counts(due));
        self.entries.len() as u64 - 1
    }

    /// Requests without an answer.
    pub(super) fn open(&self) -> u64 {
        self.entries.len() as u64 - self.settled
    }

    /// When a request was due.
    pub(super) fn due(&self, request: u64) -> Option<u64> {
        self.entries.get(request as usize).map(|entry| entry.0)
    }

    pub(super) fn is_taken(&self, request: u64) -> bool {
        self.entries[request as usize].1 == Fate::Taken
    }

    pub(super) fn is_in_doubt(&self, request: u64) -> bool {
        matches!(self.entries[request as usize].1, Fate::InDoubt | Fate::Open)
    }

    /// An answer came, which should have this status.
    pub(super) fn answered(&mut self, request: u64, answer: &Answer<'_>, wished: u16, now: u64) {
        let Answer { status, retry_after, body, .. } = *answer;
        if status == wished {
            self.settle(request, Fate::Taken, now);
            self.counts.taken += 1;
            self.taken_at = now;
        } else if status == 503 && retry_after.is_some() {
            // a statement may have been done although its answer was lost
            self.settle(request, Fate::InDoubt, now);
            self.counts.refused += 1;
            self.refused_at = now;
        } else {
            // what is refused for another reason was not done
            self.settle(request, if status >= 500 { Fate::InDoubt } else { Fate::Refused }, now);
            self.counts.errors += 1;
            let shown = String::from_utf8_lossy(&body[..body.len().min(MAX_SHOWN)]).into_owned();
            self.sample(format!("{status} {shown}"));
        }
    }

    /// A connection ended before the answer.
    pub(super) fn failed(&mut self, request: u64, why: &str, now: u64) {
        self.settle(request, Fate::InDoubt, now);
        self.counts.errors += 1;
        self.sample(why.to_owned());
    }

    fn settle(&mut self, request: u64, fate: Fate, now: u64) {
        let (due, known) = &mut self.entries[request as usize];
        let (due, took) = (*due, now.saturating_sub(*due));
        self.settled += u64::from(*known == Fate::Open);
        *known = fate;
        self.longest = self.longest.max(took);
        if self.counts(due) && fate == Fate::Taken {
            self.taken_in_window += 1;
            self.latency.saturating_record(took / MICROSECOND);
        }
    }

    fn counts(&self, due: u64) -> bool {
        (self.window.from..self.window.until).contains(&due)
    }

    /// Keeps one of the first texts that say what went wrong.
    pub(super) fn sample(&mut self, text: String) {
        if self.counts.samples.len() < MAX_SAMPLES {
            self.counts.samples.push(text);
        }
    }

    /// The longest that a request waited, in microseconds.
    pub(super) fn longest_us(&self) -> u64 {
        self.longest / MICROSECOND
    }

    /// What it came to, in a window that ended then.
    pub(super) fn sum(&self, ended: u64) -> Requests {
        let seconds = to_seconds(self.window.until.min(ended).saturating_sub(self.window.from)).max(1e-3);
        Requests {
            asked_per_s: self.due_in_window as f64 / seconds,
            taken_per_s: self.taken_in_window as f64 / seconds,
            unanswered: self.open(),
            latency: Quantiles::of(&self.latency),
            ..self.counts.clone()
        }
    }
}
