//! What happens to a cluster when Redis is away.

use super::nodes::acquainted;
use super::on_redis;
use crate::http::request;
use crate::support::redis::Redis;
use crate::support::{Client, NativeClient, TestServer, eventually};
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::time::Duration;

fn said(n: u64) -> Value {
    json!({"room": "lobby", "event": "said", "data": {"n": n}})
}

#[tokio::test]
async fn what_is_said_while_redis_is_away_for_a_moment_is_heard_when_it_is_back_once_and_in_order() {
    let Some(mut redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 2).await;
    let mut speaker = Client::member(&nodes[0], Wire::Json, "lobby").await;
    let mut listener = Client::member(&nodes[1], Wire::SocketIo, "lobby").await;
    speaker.publish(said(0)).await.unwrap();
    redis.kill();
    for n in 1..100 {
        speaker.tell("publish", said(n)).await;
        assert_eq!(speaker.heard().await.n(), n - 1, "local members are served without Redis");
    }
    redis.restart().await;
    for n in 0..100 {
        assert_eq!(listener.heard().await.n(), n);
    }
    for node in &nodes {
        eventually!(node.metric("roomcast_broker_up", "").await == 1);
    }
}

/// What a service is answered that publishes.
async fn publish_by_http(node: &TestServer, path: &str, body: Value) -> (u16, Value) {
    let headers = "Content-Type: application/json\r\n";
    let answer = request(node.public, "POST", &format!("/api/v1{path}"), headers, &body.to_string()).await;
    (answer.status, answer.json())
}

/// Two clients and a service publish on a node that knows that Redis is away, and a member there hears them at once; `then`
/// happens meanwhile. Returns what the three are answered, each after how long.
async fn answers_while_away(
    node: &TestServer,
    then: impl Future<Output = ()>,
) -> Vec<(Result<Value, Value>, Duration)> {
    let mut member = Client::member(node, Wire::Json, "lobby").await;
    let mut speakers = [Client::connect(node, Wire::SocketIo).await, Client::connect(node, Wire::Json).await];
    for speaker in &mut speakers {
        speaker.join("lobby").await.unwrap();
    }
    let began = tokio::time::Instant::now();
    let [first, second] = &mut speakers;
    let service = async {
        let (status, answer) =
            publish_by_http(node, "/rooms/lobby/events", json!({"event": "said", "data": {"n": 9}})).await;
        (if status == 202 { Ok(answer) } else { Err(answer) }, began.elapsed())
    };
    let heard_at_once = async {
        for _ in 0..3 {
            member.heard().await;
        }
        assert!(began.elapsed() < Duration::from_millis(500), "local members waited for Redis");
    };
    let of_client = async |client: &mut Client| (client.publish(said(9)).await, began.elapsed());
    let (one, two, three, (), ()) = tokio::join!(of_client(first), of_client(second), service, heard_at_once, then);
    vec![one, two, three]
}

#[tokio::test]
async fn an_ack_waits_while_redis_is_away_and_comes_when_it_is_back() {
    let Some(mut redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 2).await;
    acquainted(&nodes).await;
    let mut listener = Client::member(&nodes[1], Wire::SocketIo, "lobby").await;
    redis.kill();
    eventually!(nodes[0].metric("roomcast_broker_up", "").await == 0);
    let back = async {
        eventually!(nodes[0].metric("roomcast_broker_held_acks", "").await == 3);
        tokio::time::sleep(Duration::from_secs(2)).await;
        redis.restart().await;
    };
    for (answer, took) in Box::pin(answers_while_away(&nodes[0], back)).await {
        assert!(answer.is_ok() && took > Duration::from_secs(2), "{answer:?} after {took:?}");
    }
    for _ in 0..3 {
        assert_eq!(listener.heard().await.n(), 9);
    }
    eventually!(nodes[0].metric("roomcast_broker_held_acks", "").await == 0);
    let mut speaker = Client::connect(&nodes[0], Wire::Json).await;
    speaker.join("lobby").await.unwrap();
    eventually!(nodes[0].metric("roomcast_broker_up", "").await == 1);
    speaker.publish(said(10)).await.unwrap();
    assert_eq!(nodes[0].metric("roomcast_broker_publish_losses_total", "expired").await, 0);
}

