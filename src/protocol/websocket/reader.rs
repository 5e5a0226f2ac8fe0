//! From the bytes of a connection to messages.

use super::Disconnect;
use super::header::{Header, LENGTH_MAX, Opcode, unmask};
use std::io::{self, ErrorKind, Read, Write};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// What a client sent, borrowed from the read buffer where possible.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole text message, valid UTF-8.
    Text(&'a str),
    /// A whole binary message.
    Binary(&'a [u8]),
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// The answer to a ping of ours.
    Pong,
    /// The client says goodbye.
    Close,
}

/// Bounds on what one message may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest message in bytes.
    pub message_bytes: usize,
    /// Most frames that one message may be cut into.
    pub fragments: u32,
}

/// The reading half of one WebSocket connection.
#[derive(Debug, Default)]
pub struct Reader {
    irregular: Option<Box<Irregular>>,
}

impl Reader {
    /// Takes the next message of `bytes` from `at` on, and advances `at`. `None`: everything is taken; what was not whole
    /// is kept inside.
    ///
    /// # Errors
    /// The reason with which the connection has to end; nothing can be read after it.
    pub fn next<'a>(
        &'a mut self,
        bytes: &'a mut [u8],
        at: &mut usize,
        limits: &Limits,
    ) -> Result<Option<Incoming<'a>>, Disconnect> {
        if self.irregular.as_ref().is_some_and(|irregular| irregular.at_boundary()) {
            self.irregular = None;
        }
        if *at == bytes.len() {
            return Ok(None);
        }
        if self.irregular.is_none()
            && let Some(header) = Header::parse(&bytes[*at..])
            && let Some((opcode, mask, len)) = regular(&header, bytes.len() - *at, limits)
        {
            let from = *at + header.header_len;
            *at = from + len;
            let payload = &mut bytes[from..from + len];
            unmask(payload, mask);
            return decode(opcode, payload).map(Some);
        }
        let irregular = self.irregular.get_or_insert_with(|| Box::new(Irregular::new(limits)));
        while *at < bytes.len() {
            *at += irregular.feed(&bytes[*at..], limits)?;
            if irregular.message.is_some() {
                return Ok(irregular.incoming());
            }
        }
        Ok(None)
    }
}

/// Whether the frame can be decoded in place: whole, a message of its own, nothing odd about it. Closes are left to
/// `tungstenite`, which knows the rules for codes and reasons.
fn regular(header: &Header, available: usize, limits: &Limits) -> Option<(Opcode, [u8; 4], usize)> {
    let opcode = header.opcode.filter(|o| !matches!(o, Opcode::Continuation | Opcode::Close))?;
    let longest = if opcode.is_control() { 125 } else { limits.message_bytes };
    let len = usize::try_from(header.payload_len).ok().filter(|len| *len <= longest)?;
    let whole = header.fin && header.reserved == 0 && available - header.header_len >= len;
    whole.then_some((opcode, header.mask?, len))
}

fn decode(opcode: Opcode, payload: &[u8]) -> Result<Incoming<'_>, Disconnect> {
    Ok(match opcode {
        Opcode::Text => Incoming::Text(std::str::from_utf8(payload).map_err(|_| Disconnect::INVALID_UTF8)?),
        Opcode::Binary | Opcode::Continuation => Incoming::Binary(payload),
        Opcode::Ping => Incoming::Ping(payload),
        Opcode::Pong => Incoming::Pong,
        Opcode::Close => Incoming::Close,
    })
}

/// A connection in the middle of something: `tungstenite` reads, we only keep track of where its frames end, so that
/// it can be dropped at the next boundary between messages.
#[derive(Debug)]
struct Irregular {
    context: WebSocketContext,
    message: Option<Message>,
    /// The part of a header that has come so far.
    head: [u8; LENGTH_MAX],
    head_len: usize,
    /// Payload of the current frame that has not come yet.
    payload_left: u64,
    /// Frames of the current message so far; 0 between messages.
    fragments: u32,
    /// Whether the current frame ends its message.
    ends_message: bool,
}

impl Irregular {
    fn new(limits: &Limits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_message_size(Some(limits.message_bytes))
            .max_frame_size(Some(limits.message_bytes));
        Self {
            context: WebSocketContext::new(Role::Server, Some(config)),
            message: None,
            head: [0; LENGTH_MAX],
            head_len: 0,
            payload_left: 0,
            fragments: 0,
            ends_message: false,
        }
    }

