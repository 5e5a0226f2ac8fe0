//! WebSocket frames (RFC 6455): written by us, read by us when regular, by `tungstenite` when not.
//!
//! A server's frames are unmasked, so the final bytes of a frame serve every recipient. What clients send is almost
//! always whole, unfragmented frames: [`Reader`] decodes those in place, in the worker's scratch buffer, without a copy.
//! Anything else (a frame cut by the end of a read, a fragmented message, a broken frame) goes to `tungstenite`'s state
//! machine, which exists only as long as it is needed, so an idle connection owns no buffer at all.

mod header;
mod reader;

pub use header::{Header, Opcode, header_len, write_header};
pub use reader::{Incoming, Limits, Reader};

use super::disconnect::Disconnect;

/// Appends a whole unmasked frame.
pub fn write_frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    out.reserve(payload.len() + header_len(payload.len()));
    write_header(opcode, payload.len(), out);
    out.extend_from_slice(payload);
}

/// Appends the close frame of `disconnect`. Nothing for [`Disconnect::CONNECTION_LOST`], which is never sent.
pub fn write_close(disconnect: Disconnect, out: &mut Vec<u8>) {
    if disconnect == Disconnect::CONNECTION_LOST {
        return;
    }
    write_header(Opcode::Close, 2 + disconnect.reason.len(), out);
    out.extend_from_slice(&disconnect.code.to_be_bytes());
    out.extend_from_slice(disconnect.reason.as_bytes());
}
