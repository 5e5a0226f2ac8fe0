//! Goal: the policy of a room holds whichever way somebody comes to it. Method: one set of rules, and every door.

use crate::support::{Client, Heard, NativeClient, TestServer, grant, http_get, signed, token};
use roomcast::config::Settings;
use roomcast::protocol::Wire;
use roomcast::session::{Claims, RoomClaim};
use serde_json::{Value, json};

const LATER: u64 = 4_000_000_000;
const KEY: &str = "0123456789abcdef";
const WIRES: [Wire; 3] = [Wire::SocketIo, Wire::Json, Wire::MsgPack];

fn server(rules: &[&str]) -> TestServer {
    TestServer::authenticated(|settings| ruled(settings, rules))
}

fn ruled(settings: &mut Settings, rules: &[&str]) {
    settings.rooms.room_policies = rules.iter().map(|rule| rule.parse().unwrap()).collect();
    settings.auth.api_keys = vec![KEY.parse().unwrap()];
    settings.limits.packets_per_second = 0;
}

async fn holder(server: &TestServer, wire: Wire, rooms: Vec<RoomClaim>) -> Client {
    Client::with_token(server, wire, &signed(&Claims { sub: "ada".into(), exp: LATER, rooms, ..Claims::default() }))
        .await
}

async fn ada(server: &TestServer, wire: Wire) -> Client {
    holder(server, wire, Vec::new()).await
}

async fn publish(client: &mut Client, room: &str) -> Result<Value, Value> {
    client.publish(json!({"room": room, "event": "e", "data": 1, "echo": false})).await
}

async fn presence(client: &mut Client, room: &str) -> Result<Value, Value> {
    client.ask("presence", json!({"room": room})).await
}

fn code(outcome: Result<Value, Value>) -> String {
    outcome.map_or_else(|error| error["code"].as_str().unwrap().to_owned(), |_| "ok".to_owned())
}