    fn at_boundary(&self) -> bool {
        self.head_len == 0 && self.payload_left == 0 && self.fragments == 0
    }

    /// Takes at most the rest of the current frame; returns how many bytes that was.
    fn feed(&mut self, rest: &[u8], limits: &Limits) -> Result<usize, Disconnect> {
        let taken = self.measure(rest, limits)?;
        let mut feed = Feed { input: &rest[..taken] };
        self.message = match self.context.read(&mut feed) {
            // A code that must not be sent has become "protocol error" in what `tungstenite` hands out.
            Ok(Message::Close(Some(close))) if close.code == CloseCode::Protocol => return Err(Disconnect::PROTOCOL),
            Ok(message) => Some(message),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => return Err(disconnect_of(&error)),
        };
        Ok(taken)
    }

    /// How many bytes of `rest` belong to the current frame.
    fn measure(&mut self, rest: &[u8], limits: &Limits) -> Result<usize, Disconnect> {
        let mut taken = 0;
        if self.payload_left == 0 {
            let room = rest.len().min(LENGTH_MAX - self.head_len);
            let had = self.head_len;
            self.head[had..had + room].copy_from_slice(&rest[..room]);
            let Some(header) = Header::parse(&self.head[..had + room]) else {
                self.head_len += room;
                return Ok(room);
            };
            self.head_len = 0;
            taken = header.header_len - had;
            self.payload_left = header.payload_len;
            if !header.opcode.is_some_and(Opcode::is_control) {
                self.fragments += 1;
                self.ends_message = header.fin;
                if self.fragments > limits.fragments {
                    return Err(Disconnect::TOO_LARGE);
                }
            }
        }
        let payload = self.payload_left.min((rest.len() - taken) as u64);
        self.payload_left -= payload;
        if self.payload_left == 0 && self.ends_message {
            self.fragments = 0;
            self.ends_message = false;
        }
        // `payload` is at most `rest.len()`.
        Ok(taken + usize::try_from(payload).unwrap_or(0))
    }

    fn incoming(&self) -> Option<Incoming<'_>> {
        Some(match self.message.as_ref()? {
            Message::Text(text) => Incoming::Text(text.as_str()),
            Message::Binary(bytes) => Incoming::Binary(bytes),
            Message::Ping(payload) => Incoming::Ping(payload),
            Message::Pong(_) => Incoming::Pong,
            Message::Close(_) | Message::Frame(_) => Incoming::Close,
        })
    }
}

/// Hands out a slice and then `WouldBlock`. The context's own replies are dropped: the session writes pongs and closes.
struct Feed<'a> {
    input: &'a [u8],
}

impl Read for Feed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.input.read(buffer)
    }
}

impl Write for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn disconnect_of(error: &Error) -> Disconnect {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Disconnect::TOO_LARGE,
        Error::Utf8(_) => Disconnect::INVALID_UTF8,
        _ => Disconnect::PROTOCOL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { message_bytes: 300, fragments: 8 };

    /// An owned copy of what was read, to compare.
    #[derive(Debug, PartialEq, Clone)]
    enum Seen {
        Text(String),
        Binary(Vec<u8>),
        Ping(Vec<u8>),
        Pong,
        Close,
        End(Disconnect),
    }

    fn own(incoming: &Incoming<'_>) -> Seen {
        match *incoming {
            Incoming::Text(text) => Seen::Text(text.into()),
            Incoming::Binary(bytes) => Seen::Binary(bytes.into()),
            Incoming::Ping(payload) => Seen::Ping(payload.into()),
            Incoming::Pong => Seen::Pong,
            Incoming::Close => Seen::Close,
        }
    }

    fn read_in_parts(stream: &[u8], cuts: &[usize]) -> (Vec<Seen>, Reader) {
        let (mut reader, mut seen, mut from) = (Reader::default(), Vec::new(), 0);
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
        ends.push(stream.len());
        ends.sort_unstable();
        for end in ends {
            let (mut part, mut at) = (stream[from..end].to_vec(), 0);
            from = end;
            loop {
                match reader.next(&mut part, &mut at, &LIMITS) {
                    Ok(Some(incoming)) => seen.push(own(&incoming)),
                    Ok(None) => break,
                    Err(disconnect) => {
                        seen.push(Seen::End(disconnect));
                        return (seen, reader);
                    }
                }
                if seen.last() == Some(&Seen::Close) {
                    return (seen, reader);
                }
            }
        }
        (seen, reader)
    }

