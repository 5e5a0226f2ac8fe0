//! What is not right is refused as a problem, and counted: bodies, names, paths, keys.

use super::{get, post, post_text, request};
use crate::support::postgres::Postgres;
use crate::support::{Client, RawSocket, TestServer, beside, eventually, token};
use roomcast::app::Mode;
use roomcast::config::Secret;
use roomcast::protocol::Wire;
use serde_json::json;

const KEY: &str = "a-key-of-sixteen-or-more";

#[tokio::test]
async fn what_is_no_event_is_refused() {
    let server = TestServer::start(|_| ());
    for body in [
        r#"{"data":1}"#,
        r#"{"event":7}"#,
        r#"{"event":"disconnect"}"#,
        r#"{"event":"server.closing"}"#,
        r#"{"event":"token.expiring"}"#,
        r#"{"event":"error"}"#,
        r#"{"event":"open"}"#,
        r#"{"event":"e","data":1,"args":[]}"#,
        r#"{"event":"e","args":{}}"#,
        r#"{"event":"e","except":[7]}"#,
        r#"{"event":"e","volatile":true}"#,
        r#"{"event":"e","data":01}"#,
        r#"{"event":"e"} x"#,
        r#"["e"]"#,
        "{",
        "",
    ] {
        let (status, _) = post_text(&server, "/api/v1/rooms/r/events", body).await.problem();
        assert_eq!(status, 400, "{body}");
    }
    assert_eq!(server.metric("roomcast_http_refused_total", "").await, 16);
    assert_eq!(server.metric("roomcast_http_published_total", "").await, 0);
}

