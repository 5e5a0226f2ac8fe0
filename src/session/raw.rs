//! Messages without a vocabulary: an application of its own on Engine.IO, or on a bare WebSocket.

use super::{Context, Session, disconnect_of};
use crate::hub::Sid;
use crate::lifecycle;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::engineio;
use crate::protocol::websocket::{Limits, Opcode, write_header};
use std::sync::Arc;

/// What an application does with a message: it may answer with any number of others, at once.
pub type RawHandler = Arc<dyn Fn(RawMessage<'_>, &mut RawAnswers) + Send + Sync>;

/// An address at which an application of its own answers.
#[derive(Clone)]
pub struct Entrance {
    /// Path of the address.
    pub path: String,
    /// What the messages travel in.
    pub framing: Framing,
    /// Bounds on one message.
    pub limits: Limits,
    /// Whether its messages are not counted against the rate of packets. Otherwise one above it is left out and counted, and a
    /// flood of them ends the session.
    pub unlimited: bool,
    /// Whether clients come here without a token even if the server asks for tokens elsewhere. Otherwise a session ends with its
    /// token, and within a ping interval of its revocation.
    pub open: bool,
    /// What happens with a message.
    pub handler: RawHandler,
}

impl std::fmt::Debug for Entrance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entrance").field("path", &self.path).field("framing", &self.framing).finish_non_exhaustive()
    }
}

/// What the messages of an [`Entrance`] travel in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Engine.IO packets, over long-polling or WebSocket.
    EngineIo,
    /// WebSocket messages.
    WebSocket,
}

/// A message of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawMessage<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// What is said to the client.
#[derive(Debug)]
pub struct RawAnswers {
    framing: Framing,
    frames: Vec<Vec<u8>>,
}

impl RawAnswers {
    /// Says something to the client.
    pub fn send(&mut self, message: RawMessage<'_>) {
        let (opcode, digit, payload) = match (message, self.framing) {
            (RawMessage::Text(text), Framing::EngineIo) => (Opcode::Text, &b"4"[..], text.as_bytes()),
            (RawMessage::Text(text), Framing::WebSocket) => (Opcode::Text, &b""[..], text.as_bytes()),
            (RawMessage::Binary(bytes), _) => (Opcode::Binary, &b""[..], bytes),
        };
        let mut frame = Vec::with_capacity(payload.len() + 12);
        write_header(opcode, digit.len() + payload.len(), &mut frame);
        frame.extend_from_slice(digit);
        frame.extend_from_slice(payload);
        self.frames.push(frame);
    }
}

impl Session {
    pub(super) fn raw_text(&mut self, entrance: &Entrance, text: &str, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        if entrance.framing == Framing::WebSocket {
            return self.raw_message(entrance, RawMessage::Text(text), cx);
        }
        match engineio::Packet::parse(text).map_err(disconnect_of)? {
            engineio::Packet::Message(text) => return self.raw_message(entrance, RawMessage::Text(text), cx),
            engineio::Packet::Pong => self.heartbeat.heard(cx.now, cx.rules.rhythm),
            engineio::Packet::Close => return Err(Disconnect::CLIENT_CLOSED),
            engineio::Packet::Ping(data) => {
                if self.admit(cx)?.is_none() {
                    self.send_text(&format!("3{data}"), cx);
                }
            }
            engineio::Packet::Upgrade | engineio::Packet::Noop => self.note(cx)?,
        }
        Ok(())
    }

    pub(super) fn raw_message(
        &mut self,
        entrance: &Entrance,
        message: RawMessage<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), Disconnect> {
        let refused = self.admit(cx)?;
        let is_counted = !entrance.unlimited && refused.is_none();
        let of_user = is_counted.then(|| Self::may_say_as(self.identity.as_deref(), cx)).flatten();
        if let Some(refusal) = refused.or(of_user) {
            // There are no words here in which a client could be told.
            Self::count_refusal(&refusal, cx);
            return Ok(());
        }
        let mut answers = RawAnswers { framing: entrance.framing, frames: Vec::new() };
        (entrance.handler)(message, &mut answers);
        for frame in answers.frames {
            cx.hub.send_bytes(self.outbox, frame);
        }
        Ok(())
    }

    /// Greets a client, if it may be here: a token may have been revoked on the way.
    pub(super) fn raw_open(&mut self, entrance: &Entrance, sid: Sid, cx: &mut Context<'_>) {
        self.finish_handshake();
        if self.identity.is_none() && !entrance.open && !cx.rules.access.is_open() {
            return cx.hub.close(self.outbox, Disconnect::UNAUTHENTICATED);
        }
        if entrance.framing == Framing::EngineIo {
            self.engineio_open(sid, cx);
        }
    }

    /// Ends the session with its token. Returns when to look again.
    pub(super) fn raw_token_due(&self, cx: &Context<'_>) -> Result<u64, Disconnect> {
        let Some(identity) = &self.identity else { return Ok(u64::MAX) };
        let left = identity.expires_at.map(|at| at.saturating_sub(lifecycle::unix_millis()));
        if left == Some(0) {
            return Err(Disconnect::TOKEN_EXPIRED);
        }
        if !cx.rules.access.still_holds(identity) {
            return Err(Disconnect::TOKEN_REVOKED);
        }
        Ok(left.map_or(u64::MAX, |left| cx.now.saturating_add(left)))
    }
}
