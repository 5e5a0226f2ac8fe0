//! What a session says to its client of the server's own accord, in whichever dialect.

use super::{Context, Dialect, ReplyTo, Session};
use crate::hub::{MemberId, SessionEvent};
use crate::protocol::arguments::Arguments;
use crate::protocol::disconnect::Disconnect;
use crate::protocol::refusal::Refusal;
use tokio::sync::oneshot;

impl Session {
    /// Sends the answer to a request, once it is known.
    pub fn answer(&mut self, member: MemberId, reply_to: &ReplyTo, answer: &Arguments, cx: &mut Context<'_>) {
        match reply_to {
            ReplyTo::SocketIo(id) => self.socketio_ack(member, *id, answer, cx),
            ReplyTo::Native(id) => self.native_reply(id, answer, cx),
            ReplyTo::NativeRefusal(id) => self.native_refused(id, answer.args(), cx),
        }
    }

    /// Whether it waits for something since [`Session::on_timer`] said when to look again.
    #[must_use]
    pub fn is_in_a_hurry(&self) -> bool {
        self.acks.is_fresh()
    }

    /// Sends an event to this session alone. Returns the way to its answer if it asks for one.
    ///
    /// # Errors
    /// When too many answers are awaited already.
    pub fn emit(
        &mut self,
        member: MemberId,
        event: &SessionEvent,
        cx: &mut Context<'_>,
    ) -> Result<Option<oneshot::Receiver<Arguments>>, Refusal> {
        let mut waiting = None;
        let mut id = None;
        if let Some(timeout) = event.ack_timeout {
            let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            let (new_id, receiver) = self.acks.expect(cx.now.saturating_add(ms))?;
            (id, waiting) = (Some(new_id), Some(receiver));
        }
        match self.dialect {
            Dialect::SocketIo(_) => self.socketio_emit(member, event, id, cx),
            Dialect::Native(_) => self.native_emit(event, id, cx),
            Dialect::Sse(_) => self.sse_emit(event, cx),
            Dialect::Raw(_) => {}
        }
        Ok(waiting)
    }

    /// Tells the client that the node is going away.
    pub fn warn_of_drain(&mut self, reconnect_after_ms: u64, cx: &mut Context<'_>) {
        let event = SessionEvent {
            name: "\"server.draining\"".to_owned(),
            arguments: Arguments::json(format!("{{\"reconnect_after_ms\":{reconnect_after_ms}}}")),
            ack_timeout: None,
        };
        if let Dialect::Sse(dialect) = &mut self.dialect {
            dialect.come_back_after(reconnect_after_ms);
        }
        match &self.dialect {
            Dialect::SocketIo(dialect) => {
                for member in dialect.members() {
                    self.socketio_emit(member, &event, None, cx);
                }
            }
            Dialect::Native(_) => self.native_emit(&event, None, cx),
            Dialect::Sse(_) => self.sse_emit(&event, cx),
            Dialect::Raw(_) => {}
        }
    }

    /// Tells a client that it is not wanted, in its own dialect: a stock Socket.IO client reconnects after a closed
    /// transport, but not after a DISCONNECT packet.
    pub fn say_farewell(&self, disconnect: Disconnect, cx: &mut Context<'_>) {
        let unwanted = [
            Disconnect::KICKED,
            Disconnect::FLOOD,
            Disconnect::UNAUTHENTICATED,
            Disconnect::FORBIDDEN,
            Disconnect::TOKEN_EXPIRED,
            Disconnect::TOKEN_REVOKED,
        ];
        if let Dialect::SocketIo(dialect) = &self.dialect
            && unwanted.contains(&disconnect)
        {
            for member in dialect.members() {
                self.socketio_farewell(member, cx);
            }
        }
    }
}
