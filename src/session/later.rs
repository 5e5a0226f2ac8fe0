//! Answers that come after their handler has returned.

use super::call::Answer;
use super::{ReplyTo, Session};
use crate::hub::{Hub, Sid};
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
