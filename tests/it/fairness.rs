//! Goal: one hot publisher does not stop delivery in other rooms. Method: it writes as fast as it can into a room of a
//! hundred, on a server with one worker, while pairs in other rooms talk.

use crate::support::{HEAVY, Peers, RawSocket, TestServer, beside, eventually, frame, p99};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What 99 of 100 round trips stay below beside the hot publisher, in an unoptimised build on a busy machine.
const P99_MAX: Duration = Duration::from_millis(250);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pairs_in_other_rooms_go_on_talking_beside_a_hot_publisher() {
    let _heavy = HEAVY.lock().await;
    let server = TestServer::start(|settings| {
        settings.delivery.workers = 1;
        settings.limits.packets_per_second = 0;
    });
    let mut pairs = Vec::new();
    for n in 0..4 {
        pairs.push(Peers::meet(&server, &format!("pair-{n}")).await);
    }
    let mut around = Vec::new();
    for _ in 0..100 {
        let mut member = RawSocket::websocket(&server, "/ws?room=hot").await;
        around.push(beside(async move {
            let mut sink = vec![0; 64 * 1024];
            while member.stream.read(&mut sink).await.is_ok_and(|n| n > 0) {}
        }));
    }
    eventually!(server.open_sockets().await == 108);
    let mut publisher = RawSocket::websocket(&server, "/ws").await;
    let burst = frame(0x81, format!("{{\"publish\":\"hot\",\"data\":\"{}\"}}", "x".repeat(200)).as_bytes()).repeat(64);
    let hot = beside(async move { while publisher.stream.write_all(&burst).await.is_ok() {} });
    eventually!(server.metric("roomcast_deliveries_total", "").await > 10_000);

    let before = server.metric("roomcast_deliveries_total", "").await;
    let mut talks = Vec::new();
    for mut pair in pairs {
        talks.push(beside(async move {
            let mut durations = Vec::new();
            for _ in 0..200 {
                durations.push(pair.round_trip().await);
            }
            durations
        }));
    }
    let mut durations = Vec::new();
    for talk in talks {
        durations.extend(crate::support::within("200 round trips", talk).await.unwrap());
    }
    let during = server.metric("roomcast_deliveries_total", "").await - before;
    assert!(!hot.is_finished(), "the hot publisher was closed");
    assert!(during > 10_000, "the hot room stood still: {during} deliveries");
    let slowest = p99(durations);
    assert!(slowest < P99_MAX, "the 99th percentile was {slowest:?}");
    hot.abort();
    around.iter().for_each(tokio::task::JoinHandle::abort);
}
