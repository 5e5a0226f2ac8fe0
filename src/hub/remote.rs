//! The way to other nodes: what is said here goes to them, and what comes from them goes to the workers.

use super::broadcast::{Broadcast, Cast};
use super::cluster::{Action, Selection};
use super::questions::Question;
use super::worker::Command;
use super::{Hub, NamespaceId, Shared, overloaded};
use crate::adapter::{Fate, Here, Load, NodeId, Receipt, Said, Strand, Waiting};
use crate::metrics::PublishLoss;
use crate::protocol::arguments::Arguments;
use crate::protocol::envelope::{Content, Envelope, Targets};
use crate::protocol::event::Event;
use crate::protocol::peers;
use crate::protocol::refusal::{Code, Refusal};
use crate::protocol::request::{RawEvent, raw_name};
use std::sync::Arc;
use tokio::sync::oneshot;

impl Here for Hub {
    fn has_members(&self, namespace: u16, room: &str) -> bool {
        // Or was, and may come back.
        self.shared.index.workers(NamespaceId(namespace), room) != 0
    }

    fn asked(&self, uid: Box<str>, request: Box<str>, question: Option<Box<peers::Question>>) {
        self.shared.asked.push(Question::OfPeer { uid, request, question }, &self.shared.metrics);
    }

    fn meet(&self, node: NodeId) {
        self.shared.met.push(node);
    }

    fn load(&self) -> Load {
        Load {
            sockets: self.shared.metrics.open_sockets(),
            rooms: self.shared.index.rooms(),
            members: self.shared.index.members_by_kind(),
            news: self.shared.attendance.number(),
        }
    }

    fn met(&self, uid: &str, news: u64) {
        self.heard_beat(uid, news);
    }

    fn told(&self, uid: &str, news: peers::News) {
        self.heard_news(uid, news);
    }

    fn lost(&self, uid: &str, dead: bool) {
        self.lost_other(uid, dead);
    }

    fn hear(&self, namespace: u16, envelope: Envelope) {
        let namespace_id = NamespaceId(namespace);
        let Envelope { uid, content, .. } = envelope;
        match content {
            Content::Broadcast { targets, volatile, name, arguments, request: None } => {
                let raw = RawEvent { name: &name, args: arguments.args(), arity: arguments.arity() };
                if self.is_kept_from_members(namespace_id, &targets.rooms, &raw) {
                    return;
                }
                let event = Event { raw, attachments: arguments.attachments(), ack: None, offset: None };
                let mut broadcast = Broadcast::new(namespace_id, targets.rooms, targets.except, event);
                broadcast.volatile = volatile;
                // What does not fit is counted.
                let _full = self.shared.hand_out(broadcast, None);
            }
            Content::Join { targets, rooms, request: None } => {
                self.shared.have(selection(namespace_id, targets), Action::Join(rooms));
            }
            Content::Leave { targets, rooms, request: None } => {
                self.shared.have(selection(namespace_id, targets), Action::Leave(rooms));
            }
            Content::Disconnect { targets, close, request: None } => {
                self.shared.have(selection(namespace_id, targets), Action::Disconnect { close });
            }
            content => {
                let question = Question::OfNode { namespace: namespace_id, uid, content };
                self.shared.asked.push(question, &self.shared.metrics);
            }
        }
    }
}

impl Hub {
    /// Whether a room that has members here is not heard from other nodes yet, and will be soon.
    #[must_use]
    pub fn is_pending(&self, namespace: NamespaceId, room: &str) -> bool {
        self.shared.adapter.is_pending(namespace.0, room)
    }

    /// Keeps something until a room is heard from other nodes; drops it at once if there is nothing to wait for.
    pub fn wait(&self, namespace: NamespaceId, room: &str, waiting: Waiting) {
        self.shared.adapter.wait(namespace.0, room, waiting);
    }

    /// Hands a broadcast to every worker of this node that has members of its rooms.
    ///
    /// # Errors
    /// When some recipients could not be served because a queue was full; they are counted.
    pub fn broadcast_here(&self, broadcast: Broadcast) -> Result<(), Refusal> {
        let (_, full) = self.shared.hand_out(broadcast, None);
        if full > 0 { Err(overloaded()) } else { Ok(()) }
    }

