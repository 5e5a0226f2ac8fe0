//! The Socket.IO dialect: Engine.IO packets, namespaces, acks, attachments.

use super::vocabulary::{event_of, published_answer};
use super::{Context, Dialect, ReplyTo, Session, disconnect_of};
use crate::hub::{MemberId, NamespaceId, SessionEvent, Sid};
use crate::protocol::Transport;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::engineio;
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::request::{Fields, RawEvent};
use crate::protocol::socketio::{Kind, Packet, parse_ack, parse_event, parse_token, write_head};
use crate::protocol::websocket::{Opcode, write_frame};
use bytes::Bytes;
use smallvec::SmallVec;

/// State of a Socket.IO connection.
#[derive(Debug, Default)]
pub(super) struct SocketIo {
    /// The namespaces that it is connected to.
    entered: SmallVec<[(NamespaceId, MemberId, Sid); 1]>,
    /// A packet that waits for its attachments.
    assembly: Option<Box<Assembly>>,
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
}

impl Session {
    fn socketio(&mut self) -> &mut SocketIo {
        match &mut self.dialect {
            Dialect::SocketIo(dialect) => dialect,
            _ => unreachable!("called for Socket.IO sessions only"),
        }
    }

    /// Sends the packet that opens an Engine.IO session. Returns the id in it.
    pub(super) fn engineio_open(&self, cx: &mut Context<'_>) -> Sid {
        let sid = cx.hub.fresh_sid(self.outbox);
        let open = engineio::Open {
            sid: sid.as_str(),
            may_upgrade: self.transport == Transport::Polling,
            ping_interval_ms: cx.rules.rhythm.interval_ms,
            ping_timeout_ms: cx.rules.rhythm.timeout_ms,
            max_payload: self.message_limits(cx.rules).message_bytes,
        };
        self.send_text(&open.encode(), cx);
        sid
    }

    pub(super) fn socketio_text(&mut self, text: &str, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        match engineio::Packet::parse(text).map_err(disconnect_of)? {
            engineio::Packet::Message(packet) => self.socketio_packet(packet, cx),
            engineio::Packet::Pong => {
                self.heartbeat.heard(cx.now, cx.rules.rhythm);
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
        if self.socketio().assembly.is_some() {
            return Err(Disconnect::PROTOCOL);
        }
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
            return self.socketio_connect(packet, cx);
        }
        let Some(namespace) = cx.hub.namespace(packet.namespace) else { return Err(Disconnect::PROTOCOL) };
        let entered = self.socketio().entered.iter().find(|entered| entered.0 == namespace).copied();
        let Some((_, member, sid)) = entered else { return Err(Disconnect::PROTOCOL) };
        match packet.kind {
            Kind::Event | Kind::BinaryEvent => {
                let (event, fields) = parse_event(packet.data, cx.rules.depth_max).map_err(disconnect_of)?;
                let request = Request { member, sid, id: packet.id, event, fields, attachments };
                self.socketio_event(&request, cx)
            }
            Kind::Ack | Kind::BinaryAck => {
                let answer = parse_ack(packet.data, cx.rules.depth_max).map_err(disconnect_of)?;
                // Only answers that nobody awaits count against the rate.
                if self.acks.answered(packet.id.ok_or(Disconnect::PROTOCOL)?, answer) { Ok(()) } else { self.note(cx) }
            }
            Kind::Disconnect => {
                self.note(cx)?;
                self.socketio().entered.retain(|entered| entered.0 != namespace);
                cx.hub.exit(member);
                Ok(())
            }
            Kind::Connect | Kind::ConnectError => Err(Disconnect::PROTOCOL),
        }
    }

    fn socketio_connect(&mut self, packet: &Packet<'_>, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        if let Some(refusal) = self.admit(cx)? {
            Self::count_refusal(&refusal, cx);
            return Ok(());
        }
        let token = parse_token(packet.data, cx.rules.depth_max).map_err(disconnect_of)?;
        let Some(namespace) = cx.hub.namespace(packet.namespace) else {
            let data = r#"{"message":"Invalid namespace"}"#;
            self.send_packet(Kind::ConnectError, packet.namespace, None, data, cx);
            return Ok(());
        };
        if self.socketio().entered.iter().any(|entered| entered.0 == namespace) {
            return Ok(());
        }
        let identity = match &token {
            Some(token) => cx.rules.access.identify(token),
            None => self.identity.clone(),
        };
        if identity.is_none() && (token.is_some() || !cx.rules.access.is_open()) {
            let refusal = Refusal::new(Code::Unauthenticated, "a valid token is needed");
            Self::count_refusal(&refusal, cx);
            let data = r#"{"message":"unauthenticated","data":{"code":"unauthenticated"}}"#;
            self.send_packet(Kind::ConnectError, packet.namespace, None, data, cx);
            return Ok(());
        }
        let (member, sid) = cx.hub.enter(namespace, self.outbox, identity);
        self.socketio().entered.push((namespace, member, sid));
        if self.finish_handshake() {
            // What every session has to say once costs nothing.
            self.packets.give_back(cx.rules.packets);
        }
        self.send_packet(Kind::Connect, packet.namespace, None, &format!("{{\"sid\":\"{sid}\"}}"), cx);
        Ok(())
    }

