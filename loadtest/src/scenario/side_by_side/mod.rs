//! `side-by-side`: measures several servers in turn, so that a machine's bad minute hits them all.
//!
//! Within a round every measurement is made for each server before the next measurement begins,
//! each time on a freshly started server; every other round goes through the servers backwards. With `--nodes` each server
//! is a cluster of as many processes, and a Redis.

mod figures;
mod markdown;
mod nodes;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::server::Recipe;
use super::setting::{Crowd, Setting, pin};
use super::{fanout, idle, ramp};
use crate::cli::options::LoadOptions;
use crate::cli::{IdleOptions, Measurement, SearchOptions, SideBySideCommand};
use crate::client::http::Transport;
use crate::observe::host::Host;
use crate::report::{Results, SCHEMA_VERSION};
use crate::thresholds::Figures;
use nodes::Nodes;

/// Clients of all measurements but `idle`.
const USERS: usize = 2_000;
/// Rooms of the measurements with many rooms.
const ROOMS: usize = 1_000;
/// Clients of `load-15k`.
const USERS_15K: usize = 15_000;
/// Rooms of `load-15k`.
const ROOMS_15K: usize = 7_500;
/// Members of the flooded room.
const FLOODED: usize = 100;
/// Size of a published data object.
const SIZE: usize = 1_024;

/// Everything about a side-by-side run.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    schema_version: u32,
    tool_version: &'static str,
    command_line: Vec<String>,
    config: serde_json::Value,
    host: Host,
    baseline: String,
    server_cpu: Option<usize>,
    client_cpu: Option<usize>,
    idle_users: usize,
    nodes: usize,
    cluster_rate: f64,
    servers: Vec<Recipe>,
    trials: Vec<Trial>,
    interrupted: bool,
}

/// One measurement of one server in one round.
#[derive(Debug, Serialize)]
struct Trial {
    round: usize,
    measurement: Measurement,
    server: String,
    #[serde(flatten)]
    outcome: Outcome,
    /// The figures that conditions may name.
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Results(Box<Results>),
    Error(String),
}

/// Runs all rounds and returns the comparison and its Markdown.
pub(crate) fn run(command: &SideBySideCommand, interrupted: &Arc<AtomicBool>) -> Result<(Comparison, String)> {
    let servers = command.servers.iter().map(|text| text.parse()).collect::<Result<Vec<Recipe>>>()?;
    let first = servers.first().context("at least one server is needed")?;
    let baseline = command.baseline.clone().unwrap_or_else(|| first.name.clone());
    ensure!(servers.iter().any(|server| server.name == baseline), "no server is called `{baseline}`");
    if let Some(cpu) = command.client_cpu {
        pin(cpu)?;
    }
    let mut comparison = Comparison {
        schema_version: SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION"),
        command_line: crate::report::command_line(),
        config: serde_json::to_value(command)?,
        host: Host::look(),
        baseline,
        server_cpu: command.server_cpu,
        client_cpu: command.client_cpu,
        idle_users: command.idle_users,
        nodes: command.nodes,
        cluster_rate: command.cluster_rate,
        servers,
        trials: Vec::new(),
        interrupted: false,
    };
    comparison.run_rounds(command, interrupted);
    comparison.host.finish();
    let text = markdown::render(&comparison);
    Ok((comparison, text))
}

impl Comparison {
    fn run_rounds(&mut self, command: &SideBySideCommand, interrupted: &Arc<AtomicBool>) {
        let mut measurements = if command.nodes > 1 { vec![Measurement::Cluster] } else { command.shapes.clone() };
        measurements.sort_unstable();
        measurements.dedup();
        for round in 0..command.rounds {
            for &measurement in &measurements {
                let mut order: Vec<_> = self.servers.iter().collect();
                if round % 2 == 1 {
                    order.reverse();
                }
                for recipe in order {
                    if interrupted.load(std::sync::atomic::Ordering::Relaxed) {
                        self.interrupted = true;
                        return;
                    }
                    let trial = Trial::run(command, recipe, (round, measurement), interrupted);
                    self.trials.push(trial);
                }
            }
        }
    }
}

