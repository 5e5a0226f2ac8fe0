//! How a session begins: what its handshake says it is, and its first words.

use super::details::Details;
use super::limit::Limit;
use super::{Context, Dialect, Handshake, Session, ack, native, socketio, sse};
use crate::hub::Sid;
use crate::protocol::Wire;
use crate::protocol::heartbeat::{Heartbeat, scatter};
use std::sync::Arc;

impl Session {
    /// A session that has an outbox and has said nothing yet. Its first word is [`Session::say_hello`].
    pub fn new(handshake: Handshake, cx: &mut Context<'_>) -> Self {
        let Handshake { wire, transport, identity, entrance, details, .. } = handshake;
        let outbox = cx.hub.open_outbox(wire);
        // The first ping comes after a half to seven eighths of the interval, so that not all come at the same moment.
        let interval = cx.rules.rhythm.interval_ms;
        let spread = interval / 8 + u64::from(scatter(outbox.0) >> 16) % (interval * 3 / 8 + 1);
        Self {
            outbox,
            transport,
            dialect: match (entrance, wire) {
                (Some(entrance), _) => Dialect::Raw(entrance),
                (None, Wire::SocketIo | Wire::SocketIoMsgPack) => Dialect::SocketIo(socketio::SocketIo::default()),
                (None, Wire::Json | Wire::MsgPack) => Dialect::Native(native::Native::default()),
                (None, Wire::Sse) => Dialect::Sse(sse::Sse::default()),
            },
            heartbeat: Heartbeat::new(cx.now, cx.rules.rhythm, spread),
            handshake_due: cx.now.saturating_add(cx.rules.handshake_timeout_ms),
            packets: Limit::default(),
            joins: Limit::default(),
            creations: Limit::default(),
            refused: 0,
            proving: false,
            welcomed: false,
            warned: false,
            // A token may have been revoked on the way here.
            identity: Self::holding(identity.as_ref(), cx),
            acks: ack::Acks::default(),
            details: Details::of(details),
            deferred: None,
            presence: None,
            published: None,
        }
    }

    /// The session's first words, behind `head`: what the answer to its handshake begins with. `sid` is the id that its
    /// Engine.IO transport goes by; `rooms` are to be joined at once.
    pub fn say_hello(&mut self, head: Vec<u8>, sid: Sid, rooms: Vec<String>, cx: &mut Context<'_>) {
        if let Dialect::Sse(_) = self.dialect {
            return self.sse_open(&rooms, &head, cx);
        }
        if !head.is_empty() {
            cx.hub.send_bytes(self.outbox, head);
        }
        match &self.dialect {
            Dialect::SocketIo(_) => self.engineio_open(sid, cx),
            Dialect::Native(_) => self.native_open(rooms, cx),
            Dialect::Raw(entrance) => self.raw_open(&Arc::clone(entrance), sid, cx),
            Dialect::Sse(_) => {}
        }
    }
}
