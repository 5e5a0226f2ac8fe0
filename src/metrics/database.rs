//! The database: its connections, who waits for them, and what it is asked.

use super::Cell;
use super::pool::{DatabasePool, PoolStats};
use super::samples::{counters, family, seconds_gauge, single_gauge};
use prometheus::proto::{MetricFamily, MetricType};

/// Whether reads go to the replica, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaState {
    /// It cannot be reached, or has not been looked at yet.
    Down,
    /// It is too far behind.
    Behind,
    /// It is a server of its own, no replica of the primary.
    Stranger,
    /// They do.
    Used,
}

impl ReplicaState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Down, Self::Behind, Self::Stranger, Self::Used];

    /// The word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Behind => "behind",
            Self::Stranger => "stranger",
            Self::Used => "used",
        }
    }
}

/// Why a read that the replica might have answered went to the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFallback {
    /// The replica could not be reached.
    Down,
    /// It was too far behind.
    Behind,
    /// It was no replica of the primary.
    Stranger,
    /// It had to drop the read for what it gets from the primary.
    Conflict,
    /// It did not have yet what whoever asked knows of.
    Missing,
    /// No connection to it became free in time, or others kept what was asked for locked.
    Busy,
    /// It took longer than it may.
    Slow,
    /// It refused the read: it lacks a table or a permission, or is at fault in some other way.
    Refused,
}

impl ReadFallback {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Down,
        Self::Behind,
        Self::Stranger,
        Self::Conflict,
        Self::Missing,
        Self::Busy,
        Self::Slow,
        Self::Refused,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Behind => "behind",
            Self::Stranger => "stranger",
            Self::Conflict => "conflict",
            Self::Missing => "missing",
            Self::Busy => "busy",
            Self::Slow => "slow",
            Self::Refused => "refused",
        }
    }
}

/// What a node counts of its database.
#[derive(Debug, Default)]
pub struct DatabaseStats {
    pools: [PoolStats; DatabasePool::ALL.len()],
    /// How far the replica is behind, in microseconds.
    pub replica_lag_us: Cell,
    replica_state: Cell,
    fallbacks: [Cell; ReadFallback::ALL.len()],
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
    /// Events of monitoring that were not kept as alerts: their incident had too many, or the database did not take them.
    pub alerts_unkept: Cell,
    /// How old the oldest alert is, in microseconds.
    pub alerts_oldest_us: Cell,
    /// Alerts that were forgotten.
    pub alerts_forgotten: Cell,
    /// Incidents, and events and alerts of them, that were forgotten.
    pub incidents_forgotten: Cell,
}

impl DatabaseStats {
    /// What is counted of the connections to a server.
    #[must_use]
    pub fn pool(&self, pool: DatabasePool) -> &PoolStats {
        &self.pools[pool as usize]
    }

    /// Notes whether reads go to the replica.
    pub fn set_replica(&self, state: ReplicaState) {
        self.replica_state.set(state as u64);
    }

    /// Whether reads go to the replica; `None` when there is none.
    #[must_use]
    pub fn replica(&self) -> Option<ReplicaState> {
        let state = usize::try_from(self.replica_state.get()).ok().and_then(|place| ReplicaState::ALL.get(place));
        state.copied().filter(|_| self.pool(DatabasePool::Replica).max.get() > 0)
    }

    /// Counts a read that went to the primary instead.
    pub fn fell_back(&self, reason: ReadFallback) {
        self.fallbacks[reason as usize].add_shared(1);
    }

    /// Reads that went to the primary for this reason.
    #[must_use]
    pub fn fallbacks(&self, reason: ReadFallback) -> u64 {
        self.fallbacks[reason as usize].get()
    }

    fn replica_families(&self) -> Vec<MetricFamily> {
        let Some(state) = self.replica() else { return Vec::new() };
        let fallbacks = ReadFallback::ALL.map(|reason| (reason.label(), self.fallbacks(reason)));
        vec![
            single_gauge(
                "roomcast_db_replica_used",
                "1 while reads that may be a little old go to the replica.",
                u64::from(state == ReplicaState::Used),
            ),
            family(
                "roomcast_db_replica_lag_seconds",
                "How far the replica is behind.",
                MetricType::GAUGE,
                vec![seconds_gauge(self.replica_lag_us.get())],
            ),
            counters(
                "roomcast_db_read_fallbacks_total",
                "Reads that went to the primary, as the replica could not answer them.",
                "reason",
                fallbacks,
            ),
        ]
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let one = |name, help, cell: &Cell| counters(name, help, "", [("", cell.get())]);
        let mut families = super::pool::families(&self.pools);
        families.extend(self.replica_families());
        families.extend([
            single_gauge(
                "roomcast_db_pool_overcommit",
                "1 while all nodes together may take more connections than the server should give.",
                self.overcommit.get(),
            ),
            one("roomcast_db_retries_total", "Transactions that were tried again.", &self.retries),
            one(
                "roomcast_incidents_refused_total",
                "Incidents that were not opened, as too many of their service were open.",
                &self.incidents_refused,
            ),
            one(
                "roomcast_alerts_unkept_total",
                "Events of monitoring that were not kept as alerts: their incident had too many, or the database did not take them.",
                &self.alerts_unkept,
            ),
            family(
                "roomcast_alerts_oldest_age_seconds",
                "How old the oldest alert is.",
                MetricType::GAUGE,
                vec![seconds_gauge(self.alerts_oldest_us.get())],
            ),
            counters(
                "roomcast_forgotten_rows_total",
                "Rows that were forgotten as they were too old: alerts, and incidents with their events and alerts.",
                "kind",
                [("alert", self.alerts_forgotten.get()), ("incident", self.incidents_forgotten.get())],
            ),
            single_gauge(
                "roomcast_outbox_depth",
                "Events that wait to be said in their rooms.",
                self.outbox_depth.get(),
            ),
            family(
                "roomcast_outbox_oldest_age_seconds",
                "For how long the oldest of them waits.",
                MetricType::GAUGE,
                vec![seconds_gauge(self.outbox_age_us.get())],
            ),
            one("roomcast_outbox_relayed_total", "Events of incidents that were said in their rooms.", &self.relayed),
        ]);
        families
    }
}
