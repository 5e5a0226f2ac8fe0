//! How the book is kept: registers open and close, and single attendees are there or not.

use super::attendee::Attendee;
use super::book::{Announcement, Book, Change};
use super::others::OtherId;
use super::register::{Register, Seen};
use crate::hub::NamespaceId;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// How long changes are gathered for other nodes.
const NEWS_MS: u64 = 100;

/// Changes in one piece of news; more are several pieces.
const CHANGES_MAX: usize = 1_000;

impl Book {
    pub(super) fn find(&self, (namespace, room): (NamespaceId, &str)) -> Option<u32> {
        self.names.get(usize::from(namespace.0))?.get(room).copied()
    }

    /// Opens a register, and wants to hear from the others who is there already.
    pub(super) fn open(&mut self, place: (NamespaceId, &str), now: u64) -> u32 {
        self.serial += 1;
        let mut register = Register::new(place, self.serial, now);
        register.forget_at = now.saturating_add(self.debounce_ms);
        // One for each room with members here; rooms are bounded far below 2^32.
        let id = u32::try_from(self.registers.vacant_key()).unwrap_or(u32::MAX);
        for (_, other) in self.others.all().filter(|(_, other)| other.number > 0) {
            other.wanted.insert(id, true);
            register.awaited += 1;
        }
        self.registers.insert(register);
        self.names[usize::from(place.0.0)].insert(place.1.into(), id);
        id
    }

    /// Notes when something is to be done about a register next.
    pub(super) fn settle(&mut self, id: u32) {
        let Some(register) = self.registers.get_mut(id as usize) else { return };
        let due = register.due();
        if due == register.noted {
            return;
        }
        self.due.remove(&(register.noted, id));
        register.noted = due;
        if due < u64::MAX {
            self.due.insert((due, id));
        }
    }

    /// Tells the members of a room who came and went, or closes the register of one that has none.
    pub(super) fn attend_to(&mut self, id: u32, now: u64, announcements: &mut Vec<Announcement>) {
        let Some(register) = self.registers.get_mut(id as usize) else { return };
        register.noted = u64::MAX;
        if register.forget_at <= now {
            return self.close(id);
        }
        let before = register.seen.len();
        let (joined, left) = register.tell(now);
        self.attendees -= before - register.seen.len();
        if register.here > 0 && joined.count + left.count > 0 {
            let (namespace, room) = (register.namespace, register.room.clone());
            announcements.push(Announcement { namespace, room, joined, left });
        }
        self.settle(id);
    }

    fn close(&mut self, id: u32) {
        let Some(register) = self.registers.try_remove(id as usize) else { return };
        self.names[usize::from(register.namespace.0)].remove(&register.room);
        self.attendees -= register.seen.len();
        self.others.all().for_each(|(_, other)| {
            other.wanted.remove(&id);
        });
    }

