//! What services do to sessions, wherever they are: the id of one says which node it is on, and those of a user are on any.

use super::address::Sid;
use super::permission::Whom;
use super::views::{Reach, VIEW_TIMEOUT, View, answers_to, count};
use super::worker::{Command, Deed, Kick, SessionEvent, Tally};
use super::{Hub, Revoked, no_answer};
use crate::adapter::Inquiry;
use crate::lifecycle;
use crate::protocol::arguments::Arguments;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::peers::{Answer, Order, Question, Said};
use crate::protocol::refusal::{Code, Refusal};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What became of an event for one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Emitted {
    /// There is no such session.
    Gone,
    /// It is on its way, and no answer was asked for.
    Sent,
    /// The session gave no answer in time.
    Silent,
    /// What the session answered.
    Answered(Arguments),
}

impl Hub {
    /// Ends a session of this node. Returns whether there was one.
    ///
    /// # Errors
    /// When its worker does not answer.
    pub async fn kick(&self, sid: Sid, kick: Kick) -> Result<bool, Refusal> {
        let Some(worker) = self.worker_of(sid) else { return Ok(false) };
        self.ask(worker, |reply| Command::Kick { sid, kick, reply }).await.ok_or_else(no_answer)
    }

    /// Ends a session of any node, as operators do. Returns whether there was one.
    ///
    /// # Errors
    /// When its worker, or its node, does not answer.
    pub async fn end(&self, sid: Sid) -> Result<bool, Refusal> {
        if self.worker_of(sid).is_some() {
            return self.kick(sid, Kick { disconnect: Disconnect::KICKED }).await;
        }
        let inquiry = self.inquire_of(sid, VIEW_TIMEOUT, || Question::End { sid: sid.as_str().into() });
        let Some(inquiry) = inquiry else { return Ok(false) };
        match answer_to(inquiry).await? {
            Answer::Nothing => Ok(false),
            _ => Ok(true),
        }
    }

    /// Sends an event to one session of this node, and hands on its answer if one is asked for. `None`: no such session.
    ///
    /// # Errors
    /// When too many answers of the session are awaited, or its worker does not answer.
    pub async fn emit(&self, sid: Sid, event: SessionEvent) -> Result<Option<oneshot::Receiver<Arguments>>, Refusal> {
        let Some(worker) = self.worker_of(sid) else { return Ok(None) };
        self.ask(worker, |reply| Command::Emit { sid, event, reply }).await.unwrap_or_else(|| Err(no_answer()))
    }

    /// Sends an event to one session of any node, and waits for its answer if one is asked for.
    ///
    /// # Errors
    /// When too many answers of the session are awaited, or its worker, or its node, does not answer.
    pub async fn emit_anywhere(&self, sid: Sid, event: SessionEvent) -> Result<Emitted, Refusal> {
        let timeout = event.ack_timeout;
        if self.worker_of(sid).is_some() {
            let Some(answer) = self.emit(sid, event).await? else { return Ok(Emitted::Gone) };
            let Some(timeout) = timeout else { return Ok(Emitted::Sent) };
            return Ok(match tokio::time::timeout(timeout, answer).await {
                Ok(Ok(answer)) => Emitted::Answered(answer),
                _ => Emitted::Silent,
            });
        }
        let raw = RawValue::from_string(event.name).map_err(|_| unreadable())?;
        let question = Question::Emit {
            sid: sid.as_str().into(),
            event: raw,
            arguments: Said::new(&event.arguments).map_err(|_| unreadable())?,
            ack_timeout_ms: timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        };
        let patience = VIEW_TIMEOUT.saturating_add(timeout.unwrap_or_default());
        let Some(inquiry) = self.inquire_of(sid, patience, || question) else { return Ok(Emitted::Gone) };
        match answer_to(inquiry).await? {
            Answer::Emitted(Some(said)) => said.arguments().map(Emitted::Answered).map_err(|_| unreadable()),
            Answer::Emitted(None) if timeout.is_none() => Ok(Emitted::Sent),
            Answer::Emitted(None) => Ok(Emitted::Silent),
            _ => Ok(Emitted::Gone),
        }
    }

    /// Does something to every session of a user.
    ///
    /// # Errors
    /// When a worker of this node does not answer; the others have done it.
    pub async fn each(&self, user: &str, issuer: Option<Arc<str>>, order: Order) -> Result<View<Tally>, Refusal> {
        let asked =
            || Question::Each { user: user.into(), issuer: issuer.as_deref().map(Into::into), order: order.clone() };
        let inquiry = self.inquire(Reach::Everywhere, asked);
        let tally = match self.deed(&order) {
            Some(deed) => self.each_here(Whom::User(user.to_owned(), issuer), deed).await,
            None => Ok(Tally::default()),
        };
        let (others, missing_nodes) = tallies(inquiry).await;
        Ok(View { found: tally?.and(others), missing_nodes })
    }

