//! Bytes ⇄ packets: everything that is said on a wire, and nothing that waits.
//!
//! | layer | in | out |
//! |---|---|---|
//! | [`websocket`] | bytes of a connection | text, binary, ping, pong, close |
//! | [`payload`] | body of a poll or a post | packets, text or binary |
//! | [`sse`] | | an event stream's chunks |
//! | [`engineio`] | text | open, ping, pong, message, … |
//! | [`socketio`], [`native`] | message | connect, event, ack; join, publish, … |
//! | [`socketio_msgpack`] | binary message | the same packets |
//! | [`envelope`] | what another node said | a broadcast, a request, an answer; and back |
//! | [`peers`] | what another roomcast node said | how it is, a question, an answer; and back |
//! | [`event`] | name and raw JSON arguments | a frame: the final bytes, encoded once per wire |
//!
//! # Invariants
//! - No clock, no socket, no lock, no task: `now` is an argument where time matters ([`heartbeat`]).
//! - Decoding borrows from the input; lengths are checked before anything is allocated.
//! - No input panics; the fuzz targets and the property tests hold that.

pub mod arguments;
pub mod disconnect;
pub mod engineio;
pub mod envelope;
pub mod event;
pub mod header;
pub mod heartbeat;
pub mod json;
pub mod msgpack;
pub mod name;
pub mod native;
mod notepack;
pub mod offset;
mod pack;
pub mod pattern;
pub mod payload;
pub mod peers;
pub mod problem;
pub mod refusal;
pub mod request;
pub mod socketio;
pub mod socketio_msgpack;
pub mod sse;
pub mod utc;
pub mod websocket;

/// Why some input could not be decoded. Carries no text of the peer's: it is safe to log and to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The text is not JSON, or not the JSON that belongs there.
    #[error("malformed JSON")]
    Json,
    /// Arrays and objects are nested deeper than the limit.
    #[error("JSON is nested too deeply")]
    Depth,
    /// The packet type is not one of the protocol's, or not allowed from a client.
    #[error("unknown or unexpected packet type")]
    PacketType,
    /// A part of the packet has the wrong form.
    #[error("malformed packet")]
    Packet,
    /// A packet promises more attachments than the limit allows.
    #[error("too many attachments")]
    Attachments,
    /// A placeholder names an attachment that the packet does not have.
    #[error("placeholder without attachment")]
    Placeholder,
    /// The bytes are not MessagePack, or use a type that has no JSON counterpart.
    #[error("malformed MessagePack")]
    MsgPack,
    /// A payload, or a list in it, is longer than the limit.
    #[error("longer than the limit")]
    Size,
}

/// The encoding a session speaks. Frames are encoded once per wire and shared by every recipient of that wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wire {
    /// Socket.IO v5 packets in Engine.IO v4 messages.
    SocketIo,
    /// The plain protocol, JSON in text frames.
    Json,
    /// The plain protocol, MessagePack in binary frames.
    MsgPack,
    /// Server-sent events.
    Sse,
    /// Socket.IO v5 packets as MessagePack maps, one in each Engine.IO message: `socket.io-msgpack-parser`.
    SocketIoMsgPack,
}

impl Wire {
    /// How many wires there are; the size of per-wire tables.
    pub const COUNT: usize = 5;
    /// Every wire, in the order of [`Wire::index`].
    pub const ALL: [Self; Self::COUNT] = [Self::SocketIo, Self::Json, Self::MsgPack, Self::Sse, Self::SocketIoMsgPack];

    /// Position of this wire in per-wire tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::SocketIo => "socketio",
            Self::Json => "json",
            Self::MsgPack => "msgpack",
            Self::Sse => "sse",
            Self::SocketIoMsgPack => "socketio-msgpack",
        }
    }
}

/// How a session's bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A WebSocket.
    WebSocket,
    /// Long-polling: a request waits for what the server says.
    Polling,
    /// Server-sent events: an answer without an end.
    Sse,
}

impl Transport {
    /// How many transports there are.
    pub const COUNT: usize = 3;
    /// Every transport, in the order of [`Transport::index`].
    pub const ALL: [Self; Self::COUNT] = [Self::WebSocket, Self::Polling, Self::Sse];

    /// Position in per-transport tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name in Engine.IO's query string, and the metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Polling => "polling",
            Self::Sse => "sse",
        }
    }
}