    /// The entry of somebody who is there, made if there is space for it.
    fn seat(&mut self, id: u32, attendee: &Arc<Attendee>) -> Option<&mut Seen> {
        let full = self.attendees >= self.attendees_max;
        match self.registers.get_mut(id as usize)?.seen.entry(Arc::clone(attendee)) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(_) if full => {
                self.refused += 1;
                None
            }
            Entry::Vacant(entry) => {
                self.attendees += 1;
                Some(entry.insert(Seen::default()))
            }
        }
    }

    /// One more session of somebody is here.
    pub(super) fn is_here(&mut self, id: u32, attendee: &Arc<Attendee>, info: Option<&str>, now: u64) {
        let interval_ms = self.interval_ms;
        let Some(seen) = self.seat(id, attendee) else { return };
        seen.here += 1;
        if seen.here == 1 {
            seen.info = info.map(Into::into);
            let register = &mut self.registers[id as usize];
            (register.here, register.forget_at) = (register.here + 1, u64::MAX);
            register.mark(attendee, now, interval_ms);
            self.changed_here(id, attendee, now);
        }
    }

    /// A session of somebody is not here any more. Whoever had no place is not missed.
    pub(super) fn is_not_here(&mut self, id: u32, attendee: &Arc<Attendee>, now: u64) {
        let gone_at = now.saturating_add(self.debounce_ms);
        let register = &mut self.registers[id as usize];
        let Some(seen) = register.seen.get_mut(attendee).filter(|seen| seen.here > 0) else { return };
        seen.here -= 1;
        if seen.here > 0 {
            return;
        }
        register.here -= 1;
        if register.here == 0 {
            register.forget_at = gone_at;
        }
        self.changed_here(id, attendee, now);
        self.may_be_gone(id, attendee, gone_at, now);
    }

    /// Somebody is on another node. Says whether that was not known.
    pub(super) fn is_there(&mut self, id: u32, attendee: &Arc<Attendee>, other: OtherId) -> bool {
        let Some(seen) = self.seat(id, attendee) else { return false };
        let fresh = !seen.others.contains(&other);
        if fresh {
            seen.others.push(other);
        }
        fresh
    }

    /// Somebody is not on another node any more.
    pub(super) fn is_not_there(&mut self, id: u32, attendee: &Arc<Attendee>, other: OtherId, gone_at: u64, now: u64) {
        let Some(seen) = self.registers[id as usize].seen.get_mut(attendee) else { return };
        let before = seen.others.len();
        seen.others.retain(|known| *known != other);
        if seen.others.len() < before {
            self.may_be_gone(id, attendee, gone_at, now);
        }
    }

    /// Somebody has left, and is gone at `gone_at` unless it is somewhere by then.
    fn may_be_gone(&mut self, id: u32, attendee: &Arc<Attendee>, gone_at: u64, now: u64) {
        let interval_ms = self.interval_ms;
        let register = &mut self.registers[id as usize];
        let Some(seen) = register.seen.get_mut(attendee).filter(|seen| !seen.is_there()) else { return };
        seen.gone_at = gone_at;
        if !seen.told || gone_at <= now {
            return register.mark(attendee, now, interval_ms);
        }
        if !std::mem::replace(&mut seen.queued, true) {
            let serial = register.serial;
            // Nearly always at the end: all wait for equally long.
            let at = self.leaving.partition_point(|(known, ..)| *known <= gone_at);
            self.leaving.insert(at, (gone_at, (id, serial), Arc::clone(attendee)));
        }
    }

    /// Looks at somebody in the queue of those who left, whose time is up.
    pub(super) fn is_gone(&mut self, (id, serial): (u32, u64), attendee: &Arc<Attendee>, now: u64) {
        let register = self.registers.get_mut(id as usize).filter(|register| register.serial == serial);
        let Some(seen) = register.and_then(|register| register.seen.get_mut(attendee)) else { return };
        seen.queued = false;
        let gone_at = seen.gone_at;
        // It may have come back, and have left again since.
        self.may_be_gone(id, attendee, gone_at, now);
        self.settle(id);
    }

    /// Has the other nodes be told about somebody.
    fn changed_here(&mut self, id: u32, attendee: &Arc<Attendee>, now: u64) {
        let register = &mut self.registers[id as usize];
        let Some(seen) = register.seen.get_mut(attendee).filter(|_| self.shared) else { return };
        if !std::mem::replace(&mut seen.unsaid, true) {
            if register.unsaid.is_empty() {
                self.unsaid.push(id);
            }
            register.unsaid.push(Arc::clone(attendee));
            self.news_at = self.news_at.min(now.saturating_add(NEWS_MS));
        }
    }

    /// What the other nodes have not been told, by number.
    pub(super) fn news(&mut self) -> Vec<(u64, Vec<Change>)> {
        let mut news: Vec<(u64, Vec<Change>)> = Vec::new();
        let mut space = 0;
        self.news_at = u64::MAX;
        for id in std::mem::take(&mut self.unsaid) {
            let Some(register) = self.registers.get_mut(id as usize) else { continue };
            let changed = std::mem::take(&mut register.unsaid);
            let mut changed = changed.into_iter().peekable();
            while changed.peek().is_some() {
                if space == 0 {
                    self.number += 1;
                    news.push((self.number, Vec::new()));
                    space = CHANGES_MAX;
                }
                let (namespace, room) = (register.namespace, register.room.clone());
                let mut change = Change { namespace, room, came: Vec::new(), went: Vec::new() };
                for attendee in changed.by_ref().take(space) {
                    space -= 1;
                    let Some(seen) = register.seen.get_mut(&attendee) else { continue };
                    seen.unsaid = false;
                    if seen.here > 0 {
                        change.came.push((attendee, seen.info.clone()));
                    } else {
                        change.went.push(attendee);
                    }
                }
                if let Some((_, changes)) = news.last_mut() {
                    changes.push(change);
                }
            }
        }
        news
    }
}
