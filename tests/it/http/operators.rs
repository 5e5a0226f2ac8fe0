//! What operators see: readiness, health, metrics, the description of the API.

use super::{get, request};
use crate::support::{Client, TestServer, eventually};
use roomcast::protocol::Wire;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_node_is_ready_until_it_drains() {
    let mut server = TestServer::start(|settings| settings.drain.drain_delay = Duration::from_secs(2));
    for to in [server.public, server.admin] {
        let ready = request(to, "GET", "/readyz", "", "").await;
        assert_eq!((ready.status, ready.body.as_str()), (200, "ready\n"));
        assert!(ready.has("cache-control: no-store"), "{ready:?}");
    }
    assert_eq!(request(server.admin, "GET", "/health", "", "").await.json()["status"], "ok");
    server.stop();
    eventually!(request(server.admin, "GET", "/readyz", "", "").await.status == 503);
    for to in [server.public, server.admin] {
        let unready = request(to, "GET", "/readyz", "", "").await;
        assert_eq!((unready.status, unready.body.as_str()), (503, "draining\n"));
        assert_eq!(request(to, "GET", "/livez", "", "").await.status, 200);
    }
    assert_eq!(request(server.admin, "GET", "/health", "", "").await.json()["status"], "draining");
    server.ended().await;
}

#[tokio::test]
async fn health_says_how_near_the_limits_are() {
    let server = TestServer::start(|_| ());
    let _client = Client::member(&server, Wire::Json, "r").await;
    let health = request(server.admin, "GET", "/health", "", "").await.json();
    for (key, value) in [
        ("workers", json!(2)),
        ("open_sockets", json!(1)),
        ("rooms", json!(1)),
        ("version", json!(env!("CARGO_PKG_VERSION"))),
        ("broker", json!(null)),
    ] {
        assert_eq!(health[key], value, "{health}");
    }
    assert!(
        health["tick_lag_ms"].is_number() && health["outbox_bytes"].is_number() && health["uptime_seconds"].is_number()
    );
    assert!(health["node"].as_str().is_some_and(|node| !node.is_empty()));
    assert!(health["max_fds"].as_u64().is_some_and(|most| most > health["open_fds"].as_u64().unwrap_or(0)), "{health}");
    let metrics = request(server.admin, "GET", "/metrics", "", "").await;
    assert!(metrics.has("content-type: text/plain; version=0.0.4"), "{}", metrics.head);
}

#[tokio::test]
async fn the_description_of_the_api_is_served() {
    let server = TestServer::start(|_| ());
    let answer = get(&server, "/openapi.json").await;
    assert!(answer.has("content-type: application/json"), "{}", answer.head);
    let document = answer.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    assert!(document["paths"]["/api/v1/rooms/{room}/events"]["post"].is_object());
    assert!(get(&server, "/").await.body.contains("/openapi.json"));
}

#[tokio::test]
async fn requests_are_counted_and_timed_by_the_template_of_their_route() {
    let server = TestServer::start(|_| ());
    for room in ["a", "b", "c"] {
        get(&server, &format!("/api/v1/rooms/{room}/members")).await;
        assert_eq!(get(&server, &format!("/{room}")).await.status, 404);
    }
    for (labels, count) in [
        ("{method=\"GET\",route=\"/api/v1/rooms/{room}/members\",status=\"200\"}", 3),
        ("{method=\"GET\",route=\"other\",status=\"404\"}", 3),
    ] {
        assert_eq!(server.metric("roomcast_http_requests_total", labels).await, count, "{labels}");
    }
    assert_eq!(server.metric("roomcast_limit", "name=\"max-rooms\"").await, 100_000);
    assert_eq!(server.metric("roomcast_limit", "name=\"max-sockets\"").await, 100_000);
    let timed = server.metric("roomcast_http_request_duration_seconds_count", "/api/v1/rooms/{room}/members").await;
    assert_eq!(timed, 3);
}
