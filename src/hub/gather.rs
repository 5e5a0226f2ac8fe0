//! Broadcasts that every recipient answers: who was asked, what came back, and when to wait no longer.

use super::address::Sid;
use super::broadcast::Broadcast;
use super::local::Local;
use super::remote::unpublished;
use super::worker::Command;
use super::{Hub, Shared};
use crate::adapter::Asked;
use crate::protocol::arguments::Arguments;
use crate::protocol::envelope::Content;
use crate::protocol::refusal::{Code, Refusal};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;

/// Numbers of answers from here on belong to broadcasts, those below to the single sessions. Some clients keep them in 32
/// bits with a sign.
pub const BROADCAST_ACKS: u32 = 1 << 30;

/// Broadcasts whose answers are awaited on one worker at once.
const GATHERINGS_MAX: usize = 1_024;

/// Bytes of answers to one broadcast that are kept on one worker; what comes then counts as missing.
const ANSWERS_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Answers to one broadcast that may wait to be looked at; what comes then counts as missing.
const ANSWERS_MAX: usize = 65_536;

/// One broadcast that is being answered, on one worker.
#[derive(Debug)]
pub(super) struct Gathering {
    waiting: HashSet<Sid>,
    bytes: usize,
    due: u64,
    reply: mpsc::Sender<Heard>,
}

/// What a worker says of a broadcast that is being answered. When it has said everything it hangs up.
#[derive(Debug)]
pub enum Heard {
    /// So many recipients were asked.
    Asked(usize),
    /// One of them has answered.
    Answer(Arguments),
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
pub struct Answers {
    heard: mpsc::Receiver<Heard>,
    /// Workers that have not said yet how many they ask.
    silent: usize,
    asked: usize,
    early: VecDeque<Arguments>,
    afar: Option<Asked>,
}

impl Answers {
    /// Waits until all have answered, or their time is up.
    pub async fn all(mut self) -> Gathered {
        let afar = self.afar.take();
        let (mut all, others) = tokio::join!(self.all_here(), all_afar(afar));
        all.answers.extend(others.answers);
        all.missing += others.missing;
        all
    }

    async fn all_here(mut self) -> Gathered {
        let mut answers = Vec::new();
        while let Some(answer) = self.next().await {
            answers.push(answer);
        }
        // A worker that could not take the question has at least one who was not asked.
        let missing = self.asked.saturating_sub(answers.len()) + self.silent;
        Gathered { answers, missing }
    }

    /// How many recipients of this node are asked.
    pub(super) async fn asked(&mut self) -> usize {
        while self.silent > 0
            && let Some(heard) = self.heard.recv().await
        {
            if let Some(answer) = self.note(heard) {
                self.early.push_back(answer);
            }
        }
        self.asked
    }

    /// The next answer on this node.
    pub(super) async fn next(&mut self) -> Option<Arguments> {
        if let Some(answer) = self.early.pop_front() {
            return Some(answer);
        }
        loop {
            let heard = self.heard.recv().await?;
            if let Some(answer) = self.note(heard) {
                return Some(answer);
            }
        }
    }

    fn note(&mut self, heard: Heard) -> Option<Arguments> {
        match heard {
            Heard::Asked(count) => {
                self.asked += count;
                self.silent = self.silent.saturating_sub(1);
                None
            }
            Heard::Answer(answer) => Some(answer),
        }
    }
}

/// The answers of all other nodes: each says how many there will be.
async fn all_afar(asked: Option<Asked>) -> Gathered {
    let mut all = Gathered::default();
    let Some(mut asked) = asked else { return all };
    let Some(nodes) = asked.nodes().await else { return Gathered { missing: 1, ..all } };
    let (mut heard, mut clients, mut answered, mut bytes) = (0, 0_usize, 0, 0);
    while (heard < nodes || answered < clients)
        && let Some(content) = asked.next().await
    {
        match content {
            Content::Count { clients: more, .. } => {
                heard += 1;
                clients = clients.saturating_add(usize::try_from(more).unwrap_or(usize::MAX));
            }
            Content::Answer { arguments, .. } => {
                answered += 1;
                bytes += arguments.cost();
                // What is too much counts as missing.
                if bytes <= ANSWERS_BYTES_MAX {
                    all.answers.push(arguments);
                }
            }
            _ => {}
        }
    }
    all.missing = clients.saturating_sub(all.answers.len()) + nodes.saturating_sub(heard);
    all
}

impl Hub {
    /// Broadcasts and waits for the answers of all recipients on all nodes, at most for `timeout`.
    ///
    /// # Errors
    /// When other nodes cannot be asked.
    pub async fn gather(&self, broadcast: Broadcast, timeout: Duration) -> Result<Gathered, Refusal> {
        let afar = self.shared.gather_afar(&broadcast, timeout)?;
        let mut answers = self.gather_here(broadcast, timeout);
        answers.afar = afar;
        Ok(answers.all().await)
    }

