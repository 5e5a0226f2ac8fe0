//! Reads figures out of any report that this tool writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::report::SCHEMA_VERSION;
use crate::wrong::Wrong;

/// What one figure came to, each time that it was measured.
pub(crate) type Figures = BTreeMap<String, Vec<f64>>;

/// A report as JSON, of a version that this tool understands.
pub(crate) fn report(path: &Path) -> Result<Value> {
    let wrong = |what: String| Wrong::error(format!("{}: {what}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let report: Value = serde_json::from_str(&text).map_err(|error| wrong(format!("it is no JSON: {error}")))?;
    match report.get("schema_version") {
        Some(version) if *version == SCHEMA_VERSION => Ok(report),
        Some(version) => Err(wrong(format!("`schema_version` is {version}; this tool reads {SCHEMA_VERSION}"))),
        None => Err(wrong("the field `schema_version` is missing: it is no report of this tool".to_owned())),
    }
}

/// The figures of a report by name; those of a scenario's phase begin with its name, those of a server that raced others
/// with the server's.
pub(crate) fn figures(report: &Value) -> Result<Figures, String> {
    let mut figures = Figures::new();
    if let Some(phases) = report.get("phases") {
        let phases = phases.as_array().ok_or("`phases` is no list")?;
        for phase in phases {
            let name = phase.get("name").and_then(Value::as_str).ok_or("a phase has no `name`")?;
            let times = phase.get("repetitions").and_then(Value::as_array);
            for time in times.ok_or_else(|| format!("phase `{name}` has no `repetitions`"))? {
                add(&mut figures, &format!("{name} "), time)?;
            }
            if let Some(report) = phase.get("report") {
                add_http(&mut figures, &format!("{name} "), report);
            }
        }
    } else if let Some(trials) = report.get("trials") {
        add_race(&mut figures, trials)?;
    } else {
        let known = report.get("figures").ok_or("the field `figures` is missing: it is no report of a run")?;
        add(&mut figures, "", known)?;
        add_http(&mut figures, "", report);
    }
    if figures.is_empty() {
        return Err("there are no figures in it".to_owned());
    }
    Ok(figures)
}

fn add(figures: &mut Figures, prefix: &str, from: &Value) -> Result<(), String> {
    let from = from.as_object().ok_or("`figures` is no object")?;
    for (name, value) in from {
        let value = value.as_f64().ok_or_else(|| format!("`figures.{name}` is no number"))?;
        figures.entry(format!("{prefix}{name}")).or_default().push(value);
    }
    Ok(())
}

/// What each scenario of `http` came to, in microseconds as everything else.
fn add_http(figures: &mut Figures, prefix: &str, report: &Value) {
    let scenarios = report.get("results").and_then(Value::as_object).into_iter().flatten();
    for (scenario, asked) in scenarios {
        let Some(latency) = asked.get("latency_ms").and_then(Value::as_object) else { continue };
        for quantile in ["p50", "p95", "p99"] {
            if let Some(value) = latency.get(quantile).and_then(Value::as_f64) {
                figures.entry(format!("{prefix}{scenario} answer_{quantile}")).or_default().push(value * 1e3);
            }
        }
    }
}

/// Servers that raced each other: each measurement of each of them, once for each round.
fn add_race(figures: &mut Figures, trials: &Value) -> Result<(), String> {
    for trial in trials.as_array().ok_or("`trials` is no list")? {
        let text =
            |field: &str| trial.get(field).and_then(Value::as_str).ok_or_else(|| format!("a trial has no `{field}`"));
        let prefix = format!("{} {} ", text("server")?, text("measurement")?);
        // a trial that failed has none
        if let Some(known) = trial.get("figures") {
            add(figures, &prefix, known)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_come_from_runs_and_from_phases() {
        let run = json!({"figures": {"p99": 7}, "results": {"health": {"latency_ms": {"p50": 1.5}}}});
        let found = figures(&run).unwrap();
        assert_eq!(found["p99"], [7.0]);
        assert_eq!(found["health answer_p50"], [1_500.0]);
        let played = json!({"phases": [{"name": "a", "repetitions": [{"p99": 1}, {"p99": 3}], "report": {}}]});
        assert_eq!(figures(&played).unwrap()["a p99"], [1.0, 3.0]);
        let trial = |p99| json!({"server": "ours", "measurement": "load", "figures": {"p99": p99}});
        let raced = json!({"trials": [trial(5), trial(6), {"server": "x", "measurement": "idle", "error": "no"}]});
        assert_eq!(figures(&raced).unwrap()["ours load p99"], [5.0, 6.0]);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(figures(&json!({})).unwrap_err().contains("`figures`"));
        assert!(figures(&json!({"figures": {"p99": "x"}})).unwrap_err().contains("`figures.p99`"));
        assert!(figures(&json!({"phases": [{"name": "a"}]})).unwrap_err().contains("phase `a` has no `repetitions`"));
        assert!(figures(&json!({"phases": [{}]})).unwrap_err().contains("`name`"));
    }
}
