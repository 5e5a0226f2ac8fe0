//! What this node has heard from the others about who comes and goes, and what it has to ask them. Pure.

use slab::Slab;
use std::collections::{BTreeMap, HashMap};

/// Another node; valid here only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct OtherId(pub(super) u16);

/// Rooms that are asked about at once.
const ASKED_MAX: usize = 256;

/// How long after a question that was not answered, or that came too early, it is asked again.
const AGAIN_MS: u64 = 1_000;
const TOO_EARLY_MS: u64 = 50;

/// How long a node may stay silent that was forgotten while this one heard nobody: it is no deader than the others.
pub(super) const SILENT_MS: u64 = 15_000;

/// Another node.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) uid: Box<str>,
    /// The number of the last news that it is known to have said.
    pub(super) number: u64,
    /// Registers for which its whole attendance is wanted, by their place; whether it is not to be told of, as it was there
    /// before the register.
    pub(super) wanted: BTreeMap<u32, bool>,
    asking: bool,
    ask_at: u64,
    /// Until when it has to be heard again; `u64::MAX` unless it has been forgotten.
    pub(super) silent_until: u64,
}

/// All others.
#[derive(Debug, Default)]
pub(super) struct Others {
    list: Slab<Other>,
    ids: HashMap<Box<str>, OtherId>,
}

impl Others {
    pub(super) fn find(&self, uid: &str) -> Option<OtherId> {
        self.ids.get(uid).copied()
    }

    pub(super) fn get_mut(&mut self, id: OtherId) -> Option<&mut Other> {
        self.list.get_mut(usize::from(id.0))
    }

    pub(super) fn all(&mut self) -> impl Iterator<Item = (OtherId, &mut Other)> {
        self.list.iter_mut().filter_map(|(key, other)| Some((OtherId(u16::try_from(key).ok()?), other)))
    }

    /// One more. `None`: there are more than nodes are ever known.
    pub(super) fn add(&mut self, uid: &str, number: u64) -> Option<OtherId> {
        let id = OtherId(u16::try_from(self.list.vacant_key()).ok()?);
        self.list.insert(Other {
            uid: uid.into(),
            number,
            wanted: BTreeMap::new(),
            asking: false,
            ask_at: 0,
            silent_until: u64::MAX,
        });
        self.ids.insert(uid.into(), id);
        Some(id)
    }

    pub(super) fn remove(&mut self, id: OtherId) -> Option<Other> {
        let other = self.list.try_remove(usize::from(id.0))?;
        self.ids.remove(&other.uid);
        Some(other)
    }
}

impl Other {
    /// When it is to be asked or given up; `u64::MAX` when never.
    pub(super) fn due(&self) -> u64 {
        let ask_at = if self.asking || self.wanted.is_empty() { u64::MAX } else { self.ask_at };
        ask_at.min(self.silent_until)
    }

    /// The registers to ask about now.
    pub(super) fn ask(&mut self, now: u64) -> Vec<u32> {
        if self.asking || self.wanted.is_empty() || self.ask_at > now {
            return Vec::new();
        }
        self.asking = true;
        self.wanted.keys().take(ASKED_MAX).copied().collect()
    }

    /// It has answered, or not: nothing then. Says whether the answer can be used: it is no older than what came since.
    pub(super) fn answered(&mut self, number: Option<u64>, now: u64) -> bool {
        self.asking = false;
        let usable = number.is_some_and(|number| number >= self.number);
        self.ask_at = match number {
            _ if usable => now,
            Some(_) => now.saturating_add(TOO_EARLY_MS),
            None => now.saturating_add(AGAIN_MS),
        };
        usable
    }
}
