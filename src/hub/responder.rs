//! The answers of this node to the questions of others.

use super::address::Sid;
use super::answering::refused;
use super::broadcast::Broadcast;
use super::cluster::{Action, Selection, SocketInfo};
use super::questions::{Question, Wait};
use super::remote::selection;
use super::{Hub, NamespaceId};
use crate::protocol::arguments::Arguments;
use crate::protocol::envelope::{Content, RemoteSocket, Targets};
use crate::protocol::event::Event;
use crate::protocol::json::unquote;
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::request::RawEvent;
use std::time::Duration;

/// How long recipients on this node have to answer a broadcast of another node, which has a limit of its own.
const GATHER_TIMEOUT: Duration = Duration::from_secs(60);

/// An event of the application on another node.
#[derive(Debug)]
pub struct NodeEvent {
    /// The namespace that it was said in.
    pub namespace: NamespaceId,
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Arguments,
}

/// What the application does with it. What it returns is the answer, if one is wanted.
pub struct OnNodeEvent(Box<Handler>);

type Handler = dyn Fn(&Hub, &NodeEvent) -> Option<Arguments> + Send + Sync;

impl OnNodeEvent {
    /// A handler of all such events.
    pub fn new(handler: impl Fn(&Hub, &NodeEvent) -> Option<Arguments> + Send + Sync + 'static) -> Self {
        Self(Box::new(handler))
    }
}

impl std::fmt::Debug for OnNodeEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnNodeEvent")
    }
}

impl Hub {
    /// Has the application hear what it says on other nodes. Only the first word counts.
    pub fn on_node_event(&self, handler: OnNodeEvent) {
        let _first = self.shared.on_node_event.set(handler);
    }

    /// Answers a question; one that has to wait for clients does so if there is a place for it.
    pub(super) async fn answer_other(&self, question: Question, wait: Wait) {
        match question {
            Question::OfNode { namespace, uid, content } => self.answer_node(namespace, &uid, content, wait).await,
            Question::OfPeer { uid, request, question } => {
                let answer = match wait {
                    Wait::NoPlace => {
                        refused(Refusal::new(Code::Unavailable, "too many answers of sessions are awaited"))
                    }
                    Wait::Allowed => self.answer_peer(question).await,
                };
                if let Err(why) = self.shared.adapter.tell_peer(&uid, request, answer) {
                    tracing::debug!(?why, "an answer to another node was given up");
                }
            }
        }
    }

    async fn answer_node(&self, namespace: NamespaceId, uid: &str, content: Content, wait: Wait) {
        let answer = match content {
            Content::AllRooms { request } => Content::Rooms { request, rooms: self.all_rooms(namespace).await },
            Content::Fetch { request, targets } => {
                let sockets = self.fetch_here(selection(namespace, targets)).await;
                Content::Found { request, sockets: sockets.into_iter().map(remote).collect() }
            }
            Content::Sockets { request, rooms } => {
                let sockets = self.fetch_here(Selection { namespace, rooms, except: Vec::new() }).await;
                Content::Sids { request, sids: sockets.into_iter().map(|socket| socket.id).collect() }
            }
            Content::ServerEmit { name, arguments, request } => {
                let Some(answer) = self.tell_application(namespace, &name, arguments) else { return };
                let Some(request) = request else { return };
                Content::ServerAnswer { request, arguments: answer }
            }
            Content::Broadcast { targets, volatile, name, arguments, request: Some(request) } => {
                let raw = RawEvent { name: &name, args: arguments.args(), arity: arguments.arity() };
                let event = Event { raw, attachments: arguments.attachments(), ack: None, offset: None };
                let mut broadcast = Broadcast::new(namespace, targets.rooms, targets.except, event);
                broadcast.volatile = volatile;
                return self.answer_broadcast((namespace, uid, request), broadcast, wait).await;
            }
            old => match self.do_old(namespace, old).await {
                Some(request) => Content::Done { request },
                None => return,
            },
        };
        self.say_answer(namespace, uid, answer);
    }

    /// Says how many were asked, and then each answer. Where there is no place to wait for these, all have heard the
    /// broadcast, and count as missing.
    async fn answer_broadcast(
        &self,
        (namespace, uid, request): (NamespaceId, &str, Box<str>),
        broadcast: Broadcast,
        wait: Wait,
    ) {
        let timeout = if wait == Wait::Allowed { GATHER_TIMEOUT } else { Duration::ZERO };
        let mut answers = self.gather_here(broadcast, timeout);
        let clients = answers.asked().await;
        self.say_answer(namespace, uid, Content::Count { request: request.clone(), clients: clients as u64 });
        if wait == Wait::NoPlace {
            return;
        }
        while let Some(arguments) = answers.next().await {
            self.say_answer(namespace, uid, Content::Answer { request: request.clone(), arguments });
        }
    }

    /// What nodes of old ask of one session. Returns the question's id if the session is here.
    async fn do_old(&self, namespace: NamespaceId, content: Content) -> Option<Box<str>> {
        let (targets, action, request): (Targets, _, _) = match content {
            Content::Join { targets, rooms, request } => (targets, Action::Join(rooms), request?),
            Content::Leave { targets, rooms, request } => (targets, Action::Leave(rooms), request?),
            Content::Disconnect { targets, close, request } => (targets, Action::Disconnect { close }, request?),
            _ => return None,
        };
        (self.manage_here(selection(namespace, targets), action).await > 0).then_some(request)
    }

    fn tell_application(&self, namespace: NamespaceId, name: &str, arguments: Arguments) -> Option<Arguments> {
        let handler = self.shared.on_node_event.get()?;
        let name = unquote(name).ok()?.into_owned();
        (handler.0)(self, &NodeEvent { namespace, name, arguments })
    }

    /// Rooms with members here, and the ids of the sessions here, each of which is a room of its own.
    async fn all_rooms(&self, namespace: NamespaceId) -> Vec<String> {
        let page = self.shared.index.page(namespace, "", None, usize::MAX - 1);
        let named = page.rooms.into_iter().map(|listing| listing.room.into());
        let everybody = Selection { namespace, rooms: Vec::new(), except: Vec::new() };
        let own = self.fetch_here(everybody).await.into_iter().map(|socket| socket.id);
        named.chain(own).collect()
    }

    fn say_answer(&self, namespace: NamespaceId, uid: &str, content: Content) {
        if let Err(why) = self.shared.adapter.answer(namespace.0, uid, content) {
            tracing::debug!(?why, "an answer to another node was given up");
        }
    }
}

/// A session as other nodes see it; what its handshake said stays here.
fn remote(SocketInfo { id, mut rooms, .. }: SocketInfo) -> RemoteSocket {
    rooms.push(id.clone());
    let handshake = r#"{"headers":{},"query":{},"auth":{}}"#.to_owned();
    RemoteSocket { id, rooms, handshake, data: "{}".to_owned() }
}

/// A session of this node as an application sees it.
pub(super) fn here(sid: Sid, rooms: Vec<String>) -> SocketInfo {
    SocketInfo { id: sid.as_str().to_owned(), rooms }
}