#[tokio::test]
async fn a_service_that_relies_on_being_heard_once_is_told_that_it_cannot() {
    let server = TestServer::start(|_| ());
    let headers = "Content-Type: application/json\r\nIdempotency-Key: 8e03978e\r\n";
    for path in ["/api/v1/rooms/r/events", "/api/v1/events", "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAA/events"] {
        let answer = request(server.public, "POST", path, headers, r#"{"event":"e"}"#).await;
        assert_eq!(answer.problem(), (400, "bad-packet".into()), "{path}");
        assert!(answer.body.contains("Idempotency-Key"), "{}", answer.body);
    }
    assert_eq!(server.metric("roomcast_http_published_total", "").await, 0);
}

#[tokio::test]
async fn deep_json_is_refused() {
    let server = TestServer::start(|_| ());
    let nested = |n: usize| format!(r#"{{"event":"e","data":{}1{}}}"#, "[".repeat(n), "]".repeat(n));
    assert_eq!(post_text(&server, "/api/v1/rooms/r/events", &nested(31)).await.status, 202);
    for n in [32, 1_000, 400_000] {
        let answer = post_text(&server, "/api/v1/rooms/r/events", &nested(n)).await;
        assert_eq!(answer.problem(), (400, "bad-packet".into()), "{n}");
        assert!(answer.body.contains("nested deeper"), "{}", answer.body);
    }
}

#[tokio::test]
async fn large_events_and_large_bodies_are_refused() {
    let server = TestServer::start(|settings| settings.limits.max_body_bytes = 100_000);
    let event = |bytes: usize| json!({"event": "e", "data": "x".repeat(bytes)});
    assert_eq!(post(&server, "/api/v1/rooms/r/events", event(60_000)).await.status, 202);
    assert_eq!(post(&server, "/api/v1/rooms/r/events", event(70_000)).await.problem(), (413, "too-large".into()));
    let whole = post(&server, "/api/v1/rooms/r/events", event(110_000)).await;
    assert_eq!(whole.problem(), (413, "too-large".into()));
    assert!(whole.body.contains("100000"), "{}", whole.body);
}

#[tokio::test]
async fn bad_names_bad_parameters_and_other_bodies_are_refused() {
    let server = TestServer::start(|_| ());
    let long = format!("/api/v1/rooms/{}", "x".repeat(256));
    for (path, name) in [
        ("/api/v1/rooms/%00", "name-invalid"),
        (long.as_str(), "name-invalid"),
        ("/api/v1/rooms/%ff", "bad-packet"),
        ("/api/v1/rooms?limit=0", "bad-packet"),
        ("/api/v1/rooms?limit=1001", "bad-packet"),
        ("/api/v1/rooms?limit=x", "bad-packet"),
        ("/api/v1/rooms?limt=5", "bad-packet"),
        ("/api/v1/rooms/r/members?cursor=x", "bad-packet"),
        ("/api/v1/sessions?cursor=x", "bad-packet"),
        ("/api/v1/sessions?room=", "name-invalid"),
        ("/api/v1/sessions?namespace=/", "bad-packet"),
    ] {
        assert_eq!(get(&server, path).await.problem(), (400, name.into()), "{path}");
    }
    let form = request(server.public, "POST", "/api/v1/rooms/r/events", "Content-Type: text/plain\r\n", "{}").await;
    assert_eq!(form.problem(), (415, "unsupported-media-type".into()));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let server = TestServer::start(|_| ());
    for path in ["/nothing", "/api/v1/nothing", "/api/v2/rooms", "/health", "/metrics"] {
        assert_eq!(get(&server, path).await.problem(), (404, "not-found".into()), "{path}");
    }
    let put = request(server.public, "PUT", "/api/v1/rooms", "", "").await;
    assert_eq!(put.problem(), (405, "method-not-allowed".into()));
    assert!(put.has("allow: get,head"), "{put:?}");
    assert_eq!(request(server.admin, "GET", "/nothing", "", "").await.problem(), (404, "not-found".into()));
}

#[tokio::test]
async fn an_unknown_key_is_refused_and_a_known_one_is_not() {
    let server = TestServer::authenticated(|settings| {
        settings.auth.api_keys = vec!["another-0123456789".parse().unwrap(), KEY.parse().unwrap()]
    });
    let rooms = async |headers: &str| request(server.public, "GET", "/api/v1/rooms", headers, "").await;
    for headers in [String::new(), "Authorization: Bearer wrong\r\n".into(), format!("Authorization: Basic {KEY}\r\n")]
    {
        let answer = rooms(&headers).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()), "{headers}");
        assert!(answer.has("www-authenticate: bearer") && answer.has("cache-control: no-store"), "{answer:?}");
    }
    assert_eq!(rooms(&format!("Authorization: Bearer {KEY}\r\n")).await.status, 200);
    assert_eq!(rooms(&format!("X-Api-Key: {KEY}\r\n")).await.status, 200);
    assert_eq!(server.metric("roomcast_http_refused_total", "").await, 3);
    for (reason, count) in [("missing", 2), ("unknown", 1), ("scope", 0)] {
        assert_eq!(server.metric("roomcast_api_keys_refused_total", reason).await, count, "{reason}");
    }
    let client_token = format!("Authorization: Bearer {}\r\n", token("ada", 4_000_000_000));
    assert_eq!(rooms(&client_token).await.status, 401, "a client's token is no key");
}

