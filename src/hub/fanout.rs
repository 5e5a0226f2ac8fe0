//! From one broadcast to the outboxes of its recipients. Synchronous, and never waits.
//!
//! Small rooms are served at once. Large rooms collect what is published within a turn into one frame per wire and are
//! served in steps, between which the worker reads and writes for others.

use super::Shared;
use super::broadcast::{Broadcast, Cast, Encoded};
use super::fanout_error::FanoutError;
use super::local::Local;
use super::outbox::{Frame, OutboxId};
use super::overloaded;
use super::room::{RoomId, Sealed};
use crate::adapter::Receipt;
use crate::protocol::Wire;
use crate::protocol::event::Scope;
use crate::protocol::refusal::Refusal;
use std::rc::Rc;
use std::sync::Arc;

/// Rooms with more members here are large. Below, joining events costs more than it saves.
const LARGE_ROOM_MEMBERS: usize = 64;

/// Members served in one step of a large room: about 100 µs without the writes.
const STEP_MEMBERS: usize = 4_096;

/// Bytes that may be pending in one large room before its publishers are made to wait.
const ROOM_PENDING_BYTES: usize = 64 * 1024;

/// Bytes that may be pending in one large room at all.
const ROOM_PENDING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Batches that may be pending in one large room: one for each event that leaves somebody out.
const ROOM_PENDING_BATCHES_MAX: usize = 16_384;

impl Local {
    /// Hands an event of a session here to all members of its rooms, here and on other workers. What is watched, and has to
    /// wait for other nodes, has a receipt.
    ///
    /// # Errors
    /// When some recipients could not be served because a queue was full; they are counted.
    pub fn broadcast<S: AsRef<str>>(&mut self, cast: &Cast<'_, S>) -> Result<Option<Receipt>, Refusal> {
        let shared = Arc::clone(&self.shared);
        if self.recovery.is_some() && cast.event.ack.is_none() {
            return self.broadcast_and_log(&shared, cast);
        }
        let namespace = &shared.namespaces[usize::from(cast.namespace.0)];
        let mut encoded = Encoded::new(cast.event, Scope { namespace, rooms: cast.rooms }, None);
        let here = self.deliver(cast, &mut encoded);
        let mut full = 0;
        if shared.mailboxes.len() > 1 {
            let others = shared.workers_of(cast.namespace, cast.rooms) & !(1 << self.worker);
            if others != 0 {
                full = shared.post(&Arc::new(Broadcast::of_cast(cast, &encoded)), others);
            }
        }
        self.count_encoded(&encoded.fresh);
        let published = if cast.local { Ok(None) } else { shared.publish_cast(cast) };
        here?;
        unless_full(full)?;
        published
    }

    /// The same where sessions may miss it: the others are told first, as long as nobody moves between workers.
    fn broadcast_and_log<S: AsRef<str>>(
        &mut self,
        shared: &Arc<Shared>,
        cast: &Cast<'_, S>,
    ) -> Result<Option<Receipt>, Refusal> {
        let own = |names: &[S]| names.iter().map(|name| name.as_ref().into()).collect();
        let mut broadcast = Broadcast::new(cast.namespace, own(cast.rooms), own(cast.except), cast.event);
        (broadcast.volatile, broadcast.sender) = (cast.volatile, cast.sender.filter(|_| cast.exclude.is_some()));
        let (broadcast, full) = shared.hand_out(broadcast, Some(self.worker));
        let here = self.deliver_shared(&broadcast, cast.exclude);
        let published = if cast.local { Ok(None) } else { shared.publish_cast(cast) };
        here?;
        unless_full(full)?;
        published
    }

    /// Hands an event from another thread to the members here.
    pub fn deliver_posted(&mut self, broadcast: &Arc<Broadcast>) {
        if self.deliver_shared(broadcast, None).is_err() {
            tracing::debug!("a large room dropped a broadcast: its fan-out is busy");
        }
    }

