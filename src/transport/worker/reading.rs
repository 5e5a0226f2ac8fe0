//! A worker reads: once per readiness, into the one buffer, and every whole message goes to its session.

use super::{Worker, micros};
use crate::hub::OutboxId;
use crate::lifecycle;
use crate::transport::entry::Carrier;
use crate::transport::socket::Socket;
use crate::transport::stream::Read;
use std::task::{self, Poll};

impl Worker {
    pub(super) fn poll_socket(&mut self, id: OutboxId, generation: u32, cx: &mut task::Context<'_>) -> Poll<()> {
        let Some((socket, _)) = self.socket(id, generation) else { return Poll::Ready(()) };
        if !socket.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            socket.waker = Some(cx.waker().clone());
        }
        if socket.blocked_since.is_some() && socket.stream.poll_write_ready(cx).is_ready() {
            self.write_one(id);
        }
        loop {
            let congested = self.hub.is_congested();
            if congested && self.entries[id.0 as usize].as_ref().is_some_and(|entry| entry.congested) {
                self.stalled.push(cx.waker().clone());
                self.wake_turn();
                return Poll::Pending;
            }
            let Some((socket, _)) = self.socket(id, generation) else { return Poll::Ready(()) };
            if socket.stream.poll_read_ready(cx).is_pending() {
                return Poll::Pending;
            }
            if matches!(self.read_one(id, generation), Read::More(_)) {
                // One buffer a turn: a publisher that always has more lets the others go first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// A socket, and whether it is one that may become its session's transport.
    fn socket(&mut self, id: OutboxId, generation: u32) -> Option<(&mut Socket, bool)> {
        let (socket, is_candidate) = match &mut self.entries.get_mut(id.0 as usize)?.as_mut()?.carrier {
            Carrier::Socket(socket) => (socket, false),
            Carrier::Polling(polling) => (polling.candidate.as_mut()?, true),
        };
        (socket.generation == generation).then_some((socket, is_candidate))
    }

    pub(super) fn read_one(&mut self, id: OutboxId, generation: u32) -> Read {
        let mut scratch = std::mem::take(&mut self.scratch);
        let Some((socket, is_candidate)) = self.socket(id, generation) else {
            self.scratch = scratch;
            return Read::Ended;
        };
        let read = socket.read(&mut scratch);
        let marked = self.hub.dirty_len();
        let lingers = self.entries[id.0 as usize].as_ref().is_some_and(|entry| entry.linger_until.is_some());
        let taken = match read {
            Read::Drained(taken) | Read::More(taken) => taken,
            Read::Ended => 0,
        };
        match read {
            Read::Ended if lingers => self.remove(id),
            Read::Ended => self.lose_socket(id, is_candidate),
            _ if lingers || taken == 0 => {}
            Read::Drained(_) | Read::More(_) if is_candidate => self.receive_probe(id, &mut scratch[..taken]),
            Read::Drained(_) | Read::More(_) => self.receive(id, &mut scratch[..taken]),
        }
        self.scratch = scratch;
        self.write_fresh(marked);
        read
    }

    /// Hands bytes of a client to its session, and writes for others whenever their outboxes fill up meanwhile.
    pub(super) fn receive(&mut self, id: OutboxId, bytes: &mut [u8]) {
        let (began, mut at) = (self.look_at_clock(), 0);
        let broadcasts = self.hub.stats().broadcasts.get();
        self.hub.stats().bytes_received.add(bytes.len() as u64);
        loop {
            let Some(mut entry) = self.entries[id.0 as usize].take() else { return };
            let outcome = self.guarded(|cx| entry.receive(bytes, &mut at, cx));
            entry.congested = self.hub.take_congestion();
            self.entries[id.0 as usize] = Some(entry);
            self.ask_questions();
            self.relieve();
            match outcome {
                Ok(true) => break,
                Ok(false) => {}
                Err(disconnect) => {
                    self.end(id, disconnect);
                    break;
                }
            }
        }
        if self.hub.stats().broadcasts.get() != broadcasts {
            let took = lifecycle::now().saturating_duration_since(began);
            self.hub.stats().broadcast_duration.observe(micros(took));
        }
        self.hurry(id);
    }

    /// Puts a session on the wheel anew when what it was just told has made it wait for an answer.
    pub(super) fn hurry(&mut self, id: OutboxId) {
        let entry = self.entries[id.0 as usize].as_ref();
        if entry.is_some_and(|entry| entry.session.is_in_a_hurry()) {
            self.schedule(id);
        }
    }
}
