//! Load tester for room servers that speak Socket.IO or plain WebSocket.
//!
//! How it fits: [`cli`] says what is wanted; a [`scenario`] plans a crowd, connects it as a
//! [`fleet`] of [`client`]s on one epoll loop per thread, and runs steps of constant rate on it;
//! every delivery's [`mark`] gives its latency on the one [`clock`] and its place in a sequence
//! that the [`checker`] follows; a [`crew`] posts what monitoring says and hears what the server makes of it; [`observe`] reads the server's CPU, memory and metrics around
//! each step; [`report`] and [`thresholds`] turn that into a table, JSON, a page and an exit code. [`play`] runs scenarios from
//! files, each command of which is this program once more; [`verdict`] compares reports, and [`capacity`] reckons with them.

mod capacity;
mod checker;
mod cli;
mod client;
mod clock;
mod crew;
mod fleet;
mod local;
mod mark;
mod observe;
mod play;
mod progress;
mod report;
mod scenario;
mod thresholds;
mod utc;
mod verdict;
mod wrong;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use clap::Parser;
use serde::Serialize;

use cli::options::{OutputOptions, TargetOptions};
use cli::{
    AutoscaleCommand, ChaosCommand, Cli, Command, DrainCommand, RampCommand, Shape, SideBySideCommand, TroubleCommand,
};
use observe::host::Host;
use observe::watching::Watching;
use report::{Report, Results, SCHEMA_VERSION, page, table};
use scenario::incidents::{events, freshness, streams, updates};
use scenario::setting::{Crowd, Setting};
use scenario::{autoscale, avalanche, chaos, drain, fanout, idle, jitter, pages, ramp, side_by_side, trouble};
use thresholds::Threshold;
use verdict::{compare, read};

/// Exit code for a wrong command line.
const USAGE: u8 = 1;
/// Exit code for a run that could not be finished.
const FAILED: u8 = 2;
/// Exit code for a crossed threshold, as in k6.
const CROSSED: u8 = 99;
/// What always fails a constant load.
const ALWAYS: [&str; 3] = ["lost>0", "duplicated>0", "out_of_order>0"];

/// What fails a run only if that is asked for.
const NONE: [&str; 0] = [];

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            error.print().ok();
            let code = if error.use_stderr() { USAGE } else { 0 };
            return ExitCode::from(code);
        }
    };
    match run(&cli.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(CROSSED),
        Err(error) => {
            writeln!(std::io::stderr().lock(), "error: {error:#}").ok();
            ExitCode::from(if error.is::<wrong::Wrong>() { USAGE } else { FAILED })
        }
    }
}

/// Set when somebody asks the run to end; when they ask again, the process ends at once.
fn watch_signals() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_default(signal, interrupted.clone())?;
        signal_hook::flag::register(signal, interrupted.clone())?;
    }
    Ok(interrupted)
}

