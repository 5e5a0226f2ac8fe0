//! A session's bounded queue of frames, and what happens when it is full.

use crate::config::SlowConsumerPolicy;
use crate::protocol::Wire;
use crate::protocol::disconnect::Disconnect;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::Rc;

/// Places that an empty outbox keeps; after a burst they are given back.
const KEPT_FRAMES: usize = 64;

/// An outbox; valid on its worker only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OutboxId(pub u32);

/// Final bytes, shared by every outbox of a worker that they are for. A reference is all that a recipient costs.
#[derive(Debug)]
pub struct Frame {
    bytes: Bytes,
    /// Events inside: more than one where a large room's events were joined.
    events: u32,
    /// The room it was said in, by its serial number, which is never used again; `None` for what is for one session only.
    room: Option<u64>,
    policy: SlowConsumerPolicy,
}

impl Frame {
    pub(super) fn of_room(bytes: Bytes, events: u32, room: u64, policy: SlowConsumerPolicy) -> Rc<Self> {
        Rc::new(Self { bytes, events, room: Some(room), policy })
    }

    /// The final bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Events inside.
    pub(super) fn events(&self) -> u64 {
        u64::from(self.events)
    }

    /// A frame for everybody in a namespace: no room's policy holds for it.
    pub(super) fn of_namespace(bytes: Bytes) -> Rc<Self> {
        Rc::new(Self { bytes, events: 1, room: None, policy: SlowConsumerPolicy::Disconnect })
    }

    /// A frame with everything that a session has missed.
    pub(super) fn of_missed(bytes: Bytes, events: u32) -> Rc<Self> {
        Rc::new(Self { bytes, events, room: None, policy: SlowConsumerPolicy::Disconnect })
    }

    /// A frame for single sessions: answers, pings, goodbyes.
    #[must_use]
    pub fn direct(bytes: Bytes) -> Rc<Self> {
        Rc::new(Self { bytes, events: 0, room: None, policy: SlowConsumerPolicy::Disconnect })
    }
}

/// How much may wait in one outbox.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: usize,
    pub(super) frames: usize,
}

/// What became of a frame, and of others because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits.
    Queued,
    /// It waits in place of so many older events of its room.
    Displaced { events: u64, conflated: bool },
    /// There was no space, and nothing that may be forgotten: this event is dropped.
    Refused,
    /// There was no space, and the policy is to end the session.
    Overflow,
}

/// What waits for one session. The first frame may have been written in part.
#[derive(Debug)]
pub struct Outbox {
    queue: VecDeque<Rc<Frame>>,
    bytes: usize,
    /// Bytes of the first frame that are written.
    written: usize,
    /// The last union broadcast that reached this session, so that it gets each only once.
    pub(super) stamp: u32,
    /// The encoding of its session.
    pub(super) wire: Wire,
    /// Whether it is on the list of outboxes to be written.
    pub(super) dirty: bool,
    /// Whether the kernel takes no more at the moment.
    blocked: bool,
    /// Whether it is on the list of outboxes that have to be written before anything else.
    pressed: bool,
    closing: Option<Disconnect>,
}

