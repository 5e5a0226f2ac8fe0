//! One Redis or Valkey server, with a connection of our own to publish and one to listen.
//!
//! Every event for other nodes passes here; everything else that is asked of the server, and the search for it by way of
//! sentinels, is the client's of [`super::redis`].

mod commands;
mod inlet;
mod outlet;
mod resp;
mod server;
mod socket;

use super::broker::{Broker, Publication, Published, Trouble};
use super::redis::{Redis, pattern};
use commands::Commands;
pub(super) use inlet::Inlet;
use outlet::Outlet;
use server::Server;
use std::sync::Arc;

/// Handles of both connections.
#[derive(Debug, Clone)]
pub(super) struct Direct {
    redis: Redis,
    outlet: Arc<Outlet>,
    commands: Arc<Commands>,
}

impl Direct {
    /// What publishes to the server that `redis` knows, and what listens to it: they connect when they are used.
    pub(super) fn connect(redis: &Redis, node: &str) -> (Self, Inlet) {
        let server = |deed: &str| Server::new(redis, format!("roomcast-{deed}-{node}"));
        let (outlet, commands) = (Arc::new(Outlet::new(server("publish"))), Arc::new(Commands::new()));
        let inlet = Inlet::new(server("listen"), Arc::clone(&commands));
        (Self { redis: redis.clone(), outlet, commands }, inlet)
    }

    async fn give(&self, classic: &str, sharded: &str, channels: &[String]) -> Result<(), Trouble> {
        let channels: Vec<_> = channels.iter().map(String::as_bytes).collect();
        self.commands.give(if self.redis.is_sharded() { sharded } else { classic }, &channels).await
    }
}

impl Broker for Direct {
    type Listener = Inlet;

    async fn publish(&self, batch: &[Publication]) -> Published {
        self.outlet.publish(batch).await
    }

    async fn ready(&self) {
        self.outlet.ready().await;
    }

    async fn subscribe(&self, channels: Vec<String>) -> Result<(), Trouble> {
        self.give("SUBSCRIBE", "SSUBSCRIBE", &channels).await
    }

    async fn subscribe_prefix(&self, prefix: String) -> Result<(), Trouble> {
        self.commands.give("PSUBSCRIBE", &[pattern(&prefix).as_bytes()]).await
    }

    async fn unsubscribe(&self, channels: Vec<String>) -> Result<(), Trouble> {
        self.give("UNSUBSCRIBE", "SUNSUBSCRIBE", &channels).await
    }

    async fn subscribers(&self, channel: &str) -> Result<usize, Trouble> {
        Box::pin(self.redis.subscribers(channel)).await
    }
}
