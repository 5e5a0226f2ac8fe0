//! Other nodes: the Redis or Valkey server that they meet at.

use super::{Secret, parse_bytes, parse_duration};
use std::time::Duration;

/// How this node meets the others.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub struct RedisSettings {
    /// Redis or Valkey that nodes meet at: redis://, rediss:// (TLS), redis-sentinel://, or several of a Cluster, separated by
    /// commas; without it this node is alone
    #[arg(long, env = "REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<Secret>,
    /// First part of the names of channels, as Socket.IO's Redis adapter has it
    #[arg(long, env = "ROOMCAST_REDIS_PREFIX", value_name = "NAME", default_value = "socket.io")]
    pub redis_prefix: String,
    /// Speak the format of Socket.IO's sharded adapter (Redis 7 Cluster), not that of the classic one
    #[arg(long, env = "ROOMCAST_REDIS_SHARDED")]
    pub redis_sharded: bool,
    /// Answer each node on a channel of its own, as publishOnSpecificResponseChannel of Socket.IO's adapter has it
    #[arg(long, env = "ROOMCAST_REDIS_SPECIFIC_RESPONSES")]
    pub redis_specific_responses: bool,
    /// How long other nodes' events are kept while Redis is away; then they are given up
    #[arg(long, env = "ROOMCAST_REDIS_HOLD", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub redis_hold: Duration,
    /// Most bytes that wait for Redis
    #[arg(long, env = "ROOMCAST_REDIS_HOLD_BYTES", value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    pub redis_hold_bytes: usize,
    /// While there is much for other nodes, how long it is collected at most to be sent at once: less work for all, as much
    /// later there; 0ms = send each at once
    #[arg(long, env = "ROOMCAST_REDIS_LINGER", value_name = "TIME", default_value = "3ms", value_parser = parse_duration)]
    pub redis_linger: Duration,
    /// Where other nodes reach this one's public address, HOST:PORT; unless given the address of the listener, or, when that is
    /// any, the one this machine has towards others
    #[arg(long, env = "ROOMCAST_ADVERTISE", value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Requests and WebSockets for sessions of other nodes that are relayed at once; more are answered 503; 0 = none, clients that poll
    /// have to stay with their node
    #[arg(long, env = "ROOMCAST_MAX_RELAYED", value_name = "N", default_value_t = 10_000)]
    pub max_relayed: usize,
    /// How long other nodes have to answer
    #[arg(long, env = "ROOMCAST_CLUSTER_TIMEOUT", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub cluster_timeout: Duration,
    /// How long a request or a new session waits for Redis to say what all nodes have counted for its key or address; then this
    /// node's own count decides; 0 = each node counts for itself
    #[arg(long, env = "ROOMCAST_SHARED_LIMITS_TIMEOUT", value_name = "TIME", default_value = "100ms", value_parser = parse_duration)]
    pub shared_limits_timeout: Duration,
}
