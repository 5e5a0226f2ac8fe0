//! Holds and prints what a drain brought.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use super::{Generator, Quantiles};
use crate::progress::{duration, grouped};
use crate::thresholds::Figures;

/// A drained server and the move of its clients to another; times count from the signal unless said otherwise.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Drain {
    /// Clients that were in their rooms on the first server.
    pub(crate) users: u64,
    /// Those that saw `server.draining` before their close.
    pub(crate) told: u64,
    /// Those whose connection the first server ended.
    pub(crate) closed: u64,
    /// How often each close code came; `none` without a close frame.
    pub(crate) close_codes: BTreeMap<String, u64>,
    /// Clients that got a Socket.IO DISCONNECT (`41`).
    pub(crate) disconnect_packets: u64,
    /// The first close.
    pub(crate) first_close_us: u64,
    /// The last one.
    pub(crate) last_close_us: u64,
    /// Largest share of the closes within any 100 ms, in percent.
    pub(crate) close_share_percent: f64,
    /// Clients that are in their rooms on the second server.
    pub(crate) back: u64,
    /// From each client's close to its rejoin.
    pub(crate) back_after: Quantiles,
    /// When the last one was back.
    pub(crate) last_back_us: u64,
    /// Connection attempts to the second server that failed.
    pub(crate) retries: u64,
    /// Connections that the second server ended.
    pub(crate) second_closed: u64,
    /// The first server's exit code; absent when it still ran or a signal ended it.
    pub(crate) exit_code: Option<i32>,
    /// When it had ended.
    pub(crate) exit_us: Option<u64>,
    /// The deliveries.
    pub(crate) deliveries: Deliveries,
    /// Publishes that were due while their client was between the servers, and were not made.
    pub(crate) unpublished: u64,
    /// Deliveries seen before.
    pub(crate) duplicated: u64,
    /// Deliveries behind a later one of the same publisher.
    pub(crate) out_of_order: u64,
    /// Error events and error answers.
    pub(crate) errors: u64,
    /// Delivery latency on both servers, from the intended time.
    pub(crate) latency: Quantiles,
    /// This tool.
    pub(crate) generator: Generator,
}

/// What was owed to members and did not come. See `account` for the exact rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Deliveries {
    /// Publisher and member were on the same server when it was written and stayed for the grace after.
    pub(crate) owed: u64,
    /// Those of them that never came.
    pub(crate) lost: u64,
    /// They were on the same server when it was written, but one of them was closed within the grace.
    pub(crate) in_doubt: u64,
    /// Those of them that never came.
    pub(crate) in_doubt_lost: u64,
    /// The member was between the servers or on the other one.
    pub(crate) apart: u64,
}

impl Drain {
    /// The figures that conditions may name.
    pub(super) fn add_figures(&self, figures: &mut Figures) {
        let restarts = self.close_codes.get("1012").copied().unwrap_or(0);
        for (name, count) in [
            ("untold", self.users - self.told),
            ("not_closed", self.users - self.closed),
            ("wrong_close_codes", self.closed - restarts),
            ("disconnect_packets", self.disconnect_packets),
            ("first_close", self.first_close_us),
            ("last_close", self.last_close_us),
            ("not_back", self.users - self.back),
            ("back_p99", self.back_after.p99_us),
            ("back_max", self.back_after.max_us),
            ("second_closed", self.second_closed),
            ("lost", self.deliveries.lost),
            ("in_doubt_lost", self.deliveries.in_doubt_lost),
            ("duplicated", self.duplicated),
            ("out_of_order", self.out_of_order),
            ("errors", self.errors),
            ("p50", self.latency.p50_us),
            ("p99", self.latency.p99_us),
        ] {
            figures.insert(name, count as f64);
        }
        figures.insert("close_share", self.close_share_percent);
        figures.insert("generator_cores", self.generator.cores);
        if let (Some(code), Some(time)) = (self.exit_code, self.exit_us) {
            figures.insert("exit_code", f64::from(code));
            figures.insert("exit_time", time as f64);
        }
    }

    /// Hands the rows of the printed table to `row`.
    pub(super) fn write(&self, row: &mut dyn FnMut(&str, &str) -> io::Result<()>) -> io::Result<()> {
        let of = |count: u64| format!("{} of {}", grouped(count), grouped(self.users));
        row("told of the drain", &of(self.told))?;
        let codes: Vec<_> =
            self.close_codes.iter().map(|(code, count)| format!("{code} × {}", grouped(*count))).collect();
        row("close codes", &format!("{}; DISCONNECT (41) × {}", codes.join(", "), self.disconnect_packets))?;
        let closes = format!(
            "first {}, last {} after the signal; at most {:.1} % within any 100 ms",
            duration(self.first_close_us as f64),
            duration(self.last_close_us as f64),
            self.close_share_percent
        );
        row("closes", &closes)?;
        let back = format!(
            "{}, last {} after the signal; after their close: p50 {}, p99 {}, max {} ({} retries)",
            of(self.back),
            duration(self.last_back_us as f64),
            duration(self.back_after.p50_us as f64),
            duration(self.back_after.p99_us as f64),
            duration(self.back_after.max_us as f64),
            self.retries
        );
        row("back on the second", &back)?;
        let exit = match (self.exit_code, self.exit_us) {
            (Some(code), Some(time)) => format!("code {code}, {} after the signal", duration(time as f64)),
            (None, Some(time)) => format!("by a signal, {} after ours", duration(time as f64)),
            (_, None) => "it still ran at the deadline".to_owned(),
        };
        row("first server's end", &exit)?;
        let d = &self.deliveries;
        row("lost", &format!("{} of {} (both ends connected)", d.lost, grouped(d.owed)))?;
        let doubt = format!("{} of {} did not come", d.in_doubt_lost, grouped(d.in_doubt));
        row("written right before a close", &doubt)?;
        row(
            "not counted",
            &format!("{} to members elsewhere, {} publishes not made", grouped(d.apart), self.unpublished),
        )?;
        let failures = format!(
            "{} duplicated, {} disordered, {} errors, {} closed by the second server",
            self.duplicated, self.out_of_order, self.errors, self.second_closed
        );
        row("failures", &failures)?;
        let latency = &self.latency;
        let text = format!("p50 {}, p99 {}", duration(latency.p50_us as f64), duration(latency.p99_us as f64));
        row("latency, both servers", &text)?;
        let text = format!(
            "{:.2} cores, waited for a processor {:.0} % of the time",
            self.generator.cores,
            self.generator.waiting * 100.0
        );
        row("generator", &text)
    }
}
