//! Answers that come after their handler has returned.

use super::call::Answer;
use super::{Call, ReplyTo, Session};
use crate::hub::{Hub, Receipt, Sid, Waiting};
use crate::protocol::arguments::Arguments;
use crate::protocol::refusal::{Code, Refusal};
use std::sync::Arc;

/// Answers that may be outstanding to one session at once.
const DEFERRED_MAX: usize = 64;

/// The right to answer one event.
#[derive(Debug)]
pub struct Later {
    hub: Hub,
    sid: Sid,
    reply_to: Option<ReplyTo>,
    /// Counts what is outstanding.
    _ticket: Arc<()>,
}

impl Later {
    pub(super) fn new(hub: Hub, sid: Sid, reply_to: Option<ReplyTo>, ticket: Arc<()>) -> Self {
        Self { hub, sid, reply_to, _ticket: ticket }
    }

    /// Answers. Nothing happens when the client asked for no answer, or has gone.
    pub fn answer(mut self, outcome: Result<Answer, Refusal>) {
        self.send(match outcome {
            Ok(Answer::None) => Arguments::none(),
            Ok(Answer::Args(arguments)) => arguments,
            Err(refusal) => return self.refuse(&refusal),
        });
    }

    /// Each dialect has its own form of a refusal.
    fn refuse(&mut self, refusal: &Refusal) {
        let Some(ReplyTo::Native(id)) = self.reply_to.take_if(|reply_to| matches!(reply_to, ReplyTo::Native(_))) else {
            return self.send(error_of(refusal));
        };
        let mut json = String::new();
        refusal.write_json(&mut json);
        self.reply_to = Some(ReplyTo::NativeRefusal(id));
        self.send(Arguments::json(json));
    }

    fn send(&mut self, arguments: Arguments) {
        if let Some(reply_to) = self.reply_to.take()
            && !self.hub.answer(self.sid, reply_to, arguments)
        {
            tracing::debug!("a late answer found its worker's inbox full");
        }
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        // Whoever had to answer has failed: its client must not wait in vain.
        self.refuse(&Refusal::new(Code::Internal, "there was no answer"));
    }
}

/// An answer that is given when nothing holds it back any more: when this is dropped.
struct HeldBack {
    later: Option<Later>,
    answer: Option<Answer>,
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        if let (Some(later), Some(answer)) = (self.later.take(), self.answer.take()) {
            later.answer(Ok(answer));
        }
    }
}

impl Call<'_, '_> {
    /// Answers once what other nodes say in these rooms is heard here too: at once if it is already, or while there is no
    /// telling when it will be. For whoever has just joined them.
    #[must_use]
    pub fn once_heard<S: AsRef<str>>(&mut self, rooms: &[S], answer: Answer) -> Answer {
        let hub = self.hub();
        let is_pending = |room: &&S| hub.is_pending(self.namespace, room.as_ref());
        let pending: Vec<&S> = rooms.iter().filter(is_pending).collect();
        if pending.is_empty() || self.reply_to.is_none() {
            return answer;
        }
        // No ticket: a session waits for no more rooms than it may be in.
        let later = Later::new(hub.clone(), self.sid, self.reply_to.take(), Arc::default());
        let waiting = Arc::new(HeldBack { later: Some(later), answer: Some(answer) });
        pending.iter().for_each(|room| hub.wait(self.namespace, room.as_ref(), Arc::clone(&waiting) as Waiting));
        Answer::None
    }

    /// Answers once what was published is sent to other nodes, or given up: at once where there is nothing to wait for.
    pub(super) fn once_sent(&mut self, receipt: Option<Receipt>, answer: Answer) -> Answer {
        let Some(receipt) = receipt else { return answer };
        // No ticket: receipts have a bound of their own.
        let later = Later::new(self.hub(), self.sid, self.reply_to.take(), Arc::default());
        let stats = Arc::clone(self.cx.hub.stats());
        self.spawn(async move {
            let sent = receipt.outcome().await;
            if let Err(refusal) = &sent {
                stats.refusals[refusal.code as usize].add(1);
            }
            later.answer(sent.map(|()| answer));
        });
        Answer::None
    }
}

/// `{"error":{"code":…,"detail":…}}`
pub(super) fn error_of(refusal: &Refusal) -> Arguments {
    let mut json = String::from("{\"error\":");
    refusal.write_json(&mut json);
    json.push('}');
    Arguments::json(json)
}

impl Session {
    /// Counts one more outstanding answer; it is dropped with what it was taken for.
    pub(super) fn take_ticket(&mut self) -> Result<Arc<()>, Refusal> {
        let tickets = self.deferred.get_or_insert_default();
        if Arc::strong_count(tickets) > DEFERRED_MAX {
            return Err(Refusal::new(Code::Unavailable, "too many answers to this session are outstanding already"));
        }
        Ok(Arc::clone(tickets))
    }
}
