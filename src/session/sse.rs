//! An event stream: a session that only listens. Its rooms are those of its address.

use super::calling::Called;
use super::membership::Leaving;
use super::token::unauthenticated;
use super::{Context, Dialect, Session};
use crate::hub::{Frame, MemberId, NamespaceId, SessionEvent, Sid};
use crate::protocol::disconnect::Disconnect;
use crate::protocol::json::{unquote, write_string};
use crate::protocol::name::check_room_name;
use crate::protocol::problem::Problem;
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::sse;

/// How long a client should wait before it comes back after an end that is nobody's fault.
const RETRY_MS: u64 = 1_000;

/// State of an event stream.
#[derive(Debug, Default)]
pub(super) struct Sse {
    /// Set once it is open.
    member: Option<(MemberId, Sid)>,
    /// Whether the stream has begun, and so has to be ended.
    begun: bool,
    /// How long the client should wait before it connects again.
    retry_ms: Option<u64>,
}

impl Sse {
    pub(super) fn member(&self) -> Option<MemberId> {
        self.member.map(|(member, _)| member)
    }

    /// Forgets that it is a member. `None` if it is not.
    pub(super) fn forget(&mut self, member: MemberId) -> Option<(NamespaceId, Sid)> {
        let (_, sid) = self.member.take_if(|(known, _)| *known == member)?;
        Some((NamespaceId::DEFAULT, sid))
    }

    pub(super) fn come_back_after(&mut self, ms: u64) {
        self.retry_ms = Some(ms);
    }

    /// What ends the stream; nothing if it was refused.
    pub(super) fn goodbye(&self, disconnect: Disconnect) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.begun {
            return out;
        }
        if disconnect.reconnect {
            sse::write_retry(self.retry_ms.unwrap_or(RETRY_MS), &mut out);
        } else {
            // A browser comes back after every end, unless the page closes the stream.
            let reason = format!("{{\"code\":{},\"reason\":\"{}\"}}", disconnect.code, disconnect.reason);
            sse::write_event("server.closing", &reason, &mut out);
        }
        out.extend_from_slice(sse::END);
        out
    }
}

impl Session {
    /// Joins all rooms and begins the stream, or refuses it as an HTTP answer. `headers` are lines of the answer's head.
    pub(super) fn sse_open(&mut self, rooms: &[String], headers: &[u8], cx: &mut Context<'_>) {
        self.finish_handshake();
        let headers = String::from_utf8_lossy(headers);
        if self.identity.is_none() && !cx.rules.access.is_open() {
            return self.sse_refuse(None, &unauthenticated(), &headers, cx);
        }
        let described = cx.rules.application.namespace(NamespaceId::DEFAULT);
        let mut named = rooms.iter().try_for_each(|room| check_room_name(room));
        if !described.has_vocabulary() {
            named = Err(Refusal::new(Code::RoomForbidden, "this server speaks to Socket.IO clients only"));
        }
        if let Err(refusal) = named {
            return self.sse_refuse(None, &refusal, &headers, cx);
        }
        let (member, sid) = cx.hub.enter(NamespaceId::DEFAULT, self.outbox, self.identity.clone());
        let mut out = format!("{}{headers}\r\n", sse::HEAD).into_bytes();
        let mut hello = format!("{{\"sid\":\"{sid}\",\"node\":");
        write_string(&cx.rules.node, &mut hello);
        hello.push('}');
        sse::write_event("server.hello", &hello, &mut out);
        let hello = Frame::direct(out.into());
        cx.hub.send(self.outbox, &hello);
        self.dialect = Dialect::Sse(Sse { member: Some((member, sid)), begun: true, retry_ms: None });
        let greeted = match self.greet(NamespaceId::DEFAULT, member, sid, "", cx) {
            Ok(None) => self.sse_join(rooms, member, sid, cx),
            Ok(closing) => Ok(closing),
            Err(rejection) => {
                self.sse_dialect().member = None;
                Err(Refusal::new(Code::RoomForbidden, rejection.message))
            }
        };
        match greeted {
            Ok(None) => {}
            Ok(Some(disconnect)) => cx.hub.close(self.outbox, disconnect),
            Err(refusal) => {
                // The application hears that it leaves, if it has let it in.
                self.leave_namespace(member, Disconnect::FORBIDDEN, Leaving::Quietly, cx);
                cx.hub.take_back(self.outbox, &hello);
                self.dialect = Dialect::Sse(Sse::default());
                let inside = cx.hub.sid_of(member) == Some(sid);
                self.sse_refuse(inside.then_some(member), &refusal, &headers, cx);
            }
        }
    }

    /// Joins the rooms of the address, all or none. Returns the end that a handler may have decided on.
    fn sse_join(
        &mut self,
        rooms: &[String],
        member: MemberId,
        sid: Sid,
        cx: &mut Context<'_>,
    ) -> Result<Option<Disconnect>, Refusal> {
        for room in rooms {
            let Called { outcome, closing, .. } = self.call_join((NamespaceId::DEFAULT, member, sid), room, cx);
            outcome?;
            if closing.is_some() {
                return Ok(closing);
            }
        }
        Ok(None)
    }

    fn sse_dialect(&mut self) -> &mut Sse {
        match &mut self.dialect {
            Dialect::Sse(dialect) => dialect,
            _ => unreachable!("called for event streams only"),
        }
    }

    fn sse_refuse(&self, member: Option<MemberId>, refusal: &Refusal, headers: &str, cx: &mut Context<'_>) {
        Self::count_refusal(refusal, cx);
        member.into_iter().for_each(|member| cx.hub.exit(member));
        cx.hub.send_bytes(self.outbox, sse::refusal(&Problem::of(refusal), headers));
        cx.hub.close(self.outbox, Disconnect::FORBIDDEN);
    }

    pub(super) fn sse_emit(&self, event: &SessionEvent, cx: &mut Context<'_>) {
        let Ok(name) = unquote(&event.name) else { return };
        let args = event.arguments.to_text().unwrap_or_default();
        let data = match event.arguments.arity() {
            0 => "{}".to_owned(),
            1 => format!("{{\"data\":{args}}}"),
            _ => format!("{{\"args\":[{args}]}}"),
        };
        let mut out = Vec::new();
        sse::write_event(&name, &data, &mut out);
        cx.hub.send_bytes(self.outbox, out);
    }
}
