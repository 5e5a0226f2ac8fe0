//! The plain dialect: one object a message, JSON or MessagePack.

use super::token::{Proof, Purpose, Try, token_in, unauthenticated};
use super::vocabulary::published_answer;
use super::{Call, Context, Dialect, ReplyTo, Session, disconnect_of};
use crate::hub::{MemberId, NamespaceId, SessionEvent, Sid};
use crate::protocol::arguments::Arguments;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::name::check_room_name;
use crate::protocol::native::{self, Packet, Verb};
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::request::{Fields, RawEvent, room_list};
use crate::protocol::websocket::{Opcode, write_frame};
use crate::protocol::{DecodeError, Wire, msgpack};
use bytes::Bytes;
use std::fmt::Write as _;

/// State of a plain connection.
#[derive(Debug, Default)]
pub(super) struct Native {
    /// Set once it is authenticated.
    member: Option<(MemberId, Sid)>,
    /// Whether it speaks MessagePack.
    pub(super) packed: bool,
    /// Rooms of its address, to be joined once it may.
    rooms: Vec<String>,
}

impl Native {
    pub(super) fn member(&self) -> Option<MemberId> {
        self.member.map(|(member, _)| member)
    }

    /// Forgets that it is a member. `None` if it is not.
    pub(super) fn forget(&mut self, member: MemberId) -> Option<(NamespaceId, Sid)> {
        let (_, sid) = self.member.take_if(|(known, _)| *known == member)?;
        Some((NamespaceId::DEFAULT, sid))
    }
}

impl Session {
    fn native(&mut self) -> &mut Native {
        match &mut self.dialect {
            Dialect::Native(dialect) => dialect,
            _ => unreachable!("called for plain sessions only"),
        }
    }

    /// Says hello, if the session may be here already, and joins the rooms of its address.
    pub(super) fn native_open(&mut self, rooms: Vec<String>, cx: &mut Context<'_>) {
        self.native().packed = cx.hub.outbox(self.outbox).is_some_and(|outbox| outbox.is_packed());
        self.native().rooms = rooms;
        if !cx.rules.application.namespace(NamespaceId::DEFAULT).has_vocabulary() {
            cx.hub.close(self.outbox, Disconnect::FORBIDDEN);
        } else if (self.identity.is_some() || cx.rules.access.is_open())
            && let Err(disconnect) = self.native_enter("", cx)
        {
            cx.hub.close(self.outbox, disconnect);
        }
    }

    fn join_first_rooms(&mut self, member: MemberId, cx: &mut Context<'_>) {
        for room in std::mem::take(&mut self.native().rooms) {
            let joined = check_room_name(&room)
                .and_then(|()| self.join(member, &std::iter::once(room.as_str().into()).collect(), cx));
            match joined {
                Ok(answer) => self.send_json(&format!("{{\"joined\":{answer}}}"), cx),
                Err(refusal) => self.native_refuse(None, &refusal, cx),
            }
        }
    }

    fn native_enter(&mut self, auth: &str, cx: &mut Context<'_>) -> Result<Sid, Disconnect> {
        let (member, sid) = cx.hub.enter(NamespaceId::DEFAULT, self.outbox, self.identity.clone());
        self.native().member = Some((member, sid));
        self.token_begins(cx);
        let _first = self.finish_handshake();
        let mut hello = format!("{{\"hello\":{{\"sid\":\"{sid}\",\"node\":\"{}\"", cx.rules.node);
        let (interval, max) = (cx.rules.rhythm.interval_ms, cx.rules.message.message_bytes);
        let _infallible = write!(hello, ",\"ping_interval_ms\":{interval},\"max_payload_bytes\":{max}}}}}");
        self.send_json(&hello, cx);
        match self.greet(NamespaceId::DEFAULT, member, sid, auth, cx) {
            Ok(None) => {
                self.join_first_rooms(member, cx);
                Ok(sid)
            }
            Ok(Some(disconnect)) => Err(disconnect),
            Err(_) => Err(Disconnect::FORBIDDEN),
        }
    }

    pub(super) fn native_text(&mut self, text: &str, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        if self.native().packed {
            return Err(Disconnect::UNSUPPORTED_DATA);
        }
        self.native_packet(text, &[], cx)
    }

    pub(super) fn native_binary(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), Disconnect> {
        if !self.native().packed {
            return Err(Disconnect::UNSUPPORTED_DATA);
        }
        let packet = msgpack::to_json(bytes, cx.rules.depth_max, cx.rules.attachments_max).map_err(disconnect_of)?;
        self.native_packet(&packet.json, &packet.attachments, cx)
    }

    fn native_packet(&mut self, text: &str, attachments: &[Bytes], cx: &mut Context<'_>) -> Result<(), Disconnect> {
        cx.hub.stats().packets_received[self.wire().index()].add(1);
        let packet = Packet::parse(text, cx.rules.depth_max).map_err(disconnect_of)?;
        if let Some(refusal) = self.admit(cx)? {
            self.native_refuse(packet.id, &refusal, cx);
            return Ok(());
        }
        if let Some(Verb::Connect(data)) = packet.verb {
            return self.native_connect(packet.id, data, Try::First, cx);
        }
        let Some((member, sid)) = self.native().member else {
            if self.is_proving() {
                let refusal = Refusal::new(Code::Unavailable, "the token is still being looked at");
                self.native_refuse(packet.id, &refusal, cx);
                return Ok(());
            }
            return Err(Disconnect::UNAUTHENTICATED);
        };
        match self.native_obey(&packet, member, sid, attachments, cx) {
            Ok(Some(answer)) => {
                if let Some(id) = packet.id {
                    self.native_answer(id, &answer, cx);
                }
            }
            Ok(None) => {}
            Err(refusal) => self.native_refuse(packet.id, &refusal, cx),
        }
        Ok(())
    }

