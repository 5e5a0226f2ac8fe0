//! Holds the results of a run in the form in which they are written as JSON.
//!
//! Names end in their unit. [`SCHEMA_VERSION`] grows when a field changes its meaning or goes.

pub(crate) mod avalanche;
pub(crate) mod chaos;
pub(crate) mod drain;
pub(crate) mod http;
pub(crate) mod incidents;
pub(crate) mod page;
pub(crate) mod scaling;
pub(crate) mod server;
pub(crate) mod table;
pub(crate) mod trouble;

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::fleet::tally::{Counts, Visits};
use crate::observe::host::Host;
use crate::observe::metrics::Samples;
use crate::observe::process::Usage;
use crate::observe::series::Series;
use crate::thresholds::{Figures, Verdict};
use avalanche::Avalanche;
use chaos::Chaos;
use drain::Drain;
use http::{Asked, Meta, Summary};
use incidents::Incidents;
use scaling::Scaling;
pub(crate) use server::Server;
use trouble::Troubles;

/// The server's counters of bytes read from clients and written to them, and of events that did not reach somebody.
const RECEIVED_BYTES: &str = "roomcast_received_bytes_total";
const SENT_BYTES: &str = "roomcast_sent_bytes_total";
const DROPS: &str = "roomcast_drops_total";
/// What Redis counts, by the name that it has here.
const REDIS_COMMANDS: &str = "redis_commands_total";

/// Version of the JSON report.
pub(crate) const SCHEMA_VERSION: u32 = 2;

/// Everything about a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Version of this form.
    pub(crate) schema_version: u32,
    /// This tool's version.
    pub(crate) tool_version: &'static str,
    /// The command line.
    pub(crate) command_line: Vec<String>,
    /// All options, defaults included.
    pub(crate) config: serde_json::Value,
    /// The machine.
    pub(crate) host: Host,
    /// What was asked for by whom (http).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) meta: Option<Meta>,
    /// All scenarios together (http).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<Summary>,
    /// What was measured.
    pub(crate) results: Results,
    /// The figures that conditions may name; times are in microseconds.
    pub(crate) figures: Figures,
    /// How the run went, second by second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) series: Option<Series>,
    /// What the conditions came to.
    pub(crate) thresholds: Vec<Verdict>,
    /// Reasons to doubt the figures.
    pub(crate) warnings: Vec<String>,
    /// Whether the run was ended before its time.
    pub(crate) interrupted: bool,
    /// Whether no condition failed.
    pub(crate) passed: bool,
}

/// What a scenario measured; a scenario fills the parts it has.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    /// Connecting and joining.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connecting: Option<Connecting>,
    /// A constant load; for `ramp` the best step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) load: Option<Load>,
    /// Idle connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) idle: Option<Idle>,
    /// A drained server and the move to another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drain: Option<Drain>,
    /// All clients cut off at once, and their comeback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) avalanche: Option<Avalanche>,
    /// A cluster whose Redis was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) troubles: Option<Troubles>,
    /// A deployment that followed its clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scaling: Option<Scaling>,
    /// A cluster to which bad things were done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) chaos: Option<Chaos>,
    /// Incidents, and who heard of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) incidents: Option<Incidents>,
    /// The search for the highest rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ramp: Option<Ramp>,
    /// Requests of people and probes, by what they ask for.
    #[serde(flatten)]
    pub(crate) http: BTreeMap<String, Asked>,
    /// All of these together.
    #[serde(skip)]
    pub(crate) http_summary: Option<Summary>,
    /// Who asked.
    #[serde(skip)]
    pub(crate) http_meta: Option<Meta>,
}

/// Connecting and joining.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Connecting {
    /// Clients in their rooms.
    pub(crate) users: u64,
    /// From the first connection to the last join.
    pub(crate) seconds: f64,
    /// Users per second.
    pub(crate) connects_per_s: f64,
    /// Server CPU time per user.
    pub(crate) server_cpu_us_per_connect: Option<f64>,
    /// The server before.
    pub(crate) server_before: Option<Usage>,
    /// The server after.
    pub(crate) server_after: Option<Usage>,
}

/// A stretch of constant load.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Load {
    /// Length of the measured window.
    pub(crate) seconds: f64,
    /// Deliveries per second that the schedule asks for.
    pub(crate) intended_per_s: f64,
    /// Deliveries per second that arrived in the window.
    pub(crate) deliveries_per_s: f64,
    /// Delivery latency from the intended time.
    pub(crate) latency: Quantiles,
    /// The part of it to members on the publisher's node, when there are several nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) same_node: Option<Quantiles>,
    /// The part of it to members on other nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cross_node: Option<Quantiles>,
    /// First to last recipient, in large rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) spread: Option<Quantiles>,
    /// Deliveries that never came.
    pub(crate) lost: u64,
    /// The flooded room; it is in none of the deliveries and latencies above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) flood: Option<Flood>,
    /// Clients that came and went; they are in none of the deliveries and latencies above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) visits: Option<Visits>,
    /// Sockets that the server says are open, less those of this tool; they differ when it miscounts, or has other clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sockets_off: Option<f64>,
    /// The counters.
    pub(crate) counts: Counts,
    /// Texts of the first errors.
    pub(crate) error_samples: Vec<String>,
    /// The server in the window.
    pub(crate) server: Option<Server>,
    /// This tool in the window.
    pub(crate) generator: Generator,
    /// Changes of the server's counters in the window.
    pub(crate) server_metrics: Samples,
}

