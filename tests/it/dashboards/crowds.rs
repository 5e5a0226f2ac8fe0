//! Many who look, and those who look slowly.

use super::{Board, NEVER, open, snapshot};
use crate::support::{EventStream, HEAVY, RawSocket, Told, eventually, frame, within};
use roomcast::metrics::PoolShare;
use serde_json::Value;
use std::time::Duration;

/// Rounds in each of which something happens and is seen.
const ROUNDS: u64 = 20;

const STREAM: &str = "room=dashboard:global";

/// The next snapshot of a stream.
async fn told(stream: &mut EventStream) -> Value {
    loop {
        if let Told::Event(name, event) = within("a snapshot", stream.told()).await {
            assert_eq!(name, "dashboard.snapshot");
            return event["data"].clone();
        }
    }
}

/// How often the database is asked while so many look and something happens again and again.
async fn looks_with(board: &Board, streams: &mut [EventStream], first: u64) -> u64 {
    let mut probe = board.look("dashboard:global").await;
    let before = board.looks().await;
    for n in first + 1..=first + ROUNDS {
        board.event("trigger", &n.to_string()).await;
        open(&mut probe, n).await;
    }
    for stream in streams {
        while told(stream).await["open"]["total"] != first + ROUNDS {}
    }
    board.looks().await - before
}

#[tokio::test]
async fn five_hundred_who_look_cost_as_many_queries_as_ten_on_sqlite() {
    five_hundred_cost_as_much_as_ten(Board::sqlite(|_| ()).await).await;
}

#[tokio::test]
async fn five_hundred_who_look_cost_as_many_queries_as_ten_on_postgres() {
    let Some(board) = Board::postgres(|_| ()).await else { return };
    five_hundred_cost_as_much_as_ten(board).await;
}

async fn five_hundred_cost_as_much_as_ten(board: Board) {
    let _heavy = HEAVY.lock().await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(EventStream::listen(&board.server, STREAM).await);
    }
    let ten = looks_with(&board, &mut streams, 0).await;
    let (before, avoided) = (board.looks().await, board.avoided().await);
    while streams.len() < 500 {
        streams.push(EventStream::listen(&board.server, STREAM).await);
    }
    eventually!(board.avoided().await >= avoided + 490);
    assert_eq!(board.looks().await, before, "whoever joins is shown what is there");
    let many = looks_with(&board, &mut streams, ROUNDS).await;
    assert!(many.abs_diff(ten) <= ten.div_ceil(10), "{ten} queries for ten, {many} for five hundred");

    // Nobody holds a connection who only looks. What looks after the outbox and the timers is there for an instant now and then.
    let busy = async |share: PoolShare| {
        board.server.metric("roomcast_db_pool_busy", &format!("share=\"{}\"", share.label())).await
    };
    for _ in 0..20 {
        assert_eq!(busy(PoolShare::Interactive).await, 0);
    }
    eventually!(busy(PoolShare::Workers).await == 0);
    eventually!(busy(PoolShare::Relay).await == 0);
    eventually!(board.server.open_sockets().await == 500);
}

#[tokio::test]
async fn whoever_joins_is_shown_the_last_snapshot_at_once_and_without_a_query() {
    let board = Board::sqlite(|_| ()).await;
    let mut first = board.look("dashboard:global").await;
    let shown = snapshot(&mut first).await;
    let (looks, avoided) = (board.looks().await, board.avoided().await);
    assert_eq!((looks, avoided), (1, 0));
    for n in 1..=20 {
        let mut next = board.look("dashboard:global").await;
        assert_eq!(snapshot(&mut next).await, shown);
        assert_eq!((board.looks().await, board.avoided().await), (looks, n));
    }
}

/// A snapshot is about 3 KB: two of them fill the buffers of somebody who does not read.
#[tokio::test]
async fn whoever_looks_slowly_sees_the_latest_only() {
    let board = Board::sqlite(|settings| {
        settings.delivery.send_buffer = 4 * 1024;
        settings.dashboard.dashboard_floor = Duration::from_millis(1);
        settings.dashboard.dashboard_debounce = Duration::ZERO;
        settings.dashboard.dashboard_ceiling = NEVER;
    })
    .await;
    let mut slow = RawSocket::with_small_buffer(board.server.public).await;
    slow.send(crate::support::handshake("/ws", "").as_bytes()).await;
    assert_eq!(slow.status().await, 101);
    slow.send(&frame(0x81, br#"{"id":1,"join":"dashboard:global"}"#)).await;
    while !slow.text().await.contains("\"ok\"") {}

    let mut probe = board.look("dashboard:global").await;
    let (mut n, mut last) = (0, 0);
    while n < 40 || board.server.metric("roomcast_drops_total", "conflated").await < 10 {
        n += 1;
        assert!(n < 1_000, "somebody who does not read gets everything");
        board.event("trigger", &n.to_string()).await;
        last = open(&mut probe, n).await["seq"].as_i64().unwrap();
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        let heard: Value = serde_json::from_str(&slow.text().await).unwrap();
        seen.extend(heard["data"]["seq"].as_i64());
    }
    assert!(seen.is_sorted() && seen.len() as u64 <= n - 9, "{} of {n} snapshots", seen.len());
    assert_eq!(board.server.closes("slow-consumer").await, 0);
}
