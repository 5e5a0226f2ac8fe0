//! Where the server is, and how one is let in.

use crate::adapter::redis::Redis;
use fred::interfaces::ClientLike as _;
use fred::types::config::{ServerConfig, TlsConnector};

/// The server, as the settings say, or sentinels.
#[derive(Debug, Clone)]
pub(super) struct Server {
    redis: Redis,
    /// What connections to it are called there.
    pub(super) name: String,
}

impl Server {
    pub(super) fn new(redis: &Redis, name: String) -> Self {
        Self { redis: redis.clone(), name }
    }

    /// Its host and port; `None`: the sentinels have not named one yet.
    pub(super) fn address(&self) -> Option<(String, u16)> {
        let client = self.redis.publisher();
        let server = match client.client_config().server {
            ServerConfig::Centralized { server } => Some(server),
            _ => client.active_connections().into_iter().next(),
        };
        server.map(|server| (server.host.to_string(), server.port))
    }

    /// User and password.
    pub(super) fn login(&self) -> Option<(String, String)> {
        let config = self.redis.publisher().client_config();
        Some((config.username.unwrap_or_else(|| "default".to_owned()), config.password?))
    }

    /// What encrypts, if anything does.
    pub(super) fn tls(&self) -> Option<tokio_rustls::TlsConnector> {
        let TlsConnector::Rustls(connector) = self.redis.publisher().client_config().tls?.connector;
        Some(connector)
    }

    /// How a publication is said.
    pub(super) fn publish(&self) -> &'static str {
        if self.redis.is_sharded() { "SPUBLISH" } else { "PUBLISH" }
    }
}
