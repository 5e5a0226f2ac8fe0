//! Prints a run's result as a table of two columns.

use std::io::{self, Write};

use super::server::Cost;
use super::{Connecting, Idle, Load, Quantiles, Ramp, Report};
use crate::fleet::tally::Visits;
use crate::progress::{duration, grouped};

/// Width of the first column.
const NAMES: usize = 26;
/// How many changed server counters are printed; the JSON report has all.
const MAX_METRICS: usize = 12;

/// Writes the table.
pub(crate) fn write(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let results = &report.results;
    if let Some(connecting) = &results.connecting {
        write_connecting(out, connecting)?;
    }
    if let Some(ramp) = &results.ramp {
        write_ramp(out, ramp)?;
    }
    if let Some(avalanche) = &results.avalanche {
        avalanche.write(&mut |name, value| row(out, name, value))?;
    }
    if let Some(load) = &results.load {
        write_load(out, load)?;
    }
    if let Some(idle) = &results.idle {
        write_idle(out, idle)?;
    }
    if let Some(drain) = &results.drain {
        drain.write(&mut |name, value| row(out, name, value))?;
    }
    if let Some(troubles) = &results.troubles {
        troubles.write(out)?;
    }
    if let Some(scaling) = &results.scaling {
        scaling.write(&mut |name, value| row(out, name, value))?;
    }
    if let Some(chaos) = &results.chaos {
        chaos.write(out)?;
    }
    if let Some(incidents) = &results.incidents {
        incidents.write(&mut |name, value| row(out, name, value))?;
    }
    if let Some(summary) = &results.http_summary {
        summary.write(&results.http, &mut |name, value| row(out, name, value))?;
    }
    let host = &report.host;
    let machine = format!("{} × {}, {}", host.cores, host.cpu, host.kernel);
    row(out, "machine", &machine)?;
    let load = format!("{} → {}", host.load_before, host.load_after);
    row(out, "load average", &load)?;
    if report.interrupted {
        row(out, "interrupted", "the run was ended before its time")?;
    }
    for warning in &report.warnings {
        row(out, "warning", warning)?;
    }
    for verdict in &report.thresholds {
        // small figures, such as cores, have their digits behind the point
        let shown = |value: f64| if value.abs() < 10.0 { format!("{value:.3}") } else { format!("{value:.1}") };
        let value = verdict.value.map_or("not measured".to_owned(), shown);
        let word = if verdict.failed { "FAILED" } else { "ok" };
        row(out, "threshold", &format!("{} ({value}): {word}", verdict.fail_if))?;
    }
    Ok(())
}

fn row(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "{name:<NAMES$}  {value}")
}

fn write_connecting(out: &mut impl Write, connecting: &Connecting) -> io::Result<()> {
    let mut text = format!(
        "{} in {:.2} s, {}/s",
        grouped(connecting.users),
        connecting.seconds,
        grouped(connecting.connects_per_s as u64)
    );
    if let Some(cpu) = connecting.server_cpu_us_per_connect {
        text += &format!(", server CPU {cpu:.1} µs each");
    }
    row(out, "connected and joined", &text)
}

fn write_load(out: &mut impl Write, load: &Load) -> io::Result<()> {
    let counts = &load.counts;
    let rate = format!(
        "{} asked, {} arrived, over {:.1} s",
        grouped(load.intended_per_s.round() as u64),
        grouped(load.deliveries_per_s.round() as u64),
        load.seconds
    );
    row(out, "deliveries/s", &rate)?;
    let latency = &load.latency;
    for (name, value) in [
        ("latency p50", latency.p50_us),
        ("        p90", latency.p90_us),
        ("        p99", latency.p99_us),
        ("        p99.9", latency.p999_us),
        ("        max", latency.max_us),
    ] {
        row(out, name, &duration(value as f64))?;
    }
    for (name, latency) in [("  within a node", load.same_node), ("  across nodes", load.cross_node)] {
        if let Some(latency) = latency {
            row(out, name, &quantiles(&latency))?;
        }
    }
    if let Some(spread) = &load.spread {
        let text = format!("p50 {}, p99 {}", duration(spread.p50_us as f64), duration(spread.p99_us as f64));
        row(out, "first → last recipient", &text)?;
    }
    let integrity = format!(
        "{} / {} / {} of {} (wrong room {}, foreign {})",
        load.lost,
        counts.duplicated,
        counts.out_of_order,
        grouped(counts.expected),
        counts.wrong_room,
        counts.foreign
    );
    row(out, "lost / twice / disordered", &integrity)?;
    if let Some(flood) = &load.flood {
        let text = format!(
            "{} deliveries/s to {} members ({} publishes, {} lost, {} under way at the end), latency p50 {}",
            grouped(flood.deliveries_per_s.round() as u64),
            flood.members,
            grouped(flood.published),
            flood.lost,
            grouped(flood.pending),
            duration(flood.latency.p50_us as f64)
        );
        row(out, "flooded room", &text)?;
    }
    if let Some(visits) = &load.visits {
        write_visits(out, visits)?;
    }
    let failures =
        format!("{} errors, {} closed, {} unsent, {} acks", counts.errors, counts.closed, counts.unsent, counts.acks);
    row(out, "failures", &failures)?;
    for sample in &load.error_samples {
        row(out, "  for example", sample)?;
    }
    write_costs(out, load)
}