    /// Refuses a token until `until`, in milliseconds since 1970, or until it expires if one of its sessions knows better,
    /// and ends its sessions. Returns until when it is refused, and what became of the sessions.
    ///
    /// # Errors
    /// When too many are remembered here already, or a worker of this node does not answer.
    pub async fn revoke(
        &self,
        token: &str,
        issuer: Option<Arc<str>>,
        until: u64,
    ) -> Result<(u64, View<Tally>), Refusal> {
        let asked = |until| Question::Revoke { token: token.into(), issuer: issuer.as_deref().map(Into::into), until };
        let inquiry = self.inquire(Reach::Everywhere, || asked(until));
        let here = self.revoke_here(token, issuer.clone(), until).await;
        let (others, mut missing_nodes) = tallies(inquiry).await;
        let found = here?.and(others);
        let later = until.max(found.expires_at);
        if later > until {
            // A session that is somewhere knows better when its token expires.
            self.remember(token, issuer.as_ref(), later)?;
            let (_, missing) = tallies(self.inquire(Reach::Everywhere, || asked(later))).await;
            missing_nodes = missing_nodes.max(missing);
        }
        Ok((later, View { found, missing_nodes }))
    }

    /// The list of tokens that are refused. Only the first word counts.
    pub fn keep_revoked(&self, revoked: Revoked) {
        let _first = self.shared.revoked.set(revoked);
    }

    /// Refuses a token on this node, and ends its sessions here.
    pub(super) async fn revoke_here(
        &self,
        token: &str,
        issuer: Option<Arc<str>>,
        until: u64,
    ) -> Result<Tally, Refusal> {
        // First the list, then the sessions: whoever comes in between is found in one of the two.
        self.remember(token, issuer.as_ref(), until)?;
        let whom = Whom::Token(token.to_owned(), issuer.clone());
        let tally = self.each_here(whom, Deed::End(Disconnect::TOKEN_REVOKED)).await?;
        self.remember(token, issuer.as_ref(), until.max(tally.expires_at))?;
        Ok(tally)
    }

    fn remember(&self, token: &str, issuer: Option<&Arc<str>>, until: u64) -> Result<(), Refusal> {
        let Some(revoked) = self.shared.revoked.get() else { return Ok(()) };
        let full = || Refusal::new(Code::Unavailable, "too many revoked tokens are remembered already");
        revoked.add(issuer, token, until, lifecycle::unix_millis()).then_some(()).ok_or_else(full)
    }

    /// Does something to every session of a user or of a token on this node.
    pub(super) async fn each_here(&self, whom: Whom, deed: Deed) -> Result<Tally, Refusal> {
        let ask = |reply| Command::Each { whom: whom.clone(), deed: deed.clone(), reply };
        let tallies = self.ask_each(u64::MAX, ask).await;
        if tallies.len() < self.shared.mailboxes.len() {
            return Err(Refusal::new(Code::Unavailable, "not all workers answer; try again"));
        }
        Ok(tallies.into_iter().fold(Tally::default(), Tally::and))
    }

    /// What an order means here; nothing if it is about a namespace that is not here.
    pub(super) fn deed(&self, order: &Order) -> Option<Deed> {
        Some(match order {
            Order::End => Deed::End(Disconnect::KICKED),
            Order::Join(namespace, room) => Deed::Join(self.namespace(namespace)?, room.clone()),
            Order::Leave(namespace, room) => Deed::Leave(self.namespace(namespace)?, room.clone()),
        })
    }

    /// Asks the node that a session's id names, if there is such a node.
    fn inquire_of(&self, sid: Sid, timeout: Duration, question: impl FnOnce() -> Question) -> Option<Inquiry> {
        let (adapter, node) = (&self.shared.adapter, sid.node()?);
        (!adapter.is_alone()).then(|| adapter.inquire_of(node, question(), timeout))?
    }
}

/// The answer of the one node that was asked.
async fn answer_to(inquiry: Inquiry) -> Result<Answer, Refusal> {
    let (answers, _) = inquiry.all().await;
    match answers.into_iter().next() {
        Some(Answer::Refused { code, detail }) => {
            let code = Code::ALL.into_iter().find(|known| known.as_str() == &*code).unwrap_or(Code::Unavailable);
            Err(Refusal::new(code, detail))
        }
        Some(answer) => Ok(answer),
        None => Err(Refusal::new(Code::Unavailable, "the node of this session does not answer")),
    }
}

async fn tallies(inquiry: Option<Inquiry>) -> (Tally, usize) {
    let (answers, missing) = answers_to(inquiry).await;
    let tally = |answer: &Answer| match *answer {
        Answer::Done { done, refused, expires_at } => Tally { done: count(done), refused: count(refused), expires_at },
        _ => Tally::default(),
    };
    (answers.iter().map(tally).fold(Tally::default(), Tally::and), missing)
}

fn unreadable() -> Refusal {
    Refusal::new(Code::Internal, "what is said between nodes cannot be read")
}
