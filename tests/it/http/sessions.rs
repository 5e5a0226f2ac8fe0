//! Single sessions: they are ended, spoken to, and asked.

use super::{get, post, request};
use crate::support::{Client, Heard, NativeClient, RawSocket, SPEAKING, TestServer, beside, eventually, frame};
use roomcast::protocol::Wire;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_session_is_ended_once() {
    let server = TestServer::start(|_| ());
    for wire in SPEAKING {
        let mut client = Client::connect(&server, wire).await;
        let path = format!("/api/v1/sessions/{}", client.sid());
        let ended = request(server.public, "DELETE", &path, "", "").await;
        assert_eq!((ended.status, ended.body.as_str()), (204, ""));
        assert_eq!(client.closed().await, 1000, "{wire:?}");
        eventually!(request(server.public, "DELETE", &path, "", "").await.status == 404);
    }
    assert_eq!(server.closes("kicked").await, SPEAKING.len() as u64);
    for sid in ["short", "AAAAAAAAAAAAAAAAAAAA"] {
        let unknown = request(server.public, "DELETE", &format!("/api/v1/sessions/{sid}"), "", "").await;
        assert_eq!(unknown.problem(), (404, "not-found".into()), "{sid}");
    }
}

#[tokio::test]
async fn an_event_for_one_session_reaches_that_one_only() {
    let server = TestServer::start(|_| ());
    for wire in SPEAKING {
        let (mut one, mut other) = (Client::member(&server, wire, "r").await, Client::member(&server, wire, "r").await);
        let path = format!("/api/v1/sessions/{}/events", one.sid());
        let answer = post(&server, &path, json!({"event": "for-you", "args": [1, 2]})).await;
        assert_eq!((answer.status, answer.json()), (202, json!({"sid": one.sid()})));
        assert_eq!(one.heard().await, Heard { event: "for-you".into(), args: vec![json!(1), json!(2)] });
        post(&server, "/api/v1/rooms/r/events", json!({"event": "for-all", "data": 3})).await;
        assert_eq!(other.heard().await, Heard::new("for-all", json!(3)));
    }
    let unknown = post(&server, "/api/v1/sessions/AAAAAAAAAAAAAAAAAAAA/events", json!({"event": "e"})).await;
    assert_eq!(unknown.problem(), (404, "not-found".into()));
}

#[tokio::test]
async fn a_service_gets_the_answer_of_a_client() {
    let server = TestServer::start(|_| ());
    let mut client = NativeClient::connect(&server, Wire::Json).await;
    let path = format!("/api/v1/sessions/{}/events", client.sid);
    let body = json!({"event": "ask", "data": "?", "ack_timeout_ms": 5_000});
    let asking = async {
        let packet = client.packet().await;
        assert_eq!((&packet["event"], &packet["data"]), (&json!("ask"), &json!("?")));
        client.send(&json!({"ack": packet["ack"], "data": {"yes": 1}})).await;
    };
    let (answer, ()) = tokio::join!(post(&server, &path, body.clone()), asking);
    assert_eq!((answer.status, answer.json()), (200, json!({"answer": [{"yes": 1}]})));

    let mut client = RawSocket::socketio(&server).await;
    let sids = get(&server, "/api/v1/sessions").await.json()["sessions"].take();
    for sid in
        sids.as_array().unwrap().iter().map(|entry| entry["sid"].as_str().unwrap()).filter(|sid| !path.contains(sid))
    {
        let path = format!("/api/v1/sessions/{sid}/events");
        let answering = async {
            assert_eq!(client.text().await, r#"420["ask","?"]"#);
            client.send(&frame(0x81, br#"430["yes", 2]"#)).await;
        };
        let (answer, ()) = tokio::join!(post(&server, &path, body.clone()), answering);
        assert_eq!((answer.status, answer.json()), (200, json!({"answer": ["yes", 2]})));
    }
}

#[tokio::test]
async fn a_client_that_gives_no_answer_is_not_waited_for_longer_than_asked() {
    let server = TestServer::start(|_| ());
    let client = Client::connect(&server, Wire::SocketIo).await;
    let path = format!("/api/v1/sessions/{}/events", client.sid());
    let began = tokio::time::Instant::now();
    let answer = post(&server, &path, json!({"event": "ask", "ack_timeout_ms": 200})).await;
    assert_eq!(answer.problem(), (504, "ack-timeout".into()));
    eventually!(server.metric("roomcast_acks_timed_out_total", "").await == 1);
    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(200) && waited < Duration::from_secs(5), "{waited:?}");
    for ms in [0, 10_001] {
        let answer = post(&server, &path, json!({"event": "ask", "ack_timeout_ms": ms})).await;
        assert_eq!(answer.problem(), (400, "bad-packet".into()), "{ms}");
    }
}

#[tokio::test]
async fn a_session_owes_a_bounded_number_of_answers() {
    let server = TestServer::start(|_| ());
    let client = Client::connect(&server, Wire::Json).await;
    let path = format!("/api/v1/sessions/{}/events", client.sid());
    let waiting: Vec<_> = (0..64)
        .map(|_| {
            let (to, path) = (server.public, path.clone());
            let body = json!({"event": "ask", "ack_timeout_ms": 10_000}).to_string();
            beside(async move { request(to, "POST", &path, "Content-Type: application/json\r\n", &body).await })
        })
        .collect();
    let mut client = client;
    for _ in 0..64 {
        client.heard().await;
    }
    let one_more = post(&server, &path, json!({"event": "ask", "ack_timeout_ms": 10_000})).await;
    assert_eq!(one_more.problem(), (503, "unavailable".into()));
    assert!(one_more.has("retry-after: 1"), "{one_more:?}");
    drop(client);
    for answer in waiting {
        assert_eq!(answer.await.unwrap().problem(), (504, "ack-timeout".into()), "the session has ended");
    }
}
