//! How a session begins: what its handshake says it is, and its first words.

use super::context::Details;
use super::limit::Limit;
use super::raw::Framing;
use super::{Context, Dialect, Handshake, Session, ack, native, socketio, sse};
use crate::hub::Sid;
use crate::protocol::Wire;
use crate::protocol::heartbeat::Heartbeat;

impl Session {
    /// Opens a session and says hello, behind `head`: what the answer to its handshake begins with. Returns the id that an
    /// Engine.IO transport goes by.
    pub fn open(handshake: Handshake, head: Vec<u8>, cx: &mut Context<'_>) -> (Self, Option<Sid>) {
        let Handshake { wire, transport, identity, rooms, entrance, details } = handshake;
        let outbox = cx.hub.open_outbox(wire);
        // The first ping comes after a half to seven eighths of the interval, so that not all come at the same moment.
        let interval = cx.rules.rhythm.interval_ms;
        let spread = interval / 8 + u64::from(outbox.0.wrapping_mul(2_654_435_761) >> 16) % (interval * 3 / 8 + 1);
        let mut session = Self {
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
            refused: 0,
            identity,
            acks: ack::Acks::default(),
            details: details.map(|details| Box::new(Details::new(*details))),
            deferred: None,
        };
        let sid = session.say_hello(rooms, head, cx);
        (session, sid)
    }

    fn say_hello(&mut self, rooms: Vec<String>, head: Vec<u8>, cx: &mut Context<'_>) -> Option<Sid> {
        if let Dialect::Sse(_) = self.dialect {
            self.sse_open(&rooms, &head, cx);
            return None;
        }
        if !head.is_empty() {
            cx.hub.send_bytes(self.outbox, head);
        }
        match &self.dialect {
            Dialect::SocketIo(_) => return Some(self.engineio_open(cx)),
            Dialect::Native(_) => self.native_open(rooms, cx),
            Dialect::Raw(entrance) => {
                let framing = entrance.framing;
                let _first = self.finish_handshake();
                return (framing == Framing::EngineIo).then(|| self.engineio_open(cx));
            }
            Dialect::Sse(_) => {}
        }
        None
    }
}
