//! Goal: reads that may be a little old cost the primary nothing while its replica keeps up, and nobody notices when it does
//! not. Method: a replica that streams from a server of the test's own, and is paused, stopped and started again.

use super::{Bench, NOW};
use crate::support::eventually;
use crate::support::postgres::{Postgres, database};
use roomcast::config::{DatabaseSettings, Secret};
use roomcast::metrics::{DatabasePool, ReadFallback, ReplicaState};
use roomcast::store::{DashboardScope, IncidentFilter, Looked};
use std::time::Duration;

fn with_replica(url: &str, replica: &str) -> DatabaseSettings {
    let (database_url_readonly, db_read_lag) = (Some(Secret::new(replica)), Duration::from_secs(1));
    DatabaseSettings { database_url_readonly, db_read_lag, ..database(url) }
}

fn state(bench: &Bench) -> Option<ReplicaState> {
    bench.metrics.node().database.replica()
}

fn fallbacks(bench: &Bench, reason: ReadFallback) -> u64 {
    bench.metrics.node().database.fallbacks(reason)
}

/// How often a server was asked this.
fn asked(bench: &Bench, pool: DatabasePool, operation: &str) -> u64 {
    bench.metrics.node().database.pool(pool).operations(operation)
}

async fn listed(bench: &Bench, newest: bool) -> usize {
    let filter = IncidentFilter { limit: 100, newest, ..IncidentFilter::default() };
    bench.store.incidents.incidents(filter).await.unwrap().incidents.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_to_the_replica_while_it_keeps_up_and_to_the_primary_otherwise() {
    let Some(primary) = Postgres::own().await else { return };
    let (url, _) = primary.database().await;
    let mut replica = primary.replica().await;
    let bench = Bench::open(with_replica(&url, &replica.url(&url)), None).await;
    bench.service().await;
    let first = bench.trigger("disk", NOW).await;
    eventually!(state(&bench) == Some(ReplicaState::Used));

    let on_primary = asked(&bench, DatabasePool::Primary, "incidents");
    eventually!(listed(&bench, false).await == 1);
    assert_eq!(bench.store.incidents.timeline(first.id, 0, 1, 10).await.unwrap().len(), 1);
    let looked = bench.store.dashboards.figures(DashboardScope::Global, NOW, 1).await.unwrap();
    assert!(matches!(looked, Looked::Figures(figures) if figures.open_total() == 1));
    for operation in ["incidents", "timeline", "dashboard"] {
        assert!(asked(&bench, DatabasePool::Replica, operation) > 0, "{operation}");
    }
    assert_eq!(asked(&bench, DatabasePool::Primary, "incidents"), on_primary);
    assert_eq!(asked(&bench, DatabasePool::Primary, "dashboard"), 0);
    bench.incident(first.id).await;
    assert_eq!(asked(&bench, DatabasePool::Replica, "one incident"), 0, "what its ETag says is never old");

    // It follows no more: what somebody knows of is there nevertheless, and what has to be new is.
    replica.execute("SELECT pg_wal_replay_pause()").await;
    bench.trigger("disk", NOW).await;
    bench.trigger("cpu", NOW).await;
    assert_eq!(bench.store.incidents.timeline(first.id, 0, 2, 10).await.unwrap().len(), 2);
    assert_eq!(listed(&bench, true).await, 2);
    eventually!(state(&bench) == Some(ReplicaState::Behind));
    assert_eq!(listed(&bench, false).await, 2);
    assert!(fallbacks(&bench, ReadFallback::Missing) + fallbacks(&bench, ReadFallback::Behind) >= 2);
    assert!(fallbacks(&bench, ReadFallback::Behind) >= 1);
    assert!(bench.metrics.node().database.replica_lag_us.get() > 1_000_000);
    replica.execute("SELECT pg_wal_replay_resume()").await;
    eventually!(state(&bench) == Some(ReplicaState::Used));

    replica.stop();
    for _ in 0..20 {
        assert_eq!(listed(&bench, false).await, 2, "nobody notices");
    }
    assert!(fallbacks(&bench, ReadFallback::Down) >= 1);
    eventually!(state(&bench) == Some(ReplicaState::Down));
    replica.start().await;
    eventually!(state(&bench) == Some(ReplicaState::Used));
    let on_replica = asked(&bench, DatabasePool::Replica, "incidents");
    assert_eq!(listed(&bench, false).await, 2);
    assert!(asked(&bench, DatabasePool::Replica, "incidents") > on_replica);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_follows_nobody_is_used_only_if_it_is_the_primary() {
    let (Some(postgres), Some(other)) = (Postgres::here().await, Postgres::own().await) else { return };
    let (url, pooled) = postgres.database().await;
    // An address of its own for reads, behind a pooler here.
    let settings = DatabaseSettings { db_nodes: Some(1), ..with_replica(&url, &pooled) };
    let bench = Bench::open(settings, None).await;
    bench.service().await;
    bench.trigger("disk", NOW).await;
    eventually!(state(&bench) == Some(ReplicaState::Used));
    assert_eq!((listed(&bench, false).await, asked(&bench, DatabasePool::Replica, "incidents")), (1, 1));
    assert_eq!(bench.metrics.node().database.wanted.get(), 10);
    bench.store.watch_connections(|| 0, &bench.lifecycle);
    eventually!(bench.metrics.node().database.wanted.get() == 20);
    // One that was cut off, and takes writes of others.
    let (elsewhere, _) = other.database().await;
    let bench = Bench::open(with_replica(&url, &elsewhere), None).await;
    eventually!(state(&bench) == Some(ReplicaState::Stranger));
    assert_eq!((listed(&bench, false).await, fallbacks(&bench, ReadFallback::Stranger)), (1, 1));
}

/// Method: the server of the primary under another address, where a database of the same server stands in for the replica: one
/// without tables, and one whose table somebody keeps locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_refuses_or_stands_still_costs_no_answer() {
    let Some(postgres) = Postgres::here().await else { return };
    let (url, _) = postgres.database().await;
    let empty = postgres.empty_database("replica_without_tables").await;
    let bench = Bench::open(with_replica(&url, &empty), None).await;
    bench.service().await;
    bench.trigger("disk", NOW).await;
    eventually!(state(&bench) == Some(ReplicaState::Used));
    assert_eq!((listed(&bench, false).await, fallbacks(&bench, ReadFallback::Refused)), (1, 1));

    let (other, _) = postgres.database().await;
    let db_statement_timeout = Duration::from_millis(500);
    let slow = Bench::open(DatabaseSettings { db_statement_timeout, ..with_replica(&url, &other) }, None).await;
    eventually!(state(&slow) == Some(ReplicaState::Used));
    assert_eq!(listed(&slow, false).await, 0, "the other database is asked");
    let locked = postgres.lock(&other, "incidents").await;
    assert_eq!((listed(&slow, false).await, fallbacks(&slow, ReadFallback::Slow)), (1, 1));
    let before = fallbacks(&slow, ReadFallback::Down);
    // Unless it has been looked at right then, nobody else waits for it.
    eventually!(listed(&slow, false).await == 1 && fallbacks(&slow, ReadFallback::Down) > before);
    locked.batch_execute("ROLLBACK").await.unwrap();
    eventually!(listed(&slow, false).await == 0);
}
