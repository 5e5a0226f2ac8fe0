//! A session in its worker's table: what carries its bytes, and when it is looked at next.

use super::gate::Place;
use super::polling::Polling;
use super::socket::Socket;
use crate::hub::Sid;
use crate::protocol::Transport;
use crate::protocol::disconnect::Disconnect;
use crate::session::{Context, Session};

/// How long a closed connection may take to say its own goodbye.
pub(super) const LINGER_MS: u64 = 2_000;

/// A session with what carries it. The session survives a change of transport.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) session: Session,
    pub(super) carrier: Carrier,
    /// Tells it from others that had the same place in the table.
    pub(super) generation: u32,
    /// The wheel slot that counts; others are left-overs.
    pub(super) slot: u64,
    /// When the drain closes this one.
    pub(super) drain_at: u64,
    /// Set once the session has ended: when it is dropped at the latest.
    pub(super) linger_until: Option<u64>,
    /// A room whose fan-out this publisher has to wait for.
    pub(super) congested: bool,
    /// Free again when this is dropped.
    _place: Place,
}

/// What carries a session's bytes.
#[derive(Debug)]
pub(super) enum Carrier {
    /// A socket of its own: a WebSocket or an event stream.
    Socket(Socket),
    /// Requests that come and go.
    Polling(Box<Polling>),
}

impl Entry {
    pub(super) fn new(session: Session, carrier: Carrier, generation: u32, place: Place) -> Self {
        Self {
            session,
            carrier,
            generation,
            slot: 0,
            drain_at: u64::MAX,
            linger_until: None,
            congested: false,
            _place: place,
        }
    }

    /// Whether this is the Engine.IO session of this id.
    pub(super) fn is_known_as(&self, sid: Sid) -> bool {
        match &self.carrier {
            Carrier::Socket(socket) => socket.upgraded_from.as_deref() == Some(&sid),
            Carrier::Polling(polling) => polling.sid == sid,
        }
    }

    /// Hands whole messages in `bytes` from `at` on to the session. False when it stopped before the end, as outboxes
    /// have to be written before they overflow.
    pub(super) fn receive(
        &mut self,
        bytes: &mut [u8],
        at: &mut usize,
        cx: &mut Context<'_>,
    ) -> Result<bool, Disconnect> {
        let limits = self.session.message_limits(cx.rules);
        let Carrier::Socket(socket) = &mut self.carrier else { return Ok(true) };
        if self.session.transport() == Transport::Sse {
            // Whoever listens to a stream has nothing to say.
            return Ok(true);
        }
        while let Some(incoming) = socket.next(bytes, at, &limits)? {
            self.session.receive(&incoming, cx)?;
            if cx.hub.is_pressed() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn socket(&mut self) -> Option<&mut Socket> {
        match &mut self.carrier {
            Carrier::Socket(socket) => Some(socket),
            Carrier::Polling(_) => None,
        }
    }

    pub(super) fn polling(&mut self) -> Option<&mut Polling> {
        match &mut self.carrier {
            Carrier::Polling(polling) => Some(polling),
            Carrier::Socket(_) => None,
        }
    }
}
