//! The database: its connections, who waits for them, and what it is asked.

use super::Cell;
use super::cells::Histogram;
use super::samples::{counters, histogram, labelled_counters, labelled_gauges, single_gauge};
use prometheus::proto::MetricFamily;
use std::array::from_fn;

/// Whose part of the connections something takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolShare {
    /// Somebody waits for the answer.
    Interactive,
    /// Nobody waits: timers and jobs.
    Workers,
    /// What leaves for the rooms, and dashboards.
    Relay,
}

impl PoolShare {
    /// Every share.
    pub const ALL: [Self; 3] = [Self::Interactive, Self::Workers, Self::Relay];

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Workers => "workers",
            Self::Relay => "relay",
        }
    }
}

/// What the database is asked, by name. Whatever is not here is `other`, the last.
pub const OPERATIONS: [&str; 24] = [
    "ingest",
    "create incident",
    "change incident",
    "one incident",
    "incidents",
    "timeline",
    "due incidents",
    "open incidents",
    "create service",
    "one service",
    "services",
    "change service",
    "delete service",
    "create key",
    "keys",
    "revoke key",
    "known key",
    "outbox",
    "relay",
    "forget",
    "dashboard",
    "look",
    "schema",
    "other",
];

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationResult {
    /// With an answer.
    Done,
    /// It has to be tried again, as others changed the same.
    Conflict,
    /// It took too long.
    Timeout,
    /// The database was away.
    Unavailable,
    /// The database did not understand it, or the other way round.
    Fault,
}

impl OperationResult {
    /// Every result.
    pub const ALL: [Self; 5] = [Self::Done, Self::Conflict, Self::Timeout, Self::Unavailable, Self::Fault];

    const fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Conflict => "conflict",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Fault => "fault",
        }
    }
}

/// What is counted of one share of the connections.
#[derive(Debug, Default)]
pub struct ShareStats {
    /// Operations that run.
    pub busy: Cell,
    /// Operations that wait.
    pub waiting: Cell,
    /// Operations that waited in vain, or found too many waiting.
    pub exhausted: Cell,
    /// How long they waited, in microseconds.
    pub wait: Histogram,
}

/// What a node counts of its database.
#[derive(Debug)]
pub struct DatabaseStats {
    /// 1 while the database answers.
    pub up: Cell,
    /// Open connections.
    pub connections: Cell,
    /// Most connections.
    pub max: Cell,
    /// Connections that all nodes together may take.
    pub wanted: Cell,
    /// Connections that they should not exceed; 0 while nobody knows.
    pub usable: Cell,
    /// 1 while they may take more than that.
    pub overcommit: Cell,
    /// 1 when a pooler stands before the server.
    pub pooled: Cell,
    /// Events that wait to be said in their rooms.
    pub outbox_depth: Cell,
    /// For how long the oldest of them waits, in microseconds.
    pub outbox_age_us: Cell,
    /// Events that were said in their rooms.
    pub relayed: Cell,
    /// Transactions that were tried again.
    pub retries: Cell,
    /// Incidents that were not opened, as their service had too many.
    pub incidents_refused: Cell,
    shares: [ShareStats; PoolShare::ALL.len()],
    operations: [OperationStats; OPERATIONS.len()],
}

#[derive(Debug, Default)]
struct OperationStats {
    slow: Cell,
    results: [Cell; OperationResult::ALL.len()],
    duration: Histogram,
}

impl Default for DatabaseStats {
    fn default() -> Self {
        Self {
            up: Cell::default(),
            connections: Cell::default(),
            max: Cell::default(),
            wanted: Cell::default(),
            usable: Cell::default(),
            overcommit: Cell::default(),
            pooled: Cell::default(),
            outbox_depth: Cell::default(),
            outbox_age_us: Cell::default(),
            relayed: Cell::default(),
            retries: Cell::default(),
            incidents_refused: Cell::default(),
            shares: from_fn(|_| ShareStats::default()),
            operations: from_fn(|_| OperationStats::default()),
        }
    }
}

