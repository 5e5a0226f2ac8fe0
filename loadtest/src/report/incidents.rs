//! Holds and prints what became of incidents: who was told, and what is kept.

use std::io;

use serde::Serialize;

use super::{Generator, Quantiles, Server};
use crate::observe::metrics::Samples;
use crate::progress::{duration, grouped};
use crate::thresholds::Figures;

/// How many changed server counters are printed; the JSON report has all.
const MAX_METRICS: usize = 16;
/// Counters that say what the database was asked.
const DATABASE: &str = "roomcast_db_";

/// Everything about incidents; a scenario fills the parts it has.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Incidents {
    /// Length of the measured window.
    pub(crate) seconds: f64,
    /// Requests, if any were made.
    pub(crate) requests: Requests,
    /// What was heard in rooms.
    pub(crate) heard: Heard,
    /// What the API says is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<Kept>,
    /// What the database's absence came to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) outage: Option<Outage>,
    /// How old was what clients heard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) freshness: Option<Freshness>,
    /// Statements and connections of the database, as the server counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<Database>,
    /// The server in the window.
    pub(crate) server: Option<Server>,
    /// This tool in the window.
    pub(crate) generator: Generator,
    /// Changes of the server's counters.
    pub(crate) server_metrics: Samples,
}

/// Requests and their answers.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Requests {
    /// Requests that were due in the window, per second.
    pub(crate) asked_per_s: f64,
    /// Those of them that were answered as wished, per second.
    pub(crate) taken_per_s: f64,
    /// Requests sent, the warm-up included.
    pub(crate) sent: u64,
    /// Answered as wished.
    pub(crate) taken: u64,
    /// Answered 503 with `Retry-After`.
    pub(crate) refused: u64,
    /// Answered in any other way, or not at all as the connection ended.
    pub(crate) errors: u64,
    /// Not answered when the wait was over.
    pub(crate) unanswered: u64,
    /// From the time at which a request was due to its answer.
    pub(crate) latency: Quantiles,
    /// Texts of the first errors.
    pub(crate) samples: Vec<String>,
}

/// What was heard.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Heard {
    /// Members who listened.
    pub(crate) ears: u64,
    /// Their connections that ended.
    pub(crate) closed: u64,
    /// Events of this run that they heard.
    pub(crate) events: u64,
    /// Events that were taken and that a member did not hear.
    pub(crate) missing: u64,
    /// Events that a member had heard before.
    pub(crate) twice: u64,
    /// Numbers that a member missed between two of an incident.
    pub(crate) gaps: u64,
    /// From the time at which a request was due to each member who heard what followed.
    pub(crate) latency: Quantiles,
}

/// What is kept of a run's incidents.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Kept {
    /// Incidents of this run.
    pub(crate) incidents: u64,
    /// How often they happened, together.
    pub(crate) triggers: u64,
    /// Events that were taken and are not counted in any incident.
    pub(crate) missing: u64,
    /// Events that are counted and were neither taken nor in doubt.
    pub(crate) surplus: u64,
    /// Timelines that were read.
    pub(crate) timelines: u64,
    /// Events in them.
    pub(crate) events: u64,
    /// Numbers that are missing in them, or are there twice.
    pub(crate) gaps: u64,
    /// Incidents of which a member did not hear the newest event.
    pub(crate) unheard: u64,
}

/// The database was away.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Outage {
    /// For how long.
    pub(crate) away_us: u64,
    /// The longest that a request waited for its answer, whatever that was.
    pub(crate) longest_answer_us: u64,
    /// From its return to the first event that was taken; absent when none was.
    pub(crate) taken_again_us: Option<u64>,
    /// From its return until events were taken and heard again.
    pub(crate) recovered_us: Option<u64>,
}

/// How old was what clients heard, from the time that stands in it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Freshness {
    /// Events of incidents: from `at`.
    pub(crate) events: Quantiles,
    /// Events that were not in a snapshot in time.
    pub(crate) stale: u64,
    /// Snapshots that were heard.
    pub(crate) snapshots: u64,
    /// From `at` of an event to the first snapshot that is newer.
    pub(crate) dashboard: Quantiles,
}

