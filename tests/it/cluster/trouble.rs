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
