//! Redis or Valkey by way of a client library: a Cluster as the broker, and whatever is asked of a server of any kind.
//!
//! A server that is no Cluster has its publications carried by [`super::direct`].

#![expect(clippy::large_futures, reason = "the client's own are; few of them live at once, and none for each session")]

use super::broker::{Broker, Incoming, Listener, Publication, Published, Trouble};
use super::client::{EVENTS_MAX, PING_TIMEOUT, UNREAD_MAX, build};
use crate::config::Secret;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, ClusterInterface, EventInterface, PubsubInterface};
use fred::types::config::Server;
use fred::types::{ClusterStateChange, Message, MessageKind, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// Handles of both connections; that of a single server listens elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Redis {
    publisher: Client,
    subscriber: Client,
    sharded: bool,
    /// What the servers of a Cluster said of their slots the last time.
    slots: Arc<Mutex<Option<Value>>>,
}

impl Redis {
    /// The clients; they connect when they are told to.
    pub(super) fn new(url: &Secret, sharded: bool) -> Result<Self, String> {
        let client = |unread| build(url.expose(), unread).map_err(|error| format!("redis-url: {}", error.details()));
        Ok(Self { publisher: client(EVENTS_MAX)?, subscriber: client(UNREAD_MAX)?, sharded, slots: Arc::default() })
    }

    /// The connection for everything but subscriptions.
    pub(super) fn publisher(&self) -> &Client {
        &self.publisher
    }

    /// Whether the commands of sharded publications are used.
    pub(super) fn is_sharded(&self) -> bool {
        self.sharded
    }

    /// Starts to connect for questions only, and goes on for ever.
    pub(super) fn connect_for_questions(&self) {
        drop(self.publisher.connect());
    }

    /// Whether it is a Cluster, whose servers pass publications on to each other.
    pub(super) fn is_cluster(&self) -> bool {
        self.publisher.is_clustered()
    }

    /// Starts to connect, and goes on for ever. Returns what reads; to be called once, on the runtime that drives both.
    pub(super) fn connect(&self) -> RedisListener {
        let listener = RedisListener {
            messages: self.subscriber.message_rx(),
            ups: self.subscriber.reconnect_rx(),
            errors: self.subscriber.error_rx(),
            changes: self.subscriber.cluster_change_rx(),
            moves: self.publisher.cluster_change_rx(),
        };
        drop((self.publisher.connect(), self.subscriber.connect()));
        listener
    }
}

impl Broker for Redis {
    type Listener = RedisListener;

    async fn publish(&self, batch: &[Publication]) -> Published {
        let pipeline = self.publisher.pipeline();
        for Publication { channel, payload } in batch {
            let (channel, payload) = (channel.to_string(), Value::Bytes(payload.clone()));
            let queued: Result<(), Error> = if self.sharded {
                pipeline.spublish(channel, payload).await
            } else {
                pipeline.publish(channel, payload).await
            };
            if let Err(error) = queued {
                tracing::debug!(%error, "cannot queue a publication");
                return Published { taken: 0, refused: false };
            }
        }
        let results = pipeline.try_all::<Value>().await;
        let taken = results.iter().take_while(|result| result.is_ok()).count();
        let refused = matches!(results.get(taken), Some(Err(error)) if !is_away(error));
        Published { taken, refused }
    }