/// The database in the window, as the server sees it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Database {
    /// Operations per second.
    pub(crate) operations_per_s: f64,
    /// Most connections that were busy at once, of those times at which this was looked at.
    pub(crate) busy_max: f64,
    /// How often this was looked at.
    pub(crate) looks: u64,
    /// Transactions that were tried again.
    pub(crate) retries: f64,
}

impl Incidents {
    /// The figures that conditions may name.
    pub(super) fn add_figures(&self, figures: &mut Figures) {
        let (requests, heard) = (&self.requests, &self.heard);
        let kept = self.kept.clone().unwrap_or_default();
        // a clean refusal is an error unless the database was taken away
        let refused = if self.outage.is_some() { 0 } else { requests.refused };
        for (name, value) in [
            ("lost", heard.missing + heard.gaps + kept.missing + kept.unheard),
            ("gaps", heard.gaps + kept.gaps),
            ("surplus", kept.surplus),
            ("duplicated", heard.twice),
            ("errors", requests.errors + refused),
            ("unanswered", requests.unanswered),
            ("closed", heard.closed),
            ("lag_p99", self.generator.lag_p99_us),
        ] {
            figures.insert(name, value as f64);
        }
        if requests.sent > 0 {
            figures.insert("answer_p50", requests.latency.p50_us as f64);
            figures.insert("answer_p95", requests.latency.p95_us as f64);
            figures.insert("answer_p99", requests.latency.p99_us as f64);
            figures.insert("taken_per_s", requests.taken_per_s);
        }
        if heard.latency.count > 0 {
            figures.insert("p50", heard.latency.p50_us as f64);
            figures.insert("p75", heard.latency.p75_us as f64);
            figures.insert("p90", heard.latency.p90_us as f64);
            figures.insert("p95", heard.latency.p95_us as f64);
            figures.insert("p99", heard.latency.p99_us as f64);
            figures.insert("p999", heard.latency.p999_us as f64);
            figures.insert("max", heard.latency.max_us as f64);
            figures.insert("mean", heard.latency.mean_us);
        }
        if self.kept.is_some() {
            figures.insert("incidents", kept.incidents as f64);
        }
        super::add_counters(figures, &self.server_metrics, self.seconds);
        if let Some(recovered) = self.outage.and_then(|outage| outage.recovered_us) {
            figures.insert("recovery", recovered as f64);
        }
        if let Some(freshness) = &self.freshness {
            figures.insert("event_age_p99", freshness.events.p99_us as f64);
            figures.insert("stale", freshness.stale as f64);
            if freshness.dashboard.count > 0 {
                figures.insert("dashboard_age_p99", freshness.dashboard.p99_us as f64);
            }
        }
        if let Some(database) = &self.database {
            figures.insert("db_operations_per_s", database.operations_per_s);
            figures.insert("db_busy_max", database.busy_max);
            figures.insert("db_retries", database.retries);
        }
        figures.insert("generator_cores", self.generator.cores);
        figures.insert("generator_waiting", self.generator.waiting);
        if let Some(Server { total, .. }) = &self.server {
            figures.insert("server_cores", total.cores);
            figures.insert("server_waiting", total.waiting);
            figures.insert("rss_bytes", total.rss_bytes as f64);
        }
    }

    /// Hands the rows of the printed table to `row`.
    pub(super) fn write(&self, row: &mut dyn FnMut(&str, &str) -> io::Result<()>) -> io::Result<()> {
        if self.requests.sent > 0 {
            self.requests.write(row)?;
        }
        self.heard.write(row)?;
        if let Some(kept) = &self.kept {
            row(
                "kept",
                &format!(
                    "{} incidents that happened {} times; missing {}, surplus {}, newest event unheard {}",
                    grouped(kept.incidents),
                    grouped(kept.triggers),
                    kept.missing,
                    kept.surplus,
                    kept.unheard
                ),
            )?;
            let text = format!("{} with {} events, gaps {}", grouped(kept.timelines), grouped(kept.events), kept.gaps);
            row("  timelines", &text)?;
        }
        if let Some(outage) = &self.outage {
            outage.write(row)?;
        }
        if let Some(freshness) = &self.freshness {
            row("age of events", &quantiles(&freshness.events))?;
            if freshness.snapshots > 0 {
                row("until in a snapshot", &quantiles(&freshness.dashboard))?;
            }
            let text = format!("{}, events that were in none {}", grouped(freshness.snapshots), freshness.stale);
            row("  snapshots", &text)?;
        }
        self.write_costs(row)
    }

