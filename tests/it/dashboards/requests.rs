//! Dashboards for whoever asks once, and health while the database is busy.

use super::{Board, snapshot};
use crate::http::request;
use crate::support::postgres::Postgres;
use crate::support::{TestServer, beside, eventually};
use serde_json::Value;
use std::time::Duration;

async fn get(server: &TestServer, path: &str, headers: &str) -> crate::http::Answer {
    request(server.public, "GET", &format!("/api/v1/dashboards/{path}"), headers, "").await
}

#[tokio::test]
async fn a_request_is_answered_with_what_the_room_shows() {
    let board = Board::sqlite(|_| ()).await;
    let mut member = board.look("dashboard:global").await;
    let shown = snapshot(&mut member).await;
    let answer = get(&board.server, "global", "").await;
    assert_eq!((answer.status, answer.json()), (200, shown.clone()));
    let version = format!("\"{}\"", shown["seq"]);
    assert!(answer.has("cache-control: private, max-age=5") && answer.has(&format!("etag: {version}")), "{answer:?}");
    let same = get(&board.server, "global", &format!("If-None-Match: {version}\r\n")).await;
    assert!(same.status == 304 && same.has(&format!("etag: {version}")), "{same:?}");
    assert_eq!(get(&board.server, "global", "If-None-Match: \"1\"\r\n").await.status, 200);
    assert_eq!(board.looks().await, 1);
}

#[tokio::test]
async fn many_who_ask_at_once_for_what_nobody_looks_at_cost_one_query() {
    let board = Board::sqlite(|settings| settings.dashboard.dashboard_floor = Duration::from_secs(5)).await;
    let address = board.server.public;
    let ask = || beside(request(address, "GET", "/api/v1/dashboards/service/demo", "", ""));
    let asked: Vec<_> = std::iter::repeat_with(ask).take(50).collect();
    let mut seqs = Vec::new();
    for answer in asked {
        let answer = answer.await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        seqs.push(answer.json()["seq"].clone());
    }
    seqs.dedup();
    assert_eq!((seqs.len(), board.looks().await), (1, 1));
}

#[tokio::test]
async fn whoever_asks_again_sees_what_has_happened_since() {
    let board = Board::sqlite(|_| ()).await;
    let total = async || get(&board.server, "global", "").await.json()["open"]["total"].clone();
    assert_eq!(total().await, 0);
    board.event("trigger", "disk").await;
    eventually!(total().await == 1);
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let board = Board::sqlite(|_| ()).await;
    for path in ["service/none", "team/none", "service/NONE", "team/a%3Ab"] {
        assert_eq!(get(&board.server, path, "").await.problem(), (404, "not-found".into()), "{path}");
    }
    assert_eq!(board.looks().await, 2, "what cannot be a name is not looked for");
    let without = TestServer::start(|_| ());
    assert_eq!(get(&without, "global", "").await.problem().0, 404);
}

/// Everything that asks the database waits for a table that somebody has locked.
#[tokio::test]
async fn health_and_snapshots_that_are_kept_are_answered_while_no_connection_is_free() {
    let Some(postgres) = Postgres::here().await else { return };
    let (direct, _) = postgres.database().await;
    let board = Board::on(&direct, None, |settings| settings.database.db_pool_max = Some(3)).await;
    let mut member = board.look("dashboard:global").await;
    let shown = snapshot(&mut member).await;
    let lock = postgres.lock(&direct, "incidents").await;
    let address = board.server.public;
    let waiting: Vec<_> = (0..8).map(|_| beside(request(address, "GET", "/api/v1/incidents", "", ""))).collect();
    eventually!(board.server.metric("roomcast_db_pool_waiting", "interactive").await >= 7);

    let mut quickest = Duration::MAX;
    for _ in 0..10 {
        let began = tokio::time::Instant::now();
        let health = request(board.server.admin, "GET", "/health", "", "").await;
        quickest = quickest.min(began.elapsed());
        let pool: Value = health.json()["database"]["pool"].clone();
        assert!(health.status == 200 && pool["waiting"].as_u64().unwrap() >= 7, "{health:?}");
    }
    assert!(quickest < Duration::from_millis(50), "{quickest:?}");
    let asked = get(&board.server, "global", "").await;
    assert_eq!((asked.status, asked.json()["seq"].clone()), (200, shown["seq"].clone()));
    drop(lock);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().status, 200);
    }
}
