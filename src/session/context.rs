//! What passes between a session and its worker.

use super::later::Later;
use super::raw::Entrance;
use super::returning::Returning;
use super::rules::Rules;
use super::token::Unproven;
use crate::hub::{Identity, Local, OutboxId, Sid};
use crate::protocol::{Transport, Wire};
use std::sync::Arc;
use tokio::sync::Semaphore;

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

/// What a session needs that is not here at once.
#[derive(Debug)]
pub enum Question {
    /// Who is in a room, on all workers.
    Presence(WhoIsThere),
    /// The key of a token.
    Key(Unproven),
    /// What a client left behind when it lost its connection.
    Recover(Box<Returning>),
    /// To be looked at by the clock, since something is due at another time now.
    Look(OutboxId),
}

/// A question about the members of a room.
#[derive(Debug)]
pub struct WhoIsThere {
    /// Who asks.
    pub sid: Sid,
    /// Where the answer belongs.
    pub answer: Later,
    /// A session asks one such question at a time; the others wait for their turn.
    pub turn: Arc<Semaphore>,
    /// The room asked about.
    pub room: Box<str>,
    /// Only members after this one.
    pub cursor: Option<Sid>,
    /// Most members in the answer.
    pub limit: usize,
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
    /// All that it said, if the application wants to know.
    pub details: Option<Box<HandshakeDetails>>,
}

/// What a handshake said, as far as an application may want to know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandshakeDetails {
    /// Path and query.
    pub url: String,
    /// The query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The headers, in order; what is no text is left out.
    pub headers: Vec<(String, String)>,
}
