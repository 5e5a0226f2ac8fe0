//! Judges a run by conditions such as `p99>50ms`: a run fails if one of them is true.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A run's figures by name; times are in microseconds.
pub(crate) type Figures = BTreeMap<&'static str, f64>;

/// Figures a condition may name, and what they are.
pub(crate) const NAMES: &[(&str, &str)] = &[
    ("p50", "median delivery latency"),
    ("p75", "delivery latency, 75th percentile"),
    ("p90", "delivery latency, 90th percentile"),
    ("p95", "delivery latency, 95th percentile (incidents)"),
    ("p99", "delivery latency, 99th percentile"),
    ("p999", "delivery latency, 99.9th percentile"),
    ("max", "longest delivery latency"),
    ("mean", "mean delivery latency"),
    ("same_node_p50", "median latency to members on the publisher's node (several targets)"),
    ("same_node_p99", "the same, 99th percentile"),
    ("same_node_max", "the same, longest"),
    ("cross_node_p50", "median latency to members on other nodes"),
    ("cross_node_p99", "the same, 99th percentile"),
    ("cross_node_max", "the same, longest"),
    ("spread_p99", "first to last recipient of a large room, 99th percentile"),
    ("lag_p99", "how late this tool handed a publish to the socket"),
    ("lost", "deliveries that never came"),
    ("duplicated", "deliveries that came twice"),
    ("out_of_order", "deliveries behind a later one of the same publisher"),
    ("wrong_room", "deliveries of a room the client is not in"),
    ("foreign", "frames that are neither deliveries of this run nor protocol"),
    ("errors", "error events and error answers"),
    ("closed", "connections the server or the network ended"),
    ("unsent", "publishes that could not be written before the end"),
    ("deliveries_per_s", "deliveries per second in the window"),
    ("max_deliveries_per_s", "highest sustained deliveries per second (ramp)"),
    ("cpu_us_per_delivery", "server CPU time per delivery"),
    ("server_cores", "server CPU as a number of cores, in the window"),
    ("generator_cores", "this tool's CPU as a number of cores"),
    ("server_waiting", "time the server was ready but had no processor, per time"),
    ("generator_waiting", "the same for this tool"),
    ("connects_per_s", "connections made and joined per second"),
    ("cpu_us_per_connect", "server CPU time per connection made and joined"),
    ("rss_bytes_per_session", "growth of the server's memory per session"),
    ("rss_anon_bytes_per_session", "the part of it that is neither file nor shared memory"),
    ("idle_cores", "server CPU as a number of cores while idle"),
    ("flood_deliveries_per_s", "deliveries per second in the flooded room (hot-room)"),
    ("flood_lost", "deliveries of the flooded room that did not come although a later one did"),
    ("visits", "connections begun by clients that come and go (jitter)"),
    ("visits_failed", "those that the server or the network ended"),
    ("visits_lost", "deliveries missing between the first and the last one of a visit"),
    ("untold", "clients that saw no server.draining before their close (drain)"),
    ("not_closed", "clients that the drained server did not close"),
    ("wrong_close_codes", "closes with another code than 1012, or none"),
    ("disconnect_packets", "clients that got a Socket.IO DISCONNECT (41)"),
    ("first_close", "from the signal to the first close"),
    ("last_close", "from the signal to the last close"),
    ("close_share", "largest share of the closes within any 100 ms, in percent"),
    ("not_back", "clients that are not in their rooms again (drain, avalanche)"),
    ("back_p50", "median time until a client was in its room again (avalanche: from the cut)"),
    ("back_p95", "the same, 95th percentile"),
    ("back_p99", "the same, 99th percentile (drain: from its close)"),
    ("back_max", "the same, longest (trouble: from Redis's answer until both directions are back)"),
    ("caught_up_max", "from Redis's answer until nothing came late any more (trouble)"),
    ("unaccounted", "losses between nodes that the nodes have not counted, or counted without a loss (trouble)"),
    ("retries", "failed attempts to come back (avalanche)"),
    ("closed_again", "clients whose connection ended again once they were back"),
    ("exit_code", "exit code of the drained server"),
    ("exit_time", "from the signal to its end"),
    ("in_doubt_lost", "missing ones among deliveries whose publish came right before a close"),
    ("second_closed", "connections that the second server ended"),
    ("answer_p50", "median time from when a request was due to its answer (incidents)"),
    ("answer_p95", "the same, 95th percentile"),
    ("answer_p99", "the same, 99th percentile"),
    ("taken_per_s", "requests answered as wished, per second"),
    ("gaps", "numbers missing in what is heard or kept of an incident"),
    ("surplus", "events that are kept and were never taken"),
    ("unanswered", "requests without an answer at the end"),
    ("recovery", "from the database's return until events are taken and heard again (events)"),
    (
        "event_age_p99",
        "from when an event of an incident happened until a client heard it, 99th percentile (freshness)",
    ),
    ("dashboard_age_p99", "the same until it was in a snapshot of a dashboard"),
    ("stale", "events that came into no snapshot"),
    ("incidents", "incidents of the run that are kept"),
    ("sent_per_s", "publishes per second that were written in the window"),
    ("in_bytes_per_s", "bytes per second that the server read from clients, as it counts them"),
    ("out_bytes_per_s", "bytes per second that it wrote to them"),
    ("drops", "events that the server says did not reach somebody"),
    ("redis_ops_per_s", "commands per second that Redis served (--redis)"),
    ("rss_bytes", "memory of all the server's processes at the end"),
    ("sockets_off", "difference between the sockets that the server counts and this tool's, at the window's end"),
    ("dashboard_hits", "looks at a dashboard that cost the database nothing, of all (http --scenario dashboard)"),
    ("error_rate", "requests that failed, in percent, of the scenario with most of them (http)"),
    ("requests_per_s", "requests answered per second (http)"),
    ("db_operations_per_s", "operations of the database per second"),
    ("db_busy_max", "most of its connections that were busy when this was looked at"),
    ("db_retries", "its transactions that were tried again"),
    ("replicas_max", "most replicas that were wanted (autoscale)"),
    ("replicas_above_min", "replicas beyond the fewest in the end (autoscale)"),
    ("never_joined", "clients that never got into their rooms (autoscale)"),
    ("broken_promises", "what a fault's step promises and what does not hold (chaos)"),
    ("missed", "deliveries that were published while their member was on its way back (chaos)"),
    ("recovered", "comebacks to the session that was there before (chaos)"),
    ("failed_requests", "HTTP requests without success in time (chaos)"),
    ("refused_requests", "HTTP requests that were answered 503 with a time to come again (chaos)"),
    ("gap_p99", "from a client's close until it was in its room again, 99th percentile (chaos)"),
    ("gap_max", "the same, longest"),
    ("closes_each", "most closes of one client within a step (chaos)"),
    ("events_missing", "events of monitoring that were answered 202 and are not in the store (chaos)"),
];

