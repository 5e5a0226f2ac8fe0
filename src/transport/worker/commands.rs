//! What other threads ask of a worker, and what its sessions ask of the others.

use super::{Worker, with};
use crate::hub::{Action, Command, MemberId, ReplyTo, Sid};
use crate::lifecycle;
use crate::protocol::arguments::Arguments;
use crate::protocol::disconnect::Disconnect;
use crate::session::write_presence;

impl Worker {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Broadcast(broadcast) => self.hub.deliver_posted(&broadcast),
            Command::Members { namespace, room, cursor, limit, reply } => {
                // Whoever asked may have gone away.
                let _gone = reply.send(self.hub.members(namespace, &room, cursor, limit));
            }
            Command::Sessions { query, reply } => {
                let _gone = reply.send(self.hub.sessions(&query));
            }
            Command::Kick { sid, kick, reply } => {
                let found = self.hub.find(sid);
                found.into_iter().for_each(|(_, id)| self.end(id, kick.disconnect));
                let _gone = reply.send(found.is_some());
            }
            Command::Emit { sid, event, reply } => {
                let found = self.hub.find(sid);
                let emitted = found
                    .and_then(|(member, id)| self.with_session(id, |session, cx| session.emit(member, &event, cx)));
                found.into_iter().for_each(|(_, id)| self.schedule(id));
                let way = |waiting: Option<_>| waiting.unwrap_or_else(|| tokio::sync::oneshot::channel().1);
                let _gone = reply.send(emitted.transpose().map(|waiting| waiting.map(way)));
            }
            Command::Answer { sid, reply_to, answer } => self.answer(sid, &reply_to, &answer),
            Command::Gather { broadcast, timeout, reply } => {
                self.hub.ask_members(&broadcast, timeout, self.now, reply);
            }
            Command::Fetch { selection, reply } => {
                let _gone = reply.send(self.hub.fetch(&selection));
            }
            Command::Manage { selection, action, reply } => {
                let members = self.hub.regroup(&selection, &action);
                if let Action::Disconnect { close } = *action {
                    members.iter().for_each(|member| self.expel(*member, close));
                }
                let _gone = reply.send(members.len());
            }
            Command::Drain(order) => self.drain(order),
        }
    }

    /// Sends the questions of sessions to all workers; the answers come back through their own task.
    pub(super) fn ask_questions(&mut self) {
        for question in self.questions.drain(..) {
            let hub = self.hub.hub();
            let namespace = self.hub.find(question.sid).map(|(member, _)| self.hub.namespace_of(member));
            let Some(namespace) = namespace else { continue };
            lifecycle::spawn_on_worker(async move {
                let presence = hub.presence(namespace, &question.room, question.cursor, question.limit).await;
                let mut answer = String::new();
                write_presence(&question.room, &presence, &mut answer);
                let answer = Arguments::json(answer);
                with(|worker| worker.answer(question.sid, &question.reply_to, &answer));
            });
        }
    }

    fn answer(&mut self, sid: Sid, reply_to: &ReplyTo, answer: &Arguments) {
        let Some((member, id)) = self.hub.find(sid) else { return };
        self.with_session(id, |session, cx| session.answer(member, reply_to, answer, cx));
        self.wake_turn();
    }

    /// Has a session leave its namespace, or ends it altogether.
    fn expel(&mut self, member: MemberId, close: bool) {
        let Some(id) = self.hub.outbox_of(member) else { return };
        if close {
            self.end(id, Disconnect::KICKED);
        } else {
            self.with_session(id, |session, cx| session.expel(member, cx));
        }
    }
}
