//! PostgreSQL, through one small pool.
//!
//! Nothing here needs a session: no prepared statements with names, no SET, no LISTEN, no locks that outlive a transaction. So a
//! `PgBouncer` in transaction mode may stand in between, of any version. `clippy.toml` bans the calls of the driver that
//! would name a statement.

mod bounds;
mod change;
pub(super) mod connect;
mod create;
mod dashboards;
mod incidents;
mod ingest;
mod lanes;
mod outbox;
mod rows;
mod services;
mod tls;

use super::gate::Gate;
use super::{StoreError, migrations};
use crate::config::{DatabaseSettings, PostgresPlace};
use crate::lifecycle::Lifecycle;
use crate::metrics::{DatabaseStats, PoolShare};
use bounds::Canceller;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts};
use futures_util::future::BoxFuture;
use lanes::Lanes;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

/// A value for a statement, and its type: the server is never asked for it.
type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// How often idle connections are looked at.
const KEEP_INTERVAL: Duration = Duration::from_secs(5);

/// For how long a connection may be idle that is not one of those to be kept.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// A PostgreSQL server.
pub(super) struct Postgres {
    pool: Pool,
    gate: Gate,
    lanes: Lanes,
    canceller: Canceller,
    stats: Arc<DatabaseStats>,
    min: usize,
    /// Most open incidents of a service that does not say.
    open_max: i64,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Postgres")
    }
}

impl Postgres {
    /// A pool without connections: they come when they are needed. What comes in on the lanes is worked off.
    pub(super) fn open(
        place: &PostgresPlace,
        settings: &DatabaseSettings,
        stats: &Arc<DatabaseStats>,
        lifecycle: &Lifecycle,
    ) -> Result<Arc<Self>, StoreError> {
        let (config, tls) = (connect::config(place, settings)?, connect::protection(place)?);
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let timeouts = Timeouts {
            wait: Some(settings.pool_timeout()),
            create: Some(settings.db_connect_timeout),
            recycle: Some(settings.db_connect_timeout),
        };
        let canceller = Canceller::new(tls.clone(), settings.pool_max());
        let pool = Pool::builder(Manager::from_config(config, tls, manager))
            .max_size(settings.pool_max())
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Fault(error.to_string()))?;
        let gate = Gate::new(settings, stats);
        let (lanes, queues) = Lanes::new(settings.db_pool_queue);
        let (stats, min, open_max) = (Arc::clone(stats), settings.db_pool_min, i64::from(settings.max_open_incidents));
        let postgres = Arc::new(Self { pool, gate, lanes, canceller, stats, min, open_max });
        postgres.open_lanes(queues, lifecycle);
        Ok(postgres)
    }

    /// Runs an operation with a connection of the pool.
    async fn run<T, W>(&self, share: PoolShare, operation: &'static str, work: W) -> Result<T, StoreError>
    where
        W: for<'c> FnOnce(&'c mut Object) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    {
        let outcome = self.gate.pass(share, operation, async {
            let mut lease = Lease(Some(self.pool.get().await.map_err(pool_error)?), &self.canceller);
            let Some(client) = &mut lease.0 else { return Err(StoreError::Fault("no connection".into())) };
            let outcome = work(client).await;
            lease.give_back();
            outcome
        });
        outcome.await
    }

    /// Fails when the schema is older than this program. A server that is away says nothing about it.
    pub(super) async fn check_schema(&self) -> Result<(), StoreError> {
        let version = self.run(PoolShare::Interactive, "schema", |client| {
            Box::pin(async move {
                let sql = "SELECT max(version)::int8 FROM refinery_schema_history";
                match client.query_typed_one(sql, &[]).await {
                    Ok(row) => Ok(row.try_get::<_, Option<i64>>(0).map_err(connect::error)?.unwrap_or(0)),
                    Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
                    Err(error) => Err(connect::error(error)),
                }
            })
        });
        match version.await {
            Ok(version) if version < migrations::newest() => Err(StoreError::Fault(format!(
                "the schema has version {version}, and this program needs {}: run `roomcast migrate`",
                migrations::newest()
            ))),
            Ok(_) => Ok(()),
            Err(error @ StoreError::Fault(_)) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "the database does not answer; it is tried again when it is needed");
                Ok(())
            }
        }
    }

    /// Keeps as many connections as it should, until the process ends.
    pub(super) async fn keep(self: Arc<Self>, lifecycle: Lifecycle) {
        self.warn_of_too_many().await;
        let mut ticks = tokio::time::interval(KEEP_INTERVAL);
        while !self.pool.is_closed() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = lifecycle.stopping() => return,
            }
            let mut left = self.pool.status().size;
            let _dropped = self.pool.retain(|_, about| {
                let keep = left <= self.min || about.last_used() < IDLE_MAX;
                left -= usize::from(!keep);
                keep
            });
            // Taken together, so that each is a connection of its own; one that cannot be had is for whoever needs it.
            let missing = self.min.saturating_sub(self.pool.status().size);
            let fresh = futures_util::future::join_all((0..missing).map(|_| self.pool.get())).await;
            drop(fresh);
            self.stats.connections.set(self.pool.status().size as u64);
        }
    }

    /// Warns when this node alone may take nearly all connections that the server has.
    async fn warn_of_too_many(&self) {
        let limit = self.run(PoolShare::Workers, "look", |client| {
            Box::pin(async move {
                let sql = "SELECT current_setting('max_connections')::int8 \
                           - current_setting('superuser_reserved_connections')::int8";
                let row = client.query_typed_one(sql, &[]).await.map_err(connect::error)?;
                rows::get::<i64>(&row, 0)
            })
        });
        let Ok(limit) = limit.await else { return };
        let (max, limit) = (self.stats.max.get(), u64::try_from(limit).unwrap_or(0));
        if max > limit * 8 / 10 {
            tracing::warn!(
                max,
                limit,
                "db-pool-max is more than eight tenths of what the server has; all nodes share that"
            );
        }
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// A connection that goes back to its pool only when what was done with it has ended: one that was abandoned in the middle
/// would keep the next one waiting. It is closed instead, and the server is told, which would work on otherwise.
struct Lease<'a>(Option<Object>, &'a Canceller);

impl Lease<'_> {
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            let client = Object::take(client);
            self.1.cancel(client.cancel_token());
        }
    }
}

fn pool_error(error: PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) => connect::error(error),
        PoolError::Timeout(_) => StoreError::Unavailable("no connection in time".into()),
        other => StoreError::Unavailable(other.to_string()),
    }
}
