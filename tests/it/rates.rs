//! Goal: whoever asks for more than its share is refused, told when to come back, and disturbs nobody.
//! Method: more than each limit allows, beside a neighbour within its limits.

use crate::support::{Client, NativeClient, Peers, RawSocket, SPEAKING, SocketIoClient, TestServer, frame, handshake};
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::time::Duration;

fn publishes(ids: std::ops::Range<u32>) -> Vec<u8> {
    ids.flat_map(|id| frame(0x81, format!("42{id}[\"message\",{{\"room\":\"hot\",\"n\":{id}}}]").as_bytes())).collect()
}

/// The answers to that many packets: how many were obeyed, and the errors of the others.
async fn answers(socket: &mut RawSocket, count: usize) -> (usize, Vec<Value>) {
    let (mut obeyed, mut errors) = (0, Vec::new());
    for _ in 0..count {
        let text = socket.text().await;
        let answer: Value = serde_json::from_str(&text[text.find('[').unwrap()..]).unwrap();
        match &answer[0]["error"] {
            Value::Null => obeyed += 1,
            error => errors.push(error.clone()),
        }
    }
    (obeyed, errors)
}

#[tokio::test]
async fn a_burst_passes_and_what_is_above_it_is_told_when_to_come_back() {
    let server = TestServer::start(|settings| settings.delivery.workers = 1);
    let mut greedy = RawSocket::socketio(&server).await;
    let mut modest = RawSocket::socketio(&server).await;
    greedy.send(&publishes(0..100)).await;
    modest.send(&publishes(0..30)).await;
    let (obeyed, errors) = answers(&mut greedy, 100).await;
    assert!((40..=45).contains(&obeyed), "{obeyed} of 100 packets passed; the burst is 40, and 20 a second follow");
    for error in &errors {
        assert_eq!(error["code"], "rate-limited");
        assert!((1..=50).contains(&error["retry_after_ms"].as_u64().unwrap()), "{error}");
    }
    assert_eq!(answers(&mut modest, 30).await, (30, Vec::new()), "a neighbour was refused");
    assert_eq!(server.metric("roomcast_refusals_total", "rate-limited").await, errors.len() as u64);

    let wait = errors.last().unwrap()["retry_after_ms"].as_u64().unwrap();
    tokio::time::sleep(Duration::from_millis(wait + 5)).await;
    greedy.send(&publishes(0..1)).await;
    assert_eq!(answers(&mut greedy, 1).await.0, 1, "it came back when it was told to");
}

#[tokio::test]
async fn a_plain_client_is_limited_in_the_same_way() {
    let server = TestServer::start(|settings| settings.limits.packets_burst = 5);
    let mut client = NativeClient::connect(&server, Wire::MsgPack).await;
    let mut refused = None;
    for n in 0..10 {
        if let Err(error) = client.request(json!({"publish": "r", "data": n})).await {
            refused.get_or_insert((n, error));
        }
    }
    let (n, error) = refused.expect("ten packets at once are more than five");
    assert!((5..=8).contains(&n) && error["code"] == "rate-limited" && error["retry_after_ms"].is_u64(), "{n} {error}");
}

#[tokio::test]
async fn a_flood_in_one_breath_ends_in_a_close() {
    let server = TestServer::start(|settings| settings.limits.flood_tolerance = 100);
    let mut neighbours = Peers::meet(&server, "quiet").await;
    for bytes in [publishes(0..300), frame(0x81, b"2").repeat(300), frame(0x89, b"").repeat(300)] {
        let mut flooder = RawSocket::socketio(&server).await;
        flooder.send(&bytes).await;
        assert_eq!(flooder.close_code().await, 4429);
        neighbours.round_trip().await;
    }
    assert_eq!(server.closes("flood").await, 3);
}