    /// Hands a broadcast to the other nodes, behind the others of its strand. The receipt says whether the broker has confirmed it;
    /// `None`: nobody else is to hear it.
    ///
    /// # Errors
    /// When it was given up at once; what is behind it needs a new strand then.
    pub fn broadcast_elsewhere(&self, broadcast: &Broadcast, strand: &Strand) -> Result<Option<Receipt>, Refusal> {
        match self.shared.adapter.publish_confirmed(broadcast.namespace.0, &broadcast.said(), strand) {
            // It never can be told, so nobody waits for it.
            Err(PublishLoss::Encoding) => Ok(None),
            published => published.map_err(unheard),
        }
    }

    /// Whether the broker is known to be away: what is for other nodes waits.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.shared.adapter.is_cut_off()
    }

    /// Sends an event to everybody in a namespace, on this node only.
    ///
    /// # Errors
    /// When Socket.IO keeps the name for itself, or a queue was full and some do not get it.
    pub fn emit_here(&self, namespace: NamespaceId, event: &str, arguments: &Arguments) -> Result<(), Refusal> {
        let name = raw_name(event)?;
        let raw = RawEvent { name: &name, args: arguments.args(), arity: arguments.arity() };
        let event = Event { raw, attachments: arguments.attachments(), ack: None, offset: None };
        let (_, full) = self.shared.hand_out(Broadcast::new(namespace, Vec::new(), Vec::new(), event), None);
        if full > 0 { Err(overloaded()) } else { Ok(()) }
    }
}

pub(super) fn selection(namespace: NamespaceId, Targets { rooms, except }: Targets) -> Selection {
    Selection { namespace, rooms, except }
}

impl Shared {
    /// Has sessions here do something; nobody waits for it.
    fn have(&self, selection: Selection, action: Action) {
        let workers = self.workers_of(selection.namespace, &selection.rooms);
        let (selection, action) = (Arc::new(selection), Arc::new(action));
        for (_, mailbox) in self.mailboxes.iter().enumerate().filter(|(worker, _)| workers >> worker & 1 == 1) {
            let (reply, _nobody) = oneshot::channel();
            let (selection, action) = (Arc::clone(&selection), Arc::clone(&action));
            mailbox.post(Command::Manage { selection, action, reply }, 0);
        }
    }

    /// Hands a broadcast to the other nodes. What has to wait for them has a receipt.
    pub(super) fn publish(&self, broadcast: &Broadcast) -> Result<Option<Receipt>, Refusal> {
        held(self.adapter.publish_watched(broadcast.namespace.0, &broadcast.said()))
    }

    /// Hands a session's broadcast to the other nodes, unless it is for one session of this one.
    pub(super) fn publish_cast<S: AsRef<str>>(&self, cast: &Cast<'_, S>) -> Result<Option<Receipt>, Refusal> {
        if self.adapter.is_alone() {
            return Ok(None);
        }
        let &Cast { namespace, rooms, except, volatile, event, watched, .. } = cast;
        let said = Said { event, rooms, except, volatile };
        if watched {
            held(self.adapter.publish_watched(namespace.0, &said))
        } else {
            self.adapter.publish(namespace.0, &said).map(|()| None).map_err(unheard)
        }
    }
}

impl Receipt {
    /// Waits until what was published is sent to the other nodes.
    ///
    /// # Errors
    /// When it is given up.
    pub async fn outcome(self) -> Result<(), Refusal> {
        if self.was_sent().await { Ok(()) } else { Err(unheard(PublishLoss::Expired)) }
    }
}

/// What there is to wait for.
fn held(published: Result<Fate, PublishLoss>) -> Result<Option<Receipt>, Refusal> {
    match published.map_err(unheard)? {
        Fate::Sent => Ok(None),
        Fate::Held(receipt) => Ok(Some(receipt)),
        Fate::Unwatched => Err(Refusal::new(
            Code::Unavailable,
            "other nodes cannot be reached, and too many wait for it: members of this node have got it, those of others may get it yet",
        )),
    }
}

/// What is said to whoever publishes when other nodes do not get it.
fn unheard(why: PublishLoss) -> Refusal {
    let detail = match why {
        PublishLoss::Encoding => "other nodes cannot be told this; members of this node have got it",
        PublishLoss::Full => "too much waits for other nodes: members of this node have got it, those of others do not",
        _ => "other nodes cannot be reached: members of this node have got it, those of others do not",
    };
    Refusal::new(Code::Unavailable, detail)
}

/// What is said to whoever asks other nodes for something in vain.
pub(super) fn unpublished(why: PublishLoss) -> Refusal {
    let detail = match why {
        PublishLoss::Encoding => "other nodes cannot be told this",
        PublishLoss::Full => "too much waits for other nodes",
        _ => "other nodes cannot be reached",
    };
    Refusal::new(Code::Unavailable, detail)
}
