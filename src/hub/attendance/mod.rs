//! Who comes to rooms and goes from them, for rooms whose policy has their members told.
//!
//! Each node tells its own members, and nobody else's: of users, and of sessions that are nobody's, once for all their
//! sessions, wherever these are. So nodes need no agreement. What each knows of the others comes from their news, which
//! have numbers; whoever misses one asks for the whole.
//!
//! | | |
//! |---|---|
//! | [`book`], [`keeping`], [`elsewhere`] | the registers of all rooms, single attendees, and other nodes as a whole |
//! | [`register`] | one room: who is there, and who its members have been told of |
//! | [`others`] | the other nodes: which of their news have been heard, and what they are to be asked |
//! | [`telling`] | what the book wants done: events, news, questions |
//!
//! # Invariants
//! - Rooms without such a policy cost nothing, and sessions remember nothing of it.
//! - Whoever is told of has been absent, or there, for good: the members have not been told the same last.
//! - Attendees are bounded, those who left and may come back unnoticed among them.

mod attendee;
mod book;
mod elsewhere;
mod keeping;
mod others;
mod register;
mod telling;
#[cfg(test)]
mod tests;

use super::address::Sid;
use super::local::Local;
use super::member::{Identity, MemberId};
use super::room::RoomId;
use super::{NamespaceId, Shared};
use crate::config::PresenceSettings;
use crate::lifecycle;
use attendee::Attendee;
use book::Book;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What is known of who is where, for any thread.
#[derive(Debug)]
pub(super) struct Attendance {
    book: Mutex<Book>,
    /// There is something to do earlier than was known.
    wake: Notify,
}

impl Attendance {
    pub(super) fn new(settings: &PresenceSettings, namespaces: usize, alone: bool) -> Self {
        Self { book: Mutex::new(Book::new(settings, namespaces, !alone)), wake: Notify::new() }
    }

    fn open(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the book, and wakes whoever does what it wants if that is earlier now.
    fn change<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.open();
        let outcome = act(&mut book);
        if book.is_earlier() {
            self.wake.notify_one();
        }
        outcome
    }

    /// The number of the last news.
    pub(super) fn number(&self) -> u64 {
        self.open().number()
    }
}

impl Shared {
    /// Milliseconds since the hub began.
    fn now_ms(&self) -> u64 {
        let since = lifecycle::now().saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn came(&self, place: (NamespaceId, &str), sid: Sid, identity: Option<&Identity>) {
        let (attendee, now) = (Attendee::of(sid, identity), self.now_ms());
        let info = identity.and_then(|identity| identity.info.as_deref());
        self.attendance.change(|book| book.came(place, attendee, info, now));
    }

    fn went(&self, place: (NamespaceId, &str), sid: Sid, identity: Option<&Identity>) {
        let (attendee, now) = (Attendee::of(sid, identity), self.now_ms());
        self.attendance.change(|book| book.went(place, attendee, now));
    }
}

impl Local {
    /// Notes that a session joined a room, if its members are to be told.
    pub(super) fn note_join(&self, room: RoomId, member: MemberId) {
        let room = &self.rooms[room.0 as usize];
        let member = self.members.get(member.0 as usize);
        if self.limits.policies.get(room.rules).presence_events
            && let Some(member) = member
        {
            self.shared.came((room.namespace, &room.name), member.sid, member.identity.as_deref());
        }
    }

    /// Notes that a session left a room, if its members are to be told.
    pub(super) fn note_leave(&self, room: RoomId, sid: Sid, identity: Option<&Identity>) {
        let room = &self.rooms[room.0 as usize];
        if self.limits.policies.get(room.rules).presence_events {
            self.shared.went((room.namespace, &room.name), sid, identity);
        }
    }
}