/// Runs a command; returns whether all thresholds held.
fn run(command: &Command) -> Result<bool> {
    let interrupted = watch_signals()?;
    match command {
        Command::Rooms(rooms) => {
            let job = Job::new(rooms, &rooms.run.target, &rooms.run.output, &ALWAYS)?;
            let crowd = (rooms.users, rooms.rooms);
            job.run(interrupted, |setting| fanout::run(setting, crowd, rooms.rate, &rooms.load))
        }
        Command::BigRoom(room) => {
            let job = Job::new(room, &room.run.target, &room.run.output, &ALWAYS)?;
            job.run(interrupted, |setting| fanout::run(setting, (room.users, 1), room.rate, &room.load))
        }
        Command::HotRoom(room) => {
            let job = Job::new(room, &room.run.target, &room.run.output, &ALWAYS)?;
            let shape = fanout::Shape { users: room.users, rooms: room.rooms, flooded: room.flooded };
            job.run(interrupted, |setting| fanout::run(setting, shape, room.rate, &room.load))
        }
        Command::Idle(command) => {
            let job = Job::new(command, &command.run.target, &command.run.output, &NONE)?;
            job.run(interrupted, |setting| idle::run(setting, &command.idle))
        }
        Command::Ramp(command) => {
            let job = Job::new(command, &command.run.target, &command.run.output, &NONE)?;
            job.run(interrupted, |setting| ramp::run(setting, ramp_crowd(command), &command.search))
        }
        Command::Avalanche(command) => {
            let conditions = avalanche::conditions(&command.avalanche);
            let job = Job::new(command, &command.run.target, &command.run.output, conditions)?;
            job.run(interrupted, |setting| avalanche::run(setting, &command.avalanche))
        }
        Command::Jitter(command) => {
            let job = Job::new(command, &command.run.target, &command.run.output, &jitter::ALWAYS)?;
            job.run(interrupted, |setting| jitter::run(setting, command))
        }
        Command::Drain(command) => run_drain(command, interrupted),
        Command::Trouble(command) => run_trouble(command, interrupted),
        Command::Chaos(command) => run_chaos(command, interrupted),
        Command::Autoscale(command) => run_autoscale(command, interrupted),
        Command::Events(command) => {
            let job = Job::new(command, &command.run.target, &command.run.output, &events::conditions(command))?;
            job.run(interrupted, |setting| events::run(setting, command))
        }
        Command::Updates(command) => {
            let job = Job::new(command, &command.run.target, &command.run.output, &updates::ALWAYS)?;
            job.run(interrupted, |setting| updates::run(setting, command))
        }
        Command::Sse(command) => {
            let job = Job::new(command, &command.run.target, &command.run.output, &streams::ALWAYS)?;
            job.run(interrupted, |setting| streams::run(setting, command))
        }
        Command::Freshness(command) => {
            let job = Job::new(command, &command.run.target, &command.run.output, &freshness::conditions(command))?;
            job.run(interrupted, |setting| freshness::run(setting, command))
        }
        Command::Http(command) => {
            let job = Job::new(command, &command.run.target, &command.run.output, &pages::ALWAYS)?;
            job.run(interrupted, |setting| pages::run(setting, command))
        }
        other => beside_loads(other, &interrupted),
    }
}

fn run_drain(command: &DrainCommand, interrupted: Arc<AtomicBool>) -> Result<bool> {
    let pair = drain::Pair::start(command)?;
    let target = pair.target(command);
    let conditions = drain::conditions(command);
    let job = Job::new(command, &target, &command.own.output, &conditions)?;
    job.run(interrupted, |setting| drain::run(setting, pair, command))
}

fn run_trouble(command: &TroubleCommand, interrupted: Arc<AtomicBool>) -> Result<bool> {
    let cluster = trouble::Cluster::start(command)?;
    let target = cluster.target(command);
    let conditions = trouble::conditions(command);
    let job = Job::new(command, &target, &command.own.output, &conditions)?;
    job.run(interrupted, |setting| trouble::run(setting, cluster, command))
}

fn run_chaos(command: &ChaosCommand, interrupted: Arc<AtomicBool>) -> Result<bool> {
    let cluster = chaos::start(command)?;
    let target = chaos::target(&cluster, command);
    let job = Job::new(command, &target, &command.output, &chaos::CONDITIONS)?;
    job.run(interrupted, |setting| chaos::run(setting, cluster, command))
}

fn run_autoscale(command: &AutoscaleCommand, interrupted: Arc<AtomicBool>) -> Result<bool> {
    let scaled = autoscale::Scaled::start(command)?;
    let target = scaled.target(command);
    let conditions = autoscale::conditions(command);
    let job = Job::new(command, &target, &command.output, &conditions)?;
    job.run(interrupted, |setting| autoscale::run(setting, scaled, command))
}

/// Runs a command that is no load itself.
fn beside_loads(command: &Command, interrupted: &Arc<AtomicBool>) -> Result<bool> {
    match command {
        Command::Run(command) => play::run(command, interrupted)?.map_or(Ok(true), |played| {
            write_report(&played, command.json.as_deref(), command.html.as_deref())?;
            Ok(played.passed)
        }),
        Command::SideBySide(command) => race(command, interrupted),
        Command::Compare(command) => {
            let comparison = compare::run(command)?;
            comparison.write(&mut std::io::stdout().lock())?;
            write_report(&comparison, command.json.as_deref(), None)?;
            Ok(comparison.passed)
        }
        Command::Plan(command) => capacity::run(command).map(|()| true),
        Command::Report(command) => {
            let report = read::report(&command.report)?;
            save(&command.output, &page::page(&report)?).map(|()| true)
        }
        _ => unreachable!("`run` knows all loads"),
    }
}