#[tokio::test]
async fn an_ack_of_what_is_given_up_says_so() {
    let Some(mut redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 1).await;
    redis.kill();
    eventually!(nodes[0].metric("roomcast_broker_up", "").await == 0);
    let answers = Box::pin(answers_while_away(&nodes[0], async {})).await;
    let batch = publish_by_http(&nodes[0], "/events", json!([{"rooms": ["lobby"], "event": "said"}])).await;
    assert_eq!((batch.0, &batch.1["results"][0]["code"]), (202, &json!("unavailable")));
    for (answer, took) in &answers {
        let error = answer.as_ref().unwrap_err();
        let detail = error["detail"].as_str().unwrap();
        assert!(detail.contains("members of this node have got it"), "{error}");
        assert!(Duration::from_secs(4) < *took && *took < Duration::from_secs(8), "{took:?}");
    }
    assert_eq!(answers[0].0.as_ref().unwrap_err()["code"], "unavailable");
    assert_eq!(answers[2].0.as_ref().unwrap_err()["status"], 503);
    assert_eq!(nodes[0].metric("roomcast_broker_publish_losses_total", "expired").await, 3);
    assert_eq!(nodes[0].metric("roomcast_broker_held_acks", "").await, 0);
    redis.restart().await;
    eventually!(nodes[0].metric("roomcast_broker_up", "").await == 1);
}

#[tokio::test]
async fn who_leaves_while_an_ack_waits_is_forgotten() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 1).await;
    let mut speaker = NativeClient::connect(&nodes[0], Wire::Json).await;
    speaker.request(json!({"join": "lobby"})).await.unwrap();
    redis.pause();
    let mut n = 0;
    // Until it is noticed that nothing is answered any more, acks do not wait.
    eventually!({
        n += 1;
        speaker.send(&json!({"publish": "lobby", "event": "said", "data": {"n": n}, "id": n})).await;
        nodes[0].metric("roomcast_broker_held_acks", "").await > 0
    });
    drop(speaker);
    eventually!(nodes[0].metric("roomcast_open_sockets", "").await == 0);
    redis.resume();
    eventually!(nodes[0].metric("roomcast_broker_held_acks", "").await == 0);
    let mut other = Client::member(&nodes[0], Wire::Json, "lobby").await;
    other.publish(said(1)).await.unwrap();
}

#[tokio::test]
async fn what_waits_too_long_is_given_up_and_whoever_asks_is_told() {
    let Some(mut redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 1).await;
    let mut speaker = Client::member(&nodes[0], Wire::Json, "lobby").await;
    redis.kill();
    speaker.tell("publish", said(0)).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    eventually!(nodes[0].metric("roomcast_broker_publish_losses_total", "expired").await >= 1);
    let mut n = 1;
    eventually!({
        n += 1;
        speaker.publish(said(n)).await.is_err_and(|error| error["code"] == "unavailable")
    });
    redis.restart().await;
    eventually!({
        n += 1;
        speaker.publish(said(n)).await.is_ok()
    });
}

/// Says so many things, a few milliseconds apart, each heard on the same node at once; then all of them are heard on the other.
async fn nothing_is_lost_while(nodes: &[TestServer], count: u64, mut trouble: impl AsyncFnMut(u64)) {
    let mut speaker = Client::member(&nodes[0], Wire::Json, "lobby").await;
    let mut listener = Client::member(&nodes[1], Wire::SocketIo, "lobby").await;
    for n in 0..count {
        trouble(n).await;
        let began = tokio::time::Instant::now();
        speaker.tell("publish", said(n)).await;
        assert_eq!(speaker.heard().await.n(), n);
        assert!(began.elapsed() < Duration::from_millis(500), "local members waited for Redis");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for n in 0..count {
        assert_eq!(listener.heard().await.n(), n);
    }
}

#[tokio::test]
async fn connections_that_are_cut_again_and_again_cost_nothing() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 2).await;
    nothing_is_lost_while(&nodes, 600, async |n| {
        if n % 100 == 50 {
            let kind = if n % 200 == 50 { "pubsub" } else { "normal" };
            redis.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
        }
    })
    .await;
    assert!(nodes[1].metric("roomcast_broker_connections_total", "").await > 1, "no connection was cut");
}

#[tokio::test]
async fn a_server_that_stands_still_for_a_while_costs_nothing() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 2).await;
    nothing_is_lost_while(&nodes, 400, async |n| match n {
        100 => redis.pause(),
        300 => redis.resume(),
        _ => {}
    })
    .await;
}

#[tokio::test]
async fn a_server_that_takes_its_time_costs_nothing() {
    let Some(redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 2).await;
    nothing_is_lost_while(&nodes, 400, async |n| {
        if n == 100 {
            redis.command(&["CLIENT", "PAUSE", "1500", "ALL"]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_node_that_starts_before_redis_serves_and_joins_the_others_later() {
    let Some(mut redis) = Redis::start().await else { return };
    redis.kill();
    let early = TestServer::on_redis(&redis, |_| {});
    let mut member = Client::member(&early, Wire::Json, "lobby").await;
    member.tell("publish", said(0)).await;
    assert_eq!(member.heard().await.n(), 0);
    redis.restart().await;
    let late = on_redis(&redis, 1).await;
    eventually!(early.metric("roomcast_broker_up", "").await == 1);
    let mut speaker = Client::member(&late[0], Wire::Json, "lobby").await;
    speaker.publish(said(1)).await.unwrap();
    assert_eq!(member.heard().await.n(), 1);
}
