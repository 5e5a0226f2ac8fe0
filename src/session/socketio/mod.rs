//! The Socket.IO dialect: Engine.IO packets, namespaces, acks, attachments, in the form of either parser.

mod connect;
mod send;
mod waiting;

use super::calling::{Called, Request};
use super::later::error_of;
use super::membership::Leaving;
use super::token::Try;
use super::{Answer, Context, Dialect, ReplyTo, Session, disconnect_of};
use crate::hub::{MemberId, NamespaceId, SessionEvent, Sid};
use crate::protocol::arguments::Arguments;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::refusal::Refusal;
use crate::protocol::socketio::{Kind, Packet, parse_ack, parse_event};
use crate::protocol::{Wire, engineio, socketio_msgpack};
use bytes::Bytes;
use smallvec::SmallVec;

/// State of a Socket.IO connection.
#[derive(Debug, Default)]
pub(super) struct SocketIo {
    /// The namespaces that it is connected to.
    entered: SmallVec<[(NamespaceId, MemberId, Sid); 1]>,
    /// A packet that waits for its attachments.
    assembly: Option<Box<Assembly>>,
    /// Those that it enters when the key of its token has come.
    waiting: Option<Box<waiting::Entries>>,
    parser: Parser,
}

/// How the packets of a connection are written: its first one tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Parser {
    #[default]
    Unknown,
    /// `socket.io-parser`: text, and attachments behind it.
    Text,
    /// `socket.io-msgpack-parser`: each packet is a binary message.
    MsgPack,
}

#[derive(Debug)]
struct Assembly {
    /// The packet's text, without Engine.IO's digit.
    text: String,
    expected: usize,
    attachments: Vec<Bytes>,
    bytes: usize,
}

impl SocketIo {
    pub(super) fn members(&self) -> SmallVec<[MemberId; 1]> {
        self.entered.iter().map(|(_, member, _)| *member).collect()
    }

    pub(super) fn wire(&self) -> Wire {
        if self.parser == Parser::MsgPack { Wire::SocketIoMsgPack } else { Wire::SocketIo }
    }

    /// Takes a member off the list. `None` if it is not on it.
    pub(super) fn forget(&mut self, member: MemberId) -> Option<(NamespaceId, Sid)> {
        let at = self.entered.iter().position(|entered| entered.1 == member)?;
        let (namespace, _, sid) = self.entered.swap_remove(at);
        Some((namespace, sid))
    }
}

impl Session {
    fn socketio(&mut self) -> &mut SocketIo {
        match &mut self.dialect {
            Dialect::SocketIo(dialect) => dialect,
            _ => unreachable!("called for Socket.IO sessions only"),
        }
    }

    pub(super) fn socketio_text(&mut self, text: &str, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        match engineio::Packet::parse(text).map_err(disconnect_of)? {
            engineio::Packet::Message(packet) => self.socketio_packet(packet, cx),
            engineio::Packet::Pong => {
                self.heartbeat.heard(cx.now, cx.rules.rhythm);
                self.note_pong(cx);
                Ok(())
            }
            engineio::Packet::Close => Err(Disconnect::CLIENT_CLOSED),
            engineio::Packet::Ping(data) => {
                if self.admit(cx)?.is_none() {
                    self.send_text(&format!("3{data}"), cx);
                }
                Ok(())
            }
            engineio::Packet::Upgrade | engineio::Packet::Noop => self.note(cx),
        }
    }

    pub(super) fn socketio_binary(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), Disconnect> {
        match self.socketio().parser {
            Parser::MsgPack => self.socketio_map(bytes, cx),
            Parser::Text => self.socketio_attachment(bytes, cx),
            Parser::Unknown => {
                // Nobody has entered anything yet, so no room counts this session under its old wire.
                self.socketio().parser = Parser::MsgPack;
                cx.hub.switch_wire(self.outbox, Wire::SocketIoMsgPack);
                self.socketio_map(bytes, cx)
            }
        }
    }

    fn socketio_map(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), Disconnect> {
        cx.hub.stats().packets_received[Wire::SocketIoMsgPack.index()].add(1);
        let (depth, attachments) = (cx.rules.depth_max, cx.rules.attachments_max);
        let map = socketio_msgpack::decode(bytes, depth, attachments).map_err(disconnect_of)?;
        let packet = socketio_msgpack::parse(&map).map_err(disconnect_of)?;
        self.socketio_complete(&packet, &map.attachments, cx)
    }

