//! What happens to a cluster when Redis is away.

use super::on_redis;
use crate::support::redis::Redis;
use crate::support::{Client, eventually};
use roomcast::protocol::Wire;
use serde_json::json;
use std::time::Duration;

fn said(n: u64) -> serde_json::Value {
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
        speaker.publish(said(n)).await.unwrap();
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

#[tokio::test]
async fn what_waits_too_long_is_given_up_and_whoever_asks_is_told() {
    let Some(mut redis) = Redis::start().await else { return };
    let nodes = on_redis(&redis, 1).await;
    let mut speaker = Client::member(&nodes[0], Wire::Json, "lobby").await;
    redis.kill();
    speaker.publish(said(0)).await.unwrap();
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
async fn nothing_is_lost_while(nodes: &[crate::support::TestServer], count: u64, mut trouble: impl AsyncFnMut(u64)) {
    let mut speaker = Client::member(&nodes[0], Wire::Json, "lobby").await;
    let mut listener = Client::member(&nodes[1], Wire::SocketIo, "lobby").await;
    for n in 0..count {
        trouble(n).await;
        let began = tokio::time::Instant::now();
        speaker.publish(said(n)).await.unwrap();
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
    let early = crate::support::TestServer::on_redis(&redis, |_| {});
    let mut member = Client::member(&early, Wire::Json, "lobby").await;
    member.publish(said(0)).await.unwrap();
    assert_eq!(member.heard().await.n(), 0);
    redis.restart().await;
    let late = on_redis(&redis, 1).await;
    eventually!(early.metric("roomcast_broker_up", "").await == 1);
    let mut speaker = Client::member(&late[0], Wire::Json, "lobby").await;
    speaker.publish(said(1)).await.unwrap();
    assert_eq!(member.heard().await.n(), 1);
}
