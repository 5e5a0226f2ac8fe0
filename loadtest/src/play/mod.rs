//! `run`: a scenario from a file, each of its commands as a process of its own.
//!
//! A file's options are those of the command line, so what a scenario does can be done by hand, and is printed.

mod child;
mod file;
mod order;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::Value;

use crate::cli::run::RunCommand;
use crate::observe::host::Host;
use crate::report::SCHEMA_VERSION;
use crate::thresholds::Verdict;
use crate::wrong::Wrong;
use child::{Ended, Running};
use file::{Phase, Scenario};
use order::{Order, Time, orders};

/// How often the commands are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// A command's exit code when all its conditions held.
const FINE: i32 = 0;
/// The same when one did not.
const CROSSED: i32 = 99;

/// Everything about a scenario that was run.
#[derive(Debug, Serialize)]
pub(crate) struct Played {
    schema_version: u32,
    tool_version: &'static str,
    command_line: Vec<String>,
    scenario: About,
    host: Host,
    phases: Vec<Act>,
    interrupted: bool,
    /// Whether every phase was run and no condition failed.
    pub(crate) passed: bool,
}

/// Which scenario, and how much of it.
#[derive(Debug, Serialize)]
struct About {
    name: String,
    title: String,
    why: String,
    scale: f64,
    compress: f64,
    /// What these two mean, when they mean something.
    time: Option<String>,
}

/// What became of a phase.
#[derive(Debug, Serialize)]
struct Act {
    name: String,
    arguments: Vec<String>,
    passed: bool,
    /// Conditions about an earlier phase.
    thresholds: Vec<Verdict>,
    /// The figures of each time that it was run.
    repetitions: Vec<BTreeMap<String, f64>>,
    /// The command's own report, of the last time.
    report: Value,
}

/// Runs a scenario, or says which there are; `None` when nothing was run.
pub(crate) fn run(command: &RunCommand, interrupted: &Arc<AtomicBool>) -> Result<Option<Played>> {
    if command.list {
        return list(&command.folder).map(|()| None);
    }
    let Some(given) = &command.scenario else { bail!("a scenario is needed") };
    let path = find(given, &command.folder);
    let scenario = Scenario::read(&path)?;
    let time = Time { scale: command.scale, compress: scenario.compress };
    let orders = orders(&scenario, time, &command.passed_on.arguments())
        .map_err(|what| Wrong::error(format!("{}: {what}", path.display())))?;
    if command.dry {
        let mut out = std::io::stdout().lock();
        for order in &orders {
            writeln!(out, "{}: roomcast-loadtest {}", order.name, order.arguments.join(" "))?;
        }
        return Ok(None);
    }
    let mut stage = Stage { command, interrupted, started: 0, acts: Vec::new() };
    let mut host = Host::look();
    for group in groups(&scenario, orders) {
        stage.play(&group)?;
    }
    host.finish();
    let played = Played {
        schema_version: SCHEMA_VERSION,
        tool_version: env!("CARGO_PKG_VERSION"),
        command_line: crate::report::command_line(),
        scenario: About {
            name: path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            title: scenario.title.clone(),
            why: scenario.why.clone(),
            scale: time.scale,
            compress: time.compress,
            time: time.meaning(),
        },
        host,
        passed: stage.acts.iter().all(|act| act.passed),
        phases: stage.acts,
        interrupted: interrupted.load(Relaxed),
    };
    played.print()?;
    Ok(Some(played))
}

/// A name is that of a file in the folder.
fn find(given: &Path, folder: &Path) -> PathBuf {
    if given.extension().is_some() || given.components().count() > 1 {
        return given.to_owned();
    }
    folder.join(given).with_extension("toml")
}

fn list(folder: &Path) -> Result<()> {
    let wrong = |error: std::io::Error| Wrong::error(format!("--folder {}: {error}", folder.display()));
    let mut paths: Vec<_> = fs::read_dir(folder).map_err(wrong)?.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let mut out = std::io::stdout().lock();
    for path in paths {
        let scenario = Scenario::read(&path)?;
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        writeln!(out, "{name:<18} {}\n{:<18} {}", scenario.title, "", scenario.why.trim())?;
    }
    Ok(())
}

/// The phases, those that are run at the same time together.
fn groups(scenario: &Scenario, orders: Vec<Order>) -> Vec<Vec<(&Phase, Order)>> {
    let mut groups: Vec<Vec<_>> = Vec::new();
    for (phase, order) in scenario.phases.iter().zip(orders) {
        match groups.last_mut() {
            Some(group) if phase.together => group.push((phase, order)),
            _ => groups.push(vec![(phase, order)]),
        }
    }
    groups
}

