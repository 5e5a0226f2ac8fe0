//! Whether all nodes together may take more connections than the server should give.
//!
//! Behind a pooler there is nothing to compare: what the server has belongs to the pooler, which does not say how many
//! connections it takes, nor how many it has for its clients.

use super::connections::Connections;
use super::replica::Replica;
use super::rows::get;
use super::{Postgres, connect};
use crate::config::DatabaseSettings;
use crate::lifecycle::Lifecycle;
use crate::metrics::{DatabaseStats, PoolShare};
use crate::store::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::types::Type;

/// How often is looked.
const INTERVAL: Duration = Duration::from_secs(5);

/// How many tenths of the server's connections nodes may take together: the rest is for migrations, backups and people.
const TENTHS: u64 = 8;

/// Connections that the server has for others than its superusers; after how many milliseconds it ends a statement; how many
/// connections an application has.
const SQL: &str = "SELECT \
     (SELECT sum(CASE name WHEN 'max_connections' THEN setting::int8 ELSE - setting::int8 END)::int8 FROM pg_settings \
      WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')), \
     (SELECT setting::int8 FROM pg_settings WHERE name = 'statement_timeout'), \
     (SELECT count(*) FROM pg_stat_activity WHERE application_name = $1)";

/// What is compared.
pub(super) struct Sum {
    /// How many nodes there are, if somebody says so.
    nodes: Option<u64>,
    is_strict: bool,
    /// What the server ends statements after, if it was told by us.
    server_limit_ms: i64,
    application: String,
    stats: Arc<DatabaseStats>,
}

/// What the server says.
struct Said {
    connections: u64,
    is_pooled: bool,
    /// Connections of nodes, those of this one included.
    taken: u64,
}

impl Sum {
    pub(super) fn new(config: &Config, settings: &DatabaseSettings, stats: &Arc<DatabaseStats>) -> Self {
        Self {
            nodes: settings.db_nodes.map(u64::from),
            is_strict: settings.db_pool_strict,
            server_limit_ms: connect::server_limit_ms(settings),
            application: config.get_application_name().unwrap_or_default().to_owned(),
            stats: Arc::clone(stats),
        }
    }

    /// Connections that all nodes together may take, when each may take so many, `peers` others are known, and others have
    /// `taken` some already.
    fn wanted(&self, each: u64, peers: u64, taken: u64) -> u64 {
        let known = (peers > 0).then_some(peers + 1);
        match self.nodes.max(known) {
            Some(nodes) => each.saturating_mul(nodes),
            None => each.saturating_add(taken),
        }
    }

    /// Keeps what was found. True: it is too much.
    fn note(&self, wanted: u64, said: &Said) -> bool {
        let stats = &self.stats;
        let usable = said.connections * TENTHS / 10;
        let (was, is) = (stats.overcommit.get() == 1, !said.is_pooled && wanted > usable);
        stats.pooled.set(u64::from(said.is_pooled));
        stats.wanted.set(wanted);
        stats.usable.set(if said.is_pooled { 0 } else { usable });
        stats.overcommit.set(u64::from(is));
        if is && !was {
            tracing::warn!(
                wanted,
                usable,
                "all nodes together may take more connections than eight tenths of what the server has: lower db-pool-max, run fewer nodes, or raise max_connections"
            );
        } else if was && !is {
            tracing::info!(wanted, usable, "all nodes together may take no more connections than they should");
        }
        is
    }
}

