//! Entering and leaving namespaces, as far as the application has a say, and answers that it waits for.

use super::{Call, Context, Dialect, Rejection, Session};
use crate::hub::{BROADCAST_ACKS, MemberId, NamespaceId, Sid};
use crate::protocol::arguments::Arguments;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::request::{Fields, RawEvent};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a session leaves a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Its client knows, or hears of it otherwise.
    Quietly,
    /// Its client is told.
    Told,
    /// Its connection was lost; it may come back.
    Lost,
}

impl Session {
    /// Has the application greet a session that has just entered, or refuse it. Returns the end that it may have decided on.
    pub(super) fn greet(
        &mut self,
        namespace: NamespaceId,
        member: MemberId,
        sid: Sid,
        auth: &str,
        cx: &mut Context<'_>,
    ) -> Result<Option<Disconnect>, Rejection> {
        let rules = cx.rules;
        let Some(handler) = rules.application.namespace(namespace).connect() else { return Ok(None) };
        let mut call = self.call_about((namespace, member, sid), if auth.is_empty() { "{}" } else { auth }, cx);
        match catch_unwind(AssertUnwindSafe(|| handler(&mut call))) {
            Ok(outcome) => outcome.map(|()| call.closing),
            Err(_) => {
                cx.hub.stats().panics.add(1);
                Ok(Some(Disconnect::INTERNAL))
            }
        }
    }

    /// Leaves a namespace, after the application has heard of it.
    pub(super) fn leave_namespace(&mut self, member: MemberId, why: Disconnect, how: Leaving, cx: &mut Context<'_>) {
        let left = match &mut self.dialect {
            Dialect::SocketIo(dialect) => dialect.forget(member),
            Dialect::Native(dialect) => dialect.forget(member),
            Dialect::Sse(dialect) => dialect.forget(member),
            Dialect::Raw(_) => None,
        };
        let Some((namespace, sid)) = left else { return };
        let rules = cx.rules;
        if let Some(handler) = rules.application.namespace(namespace).disconnect() {
            let mut call = self.call_about((namespace, member, sid), "", cx);
            if catch_unwind(AssertUnwindSafe(|| handler(&mut call, why))).is_err() {
                cx.hub.stats().panics.add(1);
            }
        }
        if how == Leaving::Told && matches!(self.dialect, Dialect::SocketIo(_)) {
            self.socketio_farewell(member, cx);
        }
        let notes = self.details.as_mut().and_then(|details| details.take_notes(namespace));
        if let Some(details) = &mut self.details {
            details.forget(namespace);
        }
        if how == Leaving::Lost {
            cx.hub.park(member, notes);
        } else {
            cx.hub.exit(member);
        }
        if self.members().is_empty() {
            self.begin_handshake_again(cx);
        }
    }

    fn call_about<'a, 'cx>(
        &'a mut self,
        (namespace, member, sid): (NamespaceId, MemberId, Sid),
        args: &'a str,
        cx: &'a mut Context<'cx>,
    ) -> Call<'a, 'cx> {
        let event = RawEvent { name: "\"connect\"", args, arity: u32::from(!args.is_empty()) };
        let (fields, attachments, reply_to) = (Fields::default(), &[][..], None);
        Call { session: self, cx, member, sid, namespace, event, fields, attachments, reply_to, closing: None }
    }

    /// Hands an answer of the client to whoever waits for it. Says whether somebody does.
    pub(super) fn take_answer(&mut self, id: u64, sid: Sid, answer: Arguments, cx: &mut Context<'_>) -> bool {
        match u32::try_from(id) {
            Ok(number) if number >= BROADCAST_ACKS => cx.hub.answered(number, sid, answer),
            _ => self.acks.answered(id, answer),
        }
    }
}
