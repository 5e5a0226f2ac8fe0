//! What members see, and when.

use super::{Board, NEVER, open, snapshot};
use crate::http::post;
use crate::support::{Client, SPEAKING, eventually};
use roomcast::config::Settings;
use roomcast::protocol::Wire;
use serde_json::json;
use std::time::Duration;

fn as_it_comes(_: &mut Settings) {}

#[tokio::test]
async fn a_dashboard_shows_what_happens_on_sqlite() {
    shows_what_happens(Board::sqlite(as_it_comes).await).await;
}

#[tokio::test]
async fn a_dashboard_shows_what_happens_on_postgres() {
    let Some(board) = Board::postgres(as_it_comes).await else { return };
    shows_what_happens(board).await;
}

async fn shows_what_happens(board: Board) {
    let mut member = board.look("dashboard:global").await;
    let empty = snapshot(&mut member).await;
    assert_eq!((&empty["scope"], &empty["open"]["total"]), (&json!("global"), &json!(0)));
    assert_eq!(empty["online"]["members"]["dashboard"], 1);
    assert!(empty["online"]["sockets"].as_u64().unwrap() >= 1 && empty["online"]["nodes"] == 1, "{empty}");

    board.event("trigger", "disk").await;
    board.event("trigger", "cpu").await;
    board.event("acknowledge", "cpu").await;
    let mut two = open(&mut member, 2).await;
    while two["open"]["acknowledged"]["critical"] != 1 {
        two = snapshot(&mut member).await;
    }
    assert_eq!(two["open"]["triggered"], json!({"critical": 1, "error": 0, "warning": 0, "info": 0}));
    let top = json!({"top": [{"service": "demo", "open": 2}], "rest": {"services": 0, "open": 0}});
    assert_eq!((&two["open_by_service"], &two["mtta"]["1h"]["count"]), (&top, &json!(1)));
    assert!(two["seq"].as_i64() > empty["seq"].as_i64());

    board.event("resolve", "disk").await;
    let one = open(&mut member, 1).await;
    assert_eq!((&one["mttr"]["24h"]["count"], &one["mtta"]["24h"]["count"]), (&json!(1), &json!(1)));
    let sum = |minutes: &serde_json::Value| minutes.as_array().unwrap().iter().filter_map(|n| n.as_u64()).sum::<u64>();
    assert_eq!((sum(&one["per_minute"]["triggered"]), sum(&one["per_minute"]["resolved"])), (2, 1));
    assert_eq!(one["unacknowledged_over_target"], 0);
}

#[tokio::test]
async fn services_and_teams_have_dashboards_of_their_own_on_every_wire() {
    let board = Board::sqlite(as_it_comes).await;
    let other = json!({"slug": "other", "team": "core", "ack_target_secs": 60});
    assert_eq!(post(&board.server, "/api/v1/services", other).await.status, 201);
    for wire in SPEAKING {
        for (room, scope) in [("dashboard:service:demo", "service:demo"), ("dashboard:team:core", "team:core")] {
            let mut member = Client::member(&board.server, wire, room).await;
            assert_eq!(snapshot(&mut member).await["scope"], scope, "{wire:?}");
        }
    }
    let mut demo = board.look("dashboard:service:demo").await;
    let mut core = board.look("dashboard:team:core").await;
    snapshot(&mut demo).await;
    snapshot(&mut core).await;
    board.event("trigger", "disk").await;
    open(&mut demo, 1).await;
    let new = json!({"service": "other", "title": "by hand", "severity": "error"});
    assert_eq!(post(&board.server, "/api/v1/incidents", new).await.status, 201);
    let shown = open(&mut core, 1).await;
    assert_eq!(shown["open"]["triggered"]["error"], 1);
}

/// The ceiling is never reached here: what is shown at the end is shown because it was the last change.
#[tokio::test]
async fn the_last_change_is_in_the_last_snapshot() {
    let board = Board::sqlite(|settings| settings.dashboard.dashboard_floor = Duration::from_millis(300)).await;
    let mut member = board.look("dashboard:global").await;
    let began = tokio::time::Instant::now();
    for n in 1..=60 {
        board.event("trigger", &n.to_string()).await;
    }
    open(&mut member, 60).await;
    let most = 2 + began.elapsed().as_millis() / 300;
    let looks = u128::from(board.looks().await);
    assert!(looks <= most, "{looks} looks at the database, and {most} would be one for each floor");
}

#[tokio::test]
async fn what_nobody_looks_at_is_not_looked_for() {
    let board = Board::sqlite(|settings| settings.dashboard.dashboard_ceiling = Duration::from_millis(100)).await;
    board.event("trigger", "disk").await;
    eventually!(board.server.metric("roomcast_outbox_relayed_total", "").await == 1);
    assert_eq!(board.looks().await, 0);
    let mut left = board.look("dashboard:global").await;
    open(&mut left, 1).await;
    left.leave("dashboard:global").await.unwrap();
    // From now on each look is one for whoever looks at the service.
    let mut member = board.look("dashboard:service:demo").await;
    snapshot(&mut member).await;
    let looks = board.looks().await;
    for n in 0..10 {
        board.event("trigger", &n.to_string()).await;
        snapshot(&mut member).await;
    }
    let more = board.looks().await - looks;
    assert!((9..=11).contains(&more), "{more} looks for ten snapshots");
}

