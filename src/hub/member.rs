//! A session's membership: who it is, and which rooms it is in.

use super::NamespaceId;
use super::address::Sid;
use super::outbox::OutboxId;
use super::policy::{Grant, Right, Rights};
use super::recovery::Lasting;
use super::room::RoomId;
use crate::limiter::Key;
use smallvec::SmallVec;
use std::sync::Arc;

/// A session in a namespace; valid on its worker only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemberId(pub u32);

/// Who a session is, and what its token allows it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user, if a token named one.
    pub user: Option<String>,
    /// Whose key set verified the token, if there are several: a user is one of this issuer's.
    pub issuer: Option<Arc<str>>,
    /// What the token says that presence may show; raw JSON.
    pub info: Option<String>,
    /// Id of the token, by which it can be revoked.
    pub token: Option<Box<str>>,
    /// When the token expires, in milliseconds since 1970.
    pub expires_at: Option<u64>,
    /// What the token allows beyond what every session may.
    pub grants: Box<[Grant]>,
}

impl Identity {
    /// What the token allows in a room.
    #[must_use]
    pub fn granted(&self, room: &str) -> Rights {
        let matching = self.grants.iter().filter(|grant| grant.pattern.matches(room));
        matching.fold(Rights::default(), |sum, grant| sum.or(grant.allow))
    }

    /// What the user's rate is counted by, on all nodes; `None`: nobody by name.
    #[must_use]
    pub fn rate_key(&self) -> Option<Key> {
        Some(Key::of_user(self.issuer.as_deref(), self.user.as_deref()?))
    }

    /// Whether its token comes from this issuer; everybody's does when none is named.
    #[must_use]
    pub fn is_of(&self, issuer: Option<&Arc<str>>) -> bool {
        issuer.is_none_or(|issuer| self.issuer.as_ref() == Some(issuer))
    }

    /// Whether two sessions belong to the same user, or to nobody by name.
    #[must_use]
    pub fn is_same(one: Option<&Self>, other: Option<&Self>) -> bool {
        let who = |identity: &Self| (identity.user.clone(), identity.issuer.clone());
        one.map(who) == other.map(who)
    }

    /// Whether a token of this user may take the place of this one.
    #[must_use]
    pub fn is_same_user(&self, other: &Self) -> bool {
        self.user.is_some() && self.user == other.user && self.issuer == other.issuer
    }
}

/// A session in a namespace. A Socket.IO connection has one for each namespace it is connected to.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) sid: Sid,
    pub(super) namespace: NamespaceId,
    pub(super) outbox: OutboxId,
    pub(super) seats: SmallVec<[Seat; 1]>,
    pub(super) identity: Option<Arc<Identity>>,
    /// What it needs to come back, if it may.
    pub(super) lasting: Option<Box<Lasting>>,
}

impl Member {
    /// What its token allows in a room that it is not in.
    pub(super) fn granted(&self, room: &str) -> Rights {
        self.identity.as_ref().map(|identity| identity.granted(room)).unwrap_or_default()
    }
}

/// A member's place in a room: dropping the member leaves its rooms without a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) room: RoomId,
    /// Index in the room's list.
    pub(super) position: u32,
    /// What the session's token allows in the room: looked up when it joined.
    pub(super) granted: Rights,
}

impl Seat {
    /// Whether its token let the session in.
    pub(super) fn by_token(self) -> bool {
        self.granted.has(Right::Join)
    }
}
