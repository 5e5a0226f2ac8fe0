//! Goal: whoever does not read costs a bounded amount of memory and nobody else anything.
//! Method: small kernel buffers, a member that stops reading while its room is flooded, and others that count.

use crate::support::{Client, HEAVY, RawSocket, SocketIoClient, TestServer, beside, eventually, frame};
use roomcast::config::{SlowConsumerPolicy, SlowConsumerRule};
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;

const MIB: u64 = 1024 * 1024;

/// A send buffer that a few events fill.
const SMALL: usize = 16 * 1024;
/// One that does not slow down those who read: the kernel may hold their acknowledgements back for 40 ms, and more than this
/// is not said in that time.
const ROOMY: usize = 192 * 1024;

fn server(timeout: Duration, send_buffer: usize) -> TestServer {
    TestServer::start(|settings| {
        settings.delivery.workers = 2;
        settings.delivery.slow_consumer_timeout = timeout;
        settings.delivery.send_buffer = send_buffer;
        settings.limits.packets_per_second = 0;
    })
}

/// A member with a small receive buffer that has joined `room` and reads no more.
async fn sleeper(server: &TestServer, room: &str) -> RawSocket {
    let mut socket = RawSocket::with_small_buffer(server.public).await;
    socket.send(crate::support::handshake("/socket.io/?EIO=4&transport=websocket", "").as_bytes()).await;
    assert_eq!(socket.status().await, 101);
    socket
        .send(&[frame(0x81, b"40"), frame(0x81, format!("421[\"join\",{{\"room\":\"{room}\"}}]").as_bytes())].concat())
        .await;
    while !socket.text().await.starts_with("431[") {}
    socket
}

/// Two members that read, and check that nothing is missing up to number `last`.
async fn readers(server: &TestServer, room: &str, last: u64) -> Vec<JoinHandle<()>> {
    let mut readers = Vec::new();
    for wire in [Wire::SocketIo, Wire::MsgPack] {
        let mut member = Client::member(server, wire, room).await;
        readers.push(beside(async move {
            for n in 1..=last {
                assert_eq!(member.heard().await.n(), n, "a member that reads lost something");
            }
        }));
    }
    readers
}

/// Says `count` numbered messages of about 8 KiB. Returns the largest sum of bytes that waited in outboxes meanwhile.
async fn flood(server: &TestServer, rooms: Value, count: u64) -> u64 {
    let mut speaker = SocketIoClient::connect(server).await;
    let padding = "x".repeat(8 * 1024);
    let mut most = 0;
    for n in 1..=count {
        speaker.call("message", json!({"rooms": rooms, "n": n, "padding": padding})).await.unwrap();
        if n % 16 == 0 {
            most = most.max(server.metric("roomcast_outbox_bytes", "").await);
        }
    }
    most
}

#[tokio::test]
async fn a_member_that_stops_reading_is_cut_at_the_bound_and_the_others_lose_nothing() {
    let _heavy = HEAVY.lock().await;
    let server = server(Duration::from_secs(60), ROOMY);
    let _slow = sleeper(&server, "r").await;
    let readers = readers(&server, "r", 400).await;
    let most = flood(&server, json!(["r"]), 400).await;
    for reader in readers {
        crate::support::within("everything to be read", reader).await.unwrap();
    }
    assert_eq!(server.closes("slow-consumer").await, 1);
    assert!((MIB / 2..2 * MIB).contains(&most), "{most} bytes waited");
    assert!(server.metric("roomcast_drops_total", "slow-consumer").await > 50);
    eventually!(server.metric("roomcast_outbox_bytes", "").await == 0);
}