/// Windows move and targets pass while nothing happens.
#[tokio::test]
async fn a_dashboard_that_is_looked_at_is_never_older_than_the_ceiling() {
    let board = Board::sqlite(|settings| settings.dashboard.dashboard_ceiling = Duration::from_millis(100)).await;
    let mut member = board.look("dashboard:global").await;
    let mut last = i64::MIN;
    for _ in 0..5 {
        let seq = snapshot(&mut member).await["seq"].as_i64().unwrap();
        assert!(seq > last);
        last = seq;
    }
    assert!(board.server.metric("roomcast_dashboard_oldest_age_seconds", "").await < 5);
}

#[tokio::test]
async fn a_room_of_no_service_is_silent_and_asked_for_once() {
    let board = Board::sqlite(|settings| settings.dashboard.dashboard_ceiling = Duration::from_millis(50)).await;
    let _silent = [board.look("dashboard:service:none").await, board.look("dashboard:service:none").await];
    let _no_scope = board.look("dashboard:whatever").await;
    let mut member = board.look("dashboard:global").await;
    for _ in 0..5 {
        snapshot(&mut member).await;
    }
    assert_eq!(board.server.metric("roomcast_dashboard_refreshes_total", "missing").await, 1);
    assert_eq!(board.server.metric("roomcast_dashboards", "").await, 2);
}

#[tokio::test]
async fn nobody_says_snapshots_but_the_server() {
    let board = Board::sqlite(as_it_comes).await;
    let mut member = Client::member(&board.server, Wire::SocketIo, "free").await;
    let said = json!({"room": "free", "event": "dashboard.snapshot", "data": {"seq": 1}});
    member.publish(said).await.unwrap_err();
    let said = json!({"event": "dashboard.snapshot", "data": {"seq": 1}});
    assert_eq!(post(&board.server, "/api/v1/rooms/dashboard:global/events", said).await.status, 400);
}

#[tokio::test]
async fn dashboards_are_bounded_and_those_that_nobody_looks_at_make_place() {
    let board = Board::sqlite(|settings| {
        settings.dashboard.dashboards = 1;
        settings.dashboard.dashboard_ceiling = NEVER;
    })
    .await;
    let mut first = board.look("dashboard:global").await;
    snapshot(&mut first).await;
    let mut second = board.look("dashboard:service:demo").await;
    eventually!(board.server.metric("roomcast_dashboards_refused_total", "").await == 1);
    first.leave("dashboard:global").await.unwrap();
    second.leave("dashboard:service:demo").await.unwrap();
    second.join("dashboard:service:demo").await.unwrap();
    assert_eq!(snapshot(&mut second).await["scope"], "service:demo");
}

#[tokio::test]
async fn rooms_of_no_service_take_no_place_from_those_that_exist() {
    let board = Board::sqlite(|settings| {
        settings.dashboard.dashboards = 2;
        settings.dashboard.dashboard_ceiling = NEVER;
    })
    .await;
    let missing = async || board.server.metric("roomcast_dashboard_refreshes_total", "missing").await;
    let _silent = [board.look("dashboard:service:none").await, board.look("dashboard:service:nothing").await];
    eventually!(missing().await == 2);
    let mut member = board.look("dashboard:global").await;
    assert_eq!(snapshot(&mut member).await["scope"], "global");
    let mut other = board.look("dashboard:service:demo").await;
    assert_eq!(snapshot(&mut other).await["scope"], "service:demo");
    assert_eq!(board.server.metric("roomcast_dashboards_refused_total", "").await, 0);
}

#[tokio::test]
async fn whoever_leaves_a_room_of_no_service_and_comes_back_costs_no_query() {
    let board = Board::sqlite(|settings| settings.dashboard.dashboard_ceiling = NEVER).await;
    let mut restless = board.look("dashboard:service:none").await;
    eventually!(board.server.metric("roomcast_dashboard_refreshes_total", "missing").await == 1);
    let mut member = board.look("dashboard:service:demo").await;
    snapshot(&mut member).await;
    let looks = board.looks().await;
    for n in 1..=5 {
        restless.leave("dashboard:service:none").await.unwrap();
        restless.join("dashboard:service:none").await.unwrap();
        board.event("trigger", &n.to_string()).await;
        open(&mut member, n).await;
    }
    assert_eq!(board.server.metric("roomcast_dashboard_refreshes_total", "missing").await, 1);
    assert!(board.looks().await > looks);
}
