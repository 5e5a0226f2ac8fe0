//! One client from handshake to goodbye: what it says, whether it may, and what it is answered.
//!
//! A session speaks a dialect: Socket.IO ([`socketio`]) or the plain protocol ([`native`]), which share a
//! [`vocabulary`]; an event stream ([`sse`]) only listens; and an application may have its own ([`raw`]). It knows no socket: bytes come in as decoded messages, and go out through the session's outbox.

pub mod ack;
pub mod auth;
mod context;
mod native;
mod opening;
mod raw;
mod rules;
mod socketio;
mod sse;
mod vocabulary;

pub use auth::{Access, Claims, TokenKey};
pub use context::{Context, Handshake, Question, ReplyTo};
pub use raw::{Entrance, Framing, RawAnswers, RawHandler, RawMessage};
pub use rules::Rules;
pub use vocabulary::write_presence;

pub use crate::limiter::rate as limit;

use crate::hub::{Identity, Local, MemberId, OutboxId};
use crate::protocol::disconnect::Disconnect;
use crate::protocol::heartbeat::{Action, Heartbeat};
use crate::protocol::refusal::Refusal;
use crate::protocol::websocket::{Incoming, Limits, Opcode, write_close, write_frame};
use crate::protocol::{DecodeError, Transport, Wire};
use limit::Limit;
use std::sync::Arc;

/// One session.
#[derive(Debug)]
pub struct Session {
    outbox: OutboxId,
    transport: Transport,
    dialect: Dialect,
    heartbeat: Heartbeat,
    /// When the handshake has to be finished; `u64::MAX` once it is.
    handshake_due: u64,
    packets: Limit,
    joins: Limit,
    refused: u32,
    identity: Option<Arc<Identity>>,
    acks: ack::Acks,
}

#[derive(Debug)]
enum Dialect {
    SocketIo(socketio::SocketIo),
    Native(native::Native),
    Sse(sse::Sse),
    Raw(Arc<Entrance>),
}

impl Session {
    /// How its bytes travel now.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Notes that the session moved from long-polling to a WebSocket.
    pub fn upgraded(&mut self) {
        self.transport = Transport::WebSocket;
    }

    /// Bounds on one message of its client.
    #[must_use]
    pub fn message_limits(&self, rules: &Rules) -> Limits {
        match &self.dialect {
            Dialect::Raw(entrance) => entrance.limits,
            _ => rules.message,
        }
    }

    /// The last bytes on its socket.
    #[must_use]
    pub fn goodbye(&self, disconnect: Disconnect) -> Vec<u8> {
        if let Dialect::Sse(dialect) = &self.dialect {
            return dialect.goodbye(disconnect);
        }
        let mut frame = Vec::new();
        write_close(disconnect, &mut frame);
        frame
    }

    /// Its outbox.
    #[must_use]
    pub fn outbox(&self) -> OutboxId {
        self.outbox
    }

