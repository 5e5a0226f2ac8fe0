//! Defines the command line of `trouble`.

use clap::Args;
use serde::Serialize;

use super::options::OwnServers;

/// The server beside this tool, without limits that a load test would meet.
const SERVER: &str = "exec {bin}/roomcast dev --listen 127.0.0.1:{port} --admin-listen 127.0.0.1:{admin_port} \
     --redis-url redis://127.0.0.1:{redis_port} --packets-per-second 0 --joins-per-second 0 --max-sockets 20000 \
     --log warn";

/// `trouble`
#[derive(Debug, Args, Serialize)]
pub(crate) struct TroubleCommand {
    /// Shell command that starts a node; {port}, {admin_port} and {redis_port} are replaced, {bin} by this tool's folder
    #[arg(long, value_name = "COMMAND", default_value = SERVER)]
    pub(crate) server: String,
    /// Number of rooms, with two members each, on different nodes
    #[arg(long, default_value_t = 1_000)]
    pub(crate) rooms: usize,
    /// Publishes per second and room
    #[arg(long, default_value_t = 2.0)]
    pub(crate) rate: f64,
    /// Size of a published data object, in bytes
    #[arg(long, default_value_t = 1_024)]
    pub(crate) size: usize,
    /// Seconds of load before each trouble, and after the last
    #[arg(long, default_value_t = 4.0)]
    pub(crate) calm: f64,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) troubles: Troubles,
    /// Seconds from Redis's first answer within which both directions between the nodes must be back
    #[arg(long, default_value_t = 0.5)]
    pub(crate) back_within: f64,
    /// Seconds that a delivery within a node may take, whatever Redis does
    #[arg(long, default_value_t = 0.25)]
    pub(crate) local_within: f64,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) own: OwnServers,
}

/// For how long each trouble lasts, in seconds. Nothing may be lost but in the last one.
#[derive(Clone, Debug, Args, Serialize)]
#[command(next_help_heading = "Troubles, in seconds; 0 leaves one out")]
pub(crate) struct Troubles {
    /// kill -9, and a restart so much later
    #[arg(long, default_value_t = 2.0)]
    pub(crate) restart: f64,
    /// CLIENT PAUSE: nothing is answered, and everything is done late
    #[arg(long, default_value_t = 3.0)]
    pub(crate) pause: f64,
    /// SIGSTOP: connections stay, nothing is answered
    #[arg(long, default_value_t = 4.0)]
    pub(crate) stop: f64,
    /// CLIENT KILL of all connections, four times a second
    #[arg(long, default_value_t = 5.0)]
    pub(crate) cuts: f64,
    /// SIGSTOP for longer than nodes hold what they publish: what is lost has to be counted by them
    #[arg(long, default_value_t = 20.0)]
    pub(crate) long_stop: f64,
}