    async fn ready(&self) {
        // What the client says of its own state may be late.
        loop {
            let answer = tokio::time::timeout(PING_TIMEOUT, self.publisher.ping::<()>(None)).await;
            if matches!(answer, Ok(Ok(()))) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn subscribe(&self, channels: Vec<String>) -> Result<(), Trouble> {
        if self.sharded {
            for channel in channels {
                self.subscriber.ssubscribe(channel).await?;
            }
            return Ok(());
        }
        self.subscriber.subscribe(channels).await?;
        self.settle().await
    }

    async fn subscribe_prefix(&self, prefix: String) -> Result<(), Trouble> {
        self.subscriber.psubscribe(pattern(&prefix)).await?;
        self.settle().await
    }

    async fn unsubscribe(&self, channels: Vec<String>) -> Result<(), Trouble> {
        if self.sharded {
            for channel in channels {
                self.subscriber.sunsubscribe(channel).await?;
            }
            return Ok(());
        }
        self.subscriber.unsubscribe(channels).await?;
        Ok(())
    }

    async fn follow(&self) -> Result<(), Trouble> {
        if !(self.sharded && self.is_cluster()) {
            return Ok(());
        }
        let slots: Value = self.publisher.cluster_slots().await?;
        let before = self.slots.lock().unwrap_or_else(PoisonError::into_inner).replace(slots.clone());
        if before.is_some_and(|before| before != slots) {
            self.subscriber.sync_cluster().await?;
        }
        Ok(())
    }

    async fn subscribers(&self, channel: &str) -> Result<usize, Trouble> {
        if self.sharded {
            return Ok(first(&self.publisher.pubsub_shardnumsub::<Counts, _>(channel).await?));
        }
        let Some(cluster) = self.publisher.cached_cluster_state() else {
            return Ok(first(&self.publisher.pubsub_numsub::<Counts, _>(channel).await?));
        };
        // Each node of a Cluster knows its own subscribers only.
        let mut all = 0;
        for node in cluster.unique_primary_nodes() {
            all += first(&self.publisher.with_cluster_node(node).pubsub_numsub::<Counts, _>(channel).await?);
        }
        Ok(all)
    }
}

/// Subscribers by channel.
type Counts = Vec<(String, usize)>;

/// The count of the one channel that was asked for.
fn first(counts: &[(String, usize)]) -> usize {
    counts.first().map_or(0, |(_, count)| *count)
}

impl Redis {
    /// Resolves when everything said on the subscribing connection before has been done: its answers come in order.
    async fn settle(&self) -> Result<(), Trouble> {
        self.subscriber.ping::<()>(None).await?;
        Ok(())
    }
}

/// The pattern that all names match which begin so.
pub(super) fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('*');
    pattern
}

/// Whether an error says that there is no connection, rather than that the server does not want this.
fn is_away(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::InvalidCommand | ErrorKind::InvalidArgument | ErrorKind::Parse)
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// Reads the subscribing connection.
#[derive(Debug)]
pub(super) struct RedisListener {
    messages: Receiver<Message>,
    ups: Receiver<Server>,
    errors: Receiver<(Error, Option<Server>)>,
    changes: Receiver<Vec<ClusterStateChange>>,
    /// Whoever publishes is told by the server that a channel is elsewhere; whoever listens is not.
    moves: Receiver<Vec<ClusterStateChange>>,
}

impl Listener for RedisListener {
    async fn next(&mut self) -> Incoming {
        loop {
            tokio::select! {
                biased;
                _ = self.ups.recv() => return Incoming::Up,
                Ok(_) = self.changes.recv() => return Incoming::Up,
                Ok(_) = self.moves.recv() => return Incoming::Up,
                error = self.errors.recv() => {
                    if let Ok((error, _)) = error {
                        tracing::debug!(%error, "the subscribing connection");
                    }
                    return Incoming::Down;
                }
                message = self.messages.recv() => match message {
                    Ok(message) => if let Some(payload) = payload(message) {
                        return payload;
                    },
                    Err(RecvError::Lagged(lost)) => return Incoming::Lost(lost),
                    Err(RecvError::Closed) => std::future::pending().await,
                },
            }
        }
    }
}

fn payload(message: Message) -> Option<Incoming> {
    let by_prefix = message.kind == MessageKind::PMessage;
    let payload = match message.value {
        Value::Bytes(bytes) => bytes,
        Value::String(text) => text.into_inner(),
        _ => return None,
    };
    Some(Incoming::Payload { channel: message.channel.to_string(), by_prefix, payload })
}
