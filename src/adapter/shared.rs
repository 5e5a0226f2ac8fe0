//! What the threads of a node and the driver of its adapter share.

use super::Said;
use super::broker::Broker;
use super::bus::BusClient;
use super::inquiry::Told;
use super::interest::Interest;
use super::peers::Peers;
use super::publisher::{Kind, Parcel};
use super::receipt::{Owed, Receipts};
use super::redis::Redis;
use super::requests::Requests;
use crate::lifecycle;
use crate::metrics::{ClusterStats, PublishLoss};
use crate::protocol::envelope::{Broadcast, Channels, Content, Envelope, Format};
use crate::protocol::peers::PeerChannels;
use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};

/// A way to the broker, for questions from any thread.
#[derive(Debug, Clone)]
pub(super) enum Line {
    Redis(Redis),
    Bus(BusClient),
}

/// What the threads of a node and the driver of its adapter share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Who this node is to the others.
    pub(super) uid: Box<str>,
    pub(super) format: Format,
    pub(super) prefix: String,
    pub(super) namespaces: Vec<String>,
    /// By namespace.
    pub(super) channels: Vec<Channels>,
    /// What the ids of sessions here begin with.
    pub(super) sid_prefix: String,
    pub(super) interest: Mutex<Interest>,
    /// There is something to reconcile.
    pub(super) wake: Notify,
    pub(super) queue: mpsc::Sender<Parcel>,
    pub(super) waiting_bytes: AtomicUsize,
    pub(super) bytes_max: usize,
    /// How long what cannot be published is kept.
    pub(super) hold_ms: u64,
    /// The least time between two batches of publications, while there are many.
    pub(super) linger: Duration,
    /// Whether publications have numbers: they come from one server, in their order.
    pub(super) numbers: bool,
    /// Whether answers go to who asked alone.
    pub(super) specific: bool,
    /// Since when the first of what is being published waits, in milliseconds since 1970; 0 when nothing does.
    pub(super) waiting_since: AtomicU64,
    /// Publications whose publishers wait to hear that they are sent.
    pub(super) receipts: Receipts,
    /// When anything was last heard, in milliseconds since 1970; 0 before the first time.
    pub(super) heard_at: AtomicU64,
    /// The same, of the connection before; 0 when nothing of it is missed any more.
    pub(super) lost_at: AtomicU64,
    /// Since when other nodes cannot be heard, in milliseconds since 1970; 0 while they can, and before the first time.
    pub(super) away_since: AtomicU64,
    /// The connection, counted as in the metrics, on which everything is subscribed to.
    pub(super) subscribed: AtomicU64,
    /// How many nodes there were when they were last counted.
    pub(super) nodes: AtomicUsize,
    pub(super) requests: Requests<Content>,
    /// Questions to roomcast nodes.
    pub(super) inquiries: Requests<Told>,
    /// How many roomcast nodes listened when they were last counted, this one included.
    pub(super) listening: AtomicUsize,
    /// The other roomcast nodes.
    pub(super) peers: Peers,
    pub(super) peer_channels: PeerChannels,
    pub(super) line: Line,
    pub(super) stats: Arc<ClusterStats>,
}

impl Shared {
    pub(super) fn interest(&self) -> MutexGuard<'_, Interest> {
        self.interest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn channels(&self, namespace: u16) -> &Channels {
        &self.channels[usize::from(namespace)]
    }

    /// Whether a room has a channel that is subscribed to for it alone.
    pub(super) fn has_channel(&self, namespace: u16, room: &str) -> bool {
        !self.is_heard_by_prefix(room) && self.channels(namespace).room(room).is_some()
    }

    /// Ids of sessions are rooms, too: all of this node's are heard by what they begin with.
    pub(super) fn is_heard_by_prefix(&self, room: &str) -> bool {
        self.format == Format::Classic && room.starts_with(&self.sid_prefix)
    }

    /// Whether everything is subscribed to on the connection that there is.
    pub(super) fn is_subscribed(&self) -> bool {
        self.is_current(self.subscribed.load(Relaxed))
    }

    /// Whether no other connection came up since this one.
    pub(super) fn is_current(&self, connection: u64) -> bool {
        self.stats.connections.get() == connection
    }

