//! `events`: what was posted, what became of it, and who heard of it.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use super::events::Bookkeeping;
use super::hearing::{Envelope, Hearing, Id, Order};
use super::requests::Ledger;
use crate::clock::MICROSECOND;
use crate::crew::{Answer, Audience};
use crate::fleet::tally::{Window, histogram};
use crate::report::Quantiles;
use crate::report::incidents::Heard;

/// All posts of a run.
#[derive(Debug)]
pub(super) struct Book {
    /// The posts as requests.
    pub(super) ledger: Ledger,
    /// What was heard.
    pub(super) hearing: Hearing,
    /// From when a post was due until members had heard what followed.
    pub(super) latency: Histogram<u64>,
    /// When an ear heard something new last.
    pub(super) heard_at: u64,
    prefix: String,
    window: Window,
    keys: Vec<Key>,
    /// Without hot keys each post has its own.
    hot: Option<usize>,
    known: HashMap<Id, usize>,
}

/// What is posted under one key.
#[derive(Clone, Debug, Default)]
struct Key {
    /// The posts, by number, in the order in which they were due.
    posts: Vec<u32>,
    /// How many of these each ear has heard of.
    heard: Vec<u32>,
}

/// What is known of a key in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    /// Posts that were taken.
    pub(super) taken: u64,
    /// Posts of which nobody knows whether they were.
    pub(super) in_doubt: u64,
}

impl Book {
    /// An empty book; keys begin with `prefix`.
    pub(super) fn new(prefix: String, window: Window, hot: Option<usize>, ears: usize) -> Self {
        Self {
            ledger: Ledger::new(window),
            hearing: Hearing::new(ears),
            latency: histogram(3),
            heard_at: 0,
            prefix,
            window,
            keys: vec![Key::default(); hot.unwrap_or(0)],
            hot,
            known: HashMap::new(),
        }
    }

    /// Notes the next post; returns its number and its key.
    pub(super) fn post(&mut self, due: u64) -> (u64, String) {
        let number = self.ledger.note(due);
        let key = match self.hot {
            Some(hot) => number as usize % hot,
            None => {
                self.keys.push(Key::default());
                number as usize
            }
        };
        self.keys[key].posts.push(number as u32);
        (number, format!("{}{key}", self.prefix))
    }

    /// The place of a key of this run.
    pub(super) fn key(&self, dedup_key: &str) -> Option<usize> {
        dedup_key.strip_prefix(&self.prefix)?.parse().ok().filter(|key| *key < self.keys.len())
    }

    /// What was taken under each key.
    pub(super) fn sums(&self) -> Vec<Sum> {
        let sum = |key: &Key| {
            let count = |what: fn(&Ledger, u64) -> bool| {
                key.posts.iter().filter(|post| what(&self.ledger, u64::from(**post))).count() as u64
            };
            Sum { taken: count(Ledger::is_taken), in_doubt: count(Ledger::is_in_doubt) }
        };
        self.keys.iter().map(sum).collect()
    }

    /// What was heard, and of what was taken was not.
    pub(super) fn what_was_heard(&self) -> Heard {
        let ears = self.hearing.counts.ears as usize;
        let sums = self.sums();
        let missing = sums.iter().zip(&self.keys).map(|(sum, key)| {
            let heard = |ear: usize| u64::from(key.heard.get(ear).copied().unwrap_or(0));
            (0..ears).map(|ear| sum.taken.saturating_sub(heard(ear))).sum::<u64>()
        });
        let missing = missing.sum();
        Heard { missing, latency: Quantiles::of(&self.latency), ..self.hearing.counts.clone() }
    }

    /// An ear heard of one more event of a key: which post that was. Of those to a hot key the first one due is taken
    /// to be the first one heard.
    fn heard_of(&mut self, key: usize, ear: usize) -> Option<u64> {
        let ears = self.hearing.counts.ears as usize;
        let Key { posts, heard } = &mut self.keys[key];
        heard.resize(ears, 0);
        let post = posts.get(heard[ear] as usize).copied();
        heard[ear] += 1;
        self.ledger.due(u64::from(post?))
    }
}

