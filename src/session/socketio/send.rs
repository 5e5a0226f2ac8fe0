//! What a Socket.IO client is sent: packets in the form of its parser.

use super::super::later::error_of;
use super::super::{Context, Session};
use crate::hub::{MemberId, SessionEvent};
use crate::protocol::arguments::Arguments;
use crate::protocol::event::Event;
use crate::protocol::request::RawEvent;
use crate::protocol::socketio::{self, Head, Kind};
use crate::protocol::websocket::{Opcode, write_frame};
use crate::protocol::{Wire, socketio_msgpack};
use bytes::Bytes;

impl Session {
    pub(in super::super) fn socketio_ack(&self, member: MemberId, id: u64, answer: &Arguments, cx: &mut Context<'_>) {
        let data = format!("[{}]", answer.args());
        self.send_to_member(member, Kind::Ack, Some(id), (&data, answer.attachments()), cx);
    }

    pub(in super::super) fn socketio_emit(
        &self,
        member: MemberId,
        event: &SessionEvent,
        id: Option<u64>,
        cx: &mut Context<'_>,
    ) {
        let args = event.arguments.args();
        let raw = RawEvent { name: &event.name, args, arity: event.arguments.arity() };
        let said = Event { raw, attachments: event.arguments.attachments(), ack: None, offset: None };
        if id.is_none()
            && let Some(sent) = cx.hub.emit_and_log(member, said)
        {
            if let Err(error) = sent {
                Self::unencodable(&error, cx);
            }
            return;
        }
        let comma = if args.is_empty() { "" } else { "," };
        let data = format!("[{}{comma}{args}]", event.name);
        self.send_to_member(member, Kind::Event, id, (&data, event.arguments.attachments()), cx);
    }

    pub(in super::super) fn socketio_farewell(&self, member: MemberId, cx: &mut Context<'_>) {
        self.send_to_member(member, Kind::Disconnect, None, ("", &[]), cx);
    }

    /// Whoever has left the namespace is sent nothing.
    fn send_to_member(
        &self,
        member: MemberId,
        kind: Kind,
        id: Option<u64>,
        (data, attachments): (&str, &[Bytes]),
        cx: &mut Context<'_>,
    ) {
        if cx.hub.sid_of(member).is_none() {
            return;
        }
        let namespace = cx.hub.namespace_name(cx.hub.namespace_of(member));
        let frames = self.packet(Head { kind, namespace, id }, data, attachments, cx);
        cx.hub.send_bytes(self.outbox, frames);
    }

    pub(super) fn send_packet(&self, head: Head<'_>, data: &str, attachments: &[Bytes], cx: &mut Context<'_>) {
        let frames = self.packet(head, data, attachments, cx);
        cx.hub.send_bytes(self.outbox, frames);
    }

    /// The final frames of a packet. An answer that has no form on this wire becomes an error; other packets nothing.
    pub(super) fn packet(&self, head: Head<'_>, data: &str, attachments: &[Bytes], cx: &Context<'_>) -> Vec<u8> {
        let mut frames = Vec::new();
        if self.wire() == Wire::SocketIoMsgPack {
            if let Err(error) = socketio_msgpack::write_packet(head, data, attachments, &mut frames) {
                let refusal = Self::unencodable(&error, cx);
                if head.kind == Kind::Ack {
                    let error = format!("[{}]", error_of(&refusal).args());
                    let _always_fits = socketio_msgpack::write_packet(head, &error, &[], &mut frames);
                }
            }
        } else {
            socketio::write_packet(head, data, attachments, &mut frames);
        }
        frames
    }

    pub(in super::super) fn send_text(&self, text: &str, cx: &mut Context<'_>) {
        let mut frame = Vec::new();
        write_frame(Opcode::Text, text.as_bytes(), &mut frame);
        cx.hub.send_bytes(self.outbox, frame);
    }
}
