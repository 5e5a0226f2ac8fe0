//! Defines the command lines of `compare` and `report`: what is done with results that are there already.

use std::path::PathBuf;

use clap::Args;

/// `compare`
#[derive(Debug, Args)]
pub(crate) struct CompareCommand {
    /// The report of before, as --json wrote it
    pub(crate) before: PathBuf,
    /// The report of after
    pub(crate) after: PathBuf,
    /// By how much a figure may differ without that meaning anything, in percent, when the reports hold no repetitions to
    /// take it from (`run --repeat`)
    #[arg(long, default_value_t = 10.0, value_name = "PERCENT", value_parser = percent)]
    pub(crate) noise: f64,
    /// Times below this say nothing, in microseconds: what is shorter than that on both sides is the same
    #[arg(long, default_value_t = 1_000.0, value_name = "MICROSECONDS", value_parser = percent)]
    pub(crate) floor: f64,
    /// Compare only these figures (repeatable)
    #[arg(long = "figure", value_name = "FIGURE")]
    pub(crate) figures: Vec<String>,
    /// Write what was found to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// `report`
#[derive(Debug, Args)]
pub(crate) struct ReportCommand {
    /// A report, as --json wrote it
    pub(crate) report: PathBuf,
    /// The page to write: one file, which needs nothing else
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.0..=1e9).contains(&number) { Ok(number) } else { Err("it is 0 or more".to_owned()) }
}
