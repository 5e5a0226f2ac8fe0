//! Goal: an event stream hears what its rooms hear, costs nobody else anything, and says why it ends. Method: streams read
//! chunk by chunk, beside clients that speak.

use crate::http::request;
use crate::support::{
    Client, EventStream, RawSocket, SPEAKING, SocketIoClient, TestServer, Told, binary, eventually, token,
};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_stream_hears_its_rooms_whoever_speaks() {
    let server = TestServer::start(|_| ());
    let mut stream = EventStream::listen(&server, "room=a&room=b%20c").await;
    assert!(stream.head.contains("content-type: text/event-stream\r\n"), "{}", stream.head);
    assert!(stream.head.contains("x-accel-buffering: no\r\n"), "{}", stream.head);
    for wire in SPEAKING {
        let mut speaker = Client::connect(&server, wire).await;
        speaker.publish(json!({"room": "a", "event": "cursor", "data": {"x": 1}})).await.unwrap();
        assert_eq!(stream.told().await, Told::Event("cursor".into(), json!({"room": "a", "data": {"x": 1}})));
    }
    let mut speaker = SocketIoClient::connect(&server).await;
    speaker.call("publish", json!({"rooms": ["a", "b c"], "event": "once", "data": "é\n"})).await.unwrap();
    assert_eq!(stream.told().await, Told::Event("once".into(), json!({"rooms": ["a", "b c"], "data": "é\n"})));
    speaker.call("publish", json!({"room": "a", "event": "bytes", "data": binary(&[1, 2])})).await.unwrap();
    let expected = json!({"room": "a", "data": {"$binary": "AQI="}});
    assert_eq!(stream.told().await, Told::Event("bytes".into(), expected));
    assert_eq!(server.metric("roomcast_open_sockets", "sse").await, 1);
    assert_eq!(server.metric("roomcast_rooms", "").await, 2);
    drop(stream);
    eventually!(server.metric("roomcast_open_sockets", "sse").await == 0);
    assert_eq!(server.metric("roomcast_rooms", "").await, 0);
}

#[tokio::test]
async fn white_space_in_an_event_does_not_cut_its_line() {
    let server = TestServer::start(|_| ());
    let mut stream = EventStream::listen(&server, "room=a").await;
    let mut speaker = RawSocket::websocket(&server, "/ws").await;
    let packet = "{\"publish\":\"a\",\"event\":\"a\\nid: 9\",\"data\":{\n \"x\":\r\n 1 }}";
    speaker.send(&crate::support::frame(0x81, packet.as_bytes())).await;
    assert_eq!(stream.told().await, Told::Event("a id: 9".into(), json!({"room": "a", "data": {"x": 1}})));
}

#[tokio::test]
async fn a_stream_that_may_not_be_is_refused_before_it_begins() {
    let server = TestServer::start(|_| ());
    let refused = async |query: &str| EventStream::open(&server, query, "").await.unwrap_err();
    let (status, body) = refused("room=a&room=incident:42").await;
    assert_eq!(status, 403);
    assert!(body.contains("room-forbidden"), "{body}");
    assert_eq!(refused("").await.0, 400);
    assert_eq!(refused(&format!("room={}", "x".repeat(256))).await.0, 400);
    let foreign = EventStream::open(&server, "room=a", "Origin: https://evil.example\r\n").await.unwrap_err();
    assert_eq!(foreign.0, 403);
    eventually!(server.metric("roomcast_open_sockets", "").await == 0);
    assert_eq!(server.metric("roomcast_rooms", "").await, 0, "a room that was joined first is left again");

    let locked = TestServer::authenticated(|_| ());
    assert_eq!(EventStream::open(&locked, "room=a", "").await.unwrap_err().0, 401);
    assert_eq!(EventStream::open(&locked, "room=a&token=wrong", "").await.unwrap_err().0, 401);
    let query = format!("room=a&token={}", token("ada", 4_000_000_000));
    EventStream::listen(&locked, &query).await;
}