impl Outbox {
    pub(super) fn new(wire: Wire) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            written: 0,
            stamp: 0,
            wire,
            dirty: false,
            blocked: false,
            pressed: false,
            closing: None,
        }
    }

    /// Whether its session speaks MessagePack.
    #[must_use]
    pub fn is_packed(&self) -> bool {
        self.wire == Wire::MsgPack
    }

    /// Bytes that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the kernel takes no more at the moment.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Why the session ends, once it does. What waits is still to be written, then the goodbye.
    #[must_use]
    pub fn closing(&self) -> Option<Disconnect> {
        self.closing
    }

    pub(super) fn close(&mut self, disconnect: Disconnect) {
        self.closing.get_or_insert(disconnect);
    }

    /// Whether it has just become half full although it could be written.
    pub(super) fn presses(&mut self, bounds: Bounds) -> bool {
        let half_full = self.bytes > bounds.bytes / 2 || self.queue.len() > bounds.frames / 2;
        let fresh = half_full && !self.blocked && !self.pressed;
        self.pressed |= fresh;
        fresh
    }

    /// Whether a frame waits whose loss must not go unnoticed.
    #[must_use]
    pub fn waits_for_delivery(&self) -> bool {
        self.queue.iter().any(|frame| frame.policy == SlowConsumerPolicy::Disconnect)
    }

    pub(super) fn push(&mut self, frame: &Rc<Frame>, bounds: Bounds) -> Pushed {
        let fits = |outbox: &Self| {
            outbox.queue.is_empty()
                || (outbox.bytes + frame.bytes.len() <= bounds.bytes && outbox.queue.len() < bounds.frames)
        };
        let mut outcome = Pushed::Queued;
        match frame.policy {
            SlowConsumerPolicy::Latest if self.blocked || !fits(self) => {
                outcome = self.forget(frame.room, usize::MAX, true);
            }
            SlowConsumerPolicy::DropOldest if !fits(self) && self.droppable(frame.room) >= frame.bytes.len() => {
                outcome = self.forget(frame.room, frame.bytes.len(), false);
            }
            _ => {}
        }
        // What was displaced is gone: the newest event takes its place, even where it is a little over the bound.
        if outcome == Pushed::Queued && !fits(self) {
            return if frame.policy == SlowConsumerPolicy::Disconnect { Pushed::Overflow } else { Pushed::Refused };
        }
        self.bytes += frame.bytes.len();
        self.queue.push_back(Rc::clone(frame));
        outcome
    }

    /// Puts a frame behind everything else, whatever the bounds.
    pub(super) fn push_last(&mut self, frame: &Rc<Frame>) {
        self.bytes += frame.bytes.len();
        self.queue.push_back(Rc::clone(frame));
    }

    /// Takes back a frame that nothing of has been written yet, and everything behind it. Returns events and bytes.
    pub(super) fn take_back(&mut self, frame: &Rc<Frame>) -> (u64, usize) {
        let Some(at) = self.queue.iter().position(|queued| Rc::ptr_eq(queued, frame)) else { return (0, 0) };
        let (mut events, mut bytes) = (0, 0);
        for frame in self.queue.drain(at..) {
            events += u64::from(frame.events);
            bytes += frame.bytes.len();
        }
        self.bytes -= bytes;
        (events, bytes)
    }

    /// Bytes of a room that could be forgotten.
    fn droppable(&self, room: Option<u64>) -> usize {
        let whole = self.queue.iter().skip(usize::from(self.written > 0));
        whole.filter(|frame| frame.room == room).map(|frame| frame.bytes.len()).sum()
    }

    /// Forgets the oldest frames of a room, at least `enough` bytes of them, but not one that is partly written.
    fn forget(&mut self, room: Option<u64>, enough: usize, conflated: bool) -> Pushed {
        let (mut events, mut bytes, mut i) = (0, 0, usize::from(self.written > 0));
        while i < self.queue.len() && bytes < enough {
            if self.queue[i].room == room
                && let Some(frame) = self.queue.remove(i)
            {
                events += u64::from(frame.events);
                bytes += frame.bytes.len();
            } else {
                i += 1;
            }
        }
        self.bytes -= bytes;
        if bytes == 0 { Pushed::Queued } else { Pushed::Displaced { events, conflated } }
    }

    /// Forgets everything that is not partly written. Returns events and bytes.
    pub(super) fn clear(&mut self) -> (u64, usize) {
        let keep = usize::from(self.written > 0);
        let (mut events, mut bytes) = (0, 0);
        for frame in self.queue.drain(keep.min(self.queue.len())..) {
            events += u64::from(frame.events);
            bytes += frame.bytes.len();
        }
        self.bytes -= bytes;
        (events, bytes)
    }

    /// Events that wait and will never be written.
    pub(super) fn undelivered(&self) -> u64 {
        self.queue.iter().map(|frame| u64::from(frame.events)).sum()
    }

    /// The bytes to write if one frame waits, or the rest of one.
    #[must_use]
    pub fn single(&self) -> Option<&[u8]> {
        (self.queue.len() == 1).then(|| &self.queue[0].bytes[self.written..])
    }

    /// The bytes to write, in order, as many as `slices` holds.
    pub fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut skip = self.written;
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.queue) {
            *slice = IoSlice::new(&frame.bytes[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    /// The kernel has taken `n` bytes, or all that there were when `blocked` is false.
    pub fn wrote(&mut self, n: usize, blocked: bool) {
        self.blocked = blocked;
        self.pressed = false;
        let mut n = n + self.written;
        while let Some(first) = self.queue.front() {
            if n < first.bytes.len() {
                break;
            }
            n -= first.bytes.len();
            self.bytes -= first.bytes.len();
            self.queue.pop_front();
        }
        self.written = n;
        if self.queue.is_empty() && self.queue.capacity() > KEPT_FRAMES {
            self.queue = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bytes: 100, frames: 4 };

    fn frame(room: u64, text: &'static str, policy: SlowConsumerPolicy) -> Rc<Frame> {
        Frame::of_room(Bytes::from_static(text.as_bytes()), 1, room, policy)
    }

    fn waiting(outbox: &Outbox) -> String {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = outbox.gather(&mut slices);
        slices[..count].iter().map(|slice| String::from_utf8_lossy(slice)).collect()
    }

    #[test]
    fn frames_are_written_in_order_and_in_parts() {
        let mut outbox = Outbox::new(Wire::Json);
        for text in ["abc", "def", "gh"] {
            assert_eq!(outbox.push(&frame(0, text, SlowConsumerPolicy::Disconnect), BOUNDS), Pushed::Queued);
        }
        outbox.wrote(4, true);
        assert_eq!((waiting(&outbox).as_str(), outbox.bytes(), outbox.is_blocked()), ("efgh", 5, true));
        outbox.wrote(2, true);
        assert_eq!(outbox.single(), Some(&b"gh"[..]));
        outbox.wrote(2, false);
        assert!(outbox.is_empty() && outbox.bytes() == 0);
    }

    #[test]
    fn a_full_outbox_ends_the_session_by_default() {
        let mut outbox = Outbox::new(Wire::Json);
        for _ in 0..4 {
            assert_eq!(outbox.push(&frame(0, "x", SlowConsumerPolicy::Disconnect), BOUNDS), Pushed::Queued);
        }
        assert_eq!(outbox.push(&frame(0, "x", SlowConsumerPolicy::Disconnect), BOUNDS), Pushed::Overflow);
        assert_eq!(outbox.clear(), (4, 4));
    }

    #[test]
    fn drop_oldest_forgets_only_frames_of_its_own_room() {
        let mut outbox = Outbox::new(Wire::Json);
        outbox.push(&frame(1, "keep", SlowConsumerPolicy::Disconnect), BOUNDS);
        for text in ["a", "b", "c"] {
            outbox.push(&frame(2, text, SlowConsumerPolicy::DropOldest), BOUNDS);
        }
        let outcome = outbox.push(&frame(2, "d", SlowConsumerPolicy::DropOldest), BOUNDS);
        assert_eq!(outcome, Pushed::Displaced { events: 1, conflated: false });
        assert_eq!(waiting(&outbox), "keepbcd");
        assert_eq!(outbox.push(&frame(3, "e", SlowConsumerPolicy::DropOldest), BOUNDS), Pushed::Refused);
    }

    #[test]
    fn latest_keeps_the_newest_frame_of_a_blocked_session_and_never_cuts_one_in_half() {
        let mut outbox = Outbox::new(Wire::Json);
        outbox.push(&frame(1, "old", SlowConsumerPolicy::Latest), BOUNDS);
        outbox.wrote(1, true);
        for text in ["newer", "newest"] {
            outbox.push(&frame(1, text, SlowConsumerPolicy::Latest), BOUNDS);
        }
        assert_eq!(waiting(&outbox), "ldnewest");
        assert_eq!(outbox.bytes(), "oldnewest".len());
    }
}
