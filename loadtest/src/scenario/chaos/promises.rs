//! What clients may rely on in each fault.

use crate::cli::chaos::{ClusterOptions, FaultTimes};
use crate::report::chaos::Step;

/// Requests that need not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excuse {
    /// All succeed.
    None,
    /// Those that were under way when the fault struck may fail.
    UnderWay,
    /// Until everything runs again all may fail.
    Everything,
    /// Any may be answered 503 with a time to come again.
    Refusals,
}

/// How soon clients whose connection ended are back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Back {
    /// 99 of 100 within --gap-within of their close.
    Gap,
    /// All within --back-within of the fault's beginning.
    Soon,
}

/// What holds in a step, besides that nothing is lost, comes twice or in another order, and that everybody comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    /// Most times that a client is closed.
    pub(crate) closes_each: u64,
    /// How soon it is back.
    pub(crate) back: Back,
    /// Requests that need not succeed.
    pub(crate) excuse: Excuse,
}

impl Promise {
    /// Nobody is closed, and every request succeeds.
    pub(crate) const UNNOTICED: Self = Self { closes_each: 0, back: Back::Gap, excuse: Excuse::None };

    /// Adds to a step what does not hold in it.
    pub(crate) fn judge(&self, step: &mut Step, options: &ClusterOptions, times: &FaultTimes) {
        let mut broken = std::mem::take(&mut step.broken);
        let mut none = |count: u64, what: &str| {
            if count > 0 {
                broken.push(format!("{count} {what}"));
            }
        };
        none(step.deliveries.lost, "deliveries lost");
        none(step.deliveries.missed_recovered, "deliveries missed in sessions that went on");
        none(step.duplicated, "deliveries twice");
        none(step.out_of_order, "deliveries out of order");
        none(step.not_back, "clients not back");
        none(step.requests.failed - step.requests.excused, "requests failed");
        if self.excuse != Excuse::Refusals {
            none(step.requests.refused, "requests refused");
        }
        if step.closes_most > self.closes_each {
            broken.push(format!("a client was closed {} times, not {}", step.closes_most, self.closes_each));
        }
        if let Some(code) = step.exit_code.filter(|code| *code != 0) {
            broken.push(format!("the node ended with {code}"));
        }
        let (is, limit, what) = match self.back {
            Back::Gap => (step.gap.p99_us, options.gap_within, "gap p99"),
            Back::Soon => (step.back_us, times.back_within, "the last one back after"),
        };
        if is as f64 > limit * 1e6 {
            broken.push(format!("{what} {:.2} s, not {limit} s", is as f64 / 1e6));
        }
        step.broken = broken;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::report::Quantiles;
    use crate::report::chaos::{Deliveries, Requests};

    const RESTART: Promise = Promise { closes_each: 1, back: Back::Gap, excuse: Excuse::None };

    fn broken(promise: Promise, mut step: Step) -> Vec<String> {
        let Command::Chaos(command) = Cli::parse_from(["x", "chaos"]).command else { panic!("not chaos") };
        promise.judge(&mut step, &command.cluster, &command.times);
        step.broken
    }

    #[test]
    fn a_restart_that_everybody_came_through_breaks_nothing() {
        let gap = Quantiles { count: 9, p99_us: 1_900_000, ..Quantiles::default() };
        let deliveries = Deliveries {
            owed: 9,
            in_doubt: 3,
            in_doubt_lost: 1,
            missed: 5,
            missed_recovered: 0,
            ..Deliveries::default()
        };
        let step = Step { gap, deliveries, closes: 9, closes_most: 1, exit_code: Some(0), ..Step::default() };
        assert_eq!(broken(RESTART, step), Vec::<String>::new());
    }

    #[test]
    fn each_promise_can_be_broken() {
        let lost = Deliveries { lost: 1, ..Deliveries::default() };
        let failed = |failed, excused, refused| Requests { failed, excused, refused, ..Requests::default() };
        let slow = Quantiles { p99_us: 2_100_000, ..Quantiles::default() };
        let step = Step::default;
        for (text, broken_step) in [
            ("deliveries lost", Step { deliveries: lost, ..step() }),
            (
                "sessions that went on",
                Step { deliveries: Deliveries { missed_recovered: 1, ..step().deliveries }, ..step() },
            ),
            ("twice", Step { duplicated: 1, ..step() }),
            ("out of order", Step { out_of_order: 1, ..step() }),
            ("not back", Step { not_back: 1, ..step() }),
            ("requests failed", Step { requests: failed(2, 1, 0), ..step() }),
            ("requests refused", Step { requests: failed(0, 0, 1), ..step() }),
            ("closed 2 times", Step { closes_most: 2, ..step() }),
            ("ended with 1", Step { exit_code: Some(1), ..step() }),
            ("gap p99 2.10 s", Step { gap: slow, ..step() }),
        ] {
            let said = broken(RESTART, broken_step);
            assert!(said.len() == 1 && said[0].contains(text), "{text}: {said:?}");
        }
        let late = Step { back_us: 5_100_000, ..step() };
        assert_eq!(broken(Promise { back: Back::Soon, ..RESTART }, late).len(), 1);
        let excused = Step { requests: failed(2, 2, 0), ..step() };
        assert_eq!(broken(Promise { excuse: Excuse::UnderWay, ..RESTART }, excused), Vec::<String>::new());
        let refused = Step { requests: failed(0, 0, 7), ..step() };
        assert_eq!(broken(Promise { excuse: Excuse::Refusals, ..RESTART }, refused), Vec::<String>::new());
    }
}
