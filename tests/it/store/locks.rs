//! Locks that somebody keeps: they cost others as little as can be, and end with whoever is gone.

use super::{Bench, NOW, alter, resolve, trigger};
use crate::support::postgres::Postgres;
use crate::support::{beside, eventually, within};
use futures_util::FutureExt as _;
use roomcast::store::{Isolation, OutboxPart, Publish, StoreError, Which};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How many statements of this database run or wait for a lock, the session of a test aside.
async fn active(watch: &tokio_postgres::Client) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
               AND pid <> pg_backend_pid() AND application_name = 'roomcast'";
    // In a transaction the server shows what was so when it was asked first.
    watch.batch_execute("SELECT pg_stat_clear_snapshot()").await.unwrap();
    watch.query_typed_one(sql, &[]).await.unwrap().get(0)
}

fn url(bench: &Bench) -> String {
    bench.settings.database_url.as_ref().unwrap().expose().to_owned()
}

/// Goal: one incident that is locked costs no other its events. Method: a session keeps one locked, while events come for it
/// and for others on its lane.
async fn one_locked_incident_costs_no_other(bench: Bench, postgres: &Postgres, direct: &str) {
    bench.service().await;
    let locked = bench.trigger("locked", NOW).await;
    let session = postgres.hold(direct, &format!("SELECT FROM incidents WHERE id = '{}' FOR UPDATE", locked.id)).await;
    let events = (0..60).map(|n| {
        let key = if n % 3 == 0 { "locked".to_owned() } else { format!("key-{n}") };
        let incidents = Arc::clone(&bench.store.incidents);
        (n, beside(async move { incidents.ingest(trigger(&key, NOW)).await }))
    });
    for (n, event) in events.collect::<Vec<_>>() {
        let answer = within("an answer", event).await.unwrap();
        match n % 3 {
            0 => assert_eq!(answer, Err(StoreError::Busy)),
            _ => assert!(answer.unwrap().is_some()),
        }
    }
    let step = alter("incident.annotated", |_| ());
    let refused = bench.store.incidents.change(Which::Id(locked.id), Isolation::Serializable, step).await;
    assert_eq!(refused, Err(StoreError::Busy));
    assert_eq!(active(&session).await, 0, "nothing is left behind that waits");
    session.batch_execute("ROLLBACK").await.unwrap();
    bench.trigger("locked", NOW).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_locked_incident_costs_no_other_on_postgres() {
    let (Some(bench), Some(postgres)) = (Bench::postgres().await, Postgres::here().await) else { return };
    let direct = url(&bench);
    one_locked_incident_costs_no_other(bench, postgres, &direct).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_locked_incident_costs_no_other_behind_pgbouncer() {
    let Some(postgres) = Postgres::here().await else { return };
    let (direct, pooled) = postgres.database().await;
    let bench = Bench::at(&pooled).await;
    one_locked_incident_costs_no_other(bench, postgres, &direct).await;
}

/// Goal: many locked incidents cost whoever waits behind them no more than its patience. Method: a session keeps forty of them
/// locked, for each of which an event alone would wait for half a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_longer_than_its_patience_behind_locked_incidents() {
    let (Some(mut bench), Some(postgres)) = (Bench::postgres().await, Postgres::here().await) else { return };
    bench.settings.db_pool_timeout = Some(Duration::from_secs(1));
    let node = bench.neighbour().await;
    bench.service().await;
    for n in 0..40 {
        bench.trigger(&format!("locked-{n}"), NOW).await;
    }
    let session = postgres.hold(&url(&bench), "SELECT FROM incidents FOR UPDATE").await;
    let began = tokio::time::Instant::now();
    let events = (0..40).map(|n| {
        let incidents = Arc::clone(&node.store.incidents);
        beside(async move { incidents.ingest(trigger(&format!("locked-{n}"), NOW)).await })
    });
    for event in events.collect::<Vec<_>>() {
        let answer = within("an answer", event).await.unwrap();
        assert!(matches!(answer, Err(StoreError::Busy | StoreError::Exhausted(_))), "{answer:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    session.batch_execute("ROLLBACK").await.unwrap();
}

/// Whoever asked has gone while the server waited for a lock: it waits no longer than it takes to tell it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_is_given_up_ends_on_the_server_too() {
    let (Some(bench), Some(postgres)) = (Bench::postgres().await, Postgres::here().await) else { return };
    bench.service().await;
    let session = postgres.lock(&url(&bench), "services").await;
    let services = Arc::clone(&bench.store.services);
    let asked = beside(async move { services.service("api".into()).await });
    eventually!(active(&session).await == 1);
    asked.abort();
    eventually!(active(&session).await == 0);
}

/// Goal: a host that dies while the broker confirms keeps its part of the outbox for seconds only. Method: a broker that never
/// answers, and another node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_stands_still_is_relieved_of_its_part() {
    let Some(mut bench) = Bench::postgres().await else { return };
    bench.settings.db_statement_timeout = Duration::from_secs(600);
    let dying = bench.neighbour().await;
    bench.service().await;
    let first = bench.trigger("disk", NOW).await;
    bench.store.incidents.change(Which::Id(first.id), Isolation::Locked, resolve()).await.unwrap();
    let is_standing = Arc::new(Notify::new());
    let standing = Arc::clone(&is_standing);
    let never: Publish = Arc::new(move |_: Vec<OutboxPart>| {
        standing.notify_one();
        std::future::pending().boxed()
    });
    let outbox = Arc::clone(&dying.store.outbox);
    let relaying = beside(async move { outbox.relay(10, never).await });
    within("the broker", is_standing.notified()).await;
    let all: Publish = Arc::new(|parts: Vec<OutboxPart>| {
        std::future::ready(parts.iter().map(|part| part.events.len()).collect()).boxed()
    });
    assert_eq!(bench.store.outbox.relay(10, Arc::clone(&all)).await.unwrap(), 0, "somebody else does it");
    eventually!(bench.store.outbox.relay(10, Arc::clone(&all)).await.unwrap() == 2);
    assert!(!relaying.is_finished(), "it has noticed nothing");
    relaying.abort();
}
