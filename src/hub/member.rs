//! A session's membership: who it is, and which rooms it is in.

use super::NamespaceId;
use super::address::Sid;
use super::outbox::OutboxId;
use super::room::RoomId;
use smallvec::SmallVec;
use std::sync::Arc;

/// A session in a namespace; valid on its worker only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemberId(pub u32);

/// Who a session is, as far as others may know.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user, if a token named one.
    pub user: Option<String>,
    /// What the token says that presence may show; raw JSON.
    pub info: Option<String>,
}

/// A session in a namespace. A Socket.IO connection has one for each namespace it is connected to.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) sid: Sid,
    pub(super) namespace: NamespaceId,
    pub(super) outbox: OutboxId,
    pub(super) seats: SmallVec<[Seat; 1]>,
    pub(super) identity: Option<Arc<Identity>>,
}

/// A member's place in a room: dropping the member leaves its rooms without a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) room: RoomId,
    /// Index in the room's list.
    pub(super) position: u32,
}
