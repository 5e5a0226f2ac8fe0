//! Reads from result files what things cost. Nothing here is typed in: a cost that was not measured is an error.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::report::SCHEMA_VERSION;
use crate::wrong::Wrong;

/// The results that this tool was built with.
const BUILT_IN: [(&str, &str); 5] = [
    ("idle", include_str!("../../results/idle.json")),
    ("rooms", include_str!("../../results/rooms.json")),
    ("big-room", include_str!("../../results/big-room.json")),
    ("cluster", include_str!("../../results/cluster.json")),
    ("cluster-4k", include_str!("../../results/cluster-4k.json")),
];

/// What was measured, and on what.
#[derive(Clone, Debug)]
pub(crate) struct Costs {
    /// The runs, as they were read.
    pub(crate) runs: Vec<Run>,
    /// Memory of a node without clients, in bytes.
    pub(crate) base_bytes: f64,
    /// Memory of a session, in bytes.
    pub(crate) session_bytes: f64,
    /// Processor time of an idle session, in microseconds per second.
    pub(crate) idle_us: f64,
    /// Processor time of a publish without its deliveries, in microseconds.
    pub(crate) publish_us: f64,
    /// Processor time of a delivery.
    pub(crate) delivery_us: f64,
    /// Processor time of a publish that goes to one other node: both nodes together, beyond what it costs within one.
    pub(crate) relay_us: f64,
    /// Redis's processor time of a publish.
    pub(crate) redis_us: f64,
    /// Commands of Redis per publish.
    pub(crate) redis_ops: f64,
    /// Bytes that a publish has beyond its data on the way to Redis.
    pub(crate) redis_in_extra: f64,
    /// Bytes that it has beyond its data on the way from Redis to each node.
    pub(crate) redis_out_extra: f64,
    /// Bytes that a delivery has beyond its data.
    pub(crate) out_extra: f64,
    /// Bytes that a publish of a client has beyond its data.
    pub(crate) in_extra: f64,
    /// What was seen to work.
    pub(crate) seen: Seen,
}

/// The highest values that were measured: beyond them a plan extrapolates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Sockets of one node.
    pub(crate) sockets: f64,
    /// Members of a room.
    pub(crate) members: f64,
    /// Deliveries per second of one node.
    pub(crate) deliveries: f64,
    /// Nodes of a cluster.
    pub(crate) nodes: f64,
    /// Smallest and largest data object.
    pub(crate) sizes: (f64, f64),
}

/// A result file.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Its name.
    pub(crate) name: String,
    /// What it says.
    pub(crate) report: Value,
}

impl Run {
    /// A number in the file.
    pub(crate) fn number(&self, field: &str) -> Result<f64> {
        let pointer = format!("/{}", field.replace('.', "/"));
        let found = self.report.pointer(&pointer).and_then(Value::as_f64);
        found.ok_or_else(|| Wrong::error(format!("results/{}.json: `{field}` is missing or no number", self.name)))
    }

