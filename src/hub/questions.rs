//! Questions of other nodes on their way to an answer: how many wait, and how many are answered at once.
//!
//! What clients ask, what takes as long as clients take to answer, and all the rest have places of their own: none of them
//! takes those of another.

use super::{Hub, NamespaceId};
use crate::metrics::Metrics;
use crate::protocol::envelope::Content;
use crate::protocol::peers;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc;

/// Questions that may wait to be looked at.
const WAITING_MAX: usize = 4_096;

/// Questions that are answered at once.
const AT_ONCE: usize = 1_024;

/// Questions of clients on other nodes that may wait to be looked at.
const CLIENTS_WAITING_MAX: usize = 1_024;

/// Questions of clients on other nodes that are answered at once.
const CLIENTS_AT_ONCE: usize = 256;

/// Broadcasts and questions of other nodes that wait for answers of sessions here: half of what a worker waits for, so that
/// this node's own find a place too.
const PATIENT_MAX: usize = 512;

/// Questions on their way.
#[derive(Debug)]
pub(super) struct Asked {
    all: Queue,
    of_clients: Queue,
}

struct Queue {
    sender: mpsc::Sender<Question>,
    receiver: Mutex<Option<mpsc::Receiver<Question>>>,
}

/// What another node asks.
#[derive(Debug)]
pub(super) enum Question {
    /// In the form that all nodes share.
    OfNode { namespace: NamespaceId, uid: Box<str>, content: Content },
    /// In the form of roomcast nodes.
    OfPeer { uid: Box<str>, request: Box<str>, question: Option<Box<peers::Question>> },
}

/// Whether a question may wait for sessions to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// As long as it takes, or there is nothing to wait for.
    Allowed,
    /// Too many do.
    NoPlace,
}

impl Question {
    fn is_of_client(&self) -> bool {
        let Self::OfPeer { question: Some(question), .. } = self else { return false };
        matches!(**question, peers::Question::Members { client: true, .. })
    }

    /// Whether its answer takes as long as sessions take to answer.
    fn awaits_sessions(&self) -> bool {
        match self {
            Self::OfNode { content, .. } => matches!(content, Content::Broadcast { request: Some(_), .. }),
            Self::OfPeer { question, .. } => {
                matches!(question.as_deref(), Some(peers::Question::Emit { ack_timeout_ms: Some(_), .. }))
            }
        }
    }
}

impl Queue {
    fn new(most: usize) -> Self {
        let (sender, receiver) = mpsc::channel(most);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }

    fn take(&self) -> Option<mpsc::Receiver<Question>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("space", &self.sender.capacity()).finish()
    }
}

impl Default for Asked {
    fn default() -> Self {
        Self { all: Queue::new(WAITING_MAX), of_clients: Queue::new(CLIENTS_WAITING_MAX) }
    }
}

impl Asked {
    /// Queues a question; one too many is not answered, and counted.
    pub(super) fn push(&self, question: Question, metrics: &Metrics) {
        let queue = if question.is_of_client() { &self.of_clients } else { &self.all };
        if queue.sender.try_send(question).is_err() {
            metrics.node().cluster.requests_refused.add_shared(1);
        }
    }
}

impl Hub {
    /// Answers the questions of other nodes, and asks those that are met what they remember, until `stop` resolves. To be run
    /// once.
    pub async fn answer_others(self, stop: impl Future<Output = ()>) {
        let Asked { all, of_clients } = &self.shared.asked;
        let (Some(questions), Some(of_clients)) = (all.take(), of_clients.take()) else { return };
        tokio::select! {
            () = stop => {}
            () = self.answer_all(questions) => {}
            () = self.answer_clients(of_clients) => {}
            () = self.learn() => {}
        }
    }

    async fn answer_all(&self, mut questions: mpsc::Receiver<Question>) {
        let (mut answering, mut patient) = (FuturesUnordered::new(), FuturesUnordered::new());
        loop {
            tokio::select! {
                Some(()) = answering.next(), if !answering.is_empty() => {}
                Some(()) = patient.next(), if !patient.is_empty() => {}
                question = questions.recv(), if answering.len() < AT_ONCE => match question {
                    Some(question) if !question.awaits_sessions() => {
                        answering.push(self.answer_other(question, Wait::Allowed));
                    }
                    Some(question) if patient.len() < PATIENT_MAX => {
                        patient.push(self.answer_other(question, Wait::Allowed));
                    }
                    Some(question) => {
                        self.shared.metrics.node().cluster.answers_refused.add_shared(1);
                        answering.push(self.answer_other(question, Wait::NoPlace));
                    }
                    None => return,
                },
            }
        }
    }

    async fn answer_clients(&self, mut questions: mpsc::Receiver<Question>) {
        let mut answering = FuturesUnordered::new();
        loop {
            tokio::select! {
                Some(()) = answering.next(), if !answering.is_empty() => {}
                question = questions.recv(), if answering.len() < CLIENTS_AT_ONCE => match question {
                    Some(question) => answering.push(self.answer_other(question, Wait::Allowed)),
                    None => return,
                },
            }
        }
    }
}
