//! A worker writes: few outboxes at once, many in the turn, each with one call for all that is queued.

use super::Worker;
use crate::hub::{Outbox, OutboxId};
use crate::protocol::disconnect::Disconnect;
use crate::transport::entry::{Carrier, LINGER_MS};

/// Outboxes written right after the read that filled them. More wait for the turn, so that others can add to them.
const EAGER_OUTBOXES: usize = 16;

/// Outboxes written before the worker looks at its other work: about 2 ms.
pub(super) const TURN_OUTBOXES: usize = 512;

/// Bytes written before the worker looks at its other work.
const TURN_BYTES: u64 = 4 * 1024 * 1024;

impl Worker {
    pub(super) fn wake_turn(&self) {
        if let Some(turn) = &self.turn {
            turn.wake_by_ref();
        }
    }

    /// Writes the outboxes that have something since there were `marked` of them: at once if they are few; otherwise in
    /// the turn, so that others can add to them.
    pub(super) fn write_fresh(&mut self, marked: usize) {
        let fresh = self.hub.dirty_len().saturating_sub(marked);
        if fresh <= EAGER_OUTBOXES {
            for _ in 0..fresh {
                let newest = self.hub.last_dirty();
                newest.into_iter().for_each(|id| self.write_one(id));
            }
        }
        if self.hub.dirty_len() > 0 || self.hub.has_jobs() {
            self.wake_turn();
        }
    }

    /// Writes the outboxes that are about to overflow although they could be written.
    pub(super) fn relieve(&mut self) {
        while let Some(id) = self.hub.next_pressed() {
            self.write_one(id);
        }
    }

    /// Writes the outboxes that have waited longest, at most so many.
    pub(super) fn write_dirty(&mut self, most: usize) {
        let sent = self.hub.stats().bytes_sent.get();
        for _ in 0..most {
            let Some(id) = self.hub.next_dirty() else { return };
            self.write_one(id);
            if self.hub.stats().bytes_sent.get() - sent > TURN_BYTES {
                return;
            }
        }
    }

    pub(super) fn write_one(&mut self, id: OutboxId) {
        let now = self.now;
        let Some(entry) = self.entries.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        let closing = self.hub.outbox(id).and_then(Outbox::closing);
        match &mut entry.carrier {
            // The last poll hears everything at once.
            Carrier::Polling(_) if closing.is_some() => {}
            Carrier::Polling(polling) => polling.flush(id, &mut self.hub),
            Carrier::Socket(socket) => {
                socket.write(id, &mut self.hub, now);
                if socket.blocked_since.is_some() && !std::mem::replace(&mut socket.watched, true) {
                    self.blocked.push((id, entry.generation));
                }
            }
        }
        if let Some(disconnect) = self.hub.outbox(id).and_then(Outbox::closing) {
            self.close_one(id, disconnect);
        }
    }

    /// Brings a session that has ended to its end: its goodbye is written behind everything else.
    fn close_one(&mut self, id: OutboxId, disconnect: Disconnect) {
        let now = self.now;
        let Some(entry) = self.entries.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        let fresh = entry.linger_until.is_none();
        if fresh {
            entry.linger_until = Some(now.saturating_add(LINGER_MS));
            let fault = disconnect.is_fault();
            let peer = entry.socket().filter(|_| fault).and_then(|socket| socket.stream.peer_addr().ok());
            self.hub.stats().closed(disconnect);
            self.with_session(id, |session, cx| session.end(disconnect, cx));
            if fault && let Some(left_out) = self.fault_log.admit(now) {
                let peer = peer.map(tracing::field::display);
                tracing::info!(reason = disconnect.reason, code = disconnect.code, peer, left_out, "closed a session");
            }
        }
        if self.say_goodbye(id, disconnect) {
            self.remove(id);
        } else if fresh {
            self.schedule(id);
        }
    }

    /// True when there is nothing more to say, or nobody to hear it.
    fn say_goodbye(&mut self, id: OutboxId, disconnect: Disconnect) -> bool {
        let now = self.now;
        let Some(entry) = self.entries.get_mut(id.0 as usize).and_then(Option::as_mut) else { return false };
        let session = &entry.session;
        match &mut entry.carrier {
            Carrier::Polling(polling) => polling.say_goodbye(disconnect, id, &mut self.hub),
            Carrier::Socket(socket) => {
                socket.say_goodbye(disconnect, || session.goodbye(disconnect), id, &mut self.hub, now)
            }
        }
    }
}
