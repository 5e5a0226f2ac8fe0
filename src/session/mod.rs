//! One client from handshake to goodbye: what it says, whether it may, and what it is answered.
//!
//! A session speaks a dialect: Socket.IO ([`socketio`]) or the plain protocol ([`native`]), which share a
//! [`vocabulary`]; an event stream ([`sse`]) only listens; and an application may have its own ([`raw`]). It knows no socket: bytes come in as decoded messages, and go out through the session's outbox.

pub mod ack;
mod admission;
mod application;
pub mod auth;
mod call;
mod calling;
mod cast;
mod context;
mod creation;
mod details;
mod joining;
mod later;
mod membership;
mod native;
mod native_words;
mod opening;
mod raw;
mod returning;
mod rules;
mod socketio;
mod speaking;
mod sse;
mod token;
mod user_rate;
mod vocabulary;

pub use crate::hub::ReplyTo;
pub use crate::limiter::rate as limit;
pub use admission::Admission;
pub use application::{Application, ConnectHandler, DisconnectHandler, Handler, Namespace, Rejection};
pub use auth::{Access, Claims, Look, RoomClaim, TokenKey};
pub use call::{Answer, Call};
pub use cast::To;
pub use context::{Context, Handshake, HandshakeDetails, Question, WhoIsThere};
pub use later::Later;
pub use raw::{Entrance, Framing, RawAnswers, RawHandler, RawMessage};
pub use returning::{IsBack, Returning};
pub use rules::Rules;
pub use token::{Purpose, Unproven};
pub use vocabulary::write_presence;

