//! Goal: a session ends with its token, unless a fresh one comes. Method: tokens that live for seconds.

use super::LATER;
use crate::support::{
    Client, HEAVY, Heard, Poller, SocketIoClient, TestServer, beside, eventually, grant, http_get, signed, token,
};
use futures_util::future::join_all;
use roomcast::lifecycle::unix_seconds;
use roomcast::protocol::Wire;
use roomcast::session::Claims;
use serde_json::{Value, json};
use std::time::Duration;

fn server(warning: Duration) -> TestServer {
    TestServer::authenticated(|settings| {
        settings.auth.auth_leeway = Duration::ZERO;
        settings.auth.token_warning = warning;
    })
}

async fn refresh(client: &mut Client, token: &str) -> Result<Value, Value> {
    match client {
        Client::SocketIo(client) => client.call("refresh", json!({"token": token})).await,
        Client::Native(client) => client.request(json!({"refresh": {"token": token}})).await,
    }
}

/// Waits for the warning. Returns what it says.
async fn warning(client: &mut Client) -> u64 {
    let Heard { event, args } = client.heard().await;
    assert_eq!(event, "token.expiring");
    args[0]["expires_in_ms"].as_u64().unwrap()
}

#[tokio::test]
async fn five_hundred_sessions_end_with_their_token_warned_before_and_nobody_else() {
    let _alone = HEAVY.lock().await;
    let server = server(Duration::from_secs(3));
    let wires = [Wire::SocketIo, Wire::Json, Wire::SocketIo, Wire::MsgPack];
    let mut stay = Vec::new();
    for wire in wires {
        stay.push(Client::with_token(&server, wire, &token("stays", LATER)).await);
    }
    let (server, ends) = (std::sync::Arc::new(server), token("ends", unix_seconds() + 12));
    let one = |n: usize| {
        let (server, ends) = (std::sync::Arc::clone(&server), ends.clone());
        beside(async move {
            let mut client = Client::with_token(&server, wires[n % 4], &ends).await;
            assert!(warning(&mut client).await <= 3_000);
            assert_eq!(client.closed().await, 4401);
            if let Client::SocketIo(client) = client {
                assert_eq!(client.control, ["1"], "a DISCONNECT packet, so that stock clients do not come back");
            }
        })
    };
    for ended in join_all((0..500).map(one)).await {
        ended.unwrap();
    }
    assert_eq!(server.closes("token-expired").await, 500);
    assert!(unix_seconds() >= 12);
    for client in &mut stay {
        client.join("r").await.unwrap();
    }
    eventually!(server.open_sockets().await == 4);
}

