//! The other nodes: what they are told and asked, and what comes from them.
//!
//! | | |
//! |---|---|
//! | [`Adapter`] | the handle, for any thread; what it does never waits for the broker |
//! | [`broker`] | what is needed of a pub/sub server: [`direct`] is one server, [`redis`] a Cluster by way of a [`client`] library, [`bus`] is within one process |
//! | [`interest`] | which rooms are to be heard, and which are; [`reconcile`] makes the two agree |
//! | [`outgoing`] | what waits to be published, in order; [`publisher`] publishes it at its [`pace`], and [`receipt`] says what became of it |
//! | [`listening`] | what comes in |
//! | [`replay`] | what was said while a node could not listen; [`numbers`] tell what was heard already |
//! | [`requests`] | questions to the others, and their answers |
//! | [`inquiry`] | questions to roomcast nodes alone |
//! | [`nodes`] | the table of the other roomcast nodes; [`peers`] keeps it, and says that this one is there |
//!
//! # Invariants
//! - Nobody waits for the broker: a publication is queued or refused, and every refusal is counted.
//! - A node subscribes to the channels of the rooms that have members here, and to no other room's.
//! - What this node said itself is not heard again.

mod broker;
mod bus;
mod client;
mod direct;
mod driver;
mod inquiry;
mod interest;
mod ledger;
mod listening;
mod nodes;
mod numbers;
mod outgoing;
mod pace;
mod peers;
mod publisher;
mod receipt;
mod reconcile;
mod redis;
mod replay;
mod requests;
mod servers;
mod shared;

pub use bus::Bus;
pub use driver::Driver;
pub use inquiry::{Inquiry, Told};
pub use interest::Waiting;
pub use ledger::{Entry, Ledger, NoAnswer, Owed};
pub use nodes::Peer;
pub use peers::Load;
pub use receipt::{Fate, Receipt, Strand};
pub use requests::Asked;

use crate::config::RedisSettings;
use crate::lifecycle;
use crate::metrics::{ClusterStats, PublishLoss};
use crate::protocol::envelope::{Content, Envelope};
use crate::protocol::event::Event;
use crate::protocol::peers::{News, Question};
use driver::Link;
use shared::{Line, Shared, random_text};
use std::sync::Arc;
use std::time::Duration;

/// What the adapter needs of the node that it serves.
pub trait Here: Send + Sync + 'static {
    /// Whether anybody here is in a room.
    fn has_members(&self, namespace: u16, room: &str) -> bool;

    /// Takes what another node says or asks; never waits.
    fn hear(&self, namespace: u16, envelope: Envelope);

    /// Takes what the roomcast node `uid` asks, if it can be understood; never waits.
    fn asked(&self, uid: Box<str>, request: Box<str>, question: Option<Box<Question>>);

    /// Takes note of another roomcast node that was not known; never waits.
    fn meet(&self, node: NodeId);

    /// How busy the node is.
    fn load(&self) -> Load;

    /// The roomcast node `uid` is there; its last news has this number.
    fn met(&self, uid: &str, news: u64);

    /// It says who came and went there.
    fn told(&self, uid: &str, news: News);

    /// It has left, or is dead: it was silent for too long.
    fn lost(&self, uid: &str, dead: bool);
}

/// Tells nodes apart: the ids of a node's sessions begin with it.
pub type NodeId = [u8; 3];

/// The handle to the other nodes.
#[derive(Debug, Clone)]
pub struct Adapter {
    node: NodeId,
    cluster: Option<Arc<Shared>>,
}

/// How a node is to meet others.
#[derive(Debug)]
pub struct Meeting<'a> {
    /// Its settings.
    pub settings: &'a RedisSettings,
    /// Where nodes of this process meet, instead of at the settings' server.
    pub bus: Option<&'a Bus>,
    /// The namespaces, by id.
    pub namespaces: &'a [String],
    /// What the ids of sessions begin with as text.
    pub sid_prefix: fn(NodeId) -> String,
    /// Where other nodes reach the public listener of this one: host and port.
    pub address: &'a str,
    /// Whether that listener speaks TLS.
    pub tls: bool,
    /// What is counted.
    pub stats: Arc<ClusterStats>,
}

/// An event for other nodes.
#[derive(Debug)]
pub struct Said<'a, S> {
    /// The event itself.
    pub event: Event<'a>,
    /// The rooms; none are all.
    pub rooms: &'a [S],
    /// Rooms whose members are left out.
    pub except: &'a [S],
    /// Whether it may be lost where a connection is not ready for it.
    pub volatile: bool,
}

impl Adapter {
    /// There are no other nodes.
    ///
    /// # Panics
    /// When the operating system has no randomness.
    #[must_use]
    pub fn alone() -> Self {
        let mut node = [0; 3];
        getrandom::fill(&mut node).expect("the operating system has randomness");
        Self { node, cluster: None }
    }

