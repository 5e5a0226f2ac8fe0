//! What nodes say to each other through Redis, in the two formats that Socket.IO's adapters for Node speak.
//!
//! | | |
//! |---|---|
//! | [`classic`] | `createAdapter` of `@socket.io/redis-adapter` 8, and `@socket.io/redis-emitter` 5 |
//! | [`sharded`] | `createShardedAdapter` of the same |
//! | [`Content`] | what can be said, whatever the format |
//! | [`broadcast`] | the broadcast of both: the hot path, written without an [`Envelope`] |
//! | [`channels`] | where it is said: names of channels |
//!
//! Nobody wrote these formats down; they are what those packages do, and `tests/cluster/vectors` holds what they wrote.

pub mod broadcast;
pub mod channels;
pub mod classic;
mod content;
mod fields;
mod plain;
pub mod sharded;
#[cfg(test)]
mod tests;
mod text;

pub use broadcast::Broadcast;
pub use channels::{Channels, Mode, Place};
pub use content::{Content, Envelope, RemoteSocket, Targets};

use super::DecodeError;

/// What is taken from other nodes. Other members of a cluster are trusted to mean well, not to be without faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one payload.
    pub bytes: usize,
    /// Nesting of an event's data, its list of arguments included; at most 60, as there are levels around it.
    pub depth: u8,
    /// Binary values in one payload.
    pub attachments: usize,
    /// Names in one list of rooms, and sessions in one answer.
    pub entries: usize,
}

/// Which of the two formats a cluster speaks. They do not understand each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Of `createAdapter`, and of emitters: plain pub/sub.
    Classic,
    /// Of `createShardedAdapter`: sharded pub/sub.
    Sharded,
}

impl Format {
    /// Decodes what came on a channel of `namespace`. The classic format names the namespace in broadcasts only, where
    /// that counts; in everything else it is that of the channel.
    ///
    /// # Errors
    /// When it is broken, of an unknown kind, or beyond a limit.
    pub fn decode(
        self,
        place: Place<'_>,
        namespace: &str,
        payload: &[u8],
        limits: &Limits,
    ) -> Result<Envelope, DecodeError> {
        match self {
            Self::Classic => classic::decode(place, namespace, payload, limits),
            Self::Sharded => sharded::decode(payload, limits),
        }
    }

    /// Whether a node itself says this, where that is seen at a glance: then it need not be decoded. False when it is not.
    #[must_use]
    pub fn is_said_by(self, uid: &str, payload: &[u8]) -> bool {
        self == Self::Classic && classic::is_said_by(uid, payload)
    }

    /// Encodes what one node says.
    ///
    /// # Errors
    /// When this format has no such content, or a placeholder has no attachment.
    pub fn encode(self, envelope: &Envelope) -> Result<Vec<u8>, DecodeError> {
        match self {
            Self::Classic => classic::encode(envelope),
            Self::Sharded => sharded::encode(envelope),
        }
    }
}
