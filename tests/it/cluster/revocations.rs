//! Revoked tokens on nodes that were not there when they were revoked.

use super::nodes::acquainted;
use super::views::{KEY, LATER, ask, user};
use crate::support::redis::Redis;
use crate::support::{NativeClient, SECRET, TestServer, eventually, signed};
use roomcast::app::{App, Builder, Bus, Mode};
use roomcast::config::{Secret, Settings};
use roomcast::protocol::Wire;
use roomcast::session::Claims;
use serde_json::Value;

fn guarded(app: Builder, change: impl FnOnce(&mut Settings)) -> TestServer {
    TestServer::start_with(app, Mode::Authenticated, |settings| {
        settings.auth.auth_secret = Some(SECRET.parse().unwrap());
        settings.auth.api_keys = vec![KEY.parse().unwrap()];
        change(settings);
    })
}

fn on_redis(redis: &Redis) -> TestServer {
    guarded(App::builder(), |settings| settings.redis.redis_url = Some(Secret::new(&redis.url())))
}

async fn revoke(node: &TestServer, token: &str) {
    let (status, answer) = ask(node, "POST", &format!("/tokens/{token}/revoke"), Value::Null).await;
    assert_eq!(status, 200, "{answer}");
}

async fn opens(node: &TestServer, token: &str) -> Option<u16> {
    let claims = Claims { sub: "ada".into(), exp: LATER, jti: Some(token.into()), ..Claims::default() };
    NativeClient::open(node, &format!("?token={}", signed(&claims)), Wire::Json).await.err()
}

async fn bytes_said(nodes: &[TestServer]) -> u64 {
    let mut bytes = 0;
    for node in nodes {
        bytes += node.metric("roomcast_broker_published_bytes_total", "").await;
    }
    bytes
}

#[tokio::test]
async fn a_node_that_comes_later_refuses_what_was_revoked_before() {
    let bus = Bus::default();
    let mut nodes: Vec<_> = (0..2).map(|_| guarded(App::builder().bus(&bus), |_| {})).collect();
    acquainted(&nodes).await;
    // More than one answer holds.
    for n in 0..1_100 {
        revoke(&nodes[n % 2], &format!("lost-{n}")).await;
    }
    let before = bytes_said(&nodes).await;
    nodes.push(guarded(App::builder().bus(&bus), |_| {}));
    acquainted(&nodes).await;
    eventually!(nodes[2].metric("roomcast_revoked_tokens", "").await == 1_100);
    for token in ["lost-0", "lost-501", "lost-1099"] {
        assert_eq!(opens(&nodes[2], token).await, Some(401));
    }
    assert_eq!(opens(&nodes[2], "kept").await, None);
    let told = bytes_said(&nodes).await - before;
    assert!((50_000..100_000).contains(&told), "{told} bytes: one of the two tells it all");
    // What it has learnt it tells the next.
    drop(nodes.drain(..2));
    eventually!(nodes[0].metric("roomcast_nodes", "").await == 1);
    nodes.push(guarded(App::builder().bus(&bus), |_| {}));
    eventually!(nodes[1].metric("roomcast_revoked_tokens", "").await == 1_100);
}

#[tokio::test]
async fn a_session_that_came_before_its_node_had_heard_of_the_revocation_ends() {
    let Some(mut redis) = Redis::start().await else { return };
    let knows = on_redis(&redis);
    eventually!(knows.metric("roomcast_broker_up", "").await == 1);
    revoke(&knows, "lost").await;
    redis.kill();
    let early = on_redis(&redis);
    let (mut gone, mut stays) = (user(&early, "ada", "lost").await, user(&early, "ada", "kept").await);
    redis.restart().await;
    assert_eq!(gone.closed().await, 4401);
    stays.join("r").await.unwrap();
    assert_eq!(opens(&early, "lost").await, Some(401));
}
