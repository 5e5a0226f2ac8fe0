//! What a session says and hears, for an operator who watches it. Nobody waits for the operator: what does not fit into
//! the queue is counted and left out.

use super::address::Sid;
use super::local::Local;
use super::outbox::OutboxId;
use crate::lifecycle;
use crate::metrics::NodeStats;
use crate::protocol::Wire;
use crate::protocol::websocket::{Header, Incoming, Opcode};
use std::sync::Arc;
use tokio::sync::mpsc::{self, error::TrySendError};

/// Bytes of each message that are shown.
const TAP_PREFIX_BYTES: usize = 4 * 1024;

/// Whether a session said something or was told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The client said it.
    In,
    /// The client is told it.
    Out,
}

/// What kind of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TapKind {
    /// Text.
    Text,
    /// Binary.
    Binary,
    /// A ping of the WebSocket protocol.
    Ping,
    /// A pong of the WebSocket protocol.
    Pong,
    /// A goodbye.
    Close,
}

/// One message of a session that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapRecord {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Which way it went.
    pub direction: Direction,
    /// The encoding of the session.
    pub wire: Wire,
    /// What it is.
    pub kind: TapKind,
    /// How long it is.
    pub bytes: usize,
    /// How it begins: all of it, unless it is long.
    pub prefix: Box<[u8]>,
    /// How many messages before it were left out.
    pub missed: u64,
}

/// The sessions of a worker that are watched: none, nearly always.
#[derive(Debug)]
pub(super) struct Taps {
    taps: Vec<Tap>,
    stats: Arc<NodeStats>,
}

#[derive(Debug)]
struct Tap {
    outbox: OutboxId,
    sender: mpsc::Sender<TapRecord>,
    missed: u64,
}

impl Taps {
    pub(super) fn new(stats: Arc<NodeStats>) -> Self {
        Self { taps: Vec::new(), stats }
    }

    /// Whether any session is watched.
    pub(super) fn any(&self) -> bool {
        !self.taps.is_empty()
    }

    pub(super) fn add(&mut self, outbox: OutboxId, sender: mpsc::Sender<TapRecord>) {
        self.taps.retain(|tap| !tap.sender.is_closed());
        self.taps.push(Tap { outbox, sender, missed: 0 });
    }

    /// A session has ended.
    pub(super) fn remove(&mut self, outbox: OutboxId) {
        self.taps.retain(|tap| tap.outbox != outbox);
    }

    /// A client said something.
    pub(super) fn hear(&mut self, outbox: OutboxId, wire: Wire, incoming: &Incoming<'_>) {
        let (kind, bytes) = match incoming {
            Incoming::Text(text) => (TapKind::Text, text.as_bytes()),
            Incoming::Binary(bytes) => (TapKind::Binary, &**bytes),
            Incoming::Ping(bytes) => (TapKind::Ping, &**bytes),
            Incoming::Pong => (TapKind::Pong, &[][..]),
            Incoming::Close => (TapKind::Close, &[][..]),
        };
        self.record(outbox, (Direction::In, wire, kind), bytes);
    }

    /// Final bytes are queued for a client: one WebSocket frame, or several.
    pub(super) fn tell(&mut self, outbox: OutboxId, wire: Wire, mut bytes: &[u8]) {
        if !self.taps.iter().any(|tap| tap.outbox == outbox) {
            return;
        }
        while !bytes.is_empty() {
            let (kind, payload, rest) =
                if wire == Wire::Sse { None } else { next_frame(bytes) }.unwrap_or((TapKind::Text, bytes, &[]));
            self.record(outbox, (Direction::Out, wire, kind), payload);
            bytes = rest;
        }
    }

    fn record(&mut self, outbox: OutboxId, (direction, wire, kind): (Direction, Wire, TapKind), bytes: &[u8]) {
        let stats = &self.stats;
        self.taps.retain_mut(|tap| {
            if tap.outbox != outbox {
                return true;
            }
            let at_ms = lifecycle::unix_millis();
            let prefix = bytes[..bytes.len().min(TAP_PREFIX_BYTES)].into();
            let record = TapRecord { at_ms, direction, wire, kind, bytes: bytes.len(), prefix, missed: tap.missed };
            match tap.sender.try_send(record) {
                Ok(()) => tap.missed = 0,
                Err(TrySendError::Full(_)) => {
                    tap.missed += 1;
                    stats.tap_missed.add_shared(1);
                }
                Err(TrySendError::Closed(_)) => return false,
            }
            true
        });
    }
}

