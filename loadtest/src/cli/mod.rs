//! Defines the command line.

pub(crate) mod chaos;
mod drain;
pub(crate) mod http;
pub(crate) mod incidents;
pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod run;
mod trouble;
pub(crate) mod units;
mod unrest;
pub(crate) mod verdicts;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

pub(crate) use chaos::{AutoscaleCommand, ChaosCommand};
pub(crate) use drain::DrainCommand;
pub(crate) use incidents::{EventsCommand, FreshnessCommand, SseCommand, UpdatesCommand};
pub(crate) use options::{IdleOptions, SearchOptions};
use options::{LoadOptions, RunOptions};
pub(crate) use trouble::TroubleCommand;
use units::{per_second, seconds};
pub(crate) use unrest::{AvalancheCommand, AvalancheOptions, JitterCommand};

use crate::client::dialect::Wire;

const EXAMPLES: &str = "\
Examples:
  roomcast-loadtest rooms
      2,000 users in 1,000 rooms, one publish of 1 KiB per room and second, for a minute
  roomcast-loadtest rooms --wire json --rate 50 --fail-if 'p99>20ms' --json report.json
  roomcast-loadtest rooms --target 127.0.0.1:3000 --target 127.0.0.1:3002 --pid 71 --pid 72 --pid 70
      two nodes of a cluster; latency within and across them, CPU of both and of the Redis between them
  roomcast-loadtest big-room --users 2000 --rate 10
  roomcast-loadtest idle --users 10000 --duration 60
  roomcast-loadtest ramp --shape big-room --cpu 1
  roomcast-loadtest hot-room --fail-if 'p99>50ms'
  roomcast-loadtest avalanche --users 10000 --deadline 30 --fail-if 'back_p99>5s'
  roomcast-loadtest jitter --visitors 1000 --visits 200 --duration 60
  roomcast-loadtest drain --server 'roomcast dev --listen 127.0.0.1:{port} --admin-listen 127.0.0.1:{admin_port} \
      --drain-window 5s --drain-deadline 15s'
  roomcast-loadtest trouble
      two nodes and a Redis that is killed, paused, stopped and cut off under load
  roomcast-loadtest chaos --only rolling-restart --users 2000 --rooms 1000 --rate 1
      three nodes behind nginx, restarted one after the other under load
  roomcast-loadtest autoscale --hpa k8s/base/horizontalpodautoscaler.yaml
      from 2 replicas to 5 and back while 3,000 clients come and go
  roomcast-loadtest events --rate 300/min --duration 600
      monitoring posts 300 events a minute; each is heard once in its rooms and is kept
  roomcast-loadtest events --hot-keys 5 --count 1000 --rate 0 --concurrency 1000
  roomcast-loadtest updates --rate 500/min --duration 600
  roomcast-loadtest sse --clients 500 --room dashboard:global --duration 60
  roomcast-loadtest freshness
  roomcast-loadtest plan --users 2000 --rooms 1000 --rate 1/s --size 1024
  roomcast-loadtest compare before.json after.json
  roomcast-loadtest report run.json --output run.html
  roomcast-loadtest http --users 5 --duration 5 --scenario health
  roomcast-loadtest run headline --scale 0.1 --html report.html
      a scenario of loadtest/scenarios, a tenth of its time; `run --list` says which there are
  roomcast-loadtest side-by-side --nodes 2 --server 'a=./a --redis-url redis://127.0.0.1:{redis_port} --port {port}'
  roomcast-loadtest side-by-side --server 'roomcast=./roomcast dev --port {port}' \\
      --server 'other=node other.js {port}' --rounds 3 --server-cpu 0 --client-cpu 1

Exit codes: 0 fine, 1 wrong usage, 2 the run failed, 99 a threshold was crossed.";

