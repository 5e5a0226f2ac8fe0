//! Names and help texts, and the way from cells to the Prometheus text format.

use super::cells::{Cell, Histogram};
use super::recovery;
use super::samples::{counters, family, gauge, gauges, histogram, seconds_gauge, single_gauge};
use super::{Drop, NodeStats, WorkerStats};
use crate::protocol::disconnect::Disconnect;
use crate::protocol::refusal::Code;
use crate::protocol::{Transport, Wire};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use std::sync::Arc;

/// How often workers tick at least, when they are not behind; with some room for the clock's own steps.
const TICK_MS: u64 = 200;

/// All metrics of this process.
#[derive(Debug, Clone)]
pub struct Metrics {
    workers: Arc<[Arc<WorkerStats>]>,
    node: Arc<NodeStats>,
    registry: prometheus::Registry,
}

impl Metrics {
    /// Metrics for a node with this many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let metrics = Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            node: Arc::default(),
            registry: prometheus::Registry::new(),
        };
        let own = Families { workers: Arc::clone(&metrics.workers), node: Arc::clone(&metrics.node) };
        let process = prometheus::process_collector::ProcessCollector::for_self();
        let registered =
            metrics.registry.register(Box::new(own)).and_then(|()| metrics.registry.register(Box::new(process)));
        registered.expect("the registry is new and the names are unique");
        metrics
    }

    /// The cells of one worker.
    #[must_use]
    pub fn worker(&self, index: usize) -> &Arc<WorkerStats> {
        &self.workers[index]
    }

    /// The cells of every worker.
    #[must_use]
    pub fn workers(&self) -> &[Arc<WorkerStats>] {
        &self.workers
    }

    /// The cells of the node.
    #[must_use]
    pub fn node(&self) -> &Arc<NodeStats> {
        &self.node
    }

    /// A sum over the workers.
    #[must_use]
    pub fn sum(&self, cell: impl Fn(&WorkerStats) -> &Cell) -> u64 {
        sum(&self.workers, cell)
    }

    /// How far the slowest worker is behind at `now_ms` since 1970, in microseconds: its newest lag, or the time for which
    /// it has not ticked at all, if that is longer.
    #[must_use]
    pub fn worker_lag_us(&self, now_ms: u64) -> u64 {
        let lag = |stats: &Arc<WorkerStats>| match stats.ticked_at_ms.get() {
            0 => 0,
            ticked => stats.tick_lag_last.get().max(now_ms.saturating_sub(ticked + TICK_MS).saturating_mul(1_000)),
        };
        self.workers.iter().map(lag).max().unwrap_or(0)
    }

    /// Everything in the Prometheus text format, version 0.0.4, as it is at `now_ms` since 1970.
    #[must_use]
    pub fn render(&self, now_ms: u64) -> String {
        self.node.tick_lag_us.set(self.worker_lag_us(now_ms));
        let mut out = String::with_capacity(16 * 1024);
        let encoded = prometheus::TextEncoder::new().encode_utf8(&self.registry.gather(), &mut out);
        encoded.expect("writing to a String cannot fail");
        out
    }
}

struct Families {
    workers: Arc<[Arc<WorkerStats>]>,
    node: Arc<NodeStats>,
}

impl Collector for Families {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.sessions();
        families.extend(self.delivery());
        families.extend(self.ends());
        families.extend(recovery::families(&self.workers));
        families.extend(self.node.doors());
        families.extend(self.node.guards());
        families.extend(self.node.shared_limits());
        families.extend(self.node.tls());
        families.extend(self.node.tokens());
        families.extend(self.node.requests());
        families.extend(self.node.cluster.families());
        families.extend(self.node.cluster.servers.families());
        families.extend(self.node.presence.families());
        families.extend(self.node.relay.families());
        families.extend(self.node.database.families());
        families.extend(self.node.dashboards.families());
        families
    }
}

impl Families {
    fn sessions(&self) -> Vec<MetricFamily> {
        let (w, n) = (&self.workers, &self.node);
        let wires = |cell: fn(&WorkerStats) -> &[Cell; Wire::COUNT]| {
            Wire::ALL.map(|wire| (wire.label(), sum(w, |s| &cell(s)[wire.index()])))
        };
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        vec![
            family("roomcast_build_info", "The running version.", MetricType::GAUGE, vec![gauge(&version, 1)]),
            gauges(
                "roomcast_open_sockets",
                "Open client sockets.",
                "transport",
                Transport::ALL.map(|t| (t.label(), sum(w, |s| &s.open_sockets[t.index()]))),
            ),
            gauges("roomcast_sessions", "Sessions by the encoding they speak.", "wire", wires(|s| &s.sessions)),
            single_gauge("roomcast_rooms", "Rooms with a member on this node.", n.rooms.get()),
            single_gauge("roomcast_workers", "Worker threads that own sockets.", w.len() as u64),
            single_gauge("roomcast_draining", "1 while the node is draining.", n.draining.get()),
            single_gauge(
                "roomcast_memory_limit_bytes",
                "Memory that this process may take: its control group's limit, or that of the machine. 0: unknown.",
                n.memory_limit.get(),
            ),
            counters(
                "roomcast_packets_received_total",
                "Packets read from clients.",
                "wire",
                wires(|s| &s.packets_received),
            ),
            counters(
                "roomcast_received_bytes_total",
                "Bytes read from clients.",
                "",
                [("", sum(w, |s| &s.bytes_received))],
            ),
            counters("roomcast_http_published_total", "Events published by HTTP.", "", [("", n.http_published.get())]),
            counters("roomcast_http_refused_total", "HTTP requests refused.", "", [("", n.http_refused.get())]),
        ]
    }

