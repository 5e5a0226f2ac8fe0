//! One connection: read once per readiness into the worker's buffer, decode in place, write what is queued in one call.

use crate::hub::{Local, OutboxId, Sid};
use crate::protocol::disconnect::Disconnect;
use crate::protocol::websocket::{Incoming, Limits, Reader};
use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::task::{Poll, Waker};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Frames written in one call: what fits in the kernel's fast path for vectors, and more than a turn usually queues.
const SLICES: usize = 64;

/// A live transport of its own connection: a WebSocket or an event stream.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
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
    pub(super) fn new(stream: TcpStream, generation: u32) -> Self {
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

    /// Writes a few bytes of the transport's own, past the outbox. False when the kernel does not take them at once.
    pub(super) fn write_now(&self, bytes: &[u8]) -> bool {
        // Not through tokio, which has not heard yet that a new socket can be written.
        rustix::net::send(&self.stream, bytes, rustix::net::SendFlags::NOSIGNAL).is_ok_and(|sent| sent == bytes.len())
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
        let waits = |hub: &Local| hub.outbox(id).is_some_and(|outbox| !outbox.is_empty());
        // A client that reads too slowly gets no goodbye: it would wait behind what it does not read.
        if disconnect == Disconnect::CONNECTION_LOST || (disconnect == Disconnect::SLOW_CONSUMER && waits(hub)) {
            return true;
        }
        if self.goodbye == Goodbye::Unsaid {
            hub.send_last(id, goodbye());
            self.goodbye = Goodbye::Queued;
            self.write(id, hub, now);
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
