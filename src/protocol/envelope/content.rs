//! What nodes can say to each other, whatever the format.

use crate::protocol::arguments::Arguments;

/// What one node says to others, in one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who says it; empty when the sender named none, as emitters and the classic answers do.
    pub uid: Box<str>,
    /// The namespace with its slash.
    pub namespace: Box<str>,
    /// What is said.
    pub content: Content,
}

/// Which sessions are meant: those in any of `rooms`, or all when there are none, but for those in any of `except`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// Rooms, among them the ids of sessions, each of which is a room of its own. A room without a name has no members:
    /// it stands for what JavaScript takes for a room and nobody can be in, such as `null`.
    pub rooms: Vec<Box<str>>,
    /// Rooms whose members are left out.
    pub except: Vec<Box<str>>,
}

/// What a node says or asks, or answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// An event for sessions.
    Broadcast {
        /// Who gets it.
        targets: Targets,
        /// Whether it may be lost where a connection is not ready for it.
        volatile: bool,
        /// Name of the event, a JSON string with its quotes.
        name: String,
        /// Its arguments.
        arguments: Arguments,
        /// When answers of the recipients are wanted: under which id. Each node says how many there will be
        /// ([`Content::Count`]) and passes each of them on ([`Content::Answer`]).
        request: Option<Box<str>>,
    },
    /// Sessions join rooms.
    Join {
        /// Which sessions.
        targets: Targets,
        /// The rooms.
        rooms: Vec<Box<str>>,
        /// When the node that has the session says [`Content::Done`]: under which id. Only nodes before version 6.0 of
        /// the Node adapter want that, and name one session; it is read, and never written.
        request: Option<Box<str>>,
    },
    /// Sessions leave rooms.
    Leave {
        /// Which sessions.
        targets: Targets,
        /// The rooms.
        rooms: Vec<Box<str>>,
        /// As for [`Content::Join`].
        request: Option<Box<str>>,
    },
    /// Sessions leave the namespace.
    Disconnect {
        /// Which sessions.
        targets: Targets,
        /// Whether their connections end too.
        close: bool,
        /// As for [`Content::Join`].
        request: Option<Box<str>>,
    },
    /// Asks for the rooms of every node; [`Content::Rooms`] answers. Classic only.
    AllRooms {
        /// Under which id answers come.
        request: Box<str>,
    },
    /// Asks for sessions; [`Content::Found`] answers.
    Fetch {
        /// Under which id answers come.
        request: Box<str>,
        /// Which sessions.
        targets: Targets,
    },
    /// Asks for the ids of the sessions in any of these rooms, or of all; [`Content::Sids`] answers. Classic only, where
    /// nodes of today no longer ask it.
    Sockets {
        /// Under which id answers come.
        request: Box<str>,
        /// The rooms.
        rooms: Vec<Box<str>>,
    },
    /// An event for the applications on the other nodes.
    ServerEmit {
        /// Name of the event, a JSON string with its quotes.
        name: String,
        /// Its arguments.
        arguments: Arguments,
        /// When answers are wanted ([`Content::ServerAnswer`]): under which id.
        request: Option<Box<str>>,
    },
    /// Answers [`Content::AllRooms`].
    Rooms {
        /// Id of the request.
        request: Box<str>,
        /// Rooms with members on this node, among them the ids of its sessions.
        rooms: Vec<String>,
    },
    /// Answers [`Content::Fetch`].
    Found {
        /// Id of the request.
        request: Box<str>,
        /// The sessions on this node that were meant. When there are none, this may be what [`Content::Sids`] says: the
        /// classic format does not tell them apart.
        sockets: Vec<RemoteSocket>,
    },
    /// Answers [`Content::Sockets`].
    Sids {
        /// Id of the request.
        request: Box<str>,
        /// Ids of sessions, at least one when it was decoded.
        sids: Vec<String>,
    },
    /// How many sessions of this node got a broadcast whose answers are wanted.
    Count {
        /// Id of the request.
        request: Box<str>,
        /// How many.
        clients: u64,
    },
    /// What a recipient of such a broadcast answered.
    Answer {
        /// Id of the request.
        request: Box<str>,
        /// One argument or none; of more, the first is said.
        arguments: Arguments,
    },
    /// Answers [`Content::ServerEmit`].
    ServerAnswer {
        /// Id of the request.
        request: Box<str>,
        /// One argument or none; of more, the first is said.
        arguments: Arguments,
    },
    /// Answers a [`Content::Join`], [`Content::Leave`] or [`Content::Disconnect`] that wants it. Classic only.
    Done {
        /// Id of the request.
        request: Box<str>,
    },
    /// A node is there, or goes. Sharded only, where it means nothing: Redis knows who listens.
    Heartbeat,
}

impl Content {
    /// The id of the request that it answers, if it is an answer.
    #[must_use]
    pub fn answers(&self) -> Option<&str> {
        match self {
            Self::Rooms { request, .. }
            | Self::Found { request, .. }
            | Self::Sids { request, .. }
            | Self::Count { request, .. }
            | Self::Answer { request, .. }
            | Self::ServerAnswer { request, .. }
            | Self::Done { request } => Some(request),
            _ => None,
        }
    }
}

/// A session on another node, as [`Content::Found`] describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSocket {
    /// Its id.
    pub id: String,
    /// The rooms it is in, its id among them.
    pub rooms: Vec<String>,
    /// How it connected: raw JSON.
    pub handshake: String,
    /// What the application keeps with it: raw JSON. Binary values have become `{"$binary":"<base64>"}`.
    pub data: String,
}
