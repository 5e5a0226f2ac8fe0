//! Where the server listens, how it ends, what it logs.

use super::{parse_duration, parse_log_filter};
use std::net::SocketAddr;
use std::time::Duration;

/// Addresses and doors.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Listening")]
pub struct ListenSettings {
    /// Public address: clients and the HTTP API
    #[arg(long, env = "ROOMCAST_LISTEN", value_name = "ADDR", default_value = "0.0.0.0:3000")]
    pub listen: SocketAddr,
    /// Operators' address: /metrics, /health, /livez, /readyz
    #[arg(long, env = "ROOMCAST_ADMIN_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:3001")]
    pub admin_listen: SocketAddr,
    /// Path of the Socket.IO door
    #[arg(long, env = "ROOMCAST_SOCKETIO_PATH", value_name = "PATH", default_value = "/socket.io/")]
    pub socketio_path: String,
    /// Socket.IO namespaces that clients may connect to, besides `/`
    #[arg(long = "namespace", env = "ROOMCAST_NAMESPACES", value_name = "NAME", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// Origins of browser pages that may connect, besides the server's own; `*` = any
    #[arg(long = "allow-origin", env = "ROOMCAST_ALLOW_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub allow_origins: Vec<String>,
    /// Serve the live page at `/`
    #[arg(long, env = "ROOMCAST_PAGE", value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = false)]
    pub page: bool,
    /// Connections that may wait to be accepted
    #[arg(long, env = "ROOMCAST_LISTEN_BACKLOG", value_name = "N", default_value_t = 4_096)]
    pub listen_backlog: u32,
}

/// How the server ends after SIGTERM or SIGINT.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Drain")]
pub struct DrainSettings {
    /// How long to go on serving after readiness is gone, so that load balancers notice
    #[arg(long, env = "ROOMCAST_DRAIN_DELAY", value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub drain_delay: Duration,
    /// Time over which the sessions are closed, spread evenly
    #[arg(long, env = "ROOMCAST_DRAIN_WINDOW", value_name = "TIME", default_value = "20s", value_parser = parse_duration)]
    pub drain_window: Duration,
    /// Time after which the process ends in any case, counted from the signal
    #[arg(long, env = "ROOMCAST_DRAIN_DEADLINE", value_name = "TIME", default_value = "40s", value_parser = parse_duration)]
    pub drain_deadline: Duration,
}

/// What is logged.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct LogSettings {
    /// What to log: a level, or directives such as `info,roomcast::session=debug`
    #[arg(long = "log", env = "ROOMCAST_LOG", value_name = "FILTER", default_value = "info", value_parser = parse_log_filter)]
    pub log_filter: String,
    /// Form of the log lines; auto = text on a terminal, JSON otherwise
    #[arg(long, env = "ROOMCAST_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
}

/// Form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}
