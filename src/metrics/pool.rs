//! Connections to one database server: how many there are, who waits for them, and what it is asked.

use super::Cell;
use super::cells::Histogram;
use super::samples::{family, gauge, histogram, labelled_counters, labelled_gauges};
use prometheus::proto::{MetricFamily, MetricType};
use std::array::from_fn;

/// Which connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabasePool {
    /// Those to the server that takes what is written.
    Primary,
    /// Those to a replica of it, for reads that may be a little old.
    Replica,
}

impl DatabasePool {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Primary, Self::Replica];

    const fn label(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
        }
    }
}

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
pub const OPERATIONS: [&str; 29] = [
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
    "alerts",
    "keep alert",
    "oldest alert",
    "forget alerts",
    "forget incidents",
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

/// What is counted of the connections to one server.
#[derive(Debug)]
pub struct PoolStats {
    /// 1 while it answers.
    pub up: Cell,
    /// Open connections.
    pub connections: Cell,
    /// Most connections; 0 when there is no such server.
    pub max: Cell,
    /// How long a request waits for one, in milliseconds.
    pub patience_ms: Cell,
    /// Connections that were made.
    pub connected: Cell,
    shares: [ShareStats; PoolShare::ALL.len()],
    operations: [OperationStats; OPERATIONS.len()],
}

#[derive(Debug, Default)]
struct OperationStats {
    slow: Cell,
    results: [Cell; OperationResult::ALL.len()],
    duration: Histogram,
}

impl Default for PoolStats {
    fn default() -> Self {
        Self {
            up: Cell::default(),
            connections: Cell::default(),
            max: Cell::default(),
            patience_ms: Cell::default(),
            connected: Cell::default(),
            shares: from_fn(|_| ShareStats::default()),
            operations: from_fn(|_| OperationStats::default()),
        }
    }
}

impl PoolStats {
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

    /// How often it was asked something, whatever became of it.
    #[must_use]
    pub fn operations(&self, operation: &str) -> u64 {
        let place = OPERATIONS.iter().position(|known| *known == operation).unwrap_or(OPERATIONS.len() - 1);
        self.operations[place].results.iter().map(Cell::get).sum()
    }
}

type Labels = Vec<(&'static str, &'static str)>;

/// The families of these pools. A pool that nobody has set up is none.
pub(super) fn families(pools: &[PoolStats; DatabasePool::ALL.len()]) -> Vec<MetricFamily> {
    let pools: Vec<(DatabasePool, &PoolStats)> = DatabasePool::ALL
        .into_iter()
        .zip(pools)
        .filter(|(pool, stats)| *pool == DatabasePool::Primary || stats.max.get() > 0)
        .collect();
    let each = |cell: fn(&PoolStats) -> &Cell| -> Vec<(Labels, u64)> {
        pools.iter().map(|(pool, stats)| (vec![("pool", pool.label())], cell(stats).get())).collect()
    };
    let shares = || {
        pools.iter().flat_map(|(pool, stats)| {
            PoolShare::ALL.map(|share| (vec![("pool", pool.label()), ("share", share.label())], stats.share(share)))
        })
    };
    let of_shares = |cell: fn(&ShareStats) -> &Cell| -> Vec<(Labels, u64)> {
        shares().map(|(labels, share)| (labels, cell(share).get())).collect()
    };
    let waits = shares().map(|(labels, share)| (labels, vec![&share.wait]));
    let (mut results, mut durations, mut slow) = (Vec::new(), Vec::new(), Vec::new());
    for (pool, stats) in &pools {
        for (operation, counted) in OPERATIONS.iter().zip(&stats.operations) {
            // Most combinations never occur; one is always there.
            let is_shown = *pool == DatabasePool::Primary && *operation == "ingest";
            for (result, cell) in OperationResult::ALL.iter().zip(&counted.results) {
                if cell.get() > 0 || (is_shown && *result == OperationResult::Done) {
                    let labels = vec![("pool", pool.label()), ("operation", *operation), ("result", result.label())];
                    results.push((labels, cell.get()));
                }
            }
            if is_shown || counted.slow.get() > 0 {
                slow.push((vec![("pool", pool.label()), ("operation", *operation)], counted.slow.get()));
            }
            if is_shown || counted.results.iter().any(|cell| cell.get() > 0) {
                durations.push((vec![("pool", pool.label()), ("operation", *operation)], vec![&counted.duration]));
            }
        }
    }
    let up = pools.iter().filter(|(pool, _)| *pool == DatabasePool::Primary);
    let up = up.map(|(pool, stats)| gauge(&[("pool", pool.label())], stats.up.get())).collect();
    vec![
        family("roomcast_db_up", "1 while the database answers.", MetricType::GAUGE, up),
        labelled_gauges(
            "roomcast_db_pool_connections",
            "Open connections to the database.",
            each(|stats| &stats.connections),
        ),
        labelled_gauges("roomcast_db_pool_max", "Most connections to the database.", each(|stats| &stats.max)),
        labelled_counters(
            "roomcast_db_connects_total",
            "Connections to the database that were made.",
            each(|stats| &stats.connected),
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
            durations,
        ),
        labelled_counters("roomcast_db_slow_operations_total", "Operations that took longer than db-slow.", slow),
    ]
}