impl Postgres {
    /// Looks for the first time, if the server `is_up`. One that is away says nothing about it, and a start that should be
    /// strict says that.
    ///
    /// # Errors
    /// When all nodes together may take too much, and that is not only to be warned of.
    pub(in crate::store) async fn begin_sum(&self, is_up: bool) -> Result<(), StoreError> {
        let looked = if is_up { self.look_at_sum(0).await } else { Err(StoreError::Unavailable("no answer".into())) };
        let said = match looked {
            Ok(said) => said,
            Err(error) => {
                if self.sum.is_strict {
                    tracing::warn!(
                        %error,
                        "db-pool-strict was not checked: the database does not say how many connections it has, and this node starts nevertheless"
                    );
                }
                return Ok(());
            }
        };
        if said.is_pooled {
            tracing::info!(
                "a pooler stands before the database: all nodes together have to fit into what it has for clients (max_client_conn), and share its connections; the server ends no statement by itself unless its role says so (statement_timeout)"
            );
        }
        let (wanted, usable) = (self.sum.stats.wanted.get(), self.sum.stats.usable.get());
        let is_refused = self.sum.is_strict && self.sum.stats.overcommit.get() == 1;
        if is_refused { Err(StoreError::Overcommitted { wanted, usable }) } else { Ok(()) }
    }

    /// Goes on looking until the process ends; `peers` says how many other nodes are known.
    pub(in crate::store) async fn watch_sum(self: Arc<Self>, peers: impl Fn() -> u64 + Send, lifecycle: Lifecycle) {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.tick().await;
        while !self.primary.is_closed() {
            tokio::select! {
                _ = ticks.tick() => {}
                () = lifecycle.stopping() => return,
            }
            if let Err(error) = self.look_at_sum(peers()).await {
                tracing::debug!(%error, "connections are not compared");
            }
        }
    }

    async fn look_at_sum(&self, peers: u64) -> Result<Said, StoreError> {
        let sum = &self.sum;
        let (application, server_limit_ms) = (sum.application.clone(), sum.server_limit_ms);
        let said = self.run(PoolShare::Workers, "look", move |client| {
            Box::pin(async move {
                let row = client.query_typed_one(SQL, &[(&application, Type::TEXT)]).await.map_err(connect::error)?;
                let (connections, limit_ms): (Option<i64>, Option<i64>) = (get(&row, 0)?, get(&row, 1)?);
                let count = |n: i64| u64::try_from(n).unwrap_or(0);
                Ok(Said {
                    connections: count(connections.unwrap_or(0)),
                    is_pooled: limit_ms != Some(server_limit_ms),
                    taken: count(get(&row, 2)?),
                })
            })
        });
        let said = said.await?;
        let own = || std::iter::once(&self.primary).chain(self.replica.as_ref().and_then(Replica::of_primary));
        let (each, taken) = (own().map(Connections::most).sum(), own().map(Connections::count).sum());
        sum.note(sum.wanted(each, peers, said.taken.saturating_sub(taken)), &said);
        Ok(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn sum(nodes: Option<u32>) -> Sum {
        let settings = DatabaseSettings { db_nodes: nodes, ..Settings::default().database };
        Sum::new(&Config::new(), &settings, &Arc::default())
    }

    #[test]
    fn whoever_knows_of_most_nodes_is_believed() {
        assert_eq!(sum(Some(4)).wanted(10, 0, 7), 40, "the setting");
        assert_eq!(sum(Some(4)).wanted(10, 5, 7), 60, "more are there than the setting says");
        assert_eq!(sum(None).wanted(10, 2, 7), 30, "Redis");
        assert_eq!(sum(None).wanted(10, 0, 7), 17, "nobody knows: what others have taken");
    }

    #[test]
    fn too_much_is_more_than_eight_tenths_and_nothing_behind_a_pooler() {
        let (sum, said) = (sum(None), |is_pooled| Said { connections: 97, is_pooled, taken: 0 });
        assert!(!sum.note(77, &said(false)) && sum.note(78, &said(false)));
        assert_eq!((sum.stats.overcommit.get(), sum.stats.usable.get()), (1, 77));
        assert!(!sum.note(78, &said(true)));
        assert_eq!((sum.stats.overcommit.get(), sum.stats.usable.get(), sum.stats.pooled.get()), (0, 0, 1));
    }
}
