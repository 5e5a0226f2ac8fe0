//! Holds and prints what it took until all clients were back after they had been cut off.

use std::io;

use serde::Serialize;

use super::Quantiles;
use crate::fleet::failures::Failures;
use crate::progress::{duration, grouped};
use crate::thresholds::Figures;

/// Kinds of failures that are printed; the JSON report has all.
const MAX_PRINTED: usize = 12;

/// All clients cut off at once, and their comeback. Times count from the cut.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Avalanche {
    /// Clients that were in their rooms and were cut off.
    pub(crate) users: u64,
    /// Those that were back in their rooms at the end.
    pub(crate) back: u64,
    /// From the cut until each of these was back.
    pub(crate) back_after: Quantiles,
    /// Failed attempts and, once back, closed connections, by kind.
    pub(crate) failures: Failures,
    /// Clients whose connection ended once more after they were back.
    pub(crate) closed_again: u64,
    /// Server CPU time per client from the cut until all were back: the ends and the comebacks.
    pub(crate) server_cpu_us_per_client: Option<f64>,
    /// This tool's CPU over the same time, as a number of cores.
    pub(crate) generator_cores: f64,
}

impl Avalanche {
    /// The figures that conditions may name.
    pub(super) fn add_figures(&self, figures: &mut Figures) {
        let back = &self.back_after;
        for (name, value) in [
            ("not_back", self.users - self.back),
            ("back_p50", back.p50_us),
            ("back_p95", back.p95_us),
            ("back_p99", back.p99_us),
            ("back_max", back.max_us),
            ("retries", self.failures.total()),
            ("closed_again", self.closed_again),
        ] {
            figures.insert(name, value as f64);
        }
        figures.insert("generator_cores", self.generator_cores);
    }

    /// Hands the rows of the printed table to `row`.
    pub(super) fn write(&self, row: &mut dyn FnMut(&str, &str) -> io::Result<()>) -> io::Result<()> {
        row("back in their rooms", &format!("{} of {}", grouped(self.back), grouped(self.users)))?;
        let back = &self.back_after;
        for (name, value) in [
            ("  after the cut: 50 %", back.p50_us),
            ("                 95 %", back.p95_us),
            ("                 99 %", back.p99_us),
            ("                100 %", back.max_us),
        ] {
            let of = if self.back < self.users { " (of those who are back)" } else { "" };
            row(name, &format!("{}{of}", duration(value as f64)))?;
        }
        let retries = grouped(self.failures.total());
        row("failed attempts", &format!("{retries}, {} of them closed once back", self.closed_again))?;
        for (kind, count) in self.failures.kinds().take(MAX_PRINTED) {
            row("", &format!("{} × {kind}", grouped(count)))?;
        }
        if let Some(cpu) = self.server_cpu_us_per_client {
            row("server CPU", &format!("{cpu:.1} µs per client, its end and its comeback"))?;
        }
        row("generator", &format!("{:.2} cores until all were back", self.generator_cores))
    }
}