    fn delivery(&self) -> Vec<MetricFamily> {
        let w = &self.workers;
        let encoded = Wire::ALL.map(|wire| (wire.label(), sum(w, |s| &s.frames_encoded[wire.index()])));
        let drops = Drop::ALL.map(|drop| (drop.label(), sum(w, |s| &s.drops[drop as usize])));
        vec![
            counters(
                "roomcast_broadcasts_total",
                "Broadcasts fanned out by the workers.",
                "",
                [("", sum(w, |s| &s.broadcasts))],
            ),
            counters("roomcast_frames_encoded_total", "Frames encoded: once per broadcast and wire.", "wire", encoded),
            counters("roomcast_deliveries_total", "Events put into outboxes.", "", [("", sum(w, |s| &s.deliveries))]),
            counters("roomcast_drops_total", "Events that did not reach somebody.", "reason", drops),
            counters("roomcast_sent_bytes_total", "Bytes written to clients.", "", [("", sum(w, |s| &s.bytes_sent))]),
            counters("roomcast_writes_total", "Write calls made for them.", "", [("", sum(w, |s| &s.writes))]),
            single_gauge("roomcast_outbox_bytes", "Bytes that wait in outboxes.", sum(w, |s| &s.outbox_bytes)),
            single_gauge(
                "roomcast_inbox_bytes",
                "Bytes that wait in the fullest worker's inbox.",
                w.iter().map(|s| s.inbox_bytes.get()).max().unwrap_or(0),
            ),
            counters(
                "roomcast_acks_timed_out_total",
                "Events that a client did not acknowledge in time.",
                "",
                [("", sum(w, |s| &s.acks_timed_out))],
            ),
            self.histogram(
                "roomcast_broadcast_duration_seconds",
                "From taking up a broadcast to its frames being in every local outbox.",
                |s| &s.broadcast_duration,
            ),
            self.histogram("roomcast_worker_tick_lag_seconds", "How late the workers' clock ticks came.", |s| {
                &s.tick_lag
            }),
            family(
                "roomcast_worker_tick_lag_max_seconds",
                "How far the slowest worker is behind: its newest lag, or for how long it has not ticked at all.",
                MetricType::GAUGE,
                vec![seconds_gauge(self.node.tick_lag_us.get())],
            ),
        ]
    }

    fn ends(&self) -> Vec<MetricFamily> {
        let w = &self.workers;
        let closes = Disconnect::ALL.iter().enumerate().map(|(i, d)| (d.reason, sum(w, |s| &s.closes[i])));
        let refusals = Code::ALL.map(|code| (code.as_str(), sum(w, |s| &s.refusals[code as usize])));
        vec![
            counters("roomcast_closes_total", "Sessions that ended.", "reason", closes),
            counters("roomcast_refusals_total", "Packets that were understood but refused.", "code", refusals),
            counters(
                "roomcast_panics_total",
                "Faults of the server that ended one session.",
                "",
                [("", sum(w, |s| &s.panics))],
            ),
        ]
    }

    fn histogram(&self, name: &str, help: &str, cell: fn(&WorkerStats) -> &Histogram) -> MetricFamily {
        histogram(name, help, [(Vec::new(), self.workers.iter().map(|stats| cell(stats)).collect())])
    }
}

pub(super) fn sum(workers: &[Arc<WorkerStats>], cell: impl Fn(&WorkerStats) -> &Cell) -> u64 {
    workers.iter().map(|stats| cell(stats).get()).fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Handshake;

    #[test]
    fn the_sum_over_the_workers_is_rendered() {
        let metrics = Metrics::new(2);
        metrics.worker(0).deliveries.add(3);
        metrics.worker(1).deliveries.add(4);
        metrics.worker(1).closed(Disconnect::SLOW_CONSUMER);
        metrics.worker(0).tick_lag.observe(30_000);
        metrics.node().handshake(Handshake::ForeignOrigin);
        let text = metrics.render(0);
        for line in [
            "roomcast_deliveries_total 7",
            "roomcast_closes_total{reason=\"slow-consumer\"} 1",
            "roomcast_worker_tick_lag_seconds_bucket{le=\"0.1\"} 1",
            "roomcast_worker_tick_lag_seconds_bucket{le=\"0.025\"} 0",
            "roomcast_worker_tick_lag_seconds_count 1",
            "roomcast_handshakes_total{result=\"foreign-origin\"} 1",
            "roomcast_open_sockets{transport=\"websocket\"} 0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} not in\n{text}");
        }
        assert!(text.contains("process_resident_memory_bytes"), "the process is measured too");
    }

    #[test]
    fn a_worker_that_does_not_tick_at_all_is_behind() {
        let metrics = Metrics::new(2);
        metrics.worker(0).ticked_at_ms.set(10_000);
        metrics.worker(1).ticked_at_ms.set(12_000);
        metrics.worker(1).tick_lag_last.set(1_000);
        for (now, lag) in [(10_100, "0.001"), (12_000, "1.8"), (13_200, "3")] {
            let line = format!("\nroomcast_worker_tick_lag_max_seconds {lag}\n");
            assert!(metrics.render(now).contains(&line), "{line:?} at {now}");
        }
    }
}
