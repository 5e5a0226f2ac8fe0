//! How things stand in a room, where somebody knows: whoever joins is told.

use super::Hub;
use futures_util::future::BoxFuture;
use std::fmt::Debug;
use std::sync::Arc;

/// How things stand in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomState {
    /// So, as a JSON object.
    Known(Arc<str>),
    /// Nobody can say at the moment.
    Unavailable,
    /// What the room is about does not exist.
    Missing,
}

/// Knows how things stand in certain rooms of `/`.
pub trait RoomStates: Debug + Send + Sync {
    /// Whether it knows about this room. It must not wait.
    fn knows(&self, room: &str) -> bool;

    /// How things stand in a room: read after this was called, within a bounded time.
    fn state(&self, room: &str) -> BoxFuture<'static, RoomState>;
}

impl Hub {
    /// Has those who join told how things stand. Only the first word counts.
    pub fn show_states(&self, states: Arc<dyn RoomStates>) {
        let _first = self.shared.states.set(states);
    }

    /// Who knows how things stand in rooms, if anybody does.
    #[must_use]
    pub fn states(&self) -> Option<&Arc<dyn RoomStates>> {
        self.shared.states.get()
    }
}