fn race(command: &SideBySideCommand, interrupted: &Arc<AtomicBool>) -> Result<bool> {
    let (comparison, markdown) = side_by_side::run(command, interrupted)?;
    write!(std::io::stdout().lock(), "{markdown}")?;
    if let Some(path) = &command.markdown {
        save(path, &markdown)?;
    }
    if let Some(path) = &command.json {
        save(path, &serde_json::to_string_pretty(&comparison)?)?;
    }
    Ok(true)
}

/// Writes a report to the files that were asked for.
fn write_report(report: &impl Serialize, json: Option<&Path>, html: Option<&Path>) -> Result<()> {
    if let Some(path) = json {
        save(path, &short_lists(&serde_json::to_string_pretty(report)?))?;
    }
    if let Some(path) = html {
        save(path, &page::page(&serde_json::to_value(report)?)?)?;
    }
    Ok(())
}

/// Puts each list of numbers on a line of its own: a run of minutes has hundreds of them in each of ten lists.
fn short_lists(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut lines = json.lines().peekable();
    while let Some(line) = lines.next() {
        text.push_str(line);
        let is_scalar =
            |line: &&str| !line.ends_with(['{', '[', '}', ']']) && !line.ends_with("],") && !line.ends_with("},");
        if line.ends_with('[') && lines.peek().is_some_and(|next| !next.contains('"') && is_scalar(next)) {
            while let Some(item) = lines.next_if(is_scalar) {
                text.push_str(item.trim());
            }
            text.push_str(lines.next().unwrap_or_default().trim());
        }
        text.push('\n');
    }
    text
}

fn save(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn ramp_crowd(command: &RampCommand) -> Crowd {
    Crowd {
        users: command.users,
        rooms: match command.shape {
            Shape::Rooms => command.rooms,
            Shape::BigRoom => 1,
        },
        publishers: command.publishers_per_room,
        size: command.size,
        acks: false,
        ramp: command.ramp,
        flooded: 0,
    }
}

/// One scenario against one server, and what becomes of its result.
struct Job<'a> {
    config: serde_json::Value,
    target: &'a TargetOptions,
    output: &'a OutputOptions,
    thresholds: Vec<Threshold>,
}

impl<'a> Job<'a> {
    fn new(
        options: &impl Serialize,
        target: &'a TargetOptions,
        output: &'a OutputOptions,
        always: &[impl AsRef<str>],
    ) -> Result<Self> {
        let mut thresholds = output.fail_if.clone();
        for text in always {
            let threshold: Threshold = text.as_ref().parse().map_err(anyhow::Error::msg)?;
            thresholds.push(threshold);
        }
        Ok(Self { config: serde_json::to_value(options)?, target, output, thresholds })
    }

    fn run(self, interrupted: Arc<AtomicBool>, scenario: impl FnOnce(&mut Setting) -> Result<Results>) -> Result<bool> {
        let mut host = Host::look();
        let mut setting = Setting::new(self.target.clone(), interrupted, self.output.quiet)?;
        let watching = Watching::begin(setting.clock, setting.sights().clone(), setting.shown.clone())?;
        let results = scenario(&mut setting)?;
        let series = watching.finish();
        setting.progress.clear();
        host.finish();
        let figures = results.figures();
        let thresholds: Vec<_> = self.thresholds.iter().map(|t| t.judge(&figures)).collect();
        let report = Report {
            schema_version: SCHEMA_VERSION,
            tool_version: env!("CARGO_PKG_VERSION"),
            command_line: report::command_line(),
            config: self.config,
            host,
            meta: results.http_meta.clone(),
            summary: results.http_summary.clone(),
            results,
            figures,
            series,
            passed: !thresholds.iter().any(|verdict| verdict.failed),
            thresholds,
            interrupted: setting.is_interrupted(),
            warnings: setting.warnings,
        };
        table::write(&mut std::io::stdout().lock(), &report)?;
        write_report(&report, self.output.json.as_deref(), self.output.html.as_deref())?;
        Ok(report.passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_numbers_are_short_and_the_same() {
        let value = serde_json::json!({
            "a": [1, 2.5, null], "b": [], "c": ["x, y"], "d": [[1], {"e": [3, 4]}], "f": [{"g": 1}], "h": 1,
        });
        let text = short_lists(&serde_json::to_string_pretty(&value).unwrap());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        assert!(text.contains("\"a\": [1,2.5,null],\n"), "{text}");
    }
}