#[tokio::test]
async fn a_fresh_token_in_time_lets_a_session_stay() {
    for wire in [Wire::SocketIo, Wire::Json, Wire::MsgPack] {
        let server = server(Duration::from_secs(60));
        let mut client = Client::with_token(&server, wire, &token("ada", unix_seconds() + 3)).await;
        client.join("r").await.unwrap();
        assert!(warning(&mut client).await <= 3_000, "{wire:?}");
        for bad in [token("eve", LATER), token("ada", 1_000_000_000), "nonsense".into()] {
            assert_eq!(refresh(&mut client, &bad).await.unwrap_err()["code"], "unauthenticated", "{wire:?}");
        }
        let answer = refresh(&mut client, &token("ada", LATER)).await.unwrap();
        assert!(answer["expires_in_ms"].as_u64().unwrap() > 3_600_000, "{answer}");
        let end = tokio::time::Instant::now() + Duration::from_millis(3_500);
        while tokio::time::Instant::now() < end {
            client.publish(json!({"room": "r", "event": "e", "echo": false})).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(server.metric("roomcast_tokens_refused_total", "other-user").await, 1);
        assert_eq!(server.closes("token-expired").await, 0);
    }
}

#[tokio::test]
async fn a_fresh_token_that_ends_sooner_counts_too() {
    let server = server(Duration::from_secs(60));
    let mut client = Client::with_token(&server, Wire::Json, &token("ada", LATER)).await;
    refresh(&mut client, &token("ada", unix_seconds() + 2)).await.unwrap();
    warning(&mut client).await;
    assert_eq!(client.closed().await, 4401);
}

#[tokio::test]
async fn a_fresh_token_that_allows_less_takes_rooms_away() {
    let server = server(Duration::from_secs(60));
    let with = |rooms| signed(&Claims { sub: "ada".into(), exp: LATER, rooms, ..Claims::default() });
    for wire in [Wire::SocketIo, Wire::Json] {
        let mut client =
            Client::with_token(&server, wire, &with(vec![grant("a:*", "join+publish"), grant("b:*", "join")])).await;
        for room in ["a:1", "b:1", "free"] {
            client.join(room).await.unwrap();
        }
        client.publish(json!({"room": "a:1", "event": "e", "echo": false})).await.unwrap();
        let answer = refresh(&mut client, &with(vec![grant("a:*", "join")])).await.unwrap();
        assert_eq!(answer["left"], json!(["b:1"]));
        let refused = client.publish(json!({"room": "a:1", "event": "e"})).await.unwrap_err();
        assert_eq!(refused["code"], "room-forbidden");
        assert_eq!(client.join("b:1").await.unwrap_err()["code"], "room-forbidden");
        client.publish(json!({"room": "free", "event": "e", "echo": false})).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_came_without_a_token_has_none_to_refresh() {
    let server =
        TestServer::start(|settings| settings.auth.auth_secret = Some(crate::support::SECRET.parse().unwrap()));
    for wire in [Wire::SocketIo, Wire::Json] {
        let mut client = Client::connect(&server, wire).await;
        assert_eq!(refresh(&mut client, &token("ada", LATER)).await.unwrap_err()["code"], "bad-packet");
        let Client::Native(client) = &mut client else { continue };
        assert_eq!(client.request(json!({"refresh": {}})).await.unwrap_err()["code"], "bad-packet");
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let server = server(Duration::from_secs(60));
    let ends = token("ada", unix_seconds() + 2);
    let (status, text) = http_get(server.public, &format!("/sse?room=r&token={ends}")).await;
    assert_eq!(status, 200);
    assert!(text.contains("event: token.expiring") && text.contains("event: server.closing"), "{text}");
    assert!(text.contains("\"code\":4401,\"reason\":\"token-expired\""), "{text}");
}

#[tokio::test]
async fn in_every_namespace_of_one_user_the_fresh_token_counts() {
    let server = TestServer::authenticated(|settings| {
        settings.auth.auth_leeway = Duration::ZERO;
        settings.listen.namespaces = vec!["/chat".into()];
    });
    let mut client = SocketIoClient::open(&server, "", None).await.unwrap();
    let short = token("ada", unix_seconds() + 3);
    client.enter("/", json!({"token": short})).await.unwrap();
    client.enter("/chat", json!({"token": short})).await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.heard_anywhere().await.1.event, "token.expiring");
    }
    client.call_in("/chat", "refresh", json!({"token": token("ada", LATER)})).await.unwrap();
    tokio::time::sleep(Duration::from_millis(3_500)).await; // past the end of the first token
    client.call("join", json!({"room": "r"})).await.unwrap();
}

#[tokio::test]
async fn a_client_that_polls_is_warned_and_ended_too() {
    let server = server(Duration::from_secs(60));
    let poller = Poller::open(&server).await;
    let ends = json!({"token": token("ada", unix_seconds() + 2)});
    assert_eq!(poller.post(&format!("40{ends}")).await.0, 200);
    let mut packets = Vec::new();
    while !packets.iter().any(|packet| packet == "41") {
        packets.extend(poller.packets().await);
    }
    assert!(packets[0].starts_with("40{"), "{packets:?}");
    assert!(packets[1].starts_with(r#"42["token.expiring",{"expires_in_ms":"#), "{packets:?}");
    eventually!(server.closes("token-expired").await == 1);
}