#[tokio::test]
async fn every_refusal_of_a_stream_is_a_problem() {
    let open = TestServer::start(|settings| settings.limits.max_rooms_per_session = 2);
    let locked = TestServer::authenticated(|_| ());
    let full = TestServer::start(|settings| settings.limits.max_sockets = 0);
    let busy = TestServer::start(|settings| {
        settings.abuse.exempt_addresses = vec![];
        settings.abuse.handshakes_per_second_per_address = 1;
        settings.abuse.handshakes_burst_per_address = 1;
    });
    EventStream::listen(&busy, "room=a").await;
    let foreign = "Origin: https://evil.example\r\n";
    for (server, method, query, headers, status, name, code) in [
        (&open, "GET", "", "", 400, "bad-packet", true),
        (&open, "POST", "room=a", "", 405, "method-not-allowed", false),
        (&open, "GET", "room=a", foreign, 403, "forbidden", false),
        (&open, "GET", "room=incident:1", "", 403, "room-forbidden", true),
        (&open, "GET", "room=a&room=b&room=c", "", 409, "too-many-rooms", true),
        (&locked, "GET", "room=a", "", 401, "unauthenticated", true),
        (&locked, "GET", "room=a&token=wrong", "", 401, "unauthenticated", true),
        (&full, "GET", "room=a", "", 503, "unavailable", true),
        (&busy, "GET", "room=a", "", 429, "rate-limited", true),
    ] {
        let answer = request(server.public, method, &format!("/sse?{query}"), headers, "").await;
        assert_eq!(answer.problem(), (status, name.to_owned()), "{method} {query}");
        let problem = answer.json();
        assert_eq!(problem.get("code").is_some(), code, "{problem}");
        assert_eq!(problem.get("retry_after_ms").is_some(), answer.names("retry-after"), "{answer:?}");
        assert_eq!(status == 401, answer.names("www-authenticate"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_stream_is_kept_alive_by_comments_and_waits_for_no_answer() {
    let server = TestServer::start(|settings| {
        settings.heartbeat.ping_interval = Duration::from_millis(100);
        settings.heartbeat.ping_timeout = Duration::from_millis(50);
    });
    let mut stream = EventStream::listen(&server, "room=a").await;
    for _ in 0..5 {
        assert_eq!(stream.told().await, Told::Comment);
    }
}

#[tokio::test]
async fn a_drain_says_when_to_come_back() {
    let mut server = TestServer::start(|_| ());
    let mut stream = EventStream::listen(&server, "room=a").await;
    server.stop();
    let Told::Event(name, data) = stream.told().await else { panic!("a warning comes first") };
    assert_eq!(name, "server.draining");
    let after = data["data"]["reconnect_after_ms"].as_u64().unwrap();
    assert_eq!(stream.told().await, Told::Retry(after));
    assert_eq!(stream.told().await, Told::End);
    assert_eq!(server.ended().await, [""; 0]);
}

#[tokio::test]
async fn a_stream_that_is_ended_on_purpose_says_so() {
    let server = TestServer::start(|_| ());
    let mut stream = EventStream::listen(&server, "room=a").await;
    let mut operator = RawSocket::connect(server.public).await;
    let path = format!("/api/v1/sessions/{}", stream.sid);
    operator.send(format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).await;
    assert_eq!(operator.status().await, 204);
    let expected = json!({"code": 1000, "reason": "kicked"});
    assert_eq!(stream.told().await, Told::Event("server.closing".into(), expected));
    assert_eq!(stream.told().await, Told::End);
}

#[tokio::test]
async fn a_stream_that_is_not_read_is_cut_and_the_others_lose_nothing() {
    let server = TestServer::start(|settings| {
        settings.delivery.outbox_bytes = 256 * 1024;
        settings.delivery.send_buffer = 16 * 1024;
        settings.limits.packets_per_second = 0;
    });
    let mut sleeper = RawSocket::with_small_buffer(server.public).await;
    sleeper.send(b"GET /sse?room=a HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(sleeper.status().await, 200);
    let mut stream = EventStream::listen(&server, "room=a").await;
    let mut speaker = SocketIoClient::connect(&server).await;
    let padding = "x".repeat(8_000);
    for n in 0..100 {
        speaker.call("message", json!({"room": "a", "n": n, "padding": padding})).await.unwrap();
        let Told::Event(_, event) = stream.told().await else { panic!("events, one after the other") };
        assert_eq!(event["data"]["n"], n);
    }
    eventually!(server.closes("slow-consumer").await == 1);
}

#[tokio::test]
async fn what_a_listener_says_is_not_heard() {
    let server = TestServer::start(|_| ());
    let mut talker = RawSocket::connect(server.public).await;
    talker
        .send(b"GET /sse?room=a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(talker.status().await, 200);
    assert!(talker.chunk().await.unwrap().starts_with("event: server.hello\n"));
    talker.send(&[0xff; 10_000]).await;
    let mut speaker = SocketIoClient::connect(&server).await;
    speaker.call("message", json!({"room": "a", "n": 1})).await.unwrap();
    assert!(talker.chunk().await.unwrap().starts_with("event: message\n"));
    assert_eq!(server.metric("roomcast_panics_total", "").await, 0);
}
