//! Every metric, declared once.
//!
//! What workers count on the delivery path are plain cells of their own ([`WorkerStats`]), written by one thread and
//! summed when scraped: no shared cache line, no label lookup. What happens rarely is counted for the whole node
//! ([`NodeStats`]). No metric has a room, a user or an address as a label.

mod broker;
mod cells;
mod cluster;
mod dashboard;
mod database;
mod doors;
mod families;
mod guards;
mod http;
mod pool;
mod presence;
mod recovery;
mod relay;
mod samples;
mod tokens;

pub use broker::{BrokerServer, BrokerServers};
pub use cells::{Cell, Histogram};
pub use cluster::{ClusterStats, PublishLoss};
pub use dashboard::{DashboardStats, Refreshed};
pub use database::{DatabaseStats, ReadFallback, ReplicaState};
pub use doors::{Handshake, Upgrade};
pub use families::Metrics;
pub use guards::{Fallback, LimitHit, SharedLimit, TlsFailure};
pub use http::{HttpStats, KeyRefusal, ROUTES};
pub use pool::{DatabasePool, OPERATIONS, OperationResult, PoolShare, PoolStats, ShareStats};
pub use presence::PresenceStats;
pub use recovery::Recovered;
pub use relay::{RelayFailure, RelayStats, Relayed};
pub use tokens::TokenRefusal;

use crate::protocol::disconnect::Disconnect;
use crate::protocol::refusal::Code;
use crate::protocol::{Transport, Wire};
use std::sync::{Arc, Mutex, PoisonError};

/// Why an event did not reach somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drop {
    /// It waited for a session that was cut as a slow consumer.
    SlowConsumer,
    /// A newer event of a room that forgets its oldest needed the place.
    Oldest,
    /// A newer event of a room that keeps only the latest replaced it.
    Conflated,
    /// The inbox of another worker was full.
    InboxFull,
    /// The room's fan-out was still busy with what was published before.
    FanoutFull,
    /// The session ended while it waited.
    SessionEnded,
    /// It could not be encoded for a wire.
    Encoding,
    /// It was said to be worth nothing later, and the session took nothing at the moment.
    Volatile,
}

impl Drop {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::SlowConsumer,
        Self::Oldest,
        Self::Conflated,
        Self::InboxFull,
        Self::FanoutFull,
        Self::SessionEnded,
        Self::Encoding,
        Self::Volatile,
    ];

    const fn label(self) -> &'static str {
        match self {
            Self::SlowConsumer => "slow-consumer",
            Self::Oldest => "oldest",
            Self::Conflated => "conflated",
            Self::InboxFull => "inbox-full",
            Self::FanoutFull => "fanout-full",
            Self::SessionEnded => "session-ended",
            Self::Encoding => "encoding",
            Self::Volatile => "volatile",
        }
    }
}

/// What one worker counts. Only that worker writes.
#[derive(Debug, Default)]
pub struct WorkerStats {
    /// Open sockets by transport; a session that polls counts as one.
    pub open_sockets: [Cell; Transport::COUNT],
    /// Sessions by wire.
    pub sessions: [Cell; Wire::COUNT],
    /// Packets read from clients, by wire.
    pub packets_received: [Cell; Wire::COUNT],
    /// Bytes read from clients.
    pub bytes_received: Cell,
    /// Bytes written to clients.
    pub bytes_sent: Cell,
    /// Write calls made for them.
    pub writes: Cell,
    /// Broadcasts fanned out here.
    pub broadcasts: Cell,
    /// Frames encoded, by wire.
    pub frames_encoded: [Cell; Wire::COUNT],
    /// Events put into outboxes.
    pub deliveries: Cell,
    /// Events that did not reach somebody, by reason.
    pub drops: [Cell; Drop::ALL.len()],
    /// Bytes that wait in outboxes.
    pub outbox_bytes: Cell,
    /// Bytes that wait in its inbox. Whoever posts writes it too, so it keeps away from what the worker alone writes.
    pub inbox_bytes: Arc<Cell>,
    /// Events whose recipient did not acknowledge them in time.
    pub acks_timed_out: Cell,
    /// Sessions that ended, by reason.
    pub closes: [Cell; Disconnect::ALL.len()],
    /// Packets refused, by code.
    pub refusals: [Cell; Code::ALL.len()],
    /// Sessions that are away and may come back.
    pub parked: Cell,
    /// Bytes of the events that are kept for them.
    pub recovery_log_bytes: Cell,
    /// Sessions that wanted to come back, by what became of it.
    pub recoveries: [Cell; Recovered::ALL.len()],
    /// Sessions that were away and had to make room for others.
    pub displaced_sessions: Cell,
    /// Panics that ended a session.
    pub panics: Cell,
    /// From reading a packet to its frames being in every local outbox, in microseconds.
    pub broadcast_duration: Histogram,
    /// How late the worker's clock tick came, in microseconds.
    pub tick_lag: Histogram,
    /// The same, newest value.
    pub tick_lag_last: Cell,
    /// When the worker's clock last ticked, in milliseconds since 1970; 0 before the first time.
    pub ticked_at_ms: Cell,
}

impl WorkerStats {
    /// Counts `n` events that did not reach somebody.
    pub fn dropped(&self, reason: Drop, n: u64) {
        self.drops[reason as usize].add(n);
    }