#[tokio::test]
async fn a_member_that_takes_nothing_for_too_long_is_cut_although_its_heartbeat_is_alive() {
    let server = server(Duration::from_millis(800), SMALL);
    let mut slow = sleeper(&server, "r").await;
    let readers = readers(&server, "r", 60).await;
    // Far below the bound of bytes, but more than the kernel's buffers.
    flood(&server, json!(["r"]), 60).await;
    let began = tokio::time::Instant::now();
    while server.closes("slow-consumer").await == 0 {
        slow.send(&frame(0x81, b"3")).await;
        assert!(began.elapsed() < Duration::from_secs(5), "it was not cut");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for reader in readers {
        reader.await.unwrap();
    }
    eventually!(server.open_sockets().await <= 3);
}

#[tokio::test]
async fn a_member_that_reads_slowly_but_steadily_stays() {
    let server = server(Duration::from_millis(500), SMALL);
    let mut slow = sleeper(&server, "r").await;
    flood(&server, json!(["r"]), 60).await;
    for n in 1..=60 {
        let text = slow.text().await;
        assert_eq!(number(&text), n);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.closes("slow-consumer").await, 0);
}

#[tokio::test]
async fn a_room_that_forgets_its_oldest_keeps_the_session_and_ends_with_the_newest() {
    forgetful(SlowConsumerPolicy::DropOldest, "oldest").await;
}

#[tokio::test]
async fn a_room_that_keeps_only_the_latest_keeps_the_session_and_ends_with_the_newest() {
    forgetful(SlowConsumerPolicy::Latest, "conflated").await;
}

async fn forgetful(policy: SlowConsumerPolicy, reason: &str) {
    let _heavy = HEAVY.lock().await;
    let server = TestServer::start(|settings| {
        settings.delivery.slow_consumer_rooms = vec![SlowConsumerRule { pattern: "r".parse().unwrap(), policy }];
        settings.delivery.slow_consumer_timeout = Duration::from_secs(2);
        settings.delivery.send_buffer = ROOMY;
        settings.limits.packets_per_second = 0;
    });
    let mut slow = sleeper(&server, "r").await;
    // The same events in a room that forgets nothing.
    let readers = readers(&server, "s", 300).await;
    let most = flood(&server, json!(["r", "s"]), 300).await;
    for reader in readers {
        crate::support::within("everything to be read", reader).await.unwrap();
    }
    assert!(most < 2 * MIB, "{most} bytes waited");
    let drops = server.metric("roomcast_drops_total", reason).await;
    assert!(drops > 50, "{drops} drops");
    // Longer than the time after which others are cut.
    tokio::time::sleep(Duration::from_millis(2_300)).await;
    let mut heard = vec![0];
    while heard.last() != Some(&300) {
        let n = number(&slow.text().await);
        assert!(heard.last().is_some_and(|last| *last < n), "{n} after {heard:?}");
        heard.push(n);
    }
    assert_eq!(heard.len() as u64 - 1 + drops, 300, "each event was heard or counted");
    assert_eq!(server.closes("slow-consumer").await, 0);
    slow.send(&frame(0x81, b"422[\"leave\",{\"room\":\"r\"}]")).await;
    assert_eq!(slow.text().await, r#"432[{"room":"r"}]"#);
}

#[tokio::test]
async fn a_policy_holds_for_the_rooms_that_it_names() {
    let _heavy = HEAVY.lock().await;
    let server = TestServer::start(|settings| {
        settings.delivery.slow_consumer_rooms = vec!["cursor-*=latest".parse().unwrap()];
        settings.delivery.send_buffer = ROOMY;
        settings.limits.packets_per_second = 0;
    });
    let _kept = sleeper(&server, "cursor-7").await;
    let _cut = sleeper(&server, "chat").await;
    flood(&server, json!(["cursor-7"]), 300).await;
    assert_eq!(server.closes("slow-consumer").await, 0);
    flood(&server, json!(["chat"]), 300).await;
    eventually!(server.closes("slow-consumer").await == 1);
}

fn number(text: &str) -> u64 {
    let packet: Value = serde_json::from_str(text.strip_prefix("42").unwrap()).unwrap();
    packet[1]["n"].as_u64().unwrap()
}
