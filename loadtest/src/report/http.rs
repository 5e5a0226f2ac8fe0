//! Holds, grades and prints what people and probes got who asked for pages, lists and health.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use super::{Generator, Server};
use crate::observe::metrics::Samples;
use crate::progress::grouped;
use crate::thresholds::Figures;

/// What the server counts of looks at dashboards: those that cost the database nothing, and those that did.
const AVOIDED: &str = "roomcast_dashboard_queries_avoided_total";
const REFRESHED: &str = "roomcast_dashboard_refreshes_total";

/// Who asked for what, and how.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Meta {
    /// The server.
    pub(crate) url: String,
    /// People who asked at the same time.
    pub(crate) users: usize,
    /// Length of the measured window.
    pub(crate) duration_s: f64,
    /// What they asked for.
    pub(crate) scenarios: Vec<String>,
    /// `open`: requests are due at a rate; `think`: a user pauses between an answer and the next request.
    pub(crate) model: &'static str,
    /// When it began, UTC.
    pub(crate) started_at: String,
}

/// What was asked for one thing came to.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Asked {
    /// Requests of the window.
    pub(crate) requests: u64,
    /// Those that failed: no answer, or one of 400 and above.
    pub(crate) errors: u64,
    /// Their part of the requests.
    pub(crate) error_rate_percent: f64,
    /// Answers per second.
    pub(crate) requests_per_second: f64,
    /// From when a request was due to its answer.
    pub(crate) latency_ms: Latency,
    /// How good that is.
    pub(crate) grades: Grades,
    /// Answers by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// The first failures.
    pub(crate) samples: Vec<String>,
}

/// Times in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Latency {
    /// Median.
    pub(crate) p50: f64,
    /// 95th percentile.
    pub(crate) p95: f64,
    /// 99th percentile.
    pub(crate) p99: f64,
    /// Arithmetic mean.
    pub(crate) mean: f64,
    /// Shortest.
    pub(crate) min: f64,
    /// Longest.
    pub(crate) max: f64,
}

/// How good a figure is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Grade {
    /// As it should be.
    #[default]
    Good,
    /// People notice.
    Warning,
    /// People go away.
    Critical,
}

/// The grades of all figures, and the worst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Grades {
    /// Median: good below 200 ms, critical above 500 ms.
    pub(crate) p50: Grade,
    /// 95th percentile: good below 1,000 ms, critical above 3,000 ms.
    pub(crate) p95: Grade,
    /// 99th percentile: good below 3,000 ms, critical above 10,000 ms.
    pub(crate) p99: Grade,
    /// Failures: good below 1 %, critical above 5 %.
    pub(crate) error_rate: Grade,
    /// The worst of these.
    pub(crate) overall: Grade,
}

/// All scenarios together.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// Requests of the window.
    pub(crate) requests: u64,
    /// Those that failed.
    pub(crate) errors: u64,
    /// Their part of the requests.
    pub(crate) error_rate_percent: f64,
    /// Answers per second.
    pub(crate) requests_per_second: f64,
    /// The worst grade of any scenario.
    pub(crate) grade: Grade,
    /// The server in the window.
    pub(crate) server: Option<Server>,
    /// This tool in the window.
    pub(crate) generator: Generator,
    /// Changes of the server's counters.
    pub(crate) server_metrics: Samples,
}

impl Grades {
    /// Grades times in milliseconds and failures in percent.
    pub(crate) fn of(latency: &Latency, error_rate_percent: f64) -> Self {
        let p50 = grade(latency.p50, 200.0, 500.0);
        let p95 = grade(latency.p95, 1_000.0, 3_000.0);
        let p99 = grade(latency.p99, 3_000.0, 10_000.0);
        let error_rate = grade(error_rate_percent, 1.0, 5.0);
        Self { p50, p95, p99, error_rate, overall: p50.max(p95).max(p99).max(error_rate) }
    }
}

/// Good is below the first limit, critical above the second.
fn grade(value: f64, good: f64, critical: f64) -> Grade {
    match value {
        value if value < good => Grade::Good,
        value if value <= critical => Grade::Warning,
        _ => Grade::Critical,
    }
}