    /// Connects with the token of a packet.
    pub(super) fn native_connect(
        &mut self,
        id: Option<&str>,
        data: &str,
        nth: Try,
        cx: &mut Context<'_>,
    ) -> Result<(), Disconnect> {
        if self.native().member.is_some() || (nth == Try::First && self.is_proving()) {
            self.native_refuse(id, &Refusal::new(Code::BadPacket, "connected already"), cx);
            return Ok(());
        }
        let token = token_in(data, cx.rules.depth_max).map_err(disconnect_of)?;
        let again = || Purpose::Connect(id.map(Into::into), data.into());
        let proof = token.map_or(Proof::Nobody, |token| self.prove(&token, nth, again, cx));
        match proof {
            Proof::Is(identity) => self.identity = Some(identity),
            Proof::Waits => return Ok(()),
            Proof::Nobody => {
                Self::count_refusal(&unauthenticated(), cx);
                return Err(Disconnect::UNAUTHENTICATED);
            }
        }
        let sid = self.native_enter(data, cx)?;
        if let Some(id) = id {
            self.native_answer(id, &format!("{{\"sid\":\"{sid}\"}}"), cx);
        }
        Ok(())
    }

    fn native_obey(
        &mut self,
        packet: &Packet<'_>,
        member: MemberId,
        sid: Sid,
        attachments: &[Bytes],
        cx: &mut Context<'_>,
    ) -> Result<Option<String>, Refusal> {
        let most = cx.rules.rooms_max;
        match packet.verb {
            Some(Verb::Publish(rooms)) => {
                let event = RawEvent::from_fields(&packet.fields)?;
                self.publish(member, &room_list(rooms, most)?, &packet.fields, Call::as_event(event, attachments), cx)?;
                let fields = Fields { rooms: Some(rooms), ..Fields::default() };
                Ok(packet.id.map(|_| published_answer(&fields)))
            }
            Some(Verb::Join(rooms)) => self.join(member, &room_list(rooms, most)?, cx).map(Some),
            Some(Verb::Leave(rooms)) => Self::leave(member, &room_list(rooms, most)?, cx).map(Some),
            Some(Verb::Presence(room)) => {
                if let (Some(id), [room]) = (packet.id, &*room_list(room, 1)?) {
                    Self::ask_presence(member, sid, room, &packet.fields, ReplyTo::Native(id.into()), cx)?;
                }
                Ok(None)
            }
            Some(Verb::Refresh(data)) => {
                let wrong = |_| Refusal::new(Code::BadPacket, "send the token: {\"refresh\":{\"token\":\"…\"}}");
                let token =
                    token_in(data, cx.rules.depth_max).map_err(wrong)?.ok_or_else(|| wrong(DecodeError::Json))?;
                let reply_to = packet.id.map(|id| ReplyTo::Native(id.into()));
                self.refresh((member, sid), &token, reply_to, Try::First, cx)
            }
            Some(Verb::Ack(id)) => {
                let id = id.parse().map_err(|_| Refusal::new(Code::BadPacket, "\"ack\" is the number of the event"))?;
                self.native_ack(id, packet.fields.data.unwrap_or("null"), attachments, sid, cx)?;
                Ok(None)
            }
            Some(Verb::Connect(_)) | None => {
                let detail = "say one of connect, join, leave, publish, presence, refresh, ack";
                Err(Refusal::new(Code::UnknownEvent, detail))
            }
        }
    }

    fn native_ack(
        &mut self,
        id: u64,
        data: &str,
        attachments: &[Bytes],
        sid: Sid,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        self.take_answer(id, sid, Arguments::relay(data, 1, attachments)?, cx);
        Ok(())
    }

    pub(super) fn native_refuse(&mut self, id: Option<&str>, refusal: &Refusal, cx: &mut Context<'_>) {
        Self::count_refusal(refusal, cx);
        self.send_json(&native::error(id, refusal), cx);
    }

    pub(super) fn native_answer(&mut self, id: &str, answer: &str, cx: &mut Context<'_>) {
        self.send_json(&native::ok(id, answer), cx);
    }

    pub(super) fn native_emit(&self, event: &SessionEvent, id: Option<u64>, cx: &mut Context<'_>) {
        let mut text = format!("{{\"event\":{}", event.name);
        let arguments = &event.arguments;
        // A packed wire takes binary as it is; JSON has only text for it.
        let attachments = if self.wire() == Wire::MsgPack { arguments.attachments() } else { &[] };
        let args =
            if attachments.is_empty() { arguments.to_text().unwrap_or_default() } else { arguments.args().into() };
        let _infallible = match arguments.arity() {
            0 => Ok(()),
            1 => write!(text, ",\"data\":{args}"),
            _ => write!(text, ",\"args\":[{args}]"),
        };
        if let Some(id) = id {
            let _infallible = write!(text, ",\"ack\":{id}");
        }
        text.push('}');
        self.send_with(&text, attachments, cx);
    }

    fn send_json(&self, text: &str, cx: &mut Context<'_>) {
        self.send_with(text, &[], cx);
    }

    fn send_with(&self, text: &str, attachments: &[Bytes], cx: &mut Context<'_>) {
        let mut frame = Vec::new();
        if self.wire() == Wire::MsgPack {
            let packed = msgpack::from_json(text, attachments).unwrap_or_default();
            write_frame(Opcode::Binary, &packed, &mut frame);
        } else {
            write_frame(Opcode::Text, text.as_bytes(), &mut frame);
        }
        cx.hub.send_bytes(self.outbox, frame);
    }
}