    fn deliver_shared(&mut self, broadcast: &Arc<Broadcast>, exclude: Option<OutboxId>) -> Result<(), Refusal> {
        let shared = Arc::clone(&self.shared);
        let namespace = &shared.namespaces[usize::from(broadcast.namespace.0)];
        let event = broadcast.event();
        let mut encoded = Encoded::new(event, Scope { namespace, rooms: &broadcast.rooms }, Some(broadcast));
        let (rooms, except) = (&broadcast.rooms[..], &broadcast.except[..]);
        let (namespace, volatile, sender) = (broadcast.namespace, broadcast.volatile, broadcast.sender);
        let (local, watched) = (true, false);
        let cast = Cast { namespace, rooms, except, exclude, sender, volatile, local, watched, event };
        let outcome = self.deliver(&cast, &mut encoded);
        self.count_encoded(&encoded.fresh);
        outcome
    }

    pub(super) fn count_encoded(&self, fresh: &[u64; Wire::COUNT]) {
        for (cell, n) in self.stats.frames_encoded.iter().zip(fresh) {
            if *n > 0 {
                cell.add(*n);
            }
        }
    }

    fn deliver<S: AsRef<str>>(&mut self, cast: &Cast<'_, S>, encoded: &mut Encoded<'_, S>) -> Result<(), Refusal> {
        self.stats.broadcasts.add(1);
        let outcome = match cast.rooms {
            [] => self.deliver_to_namespace(cast, encoded),
            [name] if cast.is_plain() => {
                let room = self.room(cast.namespace, name.as_ref());
                match (room, self.session_named(cast.namespace, name.as_ref())) {
                    (Some(room), None) => self.deliver_to_room(room, cast.exclude, encoded),
                    (None, None) => {
                        self.log_said(encoded.shared);
                        Ok(())
                    }
                    (_, Some(_)) => self.deliver_to_union(cast, encoded),
                }
            }
            _ => self.deliver_to_union(cast, encoded),
        };
        outcome.map_err(|error| {
            self.stats.dropped(error.counted_as(), 1);
            error.refusal()
        })
    }

    fn deliver_to_room<S: AsRef<str>>(
        &mut self,
        id: RoomId,
        exclude: Option<OutboxId>,
        encoded: &mut Encoded<'_, S>,
    ) -> Result<(), FanoutError> {
        let room = &mut self.rooms[id.0 as usize];
        if room.places.len() > LARGE_ROOM_MEMBERS || room.backlog.is_some() {
            return self.queue_for_large_room(id, exclude, encoded);
        }
        let (policy, serial, alone) = (room.policy, room.serial, self.shared.mailboxes.len() == 1);
        let places = room.places.len();
        self.log_said(encoded.shared);
        let mut frames: [Option<Rc<Frame>>; Wire::COUNT] = Default::default();
        let mut delivered = 0;
        let mut outcome = Ok(());
        for i in 0..places {
            let place = self.rooms[id.0 as usize].places[i];
            if Some(place.outbox) == exclude {
                continue;
            }
            let wire = self.outboxes[place.outbox.0 as usize].wire;
            let slot = &mut frames[wire.index()];
            if slot.is_none() {
                match encoded.own_frame(wire, alone) {
                    Ok(bytes) => *slot = Some(Frame::of_room(bytes, 1, serial, policy)),
                    Err(error) => {
                        outcome = Err(error.into());
                        continue;
                    }
                }
            }
            if let Some(frame) = slot {
                delivered += u64::from(self.push(place.outbox, frame));
            }
        }
        self.stats.deliveries.add(delivered);
        outcome
    }

