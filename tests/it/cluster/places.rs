//! What clients ask, what operators ask and what waits for answers of sessions have places of their own.

use super::on_redis;
use crate::support::redis::{Redis, Resp};
use crate::support::{NativeClient, TestServer, eventually, http_get};
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// A node that says that it is there and answers nothing: who asks all nodes waits a second for it.
async fn with_a_silent_node(redis: &Redis) -> TestServer {
    let node = on_redis(redis, 1).await.remove(0);
    let beat = json!({"v": 1, "uid": "silent", "beat":
        {"node": "AAEC", "address": "10.0.0.7:3000", "key": "k", "version": "0.1.0", "sockets": 0, "rooms": 0}});
    redis.command(&["PUBLISH", "socket.io-roomcast#", &beat.to_string()]).await;
    eventually!(node.metric("roomcast_nodes", "").await == 2);
    node
}

#[tokio::test]
async fn clients_that_ask_who_is_there_leave_places_for_operators() {
    let Some(redis) = Redis::start().await else { return };
    let node = with_a_silent_node(&redis).await;
    let mut clients = Vec::new();
    for _ in 0..260 {
        clients.push(NativeClient::connect(&node, Wire::Json).await);
    }
    for client in &mut clients {
        client.send(&json!({"presence": "lobby", "id": 1})).await;
    }
    eventually!(node.metric("roomcast_presence_refused_total", "").await == 4);
    let (status, answer) = http_get(node.public, "/api/v1/sessions?limit=1").await;
    assert_eq!((status, &serde_json::from_str::<Value>(&answer).unwrap()["partial"]), (200, &json!(true)), "{answer}");
    let (mut told, mut refused) = (0, 0);
    for client in &mut clients {
        let packet = client.packet().await;
        told += usize::from(packet["ok"]["partial"] == true);
        refused += usize::from(packet["error"]["code"] == "unavailable");
    }
    assert_eq!((told, refused), (256, 4));
    let again = clients[0].request(json!({"presence": "lobby"})).await.unwrap();
    assert_eq!(again["count"], 0);
}

#[tokio::test]
async fn a_session_asks_other_nodes_one_question_at_a_time() {
    let Some(redis) = Redis::start().await else { return };
    let node = with_a_silent_node(&redis).await;
    let mut client = NativeClient::connect(&node, Wire::Json).await;
    let began = Instant::now();
    for id in 1..=17 {
        client.send(&json!({"presence": "lobby", "id": id})).await;
    }
    let refused = client.packet().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(17), &json!("unavailable")));
    assert!(began.elapsed() < Duration::from_millis(900));
    for id in 1..=16 {
        let answer = client.packet().await;
        assert_eq!((&answer["id"], &answer["ok"]["partial"]), (&json!(id), &json!(true)));
        // Only the first waits for the silent node, which is not waited for again.
        assert!(began.elapsed() > Duration::from_millis(950), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn broadcasts_that_wait_for_acks_are_heard_and_take_no_places_of_other_requests() {
    let Some(redis) = Redis::start().await else { return };
    let node = on_redis(&redis, 1).await.remove(0);
    let mut silent = NativeClient::connect(&node, Wire::Json).await;
    silent.request(json!({"join": "lobby"})).await.unwrap();
    let mut answers = redis.connect().await;
    answers.call(&["SUBSCRIBE", "socket.io-response#/#"]).await.unwrap();
    let mut other = redis.connect().await;
    for n in 0..1_100 {
        let packet = json!({"type": 2, "data": ["ask", {"n": n}], "nsp": "/"});
        let opts = json!({"rooms": ["lobby"], "except": [], "flags": {}});
        ask(&mut other, json!({"requestId": format!("b{n}"), "type": 7, "packet": packet, "opts": opts})).await;
        assert_eq!(silent.heard().await.n(), n, "all are heard");
    }
    ask(&mut other, json!({"requestId": "f", "type": 5, "opts": {"rooms": [], "except": []}})).await;
    let mut counted = 0;
    loop {
        let heard = answers.read().await.unwrap();
        let answer: Value = serde_json::from_str(&heard.list()[2].text()).unwrap();
        if answer["requestId"] == "f" {
            assert_eq!(answer["sockets"][0]["id"], silent.sid);
            break;
        }
        assert_eq!((&answer["type"], &answer["clientCount"]), (&json!(8), &json!(1)));
        counted += 1;
    }
    assert!(counted > 1_000, "{counted}: whoever asked knows how many were asked");
    assert_eq!(node.metric("roomcast_broker_answers_refused_total", "").await, 1_100 - 512);
}

async fn ask(other: &mut Resp, mut request: Value) {
    request["uid"] = "other".into();
    other.call(&["PUBLISH", "socket.io-request#/#", &request.to_string()]).await.unwrap();
}
