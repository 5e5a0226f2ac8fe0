//! A broadcast: borrowed as a session hands it in, owned as it travels between threads.

use super::NamespaceId;
use super::address::Sid;
use super::outbox::OutboxId;
use crate::adapter::Said;
use crate::protocol::event::{Event, Scope};
use crate::protocol::offset::Offset;
use crate::protocol::request::RawEvent;
use crate::protocol::{DecodeError, Wire};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};

/// A broadcast by a session of this worker.
#[derive(Debug)]
pub struct Cast<'a, S> {
    /// Namespace of the rooms.
    pub namespace: NamespaceId,
    /// Every member of any of them gets the event once. Without any, everybody in the namespace does. The id of a session
    /// is a room that it alone is in.
    pub rooms: &'a [S],
    /// Members of any of these get nothing.
    pub except: &'a [S],
    /// The session that is left out, if the sender does not want its own event.
    pub exclude: Option<OutboxId>,
    /// The id of that session.
    pub sender: Option<Sid>,
    /// Whether sessions that take nothing at the moment are left out, rather than it waits for them.
    pub volatile: bool,
    /// Whether other nodes do not hear of it.
    pub local: bool,
    /// Whether somebody waits to hear that other nodes get it.
    pub watched: bool,
    /// What is said.
    pub event: Event<'a>,
}

impl<S> Cast<'_, S> {
    /// Whether nothing but its room says who gets it.
    pub(super) fn is_plain(&self) -> bool {
        self.except.is_empty() && !self.volatile && self.event.ack.is_none()
    }
}

/// A broadcast on its way to workers, with the frames that have been encoded so far.
#[derive(Debug)]
pub struct Broadcast {
    /// Namespace of the rooms.
    pub namespace: NamespaceId,
    /// Every member of any of them gets the event once; without any, everybody in the namespace.
    pub rooms: Vec<Box<str>>,
    /// Members of any of these get nothing.
    pub except: Vec<Box<str>>,
    /// Whether sessions that take nothing at the moment are left out.
    pub volatile: bool,
    /// The session that is left out, if it is; only where it may come back and ask for what it missed.
    pub(super) sender: Option<Sid>,
    /// Its number, where sessions may come back.
    pub(super) offset: Option<Offset>,
    name: Box<str>,
    args: Box<str>,
    arity: u32,
    attachments: Vec<Bytes>,
    ack: Option<u64>,
    frames: [OnceLock<Result<Bytes, DecodeError>>; Wire::COUNT],
}

impl Broadcast {
    /// Copies what has to outlive the packet it came in.
    #[must_use]
    pub fn new(namespace: NamespaceId, rooms: Vec<Box<str>>, except: Vec<Box<str>>, event: Event<'_>) -> Self {
        Self {
            namespace,
            rooms,
            except,
            volatile: false,
            sender: None,
            offset: None,
            name: event.raw.name.into(),
            args: event.raw.args.into(),
            arity: event.raw.arity,
            attachments: event.attachments.to_vec(),
            ack: event.ack,
            frames: Default::default(),
        }
    }

    /// A copy of a session's broadcast, with the frames that its own worker has encoded.
    pub(super) fn of_cast<S: AsRef<str>>(cast: &Cast<'_, S>, encoded: &Encoded<'_, S>) -> Self {
        let own = |names: &[S]| names.iter().map(|name| name.as_ref().into()).collect();
        let mut broadcast = Self::new(cast.namespace, own(cast.rooms), own(cast.except), cast.event);
        broadcast.volatile = cast.volatile;
        for (slot, bytes) in broadcast.frames.iter().zip(&encoded.frames) {
            if let Some(bytes) = bytes {
                let fresh = slot.set(Ok(bytes.clone()));
                debug_assert!(fresh.is_ok());
            }
        }
        broadcast
    }