    /// The adapter that the settings ask for, and what drives it, if there are to be other nodes.
    ///
    /// # Errors
    /// When the address of the server makes no sense.
    pub fn new(meeting: Meeting<'_>) -> Result<(Self, Option<Driver>), String> {
        let alone = Self::alone();
        let Some(link) = Link::new(meeting.settings, meeting.bus)? else { return Ok((alone, None)) };
        let (shared, driver) = driver::prepare(alone.node, meeting, link);
        Ok((Self { cluster: Some(shared), ..alone }, Some(driver)))
    }

    /// What ids of sessions of this node begin with.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Whether there are no other nodes.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.cluster.is_none()
    }

    /// Where all nodes count together. `None`: there are no others, or they have no such place.
    #[must_use]
    pub fn ledger(&self) -> Option<Ledger> {
        let shared = self.cluster.as_ref()?;
        match &shared.line {
            Line::Redis(redis) => Some(Ledger::new(redis, &shared.prefix, &shared.stats)),
            Line::Bus(_) => None,
        }
    }

    /// Hands an event to the other nodes, if there are any.
    ///
    /// # Errors
    /// Why it was given up.
    pub fn publish<S: AsRef<str>>(&self, namespace: u16, said: &Said<'_, S>) -> Result<(), PublishLoss> {
        self.cluster.as_ref().map_or(Ok(()), |shared| shared.publish(namespace, said, None, None))
    }

    /// Has the other nodes do something. Nobody answers.
    ///
    /// # Errors
    /// Why it was given up.
    pub fn tell(&self, namespace: u16, content: Content) -> Result<(), PublishLoss> {
        let Some(shared) = &self.cluster else { return Ok(()) };
        shared.say(namespace, shared.channels(namespace).question().into(), content)
    }

    /// Asks the other nodes; `content` makes the question of its id. `None`: there are none.
    ///
    /// # Errors
    /// When they cannot be asked.
    pub fn ask(
        &self,
        namespace: u16,
        timeout: Duration,
        content: impl FnOnce(Box<str>) -> Content,
    ) -> Result<Option<Asked>, PublishLoss> {
        let Some(shared) = &self.cluster else { return Ok(None) };
        let id = random_text(8);
        let asked = Asked::new(shared, namespace, &id, timeout)?;
        shared.say(namespace, shared.channels(namespace).question().into(), content(id.into()))?;
        Ok(Some(asked))
    }

    /// Broadcasts on the other nodes, whose recipients are to answer. `None`: there are none.
    ///
    /// # Errors
    /// When they cannot be asked.
    pub fn gather<S: AsRef<str>>(
        &self,
        namespace: u16,
        timeout: Duration,
        said: &Said<'_, S>,
    ) -> Result<Option<Asked>, PublishLoss> {
        let Some(shared) = &self.cluster else { return Ok(None) };
        let id = random_text(8);
        let asked = Asked::new(shared, namespace, &id, timeout)?;
        shared.publish(namespace, said, Some(&id), None)?;
        Ok(Some(asked))
    }

    /// Answers the node `uid`.
    ///
    /// # Errors
    /// Why it was given up.
    pub fn answer(&self, namespace: u16, uid: &str, content: Content) -> Result<(), PublishLoss> {
        let Some(shared) = &self.cluster else { return Ok(()) };
        shared.say(namespace, shared.channels(namespace).answer(uid, shared.specific).into(), content)
    }

    /// How many nodes there are, this one included.
    ///
    /// # Errors
    /// When the broker does not say.
    pub async fn node_count(&self, namespace: u16) -> Result<usize, PublishLoss> {
        let Some(shared) = &self.cluster else { return Ok(1) };
        Ok(shared.others(namespace).await? + 1)
    }

    /// A room has its first member here.
    pub fn joined(&self, namespace: u16, room: &str) {
        let Some(shared) = &self.cluster else { return };
        if shared.has_channel(namespace, room) && shared.interest().want((namespace, room.into())) {
            shared.wake.notify_one();
        }
    }

    /// A room has lost its last member here.
    pub fn left(&self, namespace: u16, room: &str) {
        let Some(shared) = &self.cluster else { return };
        let due = lifecycle::unix_millis() + reconcile::IDLE_MS;
        shared.interest().may_be_idle((namespace, room.into()), due);
    }

    /// Whether a room that has members here is not heard yet, and will be soon.
    #[must_use]
    pub fn is_pending(&self, namespace: u16, room: &str) -> bool {
        self.cluster.as_ref().is_some_and(|shared| shared.interest().is_pending(&(namespace, room.into())))
    }

    /// Keeps something until a room is heard; drops it at once if there is nothing to wait for.
    pub fn wait(&self, namespace: u16, room: &str, waiting: Waiting) {
        if let Some(shared) = &self.cluster {
            shared.interest().wait(&(namespace, room.into()), waiting);
        }
    }
}
