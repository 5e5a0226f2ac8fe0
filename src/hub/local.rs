//! One worker's part of the hub: its outboxes, its members, its rooms. Used by that worker's thread alone.

use super::address::Sid;
use super::gather::Gathering;
use super::limits::HubLimits;
use super::member::Member;
use super::outbox::{Frame, Outbox, OutboxId, Pushed};
use super::recovery::Recovery;
use super::room::{Room, RoomId};
use super::tap::Taps;
use super::{Hub, NamespaceId, Shared};
use crate::metrics::{Drop, WorkerStats};
use crate::protocol::Wire;
use crate::protocol::disconnect::Disconnect;
use bytes::Bytes;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// A worker's part of the hub.
#[derive(Debug)]
pub struct Local {
    pub(super) worker: u8,
    pub(super) shared: Arc<Shared>,
    pub(super) stats: Arc<WorkerStats>,
    pub(super) limits: HubLimits,
    pub(super) outboxes: Slab<Outbox>,
    pub(super) members: Slab<Member>,
    pub(super) rooms: Slab<Room>,
    pub(super) names: Vec<HashMap<Box<str>, RoomId>>,
    /// Outboxes with something to write, in the order in which it came.
    dirty: VecDeque<OutboxId>,
    /// Large rooms with events that have not been fanned out.
    pub(super) jobs: VecDeque<RoomId>,
    pub(super) stamp: u32,
    /// Number of the next room; rooms' places in the table are used again, their numbers are not.
    pub(super) next_serial: u64,
    queued_bytes: usize,
    /// Outboxes that could be written and are half full: they are written before anything else happens.
    pressed: Vec<OutboxId>,
    /// Somebody published to a large room that has much pending.
    pub(super) congested: bool,
    /// Bytes that are pending in large rooms.
    pub(super) pending_bytes: usize,
    /// Broadcasts whose recipients still have to answer, by the number that they answer under.
    pub(super) gatherings: HashMap<u32, Gathering>,
    /// The recipients of the broadcast at hand, if they are to answer.
    pub(super) asked: Vec<Sid>,
    /// Sessions that operators watch.
    pub(super) taps: Taps,
    /// What is kept for those who may come back.
    pub(super) recovery: Option<Box<Recovery>>,
}

impl Local {
    /// The part of worker number `worker`.
    ///
    /// # Panics
    /// When the hub has no such worker.
    #[must_use]
    pub fn new(hub: &Hub, worker: u8, limits: HubLimits) -> Self {
        let shared = Arc::clone(&hub.shared);
        Self {
            worker,
            stats: Arc::clone(shared.metrics.worker(usize::from(worker))),
            recovery: limits.recovery.map(Recovery::new),
            limits,
            outboxes: Slab::new(),
            members: Slab::new(),
            rooms: Slab::new(),
            names: shared.namespaces.iter().map(|_| HashMap::new()).collect(),
            dirty: VecDeque::new(),
            jobs: VecDeque::new(),
            stamp: 0,
            next_serial: 0,
            queued_bytes: 0,
            pressed: Vec::new(),
            congested: false,
            pending_bytes: 0,
            gatherings: HashMap::new(),
            asked: Vec::new(),
            taps: Taps::new(Arc::clone(shared.metrics.node())),
            shared,
        }
    }

    /// This worker's counters.
    #[must_use]
    pub fn stats(&self) -> &Arc<WorkerStats> {
        &self.stats
    }

    /// The number of this worker.
    #[must_use]
    pub fn number(&self) -> usize {
        usize::from(self.worker)
    }

    /// The hub that this is a part of.
    #[must_use]
    pub fn hub(&self) -> Hub {
        Hub { shared: Arc::clone(&self.shared) }
    }