    /// What is said.
    pub(super) fn event(&self) -> Event<'_> {
        Event {
            raw: RawEvent { name: &self.name, args: &self.args, arity: self.arity },
            attachments: &self.attachments,
            ack: self.ack,
            offset: self.offset,
        }
    }

    /// The same, for other nodes.
    pub(super) fn said(&self) -> Said<'_, Box<str>> {
        Said { event: self.event(), rooms: &self.rooms, except: &self.except, volatile: self.volatile }
    }

    /// The final bytes for `wire`, encoded if nobody has needed them yet.
    pub(super) fn bytes(&self, wire: Wire, namespace: &str) -> Result<&Bytes, DecodeError> {
        let encode = || {
            let mut out = Vec::new();
            self.event().encode(wire, Scope { namespace, rooms: &self.rooms }, &mut out)?;
            Ok(Bytes::from(out))
        };
        self.frames[wire.index()].get_or_init(encode).as_ref().map_err(|error| *error)
    }

    /// Has every recipient answer under this number.
    pub(super) fn ask_for_answers(&mut self, number: u32) {
        self.ack = Some(number.into());
        self.frames = Default::default();
    }

    /// The number under which recipients answer, if they do.
    pub(super) fn ack_number(&self) -> Option<u32> {
        self.ack.and_then(|ack| u32::try_from(ack).ok())
    }

    /// Bytes that this takes in an inbox, roughly.
    pub(super) fn cost(&self) -> usize {
        let attached: usize = self.attachments.iter().map(Bytes::len).sum();
        let names: usize = self.rooms.iter().chain(&self.except).map(|name| name.len() + 32).sum();
        512 + names + self.name.len() + 2 * self.args.len() + attached
    }
}

/// The frames of one broadcast on one worker: encoded on first need.
pub(super) struct Encoded<'a, S> {
    event: Event<'a>,
    scope: Scope<'a, S>,
    pub(super) shared: Option<&'a Arc<Broadcast>>,
    frames: [Option<Bytes>; Wire::COUNT],
    /// How many frames were encoded here, by wire.
    pub(super) fresh: [u64; Wire::COUNT],
}

impl<'a, S: AsRef<str>> Encoded<'a, S> {
    pub(super) fn new(event: Event<'a>, scope: Scope<'a, S>, shared: Option<&'a Arc<Broadcast>>) -> Self {
        Self { event, scope, shared, frames: Default::default(), fresh: [0; Wire::COUNT] }
    }

    /// The final bytes for `wire`.
    pub(super) fn frame(&mut self, wire: Wire) -> Result<&Bytes, DecodeError> {
        let i = wire.index();
        if self.frames[i].is_none() {
            let (event, scope, fresh) = (self.event, self.scope, &mut self.fresh[i]);
            let mut encode = || {
                *fresh += 1;
                let mut out = Vec::new();
                event.encode(wire, scope, &mut out)?;
                Ok(Bytes::from(out))
            };
            let bytes = match self.shared {
                Some(broadcast) => broadcast.frames[i].get_or_init(encode).clone()?,
                None => encode()?,
            };
            self.frames[i] = Some(bytes);
        }
        self.frames[i].as_ref().ok_or(DecodeError::Packet)
    }

    /// The final bytes for `wire` as an owned reference. Where no other worker may need them they are given away, which
    /// saves an allocation for the second reference.
    pub(super) fn own_frame(&mut self, wire: Wire, alone: bool) -> Result<Bytes, DecodeError> {
        let bytes = self.frame(wire)?;
        if !alone {
            return Ok(bytes.clone());
        }
        self.frames[wire.index()].take().ok_or(DecodeError::Packet)
    }

    /// Appends the final bytes for `wire`; where no other worker may need them they are not kept.
    pub(super) fn append(&mut self, wire: Wire, alone: bool, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        if alone && self.shared.is_none() && self.frames[wire.index()].is_none() {
            self.event.encode(wire, self.scope, out)?;
            self.fresh[wire.index()] += 1;
        } else {
            out.extend_from_slice(self.frame(wire)?);
        }
        Ok(())
    }
}
