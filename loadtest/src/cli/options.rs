//! Groups of options that several scenarios share.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Args;
use serde::{Serialize, Serializer};

use super::units::seconds;
use crate::client::dialect::Wire;
use crate::client::http::Transport;
use crate::thresholds::Threshold;

/// The server and how to reach it.
#[derive(Clone, Debug, Args, Serialize)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetOptions {
    /// Server address: HOST:PORT, ws://HOST:PORT or http://HOST:PORT (no TLS). Repeatable: the nodes of one
    /// cluster, over which the members of each room are dealt
    #[arg(long = "target", visible_alias = "url", value_name = "URL", default_value = "127.0.0.1:3000")]
    #[serde(rename = "target")]
    pub(crate) targets: Vec<String>,
    /// Protocol the clients speak
    #[arg(long, value_enum, default_value_t = Wire::Socketio)]
    pub(crate) wire: Wire,
    /// Endpoint; the protocol's usual one when not given
    #[arg(long)]
    pub(crate) path: Option<String>,
    /// Token to authenticate with: bearer header and Socket.IO auth object
    #[arg(long, env = "ROOMCAST_TOKEN", hide_env_values = true)]
    #[serde(serialize_with = "hidden")]
    pub(crate) token: Option<String>,
    /// What room names start with; a number follows
    #[arg(long, default_value = "room-")]
    pub(crate) room_prefix: String,
    /// Source addresses, as 127.0.0.2-20 or a list; several on loopback with many users
    #[arg(long, value_parser = parse_sources)]
    pub(crate) bind: Option<Sources>,
    /// Threads that drive the clients
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
    /// Processor to pin this tool to
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
    /// Handshakes under way at once
    #[arg(long, default_value_t = 256)]
    pub(crate) in_flight: usize,
    /// Seconds until everyone must be connected, beyond the ramp
    #[arg(long, default_value_t = 30.0, value_parser = seconds)]
    pub(crate) connect_timeout: f64,
    /// Seed of the random phases of the publishers
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// A process of the server, for CPU and memory; found by port when the targets are local. Repeatable: name all of
    /// them then, such as both nodes and the redis-server between them
    #[arg(long = "pid", visible_alias = "server-pid", value_name = "PID")]
    #[serde(rename = "pid")]
    pub(crate) pids: Vec<u32>,
    /// The server's metrics; changes of its counters go into the report. Repeatable: counters are added up
    #[arg(long = "metrics-url", value_name = "URL", default_value = "http://127.0.0.1:3001/metrics")]
    #[serde(rename = "metrics_url")]
    pub(crate) metrics_urls: Vec<String>,
    /// The Redis between the nodes, as HOST:PORT: its commands and bytes go into the report
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) redis: Option<String>,
    /// Load a server that is neither on this machine nor in a private network
    #[arg(long)]
    pub(crate) i_own_this_target: bool,
}

/// A constant load.
#[derive(Clone, Debug, Args, Serialize)]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadOptions {
    /// Size of a published data object, in bytes
    #[arg(long, default_value_t = 1_024)]
    pub(crate) size: usize,
    /// Time that counts, in seconds or as 5m
    #[arg(long, default_value_t = 60.0, value_parser = seconds)]
    pub(crate) duration: f64,
    /// Seconds of the same load before, which do not count
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub(crate) warmup: f64,
    /// Seconds over which connections are opened
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub(crate) ramp: f64,
    /// Seconds to wait for the last deliveries at the end
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub(crate) drain: f64,
    /// Publishers per room; the rate is shared between them
    #[arg(long, default_value_t = 1)]
    pub(crate) publishers_per_room: usize,
    /// Ask for an acknowledgement of every publish
    #[arg(long)]
    pub(crate) acks: bool,
}

/// Idle connections.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct IdleOptions {
    /// Number of clients
    #[arg(long, default_value_t = 10_000)]
    pub(crate) users: usize,
    /// Number of rooms; one per user when not given
    #[arg(long)]
    pub(crate) rooms: Option<usize>,
    /// What carries the clients' sessions
    #[arg(long, value_enum, default_value_t)]
    pub(crate) transport: Transport,
    /// Seconds to stay idle
    #[arg(long, default_value_t = 60.0, value_parser = seconds)]
    pub(crate) duration: f64,
    /// Seconds over which connections are opened; 0: as fast as they are accepted
    #[arg(long, default_value_t = 0.0, value_parser = seconds)]
    pub(crate) ramp: f64,
}