impl Trial {
    fn results(&self) -> Option<&Results> {
        match &self.outcome {
            Outcome::Results(results) => Some(results),
            Outcome::Error(_) => None,
        }
    }

    fn run(
        command: &SideBySideCommand,
        recipe: &Recipe,
        (round, measurement): (usize, Measurement),
        interrupted: &Arc<AtomicBool>,
    ) -> Self {
        let mut warnings = Vec::new();
        let outcome = measure(command, recipe, (round, measurement), interrupted, &mut warnings);
        let outcome = match outcome {
            Ok(results) => Outcome::Results(Box::new(results)),
            Err(error) => Outcome::Error(format!("{error:#}")),
        };
        let figures = match &outcome {
            Outcome::Results(results) => Some(results.figures()),
            Outcome::Error(_) => None,
        };
        Self { round, measurement, server: recipe.name.clone(), outcome, figures, warnings }
    }
}

fn measure(
    command: &SideBySideCommand,
    recipe: &Recipe,
    (round, measurement): (usize, Measurement),
    interrupted: &Arc<AtomicBool>,
    warnings: &mut Vec<String>,
) -> Result<Results> {
    let nodes = Nodes::start(command, recipe)?;
    let mut setting = Setting::new(nodes.target(command), interrupted.clone(), command.quiet)?;
    let pids = setting.servers();
    setting.progress.line(&format!("round {}, {measurement:?}, {} (processes {pids:?})", round + 1, recipe.name));
    let results = scenario(&mut setting, measurement, command);
    setting.progress.clear();
    match &results {
        Ok(results) => {
            for figure in figures::of(measurement).iter().filter(|figure| figure.over.is_none()) {
                if let Some(value) = (figure.read)(results) {
                    setting.progress.line(&format!("  {}: {value:.1}", figure.name));
                }
            }
        }
        Err(error) => setting.progress.line(&format!("  failed: {error:#}")),
    }
    warnings.append(&mut setting.warnings);
    results
}

fn scenario(setting: &mut Setting, measurement: Measurement, command: &SideBySideCommand) -> Result<Results> {
    let quick = command.quick;
    let load = LoadOptions {
        size: SIZE,
        duration: if quick { 6.0 } else { 20.0 },
        warmup: 2.0,
        ramp: if quick { 1.0 } else { 2.0 },
        drain: 10.0,
        publishers_per_room: 1,
        acks: false,
    };
    let saturate = |setting: &mut Setting, rooms: usize| {
        let crowd = Crowd { users: USERS, rooms, publishers: 1, size: SIZE, acks: false, ramp: 1.0, flooded: 0 };
        let search = SearchOptions {
            step_seconds: if quick { 2.0 } else { 4.0 },
            refine: if quick { 2 } else { 4 },
            ..SearchOptions::default()
        };
        ramp::run(setting, crowd, &search)
    };
    match measurement {
        Measurement::Load => fanout::run(setting, (USERS, ROOMS), 1.0, &load),
        Measurement::Load15k => fanout::run(setting, (USERS_15K, ROOMS_15K), 1.0, &load),
        Measurement::HotRoom => {
            let shape = fanout::Shape { users: USERS, rooms: ROOMS, flooded: FLOODED };
            fanout::run(setting, shape, 1.0, &load)
        }
        Measurement::Cluster => fanout::run(setting, (USERS, ROOMS), command.cluster_rate, &load),
        Measurement::BigRoom => fanout::run(setting, (USERS, 1), 10.0, &load),
        Measurement::RoomsMax => saturate(setting, ROOMS),
        Measurement::BigRoomMax => saturate(setting, 1),
        Measurement::Idle => {
            let duration = if quick { 8.0 } else { 30.0 };
            let transport = Transport::default();
            let idle = IdleOptions { users: command.idle_users, rooms: None, transport, duration, ramp: 0.0 };
            idle::run(setting, &idle)
        }
    }
}
