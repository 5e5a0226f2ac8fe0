//! Opening a Socket.IO connection, and entering its namespaces.

use super::super::returning::Entered;
use super::super::token::{Proof, Purpose, Try, unauthenticated};
use super::super::{Context, Question, Rejection, Returning, Session, disconnect_of};
use super::waiting::{Waiting, still_waiting};
use crate::hub::{Frame, Identity, MemberId, NamespaceId, Notes, Restored, Sid};
use crate::metrics::Recovered;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::engineio;
use crate::protocol::json::{Scanner, unquote};
use crate::protocol::offset::Offset;
use crate::protocol::socketio::{Head, Kind, Packet, parse_token};
use crate::protocol::{DecodeError, Transport};
use std::rc::Rc;
use std::sync::Arc;

/// Where a session is in a namespace.
struct Place {
    member: MemberId,
    sid: Sid,
    /// What its client shows to come back, if it may.
    pid: Option<Sid>,
    /// What it has missed.
    missed: Option<Rc<Frame>>,
    back: Result<(), (Recovered, Option<Notes>)>,
}

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
            self.socketio_unauthenticated(packet, cx);
            return Ok(());
        }
        if cx.hub.recovers()
            && let Some((pid, offset)) = parse_return(packet.data, cx.rules.depth_max).map_err(disconnect_of)?
        {
            let (outbox, data) = (self.outbox, packet.data.into());
            let returning = Returning { outbox, namespace, identity, pid, offset, data };
            cx.questions.push(Question::Recover(Box::new(returning)));
            self.socketio().wait(namespace);
            return Ok(());
        }
        self.socketio_enter(namespace, identity, packet, Err(Recovered::Unknown), cx).ended
    }

    pub(in super::super) fn socketio_unauthenticated(&self, packet: &Packet<'_>, cx: &mut Context<'_>) {
        Self::count_refusal(&unauthenticated(), cx);
        self.reject(packet.namespace, r#"{"message":"unauthenticated","data":{"code":"unauthenticated"}}"#, cx);
    }

    /// Enters a namespace: with a session that comes back, if there is one and it can be had, or with a new one.
    pub(in super::super) fn socketio_enter(
        &mut self,
        namespace: NamespaceId,
        identity: Option<Arc<Identity>>,
        packet: &Packet<'_>,
        mut found: Result<Box<Restored>, Recovered>,
        cx: &mut Context<'_>,
    ) -> Entered {
        let mut place = self.enter_again_or_anew(namespace, identity, &mut found, cx);
        let (member, sid) = (place.member, place.sid);
        self.socketio().entered.push((namespace, member, sid));
        self.token_begins(cx);
        if let Some(details) = &mut self.details {
            details.keep_auth(namespace, packet.data);
        }
        let head = Head { kind: Kind::Connect, namespace: packet.namespace, id: None };
        let pid = place.pid.map(|pid| format!(",\"pid\":\"{pid}\"")).unwrap_or_default();
        let hello = Frame::direct(self.packet(head, &format!("{{\"sid\":\"{sid}\"{pid}}}"), &[], cx).into());
        // Stock clients keep what comes before the answer until it comes.
        let first = place.missed.take().inspect(|missed| cx.hub.send(self.outbox, missed));
        cx.hub.send(self.outbox, &hello);
        match self.greet(namespace, member, sid, packet.data, cx) {
            Ok(closing) => {
                self.finish_handshake();
                if !std::mem::replace(&mut self.welcomed, true) {
                    // What every session has to say once costs nothing.
                    self.packets.give_back(cx.rules.packets);
                }
                Entered { back: place.back, ended: closing.map_or(Ok(()), Err) }
            }
            Err(rejection) => {
                cx.hub.take_back(self.outbox, first.as_ref().unwrap_or(&hello));
                self.socketio().forget(member);
                let notes = self.details.as_mut().and_then(|details| details.take_notes(namespace));
                if let Some(details) = &mut self.details {
                    details.forget(namespace);
                }
                cx.hub.exit(member);
                self.reject(packet.namespace, &rejection.to_json(), cx);
                let back = place.back.and(Err((Recovered::Refused, notes)));
                Entered { back, ended: Ok(()) }
            }
        }
    }

    fn enter_again_or_anew(
        &mut self,
        namespace: NamespaceId,
        identity: Option<Arc<Identity>>,
        found: &mut Result<Box<Restored>, Recovered>,
        cx: &mut Context<'_>,
    ) -> Place {
        let why = match found {
            Ok(restored) => match cx.hub.enter_again(restored, self.outbox, identity.clone()) {
                Ok((member, sid, missed)) => {
                    if let Some(notes) = restored.take_notes() {
                        self.details.get_or_insert_default().put_notes(namespace, notes);
                    }
                    return Place { member, sid, pid: Some(restored.pid()), missed, back: Ok(()) };
                }
                Err(why) => (why, restored.take_notes()),
            },
            Err(why) => (*why, None),
        };
        let (member, sid) = cx.hub.enter(namespace, self.outbox, identity);
        Place { member, sid, pid: cx.hub.make_lasting(member), missed: None, back: Err(why) }
    }

    fn reject(&self, namespace: &str, data: &str, cx: &mut Context<'_>) {
        self.send_packet(Head { kind: Kind::ConnectError, namespace, id: None }, data, &[], cx);
    }
}

/// The `pid` of a CONNECT packet's auth object and its `offset`, if it wants a session back.
fn parse_return(data: &str, depth_max: u8) -> Result<Option<(Sid, Option<Offset>)>, DecodeError> {
    if data.is_empty() {
        return Ok(None);
    }
    let (mut pid, mut offset) = (None, None);
    Scanner::new(data, depth_max).object(|key, value| match key {
        "\"pid\"" => pid = unquote(value).ok().and_then(|text| Sid::parse(&text)),
        "\"offset\"" => offset = unquote(value).ok(),
        _ => {}
    })?;
    // An offset that is none of ours is one of which nothing is known.
    let unknown = Offset { epoch: 0, number: u64::MAX };
    Ok(pid.map(|pid| (pid, offset.map(|text| Offset::parse(&text).unwrap_or(unknown)))))
}
