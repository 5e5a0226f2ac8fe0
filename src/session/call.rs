//! What a handler is given: what the client said, who it is, and what can be done for it.

use super::cast::To;
use super::later::Later;
use super::membership::Leaving;
use super::{Context, ReplyTo, Session};
use crate::hub::{Hub, Identity, MemberId, NamespaceId, SessionEvent, Sid};
use crate::lifecycle;
use crate::protocol::Transport;
use crate::protocol::arguments::{Arguments, parse_arg, parse_list};
use crate::protocol::disconnect::Disconnect;
use crate::protocol::event::Event;
use crate::protocol::name::check_room_name;
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::request::{Fields, RawEvent};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::future::Future;
use std::time::Duration;
use tokio::sync::oneshot;

/// An event of a client on its way to its handler.
#[derive(Debug)]
pub struct Call<'a, 'cx> {
    pub(super) session: &'a mut Session,
    pub(super) cx: &'a mut Context<'cx>,
    pub(super) member: MemberId,
    pub(super) sid: Sid,
    pub(super) namespace: NamespaceId,
    pub(super) event: RawEvent<'a>,
    pub(super) fields: Fields<'a>,
    pub(super) attachments: &'a [Bytes],
    pub(super) reply_to: Option<ReplyTo>,
    /// Set once the handler has ended the session.
    pub(super) closing: Option<Disconnect>,
}

/// What a handler answers, if the client asked for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing, or it comes later.
    None,
    /// These arguments.
    Args(Arguments),
}

impl Answer {
    /// One argument.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self, Refusal> {
        Arguments::of(&(value,)).map(Self::Args).map_err(|_| no_form())
    }

    /// One argument that is known to be valid JSON.
    #[must_use]
    pub fn raw(json: impl Into<String>) -> Self {
        Self::Args(Arguments::json(json))
    }
}

