//! The schema: applied once, whoever does it; a program lives with a newer one, and not with an older one.

use super::{Bench, new_folder};
use crate::support::beside;
use crate::support::postgres::{Postgres, database};
use roomcast::config::DatabaseSettings;
use roomcast::lifecycle::Lifecycle;
use roomcast::metrics::Metrics;
use roomcast::store::{Store, StoreError, migrate};

/// Steps of the schema.
const STEPS: usize = 4;

/// Migrates a database from four sides at once. Returns how many steps were applied.
async fn migrated_by_four(settings: &DatabaseSettings) -> usize {
    let sides = (0..4).map(|_| {
        let settings = settings.clone();
        beside(async move { Box::pin(migrate(&settings)).await.unwrap().unwrap() })
    });
    let mut applied = 0;
    for side in sides.collect::<Vec<_>>() {
        let migrated = side.await.unwrap();
        assert!(migrated.version >= 1);
        applied += migrated.applied.len();
    }
    applied
}

async fn open(settings: &DatabaseSettings) -> Result<(), StoreError> {
    let (metrics, lifecycle) = (Metrics::new(1), Lifecycle::default());
    let opened = Box::pin(Store::open(settings, &metrics.node().database, &lifecycle)).await;
    lifecycle.stop();
    opened.map(|store| store.unwrap().close())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_processes_that_migrate_at_once_apply_each_step_once() {
    let folder = new_folder();
    let file = database(&format!("sqlite:{}", folder.join("x.sqlite").display()));
    assert_eq!(migrated_by_four(&file).await, STEPS);
    std::fs::remove_dir_all(folder).unwrap();
    let Some(postgres) = Postgres::here().await else { return };
    let server = database(&postgres.empty_database("migrated_by_four").await);
    assert_eq!(migrated_by_four(&server).await, STEPS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_is_older_is_refused_and_a_newer_one_is_not() {
    let Some(postgres) = Postgres::here().await else { return };
    let settings = database(&postgres.empty_database("older").await);
    let refused = open(&settings).await.unwrap_err().to_string();
    assert!(refused.contains("run `roomcast migrate`"), "{refused}");
    Box::pin(migrate(&settings)).await.unwrap();
    open(&settings).await.unwrap();
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) VALUES (9999, 'later', '2030-01-01T00:00:00Z', '1')";
    postgres.execute("older", newer).await;
    open(&settings).await.unwrap();
    assert!(Box::pin(migrate(&settings)).await.unwrap().unwrap().applied.is_empty(), "nothing goes backwards");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_no_reason_not_to_start() {
    let nobody = database("postgres://nobody@127.0.0.1:1/none");
    open(&nobody).await.unwrap();
    assert!(matches!(Box::pin(migrate(&nobody)).await, Err(StoreError::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_a_file_is_there_again_after_a_restart() {
    let bench = Bench::sqlite().await.unwrap();
    bench.service().await;
    let first = bench.trigger("disk", super::NOW).await;
    let again = bench.neighbour().await;
    drop(again.store.incidents.incident(first.id).await.unwrap().unwrap());
}
