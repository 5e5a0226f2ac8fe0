//! How members are told who comes and goes, in rooms whose policy has them told.

use super::parse_duration;
use std::time::Duration;

/// Events about who comes to a room and goes from it.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Presence")]
pub struct PresenceSettings {
    /// How long a user has to be gone from a room before its members are told; whoever is back sooner never left
    #[arg(long, env = "ROOMCAST_PRESENCE_DEBOUNCE", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub presence_debounce: Duration,
    /// How long comings and goings are gathered: a room's members get one event of each kind in this time
    #[arg(long, env = "ROOMCAST_PRESENCE_INTERVAL", value_name = "TIME", default_value = "500ms", value_parser = parse_duration)]
    pub presence_interval: Duration,
    /// Most users and nameless sessions, over all rooms that tell, that a node keeps track of; of more nobody is told
    #[arg(long, env = "ROOMCAST_PRESENCE_ATTENDEES", value_name = "N", default_value_t = 100_000)]
    pub presence_attendees: usize,
}
