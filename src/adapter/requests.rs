//! Questions to other nodes: which are open, and how their answers find who asked.

use super::shared::Shared;
use crate::lifecycle;
use crate::metrics::PublishLoss;
use crate::protocol::envelope::Content;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Questions that may be open at once.
const OPEN_MAX: usize = 1_024;

/// Answers to one question that may wait to be read; more are lost, and count as missing.
const ANSWERS_MAX: usize = 1_024;

/// The questions that are open.
#[derive(Debug)]
pub(super) struct Requests<T> {
    open: Mutex<HashMap<Box<str>, Sender<T>>>,
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        Self { open: Mutex::default() }
    }
}

impl<T> Requests<T> {
    /// Opens a question. `None`: too many are open.
    pub(super) fn open(&self, id: &str) -> Option<Receiver<T>> {
        let (sender, receiver) = channel(ANSWERS_MAX);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            return None;
        }
        open.insert(id.into(), sender);
        Some(receiver)
    }

    /// Hands on an answer. Says whether somebody waits for it.
    pub(super) fn answer(&self, id: &str, answer: T) -> bool {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.get(id).is_some_and(|sender| sender.try_send(answer).is_ok())
    }

    pub(super) fn close(&self, id: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// A question that is open until this is dropped.
#[derive(Debug)]
pub struct Asked {
    id: Box<str>,
    namespace: u16,
    receiver: Receiver<Content>,
    deadline: Instant,
    shared: Arc<Shared>,
}

impl Asked {
    /// Opens a question.
    pub(super) fn new(shared: &Arc<Shared>, namespace: u16, id: &str, timeout: Duration) -> Result<Self, PublishLoss> {
        let receiver = shared.requests.open(id).ok_or(PublishLoss::Full)?;
        let deadline = lifecycle::now() + timeout;
        Ok(Self { id: id.into(), namespace, receiver, deadline, shared: Arc::clone(shared) })
    }

    /// How many other nodes there are to answer; `None` when nobody can tell.
    pub async fn nodes(&self) -> Option<usize> {
        let deadline = tokio::time::Instant::from_std(self.deadline);
        tokio::time::timeout_at(deadline, self.shared.others(self.namespace)).await.ok()?.ok()
    }

    /// The next answer; `None` once the time is up.
    pub async fn next(&mut self) -> Option<Content> {
        let deadline = tokio::time::Instant::from_std(self.deadline);
        tokio::time::timeout_at(deadline, self.receiver.recv()).await.ok().flatten()
    }

    /// One answer of each node, as far as they come in time, and how many nodes have not answered.
    pub async fn all(mut self) -> (Vec<Content>, usize) {
        let mut answers = Vec::new();
        let Some(nodes) = self.nodes().await else { return (answers, 1) };
        while answers.len() < nodes
            && let Some(answer) = self.next().await
        {
            answers.push(answer);
        }
        let missing = nodes - answers.len();
        (answers, missing)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.shared.requests.close(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(request: &str) -> Content {
        Content::Done { request: request.into() }
    }

    #[test]
    fn answers_find_who_asked_as_long_as_somebody_waits() {
        let requests = Requests::default();
        let mut asked = requests.open("a").unwrap();
        assert!(requests.answer("a", done("a")) && !requests.answer("b", done("b")));
        assert_eq!(asked.try_recv().unwrap(), done("a"));
        requests.close("a");
        assert!(!requests.answer("a", done("a")), "nobody waits any more");
    }

    #[test]
    fn only_so_many_questions_are_open() {
        let requests = Requests::<Content>::default();
        let _open: Vec<_> = (0..OPEN_MAX).map(|n| requests.open(&n.to_string()).unwrap()).collect();
        assert!(requests.open("one more").is_none());
        requests.close("7");
        assert!(requests.open("one more").is_some());
    }
}