    /// What `tungstenite` alone makes of the same bytes.
    fn read_by_tungstenite(stream: &[u8]) -> Vec<Seen> {
        let mut irregular = Irregular::new(&LIMITS);
        let (mut feed, mut seen) = (Feed { input: stream }, Vec::new());
        loop {
            match irregular.context.read(&mut feed) {
                Ok(Message::Close(Some(close))) if close.code == CloseCode::Protocol => {
                    seen.push(Seen::End(Disconnect::PROTOCOL));
                    return seen;
                }
                Ok(message) => {
                    irregular.message = Some(message);
                    seen.extend(irregular.incoming().as_ref().map(own));
                }
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return seen,
                Err(error) => {
                    seen.push(Seen::End(disconnect_of(&error)));
                    return seen;
                }
            }
            if seen.last() == Some(&Seen::Close) {
                return seen;
            }
        }
    }

    fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        super::super::write_header(Opcode::Text, payload.len(), &mut out);
        out[0] = first;
        if let Some(mask) = mask {
            out[1] |= 0x80;
            out.extend_from_slice(&mask);
        }
        let start = out.len();
        out.extend_from_slice(payload);
        unmask(&mut out[start..], mask.unwrap_or_default());
        out
    }

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![
            6 => Just(0x81u8), 3 => Just(0x82u8), 2 => Just(0x01u8), 1 => Just(0x02u8), 3 => Just(0x00u8),
            3 => Just(0x80u8), 2 => Just(0x89u8), 1 => Just(0x8au8), 1 => Just(0x88u8), 1 => any::<u8>()
        ];
        let mask = prop_oneof![20 => any::<[u8; 4]>().prop_map(Some), 1 => Just(None)];
        let payload = prop_oneof![
            8 => "[a-zé€]{0,40}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..40),
            1 => Just(vec![b'x'; 130]),
            1 => Just(vec![b'y'; 301]),
        ];
        (first, mask, payload).prop_map(|(first, mask, payload)| frame(first, mask, &payload))
    }

    proptest! {
        #[test]
        fn agrees_with_tungstenite_wherever_the_stream_is_cut(
            frames in prop::collection::vec(any_frame(), 0..7),
            cuts in prop::collection::vec(any::<usize>(), 0..6),
        ) {
            let stream = frames.concat();
            prop_assert_eq!(read_in_parts(&stream, &cuts).0, read_by_tungstenite(&stream));
        }

        #[test]
        fn never_panics(stream in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(any::<usize>(), 0..4)) {
            let _seen = read_in_parts(&stream, &cuts);
        }
    }

    #[test]
    fn the_state_machine_is_dropped_at_the_end_of_a_cut_message() {
        let stream = [frame(0x81, Some([1, 2, 3, 4]), b"cut"), frame(0x81, Some([1, 2, 3, 4]), b"whole")].concat();
        let (seen, reader) = read_in_parts(&stream, &[4]);
        assert_eq!(seen, [Seen::Text("cut".into()), Seen::Text("whole".into())]);
        assert!(reader.irregular.is_none());
    }

    #[test]
    fn a_message_in_endless_empty_fragments_is_cut_off() {
        let mut stream = frame(0x01, Some([0; 4]), b"");
        for _ in 0..20 {
            stream.extend(frame(0x00, Some([0; 4]), b""));
        }
        assert_eq!(read_in_parts(&stream, &[]).0, [Seen::End(Disconnect::TOO_LARGE)]);
    }

    #[test]
    fn an_oversized_frame_is_refused_before_its_payload_comes() {
        let header = &frame(0x82, Some([9; 4]), &[0; 301])[..8];
        assert_eq!(read_in_parts(header, &[]).0, [Seen::End(Disconnect::TOO_LARGE)]);
        assert_eq!(read_in_parts(header, &[3]).0, [Seen::End(Disconnect::TOO_LARGE)]);
    }
}
