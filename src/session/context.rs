//! What passes between a session and its worker.

use super::raw::Entrance;
use super::rules::Rules;
use crate::hub::{Identity, Local, Sid};
use crate::protocol::{Transport, Wire};
use std::sync::Arc;

/// What a session needs from its worker for the length of one call.
#[derive(Debug)]
pub struct Context<'a> {
    /// The worker's part of the hub.
    pub hub: &'a mut Local,
    /// What is allowed.
    pub rules: &'a Rules,
    /// Milliseconds since the worker started.
    pub now: u64,
    /// Questions that other workers have to answer too.
    pub questions: &'a mut Vec<Question>,
}

/// A question of a session that cannot be answered at once.
#[derive(Debug)]
pub struct Question {
    /// Who asks.
    pub sid: Sid,
    /// Where the answer belongs.
    pub reply_to: ReplyTo,
    /// The room asked about.
    pub room: Box<str>,
    /// Only members after this one.
    pub cursor: Option<Sid>,
    /// Most members in the answer.
    pub limit: usize,
}

/// Which request an answer belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplyTo {
    /// The id of a Socket.IO event.
    SocketIo(u64),
    /// The raw id of a plain packet.
    Native(Box<str>),
}

/// How a connection came to be: what its handshake said.
#[derive(Debug)]
pub struct Handshake {
    /// The encoding that it asked for.
    pub wire: Wire,
    /// How its bytes travel.
    pub transport: Transport,
    /// Who it is, if its token was in the handshake.
    pub identity: Option<Arc<Identity>>,
    /// Rooms to join at once.
    pub rooms: Vec<String>,
    /// The application's own address that it came to.
    pub entrance: Option<Arc<Entrance>>,
}