    fn socketio_event(&mut self, request: &Request<'_>, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        if let Some(refusal) = self.admit(cx)? {
            self.socketio_refuse(request.member, request.id, &refusal, cx);
            return Ok(());
        }
        match self.obey(request, cx) {
            Ok(Answer::None) => {}
            Ok(Answer::Rooms) => {
                if let Some(id) = request.id {
                    self.socketio_ack(request.member, id, &published_answer(&request.fields), cx);
                }
            }
            Ok(Answer::Json(answer)) => {
                if let Some(id) = request.id {
                    self.socketio_ack(request.member, id, &answer, cx);
                }
            }
            Err(refusal) => self.socketio_refuse(request.member, request.id, &refusal, cx),
        }
        Ok(())
    }

    fn obey(&mut self, request: &Request<'_>, cx: &mut Context<'_>) -> Result<Answer, Refusal> {
        let Request { member, sid, id, event, fields, attachments } = *request;
        let rooms = |most| fields.target_rooms(most);
        let most = cx.rules.rooms_max;
        match event.name {
            "\"message\"" => {
                self.publish(member, &rooms(most)?, &fields, event_of(event, attachments), cx)?;
                Ok(Answer::Rooms)
            }
            "\"publish\"" => {
                let event = RawEvent::from_fields(&fields)?;
                self.publish(member, &rooms(most)?, &fields, event_of(event, attachments), cx)?;
                Ok(Answer::Rooms)
            }
            "\"join\"" | "\"joinRoom\"" => self.join(member, &rooms(most)?, cx).map(Answer::Json),
            "\"leave\"" | "\"leaveRoom\"" => Self::leave(member, &rooms(most)?, cx).map(Answer::Json),
            "\"presence\"" => {
                if let (Some(id), [room]) = (id, &*rooms(1)?) {
                    Self::ask_presence(member, sid, room, &fields, ReplyTo::SocketIo(id), cx)?;
                }
                Ok(Answer::None)
            }
            name => Err(Refusal::new(Code::UnknownEvent, format!("no rule for the event {name}"))),
        }
    }

    fn socketio_refuse(&mut self, member: MemberId, id: Option<u64>, refusal: &Refusal, cx: &mut Context<'_>) {
        Self::count_refusal(refusal, cx);
        let mut error = String::from("{\"error\":");
        refusal.write_json(&mut error);
        error.push('}');
        match id {
            Some(id) => self.socketio_ack(member, id, &error, cx),
            None => {
                let event = SessionEvent {
                    name: "\"error\"".to_owned(),
                    args: error["{\"error\":".len()..error.len() - 1].to_owned(),
                    arity: 1,
                    ack_timeout: None,
                };
                self.socketio_emit(member, &event, None, cx);
            }
        }
    }

    pub(super) fn socketio_ack(&mut self, member: MemberId, id: u64, answer: &str, cx: &mut Context<'_>) {
        let namespace = cx.hub.namespace_name(cx.hub.namespace_of(member)).to_owned();
        self.send_packet(Kind::Ack, &namespace, Some(id), &format!("[{answer}]"), cx);
    }

    pub(super) fn socketio_emit(&self, member: MemberId, event: &SessionEvent, id: Option<u64>, cx: &mut Context<'_>) {
        let namespace = cx.hub.namespace_name(cx.hub.namespace_of(member)).to_owned();
        let comma = if event.args.is_empty() { "" } else { "," };
        let data = format!("[{}{comma}{}]", event.name, event.args);
        self.send_packet(Kind::Event, &namespace, id, &data, cx);
    }

    pub(super) fn socketio_farewell(&self, member: MemberId, cx: &mut Context<'_>) {
        let namespace = cx.hub.namespace_name(cx.hub.namespace_of(member)).to_owned();
        self.send_packet(Kind::Disconnect, &namespace, None, "", cx);
    }

    fn send_packet(&self, kind: Kind, namespace: &str, id: Option<u64>, data: &str, cx: &mut Context<'_>) {
        let mut text = String::with_capacity(data.len() + 24);
        write_head(kind, 0, namespace, id, &mut text);
        text.push_str(data);
        self.send_text(&text, cx);
    }

    pub(super) fn send_text(&self, text: &str, cx: &mut Context<'_>) {
        let mut frame = Vec::new();
        write_frame(Opcode::Text, text.as_bytes(), &mut frame);
        cx.hub.send_bytes(self.outbox, frame);
    }
}

/// An event of the client, decoded.
#[derive(Clone, Copy)]
struct Request<'a> {
    member: MemberId,
    sid: Sid,
    id: Option<u64>,
    event: RawEvent<'a>,
    fields: Fields<'a>,
    attachments: &'a [Bytes],
}

enum Answer {
    /// None, or it comes later.
    None,
    /// The rooms of the request; only written if an ack is wanted.
    Rooms,
    Json(String),
}
