//! A session that polls: at most one request waits for what the server says, and at most one brings what the client says.

use super::socket::Socket;
use crate::hub::{Local, OutboxId, Sid};
use crate::protocol::disconnect::Disconnect;
use crate::protocol::payload::Payload;
use bytes::Bytes;
use std::io::IoSlice;
use tokio::sync::oneshot;

/// Bytes in one payload; a packet that is larger goes alone. The kernel takes as much from a client that polls and does not
/// read, so it bounds what such a one costs.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// What a poll is answered with.
#[derive(Debug)]
pub enum Polled {
    /// Packets.
    Payload(Bytes),
    /// The poll makes no sense.
    Refused(Refusal),
}

/// Why a request of a session that polls is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such session, or none that polls.
    Unknown,
    /// It broke the protocol.
    Bad,
}

/// The transport of a session that polls.
#[derive(Debug)]
pub(super) struct Polling {
    /// The id in the requests' query string.
    pub(super) sid: Sid,
    waiting: Option<oneshot::Sender<Polled>>,
    /// Whether the body of a POST is on its way.
    pub(super) posting: bool,
    /// A WebSocket that may become this session's transport.
    pub(super) candidate: Option<Socket>,
    /// When the candidate is given up.
    pub(super) upgrade_due: u64,
    /// When a waiting poll is ended for the candidate's sake.
    pub(super) release_due: u64,
    goodbye: Option<Disconnect>,
}

impl Polling {
    pub(super) fn new(sid: Sid) -> Self {
        Self {
            sid,
            waiting: None,
            posting: false,
            candidate: None,
            upgrade_due: u64::MAX,
            release_due: u64::MAX,
            goodbye: None,
        }
    }

    /// A poll comes. False when one waits already: the protocol allows one at a time.
    pub(super) fn wait(&mut self, reply: oneshot::Sender<Polled>) -> bool {
        let alone = !self.is_awaited();
        if alone {
            self.waiting = Some(reply);
        } else {
            answer(Some(reply), Polled::Refused(Refusal::Bad));
        }
        alone
    }

    /// Whether a poll waits.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.as_ref().is_some_and(|reply| !reply.is_closed())
    }

    /// Answers the waiting poll with what is queued; without a poll everything waits.
    pub(super) fn flush(&mut self, id: OutboxId, hub: &mut Local) {
        let mut payload = Payload::default();
        if self.is_awaited() {
            take(&mut payload, id, hub);
        }
        if payload.is_empty() {
            hub.wrote(id, 0, !self.is_awaited());
        } else {
            answer(self.waiting.take(), Polled::Payload(payload.into_bytes().into()));
            hub.wrote(id, 0, true);
        }
    }

    /// Ends the waiting poll with a packet of the transport's own: a noop, so that the client can move on.
    pub(super) fn release(&mut self, packet: &'static [u8]) {
        answer(self.waiting.take(), Polled::Payload(Bytes::from_static(packet)));
    }

    /// Says goodbye: what is queued, then a close packet, as soon as a poll is there to hear it. True when it was heard, or
    /// never will be.
    pub(super) fn say_goodbye(&mut self, disconnect: Disconnect, id: OutboxId, hub: &mut Local) -> bool {
        let disconnect = *self.goodbye.get_or_insert(disconnect);
        match disconnect {
            Disconnect::CLIENT_CLOSED => {
                self.release(b"6");
                return true;
            }
            // Whoever broke the protocol or is gone may poll in vain.
            Disconnect::PROTOCOL
            | Disconnect::TOO_LARGE
            | Disconnect::SLOW_BODY
            | Disconnect::CONNECTION_LOST
            | Disconnect::NO_PONG
                if !self.is_awaited() =>
            {
                return true;
            }
            _ if !self.is_awaited() => return false,
            _ => {}
        }
        let mut payload = Payload::default();
        take(&mut payload, id, hub);
        let whole = hub.outbox(id).is_none_or(|outbox| outbox.is_empty());
        if whole {
            payload.text(b"1");
        }
        answer(self.waiting.take(), Polled::Payload(payload.into_bytes().into()));
        whole
    }
}

/// Moves frames from the outbox into a payload, as many as there is room for.
fn take(payload: &mut Payload, id: OutboxId, hub: &mut Local) {
    loop {
        let Some(outbox) = hub.outbox(id).filter(|outbox| !outbox.is_empty()) else { return };
        let mut slices = [IoSlice::new(&[])];
        outbox.gather(&mut slices);
        let taken = payload.append(&slices[0], PAYLOAD_BYTES_MAX);
        if taken == 0 {
            return;
        }
        hub.wrote(id, taken, true);
    }
}

fn answer(reply: Option<oneshot::Sender<Polled>>, polled: Polled) {
    // Whoever asked may have gone away.
    let _gone = reply.map(|reply| reply.send(polled));
}
