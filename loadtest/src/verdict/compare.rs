//! `compare`: which figures of a run are worse than those of the run before, beyond what is noise.

use std::collections::BTreeSet;
use std::io::{self, Write};

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::read::{self, Figures};
use crate::cli::verdicts::CompareCommand;
use crate::progress::duration;
use crate::report::SCHEMA_VERSION;
use crate::wrong::Wrong;

/// Figures of which more is better.
const MORE_IS_BETTER: [&str; 7] = [
    "deliveries_per_s",
    "max_deliveries_per_s",
    "connects_per_s",
    "taken_per_s",
    "requests_per_s",
    "flood_deliveries_per_s",
    "dashboard_hits",
];
/// Figures that say what was asked for, or what disturbed the run: neither better nor worse.
const NEITHER: [&str; 10] = [
    "sent_per_s",
    "in_bytes_per_s",
    "visits",
    "incidents",
    "exit_code",
    "generator_cores",
    "generator_waiting",
    "server_waiting",
    "lag_p99",
    "db_busy_max",
];
/// Ends of the names of times, in microseconds.
const TIMES: [&str; 11] =
    ["p50", "p90", "p95", "p99", "p999", "max", "mean", "recovery", "first_close", "last_close", "exit_time"];
/// Cores below this are not told apart: the kernel counts in hundredths of a second.
const CORES: f64 = 0.02;
/// What has to be the same in both reports, or they do not say the same thing.
const SAME: [&str; 3] = ["/scenario/name", "/scenario/scale", "/scenario/compress"];
/// What should be the same, or figures differ for another reason.
const SHOULD_BE_SAME: [&str; 3] = ["/host/cpu", "/host/cores", "/host/kernel"];

/// What came of a comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    schema_version: u32,
    before: String,
    after: String,
    rows: Vec<Row>,
    warnings: Vec<String>,
    /// Whether no figure is worse.
    pub(crate) passed: bool,
}

/// A figure on both sides.
#[derive(Clone, Debug, Serialize)]
struct Row {
    figure: String,
    before: f64,
    after: f64,
    /// In percent of before; absent when before is nothing.
    change_percent: Option<f64>,
    /// What may differ without meaning anything, in percent.
    noise_percent: f64,
    /// Whether the noise was measured, by repetitions, and not just taken.
    noise_is_measured: bool,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Worse,
    Better,
    Changed,
    Same,
}

/// Compares two reports.
pub(crate) fn run(command: &CompareCommand) -> Result<Comparison> {
    let [before, after] = [&command.before, &command.after].map(|path| read::report(path));
    let (before, after) = (before?, after?);
    let wrong = |path: &std::path::Path, what: String| Wrong::error(format!("{}: {what}", path.display()));
    let ours = read::figures(&before).map_err(|what| wrong(&command.before, what))?;
    let theirs = read::figures(&after).map_err(|what| wrong(&command.after, what))?;
    let warnings = fitting(&before, &after).map_err(|what| wrong(&command.after, what))?;
    let wanted = wanted(command, &ours, &theirs)?;
    let row = |figure: &String| row(figure, &ours[figure], &theirs[figure], command);
    let mut rows: Vec<_> = wanted.iter().map(row).collect();
    rows.sort_by_key(|row| row.verdict);
    let passed = rows.iter().all(|row| row.verdict != Verdict::Worse);
    let [before, after] = [&command.before, &command.after].map(|path| path.display().to_string());
    Ok(Comparison { schema_version: SCHEMA_VERSION, before, after, rows, warnings, passed })
}

/// Whether the reports are about the same thing; what else may explain a difference.
fn fitting(before: &Value, after: &Value) -> Result<Vec<String>, String> {
    for field in SAME {
        let (ours, theirs) = (before.pointer(field), after.pointer(field));
        if ours != theirs {
            let shown = |value: Option<&Value>| value.map_or("missing".to_owned(), ToString::to_string);
            let name = field[1..].replace('/', ".");
            return Err(format!("`{name}` is {}, and {} before: these are not the same", shown(theirs), shown(ours)));
        }
    }
    let mut warnings = Vec::new();
    for field in SHOULD_BE_SAME {
        let (ours, theirs) = (before.pointer(field), after.pointer(field));
        if let (Some(ours), Some(theirs)) = (ours, theirs)
            && ours != theirs
        {
            warnings.push(format!("another machine: `{}` was {ours} and is {theirs}", field[1..].replace('/', ".")));
        }
    }
    for (name, report) in [("before", before), ("after", after)] {
        if report.get("interrupted") == Some(&Value::Bool(true)) {
            warnings.push(format!("the run of {name} was ended before its time"));
        }
    }
    Ok(warnings)
}

fn wanted(command: &CompareCommand, ours: &Figures, theirs: &Figures) -> Result<BTreeSet<String>> {
    let both: BTreeSet<String> = ours.keys().filter(|name| theirs.contains_key(*name)).cloned().collect();
    if both.is_empty() {
        let of = |figures: &Figures| figures.keys().take(5).cloned().collect::<Vec<_>>().join(", ");
        return Err(Wrong::error(format!("`figures`: none is in both reports: {} … and {} …", of(ours), of(theirs))));
    }
    if let Some(unknown) = command.figures.iter().find(|name| !both.contains(*name)) {
        let known = both.iter().cloned().collect::<Vec<_>>().join(", ");
        return Err(Wrong::error(format!("--figure {unknown} is not in both reports; these are: {known}")));
    }
    Ok(if command.figures.is_empty() { both } else { command.figures.iter().cloned().collect() })
}