/// Load tester for room servers that speak Socket.IO or plain WebSocket.
///
/// The load is an open model: every publish is due at an intended time, whatever the server does,
/// and latency counts from that time. Every delivery is checked by sequence number, per room,
/// publisher and member: lost, duplicated, out of order. The server's CPU time and memory are
/// read from /proc when it runs on this machine, and this tool's own CPU is reported, since a
/// generator that is busy all the time measures itself.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to run.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The scenarios.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Many rooms with a few members each, all publishing at a constant rate
    Rooms(RoomsCommand),
    /// One room with many members: what a broadcast costs
    BigRoom(BigRoomCommand),
    /// Many rooms at a constant rate beside one that a member floods: who pays for a noisy neighbour
    HotRoom(HotRoomCommand),
    /// Many connections that only answer heartbeats: what a session costs
    Idle(IdleCommand),
    /// Raises the rate step by step until the server falls behind: what it can sustain
    Ramp(RampCommand),
    /// Cuts everybody off at once: how long until all are back in their rooms
    Avalanche(Box<AvalancheCommand>),
    /// Clients come and go at random moments while others talk: who stays loses nothing
    Jitter(Box<JitterCommand>),
    /// Starts two servers, ends the first under load and watches its clients move to the second
    Drain(Box<DrainCommand>),
    /// Starts two nodes and their Redis, takes Redis away in several ways, and looks at what comes through
    Trouble(Box<TroubleCommand>),
    /// Starts a cluster behind a balancer, does bad things to it under load, and counts what clients notice
    Chaos(Box<ChaosCommand>),
    /// Starts a cluster behind a balancer, and adds and removes nodes as an autoscaler would while clients come and go
    Autoscale(Box<AutoscaleCommand>),
    /// Monitoring posts events, members listen, and every incident is read back from the rooms and from the store
    Events(Box<EventsCommand>),
    /// People acknowledge and annotate incidents, and everybody in the rooms hears of it
    Updates(Box<UpdatesCommand>),
    /// Many event streams on rooms of incidents or on a dashboard, idle or not: what they cost the database
    Sse(Box<SseCommand>),
    /// How old is what clients hear of incidents and see on a dashboard
    Freshness(Box<FreshnessCommand>),
    /// People and probes who ask for pages, lists and health: how long they wait for their answers
    Http(Box<http::HttpCommand>),
    /// Runs a scenario from a file: commands, options, and what passing means
    Run(Box<run::RunCommand>),
    /// Says which figures of a report are worse than those of one before, beyond what is noise
    Compare(verdicts::CompareCommand),
    /// Says what a load needs: replicas, processors, memory, Redis, bandwidth, connections to the database
    Plan(Box<plan::PlanCommand>),
    /// Makes a page with plots out of a report
    Report(verdicts::ReportCommand),
    /// Starts several servers itself and measures them in turn, round after round
    SideBySide(SideBySideCommand),
}

/// `rooms`
#[derive(Debug, Args, Serialize)]
pub(crate) struct RoomsCommand {
    /// Number of clients
    #[arg(long, default_value_t = 2_000)]
    pub(crate) users: usize,
    /// Number of rooms; the users are dealt to them in turn
    #[arg(long, default_value_t = 1_000)]
    pub(crate) rooms: usize,
    /// Publishes per second and room, shared by the room's publishers
    #[arg(long, default_value_t = 1.0, value_parser = per_second)]
    pub(crate) rate: f64,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) load: LoadOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunOptions,
}

/// `big-room`
#[derive(Debug, Args, Serialize)]
pub(crate) struct BigRoomCommand {
    /// Number of clients, all in one room
    #[arg(long, default_value_t = 2_000)]
    pub(crate) users: usize,
    /// Publishes per second
    #[arg(long, default_value_t = 10.0, value_parser = per_second)]
    pub(crate) rate: f64,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) load: LoadOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunOptions,
}

/// `hot-room`
#[derive(Debug, Args, Serialize)]
pub(crate) struct HotRoomCommand {
    /// Number of clients in the rooms that are not flooded
    #[arg(long, default_value_t = 2_000)]
    pub(crate) users: usize,
    /// Number of those rooms
    #[arg(long, default_value_t = 1_000)]
    pub(crate) rooms: usize,
    /// Publishes per second in each of them
    #[arg(long, default_value_t = 1.0, value_parser = per_second)]
    pub(crate) rate: f64,
    /// Members of the flooded room; one of them writes as fast as its socket takes. A thread more than
    /// --threads drives this room and nothing else
    #[arg(long, default_value_t = 100)]
    pub(crate) flooded: usize,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) load: LoadOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunOptions,
}

