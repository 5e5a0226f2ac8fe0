//! Namespaces that a connection enters once the key of its token has been fetched.

use super::super::{Context, Session};
use super::SocketIo;
use crate::hub::NamespaceId;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::socketio::{Head, Kind, Packet};
use smallvec::SmallVec;

/// At most one entry for each namespace.
pub(super) type Entries = SmallVec<[(NamespaceId, Waiting); 4]>;

/// What is to happen when the key has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The namespace is entered, or refused.
    ToEnter,
    /// Nothing: the client has left before it was in.
    GivenUp,
}

impl SocketIo {
    pub(super) fn waiting(&self, namespace: NamespaceId) -> Option<Waiting> {
        let found = self.waiting.as_ref()?.iter().find(|(known, _)| *known == namespace);
        found.map(|(_, waiting)| *waiting)
    }

    /// Notes that a namespace is to be entered when the key of its token has come.
    pub(super) fn wait(&mut self, namespace: NamespaceId) {
        self.waiting.get_or_insert_default().push((namespace, Waiting::ToEnter));
    }

    fn give_up(&mut self, namespace: NamespaceId) {
        let entries = self.waiting.iter_mut().flat_map(|entries| entries.iter_mut());
        entries.filter(|(known, _)| *known == namespace).for_each(|(_, waiting)| *waiting = Waiting::GivenUp);
    }

    fn take_waiting(&mut self, namespace: NamespaceId) -> Option<Waiting> {
        let entries = self.waiting.as_mut()?;
        let at = entries.iter().position(|(known, _)| *known == namespace)?;
        let (_, waiting) = entries.swap_remove(at);
        if entries.is_empty() {
            self.waiting = None;
        }
        Some(waiting)
    }
}

impl Session {
    /// Ends the wait for a namespace. Says whether it is to be entered still.
    pub(in super::super) fn socketio_waited(&mut self, namespace: &str, cx: &Context<'_>) -> bool {
        let namespace = cx.hub.namespace(namespace);
        namespace.and_then(|namespace| self.socketio().take_waiting(namespace)) == Some(Waiting::ToEnter)
    }

    /// Takes a packet for a namespace that is not entered yet, since the key of its token is being fetched.
    pub(super) fn socketio_early(
        &mut self,
        namespace: NamespaceId,
        packet: &Packet<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), Disconnect> {
        if let Some(refusal) = self.admit(cx)? {
            Self::count_refusal(&refusal, cx);
            return Ok(());
        }
        match packet.kind {
            Kind::Disconnect => self.socketio().give_up(namespace),
            Kind::Event | Kind::BinaryEvent => {
                let refusal = still_waiting();
                Self::count_refusal(&refusal, cx);
                let mut error = String::new();
                refusal.write_json(&mut error);
                let (kind, data) = match packet.id {
                    Some(_) => (Kind::Ack, format!("[{{\"error\":{error}}}]")),
                    None => (Kind::Event, format!("[\"error\",{error}]")),
                };
                let head = Head { kind, namespace: packet.namespace, id: packet.id };
                self.send_packet(head, &data, &[], cx);
            }
            // Nothing has been asked of it there, so nobody waits for its answers.
            _ => {}
        }
        Ok(())
    }
}

/// What is answered to whoever does not wait.
pub(super) fn still_waiting() -> Refusal {
    Refusal::new(Code::Unavailable, "the token is still being looked at")
}