    fn write_costs(&self, row: &mut dyn FnMut(&str, &str) -> io::Result<()>) -> io::Result<()> {
        if let Some(database) = &self.database {
            let text = format!(
                "{:.1} operations/s, at most {} connections busy (looked at {} times), {} tried again",
                database.operations_per_s, database.busy_max, database.looks, database.retries
            );
            row("database", &text)?;
        }
        if let Some(server) = &self.server {
            for process in &server.processes {
                let (cores, waiting) = (process.cost.cores, process.cost.waiting * 100.0);
                let rss = process.cost.rss_bytes as f64 / 1e6;
                let text =
                    format!("{cores:.2} cores, {rss:.0} MB RSS, waited for a processor {waiting:.0} % of the time");
                row(&format!("{} (pid {})", process.name, process.pid), &text)?;
            }
        }
        let text = format!(
            "{:.2} cores, waited for a processor {:.0} % of the time, late by p99 {}",
            self.generator.cores,
            self.generator.waiting * 100.0,
            duration(self.generator.lag_p99_us as f64)
        );
        row("generator", &text)?;
        let database =
            self.server_metrics.iter().filter(|(name, _)| name.starts_with(DATABASE) && !name.contains("_bucket"));
        for (name, change) in database.take(MAX_METRICS) {
            row("server counter", &format!("{name} +{change}"))?;
        }
        Ok(())
    }
}

impl Requests {
    fn write(&self, row: &mut dyn FnMut(&str, &str) -> io::Result<()>) -> io::Result<()> {
        row("requests/s", &format!("{:.1} asked, {:.1} taken", self.asked_per_s, self.taken_per_s))?;
        row(
            "requests",
            &format!(
                "{} sent, {} taken, {} refused with Retry-After, {} errors, {} unanswered",
                grouped(self.sent),
                grouped(self.taken),
                grouped(self.refused),
                self.errors,
                self.unanswered
            ),
        )?;
        for sample in &self.samples {
            row("  for example", sample)?;
        }
        row("due → answer", &quantiles(&self.latency))
    }
}

impl Heard {
    fn write(&self, row: &mut dyn FnMut(&str, &str) -> io::Result<()>) -> io::Result<()> {
        if self.latency.count > 0 {
            row("due → member's socket", &quantiles(&self.latency))?;
        }
        let text = format!(
            "{} events by {} members; missing {}, twice {}, gaps {}, closed {}",
            grouped(self.events),
            self.ears,
            self.missing,
            self.twice,
            self.gaps,
            self.closed
        );
        row("heard", &text)
    }
}

impl Outage {
    fn write(&self, row: &mut dyn FnMut(&str, &str) -> io::Result<()>) -> io::Result<()> {
        let since = |micros: Option<u64>| micros.map_or_else(|| "never".to_owned(), |micros| duration(micros as f64));
        let text = format!(
            "away for {}, events taken again after {}, heard again after {}; longest answer {}",
            duration(self.away_us as f64),
            since(self.taken_again_us),
            since(self.recovered_us),
            duration(self.longest_answer_us as f64)
        );
        row("outage", &text)
    }
}

fn quantiles(times: &Quantiles) -> String {
    format!(
        "p50 {}, p95 {}, p99 {}, max {}, of {}",
        duration(times.p50_us as f64),
        duration(times.p95_us as f64),
        duration(times.p99_us as f64),
        duration(times.max_us as f64),
        grouped(times.count)
    )
}
