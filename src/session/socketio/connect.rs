//! Opening a Socket.IO connection, and entering its namespaces.

use super::super::token::{Proof, Purpose, Try, unauthenticated};
use super::super::{Context, Rejection, Session, disconnect_of};
use super::waiting::{Waiting, still_waiting};
use crate::hub::{Frame, NamespaceId, Sid};
use crate::protocol::Transport;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::engineio;
use crate::protocol::socketio::{Head, Kind, Packet, parse_token};

impl Session {
    /// Sends the packet that opens an Engine.IO session, with this id.
    pub(in super::super) fn engineio_open(&self, sid: Sid, cx: &mut Context<'_>) {
        let open = engineio::Open {
            sid: sid.as_str(),
            may_upgrade: self.transport == Transport::Polling,
            ping_interval_ms: cx.rules.rhythm.interval_ms,
            ping_timeout_ms: cx.rules.rhythm.timeout_ms,
            max_payload: self.message_limits(cx.rules).message_bytes,
        };
        self.send_text(&open.encode(), cx);
    }

    /// Enters the namespace of a CONNECT, if its token is good.
    pub(in super::super) fn socketio_connect(
        &mut self,
        packet: &Packet<'_>,
        nth: Try,
        cx: &mut Context<'_>,
    ) -> Result<(), Disconnect> {
        let token = parse_token(packet.data, cx.rules.depth_max).map_err(disconnect_of)?;
        let token = token.filter(|_| cx.rules.access.reads_tokens());
        let Some(namespace) = cx.hub.namespace(packet.namespace) else {
            self.reject(packet.namespace, r#"{"message":"Invalid namespace"}"#, cx);
            return Ok(());
        };
        if self.socketio().entered.iter().any(|entered| entered.0 == namespace) {
            return Ok(());
        }
        match self.socketio().waiting(namespace) {
            // The answer to the first CONNECT is the answer to this one too.
            Some(Waiting::ToEnter) if nth == Try::First => return Ok(()),
            Some(Waiting::GivenUp) if nth == Try::First => {
                let refusal = still_waiting();
                Self::count_refusal(&refusal, cx);
                self.reject(packet.namespace, &Rejection::from(refusal).to_json(), cx);
                return Ok(());
            }
            _ => {}
        }
        let again = || Purpose::Enter { namespace: packet.namespace.into(), data: packet.data.into() };
        let identity = match &token {
            Some(token) => match self.prove(token, nth, again, cx) {
                Proof::Is(identity) => Some(identity),
                Proof::Nobody => None,
                Proof::Waits => {
                    self.socketio().wait(namespace);
                    return Ok(());
                }
            },
            None => Self::holding(self.identity.as_ref(), cx),
        };
        if identity.is_none() && (token.is_some() || !cx.rules.access.is_open()) {
            Self::count_refusal(&unauthenticated(), cx);
            self.reject(packet.namespace, r#"{"message":"unauthenticated","data":{"code":"unauthenticated"}}"#, cx);
            return Ok(());
        }
        self.socketio_enter(namespace, identity, packet, cx)
    }

    fn socketio_enter(
        &mut self,
        namespace: NamespaceId,
        identity: Option<std::sync::Arc<crate::hub::Identity>>,
        packet: &Packet<'_>,
        cx: &mut Context<'_>,
    ) -> Result<(), Disconnect> {
        let (member, sid) = cx.hub.enter(namespace, self.outbox, identity);
        self.socketio().entered.push((namespace, member, sid));
        self.token_begins(cx);
        if let Some(details) = &mut self.details {
            details.keep_auth(namespace, packet.data);
        }
        let head = Head { kind: Kind::Connect, namespace: packet.namespace, id: None };
        let hello = Frame::direct(self.packet(head, &format!("{{\"sid\":\"{sid}\"}}"), &[], cx).into());
        cx.hub.send(self.outbox, &hello);
        match self.greet(namespace, member, sid, packet.data, cx) {
            Ok(closing) => {
                self.finish_handshake();
                if !std::mem::replace(&mut self.welcomed, true) {
                    // What every session has to say once costs nothing.
                    self.packets.give_back(cx.rules.packets);
                }
                closing.map_or(Ok(()), Err)
            }
            Err(rejection) => {
                cx.hub.take_back(self.outbox, &hello);
                self.socketio().forget(member);
                if let Some(details) = &mut self.details {
                    details.forget(namespace);
                }
                cx.hub.exit(member);
                self.reject(packet.namespace, &rejection.to_json(), cx);
                Ok(())
            }
        }
    }

    fn reject(&self, namespace: &str, data: &str, cx: &mut Context<'_>) {
        self.send_packet(Head { kind: Kind::ConnectError, namespace, id: None }, data, &[], cx);
    }
}