#[tokio::test]
async fn without_keys_the_api_is_closed_except_in_development() {
    let closed = TestServer::authenticated(|_| ());
    let refused = get(&closed, "/api/v1/rooms").await;
    assert_eq!(refused.problem(), (401, "unauthenticated".into()));
    assert!(refused.body.contains("the HTTP API is closed"), "{}", refused.body);
    let open = TestServer::start_as(Mode::Open, |settings| settings.auth.api_keys = vec![KEY.parse().unwrap()]);
    assert_eq!(get(&open, "/api/v1/rooms").await.status, 200);
    for server in [&closed, &open] {
        for path in ["/", "/openapi.json", "/livez", "/readyz"] {
            assert_eq!(get(server, path).await.status, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn one_request_more_than_may_be_answered_at_once_is_told_to_come_again() {
    let server = TestServer::start(|settings| settings.limits.max_requests = 1);
    let mut client = Client::connect(&server, Wire::Json).await;
    let (to, path) = (server.public, format!("/api/v1/sessions/{}/events", client.sid()));
    let body = json!({"event": "ask", "ack_timeout_ms": 10_000}).to_string();
    let asking = beside(async move { request(to, "POST", &path, "Content-Type: application/json\r\n", &body).await });
    client.heard().await;
    let event = json!({"event": "e"});
    for refused in [get(&server, "/api/v1/rooms").await, post(&server, "/api/v1/rooms/r/events", event).await] {
        assert_eq!(refused.problem(), (503, "unavailable".into()));
        assert!(refused.has("retry-after: 1"), "{refused:?}");
    }
    assert_eq!(get(&server, "/readyz").await.status, 200, "probes are not counted");
    assert_eq!(get(&server, "/api/v1/incidents").await.status, 404, "what asks the database has places of its own");
    assert_eq!(server.metric("roomcast_limit_hits_total", "limit=\"requests-at-once\"").await, 2);
    drop(client);
    assert_eq!(asking.await.unwrap().status, 504);
    assert_eq!(get(&server, "/api/v1/rooms").await.status, 200);
}

#[tokio::test]
async fn an_event_for_which_there_is_no_place_is_refused_in_the_form_of_its_door() {
    let Some(postgres) = Postgres::here().await else { return };
    let (url, _) = postgres.database().await;
    let server = TestServer::start(|settings| {
        settings.limits.max_requests = 1;
        settings.database.database_url = Some(Secret::new(&url));
    });
    eventually!(get(&server, "/api/v1/services").await.status == 200);
    let locked = postgres.lock(&url, "services").await;
    let to = server.public;
    let asking = beside(async move { request(to, "GET", "/api/v1/services", "", "").await });
    eventually!(post_text(&server, "/v2/enqueue", "{}").await.status == 503);
    let event = post_text(&server, "/v2/enqueue", "{}").await;
    assert_eq!(event.json()["status"], "unavailable");
    assert_eq!(get(&server, "/api/v1/rooms").await.status, 200, "rooms do without a database");
    drop(locked);
    assert_eq!(asking.await.unwrap().status, 200);
}

#[tokio::test]
async fn who_sends_half_of_a_request_takes_no_place() {
    let server = TestServer::start(|settings| settings.limits.max_requests = 1);
    let mut halves = Vec::new();
    for path in ["/api/v1/rooms/r/events", "/v2/enqueue", "/v2/enqueue"] {
        let mut half = RawSocket::connect(server.public).await;
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        half.send(format!("{head}Content-Length: 13\r\n\r\n{{").as_bytes()).await;
        halves.push(half);
    }
    let requests = async || server.metric("roomcast_http_connections", "").await;
    eventually!(requests().await >= 3);
    for _ in 0..10 {
        assert_eq!(post(&server, "/api/v1/rooms/r/events", json!({"event": "e"})).await.status, 202);
        assert_eq!(post_text(&server, "/v2/enqueue", "{}").await.status, 400);
    }
    halves[0].send(br#""event":"e"}"#).await;
    assert_eq!(halves[0].status().await, 202);
}

#[tokio::test]
async fn a_body_that_nobody_wants_is_read_so_that_the_refusal_arrives() {
    let server = TestServer::authenticated(|settings| settings.auth.api_keys = vec![KEY.parse().unwrap()]);
    for _ in 0..20 {
        let mut stranger = RawSocket::connect(server.public).await;
        let body = "x".repeat(300_000);
        let head = "POST /api/v1/rooms/r/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        stranger.send(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes()).await;
        for part in body.as_bytes().chunks(50_000) {
            stranger.send(part).await;
            tokio::task::yield_now().await;
        }
        assert_eq!(stranger.status().await, 401);
    }
}
