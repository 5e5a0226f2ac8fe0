//! A session's token: who it makes somebody, when it ends, and how a fresh one takes its place.

use super::{Context, Dialect, Look, Question, ReplyTo, Session};
use crate::hub::{Identity, MemberId, OutboxId, SessionEvent, Sid};
use crate::lifecycle;
use crate::metrics::TokenRefusal;
use crate::protocol::DecodeError;
use crate::protocol::arguments::Arguments;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::json::{Scanner, unquote, write_string};
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::socketio::{Kind, Packet};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

/// A token whose key is being fetched, and what the session wants with it.
#[derive(Debug)]
pub struct Unproven {
    /// Whose it is.
    pub outbox: OutboxId,
    /// The key.
    pub key: super::auth::Pending,
    /// What goes on when it is there.
    pub purpose: Purpose,
}

/// What a session wants with a token.
#[derive(Debug)]
pub enum Purpose {
    /// To enter a namespace: what the CONNECT packet says.
    Enter {
        /// Its namespace.
        namespace: Box<str>,
        /// Its auth object.
        data: Box<str>,
    },
    /// To connect by the plain protocol: the raw id of the packet, and what it says.
    Connect(Option<Box<str>>, Box<str>),
    /// To stay for longer.
    Refresh(Sid, Option<ReplyTo>, Box<str>),
}

/// Whether a token is looked at for the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Try {
    /// Its key may still come.
    First,
    /// It has come by now, or does not come in time.
    Last,
}

/// Who a token makes of somebody.
pub(super) enum Proof {
    /// Somebody.
    Is(Arc<Identity>),
    /// Nobody.
    Nobody,
    /// That is being found out.
    Waits,
}

impl Session {
    /// Who a token says this is. When its key has to be fetched, `purpose` comes back to [`Session::proven`].
    pub(super) fn prove(
        &mut self,
        token: &str,
        nth: Try,
        purpose: impl FnOnce() -> Purpose,
        cx: &mut Context<'_>,
    ) -> Proof {
        if nth == Try::Last {
            return cx.rules.access.look_again(token).map_or(Proof::Nobody, Proof::Is);
        }
        match cx.rules.access.look_at(token) {
            Look::Is(identity) => Proof::Is(identity),
            Look::Nobody => Proof::Nobody,
            Look::Later(key) => {
                let purpose = purpose();
                // Each namespace may wait for a key of its own: the dialect remembers which do.
                self.proving |= !matches!(purpose, Purpose::Enter { .. });
                cx.questions.push(Question::Key(Unproven { outbox: self.outbox, key, purpose }));
                Proof::Waits
            }
        }
    }

    /// Whether a token of this session, other than for a namespace, is being looked at; then another has to wait.
    pub(super) fn is_proving(&self) -> bool {
        self.proving
    }

    /// Goes on with a token whose key has been fetched, or has not come in time.
    ///
    /// # Errors
    /// The reason with which the session has to end.
    pub fn proven(&mut self, purpose: Purpose, cx: &mut Context<'_>) -> Result<(), Disconnect> {
        if !matches!(purpose, Purpose::Enter { .. }) {
            self.proving = false;
        }
        match purpose {
            Purpose::Enter { namespace, data } => {
                let (kind, namespace, data) = (Kind::Connect, &*namespace, &*data);
                if !self.socketio_waited(namespace, cx) {
                    return Ok(());
                }
                self.socketio_connect(&Packet { kind, attachments: 0, namespace, id: None, data }, Try::Last, cx)
            }
            Purpose::Connect(id, data) => self.native_connect(id.as_deref(), &data, Try::Last, cx),
            Purpose::Refresh(sid, reply_to, token) => {
                let Some((member, _)) = cx.hub.find(sid) else { return Ok(()) };
                let outcome = self.refresh((member, sid), &token, reply_to.clone(), Try::Last, cx);
                self.tell(member, reply_to, outcome, cx);
                Ok(())
            }
        }
    }

    /// Whoever came with this identity may still be here.
    pub(super) fn holding(identity: Option<&Arc<Identity>>, cx: &Context<'_>) -> Option<Arc<Identity>> {
        identity.filter(|identity| cx.rules.access.still_holds(identity)).cloned()
    }

    /// Puts a fresh token in the place of the one that the session came with: of the same user, and in every namespace that
    /// it entered as this user. Returns the answer, or nothing if it comes later.
    pub(super) fn refresh(
        &mut self,
        (member, sid): (MemberId, Sid),
        token: &str,
        reply_to: Option<ReplyTo>,
        nth: Try,
        cx: &mut Context<'_>,
    ) -> Result<Option<String>, Refusal> {
        let Some(old) = cx.hub.identity_of(member).cloned() else {
            return Err(Refusal::new(Code::BadPacket, "this session came without a token, so it has none to refresh"));
        };
        if nth == Try::First && self.proving {
            return Err(Refusal::new(Code::Unavailable, "another token is being looked at"));
        }
        let fresh = match self.prove(token, nth, || Purpose::Refresh(sid, reply_to, token.into()), cx) {
            Proof::Is(fresh) => fresh,
            Proof::Nobody => return Err(unauthenticated()),
            Proof::Waits => return Ok(None),
        };
        if !old.is_same_user(&fresh) {
            cx.rules.access.note(TokenRefusal::OtherUser);
            return Err(unauthenticated());
        }
        let mut lost = Vec::new();
        for member in self.members() {
            if cx.hub.identity_of(member).is_some_and(|known| known.is_same_user(&fresh)) {
                lost.extend(cx.hub.replace_identity(member, &fresh));
            }
        }
        if self.identity.as_ref().is_some_and(|known| known.is_same_user(&fresh)) {
            self.identity = Some(Arc::clone(&fresh));
        }
        self.token_begins(cx);
        let left = fresh.expires_at.map_or(u64::MAX, |at| at.saturating_sub(lifecycle::unix_millis()));
        Ok(Some(refreshed(left, &lost)))
    }

