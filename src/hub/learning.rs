//! Revocations that other nodes remember: whoever meets another node, as it starts or when it was away, asks for them.

use super::permission::Whom;
use super::revoked::Entry;
use super::views::VIEW_TIMEOUT;
use super::worker::Deed;
use super::{Hub, Revoked};
use crate::adapter::NodeId;
use crate::lifecycle;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::peers::{Answer, Question, RevokedToken};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Nodes that have been met and not been asked yet: as many as are known at once.
const MET_MAX: usize = 256;

/// Entries of one answer.
const PAGE: usize = 500;

/// How often a node is asked that gives no answer, and the pause before it is asked again.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(500);

/// How long a node that remembers something leaves one that it has met to learn that first: it need not tell it back then.
const HEAD_START: Duration = Duration::from_secs(1);

/// Nodes that have been met, and when.
#[derive(Debug)]
pub(super) struct Met {
    sender: mpsc::Sender<(NodeId, Instant)>,
    receiver: Mutex<Option<mpsc::Receiver<(NodeId, Instant)>>>,
}

impl Default for Met {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(MET_MAX);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Met {
    /// Notes a node that was not known.
    pub(super) fn push(&self, node: NodeId) {
        if self.sender.try_send((node, lifecycle::now())).is_err() {
            tracing::warn!("too many nodes are met at once: not all are asked which tokens are revoked");
        }
    }
}

/// What became of a question.
enum Learnt {
    /// All that the node has to say.
    All,
    /// No answer.
    Silence,
}

impl Hub {
    /// Learns from each node that is met, one after the other, so that what one has told need not be told by the next.
    pub(super) async fn learn(&self) {
        let receiver = self.shared.met.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(mut met), Some(revoked)) = (receiver, self.shared.revoked.get()) else {
            return std::future::pending().await;
        };
        while let Some((node, met_at)) = met.recv().await {
            let (mut tries, before) = (1, revoked.len());
            if before > 0 {
                tokio::time::sleep_until((met_at + HEAD_START).into()).await;
            }
            while matches!(self.learn_from(node, revoked).await, Learnt::Silence) {
                if tries == TRIES {
                    tracing::warn!("another node does not say which tokens are revoked");
                    break;
                }
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            if revoked.len() > before {
                tracing::info!(tokens = revoked.len() - before, "another node has said which tokens are revoked");
            }
        }
    }

    async fn learn_from(&self, node: NodeId, revoked: &Revoked) -> Learnt {
        let (mut after, mut digest) = (None, Some(revoked.digest(lifecycle::unix_millis())));
        let mut fresh = false;
        let learnt = loop {
            let question = Question::Revoked { digest: digest.take(), after: after.take(), limit: PAGE };
            // A node that has left has nothing to say.
            let Some(inquiry) = self.shared.adapter.inquire_of(node, question, VIEW_TIMEOUT) else { break Learnt::All };
            let tokens = match inquiry.all().await.0.pop() {
                Some(Answer::Revoked(tokens)) => tokens,
                // One of an older release does not know the question.
                Some(_) => break Learnt::All,
                None => break Learnt::Silence,
            };
            let (told, now) = (tokens.len(), lifecycle::unix_millis());
            after = tokens.last().map(|last| (last.issuer.clone(), last.token.clone()));
            for entry in &tokens {
                fresh |= take(revoked, entry, now);
            }
            if told < PAGE {
                break Learnt::All;
            }
        };
        if fresh {
            // They may have come in since this node started.
            let whom = Whom::Refused(revoked.clone(), lifecycle::unix_millis());
            if let Err(refusal) = self.each_here(whom, Deed::End(Disconnect::TOKEN_REVOKED)).await {
                tracing::warn!(why = &*refusal.detail, "not all sessions of revoked tokens could be ended");
            }
        }
        learnt
    }

    /// What this node tells another: the tokens after this one, unless the other knows them all.
    pub(super) fn tell_revoked(
        &self,
        digest: Option<u64>,
        after: Option<(Option<Box<str>>, Box<str>)>,
        limit: usize,
    ) -> Answer {
        let (Some(revoked), now) = (self.shared.revoked.get(), lifecycle::unix_millis()) else {
            return Answer::Revoked(Vec::new());
        };
        if digest.is_some_and(|digest| digest == revoked.digest(now)) {
            return Answer::Revoked(Vec::new());
        }
        let after = after.map(|(issuer, token)| (issuer.map(Into::into), token));
        let told =
            |((issuer, token), until): Entry| RevokedToken { issuer: issuer.as_deref().map(Into::into), token, until };
        Answer::Revoked(revoked.page(after, limit, now).into_iter().map(told).collect())
    }
}

/// Says whether it is news.
fn take(revoked: &Revoked, RevokedToken { issuer, token, until }: &RevokedToken, now: u64) -> bool {
    let issuer = issuer.as_deref().map(Into::into);
    let news = now < *until && !revoked.contains_exactly(issuer.as_ref(), token, now);
    // A later end counts for one that is known; what does not fit is counted.
    revoked.add(issuer.as_ref(), token, *until, now) && news
}
