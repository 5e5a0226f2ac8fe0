//! Reads server frames in place and writes client frames.
//!
//! A server's frames are unmasked, so a payload is a slice of the receive buffer. A client's
//! frames must carry a mask; the key is all zeroes, which is legal (RFC 6455 §5.3 only asks for a
//! key) and makes masking free.

use super::Failure;

/// Text frame.
pub(crate) const TEXT: u8 = 1;
/// Binary frame.
pub(crate) const BINARY: u8 = 2;
/// Close frame.
pub(crate) const CLOSE: u8 = 8;
/// WebSocket ping.
pub(crate) const PING: u8 = 9;
/// WebSocket pong.
pub(crate) const PONG: u8 = 10;

/// Where a frame's payload lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The frame's opcode.
    pub(crate) opcode: u8,
    /// Offset of the payload from the frame's first byte.
    pub(crate) start: usize,
    /// Offset of the byte after the payload.
    pub(crate) end: usize,
}

/// Reads the header at the start of `bytes`; `None` when it is not complete.
#[inline]
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>, Failure> {
    let [first, second, ..] = *bytes else {
        return Ok(None);
    };
    if first & 0xf0 != 0x80 || second & 0x80 != 0 {
        return Err(Failure::protocol("a fragmented, compressed or masked frame came from the server"));
    }
    let (start, length) = match second {
        126 => match bytes.get(2..4) {
            Some(length) => (4, usize::from(u16::from_be_bytes([length[0], length[1]]))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|b| <[u8; 8]>::try_from(b).ok()) {
            Some(length) => (10, u64::from_be_bytes(length) as usize),
            None => return Ok(None),
        },
        length => (2, usize::from(length)),
    };
    let opcode = first & 0x0f;
    let end = start + length;
    Ok(Some(Head { opcode, start, end }))
}

/// Appends the header of a masked client frame.
pub(crate) fn append_head(out: &mut Vec<u8>, opcode: u8, length: usize) {
    out.push(0x80 | opcode);
    match length {
        0..=125 => out.push(0x80 | length as u8),
        126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
}

/// Appends a whole client frame.
pub(crate) fn append(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    append_head(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_form_is_read() {
        for length in [0_usize, 125, 126, 65_535, 65_536] {
            let mut bytes = Vec::new();
            append_head(&mut bytes, TEXT, length);
            bytes[1] &= 0x7f; // as a server would write it: no mask bit, no key
            bytes.truncate(bytes.len() - 4);
            let start = bytes.len();
            for cut in 0..start {
                assert_eq!(head(&bytes[..cut]).unwrap(), None, "{length} cut at {cut}");
            }
            let end = start + length;
            let opcode = TEXT;
            assert_eq!(head(&bytes).unwrap(), Some(Head { opcode, start, end }));
        }
    }

    #[test]
    fn what_a_server_may_not_send_is_refused() {
        assert!(head(&[0x01, 0x00]).is_err(), "fragment");
        assert!(head(&[0xc1, 0x00]).is_err(), "compressed without negotiation");
        assert!(head(&[0x81, 0x80]).is_err(), "masked");
    }
}
