//! Knows what the two wires say: what a client sends to get into a room, and what the server's
//! texts other than deliveries mean.
//!
//! Deliveries never come here (they are recognised by their mark), so this may be leisurely.

use clap::ValueEnum;
use memchr::memmem;
use serde::Serialize;

use super::http::{Requests, Transport};
use crate::mark::Tag;

/// Which protocol the clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Wire {
    /// Socket.IO v5 over Engine.IO v4, WebSocket transport
    Socketio,
    /// plain WebSocket with JSON texts
    Json,
}

/// What every client of a run has in common.
#[derive(Clone, Debug)]
pub(crate) struct Dialect {
    /// The protocol.
    pub(crate) wire: Wire,
    /// What carries it.
    pub(crate) transport: Transport,
    /// First bytes of every mark of this run.
    pub(crate) tag: Tag,
    /// How each node is entered.
    pub(crate) doors: Vec<Door>,
    /// Ready-made Socket.IO CONNECT packet.
    pub(crate) connect: String,
    /// Whether clients keep what they need to come back to their sessions, as stock ones do.
    pub(crate) recovers: bool,
    /// What room names start with; the room's index follows.
    pub(crate) room_prefix: String,
}

/// How a node is entered.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// Ready-made upgrade request.
    pub(crate) upgrade: Vec<u8>,
    /// The requests of clients that have no WebSocket.
    pub(crate) requests: Requests,
}

/// What a text from the server means to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Engine.IO open packet.
    Open,
    /// Socket.IO CONNECT was accepted.
    Connected,
    /// The join was answered.
    Joined,
    /// A publish was acknowledged.
    Acked,
    /// Engine.IO ping.
    Ping,
    /// Something was refused or failed.
    Error,
    /// The server is about to close connections.
    Draining,
    /// Socket.IO DISCONNECT: the client is not wanted back.
    Disconnected,
    /// Anything else.
    Other,
}

impl Wire {
    /// Default path of this wire's endpoint.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Socketio => "/socket.io/?EIO=4&transport=websocket",
            Self::Json => "/ws",
        }
    }
}

impl Dialect {
    /// How a node is entered.
    pub(crate) fn door(&self, node: u32) -> &Door {
        &self.doors[node as usize]
    }

    /// The text that joins `room`; the answer carries id 0 (Socket.IO) or 1 (JSON).
    pub(crate) fn join(&self, room: u32) -> String {
        let room = self.room_name(room);
        match self.wire {
            Wire::Socketio => format!("420[\"joinRoom\",{{\"room\":\"{room}\"}}]"),
            Wire::Json => format!("{{\"id\":1,\"join\":\"{room}\"}}"),
        }
    }

    /// The name of the room with this index.
    pub(crate) fn room_name(&self, room: u32) -> String {
        format!("{}{room}", self.room_prefix)
    }

    /// The Socket.IO CONNECT packet.
    pub(crate) fn connect_packet(token: Option<&str>) -> String {
        token.map_or_else(|| "40".to_owned(), |token| format!("40{}", serde_json::json!({ "token": token })))
    }

    /// How long `server.draining` asks to wait before reconnecting, in milliseconds.
    pub(crate) fn reconnect_hint(text: &[u8]) -> u64 {
        const NAME: &[u8] = b"\"reconnect_after_ms\":";
        let Some(at) = memmem::find(text, NAME) else { return 0 };
        let digits = text[at + NAME.len()..].iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    }

    /// Classifies a text that carries no mark of this run.
    pub(crate) fn understand(&self, text: &[u8]) -> Said {
        match self.wire {
            Wire::Socketio => understand_socketio(text),
            Wire::Json => understand_json(text),
        }
    }
}

fn understand_socketio(text: &[u8]) -> Said {
    match text {
        [b'2'] => Said::Ping,
        [b'0', ..] => Said::Open,
        [b'4', b'0', ..] => Said::Connected,
        [b'4', b'1', ..] => Said::Disconnected,
        [b'4', b'4', ..] => Said::Error,
        [b'4', b'3', rest @ ..] => {
            let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
            if has(&rest[digits..], b"{\"error\"") {
                Said::Error
            } else if rest[..digits] == *b"0" {
                Said::Joined
            } else {
                Said::Acked
            }
        }
        _ if text.starts_with(b"42[\"joined\"") => Said::Joined,
        _ if text.starts_with(b"42[\"error\"") => Said::Error,
        _ if text.starts_with(b"42[\"server.draining\"") => Said::Draining,
        _ => Said::Other,
    }
}

fn understand_json(text: &[u8]) -> Said {
    if text.starts_with(b"{\"error\"") || (text.starts_with(b"{\"id\"") && has(text, b"\"error\"")) {
        Said::Error
    } else if text.starts_with(b"{\"id\":1,") || text.starts_with(b"{\"event\":\"joined\"") {
        Said::Joined
    } else if text.starts_with(b"{\"id\":") {
        Said::Acked
    } else if text.starts_with(b"{\"event\":\"error\"") {
        Said::Error
    } else if text.starts_with(b"{\"event\":\"server.draining\"") {
        Said::Draining
    } else {
        Said::Other
    }
}

fn has(text: &[u8], needle: &[u8]) -> bool {
    memmem::find(&text[..text.len().min(256)], needle).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn socketio_texts_are_told_apart() {
        let cases: [(&str, Said); 11] = [
            ("2", Said::Ping),
            ("0{\"sid\":\"a\"}", Said::Open),
            ("40{\"sid\":\"a\"}", Said::Connected),
            ("44{\"message\":\"no\"}", Said::Error),
            ("430[{\"room\":\"room-1\",\"members\":2}]", Said::Joined),
            ("430[{\"error\":{\"code\":\"room-forbidden\"}}]", Said::Error),
            ("4310000001[{\"room\":\"room-1\"}]", Said::Acked),
            ("42[\"joined\",{}]", Said::Joined),
            ("42[\"cursor\",{}]", Said::Other),
            ("42[\"server.draining\",{\"reconnect_after_ms\":250}]", Said::Draining),
            ("41", Said::Disconnected),
        ];
        for (text, said) in cases {
            assert_eq!(understand_socketio(text.as_bytes()), said, "{text}");
        }
    }

    #[test]
    fn the_hint_is_read_on_both_wires() {
        for text in [
            "42[\"server.draining\",{\"reconnect_after_ms\":250}]",
            "{\"event\":\"server.draining\",\"data\":{\"reconnect_after_ms\":250}}",
        ] {
            assert_eq!(Dialect::reconnect_hint(text.as_bytes()), 250);
        }
        assert_eq!(Dialect::reconnect_hint(b"42[\"server.draining\",{}]"), 0);
    }

    #[test]
    fn json_texts_are_told_apart() {
        let cases: [(&str, Said); 5] = [
            ("{\"hello\":{\"sid\":\"a\"}}", Said::Other),
            ("{\"id\":1,\"ok\":{\"room\":\"room-1\"}}", Said::Joined),
            ("{\"id\":1,\"error\":{\"code\":\"room-forbidden\"}}", Said::Error),
            ("{\"id\":10000001,\"ok\":{}}", Said::Acked),
            ("{\"error\":{\"code\":\"rate-limited\"}}", Said::Error),
        ];
        for (text, said) in cases {
            assert_eq!(understand_json(text.as_bytes()), said, "{text}");
        }
    }
}
