//! Who is in which room on this node, and fan-out.
//!
//! The process runs workers, each one thread. A worker owns its part of every room and the outboxes of its sessions
//! ([`Local`]); nothing on the delivery path is shared, so nothing is locked. What the workers share is the [`index`] of
//! which of them have members of a room, read once per broadcast. From any other thread, [`Hub`] posts to their inboxes.
//!
//! # Invariants
//! - The hub knows no socket: it fills outboxes and lists the ones to be written; the transport writes.
//! - A broadcast is encoded once per wire, on first need, whatever the number of members and workers.
//! - Per sender and room, events from one node arrive in order.

mod address;
mod answering;
mod attendance;
mod broadcast;
mod census;
mod cluster;
mod deeds;
mod fanout;
mod fanout_error;
mod gather;
mod index;
mod learning;
mod limits;
mod local;
mod member;
mod membership;
mod nodes;
mod onlooker;
mod outbox;
mod owner;
mod permission;
mod policy;
mod posting;
mod presence;
mod questions;
mod recovery;
mod remote;
mod responder;
mod revoked;
mod room;
mod states;
mod tap;
mod union;
mod views;
mod worker;

pub use address::{Address, Sid};
pub use broadcast::{Broadcast, Cast};
pub use census::Census;
pub use cluster::{Action, Fetched, NodeAnswers, Selection, SocketInfo};
pub use deeds::Emitted;
pub use gather::{Answers, BROADCAST_ACKS, Gathered, Heard};
pub use index::{RoomListing, RoomPage};
pub use limits::HubLimits;
pub use local::Local;
pub use member::{Identity, MemberId};
pub use nodes::NodeInfo;
pub use onlooker::Onlooker;
pub use outbox::{Frame, Outbox, OutboxId};
pub use permission::{RoomRates, Whom};
pub use policy::{Grant, Policies, PolicyId, Right, Rights, RoomPolicy};
pub use presence::{MemberInfo, Presence};
pub use recovery::{Awaited, Claim, Missed, Notes, RecoveryStep, Restored, StillIn};
pub use responder::{NodeEvent, OnNodeEvent};
pub use revoked::Revoked;
pub use states::{RoomState, RoomStates};
pub use tap::{Direction, TapKind, TapRecord};
pub use views::{Reach, View};
pub use worker::{Command, Deed, DrainOrder, Inbox, Kick, ReplyTo, SessionEvent, SessionQuery, Tally};

use crate::adapter::Adapter;
pub use crate::adapter::{NodeId, Peer, Receipt, Strand, Waiting};
use crate::config::Settings;
use crate::lifecycle;
use crate::metrics::Metrics;
use crate::protocol::refusal::{Code, Refusal};
use attendance::Attendance;
use index::Index;
use learning::Met;
use questions::Asked;
use recovery::{Aliases, Offsets};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio::sync::{Semaphore, mpsc, oneshot};
use worker::Mailbox;

/// Position of a namespace in the configured list; 0 is `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NamespaceId(pub u16);

impl NamespaceId {
    /// `/`, where the plain doors and the HTTP API are.
    pub const DEFAULT: Self = Self(0);
}

/// The handle to all rooms of this node, for any thread.
#[derive(Debug, Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    namespaces: Vec<String>,
    index: Index,
    mailboxes: Vec<Mailbox>,
    metrics: Metrics,
    adapter: Adapter,
    /// What the application does with events of other nodes.
    on_node_event: OnceLock<OnNodeEvent>,
    /// Rooms that somebody minds.
    minded: OnceLock<onlooker::Minded>,
    /// Who knows how things stand in rooms.
    states: OnceLock<Arc<dyn RoomStates>>,
    /// Tokens that are refused although they are valid.
    revoked: OnceLock<Revoked>,
    /// Questions of other nodes, for [`Hub::answer_others`].
    asked: Asked,
    /// Nodes that have been met, for [`Hub::answer_others`].
    met: Met,
    /// One for each question of a client to other nodes that may be open.
    client_questions: Semaphore,
    /// Numbers the broadcasts that are to be answered.
    broadcast_acks: AtomicU32,
    /// What the rates of rooms are counted from, on all workers.
    started: Instant,
    /// Numbers the events that sessions may miss.
    offsets: Offsets,
    /// Where the sessions are that came back.
    aliases: Aliases,
    /// Who comes and goes, where members are told.
    attendance: Attendance,
}