fn row(figure: &str, before: &[f64], after: &[f64], command: &CompareCommand) -> Row {
    let measured = spread(before).into_iter().chain(spread(after)).reduce(f64::max);
    let noise_percent = measured.unwrap_or(command.noise);
    let (before, after) = (median(before), median(after));
    let change_percent = (before != 0.0).then(|| (after - before) * 100.0 / before);
    let noise_is_measured = measured.is_some();
    let verdict = verdict(figure, (before, after), noise_percent, command.floor);
    Row { figure: figure.to_owned(), before, after, change_percent, noise_percent, noise_is_measured, verdict }
}

fn verdict(figure: &str, (before, after): (f64, f64), noise: f64, floor: f64) -> Verdict {
    let name = figure.rsplit(' ').next().unwrap_or(figure);
    let is_small =
        (is_time(name) && before.max(after) <= floor) || (name.ends_with("cores") && (after - before).abs() < CORES);
    if is_small || (after - before).abs() <= before.abs() * noise / 100.0 {
        return Verdict::Same;
    }
    if NEITHER.contains(&name) {
        Verdict::Changed
    } else if (after > before) == MORE_IS_BETTER.contains(&name) {
        Verdict::Better
    } else {
        Verdict::Worse
    }
}

fn is_time(name: &str) -> bool {
    name != "db_busy_max" && TIMES.iter().any(|time| name == *time || name.ends_with(&format!("_{time}")))
}

/// From the least to the most, in percent of what is in the middle; nothing for a single value.
fn spread(values: &[f64]) -> Option<f64> {
    let middle = median(values);
    let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
    (values.len() > 1).then(|| if middle == 0.0 { 0.0 } else { (most - least) * 100.0 / middle.abs() })
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

impl Comparison {
    /// Prints a row for each figure, what is worse first.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for warning in &self.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        let width = self.rows.iter().map(|row| row.figure.len()).max().unwrap_or(0);
        for row in &self.rows {
            let shown = |value: f64| match row.figure.rsplit(' ').next() {
                Some(name) if is_time(name) => duration(value),
                _ => format!("{value:.3}"),
            };
            let change = row.change_percent.map_or("from nothing".to_owned(), |change| format!("{change:+.1} %"));
            let source = if row.noise_is_measured { "measured" } else { "taken" };
            let verdict = format!("{:?}", row.verdict).to_lowercase();
            writeln!(
                out,
                "{verdict:<8} {:<width$}  {:>12} → {:<12} {change:>12}   noise ±{:.1} % ({source})",
                row.figure,
                shown(row.before),
                shown(row.after),
                row.noise_percent
            )?;
        }
        let worse = self.rows.iter().filter(|row| row.verdict == Verdict::Worse).count();
        writeln!(out, "{worse} of {} figures are worse", self.rows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(figure: &str, before: &[f64], after: &[f64]) -> (Verdict, f64, bool) {
        let command = CompareCommand {
            before: "a".into(),
            after: "b".into(),
            noise: 10.0,
            floor: 1_000.0,
            figures: Vec::new(),
            json: None,
        };
        let row = row(figure, before, after, &command);
        (row.verdict, row.noise_percent.round(), row.noise_is_measured)
    }

    #[test]
    fn more_latency_is_worse_and_more_throughput_is_better() {
        assert_eq!(judged("p99", &[10_000.0], &[12_000.0]).0, Verdict::Worse);
        assert_eq!(judged("load p99", &[10_000.0], &[8_000.0]).0, Verdict::Better);
        assert_eq!(judged("deliveries_per_s", &[10.0], &[12.0]).0, Verdict::Better);
        assert_eq!(judged("sent_per_s", &[10.0], &[12.0]).0, Verdict::Changed);
        assert_eq!(judged("lost", &[0.0], &[1.0]).0, Verdict::Worse, "from nothing, and no noise explains it");
        assert_eq!(judged("lost", &[0.0], &[0.0]).0, Verdict::Same);
    }

    #[test]
    fn what_is_within_the_noise_is_the_same() {
        assert_eq!(judged("p99", &[10_000.0], &[10_900.0]), (Verdict::Same, 10.0, false));
        assert_eq!(judged("p99", &[9_000.0, 10_000.0, 13_000.0], &[13_500.0]), (Verdict::Same, 40.0, true));
        assert_eq!(judged("p99", &[9_900.0, 10_000.0, 10_100.0], &[10_500.0, 10_500.0]).0, Verdict::Worse);
        assert_eq!(judged("p50", &[100.0], &[900.0]).0, Verdict::Same, "too short to say anything");
        assert_eq!(judged("server_cores", &[0.01], &[0.02]).0, Verdict::Same);
        assert_eq!(judged("db_busy_max", &[1.0], &[3.0]).0, Verdict::Changed, "no time");
    }

    #[test]
    fn other_scenarios_and_other_slices_are_not_compared() {
        let report = |name: &str, scale: f64| serde_json::json!({"scenario": {"name": name, "scale": scale}, "host": {"cores": scale}});
        assert!(fitting(&report("a", 1.0), &report("a", 1.0)).unwrap().is_empty());
        assert!(fitting(&report("a", 1.0), &report("b", 1.0)).unwrap_err().contains("`scenario.name` is \"b\""));
        assert!(fitting(&report("a", 1.0), &report("a", 0.1)).unwrap_err().contains("`scenario.scale`"));
    }
}
