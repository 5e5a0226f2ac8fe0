//! How the client library for Redis is set up.
//!
//! Every setting that has a say in what happens to payloads is explicit: the defaults never reconnect, wait for ever, and
//! lose what comes in bursts.

use fred::clients::Client;
use fred::error::Error;
use fred::types::config::{
    ClusterDiscoveryPolicy, Config, ReconnectPolicy, ServerConfig, TcpConfig, UnresponsiveConfig,
};
use fred::types::{Builder, RespVersion};
use std::time::Duration;

/// Time for a connection to come up, and for what is said on it first.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause before the first attempt to connect again, and between two later on, in milliseconds: what is published meanwhile is
/// held for a few seconds only.
const RECONNECT_MS: (u32, u32) = (20, 100);

/// What a pause is longer by at random, at most, in milliseconds.
const RECONNECT_JITTER_MS: u32 = 20;

/// Without any answer for so long a connection counts as lost.
pub(super) const SILENCE: Duration = Duration::from_secs(6);

/// How long an answer may take of a connection that is asked whether it is there.
pub(super) const PING_TIMEOUT: Duration = Duration::from_millis(250);

/// Commands that may wait inside the client.
const COMMANDS_MAX: usize = 8_192;

/// Payloads that may wait between the client and whoever reads them; more are lost, and counted.
pub(super) const UNREAD_MAX: usize = 8_192;

/// Events of a connection that may wait; a missed one is made up for by the next.
pub(super) const EVENTS_MAX: usize = 64;

/// A client that keeps up to `unread` payloads for whoever reads them.
pub(super) fn build(url: &str, unread: usize) -> Result<Client, Error> {
    let mut config = config_of(url)?;
    config.fail_fast = false;
    config.version = RespVersion::RESP3;
    let mut reconnecting = ReconnectPolicy::new_exponential(0, RECONNECT_MS.0, RECONNECT_MS.1, 2);
    reconnecting.set_jitter(RECONNECT_JITTER_MS);
    let mut builder = Builder::from_config(config);
    builder
        .set_policy(reconnecting)
        .with_connection_config(|connection| {
            connection.connection_timeout = CONNECT_TIMEOUT;
            connection.internal_command_timeout = CONNECT_TIMEOUT;
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = COMMANDS_MAX;
            connection.unresponsive =
                UnresponsiveConfig { max_timeout: Some(SILENCE), interval: Duration::from_secs(1) };
            connection.reconnect_on_auth_error = true;
            connection.auto_client_setname = true;
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
        })
        .with_performance_config(|performance| {
            performance.default_command_timeout = SILENCE;
            performance.broadcast_channel_capacity = unread;
        });
    builder.build()
}

/// Several addresses are those of a Cluster.
fn config_of(urls: &str) -> Result<Config, Error> {
    let mut urls = urls.split(',').map(str::trim);
    let mut config = Config::from_url(urls.next().unwrap_or_default())?;
    let mut hosts = config.server.hosts();
    for url in urls {
        hosts.extend(Config::from_url(url)?.server.hosts());
    }
    if hosts.len() > 1 && !config.server.is_sentinel() {
        config.server = ServerConfig::Clustered { hosts, policy: ClusterDiscoveryPolicy::default() };
    }
    Ok(config)
}