#[tokio::test]
async fn a_flood_that_goes_on_ends_in_a_close_too() {
    let server = TestServer::start(|settings| settings.limits.flood_tolerance = 100);
    let mut flooder = RawSocket::socketio(&server).await;
    let (mut reader, mut writer) = flooder.stream.split();
    let flood = async {
        // A thousand packets a second, fifty times what is allowed, and sixty times the tolerance in all.
        for n in 0..600 {
            if tokio::io::AsyncWriteExt::write_all(&mut writer, &publishes(10 * n..10 * n + 10)).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let closed = async {
        let mut sink = [0; 4096];
        while tokio::io::AsyncReadExt::read(&mut reader, &mut sink).await.is_ok_and(|n| n > 0) {}
    };
    tokio::select! {
        () = closed => {}
        () = flood => {}
    }
    assert_eq!(server.closes("flood").await, 1, "6,000 packets in 6 s did not end in a close");
}

#[tokio::test]
async fn joins_have_a_limit_of_their_own() {
    let server = TestServer::start(|settings| settings.limits.joins_burst = 5);
    let mut client = SocketIoClient::connect(&server).await;
    let rooms: Vec<String> = (0..4).map(|n| format!("room-{n}")).collect();
    client.call("join", json!({"rooms": rooms})).await.unwrap();
    let refused = client.call("join", json!({"rooms": ["x", "y", "z"]})).await.unwrap_err();
    assert_eq!(refused["code"], "rate-limited");
    let wait = refused["retry_after_ms"].as_u64().unwrap();
    assert!((1..=200).contains(&wait), "{wait}");
    tokio::time::sleep(Duration::from_millis(wait + 5)).await;
    client.call("join", json!({"rooms": ["x", "y", "z"]})).await.unwrap();
}

#[tokio::test]
async fn a_session_and_a_node_hold_only_so_many_rooms() {
    let server = TestServer::start(|settings| {
        settings.limits.max_rooms_per_session = 3;
        settings.limits.max_rooms = 4;
    });
    for wire in SPEAKING {
        let mut first = Client::connect(&server, wire).await;
        for room in ["a", "b", "c", "a"] {
            first.join(room).await.unwrap();
        }
        assert_eq!(first.join("d").await.unwrap_err()["code"], "too-many-rooms");
        assert_eq!(first.ask("join", json!({"rooms": ["a", "b", "c", "d"]})).await.unwrap_err()["code"], "bad-packet");
        first.leave("a").await.unwrap();
        first.join("d").await.unwrap();

        let mut second = Client::connect(&server, wire).await;
        for room in ["b", "e"] {
            second.join(room).await.unwrap();
        }
        assert_eq!(second.join("f").await.unwrap_err()["code"], "too-many-rooms", "the node is full");
        assert!(server.metric("roomcast_limit_hits_total", "\"rooms\"").await > 0);
        second.join("c").await.unwrap();
        drop((first, second));
        crate::support::eventually!(server.metric("roomcast_rooms", "").await == 0);
    }
}

#[tokio::test]
async fn a_full_node_says_when_to_come_back() {
    let server = TestServer::start(|settings| settings.limits.max_sockets = 2);
    let held = [NativeClient::connect(&server, Wire::Json).await, NativeClient::connect(&server, Wire::Json).await];
    let mut third = RawSocket::connect(server.public).await;
    third.send(handshake("/ws", "Connection: close\r\n").as_bytes()).await;
    let head = third.rest().await.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 503 ") && head.contains("\r\nretry-after: "), "{head}");
    drop(held);
    crate::support::eventually!(server.open_sockets().await == 0);
    NativeClient::connect(&server, Wire::Json).await;
    assert_eq!(server.metric("roomcast_handshakes_total", "overloaded").await, 1);
    assert_eq!(server.metric("roomcast_limit_hits_total", "\"sockets\"").await, 1);
}

#[tokio::test]
async fn a_session_creates_only_so_many_rooms_at_once_and_joins_as_many_as_there_are() {
    let server = TestServer::start(|settings| {
        settings.abuse.room_creations_per_second_per_session = 1;
        settings.abuse.room_creations_burst_per_session = 3;
    });
    for wire in SPEAKING {
        let mut other = Client::connect(&server, wire).await;
        for room in ["x", "y", "z"] {
            other.join(room).await.unwrap();
        }
        let mut greedy = Client::connect(&server, wire).await;
        greedy.ask("join", json!({"rooms": ["a", "b", "x"]})).await.unwrap();
        let refused = greedy.ask("join", json!({"rooms": ["y", "c", "d"]})).await.unwrap_err();
        assert_eq!(refused["code"], "rate-limited");
        for room in ["y", "z", "a"] {
            greedy.join(room).await.unwrap();
        }
        let wait = greedy.join("e").await.unwrap_err()["retry_after_ms"].as_u64().unwrap();
        assert!((1..=1_000).contains(&wait), "{wait}");
        tokio::time::sleep(Duration::from_millis(wait + 5)).await;
        greedy.join("e").await.unwrap();
        drop((other, greedy));
        crate::support::eventually!(server.metric("roomcast_rooms", "").await == 0);
    }
    assert!(server.metric("roomcast_limit_hits_total", "\"room-creations-per-session\"").await >= 2);
}

#[tokio::test]
async fn all_sessions_together_create_only_so_many_rooms() {
    let server = TestServer::start(|settings| {
        settings.abuse.room_creations_per_second = 1;
        settings.abuse.room_creations_burst = 4;
    });
    let mut first = Client::connect(&server, Wire::Json).await;
    let mut second = Client::connect(&server, Wire::SocketIo).await;
    for room in ["a", "b"] {
        first.join(room).await.unwrap();
        second.join(&format!("{room}2")).await.unwrap();
    }
    let refused = second.join("c").await.unwrap_err();
    assert!(refused["code"] == "rate-limited" && refused["retry_after_ms"].as_u64().unwrap() <= 1_000, "{refused}");
    second.join("a").await.unwrap();
    assert_eq!(server.metric("roomcast_limit_hits_total", "\"room-creations\"").await, 1);
    crate::support::eventually!(second.join("c").await.is_ok());
}