impl Bookkeeping for Book {
    fn book(&mut self) -> &mut Book {
        self
    }

    fn is_complete(&mut self) -> bool {
        self.ledger.open() == 0 && self.hearing.counts.events >= self.ledger.counts.taken * self.hearing.counts.ears
    }
}

impl Audience for Book {
    fn answered(&mut self, request: u64, answer: &Answer<'_>, now: u64) {
        self.ledger.answered(request, answer, 202, now);
    }

    fn failed(&mut self, request: u64, why: &str, now: u64) {
        self.ledger.failed(request, why, now);
    }

    fn heard(&mut self, ear: usize, name: &str, data: &[u8], now: u64) {
        let Some(envelope) = Envelope::read(name, data) else { return };
        let Some(incident) = envelope.incident() else { return };
        if let Some(key) = envelope.dedup_key().and_then(|dedup_key| self.key(dedup_key)) {
            self.known.insert(incident, key);
        }
        // anything else is of another run
        let Some(&key) = self.known.get(&incident) else { return };
        if self.hearing.note(ear, incident, envelope.seq) == Order::Again {
            return;
        }
        self.heard_at = now;
        if let Some(due) = self.heard_of(key, ear)
            && (self.window.from..self.window.until).contains(&due)
        {
            self.latency.saturating_record(now.saturating_sub(due) / MICROSECOND);
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

    fn answer(status: u16, retry_after: Option<u64>) -> Answer<'static> {
        Answer { status, retry_after, version: None, body: b"", is_last: false }
    }

    fn say(book: &mut Book, ear: usize, incident: u128, seq: u64, key: Option<&str>) {
        let whole = key.map_or("null".to_owned(), |key| format!("{{\"dedup_key\":\"{key}\"}}"));
        let text = format!(
            "{{\"type\":\"x\",\"at\":\"\",\"seq\":{seq},\"incident\":\"{incident:032x}\",\"data\":{{\"incident\":{whole}}}}}"
        );
        book.heard(ear, "incident.x", text.as_bytes(), 5_000 * seq);
    }

    #[test]
    fn what_is_taken_and_unheard_is_missing_for_whoever_did_not_hear_it() {
        let mut book = Book::new("run-".into(), Window { from: 0, until: 100 }, None, 2);
        let keys: Vec<_> = (0..3).map(|due| book.post(due)).collect();
        assert_eq!(keys[1], (1, "run-1".to_owned()));
        book.answered(0, &answer(202, None), 10);
        book.answered(1, &answer(202, None), 10);
        book.answered(2, &answer(503, Some(1)), 10);
        say(&mut book, 0, 1, 1, Some("run-0"));
        say(&mut book, 1, 1, 1, Some("run-0"));
        say(&mut book, 0, 2, 1, Some("run-1"));
        say(&mut book, 0, 9, 1, Some("other-0"));
        assert!(!book.is_complete());
        assert_eq!((book.what_was_heard().missing, book.what_was_heard().events), (1, 3));
        assert_eq!((book.ledger.counts.taken, book.ledger.counts.refused, book.ledger.counts.errors), (2, 1, 0));
        assert_eq!(book.latency.len(), 3);
    }

    #[test]
    fn posts_to_a_hot_key_are_heard_in_their_order() {
        let mut book = Book::new("run-".into(), Window { from: 0, until: 100 }, Some(2), 1);
        for due in 0..5 {
            let (number, _) = book.post(due);
            book.answered(number, &answer(202, None), 10);
        }
        for seq in 1..=3 {
            say(&mut book, 0, 7, seq, (seq == 1).then_some("run-0"));
        }
        let sums = book.sums();
        assert_eq!((sums[0].taken, sums[1].taken), (3, 2));
        assert_eq!(book.what_was_heard().missing, 2);
    }
}