    fn queue_for_large_room<S: AsRef<str>>(
        &mut self,
        id: RoomId,
        exclude: Option<OutboxId>,
        encoded: &mut Encoded<'_, S>,
    ) -> Result<(), FanoutError> {
        let room = &mut self.rooms[id.0 as usize];
        if room.backlog.is_none() {
            self.jobs.push_back(id);
        }
        let (wires, alone) = (room.wires, self.shared.mailboxes.len() == 1);
        let backlog = room.backlog.get_or_insert_default();
        if backlog.pending_bytes > ROOM_PENDING_BYTES_MAX || backlog.pending.len() > ROOM_PENDING_BATCHES_MAX {
            return Err(FanoutError::Full);
        }
        let batch = backlog.batch_for(exclude, room.policy, self.limits.outbox);
        let before = batch.bytes.each_ref().map(Vec::len);
        let mut added = 0;
        for wire in Wire::ALL.into_iter().filter(|wire| wires[wire.index()] > 0) {
            let out = &mut batch.bytes[wire.index()];
            if let Err(error) = encoded.append(wire, alone, out) {
                // All wires or none: the batch is as it was.
                batch.bytes.iter_mut().zip(before).for_each(|(out, len)| out.truncate(len));
                return Err(error.into());
            }
            added = added.max(out.len() - before[wire.index()]);
        }
        batch.events += 1;
        batch.said.extend(encoded.shared.filter(|said| said.offset.is_some()).cloned());
        batch.size += added;
        backlog.pending_bytes += added;
        self.pending_bytes += added;
        self.congested |= backlog.pending_bytes >= ROOM_PENDING_BYTES;
        Ok(())
    }

    // === large rooms ===

    /// Whether a large room waits to be served.
    #[must_use]
    pub fn has_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Whether a publisher that has filled a large room still has to wait.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        self.pending_bytes >= ROOM_PENDING_BYTES
    }

    /// Whether one of the large rooms that were published to since the last call has much pending, so that its publisher
    /// should wait before it says more.
    pub fn take_congestion(&mut self) -> bool {
        std::mem::take(&mut self.congested)
    }

    /// One step for the large room whose turn it is. Its outboxes should be written before the next step.
    pub fn serve_next_job(&mut self) {
        if let Some(id) = self.jobs.pop_front() {
            self.jobs.push_back(id);
            // One step where sessions may come back: each has to get everything in the order of the log.
            let most = if self.recovery.is_some() { usize::MAX } else { STEP_MEMBERS };
            self.serve_large_room(id, most);
        }
    }

    pub(super) fn serve_large_room(&mut self, id: RoomId, most: usize) {
        let room = &mut self.rooms[id.0 as usize];
        let pending = room.backlog.as_ref().map_or(0, |backlog| backlog.pending_bytes);
        let served = room.backlog.as_ref().is_none_or(|backlog| backlog.left == 0);
        if served && !room.seal_pending(self.limits.outbox) {
            room.backlog = None;
            self.jobs.retain(|job| *job != id);
            return;
        }
        let Some(mut backlog) = room.backlog.take() else { return };
        backlog.sealed.drain(..).for_each(|said| self.log_said(Some(&said)));
        self.pending_bytes -= pending - backlog.pending_bytes;
        let from = backlog.left.saturating_sub(most);
        let mut delivered = 0;
        for i in from..backlog.left {
            let outbox = self.rooms[id.0 as usize].places[i].outbox;
            delivered += self.push_all(outbox, &backlog.current);
        }
        backlog.left = from;
        if from == 0 && backlog.pending.is_empty() {
            self.jobs.retain(|job| *job != id);
        } else {
            self.rooms[id.0 as usize].backlog = Some(backlog);
        }
        self.stats.deliveries.add(delivered);
    }

    fn push_all(&mut self, id: OutboxId, batches: &[Sealed]) -> u64 {
        let Some(wire) = self.outboxes.get(id.0 as usize).map(|outbox| outbox.wire) else { return 0 };
        let mut delivered = 0;
        for batch in batches.iter().filter(|batch| batch.exclude != Some(id)) {
            if let Some(frame) = &batch.frames[wire.index()] {
                delivered += if self.push(id, frame) { u64::from(batch.events) } else { 0 };
            }
        }
        delivered
    }
}

fn unless_full(inboxes: usize) -> Result<(), Refusal> {
    if inboxes == 0 { Ok(()) } else { Err(overloaded()) }
}
