//! Goal: the plain protocol can be spoken from ten lines of code. Method: JSON and MessagePack clients, word by word.

use crate::support::{Heard, NativeClient, RawSocket, TestServer, frame};
use roomcast::protocol::Wire;
use serde_json::{Value, json};

const PLAIN: [Wire; 2] = [Wire::Json, Wire::MsgPack];

#[tokio::test]
async fn the_hello_says_who_and_where_one_is() {
    let server = TestServer::start(|_| {});
    for wire in PLAIN {
        let mut client = NativeClient::open(&server, "", wire).await.unwrap();
        let mut hello = client.hello().await.unwrap();
        assert!(hello["sid"].take().is_string() && hello["node"].take().is_string());
        assert_eq!(hello, json!({"sid": null, "node": null, "ping_interval_ms": 25_000, "max_payload_bytes": 65_536}));
    }
}

#[tokio::test]
async fn rooms_in_the_address_are_joined_at_once() {
    let server = TestServer::start(|_| {});
    for wire in PLAIN {
        let mut client = NativeClient::open(&server, "?room=a&room=caf%C3%A9&room=incident:1", wire).await.unwrap();
        client.hello().await.unwrap();
        assert_eq!(client.packet().await, json!({"joined": {"room": "a", "members": 1}}));
        assert_eq!(client.packet().await, json!({"joined": {"room": "café", "members": 1}}));
        assert_eq!(client.packet().await["error"]["code"], "room-forbidden");
        client.send(&json!({"publish": "café", "data": 1})).await;
        assert_eq!(client.heard().await, Heard::new("message", json!(1)));
        drop(client);
        crate::support::eventually!(server.metric("roomcast_rooms", "").await == 0);
    }
}

#[tokio::test]
async fn an_event_names_its_room_or_rooms() {
    let server = TestServer::start(|_| {});
    for wire in PLAIN {
        let mut client = NativeClient::connect(&server, wire).await;
        client.request(json!({"join": ["a", "b"]})).await.unwrap();
        client.send(&json!({"publish": "a", "event": "e", "data": {"x": 1}})).await;
        client.send(&json!({"publish": ["a", "b"], "event": "e", "args": [1, 2]})).await;
        client.send(&json!({"publish": "b", "event": "e"})).await;
        assert_eq!(client.packet().await, json!({"room": "a", "event": "e", "data": {"x": 1}}));
        assert_eq!(client.packet().await, json!({"rooms": ["a", "b"], "event": "e", "args": [1, 2]}));
        assert_eq!(client.packet().await, json!({"room": "b", "event": "e"}));
    }
}

#[tokio::test]
async fn a_list_of_rooms_is_answered_with_a_list_however_short() {
    let server = TestServer::start(|_| {});
    let mut client = NativeClient::connect(&server, Wire::Json).await;
    for (packet, answer) in [
        (json!({"join": "a"}), json!({"room": "a", "members": 1})),
        (json!({"join": ["a"]}), json!({"rooms": [{"room": "a", "members": 1}]})),
        (json!({"publish": ["a"], "echo": false}), json!({"rooms": ["a"]})),
        (json!({"leave": ["b", "a"]}), json!({"rooms": [{"room": "b"}, {"room": "a"}]})),
    ] {
        assert_eq!(client.request(packet).await, Ok(answer));
    }
    assert_eq!(client.request(json!({"leave": ["a", "b"]})).await.unwrap_err()["code"], "not-in-room");
}