/// How the highest sustained rate is searched.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct SearchOptions {
    /// Deliveries per second of the first step
    #[arg(long, default_value_t = 20_000.0)]
    pub(crate) start: f64,
    /// Each step's rate is the last one's times this
    #[arg(long, default_value_t = 1.6)]
    pub(crate) factor: f64,
    /// Seconds that count in each step, after one of warm-up
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub(crate) step_seconds: f64,
    /// Halvings of the gap between the last good rate and the first bad one
    #[arg(long, default_value_t = 4)]
    pub(crate) refine: u32,
    /// Times a failed step is repeated before it is believed
    #[arg(long, default_value_t = 1)]
    pub(crate) retries: u32,
    /// Delivery p99 in milliseconds above which a step has failed
    #[arg(long, default_value_t = 100.0)]
    pub(crate) p99_ms: f64,
}

/// What becomes of the result.
#[derive(Clone, Debug, Args, Serialize)]
#[command(next_help_heading = "Result")]
pub(crate) struct OutputOptions {
    /// Write the full report to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a page with plots to this file: one file, which needs nothing else
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Condition under which the run fails with exit code 99, such as 'p99>50ms' (repeatable);
    /// lost, duplicated and out_of_order above 0 always fail a constant load
    #[arg(long, value_name = "CONDITION")]
    #[serde(serialize_with = "as_texts")]
    pub(crate) fail_if: Vec<Threshold>,
    /// No progress on standard error
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// A server that runs already, and what becomes of the result.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) target: TargetOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) output: OutputOptions,
}

/// Servers that are started for the run, and what becomes of the result.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct OwnServers {
    /// Protocol the clients speak
    #[arg(long, value_enum, default_value_t = Wire::Socketio)]
    pub(crate) wire: Wire,
    /// Processor to pin this tool to
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
    /// Seed of the random phases and delays
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Show what the servers print
    #[arg(long)]
    pub(crate) show_servers: bool,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) output: OutputOptions,
}

/// A list of source addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Sources(pub(crate) Vec<IpAddr>);

impl Default for SearchOptions {
    fn default() -> Self {
        Self { start: 20_000.0, factor: 1.6, step_seconds: 5.0, refine: 4, retries: 1, p99_ms: 100.0 }
    }
}

impl TargetOptions {
    /// A server that was started on this machine, with defaults for everything else.
    pub(crate) fn local(port: u16, admin_port: u16, pid: u32, wire: Wire) -> Self {
        Self {
            targets: vec![format!("127.0.0.1:{port}")],
            wire,
            path: None,
            token: None,
            room_prefix: "room-".to_owned(),
            bind: None,
            threads: 1,
            cpu: None,
            in_flight: 256,
            connect_timeout: 120.0,
            seed: 1,
            pids: vec![pid],
            metrics_urls: vec![format!("http://127.0.0.1:{admin_port}/metrics")],
            redis: None,
            i_own_this_target: false,
        }
    }
}

impl OwnServers {
    /// One of them, with defaults for everything that is no option of this run.
    pub(crate) fn target(&self, port: u16, admin_port: u16, pid: u32) -> TargetOptions {
        TargetOptions { cpu: self.cpu, seed: self.seed, ..TargetOptions::local(port, admin_port, pid, self.wire) }
    }
}

/// Reads `127.0.0.2-20`, `10.0.0.1,10.0.0.2` or one address.
fn parse_sources(text: &str) -> Result<Sources, String> {
    let mut sources = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => sources.push(address(part)?),
            Some((first, last)) => {
                let IpAddr::V4(first) = address(first)? else {
                    return Err("a range needs IPv4 addresses".to_owned());
                };
                let [a, b, c, from] = first.octets();
                let last: u8 = last.parse().map_err(|_| format!("`{last}` is no last byte of an address"))?;
                let range = (from..=last).map(|d| IpAddr::V4(Ipv4Addr::new(a, b, c, d)));
                sources.extend(range);
            }
        }
    }
    Ok(Sources(sources))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is no IP address"))
}

fn hidden<S: Serializer>(token: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    token.as_ref().map(|_| "hidden").serialize(serializer)
}

fn as_texts<S: Serializer>(thresholds: &[Threshold], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(thresholds.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_addresses_are_ranges_or_lists() {
        assert_eq!(parse_sources("127.0.0.2-20").unwrap().0.len(), 19);
        assert_eq!(parse_sources("127.0.0.2,::1").unwrap().0.len(), 2);
        assert!(parse_sources("localhost").is_err());
    }
}