impl<'cx> Call<'_, 'cx> {
    // === what was said ===

    /// The arguments as the client wrote them: raw JSON, separated by commas.
    #[must_use]
    pub fn raw_args(&self) -> &str {
        self.event.args
    }

    /// How many there are.
    #[must_use]
    pub fn arity(&self) -> u32 {
        self.event.arity
    }

    /// The binary values that placeholders in the arguments stand for.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        self.attachments
    }

    /// The arguments as they came, to be passed on.
    ///
    /// # Errors
    /// When a placeholder has no attachment, or shares one.
    pub fn arguments(&self) -> Result<Arguments, Refusal> {
        let RawEvent { args, arity, .. } = self.event;
        Arguments::relay(args, arity, self.attachments).map_err(Into::into)
    }

    /// The arguments as a list or a tuple; [`crate::protocol::arguments::Binary`] stands for
    /// binary values, and [`crate::protocol::arguments::Argument`] for anything.
    ///
    /// # Errors
    /// When they are others.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        parse_list(self.event.args, self.attachments).map_err(|_| wrong_arguments())
    }

    /// One argument; one that the client did not send is `null`.
    ///
    /// # Errors
    /// When it is another.
    pub fn arg<T: DeserializeOwned>(&self, n: usize) -> Result<T, Refusal> {
        parse_arg(self.event.args, n, self.attachments).map_err(|_| wrong_arguments())
    }

    /// Whether the client asked for an answer.
    #[must_use]
    pub fn wants_ack(&self) -> bool {
        self.reply_to.is_some()
    }

    // === who said it ===

    /// The id of the session in this namespace.
    #[must_use]
    pub fn sid(&self) -> Sid {
        self.sid
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> NamespaceId {
        self.namespace
    }

    /// Its name.
    #[must_use]
    pub fn namespace_name(&self) -> &str {
        self.cx.hub.namespace_name(self.namespace)
    }

    /// Who the client is, if a token said so.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.cx.hub.identity_of(self.member).map(AsRef::as_ref)
    }

    /// What the handshake said, if handshakes are kept.
    #[must_use]
    pub fn handshake(&self) -> Option<&super::HandshakeDetails> {
        self.session.details.as_deref()?.handshake.as_ref()
    }

    /// The auth object of the client's CONNECT: `{}` when there was none, or when handshakes are not kept. While it
    /// connects, its first argument is that too.
    #[must_use]
    pub fn auth(&self) -> Value {
        let details = self.session.details.as_deref();
        details
            .and_then(|details| details.auth_of(self.namespace))
            .unwrap_or_else(|| Value::Object(serde_json::Map::new()))
    }

    /// What the application notes about this session in this namespace: one value of each type, until it leaves.
    pub fn note<T: std::any::Any + Send + Default>(&mut self) -> &mut T {
        self.session.details.get_or_insert_default().note(self.namespace)
    }

    /// How the bytes of the session travel.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.session.transport()
    }

    /// Whether this is a session that lost its connection and came back, with its id, its rooms and what is noted about it.
    #[must_use]
    pub fn recovered(&self) -> bool {
        self.cx.hub.has_come_back(self.member)
    }

    // === rooms ===

    /// The rooms that the session is in, sorted.
    #[must_use]
    pub fn rooms(&self) -> Vec<String> {
        self.cx.hub.rooms_of(self.member)
    }

    /// Joins a room. Returns how many members it has on this node.
    ///
    /// # Errors
    /// When the name is not valid or a limit is reached.
    pub fn join(&mut self, room: &str) -> Result<u32, Refusal> {
        check_room_name(room)?;
        self.cx.hub.join(self.member, room)
    }

    /// Leaves a room. Returns whether the session was in it.
    pub fn leave(&mut self, room: &str) -> bool {
        self.cx.hub.leave(self.member, room)
    }

    // === speaking ===

    /// Sends an event to this client.
    ///
    /// # Errors
    /// When Socket.IO keeps the name for itself.
    pub fn emit(&mut self, event: &str, arguments: Arguments) -> Result<(), Refusal> {
        self.send(event, arguments, None).map(drop)
    }

    /// Sends an event to this client and asks for its answer, which comes in its time: wait for it in a task, not here. The
    /// way to it closes when the time is up or the session ends.
    ///
    /// # Errors
    /// When Socket.IO keeps the name for itself, or too many answers are awaited.
    pub fn emit_with_ack(
        &mut self,
        event: &str,
        arguments: Arguments,
        timeout: Duration,
    ) -> Result<oneshot::Receiver<Arguments>, Refusal> {
        self.send(event, arguments, Some(timeout))?
            .ok_or_else(|| Refusal::new(Code::Unavailable, "the session has ended"))
    }

    fn send(
        &mut self,
        event: &str,
        arguments: Arguments,
        ack_timeout: Option<Duration>,
    ) -> Result<Option<oneshot::Receiver<Arguments>>, Refusal> {
        let event = SessionEvent { ack_timeout, ..SessionEvent::new(event, arguments)? };
        if self.cx.hub.sid_of(self.member).is_none() {
            return Ok(None);
        }
        self.session.emit(self.member, &event, self.cx)
    }

    /// Everybody in these rooms but this client; the id of a session is a room that it alone is in.
    pub fn to<S: AsRef<str>>(&mut self, rooms: impl IntoIterator<Item = S>) -> To<'_, 'cx> {
        To::new(self.cx, self.session.outbox, self.sid, self.namespace).to(rooms)
    }

    /// Everybody in the namespace but this client.
    pub fn broadcast(&mut self) -> To<'_, 'cx> {
        self.to::<&str>([])
    }

    // === ending ===

    /// Leaves the namespace; the client is told. With `close` its transport ends too, once the handler has returned.
    pub fn disconnect(&mut self, close: bool) {
        if close {
            self.closing = Some(Disconnect::KICKED);
        } else {
            self.session.leave_namespace(self.member, Disconnect::KICKED, Leaving::Told, self.cx);
        }
    }

    // === later ===

    /// Takes the right to answer away from here: the answer comes later, from a task. Without one the client is told when
    /// what is returned is dropped.
    ///
    /// # Errors
    /// When too many answers to this session are outstanding.
    pub fn defer(&mut self) -> Result<Later, Refusal> {
        let ticket = self.session.take_ticket()?;
        Ok(Later::new(self.cx.hub.hub(), self.sid, self.reply_to.take(), ticket))
    }

    /// Runs a task on this worker, beside everything else that it does: it may wait, but not work for long.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        lifecycle::spawn_on_worker(task);
    }

    /// All rooms and sessions, for tasks.
    #[must_use]
    pub fn hub(&self) -> Hub {
        self.cx.hub.hub()
    }

    /// The event and what its placeholders stand for.
    pub(super) fn as_event<'e>(event: RawEvent<'e>, attachments: &'e [Bytes]) -> Event<'e> {
        Event { raw: event, attachments, ack: None, offset: None }
    }
}

fn wrong_arguments() -> Refusal {
    Refusal::new(Code::BadPacket, "these are not the arguments of the event")
}

fn no_form() -> Refusal {
    Refusal::new(Code::Internal, "the answer has no JSON form")
}