#[tokio::test]
async fn answers_carry_the_id_of_the_request_and_without_one_only_errors_are_said() {
    let server = TestServer::start(|_| {});
    let mut client = NativeClient::connect(&server, Wire::Json).await;
    for id in [json!("seven"), json!(-7), json!(7)] {
        client.send(&json!({"id": id, "join": "r"})).await;
        assert_eq!(client.packet().await, json!({"id": id, "ok": {"room": "r", "members": 1}}));
    }
    client.send(&json!({"join": "s"})).await;
    client.send(&json!({"presence": "s"})).await;
    let error = client.packet().await;
    assert_eq!((error.get("id"), &error["error"]["code"]), (None, &json!("bad-packet")), "nobody could be answered");
    client.send(&json!({"leave": "never"})).await;
    let error = client.packet().await;
    assert_eq!((error.get("id"), &error["error"]["code"]), (None, &json!("not-in-room")));
    client.send(&json!({"id": 1, "dance": "r"})).await;
    let error = client.packet().await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!(1), &json!("unknown-event")));
}

#[tokio::test]
async fn a_packet_asks_for_one_thing_or_for_nothing() {
    let server = TestServer::start(|_| {});
    for wire in PLAIN {
        let mut client = NativeClient::connect(&server, wire).await;
        client.request(json!({"join": "r"})).await.unwrap();
        for packet in [
            json!({"join": "a", "leave": "r"}),
            json!({"publish": "r", "presence": "r"}),
            json!({"leave": "r", "event": "mine"}),
            json!({"publish": "r", "ack": 1}),
            json!({"publish": "r", "echo": "no"}),
            json!({"publish": "r", "echo": 0}),
            json!({"publish": "r", "echo": null}),
        ] {
            let refused = client.request(packet.clone()).await.expect_err("it is refused");
            assert_eq!(refused["code"], "bad-packet", "{packet}");
        }
        assert_eq!(client.request(json!({"presence": "r"})).await.unwrap()["count"], 1, "nothing of it was obeyed");
        client.request(json!({"publish": "r", "data": 1, "echo": true})).await.unwrap();
        assert_eq!(client.heard().await, Heard::new("message", json!(1)), "and nothing was said");
    }
}

#[tokio::test]
async fn data_of_the_wrong_kind_and_malformed_packets_end_the_connection() {
    let server = TestServer::start(|_| {});
    for (first, payload, code) in [
        (0x82, &b"\x80"[..], 1003),
        (0x81, b"", 1002),
        (0x81, b"[]", 1002),
        (0x81, b"{\"id\":1", 1002),
        (0x81, b"{\"id\":{}}", 1002),
        (0x81, b"{\"join\":\"a\"}{}", 1002),
        (0x81, b"{\"join\":\"\xff\"}", 1007),
    ] {
        let mut socket = RawSocket::websocket(&server, "/ws").await;
        socket.send(&frame(first, payload)).await;
        assert_eq!(socket.close_code().await, code, "{}", String::from_utf8_lossy(payload));
    }
    let mut packed = NativeClient::open(&server, "", Wire::MsgPack).await.unwrap();
    packed.hello().await.unwrap();
    packed.send(&Value::from("not an object")).await;
    assert_eq!(packed.closed().await, 1002);
}

#[tokio::test]
async fn an_unknown_subprotocol_is_refused_and_a_known_one_among_others_is_taken() {
    let server = TestServer::start(|_| {});
    for (offer, status) in [("chat", 400), ("chat, roomcast.v1.json", 101), ("roomcast.v1.msgpack", 101)] {
        let mut socket = RawSocket::connect(server.public).await;
        let more = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        socket.send(crate::support::handshake("/ws", &more).as_bytes()).await;
        assert_eq!(socket.status().await, status, "{offer}");
    }
}

#[tokio::test]
async fn deeply_nested_json_is_refused_at_the_limit() {
    let server = TestServer::start(|_| {});
    let nested =
        |depth: usize| format!("{{\"id\":1,\"publish\":\"r\",\"data\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
    let mut socket = RawSocket::websocket(&server, "/ws").await;
    assert!(socket.text().await.contains("hello"));
    socket.send(&frame(0x81, nested(31).as_bytes())).await;
    assert_eq!(socket.text().await, r#"{"id":1,"ok":{"room":"r"}}"#);
    socket.send(&frame(0x81, nested(32).as_bytes())).await;
    assert_eq!(socket.close_code().await, 1002);
}
