//! Who is in one room, on all nodes, as far as this one knows: who its members here have been told of, and who they have
//! not. Pure: `now` is an argument.

use super::attendee::Attendee;
use super::others::OtherId;
use crate::hub::NamespaceId;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// How many an event names; it says how many there are altogether.
const NAMED_MAX: usize = 100;

/// How long a register waits to hear from other nodes who was there before, before it tells of anybody.
const SETTLE_MS: u64 = 1_000;

/// The register of a room.
#[derive(Debug)]
pub(super) struct Register {
    pub(super) namespace: NamespaceId,
    pub(super) room: Box<str>,
    pub(super) seen: HashMap<Arc<Attendee>, Seen>,
    /// Those to look at when the members here are told next.
    marked: Vec<Arc<Attendee>>,
    /// Those of whom the other nodes have to be told.
    pub(super) unsaid: Vec<Arc<Attendee>>,
    /// How many are there with a session of this node.
    pub(super) here: usize,
    /// When the members here are told next; `u64::MAX` when there is nothing to tell.
    pub(super) tell_at: u64,
    /// When this is forgotten, as nobody is left here to be told.
    pub(super) forget_at: u64,
    /// How many other nodes have not said yet who was there before.
    pub(super) awaited: usize,
    /// Until when they are waited for.
    settle_by: u64,
    /// Never used again, unlike its place.
    pub(super) serial: u64,
    /// When it is due as the book has noted it; `u64::MAX` if it has not.
    pub(super) noted: u64,
}

/// What is known of one.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Its sessions on this node.
    pub(super) here: u32,
    /// The other nodes on which it has any.
    pub(super) others: SmallVec<[OtherId; 2]>,
    /// Whether the members here take it for present.
    pub(super) told: bool,
    pub(super) marked: bool,
    pub(super) unsaid: bool,
    /// Whether it stands in the queue of those who left.
    pub(super) queued: bool,
    /// From when on it is gone, while it is not there.
    pub(super) gone_at: u64,
    /// What its token says that others may see; until they have been told.
    pub(super) info: Option<Box<str>>,
}

impl Seen {
    pub(super) fn is_there(&self) -> bool {
        self.here > 0 || !self.others.is_empty()
    }
}

/// What the members of a room are told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// How many there are.
    pub(super) count: usize,
    /// The first of them.
    pub(super) named: Vec<(Arc<Attendee>, Option<Box<str>>)>,
}

impl Told {
    fn add(&mut self, attendee: Arc<Attendee>, info: Option<Box<str>>) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push((attendee, info));
        }
    }
}

impl Register {
    pub(super) fn new((namespace, room): (NamespaceId, &str), serial: u64, now: u64) -> Self {
        Self {
            namespace,
            room: room.into(),
            seen: HashMap::new(),
            marked: Vec::new(),
            unsaid: Vec::new(),
            here: 0,
            tell_at: u64::MAX,
            forget_at: u64::MAX,
            awaited: 0,
            settle_by: now.saturating_add(SETTLE_MS),
            serial,
            noted: u64::MAX,
        }
    }

    /// Whether it is too young for anybody to be told what it finds.
    pub(super) fn is_young(&self, now: u64) -> bool {
        now < self.settle_by
    }

    /// When something is to be done about it.
    pub(super) fn due(&self) -> u64 {
        self.tell_at.min(self.forget_at)
    }

    /// Has somebody be looked at when the members are told next, which is `within_ms` at the latest.
    pub(super) fn mark(&mut self, attendee: &Arc<Attendee>, now: u64, within_ms: u64) {
        let Some(seen) = self.seen.get_mut(attendee) else { return };
        if !std::mem::replace(&mut seen.marked, true) {
            self.marked.push(Arc::clone(attendee));
        }
        self.tell_at = self.tell_at.min(now.saturating_add(within_ms));
    }

    /// Who came and who went since the members were told last. Nobody yet, while it is not known who was there before.
    pub(super) fn tell(&mut self, now: u64) -> (Told, Told) {
        let (mut joined, mut left) = (Told::default(), Told::default());
        if self.awaited > 0 && self.is_young(now) {
            self.tell_at = self.settle_by;
            return (joined, left);
        }
        self.tell_at = u64::MAX;
        for attendee in std::mem::take(&mut self.marked) {
            let Some(seen) = self.seen.get_mut(&attendee) else { continue };
            seen.marked = false;
            let info = seen.info.take();
            match (seen.is_there(), seen.told) {
                (true, false) => {
                    seen.told = true;
                    joined.add(attendee, info);
                }
                (false, true) if seen.gone_at <= now => {
                    self.seen.remove(&attendee);
                    left.add(attendee, None);
                }
                // It came and went before anybody was told.
                (false, false) => drop(self.seen.remove(&attendee)),
                _ => {}
            }
        }
        (joined, left)
    }
}
