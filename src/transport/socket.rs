//! One connection: read once per readiness into the worker's buffer, decode in place, write what is queued in one call.

use super::stream::{Read, Stream};
use crate::hub::{Local, OutboxId, Sid};
use crate::protocol::disconnect::Disconnect;
use crate::protocol::websocket::{Incoming, Limits, Reader};
use std::io::{ErrorKind, IoSlice};
use std::task::{Poll, Waker};

/// Frames written in one call: what fits in the kernel's fast path for vectors, and more than a turn usually queues.
const SLICES: usize = 64;

/// A live transport of its own connection: a WebSocket or an event stream.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: Stream,
    /// Tells the task that reads this socket from those of others.
    pub(super) generation: u32,
    reader: Reader,
    /// Wakes the task that polls this socket.
    pub(super) waker: Option<Waker>,
    /// When the kernel last took something, while it takes no more.
    pub(super) blocked_since: Option<u64>,
    /// Whether it is on the list of blocked sockets.
    pub(super) watched: bool,
    goodbye: Goodbye,
    /// The id under which the session polled, if it did.
    pub(super) upgraded_from: Option<Box<Sid>>,
}

impl Drop for Socket {
    /// The task that reads it ends too.
    fn drop(&mut self) {
        self.waker.take().into_iter().for_each(Waker::wake);
    }
}

impl Socket {
    pub(super) fn new(stream: Stream, generation: u32) -> Self {
        Self {
            stream,
            generation,
            reader: Reader::default(),
            waker: None,
            blocked_since: None,
            watched: false,
            goodbye: Goodbye::Unsaid,
            upgraded_from: None,
        }
    }

    /// Reads once.
    pub(super) fn read(&mut self, scratch: &mut [u8]) -> Read {
        self.stream.read(scratch)
    }

    /// Takes the next message of `bytes` from `at` on.
    ///
    /// # Errors
    /// The reason with which the connection has to end.
    pub(super) fn next<'a>(
        &'a mut self,
        bytes: &'a mut [u8],
        at: &mut usize,
        limits: &Limits,
    ) -> Result<Option<Incoming<'a>>, Disconnect> {
        self.reader.next(bytes, at, limits)
    }

    /// Writes what is queued, as far as the kernel takes it. When it takes no more, the waker is registered.
    pub(super) fn write(&mut self, id: OutboxId, hub: &mut Local, now: u64) {
        loop {
            let Some(outbox) = hub.outbox(id).filter(|outbox| !outbox.is_empty()) else {
                if self.write_rest(id, hub, now) {
                    return;
                }
                continue;
            };
            let (attempted, result) = match outbox.single() {
                Some(bytes) => (bytes.len(), self.stream.try_write(bytes)),
                None => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let count = outbox.gather(&mut slices);
                    let slices = &mut slices[..count];
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
            if blocked && self.wait_blocked(written > 0, now) {
                return;
            }
        }
    }

    /// Sees to it that what was written before leaves, with nothing more behind it. False to try again at once.
    fn write_rest(&mut self, id: OutboxId, hub: &mut Local, now: u64) -> bool {
        match self.stream.flush() {
            Ok(true) => {
                self.blocked_since = None;
                true
            }
            Ok(false) => self.wait_blocked(false, now),
            Err(_) => {
                hub.close(id, Disconnect::CONNECTION_LOST);
                true
            }
        }
    }

    /// Notes since when nothing is taken, and waits until something is. False if it is already.
    fn wait_blocked(&mut self, progress: bool, now: u64) -> bool {
        if progress | self.stream.take_moved() || self.blocked_since.is_none() {
            self.blocked_since = Some(now);
        }
        self.wait_for_space()
    }

    /// Writes a few bytes of the transport's own, past the outbox. False when the kernel does not take them at once.
    pub(super) fn write_now(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_now(bytes)
    }

    /// Asks to be woken when the kernel takes more. False if it does already.
    fn wait_for_space(&self) -> bool {
        let Some(waker) = &self.waker else { return true };
        matches!(self.stream.poll_write_ready(&mut std::task::Context::from_waker(waker)), Poll::Pending)
    }

    /// Says `goodbye` behind what waits already, and closes the sending side once all of it is written. True when the
    /// connection can be dropped at once.
    pub(super) fn say_goodbye(
        &mut self,
        disconnect: Disconnect,
        goodbye: impl FnOnce() -> Vec<u8>,
        id: OutboxId,
        hub: &mut Local,
        now: u64,
    ) -> bool {
        let queued = |hub: &Local| hub.outbox(id).is_some_and(|outbox| !outbox.is_empty());
        let waits = |socket: &Self, hub: &Local| socket.stream.has_unsent() || queued(hub);
        // A client that reads too slowly gets no goodbye: it would wait behind what it does not read.
        if disconnect == Disconnect::CONNECTION_LOST || (disconnect == Disconnect::SLOW_CONSUMER && waits(self, hub)) {
            return true;
        }
        if self.goodbye == Goodbye::Unsaid {
            hub.send_last(id, goodbye());
            self.goodbye = Goodbye::Queued;
            self.write(id, hub, now);
        }
        if self.goodbye == Goodbye::Queued && !waits(self, hub) {
            self.goodbye = Goodbye::Said;
            return self.stream.shutdown().is_err() || disconnect == Disconnect::CLIENT_CLOSED;
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
