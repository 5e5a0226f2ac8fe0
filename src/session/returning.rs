//! A client that lost its connection shows what it was told then, and gets its session back if it can be had.

use super::{Context, Dialect, Session};
use crate::hub::{Identity, NamespaceId, Notes, OutboxId, Restored, Sid};
use crate::metrics::Recovered;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::offset::Offset;
use crate::protocol::socketio::{Kind, Packet};
use std::sync::Arc;

#[cfg(doc)]
use super::Question;

/// A CONNECT that wants a session back; its token has been looked at.
#[derive(Debug)]
pub struct Returning {
    /// The connection that it came on.
    pub outbox: OutboxId,
    /// The namespace that it is for.
    pub namespace: NamespaceId,
    /// Who it is.
    pub identity: Option<Arc<Identity>>,
    /// The session's secret.
    pub pid: Sid,
    /// The last event that the client has heard.
    pub offset: Option<Offset>,
    /// The auth object of the CONNECT.
    pub data: Box<str>,
}

/// Whether the session is back. If it is not, its application's notes go back to where it was parked.
pub type IsBack = Result<(), Option<Notes>>;

/// What came of a CONNECT.
#[derive(Debug)]
pub(super) struct Entered {
    /// Whether a session is back, and why not.
    pub(super) back: Result<(), (Recovered, Option<Notes>)>,
    /// Whether the connection goes on.
    pub(super) ended: Result<(), Disconnect>,
}

impl Session {
    /// Enters the namespace of a CONNECT whose session has been looked for, with it or with a new one.
    pub fn come_back(
        &mut self,
        returning: &Returning,
        found: Result<Box<Restored>, Recovered>,
        cx: &mut Context<'_>,
    ) -> (IsBack, Result<(), Disconnect>) {
        let namespace = cx.hub.namespace_name(returning.namespace).to_owned();
        let wanted = self.socketio_waited(&namespace, cx);
        // It may have been revoked on the way here.
        let identity = Self::holding(returning.identity.as_ref(), cx);
        let packet =
            Packet { kind: Kind::Connect, attachments: 0, namespace: &namespace, id: None, data: &returning.data };
        if !wanted || identity.is_none() != returning.identity.is_none() {
            if wanted {
                self.socketio_unauthenticated(&packet, cx);
            }
            return (Err(found.ok().and_then(|mut restored| restored.take_notes())), Ok(()));
        }
        let Entered { back, ended } = self.socketio_enter(returning.namespace, identity, &packet, found, cx);
        let result = back.as_ref().err().map_or(Recovered::Restored, |(why, _)| *why);
        cx.hub.stats().recoveries[result as usize].add(1);
        (back.map_err(|(_, notes)| notes), ended)
    }

    pub(super) fn note_ping(&self, cx: &mut Context<'_>) {
        if let Dialect::SocketIo(dialect) = &self.dialect
            && cx.hub.recovers()
        {
            dialect.members().into_iter().for_each(|member| cx.hub.pinged(member));
        }
    }

    pub(super) fn note_pong(&self, cx: &mut Context<'_>) {
        if let Dialect::SocketIo(dialect) = &self.dialect
            && cx.hub.recovers()
        {
            dialect.members().into_iter().for_each(|member| cx.hub.ponged(member));
        }
    }
}
