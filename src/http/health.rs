//! Whether this node lives, is ready, and how near its limits it is.

use super::Api;
use crate::lifecycle;
use crate::metrics::{Cell, DatabasePool, PoolShare, PoolStats, ReplicaState, ShareStats};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use rustix::process::{Resource, getrlimit};
use serde::Serialize;

/// Media type of the Prometheus text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4";

/// Is the process alive?
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, description = "It is", body = String)))]
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Should this node get traffic?
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses(
        (status = 200, description = "Yes", body = String),
        (status = 503, description = "No; the text says why", body = String),
    ),
)]
pub(super) async fn readyz(State(api): State<Api>) -> (StatusCode, &'static str) {
    if api.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else if api.metrics.worker_lag_us(lifecycle::unix_millis()) > STUCK_US {
        (StatusCode::SERVICE_UNAVAILABLE, "a worker does not answer\n")
    } else if api.is_cut_off() {
        (StatusCode::OK, "degraded: other nodes are not heard\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

/// A worker that is this far behind, in microseconds, delivers nothing: the node is not ready.
const STUCK_US: u64 = 2_000_000;

/// Without a word of itself through the broker for so long, in milliseconds, a node is cut off from the others.
const CUT_OFF_MS: u64 = 15_000;

impl Api {
    /// Whether other nodes are not heard. It serves its own rooms, so it gets traffic still.
    fn is_cut_off(&self) -> bool {
        self.metrics.node().cluster.probe_age_ms.get() > CUT_OFF_MS
    }
}

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
    version: &'static str,
    uptime_seconds: u64,
    node: String,
    workers: usize,
    open_sockets: u64,
    rooms: u64,
    /// The newest lag of the worker that is furthest behind.
    tick_lag_ms: f64,
    outbox_bytes: u64,
    /// `null` on a node that is alone.
    broker: Option<Broker>,
    /// `null` where the system does not say.
    open_fds: Option<u64>,
    max_fds: Option<u64>,
    /// `null` without a database.
    database: Option<Database>,
    /// What is not as it should be, though nothing fails yet.
    warnings: Vec<String>,
}

/// Redis, or Valkey, between the nodes.
#[derive(Debug, Serialize)]
struct Broker {
    connected: bool,
    /// For how long nothing of this node's own has come round.
    probe_age_ms: u64,
    /// Nodes that listen, this one and those of others included.
    nodes: u64,
}

/// What is known of the database without asking it: an answer that waits for it would say nothing when it matters.
#[derive(Debug, Serialize)]
struct Database {
    connected: bool,
    pool: Pool,
    /// Connections that all nodes together may take.
    all_nodes: u64,
    /// What they should not exceed; `null` where nobody knows, as behind a pooler.
    usable: Option<u64>,
    /// Whether a pooler stands before the server.
    pooled: bool,
    /// `null` when reads go nowhere else.
    replica: Option<Replica>,
    outbox: Outbox,
}

/// A replica of the database.
#[derive(Debug, Serialize)]
struct Replica {
    /// `used`, `behind`, `down` or `stranger`.
    state: &'static str,
    lag_ms: u64,
    pool: Pool,
}

#[derive(Debug, Serialize)]
struct Pool {
    max: u64,
    connections: u64,
    busy: u64,
    waiting: u64,
    exhausted: u64,
    /// How long a request waits for a connection.
    patience_ms: u64,
}

impl Pool {
    fn of(stats: &PoolStats) -> Self {
        let sum =
            |cell: fn(&ShareStats) -> &Cell| PoolShare::ALL.iter().map(|share| cell(stats.share(*share)).get()).sum();
        Self {
            max: stats.max.get(),
            connections: stats.connections.get(),
            busy: sum(|share| &share.busy),
            waiting: sum(|share| &share.waiting),
            exhausted: sum(|share| &share.exhausted),
            patience_ms: stats.patience_ms.get(),
        }
    }
}

/// Events of incidents that wait to be said in their rooms.
#[derive(Debug, Serialize)]
struct Outbox {
    depth: u64,
    oldest_age_ms: u64,
}

impl Api {
    fn broker(&self) -> Option<Broker> {
        let stats = &self.metrics.node().cluster;
        (!self.hub.is_alone()).then(|| Broker {
            connected: stats.up.get() == 1,
            probe_age_ms: stats.probe_age_ms.get(),
            nodes: stats.nodes.get(),
        })
    }

    fn database(&self) -> Option<Database> {
        self.kept.as_ref()?;
        let stats = &self.metrics.node().database;
        let replica = stats.replica().map(|state| Replica {
            state: state.label(),
            lag_ms: stats.replica_lag_us.get() / 1_000,
            pool: Pool::of(stats.pool(DatabasePool::Replica)),
        });
        let primary = stats.pool(DatabasePool::Primary);
        Some(Database {
            connected: primary.up.get() == 1,
            pool: Pool::of(primary),
            all_nodes: stats.wanted.get(),
            usable: Some(stats.usable.get()).filter(|usable| *usable > 0),
            pooled: stats.pooled.get() == 1,
            replica,
            outbox: Outbox { depth: stats.outbox_depth.get(), oldest_age_ms: stats.outbox_age_us.get() / 1_000 },
        })
    }
}

impl Database {
    /// What somebody should do something about.
    fn warnings(&self) -> Vec<String> {
        let (all, usable) = (self.all_nodes, self.usable.unwrap_or(u64::MAX));
        let overcommit = (all > usable).then(|| {
            format!(
                "all nodes together may take {all} connections to the database, and should not take more than {usable}"
            )
        });
        let unused = self.replica.as_ref().filter(|replica| replica.state != ReplicaState::Used.label());
        let unused = unused.map(|replica| {
            format!("reads go to the primary: its replica is {} ({} ms)", replica.state, replica.lag_ms)
        });
        overcommit.into_iter().chain(unused).collect()
    }
}

/// One look at this node, for people.
pub(super) async fn health(State(api): State<Api>) -> impl IntoResponse {
    let (metrics, workers) = (&api.metrics, api.metrics.workers());
    let lag_us = metrics.worker_lag_us(lifecycle::unix_millis());
    let database = api.database();
    Json(Health {
        status: match () {
            () if api.is_draining() => "draining",
            () if lag_us > STUCK_US => "stuck",
            () if api.is_cut_off() || database.as_ref().is_some_and(|database| !database.connected) => "degraded",
            () => "ok",
        },
        version: env!("CARGO_PKG_VERSION"),
        uptime_seconds: lifecycle::now().saturating_duration_since(api.started).as_secs(),
        node: (*api.node).to_owned(),
        workers: workers.len(),
        open_sockets: metrics.open_sockets(),
        rooms: metrics.node().rooms.get(),
        tick_lag_ms: f64::from(u32::try_from(lag_us).unwrap_or(u32::MAX)) / 1e3,
        outbox_bytes: metrics.sum(|stats| &stats.outbox_bytes),
        broker: api.broker(),
        open_fds: open_fds(),
        max_fds: getrlimit(Resource::Nofile).current,
        warnings: database.as_ref().map(Database::warnings).unwrap_or_default(),
        database,
    })
}

/// The size of the folder is its number of entries since Linux 6.2; reading 100,000 entries would take too long.
fn open_fds() -> Option<u64> {
    std::fs::metadata("/proc/self/fd").ok().map(|folder| folder.len()).filter(|count| *count > 0)
}

/// Everything that is measured.
pub(super) async fn metrics(State(api): State<Api>) -> impl IntoResponse {
    ([(CONTENT_TYPE, PROMETHEUS_TEXT)], api.metrics.render(lifecycle::unix_millis()))
}