    /// The namespace of this name, if it exists.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<NamespaceId> {
        let found = self.shared.namespaces.iter().position(|known| known == name)?;
        u16::try_from(found).ok().map(NamespaceId)
    }

    /// The name of a namespace.
    #[must_use]
    pub fn namespace_name(&self, namespace: NamespaceId) -> &str {
        &self.shared.namespaces[usize::from(namespace.0)]
    }

    // === outboxes ===

    /// Opens an outbox for a new connection.
    pub fn open_outbox(&mut self, wire: Wire) -> OutboxId {
        self.stats.sessions[wire.index()].add(1);
        OutboxId(key(self.outboxes.insert(Outbox::new(wire))))
    }

    /// Has an outbox speak another encoding. Only before its session is in any room: rooms count their members by wire.
    pub fn switch_wire(&mut self, id: OutboxId, wire: Wire) {
        if let Some(outbox) = self.outboxes.get_mut(id.0 as usize) {
            self.stats.sessions[outbox.wire.index()].sub(1);
            self.stats.sessions[wire.index()].add(1);
            outbox.wire = wire;
        }
    }

    /// Removes an outbox; what waits in it is counted as dropped.
    pub fn close_outbox(&mut self, id: OutboxId) {
        let Some(outbox) = self.outboxes.try_remove(id.0 as usize) else { return };
        self.taps.remove(id);
        self.stats.sessions[outbox.wire.index()].sub(1);
        self.stats.dropped(Drop::SessionEnded, outbox.undelivered());
        self.queued_bytes -= outbox.bytes();
        if outbox.dirty {
            self.dirty.retain(|dirty| *dirty != id);
        }
    }

    /// An outbox of this worker.
    #[must_use]
    pub fn outbox(&self, id: OutboxId) -> Option<&Outbox> {
        self.outboxes.get(id.0 as usize)
    }

    /// Notes that the kernel took `n` bytes of an outbox, and whether it takes more.
    pub fn wrote(&mut self, id: OutboxId, n: usize, blocked: bool) {
        let Some(outbox) = self.outboxes.get_mut(id.0 as usize) else { return };
        let before = outbox.bytes();
        outbox.wrote(n, blocked);
        self.queued_bytes -= before - outbox.bytes();
        self.stats.bytes_sent.add(n as u64);
        self.stats.writes.add(1);
    }

    /// Queues a frame for one session.
    pub fn send(&mut self, id: OutboxId, frame: &Rc<Frame>) {
        self.push(id, frame);
    }

    /// Queues bytes for one session.
    pub fn send_bytes(&mut self, id: OutboxId, bytes: Vec<u8>) {
        self.push(id, &Frame::direct(Bytes::from(bytes)));
    }

    /// Takes back a frame that was queued in this call, and everything that was queued behind it.
    pub fn take_back(&mut self, id: OutboxId, frame: &Rc<Frame>) {
        let Some(outbox) = self.outboxes.get_mut(id.0 as usize) else { return };
        let (events, bytes) = outbox.take_back(frame);
        self.queued_bytes -= bytes;
        self.stats.dropped(Drop::SessionEnded, events);
    }

    /// Queues the last bytes of a session that is closing, whatever the limits: its close frame.
    pub fn send_last(&mut self, id: OutboxId, bytes: Vec<u8>) {
        if let Some(outbox) = self.outboxes.get_mut(id.0 as usize) {
            self.queued_bytes += bytes.len();
            self.taps.tell(id, outbox.wire, &bytes);
            outbox.push_last(&Frame::direct(Bytes::from(bytes)));
        }
    }

    /// Ends a session: what waits is written, then the goodbye, then nothing more.
    pub fn close(&mut self, id: OutboxId, disconnect: Disconnect) {
        if let Some(outbox) = self.outboxes.get_mut(id.0 as usize) {
            outbox.close(disconnect);
            if !outbox.dirty {
                outbox.dirty = true;
                self.dirty.push_back(id);
            }
        }
    }

    /// Ends a session that reads too slowly; what it has not read is dropped.
    pub fn close_slow(&mut self, id: OutboxId) {
        let Some(outbox) = self.outboxes.get_mut(id.0 as usize) else { return };
        let (events, bytes) = outbox.clear();
        self.queued_bytes -= bytes;
        self.stats.dropped(Drop::SlowConsumer, events);
        self.close(id, Disconnect::SLOW_CONSUMER);
    }

    /// Queues a frame. Returns whether it waits now; if not, its events are counted as dropped.
    pub(super) fn push(&mut self, id: OutboxId, frame: &Rc<Frame>) -> bool {
        let Some(outbox) = self.outboxes.get_mut(id.0 as usize) else { return false };
        if outbox.closing().is_some() {
            self.stats.dropped(Drop::SessionEnded, frame.events());
            return false;
        }
        let before = outbox.bytes();
        let outcome = outbox.push(frame, self.limits.outbox);
        self.queued_bytes = self.queued_bytes - before + outbox.bytes();
        match outcome {
            Pushed::Queued => {}
            Pushed::Displaced { events, conflated } => {
                self.stats.dropped(if conflated { Drop::Conflated } else { Drop::Oldest }, events);
            }
            Pushed::Refused => {
                self.stats.dropped(Drop::Oldest, frame.events());
                return false;
            }
            Pushed::Overflow => {
                self.stats.dropped(Drop::SlowConsumer, frame.events());
                self.close_slow(id);
                return false;
            }
        }
        if self.taps.any() {
            self.taps.tell(id, outbox.wire, frame.bytes());
        }
        if outbox.presses(self.limits.outbox) {
            self.pressed.push(id);
        }
        if !outbox.dirty && !outbox.is_blocked() {
            outbox.dirty = true;
            self.dirty.push_back(id);
        }
        true
    }

    /// How many outboxes have something to write.
    #[must_use]
    pub fn dirty_len(&self) -> usize {
        self.dirty.len()
    }

    /// Whether an outbox fills up so fast that it has to be written before going on.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        !self.pressed.is_empty()
    }

    /// An outbox that has to be written before going on.
    pub fn next_pressed(&mut self) -> Option<OutboxId> {
        self.pressed.pop()
    }

    /// The outbox that has waited longest to be written.
    pub fn next_dirty(&mut self) -> Option<OutboxId> {
        let id = self.dirty.pop_front();
        self.unmark(id)
    }

    /// The outbox that was marked last.
    pub fn last_dirty(&mut self) -> Option<OutboxId> {
        let id = self.dirty.pop_back();
        self.unmark(id)
    }

    fn unmark(&mut self, id: Option<OutboxId>) -> Option<OutboxId> {
        if let Some(outbox) = id.and_then(|id| self.outboxes.get_mut(id.0 as usize)) {
            outbox.dirty = false;
        }
        id
    }

    /// Publishes the gauges that are not counted as they change.
    pub fn publish_gauges(&self) {
        self.stats.outbox_bytes.set(self.queued_bytes as u64);
        if let Some(recovery) = &self.recovery {
            recovery.publish_gauges(&self.stats);
        }
    }
}

/// Slab keys are bounded by the number of sockets and rooms, far below 2^32.
pub(super) fn key(key: usize) -> u32 {
    u32::try_from(key).expect("fewer than 2^32 entries")
}