    /// Counts the end of a session.
    pub fn closed(&self, disconnect: Disconnect) {
        if let Some(i) = Disconnect::ALL.iter().position(|d| *d == disconnect) {
            self.closes[i].add(1);
        }
    }
}

impl Metrics {
    /// Open sockets of all transports.
    #[must_use]
    pub fn open_sockets(&self) -> u64 {
        Transport::ALL.iter().map(|transport| self.sum(|stats| &stats.open_sockets[transport.index()])).sum()
    }
}

/// What the whole node counts, from any thread.
#[derive(Debug, Default)]
pub struct NodeStats {
    /// TCP connections accepted.
    pub connections: Cell,
    /// Connections that could not be accepted.
    pub accept_errors: Cell,
    /// Connections of clients that speak HTTP now.
    pub http_connections: Cell,
    /// Sockets that were lost on their way to a worker.
    pub handovers_lost: Cell,
    /// Upgrades to a WebSocket that completed, and that did not.
    pub upgrades: [Cell; Upgrade::ALL.len()],
    /// Handshakes by result.
    pub handshakes: [Cell; Handshake::ALL.len()],
    /// Events published by HTTP.
    pub http_published: Cell,
    /// HTTP requests refused, whatever the reason.
    pub http_refused: Cell,
    /// The database.
    pub database: Arc<DatabaseStats>,
    /// Dashboards.
    pub dashboards: Arc<DashboardStats>,
    /// HTTP requests by route, and keys refused.
    pub http: HttpStats,
    /// Tokens that were refused, by reason.
    pub tokens_refused: [Cell; TokenRefusal::ALL.len()],
    /// Tokens whose `info` cannot be shown.
    pub infos_left_out: Cell,
    /// Key sets that were fetched.
    pub key_sets_fetched: Cell,
    /// Fetches of key sets that failed.
    pub key_sets_failed: Cell,
    /// When each key set was last fetched, in seconds since 1970; 0 as long as it was not.
    pub key_sets: Mutex<Vec<Arc<Cell>>>,
    /// Keys of issuers that are known.
    pub keys: Cell,
    /// Revoked tokens that are remembered.
    pub revoked_tokens: Cell,
    /// Tokens that were revoked.
    pub revocations: Cell,
    /// Most sockets that may be open.
    pub max_sockets: Cell,
    /// Most rooms that may have members.
    pub max_rooms: Cell,
    /// Revocations that did not fit.
    pub revocations_refused: Cell,
    /// Rooms with a member on this node.
    pub rooms: Cell,
    /// 1 while the node is draining.
    pub draining: Cell,
    /// Times that a limit against abuse was hit, by limit.
    pub limit_hits: [Cell; LimitHit::ALL.len()],
    /// Keys and addresses whose rates are remembered.
    pub rate_limit_keys: Cell,
    /// Answers of the broker about rates that all nodes count together, by rate.
    pub shared_limits_asked: [Cell; SharedLimit::ALL.len()],
    /// Decisions without one, by rate and reason.
    pub shared_limits_fallbacks: [[Cell; Fallback::ALL.len()]; SharedLimit::ALL.len()],
    /// Messages that those who watch a session were not shown.
    pub tap_missed: Cell,
    /// Sessions that are watched.
    pub taps: Cell,
    /// TLS handshakes that succeeded.
    pub tls_handshakes: Cell,
    /// TLS handshakes that failed, by reason.
    pub tls_failures: [Cell; TlsFailure::ALL.len()],
    /// Changed certificates that were taken up.
    pub tls_reloads: Cell,
    /// Looks at changed certificates that could not be used.
    pub tls_reload_failures: Cell,
    /// Until when the certificate is valid, in seconds since 1970; 0 without TLS.
    pub tls_not_after: Cell,
    /// What goes to other nodes, and comes from them.
    pub cluster: Arc<ClusterStats>,
    /// Who comes to rooms and goes from them.
    pub presence: PresenceStats,
    /// Requests for sessions of other nodes.
    pub relay: RelayStats,
    /// Most of them at once.
    pub max_relayed: Cell,
    /// How far the slowest worker was behind when the metrics were last asked for, in microseconds.
    pub(super) tick_lag_us: Cell,
    /// Memory that this process may take, in bytes; 0 if it is not known.
    pub memory_limit: Cell,
}

impl NodeStats {
    /// Counts a handshake.
    pub fn handshake(&self, result: Handshake) {
        self.handshakes[result as usize].add_shared(1);
    }

    /// The cell of one more key set: when it was last fetched. They are told apart by their order, which is that of the settings.
    #[must_use]
    pub fn new_key_set(&self) -> Arc<Cell> {
        let cell = Arc::default();
        self.key_sets.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&cell));
        cell
    }

    /// Counts what became of an upgrade.
    pub fn upgrade(&self, outcome: Upgrade) {
        self.upgrades[outcome as usize].add_shared(1);
    }

    /// Counts that a limit was hit.
    pub fn limit_hit(&self, hit: LimitHit) {
        self.limit_hits[hit as usize].add_shared(1);
    }

    /// Counts a TLS handshake that failed.
    pub fn tls_failure(&self, reason: TlsFailure) {
        self.tls_failures[reason as usize].add_shared(1);
    }
}
