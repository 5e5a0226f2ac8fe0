//! Holds and prints what became of a cluster's deliveries while its Redis was in trouble.

use std::io;

use serde::Serialize;

use super::Quantiles;
use crate::progress::{duration, grouped};
use crate::thresholds::Figures;

/// What may be under way when Redis stops, beside a hundredth of what is given up.
const FEW: u64 = 10;

/// One trouble: from the calm before it to the calm before the next one.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Trouble {
    /// What was done to Redis.
    pub(crate) name: String,
    /// Whether it was short enough for nothing to be lost.
    pub(crate) must_keep_all: bool,
    /// From its beginning until Redis answered again.
    pub(crate) away_us: u64,
    /// Publishes that were due in it.
    pub(crate) published: u64,
    /// Those that did not come to the member on the other node.
    pub(crate) lost: u64,
    /// What the nodes say that they have given up.
    pub(crate) given_up: u64,
    /// Deliveries that had come before.
    pub(crate) duplicated: u64,
    /// Deliveries behind a later one of the same publisher.
    pub(crate) out_of_order: u64,
    /// Latency within each node, during it and in the calm around it.
    pub(crate) local: [Quantiles; 2],
    /// From Redis's answer to the first delivery from the other node, on each node; absent when none came.
    pub(crate) back_us: [Option<u64>; 2],
    /// From Redis's answer until nothing came late any more.
    pub(crate) caught_up_us: u64,
    /// The longest that a delivery took between nodes.
    pub(crate) longest_us: u64,
}

/// All troubles.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Troubles {
    /// One after the other.
    pub(crate) rows: Vec<Trouble>,
    /// Deliveries within a node that did not come.
    pub(crate) lost_locally: u64,
    /// Connections of clients that ended.
    pub(crate) closed: u64,
    /// Error events: publishers are told of what is given up at once.
    pub(crate) errors: u64,
    /// Publishes that could not be written.
    pub(crate) unsent: u64,
    /// This tool's CPU, as a number of cores.
    pub(crate) generator_cores: f64,
    /// How late publishes were handed to the socket, 99th percentile.
    pub(crate) lag_p99_us: u64,
}

impl Trouble {
    /// Until both directions were back; absent when one was not.
    fn back(&self) -> Option<u64> {
        let [first, second] = self.back_us;
        Some(first?.max(second?))
    }

    fn local_of(&self, quantile: fn(&Quantiles) -> u64) -> u64 {
        self.local.iter().map(quantile).max().unwrap_or(0)
    }

    /// Losses that nobody has counted, and what is counted although it came. What Redis had been handed when it stopped is
    /// among the latter, as nobody hears what becomes of it: a hundredth, and a few.
    fn unaccounted(&self) -> u64 {
        let in_doubt = if self.must_keep_all { 0 } else { FEW + self.given_up / 100 };
        let counted_in_vain = self.given_up.saturating_sub(self.lost);
        self.lost.saturating_sub(self.given_up) + counted_in_vain.saturating_sub(in_doubt)
    }
}

impl Troubles {
    /// The figures that conditions may name.
    pub(super) fn add_figures(&self, figures: &mut Figures) {
        let sum = |of: fn(&Trouble) -> u64| self.rows.iter().map(of).sum::<u64>();
        let most = |of: fn(&Trouble) -> u64| self.rows.iter().map(of).max().unwrap_or(0);
        let lost = sum(|row| if row.must_keep_all { row.lost } else { 0 });
        for (name, value) in [
            ("lost", lost + self.lost_locally),
            ("unaccounted", sum(Trouble::unaccounted)),
            ("duplicated", sum(|row| row.duplicated)),
            ("out_of_order", sum(|row| row.out_of_order)),
            ("same_node_p99", most(|row| row.local_of(|local| local.p99_us))),
            ("same_node_max", most(|row| row.local_of(|local| local.max_us))),
            ("caught_up_max", most(|row| row.caught_up_us)),
            ("closed", self.closed),
            // whoever publishes what cannot be held is told so
            ("errors", self.errors.saturating_sub(sum(|row| row.given_up))),
            ("unsent", self.unsent),
            ("lag_p99", self.lag_p99_us),
        ] {
            figures.insert(name, value as f64);
        }
        // one that never came back is not measured, and so fails its condition
        let back: Option<Vec<_>> = self.rows.iter().map(Trouble::back).collect();
        if let Some(back) = back {
            figures.insert("back_max", back.into_iter().max().unwrap_or(0) as f64);
        }
        figures.insert("generator_cores", self.generator_cores);
    }

    /// Writes the table: a line for each trouble.
    pub(super) fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        let heads = ["trouble", "away", "back", "caught up", "local p99", "max", "between: max", "published", "lost"];
        let [name, away, back, caught, p99, max, cross, published, lost] = heads;
        writeln!(
            out,
            "{name:<26}  {away:>8} {back:>8} {caught:>9}  {p99:>9} {max:>8}  {cross:>12}  {published:>9} {lost:>6}  \
             given up  twice / disordered"
        )?;
        for row in &self.rows {
            let time = |micros: u64| duration(micros as f64);
            writeln!(
                out,
                "{:<26}  {:>8} {:>8} {:>9}  {:>9} {:>8}  {:>12}  {:>9} {:>6}  {:>8}  {} / {}",
                row.name,
                time(row.away_us),
                row.back().map_or_else(|| "never".to_owned(), time),
                time(row.caught_up_us),
                time(row.local_of(|local| local.p99_us)),
                time(row.local_of(|local| local.max_us)),
                time(row.longest_us),
                grouped(row.published),
                grouped(row.lost),
                grouped(row.given_up),
                row.duplicated,
                row.out_of_order,
            )?;
        }
        let rest = format!(
            "lost within a node {}, closed {}, refused with an error {}, not written {}",
            self.lost_locally, self.closed, self.errors, self.unsent
        );
        writeln!(out, "{rest}")?;
        writeln!(
            out,
            "generator: {:.2} cores, publishes late by {} (p99)",
            self.generator_cores,
            duration(self.lag_p99_us as f64)
        )
    }
}