/// One condition under which a run fails.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Threshold {
    figure: &'static str,
    comparison: Comparison,
    limit: f64,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
    Equal,
}

/// What a condition came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Verdict {
    /// The condition as it was written.
    pub(crate) fail_if: String,
    /// The figure it is about; absent when the run has no such figure.
    pub(crate) value: Option<f64>,
    /// Whether the condition is true, or cannot be judged.
    pub(crate) failed: bool,
}

impl Threshold {
    /// Applies the condition. A figure that was not measured fails: silence is no proof.
    pub(crate) fn judge(&self, figures: &Figures) -> Verdict {
        let value = figures.get(self.figure).copied();
        let failed = value.is_none_or(|value| match self.comparison {
            Comparison::Above => value > self.limit,
            Comparison::AtLeast => value >= self.limit,
            Comparison::Below => value < self.limit,
            Comparison::AtMost => value <= self.limit,
            Comparison::Equal => value == self.limit,
        });
        Verdict { fail_if: self.text.clone(), value, failed }
    }
}

/// The name of a figure as conditions know it.
pub(crate) fn known(name: &str) -> Option<&'static str> {
    NAMES.iter().map(|(known, _)| *known).find(|known| *known == name)
}

impl Threshold {
    /// The same condition, true only if the other one is true too; both say that the same figure is above something.
    pub(crate) fn or_above(self, floor: &Self) -> Self {
        if floor.limit > self.limit { floor.clone() } else { self }
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // the two-character signs first: `>` is also the start of `>=`
        let signs = [
            (">=", Comparison::AtLeast),
            ("<=", Comparison::AtMost),
            ("==", Comparison::Equal),
            (">", Comparison::Above),
            ("<", Comparison::Below),
        ];
        let (name, comparison, limit) = signs
            .into_iter()
            .find_map(|(sign, comparison)| {
                let (name, limit) = text.split_once(sign)?;
                Some((name.trim(), comparison, limit.trim()))
            })
            .ok_or_else(|| "expected FIGURE, one of > >= < <= ==, and a number".to_owned())?;
        let figure = known(name).ok_or_else(|| {
            let known: Vec<_> = NAMES.iter().map(|(known, _)| *known).collect();
            format!("unknown figure `{name}`; known are {}", known.join(", "))
        })?;
        Ok(Self { figure, comparison, limit: number(limit)?, text: text.to_owned() })
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A number with an optional unit of time (to microseconds) or a thousands suffix.
fn number(text: &str) -> Result<f64, String> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_')).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit.trim() {
        "" | "us" | "µs" => 1.0,
        "ms" | "k" => 1_000.0,
        "s" | "M" => 1_000_000.0,
        unknown => return Err(format!("unknown unit `{unknown}`; known are us, ms, s, k, M")),
    };
    let digits = digits.replace('_', "");
    let value: f64 = digits.parse().map_err(|_| format!("`{text}` is not a number"))?;
    Ok(value * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str, figures: &[(&'static str, f64)]) -> bool {
        let threshold: Threshold = text.parse().unwrap();
        threshold.judge(&figures.iter().copied().collect()).failed
    }

    #[test]
    fn conditions_compare_in_microseconds() {
        assert!(judge("p99>50ms", &[("p99", 50_001.0)]));
        assert!(!judge("p99>50ms", &[("p99", 50_000.0)]));
        assert!(judge("p99 >= 0.05s", &[("p99", 50_000.0)]));
        assert!(judge("deliveries_per_s<100k", &[("deliveries_per_s", 99_999.0)]));
        assert!(judge("lost==3", &[("lost", 3.0)]));
        assert!(!judge("lost>0", &[("lost", 0.0)]));
    }

    #[test]
    fn an_unmeasured_figure_fails() {
        assert!(judge("cpu_us_per_delivery>10", &[]));
    }

    #[test]
    fn nonsense_is_refused_with_a_hint() {
        let refused = |text: &str| text.parse::<Threshold>().unwrap_err();
        assert!(refused("p98>1").contains("known are p50"));
        assert!(refused("p99=1").contains("expected"));
        assert!(refused("p99>1h").contains("unknown unit"));
        assert!(refused("p99>fast").contains("unit"));
    }
}
