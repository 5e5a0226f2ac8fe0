//! What an application asks of all sessions, wherever they are. There is one node, so this node answers.

use super::address::Sid;
use super::local::Local;
use super::member::MemberId;
use super::worker::{Command, ReplyTo};
use super::{Hub, NamespaceId};
use crate::protocol::arguments::Arguments;
use std::sync::Arc;
use std::time::Duration;

/// Which sessions are meant.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The namespace that they are in.
    pub namespace: NamespaceId,
    /// Those in any of these rooms; all, when there are none. The id of a session is a room that it alone is in.
    pub rooms: Vec<Box<str>>,
    /// But not those in any of these.
    pub except: Vec<Box<str>>,
}

/// What is done with them.
#[derive(Debug)]
pub enum Action {
    /// They join these rooms.
    Join(Vec<Box<str>>),
    /// They leave these rooms.
    Leave(Vec<Box<str>>),
    /// They leave the namespace; with `close` their transport ends too.
    Disconnect {
        /// Whether the transport ends.
        close: bool,
    },
}

/// A session as an application sees it from afar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketInfo {
    /// Its id.
    pub sid: Sid,
    /// The rooms it is in, sorted.
    pub rooms: Vec<String>,
}

impl Hub {
    /// How many nodes there are.
    pub async fn node_count(&self) -> usize {
        1
    }

    /// The sessions that are meant, in the order of their ids.
    pub async fn fetch_sockets(&self, selection: Selection) -> Vec<SocketInfo> {
        let workers = self.shared.workers_of(selection.namespace, &selection.rooms);
        let selection = Arc::new(selection);
        let ask = |reply| Command::Fetch { selection: Arc::clone(&selection), reply };
        let mut found: Vec<_> = self.ask_each(workers, ask).await.into_iter().flatten().collect();
        found.sort_unstable_by_key(|socket| socket.sid);
        found
    }

    /// Does something with all sessions that are meant. Returns with how many.
    pub async fn manage(&self, selection: Selection, action: Action) -> usize {
        let workers = self.shared.workers_of(selection.namespace, &selection.rooms);
        let (selection, action) = (Arc::new(selection), Arc::new(action));
        let ask = |reply| Command::Manage { selection: Arc::clone(&selection), action: Arc::clone(&action), reply };
        self.ask_each(workers, ask).await.into_iter().sum()
    }

    /// Sends an event to the application on every other node, and gathers what each answers within `timeout`.
    pub async fn emit_to_nodes(
        &self,
        _namespace: NamespaceId,
        _event: &str,
        _args: &Arguments,
        _timeout: Duration,
    ) -> Vec<Arguments> {
        // There is no other node.
        Vec::new()
    }

    /// Answers a request of a session later than at once. Says whether its worker takes the answer.
    pub fn answer(&self, sid: Sid, reply_to: ReplyTo, answer: Arguments) -> bool {
        let Some(worker) = self.worker_of(sid) else { return false };
        let cost = answer.cost();
        self.shared.mailboxes[worker].post(Command::Answer { sid, reply_to, answer }, cost)
    }
}

impl Local {
    /// The sessions here that are meant.
    #[must_use]
    pub fn fetch(&mut self, selection: &Selection) -> Vec<SocketInfo> {
        let Selection { namespace, rooms, except } = selection;
        let members = self.select(*namespace, rooms, except);
        members
            .into_iter()
            .filter_map(|id| Some(SocketInfo { sid: self.sid_of(id)?, rooms: self.rooms_of(id) }))
            .collect()
    }

    /// Has the sessions here that are meant join or leave rooms. Returns all who were meant; what a limit forbids is left
    /// out.
    pub fn regroup(&mut self, selection: &Selection, action: &Action) -> Vec<MemberId> {
        let members = self.select(selection.namespace, &selection.rooms, &selection.except);
        for id in &members {
            match action {
                Action::Join(rooms) => {
                    for room in rooms {
                        if let Err(refusal) = self.join(*id, room) {
                            self.stats.refusals[refusal.code as usize].add(1);
                        }
                    }
                }
                Action::Leave(rooms) => rooms.iter().for_each(|room| {
                    self.leave(*id, room);
                }),
                Action::Disconnect { .. } => {}
            }
        }
        members
    }
}
