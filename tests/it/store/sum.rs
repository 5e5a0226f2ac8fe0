//! Goal: nobody finds out under load that all nodes together take more connections than the server has. Method: servers that
//! are told how many nodes there are, or find others there.

use super::Bench;
use crate::http::request;
use crate::support::postgres::{Postgres, database};
use crate::support::{TestServer, eventually};
use roomcast::config::DatabaseSettings;
use roomcast::lifecycle::Lifecycle;
use roomcast::metrics::Metrics;
use roomcast::store::{Store, StoreError};
use std::process::Command;

/// The server of the tests has 300 connections, 3 of them for superusers: eight tenths of the others.
const USABLE: u64 = 237;

fn nodes(url: &str, nodes: u32) -> DatabaseSettings {
    DatabaseSettings { db_nodes: Some(nodes), ..database(url) }
}

/// What was found when a node came: connections that all may take, those they should not exceed, too much, behind a pooler.
fn found(bench: &Bench) -> (u64, u64, u64, u64) {
    let stats = &bench.metrics.node().database;
    (stats.wanted.get(), stats.usable.get(), stats.overcommit.get(), stats.pooled.get())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_all_nodes_may_take_is_held_against_what_the_server_has() {
    let Some(postgres) = Postgres::here().await else { return };
    let (direct, pooled) = postgres.database().await;
    assert_eq!(found(&Bench::open(nodes(&direct, 23), None).await), (230, USABLE, 0, 0));
    assert_eq!(found(&Bench::open(nodes(&direct, 24), None).await), (240, USABLE, 1, 0));
    assert_eq!(found(&Bench::open(nodes(&pooled, 24), None).await), (240, 0, 0, 1), "nobody knows behind a pooler");
    let named = format!("{direct}&application_name=a_sum&connection_limit=230");
    assert_eq!(found(&Bench::at(&named).await).2, 0, "it is alone");
    let mut others = Vec::new();
    for _ in 0..8 {
        others.push(postgres.hold(&named.replace("&connection_limit=230", ""), "SELECT").await);
    }
    assert_eq!(found(&Bench::at(&named).await).2, 1, "others have taken some");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_would_take_too_much_fails_where_that_is_asked_for() {
    let Some(postgres) = Postgres::here().await else { return };
    let (direct, pooled) = postgres.database().await;
    for (url, nodes, fails) in [(&direct, 24, true), (&direct, 23, false), (&pooled, 24, false)] {
        let settings = DatabaseSettings { db_nodes: Some(nodes), db_pool_strict: true, ..database(url) };
        let (metrics, lifecycle) = (Metrics::new(1), Lifecycle::default());
        match Box::pin(Store::open(&settings, &metrics.node().database, &lifecycle)).await {
            Ok(store) => assert!(!fails, "{}", store.map_or_else(String::new, |store| format!("{store:?}"))),
            Err(error) => {
                assert_eq!(error, StoreError::Overcommitted { wanted: 240, usable: USABLE });
                assert!(fails);
            }
        }
        lifecycle.stop();
    }
    let mut server = Command::new(env!("CARGO_BIN_EXE_roomcast"));
    server.env_clear().env("ROOMCAST_AUTH_SECRET", crate::support::SECRET).env("DATABASE_URL", &direct);
    server.env("DB_NODES", "24").env("DB_POOL_STRICT", "true");
    let ended = server.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(said.contains("may take 240 connections") && said.contains("lower db-pool-max"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_that_it_is_too_much() {
    let Some(postgres) = Postgres::here().await else { return };
    let (direct, _) = postgres.database().await;
    let url = format!("{direct}&connection_limit=40&pool_timeout=30");
    let server = TestServer::start(|settings| settings.database = nodes(&url, 6));
    eventually!(server.metric("roomcast_db_pool_overcommit", "").await == 1);
    let health = request(server.admin, "GET", "/health", "", "").await.json();
    let warning = health["warnings"][0].as_str().unwrap();
    assert!(warning.contains("240") && warning.contains("237"), "{health}");
    assert_eq!((&health["database"]["pooled"], &health["status"]), (&false.into(), &"ok".into()));
    let pool = &health["database"]["pool"];
    assert_eq!((&pool["max"], &pool["patience_ms"]), (&40.into(), &30_000.into()));
}
