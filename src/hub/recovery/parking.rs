//! Sessions that are away: what they need to come back, until their time is up.

use super::brought::Brought;
use crate::hub::NamespaceId;
use crate::hub::address::Sid;
use crate::hub::broadcast::Broadcast;
use crate::hub::member::Identity;
use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What an application has noted about a session; the hub does not look into it.
pub type Notes = Box<dyn Any + Send>;

/// A room that a session was in.
#[derive(Debug, Clone)]
pub(super) struct OwnRoom {
    pub(super) name: Box<str>,
    /// Whether the session could have joined by itself. If so it must be able to still when it comes back; otherwise somebody
    /// has put it there.
    pub(super) by_right: bool,
    /// Where the log of this worker ended when it joined: nothing before is for it.
    pub(super) since: u64,
}

/// A session that is away.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) sid: Sid,
    pub(super) namespace: NamespaceId,
    pub(super) rooms: Vec<OwnRoom>,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) notes: Option<Notes>,
    /// What it brought from another worker, until it is certain that its client has got it.
    pub(super) brought: Option<Box<Brought>>,
    /// Up to this position of the log its client has got everything for certain.
    pub(super) sure: u64,
    pub(super) until: u64,
    /// Whether it is on its way back already.
    pub(super) claimed: bool,
    /// Whether its ids lead here although they name another place.
    pub(super) moved: bool,
}

impl Parked {
    /// Whether what stands at this position of the log concerns the session.
    pub(super) fn misses(&self, at: u64, said: &Broadcast) -> bool {
        concerns(said, at, self.namespace, self.sid, &self.rooms)
    }
}

/// What stands in no log was said when the session was in all its rooms.
pub(super) const LATEST: u64 = u64::MAX;

/// Whether a broadcast that was handed out when the log ended at `at` is for a session in these rooms: its own id is one of
/// them.
pub(super) fn concerns(said: &Broadcast, at: u64, namespace: NamespaceId, sid: Sid, rooms: &[OwnRoom]) -> bool {
    let is_in = |name: &str| name == sid.as_str() || rooms.iter().any(|room| room.since <= at && *room.name == *name);
    said.namespace == namespace
        && said.sender != Some(sid)
        && (said.rooms.is_empty() || said.rooms.iter().any(|name| is_in(name)))
        && !said.except.iter().any(|name| is_in(name))
}

/// All that are away, by pid.
#[derive(Debug, Default)]
pub(super) struct Parking {
    sessions: HashMap<Sid, Parked>,
    /// Whose time is up next: all may be away for equally long. Those who came back leave an entry behind for a while.
    due: VecDeque<(u64, Sid)>,
    /// How many of them, or of those that are about to come back here, watch a room.
    watched: HashMap<(NamespaceId, Box<str>), u32>,
}

impl Parking {
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn get(&self, pid: Sid) -> Option<&Parked> {
        self.sessions.get(&pid)
    }

    pub(super) fn get_mut(&mut self, pid: Sid) -> Option<&mut Parked> {
        self.sessions.get_mut(&pid)
    }

    pub(super) fn insert(&mut self, pid: Sid, parked: Parked) {
        self.due.push_back((parked.until, pid));
        self.sessions.insert(pid, parked);
        if self.due.len() > 2 * self.sessions.len() + 64 {
            let sessions = &self.sessions;
            self.due.retain(|(until, pid)| sessions.get(pid).is_some_and(|parked| parked.until == *until));
        }
    }

    pub(super) fn remove(&mut self, pid: Sid) -> Option<Parked> {
        self.sessions.remove(&pid)
    }

    /// The pid of a session whose time is up at `now`, or of the one that has been away longest when there are more than
    /// `most`.
    pub(super) fn overdue(&mut self, now: u64, most: usize) -> Option<Sid> {
        while let Some(&(until, pid)) = self.due.front() {
            if self.sessions.get(&pid).is_none_or(|parked| parked.until != until) {
                self.due.pop_front();
                continue;
            }
            if until > now && self.sessions.len() <= most {
                return None;
            }
            self.due.pop_front();
            return Some(pid);
        }
        None
    }

    /// Those who are meant.
    pub(super) fn matching(&self, meant: impl Fn(&Parked) -> bool) -> Vec<Sid> {
        self.sessions.iter().filter(|(_, parked)| meant(parked)).map(|(pid, _)| *pid).collect()
    }

    /// One more watches a room. Says whether it is the first.
    pub(super) fn watch(&mut self, namespace: NamespaceId, room: &str) -> bool {
        let count = self.watched.entry((namespace, room.into())).or_default();
        *count += 1;
        *count == 1
    }

    /// One fewer watches a room. Says whether it was the last.
    pub(super) fn unwatch(&mut self, namespace: NamespaceId, room: &str) -> bool {
        let key = (namespace, room.into());
        let Some(count) = self.watched.get_mut(&key) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            self.watched.remove(&key);
        }
        last
    }
}
