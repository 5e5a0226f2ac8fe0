//! Goal: an operator sees what one session says and is told, and costs nobody anything. Method: the tap is read line by
//! line over a real socket, beside clients of every kind.

use super::get;
use crate::support::{Client, NativeClient, RawSocket, SPEAKING, TestServer, eventually, within};
use roomcast::protocol::Wire;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncReadExt as _;

/// A tap that is being read.
struct Tap {
    socket: RawSocket,
    read: Vec<u8>,
}

impl Tap {
    async fn open(server: &TestServer, sid: &str, query: &str) -> (u16, Self) {
        let mut socket = RawSocket::connect(server.public).await;
        let request = format!("GET /api/v1/sessions/{sid}/tap{query} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        socket.send(request.as_bytes()).await;
        let status = socket.status().await;
        (status, Self { socket, read: Vec::new() })
    }

    async fn on(server: &TestServer, sid: &str) -> Self {
        let (status, tap) = Self::open(server, sid, "").await;
        assert_eq!(status, 200);
        tap
    }

    /// The next line.
    async fn line(&mut self) -> Value {
        loop {
            // The lines are the only lines of the chunked body that begin with a brace.
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                if line.starts_with(b"{") {
                    return serde_json::from_slice(&line).unwrap();
                }
            }
            self.read.extend(self.socket.some().await);
        }
    }

    /// The next line that is no ping and no pong.
    async fn message(&mut self) -> Value {
        loop {
            let line = self.line().await;
            let text = line["text"].as_str().unwrap_or_default();
            if !matches!(line["kind"].as_str(), Some("ping" | "pong")) && !matches!(text, "2" | "3") {
                return line;
            }
        }
    }
}

#[tokio::test]
async fn a_tap_shows_what_the_session_says_and_what_it_is_told() {
    let server = TestServer::start(|_| {});
    for wire in SPEAKING {
        let mut client = Client::connect(&server, wire).await;
        let mut other = Client::member(&server, wire, "r").await;
        let mut tap = Tap::on(&server, client.sid()).await;
        client.join("r").await.unwrap();
        let said = tap.message().await;
        assert_eq!((&said["direction"], &said["wire"]), (&json!("in"), &json!(wire.label())), "{said}");
        let told = tap.message().await;
        assert_eq!((&told["direction"], told["bytes"].as_u64() > Some(0)), (&json!("out"), true), "{told}");
        other.publish(json!({"room": "r", "event": "e", "data": "found me"})).await.unwrap();
        let event = tap.message().await;
        assert_eq!(event["direction"], "out");
        if event["kind"] == "text" {
            assert!(said["text"].as_str().unwrap().contains("join"), "{said}");
            assert!(event["text"].as_str().unwrap().contains("found me"), "{event}");
        } else {
            assert_eq!((&said["kind"], event["base64"].is_string()), (&json!("binary"), true), "{said} {event}");
        }
        drop(client);
        assert_eq!(loop_to_end(&mut tap).await["end"], "session");
    }
    eventually!(server.metric("roomcast_taps", "").await == 0);
}

async fn loop_to_end(tap: &mut Tap) -> Value {
    loop {
        let line = tap.line().await;
        if line.get("end").is_some() {
            return line;
        }
    }
}

#[tokio::test]
async fn long_messages_are_shown_as_they_begin() {
    let server = TestServer::start(|_| {});
    let mut client = NativeClient::connect(&server, Wire::Json).await;
    let mut tap = Tap::on(&server, &client.sid).await;
    let text = "ä".repeat(5_000);
    client.send(&json!({"publish": "r", "data": text})).await;
    let said = tap.message().await;
    assert_eq!((&said["cut"], said["bytes"].as_u64().unwrap() > 10_000), (&json!(true), true));
    assert!((4_000..=4_096).contains(&said["text"].as_str().unwrap().len()));
}

#[tokio::test]
async fn a_tap_ends_in_time_and_there_are_only_so_many() {
    let server = TestServer::start(|settings| {
        settings.taps.max_taps = 1;
        settings.taps.tap_duration = Duration::from_secs(2);
    });
    let client = NativeClient::connect(&server, Wire::Json).await;
    for (query, status) in [("?seconds=0", 400), ("?seconds=3", 400), ("?seconds=x", 400)] {
        assert_eq!(Tap::open(&server, &client.sid, query).await.0, status, "{query}");
    }
    let (status, mut tap) = Tap::open(&server, &client.sid, "?seconds=1").await;
    assert_eq!(status, 200);
    let full = get(&server, &format!("/api/v1/sessions/{}/tap", client.sid)).await;
    assert_eq!(full.problem(), (503, "unavailable".into()));
    assert_eq!(server.metric("roomcast_limit_hits_total", "\"taps\"").await, 1);
    assert_eq!(loop_to_end(&mut tap).await["end"], "time");
    eventually!(Tap::open(&server, &client.sid, "").await.0 == 200);
    let unknown = get(&server, "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAA/tap").await;
    assert!(matches!(unknown.status, 404 | 503), "{unknown:?}");
}

#[tokio::test]
async fn an_operator_that_does_not_read_misses_something_and_holds_nobody_up() {
    let server = TestServer::start(|settings| settings.limits.packets_per_second = 0);
    let mut client = NativeClient::connect(&server, Wire::Json).await;
    let mut socket = RawSocket::with_small_buffer(server.public).await;
    let request = format!("GET /api/v1/sessions/{}/tap HTTP/1.1\r\nHost: localhost\r\n\r\n", client.sid);
    socket.send(request.as_bytes()).await;
    assert_eq!(socket.status().await, 200);
    let text = "x".repeat(10_000);
    let mut said = 0;
    while server.metric("roomcast_tap_missed_total", "").await == 0 {
        for _ in 0..500 {
            said += 1;
            client.request(json!({"publish": "nobody", "data": text})).await.unwrap();
        }
        assert!(said < 20_000, "{said} messages of which none was left out");
    }
    // It comes back, and is told how much it has missed.
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"missed\":") {
        seen.drain(..seen.len().saturating_sub(20));
        let read = within("the line that says so", socket.stream.read_buf(&mut seen)).await;
        assert!(read.unwrap() > 0);
        client.request(json!({"publish": "nobody", "data": 1})).await.unwrap();
    }
}

#[tokio::test]
async fn whoever_watches_and_leaves_is_forgotten() {
    let server = TestServer::start(|_| {});
    let mut client = NativeClient::connect(&server, Wire::Json).await;
    let tap = Tap::on(&server, &client.sid).await;
    assert_eq!(server.metric("roomcast_taps", "").await, 1);
    drop(tap);
    eventually!({
        client.request(json!({"publish": "r", "data": 1})).await.is_ok()
            && server.metric("roomcast_taps", "").await == 0
    });
}
