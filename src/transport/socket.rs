//! One connection: read once per readiness into the worker's buffer, decode in place, write what is queued in one call.

use crate::hub::Local;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::websocket::{Reader, write_close};
use crate::session::{Context, Session};
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::task::{Poll, Waker};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

/// Frames written in one call: what fits in the kernel's fast path for vectors, and more than a turn usually queues.
const SLICES: usize = 64;

/// How long a closed connection may take to say its own goodbye.
pub(super) const LINGER_MS: u64 = 2_000;

/// A connection with its session.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) generation: u32,
    pub(super) session: Session,
    reader: Reader,
    /// Wakes the task that polls this socket.
    pub(super) waker: Option<Waker>,
    /// The wheel slot that counts; others are left-overs.
    pub(super) slot: u64,
    /// When the kernel last took something, while it takes no more.
    pub(super) blocked_since: Option<u64>,
    /// When the drain closes this one.
    pub(super) drain_at: u64,
    /// Set once the session has ended: when the connection is dropped at the latest.
    pub(super) linger_until: Option<u64>,
    /// Whether it is on the list of blocked sockets.
    pub(super) watched: bool,
    goodbye: Goodbye,
    /// Its place among the open sockets; free again when the socket is dropped.
    _permit: OwnedSemaphorePermit,
    /// A room whose fan-out this publisher has to wait for.
    pub(super) congested: bool,
}

/// What came in one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes, and nothing more for now.
    Drained(usize),
    /// The buffer is full: there may be more.
    Full,
    /// The connection is over.
    Ended,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, generation: u32, session: Session, permit: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            generation,
            session,
            reader: Reader::default(),
            waker: None,
            slot: 0,
            blocked_since: None,
            drain_at: u64::MAX,
            linger_until: None,
            watched: false,
            goodbye: Goodbye::Unsaid,
            _permit: permit,
            congested: false,
        }
    }

    /// Reads once.
    pub(super) fn read(&self, scratch: &mut [u8]) -> Read {
        let mut taken = 0;
        let stream = &self.stream;
        // A short read means that the kernel has no more: telling tokio so at once saves the read that would find out.
        let result = stream.try_io(Interest::READABLE, || {
            taken = rustix::net::recv(stream, &mut *scratch, rustix::net::RecvFlags::empty())?.0;
            if taken > 0 && taken < scratch.len() { Err(ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match result {
            Ok(()) if taken == 0 => Read::Ended,
            Ok(()) => Read::Full,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Read::Drained(taken)
            }
            Err(_) => Read::Ended,
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
        let limits = cx.rules.message;
        while let Some(incoming) = self.reader.next(bytes, at, &limits)? {
            self.session.receive(&incoming, cx)?;
            if cx.hub.is_pressed() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes what is queued, as far as the kernel takes it. When it takes no more, the waker is registered.
    pub(super) fn write(&mut self, hub: &mut Local, now: u64) {
        let id = self.session.outbox();
        loop {
            let Some(outbox) = hub.outbox(id).filter(|outbox| !outbox.is_empty()) else {
                self.blocked_since = None;
                return;
            };
            let (attempted, result) = match outbox.single() {
                Some(bytes) => (bytes.len(), self.stream.try_write(bytes)),
                None => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let count = outbox.gather(&mut slices);
                    let slices = &slices[..count];
                    (slices.iter().map(|slice| slice.len()).sum(), self.stream.try_write_vectored(slices))
                }
            };
            let written = match result {
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(_) => return hub.close(id, Disconnect::CONNECTION_LOST),
            };
            let blocked = written < attempted;
            hub.wrote(id, written, blocked);
            if blocked {
                if written > 0 || self.blocked_since.is_none() {
                    self.blocked_since = Some(now);
                }
                if self.wait_for_space() {
                    return;
                }
            }
        }
    }

    /// Asks to be woken when the kernel takes more. False if it does already.
    fn wait_for_space(&self) -> bool {
        let Some(waker) = &self.waker else { return true };
        matches!(self.stream.poll_write_ready(&mut std::task::Context::from_waker(waker)), Poll::Pending)
    }

    /// Says goodbye behind what waits already, and closes the sending side once all of it is written. True when the
    /// connection can be dropped at once.
    pub(super) fn say_goodbye(&mut self, disconnect: Disconnect, hub: &mut Local, now: u64) -> bool {
        let id = self.session.outbox();
        let waits = |hub: &Local| hub.outbox(id).is_some_and(|outbox| !outbox.is_empty());
        self.linger_until.get_or_insert(now.saturating_add(LINGER_MS));
        // A client that reads too slowly gets no goodbye: it would wait behind what it does not read.
        if disconnect == Disconnect::CONNECTION_LOST || (disconnect == Disconnect::SLOW_CONSUMER && waits(hub)) {
            return true;
        }
        if self.goodbye == Goodbye::Unsaid {
            let mut frame = Vec::new();
            write_close(disconnect, &mut frame);
            hub.send_last(id, frame);
            self.goodbye = Goodbye::Queued;
            self.write(hub, now);
        }
        if self.goodbye == Goodbye::Queued && !waits(hub) {
            self.goodbye = Goodbye::Said;
            return shutdown(&self.stream).is_err() || disconnect == Disconnect::CLIENT_CLOSED;
        }
        false
    }
}

/// How far the goodbye is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goodbye {
    Unsaid,
    Queued,
    Said,
}

fn shutdown(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).shutdown(Shutdown::Write)
}
