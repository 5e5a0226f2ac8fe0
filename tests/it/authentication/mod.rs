//! Goal: nobody comes in without a valid token, and every way to show one works. Method: a server that asks for tokens.

mod expiry;
mod issuers;
mod tokens;

use crate::support::{NativeClient, RawSocket, SocketIoClient, TestServer, frame, signed, token};
use roomcast::protocol::Wire;
use roomcast::session::Claims;
use serde_json::{Value, json};
use std::time::Duration;

const LATER: u64 = 4_000_000_000;
const PAST: u64 = 1_000_000_000;
const PLAIN: [Wire; 2] = [Wire::Json, Wire::MsgPack];

fn server() -> TestServer {
    TestServer::authenticated(|settings| settings.limits.handshake_timeout = Duration::from_millis(500))
}

/// Tokens that nobody may come in with.
fn bad_tokens() -> [String; 4] {
    let good = token("ada", LATER);
    let forged = format!("{}x", &good[..good.len() - 1]);
    let none = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEiLCJleHAiOjQwMDAwMDAwMDB9.".to_owned();
    [token("ada", PAST), forged, none, "nonsense".to_owned()]
}

#[tokio::test]
async fn a_good_token_works_in_every_place() {
    let (server, token) = (server(), token("ada", LATER));
    let bearer = format!("Bearer {token}");
    let mut socketio = Vec::new();
    for (query, header) in [(format!("&token={token}"), None), (String::new(), Some(bearer.as_str()))] {
        let mut client = SocketIoClient::open(&server, &query, header).await.unwrap();
        client.enter("/", Value::Null).await.unwrap();
        socketio.push(client);
    }
    let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
    client.enter("/", json!({"token": token, "other": 1})).await.unwrap();
    socketio.push(client);
    for client in &mut socketio {
        client.call("join", json!({"room": "r"})).await.unwrap();
    }

    let mut plain = Vec::new();
    for wire in PLAIN {
        for (query, header) in [(format!("?token={token}"), None), (String::new(), Some(bearer.as_str()))] {
            let mut client = NativeClient::open_with(&server, &query, wire, header).await.unwrap();
            client.hello().await.unwrap();
            plain.push(client);
        }
        let mut client = NativeClient::open(&server, "", wire).await.unwrap();
        client.send(&json!({"connect": {"token": token}})).await;
        client.hello().await.unwrap();
        plain.push(client);
    }
    for client in &mut plain {
        client.request(json!({"join": "r"})).await.unwrap();
    }
    let present = plain[0].request(json!({"presence": "r"})).await.unwrap();
    let users: Vec<_> = present["members"].as_array().unwrap().iter().map(|member| &member["user"]).collect();
    assert_eq!(users, vec!["ada"; 9]);
}

#[tokio::test]
async fn a_bad_token_in_the_handshake_is_a_401() {
    let server = server();
    for bad in bad_tokens() {
        let bearer = format!("Bearer {bad}");
        assert_eq!(SocketIoClient::open(&server, &format!("&token={bad}"), None).await.err(), Some(401), "{bad}");
        assert_eq!(SocketIoClient::open(&server, "", Some(&bearer)).await.err(), Some(401), "{bad}");
        assert_eq!(NativeClient::open(&server, &format!("?token={bad}"), Wire::Json).await.err(), Some(401), "{bad}");
        assert_eq!(NativeClient::open_with(&server, "", Wire::Json, Some(&bearer)).await.err(), Some(401), "{bad}");
    }
    assert_eq!(server.metric("roomcast_handshakes_total", "unauthenticated").await, 16);
}

#[tokio::test]
async fn a_missing_or_bad_token_in_connect_is_a_connect_error_and_then_the_end() {
    let server = server();
    let refused = json!({"message": "unauthenticated", "data": {"code": "unauthenticated"}});
    let bad = bad_tokens().map(|token| json!({"token": token}));
    for auth in bad.into_iter().chain([Value::Null, json!({}), json!({"token": 7}), json!({"token": null})]) {
        let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
        assert_eq!(client.enter("/", auth.clone()).await, Err(refused.clone()), "{auth}");
        // It may try again at once; otherwise the handshake's time runs out.
        if auth.is_null() {
            client.enter("/", json!({"token": token("ada", LATER)})).await.unwrap();
        } else {
            assert_eq!(client.closed().await, 4407, "{auth}");
        }
    }
}

