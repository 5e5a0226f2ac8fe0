//! Remembers who was where and when, and what was published, so that a move between servers can be judged afterwards.
//!
//! Only kept when clients have a server to go to: every publish costs an entry.

use crate::checker::Sequence;

/// What a client was told before its connection ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Farewell {
    /// `server.draining` came, with this many milliseconds to wait before reconnecting.
    pub(crate) draining: Option<u64>,
    /// A Socket.IO DISCONNECT packet (`41`) came: a stock client would not reconnect.
    pub(crate) disconnect_packet: bool,
    /// Code of the WebSocket close frame, if one came.
    pub(crate) close_code: Option<u16>,
}

/// A client's time in its room on one server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stay {
    /// Index of the client.
    pub(crate) user: u32,
    /// Whether it came there from elsewhere: from the first server, or back after its connection had ended.
    pub(crate) moved: bool,
    /// When its join was answered.
    pub(crate) joined_at: u64,
    /// When it saw its connection end; absent while it lasts.
    pub(crate) closed_at: Option<u64>,
    /// Whether it went on with the session before it.
    pub(crate) recovered: bool,
    /// Whether it ended the connection itself.
    pub(crate) left: bool,
    /// What it was told at the end.
    pub(crate) farewell: Farewell,
}

/// A publish that was handed to the socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    /// Index of the room.
    pub(crate) room: u32,
    /// Index of the publisher in its room.
    pub(crate) publisher: u32,
    /// Position in the publisher's sequence.
    pub(crate) sequence: u64,
    /// When it was written.
    pub(crate) at: u64,
}

/// Everything one worker, or all together, remember.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// All stays.
    pub(crate) stays: Vec<Stay>,
    /// All publishes.
    pub(crate) published: Vec<Published>,
    /// What each client saw of its room's publishers.
    pub(crate) seen: Vec<(u32, Vec<Sequence>)>,
    /// Connection attempts to the second server that failed.
    pub(crate) retries: u64,
}

impl Journal {
    /// Adds another worker's entries.
    pub(crate) fn add(&mut self, other: Self) {
        self.stays.extend(other.stays);
        self.published.extend(other.published);
        self.seen.extend(other.seen);
        self.retries += other.retries;
    }
}