impl Hub {
    /// A hub for so many workers, and the workers' inboxes.
    ///
    /// # Panics
    /// When the operating system has no randomness.
    #[must_use]
    pub fn new(
        namespaces: Vec<String>,
        workers: usize,
        settings: &Settings,
        metrics: Metrics,
        adapter: Adapter,
    ) -> (Self, Vec<Inbox>) {
        let (inbox_bytes, recovers) = (settings.delivery.inbox_bytes, !settings.recovery.recovery_window.is_zero());
        let bytes_waiting = |worker| Arc::clone(&metrics.worker(worker).inbox_bytes);
        let mailboxes = (0..workers).map(|worker| worker::mailbox(inbox_bytes, bytes_waiting(worker)));
        let (mailboxes, inboxes) = mailboxes.unzip();
        let attendance = Attendance::new(&settings.presence, namespaces.len(), adapter.is_alone());
        let index = Index::new(namespaces.len(), Arc::clone(metrics.node()));
        (
            Self {
                shared: Arc::new(Shared {
                    namespaces,
                    index,
                    mailboxes,
                    metrics,
                    adapter,
                    on_node_event: OnceLock::new(),
                    minded: OnceLock::new(),
                    states: OnceLock::new(),
                    revoked: OnceLock::new(),
                    asked: Asked::default(),
                    met: Met::default(),
                    client_questions: Semaphore::new(views::CLIENT_QUESTIONS_MAX),
                    broadcast_acks: AtomicU32::new(0),
                    started: lifecycle::now(),
                    offsets: Offsets::new(recovers),
                    aliases: Aliases::default(),
                    attendance,
                }),
            },
            inboxes,
        )
    }

    /// The namespaces that exist, by id.
    #[must_use]
    pub fn namespaces(&self) -> &[String] {
        &self.shared.namespaces
    }

    /// Hands a broadcast to every worker that has members of its rooms, and to the other nodes. What has to wait for these
    /// has a receipt.
    ///
    /// # Errors
    /// When some recipients could not be served because a queue was full; they are counted.
    pub fn broadcast(&self, broadcast: Broadcast) -> Result<Option<Receipt>, Refusal> {
        let published = self.shared.publish(&broadcast);
        let (_, full) = self.shared.hand_out(broadcast, None);
        if full > 0 {
            return Err(overloaded());
        }
        published
    }

    /// Lets somebody watch what a session says and hears. Returns whether there is one.
    ///
    /// # Errors
    /// When its worker does not answer.
    pub async fn tap(&self, sid: Sid, sender: mpsc::Sender<TapRecord>) -> Result<bool, Refusal> {
        let Some(worker) = self.worker_of(sid) else { return Ok(false) };
        self.ask(worker, |reply| Command::Tap { sid, sender, reply }).await.ok_or_else(no_answer)
    }

    /// Tells every worker to close its sessions.
    pub fn drain(&self, order: DrainOrder) {
        for mailbox in &self.shared.mailboxes {
            mailbox.insist(Command::Drain(order));
        }
    }

    /// The worker of a session, if it is one of this node.
    #[must_use]
    pub fn worker_of(&self, sid: Sid) -> Option<usize> {
        let address = self.shared.address_of(sid)?;
        Some(usize::from(address.worker)).filter(|worker| *worker < self.shared.mailboxes.len())
    }

    /// The place in its worker's table that a session's id names; only for ids of this node.
    #[must_use]
    pub fn place_of(&self, sid: Sid) -> Option<OutboxId> {
        sid.address(self.shared.node()).map(|address| OutboxId(address.place))
    }

    async fn ask<T>(&self, worker: usize, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.shared.mailboxes[worker].post(command(reply), 0).then_some(())?;
        answer.await.ok()
    }

    async fn ask_each<T>(&self, workers: u64, command: impl Fn(oneshot::Sender<T>) -> Command) -> Vec<T> {
        let mut answers = Vec::new();
        for worker in (0..self.shared.mailboxes.len()).filter(|worker| workers >> worker & 1 == 1) {
            answers.extend(self.ask(worker, &command).await);
        }
        answers
    }
}

/// The inbox of a worker is full, or it has ended.
fn no_answer() -> Refusal {
    Refusal::new(Code::Unavailable, "the worker of this session does not answer")
}

/// The inbox of a recipient's worker is full.
fn overloaded() -> Refusal {
    Refusal::new(Code::Unavailable, "some of the recipients are overloaded; try again")
}
