//! Questions to roomcast nodes: the nodes of the table are expected to answer, and those that do not are counted. One that has
//! not answered is asked, but not waited for, until it is heard again: it may be dead, and not forgotten yet.

use super::peers::write;
use super::shared::{Shared, random_text};
use super::{Adapter, NodeId};
use crate::lifecycle;
use crate::metrics::PublishLoss;
use crate::protocol::peers::{Answer, Question, Word};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;

/// An answer and who gave it.
#[derive(Debug, Clone)]
pub struct Told {
    /// The node.
    pub uid: Box<str>,
    /// What it answers.
    pub answer: Answer,
}

/// A question that is open until this is dropped.
#[derive(Debug)]
pub struct Inquiry {
    id: Box<str>,
    /// Who has not answered yet.
    waiting: Vec<Box<str>>,
    /// How many cannot be asked.
    missing: usize,
    /// `None`: nobody was asked.
    receiver: Option<Receiver<Told>>,
    deadline: Instant,
    shared: Arc<Shared>,
}

impl Adapter {
    /// Asks all other roomcast nodes. `None`: there are none.
    #[must_use]
    pub fn inquire(&self, question: Question, timeout: Duration) -> Option<Inquiry> {
        let shared = self.cluster.as_ref()?;
        let table = shared.peers.read();
        let known = table.all().len();
        let awaited = table.all().iter().filter(|peer| !table.is_silent(&peer.uid));
        let uids: Vec<_> = awaited.map(|peer| peer.uid.clone()).collect();
        drop(table);
        // Some may listen that have not said yet who they are, and while the broker is away nobody knows how many there are.
        let others = shared.listening.load(Relaxed).saturating_sub(1);
        let unknown = others.saturating_sub(known);
        let unheard = if shared.stats.up.get() == 0 { unknown.max(1) } else { unknown };
        let missing = unheard + known - uids.len();
        let channel = match &*uids {
            [one] if known == 1 => shared.peer_channels.of(one),
            _ => shared.peer_channels.all().to_owned(),
        };
        (missing > 0 || !uids.is_empty()).then(|| Inquiry::new(shared, uids, missing, (&channel, question), timeout))
    }

    /// Asks the roomcast node whose sessions' ids begin so. `None`: there is none.
    #[must_use]
    pub fn inquire_of(&self, node: NodeId, question: Question, timeout: Duration) -> Option<Inquiry> {
        self.inquire_uid(self.peer(node)?.uid, question, timeout)
    }

    /// Asks the roomcast node `uid`. `None`: there are no others.
    #[must_use]
    pub fn inquire_uid(&self, uid: Box<str>, question: Question, timeout: Duration) -> Option<Inquiry> {
        let shared = self.cluster.as_ref()?;
        let channel = shared.peer_channels.of(&uid);
        Some(Inquiry::new(shared, vec![uid], 0, (&channel, question), timeout))
    }

    /// Answers the roomcast node `uid`.
    ///
    /// # Errors
    /// Why it was given up.
    pub fn tell_peer(&self, uid: &str, request: Box<str>, answer: Answer) -> Result<(), PublishLoss> {
        let Some(shared) = &self.cluster else { return Ok(()) };
        write(shared, &shared.peer_channels.of(uid), Word::Answer { request, answer })
    }
}

impl Inquiry {
    fn new(
        shared: &Arc<Shared>,
        uids: Vec<Box<str>>,
        missing: usize,
        (channel, question): (&str, Question),
        timeout: Duration,
    ) -> Self {
        let id: Box<str> = random_text(8).into();
        // While the broker is away nobody hears it in time, and what is asked is not to be done later.
        let audible = shared.peers.count() > 0 && shared.stats.up.get() == 1;
        let receiver = audible.then(|| shared.inquiries.open(&id)).flatten();
        let asked = || {
            let word = Word::Ask { request: id.clone(), question: Some(Box::new(question)) };
            write(shared, channel, word).is_ok()
        };
        let receiver = receiver.filter(|_| asked());
        let deadline = lifecycle::now() + timeout;
        Self { id, waiting: uids, missing, receiver, deadline, shared: Arc::clone(shared) }
    }

    /// The answers that come in time, one of each node at most, and how many nodes give none. A node that is forgotten, or
    /// leaves, is waited for no longer.
    pub async fn all(mut self) -> (Vec<Answer>, usize) {
        let answers = match self.receiver.take() {
            Some(receiver) => {
                let answers = self.gather(receiver).await;
                // While the broker is away nobody can answer.
                if !self.waiting.is_empty() && self.shared.stats.up.get() == 1 {
                    self.shared.peers.did_not_answer(&self.waiting);
                }
                answers
            }
            None => Vec::new(),
        };
        let missing = self.missing + self.waiting.len();
        self.shared.stats.peers_silent.add_shared(missing as u64);
        (answers, missing)
    }

    async fn gather(&mut self, mut receiver: Receiver<Told>) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(self.waiting.len());
        let (deadline, shared) = (tokio::time::Instant::from_std(self.deadline), Arc::clone(&self.shared));
        while !self.waiting.is_empty() {
            tokio::select! {
                told = receiver.recv() => {
                    let Some(Told { uid, answer }) = told else { break };
                    if let Some(place) = self.waiting.iter().position(|waiting| *waiting == uid) {
                        self.waiting.swap_remove(place);
                        answers.push(answer);
                    }
                }
                () = shared.peers.changed.notified() => {
                    let before = self.waiting.len();
                    self.waiting.retain(|uid| shared.peers.read().has(uid));
                    self.missing += before - self.waiting.len();
                }
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        answers
    }
}

impl Drop for Inquiry {
    fn drop(&mut self) {
        self.shared.inquiries.close(&self.id);
    }
}
