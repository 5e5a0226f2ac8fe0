//! What the book learns of other nodes as a whole: who is in rooms there, and that one is gone.

use super::attendee::Attendee;
use super::book::{Book, Whole};
use super::others::{OtherId, SILENT_MS};
use std::collections::HashSet;
use std::collections::btree_map::Entry;
use std::sync::Arc;

impl Book {
    /// Wants to hear from another node who is in all rooms.
    pub(super) fn want_all_of(&mut self, other: OtherId, now: u64) {
        let Some(other) = self.others.get_mut(other) else { return };
        for (key, register) in &mut self.registers {
            let id = u32::try_from(key).unwrap_or(u32::MAX);
            let before = register.is_young(now);
            if let Entry::Vacant(wanted) = other.wanted.entry(id) {
                wanted.insert(before);
                register.awaited += usize::from(before);
            }
        }
    }

    /// Another node has said who is in a room there: nobody, if it does not know the room. `before`: they were there before
    /// this node had members of the room.
    pub(super) fn take_whole(&mut self, id: u32, other: OtherId, whole: Option<Whole>, before: bool, now: u64) {
        let (there, lately) = whole.map_or_else(Default::default, |whole| (whole.there, whole.lately));
        let there: HashSet<_> = there.into_iter().filter_map(Attendee::read).map(Arc::new).collect();
        let register = &self.registers[id as usize];
        let known = register.seen.iter().filter(|(_, seen)| seen.others.contains(&other));
        let went: Vec<_> = known
            .filter(|(attendee, _)| !there.contains(*attendee))
            .map(|(attendee, _)| Arc::clone(attendee))
            .collect();
        for attendee in went {
            self.is_not_there(id, &attendee, other, now.saturating_add(self.debounce_ms), now);
        }
        for attendee in there {
            let fresh = self.is_there(id, &attendee, other);
            let register = &mut self.registers[id as usize];
            if !before && fresh {
                register.mark(&attendee, now, self.interval_ms);
            }
            if let Some(seen) = register.seen.get_mut(&attendee) {
                seen.told |= before;
            }
        }
        for attendee in lately.into_iter().filter_map(Attendee::read).filter(|_| before) {
            if let Some(seen) = self.registers[id as usize].seen.get_mut(&attendee) {
                seen.told = true;
            }
        }
    }

    /// Forgets another node; whoever was nowhere else is gone at `gone_at`.
    pub(super) fn forget_other(&mut self, other: OtherId, gone_at: u64, now: u64) {
        let Some(forgotten) = self.others.remove(other) else { return };
        for (id, before) in forgotten.wanted {
            let Some(register) = self.registers.get_mut(id as usize).filter(|_| before) else { continue };
            register.awaited = register.awaited.saturating_sub(1);
        }
        let ids: Vec<_> = self.names.iter().flat_map(|names| names.values()).copied().collect();
        for id in ids {
            let seen = self.registers[id as usize].seen.iter();
            let there: Vec<_> = seen
                .filter(|(_, seen)| seen.others.contains(&other))
                .map(|(attendee, _)| Arc::clone(attendee))
                .collect();
            for attendee in there {
                self.is_not_there(id, &attendee, other, gone_at, now);
            }
            self.settle(id);
        }
    }

    /// Forgets the nodes that were forgotten while this one heard nobody, and are still silent although it does again. Says
    /// whether it has to be looked again.
    pub(super) fn give_up_silent(&mut self, hears: bool, now: u64) -> bool {
        let silent = self.others.all().filter(|(_, other)| other.silent_until < u64::MAX);
        let silent: Vec<_> = silent.map(|(id, other)| (id, other.silent_until)).collect();
        for (id, until) in &silent {
            match self.others.get_mut(*id) {
                Some(other) if !hears => other.silent_until = now.saturating_add(SILENT_MS),
                _ if *until <= now => self.forget_other(*id, now, now),
                _ => {}
            }
        }
        !silent.is_empty()
    }
}