/// A room that one member floods.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Flood {
    /// Its members, the flooding one included.
    pub(crate) members: usize,
    /// Publishes queued, the warm-up included.
    pub(crate) published: u64,
    /// Deliveries per second that arrived in the window.
    pub(crate) deliveries_per_s: f64,
    /// Deliveries that did not come although a later one did.
    pub(crate) lost: u64,
    /// Deliveries that had not come yet when the wait for the last ones was over.
    pub(crate) pending: u64,
    /// Latency from the time at which a publish was queued: mostly the wait in the flooding client's socket.
    pub(crate) latency: Quantiles,
}

/// A distribution of times in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Quantiles {
    /// Number of values.
    pub(crate) count: u64,
    /// Arithmetic mean.
    pub(crate) mean_us: f64,
    /// Median.
    pub(crate) p50_us: u64,
    /// 75th percentile.
    pub(crate) p75_us: u64,
    /// 90th percentile.
    pub(crate) p90_us: u64,
    /// 95th percentile.
    pub(crate) p95_us: u64,
    /// 99th percentile.
    pub(crate) p99_us: u64,
    /// 99.9th percentile.
    pub(crate) p999_us: u64,
    /// Longest.
    pub(crate) max_us: u64,
}

/// This tool in a window.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Generator {
    /// CPU time over window length.
    pub(crate) cores: f64,
    /// Time its threads were ready to run but had no processor, over window length.
    pub(crate) waiting: f64,
    /// How late publishes were handed to the socket, 99th percentile.
    pub(crate) lag_p99_us: u64,
}

/// Idle connections.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Idle {
    /// Length of the idle window.
    pub(crate) seconds: f64,
    /// Growth of the server's resident memory per session.
    pub(crate) rss_bytes_per_session: Option<f64>,
    /// The part of it that is neither file nor shared memory.
    pub(crate) rss_anon_bytes_per_session: Option<f64>,
    /// Server CPU over window length.
    pub(crate) server_cores: Option<f64>,
    /// Heartbeats answered.
    pub(crate) heartbeats: u64,
    /// Server CPU per heartbeat.
    pub(crate) cpu_us_per_heartbeat: Option<f64>,
    /// Connections that ended.
    pub(crate) closed: u64,
    /// Error events.
    pub(crate) errors: u64,
    /// This tool's CPU over window length.
    pub(crate) generator_cores: f64,
}

/// The search for the highest sustained rate.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ramp {
    /// Deliveries per second of the best good step.
    pub(crate) max_deliveries_per_s: f64,
    /// Whether this tool rather than the server may have been the limit.
    pub(crate) generator_bound: bool,
    /// All steps in order.
    pub(crate) steps: Vec<RampStep>,
}

/// One step of a search.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RampStep {
    /// Deliveries per second asked for.
    pub(crate) intended_per_s: f64,
    /// Deliveries per second that arrived.
    pub(crate) deliveries_per_s: f64,
    /// Delivery p99.
    pub(crate) p99_us: u64,
    /// Deliveries that never came.
    pub(crate) lost: u64,
    /// Server CPU per delivery.
    pub(crate) cpu_us_per_delivery: Option<f64>,
    /// This tool's CPU over window length.
    pub(crate) generator_cores: f64,
    /// Why the step failed; absent when it did not.
    pub(crate) failed: Option<String>,
}

