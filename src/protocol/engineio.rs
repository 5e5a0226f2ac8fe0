//! Engine.IO v4 packets as text messages (<https://socket.io/docs/v4/engine-io-protocol/>): a digit and its data. Binary
//! messages have no digit on a WebSocket.

use super::DecodeError;
use std::fmt::Write as _;

/// A text packet from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The client closes the transport.
    Close,
    /// A ping of the client; on WebSocket only the probe of an upgrade (`probe`).
    Ping(&'a str),
    /// The answer to our ping.
    Pong,
    /// A packet of the layer above.
    Message(&'a str),
    /// The client finishes an upgrade.
    Upgrade,
    /// Keeps a transport alive; nothing to do.
    Noop,
}

/// The frame payload of our ping.
pub const PING: &[u8] = b"2";

impl<'a> Packet<'a> {
    /// Decodes one text packet.
    ///
    /// # Errors
    /// When the type is unknown, or one that only a server sends.
    pub fn parse(text: &'a str) -> Result<Self, DecodeError> {
        let kind = text.as_bytes().first().ok_or(DecodeError::PacketType)?;
        // A first byte that is one of the digits is a character of its own.
        let data = |skip| text.get(skip..).unwrap_or_default();
        Ok(match kind {
            b'1' => Self::Close,
            b'2' => Self::Ping(data(1)),
            b'3' => Self::Pong,
            b'4' => Self::Message(data(1)),
            b'5' => Self::Upgrade,
            b'6' => Self::Noop,
            _ => return Err(DecodeError::PacketType),
        })
    }
}

/// The handshake that a server opens with; times in milliseconds, `max_payload` in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Open<'a> {
    /// The Engine.IO session.
    pub sid: &'a str,
    /// Whether the client may move to a WebSocket: not if it has one already.
    pub may_upgrade: bool,
    /// How often the server pings.
    pub ping_interval_ms: u64,
    /// How long it waits for the pong.
    pub ping_timeout_ms: u64,
    /// Largest payload it accepts.
    pub max_payload: usize,
}

impl Open<'_> {
    /// The whole packet.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(128);
        let upgrades = if self.may_upgrade { "\"websocket\"" } else { "" };
        let _infallible = write!(
            out,
            r#"0{{"sid":"{}","upgrades":[{upgrades}],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
            self.sid, self.ping_interval_ms, self.ping_timeout_ms, self.max_payload
        );
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_packets_of_the_specification() {
        assert_eq!(Packet::parse("4hello"), Ok(Packet::Message("hello")));
        assert_eq!(Packet::parse("2probe"), Ok(Packet::Ping("probe")));
        assert_eq!(Packet::parse("3"), Ok(Packet::Pong));
        assert_eq!(Packet::parse("1"), Ok(Packet::Close));
        assert_eq!(Packet::parse("5"), Ok(Packet::Upgrade));
        for bad in ["", "0{}", "7", "abc", "é"] {
            assert_eq!(Packet::parse(bad), Err(DecodeError::PacketType), "{bad}");
        }
    }

    #[test]
    fn the_open_packet_has_the_five_keys() {
        let open = Open {
            sid: "lv_VI97HAXpY6yYWAAAC",
            may_upgrade: true,
            ping_interval_ms: 25_000,
            ping_timeout_ms: 20_000,
            max_payload: 1_000_000,
        };
        assert_eq!(
            open.encode(),
            r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            let _packet = Packet::parse(&text);
        }
    }
}
