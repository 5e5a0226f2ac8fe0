//! Writes a comparison as Markdown: a table per measurement, medians and ratios to the baseline.

use std::fmt::Write;

use super::figures::{self, Figure};
use super::{Comparison, Outcome};
use crate::cli::Measurement;
use crate::progress::grouped;

/// The whole text.
pub(super) fn render(comparison: &Comparison) -> String {
    let mut text = String::new();
    let host = &comparison.host;
    let rounds = comparison.trials.iter().map(|trial| trial.round + 1).max().unwrap_or(0);
    let lines = [
        format!("Measured {} on {} × {}, {}.", host.started_at, host.cores, host.cpu, host.kernel),
        format!("Load average {} before, {} after.", host.load_before, host.load_after),
        format!("Medians of {rounds} interleaved rounds; in brackets the ratio to {}.", comparison.baseline),
        String::new(),
        format!("    {}", comparison.command_line.join(" ")),
    ];
    for line in lines {
        push(&mut text, &line);
    }
    for measurement in Measurement::ALL {
        if comparison.trials.iter().any(|trial| trial.measurement == measurement) {
            push(&mut text, &format!("\n## {}\n", title(measurement)));
            table(&mut text, comparison, measurement);
        }
    }
    remarks(&mut text, comparison);
    text
}

fn title(measurement: Measurement) -> &'static str {
    match measurement {
        Measurement::Load => "2,000 users, 1,000 rooms, 1 publish/s per room, 1 KiB (2,000 deliveries/s)",
        Measurement::RoomsMax => "The same rooms, rate raised until p99 > 100 ms or something is lost",
        Measurement::BigRoom => "One room of 2,000 members, 10 publishes/s, 1 KiB (20,000 deliveries/s)",
        Measurement::BigRoomMax => "The same room, rate raised until p99 > 100 ms or something is lost",
        Measurement::Idle => "Idle connections",
    }
}

fn table(text: &mut String, comparison: &Comparison, measurement: Measurement) {
    let figures = figures::of(measurement);
    let names: Vec<_> = figures.iter().map(|figure| figure.name).collect();
    push(text, &format!("| | {} |", names.join(" | ")));
    push(text, &format!("|---|{}", "---:|".repeat(names.len())));
    for server in &comparison.servers {
        let cells: Vec<_> = figures.iter().map(|figure| cell(comparison, measurement, figure, &server.name)).collect();
        push(text, &format!("| {} | {} |", server.name, cells.join(" | ")));
    }
}

fn cell(comparison: &Comparison, measurement: Measurement, figure: &Figure, server: &str) -> String {
    let Some(value) = value(comparison, measurement, figure, server) else {
        return "–".to_owned();
    };
    let number = match figure.digits {
        0 => grouped(value.round() as u64),
        digits => format!("{value:.digits$}"),
    };
    let base = value_of_baseline(comparison, measurement, figure);
    match base.filter(|base| *base > 0.0 && server != comparison.baseline) {
        Some(base) => format!("{number} ({:.2})", value / base),
        None => number,
    }
}

fn value_of_baseline(comparison: &Comparison, measurement: Measurement, figure: &Figure) -> Option<f64> {
    value(comparison, measurement, figure, &comparison.baseline)
}

fn value(comparison: &Comparison, measurement: Measurement, figure: &Figure, server: &str) -> Option<f64> {
    let trials = comparison.trials.iter();
    let ours = trials.filter(|trial| trial.measurement == measurement && trial.server == server);
    let mut values: Vec<_> = ours
        .filter_map(|trial| match &trial.outcome {
            Outcome::Results(results) => (figure.read)(results),
            Outcome::Error(_) => None,
        })
        .collect();
    figures::median(&mut values)
}

/// What a reader must know before believing the tables: failures and warnings.
fn remarks(text: &mut String, comparison: &Comparison) {
    let mut remarks = Vec::new();
    for trial in &comparison.trials {
        let at = format!("round {}, {:?}, {}", trial.round + 1, trial.measurement, trial.server);
        if let Outcome::Error(error) = &trial.outcome {
            remarks.push(format!("- {at} failed: {error}"));
        }
        remarks.extend(trial.warnings.iter().map(|warning| format!("- {at}: {warning}")));
    }
    if comparison.interrupted {
        remarks.push("- the run was ended early".to_owned());
    }
    if !remarks.is_empty() {
        push(text, "\n## Remarks\n");
        push(text, &remarks.join("\n"));
    }
}

fn push(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a string cannot fail");
}