/// `idle`
#[derive(Debug, Args, Serialize)]
pub(crate) struct IdleCommand {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) idle: IdleOptions,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunOptions,
}

/// `ramp`
#[derive(Debug, Args, Serialize)]
pub(crate) struct RampCommand {
    /// What to saturate
    #[arg(long, value_enum, default_value_t = Shape::Rooms)]
    pub(crate) shape: Shape,
    /// Number of clients
    #[arg(long, default_value_t = 2_000)]
    pub(crate) users: usize,
    /// Number of rooms (shape rooms)
    #[arg(long, default_value_t = 1_000)]
    pub(crate) rooms: usize,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) search: SearchOptions,
    /// Size of a published data object, in bytes
    #[arg(long, default_value_t = 1_024)]
    pub(crate) size: usize,
    /// Publishers per room; the rate is shared between them
    #[arg(long, default_value_t = 1)]
    pub(crate) publishers_per_room: usize,
    /// Seconds over which connections are opened
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub(crate) ramp: f64,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) run: RunOptions,
}

/// A traffic shape that can be saturated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Shape {
    /// many rooms with a few members
    Rooms,
    /// one room with many members
    BigRoom,
}

/// `side-by-side`
#[derive(Debug, Args, Serialize)]
pub(crate) struct SideBySideCommand {
    /// A server to measure, as NAME=COMMAND; {port} and {admin_port} in the command are replaced by
    /// free ports (metrics are read from /metrics on the latter), {redis_port} by that of --nodes' Redis
    #[arg(long = "server", required = true, value_name = "NAME=COMMAND")]
    pub(crate) servers: Vec<String>,
    /// Server that the others are compared with; the first one when not given
    #[arg(long)]
    pub(crate) baseline: Option<String>,
    /// How often each server is measured; medians are reported
    #[arg(long, default_value_t = 3)]
    pub(crate) rounds: usize,
    /// Processor the servers run on
    #[arg(long)]
    pub(crate) server_cpu: Option<usize>,
    /// Processor this tool runs on
    #[arg(long)]
    pub(crate) client_cpu: Option<usize>,
    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Measurement::ALL)]
    pub(crate) shapes: Vec<Measurement>,
    /// Start so many of each server as one cluster, with a redis-server of their own between them, and measure
    /// that: 2,000 users in 1,000 rooms whose members are on different nodes (--shapes means nothing then)
    #[arg(long, default_value_t = 1)]
    pub(crate) nodes: usize,
    /// Publishes per second and room in a cluster
    #[arg(long, default_value_t = 4.0)]
    pub(crate) cluster_rate: f64,
    /// Short steps: for a first look, not for publishing
    #[arg(long)]
    pub(crate) quick: bool,
    /// Users of the idle measurement
    #[arg(long, default_value_t = 10_000)]
    pub(crate) idle_users: usize,
    /// Protocol the clients speak
    #[arg(long, value_enum, default_value_t = Wire::Socketio)]
    pub(crate) wire: Wire,
    /// Write the Markdown table to this file as well
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
    /// Write the full report to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Show what the servers print
    #[arg(long)]
    pub(crate) show_servers: bool,
    /// No progress on standard error
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// One measurement of a side-by-side run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Measurement {
    /// 2,000 users, 1,000 rooms, one publish per room and second
    Load,
    /// 15,000 users, 7,500 rooms, the same rate per room: what growth costs
    #[value(name = "load-15k")]
    #[serde(rename = "load-15k")]
    Load15k,
    /// the rooms of `load`, saturated
    RoomsMax,
    /// one room of 2,000 members, 10 publishes per second
    BigRoom,
    /// the same room, saturated
    BigRoomMax,
    /// the rooms of `load` beside one of 100 members that one of them floods
    HotRoom,
    /// many idle connections
    Idle,
    /// the rooms of `load`, their members on different nodes
    #[value(skip)]
    Cluster,
}

impl Measurement {
    /// All of one server, in the order in which they are run.
    pub(crate) const ALL: [Self; 7] =
        [Self::Load, Self::Load15k, Self::RoomsMax, Self::BigRoom, Self::BigRoomMax, Self::HotRoom, Self::Idle];

    /// What it is called on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(|| "cluster".to_owned(), |value| value.get_name().to_owned())
    }
}