    /// A text in the file; empty when it is missing.
    pub(crate) fn text(&self, field: &str) -> String {
        let pointer = format!("/{}", field.replace('.', "/"));
        self.report.pointer(&pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Sum of a field of those of the server's processes that are Redis, or of those that are not.
    fn processes(&self, field: &str, redis: bool) -> f64 {
        let processes = self.report.pointer("/results/load/server/processes").and_then(Value::as_array);
        let ours = processes.into_iter().flatten().filter(|process| (process["name"] == "redis-server") == redis);
        ours.filter_map(|process| process[field].as_f64()).sum()
    }

    fn metric(&self, name: &str) -> Result<f64> {
        let metrics = self.report.pointer("/results/load/server_metrics").and_then(Value::as_object);
        let found = metrics.and_then(|metrics| metrics.get(name)).and_then(Value::as_f64);
        found.ok_or_else(|| {
            Wrong::error(format!("results/{}.json: `results.load.server_metrics.{name}` is missing", self.name))
        })
    }

    /// Publishes per second in the window.
    pub(crate) fn publishes(&self) -> Result<f64> {
        self.number("figures.sent_per_s")
    }

    /// Members of a room.
    pub(crate) fn members(&self) -> Result<f64> {
        let rooms = self.number("config.rooms").unwrap_or(1.0);
        Ok(self.number("config.users")? / rooms)
    }

    /// How many nodes it was made with.
    pub(crate) fn nodes(&self) -> f64 {
        let targets = self.report.pointer("/config/target").and_then(Value::as_array);
        targets.map_or(1, Vec::len) as f64
    }
}

impl Costs {
    /// Reads the results of a folder, or those that this tool was built with.
    pub(crate) fn read(folder: Option<&Path>) -> Result<Self> {
        let read = |(name, built_in): &(&str, &str)| {
            let text = match folder {
                None => (*built_in).to_owned(),
                Some(folder) => {
                    let path = folder.join(format!("{name}.json"));
                    fs::read_to_string(&path).map_err(|error| {
                        Wrong::error(format!("{}: {error}; loadtest/measure writes it", path.display()))
                    })?
                }
            };
            let report: Value = serde_json::from_str(&text)
                .map_err(|error| Wrong::error(format!("results/{name}.json: it is no JSON: {error}")))?;
            if report["schema_version"] != SCHEMA_VERSION {
                return Err(Wrong::error(format!(
                    "results/{name}.json: `schema_version` is {}; this tool reads {SCHEMA_VERSION}",
                    report["schema_version"]
                )));
            }
            Ok(Run { name: (*name).to_owned(), report })
        };
        Self::of(BUILT_IN.iter().map(read).collect::<Result<_>>()?)
    }

    fn of(runs: Vec<Run>) -> Result<Self> {
        let [idle, rooms, big_room, cluster, large] = &runs[..] else {
            return Err(Wrong::error("five results are needed".to_owned()));
        };
        let users = idle.number("results.connecting.users")?;
        let delivery_us = big_room.number("figures.cpu_us_per_delivery")?;
        let per_publish = |run: &Run| Ok::<_, anyhow::Error>(run.processes("cores", false) * 1e6 / run.publishes()?);
        let publish_us = (per_publish(rooms)? - delivery_us * rooms.members()?).max(0.0);
        let others = cluster.nodes() - 1.0;
        let relay_us = (per_publish(cluster)? - publish_us - delivery_us * cluster.members()?).max(0.0) / others;
        let seconds = cluster.number("results.load.seconds")?;
        let published = cluster.publishes()? * seconds;
        let size = cluster.number("config.size")?;
        let deliveries = rooms.number("figures.deliveries_per_s")?;
        let sizes = [rooms, big_room, cluster, large].map(|run| run.number("config.size"));
        let sizes = sizes.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(Self {
            base_bytes: idle.number("results.connecting.server_before.rss_bytes")?,
            session_bytes: idle.number("figures.rss_bytes_per_session")?,
            idle_us: idle.number("figures.idle_cores")? * 1e6 / users,
            publish_us,
            delivery_us,
            relay_us,
            redis_us: cluster.processes("cores", true) * 1e6 / cluster.publishes()?,
            redis_ops: cluster.metric("redis_commands_total")? / published,
            redis_in_extra: (cluster.metric("redis_input_bytes_total")? / published - size).max(0.0),
            redis_out_extra: (cluster.metric("redis_output_bytes_total")? / published / cluster.nodes() - size)
                .max(0.0),
            out_extra: rooms.number("figures.out_bytes_per_s")? / deliveries - rooms.number("config.size")?,
            in_extra: rooms.number("figures.in_bytes_per_s")? / rooms.publishes()? - rooms.number("config.size")?,
            seen: Seen {
                sockets: users,
                members: big_room.members()?,
                deliveries: big_room.number("figures.deliveries_per_s")?.max(deliveries),
                nodes: cluster.nodes().max(large.nodes()),
                sizes: (sizes.iter().copied().fold(f64::MAX, f64::min), sizes.iter().copied().fold(0.0, f64::max)),
            },
            runs,
        })
    }
}