use self::{limit::Limit, membership::Leaving};
use crate::hub::{Identity, MemberId, OutboxId};
use crate::lifecycle;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::heartbeat::{Action, Heartbeat};
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::websocket::{Incoming, Limits, Opcode, write_close, write_frame};
use crate::protocol::{DecodeError, Transport, Wire};
use crate::telemetry::Throttle;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// One session.
#[derive(Debug)]
pub struct Session {
    outbox: OutboxId,
    transport: Transport,
    dialect: Dialect,
    heartbeat: Heartbeat,
    /// When the handshake has to be finished; `u64::MAX` once it is, until the last namespace is left.
    handshake_due: u64,
    packets: Limit,
    joins: Limit,
    creations: Limit,
    refused: u32,
    /// Whether a token of this session waits for its key.
    proving: bool,
    /// Whether its first CONNECT has been paid for.
    welcomed: bool,
    /// Whether it has been told that its token ends soon.
    warned: bool,
    /// Who the handshake said it is.
    identity: Option<Arc<Identity>>,
    acks: ack::Acks,
    /// What the application wants to know about it.
    details: Option<Box<details::Details>>,
    /// Counts the answers that come later.
    deferred: Option<Arc<()>>,
    /// Whose turn it is of its questions about presence.
    presence: Option<Arc<Semaphore>>,
    /// What it has published to rooms whose policies have a rate.
    published: Option<Box<vocabulary::Published>>,
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
        cx.hub.heard(self.outbox, incoming);
        match incoming {
            Incoming::Close => Err(Disconnect::CLIENT_CLOSED),
            Incoming::Pong => {
                if !matches!(self.wire(), Wire::SocketIo | Wire::SocketIoMsgPack) {
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
                Dialect::Raw(entrance) => self.raw_message(&Arc::clone(entrance), RawMessage::Binary(bytes), cx),
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
        let token_due = self.token_due(cx)?;
        let next_ack = self.acks.expire(cx.now, &cx.hub.stats().acks_timed_out);
        let due = match self.heartbeat.poll(cx.now, cx.rules.rhythm) {
            Action::Wait(due) => due,
            Action::Dead => return Err(Disconnect::NO_PONG),
            Action::Ping(due) => {
                cx.hub.send(self.outbox, cx.rules.ping(self.wire()));
                self.note_ping(cx);
                if self.transport == Transport::Sse {
                    // Nothing comes back on this way: a lost client is noticed by the kernel.
                    self.heartbeat.heard(cx.now, cx.rules.rhythm);
                }
                due
            }
        };
        Ok(due.min(self.handshake_due).min(next_ack).min(token_due))
    }

    /// Leaves all rooms. Nothing is said to the client: the transport does that.
    pub fn end(&mut self, disconnect: Disconnect, cx: &mut Context<'_>) {
        match &mut self.dialect {
            Dialect::SocketIo(dialect) => {
                let how = if disconnect.leaves_session() { Leaving::Lost } else { Leaving::Quietly };
                for member in dialect.members() {
                    self.leave_namespace(member, disconnect, how, cx);
                }
            }
            Dialect::Native(dialect) => {
                if let Some(member) = dialect.member() {
                    self.leave_namespace(member, disconnect, Leaving::Quietly, cx);
                }
            }
            Dialect::Sse(dialect) => {
                if let Some(member) = dialect.member() {
                    self.leave_namespace(member, disconnect, Leaving::Quietly, cx);
                }
            }
            Dialect::Raw(_) => {}
        }
    }

    /// Leaves one namespace at the application's word.
    pub fn expel(&mut self, member: MemberId, cx: &mut Context<'_>) {
        self.leave_namespace(member, Disconnect::KICKED, Leaving::Told, cx);
    }

    fn wire(&self) -> Wire {
        match &self.dialect {
            Dialect::SocketIo(dialect) => dialect.wire(),
            Dialect::Native(dialect) if dialect.packed => Wire::MsgPack,
            Dialect::Native(_) => Wire::Json,
            Dialect::Sse(_) => Wire::Sse,
            Dialect::Raw(entrance) if entrance.framing == Framing::EngineIo => Wire::SocketIo,
            Dialect::Raw(_) => Wire::Json,
        }
    }

    /// Counts one packet against the session's rate. `Some`: it is above it, and this is what to answer.
    fn admit(&mut self, cx: &mut Context<'_>) -> Result<Option<Refusal>, Disconnect> {
        if let Dialect::Raw(entrance) = &self.dialect
            && entrance.unlimited
        {
            return Ok(None);
        }
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

    fn finish_handshake(&mut self) {
        self.handshake_due = u64::MAX;
    }

    /// Whoever is nowhere has no token that could end, and nobody who could end him: he has to come in again in time.
    fn begin_handshake_again(&mut self, cx: &mut Context<'_>) {
        self.handshake_due = cx.now.saturating_add(cx.rules.handshake_timeout_ms);
        cx.questions.push(Question::Look(self.outbox));
    }

    /// Counts and logs that something has no form on the session's wire; the answer says so.
    fn unencodable(error: &DecodeError, cx: &Context<'_>) -> Refusal {
        static LOG: Mutex<Throttle> = Mutex::new(Throttle::new(UNENCODABLE_LINES_PER_SECOND));
        let refusal = Refusal::new(Code::Internal, "the answer has no form on this wire");
        Self::count_refusal(&refusal, cx);
        if let Some(left_out) = LOG.lock().unwrap_or_else(PoisonError::into_inner).admit(lifecycle::unix_millis()) {
            tracing::error!(%error, left_out, "a packet has no form in MessagePack");
        }
        refusal
    }

    fn count_refusal(refusal: &Refusal, cx: &Context<'_>) {
        cx.hub.stats().refusals[refusal.code as usize].add(1);
    }
}

/// Log lines a second about what has no form on a wire; the rest is counted.
const UNENCODABLE_LINES_PER_SECOND: u32 = 1;

/// A malformed packet ends the session: after it, nothing that the client says can be trusted to be what it meant.
fn disconnect_of(error: DecodeError) -> Disconnect {
    tracing::debug!(%error, "malformed packet");
    Disconnect::PROTOCOL
}
