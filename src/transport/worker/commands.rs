//! What other threads ask of a worker, and what its sessions ask of the others.

use super::{Worker, with};
use crate::hub::{Action, Command, Deed, MemberId, NamespaceId, OutboxId, ReplyTo, Sid, Tally, Whom};
use crate::lifecycle;
use crate::protocol::arguments::Arguments;
use crate::protocol::disconnect::Disconnect;
use crate::session::{Answer, Purpose, Question, Unproven, WhoIsThere, write_presence};
use std::sync::Arc;

impl Worker {
    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Broadcast(broadcast) => self.hub.deliver_posted(&broadcast),
            Command::Hand { sid, broadcast } => self.hub.hand(sid, &broadcast),
            Command::Members { namespace, room, cursor, limit, reply } => {
                // Whoever asked may have gone away.
                let _gone = reply.send(self.hub.members(namespace, &room, cursor, limit));
            }
            Command::Sessions { query, reply } => {
                let _gone = reply.send(self.hub.sessions(&query));
            }
            Command::Tap { sid, sender, reply } => {
                let _gone = reply.send(self.hub.tap(sid, sender));
            }
            Command::Kick { sid, kick, reply } => {
                let found = self.hub.find(sid);
                found.into_iter().for_each(|(_, id)| self.end(id, kick.disconnect));
                let _gone = reply.send(found.is_some() || self.hub.kick_parked(sid));
            }
            Command::Each { whom, deed, reply } => {
                let _gone = reply.send(self.each(&whom, &deed));
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
            Command::Recover(step) => self.obey_recovery(step),
            Command::Drain(order) => self.drain(order),
        }
    }

    /// Does something to every session of a user or of a token.
    fn each(&mut self, whom: &Whom, deed: &Deed) -> Tally {
        let mut tally = self.hub.each_parked(whom, deed);
        for (member, id) in self.hub.sessions_of(whom) {
            let expires_at = self.hub.identity_of(member).and_then(|identity| identity.expires_at);
            let in_namespace = |namespace: NamespaceId| self.hub.namespace_of(member) == namespace;
            let outcome = match deed {
                Deed::End(disconnect) => {
                    // A connection may be in several namespaces, and ends once.
                    if self.hub.outbox(id).is_some_and(|outbox| outbox.closing().is_none()) {
                        self.end(id, *disconnect);
                    }
                    Some(true)
                }
                // The id of a session is a room that it alone is in.
                Deed::Join(namespace, room) => in_namespace(*namespace)
                    .then(|| !self.hub.is_session_name(room) && self.hub.join(member, room).is_ok()),
                Deed::Leave(namespace, room) => {
                    (in_namespace(*namespace) && self.hub.leave(member, room)).then_some(true)
                }
            };
            let (done, refused) = (usize::from(outcome == Some(true)), usize::from(outcome == Some(false)));
            tally = tally.and(Tally { done, refused, expires_at: expires_at.unwrap_or(0) });
        }
        tally
    }

    /// Gets for sessions what they need and is not here at once; what comes back has a task of its own.
    pub(super) fn ask_questions(&mut self) {
        while !self.questions.is_empty() {
            for question in std::mem::take(&mut self.questions) {
                match question {
                    Question::Presence(asked) => self.ask_presence(asked),
                    Question::Key(unproven) => self.ask_for_key(unproven),
                    Question::Recover(returning) => self.recover(*returning),
                    Question::Look(id) => self.schedule(id),
                }
            }
        }
    }

    fn ask_presence(&self, asked: WhoIsThere) {
        let hub = self.hub.hub();
        let namespace = self.hub.find(asked.sid).map(|(member, _)| self.hub.namespace_of(member));
        let Some(namespace) = namespace else { return };
        let stats = Arc::clone(self.hub.stats());
        lifecycle::spawn_on_worker(async move {
            let WhoIsThere { answer, turn, room, cursor, limit, .. } = asked;
            let _turn = turn.acquire().await;
            let outcome = hub.presence_for_client(namespace, &room, cursor, limit).await.map(|presence| {
                let mut text = String::new();
                write_presence(&room, &presence, &mut text);
                Answer::raw(text)
            });
            if let Err(refusal) = &outcome {
                stats.refusals[refusal.code as usize].add(1);
            }
            answer.answer(outcome);
        });
    }

    fn answer(&mut self, sid: Sid, reply_to: &ReplyTo, answer: &Arguments) {
        let Some((member, id)) = self.hub.find(sid) else { return };
        self.with_session(id, |session, cx| session.answer(member, reply_to, answer, cx));
        self.wake_turn();
    }

    /// The key is fetched on the front threads; here it is only waited for.
    fn ask_for_key(&self, Unproven { outbox, key, purpose }: Unproven) {
        let entry = self.entries.get(outbox.0 as usize).and_then(Option::as_ref);
        let Some(generation) = entry.map(|entry| entry.generation) else { return };
        lifecycle::spawn_on_worker(async move {
            key.ready().await;
            with(|worker| worker.go_on(outbox, generation, purpose));
        });
    }

    fn go_on(&mut self, id: OutboxId, generation: u32, purpose: Purpose) {
        let open = self.hub.outbox(id).is_some_and(|outbox| outbox.closing().is_none());
        if !open || self.live(id, generation).is_none() {
            return;
        }
        if let Some(Err(disconnect)) = self.with_session(id, |session, cx| session.proven(purpose, cx)) {
            self.end(id, disconnect);
        }
        self.ask_questions();
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