    /// Broadcasts on this node. Returns the way to the answers; nobody waits longer than `timeout`.
    pub(super) fn gather_here(&self, mut broadcast: Broadcast, timeout: Duration) -> Answers {
        broadcast.ask_for_answers(self.shared.next_broadcast_ack());
        let workers = self.shared.workers_of(broadcast.namespace, &broadcast.rooms);
        let (reply, heard) = mpsc::channel(ANSWERS_MAX);
        self.shared.post_gathering(&Arc::new(broadcast), timeout, workers, &reply);
        Answers { heard, silent: workers.count_ones() as usize, asked: 0, early: VecDeque::new(), afar: None }
    }
}

impl Shared {
    fn next_broadcast_ack(&self) -> u32 {
        BROADCAST_ACKS | (self.broadcast_acks.fetch_add(1, Relaxed) & (BROADCAST_ACKS - 1))
    }

    fn gather_afar(&self, broadcast: &Broadcast, timeout: Duration) -> Result<Option<Asked>, Refusal> {
        self.adapter.gather(broadcast.namespace.0, timeout, &broadcast.said()).map_err(unpublished)
    }

    fn post_gathering(&self, broadcast: &Arc<Broadcast>, timeout: Duration, workers: u64, reply: &mpsc::Sender<Heard>) {
        for (_, mailbox) in self.mailboxes.iter().enumerate().filter(|(worker, _)| workers >> worker & 1 == 1) {
            let (broadcast, reply) = (Arc::clone(broadcast), reply.clone());
            let cost = broadcast.cost();
            mailbox.post(Command::Gather { broadcast, timeout, reply }, cost);
        }
    }
}

impl Local {
    /// Broadcasts for a session here, whose own worker is served at once, and returns the way to the answers, of other nodes
    /// too unless it is `local`. Nobody waits longer than `timeout`; `now` is in milliseconds.
    ///
    /// # Errors
    /// When too many broadcasts are being answered already, or other nodes cannot be asked.
    pub fn gather(
        &mut self,
        mut broadcast: Broadcast,
        timeout: Duration,
        now: u64,
        local: bool,
    ) -> Result<Answers, Refusal> {
        if self.gatherings.len() >= GATHERINGS_MAX {
            return Err(Refusal::new(Code::Unavailable, "too many broadcasts are being answered already"));
        }
        let shared = Arc::clone(&self.shared);
        let afar = if local { None } else { shared.gather_afar(&broadcast, timeout)? };
        broadcast.ask_for_answers(shared.next_broadcast_ack());
        let broadcast = Arc::new(broadcast);
        let (reply, heard) = mpsc::channel(ANSWERS_MAX);
        let others = shared.workers_of(broadcast.namespace, &broadcast.rooms) & !(1 << self.worker);
        shared.post_gathering(&broadcast, timeout, others, &reply);
        self.ask_members(&broadcast, timeout, now, reply);
        let silent = 1 + others.count_ones() as usize;
        Ok(Answers { heard, silent, asked: 0, early: VecDeque::new(), afar })
    }

    /// Delivers a broadcast that is to be answered, and remembers whom it reached.
    pub fn ask_members(&mut self, broadcast: &Arc<Broadcast>, timeout: Duration, now: u64, reply: mpsc::Sender<Heard>) {
        let Some(number) = broadcast.ack_number() else { return };
        self.asked.clear();
        self.deliver_posted(broadcast);
        let waiting: HashSet<Sid> = self.asked.drain(..).collect();
        // Whoever asked may have gone away.
        let _gone = reply.try_send(Heard::Asked(waiting.len()));
        // Whoever cannot be waited for has heard it, and counts as missing.
        if waiting.is_empty() || self.gatherings.len() >= GATHERINGS_MAX {
            return;
        }
        let due = now.saturating_add(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        self.gatherings.insert(number, Gathering { waiting, bytes: 0, due, reply });
    }

    /// A session answered a broadcast. Says whether its answer was awaited.
    pub fn answered(&mut self, number: u32, sid: Sid, answer: Arguments) -> bool {
        let Some(gathering) = self.gatherings.get_mut(&number) else { return false };
        if !gathering.waiting.remove(&sid) {
            return false;
        }
        gathering.bytes += answer.cost();
        if gathering.bytes <= ANSWERS_BYTES_MAX {
            let _gone = gathering.reply.try_send(Heard::Answer(answer));
        }
        if gathering.waiting.is_empty() {
            self.gatherings.remove(&number);
        }
        true
    }

    /// Gives up the answers whose time is up.
    pub fn give_up_answers(&mut self, now: u64) {
        for (_, gathering) in self.gatherings.extract_if(|_, gathering| gathering.due <= now) {
            self.stats.acks_timed_out.add(gathering.waiting.len() as u64);
        }
    }
}
