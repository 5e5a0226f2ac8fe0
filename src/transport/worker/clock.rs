//! A worker's clock: heartbeats, time-outs, slow consumers, and the moments at which a drain closes each session.

use super::{Worker, micros, millis};
use crate::hub::{DrainOrder, Outbox, OutboxId};
use crate::lifecycle;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::heartbeat::scatter;
use std::time::Instant;

impl Worker {
    pub(super) fn tick(&mut self, scheduled: Instant) {
        let lag = self.look_at_clock().saturating_duration_since(scheduled);
        self.hub.stats().tick_lag.observe(micros(lag));
        self.hub.stats().tick_lag_last.set(micros(lag));
        self.hub.stats().ticked_at_ms.set(lifecycle::unix_millis());
        let now = self.now;
        while let Some((slot, due)) = self.wheel.take_due(now) {
            for (id, generation) in due {
                if self.live(id, generation).is_some_and(|entry| entry.slot == slot) {
                    self.fire(id, now);
                }
            }
        }
        self.cut_slow_consumers(now);
        self.hub.give_up_answers(now);
        self.hub.tend_recovery(now);
    }

    pub(super) fn fire(&mut self, id: OutboxId, now: u64) {
        let Some(entry) = &mut self.entries[id.0 as usize] else { return };
        if entry.linger_until.is_some_and(|until| now >= until) {
            return self.remove(id);
        }
        self.look_at_upgrade(id);
        let Some(entry) = &self.entries[id.0 as usize] else { return };
        if entry.linger_until.is_none() && now >= entry.drain_at {
            let reconnect_after_ms = u64::from(scatter(entry.generation) >> 22);
            self.with_session(id, |session, cx| session.warn_of_drain(reconnect_after_ms, cx));
            self.end(id, Disconnect::RESTART);
        }
        self.schedule(id);
    }

    /// Looks at what is due for a session, and puts it on the wheel for what is due next.
    pub(super) fn schedule(&mut self, id: OutboxId) {
        let due = match self.with_session(id, |session, cx| session.on_timer(cx)) {
            Some(Ok(due)) => due,
            Some(Err(disconnect)) => {
                if self.hub.outbox(id).is_some_and(|outbox| outbox.closing().is_none()) {
                    self.end(id, disconnect);
                }
                u64::MAX
            }
            None => return,
        };
        let Some(entry) = &mut self.entries[id.0 as usize] else { return };
        let upgrade = entry.polling().filter(|polling| polling.candidate.is_some());
        let due = due.min(upgrade.map_or(u64::MAX, |polling| polling.upgrade_due.min(polling.release_due)));
        let due = entry.linger_until.unwrap_or_else(|| due.min(entry.drain_at));
        entry.slot = self.wheel.insert((id, entry.generation), due);
        if self.hub.dirty_len() > 0 {
            self.wake_turn();
        }
    }

    pub(super) fn cut_slow_consumers(&mut self, now: u64) {
        let mut blocked = std::mem::take(&mut self.blocked);
        blocked.retain(|(id, generation)| {
            let patience = self.slow_consumer_ms;
            let Some(socket) = self.live(*id, *generation).and_then(|entry| entry.socket()) else { return false };
            let Some(since) = socket.blocked_since else {
                socket.watched = false;
                return false;
            };
            if now.saturating_sub(since) < patience {
                return true;
            }
            let waits = self.hub.outbox(*id).is_some_and(Outbox::waits_for_delivery);
            if waits {
                self.hub.close_slow(*id);
            }
            // Whoever is cut needs no watching any more; whoever is conflated still may.
            !waits
        });
        self.blocked.extend(blocked);
    }

    /// Gives every session its moment within the window: spread evenly, shaken a little.
    pub(super) fn drain(&mut self, order: DrainOrder) {
        let now = self.now;
        let ids: Vec<_> =
            (0u32..).zip(&self.entries).filter(|(_, slot)| slot.is_some()).map(|(id, _)| OutboxId(id)).collect();
        let (count, window) = (ids.len().max(1) as u64, millis(order.window.min(order.deadline)));
        for (i, id) in (0u64..).zip(ids) {
            if let Some(entry) = &mut self.entries[id.0 as usize] {
                let jitter = u64::from(scatter(entry.generation) >> 16) % (window / count + 50);
                let after = (i * window / count + jitter).min(window);
                entry.drain_at = now.saturating_add(after);
            }
            self.schedule(id);
        }
        self.draining = true;
    }
}
