//! Goal: a Socket.IO client gets the answers that its protocol promises. Method: packets as stock clients send them.

use crate::support::{Heard, RawSocket, SocketIoClient, TestServer, frame};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn the_open_packet_says_how_the_server_beats() {
    let server = TestServer::start(|_| {});
    let client = SocketIoClient::connect(&server).await;
    let mut open = client.open.clone();
    assert_eq!(open["sid"].take().as_str().map(str::len), Some(20));
    let expected =
        json!({"sid": null, "upgrades": [], "pingInterval": 25_000, "pingTimeout": 20_000, "maxPayload": 65_536});
    assert_eq!(open, expected);
}

#[tokio::test]
async fn an_unknown_namespace_is_refused_in_exactly_these_bytes_and_the_connection_stays() {
    let server = TestServer::start(|_| {});
    let mut client = SocketIoClient::connect(&server).await;
    for (request, answer) in [
        ("40/random,", r#"4/random,{"message":"Invalid namespace"}"#),
        ("40/random", r#"4/random,{"message":"Invalid namespace"}"#),
        ("40/random,{\"token\":\"x\"}", r#"4/random,{"message":"Invalid namespace"}"#),
    ] {
        client.send_text(request.to_owned()).await;
        assert_eq!(client.control().await, answer);
    }
    client.call("join", json!({"room": "r"})).await.unwrap();
}

#[tokio::test]
async fn leaving_a_namespace_keeps_the_transport() {
    let server = TestServer::start(|settings| settings.listen.namespaces = vec!["/custom".to_owned()]);
    let mut client = SocketIoClient::connect(&server).await;
    client.enter("/custom", Value::Null).await.unwrap();
    client.send_text("41/custom,".to_owned()).await;
    client.call("join", json!({"room": "r"})).await.unwrap();
    client.send_text("41".to_owned()).await;
    client.enter("/custom", Value::Null).await.unwrap();
    client.call_in("/custom", "join", json!({"room": "r"})).await.unwrap();
}

#[tokio::test]
async fn refusals_come_as_the_ack_or_as_an_error_event() {
    let server = TestServer::start(|_| {});
    let mut client = SocketIoClient::connect(&server).await;
    for (event, arg, code) in [
        ("join", json!({}), "bad-packet"),
        ("join", json!({"room": ""}), "name-invalid"),
        ("join", json!({"room": 7}), "name-invalid"),
        ("join", json!({"room": "x".repeat(256)}), "name-invalid"),
        ("join", json!({"room": "a\u{7}b"}), "name-invalid"),
        ("join", json!({"rooms": []}), "bad-packet"),
        ("join", json!({"room": "incident:42"}), "room-forbidden"),
        ("publish", json!({"room": "incident:42", "event": "e"}), "room-forbidden"),
        ("publish", json!({"room": "r", "event": "connect", "data": 1}), "bad-packet"),
        ("publish", json!({"room": "r", "event": 7, "data": 1}), "bad-packet"),
        ("leave", json!({"room": "never"}), "not-in-room"),
        ("presence", json!({"room": "r", "limit": 0}), "bad-packet"),
        ("presence", json!({"room": "r", "cursor": "nonsense"}), "bad-packet"),
        ("no such event", json!({"room": "r"}), "unknown-event"),
    ] {
        let error = client.call(event, arg.clone()).await.unwrap_err();
        assert_eq!(error["code"], code, "{event} {arg}");
        assert!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{error}");
        if event == "presence" {
            continue; // Without an ack it asks nothing.
        }
        client.emit(event, &[arg]).await;
        let heard = client.heard().await;
        assert_eq!((heard.event.as_str(), heard.args.as_slice()), ("error", &[error][..]));
    }
    assert_eq!(server.metric("roomcast_refusals_total", "{code=\"name-invalid\"}").await, 8);
}

#[tokio::test]
async fn packets_that_break_the_protocol_end_the_connection() {
    let server = TestServer::start(|_| {});
    for before_connect in ["4abc", "42[\"join\",{\"room\":\"r\"}]", "0{}", "7", "x", ""] {
        let mut socket = RawSocket::websocket(&server, "/socket.io/?EIO=4&transport=websocket").await;
        socket.send(&frame(0x81, before_connect.as_bytes())).await;
        assert_eq!(socket.close_code().await, 1002, "{before_connect:?} before CONNECT");
    }
    for after_connect in [
        "4abc",
        "42",
        "42{}",
        "42abc[\"a\"]",
        "42[]",
        "42[{}]",
        "42[\"a\"",
        "42[\"a\"]x",
        "42[\"connect\"]",
        "42/other,[\"a\"]",
        "43[]",
        "44{}",
        "49",
        "450-",
        "45-[\"a\"]",
        "4511-[\"a\"]",
        "429999999999999999999[\"a\"]",
    ] {
        let mut socket = RawSocket::socketio(&server).await;
        socket.send(&frame(0x81, after_connect.as_bytes())).await;
        assert_eq!(socket.close_code().await, 1002, "{after_connect:?}");
    }
    assert_eq!(server.metric("roomcast_panics_total", "").await, 0);
}

#[tokio::test]
async fn whoever_never_connects_to_a_namespace_is_closed() {
    let server = TestServer::start(|settings| settings.limits.handshake_timeout = Duration::from_millis(300));
    let mut idle = RawSocket::websocket(&server, "/socket.io/?EIO=4&transport=websocket").await;
    let mut pongs = RawSocket::websocket(&server, "/socket.io/?EIO=4&transport=websocket").await;
    pongs.send(&frame(0x81, b"3")).await;
    assert_eq!((idle.close_code().await, pongs.close_code().await), (4407, 4407));
    assert_eq!(server.closes("handshake-timeout").await, 2);
}

#[tokio::test]
async fn whoever_does_not_answer_pings_is_closed_and_whoever_does_stays() {
    let server = TestServer::start(|settings| {
        settings.heartbeat.ping_interval = Duration::from_millis(200);
        settings.heartbeat.ping_timeout = Duration::from_millis(300);
    });
    let mut alive = SocketIoClient::connect(&server).await;
    let mut silent = RawSocket::socketio(&server).await;
    let answering = crate::support::beside(async move { alive.closed().await });
    assert_eq!(silent.close_code().await, 4408);
    let mut silent = RawSocket::websocket(&server, "/ws").await;
    assert_eq!(silent.close_code().await, 4408);
    assert!(!answering.is_finished(), "a client that answers was closed");
    assert_eq!(server.closes("no-pong").await, 2);
    answering.abort();
}

#[tokio::test]
async fn a_ping_of_the_client_is_answered_and_odd_engine_packets_are_harmless() {
    let server = TestServer::start(|_| {});
    let mut socket = RawSocket::socketio(&server).await;
    socket.send(&frame(0x81, b"2probe")).await;
    assert_eq!(socket.text().await, "3probe");
    for harmless in ["3", "5", "6", "40", "40{}"] {
        socket.send(&frame(0x81, harmless.as_bytes())).await;
    }
    socket.send(&frame(0x81, b"420[\"join\",{\"room\":\"r\"}]")).await;
    assert_eq!(socket.text().await, r#"430[{"room":"r","members":1}]"#);
    socket.send(&frame(0x81, b"1")).await;
    assert_eq!(socket.close_code().await, 1000);
    crate::support::eventually!(server.closes("client-closed").await == 1);
}

#[tokio::test]
async fn several_rooms_are_joined_and_left_together_or_not_at_all() {
    let server = TestServer::start(|_| {});
    let mut client = SocketIoClient::connect(&server).await;
    let joined = client.call("join", json!({"rooms": ["a", "b"]})).await.unwrap();
    assert_eq!(joined, json!({"rooms": [{"room": "a", "members": 1}, {"room": "b", "members": 1}]}));
    let refused = client.call("join", json!({"rooms": ["a", "c", "incident:1"]})).await.unwrap_err();
    assert_eq!(refused["code"], "room-forbidden");
    for (room, count) in [("a", 1), ("b", 1), ("c", 0)] {
        assert_eq!(client.call("presence", json!({"room": room})).await.unwrap()["count"], count, "{room}");
    }
    assert_eq!(
        client.call("leave", json!({"rooms": ["a", "b"]})).await,
        Ok(json!({"rooms": [{"room": "a"}, {"room": "b"}]}))
    );
    client.emit("message", &[json!({"room": "a", "n": 1})]).await;
    client.emit("join", &[json!({"room": "a"})]).await;
    client.emit("message", &[json!({"room": "a", "n": 2})]).await;
    assert_eq!(client.heard().await, Heard::new("message", json!({"room": "a", "n": 2})));
}
