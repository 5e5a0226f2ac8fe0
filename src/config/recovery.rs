//! How long Socket.IO sessions may be away and still come back as the same.

use super::{parse_bytes, parse_duration};
use std::time::Duration;

/// Recovery of Socket.IO sessions that lost their connection.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Recovery")]
pub struct RecoverySettings {
    /// How long a Socket.IO session that lost its connection may be away and still get what it missed; 0 = not at all
    #[arg(long, env = "ROOMCAST_RECOVERY_WINDOW", value_name = "TIME", default_value = "0", value_parser = parse_duration)]
    pub recovery_window: Duration,
    /// Bytes of events that each worker keeps for those who are away
    #[arg(long, env = "ROOMCAST_RECOVERY_BYTES", value_name = "SIZE", default_value = "16MiB", value_parser = parse_bytes)]
    pub recovery_bytes: usize,
    /// Most sessions that each worker keeps while they are away; one more displaces the one that has been away longest
    #[arg(long, env = "ROOMCAST_RECOVERY_SESSIONS", value_name = "N", default_value_t = 10_000)]
    pub recovery_sessions: usize,
}
