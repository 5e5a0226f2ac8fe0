//! Defines the command lines of `chaos` and `autoscale`: a cluster of this machine's own, and what is done to it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::options::OutputOptions;

/// A node without limits that a load test would meet. The balancer, on this machine, says for whom it asks.
const SERVER: &str = "exec {bin}/roomcast dev --listen 127.0.0.1:{port} --admin-listen 127.0.0.1:{admin_port} \
     --redis-url redis://127.0.0.1:{redis_port} --trusted-proxy 127.0.0.1 --packets-per-second 0 --joins-per-second 0 \
     --max-sockets 20000 --log warn";
/// Shorter than what nodes do by themselves, and in the same order.
const DRAIN: &str = "--drain-delay 2s --drain-window 5s --drain-deadline 15s";

/// Several nodes, nginx before them, Redis between them, and perhaps PostgreSQL.
#[derive(Clone, Debug, Args, Serialize)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterOptions {
    /// Shell command that starts a node; {port}, {admin_port} and {redis_port} are replaced, {bin} by --bin
    #[arg(long, value_name = "COMMAND", default_value = SERVER)]
    pub(crate) server: String,
    /// Settings of each node, added to the command
    #[arg(long, value_name = "OPTIONS", default_value = DRAIN, allow_hyphen_values = true)]
    pub(crate) server_options: String,
    /// Nodes keep the sessions of those whose connection ended (recovery-window), and clients ask for theirs
    #[arg(long)]
    pub(crate) recovery: bool,
    /// Folder with the roomcast to start; this tool's own when not given
    #[arg(long, value_name = "FOLDER")]
    pub(crate) bin: Option<PathBuf>,
    /// No PostgreSQL, and so no events of monitoring among the requests
    #[arg(long)]
    pub(crate) without_database: bool,
    /// Reconnect after the time that server.draining says, in place of a stock client's 0.5 to 1.5 s
    #[arg(long)]
    pub(crate) obey_hint: bool,
    /// HTTP requests per second, through the balancer; 0: none
    #[arg(long, default_value_t = 20.0)]
    pub(crate) requests: f64,
    /// Seconds within which a request must be answered
    #[arg(long, default_value_t = 10.0)]
    pub(crate) request_within: f64,
    /// Seconds from a drained client's close within which 99 of 100 are in their rooms again
    #[arg(long, default_value_t = 2.0)]
    pub(crate) gap_within: f64,
    /// Threads that drive the clients
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Seed of the random phases and delays
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Something that is done to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// SIGTERM to one node after the other, each started again once it has ended
    RollingRestart,
    /// kill -9 of a node, started again --kill-for seconds later
    Kill,
    /// SIGSTOP of a node for --pause-for seconds
    Pause,
    /// kill -9 of Redis, started again --redis-for seconds later
    RedisKill,
    /// SIGSTOP of Redis for --redis-for seconds
    RedisPause,
    /// FLUSHALL
    RedisFlush,
    /// PostgreSQL is ended, and started again --postgres-for seconds later
    PostgresStop,
    /// for --slow-for seconds a delay of --slow-delay-ms and --slow-bytes a second on each connection between nodes and
    /// Redis and between the balancer and nodes
    SlowNetwork,
    /// kill -9 of the balancer, started again at once: everybody is cut off
    BalancerKill,
}

/// `chaos`
#[derive(Debug, Args, Serialize)]
pub(crate) struct ChaosCommand {
    /// Nodes of the cluster
    #[arg(long, default_value_t = 3)]
    pub(crate) nodes: usize,
    /// Number of clients
    #[arg(long, default_value_t = 600)]
    pub(crate) users: usize,
    /// Number of rooms; the users are dealt to them in turn
    #[arg(long, default_value_t = 200)]
    pub(crate) rooms: usize,
    /// Publishes per second and room
    #[arg(long, default_value_t = 2.0)]
    pub(crate) rate: f64,
    /// Size of a published data object, in bytes
    #[arg(long, default_value_t = 1_024)]
    pub(crate) size: usize,
    /// What is done, in this order; everything when not given
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FAULTS")]
    pub(crate) only: Vec<Fault>,
    /// Settings with which a rolling restart starts nodes again, in place of --server-options
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    pub(crate) restart_options: Option<String>,
    /// What each node's /health has to say after a rolling restart, such as /database/pool/max=20 (repeatable)
    #[arg(long, value_name = "POINTER=VALUE", value_parser = parse_expected)]
    pub(crate) expect_health: Vec<(String, String)>,
    /// Seconds of load before each fault, and after the last
    #[arg(long, default_value_t = 4.0)]
    pub(crate) calm: f64,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) times: FaultTimes,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) cluster: ClusterOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) output: OutputOptions,
}