/// Publishes as a service. Returns the HTTP status.
async fn serve(server: &TestServer, room: &str, data: &str) -> u16 {
    let body = format!("{{\"event\":\"e\",\"data\":{data}}}");
    let request = format!(
        "POST /api/v1/rooms/{room}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n\
         Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = crate::support::RawSocket::connect(server.public).await;
    socket.send(request.as_bytes()).await;
    socket.rest().await.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn without_rules_names_with_a_colon_are_for_tokens_that_name_them() {
    let server = server(&[]);
    for wire in WIRES {
        let mut plain = ada(&server, wire).await;
        assert_eq!(code(plain.join("free").await), "ok");
        for outcome in [plain.join("a:b").await, publish(&mut plain, "a:b").await, presence(&mut plain, "a:b").await] {
            assert_eq!(code(outcome), "room-forbidden", "{wire:?}");
        }
        let mut named = holder(&server, wire, vec![grant("a:*", "join+presence"), grant("*:c", "publish")]).await;
        assert_eq!(code(named.join("a:b").await), "ok", "{wire:?}");
        assert_eq!(code(presence(&mut named, "a:b").await), "ok");
        assert_eq!(code(publish(&mut named, "a:b").await), "room-forbidden", "a member, but its token does not say so");
        assert_eq!(code(named.join("a:c").await), "ok");
        assert_eq!(code(publish(&mut named, "a:c").await), "ok", "two grants together");
        assert_eq!(code(publish(&mut named, "x:c").await), "ok", "publishing needs no membership then");
        assert_eq!(code(named.join("x:c").await), "room-forbidden");
        // One room that is forbidden spoils a join of several: all or none.
        let several = named.ask("join", json!({"rooms": ["free", "x:y"]})).await;
        assert_eq!(
            (code(several), code(publish(&mut named, "free").await)),
            ("room-forbidden".into(), "not-in-room".into())
        );
    }
}

#[tokio::test]
async fn rules_say_who_may_join_publish_and_see_who_is_there() {
    let server = server(&[
        "incident:* join=token publish=server presence=member",
        "open:* join=anyone publish=member presence=off",
        "stage publish=token",
        "closed join=server",
        "wall publish=anyone presence=anyone",
    ]);
    for wire in WIRES {
        let mut plain = ada(&server, wire).await;
        let mut named = holder(&server, wire, vec![grant("*", "join+publish")]).await;
        assert_eq!(code(plain.join("incident:1").await), "room-forbidden", "{wire:?}");
        assert_eq!(code(named.join("incident:1").await), "ok");
        assert_eq!(code(publish(&mut named, "incident:1").await), "room-forbidden", "services only");
        assert_eq!(presence(&mut named, "incident:1").await.unwrap()["count"], 1);
        assert_eq!(serve(&server, "incident:1", "7").await, 202);
        assert_eq!(named.heard().await, Heard::new("e", json!(7)));

        assert_eq!(code(plain.join("open:1").await), "ok");
        assert_eq!(code(publish(&mut plain, "open:1").await), "ok");
        assert_eq!(code(presence(&mut plain, "open:1").await), "room-forbidden", "presence is off");
        assert_eq!(code(plain.join("stage").await), "ok");
        assert_eq!(code(publish(&mut plain, "stage").await), "room-forbidden");
        assert_eq!(code(publish(&mut named, "stage").await), "ok");
        assert_eq!(code(named.join("closed").await), "room-forbidden", "not even with a token");
        assert_eq!(code(publish(&mut plain, "wall").await), "ok");
        assert_eq!(code(presence(&mut plain, "wall").await), "ok");
        plain.leave("open:1").await.unwrap();
        assert_eq!(code(publish(&mut plain, "open:1").await), "not-in-room");
    }
    assert_eq!(server.metric("roomcast_refusals_total", "room-forbidden").await, 15);
}

#[tokio::test]
async fn rules_hold_for_rooms_in_addresses_and_for_streams() {
    let server = server(&["closed join=server"]);
    let token = token("ada", LATER);
    let query = format!("?room=closed&room=a:b&room=free&token={token}");
    let mut client = NativeClient::open(&server, &query, Wire::Json).await.unwrap();
    client.hello().await.unwrap();
    let first = [client.packet().await, client.packet().await, client.packet().await];
    assert_eq!(
        first.map(|packet| packet["error"]["code"].clone()),
        [json!("room-forbidden"), json!("room-forbidden"), Value::Null]
    );
    for room in ["closed", "a:b"] {
        let (status, _) = http_get(server.public, &format!("/sse?room={room}&token={token}")).await;
        assert_eq!(status, 403, "{room}");
    }
}

#[tokio::test]
async fn a_room_takes_so_many_members_on_all_workers_together() {
    let server = server(&["small max-members=3"]);
    let mut members = Vec::new();
    for n in 0..6 {
        members.push(ada(&server, WIRES[n % 3]).await);
    }
    let mut outcomes = Vec::new();
    for member in &mut members {
        outcomes.push(code(member.join("small").await));
    }
    assert_eq!(outcomes, ["ok", "ok", "ok", "room-full", "room-full", "room-full"]);
    assert_eq!(code(members[0].join("small").await), "ok", "a member already");
    members[1].leave("small").await.unwrap();
    assert_eq!(code(members[5].join("small").await), "ok");
    assert_eq!(code(members[4].join("small").await), "room-full");
}

#[tokio::test]
async fn a_room_takes_events_of_a_size_whoever_publishes() {
    let server = server(&["tight max-payload=16"]);
    let mut client = ada(&server, Wire::SocketIo).await;
    client.join("tight").await.unwrap();
    let say = |text: String| json!({"room": "tight", "event": "e", "data": text});
    assert_eq!(code(client.publish(say("x".repeat(11))).await), "ok");
    assert_eq!(code(client.publish(say("x".repeat(12))).await), "too-large");
    assert_eq!(serve(&server, "tight", &format!("\"{}\"", "x".repeat(11))).await, 202);
    assert_eq!(serve(&server, "tight", &format!("\"{}\"", "x".repeat(12))).await, 413);
}

#[tokio::test]
async fn a_session_may_publish_so_often_to_the_rooms_of_a_rule() {
    let server = server(&["slow-* session-rate=1:3"]);
    for wire in WIRES {
        let (mut one, mut other) = (ada(&server, wire).await, ada(&server, wire).await);
        for client in [&mut one, &mut other] {
            for room in ["slow-1", "slow-2", "free"] {
                client.join(room).await.unwrap();
            }
            let mut outcomes = Vec::new();
            for n in 0..5 {
                outcomes.push(code(publish(client, ["slow-1", "slow-2"][n % 2]).await));
            }
            assert_eq!(outcomes, ["ok", "ok", "ok", "rate-limited", "rate-limited"], "{wire:?}");
            assert!(publish(client, "slow-1").await.unwrap_err()["retry_after_ms"].as_u64().unwrap() <= 1_000);
            assert_eq!(code(publish(client, "free").await), "ok", "other rooms have no such rule");
        }
        assert_eq!(serve(&server, "slow-1", "1").await, 202, "services have no such limit");
    }
}

#[tokio::test]
async fn a_room_takes_so_many_events_a_second_of_all_clients_on_all_workers_together() {
    let server = server(&["busy room-rate=1:4"]);
    let mut clients = Vec::new();
    for n in 0..4 {
        let mut client = ada(&server, WIRES[n % 3]).await;
        client.join("busy").await.unwrap();
        clients.push(client);
    }
    let mut outcomes = Vec::new();
    for n in 0..6 {
        outcomes.push(code(publish(&mut clients[n % 4], "busy").await));
    }
    assert_eq!(outcomes, ["ok", "ok", "ok", "ok", "rate-limited", "rate-limited"]);
    assert_eq!(serve(&server, "busy", "1").await, 202, "services have no such limit");
}

#[tokio::test]
async fn in_development_free_rooms_are_open_and_rules_hold_too() {
    let server = TestServer::start(|settings| ruled(settings, &["quiet publish=server", "*:open join=anyone"]));
    for wire in WIRES {
        let mut client = Client::connect(&server, wire).await;
        assert_eq!(code(publish(&mut client, "anything").await), "ok");
        assert_eq!(code(presence(&mut client, "anything").await), "ok");
        assert_eq!(code(publish(&mut client, "quiet").await), "room-forbidden");
        assert_eq!(code(client.join("a:b").await), "room-forbidden");
        assert_eq!(code(client.join("a:open").await), "ok");
    }
}

#[tokio::test]
async fn the_policy_of_a_room_is_there_again_when_the_room_is() {
    let server = server(&["stage publish=server"]);
    let mut client = ada(&server, Wire::Json).await;
    for _ in 0..3 {
        client.join("stage").await.unwrap();
        assert_eq!(code(publish(&mut client, "stage").await), "room-forbidden");
        client.leave("stage").await.unwrap();
    }
}
