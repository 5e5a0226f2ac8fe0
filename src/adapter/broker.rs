//! What carries payloads between nodes: the narrow part of a pub/sub server that the adapter needs.

use bytes::Bytes;
use std::fmt;
use std::future::Future;

/// A payload on its way to other nodes.
#[derive(Debug, Clone)]
pub(super) struct Publication {
    /// The channel's name.
    pub(super) channel: Box<str>,
    /// What is said.
    pub(super) payload: Bytes,
}

/// What comes from the broker.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A payload on a channel that is subscribed to.
    Payload {
        /// The channel's name.
        channel: String,
        /// Whether a prefix brought it, rather than the channel's own subscription.
        by_prefix: bool,
        /// What is said.
        payload: Bytes,
    },
    /// So many payloads were lost, because they came faster than they were read.
    Lost(u64),
    /// There is a new connection; nothing is subscribed to on it.
    Up,
    /// The connection was lost.
    Down,
}

/// The broker could not do what was asked: it is away, or refuses.
#[derive(Debug, Clone)]
pub(super) struct Trouble(pub(super) String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Published {
    /// How many of the first were taken, in order.
    pub(super) taken: usize,
    /// The next one was refused although the broker is there: it is to be given up.
    pub(super) refused: bool,
}

/// A pub/sub server. Handles are clones of each other.
pub(super) trait Broker: Clone + Send + Sync + 'static {
    /// Reads what comes in.
    type Listener: Listener;

    /// Publishes in order. Stops at the first that is not taken.
    fn publish(&self, batch: &[Publication]) -> impl Future<Output = Published> + Send;

    /// Waits until there is a connection to publish on.
    fn ready(&self) -> impl Future<Output = ()> + Send;

    /// Subscribes. When this returns, everything that is published from now on comes in.
    fn subscribe(&self, channels: Vec<String>) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Subscribes in the same way to all channels whose names begin so.
    fn subscribe_prefix(&self, prefix: String) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Takes subscriptions back.
    fn unsubscribe(&self, channels: Vec<String>) -> impl Future<Output = Result<(), Trouble>> + Send;

    /// Looks whether channels have moved to other servers. If they have, what is subscribed to there comes as on a new
    /// connection: it is not any more.
    fn follow(&self) -> impl Future<Output = Result<(), Trouble>> + Send {
        std::future::ready(Ok(()))
    }

    /// How many connections are subscribed to a channel.
    fn subscribers(&self, channel: &str) -> impl Future<Output = Result<usize, Trouble>> + Send;
}

/// The receiving side.
pub(super) trait Listener: Send + 'static {
    /// What comes next.
    fn next(&mut self) -> impl Future<Output = Incoming> + Send;
}