    /// Takes one message of the client.
    ///
    /// # Errors
    /// The reason with which the session has to end.
    pub fn receive(&mut self, incoming: &Incoming<'_>, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        match incoming {
            Incoming::Close => Err(Disconnect::CLIENT_CLOSED),
            Incoming::Pong => {
                if self.wire() != Wire::SocketIo {
                    self.heartbeat.heard(cx.now, cx.rules.rhythm);
                }
                Ok(())
            }
            Incoming::Ping(payload) => {
                if self.admit(cx)?.is_none() {
                    let mut pong = Vec::new();
                    write_frame(Opcode::Pong, payload, &mut pong);
                    cx.hub.send_bytes(self.outbox, pong);
                }
                Ok(())
            }
            Incoming::Text(text) => match &self.dialect {
                Dialect::SocketIo(_) => self.socketio_text(text, cx),
                Dialect::Native(_) => self.native_text(text, cx),
                Dialect::Raw(entrance) => self.raw_text(&Arc::clone(entrance), text, cx),
                Dialect::Sse(_) => Ok(()),
            },
            Incoming::Binary(bytes) => match &self.dialect {
                Dialect::SocketIo(_) => self.socketio_binary(bytes, cx),
                Dialect::Native(_) => self.native_binary(bytes, cx),
                Dialect::Raw(entrance) => {
                    self.raw_message(entrance, RawMessage::Binary(bytes), cx);
                    Ok(())
                }
                Dialect::Sse(_) => Ok(()),
            },
        }
    }

    /// Does what is due. Returns when to look again.
    ///
    /// # Errors
    /// The reason with which the session has to end.
    pub fn on_timer(&mut self, cx: &mut Context<'_>) -> Result<u64, Disconnect> {
        if cx.now >= self.handshake_due {
            return Err(Disconnect::HANDSHAKE_TIMEOUT);
        }
        let next_ack = self.acks.expire(cx.now);
        let due = match self.heartbeat.poll(cx.now, cx.rules.rhythm) {
            Action::Wait(due) => due,
            Action::Dead => return Err(Disconnect::NO_PONG),
            Action::Ping(due) => {
                cx.hub.send(self.outbox, cx.rules.ping(self.wire()));
                if self.transport == Transport::Sse {
                    // Nothing comes back on this way: a lost client is noticed by the kernel.
                    self.heartbeat.heard(cx.now, cx.rules.rhythm);
                }
                due
            }
        };
        Ok(due.min(self.handshake_due).min(next_ack))
    }

    /// Sends the answer to a question, once it is known; `answer` is JSON.
    pub fn answer(&mut self, member: MemberId, reply_to: &ReplyTo, answer: &str, cx: &mut Context<'_>) {
        match reply_to {
            ReplyTo::SocketIo(id) => self.socketio_ack(member, *id, answer, cx),
            ReplyTo::Native(id) => self.native_answer(id, answer, cx),
        }
    }

    /// Sends an event to this session alone. Returns the way to its answer if it asks for one.
    ///
    /// # Errors
    /// When too many answers are awaited already.
    pub fn emit(
        &mut self,
        member: MemberId,
        event: &crate::hub::SessionEvent,
        cx: &mut Context<'_>,
    ) -> Result<Option<tokio::sync::oneshot::Receiver<String>>, Refusal> {
        let mut waiting = None;
        let mut id = None;
        if let Some(timeout) = event.ack_timeout {
            let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            let (new_id, receiver) = self.acks.expect(cx.now.saturating_add(ms))?;
            (id, waiting) = (Some(new_id), Some(receiver));
        }
        match self.dialect {
            Dialect::SocketIo(_) => self.socketio_emit(member, event, id, cx),
            Dialect::Native(_) => self.native_emit(event, id, cx),
            Dialect::Sse(_) => self.sse_emit(event, cx),
            Dialect::Raw(_) => {}
        }
        Ok(waiting)
    }

    /// Tells the client that the node is going away.
    pub fn warn_of_drain(&mut self, reconnect_after_ms: u64, cx: &mut Context<'_>) {
        let event = crate::hub::SessionEvent {
            name: "\"server.draining\"".to_owned(),
            args: format!("{{\"reconnect_after_ms\":{reconnect_after_ms}}}"),
            arity: 1,
            ack_timeout: None,
        };
        if let Dialect::Sse(dialect) = &mut self.dialect {
            dialect.come_back_after(reconnect_after_ms);
        }
        match &self.dialect {
            Dialect::SocketIo(dialect) => {
                for member in dialect.members() {
                    self.socketio_emit(member, &event, None, cx);
                }
            }
            Dialect::Native(_) => self.native_emit(&event, None, cx),
            Dialect::Sse(_) => self.sse_emit(&event, cx),
            Dialect::Raw(_) => {}
        }
    }

    /// Tells a client that it is not wanted, in its own dialect: a stock Socket.IO client reconnects after a closed
    /// transport, but not after a DISCONNECT packet.
    pub fn say_farewell(&self, disconnect: Disconnect, cx: &mut Context<'_>) {
        let unwanted = [Disconnect::KICKED, Disconnect::FLOOD, Disconnect::UNAUTHENTICATED, Disconnect::FORBIDDEN];
        if let Dialect::SocketIo(dialect) = &self.dialect
            && unwanted.contains(&disconnect)
        {
            for member in dialect.members() {
                self.socketio_farewell(member, cx);
            }
        }
    }

    /// Leaves all rooms. Nothing is said to the client: the transport does that.
    pub fn end(&mut self, hub: &mut Local) {
        match &mut self.dialect {
            Dialect::SocketIo(dialect) => {
                std::mem::take(dialect).members().into_iter().for_each(|member| hub.exit(member))
            }
            Dialect::Native(dialect) => {
                std::mem::take(dialect).member().into_iter().for_each(|member| hub.exit(member))
            }
            Dialect::Sse(dialect) => dialect.member().into_iter().for_each(|member| hub.exit(member)),
            Dialect::Raw(_) => {}
        }
    }

    fn wire(&self) -> Wire {
        match &self.dialect {
            Dialect::SocketIo(_) => Wire::SocketIo,
            Dialect::Native(dialect) if dialect.packed => Wire::MsgPack,
            Dialect::Native(_) => Wire::Json,
            Dialect::Sse(_) => Wire::Sse,
            Dialect::Raw(entrance) if entrance.framing == Framing::EngineIo => Wire::SocketIo,
            Dialect::Raw(_) => Wire::Json,
        }
    }

    /// Counts one packet against the session's rate. `Some`: it is above it, and this is what to answer.
    fn admit(&mut self, cx: &mut Context<'_>) -> Result<Option<Refusal>, Disconnect> {
        match self.packets.take(cx.now, 1, cx.rules.packets) {
            Ok(()) => {
                // Forgiven one by one, or a flood would be forgiven by the few packets that it gets through.
                self.refused = self.refused.saturating_sub(1);
                Ok(None)
            }
            Err(retry_after_ms) => {
                self.refused += 1;
                if self.refused > cx.rules.flood_tolerance {
                    return Err(Disconnect::FLOOD);
                }
                Ok(Some(Refusal::rate_limited("packets", retry_after_ms)))
            }
        }
    }

    /// Counts a packet that has no answer against the session's rate, whether it is obeyed or not.
    fn note(&mut self, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        self.admit(cx).map(drop)
    }

    /// Says whether it was not finished before.
    fn finish_handshake(&mut self) -> bool {
        std::mem::replace(&mut self.handshake_due, u64::MAX) != u64::MAX
    }

    fn count_refusal(refusal: &Refusal, cx: &Context<'_>) {
        cx.hub.stats().refusals[refusal.code as usize].add(1);
    }
}

/// A malformed packet ends the session: after it, nothing that the client says can be trusted to be what it meant.
fn disconnect_of(error: DecodeError) -> Disconnect {
    tracing::debug!(%error, "malformed packet");
    Disconnect::PROTOCOL
}
