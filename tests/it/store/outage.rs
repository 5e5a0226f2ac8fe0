//! A PostgreSQL server that goes away and comes back.

use super::{Bench, NOW, trigger};
use crate::support::eventually;
use crate::support::postgres::Postgres;
use roomcast::metrics::DatabasePool;
use roomcast::store::StoreError;
use uuid::Uuid;

/// The name of a bench's database.
fn name(bench: &Bench) -> String {
    let url = bench.settings.database_url.as_ref().unwrap().expose();
    url.rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned()
}

async fn cut(postgres: &Postgres, name: &str) {
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    postgres.execute("postgres", &cut).await;
}

/// An incident that was taken up. Connections that were cut are found out one by one, as somebody uses them.
async fn acknowledged(bench: &Bench, key: &str) -> Uuid {
    let mut taken = Vec::new();
    eventually!({
        taken.extend(bench.store.incidents.ingest(trigger(key, NOW)).await.ok().flatten());
        !taken.is_empty()
    });
    taken[0].id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_when_the_database_comes_back_and_nobody_has_to_do_anything() {
    let (Some(bench), Some(postgres)) = (Bench::postgres().await, Postgres::here().await) else { return };
    bench.service().await;
    let (name, mut kept) = (name(&bench), Vec::new());
    for round in 0..3 {
        kept.push(acknowledged(&bench, &format!("before-{round}")).await);
        postgres.execute("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false")).await;
        cut(postgres, &name).await;
        let refused = bench.store.incidents.ingest(trigger("while", NOW)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
        assert_eq!(bench.metrics.node().database.pool(DatabasePool::Primary).up.get(), 0);
        postgres.execute("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS true")).await;
        kept.push(acknowledged(&bench, &format!("after-{round}")).await);
        assert_eq!(bench.metrics.node().database.pool(DatabasePool::Primary).up.get(), 1);
    }
    for id in kept {
        bench.incident(id).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_that_is_given_up_leaves_no_connection_behind_that_others_wait_for() {
    let (Some(bench), Some(_)) = (Bench::postgres().await, Postgres::here().await) else { return };
    bench.service().await;
    let first = bench.trigger("disk", NOW).await;
    for _ in 0..30 {
        // Whoever asked has gone in the middle of it.
        let asked = bench.store.incidents.change(
            roomcast::store::Which::Id(first.id),
            roomcast::store::Isolation::Serializable,
            super::alter("incident.annotated", |_| ()),
        );
        let given_up = tokio::time::timeout(std::time::Duration::from_micros(500), asked).await;
        drop(given_up);
    }
    let incident = bench.incident(first.id).await;
    let timeline = bench.store.incidents.timeline(first.id, 0, 0, 1_000).await.unwrap();
    assert_eq!(timeline.len(), usize::try_from(incident.seq).unwrap(), "each was done as a whole or not at all");
    let busy = || {
        roomcast::metrics::PoolShare::ALL
            .iter()
            .map(|share| bench.metrics.node().database.pool(DatabasePool::Primary).share(*share).busy.get())
            .sum::<u64>()
    };
    eventually!(busy() == 0);
}