    fn socketio_attachment(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Result<(), Disconnect> {
        let Some(assembly) = &mut self.socketio().assembly else { return Err(Disconnect::PROTOCOL) };
        assembly.bytes += bytes.len();
        if assembly.bytes > cx.rules.message.message_bytes {
            return Err(Disconnect::TOO_LARGE);
        }
        assembly.attachments.push(Bytes::copy_from_slice(bytes));
        if assembly.attachments.len() < assembly.expected {
            return Ok(());
        }
        let Some(assembly) = self.socketio().assembly.take() else { return Ok(()) };
        let packet = Packet::parse(&assembly.text, cx.rules.attachments_max).map_err(disconnect_of)?;
        self.socketio_complete(&packet, &assembly.attachments, cx)
    }

    fn socketio_packet(&mut self, text: &str, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        cx.hub.stats().packets_received[self.wire().index()].add(1);
        let packet = Packet::parse(text, cx.rules.attachments_max).map_err(disconnect_of)?;
        let dialect = self.socketio();
        if dialect.assembly.is_some() || dialect.parser == Parser::MsgPack {
            return Err(Disconnect::PROTOCOL);
        }
        dialect.parser = Parser::Text;
        if packet.attachments > 0 {
            let (text, expected) = (text.to_owned(), packet.attachments);
            let bytes = text.len();
            self.socketio().assembly = Some(Box::new(Assembly { text, expected, attachments: Vec::new(), bytes }));
            return Ok(());
        }
        self.socketio_complete(&packet, &[], cx)
    }

    fn socketio_complete(
        &mut self,
        packet: &Packet<'_>,
        attachments: &[Bytes],
        cx: &mut Context<'_>,
    ) -> Result<(), Disconnect> {
        if packet.kind == Kind::Connect {
            if let Some(refusal) = self.admit(cx)? {
                Self::count_refusal(&refusal, cx);
                return Ok(());
            }
            return self.socketio_connect(packet, Try::First, cx);
        }
        let Some(namespace) = cx.hub.namespace(packet.namespace) else { return Err(Disconnect::PROTOCOL) };
        let entered = self.socketio().entered.iter().find(|entered| entered.0 == namespace).copied();
        let Some((_, member, sid)) = entered else {
            return match self.socketio().waiting(namespace) {
                Some(_) => self.socketio_early(namespace, packet, cx),
                None => Err(Disconnect::PROTOCOL),
            };
        };
        match packet.kind {
            Kind::Event | Kind::BinaryEvent => {
                let (event, fields) = parse_event(packet.data, cx.rules.depth_max).map_err(disconnect_of)?;
                let (whom, reply_to) = ((namespace, member, sid), packet.id.map(ReplyTo::SocketIo));
                let request = Request { whom, event, fields, attachments, reply_to };
                self.socketio_event(request, packet.id, cx)
            }
            Kind::Ack | Kind::BinaryAck => {
                let id = packet.id.ok_or(Disconnect::PROTOCOL)?;
                let answer = parse_ack(packet.data, cx.rules.depth_max).map_err(disconnect_of)?;
                let answer = Arguments::relay_list(answer, attachments).map_err(disconnect_of)?;
                // Only answers that nobody awaits count against the rate.
                if self.take_answer(id, sid, answer, cx) { Ok(()) } else { self.note(cx) }
            }
            Kind::Disconnect => {
                self.note(cx)?;
                self.leave_namespace(member, Disconnect::CLIENT_CLOSED, Leaving::Quietly, cx);
                Ok(())
            }
            Kind::Connect | Kind::ConnectError => Err(Disconnect::PROTOCOL),
        }
    }

    fn socketio_event(
        &mut self,
        request: Request<'_>,
        id: Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<(), Disconnect> {
        let (_, member, _) = request.whom;
        if let Some(refusal) = self.admit(cx)?.or_else(|| Self::may_say(member, cx)) {
            self.socketio_refuse(member, id, &refusal, cx);
            return Ok(());
        }
        let Called { outcome, reply_to, closing } = self.call(request, cx);
        // A handler that defers takes the right to answer with it.
        let id = id.filter(|_| reply_to.is_some());
        match (outcome, id) {
            (Ok(Answer::Args(answer)), Some(id)) => self.socketio_ack(member, id, &answer, cx),
            (Ok(_), _) => {}
            (Err(refusal), id) => self.socketio_refuse(member, id, &refusal, cx),
        }
        closing.map_or(Ok(()), Err)
    }

    pub(super) fn socketio_refuse(
        &mut self,
        member: MemberId,
        id: Option<u64>,
        refusal: &Refusal,
        cx: &mut Context<'_>,
    ) {
        Self::count_refusal(refusal, cx);
        match id {
            Some(id) => self.socketio_ack(member, id, &error_of(refusal), cx),
            None => {
                let mut json = String::new();
                refusal.write_json(&mut json);
                let name = "\"error\"".to_owned();
                let event = SessionEvent { name, arguments: Arguments::json(json), ack_timeout: None };
                self.socketio_emit(member, &event, None, cx);
            }
        }
    }
}