/// How long faults last, and how bad they are.
#[derive(Clone, Debug, Args, Serialize)]
#[command(next_help_heading = "Faults")]
pub(crate) struct FaultTimes {
    /// Seconds without the killed node
    #[arg(long, default_value_t = 3.0)]
    pub(crate) kill_for: f64,
    /// Seconds in which the paused node does nothing
    #[arg(long, default_value_t = 5.0)]
    pub(crate) pause_for: f64,
    /// Seconds without Redis, less than nodes hold what they publish
    #[arg(long, default_value_t = 3.0)]
    pub(crate) redis_for: f64,
    /// Seconds without PostgreSQL
    #[arg(long, default_value_t = 5.0)]
    pub(crate) postgres_for: f64,
    /// Seconds of a slow network
    #[arg(long, default_value_t = 8.0)]
    pub(crate) slow_for: f64,
    /// Delay of each direction then, in milliseconds
    #[arg(long, default_value_t = 50)]
    pub(crate) slow_delay_ms: u64,
    /// Bytes per second of each direction of each connection then
    #[arg(long, default_value_t = 4_194_304)]
    pub(crate) slow_bytes: u64,
    /// Seconds from the beginning of an unannounced fault within which everybody it cut off is back
    #[arg(long, default_value_t = 5.0)]
    pub(crate) back_within: f64,
}

fn parse_expected(text: &str) -> Result<(String, String), String> {
    let (pointer, value) = text.split_once('=').ok_or("expected POINTER=VALUE")?;
    if !pointer.starts_with('/') {
        return Err(format!("`{pointer}` is no JSON pointer: it begins with /"));
    }
    Ok((pointer.to_owned(), value.to_owned()))
}

impl Default for FaultTimes {
    fn default() -> Self {
        Self {
            kill_for: 3.0,
            pause_for: 5.0,
            redis_for: 3.0,
            postgres_for: 5.0,
            slow_for: 8.0,
            slow_delay_ms: 50,
            slow_bytes: 4_194_304,
            back_within: 5.0,
        }
    }
}

/// `autoscale`
#[derive(Debug, Args, Serialize)]
pub(crate) struct AutoscaleCommand {
    /// Manifest of the HorizontalPodAutoscaler to follow; k8s/base/horizontalpodautoscaler.yaml when not given
    #[arg(long, value_name = "FILE")]
    pub(crate) hpa: Option<PathBuf>,
    /// What its metric of pods should be on average, in place of what the manifest says
    #[arg(long, value_name = "VALUE")]
    pub(crate) target_value: Option<f64>,
    /// How much faster than in a cluster its windows, periods and decisions are; drains are not
    #[arg(long, default_value_t = 20.0)]
    pub(crate) time_scale: f64,
    /// Clients that come one after the other, and leave so
    #[arg(long, default_value_t = 3_000)]
    pub(crate) users: usize,
    /// Those of them that do not leave
    #[arg(long, default_value_t = 600)]
    pub(crate) stay: usize,
    /// Others that come and go at random moments all the time
    #[arg(long, default_value_t = 400)]
    pub(crate) visitors: usize,
    /// How many of them come, and as many go, per second
    #[arg(long, default_value_t = 20.0)]
    pub(crate) visits: f64,
    /// Number of rooms; the clients are dealt to them in turn
    #[arg(long, default_value_t = 300)]
    pub(crate) rooms: usize,
    /// Publishes per second and room
    #[arg(long, default_value_t = 1.0)]
    pub(crate) rate: f64,
    /// Size of a published data object, in bytes
    #[arg(long, default_value_t = 512)]
    pub(crate) size: usize,
    /// Seconds over which they come
    #[arg(long, default_value_t = 30.0)]
    pub(crate) rise: f64,
    /// Seconds for which they are all there, at least, and for which only those who stay are
    #[arg(long, default_value_t = 10.0)]
    pub(crate) hold: f64,
    /// Seconds over which they leave
    #[arg(long, default_value_t = 30.0)]
    pub(crate) fall: f64,
    /// Replicas that have to be reached before they leave
    #[arg(long, default_value_t = 5)]
    pub(crate) reach: u32,
    /// Seconds after which they leave in any case; the run ends after twice as many
    #[arg(long, default_value_t = 120.0)]
    pub(crate) patience: f64,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) cluster: ClusterOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) output: OutputOptions,
}
