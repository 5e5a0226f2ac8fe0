//! What strangers may cost, before and after they say who they are.

use super::{Network, parse_duration};
use std::time::Duration;

/// Limits by address and by key. `0` means no limit.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Abuse")]
pub struct AbuseSettings {
    /// Proxies that are believed when they say whose request it is (X-Forwarded-For)
    #[arg(long = "trusted-proxy", env = "ROOMCAST_TRUSTED_PROXIES", value_name = "NETWORK", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,
    /// Addresses that the limits per address do not hold for; `none` = they hold for all
    #[arg(long = "exempt-address", env = "ROOMCAST_EXEMPT_ADDRESSES", value_name = "NETWORK", value_delimiter = ',', default_values = ["127.0.0.0/8", "::1/128"])]
    pub exempt_addresses: Vec<Network>,
    /// New sessions per second from one address (IPv6: /64); 0 = no limit
    #[arg(long, env = "ROOMCAST_HANDSHAKES_PER_SECOND_PER_ADDRESS", value_name = "N", default_value_t = 50)]
    pub handshakes_per_second_per_address: u32,
    /// New sessions that one address may open at once
    #[arg(long, env = "ROOMCAST_HANDSHAKES_BURST_PER_ADDRESS", value_name = "N", default_value_t = 1_000)]
    pub handshakes_burst_per_address: u32,
    /// HTTP requests per second with one key, or of one address without a valid one; 0 = no limit
    #[arg(long, env = "ROOMCAST_REQUESTS_PER_SECOND_PER_KEY", value_name = "N", default_value_t = 1_000)]
    pub requests_per_second_per_key: u32,
    /// HTTP requests that may be made at once with one key
    #[arg(long, env = "ROOMCAST_REQUESTS_BURST_PER_KEY", value_name = "N", default_value_t = 2_000)]
    pub requests_burst_per_key: u32,
    /// Packets per second that all sessions of one user may send together; 0 = no limit
    #[arg(long, env = "ROOMCAST_PACKETS_PER_SECOND_PER_USER", value_name = "N", default_value_t = 0)]
    pub packets_per_second_per_user: u32,
    /// Packets that all sessions of one user may send at once
    #[arg(long, env = "ROOMCAST_PACKETS_BURST_PER_USER", value_name = "N", default_value_t = 100)]
    pub packets_burst_per_user: u32,
    /// Rooms per second that one session may create by joining them first; 0 = no limit
    #[arg(long, env = "ROOMCAST_ROOM_CREATIONS_PER_SECOND_PER_SESSION", value_name = "N", default_value_t = 5)]
    pub room_creations_per_second_per_session: u32,
    /// Rooms that one session may create at once
    #[arg(long, env = "ROOMCAST_ROOM_CREATIONS_BURST_PER_SESSION", value_name = "N", default_value_t = 128)]
    pub room_creations_burst_per_session: u32,
    /// Rooms per second that all sessions of this node may create; 0 = no limit
    #[arg(long, env = "ROOMCAST_ROOM_CREATIONS_PER_SECOND", value_name = "N", default_value_t = 5_000)]
    pub room_creations_per_second: u32,
    /// Rooms that all sessions of this node may create at once
    #[arg(long, env = "ROOMCAST_ROOM_CREATIONS_BURST", value_name = "N", default_value_t = 50_000)]
    pub room_creations_burst: u32,
    /// Most open sockets of one address; 0 = no limit
    #[arg(long, env = "ROOMCAST_MAX_SOCKETS_PER_ADDRESS", value_name = "N", default_value_t = 5_000)]
    pub max_sockets_per_address: u32,
    /// Most connections of one address that are no WebSockets (yet); 0 = no limit
    #[arg(long, env = "ROOMCAST_MAX_HTTP_CONNECTIONS_PER_ADDRESS", value_name = "N", default_value_t = 1_024)]
    pub max_http_connections_per_address: u32,
    /// Most keys and addresses whose rates are remembered at once
    #[arg(long, env = "ROOMCAST_MAX_RATE_LIMIT_KEYS", value_name = "N", default_value_t = 1_000_000)]
    pub max_rate_limit_keys: usize,
    /// How often those are forgotten that owe nothing any more
    #[arg(long, env = "ROOMCAST_RATE_LIMIT_SWEEP", value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub rate_limit_sweep: Duration,
}
