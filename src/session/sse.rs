//! An event stream: a session that only listens. Its rooms are those of its address.

use super::{Context, Session};
use crate::hub::{MemberId, NamespaceId, SessionEvent};
use crate::protocol::disconnect::Disconnect;
use crate::protocol::json::unquote;
use crate::protocol::name::check_room_name;
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::sse;
use std::fmt::Write as _;

/// How long a client should wait before it comes back after an end that is nobody's fault.
const RETRY_MS: u64 = 1_000;

/// State of an event stream.
#[derive(Debug, Default)]
pub(super) struct Sse {
    /// Set once it is open.
    member: Option<MemberId>,
    /// How long the client should wait before it connects again.
    retry_ms: Option<u64>,
}

impl Sse {
    pub(super) fn member(&self) -> Option<MemberId> {
        self.member
    }

    pub(super) fn come_back_after(&mut self, ms: u64) {
        self.retry_ms = Some(ms);
    }

    /// What ends the stream; nothing if it was refused.
    pub(super) fn goodbye(&self, disconnect: Disconnect) -> Vec<u8> {
        let mut out = Vec::new();
        if self.member.is_none() {
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
    pub(super) fn sse_open(&mut self, rooms: &[String], headers: &[u8], cx: &mut Context<'_>) -> Sse {
        let _first = self.finish_handshake();
        let headers = String::from_utf8_lossy(headers);
        let (member, sid) = cx.hub.enter(NamespaceId::DEFAULT, self.outbox, self.identity.clone());
        let joined = rooms.iter().try_for_each(|room| check_room_name(room)).and_then(|()| {
            let rooms = rooms.iter().map(|room| room.as_str().into()).collect();
            self.join(member, &rooms, cx)
        });
        if let Err(refusal) = joined {
            Self::count_refusal(&refusal, cx);
            cx.hub.exit(member);
            cx.hub.send_bytes(self.outbox, refusal_answer(&refusal, &headers));
            cx.hub.close(self.outbox, Disconnect::FORBIDDEN);
            return Sse::default();
        }
        let mut out = format!("{}{headers}\r\n", sse::HEAD).into_bytes();
        let hello = format!("{{\"sid\":\"{sid}\",\"node\":\"{}\"}}", cx.rules.node);
        sse::write_event("server.hello", &hello, &mut out);
        cx.hub.send_bytes(self.outbox, out);
        Sse { member: Some(member), retry_ms: None }
    }

    pub(super) fn sse_emit(&self, event: &SessionEvent, cx: &mut Context<'_>) {
        let Ok(name) = unquote(&event.name) else { return };
        let data = match event.arity {
            0 => "{}".to_owned(),
            1 => format!("{{\"data\":{}}}", event.args),
            _ => format!("{{\"args\":[{}]}}", event.args),
        };
        let mut out = Vec::new();
        sse::write_event(&name, &data, &mut out);
        cx.hub.send_bytes(self.outbox, out);
    }
}

fn refusal_answer(refusal: &Refusal, headers: &str) -> Vec<u8> {
    let status = refusal.code.http_status();
    let mut headers = headers.to_owned();
    if let Some(ms) = refusal.retry_after_ms {
        let _infallible = write!(headers, "retry-after: {}\r\n", ms.div_ceil(1_000));
    }
    let mut error = String::new();
    refusal.write_json(&mut error);
    let problem = format!("{{\"status\":{status},\"title\":\"{}\",{}", Code::as_str(refusal.code), &error[1..]);
    sse::refusal(status, &headers, &problem)
}