/// What has been run so far.
struct Stage<'a> {
    command: &'a RunCommand,
    interrupted: &'a Arc<AtomicBool>,
    started: usize,
    acts: Vec<Act>,
}

impl Stage<'_> {
    /// Runs phases that belong together, as often as was asked for.
    fn play(&mut self, group: &[(&Phase, Order)]) -> Result<()> {
        let begin = self.acts.len();
        for round in 0..self.command.repeat {
            if self.interrupted.load(Relaxed) {
                break;
            }
            let ended = self.perform(group)?;
            for (at, (ended, (phase, _))) in ended.into_iter().zip(group).enumerate() {
                ended.print()?;
                let act = self.judge(phase, ended)?;
                if round == 0 {
                    self.acts.push(act);
                } else {
                    self.acts[begin + at].add(act);
                }
            }
        }
        Ok(())
    }

    /// Runs commands at the same time, each once.
    fn perform(&mut self, group: &[(&Phase, Order)]) -> Result<Vec<Ended>> {
        let mut running = Vec::new();
        for (at, (_, order)) in group.iter().enumerate() {
            self.started += 1;
            // two lines of progress on one terminal would write over each other
            let quiet = self.command.quiet || at > 0;
            running.push(Running::start(order.clone(), self.started, quiet)?);
        }
        loop {
            let mut all_over = true;
            for command in &mut running {
                if self.interrupted.load(Relaxed) {
                    command.tell_to_end();
                }
                all_over &= command.is_over()?;
            }
            if all_over {
                return running.into_iter().map(Running::collect).collect();
            }
            std::thread::sleep(LOOK);
        }
    }

    fn judge(&self, phase: &Phase, ended: Ended) -> Result<Act> {
        let name = &phase.name;
        let Some(report) = ended.report else {
            bail!("phase `{name}` could not be run: it ended with {:?}; what it says is above", ended.code);
        };
        let figures = figures(&report);
        let mut thresholds = Vec::new();
        if let Some(no_worse) = &phase.no_worse_than {
            let earlier = self.acts.iter().find(|act| act.name == no_worse.phase);
            let value = earlier.and_then(|act| act.repetitions.last()?.get(&no_worse.figure).copied());
            let condition = no_worse.condition(value.unwrap_or(0.0)).map_err(anyhow::Error::msg)?;
            let known = figures.iter().filter_map(|(name, value)| Some((crate::thresholds::known(name)?, *value)));
            thresholds.push(condition.judge(&known.collect()));
        }
        let passed = ended.code == Some(FINE) && !thresholds.iter().any(|verdict| verdict.failed);
        if !matches!(ended.code, Some(FINE | CROSSED)) {
            bail!("phase `{name}` could not be finished: it ended with {:?}; what it says is above", ended.code);
        }
        let arguments = ended.order.arguments;
        Ok(Act { name: name.clone(), arguments, passed, thresholds, repetitions: vec![figures], report })
    }
}

impl Act {
    /// The same phase, once more.
    fn add(&mut self, again: Self) {
        self.passed &= again.passed;
        self.repetitions.extend(again.repetitions);
        self.thresholds.extend(again.thresholds);
        self.report = again.report;
    }
}

fn figures(report: &Value) -> BTreeMap<String, f64> {
    let figures = report.get("figures").and_then(Value::as_object);
    let figures = figures.into_iter().flatten();
    figures.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
}

impl Played {
    fn print(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "== {}: {}", self.scenario.name, self.scenario.title)?;
        if let Some(time) = &self.scenario.time {
            writeln!(out, "{time}")?;
        }
        for act in &self.phases {
            let times = act.repetitions.len();
            let often = if times > 1 { format!(", {times} times") } else { String::new() };
            writeln!(out, "{:<26} {}{often}", act.name, if act.passed { "passed" } else { "FAILED" })?;
            for verdict in act.thresholds.iter().filter(|verdict| verdict.failed) {
                writeln!(out, "  {} is true: {:?}", verdict.fail_if, verdict.value)?;
            }
        }
        let verdict = if self.passed { "passed" } else { "FAILED" };
        writeln!(
            out,
            "{:<26} {verdict}{}",
            "all",
            if self.interrupted { ", but was ended before its time" } else { "" }
        )
    }
}
