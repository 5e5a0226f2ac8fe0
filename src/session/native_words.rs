//! What a plain client is told: objects in the form of its wire.

use super::{Context, Session};
use crate::hub::SessionEvent;
use crate::protocol::arguments::Arguments;
use crate::protocol::refusal::Refusal;
use crate::protocol::websocket::{Opcode, write_frame};
use crate::protocol::{DecodeError, Wire, msgpack, native};
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt::Write as _;

impl Session {
    pub(super) fn native_refuse(&mut self, id: Option<&str>, refusal: &Refusal, cx: &mut Context<'_>) {
        Self::count_refusal(refusal, cx);
        self.send_json(&native::error(id, refusal), cx);
    }

    pub(super) fn native_answer(&mut self, id: &str, answer: &str, cx: &mut Context<'_>) {
        if let Err(error) = self.send_with(&native::ok(id, answer), &[], cx) {
            let refusal = Self::unencodable(&error, cx);
            self.send_json(&native::error(Some(id), &refusal), cx);
        }
    }

    /// The answer of a handler.
    pub(super) fn native_reply(&self, id: &str, answer: &Arguments, cx: &mut Context<'_>) {
        if let Err(error) = self.native_say(&format!("{{\"id\":{id},\"ok\":"), answer, cx) {
            let refusal = Self::unencodable(&error, cx);
            self.send_json(&native::error(Some(id), &refusal), cx);
        }
    }

    /// The refusal of a handler that took its time; `refusal` is JSON.
    pub(super) fn native_refused(&self, id: &str, refusal: &str, cx: &mut Context<'_>) {
        self.send_json(&format!("{{\"id\":{id},\"error\":{refusal}}}"), cx);
    }

    /// Says `head`, then the arguments as one value, and closes the object.
    pub(super) fn native_tell(&self, head: &str, arguments: &Arguments, cx: &mut Context<'_>) {
        if let Err(error) = self.native_say(head, arguments, cx) {
            Self::unencodable(&error, cx);
        }
    }

    /// Says `head`, then the arguments as one value, and closes the object. Says nothing when that has no form on the wire.
    fn native_say(&self, head: &str, arguments: &Arguments, cx: &mut Context<'_>) -> Result<(), DecodeError> {
        let (args, attachments) = self.native_args(arguments);
        let text = match arguments.arity() {
            0 => format!("{head}null}}"),
            1 => format!("{head}{args}}}"),
            _ => format!("{head}[{args}]}}"),
        };
        self.send_with(&text, attachments, cx)
    }

    /// The arguments in a form for this wire: a packed one takes binary as it is; JSON has only text for it.
    fn native_args<'a>(&self, arguments: &'a Arguments) -> (Cow<'a, str>, &'a [Bytes]) {
        let attachments = if self.wire() == Wire::MsgPack { arguments.attachments() } else { &[] };
        let plain = || arguments.to_text().unwrap_or_default();
        (if attachments.is_empty() { plain() } else { arguments.args().into() }, attachments)
    }

    pub(super) fn native_emit(&self, event: &SessionEvent, id: Option<u64>, cx: &mut Context<'_>) {
        let mut text = format!("{{\"event\":{}", event.name);
        let arguments = &event.arguments;
        let (args, attachments) = self.native_args(arguments);
        let _infallible = match arguments.arity() {
            0 => Ok(()),
            1 => write!(text, ",\"data\":{args}"),
            _ => write!(text, ",\"args\":[{args}]"),
        };
        if let Some(id) = id {
            let _infallible = write!(text, ",\"ack\":{id}");
        }
        text.push('}');
        if let Err(error) = self.send_with(&text, attachments, cx) {
            Self::unencodable(&error, cx);
        }
    }

    pub(super) fn send_json(&self, text: &str, cx: &mut Context<'_>) {
        if let Err(error) = self.send_with(text, &[], cx) {
            Self::unencodable(&error, cx);
        }
    }

    /// Sends nothing when it has no form on the session's wire.
    fn send_with(&self, text: &str, attachments: &[Bytes], cx: &mut Context<'_>) -> Result<(), DecodeError> {
        let mut frame = Vec::new();
        if self.wire() == Wire::MsgPack {
            let packed = msgpack::from_json(text, attachments)?;
            write_frame(Opcode::Binary, &packed, &mut frame);
        } else {
            write_frame(Opcode::Text, text.as_bytes(), &mut frame);
        }
        cx.hub.send_bytes(self.outbox, frame);
        Ok(())
    }
}
