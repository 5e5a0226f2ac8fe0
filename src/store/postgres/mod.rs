//! PostgreSQL, through one small pool.
//!
//! Nothing here needs a session: no prepared statements with names, no SET, no LISTEN, no locks that outlive a transaction. So a
//! `PgBouncer` in transaction mode may stand in between, of any version. `clippy.toml` bans the calls of the driver that
//! would name a statement.

mod alerts;
mod bounds;
mod change;
pub(super) mod connect;
mod connections;
mod create;
mod dashboards;
mod incidents;
mod ingest;
mod lanes;
mod outbox;
mod question;
mod replica;
mod rows;
mod services;
mod sum;
mod tls;

use super::limits::Limits;
use super::{StoreError, migrations};
use crate::config::{DatabaseSettings, PostgresPlace};
use crate::lifecycle::Lifecycle;
use crate::metrics::{DatabasePool, DatabaseStats, PoolShare};
use connections::Connections;
use deadpool_postgres::Object;
use futures_util::future::BoxFuture;
use lanes::Lanes;
use replica::Replica;
use std::sync::Arc;
use sum::Sum;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

/// A value for a statement, and its type: the server is never asked for it.
type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// A PostgreSQL server.
pub(super) struct Postgres {
    primary: Connections,
    replica: Option<Replica>,
    stats: Arc<DatabaseStats>,
    lanes: Lanes,
    sum: Sum,
    limits: Limits,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Postgres")
    }
}

impl Postgres {
    /// Without connections: they come when they are needed. What comes in on the lanes is worked off.
    pub(super) fn open(
        place: &PostgresPlace,
        settings: &DatabaseSettings,
        stats: &Arc<DatabaseStats>,
        lifecycle: &Lifecycle,
    ) -> Result<Arc<Self>, StoreError> {
        let primary = Connections::open(place, settings, DatabasePool::Primary, stats)?;
        let replica = settings.read_place().map_err(StoreError::Fault)?;
        let replica = replica.map(|place| Replica::open(&place, settings, stats)).transpose()?;
        let sum = Sum::new(&connect::config(place, settings)?, settings, stats);
        let (lanes, queues) = Lanes::new(settings.db_pool_queue);
        let (stats, limits) = (Arc::clone(stats), Limits::of(settings));
        let postgres = Arc::new(Self { primary, replica, stats, lanes, sum, limits });
        postgres.open_lanes(queues, lifecycle);
        Ok(postgres)
    }

    /// Runs an operation with a connection.
    async fn run<T, W>(&self, share: PoolShare, operation: &'static str, work: W) -> Result<T, StoreError>
    where
        W: for<'c> FnOnce(&'c mut Object) -> BoxFuture<'c, Result<T, StoreError>> + Send,
    {
        self.primary.run(share, operation, work).await
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
        let replica = async {
            if let Some(replica) = &self.replica {
                replica.keep(&lifecycle).await;
            }
        };
        tokio::join!(self.primary.keep(&lifecycle), replica, self.watch_replica(&lifecycle));
    }

    pub(super) fn close(&self) {
        self.primary.close();
        self.replica.iter().for_each(Replica::close);
    }
}
