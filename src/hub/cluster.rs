//! What an application asks of all sessions, wherever they are.

use super::address::Sid;
use super::local::Local;
use super::member::MemberId;
use super::remote::unpublished;
use super::responder::here;
use super::worker::{Command, ReplyTo};
use super::{Hub, NamespaceId};
use crate::protocol::arguments::Arguments;
use crate::protocol::envelope::{Content, RemoteSocket, Targets};
use crate::protocol::refusal::Refusal;
use crate::protocol::request::raw_name;
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

impl Selection {
    fn targets(&self) -> Targets {
        Targets { rooms: self.rooms.clone(), except: self.except.clone() }
    }
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

impl Action {
    /// The same, for other nodes.
    fn content(&self, targets: Targets) -> Content {
        match self {
            Self::Join(rooms) => Content::Join { targets, rooms: rooms.clone(), request: None },
            Self::Leave(rooms) => Content::Leave { targets, rooms: rooms.clone(), request: None },
            Self::Disconnect { close } => Content::Disconnect { targets, close: *close, request: None },
        }
    }
}

/// A session as an application sees it from afar.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketInfo {
    /// Its id.
    pub id: String,
    /// The rooms it is in, sorted; without the one that has its id for a name.
    pub rooms: Vec<String>,
}

/// Sessions of all nodes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// The sessions, in the order of their ids.
    pub sockets: Vec<SocketInfo>,
    /// How many nodes have not answered in time.
    pub missing_nodes: usize,
}

/// What the application on other nodes answers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NodeAnswers {
    /// The answers, in the order in which they came.
    pub answers: Vec<Arguments>,
    /// How many nodes have not answered in time.
    pub missing_nodes: usize,
}

impl Hub {
    /// How many nodes there are, this one included.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn node_count(&self, namespace: NamespaceId) -> Result<usize, Refusal> {
        self.shared.adapter.node_count(namespace.0).await.map_err(unpublished)
    }

    /// The sessions that are meant, on all nodes; other nodes have `timeout` to answer.
    ///
    /// # Errors
    /// When other nodes cannot be asked.
    pub async fn fetch_sockets(&self, selection: Selection, timeout: Duration) -> Result<Fetched, Refusal> {
        let (namespace, targets) = (selection.namespace.0, selection.targets());
        let question = |request| Content::Fetch { request, targets };
        let asked = self.shared.adapter.ask(namespace, timeout, question).map_err(unpublished)?;
        let mut sockets = self.fetch_here(selection).await;
        let mut missing_nodes = 0;
        if let Some(asked) = asked {
            let (answers, missing) = asked.all().await;
            missing_nodes = missing;
            sockets.extend(answers.into_iter().flat_map(found));
        }
        sockets.sort_unstable();
        Ok(Fetched { sockets, missing_nodes })
    }

    /// The sessions of this node that are meant, in the order of their ids.
    pub async fn fetch_here(&self, selection: Selection) -> Vec<SocketInfo> {
        let workers = self.shared.workers_of(selection.namespace, &selection.rooms);
        let selection = Arc::new(selection);
        let ask = |reply| Command::Fetch { selection: Arc::clone(&selection), reply };
        let mut found: Vec<_> = self.ask_each(workers, ask).await.into_iter().flatten().collect();
        found.sort_unstable();
        found
    }

    /// Does something with all sessions that are meant, on all nodes. Returns with how many of this one.
    ///
    /// # Errors
    /// When other nodes cannot be told; it is done here then.
    pub async fn manage(&self, selection: Selection, action: Action) -> Result<usize, Refusal> {
        let told = if self.shared.adapter.is_alone() {
            Ok(())
        } else {
            self.shared.adapter.tell(selection.namespace.0, action.content(selection.targets()))
        };
        let done = self.manage_here(selection, action).await;
        told.map_err(unpublished)?;
        Ok(done)
    }

    /// Does something with all sessions of this node that are meant. Returns with how many.
    pub async fn manage_here(&self, selection: Selection, action: Action) -> usize {
        let workers = self.shared.workers_of(selection.namespace, &selection.rooms);
        let (selection, action) = (Arc::new(selection), Arc::new(action));
        let ask = |reply| Command::Manage { selection: Arc::clone(&selection), action: Arc::clone(&action), reply };
        self.ask_each(workers, ask).await.into_iter().sum()
    }

    /// Sends an event to the application on every other node. Nobody answers.
    ///
    /// # Errors
    /// When Socket.IO keeps the name for itself, or other nodes cannot be told.
    pub fn tell_nodes(&self, namespace: NamespaceId, event: &str, args: &Arguments) -> Result<(), Refusal> {
        let (name, arguments) = (raw_name(event)?, args.clone());
        let content = Content::ServerEmit { name, arguments, request: None };
        self.shared.adapter.tell(namespace.0, content).map_err(unpublished)
    }

    /// Sends an event to the application on every other node, and gathers what each answers within `timeout`.
    ///
    /// # Errors
    /// When Socket.IO keeps the name for itself, or other nodes cannot be asked.
    pub async fn emit_to_nodes(
        &self,
        namespace: NamespaceId,
        event: &str,
        args: &Arguments,
        timeout: Duration,
    ) -> Result<NodeAnswers, Refusal> {
        let (name, arguments) = (raw_name(event)?, args.clone());
        let question = |request| Content::ServerEmit { name, arguments, request: Some(request) };
        let asked = self.shared.adapter.ask(namespace.0, timeout, question).map_err(unpublished)?;
        let Some(asked) = asked else { return Ok(NodeAnswers::default()) };
        let (contents, missing_nodes) = asked.all().await;
        let answer = |content| match content {
            Content::ServerAnswer { arguments, .. } => Some(arguments),
            _ => None,
        };
        Ok(NodeAnswers { answers: contents.into_iter().filter_map(answer).collect(), missing_nodes })
    }

    /// Answers a request of a session later than at once. Says whether its worker takes the answer.
    pub fn answer(&self, sid: Sid, reply_to: ReplyTo, answer: Arguments) -> bool {
        let Some(worker) = self.worker_of(sid) else { return false };
        let cost = answer.cost();
        self.shared.mailboxes[worker].post(Command::Answer { sid, reply_to, answer }, cost)
    }
}

/// The sessions in another node's answer; the room that has a session's id for a name is left out, as everywhere.
fn found(answer: Content) -> Vec<SocketInfo> {
    let Content::Found { sockets, .. } = answer else { return Vec::new() };
    let info = |RemoteSocket { id, mut rooms, .. }: RemoteSocket| {
        rooms.retain(|room| *room != id);
        rooms.sort_unstable();
        SocketInfo { id, rooms }
    };
    sockets.into_iter().map(info).collect()
}

impl Local {
    /// The sessions here that are meant.
    #[must_use]
    pub fn fetch(&mut self, selection: &Selection) -> Vec<SocketInfo> {
        let Selection { namespace, rooms, except } = selection;
        let members = self.select(*namespace, rooms, except);
        members.into_iter().filter_map(|id| Some(here(self.sid_of(id)?, self.rooms_of(id)))).collect()
    }

    /// Has the sessions here that are meant join or leave rooms. Returns all who were meant; what a limit forbids is left
    /// out.
    pub fn regroup(&mut self, selection: &Selection, action: &Action) -> Vec<MemberId> {
        self.regroup_parked(selection, action);
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
