//! What clients may cost, and what happens when they cost more.

use super::{parse_bytes, parse_duration};
use crate::protocol::pattern::Pattern;
use std::time::Duration;

/// Limits on what clients send and hold. `0` means no limit where a rate says so.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitSettings {
    /// Largest packet that a client may send
    #[arg(long, env = "ROOMCAST_MAX_PACKET_BYTES", value_name = "SIZE", default_value = "64KiB", value_parser = parse_bytes)]
    pub max_packet_bytes: usize,
    /// Most WebSocket frames that one message may be cut into
    #[arg(long, env = "ROOMCAST_MAX_FRAGMENTS", value_name = "N", default_value_t = 4_096)]
    pub max_fragments: u32,
    /// Most binary attachments in one packet
    #[arg(long, env = "ROOMCAST_MAX_ATTACHMENTS", value_name = "N", default_value_t = 10)]
    pub max_attachments: usize,
    /// How deep JSON may be nested, at most 60
    #[arg(long, env = "ROOMCAST_MAX_JSON_DEPTH", value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u8).range(2..=60))]
    pub max_json_depth: u8,
    /// Most rooms that one session may be in
    #[arg(long, env = "ROOMCAST_MAX_ROOMS_PER_SESSION", value_name = "N", default_value_t = 128)]
    pub max_rooms_per_session: usize,
    /// Most rooms on this node
    #[arg(long, env = "ROOMCAST_MAX_ROOMS", value_name = "N", default_value_t = 100_000)]
    pub max_rooms: usize,
    /// Most open sockets on this node; more are answered 503
    #[arg(long, env = "ROOMCAST_MAX_SOCKETS", value_name = "N", default_value_t = 100_000)]
    pub max_sockets: usize,
    /// Packets per second that a session may send; 0 = no limit
    #[arg(long, env = "ROOMCAST_PACKETS_PER_SECOND", value_name = "N", default_value_t = 20)]
    pub packets_per_second: u32,
    /// Packets that a session may send at once
    #[arg(long, env = "ROOMCAST_PACKETS_BURST", value_name = "N", default_value_t = 40)]
    pub packets_burst: u32,
    /// Joins per second of one session; 0 = no limit
    #[arg(long, env = "ROOMCAST_JOINS_PER_SECOND", value_name = "N", default_value_t = 10)]
    pub joins_per_second: u32,
    /// Joins that a session may make at once
    #[arg(long, env = "ROOMCAST_JOINS_BURST", value_name = "N", default_value_t = 128)]
    pub joins_burst: u32,
    /// Refused packets after which a session that goes on sending is closed
    #[arg(long, env = "ROOMCAST_FLOOD_TOLERANCE", value_name = "N", default_value_t = 1_000)]
    pub flood_tolerance: u32,
    /// How long a client may take to finish its handshake
    #[arg(long, env = "ROOMCAST_HANDSHAKE_TIMEOUT", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub handshake_timeout: Duration,
    /// How long an HTTP connection may wait for its next request; longer than your proxies keep theirs
    #[arg(long, env = "ROOMCAST_HTTP_KEEP_ALIVE_TIMEOUT", value_name = "TIME", default_value = "75s", value_parser = parse_duration)]
    pub http_keep_alive_timeout: Duration,
    /// Most requests about rooms that are answered at once, and as many that ask the database; one more is answered 503
    #[arg(long, env = "ROOMCAST_MAX_REQUESTS", value_name = "N", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_requests: u32,
    /// Largest body of an HTTP request
    #[arg(long, env = "ROOMCAST_MAX_BODY_BYTES", value_name = "SIZE", default_value = "1MiB", value_parser = parse_bytes)]
    pub max_body_bytes: usize,
}

