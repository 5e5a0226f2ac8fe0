//! The plain dialect: one object a message, JSON or MessagePack.

use super::calling::{Called, Request};
use super::token::{Proof, Purpose, Try, token_in, unauthenticated};
use super::{Answer, Context, Dialect, ReplyTo, Session, disconnect_of};
use crate::hub::{MemberId, NamespaceId, Sid};
use crate::protocol::arguments::Arguments;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::json::{Scanner, write_string};
use crate::protocol::msgpack;
use crate::protocol::native::{self, Packet, Verb};
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::request::{Fields, RawEvent, take_fields};
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

    fn join_first_rooms(&mut self, member: MemberId, sid: Sid, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        for room in std::mem::take(&mut self.native().rooms) {
            let Called { outcome, closing, .. } = self.call_join((NamespaceId::DEFAULT, member, sid), &room, cx);
            match outcome {
                Ok(Answer::Args(answer)) => self.native_tell("{\"joined\":", &answer, cx),
                Ok(Answer::None) => {}
                Err(refusal) => self.native_refuse(None, &refusal, cx),
            }
            self.native_goes_on(closing)?;
        }
        Ok(())
    }

    /// A plain session has one namespace: when a handler has it leave that, it ends.
    fn native_goes_on(&mut self, closing: Option<Disconnect>) -> Result<(), Disconnect> {
        let gone = self.native().member.is_none().then_some(Disconnect::KICKED);
        closing.or(gone).map_or(Ok(()), Err)
    }

    fn native_enter(&mut self, auth: &str, cx: &mut Context<'_>) -> Result<Sid, Disconnect> {
        let (member, sid) = cx.hub.enter(NamespaceId::DEFAULT, self.outbox, self.identity.clone());
        self.native().member = Some((member, sid));
        self.token_begins(cx);
        self.finish_handshake();
        let mut hello = format!("{{\"hello\":{{\"sid\":\"{sid}\",\"node\":");
        write_string(&cx.rules.node, &mut hello);
        let (interval, max) = (cx.rules.rhythm.interval_ms, cx.rules.message.message_bytes);
        let _infallible = write!(hello, ",\"ping_interval_ms\":{interval},\"max_payload_bytes\":{max}}}}}");
        self.send_json(&hello, cx);
        match self.greet(NamespaceId::DEFAULT, member, sid, auth, cx) {
            Ok(closing) => self.native_goes_on(closing)?,
            Err(_) => return Err(Disconnect::FORBIDDEN),
        }
        self.join_first_rooms(member, sid, cx)?;
        Ok(sid)
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
        if packet.several {
            let refusal =
                Refusal::new(Code::BadPacket, "one thing at a time: a packet has one verb, or names an event");
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
        if let Some(Verb::Ack(id)) = packet.verb {
            if let Err(refusal) = self.native_ack(id, packet.fields.data.unwrap_or("null"), attachments, sid, cx) {
                self.native_refuse(packet.id, &refusal, cx);
            }
            return Ok(());
        }
        if let Some(refusal) = Self::may_say(member, cx) {
            self.native_refuse(packet.id, &refusal, cx);
            return Ok(());
        }
        let mut argument = String::new();
        let (event, fields) = match Self::native_event(&packet, text, &mut argument, cx) {
            Ok(asked) => asked,
            Err(refusal) => {
                self.native_refuse(packet.id, &refusal, cx);
                return Ok(());
            }
        };
        let (whom, reply_to) = ((NamespaceId::DEFAULT, member, sid), packet.id.map(|id| ReplyTo::Native(id.into())));
        let Called { outcome, reply_to, closing } =
            self.call(Request { whom, event, fields, attachments, reply_to }, cx);
        match (outcome, reply_to) {
            (Ok(Answer::Args(answer)), Some(reply_to)) => self.answer(member, &reply_to, &answer, cx),
            (Ok(_), _) => {}
            (Err(refusal), reply_to) => self.native_refuse(packet.id.filter(|_| reply_to.is_some()), &refusal, cx),
        }
        self.native_goes_on(closing)
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

    /// The event that a packet stands for. `argument` becomes what an application's handler of a verb finds in it.
    fn native_event<'a>(
        packet: &Packet<'a>,
        text: &str,
        argument: &'a mut String,
        cx: &Context<'_>,
    ) -> Result<(RawEvent<'a>, Fields<'a>), Refusal> {
        let depth = cx.rules.depth_max;
        let (name, rooms) = match packet.verb {
            Some(Verb::Join(rooms)) => ("\"join\"", rooms),
            Some(Verb::Leave(rooms)) => ("\"leave\"", rooms),
            Some(Verb::Publish(rooms)) => ("\"publish\"", rooms),
            Some(Verb::Presence(rooms)) => ("\"presence\"", rooms),
            Some(Verb::Refresh(data)) => {
                let wrong = || Refusal::new(Code::BadPacket, "send the token: {\"refresh\":{\"token\":\"…\"}}");
                let fields = take_fields(&mut Scanner::new(data, depth)).map_err(|_| wrong())?;
                fields.token.ok_or_else(wrong)?;
                return Ok((RawEvent { name: "\"refresh\"", args: data, arity: 1 }, fields));
            }
            None if packet.fields.event.is_some() => {
                let event = RawEvent::said(&packet.fields)?;
                let mut first = Scanner::new(event.args, depth);
                let is_object = first.peek() == Some(b'{');
                let fields = if is_object { take_fields(&mut first)? } else { Fields::default() };
                return Ok((event, fields));
            }
            Some(Verb::Connect(_) | Verb::Ack(_)) | None => {
                let detail = "say one of connect, join, leave, publish, presence, refresh, ack, or name an event";
                return Err(Refusal::new(Code::UnknownEvent, detail));
            }
        };
        let list = rooms.starts_with('[');
        let (room, rooms_listed) = if list { (None, Some(rooms)) } else { (Some(rooms), None) };
        let fields = Fields { room, rooms: rooms_listed, ..packet.fields };
        if cx.rules.application.namespace(NamespaceId::DEFAULT).overrides_vocabulary() {
            *argument = native::argument_of(text, rooms, depth)?;
        }
        let args: &'a str = argument;
        Ok((RawEvent { name, args, arity: u32::from(!args.is_empty()) }, fields))
    }

    fn native_ack(
        &mut self,
        id: &str,
        data: &str,
        attachments: &[Bytes],
        sid: Sid,
        cx: &mut Context<'_>,
    ) -> Result<(), Refusal> {
        let id = id.parse().map_err(|_| Refusal::new(Code::BadPacket, "\"ack\" is the number of the event"))?;
        self.take_answer(id, sid, Arguments::relay(data, 1, attachments)?, cx);
        Ok(())
    }
}