fn write_visits(out: &mut impl Write, visits: &Visits) -> io::Result<()> {
    let text = format!(
        "{} begun, {} got into their rooms; {} left with goodbye, {} without, {} in their handshake; {} failed",
        grouped(visits.begun),
        grouped(visits.joined),
        grouped(visits.said_goodbye),
        grouped(visits.cut),
        grouped(visits.broken_off),
        grouped(visits.failures.total())
    );
    row(out, "visits", &text)?;
    for (kind, count) in visits.failures.kinds().take(MAX_METRICS) {
        row(out, "  failed", &format!("{} × {kind}", grouped(count)))?;
    }
    let text = format!("{} of {} between the first and the last of a visit", visits.lost, grouped(visits.deliveries));
    row(out, "  lost", &text)
}

fn quantiles(times: &Quantiles) -> String {
    format!(
        "p50 {}, p95 {}, p99 {}, max {}, of {} deliveries",
        duration(times.p50_us as f64),
        duration(times.p95_us as f64),
        duration(times.p99_us as f64),
        duration(times.max_us as f64),
        grouped(times.count)
    )
}

fn write_costs(out: &mut impl Write, load: &Load) -> io::Result<()> {
    if let Some(server) = &load.server {
        let costs = |cost: &Cost| {
            format!(
                "{:.2} cores, {:.2} µs per delivery, waited for a processor {:.0} % of the time",
                cost.cores,
                cost.cpu_us_per_delivery,
                cost.waiting * 100.0
            )
        };
        if let [only] = &server.processes[..] {
            row(out, &format!("server (pid {})", only.pid), &costs(&only.cost))?;
        } else {
            row(out, "servers together", &costs(&server.total))?;
            for process in &server.processes {
                row(out, &format!("  {} (pid {})", process.name, process.pid), &costs(&process.cost))?;
            }
        }
        let rss = server.total.rss_bytes as f64 / 1e6;
        let anonymous = server.total.rss_anon_bytes as f64 / 1e6;
        row(out, "server memory", &format!("{rss:.1} MB RSS ({anonymous:.1} MB anonymous)"))?;
    }
    let generator = format!(
        "{:.2} cores, waited for a processor {:.0} % of the time, sends late by p99 {}",
        load.generator.cores,
        load.generator.waiting * 100.0,
        duration(load.generator.lag_p99_us as f64)
    );
    row(out, "generator", &generator)?;
    for (name, change) in load.server_metrics.iter().take(MAX_METRICS) {
        row(out, "server counter", &format!("{name} +{change}"))?;
    }
    Ok(())
}

fn write_idle(out: &mut impl Write, idle: &Idle) -> io::Result<()> {
    if let (Some(rss), Some(anon)) = (idle.rss_bytes_per_session, idle.rss_anon_bytes_per_session) {
        let text = format!("{rss:.0} bytes RSS ({anon:.0} anonymous)");
        row(out, "memory per session", &text)?;
    }
    if let Some(cores) = idle.server_cores {
        let text = format!("{:.2} % of a core over {:.1} s", cores * 100.0, idle.seconds);
        row(out, "server CPU while idle", &text)?;
    }
    let mut text = grouped(idle.heartbeats);
    if let Some(cpu) = idle.cpu_us_per_heartbeat {
        text += &format!(", server CPU {cpu:.1} µs each");
    }
    row(out, "heartbeats", &text)?;
    let text = format!("{} closed, {} errors", idle.closed, idle.errors);
    row(out, "failures", &text)?;
    row(out, "generator", &format!("{:.2} cores", idle.generator_cores))
}

fn write_ramp(out: &mut impl Write, ramp: &Ramp) -> io::Result<()> {
    for step in &ramp.steps {
        let text = format!(
            "{:>10} arrived, p99 {:>9}, generator {:.2} cores: {}",
            grouped(step.deliveries_per_s as u64),
            duration(step.p99_us as f64),
            step.generator_cores,
            step.failed.as_deref().unwrap_or("good")
        );
        let name = format!("step {:>12}/s", grouped(step.intended_per_s as u64));
        row(out, &name, &text)?;
    }
    let best = grouped(ramp.max_deliveries_per_s as u64);
    let bound = if ramp.generator_bound { " (lower bound)" } else { "" };
    row(out, "sustained deliveries/s", &format!("{best}{bound}"))
}