/// Delivery: workers, outboxes, slow consumers.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Delivery")]
pub struct DeliverySettings {
    /// Worker threads that own the sockets; 0 = one per core
    #[arg(long, env = "ROOMCAST_WORKERS", value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=64))]
    pub workers: u16,
    /// Bytes that may wait for one session
    #[arg(long, env = "ROOMCAST_OUTBOX_BYTES", value_name = "SIZE", default_value = "1MiB", value_parser = parse_bytes)]
    pub outbox_bytes: usize,
    /// Frames that may wait for one session
    #[arg(long, env = "ROOMCAST_OUTBOX_FRAMES", value_name = "N", default_value_t = 1_024)]
    pub outbox_frames: usize,
    /// How long a session may take nothing while something waits for it
    #[arg(long, env = "ROOMCAST_SLOW_CONSUMER_TIMEOUT", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub slow_consumer_timeout: Duration,
    /// What happens to a session that reads too slowly
    #[arg(long, env = "ROOMCAST_SLOW_CONSUMER", value_name = "POLICY", value_enum, default_value_t = SlowConsumerPolicy::Disconnect)]
    pub slow_consumer: SlowConsumerPolicy,
    /// Exceptions by room, first match wins: PATTERN=POLICY, where `*` stands for anything (`cursor-*=latest`); short for a room policy
    #[arg(
        long = "slow-consumer-room",
        env = "ROOMCAST_SLOW_CONSUMER_ROOMS",
        value_name = "RULE",
        value_delimiter = ','
    )]
    pub slow_consumer_rooms: Vec<SlowConsumerRule>,
    /// Bytes that may wait to be handed to one worker by the others
    #[arg(long, env = "ROOMCAST_INBOX_BYTES", value_name = "SIZE", default_value = "64MiB", value_parser = parse_bytes)]
    pub inbox_bytes: usize,
    /// Kernel send buffer of each client socket; 0 = the kernel decides
    #[arg(long, env = "ROOMCAST_SEND_BUFFER", value_name = "SIZE", default_value = "0", value_parser = parse_bytes)]
    pub send_buffer: usize,
    /// How long unacknowledged bytes may stay in flight before the kernel gives the connection up
    #[arg(long, env = "ROOMCAST_TCP_USER_TIMEOUT", value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub tcp_user_timeout: Duration,
    /// How long an event may wait for the client's acknowledgement
    #[arg(long, env = "ROOMCAST_ACK_TIMEOUT", value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub ack_timeout: Duration,
}

/// What happens when a session's outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum SlowConsumerPolicy {
    /// End the session, so that its client notices and starts afresh.
    Disconnect,
    /// Forget the oldest waiting events of that room.
    DropOldest,
    /// Keep only the newest waiting event of that room.
    Latest,
}

impl SlowConsumerPolicy {
    /// The word in a setting.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::DropOldest => "drop-oldest",
            Self::Latest => "latest",
        }
    }
}

/// Reads a slow-consumer policy in a rule.
pub(super) fn slow_consumer(text: &str) -> Result<SlowConsumerPolicy, String> {
    <SlowConsumerPolicy as clap::ValueEnum>::from_str(text, false)
        .map_err(|_| format!("{text:?} is no policy; there are disconnect, drop-oldest and latest"))
}

/// A slow-consumer policy for the rooms whose names match a pattern: the short form of a room policy that says only this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowConsumerRule {
    /// Which rooms.
    pub pattern: Pattern,
    /// The policy of those rooms.
    pub policy: SlowConsumerPolicy,
}

impl std::str::FromStr for SlowConsumerRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pattern, policy) = text.rsplit_once('=').ok_or("write PATTERN=POLICY, for example cursor-*=latest")?;
        Ok(Self { pattern: pattern.parse()?, policy: slow_consumer(policy)? })
    }
}

/// Heartbeat and the end of silent clients.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Heartbeat")]
pub struct HeartbeatSettings {
    /// How often each session is pinged
    #[arg(long, env = "ROOMCAST_PING_INTERVAL", value_name = "TIME", default_value = "25s", value_parser = parse_duration)]
    pub ping_interval: Duration,
    /// How long to wait for the answer
    #[arg(long, env = "ROOMCAST_PING_TIMEOUT", value_name = "TIME", default_value = "20s", value_parser = parse_duration)]
    pub ping_timeout: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_a_pattern_and_a_policy() {
        let rule: SlowConsumerRule = "x=y=latest".parse().unwrap();
        assert_eq!((rule.pattern.as_str(), rule.policy), ("x=y", SlowConsumerPolicy::Latest));
        for bad in ["x=never", "latest", "=latest"] {
            assert!(bad.parse::<SlowConsumerRule>().is_err(), "{bad}");
        }
    }
}
