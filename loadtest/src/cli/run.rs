//! Defines the command line of `run`: a scenario from a file.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

/// `run`
#[derive(Debug, Args, Serialize)]
pub(crate) struct RunCommand {
    /// A scenario file, or the name of one in --folder
    #[arg(required_unless_present = "list", value_name = "FILE")]
    pub(crate) scenario: Option<PathBuf>,
    /// Say which scenarios there are, and what each is for
    #[arg(long)]
    pub(crate) list: bool,
    /// Say which commands would be run, and check them, but run nothing
    #[arg(long)]
    pub(crate) dry: bool,
    /// Where scenarios are that are given by name
    #[arg(long, value_name = "FOLDER", default_value = "loadtest/scenarios")]
    pub(crate) folder: PathBuf,
    /// Run so much of each duration and count, at the same rates and under the same conditions: 0.1 is a tenth. The
    /// result says so: a slice is no proof for the whole
    #[arg(long, default_value_t = 1.0, value_name = "PART", value_parser = part)]
    pub(crate) scale: f64,
    /// Run each phase so many times; `compare` takes its noise from their spread
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) repeat: u32,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) passed_on: PassedOn,
    /// Write the full report to this file
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    pub(crate) json: Option<PathBuf>,
    /// Write a page with plots to this file: one file, which needs nothing else
    #[arg(long, value_name = "FILE", help_heading = "Result")]
    pub(crate) html: Option<PathBuf>,
    /// No progress on standard error
    #[arg(long, short, help_heading = "Result")]
    pub(crate) quiet: bool,
}

/// What every command of the scenario is given, if it knows it. Tokens and keys are taken from the environment:
/// ROOMCAST_TOKEN, ROOMCAST_API_KEY.
#[derive(Debug, Args, Serialize)]
#[command(next_help_heading = "Target")]
pub(crate) struct PassedOn {
    /// Server address, as for other commands; repeatable
    #[arg(long = "target", visible_alias = "url", value_name = "URL")]
    #[serde(rename = "target")]
    pub(crate) targets: Vec<String>,
    /// The server's metrics; repeatable
    #[arg(long = "metrics-url", value_name = "URL")]
    #[serde(rename = "metrics_url")]
    pub(crate) metrics_urls: Vec<String>,
    /// A process of the server, for CPU and memory; repeatable
    #[arg(long = "pid", visible_alias = "server-pid", value_name = "PID")]
    #[serde(rename = "pid")]
    pub(crate) pids: Vec<u32>,
    /// The Redis between the nodes, as HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) redis: Option<String>,
    /// Processor to pin this tool to
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
    /// Load a server that is neither on this machine nor in a private network
    #[arg(long)]
    pub(crate) i_own_this_target: bool,
}

impl PassedOn {
    /// The arguments for a command, each with the option's name.
    pub(crate) fn arguments(&self) -> Vec<(&'static str, Option<String>)> {
        let mut arguments = Vec::new();
        arguments.extend(self.targets.iter().map(|url| ("target", Some(url.clone()))));
        arguments.extend(self.metrics_urls.iter().map(|url| ("metrics-url", Some(url.clone()))));
        arguments.extend(self.pids.iter().map(|pid| ("pid", Some(pid.to_string()))));
        arguments.extend(self.redis.iter().map(|redis| ("redis", Some(redis.clone()))));
        arguments.extend(self.cpu.iter().map(|cpu| ("cpu", Some(cpu.to_string()))));
        if self.i_own_this_target {
            arguments.push(("i-own-this-target", None));
        }
        arguments
    }
}

/// More than nothing and not more than everything.
fn part(text: &str) -> Result<f64, String> {
    let part: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if part > 0.0 && part <= 1.0 { Ok(part) } else { Err("a part is above 0 and at most 1".to_owned()) }
}
