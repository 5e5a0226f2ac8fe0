//! How much of single sessions operators may watch.

use super::parse_duration;
use std::time::Duration;

/// Watching what single sessions say and hear.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Taps")]
pub struct TapSettings {
    /// Most sessions of this node that may be watched at once; 0 = none
    #[arg(long, env = "ROOMCAST_MAX_TAPS", value_name = "N", default_value_t = 4)]
    pub max_taps: usize,
    /// How long a session may be watched at a stretch
    #[arg(long, env = "ROOMCAST_TAP_DURATION", value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    pub tap_duration: Duration,
}
