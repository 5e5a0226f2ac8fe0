//! Messages without a vocabulary: an application of its own on Engine.IO, or on a bare WebSocket.

use super::{Context, Session, disconnect_of};
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
            self.raw_message(entrance, RawMessage::Text(text), cx);
            return Ok(());
        }
        match engineio::Packet::parse(text).map_err(disconnect_of)? {
            engineio::Packet::Message(text) => self.raw_message(entrance, RawMessage::Text(text), cx),
            engineio::Packet::Pong => self.heartbeat.heard(cx.now, cx.rules.rhythm),
            engineio::Packet::Close => return Err(Disconnect::CLIENT_CLOSED),
            engineio::Packet::Ping(data) => self.send_text(&format!("3{data}"), cx),
            engineio::Packet::Upgrade | engineio::Packet::Noop => {}
        }
        Ok(())
    }

    pub(super) fn raw_message(&self, entrance: &Entrance, message: RawMessage<'_>, cx: &mut Context<'_>) {
        let mut answers = RawAnswers { framing: entrance.framing, frames: Vec::new() };
        (entrance.handler)(message, &mut answers);
        for frame in answers.frames {
            cx.hub.send_bytes(self.outbox, frame);
        }
    }
}
