//! Broadcasts of an application: to whom, and how.

use super::Context;
use super::call::Call;
use crate::hub::{Answers, Broadcast, Cast, NamespaceId, OutboxId, Sid};
use crate::protocol::arguments::Arguments;
use crate::protocol::refusal::Refusal;
use crate::protocol::request::{RawEvent, raw_name};
use std::time::Duration;

/// Whom a broadcast is for. It is sent by [`To::emit`] or by [`To::gather`].
#[derive(Debug)]
#[must_use = "nothing is said until it is emitted"]
pub struct To<'a, 'cx> {
    cx: &'a mut Context<'cx>,
    outbox: OutboxId,
    sid: Sid,
    namespace: NamespaceId,
    rooms: Vec<Box<str>>,
    except: Vec<Box<str>>,
    with_sender: bool,
    volatile: bool,
    local: bool,
}

impl<'a, 'cx> To<'a, 'cx> {
    pub(super) fn new(cx: &'a mut Context<'cx>, outbox: OutboxId, sid: Sid, namespace: NamespaceId) -> Self {
        let (rooms, except) = (Vec::new(), Vec::new());
        Self { cx, outbox, sid, namespace, rooms, except, with_sender: false, volatile: false, local: false }
    }

    /// Members of these rooms too; each session gets it once.
    pub fn to<S: AsRef<str>>(mut self, rooms: impl IntoIterator<Item = S>) -> Self {
        self.rooms.extend(rooms.into_iter().map(|room| room.as_ref().into()));
        self
    }

    /// But no members of these.
    pub fn except<S: AsRef<str>>(mut self, rooms: impl IntoIterator<Item = S>) -> Self {
        self.except.extend(rooms.into_iter().map(|room| room.as_ref().into()));
        self
    }

    /// The sender too, if it is among them.
    pub fn with_sender(self) -> Self {
        Self { with_sender: true, ..self }
    }

    /// Not those that take nothing at the moment: what is said is worth nothing later.
    pub fn volatile(self) -> Self {
        Self { volatile: true, ..self }
    }

    /// On this node only.
    pub fn local(self) -> Self {
        Self { local: true, ..self }
    }

    /// Sends the event.
    ///
    /// # Errors
    /// When Socket.IO keeps the name for itself, or a queue was full and some do not get it.
    pub fn emit(self, event: &str, arguments: &Arguments) -> Result<(), Refusal> {
        let name = raw_name(event)?;
        let Self { cx, outbox, sid, namespace, rooms, except, with_sender, volatile, local } = self;
        let raw = RawEvent { name: &name, args: arguments.args(), arity: arguments.arity() };
        let event = Call::as_event(raw, arguments.attachments());
        let exclude = (!with_sender).then_some(outbox);
        let (rooms, except, sender) = (&rooms[..], &except[..], Some(sid));
        let watched = false;
        cx.hub.broadcast(&Cast { namespace, rooms, except, exclude, sender, volatile, local, watched, event }).map(drop)
    }

    /// Sends the event and has every recipient answer within `timeout`. Wait for the answers in a task, not here.
    ///
    /// # Errors
    /// When Socket.IO keeps the name for itself, or too many broadcasts are being answered.
    pub fn gather(self, event: &str, arguments: &Arguments, timeout: Duration) -> Result<Answers, Refusal> {
        let name = raw_name(event)?;
        let Self { cx, sid, namespace, rooms, mut except, with_sender, volatile, local, .. } = self;
        if !with_sender {
            except.push(sid.as_str().into());
        }
        let raw = RawEvent { name: &name, args: arguments.args(), arity: arguments.arity() };
        let mut broadcast = Broadcast::new(namespace, rooms, except, Call::as_event(raw, arguments.attachments()));
        broadcast.volatile = volatile;
        cx.hub.gather(broadcast, timeout, cx.now, local)
    }
}