impl Summary {
    /// The figures that conditions may name: of the worst scenario, so that none hides behind another.
    pub(super) fn add_figures(&self, scenarios: &BTreeMap<String, Asked>, figures: &mut Figures) {
        let worst = |of: fn(&Asked) -> f64| scenarios.values().map(of).fold(0.0, f64::max);
        figures.insert("answer_p50", worst(|asked| asked.latency_ms.p50) * 1e3);
        figures.insert("answer_p95", worst(|asked| asked.latency_ms.p95) * 1e3);
        figures.insert("answer_p99", worst(|asked| asked.latency_ms.p99) * 1e3);
        figures.insert("error_rate", worst(|asked| asked.error_rate_percent));
        figures.insert("errors", self.errors as f64);
        figures.insert("requests_per_s", self.requests_per_second);
        figures.insert("lag_p99", self.generator.lag_p99_us as f64);
        figures.insert("generator_cores", self.generator.cores);
        figures.insert("generator_waiting", self.generator.waiting);
        let sum = |name: &str| {
            let of = self.server_metrics.iter().filter(|(series, _)| series.starts_with(name));
            of.fold(0.0, |sum, (_, change)| sum + change)
        };
        let (avoided, asked) = (sum(AVOIDED), sum(REFRESHED));
        if scenarios.contains_key("dashboard") && avoided + asked > 0.0 {
            figures.insert("dashboard_hits", avoided / (avoided + asked));
        }
        if let Some(Server { total, .. }) = &self.server {
            figures.insert("server_cores", total.cores);
            figures.insert("server_waiting", total.waiting);
            figures.insert("rss_bytes", total.rss_bytes as f64);
        }
    }

    /// Hands the rows of the printed table to `row`.
    pub(super) fn write(
        &self,
        scenarios: &BTreeMap<String, Asked>,
        row: &mut dyn FnMut(&str, &str) -> io::Result<()>,
    ) -> io::Result<()> {
        for (name, asked) in scenarios {
            let Latency { p50, p95, p99, max, .. } = asked.latency_ms;
            let text = format!(
                "{:?}: p50 {p50:.2} ms, p95 {p95:.2} ms, p99 {p99:.2} ms, max {max:.2} ms, {:.1}/s, {} of {} failed",
                asked.grades.overall,
                asked.requests_per_second,
                grouped(asked.errors),
                grouped(asked.requests)
            );
            row(name, &text)?;
            for sample in &asked.samples {
                row("  for example", sample)?;
            }
        }
        let rate = format!("{:.1}/s, {:.2} % failed", self.requests_per_second, self.error_rate_percent);
        row("all together", &format!("{:?}: {rate}", self.grade))?;
        if let Some(server) = &self.server {
            let rss = server.total.rss_bytes as f64 / 1e6;
            row("server", &format!("{:.2} cores, {rss:.0} MB RSS", server.total.cores))?;
        }
        let text = format!("{:.2} cores, late by p99 {} µs", self.generator.cores, self.generator.lag_p99_us);
        row("generator", &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_change_at_their_limits() {
        use Grade::{Critical, Good, Warning};
        let p50 = |p50| Grades::of(&Latency { p50, ..Latency::default() }, 0.0).p50;
        assert_eq!([199.0, 200.0, 500.0, 501.0].map(p50), [Good, Warning, Warning, Critical]);
        let p95 = |p95| Grades::of(&Latency { p95, ..Latency::default() }, 0.0).p95;
        assert_eq!([999.0, 1_000.0, 3_000.0, 3_001.0].map(p95), [Good, Warning, Warning, Critical]);
        let p99 = |p99| Grades::of(&Latency { p99, ..Latency::default() }, 0.0).p99;
        assert_eq!([2_999.0, 3_000.0, 10_000.0, 10_001.0].map(p99), [Good, Warning, Warning, Critical]);
        let failed = |percent| Grades::of(&Latency::default(), percent).error_rate;
        assert_eq!([0.99, 1.0, 5.0, 5.01].map(failed), [Good, Warning, Warning, Critical]);
    }

    #[test]
    fn the_worst_grade_counts() {
        let grades = Grades::of(&Latency { p50: 1.0, p95: 1.0, p99: 20_000.0, ..Latency::default() }, 2.0);
        assert_eq!((grades.p50, grades.error_rate, grades.overall), (Grade::Good, Grade::Warning, Grade::Critical));
    }
}