impl DatabaseStats {
    /// What is counted of a share.
    #[must_use]
    pub fn share(&self, share: PoolShare) -> &ShareStats {
        &self.shares[share as usize]
    }

    /// Counts an operation that took this many microseconds, and whether that is longer than it should.
    pub fn operated(&self, operation: &str, result: OperationResult, us: u64, is_slow: bool) {
        let place = OPERATIONS.iter().position(|known| *known == operation).unwrap_or(OPERATIONS.len() - 1);
        self.operations[place].results[result as usize].add_shared(1);
        self.operations[place].duration.observe_shared(us);
        self.operations[place].slow.add_shared(u64::from(is_slow));
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let of_shares = |cell: fn(&ShareStats) -> &Cell| {
            PoolShare::ALL.map(|share| (vec![("share", share.label())], cell(self.share(share)).get()))
        };
        let mut results = Vec::new();
        for (operation, stats) in OPERATIONS.iter().zip(&self.operations) {
            for (result, cell) in OperationResult::ALL.iter().zip(&stats.results) {
                // Most combinations never occur; one is always there.
                if cell.get() > 0 || (*operation == "ingest" && *result == OperationResult::Done) {
                    results.push((vec![("operation", *operation), ("result", result.label())], cell.get()));
                }
            }
        }
        let durations = OPERATIONS
            .iter()
            .zip(&self.operations)
            .filter(|(name, stats)| **name == "ingest" || stats.results.iter().any(|cell| cell.get() > 0));
        let slow = OPERATIONS.iter().zip(&self.operations);
        let slow = slow.filter(|(name, stats)| **name == "ingest" || stats.slow.get() > 0);
        let waits = PoolShare::ALL.map(|share| (vec![("share", share.label())], vec![&self.share(share).wait]));
        let one = |name, help, cell: &Cell| counters(name, help, "", [("", cell.get())]);
        vec![
            single_gauge("roomcast_db_up", "1 while the database answers.", self.up.get()),
            single_gauge("roomcast_db_pool_connections", "Open connections to the database.", self.connections.get()),
            single_gauge("roomcast_db_pool_max", "Most connections to the database.", self.max.get()),
            single_gauge(
                "roomcast_db_pool_overcommit",
                "1 while all nodes together may take more connections than the server should give.",
                self.overcommit.get(),
            ),
            labelled_gauges("roomcast_db_pool_busy", "Operations that run.", of_shares(|share| &share.busy)),
            labelled_gauges("roomcast_db_pool_waiting", "Operations that wait.", of_shares(|share| &share.waiting)),
            labelled_counters(
                "roomcast_db_pool_exhausted_total",
                "Operations that waited in vain for a connection.",
                of_shares(|share| &share.exhausted),
            ),
            histogram("roomcast_db_pool_wait_seconds", "How long operations waited for a connection.", waits),
            labelled_counters("roomcast_db_operations_total", "What the database was asked.", results),
            histogram(
                "roomcast_db_operation_duration_seconds",
                "How long the database took, without the wait for a connection.",
                durations.map(|(name, stats)| (vec![("operation", *name)], vec![&stats.duration])),
            ),
            labelled_counters(
                "roomcast_db_slow_operations_total",
                "Operations that took longer than db-slow.",
                slow.map(|(name, stats)| (vec![("operation", *name)], stats.slow.get())),
            ),
            one("roomcast_db_retries_total", "Transactions that were tried again.", &self.retries),
            one(
                "roomcast_incidents_refused_total",
                "Incidents that were not opened, as too many of their service were open.",
                &self.incidents_refused,
            ),
            single_gauge(
                "roomcast_outbox_depth",
                "Events that wait to be said in their rooms.",
                self.outbox_depth.get(),
            ),
            super::samples::family(
                "roomcast_outbox_oldest_age_seconds",
                "For how long the oldest of them waits.",
                prometheus::proto::MetricType::GAUGE,
                vec![super::samples::seconds_gauge(self.outbox_age_us.get())],
            ),
            one("roomcast_outbox_relayed_total", "Events of incidents that were said in their rooms.", &self.relayed),
        ]
    }
}
