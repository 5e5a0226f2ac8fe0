//! A worker reads: once per readiness, into the one buffer, and every whole message goes to its session.

use super::{Worker, micros};
use crate::hub::OutboxId;
use crate::lifecycle;
use crate::protocol::disconnect::Disconnect;
use crate::session::Context;
use crate::transport::socket::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{self, Poll};

impl Worker {
    pub(super) fn poll_socket(&mut self, id: OutboxId, generation: u32, cx: &mut task::Context<'_>) -> Poll<()> {
        let Some(socket) = self.live(id, generation) else { return Poll::Ready(()) };
        if !socket.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            socket.waker = Some(cx.waker().clone());
        }
        if socket.blocked_since.is_some() && socket.stream.poll_write_ready(cx).is_ready() {
            self.write_one(id);
        }
        loop {
            let congested = self.hub.is_congested();
            let Some(socket) = self.live(id, generation) else { return Poll::Ready(()) };
            if congested && socket.congested {
                self.stalled.push(cx.waker().clone());
                self.wake_turn();
                return Poll::Pending;
            }
            if socket.stream.poll_read_ready(cx).is_pending() {
                return Poll::Pending;
            }
            if self.read_one(id) == Read::Full {
                // One buffer a turn: a publisher that always has more lets the others go first.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    pub(super) fn read_one(&mut self, id: OutboxId) -> Read {
        let Some(socket) = &self.sockets[id.0 as usize] else { return Read::Ended };
        let (lingers, marked) = (socket.linger_until.is_some(), self.hub.dirty_len());
        let mut scratch = std::mem::take(&mut self.scratch);
        let read = socket.read(&mut scratch);
        let taken = match read {
            Read::Drained(taken) => taken,
            Read::Full => scratch.len(),
            Read::Ended => 0,
        };
        match read {
            Read::Ended if lingers => self.remove(id),
            Read::Ended => self.end(id, Disconnect::CONNECTION_LOST),
            _ if lingers || taken == 0 => {}
            Read::Drained(_) | Read::Full => self.receive(id, &mut scratch[..taken]),
        }
        self.scratch = scratch;
        self.write_fresh(marked);
        read
    }

    /// Hands bytes of a client to its session, and writes for others whenever their outboxes fill up meanwhile.
    pub(super) fn receive(&mut self, id: OutboxId, bytes: &mut [u8]) {
        let (began, mut at) = (self.look_at_clock(), 0);
        let now = self.now;
        let broadcasts = self.hub.stats().broadcasts.get();
        self.hub.stats().bytes_received.add(bytes.len() as u64);
        loop {
            let Some(mut socket) = self.sockets[id.0 as usize].take() else { return };
            let outcome = self.guarded(|cx| socket.receive(bytes, &mut at, cx), now);
            socket.congested = self.hub.take_congestion();
            self.sockets[id.0 as usize] = Some(socket);
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
    }

    /// Runs a session's code; a panic in it ends that session only.
    pub(super) fn guarded<T>(
        &mut self,
        f: impl FnOnce(&mut Context<'_>) -> Result<T, Disconnect>,
        now: u64,
    ) -> Result<T, Disconnect> {
        let mut cx = Context { hub: &mut self.hub, rules: &self.rules, now, questions: &mut self.questions };
        catch_unwind(AssertUnwindSafe(|| f(&mut cx))).unwrap_or_else(|_| {
            self.hub.stats().panics.add(1);
            Err(Disconnect::INTERNAL)
        })
    }
}
