//! Payloads of long-polling (<https://socket.io/docs/v4/engine-io-protocol/#http-long-polling-1>): packets with a
//! separator between them, binary ones as `b` and base64.
//!
//! What is said to a session waits as final WebSocket frames, whatever its transport: a poll's payload is made from
//! those, so nothing has to be encoded anew when a session moves to a WebSocket.

use super::DecodeError;
use super::websocket::{Header, Opcode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Between the packets of a payload.
pub const SEPARATOR: u8 = 0x1e;

/// Packets in one payload to a client; python-engineio refuses more.
pub const PACKETS_MAX: usize = 16;

/// A packet of a client's payload.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A text packet, with its type.
    Text(&'a str),
    /// A binary message.
    Binary(Vec<u8>),
}

/// A payload that is being made.
#[derive(Debug, Default)]
pub struct Payload {
    bytes: Vec<u8>,
    packets: usize,
}

impl Payload {
    /// Appends the packets of whole, final WebSocket frames, as many as there is room for. Returns how many of `frames`'
    /// bytes are in.
    pub fn append(&mut self, frames: &[u8], bytes_max: usize) -> usize {
        let mut taken = 0;
        while let Some((opcode, payload, len)) = split_frame(&frames[taken..]) {
            let full = self.packets >= PACKETS_MAX || self.bytes.len() + payload.len() > bytes_max;
            if full && self.packets > 0 {
                break;
            }
            match opcode {
                Opcode::Text => self.text(payload),
                Opcode::Binary => self.binary(payload),
                // Control frames are the WebSocket's own.
                Opcode::Continuation | Opcode::Close | Opcode::Ping | Opcode::Pong => {}
            }
            taken += len;
        }
        taken
    }

    /// Appends a text packet.
    pub fn text(&mut self, packet: &[u8]) {
        self.separate();
        self.bytes.extend_from_slice(packet);
    }

    fn binary(&mut self, message: &[u8]) {
        self.separate();
        let text = STANDARD.encode(message);
        self.bytes.reserve(text.len() + 1);
        self.bytes.push(b'b');
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn separate(&mut self) {
        if self.packets > 0 {
            self.bytes.push(SEPARATOR);
        }
        self.packets += 1;
    }

    /// Whether no packet is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// The body of the answer.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The first frame: its opcode, its payload, and its length as a whole.
fn split_frame(bytes: &[u8]) -> Option<(Opcode, &[u8], usize)> {
    let header = Header::parse(bytes)?;
    let end = header.header_len.checked_add(usize::try_from(header.payload_len).ok()?)?;
    Some((header.opcode?, bytes.get(header.header_len..end)?, end))
}

/// The packets of a client's payload, in order.
///
/// # Errors
/// [`DecodeError::Packet`] for text that is not UTF-8, an empty packet, or bad base64.
pub fn parts(payload: &[u8]) -> impl Iterator<Item = Result<Part<'_>, DecodeError>> {
    payload.split(|byte| *byte == SEPARATOR).map(|packet| match packet {
        [] => Err(DecodeError::Packet),
        [b'b', base64 @ ..] => STANDARD.decode(base64).map(Part::Binary).map_err(|_| DecodeError::Packet),
        text => std::str::from_utf8(text).map(Part::Text).map_err(|_| DecodeError::Packet),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::websocket::write_frame;
    use proptest::prelude::*;

    fn frames(packets: &[(Opcode, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        packets.iter().for_each(|(opcode, payload)| write_frame(*opcode, payload, &mut out));
        out
    }

    #[test]
    fn frames_become_packets_in_order() {
        let frames = frames(&[
            (Opcode::Text, b"42[\"a\"]"),
            (Opcode::Binary, &[1, 2, 3]),
            (Opcode::Ping, b""),
            (Opcode::Text, b"2"),
        ]);
        let mut payload = Payload::default();
        assert_eq!(payload.append(&frames, 1_000), frames.len());
        assert_eq!(payload.into_bytes(), b"42[\"a\"]\x1ebAQID\x1e2");
    }

    #[test]
    fn a_payload_is_bounded_but_takes_one_packet_of_any_size() {
        let twenty = frames(&[(Opcode::Text, &b"4x"[..]); 20]);
        let mut payload = Payload::default();
        assert_eq!(payload.append(&twenty, 1_000), twenty.len() / 20 * PACKETS_MAX);
        let large = frames(&[(Opcode::Text, &[b'x'; 500]), (Opcode::Text, b"4y")]);
        let mut payload = Payload::default();
        assert_eq!(payload.append(&large, 100), 504);
    }

    #[test]
    fn a_client_s_payload_is_split() {
        let read = |bytes| parts(bytes).collect::<Result<Vec<_>, _>>();
        assert_eq!(
            read(b"4hello\x1ebAQID\x1e3"),
            Ok(vec![Part::Text("4hello"), Part::Binary(vec![1, 2, 3]), Part::Text("3")])
        );
        for bad in [&b""[..], b"4a\x1e", b"b!", b"4\xff"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _taken = Payload::default().append(&bytes, 50);
            let _parts = parts(&bytes).count();
        }
    }
}
