//! Defines the command line of `drain`.

use clap::Args;
use serde::Serialize;

use super::options::OwnServers;

/// `drain`
#[derive(Debug, Args, Serialize)]
pub(crate) struct DrainCommand {
    /// Shell command that starts a server; {port} and {admin_port} are replaced by free ports
    #[arg(long, value_name = "COMMAND")]
    pub(crate) server: String,
    /// Number of clients
    #[arg(long, default_value_t = 2_000)]
    pub(crate) users: usize,
    /// Number of rooms; the users are dealt to them in turn
    #[arg(long, default_value_t = 1_000)]
    pub(crate) rooms: usize,
    /// Publishes per second and room
    #[arg(long, default_value_t = 1.0)]
    pub(crate) rate: f64,
    /// Size of a published data object, in bytes
    #[arg(long, default_value_t = 1_024)]
    pub(crate) size: usize,
    /// Seconds of load before the first server gets SIGTERM
    #[arg(long, default_value_t = 5.0)]
    pub(crate) before: f64,
    /// Seconds of load after everyone is back and the first server has ended
    #[arg(long, default_value_t = 3.0)]
    pub(crate) after: f64,
    /// Seconds within which the first server must have ended
    #[arg(long, default_value_t = 15.0)]
    pub(crate) deadline: f64,
    /// Seconds within which each client must be in its room again, from its close
    #[arg(long, default_value_t = 5.0)]
    pub(crate) back_within: f64,
    /// Largest share of the closes that may fall within any 100 ms, in percent
    #[arg(long, default_value_t = 10.0)]
    pub(crate) max_share: f64,
    /// Reconnect after the time that server.draining says, in place of a stock client's 0.5 to 1.5 s
    #[arg(long)]
    pub(crate) obey_hint: bool,
    /// Threads that drive the clients
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Processor both servers run on
    #[arg(long)]
    pub(crate) server_cpu: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) own: OwnServers,
}
