//! Defines the command lines of `events`, `updates`, `sse` and `freshness`: incidents, and who hears of them.

use std::str::FromStr;

use clap::Args;
use serde::{Serialize, Serializer};

use super::options::RunOptions;
use super::units::seconds;

/// How often something is done.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate(pub(crate) f64);

/// How monitoring and people reach a server, and who listens.
#[derive(Clone, Debug, Args, Serialize)]
#[command(next_help_heading = "Incidents")]
pub(crate) struct Monitoring {
    /// Integration key that monitoring shows
    #[arg(long, default_value = "dev")]
    #[serde(skip)]
    pub(crate) routing_key: String,
    /// Slug of its service
    #[arg(long, default_value = "demo")]
    pub(crate) service: String,
    /// API key of whoever reads incidents back and changes them; --token is that of the members of rooms
    #[arg(long, env = "ROOMCAST_API_KEY", hide_env_values = true)]
    #[serde(skip)]
    pub(crate) api_key: Option<String>,
    /// Requests that may be under way at once; others that are due wait, and that counts
    #[arg(long, default_value_t = 64)]
    pub(crate) concurrency: usize,
    /// Time that counts, in seconds or as 5m
    #[arg(long, default_value_t = 60.0, value_parser = seconds)]
    pub(crate) duration: f64,
    /// Seconds of the same load before, whose times do not count
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) warmup: f64,
    /// Seconds to wait for the last answers and deliveries at the end
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) drain: f64,
    /// Incidents whose timelines are read back, event by event; what is known of the others comes from the list
    #[arg(long, default_value_t = 1_000)]
    pub(crate) timelines: usize,
}

/// `events`
#[derive(Debug, Args, Serialize)]
pub(crate) struct EventsCommand {
    /// Events posted, as 300/min, 50/s or a number per second; 0: all of --count at once
    #[arg(long, default_value = "50/s")]
    pub(crate) rate: Rate,
    /// Keys that are hot: the events have them in turn. Without it each event has a key of its own
    #[arg(long, value_name = "N")]
    pub(crate) hot_keys: Option<usize>,
    /// Events after which no more are posted, in place of --duration
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Bytes of details in each event
    #[arg(long, default_value_t = 200)]
    pub(crate) details: usize,
    /// Members who listen in each of the rooms: that of all incidents, and that of the service
    #[arg(long, default_value_t = 1)]
    pub(crate) members: usize,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) outage: OutageOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) monitoring: Monitoring,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunOptions,
}

/// What is done to the database in the middle of the load. Refusals are no errors then, if they are clean.
#[derive(Clone, Debug, Args, Serialize)]
#[command(next_help_heading = "Outage")]
pub(crate) struct OutageOptions {
    /// Shell command that takes the database away
    #[arg(long, value_name = "COMMAND", requires = "outage_end")]
    pub(crate) outage_begin: Option<String>,
    /// Shell command that brings it back, and ends when it can be used
    #[arg(long, value_name = "COMMAND", requires = "outage_begin")]
    pub(crate) outage_end: Option<String>,
    /// Seconds of load before
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub(crate) outage_after: f64,
    /// Seconds for which it is away
    #[arg(long, default_value_t = 150.0, value_parser = seconds)]
    pub(crate) outage_for: f64,
    /// Seconds after it is back within which events must be taken and heard again
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) recovery_within: f64,
}

/// `updates`
#[derive(Debug, Args, Serialize)]
pub(crate) struct UpdatesCommand {
    /// Notes, acknowledgements and their like, as 500/min, 50/s or a number per second
    #[arg(long, default_value = "500/min")]
    pub(crate) rate: Rate,
    /// Incidents that are opened first; people take care of them in turn
    #[arg(long, default_value_t = 100)]
    pub(crate) incidents: usize,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) monitoring: Monitoring,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunOptions,
}

/// `sse`
#[derive(Debug, Args, Serialize)]
pub(crate) struct SseCommand {
    /// Number of event streams
    #[arg(long, default_value_t = 500)]
    pub(crate) clients: usize,
    /// A room that each of them listens to (repeatable)
    #[arg(long = "room", value_name = "ROOM", default_value = "incidents")]
    pub(crate) rooms: Vec<String>,
    /// Events posted meanwhile, as 300/min, 50/s or a number per second; 0: none, the streams are idle
    #[arg(long, default_value = "0")]
    pub(crate) rate: Rate,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) monitoring: Monitoring,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunOptions,
}

/// `freshness`
#[derive(Debug, Args, Serialize)]
pub(crate) struct FreshnessCommand {
    /// Events posted, as 300/min, 50/s or a number per second
    #[arg(long, default_value = "5/s")]
    pub(crate) rate: Rate,
    /// Clients who listen to incidents, and as many to the dashboard
    #[arg(long, default_value_t = 10)]
    pub(crate) clients: usize,
    /// The dashboard's room; - for none
    #[arg(long, value_name = "ROOM", default_value = "dashboard:global")]
    pub(crate) dashboard: String,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) monitoring: Monitoring,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunOptions,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
        let seconds = match unit {
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3_600.0,
            _ => return Err(format!("`{unit}` is not s, min or h")),
        };
        let number: f64 = number.replace('_', "").parse().map_err(|_| format!("`{number}` is no number"))?;
        if number.is_finite() && number >= 0.0 {
            Ok(Self(number / seconds))
        } else {
            Err("a rate is 0 or more".to_owned())
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_units() {
        for (text, rate) in [("300/min", 5.0), ("3_333/s", 3_333.0), ("7200/h", 2.0), ("0", 0.0)] {
            assert_eq!(text.parse(), Ok(Rate(rate)), "{text}");
        }
        for text in ["5/day", "x", "-1", "inf"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