/// The first frame of what a server sends: its kind, its payload, and what is behind it.
fn next_frame(bytes: &[u8]) -> Option<(TapKind, &[u8], &[u8])> {
    let header = Header::parse(bytes)?;
    let kind = match header.opcode? {
        Opcode::Text | Opcode::Continuation => TapKind::Text,
        Opcode::Binary => TapKind::Binary,
        Opcode::Ping => TapKind::Ping,
        Opcode::Pong => TapKind::Pong,
        Opcode::Close => TapKind::Close,
    };
    let end = header.header_len.checked_add(usize::try_from(header.payload_len).ok()?)?;
    Some((kind, bytes.get(header.header_len..end)?, bytes.get(end..)?))
}

impl Local {
    /// Lets somebody watch the session of this id. Says whether there is one.
    pub fn tap(&mut self, sid: Sid, sender: mpsc::Sender<TapRecord>) -> bool {
        let Some((_, id)) = self.find(sid) else { return false };
        self.taps.add(id, sender);
        true
    }

    /// Shows what a client said to those who watch its session.
    pub fn heard(&mut self, id: OutboxId, incoming: &Incoming<'_>) {
        if self.taps.any()
            && let Some(outbox) = self.outboxes.get(id.0 as usize)
        {
            self.taps.hear(id, outbox.wire, incoming);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::websocket::write_frame;

    const WATCHED: OutboxId = OutboxId(7);

    fn taps(queue: usize) -> (Taps, mpsc::Receiver<TapRecord>) {
        let (sender, receiver) = mpsc::channel(queue);
        let mut taps = Taps::new(Arc::default());
        taps.add(WATCHED, sender);
        (taps, receiver)
    }

    #[test]
    fn each_message_of_the_watched_session_is_shown_and_no_other() {
        let (mut taps, mut shown) = taps(10);
        let mut frames = Vec::new();
        write_frame(Opcode::Text, b"one", &mut frames);
        write_frame(Opcode::Binary, &[1; 5_000], &mut frames);
        taps.tell(WATCHED, Wire::Json, &frames);
        taps.tell(OutboxId(8), Wire::Json, &frames);
        taps.hear(WATCHED, Wire::Json, &Incoming::Text("said"));
        taps.hear(OutboxId(8), Wire::Json, &Incoming::Text("other"));
        let shown: Vec<_> = std::iter::from_fn(|| shown.try_recv().ok()).collect();
        let parts: Vec<_> = shown.iter().map(|one| (one.direction, one.kind, one.bytes, one.prefix.len())).collect();
        assert_eq!(
            parts,
            [
                (Direction::Out, TapKind::Text, 3, 3),
                (Direction::Out, TapKind::Binary, 5_000, TAP_PREFIX_BYTES),
                (Direction::In, TapKind::Text, 4, 4)
            ]
        );
    }

    #[test]
    fn what_does_not_fit_is_counted_and_whoever_is_gone_is_forgotten() {
        let (mut taps, mut shown) = taps(1);
        for text in ["a", "b", "c"] {
            taps.hear(WATCHED, Wire::Json, &Incoming::Text(text));
        }
        assert_eq!((shown.try_recv().unwrap().missed, taps.stats.tap_missed.get()), (0, 2));
        taps.hear(WATCHED, Wire::Json, &Incoming::Text("d"));
        assert_eq!(shown.try_recv().unwrap().missed, 2);
        drop(shown);
        taps.hear(WATCHED, Wire::Json, &Incoming::Text("e"));
        assert!(!taps.any());
    }

    #[test]
    fn a_session_that_ends_ends_its_tap() {
        let (mut taps, mut shown) = taps(1);
        taps.remove(WATCHED);
        assert!(!taps.any());
        assert_eq!(shown.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
    }

    #[test]
    fn bytes_that_are_no_frames_are_shown_as_they_are() {
        let (mut taps, mut shown) = taps(10);
        for bytes in [&b"\x81"[..], b"\x81\x7e", b"\x83\x01a", b"\x81\x05ab"] {
            taps.tell(WATCHED, Wire::Json, bytes);
            assert_eq!(&*shown.try_recv().unwrap().prefix, bytes);
        }
        taps.tell(WATCHED, Wire::Sse, b"data: 1\n\n");
        assert_eq!(&*shown.try_recv().unwrap().prefix, b"data: 1\n\n");
    }
}