    /// Has the worker look at when the session's token ends.
    pub(super) fn token_begins(&mut self, cx: &mut Context<'_>) {
        self.warned = false;
        let ends =
            |member: &MemberId| cx.hub.identity_of(*member).is_some_and(|identity| identity.expires_at.is_some());
        if self.members().iter().any(ends) {
            cx.questions.push(Question::Look(self.outbox));
        }
    }

    /// Warns of the end of the session's token, and ends the session there. Returns when to look again.
    pub(super) fn token_due(&mut self, cx: &mut Context<'_>) -> Result<u64, Disconnect> {
        if matches!(self.dialect, Dialect::Raw(_)) {
            return self.raw_token_due(cx);
        }
        let members = self.members();
        let ends = |member: &MemberId| cx.hub.identity_of(*member)?.expires_at;
        let Some(end) = members.iter().filter_map(ends).min() else { return Ok(u64::MAX) };
        let now = lifecycle::unix_millis();
        let left = end.saturating_sub(now);
        if left == 0 {
            return Err(Disconnect::TOKEN_EXPIRED);
        }
        let warning = cx.rules.token_warning_ms;
        if left > warning {
            return Ok(cx.now.saturating_add(left - warning));
        }
        if !std::mem::replace(&mut self.warned, true) {
            let ending: SmallVec<[MemberId; 1]> =
                members.into_iter().filter(|member| ends(member).is_some_and(|at| at <= now + warning)).collect();
            let event = SessionEvent {
                name: "\"token.expiring\"".to_owned(),
                arguments: Arguments::json(format!("{{\"expires_in_ms\":{left}}}")),
                ack_timeout: None,
            };
            for member in ending {
                // It asks for no answer, so nothing can be in the way.
                let _no_answer = self.emit(member, &event, cx);
            }
        }
        Ok(cx.now.saturating_add(left))
    }

    /// Every namespace that the session has entered.
    pub(super) fn members(&self) -> SmallVec<[MemberId; 1]> {
        match &self.dialect {
            Dialect::SocketIo(dialect) => dialect.members(),
            Dialect::Native(dialect) => dialect.member().into_iter().collect(),
            Dialect::Sse(dialect) => dialect.member().into_iter().collect(),
            Dialect::Raw(_) => SmallVec::new(),
        }
    }

    fn tell(
        &mut self,
        member: MemberId,
        reply_to: Option<ReplyTo>,
        outcome: Result<Option<String>, Refusal>,
        cx: &mut Context<'_>,
    ) {
        match (outcome, reply_to) {
            (Ok(Some(answer)), Some(reply_to)) => self.answer(member, &reply_to, &Arguments::json(answer), cx),
            (Ok(_), _) => {}
            (Err(refusal), Some(ReplyTo::Native(id) | ReplyTo::NativeRefusal(id))) => {
                self.native_refuse(Some(&id), &refusal, cx)
            }
            (Err(refusal), Some(ReplyTo::SocketIo(id))) => self.socketio_refuse(member, Some(id), &refusal, cx),
            (Err(refusal), None) => match self.dialect {
                Dialect::SocketIo(_) => self.socketio_refuse(member, None, &refusal, cx),
                Dialect::Native(_) => self.native_refuse(None, &refusal, cx),
                Dialect::Sse(_) | Dialect::Raw(_) => {}
            },
        }
    }
}

/// The same for every token that is not taken: nobody learns why.
pub(super) fn unauthenticated() -> Refusal {
    Refusal::new(Code::Unauthenticated, "a valid token is needed")
}

/// The `token` of a raw JSON object.
pub(super) fn token_in(object: &str, depth_max: u8) -> Result<Option<Cow<'_, str>>, DecodeError> {
    let mut token = None;
    let mut scanner = Scanner::new(object, depth_max);
    scanner.object(|key, value| {
        if key == "\"token\"" {
            token = unquote(value).ok();
        }
    })?;
    Ok(token)
}

fn refreshed(left_ms: u64, lost: &[Box<str>]) -> String {
    let mut answer = format!("{{\"expires_in_ms\":{left_ms}");
    for (i, room) in lost.iter().enumerate() {
        answer.push_str(if i == 0 { ",\"left\":[" } else { "," });
        write_string(room, &mut answer);
    }
    let _infallible = write!(answer, "{}}}", if lost.is_empty() { "" } else { "]" });
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_and_which_rooms_are_lost() {
        assert_eq!(refreshed(5, &[]), r#"{"expires_in_ms":5}"#);
        assert_eq!(refreshed(5, &["a\"".into(), "b".into()]), r#"{"expires_in_ms":5,"left":["a\"","b"]}"#);
    }

    #[test]
    fn a_token_is_a_string() {
        assert_eq!(token_in(r#"{"token":"\u0061","x":1}"#, 8).unwrap().as_deref(), Some("a"));
        assert_eq!(token_in(r#"{"token":7}"#, 8).unwrap(), None);
        assert!(token_in("[", 8).is_err());
    }
}
