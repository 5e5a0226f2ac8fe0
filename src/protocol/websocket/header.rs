//! The header of a frame: RFC 6455 §5.2.

/// Longest header with a mask: 2 bytes, 8 of length, 4 of mask.
pub(super) const LENGTH_MAX: usize = 14;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with the message before it.
    Continuation,
    /// UTF-8 text.
    Text,
    /// Bytes.
    Binary,
    /// The end, with an optional code and reason.
    Close,
    /// To be answered with a pong of the same payload.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl Opcode {
    const fn code(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether this is a control frame (§5.5): short, never fragmented, may stand between fragments.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A decoded frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with this frame.
    pub fin: bool,
    /// Extension bits; no extension is negotiated, so any of them is an error.
    pub reserved: u8,
    /// `None` for the codes that the RFC reserves.
    pub opcode: Option<Opcode>,
    /// The client's mask; a frame without one is an error.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload that follow.
    pub payload_len: u64,
    /// Bytes of this header itself.
    pub header_len: usize,
}

impl Header {
    /// Decodes the header at the start of `bytes`; `None` when it is not whole yet.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else { return None };
        let (payload_len, length_bytes) = match second & 0x7f {
            126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
            127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
            short => (u64::from(short), 0),
        };
        let masked = second & 0x80 != 0;
        let mask = if masked { Some(*rest.get(length_bytes..)?.first_chunk()?) } else { None };
        Some(Self {
            fin: first & 0x80 != 0,
            reserved: first & 0x70,
            opcode: Opcode::from_code(first & 0x0f),
            mask,
            payload_len,
            header_len: 2 + length_bytes + 4 * usize::from(masked),
        })
    }
}

/// Length of the header of an unmasked frame.
#[must_use]
pub const fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..126 => 2,
        126..65_536 => 4,
        _ => 10,
    }
}

/// Appends the header of a whole, unmasked frame.
pub fn write_header(opcode: Opcode, payload_len: usize, out: &mut Vec<u8>) {
    out.push(0x80 | opcode.code());
    match payload_len {
        short @ 0..126 => out.push(short.to_le_bytes()[0]),
        126..65_536 => {
            out.push(126);
            out.extend_from_slice(&payload_len.to_be_bytes()[size_of::<usize>() - 2..]);
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload_len as u64).to_be_bytes());
        }
    }
}

/// Removes a client's mask in place (§5.3).
pub(super) fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    if mask == [0; 4] {
        return;
    }
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_rfc_6455_section_5_7() {
        let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let header = Header::parse(&hello).unwrap();
        assert_eq!((header.fin, header.opcode, header.payload_len), (true, Some(Opcode::Text), 5));
        let mut payload = hello[header.header_len..].to_vec();
        unmask(&mut payload, header.mask.unwrap());
        assert_eq!(payload, b"Hello");

        let mut unmasked = Vec::new();
        super::super::write_frame(Opcode::Text, b"Hello", &mut unmasked);
        assert_eq!(unmasked, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        for (len, expected) in [(256, &[0x82, 126, 1, 0][..]), (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0])] {
            let mut header = Vec::new();
            write_header(Opcode::Binary, len, &mut header);
            assert_eq!(header, expected);
            assert_eq!(header.len(), header_len(len));
        }
    }

    proptest! {
        #[test]
        fn agrees_with_tungstenite(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
            let theirs = FrameHeader::parse(&mut std::io::Cursor::new(&bytes));
            let ours = Header::parse(&bytes);
            if let Ok(Some((header, len))) = theirs {
                let ours = ours.expect("tungstenite found a whole header");
                prop_assert_eq!((ours.fin, ours.mask, ours.payload_len), (header.is_final, header.mask, len));
            } else if let Ok(None) = theirs {
                prop_assert!(ours.is_none());
            } else if let Some(ours) = ours {
                prop_assert!(ours.opcode.is_none(), "tungstenite refuses only reserved opcodes here");
            }
        }
    }
}
