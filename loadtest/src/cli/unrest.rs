//! Defines the command lines of `avalanche` and `jitter`: connections that end and come back.

use clap::Args;
use serde::Serialize;

use super::options::{LoadOptions, RunOptions};
use super::units::{per_second, seconds};

/// `avalanche`
#[derive(Debug, Args, Serialize)]
pub(crate) struct AvalancheCommand {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) avalanche: AvalancheOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunOptions,
}

/// Who is cut off, and how they come back.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct AvalancheOptions {
    /// Number of clients
    #[arg(long, default_value_t = 10_000)]
    pub(crate) users: usize,
    /// Number of rooms; one for two users when not given
    #[arg(long)]
    pub(crate) rooms: Option<usize>,
    /// Seconds over which connections are opened at first; 0: as fast as they are accepted
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    pub(crate) ramp: f64,
    /// Seconds within which everybody must be back in their rooms, from the cut; the run fails (exit code 99) otherwise
    #[arg(long, default_value_t = 30.0, value_parser = seconds)]
    pub(crate) deadline: f64,
    /// Seconds for which everybody talks once all are back, to see that nothing is lost; 0: nobody does
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) after: f64,
    /// Size of a published data object, in bytes
    #[arg(long, default_value_t = 1_024)]
    pub(crate) size: usize,
    /// Seconds before a client's first attempt, as in socket.io-client
    #[arg(long, default_value_t = 1.0, value_parser = seconds, help_heading = "Coming back")]
    pub(crate) reconnection_delay: f64,
    /// What each failed attempt multiplies the delay by
    #[arg(long, default_value_t = 2.0, help_heading = "Coming back")]
    pub(crate) reconnection_factor: f64,
    /// Share of the delay by which it is longer or shorter at random; 0: everybody comes at the same time
    #[arg(long, default_value_t = 0.5, help_heading = "Coming back")]
    pub(crate) randomization_factor: f64,
    /// Longest delay in seconds
    #[arg(long, default_value_t = 5.0, value_parser = seconds, help_heading = "Coming back")]
    pub(crate) reconnection_delay_max: f64,
    /// Seconds after which an attempt that has not led into the room is given up
    #[arg(long, default_value_t = 20.0, value_parser = seconds, help_heading = "Coming back")]
    pub(crate) timeout: f64,
}

/// `jitter`
#[derive(Debug, Args, Serialize)]
pub(crate) struct JitterCommand {
    /// Number of clients that stay
    #[arg(long, default_value_t = 2_000)]
    pub(crate) users: usize,
    /// Number of rooms; all clients are dealt to them in turn
    #[arg(long, default_value_t = 1_000)]
    pub(crate) rooms: usize,
    /// Publishes per second and room, by those who stay
    #[arg(long, default_value_t = 1.0, value_parser = per_second)]
    pub(crate) rate: f64,
    /// Number of clients that come and go
    #[arg(long, default_value_t = 1_000)]
    pub(crate) visitors: usize,
    /// Visits begun per second; on average a visitor is away as long as it is there
    #[arg(long, default_value_t = 200.0, value_parser = per_second)]
    pub(crate) visits: f64,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) load: LoadOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunOptions,
}