    /// Queues an event. With `request` its recipients are to answer; `owed` is used when it is sent.
    pub(super) fn publish<S: AsRef<str>>(
        &self,
        namespace: u16,
        said: &Said<'_, S>,
        request: Option<&str>,
        owed: Option<Owed>,
    ) -> Result<(), PublishLoss> {
        let &Said { event, rooms, except, volatile } = said;
        let (uid, name) = (&*self.uid, &self.namespaces[usize::from(namespace)]);
        let broadcast = Broadcast { uid, namespace: name, event, rooms, except, volatile, request };
        let mut payload = Vec::new();
        broadcast.write(self.format, &mut payload).map_err(|_| self.lost(PublishLoss::Encoding, Kind::Plain))?;
        let channel = self.channels(namespace).broadcast(rooms, request.is_some());
        let kind = if self.numbers && request.is_none() { Kind::Numbered } else { Kind::Plain };
        self.queue(channel.into(), payload, kind, owed)
    }

    /// Queues anything else.
    pub(super) fn say(&self, namespace: u16, channel: Box<str>, content: Content) -> Result<(), PublishLoss> {
        let name = self.namespaces[usize::from(namespace)].as_str();
        let envelope = Envelope { uid: self.uid.clone(), namespace: name.into(), content };
        let payload = self.format.encode(&envelope).map_err(|_| self.lost(PublishLoss::Encoding, Kind::Plain))?;
        self.post(channel, payload, Kind::Plain)
    }

    /// Queues a payload.
    pub(super) fn post(&self, channel: Box<str>, payload: Vec<u8>, kind: Kind) -> Result<(), PublishLoss> {
        self.queue(channel, payload, kind, None)
    }

    fn queue(&self, channel: Box<str>, payload: Vec<u8>, kind: Kind, owed: Option<Owed>) -> Result<(), PublishLoss> {
        let since = lifecycle::unix_millis();
        let waiting_since = self.waiting_since.load(Relaxed);
        if waiting_since != 0 && waiting_since.saturating_add(self.hold_ms) <= since {
            return Err(self.lost(PublishLoss::Away, kind));
        }
        let parcel = Parcel { channel, payload, kind, since, owed };
        let cost = parcel.cost();
        if self.waiting_bytes.load(Relaxed).saturating_add(cost) > self.bytes_max {
            return Err(self.lost(PublishLoss::Full, kind));
        }
        self.waiting_bytes.fetch_add(cost, Relaxed);
        self.queue.try_send(parcel).map_err(|_| {
            self.released(cost);
            self.lost(PublishLoss::Full, kind)
        })
    }

    fn lost(&self, why: PublishLoss, kind: Kind) -> PublishLoss {
        self.stats.publish_losses[why as usize].add_shared(u64::from(kind.is_missed()));
        why
    }

    /// Bytes wait no longer.
    pub(super) fn released(&self, cost: usize) {
        self.waiting_bytes.fetch_sub(cost, Relaxed);
    }

    /// So many payloads were given up.
    pub(super) fn given_up(&self, why: PublishLoss, count: u64, cost: usize) {
        self.stats.publish_losses[why as usize].add_shared(count);
        self.released(cost);
    }

    /// How many other nodes there are.
    pub(super) async fn others(&self, namespace: u16) -> Result<usize, PublishLoss> {
        let channel = self.channels(namespace).question();
        let nodes = match &self.line {
            Line::Redis(redis) => Box::pin(redis.subscribers(channel)).await,
            Line::Bus(bus) => bus.subscribers(channel).await,
        };
        match nodes {
            Ok(nodes) => Ok(nodes.saturating_sub(1)),
            Err(trouble) => {
                tracing::debug!(%trouble, "cannot count the nodes");
                Err(PublishLoss::Away)
            }
        }
    }

    /// The channel on which nodes ask for what they could not hear.
    pub(super) fn replay_channel(&self) -> String {
        format!("{}-replay#", self.prefix)
    }

    /// The channel on which whoever asked as `asker` hears it.
    pub(super) fn replay_channel_of(&self, asker: &str) -> String {
        format!("{}-replay#{asker}#", self.prefix)
    }

    /// The channel on which this node hears itself.
    pub(super) fn probe_channel(&self) -> String {
        format!("{}-probe#{}#", self.prefix, self.uid)
    }
}

/// Random hexadecimal digits, two for each byte; 16 at most.
pub(super) fn random_text(bytes: usize) -> String {
    let mut random = [0; 8];
    getrandom::fill(&mut random).expect("the operating system has randomness");
    random.iter().take(bytes).fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