#[tokio::test]
async fn a_plain_client_without_a_token_is_closed() {
    let server = server();
    for wire in PLAIN {
        for bad in bad_tokens() {
            let mut client = NativeClient::open(&server, "", wire).await.unwrap();
            client.send(&json!({"connect": {"token": bad}})).await;
            assert_eq!(client.closed().await, 4401, "{bad}");
        }
        for first in [json!({"connect": {}}), json!({"connect": {"token": 7}}), json!({"id": 1, "join": "r"})] {
            let mut client = NativeClient::open(&server, "", wire).await.unwrap();
            client.send(&first).await;
            assert_eq!(client.closed().await, 4401, "{first}");
        }
        let mut silent = NativeClient::open(&server, "", wire).await.unwrap();
        assert_eq!(silent.closed().await, 4407);
    }
}

#[tokio::test]
async fn nothing_can_be_done_before_connecting() {
    let server = server();
    for packet in ["42[\"join\",{\"room\":\"r\"}]", "43[]", "41"] {
        let mut socket = RawSocket::websocket(&server, "/socket.io/?EIO=4&transport=websocket").await;
        socket.send(&frame(0x81, packet.as_bytes())).await;
        assert_eq!(socket.close_code().await, 1002, "{packet}");
    }
    assert_eq!(server.metric("roomcast_rooms", "").await, 0);
}

#[tokio::test]
async fn rooms_in_the_address_are_joined_once_the_first_packet_has_shown_a_token() {
    let server = server();
    let mut client = NativeClient::open(&server, "?room=a", Wire::Json).await.unwrap();
    client.send(&json!({"id": 1, "connect": {"token": token("ada", LATER)}})).await;
    client.hello().await.unwrap();
    client.send(&json!({"id": 2, "presence": "a"})).await;
    let mut packets = Vec::new();
    while packets.last().is_none_or(|packet: &Value| packet["id"] != 2) {
        packets.push(client.packet().await);
    }
    assert!(packets.contains(&json!({"joined": {"room": "a", "members": 1}})), "{packets:?}");
}

#[tokio::test]
async fn only_members_publish_and_see_who_is_there() {
    let (server, token) = (server(), token("ada", LATER));
    let mut client = NativeClient::open(&server, &format!("?token={token}"), Wire::Json).await.unwrap();
    client.hello().await.unwrap();
    for packet in [json!({"publish": "r", "data": 1}), json!({"presence": "r"})] {
        assert_eq!(client.request(packet).await.unwrap_err()["code"], "not-in-room");
    }
    client.request(json!({"join": "r"})).await.unwrap();
    client.request(json!({"publish": "r", "data": 1})).await.unwrap();
    assert_eq!(client.request(json!({"publish": ["r", "s"], "data": 1})).await.unwrap_err()["code"], "not-in-room");
}

#[tokio::test]
async fn what_one_token_says_to_be_shown_never_hides_who_is_there() {
    let server = server();
    let deep: Value = serde_json::from_str(&("[".repeat(100) + &"]".repeat(100))).unwrap();
    let infos = [deep, json!({"name": "Ada"})];
    let mut members = Vec::new();
    for info in &infos {
        let info = Some(info.clone());
        let token = signed(&Claims { sub: "ada".into(), exp: LATER, info, ..Claims::default() });
        let mut plain = NativeClient::open(&server, &format!("?token={token}"), Wire::MsgPack).await.unwrap();
        plain.hello().await.unwrap();
        plain.request(json!({"join": "r"})).await.unwrap();
        members.push(plain);
    }
    let mut packed = SocketIoClient::open(&server, "", None).await.unwrap();
    packed.packed = true;
    packed.enter("/", json!({"token": token("eve", LATER)})).await.unwrap();
    packed.call("join", json!({"room": "r"})).await.unwrap();
    let shown = |answer: Value| {
        let members = answer["members"].as_array().unwrap().clone();
        assert_eq!(members.len(), 3, "{answer}");
        members.iter().filter(|member| !member["info"].is_null()).cloned().collect::<Vec<_>>()
    };
    for answer in [
        members[0].request(json!({"presence": "r"})).await.unwrap(),
        packed.call("presence", json!({"room": "r"})).await.unwrap(),
    ] {
        let shown = shown(answer);
        assert!(shown.len() == 1 && shown[0]["info"] == infos[1], "{shown:?}");
    }
    assert_eq!(server.metric("roomcast_token_infos_left_out_total", "").await, 1);
}

#[tokio::test]
async fn whoever_has_left_every_namespace_comes_in_again_in_time_or_goes() {
    let server = server();
    let auth = json!({"token": token("ada", LATER)});
    let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
    for _ in 0..2 {
        client.enter("/", auth.clone()).await.unwrap();
        client.send_text("41".to_owned()).await;
    }
    client.enter("/", auth.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await; // longer than a handshake may take
    client.call("join", json!({"room": "r"})).await.unwrap();
    client.send_text("41".to_owned()).await;
    assert_eq!(client.closed().await, 4407);
}
