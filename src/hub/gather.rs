//! Broadcasts that every recipient answers: who was asked, what came back, and when to wait no longer.

use super::address::Sid;
use super::broadcast::Broadcast;
use super::local::Local;
use super::worker::Command;
use super::{Hub, Shared};
use crate::protocol::arguments::Arguments;
use crate::protocol::refusal::{Code, Refusal};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::oneshot;

/// Numbers of answers from here on belong to broadcasts, those below to the single sessions. Some clients keep them in 32
/// bits with a sign.
pub const BROADCAST_ACKS: u32 = 1 << 30;

/// Broadcasts whose answers are awaited on one worker at once.
const GATHERINGS_MAX: usize = 1_024;

/// Bytes of answers to one broadcast that are kept on one worker; what comes then counts as missing.
const ANSWERS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One broadcast that is being answered, on one worker.
#[derive(Debug)]
pub(super) struct Gathering {
    waiting: HashSet<Sid>,
    answers: Gathered,
    bytes: usize,
    due: u64,
    reply: oneshot::Sender<Gathered>,
}

/// The answers to a broadcast.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Gathered {
    /// What recipients answered, in the order in which it came.
    pub answers: Vec<Arguments>,
    /// How many recipients did not answer in time, or could not be asked.
    pub missing: usize,
}

/// The answers to a broadcast that has been sent.
#[derive(Debug)]
pub struct Answers(Vec<oneshot::Receiver<Gathered>>);

impl Answers {
    /// Waits until all have answered, or their time is up.
    pub async fn all(self) -> Gathered {
        let mut all = Gathered::default();
        for part in self.0 {
            // A worker that could not take the question has at least one who was not asked.
            let part = part.await.unwrap_or(Gathered { answers: Vec::new(), missing: 1 });
            all.answers.extend(part.answers);
            all.missing += part.missing;
        }
        all
    }
}

impl Hub {
    /// Broadcasts and waits for the answers of all recipients on this node, at most for `timeout`.
    pub async fn gather(&self, mut broadcast: Broadcast, timeout: Duration) -> Gathered {
        broadcast.ask_for_answers(self.shared.next_broadcast_ack());
        let workers = self.shared.workers_of(broadcast.namespace, &broadcast.rooms);
        self.shared.post_gathering(&Arc::new(broadcast), timeout, workers).all().await
    }
}

impl Shared {
    fn next_broadcast_ack(&self) -> u32 {
        BROADCAST_ACKS | (self.broadcast_acks.fetch_add(1, Relaxed) & (BROADCAST_ACKS - 1))
    }

    fn post_gathering(&self, broadcast: &Arc<Broadcast>, timeout: Duration, workers: u64) -> Answers {
        let mut answers = Vec::new();
        for (_, mailbox) in self.mailboxes.iter().enumerate().filter(|(worker, _)| workers >> worker & 1 == 1) {
            let (reply, answer) = oneshot::channel();
            mailbox.post(Command::Gather { broadcast: Arc::clone(broadcast), timeout, reply }, broadcast.cost());
            answers.push(answer);
        }
        Answers(answers)
    }
}

impl Local {
    /// Broadcasts for a session here, whose own worker is served at once, and returns the way to the answers. Nobody waits
    /// longer than `timeout`; `now` is in milliseconds.
    ///
    /// # Errors
    /// When too many broadcasts are being answered already.
    pub fn gather(&mut self, mut broadcast: Broadcast, timeout: Duration, now: u64) -> Result<Answers, Refusal> {
        if self.gatherings.len() >= GATHERINGS_MAX {
            return Err(Refusal::new(Code::Unavailable, "too many broadcasts are being answered already"));
        }
        let shared = Arc::clone(&self.shared);
        broadcast.ask_for_answers(shared.next_broadcast_ack());
        let broadcast = Arc::new(broadcast);
        let (reply, answer) = oneshot::channel();
        self.ask_members(&broadcast, timeout, now, reply);
        let others = shared.workers_of(broadcast.namespace, &broadcast.rooms) & !(1 << self.worker);
        let Answers(mut answers) = shared.post_gathering(&broadcast, timeout, others);
        answers.push(answer);
        Ok(Answers(answers))
    }

    /// Delivers a broadcast that is to be answered, and remembers whom it reached.
    pub fn ask_members(
        &mut self,
        broadcast: &Broadcast,
        timeout: Duration,
        now: u64,
        reply: oneshot::Sender<Gathered>,
    ) {
        let Some(number) = broadcast.ack_number().filter(|_| self.gatherings.len() < GATHERINGS_MAX) else { return };
        self.asked.clear();
        self.deliver_posted(broadcast);
        let waiting: HashSet<Sid> = self.asked.drain(..).collect();
        if waiting.is_empty() {
            // Whoever asked may have gone away.
            let _gone = reply.send(Gathered::default());
            return;
        }
        let due = now.saturating_add(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self.gatherings.insert(number, Gathering { waiting, answers: Gathered::default(), bytes: 0, due, reply });
    }

    /// A session answered a broadcast. Says whether its answer was awaited.
    pub fn answered(&mut self, number: u32, sid: Sid, answer: Arguments) -> bool {
        let Some(gathering) = self.gatherings.get_mut(&number) else { return false };
        if !gathering.waiting.remove(&sid) {
            return false;
        }
        if gathering.bytes + answer.cost() > ANSWERS_BYTES_MAX {
            gathering.answers.missing += 1;
        } else {
            gathering.bytes += answer.cost();
            gathering.answers.answers.push(answer);
        }
        if gathering.waiting.is_empty()
            && let Some(Gathering { answers, reply, .. }) = self.gatherings.remove(&number)
        {
            let _gone = reply.send(answers);
        }
        true
    }

    /// Gives up the answers whose time is up.
    pub fn give_up_answers(&mut self, now: u64) {
        for (_, mut gathering) in self.gatherings.extract_if(|_, gathering| gathering.due <= now) {
            gathering.answers.missing += gathering.waiting.len();
            self.stats.acks_timed_out.add(gathering.waiting.len() as u64);
            let _gone = gathering.reply.send(gathering.answers);
        }
    }
}
