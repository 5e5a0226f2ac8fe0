//! Connections come when they are needed, are used again and again, and go when they are not.

use super::{Bench, NOW};
use crate::support::eventually;
use crate::support::postgres::{Postgres, database};
use futures_util::future::join_all;
use roomcast::config::DatabaseSettings;
use roomcast::metrics::{DatabasePool, PoolStats};
use std::time::Duration;

fn pool(bench: &Bench) -> &PoolStats {
    bench.metrics.node().database.pool(DatabasePool::Primary)
}

async fn with(change: impl Fn(DatabaseSettings) -> DatabaseSettings) -> Option<Bench> {
    let (url, _) = Postgres::here().await?.database().await;
    Some(Bench::open(change(database(&url)), None).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_used_again_and_those_that_are_idle_go_down_to_the_least() {
    let least = |settings| DatabaseSettings { db_pool_min: 1, db_idle_timeout: Duration::from_millis(100), ..settings };
    let Some(bench) = with(least).await else { return };
    bench.service().await;
    for round in 0..10 {
        join_all((0..20).map(|n| bench.trigger(if n % 2 == 0 { "disk" } else { "cpu" }, NOW + round))).await;
        join_all((0..20).map(|_| bench.store.services.service("api".into()))).await;
    }
    let (made, asked) = (pool(&bench).connected.get(), pool(&bench).operations("one service"));
    assert!(asked >= 200 && made <= 10, "{made} connections for {asked} operations");
    eventually!(pool(&bench).connections.get() == 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_old_are_replaced() {
    let short = |settings| DatabaseSettings { db_pool_min: 1, db_max_lifetime: Duration::from_millis(100), ..settings };
    let Some(bench) = with(short).await else { return };
    let made = pool(&bench).connected.get();
    eventually!(pool(&bench).connected.get() >= made + 2);
    assert!(pool(&bench).connections.get() <= 2);
}