impl Quantiles {
    /// Reads the usual quantiles.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            mean_us: histogram.mean(),
            p50_us: histogram.value_at_quantile(0.5),
            p75_us: histogram.value_at_quantile(0.75),
            p90_us: histogram.value_at_quantile(0.9),
            p95_us: histogram.value_at_quantile(0.95),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

impl Results {
    /// The figures that conditions may name.
    pub(crate) fn figures(&self) -> Figures {
        let mut figures = Figures::new();
        if let Some(connecting) = &self.connecting {
            figures.insert("connects_per_s", connecting.connects_per_s);
            if let Some(cpu) = connecting.server_cpu_us_per_connect {
                figures.insert("cpu_us_per_connect", cpu);
            }
        }
        if let Some(load) = &self.load {
            load.add_figures(&mut figures);
        }
        if let Some(idle) = &self.idle {
            idle.add_figures(&mut figures);
        }
        if let Some(drain) = &self.drain {
            drain.add_figures(&mut figures);
        }
        if let Some(avalanche) = &self.avalanche {
            avalanche.add_figures(&mut figures);
        }
        if let Some(troubles) = &self.troubles {
            troubles.add_figures(&mut figures);
        }
        if let Some(scaling) = &self.scaling {
            scaling.add_figures(&mut figures);
        }
        if let Some(chaos) = &self.chaos {
            chaos.add_figures(&mut figures);
        }
        if let Some(incidents) = &self.incidents {
            incidents.add_figures(&mut figures);
        }
        if let Some(summary) = &self.http_summary {
            summary.add_figures(&self.http, &mut figures);
        }
        if let Some(ramp) = &self.ramp {
            figures.insert("max_deliveries_per_s", ramp.max_deliveries_per_s);
        }
        figures
    }
}

impl Load {
    fn add_figures(&self, figures: &mut Figures) {
        figures.insert("p50", self.latency.p50_us as f64);
        figures.insert("p75", self.latency.p75_us as f64);
        figures.insert("p90", self.latency.p90_us as f64);
        figures.insert("p99", self.latency.p99_us as f64);
        figures.insert("p999", self.latency.p999_us as f64);
        figures.insert("p95", self.latency.p95_us as f64);
        figures.insert("max", self.latency.max_us as f64);
        figures.insert("mean", self.latency.mean_us);
        figures.insert("sent_per_s", self.counts.sent_in_window as f64 / self.seconds.max(1e-3));
        add_counters(figures, &self.server_metrics, self.seconds);
        if let (Some(same), Some(cross)) = (&self.same_node, &self.cross_node) {
            figures.insert("same_node_p50", same.p50_us as f64);
            figures.insert("same_node_p99", same.p99_us as f64);
            figures.insert("same_node_max", same.max_us as f64);
            figures.insert("cross_node_p50", cross.p50_us as f64);
            figures.insert("cross_node_p99", cross.p99_us as f64);
            figures.insert("cross_node_max", cross.max_us as f64);
        }
        if let Some(spread) = &self.spread {
            figures.insert("spread_p99", spread.p99_us as f64);
        }
        figures.insert("lag_p99", self.generator.lag_p99_us as f64);
        figures.insert("lost", self.lost as f64);
        if let Some(flood) = &self.flood {
            figures.insert("flood_deliveries_per_s", flood.deliveries_per_s);
            figures.insert("flood_lost", flood.lost as f64);
        }
        if let Some(off) = self.sockets_off {
            figures.insert("sockets_off", off.abs());
        }
        if let Some(visits) = &self.visits {
            figures.insert("visits", visits.begun as f64);
            figures.insert("visits_failed", visits.failures.total() as f64);
            figures.insert("visits_lost", visits.lost as f64);
        }
        let counts = &self.counts;
        figures.insert("duplicated", counts.duplicated as f64);
        figures.insert("out_of_order", counts.out_of_order as f64);
        figures.insert("wrong_room", counts.wrong_room as f64);
        figures.insert("foreign", counts.foreign as f64);
        figures.insert("errors", counts.errors as f64);
        figures.insert("closed", counts.closed as f64);
        figures.insert("unsent", counts.unsent as f64);
        figures.insert("deliveries_per_s", self.deliveries_per_s);
        figures.insert("generator_cores", self.generator.cores);
        figures.insert("generator_waiting", self.generator.waiting);
        if let Some(Server { total: server, .. }) = &self.server {
            figures.insert("server_waiting", server.waiting);
            figures.insert("cpu_us_per_delivery", server.cpu_us_per_delivery);
            figures.insert("server_cores", server.cores);
            figures.insert("rss_bytes", server.rss_bytes as f64);
        }
    }
}

/// Figures that the server's own counters give, if it has them.
fn add_counters(figures: &mut Figures, changes: &Samples, seconds: f64) {
    let sum = |name: &str| {
        let of = changes.iter().filter(|(series, _)| series.starts_with(name));
        of.fold(0.0, |sum, (_, change)| sum + change)
    };
    let is_counted = changes.keys().any(|name| name.starts_with("roomcast_"));
    for (figure, counter) in [("in_bytes_per_s", RECEIVED_BYTES), ("out_bytes_per_s", SENT_BYTES)] {
        if is_counted {
            figures.insert(figure, sum(counter) / seconds.max(1e-3));
        }
    }
    if is_counted {
        figures.insert("drops", sum(DROPS));
    }
    if let Some(commands) = changes.get(REDIS_COMMANDS) {
        figures.insert("redis_ops_per_s", commands / seconds.max(1e-3));
    }
}

impl Idle {
    fn add_figures(&self, figures: &mut Figures) {
        figures.insert("closed", self.closed as f64);
        figures.insert("errors", self.errors as f64);
        figures.insert("generator_cores", self.generator_cores);
        if let Some(bytes) = self.rss_bytes_per_session {
            figures.insert("rss_bytes_per_session", bytes);
        }
        if let Some(bytes) = self.rss_anon_bytes_per_session {
            figures.insert("rss_anon_bytes_per_session", bytes);
        }
        if let Some(cores) = self.server_cores {
            figures.insert("idle_cores", cores);
        }
    }
}
/// How this run was called; the program by its name alone, as where it lies is no business of a report.
pub(crate) fn command_line() -> Vec<String> {
    let mut words: Vec<_> = std::env::args().collect();
    if let Some(program) = words.first_mut()
        && let Some(name) = std::path::Path::new(program).file_name()
    {
        *program = name.to_string_lossy().into_owned();
    }
    words
}
