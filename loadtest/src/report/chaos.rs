//! Holds and prints what faults of a cluster meant to its clients.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use super::{Generator, Quantiles};
use crate::progress::{duration, grouped};
use crate::thresholds::Figures;

/// One thing that was done to the cluster: from the calm before it to the calm before the next one.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Step {
    /// What was done.
    pub(crate) name: String,
    /// From its beginning until everything ran again.
    pub(crate) seconds: f64,
    /// What was published, and what became of it.
    pub(crate) deliveries: Deliveries,
    /// Deliveries that had come before.
    pub(crate) duplicated: u64,
    /// Deliveries behind a later one of the same publisher.
    pub(crate) out_of_order: u64,
    /// Delivery latency from the intended time, in the calm around it too.
    pub(crate) latency: Quantiles,
    /// Connections that ended in it.
    pub(crate) closes: u64,
    /// How often that was so for whom it was most often.
    pub(crate) closes_most: u64,
    /// How often each close code came; `none` without a close frame.
    pub(crate) close_codes: BTreeMap<String, u64>,
    /// From each close to the answer of the join after it.
    pub(crate) gap: Quantiles,
    /// From its beginning until the last of them was back.
    pub(crate) back_us: u64,
    /// Those who came back to the session that they had.
    pub(crate) recovered: u64,
    /// Those who never were.
    pub(crate) not_back: u64,
    /// The HTTP requests.
    pub(crate) requests: Requests,
    /// Exit code of the node that was asked to end; absent when none was, or a signal ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<i32>,
    /// What was promised and does not hold; empty when everything does.
    pub(crate) broken: Vec<String>,
}

/// Deliveries by whether they were owed. See `account` for the exact rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Deliveries {
    /// Publishes.
    pub(crate) published: u64,
    /// Publisher and member were in the room when it was written and stayed for the grace after.
    pub(crate) owed: u64,
    /// Those of them that never came.
    pub(crate) lost: u64,
    /// One of them was closed within the grace.
    pub(crate) in_doubt: u64,
    /// Those of them that never came.
    pub(crate) in_doubt_lost: u64,
    /// Published while the member was on its way back, and not heard.
    pub(crate) missed: u64,
    /// Those of them whose member came back to its session, which keeps them.
    pub(crate) missed_recovered: u64,
}

/// HTTP requests that were due in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Requests {
    /// All of them.
    pub(crate) asked: u64,
    /// Answered 503 with a time to come again.
    pub(crate) refused: u64,
    /// Answered otherwise than with success, not answered in time, or not at all.
    pub(crate) failed: u64,
    /// Those of them that were under way when the fault struck, or that it makes impossible to answer.
    pub(crate) excused: u64,
    /// The longest that an answer took.
    pub(crate) slowest_us: u64,
}

/// All steps.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Chaos {
    /// In order.
    pub(crate) steps: Vec<Step>,
    /// Publishes that were not made, as their publisher was on its way back.
    pub(crate) unpublished: u64,
    /// Events of monitoring that were answered 202.
    pub(crate) events_taken: u64,
    /// Those of them that the store does not have.
    pub(crate) events_missing: u64,
    /// Error events and error answers.
    pub(crate) errors: u64,
    /// How often the balancer's list of nodes changed.
    pub(crate) reloads: u64,
    /// Texts of the first errors.
    pub(crate) samples: Vec<String>,
    /// This tool.
    pub(crate) generator: Generator,
}

impl Chaos {
    /// The figures that conditions may name.
    pub(super) fn add_figures(&self, figures: &mut Figures) {
        let sum = |of: fn(&Step) -> u64| self.steps.iter().map(of).sum::<u64>() as f64;
        let most = |of: fn(&Step) -> u64| self.steps.iter().map(of).max().unwrap_or(0) as f64;
        for (name, value) in [
            ("broken_promises", sum(|step| step.broken.len() as u64)),
            ("lost", sum(|step| step.deliveries.lost)),
            ("missed", sum(|step| step.deliveries.missed)),
            ("recovered", sum(|step| step.recovered)),
            ("in_doubt_lost", sum(|step| step.deliveries.in_doubt_lost)),
            ("duplicated", sum(|step| step.duplicated)),
            ("out_of_order", sum(|step| step.out_of_order)),
            ("failed_requests", sum(|step| step.requests.failed)),
            ("refused_requests", sum(|step| step.requests.refused)),
            ("gap_p99", most(|step| step.gap.p99_us)),
            ("gap_max", most(|step| step.gap.max_us)),
            ("closes_each", most(|step| step.closes_most)),
            ("not_back", sum(|step| step.not_back)),
            ("events_missing", self.events_missing as f64),
            ("p99", most(|step| step.latency.p99_us)),
            ("errors", self.errors as f64),
            ("generator_cores", self.generator.cores),
        ] {
            figures.insert(name, value);
        }
    }

    /// Writes the table: some lines for each step.
    pub(super) fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        for step in &self.steps {
            step.write(out)?;
        }
        let events = format!("{} taken, {} missing in the store", grouped(self.events_taken), self.events_missing);
        writeln!(out, "events of monitoring: {events}")?;
        writeln!(
            out,
            "publishes not made as their client was on its way back {}, errors {}, changes of the balancer's list {}",
            self.unpublished, self.errors, self.reloads
        )?;
        for sample in &self.samples {
            writeln!(out, "  heard: {sample}")?;
        }
        let waits = self.generator.waiting * 100.0;
        writeln!(out, "generator: {:.2} cores, waited for a processor {waits:.0} % of the time", self.generator.cores)
    }
}

impl Step {
    /// The step in a few lines.
    pub(crate) fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        let time = |micros: u64| duration(micros as f64);
        let verdict =
            if self.broken.is_empty() { "ok".to_owned() } else { format!("BROKEN: {}", self.broken.join("; ")) };
        writeln!(out, "{}, {:.1} s: {verdict}", self.name, self.seconds)?;
        let Deliveries { published, owed, lost, in_doubt, in_doubt_lost, missed, missed_recovered } = self.deliveries;
        writeln!(
            out,
            "    lost {lost} of {} ({} publishes), twice {}, disordered {}; right before a close {in_doubt_lost} of {in_doubt} did not \
             come; missed on the way back {missed}; latency p99 {}, max {}",
            grouped(owed),
            grouped(published),
            self.duplicated,
            self.out_of_order,
            time(self.latency.p99_us),
            time(self.latency.max_us),
        )?;
        let codes: Vec<_> =
            self.close_codes.iter().map(|(code, count)| format!("{code} × {}", grouped(*count))).collect();
        if self.closes > 0 {
            writeln!(
                out,
                "    closed {} ({}), at most {} each; gap p50 {}, p99 {}, max {}; last back after {}, not back {}; {} back in their sessions, who missed {missed_recovered}",
                grouped(self.closes),
                codes.join(", "),
                self.closes_most,
                time(self.gap.p50_us),
                time(self.gap.p99_us),
                time(self.gap.max_us),
                time(self.back_us),
                self.not_back,
                grouped(self.recovered),
            )?;
        }
        let Requests { asked, refused, failed, excused, slowest_us } = self.requests;
        writeln!(
            out,
            "    requests: {failed} of {} failed ({excused} could not be answered), {refused} refused, slowest {}",
            grouped(asked),
            time(slowest_us)
        )
    }
}
