//! Connections to one server: a small pool, and the gate in front of it.

use super::bounds::Canceller;
use super::connect;
use crate::config::{DatabaseSettings, PostgresPlace};
use crate::lifecycle::Lifecycle;
use crate::metrics::{DatabasePool, DatabaseStats, PoolShare};
use crate::store::StoreError;
use crate::store::gate::Gate;
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// How often idle connections are looked at.
const KEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Connections to a PostgreSQL server.
pub(super) struct Connections {
    pub(super) gate: Gate,
    pool: Pool,
    canceller: Canceller,
    which: DatabasePool,
    stats: Arc<DatabaseStats>,
    min: usize,
    /// For how long a connection may be idle that is not one of those to be kept.
    idle_max: Duration,
    /// How old a connection may become that is idle; none is too old when this is zero.
    age_max: Duration,
}

impl Connections {
    /// None yet: they come when they are needed.
    pub(super) fn open(
        place: &PostgresPlace,
        settings: &DatabaseSettings,
        which: DatabasePool,
        stats: &Arc<DatabaseStats>,
    ) -> Result<Self, StoreError> {
        let (max, wait) = match which {
            DatabasePool::Primary => (settings.pool_max(), settings.pool_timeout()),
            DatabasePool::Replica => (settings.read_pool_max(), settings.read_pool_timeout()),
        };
        let (config, tls) = (connect::config(place, settings)?, connect::protection(place)?);
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let timeouts = Timeouts {
            wait: Some(wait),
            create: Some(settings.db_connect_timeout),
            recycle: Some(settings.db_connect_timeout),
        };
        let canceller = Canceller::new(tls.clone(), max);
        let connect = connect::Bounding::new(tls, settings, which, stats);
        let pool = Pool::builder(Manager::from_connect(config, connect, manager))
            .max_size(max)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::Fault(error.to_string()))?;
        let (gate, stats, min) = (Gate::new(settings, which, stats), Arc::clone(stats), settings.db_pool_min.min(max));
        let (idle_max, age_max) = (settings.db_idle_timeout, settings.db_max_lifetime);
        Ok(Self { gate, pool, canceller, which, stats, min, idle_max, age_max })
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.pool.status().size as u64
    }

    /// How many there may be.
    pub(super) fn most(&self) -> u64 {
        self.pool.status().max_size as u64
    }

    /// Runs an operation with one of them.
    pub(super) async fn run<T, W>(&self, share: PoolShare, operation: &'static str, work: W) -> Result<T, StoreError>
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

    /// Keeps as many as it should, until the process ends or they are closed.
    pub(super) async fn keep(&self, lifecycle: &Lifecycle) {
        let mut ticks = tokio::time::interval(KEEP_INTERVAL);
        while !self.pool.is_closed() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = lifecycle.stopping() => return,
            }
            let mut left = self.pool.status().size;
            let _dropped = self.pool.retain(|_, about| {
                let is_old = !self.age_max.is_zero() && about.age() > self.age_max;
                let keep = !is_old && (left <= self.min || about.last_used() < self.idle_max);
                left -= usize::from(!keep);
                keep
            });
            // Taken together, so that each is a connection of its own; one that cannot be had is for whoever needs it.
            let missing = self.min.saturating_sub(self.pool.status().size);
            let fresh = futures_util::future::join_all((0..missing).map(|_| self.pool.get())).await;
            drop(fresh);
            self.stats.pool(self.which).connections.set(self.count());
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.pool.is_closed()
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
