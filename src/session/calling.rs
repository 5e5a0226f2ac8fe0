//! From what a client asks for to the handler that answers it: one way for all doors.

use super::{Answer, Call, Context, ReplyTo, Session};
use crate::hub::{MemberId, NamespaceId, Sid};
use crate::protocol::disconnect::Disconnect;
use crate::protocol::json::write_string;
use crate::protocol::name::check_room_name;
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::request::{Fields, RawEvent};
use bytes::Bytes;

/// What a client asks for, decoded.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) whom: (NamespaceId, MemberId, Sid),
    pub(super) event: RawEvent<'a>,
    pub(super) fields: Fields<'a>,
    pub(super) attachments: &'a [Bytes],
    pub(super) reply_to: Option<ReplyTo>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Called {
    pub(super) outcome: Result<Answer, Refusal>,
    /// The right to answer, unless the handler has taken it.
    pub(super) reply_to: Option<ReplyTo>,
    /// Set if the handler has ended the session.
    pub(super) closing: Option<Disconnect>,
}

impl Session {
    /// Has the handler of an event answer it.
    pub(super) fn call(&mut self, request: Request<'_>, cx: &mut Context<'_>) -> Called {
        let Request { whom: (namespace, member, sid), event, fields, attachments, reply_to } = request;
        let rules = cx.rules;
        let described = rules.application.namespace(namespace);
        let Some(handler) = described.handler(event.name) else {
            let refusal = Refusal::new(Code::UnknownEvent, format!("no rule for the event {}", event.name));
            let outcome = if described.ignores_unknown_events() {
                Self::count_refusal(&refusal, cx);
                Ok(Answer::None)
            } else {
                Err(refusal)
            };
            return Called { outcome, reply_to, closing: None };
        };
        let mut call =
            Call { session: self, cx, member, sid, namespace, event, fields, attachments, reply_to, closing: None };
        let outcome = handler(&mut call);
        Called { outcome, closing: call.closing, reply_to: call.reply_to }
    }

    /// Joins a room that the address names, as if the client had asked for it.
    pub(super) fn call_join(&mut self, whom: (NamespaceId, MemberId, Sid), room: &str, cx: &mut Context<'_>) -> Called {
        if let Err(refusal) = check_room_name(room) {
            return Called { outcome: Err(refusal), reply_to: None, closing: None };
        }
        let mut name = String::with_capacity(room.len() + 2);
        write_string(room, &mut name);
        let object = format!("{{\"room\":{name}}}");
        let event = RawEvent { name: "\"join\"", args: &object, arity: 1 };
        let fields = Fields { room: Some(&name), ..Fields::default() };
        self.call(Request { whom, event, fields, attachments: &[], reply_to: None }, cx)
    }
}
